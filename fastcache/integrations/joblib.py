"""FastCacheStore: a store for joblib.Memory, known to it as "fastcache" once this module was imported.

::

    import fastcache.integrations.joblib
    memory = joblib.Memory("~/.cache/results", backend="fastcache", backend_options={"max_size": 10**10})
"""

# joblib has no types of its own, and whoever checks types needs no joblib:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore, untyped-decorator"

from __future__ import annotations

import datetime
import os
from abc import ABCMeta

import joblib
from joblib._store_backends import CacheItemInfo, StoreBackendBase, StoreBackendMixin

from fastcache import Cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

__all__ = ["FastCacheStore"]

_MISSING = object()
# The last parts of keys, after the function and the hash of its arguments.
_OUTPUT = "output"
_METADATA = "metadata"
_CODE = "code"


class FastCacheStore(StoreBackendMixin, StoreBackendBase, metaclass=ABCMeta):
    """The results of joblib.Memory in a directory that threads and processes share, with a limit if one is given.

    Options (``backend_options``) are the arguments of a Cache. Results are pickled under the rules of PickleSerializer,
    and arrays in them are maps of their files: with ``mmap_mode`` None or "c" private ones that can be written to, with
    "r" read-only ones. What cannot be loaded any more is computed again, as joblib does it.

    >>> import joblib
    >>> import fastcache.integrations.joblib
    >>> memory = joblib.Memory("results", backend="fastcache", verbose=0)
    >>> @memory.cache
    ... def square(number):
    ...     print("computing")
    ...     return number * number
    >>> square(7), square(7)
    computing
    (49, 49)
    >>> memory.store_backend.cache.close()
    """

    location: Any = None

    def configure(self, location: str, verbose: int = 1, backend_options: dict[str, Any] | None = None) -> None:
        """Open the directory.

        Raises:
            ValueError: ``mmap_mode`` is one that would change what is stored, or ``compress`` was asked for, in whose
                place there is the option ``compression``.
        """
        options = dict(backend_options or {})
        self.mmap_mode = options.pop("mmap_mode", None)
        if self.mmap_mode not in (None, "r", "c"):
            raise ValueError(f"mmap_mode must be None, 'r' or 'c', not {self.mmap_mode!r}: nothing stored is changed")
        self.compress = options.pop("compress", False)
        if self.compress:
            raise ValueError("compress is of joblib's files: give backend_options={'compression': 'zstd'}, say")
        self.verbose = verbose
        self.cache = Cache(location, **options)
        self.location = self.cache.directory

    # -- results

    def contains_item(self, call_id: Sequence[str]) -> bool:
        """Whether there is a result."""
        return (*call_id, _OUTPUT) in self.cache

    def load_item(
        self, call_id: Sequence[str], verbose: int = 1, timestamp: float | None = None, metadata: Any = None
    ) -> Any:
        """A result; raises KeyError if there is none."""
        found = self.cache.get((*call_id, _OUTPUT), _MISSING, copy=self.mmap_mode != "r")
        if found is _MISSING:
            raise KeyError(f"there is no result of {'/'.join(call_id)}: it may have been cleared")
        return found

    def dump_item(self, call_id: Sequence[str], item: Any, verbose: int = 1) -> None:
        """Store a result."""
        self.cache.set((*call_id, _OUTPUT), item)

    def clear_item(self, call_id: Sequence[str]) -> None:
        """Remove a result."""
        self.cache.delete_many([(*call_id, part) for part in (_OUTPUT, _METADATA)])

    def get_metadata(self, call_id: Sequence[str]) -> Any:
        """What joblib has noted of a call (dict)."""
        return self.cache.get((*call_id, _METADATA), {})

    def store_metadata(self, call_id: Sequence[str], metadata: Any) -> None:
        """Note something of a call."""
        self.cache.set((*call_id, _METADATA), metadata)

    def get_item_info(self, call_id: Sequence[str]) -> dict[str, str]:
        """Where a result is said to lie."""
        return {"location": os.path.join(self.location, *call_id)}

    # -- functions

    def contains_path(self, call_id: Sequence[str]) -> bool:
        """Whether anything is stored of a function."""
        return next(iter(self.cache.keys(prefix=tuple(call_id))), None) is not None

    def clear_path(self, call_id: Sequence[str]) -> None:
        """Remove what is stored of a function."""
        self.cache.delete_many(list(self.cache.keys(prefix=tuple(call_id))))

    def store_cached_func_code(self, call_id: Sequence[str], func_code: str | None = None) -> None:
        """Note the code of a function."""
        if func_code is not None:
            self.cache.set((*call_id, _CODE), func_code)

    def get_cached_func_code(self, call_id: Sequence[str]) -> Any:
        """The code of a function, as it was noted; raises FileNotFoundError if it was not."""
        found = self.cache.get((*call_id, _CODE))
        if found is None:
            raise FileNotFoundError(f"no code of {'/'.join(call_id)} is stored")
        return found

    def get_cached_func_info(self, call_id: Sequence[str]) -> dict[str, str]:
        """Where a function's results are said to lie."""
        return {"location": os.path.join(self.location, *call_id)}

    # -- all of them

    def clear(self) -> None:
        """Remove everything."""
        self.cache.clear()

    def get_items(self) -> list[Any]:
        """All results, with their sizes in bytes, and when they were computed."""
        items = []
        for key in self.cache:
            if key[-1] == _OUTPUT:
                computed = self.get_metadata(key[:-1]).get("time") or 0.0
                path = os.path.join(self.location, *key[:-1])
                items.append(CacheItemInfo(path, self._size(key), datetime.datetime.fromtimestamp(computed)))
        return items

    def _size(self, key: Any) -> int:
        try:
            return memoryview(self.cache.get(key, b"", buffer=True)).nbytes
        except TypeError:
            # A number, or another of SQLite's own.
            return 8

    def clear_location(self, location: str) -> None:
        """Remove the result that is said to lie there, or everything below."""
        path = os.path.relpath(location, self.location)
        if path == os.curdir:
            self.clear()
        else:
            self.clear_item(os.path.split(path))

    def create_location(self, location: str) -> None:
        """Do nothing: what is stored needs no place to be made."""

    def _open_item(self, f: Any, mode: str) -> NoReturn:
        raise TypeError("a result lies in the cache, and in no file of its own")

    def _item_exists(self, location: str) -> bool:
        return self.contains_item(os.path.split(os.path.relpath(location, self.location)))

    def _move_item(self, src: str, dst: str) -> NoReturn:
        raise TypeError("a result lies in the cache, and in no file that could be moved")


joblib.register_store_backend("fastcache", FastCacheStore)
