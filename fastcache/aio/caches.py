"""Cache, Index, FanoutCache and FanoutIndex, asynchronous: signatures, and what is answered at once."""

from __future__ import annotations

from fastcache import cache as sync_cache
from fastcache import fanout as sync_fanout
from fastcache import index as sync_index
from fastcache.aio.mapping import ELSEWHERE, Mapping
from fastcache.aio.methods import constructor, reading, writing, writing_many
from fastcache.aio.once import get_or_set
from fastcache.engine.cache_mapping import CacheMapping
from fastcache.engine.index_mapping import IndexMapping
from fastcache.options import choose_journal
from fastcache.queues import CacheQueues, IndexQueues
from fastcache.recipes import Recipes
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from typing import Any, Literal

    from fastcache.aio.memoize import _CacheMemoize, _Decorate, _IndexMemoize

    _Factory = Callable[[], Any] | Callable[[], Awaitable[Any]]

__all__ = ["Cache", "FanoutCache", "FanoutIndex", "Index"]


class _Index(Mapping):
    """The methods of an Index."""

    check = writing(Recipes.check)
    backup = writing(Recipes.backup)
    add = writing(IndexMapping.add)
    set_many = writing_many(IndexMapping.set_many)
    add_many = writing_many(IndexMapping.add_many)
    pop = writing(IndexMapping.pop)
    peekitem = reading(IndexMapping.peekitem)
    setdefault = writing(IndexMapping.setdefault)

    async def get(self, key: Any, default: Any = None, *, copy: bool = True, buffer: bool = False) -> Any:
        """The value of a key, or ``default``; see Index.get. What waits for nothing is returned at once."""
        worker = self._worker
        if copy and not buffer and (worker.holder is None or worker.block() is None):
            found = self._find_at_once(key, default, ELSEWHERE)
            if found is not ELSEWHERE:
                return found
            return await self._find(IndexMapping.get, key, default, (default,), {})
        return await self._run(IndexMapping.get, (key, default), {"copy": copy, "buffer": buffer}, False)

    async def set(self, key: Any, value: Any) -> Literal[True]:
        """Store a value; see Index.set. What waits for nothing is done at once, as in aio.Cache.set."""
        return await self._put(IndexMapping.set, (key, value), {})

    async def get_or_set(self, key: Any, factory: _Factory, *, timeout: float | None = None, copy: bool = True) -> Any:
        """The value of a key; if it is absent, what ``factory()`` returns is stored first; see aio.Cache.get_or_set."""
        return await get_or_set(self, key, factory, {}, timeout, copy)

    if TYPE_CHECKING:
        memoize: _IndexMemoize
    else:

        def memoize(
            self,
            function: Any = None,
            /,
            *,
            typed: bool = False,
            name: str | None = None,
            ignore: Any = (),
            version_aware: bool = False,
            timeout: float | None = None,
            copy: bool = True,
        ) -> Any:
            """Decorate a function, so that its results are kept here; see aio.Cache.memoize."""
            how = {"typed": typed, "name": name, "ignore": ignore, "version_aware": version_aware}
            return load("fastcache.aio.memoize").memoize(self, function, how | {"timeout": timeout, "copy": copy})


