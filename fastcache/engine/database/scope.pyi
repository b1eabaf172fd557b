"""What transactions are of: whose turn it is, which blocks are open, what time it is there."""

from collections.abc import Callable

from typing_extensions import disjoint_base

from fastcache.engine.database.timings import Timings

@disjoint_base
class Scope:
    @property
    def directory(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def timer(self) -> Callable[[], float] | None: ...
    def time_writes(self) -> Timings: ...
