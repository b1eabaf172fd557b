from typing_extensions import Self, disjoint_base

from fastcache.engine.memory.sieve import Budget

@disjoint_base
class Memory:
    @property
    def era(self) -> int: ...
    def __new__(cls, budget: Budget) -> Self: ...
