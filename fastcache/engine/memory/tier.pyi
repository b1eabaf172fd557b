from typing import final

from typing_extensions import Self

from fastcache.engine.memory.sieve import Budget

@final
class Memory:
    @property
    def era(self) -> int: ...
    def __new__(cls, budget: Budget) -> Self: ...
