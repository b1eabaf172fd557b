"""Averager: the average of numbers, an entry like any other."""

from __future__ import annotations

from fastcache.averager import Averager as SyncAverager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import timedelta
    from typing import Any

    from fastcache.aio.opened import Opened

__all__ = ["Averager"]


class Averager:
    """The average of numbers that any number of tasks, threads and processes add; see fastcache.Averager.

    Args:
        cache: any cache of fastcache.aio.
        key: of the entry.
        expire, tag: of the entry, as in ``Cache.set``, counted from the last ``add``; not for an Index.
    """

    def __init__(self, cache: Opened, key: Any, expire: float | timedelta | None = None, tag: Any = None) -> None:
        self._cache = cache
        self._arguments = (key, expire, tag)

    async def add(self, value: float) -> None:
        """Add a number (int, float), atomically.

        Raises:
            TypeError: it is no number, or what is stored under the key is no average.
        """
        await self._cache._run(lambda sync: SyncAverager(sync, *self._arguments).add(value), (), {}, True)

    async def get(self) -> float | None:
        """The average (float); None if nothing was added."""
        average: float | None = await self._cache._run(
            lambda sync: SyncAverager(sync, *self._arguments).get(), (), {}, False
        )
        return average

    async def pop(self) -> float | None:
        """Begin anew; returns what the average was (float), or None."""
        average: float | None = await self._cache._run(
            lambda sync: SyncAverager(sync, *self._arguments).pop(), (), {}, True
        )
        return average
