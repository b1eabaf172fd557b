"""What asynchronous caches share: they do at once what waits for nothing, and hand over the rest to their thread."""

from __future__ import annotations

import asyncio
import re
import sys
from itertools import islice
from time import monotonic

# Loaded now, since importing something takes the GIL for longer than a loop is to wait: what iterating needs.
import fastcache.engine.undecodable
import fastcache.engine.views  # noqa: F401
from fastcache.aio.blocks import Batch, Transaction
from fastcache.aio.methods import reading, writing, writing_many
from fastcache.aio.opened import ABSENT, Opened, View
from fastcache.engine.mapping import StoreMapping
from fastcache.runtime.imports import load
from fastcache.runtime.loops import trio_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from typing import Any, Literal

    from fastcache.aio.averager import Averager
    from fastcache.aio.locks import BoundedSemaphore, Lock, RLock, _Decorator, _Seconds

__all__ = ["ELSEWHERE", "Mapping"]

ELSEWHERE: Any = object()
"""What is not at hand in memory."""

# Of many keys, so many are read at a time: while they are, this process does nothing else.
_AT_A_TIME = 100


class Mapping(Opened):
    """What every kind of cache shares."""

    # What ``get`` asks first, once it is opened.
    _find_at_once: Callable[[Any, Any, Any], Any] = staticmethod(lambda key, missing, elsewhere: elsewhere)
    _has_at_once: Callable[[Any, Any], Any] = staticmethod(lambda key, elsewhere: elsewhere)
    # What ``set`` tries first.
    _set_at_once: Callable[..., bool] | None = None

    def _was_opened(self, opened: Any) -> None:
        self._find_at_once = opened._find_at_once
        self._has_at_once = opened._has_at_once
        # Called by the first set that has something to be drained, or tidied: in the loop.
        load("fastcache.runtime.background")
        self._set_at_once = opened._set_at_once
        self._worker.timeout = opened.timeout

    async def _find(
        self, method: Callable[..., Any], key: Any, missing: Any, rest: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        """What is not in memory: asked of SQLite, here if nothing is to be waited for, else in the thread.

        Args:
            method: of the synchronous cache; its arguments are the key, the rest and the options.
            missing: what is returned if there is none.
        """
        worker, opened = self._worker, self._opened
        if opened is not None and worker.is_passed():
            may_go_on = worker.may_go_on(monotonic())
            found = opened._find_stored_at_once(key, missing, ELSEWHERE)
            worker.looped = monotonic()
            if found is not ELSEWHERE:
                if not may_go_on:
                    await worker.pause()
                return found
        return await self._run(method, (key, *rest), options, False)

    async def _put(
        self, method: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Literal[True]:
        """Set, here if nothing is to be waited for, else in the thread."""
        worker = self._worker
        if asyncio._get_running_loop() is None and trio_token() is not None:
            # Trio's rule: in a scope that is cancelled, nothing begins.
            await sys.modules["trio"].lowlevel.checkpoint_if_cancelled()
        # After what was called before, also where nobody waits for that any more; and never past a transaction.
        if (
            self._set_at_once is not None
            and worker.is_passed()
            and worker.may_go_on(monotonic())
            and self._set_at_once(*arguments, **options)
        ):
            worker.looped = monotonic()
            return True
        await self._run(method, arguments, options, True)
        return True

    # -- entries --------------------------------------------------------------------------------------------------

    async def __getitem__(self, key: Any) -> Any:
        """``await cache[key]``: the value of a key.

        Raises:
            KeyError: there is none.
        """
        worker = self._worker
        if worker.holder is None or worker.block() is None:
            found = self._find_at_once(key, ABSENT, ELSEWHERE)
            if found is ABSENT:
                raise KeyError(key)
            if found is not ELSEWHERE:
                return found
            found = await self._find(StoreMapping.__getitem__, key, ABSENT, (), {})
            if found is ABSENT:
                raise KeyError(key)
            return found
        return await self._run(StoreMapping.__getitem__, (key,), {}, False)

    async def exists(self, key: Any) -> bool:
        """Whether there is an entry (bool)."""
        worker = self._worker
        if worker.holder is None or worker.block() is None:
            found = self._has_at_once(key, ELSEWHERE)
            if found is not ELSEWHERE:
                return bool(found)
            if self._opened is not None and worker.is_passed():
                may_go_on = worker.may_go_on(monotonic())
                found = self._opened._has_stored_at_once(key, ELSEWHERE)
                worker.looped = monotonic()
                if found is not ELSEWHERE:
                    if not may_go_on:
                        await worker.pause()
                    return bool(found)
        return bool(await self._run(StoreMapping.exists, (key,), {}, False))

    delete = writing(StoreMapping.delete)
    popitem = writing(StoreMapping.popitem)
    clear = writing(StoreMapping.clear)
    incr = writing(StoreMapping.incr)
    decr = writing(StoreMapping.decr)
    delete_many = writing_many(StoreMapping.delete_many)
    flush = writing(StoreMapping.flush)
    count = reading(StoreMapping.count)
    size = reading(StoreMapping.size)
    volume = reading(StoreMapping.volume)
    vacuum = writing(StoreMapping.vacuum)

    async def get_many(self, keys: Iterable[Any], on_error: Any = "warn") -> dict[Any, Any]:
        """The values of many keys, as a dict; those that are absent are left out. See Cache.get_many.

        Up to 100 are of one moment. More are read 100 at a time, so that the loop goes on in between; inside of
        ``transact`` all are of one moment.
        """
        values: dict[Any, Any] = {}
        iterator: Iterator[Any] | None = None
        asked = 0
        while True:
            iterator, found, count = await self._run(
                _get_some, (keys if iterator is None else iterator, asked, on_error), {}, False
            )
            values.update(found)
            asked += count
            if count < _AT_A_TIME:
                return values

    async def update(self, other: Any = (), /, **items: Any) -> None:
        """Store all items of a mapping, of an iterable of pairs, and of the keywords; see Cache.update."""
        await self._run(StoreMapping.update, (other,), items, True)

    # -- iteration ------------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._walk(iter)

    def __reversed__(self) -> AsyncIterator[Any]:
        return self._walk(reversed)

    def keys(self, *, prefix: Any = None, start: Any = None, stop: Any = None, reverse: bool | None = None) -> View:
        """The keys, for ``async for``; see Cache.keys."""
        return View(self, lambda sync: sync.keys(prefix=prefix, start=start, stop=stop, reverse=reverse))

    def values(
        self,
        on_error: Any = "warn",
        *,
        prefix: Any = None,
        start: Any = None,
        stop: Any = None,
        reverse: bool | None = None,
    ) -> View:
        """The values, for ``async for``; see Cache.values."""
        return View(self, lambda sync: sync.values(on_error, prefix=prefix, start=start, stop=stop, reverse=reverse))

    def items(
        self,
        on_error: Any = "warn",
        *,
        prefix: Any = None,
        start: Any = None,
        stop: Any = None,
        reverse: bool | None = None,
    ) -> View:
        """The (key, value) pairs, for ``async for``; see Cache.items."""
        return View(self, lambda sync: sync.items(on_error, prefix=prefix, start=start, stop=stop, reverse=reverse))

    # -- blocks ---------------------------------------------------------------------------------------------------

    def transact(self, key: Any = ABSENT) -> Transaction:
        """An asynchronous context manager: what is done inside is committed together, or not at all if an exception
        leaves it, a cancellation, say. See Cache.transact.

        It belongs to its task, and to those that it starts inside. The others read what was committed before; what they
        write waits for the end, for ``timeout`` seconds at most.

        Args:
            key: where there are shards, the transaction is that of this key's.
        """
        keys = () if key is ABSENT else (key,)
        return Transaction(self._worker, lambda: self._open().transact(*keys))

    def batch(self, max_items: int = 1000, max_seconds: float = 1.0) -> Batch:
        """An asynchronous context manager for a stream of operations, which are committed many at a time; see
        Cache.batch.

        It has the coroutines ``set``, ``delete`` and ``flush``, and ``committed``."""
        return Batch(self._worker, lambda: self._open().batch(max_items, max_seconds))

    # -- recipes --------------------------------------------------------------------------------------------------

    def lock(self, name: Any, expire: _Seconds = None, *, timeout: float | None = None) -> Lock:
        """A lock across tasks, threads and processes; see fastcache.aio.Lock."""
        lock: Lock = load("fastcache.aio.locks").Lock(self, name, expire, timeout=timeout)
        return lock

    def rlock(self, name: Any, expire: _Seconds = None, *, timeout: float | None = None) -> RLock:
        """A lock that the task which holds it may acquire again; see fastcache.aio.RLock."""
        lock: RLock = load("fastcache.aio.locks").RLock(self, name, expire, timeout=timeout)
        return lock

    def bounded_semaphore(
        self, name: Any, value: int = 1, *, expire: _Seconds = None, timeout: float | None = None
    ) -> BoundedSemaphore:
        """A lock with several slots; see fastcache.aio.BoundedSemaphore."""
        make = load("fastcache.aio.locks").BoundedSemaphore
        semaphore: BoundedSemaphore = make(self, name, value, expire, timeout=timeout)
        return semaphore

    def barrier(
        self,
        lock_type: Callable[..., Any] | None = None,
        *,
        name: Any = None,
        expire: _Seconds = None,
        timeout: float | None = None,
    ) -> _Decorator:
        """A decorator of coroutine functions: of all calls, in all processes, one runs at a time; see aio.barrier."""
        locks = load("fastcache.aio.locks")
        decorator: _Decorator = locks.barrier(self, lock_type or locks.Lock, name=name, expire=expire, timeout=timeout)
        return decorator

    def throttle(self, count: int, seconds: float, *, name: Any = None, timeout: float | None = None) -> _Decorator:
        """A decorator of coroutine functions: calls wait so that all processes together keep to a rate; see
        fastcache.throttle."""
        decorator: _Decorator = load("fastcache.aio.locks").throttle(self, count, seconds, name=name, timeout=timeout)
        return decorator

    def averager(self, key: Any) -> Averager:
        """The average of numbers that any process adds, kept under the key; see fastcache.aio.Averager."""
        averager: Averager = load("fastcache.aio.averager").Averager(self, key)
        return averager

    # -- how it was opened ----------------------------------------------------------------------------------------

    @property
    def directory(self) -> str:
        """The cache's directory (str), an absolute path. Like all that tells how it was opened, this opens it."""
        directory: str = self._open().directory
        return directory

    @property
    def serializer(self) -> Any:
        """The serializer of values that SQLite has no type for."""
        return self._open().serializer

    @property
    def timeout(self) -> float:
        """Seconds (float) to wait for another writer, and for another task's transaction."""
        timeout: float = self._open().timeout
        return timeout

    @property
    def memory(self) -> int:
        """Bytes (int) of what was read that may stay in this process; 0 for none."""
        memory: int = self._open().memory
        return memory

    @property
    def read_only(self) -> bool:
        """Whether nothing is written (bool)."""
        read_only: bool = self._open().read_only
        return read_only

    @property
    def recreate(self) -> bool:
        """Whether it begins anew where its directory was removed (bool)."""
        recreate: bool = self._open().recreate
        return recreate

    @property
    def durability(self) -> Literal["normal", "full"]:
        """Whether each commit waits for the disk ("full"), or not ("normal")."""
        durability: Literal["normal", "full"] = self._open().durability
        return durability

    @property
    def compression(self) -> Literal["zstd", "lz4", "blosc2"] | None:
        """What compresses values."""
        compression: Literal["zstd", "lz4", "blosc2"] | None = self._open().compression
        return compression


def _get_some(sync: Any, keys: Iterable[Any], before: int, on_error: Any) -> tuple[Iterator[Any], dict[Any, Any], int]:
    """In the thread: the values of the next keys of an iterable, and how many keys that were."""
    iterator = iter(keys)
    some = list(islice(iterator, _AT_A_TIME))
    try:
        return iterator, sync.get_many(some, on_error), len(some)
    except (TypeError, ValueError) as error:
        place = re.match(r"item (\d+): ", str(error)) if before else None
        if place is not None:
            error.args = (f"item {before + int(place[1])}: {str(error)[place.end() :]}", *error.args[1:])
        raise
