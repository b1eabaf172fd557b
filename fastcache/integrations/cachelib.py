"""FastCache: a cache for cachelib, and so for Flask-Caching and Flask-Session.

With Flask-Caching::

    app.config.from_mapping(
        CACHE_TYPE="fastcache.integrations.cachelib.FastCache",
        CACHE_ARGS=["/var/cache/site"],
        CACHE_OPTIONS={"max_size": 1_000_000_000},
    )
    cache = flask_caching.Cache(app)
"""

# Whoever checks types needs no cachelib:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

import logging

from cachelib import BaseCache

from fastcache import Cache, FanoutCache
from fastcache.errors import DecodeError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from datetime import timedelta
    from typing import Any

__all__ = ["FastCache"]

_UNDECODABLE = (DecodeError, UntrustedValueError)

_logger = logging.getLogger("fastcache")


class FastCache(BaseCache):
    """A cachelib cache in a directory that threads and processes share: ``inc``, ``dec`` and ``add`` are atomic.

    None that was stored is told from nothing by ``has``. What cannot be decoded any more counts as missing.

    Args:
        directory: where it lies; see Cache.
        default_timeout: seconds (int) or a timedelta after which an entry expires, unless ``set`` is told another; 0
            for never.
        ignore_delete_many_errors: as of cachelib's; nothing fails to be deleted here.
        **options: the arguments of a Cache, or with ``shards`` of a FanoutCache.
    Raises:
        OpenError: the directory cannot be opened.

    >>> from fastcache.integrations.cachelib import FastCache
    >>> cache = FastCache(None, default_timeout=60)
    >>> cache.set("k", {"v": 1}), cache.get("k"), cache.inc("n", 2), cache.get_many("k", "absent")
    (True, {'v': 1}, 2, [{'v': 1}, None])
    >>> cache.cache.close()
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        default_timeout: int | timedelta = 300,
        ignore_delete_many_errors: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(default_timeout, ignore_delete_many_errors)
        self.cache = (FanoutCache if "shards" in options else Cache)(directory, **options)

    def _expire(self, timeout: Any) -> Any:
        """Seconds from now, or None for never, which cachelib says by 0."""
        return self._normalize_timeout(timeout) or None

    def get(self, key: str) -> Any:
        """The value of a key, or None."""
        try:
            return self.cache.get(key)
        except _UNDECODABLE as error:
            _logger.warning("%r: a stored value counts as missing: %s", self.cache.directory, error)
            return None

    def get_many(self, *keys: str) -> list[Any]:
        """The values of many keys, in their order and all of one moment; None where there is none."""
        found = self.cache.get_many(keys)
        return [found.get(key) for key in keys]

    def set(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        """Store a value; returns True."""
        return self.cache.set(key, value, self._expire(timeout))

    def add(self, key: str, value: Any, timeout: int | timedelta | None = None) -> bool:
        """Store a value only if there is none; returns whether it was stored."""
        return self.cache.add(key, value, self._expire(timeout))

    def set_many(self, mapping: dict[str, Any], timeout: int | timedelta | None = None) -> list[Any]:
        """Store many values in one transaction, or one for each shard; returns the keys."""
        self.cache.set_many(mapping, self._expire(timeout))
        return list(mapping)

    def delete(self, key: str) -> bool:
        """Remove a key; returns whether it was there."""
        return self.cache.delete(key)

    def delete_many(self, *keys: str) -> list[Any]:
        """Remove many keys in one transaction, or one for each shard; returns the keys, none of which is there then."""
        self.cache.delete_many(keys)
        return list(keys)

    def has(self, key: str) -> bool:
        """Whether there is an entry."""
        return key in self.cache

    def clear(self) -> bool:
        """Remove everything; returns True."""
        self.cache.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> Any:
        """Add to the number of a key, or to 0; returns the sum. A new one expires as ``set`` has it by default."""
        self.cache.add(key, 0, self._expire(None))
        return self.cache.incr(key, delta)

    def dec(self, key: str, delta: int = 1) -> Any:
        """Subtract from the number of a key, or from 0; see ``inc``."""
        return self.inc(key, -delta)
