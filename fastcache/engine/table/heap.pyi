"""Items, of which the one of the lowest rank is known."""

from typing import final

from typing_extensions import Self

@final
class Heap:
    @property
    def count(self) -> int: ...
    def __new__(cls, kind: int) -> Self: ...
