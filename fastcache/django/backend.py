"""FastCache: a cache as a backend of Django's.

What is always true here:

- **A backend is no more than a face.** Django makes one for each alias and thread (or each request, under ASGI), and
  closes them all after every request. So what they use is opened once in a process, whoever asks for it (opening.py),
  and ``close`` does nothing.
- **Keys are what ``make_key`` returns**: whatever has a key, a lock and a memoized function too, is apart from that of
  another prefix and version.
- **What cannot be decoded is a miss.** Classes move from one release of a site to the next, and secrets are renewed:
  that must cost a computation, not the page.
"""

# Django has no types of its own, and whoever checks types needs no Django:
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import inspect
import logging
import time
from itertools import islice

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, MEMCACHE_MAX_KEY_LENGTH, BaseCache

from fastcache.django.errors import NotPicklableError
from fastcache.django.opening import check_location, check_options, check_whole, find_opened, open_once
from fastcache.errors import DecodeError, EncodeError, TransactionError, UntrustedValueError
from fastcache.fanout import FanoutCache
from fastcache.memoize.names import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta
    from functools import cached_property
    from typing import Any, TypeAlias

    from fastcache.cache import Cache
    from fastcache.engine.database.transaction import Transaction
    from fastcache.sync.locks import Lock

    _Seconds: TypeAlias = float | timedelta | None
else:
    # Python's own takes a lock until Python 3.12, which a child would inherit held.
    from django.utils.functional import cached_property

__all__ = ["FastCache"]

_MISSING = object()
_UNKNOWN = object()
_UNDECODABLE = (DecodeError, UntrustedValueError)

_logger = logging.getLogger("fastcache")


