"""FastCacheBackend: a backend for regions of dogpile.cache, and with them for SQLAlchemy's.

Its entry point makes it known as "fastcache"::

    region = dogpile.cache.make_region().configure(
        "fastcache", expiration_time=3600, arguments={"directory": "/var/cache/site"}
    )
"""

# Whoever checks types needs no dogpile:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

from dogpile.cache.api import NO_VALUE, BytesBackend, CacheMutex, CantDeserializeException

from fastcache import Cache, FanoutCache, LockError, PickleSerializer
from fastcache.errors import DecodeError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import timedelta
    from typing import Any

    from fastcache import Lock

__all__ = ["FastCacheBackend", "Mutex"]


class FastCacheBackend(BytesBackend):
    """A dogpile.cache backend in a directory that threads and processes share, whose mutexes hold among all of them.

    Values are pickled under the rules of PickleSerializer, so that nothing in the directory runs code; what cannot be
    decoded any more counts as absent. A region may have a serializer of its own.

    Args:
        arguments: a dict of

            - directory: where the cache lies; see Cache.
            - expire: seconds (int, float) or a timedelta after which an entry is removed; None for never. It should be
              longer than the region's ``expiration_time``, which is when a value is made anew.
            - lock_timeout: seconds after which a mutex is free though nobody has released it; None for never. (That of
              a process that dies is free at once.)
            - distributed_lock: whether there are mutexes among processes (bool); True by default.
            - shards, max_size, eviction, memory, timeout, journal, durability, compression, safe_types, secret and
              other arguments of a Cache, or with ``shards`` of a FanoutCache.

            dogpile's backends let arguments pass that they do not know, and so does this one.
    Raises:
        OpenError: the directory cannot be opened.

    >>> from dogpile.cache import make_region, register_backend
    >>> register_backend("example", "fastcache.integrations.dogpile", "FastCacheBackend")
    >>> region = make_region().configure("example", arguments={"directory": None})
    >>> region.get_or_create("answer", lambda: [42]), region.get("answer")
    ([42], [42])
    >>> region.backend.cache.close()
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        kind = FanoutCache if "shards" in arguments else Cache
        options = {name: arguments[name] for name in kind.__init__.__kwdefaults__ or {} if name in arguments}
        trusted = {name: options.pop(name) for name in ("safe_types", "secret") if name in options}
        self.cache = kind(arguments.get("directory"), **options)
        self._expire: float | timedelta | None = arguments.get("expire")
        self._lock_timeout: float | timedelta | None = arguments.get("lock_timeout")
        self._has_mutexes: bool = arguments.get("distributed_lock", True)
        self._pickles = PickleSerializer(**trusted)
        # What a region takes that has none of its own.
        self.serializer = self._pickles.dumps
        self.deserializer = self._load

    def _load(self, data: bytes) -> Any:
        try:
            return self._pickles.loads(data)
        except (DecodeError, UntrustedValueError) as error:
            raise CantDeserializeException(str(error)) from error

    def get_serialized(self, key: str) -> Any:
        """The bytes of a key, or NO_VALUE."""
        return self.cache.get(key, NO_VALUE)

    def get_serialized_multi(self, keys: Iterable[str]) -> list[Any]:
        """The bytes of many keys, in their order, all of one moment."""
        asked = list(keys)
        found = self.cache.get_many(asked)
        return [found.get(key, NO_VALUE) for key in asked]

    def set_serialized(self, key: str, value: bytes) -> None:
        """Store bytes."""
        self.cache.set(key, value, self._expire)

    def set_serialized_multi(self, mapping: Mapping[str, bytes]) -> None:
        """Store many, in one transaction, or one for each shard."""
        self.cache.set_many(mapping, self._expire)

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        self.cache.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        """Remove those of many keys that are there."""
        self.cache.delete_many(keys)

    def has_lock_timeout(self) -> bool:
        """Whether a mutex may be free before it is released."""
        return self._lock_timeout is not None

    def get_mutex(self, key: str) -> Mutex | None:
        """What whoever makes the value of a key holds meanwhile."""
        return Mutex(self.cache, key, self._lock_timeout) if self._has_mutexes else None


class Mutex(CacheMutex):
    """A lock of one key among threads and processes, which any thread may release.

    Args:
        cache: in whose directory it is.
        key: str.
        expire: seconds (int, float) or a timedelta after which it is free; None for never.
    """

    def __init__(self, cache: Cache | FanoutCache, key: str, expire: float | timedelta | None) -> None:
        self._cache = cache
        self._name = ("dogpile", key)
        self._expire = expire
        self._held: Lock | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Have it, or return False at once where another one has it and ``wait`` is False."""
        lock = self._cache.lock(self._name, self._expire)
        taken = lock.acquire(blocking=wait)
        if taken:
            self._held = lock
        return taken

    def release(self) -> None:
        """Let others have it."""
        lock, self._held = self._held, None
        if lock is not None:
            try:
                lock.release()
            except LockError:
                # Of another thread: dogpile's runners in the background release what their callers have acquired.
                # What nobody has any more is free.
                del lock

    def locked(self) -> bool:
        """Whether anybody has it."""
        return self._cache.lock(self._name).locked()
