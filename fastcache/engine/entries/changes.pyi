"""Changes of one entry: it is set, added, deleted, popped, touched or counted up."""

from typing import final

from typing_extensions import Self

from fastcache.engine.codecs.values import ValueFormat
from fastcache.engine.database.checkpoints import Checkpoints
from fastcache.engine.entries.appends import Appends
from fastcache.engine.entries.flusher import Flusher
from fastcache.engine.entries.reads import Reads
from fastcache.engine.entries.row_writes import RowWrites

@final
class Changes:
    def __new__(
        cls,
        reads: Reads,
        rows: RowWrites,
        flusher: Flusher,
        appends: Appends,
        checkpoints: Checkpoints,
        format: ValueFormat,
    ) -> Self: ...
