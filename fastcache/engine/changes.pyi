from os import PathLike
from typing import Any

from typing_extensions import disjoint_base

capacity: int

@disjoint_base
class ChangeLog:
    def __init__(self, path: str | PathLike[str]) -> None: ...

def map_shared(path: str, content: bytes) -> Any: ...
