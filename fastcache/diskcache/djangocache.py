"""DjangoCache: diskcache's backend for Django, over fastcache.

New sites want ``fastcache.django.FastCache``, whose methods follow Django's. This one has the methods, arguments and
settings of diskcache's class, so that a site which uses that changes one line: ``BACKEND =
"fastcache.diskcache.DjangoCache"``. Django makes a backend for each thread, or each request; those of one directory and
the same settings share a FanoutCache, which stays open until the process ends.
"""

# Django has no types of its own, and whoever checks types needs no Django:
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from fastcache.diskcache.entries import path_of
from fastcache.diskcache.fanout import FanoutCache
from fastcache.diskcache.memoizing import memoize
from fastcache.django.errors import NotPicklableError
from fastcache.django.opening import hashable
from fastcache.errors import DirectoryGoneError, EncodeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["DjangoCache"]

# What this process has opened, by directory and settings.
_opened: dict[tuple[Any, ...], FanoutCache] = {}


def _open(directory: Any, shards: int, timeout: float, settings: dict[str, Any]) -> FanoutCache:
    """The FanoutCache of a directory and settings, opened if this process has not done so yet."""
    name = (path_of(directory), shards, timeout, *sorted((each, hashable(value)) for each, value in settings.items()))
    cache = _opened.get(name)
    if cache is None or _is_gone(cache):
        _opened.pop(name, None)
        # Of threads that come here at the same time one keeps its own. No lock: a child would inherit it held.
        made = FanoutCache(directory, shards, timeout, **settings)
        cache = _opened.setdefault(name, made)
        if cache is not made:
            made.close()
    return cache


def _is_gone(cache: FanoutCache) -> bool:
    """Whether the directory is not the one that was opened: it was removed, or replaced."""
    try:
        for shard in cache._shards:
            shard._store.look()
    except DirectoryGoneError:
        return True
    return False


