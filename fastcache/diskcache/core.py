"""Cache, as diskcache has it: its arguments in their places, its defaults, its settings, and what it returns."""

from __future__ import annotations

import time
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.checking import strangers, warnings_of
from fastcache.diskcache.configured import Configured
from fastcache.diskcache.custom import with_extras
from fastcache.diskcache.disk import Disk, JSONDisk, chunks, pickled_key
from fastcache.diskcache.errors import EmptyDirWarning, Timeout, UnknownFileWarning
from fastcache.diskcache.memoizing import args_to_key, full_name, memoize
from fastcache.diskcache.settings import (
    DBNAME,
    DEFAULT_SETTINGS,
    ENOVAL,
    EVICTION_POLICY,
    METADATA,
    MODE_BINARY,
    MODE_NONE,
    MODE_PICKLE,
    MODE_RAW,
    MODE_TEXT,
    POLICIES,
    UNKNOWN,
    Constant,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

    _Side = Literal["front", "back"]

__all__ = [
    "DBNAME",
    "DEFAULT_SETTINGS",
    "ENOVAL",
    "EVICTION_POLICY",
    "METADATA",
    "MODE_BINARY",
    "MODE_NONE",
    "MODE_PICKLE",
    "MODE_RAW",
    "MODE_TEXT",
    "UNKNOWN",
    "Cache",
    "Constant",
    "Disk",
    "EmptyDirWarning",
    "JSONDisk",
    "Timeout",
    "UnknownFileWarning",
    "args_to_key",
    "full_name",
    "memoize",
]

# Of what is left to the limit, this part may be written before it is looked at again.
_LOOK_SHARE = 8
_CULLED_AT_ONCE = 1000


class Cache(Configured):
    """A cache on disk with diskcache's face.

    Args:
        directory: where it lies (str, os.PathLike), ``~`` and ``$NAME`` as in a shell; None for a new temporary one,
            which stays when the cache is closed.
        timeout: how long to wait for another writer, in seconds.
        disk: Disk, or a class derived from it that stores keys and values in a way of its own, which is slower.
        migrate: "on-open" to convert a directory of diskcache's when it is opened; what was there stays beside it, in
            a directory with ".diskcache" at the end of its name. None for what ``install`` was called with: as a rule
            such a directory is refused.
        unsafe: whether to load whatever is stored, which may run code, and sign nothing; None for what ``install`` was
            called with, as a rule False. See PickleSerializer.
        memory: bytes of what was read that may stay in this process (int); None for as many as in a Cache of fastcache.
        **settings: those of DEFAULT_SETTINGS, and any others. They are stored; what is not given is what is stored.
    Raises:
        NotACacheError: the directory is diskcache's.
        ValueError: the disk is no Disk, or a setting has a value that it cannot have.

    >>> from fastcache.diskcache import Cache
    >>> with Cache() as cache:
    ...     cache.set("k", "v", expire=60, tag="t"), cache.get("k", tag=True), cache.incr("n", 2), len(cache)
    (True, ('v', 't'), 2, 2)
    """

    def __init__(
        self,
        directory: Any = None,
        timeout: float = 60,
        disk: type[Disk] = Disk,
        *,
        migrate: Literal["on-open"] | None = None,
        unsafe: bool | None = None,
        memory: int | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(directory, timeout, disk, migrate, unsafe, memory, settings)

    # -- transactions

    @contextmanager
    def transact(self, retry: bool = False) -> Iterator[None]:
        """A context manager: what is done inside is committed together, or not at all if an exception leaves it.

        Args:
            retry: whether to wait for longer than ``timeout`` for another writer.
        Raises:
            Timeout: another writer did not finish in time.
        """
        with self._begin(retry):
            yield

    def _begin(self, retry: bool) -> Any:
        """A transaction that can be entered, or has waited for it."""
        if not retry:
            return self._block()
        return _Patient(self._block)

    def _block(self) -> Any:
        return self._entries.transact() if self._custom is None else self._custom.transact()

    # -- keys

    def _encode(self, key: Any) -> Any:
        if self._custom is not None:
            return self._custom.encode(key)
        return (pickled_key(self._entries.serializer, key),)

    def _decode(self, key: Any) -> Any:
        if self._custom is not None:
            return self._custom.decode(key)
        return self._entries.serializer.loads(key[0]) if type(key) is tuple else key

    # -- writing

    def set(
        self,
        key: Any,
        value: Any,
        expire: float | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = False,
    ) -> bool:
        """Store a value; returns True.

        Args:
            key: anything that can be pickled. str, bytes, int and float are keys as they are, and 1.0 is 1; all others
                are one key if they are pickled alike.
            value: anything that can be pickled; with ``read`` a file, open for reading (binary), whose content is
                stored.
            expire: seconds until it expires; None for never.
            tag: str, bytes, int or float, for ``evict``.
            retry: whether to wait for longer than ``timeout`` for another writer.
        Raises:
            Timeout: another writer did not finish in time.
        """
        return self._put(key, value, expire, read, tag, retry, False)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._put(key, value, None, False, None, True, False)

    def add(
        self,
        key: Any,
        value: Any,
        expire: float | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = False,
    ) -> bool:
        """Store a value only if there is none; returns whether it was stored. Arguments as of ``set``."""
        return self._put(key, value, expire, read, tag, retry, True)

    def _put(
        self, given: Any, value: Any, expire: float | None, read: bool, tag: Any, retry: bool, only_if_absent: bool
    ) -> bool:
        key = given if type(given) in self._kept else self._encode(given)
        if read and self._custom is None:
            # Read once, however often it is tried.
            value = b"".join(chunks(value))
        while True:
            try:
                if self._custom is not None:
                    done = self._custom.put(key, given, value, expire, read, tag, only_if_absent)
                elif read:
                    done = self._store.put_in_file(key, value, expire, tag, only_if_absent)
                elif only_if_absent:
                    done = self._entries.add(key, value, expire, tag=tag)
                else:
                    done = self._entries.set(key, value, expire, tag=tag)
                break
            except Timeout:
                if not retry:
                    raise
        self._cull()
        return done

    def touch(self, key: Any, expire: float | None = None, retry: bool = False) -> bool:
        """Give an entry another expiry, in seconds from now or None; returns whether there is one."""
        if type(key) not in self._kept:
            key = self._encode(key)
        done: bool = self._try(retry, self._entries.touch, key, expire)
        return done

    def incr(self, key: Any, delta: float = 1, default: float | None = 0, retry: bool = False) -> Any:
        """Add to the number of a key, which begins with ``default``; returns the sum.

        Raises:
            KeyError: the key is absent, and the default is None.
            Timeout: another writer did not finish in time.
        """
        if self._custom is not None:
            total = self._try(retry, self._custom.incr, self._encode(key), key, delta, default)
        else:
            total = self._try(
                retry, self._entries.incr, key if type(key) in self._kept else self._encode(key), delta, default
            )
        self._cull()
        return total

    def decr(self, key: Any, delta: float = 1, default: float | None = 0, retry: bool = False) -> Any:
        """Subtract from the number of a key; see ``incr``."""
        return self.incr(key, -delta, default, retry)

    @staticmethod
    def _try(retry: bool, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call what may raise Timeout, again and again if told so."""
        while True:
            try:
                return method(*arguments)
            except Timeout:
                if not retry:
                    raise

    # -- reading

    def get(
        self,
        key: Any,
        default: Any = None,
        read: bool = False,
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = False,
    ) -> Any:
        """The value of a key, or the default.

        Args:
            read: whether bytes that lie in a file are returned as that, open for reading.
            expire_time, tag: whether to return a tuple of the value, when it expires (seconds since the epoch, or None)
                and its tag.
            retry: of no effect: reading waits for nobody.
        """
        if type(key) not in self._kept:
            key = self._encode(key)
        if self._custom is None and not read:
            if expire_time or tag:
                return self._entries.get(key, default, expire_time=expire_time, tag=tag)
            return self._entries.get(key, default)
        if self._custom is not None:
            return self._custom.get(key, default, read, expire_time, tag)
        return self._open(key, default, expire_time, tag)

    def _open(self, key: Any, default: Any, expire_time: bool, tag: bool) -> Any:
        found = self._store.open_value(key)
        value = default if found is None else found[0] if isinstance(found, tuple) else found
        if not (expire_time or tag):
            return value
        hits, misses = self._store.hits, self._store.misses
        extras = self._entries.get(key, None, expire_time=expire_time, tag=tag)[1:]
        self._leave_out(hits, misses)
        return (value, *extras)

    def __getitem__(self, key: Any) -> Any:
        value = self.get(key, ENOVAL)
        if value is ENOVAL:
            raise KeyError(key)
        return value

    def read(self, key: Any, retry: bool = False) -> Any:
        """The value of a key as a file, open for reading, if it is bytes and lies in one; else as it is.

        Raises:
            KeyError: it is absent.
        """
        found = self.get(key, ENOVAL, read=True, retry=retry)
        if found is ENOVAL:
            raise KeyError(key)
        return found

    def __contains__(self, key: Any) -> bool:
        return (key if type(key) in self._kept else self._encode(key)) in self._entries

    # -- removing

    def pop(
        self, key: Any, default: Any = None, expire_time: bool = False, tag: bool = False, retry: bool = False
    ) -> Any:
        """Remove a key and return its value, or the default; with extras as of ``get``."""
        if type(key) not in self._kept:
            key = self._encode(key)
        hits, misses = self._store.hits, self._store.misses
        if self._custom is not None:
            found = self._try(retry, self._custom.pop, key, default, expire_time, tag)
        else:
            found = self._try(retry, lambda: self._entries.pop(key, default, expire_time=expire_time, tag=tag))
        self._leave_out(hits, misses)
        return found

    def __delitem__(self, key: Any) -> None:
        if not self.delete(key, retry=True):
            raise KeyError(key)

    def delete(self, key: Any, retry: bool = False) -> bool:
        """Remove a key; returns whether it was there."""
        if type(key) not in self._kept:
            key = self._encode(key)
        done: bool = self._try(retry, self._entries.delete if self._custom is None else self._custom.delete, key)
        return done

    # -- queues

    def push(
        self,
        value: Any,
        prefix: str | None = None,
        side: _Side = "back",
        expire: float | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = False,
    ) -> Any:
        """Store a value at the end of a queue; returns its key: an int, or for a prefix a str."""
        if self._custom is not None:
            key = self._try(retry, self._custom.push, value, prefix, side, expire, read, tag)
        else:
            if read:
                value = b"".join(chunks(value))
            key = self._try(retry, lambda: self._entries.push(value, prefix, side, expire, tag=tag))
        self._cull()
        return key

    def pull(
        self,
        prefix: str | None = None,
        default: Any = (None, None),
        side: _Side = "front",
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = False,
    ) -> Any:
        """Remove and return the (key, value) pair at the front of a queue, or the default; with extras, a tuple of
        that and these."""
        return self._at_end("pull", prefix, default, side, expire_time, tag, retry)

    def peek(
        self,
        prefix: str | None = None,
        default: Any = (None, None),
        side: _Side = "front",
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = False,
    ) -> Any:
        """What ``pull`` would return, which stays."""
        return self._at_end("peek", prefix, default, side, expire_time, tag, retry)

    def _at_end(
        self, method: str, prefix: str | None, default: Any, side: Any, expire_time: bool, tag: bool, retry: bool
    ) -> Any:
        self._remove_expired()
        hits, misses = self._store.hits, self._store.misses
        if self._custom is not None:
            found = self._try(retry, getattr(self._custom, method), prefix, side)
            pair, expires, label = (None, None, None) if found is None else (found[:2], *found[2:])
        else:
            call = getattr(self._entries, method)
            pair, expires, label = self._try(retry, lambda: call(prefix, None, side, expire_time=True, tag=True))
        self._leave_out(hits, misses)
        return with_extras(default if pair is None else pair, expires, label, expire_time, tag)

    def peekitem(self, last: bool = True, expire_time: bool = False, tag: bool = False, retry: bool = False) -> Any:
        """The newest (key, value) pair, or the oldest; with extras as of ``pull``.

        Raises:
            KeyError: there is none.
        """
        self._remove_expired()
        hits, misses = self._store.hits, self._store.misses
        try:
            if self._custom is not None:
                key, value, expires, label = self._custom.peekitem(last)
            else:
                (key, value), expires, label = self._entries.peekitem(last, expire_time=True, tag=True)
                key = self._decode(key)
        except KeyError:
            raise KeyError("dictionary is empty") from None
        self._leave_out(hits, misses)
        return with_extras((key, value), expires, label, expire_time, tag)

    # -- what is too much, or out of date

    def _cull(self) -> None:
        """After a write: remove some of what has expired, or of what goes first if there is too much."""
        store = self._store
        expired = store.has_expired()
        if not expired and store.written < self._look_at:
            return
        left: int = self.cull_limit
        if not left:
            return
        if expired:
            left -= self._drop(left, int(time.time() * 1000), False)
        if left <= 0 or store.written < self._look_at:
            return
        room = self.size_limit - self.volume()
        if room < 0:
            self._drop(left, None, True)
        else:
            self._look_at = store.written + room // _LOOK_SHARE

    def _drop(self, most: int, now: int | None, by_policy: bool) -> int:
        if self._custom is not None:
            return self._custom.cull(most, now, by_policy)
        return len(self._store.cull(most, now, by_policy))

    def _remove_expired(self) -> None:
        while self._store.has_expired() and self._drop(_CULLED_AT_ONCE, int(time.time() * 1000), False):
            pass

    def expire(self, now: float | None = None, retry: bool = False) -> int:
        """Remove what has expired, before ``now`` in seconds since the epoch if that is given; returns how many
        entries."""
        # In ms, of which the last one is still before.
        moment = int(now * 1000) - 1 if now else int(time.time() * 1000)
        count = 0
        try:
            while done := self._try(retry, self._drop, _CULLED_AT_ONCE, moment, False):
                count += done
        except Timeout as error:
            raise Timeout(count) from error
        return count

    def cull(self, retry: bool = False) -> int:
        """Remove what has expired, and then what goes first until the volume is within ``size_limit``; returns how many
        entries. With the policy "none", 0."""
        count = self.expire(retry=retry)
        if POLICIES[self.eviction_policy] == "none":
            return 0
        try:
            while (volume := self.volume()) > self.size_limit:
                # Half of what they would be if all were of the same size.
                each = max(1, volume // max(1, len(self._entries)))
                most = min(max(10, (volume - self.size_limit) // each // 2), _CULLED_AT_ONCE)
                done = self._try(retry, self._drop, most, None, True)
                if not done:
                    break
                count += done
        except Timeout as error:
            raise Timeout(count) from error
        self._try(retry, self._entries.vacuum)
        return count

    def evict(self, tag: Any, retry: bool = False) -> int:
        """Remove what carries a tag; returns how many entries."""
        return self._all(retry, self._entries.evict_tag if self._custom is None else self._custom.evict, tag)

    def clear(self, retry: bool = False) -> int:
        """Remove everything; returns how many entries."""
        if self._custom is not None:
            return self._all(retry, self._custom.clear)
        count = len(self._entries)
        self._all(retry, self._entries.clear)
        return count

    def _all(self, retry: bool, method: Callable[..., int], *arguments: Any) -> int:
        try:
            count: int = self._try(retry, method, *arguments)
        except Timeout as error:
            # All of them, or none.
            raise Timeout(0) from error
        return count

    def create_tag_index(self) -> None:
        """Set ``tag_index``: entries are found by their tags with or without it."""
        self.reset("tag_index", 1)

    def drop_tag_index(self) -> None:
        """Set ``tag_index`` to 0, which changes nothing else."""
        self.reset("tag_index", 0)

    # -- all of it

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the keys in order of insertion, those that have expired, too."""
        return map(self._decode, iter(self._entries))

    def __reversed__(self) -> Iterator[Any]:
        """The same from the newest on."""
        return map(self._decode, reversed(self._entries))

    def iterkeys(self, reverse: bool = False) -> Iterator[Any]:
        """Iterate over the keys in their order: numbers, str, bytes, and what is pickled."""
        return map(self._decode, iter(self._entries.keys(reverse=reverse)))

    def __len__(self) -> int:
        """How many entries there are, those that have expired, too."""
        return len(self._entries)

    def volume(self) -> int:
        """Bytes that entries take on disk, as far as that is known."""
        used: int = self._store.used()
        return used if self._custom is None else used + self._custom.file_bytes()

    def check(self, fix: bool = False, retry: bool = False) -> list[warnings.WarningMessage]:
        """Look for damage, and repair it with ``fix``; returns a list of warnings, which is empty if all is well.

        Files and folders in the directory that are not the cache's are told, and stay.
        """
        found: list[warnings.WarningMessage] = self._try(retry, self._check, fix)
        return found

    def _check(self, fix: bool) -> list[warnings.WarningMessage]:
        result = self._entries.check(fix)
        named: set[str] = set()
        lost: list[str] = []
        # Whose Disk writes files does so in a transaction.
        with self._block():
            if self._custom is not None:
                named, lost = self._custom.files(fix)
            more = [*(f"file not found: {name}" for name in lost), *strangers(self.directory, named)]
        return warnings_of(result, more)

    memoize = memoize

    def close(self) -> None:
        """Close the files. The cache can still be used, which opens them again."""
        self._store.let_go(True)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[Any, ...]:
        return self.directory, self.timeout, type(self.disk)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]


class _Patient:
    """A transaction that is begun again and again, until it could be."""

    def __init__(self, block: Callable[[], Any]) -> None:
        self._make = block
        self._block: Any = None

    def __enter__(self) -> None:
        while True:
            self._block = self._make()
            try:
                self._block.__enter__()
                return
            except Timeout:
                pass

    def __exit__(self, *exception: Any) -> Any:
        return self._block.__exit__(*exception)
