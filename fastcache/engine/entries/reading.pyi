"""Many entries read in one call: all of one snapshot, and from the memory tier where that tells of the same."""

from typing import Any, final

from typing_extensions import Self

from fastcache.engine.database.database import Database
from fastcache.engine.entries.reads import Reads

@final
class Reading:
    def __new__(cls, database: Database, reads: Reads, keys: list[Any]) -> Self: ...
