"""Locks for tasks: Lock, RLock and BoundedSemaphore, and what is built on them.

They are those of fastcache (sync/locks.py), in the same records: tasks, threads and processes exclude one another, and
come first, get first. What is always true, and who keeps it so:

- **A hold belongs to the task that acquired it.** Which task that is, is known here; the records know a token, as of
  any other holder, whose byte is locked for as long as this process holds it.
- **No task waits in a thread of its own**: all wait in one (bell.py), which wakes them.
- **Who is cancelled gives up its place, exactly**: what it has begun in the thread of the cache is done, and behind it,
  in the same thread, undone.
"""

from __future__ import annotations

import functools
import inspect
import math
from time import monotonic
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

from fastcache.aio.bell import bell_of
from fastcache.aio.worker import Call
from fastcache.errors import ClosedError, LockError, Timeout
from fastcache.runtime.loops import current_task, sleep
from fastcache.sync import locks as sync
from fastcache.sync.holds import seconds_to_wait
from fastcache.sync.records import THROTTLE, holds_of
from fastcache.sync.throttle import name_of, take_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import EllipsisType, TracebackType
    from typing import Any, TypeAlias

    from typing_extensions import Self

    from fastcache.aio.opened import Opened
    from fastcache.sync.holds import Hold, Holds

    _Seconds: TypeAlias = float | timedelta | None
    _Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = ["BoundedSemaphore", "Lock", "RLock", "barrier", "throttle"]

# The bits of all who wait.
_ALL = 0xFFFFFFFF

_Function = TypeVar("_Function", bound="Callable[..., Any]")


class _Acquired:
    """What a task holds, or is about to.

    Attributes:
        task: whose it is.
        hold: its token; None as long as it has none.
        handle: the synchronous lock that knows the records.
        times: how often it was acquired (int).
    """

    def __init__(self, task: Any) -> None:
        self.task = task
        self.hold: Hold | None = None
        self.holds: Holds | None = None
        self.handle: Any = None
        self.times = 1

    @property
    def lives(self) -> bool:
        """Whether it was neither given back nor freed by closing its cache."""
        return self.hold is not None and self.hold.lives

    def is_open(self) -> bool:
        """Whether the cache is open through which it was acquired."""
        return self.holds is not None and not self.holds.closed

    # -- in the thread --------------------------------------------------------------------------------------------

    def begin(self, handle: Any, blocking: bool, until: float) -> bool:
        """Have it at once, or wait in the queue."""
        holds: Holds = handle._open()
        self.handle, self.holds = handle, holds
        self.hold = holds.begin(handle._key, 0)
        taken: bool = handle._take(holds, self.hold.token, blocking, until)
        return taken

    def look(self, until: float) -> bool | None:
        """Whether it is ours by now, or will not be, or None."""
        assert self.hold is not None
        taken: bool | None = self.handle._look(self.holds, self.hold.token, until)[0]
        return taken

    def withdraw(self) -> None:
        """Have it no more, and wait for it no more."""
        if self.hold is not None:
            self.hold.give_up()
            self.handle._withdraw(self.holds, self.hold.token)

    def pass_on(self) -> bool:
        """Give it to who has waited longest; returns whether it was still ours."""
        assert self.hold is not None
        try:
            still: bool = self.handle._pass_on(self.holds, self.hold.token)
        except BaseException:
            # Who waits sees a holder that is gone.
            self.hold.give_up()
            self.handle._open().records.notify(_ALL)
            raise
        self.hold.give_up()
        return still

    def do(self, method: str, *arguments: Any) -> Any:
        """Call a method of the synchronous lock about it."""
        assert self.hold is not None
        return getattr(self.handle, method)(self.holds, self.hold.token, *arguments)


