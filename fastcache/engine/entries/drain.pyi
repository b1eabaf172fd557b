"""Draining: what is in the journal goes into SQLite, many records in one transaction."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.checkpoints import Checkpoints
from fastcache.engine.database.database import Participant
from fastcache.engine.entries.pending import Rows
from fastcache.engine.entries.row_writes import RowWrites

@final
class Records(Rows): ...

@final
class Drain(Participant):
    @property
    def records(self) -> int: ...
    @property
    def transactions(self) -> int: ...
    def __new__(cls, rows: RowWrites, checkpoints: Checkpoints) -> Self: ...