class DjangoCache(BaseCache):  # type: ignore[misc]  # Django ships no types
    """A backend of Django's cache with the methods of diskcache's: a FanoutCache under Django's keys.

    Args:
        directory: ``LOCATION``.
        params: the other settings. SHARDS (int, 8 by default) and DATABASE_TIMEOUT (seconds, 0.01 by default) are the
            ``shards`` and ``timeout`` of the FanoutCache, and OPTIONS its settings.
    """

    def __init__(self, directory: Any, params: dict[str, Any]) -> None:
        super().__init__(params)
        shards, timeout = params.get("SHARDS", 8), params.get("DATABASE_TIMEOUT", 0.010)
        self._cache = _open(directory, shards, timeout, params.get("OPTIONS") or {})

    @property
    def directory(self) -> str:
        """The directory of the cache (str)."""
        directory: str = self._cache.directory
        return directory

    # -- what lies in directories beside it

    def cache(self, name: str) -> Any:
        """The Cache of a name, in a directory of its own below this one."""
        return self._cache.cache(name)

    def deque(self, name: str, maxlen: int | None = None) -> Any:
        """The Deque of a name, in a directory of its own below this one."""
        return self._cache.deque(name, maxlen=maxlen)

    def index(self, name: str) -> Any:
        """The Index of a name, in a directory of its own below this one."""
        return self._cache.index(name)

    # -- entries

    def add(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = True,
    ) -> Any:
        """Store a value only if there is none, atomically; returns whether it was stored (bool). See ``set``."""
        expire = self.get_backend_timeout(timeout)
        try:
            return self._cache.add(self.make_key(key, version), value, expire, read, tag, retry)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error

    def get(
        self,
        key: Any,
        default: Any = None,
        version: int | None = None,
        read: bool = False,
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = False,
    ) -> Any:
        """The value of a key, or ``default``.

        Args:
            version: of the key (int); None for the one of the settings.
            read: whether to return an open file instead of the value.
            expire_time, tag: return also when it expires, and its tag, as a tuple.
            retry: whether to wait longer than the timeout of the database.
        """
        return self._cache.get(self.make_key(key, version), default, read, expire_time, tag, retry)

    def read(self, key: Any, version: int | None = None) -> Any:
        """The value of a key as a file that is open for reading; raises KeyError if there is none."""
        return self._cache.read(self.make_key(key, version))

    def set(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = True,
    ) -> Any:
        """Store a value, whatever was there; returns whether it was stored (bool).

        Args:
            timeout: seconds (int, float) until it expires; None for never.
            version: of the key (int); None for the one of the settings.
            read: whether the value is a file, from which the bytes to store are read.
            tag: what ``evict`` is told to remove it.
            retry: whether to wait longer than the timeout of the database, rather than to store nothing.
        Raises:
            NotPicklableError: (EncodeError, pickle.PicklingError) the value cannot be stored.
        """
        expire = self.get_backend_timeout(timeout)
        try:
            return self._cache.set(self.make_key(key, version), value, expire, read, tag, retry)
        except EncodeError as error:
            raise NotPicklableError(str(error)) from error

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None, retry: bool = True) -> Any:
        """Give an entry a new timeout, counted from now; returns whether there is one (bool)."""
        return self._cache.touch(self.make_key(key, version), self.get_backend_timeout(timeout), retry)

    def pop(
        self,
        key: Any,
        default: Any = None,
        version: int | None = None,
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = True,
    ) -> Any:
        """Remove an entry and return its value, or ``default``; with extras as in ``get``."""
        return self._cache.pop(self.make_key(key, version), default, expire_time, tag, retry)

    def delete(self, key: Any, version: int | None = None, retry: bool = True) -> Any:
        """Remove an entry; returns whether there was one (bool)."""
        return self._cache.delete(self.make_key(key, version), retry)

    def incr(
        self, key: Any, delta: float = 1, version: int | None = None, default: float | None = None, retry: bool = True
    ) -> Any:
        """Add to the number of a key, atomically, and return the sum.

        Args:
            default: what a missing one starts from; None if there has to be one.
        Raises:
            ValueError: there is none, and ``default`` is None.
        """
        try:
            return self._cache.incr(self.make_key(key, version), delta, default, retry)
        except KeyError:
            raise ValueError(f"Key {key!r} not found") from None

    def decr(
        self, key: Any, delta: float = 1, version: int | None = None, default: float | None = None, retry: bool = True
    ) -> Any:
        """Subtract from the number of a key; see ``incr``."""
        return self.incr(key, -delta, version, default, retry)

    def has_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is an entry."""
        return self.make_key(key, version) in self._cache

    # -- all of them

    def expire(self) -> Any:
        """Remove what has expired; returns how many entries (int)."""
        return self._cache.expire()

    def stats(self, enable: bool = True, reset: bool = False) -> Any:
        """Hits and misses (a tuple of int).

        Args:
            enable: whether to count from now on.
            reset: whether to begin at 0.
        """
        return self._cache.stats(enable=enable, reset=reset)

    def create_tag_index(self) -> None:
        """Make the index that ``evict`` is faster with; see FanoutCache."""
        self._cache.create_tag_index()

    def drop_tag_index(self) -> None:
        """Remove that index; see FanoutCache."""
        self._cache.drop_tag_index()

    def evict(self, tag: Any) -> Any:
        """Remove the entries that carry a tag; returns how many (int)."""
        return self._cache.evict(tag)

    def cull(self) -> Any:
        """Remove entries until their size is within the limit; returns how many (int)."""
        return self._cache.cull()

    def clear(self) -> Any:
        """Remove everything, whatever its prefix and version; returns how many entries (int)."""
        return self._cache.clear()

    def close(self, **kwargs: Any) -> None:
        """Do nothing: Django closes all backends after every request, and what is open serves the next one."""

    # -- timeouts and functions

    def get_backend_timeout(self, timeout: Any = DEFAULT_TIMEOUT) -> Any:
        """For how many seconds something is stored, if it is with this timeout; None for ever."""
        if timeout is DEFAULT_TIMEOUT:
            return self.default_timeout
        # What is stored for no time at all has expired, however coarse the clock is.
        return -1 if timeout == 0 else timeout

    def memoize(
        self,
        name: str | None = None,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        typed: bool = False,
        tag: Any = None,
        ignore: Iterable[str | int] = (),
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """A decorator, which keeps a function's results in the cache.

        What is decorated has ``__cache_key__``, which returns the key of a call, and ``__wrapped__``.

        Args:
            name: of the function in the keys (str); None for its module and qualified name.
            timeout: seconds until a result expires; None for never. With 0 and less none is stored.
            version: of the keys (int); None for the one of the settings.
            typed: tell 1 and 1.0 apart.
            tag: of all results.
            ignore: names and positions of arguments that do not count.
        Raises:
            TypeError: the parentheses are missing: it is told a function instead of a name.
        """
        expire = self.default_timeout if timeout is DEFAULT_TIMEOUT else timeout
        return memoize(_AtVersion(self, version), name, typed, expire, tag, ignore)


class _AtVersion:
    """What a memoized function asks: a backend's entries of one version."""

    def __init__(self, backend: DjangoCache, version: int | None) -> None:
        self._backend = backend
        self._version = version

    def get(self, key: Any, default: Any, retry: bool) -> Any:
        return self._backend.get(key, default, self._version, retry=retry)

    def set(self, key: Any, value: Any, expire: float | None, tag: Any, retry: bool) -> Any:
        return self._backend.set(key, value, expire, self._version, tag=tag, retry=retry)
