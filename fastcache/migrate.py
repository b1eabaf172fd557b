"""Bring a cache from one form into another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastcache.cache import Cache
from fastcache.engine import sql
from fastcache.engine.errors import CacheError, UntrustedValueError
from fastcache.engine.lazy import load
from fastcache.pickling import PickleSerializer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from fastcache.engine.store import Store

__all__ = ["sign"]

_BATCH = 256


def sign(
    directory: str | os.PathLike[str], *, safe_types: Iterable[type] = (), secret: bytes | str | None = None
) -> int:
    """Load every unsigned value once, whatever it is, and store it anew, signed.

    For a cache that was written with ``PickleSerializer(unsafe=True)``, and that nobody you distrust could write to:
    this runs whatever is stored there. Expiry, tags and order stay; a key that has to be signed itself goes to the end.

    Args:
        directory: of a cache that exists.
        safe_types: classes whose instances count as plain data, and stay unsigned.
        secret: what to sign with; see PickleSerializer.

    Returns:
        How many entries were stored anew (int).

    Raises:
        OpenError: (NotACacheError, FormatError) the directory cannot be opened, or has another serializer.
        CacheError: an entry cannot be loaded, or stored. Those before it are done; it can be run again.
    """
    safe_types = tuple(safe_types)
    serializer = PickleSerializer(safe_types=safe_types, secret=secret)
    serializer.trust.load_all()
    strict = PickleSerializer(safe_types=safe_types, secret=secret)
    count = 0
    with Cache(directory, serializer=serializer) as cache, Cache(directory, serializer=strict) as judge:
        reader = cache.store.connect()
        last = -(1 << 63)
        while rows := reader.query(sql.SERIALIZED_ROWS, (last, _BATCH)):
            count += sum(_sign_row(cache, row, stored) for row, *stored in rows if _is_unsigned(judge.store, stored))
            last = rows[-1][0]
    return count


def _is_unsigned(store: Store, stored: list[Any]) -> bool:
    codec = stored[1]
    try:
        store.decode_row(*stored)
    except UntrustedValueError:
        # One that is signed with another secret stays as it is.
        return type(codec) is int and not codec & 0x100
    except CacheError:
        pass
    return False


def _sign_row(cache: Cache, row: int, stored: list[Any]) -> bool:
    with cache.transact():
        # As it is now, should somebody have changed it since.
        found = cache.store.query(sql.ROW_FOR_SIGNING, (row, stored[0]))
        if not found:
            return False
        expire, tag, *entry = found[0]
        if expire is not None and expire <= time.time() * 1000:
            return False
        key, value = cache.store.decode_row(stored[0], *entry)
        if load("fastcache.engine.keys").stored_form(key, cache.serializer) != stored[0]:
            cache.store.query(sql.DELETE_ROW, (row,))
        cache.set(key, value, expire=None if expire is None else expire / 1000 - time.time(), tag=tag)
    return True
