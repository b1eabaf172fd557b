"""Files of sqlitedict: SQLite databases whose tables each are a dict from text to pickles.

Several tables may lie in one file; which one is meant has to be said then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcache.errors import CacheError, DecodeError, OpenError
from fastcache.importers.source import AT_ONCE, Entry, Failure, Source, connect, is_text_or_none, run, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastcache.importers.pickles import Decoder
    from fastcache.importers.source import _Found

__all__ = ["detect", "open_source"]

_COLUMNS = [("key", "TEXT"), ("value", "BLOB")]


def detect(path: str) -> bool:
    """Whether a file is an SQLite database that has such a table."""
    return bool(_tables(path))


def _tables(path: str) -> list[str]:
    return sorted(name for name, columns in tables_of(path).items() if columns == _COLUMNS)


def open_source(path: str, decoder: Decoder, *, table: str | None = None) -> Source:
    """The dict in a table of a file that was detected.

    Raises:
        OpenError: there is no such table, or there are several, of which none is named.
    """
    tables = _tables(path)
    if table is None and len(tables) == 1:
        table = tables[0]
    if table not in tables:
        shown = ", ".join(map(repr, tables))
        raise OpenError(
            f"{path!r} has the tables {shown}; say which one to migrate (table=, --table)"
            if table is None
            else f"{path!r} has no table {table!r}, but {shown}"
        )
    return _Table(path, table, decoder)


class _Table(Source):
    kind = "sqlitedict"

    def __init__(self, path: str, table: str, decoder: Decoder) -> None:
        self.path = path
        self._decoder = decoder
        name = table.replace('"', '""')
        self._count = f'SELECT count(*), max(rowid) FROM "{name}"'
        self._next = f'SELECT rowid, key, value FROM "{name}" WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?'
        self._delete = f'DELETE FROM "{name}" WHERE rowid = ? AND key IS ? AND value IS ?'
        self._reader = connect(path)
        self._writer: Any = None

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def _ask(self, statement: str, *given: Any) -> list[Any]:
        rows: list[Any] = run(lambda: self._reader.execute(statement, given).fetchall(), self.path)
        return rows

    def count(self) -> int:
        return int(self._ask(self._count)[0][0])

    def entries(self, now: float) -> Iterator[_Found]:
        at, last = -(2**63), self._ask(self._count)[0][1]
        while last is not None:
            rows = self._ask(self._next, at, last, AT_ONCE)
            if not rows:
                return
            for row in rows:
                try:
                    yield self._decode(*row)
                except CacheError as error:
                    yield Failure(self.place_of(row), f"{type(error).__name__}: {error}")
            at = rows[-1][0]

    def _decode(self, rowid: int, key: Any, value: Any) -> Entry:
        if key is None or not is_text_or_none(key):
            raise DecodeError("its key is no text")
        if type(value) is not bytes:
            raise DecodeError("it is no pickle: sqlitedict was given an encoding of its own")
        return Entry(key, self._decoder.loads(value), None, None, len(value), (rowid, key, value))

    def place_of(self, token: Any) -> str:
        return f"row {token[0]}"

    def drop(self, tokens: Iterable[Any]) -> None:
        if self._writer is None:
            self._writer = connect(self.path, write=True)
        run(lambda: self._delete_all(list(tokens)), self.path)

    def _delete_all(self, tokens: list[Any]) -> None:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            self._writer.executemany(self._delete, tokens)
            self._writer.execute("COMMIT")
        except BaseException:
            self._writer.rollback()
            raise
