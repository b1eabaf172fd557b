from typing import final

from typing_extensions import Self, disjoint_base

@final
class Block: ...

@disjoint_base
class WriterLock:
    def __new__(cls) -> Self: ...

@disjoint_base
class Waiter:
    def __new__(cls, thread: int) -> Self: ...
