"""Directories of diskcache: its Cache, Index and Deque, which are stored alike, its FanoutCache, and its JSONDisk.

Each directory has a database with one row for an entry. Small values lie in the row, larger ones in a file that it
names. Other programs may use it all the while: rows are read a thousand at a time, and nothing is locked between. A row
that was replaced before its file could be read is read again; one that was changed since it was read is not deleted.
What others add after the beginning may not come along.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import zlib
from typing import TYPE_CHECKING, Any

from fastcache.errors import CacheError, DecodeError
from fastcache.importers.source import (
    AT_ONCE,
    EXPIRED,
    Entry,
    Failure,
    Source,
    connect,
    is_text_or_none,
    run,
    tables_of,
)
from fastcache.importers.value_files import ValueFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastcache.importers.pickles import Decoder
    from fastcache.importers.source import _Found

__all__ = ["detect", "open_source"]

_DATABASE = "cache.db"
_COLUMNS = {"key", "raw", "store_time", "expire_time", "tag", "size", "mode", "filename", "value"}
# How a value is stored.
_RAW, _BINARY, _TEXT, _PICKLE = 1, 2, 3, 4
# Where the numbers of what is pushed begin, to both sides.
_MIDDLE_OF_QUEUE = 500_000_000_000_000
_NESTED = ("cache", "deque", "index")

_ROW = "rowid, key, raw, store_time, expire_time, tag, size, mode, filename, value"
_NEXT_ROWS = f"SELECT {_ROW} FROM Cache WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?"
_NEXT_IN_QUEUE = f"SELECT {_ROW} FROM Cache WHERE raw = 1 AND key > ? AND key <= ? ORDER BY key LIMIT ?"
_ONE_ROW = f"SELECT {_ROW} FROM Cache WHERE rowid = ?"
_COUNT = "SELECT count(*), max(rowid) FROM Cache"
_KEYS = "SELECT key, raw FROM Cache ORDER BY rowid LIMIT 100"
_OTHER_THAN_QUEUE = "SELECT EXISTS (SELECT 1 FROM Cache WHERE raw <> 1 OR typeof(key) <> 'integer')"
_ENDS_OF_QUEUE = "SELECT min(key), max(key) FROM Cache"
_SETTINGS = "SELECT key, value FROM Settings"
_DROP = "DELETE FROM Cache WHERE rowid = ? AND store_time IS ? AND expire_time IS ? AND filename IS ?"
_SHARED = "SELECT EXISTS (SELECT 1 FROM Cache WHERE filename = ?)"


def detect(path: str) -> bool:
    """Whether a directory is one of diskcache's."""
    return bool(_databases(path))


def _databases(path: str) -> list[str]:
    """The directories that hold the parts of it."""
    if _is_part(path):
        return [path]
    parts: list[str] = []
    while _is_part(os.path.join(path, f"{len(parts):03}")):
        parts.append(os.path.join(path, f"{len(parts):03}"))
    return parts


def _is_part(path: str) -> bool:
    tables = tables_of(os.path.join(path, _DATABASE))
    return "Settings" in tables and {name for name, _ in tables.get("Cache", ())} >= _COLUMNS


def open_source(path: str, decoder: Decoder, *, json_disk: bool | None = None) -> Source:
    """The caches in a directory that was detected; ``json_disk`` says whether JSONDisk wrote them, None finds out."""
    return _Directory(path, decoder, json_disk)


class _Directory(Source):
    kind = "diskcache"

    def __init__(self, path: str, decoder: Decoder, json_disk: bool | None) -> None:
        self.path = path
        self._parts: list[_Part] = []
        try:
            for directory in _databases(path):
                self._parts.append(_Part(directory, os.path.relpath(directory, path), decoder))
            if json_disk is None:
                found = [each for each in (part.is_json() for part in self._parts) if each is not None]
                json_disk = bool(found) and all(found)
        except BaseException:
            self.close()
            raise
        for part in self._parts:
            part.json = json_disk
        if json_disk:
            self.kind = "diskcache-json"
        self.elsewhere = sorted(_nested(path))

    def count(self) -> int:
        return sum(part.count() for part in self._parts)

    def entries(self, now: float) -> Iterator[_Found]:
        # In parts, the order of insertion is that of the times, which an update changes.
        if len(self._parts) == 1:
            yield from (found for _, found in self._parts[0].entries(now))
            return
        merged = heapq.merge(*(part.entries(now) for part in self._parts), key=lambda pair: pair[0])
        yield from (found for _, found in merged)

    def place_of(self, token: Any) -> str:
        part: _Part = token[0]
        return part.place_of(token[1])

    def drop(self, tokens: Iterable[Any]) -> None:
        by_part: dict[int, list[Any]] = {}
        for part, *token in tokens:
            by_part.setdefault(id(part), []).append(token)
        for part in self._parts:
            if id(part) in by_part:
                part.drop(by_part[id(part)])

    def close(self) -> None:
        for part in self._parts:
            part.close()


def _nested(path: str) -> Iterator[str]:
    """Caches inside of this one that have names of their own."""
    for kind in _NESTED:
        for directory, folders, names in os.walk(os.path.join(path, kind)):
            if _DATABASE in names:
                # Its folders are of its values, or its parts.
                folders.clear()
                whole = os.path.basename(directory) == "000"
                yield os.path.dirname(directory) if whole else directory
            elif "000" in folders:
                folders[:] = ["000"]


