from types import TracebackType
from typing import Literal

from typing_extensions import Self, disjoint_base

from fastcache.engine.database.database import Database
from fastcache.engine.database.scope import Scope

@disjoint_base
class Transaction:
    def __new__(cls, scope: Scope, *_: object) -> Self: ...
    def __enter__(self) -> Transaction: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]: ...

@disjoint_base
class DatabaseTransaction(Transaction):
    def __new__(cls, database: Database, *_: object) -> Self: ...
