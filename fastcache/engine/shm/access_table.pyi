from typing_extensions import Self, disjoint_base

@disjoint_base
class AccessTable:
    def __new__(cls, path: str, meaning: int, limit: int) -> Self: ...

def is_table(size: int, beginning: bytes) -> bool: ...
