"""Writing one entry: set, add, touch, pop, incr, delete."""

from typing import final

from typing_extensions import Self

from fastcache.engine.entries.expiry import Expiry
from fastcache.engine.entries.reads import Reads
from fastcache.engine.eviction.space import Space

@final
class Writes:
    def __new__(cls, reads: Reads, space: Space, expiry: Expiry) -> Self: ...
