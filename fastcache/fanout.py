"""FanoutCache and FanoutIndex: a Cache and an Index in several databases, for many processes that write."""

from __future__ import annotations

from fastcache.engine.cache_mapping import CacheMapping
from fastcache.engine.index_mapping import IndexMapping
from fastcache.options import CACHE_MEMORY, choose_journal, choose_place, choose_serializer
from fastcache.recipes import CacheRecipes, Recipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, Literal

    from fastcache.engine.mapping import StoreMapping as _Mapping
    from fastcache.serializers.messagepack import Serializer
else:
    _Mapping = object

__all__ = ["FanoutCache", "FanoutIndex"]


class _Fanout(_Mapping):
    __slots__ = ()

    @property
    def shards(self) -> int:
        """How many databases there are (int)."""
        return self.stores.count

    @property
    def shard_count(self) -> int:
        """The same as ``shards``."""
        return self.stores.count


def _choose_shards(shards: int, shard_count: int | None) -> int:
    return shards if shard_count is None else shard_count


class FanoutCache(CacheRecipes, _Fanout, CacheMapping):
    """A Cache in several databases, its shards: who writes to one does not wait for who writes to another.

    That pays where several processes write at the same time. For one process, whatever its threads, or for reads alone,
    a Cache is as fast or faster, and it orders its entries: here they are iterated over shard by shard, in order of
    insertion within each, ``popitem`` takes from the last shard that has any, and ``transact`` needs a key, whose shard
    it is about. ``set_many`` and the like are atomic in each shard. Everything else is as in a Cache.

    Args:
        directory: where it lives; see Cache. In memory (":memory:"), there is one shard, whatever ``shards`` says.
        shards: how many databases, from 1 to 1000. It is stored; a cache is opened with the number that it was made
            with, and converted with the command ``fastcache reshard``. ``shard_count`` is another name for it.
        max_size: a limit in bytes for all shards together, each of which keeps to its part of it, so that an entry must
            fit into one. See Cache.
        eviction, on_evict, serializer, timeout, memory, journal, write_behind, durability, compression, safe_types,
            secret, timer, recreate, read_only: as in a Cache, and each shard has a journal of its own. ``memory`` is
            what all shards have together, and the policy is followed in each.

    Raises:
        OpenError: (NotACacheError, FormatError) the directory cannot be opened as asked; FormatError also if it has
            another number of shards.

    >>> from fastcache import FanoutCache
    >>> with FanoutCache(shards=4) as cache:
    ...     _ = cache.set_many({"a": 1, "b": 2, "c": 3})
    ...     with cache.transact("a"):
    ...         _ = cache.incr("a", 41)
    ...     cache["a"], len(cache), sorted(cache)
    (42, 3, ['a', 'b', 'c'])
    """

    def __init__(
        self,
        directory: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        shards: int = 8,
        shard_count: int | None = None,
        max_size: int | None = None,
        eviction: Literal["lru", "lrs", "lfu", "sieve", "fifo", "ttl", "none"] | None = None,
        on_evict: Callable[[Any, Literal["evicted", "expired", "tag"]], object] | None = None,
        serializer: Serializer | None = None,
        timeout: float = 60.0,
        memory: int = CACHE_MEMORY,
        write_behind: float | None = None,
        journal: bool = True,
        durability: Literal["normal", "full"] = "normal",
        compression: Literal["zstd", "lz4", "blosc2"] | None = None,
        safe_types: Iterable[type] = (),
        secret: bytes | str | None = None,
        recreate: bool = False,
        read_only: bool | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None:
        serializer = choose_serializer(serializer, safe_types, secret)
        self._open(
            choose_place(directory),
            _choose_shards(shards, shard_count),
            serializer=serializer,
            timeout=timeout,
            timer=timer,
            memory=memory,
            journal=choose_journal(journal, write_behind),
            durability=durability,
            compression=compression,
            recreate=recreate,
            read_only=read_only,
            on_evict=on_evict,
            settings={"max_size": max_size, "eviction": eviction},
        )


class FanoutIndex(Recipes, _Fanout, IndexMapping):
    """An Index in several databases; see FanoutCache for what that means, and Index for the other arguments.

    >>> from fastcache import FanoutIndex
    >>> with FanoutIndex(None, {"a": 1}, shards=4) as index:
    ...     index.update(b=2)
    ...     index == {"a": 1, "b": 2}, index.pop("a"), list(index)
    (True, 1, ['b'])
    """

    def __init__(
        self,
        directory: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        mapping_or_pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
        *,
        shards: int = 8,
        shard_count: int | None = None,
        serializer: Serializer | None = None,
        timeout: float = 60.0,
        memory: int = CACHE_MEMORY,
        journal: bool = True,
        durability: Literal["normal", "full"] = "normal",
        compression: Literal["zstd", "lz4", "blosc2"] | None = None,
        safe_types: Iterable[type] = (),
        secret: bytes | str | None = None,
        recreate: bool = False,
        read_only: bool | None = None,
        **items: Any,
    ) -> None:
        serializer = choose_serializer(serializer, safe_types, secret)
        self._open(
            choose_place(directory),
            _choose_shards(shards, shard_count),
            serializer=serializer,
            timeout=timeout,
            memory=memory,
            journal=journal,
            durability=durability,
            compression=compression,
            recreate=recreate,
            read_only=read_only,
            keeps_limit=False,
        )
        if mapping_or_pairs or items:
            self.update(mapping_or_pairs, **items)
