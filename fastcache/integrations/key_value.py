"""A store for py-key-value, and with it for FastMCP: ``pip install fastcache[key-value]``.

>>> import asyncio
>>> from fastcache.integrations.key_value import FastCacheStore
>>> async def use():
...     async with FastCacheStore("store") as store:
...         await store.put("alice", {"age": 30}, collection="users", ttl=3600)
...         return await store.get("alice", collection="users"), await store.keys("users")
>>> asyncio.run(use())
({'age': 30}, ['alice'])
"""

# Whoever checks types needs no py-key-value:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

from itertools import islice

from key_value.aio.stores.base import (
    BaseContextManagerStore,
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
)

from fastcache.integrations.opening import UNDECODABLE, in_a_thread, open_cache, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from key_value.aio.stores.base import ManagedEntry

    from fastcache import Cache, FanoutCache
    from fastcache.integrations.opening import _Source

__all__ = ["FastCacheStore"]

_UNKNOWN = object()


class FastCacheStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseCullStore,
    BaseContextManagerStore,
):
    """A store of py-key-value's in a directory, shared by all threads and processes that name it.

    It has all that the protocols of py-key-value name: values of many keys in one transaction, lifetimes, listing and
    removing keys and collections, and ``cull``. Collections and keys are stored as they are, values as JSON, so that
    nothing in the directory can be more than data. What this process remembers is answered at once; a thread does the
    rest. What has expired is removed in the background, too, and ``max_size`` keeps to a limit.

    Args:
        directory: where it lies, None for a temporary one; see Cache. Or a Cache or FanoutCache that is open, and has
            nothing else in it; it is not closed with this.
        default_collection: the collection where none is named (str); None for that of all stores.
        options: other arguments of a Cache, or with ``shards`` of a FanoutCache, if a directory is given.

    Raises:
        OpenError: the directory cannot be opened.
        TypeError: there is no such option, or there are some for a cache that is open already.
    """

    def __init__(self, directory: _Source, *, default_collection: str | None = None, **options: Any) -> None:
        self._cache, self._is_own = open_cache(directory, options)
        super().__init__(
            client_provided_by_user=not self._is_own, default_collection=default_collection, stable_api=True
        )

    @property
    def cache(self) -> Cache | FanoutCache:
        """The Cache, or FanoutCache, in which it lies: JSON by tuples of collection and key."""
        return self._cache

    async def _setup(self) -> None:
        if self._is_own:
            self._exit_stack.push_async_callback(in_a_thread, self._cache, self._cache.close)

    # -- one key -------------------------------------------------------------------------------------------------

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        try:
            found = self._cache._find_at_once((collection, key), None, _UNKNOWN)
            if found is _UNKNOWN:
                found = await in_a_thread(self._cache, self._cache.get, (collection, key))
        except UNDECODABLE as error:
            tell(self._cache, error)
            return None
        return self._loaded(found)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        text = self._serialization_adapter.dump_json(managed_entry)
        await in_a_thread(self._cache, self._cache.set, (collection, key), text, managed_entry.ttl)

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        deleted: bool = await in_a_thread(self._cache, self._cache.delete, (collection, key))
        return deleted

    def _loaded(self, found: Any) -> ManagedEntry | None:
        return self._serialization_adapter.load_json(found) if isinstance(found, str) else None

    # -- many keys -----------------------------------------------------------------------------------------------

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        wanted = [(collection, key) for key in keys]
        try:
            found = {each: self._cache._find_at_once(each, None, _UNKNOWN) for each in wanted}
            is_known = all(value is not _UNKNOWN for value in found.values())
        except UNDECODABLE:
            is_known = False
        if not is_known:
            # All of them, so that they are of one moment.
            found = await in_a_thread(self._cache, self._cache.get_many, wanted)
        return [self._loaded(found.get(each)) for each in wanted]

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        texts = map(self._serialization_adapter.dump_json, managed_entries)
        pairs = list(zip(((collection, key) for key in keys), texts, strict=True))
        await in_a_thread(self._cache, self._cache.set_many, pairs, ttl)

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        wanted = [(collection, key) for key in keys]
        deleted: int = await in_a_thread(self._cache, self._cache.delete_many, wanted)
        return deleted

    # -- all keys ------------------------------------------------------------------------------------------------

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        keys: list[str] = await in_a_thread(self._cache, self._keys, collection, limit)
        return keys

    def _keys(self, collection: str, limit: int | None) -> list[str]:
        return [key for _, key in islice(self._cache.keys(prefix=(collection,)), limit)]

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        names: list[str] = await in_a_thread(self._cache, self._names, limit)
        return names

    def _names(self, limit: int | None) -> list[str]:
        names: dict[str, None] = {}
        for collection, _ in self._cache:
            names[collection] = None
            if len(names) == limit:
                break
        return list(names)

    async def _delete_collection(self, *, collection: str) -> bool:
        deleted: bool = await in_a_thread(self._cache, self._delete_all, collection)
        return deleted

    def _delete_all(self, collection: str) -> bool:
        return self._cache.delete_many(list(self._cache.keys(prefix=(collection,)))) > 0

    async def _delete_store(self) -> bool:
        await in_a_thread(self._cache, self._cache.clear)
        return True

    async def _cull(self) -> None:
        await in_a_thread(self._cache, self._cache.expire)
