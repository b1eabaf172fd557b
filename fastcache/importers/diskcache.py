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
from fastcache.importers.parts import Part, Parts, parts_of
from fastcache.importers.source import AT_ONCE, EXPIRED, Entry, Failure, Source, is_text_or_none, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_NAMED = "SELECT EXISTS (SELECT 1 FROM Cache WHERE filename = ?)"


def detect(path: str) -> bool:
    """Whether a directory is one of diskcache's."""
    return bool(_directories(path))


def _directories(path: str) -> list[str]:
    return parts_of(path, _is_part, "{:03}".format)


def _is_part(path: str) -> bool:
    tables = tables_of(os.path.join(path, _DATABASE))
    return "Settings" in tables and {name for name, _ in tables.get("Cache", ())} >= _COLUMNS


def open_source(path: str, decoder: Decoder, *, json_disk: bool | None = None) -> Source:
    """The caches in a directory that was detected; ``json_disk`` says whether JSONDisk wrote them, None finds out."""
    return _Directory(path, decoder, json_disk)


class _Directory(Parts):
    kind = "diskcache"

    def __init__(self, path: str, decoder: Decoder, json_disk: bool | None) -> None:
        super().__init__(path, _directories(path), lambda directory, name: _Part(directory, name, decoder))
        try:
            if json_disk is None:
                found = [each for each in (part.is_json() for part in self.parts) if each is not None]
                json_disk = bool(found) and all(found)
            self.elsewhere = sorted(_nested(path))
        except BaseException:
            self.close()
            raise
        for part in self.parts:
            part.json = json_disk
        if json_disk:
            self.kind = "diskcache-json"

    def entries(self, now: float) -> Iterator[_Found]:
        # In parts, the order of insertion is that of the times, which an update changes.
        if len(self.parts) == 1:
            yield from (found for _, found in self.parts[0].entries(now))
            return
        merged = heapq.merge(*(part.entries(now) for part in self.parts), key=lambda pair: pair[0])
        yield from (found for _, found in merged)


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


class _Part(Part):
    """One database, with its files."""

    count_all, delete_one, count_named = _COUNT, _DROP, _NAMED

    def __init__(self, directory: str, name: str, decoder: Decoder) -> None:
        super().__init__(directory, name, _DATABASE)
        self._decoder = decoder
        self.json = False

    def place_of(self, token: Any) -> str:
        return self.place(f"row {token[0]}")

    def is_json(self) -> bool | None:
        """Whether JSONDisk has written it; None if there is nothing to tell by."""
        if any(name == "disk_compress_level" for name, _ in self.ask(_SETTINGS)):
            return True
        keys = self.ask(_KEYS)
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
        return Failure(self.place_of(row), why)

    def _rows(self) -> Iterator[Any]:
        statement, place = _NEXT_ROWS, 0
        at: int | None = -(2**63)
        last = self.ask(_COUNT)[0][1]
        if self._is_deque():
            # What was put on the left is there later, and comes before.
            statement, place = _NEXT_IN_QUEUE, 1
            at, last = self.ask(_ENDS_OF_QUEUE)[0]
            at = None if at is None else at - 1
        while last is not None and at is not None:
            rows = self.ask(statement, at, last, AT_ONCE)
            if not rows:
                return
            yield from rows
            at = rows[-1][place]

    def _is_deque(self) -> bool:
        """Whether all there is are the items of a queue."""
        if self.ask(_OTHER_THAN_QUEUE)[0][0]:
            return False
        first, last = self.ask(_ENDS_OF_QUEUE)[0]
        return first is not None and first > _MIDDLE_OF_QUEUE // 2 and last < _MIDDLE_OF_QUEUE * 3 // 2

    def _read(self, row: Any, now: float) -> _Found | None:
        """The entry of a row; None if it is gone by now."""
        while True:
            try:
                return self._decode(row, now)
            except FileNotFoundError:
                again = self.ask(_ONE_ROW, row[0])
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
            value = self.files.read(filename)
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
