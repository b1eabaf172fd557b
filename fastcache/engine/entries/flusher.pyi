"""Flushing queues: what write-behind and batches have put off is written, in order, and nothing is lost."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.entries.pending import WriteBuffer
from fastcache.engine.entries.row_writes import RowWrites

@final
class Flusher(Participant):
    def __new__(cls, rows: RowWrites, behind: WriteBuffer | None) -> Self: ...
