from typing_extensions import Self, disjoint_base

@disjoint_base
class WriterLock:
    def __new__(cls) -> Self: ...

@disjoint_base
class Waiter:
    def __new__(cls, thread: int) -> Self: ...
