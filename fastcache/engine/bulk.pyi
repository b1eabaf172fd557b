from typing import Any

from typing_extensions import Self, disjoint_base

from fastcache.engine.shards import Shards
from fastcache.engine.store import Store

@disjoint_base
class Writing:
    def __new__(cls, store: Store, only_if_absent: bool) -> Self: ...

@disjoint_base
class Parts:
    def __new__(cls, shards: Shards, only_if_absent: bool) -> Self: ...

@disjoint_base
class Reading:
    def __new__(cls, store: Store, keys: list[Any]) -> Self: ...
