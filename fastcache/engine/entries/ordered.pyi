"""Iteration in the order of keys, from their unique index."""

from collections.abc import Iterator
from typing import Any

from fastcache.engine.codecs.ranges import KeyRange
from fastcache.engine.database.database import Database
from fastcache.engine.entries.reads import Reads
from fastcache.engine.entries.walk import _OnError

def walk_in_order(
    database: Database,
    reads: Reads,
    which: KeyRange,
    end: int,
    items: bool,
    backward: bool,
    keepalive: object,
    on_error: _OnError,
) -> Iterator[tuple[Any, Any, Any]]: ...
def tuple_ranges(database: Database, which: KeyRange, end: int, backward: bool) -> Iterator[tuple[bytes, bytes]]: ...
