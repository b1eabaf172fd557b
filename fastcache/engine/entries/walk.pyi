"""Iteration over all entries, in order of insertion."""

from collections.abc import Callable, Iterator
from typing import Any

from fastcache.engine.database.database import Database
from fastcache.engine.entries.reads import Reads

_OnError = Callable[[Any, Exception], object] | None

def walk_keys(
    database: Database, serializer: Any, end: int, backward: bool, keepalive: object, on_error: _OnError
) -> Iterator[Any]: ...
def walk_items(
    database: Database, reads: Reads, end: int, backward: bool, keepalive: object, on_error: _OnError
) -> Iterator[tuple[Any, Any]]: ...
