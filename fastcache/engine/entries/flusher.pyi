"""Flushing queues: what batches put off, or threads commit together, is written in order, and nothing is left out."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.entries.row_writes import RowWrites

@final
class Flusher(Participant):
    def __new__(cls, rows: RowWrites) -> Self: ...