class _Cache(Mapping):
    """The methods of a Cache."""

    def __init__(self, *arguments: Any, write_behind: float | None = None, **options: Any) -> None:
        if write_behind is not None:
            # Whoever makes it is to be told, not the thread that opens it.
            options["journal"] = choose_journal(options.get("journal", True), write_behind)
        super().__init__(*arguments, **options)

    check = writing(Recipes.check)
    backup = writing(Recipes.backup)
    add = writing(CacheMapping.add)
    set_many = writing_many(CacheMapping.set_many)
    add_many = writing_many(CacheMapping.add_many)
    pop = writing(CacheMapping.pop)
    peekitem = reading(CacheMapping.peekitem)
    setdefault = writing(CacheMapping.setdefault)
    touch = writing(CacheMapping.touch)
    expire = writing(CacheMapping.expire)
    evict = writing(CacheMapping.evict)
    evict_tag = writing(CacheMapping.evict_tag)
    stats = reading(CacheMapping.stats)
    reset_stats = reading(CacheMapping.reset_stats)

    async def get(
        self,
        key: Any,
        default: Any = None,
        *,
        copy: bool = True,
        buffer: bool = False,
        expire_time: bool = False,
        tag: bool = False,
    ) -> Any:
        """The value of a key, or ``default``; see Cache.get. What waits for nothing is returned at once."""
        worker = self._worker
        if copy and not (buffer or expire_time or tag) and (worker.holder is None or worker.block() is None):
            found = self._find_at_once(key, default, ELSEWHERE)
            if found is not ELSEWHERE:
                return found
            return await self._find(CacheMapping.get, key, default, (default,), {})
        options = {"copy": copy, "buffer": buffer, "expire_time": expire_time, "tag": tag}
        return await self._run(CacheMapping.get, (key, default), options, False)

    async def set(
        self, key: Any, value: Any, expire: float | timedelta | None = None, *, tag: Any = None
    ) -> Literal[True]:
        """Store a value, whatever was there; see Cache.set.

        What is little (a few hundred parts of Python's own types, 16 KiB) is stored at once, if no lock and no disk has
        to be waited for, and nothing that writes is still in the thread: writes happen in the order in which they were
        called.
        """
        return await self._put(CacheMapping.set, (key, value, expire), {"tag": tag})

    async def get_or_set(
        self,
        key: Any,
        factory: _Factory,
        expire: float | timedelta | None = None,
        *,
        tag: Any = None,
        timeout: float | None = None,
        copy: bool = True,
    ) -> Any:
        """The value of a key; if it is absent, what ``factory()`` returns is stored first; see Cache.get_or_set.

        Of all tasks, threads and processes that ask for an absent key at the same time, one calls its factory.

        Args:
            factory: a coroutine function, awaited by this task; or a function, which is called in the thread of the
                cache, so that it should be quick.
            expire, tag, timeout, copy: as in Cache.get_or_set.
        """
        how = {"expire": expire, "tag": tag}
        return await get_or_set(self, key, factory, how, timeout, copy)

    if TYPE_CHECKING:
        memoize: _CacheMemoize
    else:

        def memoize(
            self,
            function: Any = None,
            /,
            *,
            expire: float | timedelta | None = None,
            tag: Any = None,
            typed: bool = False,
            name: str | None = None,
            ignore: Any = (),
            version_aware: bool = False,
            timeout: float | None = None,
            copy: bool = True,
        ) -> Any:
            """Decorate a function, so that its results are kept in the cache. The arguments are those of Cache.memoize.

            What is called returns a coroutine, also ``cache_key``, ``invalidate``, ``cache_clear`` and ``explain``. A
            coroutine function is awaited by its caller; a function is called in the thread of the cache, so that it
            should be quick.
            """
            how = {"typed": typed, "name": name, "ignore": ignore, "version_aware": version_aware}
            how |= {"timeout": timeout, "copy": copy, "expire": expire, "tag": tag}
            return load("fastcache.aio.memoize").memoize(self, function, how)

    def memoize_stampede(
        self,
        expire: float | timedelta,
        beta: float = 1.0,
        *,
        tag: Any = None,
        typed: bool = False,
        name: str | None = None,
        ignore: Any = (),
        version_aware: bool = False,
        timeout: float | None = None,
        copy: bool = True,
    ) -> _Decorate:
        """Decorate a coroutine function as ``memoize`` does, and renew results in a task shortly before they expire;
        see Cache.memoize_stampede, whose arguments these are."""
        how = {"typed": typed, "name": name, "ignore": ignore, "version_aware": version_aware}
        how |= {"timeout": timeout, "copy": copy, "expire": expire, "beta": beta, "tag": tag}
        decorate: _Decorate = load("fastcache.aio.memoize").memoize_stampede(self, how)
        return decorate

    async def set_max_size(self, max_size: int) -> None:
        """Change the limit in bytes (int) of what the directory may occupy, for all processes, and for good; see
        Cache.max_size. What is too much is evicted before this returns."""
        await self._run(setattr, ("max_size", max_size), {}, True)

    @property
    def max_size(self) -> int:
        """The limit in bytes (int) of what the directory may occupy; 0 for none."""
        max_size: int = self._open().max_size
        return max_size

    @property
    def eviction(self) -> Literal["lru", "lrs", "lfu", "sieve", "fifo", "ttl", "none"]:
        """What goes first when the cache is full."""
        eviction: Literal["lru", "lrs", "lfu", "sieve", "fifo", "ttl", "none"] = self._open().eviction
        return eviction


class Index(_Index):
    """An Index for event loops; its arguments are those of fastcache.Index."""

    push = writing(IndexQueues.push)
    pull = writing(IndexQueues.pull)
    peek = reading(IndexQueues.peek)

    _kind = sync_index.Index

    @constructor(sync_index.Index)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)


class Cache(_Cache):
    """A Cache for event loops; its arguments are those of fastcache.Cache.

    It is opened when it is first used, or by ``async with``, which closes it in the end.
    """

    push = writing(CacheQueues.push)
    pull = writing(CacheQueues.pull)
    peek = reading(CacheQueues.peek)

    _kind = sync_cache.Cache

    @constructor(sync_cache.Cache)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)


class FanoutIndex(_Index):
    """A FanoutIndex for event loops; its arguments are those of fastcache.FanoutIndex."""

    _kind = sync_fanout.FanoutIndex

    @constructor(sync_fanout.FanoutIndex)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)

    @property
    def shards(self) -> int:
        """How many databases there are (int)."""
        shards: int = self._open().shards
        return shards


class FanoutCache(_Cache):
    """A FanoutCache for event loops; its arguments are those of fastcache.FanoutCache.

    Shards serve processes that write at the same time. The tasks of one process write one after the other, in the
    thread of the cache."""

    _kind = sync_fanout.FanoutCache

    @constructor(sync_fanout.FanoutCache)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)

    @property
    def shards(self) -> int:
        """How many databases there are (int)."""
        shards: int = self._open().shards
        return shards
