"""What the adapters share: the cache that they are given or open, and how coroutines use it without blocking."""

from __future__ import annotations

import asyncio
import logging

from fastcache import Cache, FanoutCache
from fastcache.errors import DecodeError, TransactionError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Any, TypeAlias

    _Source: TypeAlias = Cache | FanoutCache | str | bytes | os.PathLike[str] | os.PathLike[bytes] | None

__all__ = ["UNDECODABLE", "in_a_thread", "is_inside", "open_cache", "tell"]

UNDECODABLE = (DecodeError, UntrustedValueError)
"""What reading raises of a value whose class has moved, or that was signed with another secret."""

_logger = logging.getLogger("fastcache")


def open_cache(source: _Source, options: dict[str, Any]) -> tuple[Cache | FanoutCache, bool]:
    """The cache that an adapter is made with, and whether it was opened here, so that closing it is the adapter's.

    Args:
        source: a Cache or FanoutCache; or a directory, which is opened, and begun anew if it is removed meanwhile.
        options: those of a Cache, or with ``shards`` of a FanoutCache, for a directory (dict).
    Raises:
        TypeError: there are options for a cache that is open already, or one that no cache has.
        OpenError: the directory cannot be opened.
    """
    if isinstance(source, (Cache, FanoutCache)):
        if options:
            raise TypeError(f"{', '.join(sorted(options))}: what is open already has its own options")
        return source, False
    kind = FanoutCache if "shards" in options else Cache
    return kind(source, **{"recreate": True, **options}), True


def is_inside(cache: Cache | FanoutCache) -> bool:
    """Whether this task, or thread, is inside a transaction on the cache."""
    try:
        return any(store.held_by_me() for store in cache.stores.all())
    except TransactionError:
        # Of a shard, which has nothing to do with the others.
        return True


async def in_a_thread(cache: Cache | FanoutCache, method: Callable[..., Any], *arguments: Any) -> Any:
    """Call what may wait for a disk, or another writer, outside of the event loop; inside a transaction of this task,
    for which a thread would wait, here."""
    if is_inside(cache):
        return method(*arguments)
    return await asyncio.to_thread(method, *arguments)


def tell(cache: Cache | FanoutCache, error: Exception) -> None:
    """Log that a value cannot be read, and counts as missing; neither key nor value is in the message."""
    _logger.warning("%r: a stored value counts as missing: %s", cache.directory, error)
