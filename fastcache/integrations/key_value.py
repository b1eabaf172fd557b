"""FastCacheStore: a store for py-key-value, and so for FastMCP.

::

    store = FastCacheStore("/var/cache/tokens", max_size=10**9)
"""

# Whoever checks types needs no py-key-value:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

import asyncio
import json

from key_value.aio.stores.base import (
    BaseContextManagerStore,
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
)
from key_value.aio.stores.base import ManagedEntry as _Entry

from fastcache import Cache
from fastcache.errors import DecodeError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from typing import Any

__all__ = ["FastCacheStore"]


class FastCacheStore(
    BaseContextManagerStore,
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseCullStore,
):
    """A py-key-value store in a directory that threads, event loops and processes share.

    Keys lie under (collection, key). Values are stored as JSON, so that nothing in the directory runs code; what
    cannot be decoded any more counts as missing. Calls wait in other threads, and many at a time are one transaction.

    Args:
        directory: where it lies; see Cache. It is opened at once.
        default_collection: what is meant where no collection is named (str).
        **options: other arguments of a Cache.
    Raises:
        OpenError: the directory cannot be opened.

    >>> import asyncio
    >>> from fastcache.integrations.key_value import FastCacheStore
    >>> async def use():
    ...     async with FastCacheStore(None) as store:
    ...         await store.put("k", {"v": 1}, ttl=60)
    ...         return await store.get("k"), await store.get("k", collection="other"), await store.keys()
    >>> asyncio.run(use())
    ({'v': 1}, None, ['k'])
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        *,
        default_collection: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(default_collection=default_collection, stable_api=True)
        self.cache = Cache(directory, **options)

    async def _setup(self) -> None:
        self._exit_stack.push_async_callback(self._run, self.cache.close)

    @staticmethod
    async def _run(method: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.to_thread(method, *arguments)

    # -- entries

    def _load(self, collection: str, key: str) -> _Entry | None:
        try:
            return _entry_of(self.cache.get((collection, key)))
        except (DecodeError, UntrustedValueError):
            return None

    def _load_many(self, collection: str, keys: Sequence[str]) -> list[_Entry | None]:
        found = self.cache.get_many([(collection, key) for key in keys])
        return [_entry_of(found.get((collection, key))) for key in keys]

    def _save_many(self, collection: str, keys: Sequence[str], entries: Sequence[_Entry], ttl: float | None) -> None:
        made = {(collection, key): _stored_of(entry) for key, entry in zip(keys, entries, strict=True)}
        self.cache.set_many(made, ttl)

    async def _get_managed_entry(self, *, collection: str, key: str) -> _Entry | None:
        entry: _Entry | None = await self._run(self._load, collection, key)
        return entry

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[_Entry | None]:
        entries: list[_Entry | None] = await self._run(self._load_many, collection, keys)
        return entries

    async def _put_managed_entry(self, *, key: str, collection: str, managed_entry: _Entry) -> None:
        await self._run(self.cache.set, (collection, key), _stored_of(managed_entry), managed_entry.ttl)

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[_Entry],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        await self._run(self._save_many, collection, keys, managed_entries, ttl)

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        deleted: bool = await self._run(self.cache.delete, (collection, key))
        return deleted

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        deleted: int = await self._run(self.cache.delete_many, [(collection, key) for key in keys])
        return deleted

    # -- many of them

    def _list_keys(self, collection: str, limit: int | None) -> list[str]:
        # zip looks first whether there may be another.
        keys = self.cache.keys(prefix=(collection,))
        return [key[1] for key in keys] if limit is None else [key[1] for _, key in zip(range(limit), keys)]  # noqa: B905

    def _list_collections(self, limit: int | None) -> list[str]:
        found = {key[0]: None for key in self.cache}
        return list(found)[:limit]

    def _drop_collection(self, collection: str) -> bool:
        return self.cache.delete_many(list(self.cache.keys(prefix=(collection,)))) > 0

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        keys: list[str] = await self._run(self._list_keys, collection, limit)
        return keys

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        names: list[str] = await self._run(self._list_collections, limit)
        return names

    async def _delete_collection(self, *, collection: str) -> bool:
        deleted: bool = await self._run(self._drop_collection, collection)
        return deleted

    async def _delete_store(self) -> bool:
        await self._run(self.cache.clear)
        return True

    async def _cull(self) -> None:
        await self._run(self.cache.expire)


def _stored_of(entry: _Entry) -> tuple[Any, ...]:
    # As JSON, which refuses what the protocol has no values for.
    return entry.value_as_json, entry.created_at, entry.expires_at


def _entry_of(stored: Any) -> _Entry | None:
    if stored is None:
        return None
    value, created_at, expires_at = stored
    return _Entry(value=json.loads(value), created_at=created_at, expires_at=expires_at)
