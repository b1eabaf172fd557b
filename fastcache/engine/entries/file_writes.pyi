"""Values in files: a large one is a file first, and then a row."""

from typing import final

from typing_extensions import Self

from fastcache.engine.entries.writes import Writes
from fastcache.engine.eviction.leftovers import Leftovers

@final
class FileWrites:
    def __new__(cls, writes: Writes, leftovers: Leftovers) -> Self: ...
