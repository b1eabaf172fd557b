from types import TracebackType
from typing import Literal

from typing_extensions import Self, disjoint_base

from fastcache.engine.shards import Shards
from fastcache.engine.store import Store

@disjoint_base
class Transaction:
    def __new__(cls, store: Store) -> Self: ...
    def __enter__(self) -> Transaction: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]: ...

@disjoint_base
class ShardTransaction(Transaction):
    def __new__(cls, store: Store, shards: Shards) -> Self: ...
    def __init__(self, store: Store, shards: Shards) -> None: ...
