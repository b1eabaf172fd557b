"""Writing many entries: runs of rows as one statement each, and what a transaction sets."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.entries.file_writes import FileWrites

@final
class RowWrites(Participant):
    def __new__(cls, filed: FileWrites) -> Self: ...
