from collections.abc import Iterable
from typing import Any, final

from typing_extensions import Self, disjoint_base

from fastcache.engine.shards import Shards

@disjoint_base
class Parts:
    def __new__(cls, shards: Shards, *_: Any) -> Self: ...

@final
class Writings(Parts):
    def __new__(cls, shards: Shards, only_if_absent: bool) -> Self: ...

def add_entries(shards: Shards, entries: Iterable[tuple[Any, Any, int | None, Any]]) -> int: ...
