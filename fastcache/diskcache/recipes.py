"""Recipes on a cache with diskcache's face: Averager, locks, throttle, barrier, memoize_stampede.

All of them are entries of the cache, as in diskcache: what one process has acquired another one may release, a lock
can be looked at and deleted like any entry, and one whose holder was killed stays until it expires. For locks that end
with their holder, and are handed on in turn, see fastcache.Lock and its kinds.
"""

from __future__ import annotations

import functools
import math
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.core import ENOVAL, full_name
from fastcache.diskcache.memoizing import cache_key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    _Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = ["Averager", "BoundedSemaphore", "Lock", "RLock", "barrier", "memoize_stampede", "throttle"]

# How long a waiter sleeps between two looks, in seconds: at first, and at most.
_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.01


class _Entry:
    """An entry that is used as something else.

    Args:
        cache: a Cache, FanoutCache or DjangoCache.
        key: of the entry.
        expire: seconds until it expires; None for never.
        tag: of the entry.
    """

    def __init__(self, cache: Any, key: Any, expire: float | None = None, tag: Any = None) -> None:
        self._cache = cache
        self._key = key
        self._expire = expire
        self._tag = tag

    def _set(self, value: Any) -> None:
        self._cache.set(self._key, value, expire=self._expire, tag=self._tag, retry=True)


class Averager(_Entry):
    """The average of numbers that threads and processes add.

    >>> from fastcache.diskcache import Averager, Cache
    >>> latency = Averager(Cache(), "latency")
    >>> latency.add(0.5)
    >>> latency.add(1.5)
    >>> latency.get(), latency.pop(), latency.get()
    (1.0, 1.0, None)
    """

    def add(self, value: float) -> None:
        """Add a number."""
        with self._cache.transact(retry=True):
            total, count = self._cache.get(self._key, default=(0.0, 0), retry=True)
            self._set((total + value, count + 1))

    def get(self) -> float | None:
        """The average, or None of none."""
        return self._average(self._cache.get(self._key, default=(0.0, 0), retry=True))

    def pop(self) -> float | None:
        """The same; then it begins anew."""
        return self._average(self._cache.pop(self._key, default=(0.0, 0), retry=True))

    @staticmethod
    def _average(stored: tuple[float, int]) -> float | None:
        total, count = stored
        return total / count if count else None


class _Acquirable(_Entry):
    """What is acquired, and waited for until it can be."""

    def _try(self) -> bool:
        """Acquire it if it is free; returns whether that was done."""
        raise NotImplementedError

    def acquire(self) -> None:
        """Wait until it is free, and take it."""
        pause = _SHORTEST_PAUSE
        while not self._try():
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def release(self) -> None:
        """Let another one have it."""
        raise NotImplementedError

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()


class Lock(_Acquirable):
    """A lock across threads and processes; not re-entrant, and released by whoever calls ``release``.

    >>> from fastcache.diskcache import Cache, Lock
    >>> lock = Lock(Cache(), "report")
    >>> with lock:
    ...     lock.locked()
    True
    """

    def _try(self) -> bool:
        # Looking is cheap, and keeps nobody from writing.
        added: bool = not self.locked() and self._cache.add(
            self._key, None, expire=self._expire, tag=self._tag, retry=True
        )
        return added

    def release(self) -> None:
        """Let another one have it."""
        self._cache.delete(self._key, retry=True)

    def locked(self) -> bool:
        """Whether somebody has it."""
        return self._key in self._cache


def _thread() -> str:
    return f"{os.getpid()}-{threading.get_ident()}"


class RLock(_Acquirable):
    """A lock across threads and processes that the thread which has it may acquire again.

    >>> from fastcache.diskcache import Cache, RLock
    >>> lock = RLock(Cache(), "user:1")
    >>> with lock, lock:
    ...     "twice"
    'twice'
    """

    def _try(self) -> bool:
        owner, count = self._cache.get(self._key, default=(None, 0), retry=True)
        if count and owner != _thread():
            return False
        with self._cache.transact(retry=True):
            owner, count = self._cache.get(self._key, default=(None, 0), retry=True)
            if count and owner != _thread():
                return False
            self._set((_thread(), count + 1))
        return True

    def release(self) -> None:
        """Give it back once; raises AssertionError if this thread has not acquired it."""
        with self._cache.transact(retry=True):
            owner, count = self._cache.get(self._key, default=(None, 0), retry=True)
            if owner != _thread() or not count:
                raise AssertionError("cannot release un-acquired lock")
            self._set((owner, count - 1))


class BoundedSemaphore(_Acquirable):
    """A semaphore across threads and processes, which so many may have at a time.

    Args:
        cache, key, expire, tag: as of a Lock.
        value: how many may have it (int).

    >>> from fastcache.diskcache import BoundedSemaphore, Cache
    >>> semaphore = BoundedSemaphore(Cache(), "slots", value=2)
    >>> with semaphore, semaphore:
    ...     "two of them"
    'two of them'
    """

    def __init__(self, cache: Any, key: Any, value: int = 1, expire: float | None = None, tag: Any = None) -> None:
        super().__init__(cache, key, expire, tag)
        self._value = value

    def _left(self) -> int:
        left: int = self._cache.get(self._key, default=self._value, retry=True)
        return left

    def _try(self) -> bool:
        if self._left() <= 0:
            return False
        with self._cache.transact(retry=True):
            left = self._left()
            if left <= 0:
                return False
            self._set(left - 1)
        return True

    def release(self) -> None:
        """Give it back; raises AssertionError if nobody has it."""
        with self._cache.transact(retry=True):
            left = self._left()
            if left >= self._value:
                raise AssertionError("cannot release un-acquired semaphore")
            self._set(left + 1)


