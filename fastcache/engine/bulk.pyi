from collections.abc import Iterable
from typing import Any, final

from typing_extensions import Self, disjoint_base

from fastcache.engine.shards import Shards
from fastcache.engine.store import Store

@final
class Writing:
    def __new__(cls, store: Store, only_if_absent: bool) -> Self: ...

@disjoint_base
class Parts:
    def __new__(cls, shards: Shards, *_: Any) -> Self: ...

@final
class Writings(Parts):
    def __new__(cls, shards: Shards, only_if_absent: bool) -> Self: ...

@final
class Reading:
    def __new__(cls, store: Store, keys: list[Any]) -> Self: ...

def add_entries(shards: Shards, entries: Iterable[tuple[Any, Any, int | None, Any]]) -> int: ...
