"""What one call, or a batch, has to write to one store."""

from typing import final

from typing_extensions import Self, disjoint_base

from fastcache.engine.database.database import Database
from fastcache.engine.entries.changes import Changes

@disjoint_base
class Writing: ...

@final
class RowWriting(Writing):
    def __new__(cls, database: Database, changes: Changes, only_if_absent: bool) -> Self: ...

@disjoint_base
class BatchPart: ...

@final
class RowBatchPart(BatchPart):
    def __new__(cls, database: Database, changes: Changes, max_seconds: float) -> Self: ...
