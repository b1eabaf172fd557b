"""Iteration over all entries, in order of insertion."""

from collections.abc import Iterator
from typing import Any

from fastcache.engine.database.database import Database
from fastcache.engine.entries.reads import Reads

def walk_keys(database: Database, serializer: Any, end: int, backward: bool, keepalive: object) -> Iterator[Any]: ...
def walk_items(
    database: Database, reads: Reads, end: int, backward: bool, keepalive: object
) -> Iterator[tuple[Any, Any]]: ...
