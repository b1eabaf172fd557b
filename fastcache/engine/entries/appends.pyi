"""Changes of one entry that go into the journal: set, add, delete, pop, touch, incr."""

from typing import final

from typing_extensions import Self

from fastcache.engine.entries.drain import Drain
from fastcache.engine.entries.reads import Reads

@final
class Attempt: ...

@final
class Appends:
    def __new__(cls, reads: Reads, drain: Drain, wanted: bool) -> Self: ...
