"""FastCache: a backend for the responses of requests-cache.

::

    session = requests_cache.CachedSession(backend=FastCache("~/.cache/http", max_size=10**9), expire_after=3600)
"""

# Whoever checks types needs no requests-cache:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore, no-untyped-call"

from __future__ import annotations

import logging
import os

from requests_cache.backends.base import BaseCache, BaseStorage
from requests_cache.serializers import dict_serializer

from fastcache import Cache, Index
from fastcache.errors import DecodeError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["FastCache", "Storage"]

_logger = logging.getLogger("fastcache")


class FastCache(BaseCache):
    """A requests-cache backend in a directory that threads and processes share.

    Responses are stored as plain data, so that nothing in the directory runs code, whoever can write there. What has
    expired stays until requests-cache removes it, since it may still be revalidated; ``max_size`` bounds the whole.

    Args:
        cache_name: the directory, in which there are two caches: "responses" and "redirects".
        serializer: another serializer of requests-cache's (an object, or its name).
        decode_content: for that serializer; see requests-cache.
        **options: other arguments of a Cache, for the responses.
    Raises:
        OpenError: the directory cannot be opened.

    >>> from requests_cache import CachedSession
    >>> from fastcache.integrations.requests_cache import FastCache
    >>> session = CachedSession(backend=FastCache("http"))
    >>> len(session.cache.responses)
    0
    >>> session.close()
    """

    def __init__(
        self,
        cache_name: str | os.PathLike[str] = "http_cache",
        serializer: Any = None,
        decode_content: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(cache_name=str(cache_name))
        responses = Cache(os.path.join(cache_name, "responses"), **options)
        redirects = Index(os.path.join(cache_name, "redirects"))
        self.responses: Storage = Storage(responses, serializer or dict_serializer, decode_content)
        self.redirects: Storage = Storage(redirects, None, False)

    @property
    def db_path(self) -> str:
        """The directory (str)."""
        return os.path.dirname(self.responses.cache.directory)


class Storage(BaseStorage[str, "Any"]):
    """One of the two tables of a backend: a mapping from keys to responses, or from keys to keys.

    Args:
        cache: a Cache or an Index, which is closed with it.
        serializer: what makes of a response what is stored; None for nothing.
        decode_content: for the serializer.
    """

    def __init__(self, cache: Cache | Index, serializer: Any, decode_content: bool) -> None:
        super().__init__(serializer=serializer, decode_content=decode_content)
        self.cache = cache

    def __getitem__(self, key: str) -> Any:
        try:
            stored = self.cache[key]
        except (DecodeError, UntrustedValueError) as error:
            # As requests-cache does it with what its serializers cannot load.
            _logger.warning("%r: a stored response counts as missing: %s", self.cache.directory, error)
            return None
        return self.deserialize(key, stored)

    def __setitem__(self, key: str, value: Any) -> None:
        self.cache[key] = self.serialize(value)

    def __delitem__(self, key: str) -> None:
        del self.cache[key]

    def __contains__(self, key: object) -> bool:
        return key in self.cache

    def __iter__(self) -> Iterator[Any]:
        return iter(self.cache)

    def __len__(self) -> int:
        return len(self.cache)

    def bulk_delete(self, keys: Iterable[str]) -> None:
        """Remove those of many keys that are there, in one transaction."""
        self.cache.delete_many(keys)

    def clear(self) -> None:
        """Remove everything."""
        self.cache.clear()

    def close(self) -> None:
        """Close the cache; what was stored stays."""
        self.cache.close()
