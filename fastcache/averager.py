"""Averager: the average of numbers, an entry like any other."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any

    from fastcache.engine.mapping import StoreMapping

__all__ = ["Averager"]


class Averager:
    """The average of numbers that any number of threads and processes add.

    It is an entry of the cache like any other: a tuple of the total and the count.

    Args:
        cache: any cache of this package.
        key: of the entry.
        expire, tag: of the entry, as in ``Cache.set``, counted from the last ``add``; not for an Index.

    >>> with Cache() as cache:
    ...     latency = Averager(cache, "latency")
    ...     latency.add(0.080)
    ...     latency.add(0.120)
    ...     round(latency.get(), 3), round(latency.pop(), 3), latency.get()
    (0.1, 0.1, None)
    """

    def __init__(self, cache: StoreMapping, key: Any, expire: float | timedelta | None = None, tag: Any = None) -> None:
        self._cache: Any = cache
        self._key = key
        given = {"expire": expire, "tag": tag}
        self._options = {name: option for name, option in given.items() if option is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cache, self._key, self._options.get("expire"), self._options.get("tag"))

    def __repr__(self) -> str:
        options = "".join(f", {name}={option!r}" for name, option in self._options.items())
        return f"Averager({self._cache!r}, {self._key!r}{options})"

    def add(self, value: float) -> None:
        """Add a number (int, float), atomically.

        Raises:
            TypeError: it is no number, or what is stored under the key is no average.
        """
        if not isinstance(value, (int, float)):
            raise TypeError(f"the average is of numbers, not {type(value).__name__}")
        with self._cache.transact(self._key):
            total, count = self._pair(self._cache.get(self._key))
            self._cache.set(self._key, (total + value, count + 1), **self._options)

    def get(self) -> float | None:
        """The average (float); None if nothing was added."""
        return self._average(self._cache.get(self._key))

    def pop(self) -> float | None:
        """Begin anew; returns what the average was (float), or None."""
        return self._average(self._cache.pop(self._key, None))

    def _average(self, stored: Any) -> float | None:
        total, count = self._pair(stored)
        return total / count if count else None

    def _pair(self, stored: Any) -> tuple[float, int]:
        if stored is None:
            return 0.0, 0
        # Some serializers make lists of tuples.
        if isinstance(stored, (tuple, list)) and len(stored) == 2:
            total, count = stored
            if isinstance(total, (int, float)) and isinstance(count, int) and count > 0:
                return total, count
        raise TypeError(f"what is stored under the key is no average but of the type {type(stored).__name__}")