class FastCache(BaseCache):  # type: ignore[misc]  # Django ships no types
    """A backend of Django's cache in a directory, shared by all threads and processes of a site.

    It does what Django's documentation says of a backend, and what a Cache does beside that: tags, locks, transactions,
    memoized functions. ``incr``, ``add`` and ``get_or_set`` are atomic; of all who miss a key in ``get_or_set``, one
    computes. A timeout of None is for ever, one of 0 has expired. A get in a coroutine (``aget`` and its kin) is
    answered there and then if this process remembers the entry, and from another thread otherwise.

    ::

        CACHES = {
            "default": {
                "BACKEND": "fastcache.django.FastCache",
                "LOCATION": "/var/cache/site",
                "OPTIONS": {"max_size": 2_000_000_000, "shards": 4},
            }
        }

    Args:
        location: ``LOCATION``, the directory; see Cache. It is opened when it is first used, once in each process,
            and made anew if it is removed.
        params: the other settings. TIMEOUT, KEY_PREFIX, VERSION and KEY_FUNCTION are Django's. OPTIONS are the
            arguments of a Cache by their names, or with ``shards`` those of a FanoutCache. ``serializer``,
            ``on_evict``, ``timer`` and what is listed in ``safe_types`` may also be given by dotted paths, a serializer
            by that of its class. ``secret`` is by default FASTCACHE_SECRET of the environment, or else Django's
            SECRET_KEY, if it has 16 bytes, so that accounts of one site can share a directory. Of Django's own there
            are

            - MAX_ENTRIES: how many entries there may be (int). A new one that would be too many first has others
              removed. None, the default, sets no limit; ``max_size`` is one in bytes, which costs less.
            - CULL_FREQUENCY: one of how many is removed then (int, 3 by default): the oldest, or from ``shards`` some
              of all ages. 0 removes all.

    Raises:
        ImproperlyConfigured: LOCATION is no path, or an option is none that there is.

    >>> import tempfile
    >>> from fastcache.django import FastCache
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     cache = FastCache(directory, {"KEY_PREFIX": "site"})
    ...     cache.set("answer", 42, timeout=60, tag="numbers")
    ...     cache.incr("answer"), cache.get("answer", version=2), cache.evict_tag("numbers")
    (43, None, 1)
    """

    def __init__(self, location: str | os.PathLike[str], params: dict[str, Any]) -> None:
        super().__init__(params)
        options = dict(params.get("OPTIONS") or {})
        limit = params.get("max_entries", options.pop("MAX_ENTRIES", None))
        self._max_entries: int | None = None if limit is None else check_whole("MAX_ENTRIES", limit)
        frequency = params.get("cull_frequency", options.pop("CULL_FREQUENCY", None))
        self._cull_frequency: int = 3 if frequency is None else check_whole("CULL_FREQUENCY", frequency, least=0)
        self._directory = check_location(location)
        self._options = check_options(options)

    @cached_property
    def cache(self) -> Cache | FanoutCache:
        """The Cache, or FanoutCache, in which all this lies, for what a backend has no method for. The keys there are
        those of ``make_key``."""
        return open_once(self._directory, self._options)

    # -- keys and timeouts ---------------------------------------------------------------------------------------

    def validate_key(self, key: str) -> None:
        """Warn of a key that memcached would not take (CacheKeyWarning)."""
        # Few keys have anything that might be warned of, and looking takes Django longer than a get.
        if len(key) > MEMCACHE_MAX_KEY_LENGTH or " " in key or not key.isprintable():
            super().validate_key(key)

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> _Seconds:
        """For how many seconds something is stored, if it is with this timeout; None for ever."""
        expire: _Seconds = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return expire

    # -- one entry -----------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """The value of a key, or ``default``; None that was stored is a value."""
        return self._find(self.make_and_validate_key(key, version), default)

    def set(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> None:
        """Store a value, whatever was there.

        Args:
            timeout: seconds (int, float) or a timedelta; None for ever.
            tag: str, bytes, int or float, for ``evict_tag``.
        Raises:
            NotPicklableError: (EncodeError, pickle.PicklingError) the value cannot be stored; there is still what was
                there.
        """
        made = self.make_and_validate_key(key, version)
        if self._max_entries is not None:
            self._make_room(made, self._max_entries)
        try:
            self.cache.set(made, value, self.get_backend_timeout(timeout), tag=tag)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error

    def add(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> bool:
        """Store a value only if there is none, atomically; returns whether it was stored. See ``set``."""
        made = self.make_and_validate_key(key, version)
        if self._max_entries is not None:
            self._make_room(made, self._max_entries)
        try:
            return self.cache.add(made, value, self.get_backend_timeout(timeout), tag=tag)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error

    def touch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give an entry a new timeout, counted from now; returns whether there is one."""
        return self.cache.touch(self.make_and_validate_key(key, version), self.get_backend_timeout(timeout))

    def delete(self, key: str, version: int | None = None) -> bool:
        """Remove an entry; returns whether there was one."""
        return self.cache.delete(self.make_and_validate_key(key, version))

    def has_key(self, key: str, version: int | None = None) -> bool:
        """Whether there is an entry."""
        return self.make_and_validate_key(key, version) in self.cache

    def incr(self, key: str, delta: float = 1, version: int | None = None) -> Any:
        """Add to the number of a key, atomically, and return the sum; when it expires stays.

        Raises:
            ValueError: there is no entry.
            TypeError: it is no number: None, say.
        """
        try:
            return self.cache.incr(self.make_and_validate_key(key, version), delta, None)
        except KeyError:
            raise _not_found(key) from None

    def get_or_set(
        self, key: str, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> Any:
        """The value of a key; if there is none, ``default``, or what it returns if it can be called, is stored first.

        Of all threads and processes that miss a key at the same time, one calls; the others wait for what it stores;
        see Cache.get_or_set.
        """
        made = self.make_and_validate_key(key, version)
        found = self._find(made, _MISSING)
        if found is not _MISSING:
            return found
        if self._max_entries is not None:
            self._make_room(made, self._max_entries)
        factory = default if callable(default) else lambda: default
        try:
            return self.cache.get_or_set(made, factory, self.get_backend_timeout(timeout), tag=tag)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error

    def incr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Move an entry to the version that is ``delta`` further, with its expiry and tag; returns that version.

        In one transaction, unless there are ``shards``.

        Raises:
            ValueError: there is no entry.
        """
        if version is None:
            version = self.version
        old, new = (self.make_and_validate_key(key, each) for each in (version, version + delta))
        if isinstance(self.cache, FanoutCache):
            self._move(key, old, new)
        else:
            with self.cache.transact():
                self._move(key, old, new)
        return int(version + delta)

    def _move(self, key: str, old: str, new: str) -> None:
        """Give an entry another key."""
        try:
            value, expire_time, tag = self.cache.get(old, _MISSING, expire_time=True, tag=True)
        except _UNDECODABLE as error:
            _tell(self._directory, error)
            value = _MISSING
        if value is _MISSING:
            raise _not_found(key)
        now = self._options.get("timer") or time.time
        self.cache.set(new, value, None if expire_time is None else expire_time - now(), tag=tag)
        if new != old:
            self.cache.delete(old)

    def _find(self, made: str, default: Any) -> Any:
        try:
            return self.cache.get(made, default)
        except _UNDECODABLE as error:
            _tell(self._directory, error)
            return default

    # -- many entries --------------------------------------------------------------------------------------------

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """The values of many keys, all of one moment; those that are not there are left out."""
        asked = {self.make_and_validate_key(key, version): key for key in keys}
        return {asked[made]: value for made, value in self.cache.get_many(asked).items()}

    def set_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> list[str]:
        """Store many values in one transaction, or one for each shard; returns the keys that could not be stored: none,
        since what cannot is an error, of which nothing is kept."""
        made = {self.make_and_validate_key(key, version): value for key, value in data.items()}
        limit = self._max_entries
        if limit is not None and len(self.cache) + len(made) > limit:
            self._cull(limit - len(made))
        try:
            self.cache.set_many(made, self.get_backend_timeout(timeout), tag=tag)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error
        if limit is not None:
            while len(self.cache) > max(limit, 0):
                self._cull(limit)
        return []

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """Remove the entries of many keys in one transaction, or one for each shard."""
        self.cache.delete_many([self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        """Remove everything in the directory, whatever its prefix and version."""
        self.cache.clear()

    def evict_tag(self, tag: Any) -> int:
        """Remove the entries that carry a tag, whatever their prefix and version; returns how many."""
        return self.cache.evict_tag(tag)

    def close(self, **kwargs: Any) -> None:
        """Do nothing: Django closes all backends after every request, and what is open serves the next one."""

    # -- MAX_ENTRIES ---------------------------------------------------------------------------------------------

    def _make_room(self, made: str, limit: int) -> None:
        """Before a key is stored: if it is one too many, cull."""
        if len(self.cache) >= limit and made not in self.cache:
            self._cull(limit)

    def _cull(self, limit: int) -> None:
        """Remove one of ``CULL_FREQUENCY`` entries, unless another process has done so since there were too many."""
        cache = self.cache
        if isinstance(cache, FanoutCache):
            if len(cache) >= limit:
                self._remove(islice(cache, None, None, self._cull_frequency or 1))
            return
        with cache.transact():
            count = len(cache)
            if count >= limit:
                self._remove(islice(cache, max(count // self._cull_frequency, 1) if self._cull_frequency else None))

    def _remove(self, keys: Iterable[Any]) -> None:
        if self._cull_frequency:
            self.cache.delete_many(list(keys))
        else:
            self.cache.clear()

    # -- what a Cache has ----------------------------------------------------------------------------------------

    def lock(
        self, key: str, expire: _Seconds = None, *, timeout: float | None = None, version: int | None = None
    ) -> Lock:
        """A lock across threads and processes, whose names are not those of entries; see fastcache.Lock.

        Args:
            expire: seconds (int, float) or a timedelta after which it is free, though nobody has released it.
            timeout: for how many seconds to wait for it; None for the cache's.
        """
        return self.cache.lock(self.make_key(key, version), expire, timeout=timeout)

    def transact(self, key: str | None = None, version: int | None = None) -> Transaction:
        """A block in which all that this thread or task does is stored at its end, or not at all; see Cache.transact.

        Args:
            key: with ``shards``, a key of the shard that it is about.
        """
        return self.cache.transact() if key is None else self.cache.transact(self.make_key(key, version))

    def memoize(
        self,
        function: Any = None,
        /,
        *,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        tag: Any = None,
        typed: bool = False,
        name: str | None = None,
        ignore: Iterable[str | int] | str | int = (),
        version_aware: bool = False,
        copy: bool = True,
    ) -> Any:
        """Decorate a function, so that its results are kept in the cache; see Cache.memoize.

        They count for MAX_ENTRIES when something else is stored. The directory is opened at once.

        Args:
            timeout: how long a result is kept, in seconds (int, float) or as a timedelta; None for ever.
            version: of the function's name in the keys.
            tag, typed, name, ignore, version_aware, copy: as there.

        >>> import tempfile
        >>> from fastcache.django import FastCache
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     cache = FastCache(directory, {})
        ...     @cache.memoize(timeout=3600)
        ...     def square(number):
        ...         return number * number
        ...     square(7), square(7), square.cache_info()
        (49, 49, CacheInfo(hits=1, misses=1))
        """

        def decorate(function: Any) -> Any:
            memoize = self.cache.memoize(
                expire=self.get_backend_timeout(timeout),
                tag=tag,
                typed=typed,
                name=self.make_key(name_of(function, name), version),
                ignore=ignore,
                version_aware=version_aware,
                copy=copy,
            )
            return memoize(function)

        return decorate if function is None else decorate(function)

    # -- in coroutines -------------------------------------------------------------------------------------------

    async def _run(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call a method where it may wait, and where what is pickled may use the site's database: as Django does it."""
        cache = self._opened()
        if cache is not None and _is_inside(cache):
            # There it would wait for the transaction of this task.
            return method(*arguments, **named)
        return await sync_to_async(method, thread_sensitive=True)(*arguments, **named)

    def _opened(self) -> Cache | FanoutCache | None:
        """The cache, unless it is yet to be opened."""
        cache: Cache | FanoutCache | None = self.__dict__.get("cache")
        if cache is None:
            cache = find_opened(self._directory, self._options)
            if cache is not None:
                self.__dict__["cache"] = cache
        return cache

    def _remembered(self, made: str, default: Any) -> Any:
        """What ``_find`` would return, or _UNKNOWN if that takes more than a look into memory."""
        cache = self._opened()
        try:
            return _UNKNOWN if cache is None else cache._find_at_once(made, default, _UNKNOWN)
        except _UNDECODABLE as error:
            _tell(self._directory, error)
            return default

    async def aget(self, key: str, default: Any = None, version: int | None = None) -> Any:
        """The same as ``get``."""
        made = self.make_and_validate_key(key, version)
        found = self._remembered(made, default)
        return await self._run(self._find, made, default) if found is _UNKNOWN else found

    async def aset(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> None:
        """The same as ``set``."""
        await self._run(self.set, key, value, timeout, version, tag=tag)

    async def aadd(
        self, key: str, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> bool:
        """The same as ``add``."""
        added: bool = await self._run(self.add, key, value, timeout, version, tag=tag)
        return added

    async def atouch(self, key: str, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """The same as ``touch``."""
        touched: bool = await self._run(self.touch, key, timeout, version)
        return touched

    async def adelete(self, key: str, version: int | None = None) -> bool:
        """The same as ``delete``."""
        deleted: bool = await self._run(self.delete, key, version)
        return deleted

    async def ahas_key(self, key: str, version: int | None = None) -> bool:
        """The same as ``has_key``."""
        made = self.make_and_validate_key(key, version)
        cache = self._opened()
        there: Any = _UNKNOWN if cache is None else cache._has_at_once(made, _UNKNOWN)
        return bool(await self._run(lambda: made in self.cache) if there is _UNKNOWN else there)

    async def aincr(self, key: str, delta: float = 1, version: int | None = None) -> Any:
        """The same as ``incr``."""
        return await self._run(self.incr, key, delta, version)

    async def aget_or_set(
        self, key: str, default: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> Any:
        """The same as ``get_or_set``, but that ``default`` is called in this coroutine, and awaited if it is to be.
        Others who miss the key do not wait for it."""
        found = await self.aget(key, _MISSING, version)
        if found is not _MISSING:
            return found
        value = default() if callable(default) else default
        if inspect.isawaitable(value):
            value = await value
        return await self._run(self.get_or_set, key, lambda: value, timeout, version, tag=tag)

    async def aincr_version(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """The same as ``incr_version``."""
        moved: int = await self._run(self.incr_version, key, delta, version)
        return moved

    async def aget_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        """The same as ``get_many``."""
        keys = list(keys)
        found = {key: self._remembered(self.make_and_validate_key(key, version), _MISSING) for key in keys}
        if any(value is _UNKNOWN for value in found.values()):
            # All of them, so that they are of one moment.
            many: dict[str, Any] = await self._run(self.get_many, keys, version)
            return many
        return {key: value for key, value in found.items() if value is not _MISSING}

    async def aset_many(
        self, data: Mapping[str, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, *, tag: Any = None
    ) -> list[str]:
        """The same as ``set_many``."""
        failed: list[str] = await self._run(self.set_many, data, timeout, version, tag=tag)
        return failed

    async def adelete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        """The same as ``delete_many``."""
        await self._run(self.delete_many, keys, version)

    async def aclear(self) -> None:
        """The same as ``clear``."""
        await self._run(self.clear)

    async def aevict_tag(self, tag: Any) -> int:
        """The same as ``evict_tag``."""
        evicted: int = await self._run(self.evict_tag, tag)
        return evicted


def _is_inside(cache: Cache | FanoutCache) -> bool:
    """Whether this task, or thread, is inside a transaction."""
    try:
        return any(store.held_by_me() for store in cache.stores.all())
    except TransactionError:
        # Of a shard, which has nothing to do with the others.
        return True


def _not_found(key: str) -> ValueError:
    return ValueError(f"Key {key!r} not found")


def _tell(directory: str, error: Exception) -> None:
    _logger.warning("%r: a stored value counts as missing: %s", directory, error)