class _Handle:
    """What Lock, RLock and BoundedSemaphore share."""

    _kind: Any

    def __init__(
        self, cache: Opened, name: Any, expire: _Seconds = None, *, timeout: float | None = None, **slots: int
    ) -> None:
        self._cache = cache
        self._name = name
        self._expire = sync.seconds_of(expire)
        self._timeout = sync.check_patience(timeout)
        self._slots = slots
        self._acquired: list[_Acquired] = []
        # By blocks, which have not been left yet.
        self._entered: list[_Acquired] = []

    def __del__(self) -> None:
        for acquired in vars(self).get("_acquired", ()):
            if acquired.lives:
                acquired.hold.give_up()
                acquired.holds.records.notify(_ALL)

    def __repr__(self) -> str:
        return f"aio.{type(self).__name__}({self._cache!r}, {self._name!r})"

    @property
    def name(self) -> Any:
        """What it was made with; locks of one name exclude each other."""
        return self._name

    @property
    def expire(self) -> float | None:
        """After how many seconds (float) it is free even if it was not released; None for never."""
        return self._expire

    @property
    def timeout(self) -> float | None:
        """For how many seconds (float) who acquires it waits, unless told otherwise; None for however long it takes."""
        return self._timeout

    async def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Have it, after all who have asked before; see fastcache.Lock.acquire.

        Args:
            blocking: whether to wait for it.
            timeout: for how many seconds (int, float) at most; -1 for however long it takes, None for as long as it was
                made for.

        Returns:
            Whether it was acquired.
        """
        return await self._take(blocking, self._timeout if timeout is None and blocking else timeout) is not None

    async def release(self) -> bool:
        """Let go of what this task has acquired last, and hand it to who has waited longest.

        Returns:
            True; False if it was no longer ours: it had expired, and another one has got it, who keeps it.

        Raises:
            LockError: this task has not acquired it, or has released it already.
            ClosedError: the cache was closed, and with that it was released.
        """
        return await self._give_back(self._find())

    async def extend(self, expire: _Seconds | EllipsisType = ...) -> bool:
        """Keep what this task has acquired for longer; see fastcache.Lock.extend."""
        seconds = self._expire if isinstance(expire, type(...)) else sync.seconds_of(expire)
        return bool(await self._in_thread(self._find().do, "_prolong", seconds))

    async def locked(self) -> bool:
        """Whether it cannot be had now (bool): all who may hold it do."""
        return bool(await self._cache._run(lambda cache: self._handle_of(cache).locked(), (), {}, False))

    async def __aenter__(self) -> Self:
        acquired = await self._take(True, self._timeout)
        if acquired is None:
            raise Timeout(f"the {self._kind._kind} was not free within the {self._timeout:g} s that it was waited for")
        self._entered.append(acquired)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # One that is thrown away together with its loop runs in none, and must not wait.
        is_thrown_away = kind is not None and issubclass(kind, GeneratorExit)
        task = current_task()
        places = reversed(range(len(self._entered)))
        index = next((place for place in places if is_thrown_away or self._entered[place].task is task), None)
        if index is None:
            raise LockError("a block of a lock is left by the task that has entered it")
        acquired = self._entered.pop(index)
        if is_thrown_away:
            self._undo(acquired)
            self._forget(acquired)
            return
        if not acquired.is_open():
            # It was released then.
            return
        try:
            await self._give_back(acquired if acquired.lives else self._find())
        except (LockError, ClosedError):
            if kind is None and acquired.is_open():
                raise

    # -- how ------------------------------------------------------------------------------------------------------

    def _handle_of(self, cache: Any) -> Any:
        """In the thread: the synchronous lock."""
        return self._kind(cache, self._name, **self._slots, expire=self._expire, timeout=self._timeout)

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        # Records are not what a transaction is about: nobody waits for its end to lock.
        return await Call(function, arguments, writes=False).over(self._cache._worker)

    def _undo(self, acquired: _Acquired) -> None:
        """Have it no more, whatever is still to come of it in the thread."""
        if acquired.hold is not None:
            acquired.hold.give_up()
        self._cache._worker.post(Call(acquired.withdraw, writes=False, keep=True))

    async def _take(self, blocking: bool, timeout: float | None) -> _Acquired | None:
        """What this task holds now; None if it was not to be had in time."""
        until = monotonic() + seconds_to_wait(blocking, timeout)
        acquired = _Acquired(current_task())
        try:
            if await self._waited(acquired, blocking, until):
                self._acquired.append(acquired)
                return acquired
        except BaseException as error:
            self._undo(acquired)
            # Waiting for the records was part of waiting for the lock.
            if isinstance(error, Timeout) and blocking and monotonic() >= until:
                return None
            raise
        self._undo(acquired)
        return None

    async def _waited(self, acquired: _Acquired, blocking: bool, until: float) -> bool:
        """Whether it was to be had in time."""

        def begin(cache: Any) -> bool:
            return acquired.begin(self._handle_of(cache), blocking, until)

        taken: bool | None = await self._cache._run(begin, (), {}, False)
        if not blocking or taken:
            return bool(taken)
        assert acquired.hold is not None
        assert acquired.holds is not None
        while True:
            taken = await self._in_thread(acquired.look, until)
            if taken is not None:
                return taken
            bell = bell_of(acquired.holds.records)
            await bell.wait(acquired.holds, acquired.handle._key, acquired.hold.token, until)

    def _find(self) -> _Acquired:
        """What this task has acquired last."""
        task = current_task()
        for acquired in reversed(self._acquired):
            if acquired.task is task and acquired.lives:
                return acquired
        if self._cache._closed:
            raise ClosedError("the cache was closed, and what was held through it is free")
        raise LockError(f"this task has not acquired the {self._kind._kind}, or has released it already")

    async def _give_back(self, acquired: _Acquired) -> bool:
        """Undo one acquisition; returns whether it was still ours."""
        self._forget(acquired)
        return bool(await Call(acquired.pass_on, writes=False, keep=True).over(self._cache._worker))

    def _forget(self, acquired: _Acquired) -> None:
        self._acquired = [other for other in self._acquired if other is not acquired and other.lives]


class Lock(_Handle):
    """A lock that one task of one process holds at a time, first come, first served; see fastcache.Lock.

    Args:
        cache: any cache of fastcache.aio.
        name, expire, timeout: as of fastcache.Lock. Locks of the same directory and name exclude each other, whether
            tasks or threads hold them.
    """

    _kind = sync.Lock


class RLock(_Handle):
    """A lock that the task which holds it may acquire again, through any RLock of the name; see fastcache.RLock.

    Args: as of Lock.
    """

    _kind = sync.RLock

    async def _take(self, blocking: bool, timeout: float | None) -> _Acquired | None:
        held = self._held()
        if held is not None and await self._in_thread(held.do, "_renew") and held.lives:
            seconds_to_wait(blocking, timeout)
            held.times += 1
            return held
        acquired = await super()._take(blocking, timeout)
        if acquired is not None:
            # Whoever has an RLock of the name can release it.
            self._acquired.remove(acquired)
            _reentrant.setdefault(acquired.task, []).append(acquired)
        return acquired

    def _held(self) -> _Acquired | None:
        """What this task holds already."""
        opened = self._cache._opened
        if opened is None:
            return None
        directory, name = opened.directory, (sync.RLock._kind, self._name)
        for acquired in _reentrant.get(current_task(), ()):
            if acquired.lives and acquired.handle._key == name and acquired.handle._cache.directory == directory:
                return acquired
        return None

    def _find(self) -> _Acquired:
        return self._held() or super()._find()

    async def _give_back(self, acquired: _Acquired) -> bool:
        acquired.times -= 1
        if acquired.times:
            return bool(await self._in_thread(acquired.do, "_is_held"))
        return await super()._give_back(acquired)

    def _forget(self, acquired: _Acquired) -> None:
        super()._forget(acquired)
        held = _reentrant.get(acquired.task)
        if held is not None:
            held[:] = [other for other in held if other is not acquired and other.lives]


# What tasks have acquired of RLocks.
_reentrant: WeakKeyDictionary[Any, list[_Acquired]] = WeakKeyDictionary()


class BoundedSemaphore(_Handle):
    """A lock with several slots; see fastcache.BoundedSemaphore.

    Args:
        cache: any cache of fastcache.aio.
        name, value, expire, timeout: as of fastcache.BoundedSemaphore.
    """

    _kind = sync.BoundedSemaphore

    def __init__(
        self, cache: Opened, name: Any, value: int = 1, expire: _Seconds = None, *, timeout: float | None = None
    ) -> None:
        sync.check_positive("value", value, int)
        super().__init__(cache, name, expire, timeout=timeout, value=int(value))

    @property
    def value(self) -> int:
        """How many slots there are (int)."""
        return self._slots["value"]


def barrier(
    cache: Opened,
    lock_type: Callable[..., Any] = Lock,
    *,
    name: Any = None,
    expire: _Seconds = None,
    timeout: float | None = None,
) -> Callable[[_Function], _Function]:
    """A decorator of coroutine functions: of all calls, in all tasks and processes, one runs at a time.

    Args:
        cache: any cache of fastcache.aio.
        lock_type: Lock, or RLock for a function that calls itself.
        name, expire, timeout: as of fastcache.barrier.

    Raises:
        TypeError: the function is no coroutine function.
    """
    sync.seconds_of(expire)
    sync.check_patience(timeout)

    def decorate(function: _Function) -> _Function:
        _refuse_others("barrier", function)
        lock = lock_type(cache, name_of(function, name), expire=expire, timeout=timeout)

        @functools.wraps(function)
        async def guarded(*arguments: Any, **options: Any) -> Any:
            async with lock:
                return await function(*arguments, **options)

        return cast("_Function", guarded)

    return decorate


def throttle(
    cache: Opened, count: int, seconds: float, *, name: Any = None, timeout: float | None = None
) -> Callable[[_Function], _Function]:
    """A decorator of coroutine functions: calls wait until they may start, so that all tasks and processes together
    keep to a rate.

    Args:
        cache: any cache of fastcache.aio.
        count, seconds, name, timeout: as of fastcache.throttle.

    Raises:
        TypeError: the function is no coroutine function.
    """
    sync.check_positive("count", count, int)
    sync.check_positive("seconds", seconds, (int, float))
    sync.check_patience(timeout)

    def decorate(function: _Function) -> _Function:
        _refuse_others("throttle", function)
        key = (THROTTLE, name_of(function, name))

        def start(opened: Any) -> float:
            begun = monotonic()
            latest = begun + timeout if timeout is not None else math.inf
            until = min(begun + opened.timeout, latest)
            return take_token(holds_of(opened).records, key, count, seconds, until, latest)

        @functools.wraps(function)
        async def throttled(*arguments: Any, **options: Any) -> Any:
            begins = await cache._run(start, (), {}, False)
            while (pause := begins - monotonic()) > 0.0:
                await sleep(pause)
            return await function(*arguments, **options)

        return cast("_Function", throttled)

    return decorate


def _refuse_others(what: str, function: Any) -> None:
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"aio.{what} is for coroutine functions (async def), which {function!r} is not")
