"""FanoutCache, as diskcache has it: several caches, each with a part of the keys, whose timeouts are told by what is
returned."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.core import DEFAULT_SETTINGS, ENOVAL, Cache, Disk, Timeout, memoize
from fastcache.diskcache.entries import NEW, path_of
from fastcache.diskcache.persistent import Deque, Index
from fastcache.errors import NotACacheError, OpenError
from fastcache.options import CACHE_MEMORY
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    import warnings
    from collections.abc import Callable, Iterator
    from typing import Literal

__all__ = ["FanoutCache"]


class FanoutCache:
    """A cache in several directories, its shards, so that who writes to one does not wait for who writes to another.

    What does not get its turn within ``timeout`` seconds does not raise: ``set``, ``add``, ``touch`` and ``delete``
    return False then, ``incr`` and ``decr`` None, ``get`` and ``pop`` the default, unless ``retry`` is given.

    Args:
        directory: where they lie, in folders "000" and so on; None for a new temporary one, which stays.
        shards: how many (int). A cache has to be opened with as many as it was made with.
        timeout: how long to wait for another writer, in seconds.
        disk, migrate, unsafe, memory: as of Cache.
        **settings: as of Cache; each shard has its part of ``size_limit``.
    Raises:
        OpenError: (NotACacheError) it cannot be opened, or has another number of shards.

    >>> from fastcache.diskcache import FanoutCache
    >>> with FanoutCache(shards=4) as cache:
    ...     cache.set("k", "v"), cache["k"], cache.get("absent"), len(cache)
    (True, 'v', None, 1)
    """

    def __init__(
        self,
        directory: Any = None,
        shards: int = 8,
        timeout: float = 0.010,
        disk: type[Disk] = Disk,
        *,
        migrate: Literal["on-open"] | None = None,
        unsafe: bool | None = None,
        memory: int | None = None,
        **settings: Any,
    ) -> None:
        if directory is None:
            directory = tempfile.mkdtemp(prefix="fastcache-diskcache-")
        directory = path_of(directory)
        size_limit = settings.pop("size_limit", DEFAULT_SETTINGS["size_limit"])
        settings["size_limit"] = size_limit // shards
        memory = CACHE_MEMORY if memory is None else memory
        self._count = shards
        self._directory: str = directory
        self._disk = disk
        self._options = {"migrate": migrate, "unsafe": unsafe}

        def enter(directory: str) -> tuple[Cache, ...]:
            return tuple(
                Cache(
                    os.path.join(directory, f"{number:03}"),
                    timeout,
                    disk,
                    unsafe=unsafe,
                    memory=memory // shards,
                    **settings,
                )
                for number in range(shards)
            )

        if not os.path.lexists(directory) and os.path.exists(directory + NEW):
            load("fastcache.diskcache.migration").finish_conversion(directory)
        if os.path.exists(os.path.join(directory, f"{shards:03}", "cache.db")):
            raise OpenError(f"{directory!r} has more than {shards} shards: open it with as many as it was made with")
        try:
            self._shards = enter(directory)
        except NotACacheError as error:

            def make(path: str) -> FanoutCache:
                return type(self)(path, shards, timeout, disk, unsafe=unsafe, **{**settings, "size_limit": size_limit})

            load("fastcache.diskcache.migration").refuse_or_convert(directory, migrate, unsafe, make, error)
            self._shards = enter(directory)
        self._hash = self._shards[0].disk.hash
        self._caches: dict[str, Cache] = {}
        self._deques: dict[str, Deque] = {}
        self._indexes: dict[str, Index] = {}

    @property
    def directory(self) -> str:
        """Where the shards lie."""
        return self._directory

    def __getattr__(self, name: str) -> Any:
        if name not in DEFAULT_SETTINGS and name not in ("timeout", "disk"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._shards[0], name)

    def _shard(self, key: Any) -> Cache:
        return self._shards[self._hash(key) % self._count]

    @contextlib.contextmanager
    def transact(self, retry: bool = True) -> Iterator[None]:
        """A context manager: a transaction of every shard, which are committed one after the other.

        Args:
            retry: must be True: it waits for all shards.
        """
        if not retry:
            raise AssertionError("retry must be True in FanoutCache")
        with contextlib.ExitStack() as stack:
            for shard in self._shards:
                stack.enter_context(shard.transact(retry=True))
            yield

    # -- one entry

    def set(
        self,
        key: Any,
        value: Any,
        expire: float | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = False,
    ) -> bool:
        """Store a value, as of Cache; returns whether it was."""
        try:
            return self._shard(key).set(key, value, expire, read, tag, retry)
        except Timeout:
            return False

    def __setitem__(self, key: Any, value: Any) -> None:
        self._shard(key)[key] = value

    def touch(self, key: Any, expire: float | None = None, retry: bool = False) -> bool:
        """Give an entry another expiry, as of Cache; returns whether that was done."""
        try:
            return self._shard(key).touch(key, expire, retry)
        except Timeout:
            return False

    def add(
        self,
        key: Any,
        value: Any,
        expire: float | None = None,
        read: bool = False,
        tag: Any = None,
        retry: bool = False,
    ) -> bool:
        """Store a value if there is none, as of Cache; returns whether it was."""
        try:
            return self._shard(key).add(key, value, expire, read, tag, retry)
        except Timeout:
            return False

    def incr(self, key: Any, delta: float = 1, default: float | None = 0, retry: bool = False) -> Any:
        """Add to a number, as of Cache; returns the sum, or None if that was not done."""
        try:
            return self._shard(key).incr(key, delta, default, retry)
        except Timeout:
            return None

    def decr(self, key: Any, delta: float = 1, default: float | None = 0, retry: bool = False) -> Any:
        """Subtract from a number, as of Cache; returns what is left, or None if that was not done."""
        try:
            return self._shard(key).decr(key, delta, default, retry)
        except Timeout:
            return None

    def get(
        self,
        key: Any,
        default: Any = None,
        read: bool = False,
        expire_time: bool = False,
        tag: bool = False,
        retry: bool = False,
    ) -> Any:
        """The value of a key, or the default; as of Cache."""
        try:
            return self._shard(key).get(key, default, read, expire_time, tag, retry)
        except Timeout:
            return default

    def __getitem__(self, key: Any) -> Any:
        return self._shard(key)[key]

    def read(self, key: Any) -> Any:
        """The value of a key as a file, as of Cache.

        Raises:
            KeyError: it is absent.
        """
        found = self.get(key, default=ENOVAL, read=True, retry=True)
        if found is ENOVAL:
            raise KeyError(key)
        return found

    def __contains__(self, key: Any) -> bool:
        return key in self._shard(key)

    def pop(
        self, key: Any, default: Any = None, expire_time: bool = False, tag: bool = False, retry: bool = False
    ) -> Any:
        """Remove a key and return its value, or the default; as of Cache."""
        try:
            return self._shard(key).pop(key, default, expire_time, tag, retry)
        except Timeout:
            return default

    def delete(self, key: Any, retry: bool = False) -> bool:
        """Remove a key; returns whether that was done."""
        try:
            return self._shard(key).delete(key, retry)
        except Timeout:
            return False

    def __delitem__(self, key: Any) -> None:
        del self._shard(key)[key]

    memoize = memoize

    # -- all entries

    def check(self, fix: bool = False, retry: bool = False) -> list[warnings.WarningMessage]:
        """Look for damage in all shards, as of Cache."""
        return [warning for shard in self._shards for warning in shard.check(fix, retry)]

    def expire(self, retry: bool = False) -> int:
        """Remove what has expired; returns how many entries."""
        return self._remove("expire", (time.time(),), retry)

    def create_tag_index(self) -> None:
        """Set ``tag_index``, as of Cache."""
        for shard in self._shards:
            shard.create_tag_index()

    def drop_tag_index(self) -> None:
        """Set ``tag_index`` to 0, as of Cache."""
        for shard in self._shards:
            shard.drop_tag_index()

    def evict(self, tag: Any, retry: bool = False) -> int:
        """Remove what carries a tag; returns how many entries."""
        return self._remove("evict", (tag,), retry)

    def cull(self, retry: bool = False) -> int:
        """Remove what is too much, as of Cache; returns how many entries."""
        return self._remove("cull", (), retry)

    def clear(self, retry: bool = False) -> int:
        """Remove everything; returns how many entries."""
        return self._remove("clear", (), retry)

    def _remove(self, name: str, arguments: tuple[Any, ...], retry: bool) -> int:
        total = 0
        for shard in self._shards:
            method: Callable[..., int] = getattr(shard, name)
            while True:
                try:
                    total += method(*arguments, retry=retry)
                    break
                except Timeout as error:
                    total += error.args[0]
        return total

    def stats(self, enable: bool = True, reset: bool = False) -> tuple[int, int]:
        """The hits and misses of all shards, as of Cache."""
        found = [shard.stats(enable, reset) for shard in self._shards]
        return sum(hits for hits, _ in found), sum(misses for _, misses in found)

    def volume(self) -> int:
        """Bytes that entries take on disk."""
        return sum(shard.volume() for shard in self._shards)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the keys, shard by shard."""
        return itertools.chain.from_iterable(map(iter, self._shards))

    def __reversed__(self) -> Iterator[Any]:
        """The same in reverse."""
        return itertools.chain.from_iterable(map(reversed, reversed(self._shards)))

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(map(len, self._shards))

    def reset(self, key: str, value: Any = ENOVAL) -> Any:
        """Set a setting of every shard, or tell what is stored; as of Cache."""
        for shard in self._shards:
            while True:
                try:
                    result = shard.reset(key, value)
                    break
                except Timeout:
                    pass
        return result

    # -- what lies inside of it

    def cache(self, name: str, timeout: float = 60, disk: type[Disk] | None = None, **settings: Any) -> Cache:
        """A Cache in the directory of this one, always the same one for a name (str), in which "/" makes folders."""
        if name not in self._caches:
            self._caches[name] = Cache(
                self._inside("cache", name),
                timeout,
                self._disk if disk is None else disk,
                **{**self._options, **settings},
            )
        return self._caches[name]

    def deque(self, name: str, maxlen: int | None = None) -> Deque:
        """A Deque in the directory of this one, as of ``cache``."""
        if name not in self._deques:
            cache = Cache(
                self._inside("deque", name),
                disk=self._disk,
                eviction_policy="none",
                **self._options,  # type: ignore[arg-type]
            )
            self._deques[name] = Deque.fromcache(cache, maxlen=maxlen)
        return self._deques[name]

    def index(self, name: str) -> Index:
        """An Index in the directory of this one, as of ``cache``."""
        if name not in self._indexes:
            cache = Cache(
                self._inside("index", name),
                disk=self._disk,
                eviction_policy="none",
                **self._options,  # type: ignore[arg-type]
            )
            self._indexes[name] = Index.fromcache(cache)
        return self._indexes[name]

    def _inside(self, kind: str, name: str) -> str:
        return os.path.join(self._directory, kind, *name.split("/"))

    def close(self) -> None:
        """Close the files. The cache can still be used, which opens them again."""
        for shard in self._shards:
            shard.close()
        self._caches.clear()
        self._deques.clear()
        self._indexes.clear()

    def __enter__(self) -> FanoutCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._directory, self._count, self.timeout, type(self.disk)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.__init__(*state)  # type: ignore[misc]
