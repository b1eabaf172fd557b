from typing_extensions import Self, disjoint_base

@disjoint_base
class Memory:
    @property
    def era(self) -> int: ...
    def __new__(cls, limit: int) -> Self: ...
