"""Who is measured, each with the settings that its own documentation starts with.

diskcache_rs: `Cache` is its drop-in for diskcache's, persistent and shared between processes as ours is. Its
`FastCache` sounds faster, but recommends `Cache` "for maximum performance" in its own documentation. Its
`transact()` is a lock between threads, without atomicity: many sets in one cost as much as they do alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from loops import Loops, double


@dataclass(frozen=True)
class Contender:
    name: str
    module: str
    loops: Callable[[Any], Loops] = Loops
    kind: str = "Cache"
    peer: bool = True
    extra: str = ".[bench]"

    def open(self, directory: str) -> Loops:
        return self.loops(getattr(import_module(self.module), self.kind)(directory))

    def obstacle(self) -> str | None:
        """Why it cannot be measured here; None if it can."""
        if find_spec(self.module) is None:
            return f"{self.name} is not installed: pip install {self.extra}"
        return None


class FastcacheLoops(Loops):
    def memoized(self) -> Any:
        get_or_set = self.cache.get_or_set
        return lambda number: get_or_set(number, lambda: double(number))


class DiskcacheRsLoops(Loops):
    def fill(self, names: Sequence[str], value: object) -> None:
        self.cache.set_many((name, value) for name in names)


@dataclass(frozen=True)
class FloorContender(Contender):
    def open(self, directory: str) -> Loops:
        from floor import Floor

        return Floor(directory)

    def obstacle(self) -> str | None:
        from floor import obstacle

        return super().obstacle() or obstacle()


FASTCACHE = Contender("fastcache", "fastcache", FastcacheLoops, peer=False, extra=".")
CONTENDERS = (
    FASTCACHE,
    Contender("Index", "fastcache", FastcacheLoops, kind="Index", peer=False, extra="."),
    FloorContender("floor", "fastcache", peer=False, extra="."),
    Contender("sciqlop-cache", "pysciqlop_cache"),
    Contender("diskcache", "diskcache"),
    Contender("diskcache_rs", "diskcache_rs", DiskcacheRsLoops),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
