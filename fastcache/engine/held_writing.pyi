"""Transactions, bulk calls and batches on what a store in memory holds."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.scope import Scope
from fastcache.engine.database.transaction import Transaction
from fastcache.engine.entries.writing import BatchPart, Writing
from fastcache.engine.held import Held

@final
class HeldTransaction(Transaction):
    def __new__(cls, scope: Scope, held: Held) -> Self: ...

@final
class HeldWriting(Writing):
    def __new__(cls, held: Held, only_if_absent: bool) -> Self: ...

@final
class HeldBatchPart(BatchPart):
    def __new__(cls, held: Held, max_seconds: float) -> Self: ...
