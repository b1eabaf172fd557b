from typing import final

from typing_extensions import Self, disjoint_base

from fastcache.engine.rows import Rows

@final
class Place: ...

@disjoint_base
class Generation(Rows):
    def __new__(cls) -> Self: ...

@disjoint_base
class Queue:
    @property
    def delay(self) -> float: ...
    @property
    def committed(self) -> int: ...
    def __new__(cls, delay: float) -> Self: ...
