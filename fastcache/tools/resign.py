"""Signing what was stored unsigned."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastcache.engine.codecs.keys import stored_form
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, UntrustedValueError
from fastcache.serializers.pickling import PickleSerializer
from fastcache.tools.inspect import open_cache

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from typing import Any

    from fastcache.cache import Cache
    from fastcache.engine.disk_store import DiskStore
    from fastcache.fanout import FanoutCache

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
    with open_cache(directory, serializer=serializer) as cache, open_cache(directory, serializer=strict) as judge:
        for store, judging in zip(cache.stores.all(), judge.stores.all(), strict=True):
            reader = store.connect()
            last = -(1 << 63)
            while rows := reader.query(sql.SERIALIZED_ROWS, (last, _BATCH)):
                for row, *stored in rows:
                    if _is_unsigned(judging, stored):
                        count += _sign_row(cache, store, row, stored)
                last = rows[-1][0]
    return count


def _is_unsigned(store: DiskStore, stored: list[Any]) -> bool:
    codec = stored[1]
    try:
        store.decode_row(*stored)
    except UntrustedValueError:
        # One that is signed with another secret stays as it is.
        return type(codec) is int and not codec & 0x100
    except CacheError:
        pass
    return False


def _sign_row(cache: Cache | FanoutCache, store: DiskStore, row: int, stored: list[Any]) -> bool:
    with store.transact():
        # As it is now, should somebody have changed it since.
        found = store.query(sql.ROW_FOR_SIGNING, (row, stored[0]))
        if not found:
            return False
        expire, tag, *entry = found[0]
        if expire is not None and expire <= time.time() * 1000:
            return False
        key, value = store.decode_row(stored[0], *entry)
        if stored_form(key, cache.serializer) != stored[0]:
            store.query(sql.DELETE_ROW, (row,))
        cache.set(key, value, expire=None if expire is None else expire / 1000 - time.time(), tag=tag)
    return True