class _Part:
    """One database, with its files."""

    def __init__(self, directory: str, name: str, decoder: Decoder) -> None:
        self._files = ValueFiles(directory)
        self._name = "" if name == os.curdir else f"{name}, "
        self._path = os.path.join(directory, _DATABASE)
        self._decoder = decoder
        self.json = False
        self._reader = connect(self._path)
        self._writer: Any = None

    def close(self) -> None:
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def _ask(self, statement: str, *given: Any) -> list[Any]:
        rows: list[Any] = run(lambda: self._reader.execute(statement, given).fetchall(), self._path)
        return rows

    def count(self) -> int:
        return int(self._ask(_COUNT)[0][0])

    def is_json(self) -> bool | None:
        """Whether JSONDisk has written it; None if there is nothing to tell by."""
        if any(name == "disk_compress_level" for name, _ in self._ask(_SETTINGS)):
            return True
        keys = self._ask(_KEYS)
        return all(raw == 1 and _is_compressed_json(key) for key, raw in keys) if keys else None

    def entries(self, now: float) -> Iterator[tuple[float, _Found]]:
        """All entries, each with the time at which it was stored."""
        for row in self._rows():
            found: _Found | None
            try:
                found = self._read(row, now)
            except FileNotFoundError:
                found = self._failure(row, "the file of its value is missing")
            except CacheError as error:
                found = self._failure(row, f"{type(error).__name__}: {error}")
            if found is not None:
                yield row[3] if type(row[3]) is float else 0.0, found

    def _failure(self, row: Any, why: str) -> Failure:
        return Failure(self.place_of(row[0]), why)

    def place_of(self, rowid: int) -> str:
        return f"{self._name}row {rowid}"

    def _rows(self) -> Iterator[Any]:
        statement, place = _NEXT_ROWS, 0
        at: int | None = -(2**63)
        last = self._ask(_COUNT)[0][1]
        if self._is_deque():
            # What was put on the left is there later, and comes before.
            statement, place = _NEXT_IN_QUEUE, 1
            at, last = self._ask(_ENDS_OF_QUEUE)[0]
            at = None if at is None else at - 1
        while last is not None and at is not None:
            rows = self._ask(statement, at, last, AT_ONCE)
            if not rows:
                return
            yield from rows
            at = rows[-1][place]

    def _is_deque(self) -> bool:
        """Whether all there is are the items of a queue."""
        if self._ask(_OTHER_THAN_QUEUE)[0][0]:
            return False
        first, last = self._ask(_ENDS_OF_QUEUE)[0]
        return first is not None and first > _MIDDLE_OF_QUEUE // 2 and last < _MIDDLE_OF_QUEUE * 3 // 2

    def _read(self, row: Any, now: float) -> _Found | None:
        """The entry of a row; None if it is gone by now."""
        while True:
            try:
                return self._decode(row, now)
            except FileNotFoundError:
                again = self._ask(_ONE_ROW, row[0])
                if not again:
                    return None
                if again[0] == row:
                    raise
                row = again[0]

    def _decode(self, row: Any, now: float) -> _Found:
        rowid, key, raw, stored, expire, tag, size, mode, filename, value = row
        if expire is not None and type(expire) not in (int, float):
            raise DecodeError("its expiry is no time")
        if expire is not None and expire <= now:
            return EXPIRED
        if not (is_text_or_none(key) and is_text_or_none(tag) and is_text_or_none(value)):
            raise DecodeError("it has a text that is not UTF-8")
        if key is None:
            raise DecodeError("its key is NULL, which SQLite has made of NaN")
        if filename is not None:
            value = self._files.read(filename)
            size = len(value)
        if self.json:
            key = _as_key(_from_json(key))
            value = self._json_value(value, is_file=filename is not None)
        else:
            if raw != 1:
                key = self._decoder.loads(_is_bytes(key))
            if mode == _PICKLE:
                value = self._decoder.loads(_is_bytes(value))
            elif mode == _TEXT and filename is not None:
                value = _as_text(value)
            elif mode != (_RAW if filename is None else _BINARY):
                raise DecodeError("it is stored in a way that is not known")
        return Entry(key, value, expire, tag, size or 0, (self, rowid, stored, expire, filename))

    @staticmethod
    def _json_value(value: Any, *, is_file: bool) -> Any:
        try:
            return _from_json(value)
        except DecodeError:
            # What was given as an open file is stored as it is.
            if not is_file:
                raise
            return value

    def drop(self, tokens: list[Any]) -> None:
        if self._writer is None:
            self._writer = connect(self._path, write=True)
        gone = run(lambda: self._delete(tokens), self._path)
        # Only now: if this is interrupted, there are files that nothing names, and no row without its file.
        for filename in gone:
            if not self._ask(_SHARED, filename)[0][0]:
                self._files.remove(filename)

    def _delete(self, tokens: list[Any]) -> list[str]:
        """Delete rows; returns the names of the files that belonged to them."""
        writer = self._writer
        gone = []
        writer.execute("BEGIN IMMEDIATE")
        try:
            for token in tokens:
                if writer.execute(_DROP, token).rowcount and token[3] is not None:
                    gone.append(token[3])
            writer.execute("COMMIT")
        except BaseException:
            writer.rollback()
            raise
        return gone


def _is_bytes(data: Any) -> bytes:
    if type(data) is not bytes:
        raise DecodeError("it should be a pickle, and is none")
    return data


def _as_text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DecodeError("its file holds a text that is not UTF-8") from error


def _is_compressed_json(data: Any) -> bool:
    with contextlib.suppress(DecodeError):
        _from_json(data)
        return True
    return False


def _from_json(data: Any) -> Any:
    try:
        return json.loads(zlib.decompress(_is_bytes(data)))
    except (zlib.error, ValueError, RecursionError) as error:
        raise DecodeError(f"it is no compressed JSON ({type(error).__name__})") from error


def _as_key(key: Any) -> Any:
    """JSON knows no tuples: it makes lists of them."""
    return tuple(map(_as_key, key)) if type(key) is list else key