def throttle(
    cache: Any,
    count: float,
    seconds: float,
    name: str | None = None,
    expire: float | None = None,
    tag: Any = None,
    time_func: Callable[[], float] = time.time,
    sleep_func: Callable[[float], object] = time.sleep,
) -> _Decorator:
    """A decorator: of all threads and processes together, so many calls begin in so many seconds. It is a token bucket.

    Args:
        cache: where it is kept.
        count, seconds: how many calls, in how many seconds.
        name: the key (str); by default the function's module and qualified name.
        expire, tag: of the entry.
        time_func, sleep_func: the clock, in seconds, and what waits.

    >>> from fastcache.diskcache import Cache, throttle
    >>> @throttle(Cache(), 10, 1)
    ... def ask():
    ...     return "answer"
    >>> ask()
    'answer'
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        rate = count / float(seconds)
        key = full_name(function) if name is None else name
        cache.set(key, (time_func(), count), expire=expire, tag=tag, retry=True)

        def wait_for() -> float:
            """Take a token; returns for how long to wait for one, if there is none."""
            with cache.transact(retry=True):
                now = time_func()
                last, tally = cache.get(key, default=(now, count), retry=True)
                tally = min(tally + (now - last) * rate, count)
                if tally < 1:
                    delay: float = (1 - tally) / rate
                    return delay
                cache.set(key, (now, tally - 1), expire=expire, tag=tag, retry=True)
            return 0.0

        @functools.wraps(function)
        def throttled(*args: Any, **kwargs: Any) -> Any:
            while delay := wait_for():
                sleep_func(delay)
            return function(*args, **kwargs)

        return throttled

    return decorate


def barrier(
    cache: Any, lock_factory: Callable[..., Any], name: str | None = None, expire: float | None = None, tag: Any = None
) -> _Decorator:
    """A decorator: of all calls, in all threads and processes, so many run at a time as the lock allows.

    Args:
        cache: where it is kept.
        lock_factory: Lock, RLock or BoundedSemaphore, called as ``lock_factory(cache, key, expire=expire, tag=tag)``.
        name: the key (str); by default the function's module and qualified name.
        expire, tag: of the entry.

    >>> from fastcache.diskcache import Cache, Lock, barrier
    >>> @barrier(Cache(), Lock)
    ... def rebuild():
    ...     return "done"
    >>> rebuild()
    'done'
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        lock = lock_factory(cache, full_name(function) if name is None else name, expire=expire, tag=tag)

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return function(*args, **kwargs)

        return guarded

    return decorate


def memoize_stampede(
    cache: Any,
    expire: float,
    name: str | None = None,
    typed: bool = False,
    tag: Any = None,
    beta: float = 1,
    ignore: Iterable[Any] = (),
) -> _Decorator:
    """A decorator: results are kept, and now and then renewed by a thread before they expire, so that nobody waits for
    them.

    How likely a call is to have its result renewed grows towards the expiry, and with the time that the computation
    has taken (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).

    Args:
        cache: where they are kept: under the key that the function's ``__cache_key__(...)`` tells lies a tuple of the
            result and how long it took, in seconds.
        expire: seconds until a result expires.
        name, typed, tag, ignore: as of ``Cache.memoize``.
        beta: more than 1 renews earlier, less later.

    >>> from fastcache.diskcache import Cache, memoize_stampede
    >>> @memoize_stampede(Cache(), expire=60)
    ... def report(day):
    ...     return f"all about {day}"
    >>> report("Monday"), report("Monday")
    ('all about Monday', 'all about Monday')
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        cache_key = cache_key_of(function, name, typed, ignore)

        def compute(key: tuple[Any, ...], args: Any, kwargs: Any) -> Any:
            begun = time.time()
            result = function(*args, **kwargs)
            cache.set(key, (result, time.time() - begun), expire=expire, tag=tag, retry=True)
            return result

        @functools.wraps(function)
        def memoized(*args: Any, **kwargs: Any) -> Any:
            key = cache_key(*args, **kwargs)
            found, expires = cache.get(key, default=ENOVAL, expire_time=True, retry=True)
            if found is ENOVAL:
                return compute(key, args, kwargs)
            result, took = found
            # Never 0, of which there is no logarithm.
            early = -took * beta * math.log(1.0 - random.random())
            # One thread is enough.
            if early >= expires - time.time() and cache.add((*key, ENOVAL), None, expire=took, retry=True):
                threading.Thread(target=compute, args=(key, args, kwargs), daemon=True).start()
            return result

        memoized.__cache_key__ = cache_key  # type: ignore[attr-defined]
        return memoized

    return decorate
