"""Entries of a cache whose Disk stores keys and values in a way of its own.

An entry's value is then a mark and what `Disk.store` has returned, (size, mode, filename, value), and its key what
`Disk.put` has. A cache that was once opened so is always read so, whatever its Disk: they share what is stored. And
what was stored before that goes through `Disk.fetch` as if Disk had stored it. What is always true: a file is written
before the entry that names it is committed, and removed after the commit that drops that name; what a transaction that
is undone has written is removed with it. So a process that is killed may leave a file that nobody names, and never an
entry without its file.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.disk import dump_value
from fastcache.diskcache.settings import ENOVAL, MODE_PICKLE, MODE_RAW
from fastcache.engine.mapping import now_of
from fastcache.engine.sqlite import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastcache.diskcache.disk import Disk
    from fastcache.diskcache.entries import Entries

__all__ = ["DISK_VALUES", "Custom", "with_extras"]

# Stored once there may be values with the mark.
DISK_VALUES = "disk_values"
_MARK = "\x00fastcache.diskcache.Disk"
_ABSENT = object()
_DISK_BYTES = "disk_bytes"
_AT_ONCE = 1000
_MOST = (1 << 63) - 1
# In ms: what expires at all does so by then.
_LATER_THAN_ALL = 1 << 62


_RAW = frozenset((str, bytes, int, float))


class _Files(threading.local):
    """What the open transaction of a thread has written, and what is to go when it is committed."""

    def __init__(self) -> None:
        self.depth = 0
        self.new: list[str] = []
        self.old: list[str] = []


class Custom:
    """The entries of a cache by way of a Disk. Keys are those of the engine, but where they are called ``given``."""

    def __init__(self, entries: Entries, disk: Disk) -> None:
        self._entries = entries
        self._disk = disk
        self._files = _Files()

    # -- keys

    def encode(self, given: Any) -> Any:
        """The engine's key of a key."""
        stored, raw = self._disk.put(given)
        if isinstance(stored, (memoryview, bytearray)):
            stored = bytes(stored)
        return stored if raw else (stored,)

    def decode(self, key: Any) -> Any:
        """The key of an engine's key."""
        return self._disk.get(key[0], False) if type(key) is tuple else self._disk.get(key, True)

    # -- transactions

    @contextmanager
    def transact(self) -> Iterator[None]:
        """A transaction, with the files of its entries."""
        files = self._files
        begun, dropped = len(files.new), len(files.old)
        files.depth += 1
        try:
            with self._entries.transact():
                yield
        except BaseException:
            undone = files.new[begun:]
            del files.new[begun:], files.old[dropped:]
            self._remove(undone)
            raise
        finally:
            files.depth -= 1
        if files.depth == 0:
            old, files.old, files.new = files.old, [], []
            self._remove(old)

    def _remove(self, names: list[str]) -> None:
        for name in names:
            self._disk.remove(name)

    def forget(self, values: list[Any]) -> None:
        """Inside ``transact``: these values were removed."""
        size = 0
        for value in values:
            filename = _file_of(value)
            if filename is not None:
                size += value[1]
                self._files.old.append(filename)
        if size:
            self._count(-size)

    def _count(self, size: int) -> None:
        self._entries.store.query(sql.PUT_META, (_DISK_BYTES, max(0, self.file_bytes() + size)))

    def file_bytes(self) -> int:
        """Bytes of all files that the Disk has written."""
        found = self._entries.store.stored_settings().get(_DISK_BYTES, 0)
        return found if isinstance(found, int) else 0

    # -- entries

    def put(
        self, key: Any, given: Any, value: Any, expire: float | None, read: bool, tag: Any, only_if_absent: bool
    ) -> bool:
        """Store a value."""
        with self.transact():
            self.expire()
            before = self._entries.get(key, _ABSENT)
            if only_if_absent and before is not _ABSENT:
                return False
            self._entries.set(key, self._store(value, read, given), expire, tag=tag)
            self.forget([before])
        return True

    def expire(self) -> None:
        """Remove what has expired, which nobody would find under its key."""
        while self._entries.store.has_expired() and self.cull(_AT_ONCE, int(time() * 1000), False):
            pass

    def _store(self, value: Any, read: bool, given: Any) -> tuple[Any, ...]:
        size, mode, filename, kept = self._disk.store(value, read, key=given)
        if filename is not None:
            self._files.new.append(filename)
            self._count(size)
        if isinstance(kept, (memoryview, bytearray)):
            kept = bytes(kept)
        return _MARK, size, mode, filename, kept

    def _fetch(self, stored: Any, read: bool) -> Any:
        """The value; ENOVAL if its file is gone."""
        if _is_marked(stored):
            _, _, mode, filename, kept = stored
        elif type(stored) in _RAW:
            mode, filename, kept = MODE_RAW, None, stored
        else:
            mode, filename = MODE_PICKLE, None
            kept = dump_value(self._entries.serializer, stored, self._disk.pickle_protocol)
        try:
            return self._disk.fetch(mode, filename, kept, read)
        except FileNotFoundError:
            return ENOVAL

    def get(self, key: Any, default: Any, read: bool, expire_time: bool, tag: bool) -> Any:
        """A value, with extras, or the default with Nones."""
        # A file that is replaced meanwhile is looked for again.
        for _ in range(10):
            stored, expires, label = self._entries.get(key, _ABSENT, expire_time=True, tag=True)
            if stored is _ABSENT:
                break
            value = self._fetch(stored, read)
            if value is not ENOVAL:
                return with_extras(value, expires, label, expire_time, tag)
        return with_extras(default, None, None, expire_time, tag)

    def pop(self, key: Any, default: Any, expire_time: bool, tag: bool) -> Any:
        """The same of an entry that is removed."""
        with self.transact():
            found = self.get(key, ENOVAL, False, True, True)
            self.delete(key)
        if found[0] is ENOVAL:
            return with_extras(default, None, None, expire_time, tag)
        value, expires, label = found
        return with_extras(value, expires, label, expire_time, tag)

    def delete(self, key: Any) -> bool:
        """Remove an entry; returns whether there was one."""
        with self.transact():
            stored = self._entries.pop(key, _ABSENT)
            self.forget([stored])
        return stored is not _ABSENT

    def clear(self) -> int:
        """Remove all; returns how many."""
        with self.transact():
            count = self.cull(_MOST, _LATER_THAN_ALL, False)
            return count + sum(self.delete(key) for key in list(self._entries))

    def evict(self, label: Any) -> int:
        """Remove what carries a tag; returns how many."""
        with self.transact():
            return sum(
                self.delete(key) for key in list(self._entries) if self._entries.get(key, None, tag=True)[1] == label
            )

    def cull(self, most: int, now: int | None, by_policy: bool) -> int:
        """As of Store.cull, with the files."""
        with self.transact():
            values = self._entries.store.cull(most, now, by_policy, True)
            self.forget(values)
        return len(values)

    def incr(self, key: Any, given: Any, delta: float, default: float | None) -> Any:
        """Add to a number."""
        with self.transact():
            found, expires, label = self._entries.get(key, _ABSENT, expire_time=True, tag=True)
            if found is _ABSENT:
                if default is None:
                    raise KeyError(given)
                total = default + delta
                self.put(key, given, total, None, False, None, False)
            else:
                total = self._fetch(found, False) + delta
                self._entries.set(key, self._store(total, False, given), tag=label)
                self.forget([found])
                if expires is not None:
                    self._entries.touch(key, expires - now_of(self._entries, key))
        return total

    # -- queues, whose keys are stored as they are

    def push(self, value: Any, prefix: str | None, side: Any, expire: float | None, read: bool, tag: Any) -> Any:
        """As of Cache.push."""
        with self.transact():
            return self._entries.push(self._store(value, read, ENOVAL), prefix, side, expire, tag=tag)

    def pull(self, prefix: str | None, side: Any) -> Any:
        """(key, value, expire time, tag) of what is removed, or None."""
        while True:
            with self.transact():
                found = self._entries.pull(prefix, None, side, expire_time=True, tag=True)
                if found[0] is None:
                    return None
                (key, stored), expires, label = found
                self.forget([stored])
                value = self._fetch(stored, False)
            if value is not ENOVAL:
                return key, value, expires, label

    def peek(self, prefix: str | None, side: Any) -> Any:
        """The same of what stays."""
        while True:
            found = self._entries.peek(prefix, None, side, expire_time=True, tag=True)
            if found[0] is None:
                return None
            (key, stored), expires, label = found
            value = self._fetch(stored, False)
            if value is not ENOVAL:
                return key, value, expires, label
            self.delete(key)

    def peekitem(self, last: bool) -> Any:
        """(given key, value, expire time, tag) of the newest or oldest entry."""
        while True:
            (key, stored), expires, label = self._entries.peekitem(last, expire_time=True, tag=True)
            value = self._fetch(stored, False)
            if value is not ENOVAL:
                return self.decode(key), value, expires, label
            self.delete(key)

    def files(self, fix: bool) -> tuple[set[str], list[str]]:
        """The names of the files of entries, and those among them that are not there; a fix removes their entries."""
        names, missing = set(), []
        for key in list(self._entries):
            stored = self._entries.get(key)
            filename = _file_of(stored)
            if filename is not None:
                names.add(filename)
                if self._fetch(stored, False) is ENOVAL:
                    missing.append(filename)
                    if fix:
                        self.delete(key)
        return names, missing


def _is_marked(stored: Any) -> bool:
    return type(stored) is tuple and len(stored) == 5 and stored[0] == _MARK


def _file_of(stored: Any) -> str | None:
    """The name of the file that a value lies in."""
    return stored[3] if _is_marked(stored) else None


def with_extras(value: Any, expires: Any, label: Any, expire_time: bool, tag: bool) -> Any:
    """A value, and in a tuple with it the extras that are asked for, if any."""
    if not (expire_time or tag):
        return value
    return (value, *([expires] if expire_time else []), *([label] if tag else []))
