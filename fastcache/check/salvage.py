"""Salvage: what can still be read of a damaged database, copied into a new one.

The new one replaces the old content in a single transaction. Rows are read in batches; where one cannot be read, its
range is halved until the halves can be, and a large damaged part is left in strides.
"""

import tempfile
from collections.abc import Iterator
from typing import Any

from fastcache.engine.disk_store import DiskStore
from fastcache.engine.eviction.limit import usable_settings
from fastcache.engine.sqlite import sql
from fastcache.engine.sqlite.connection import Connection
from fastcache.errors import CorruptError, FormatError

__all__ = ["salvage"]

_BATCH = 256
# So many batches without a readable row are looked at row by row; what follows, in strides.
_PATIENCE = 32
# How far to look where neither the table nor the index tells.
_PROBABLY_LAST = 1 << 40


def salvage(store: DiskStore) -> None:
    """Copy what can be read into a new database, and put that in the place of the old content."""
    reader = store.connect(lenient=True)
    try:
        stored = dict(reader.query(sql.GET_META))
    except CorruptError:
        stored = {}
    name = stored.get("serializer", store.serializer.name)
    if name != store.serializer.name:
        raise FormatError(f"{store.directory!r} is stored with serializer {name!r}; repair it with that one")
    with tempfile.TemporaryDirectory(prefix="fastcache-salvage-") as folder:
        # What can be read stays, also what is beyond the limit: whoever writes next sees to that.
        shards = store.settings["shards"]
        fresh = DiskStore(
            folder,
            serializer=store.serializer,
            settings=usable_settings({**stored, "shards": shards}),
            shards=shards,
            keeps_limit=False,
        )

        def fill() -> None:
            with fresh.transact():
                for row in _readable_rows(reader):
                    fresh.query(sql.RESTORE, row)
                fresh.query(sql.RECOUNT_FILE_BYTES)

        try:
            store.replace_content(fresh.connect(), fill)
        finally:
            fresh.close()


def _readable_rows(reader: Connection) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read, by rowid."""
    start, last = 1, _last_row(reader)
    unreadable = 0
    while start <= last:
        try:
            rows = reader.query(sql.SALVAGE, (start, last, _BATCH))
        except CorruptError:
            if unreadable > _PATIENCE:
                start = _next_readable(reader, start, last)
                unreadable = 0
                continue
            end = min(start + _BATCH - 1, last)
            rows = list(_readable_between(reader, start, end))
            unreadable = 0 if rows else unreadable + 1
            start = end + 1
        else:
            if not rows:
                return
            start = rows[-1][0] + 1
        yield from rows


def _next_readable(reader: Connection, damaged: int, last: int) -> int:
    """Leave a large damaged part in strides that double, and go back to its end by bisection."""
    stride = _BATCH
    low = damaged
    while not _readable(reader, damaged + stride):
        low = damaged + stride
        stride *= 2
        if low > last:
            return low
    high = damaged + stride
    while high - low > 1:
        middle = (low + high) // 2
        if _readable(reader, middle):
            high = middle
        else:
            low = middle
    return high


def _readable(reader: Connection, row: int) -> bool:
    try:
        reader.query(sql.SALVAGE_ONE, (row,))
    except CorruptError:
        return False
    return True


def _readable_between(reader: Connection, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The same in a range that has damage in it: halved until the halves can be read, or are one row."""
    try:
        # Of one row alone: a scan would look at the next one, too, which may be on a damaged page.
        one = first == last
        rows = reader.query(sql.SALVAGE_ONE, (first,)) if one else reader.query(sql.SALVAGE, (first, last, _BATCH))
    except CorruptError:
        if first < last:
            middle = (first + last) // 2
            yield from _readable_between(reader, first, middle)
            yield from _readable_between(reader, middle + 1, last)
    else:
        yield from rows


def _last_row(reader: Connection) -> int:
    """The last rowid that the table or, where its end is damaged, the index of keys knows of."""
    for statement in (sql.LAST_ROW, sql.LAST_INDEXED_ROW):
        try:
            return int(reader.query(statement)[0][0] or 0)
        except CorruptError:
            continue
    return _PROBABLY_LAST
