"""Decorators that hold calls back: one at a time (barrier), or so many in so many seconds (throttle)."""

from __future__ import annotations

import functools
import inspect
from math import inf
from time import monotonic
from typing import TypeVar, cast

from fastcache.errors import Timeout
from fastcache.runtime.greenlets import sleep
from fastcache.runtime.main_module import module_name
from fastcache.sync.locks import Lock, check_patience, check_positive, seconds_of
from fastcache.sync.records import THROTTLE, Bucket, encode, holds_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fastcache.engine.mapping import StoreMapping
    from fastcache.sync.locks import _Seconds
    from fastcache.sync.records import Records, _Key

__all__ = ["barrier", "name_of", "take_token", "throttle"]

_Function = TypeVar("_Function", bound="Callable[..., Any]")

# A throttle that promises to start more calls than this in the future has been damaged.
_MOST_RESERVED = 1_000_000
# What is lost in adding up moments, in seconds: no time to wait.
_ROUNDING = 1e-6


def name_of(function: Callable[..., Any], name: Any) -> Any:
    """What stands for a function: what was given, else its module and qualified name."""
    if name is not None:
        return name
    try:
        return f"{module_name(function) or function.__module__}.{function.__qualname__}"
    except AttributeError:
        raise TypeError(f"{function!r} has no name of its own: give one with name=") from None


def barrier(
    cache: StoreMapping,
    lock_type: Callable[..., Any] = Lock,
    *,
    name: Any = None,
    expire: _Seconds = None,
    timeout: float | None = None,
) -> Callable[[_Function], _Function]:
    """A decorator: of all calls, in all threads and processes, one runs at a time.

    Args:
        cache: any cache of this package.
        lock_type: Lock, or RLock for a function that calls itself; called as ``lock_type(cache, name, expire=expire)``.
        name: of the lock; by default the function's module and qualified name.
        expire: as of Lock.
        timeout: for how many seconds (int, float) a call waits; then it raises Timeout, and the function is not called.
            None for however long it takes.

    Raises:
        TypeError: the function is a coroutine function or a generator, which returns before it runs.

    >>> with Cache() as cache:
    ...     @barrier(cache, Lock)
    ...     def rebuild():
    ...         return "done"
    ...     rebuild()
    'done'
    """
    seconds_of(expire)
    check_patience(timeout)
    bounds = {} if timeout is None else {"timeout": timeout}

    def decorate(function: _Function) -> _Function:
        if (
            inspect.iscoroutinefunction(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(f"barrier is for functions that return when they are done, which {function!r} is not")
        lock = lock_type(cache, name_of(function, name), expire=expire, **bounds)

        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:
            with lock:
                return function(*arguments, **options)

        return cast("_Function", guarded)

    return decorate


def throttle(
    cache: StoreMapping, count: int, seconds: float, *, name: Any = None, timeout: float | None = None
) -> Callable[[_Function], _Function]:
    """A decorator: calls wait until they may start, so that all threads and processes together keep to a rate.

    It is a token bucket. It holds ``count`` tokens, each call takes one, and one comes back every ``seconds / count``.
    So ``count`` calls may start at once after a pause, and from then on ``count`` in ``seconds``. They start in the
    order in which they came. A call that is interrupted while it waits has used its token. Coroutine functions sleep
    in asyncio.

    Args:
        cache: any cache of this package.
        count: how many calls (int).
        seconds: in how many seconds (int, float).
        name: what is counted together; by default the function's module and qualified name.
        timeout: for how many seconds (int, float) a call waits at most. One that would have to wait for longer raises
            Timeout at once, and uses no token. None for however long it takes.

    >>> with Cache() as cache:
    ...     @throttle(cache, 10, 1)
    ...     def ask(question):
    ...         return f"{question}?"
    ...     ask("who")
    'who?'
    """
    check_positive("count", count, int)
    check_positive("seconds", seconds, (int, float))
    check_patience(timeout)

    def decorate(function: _Function) -> _Function:
        key = (THROTTLE, name_of(function, name))

        def reserve() -> float:
            begun = monotonic()
            latest = begun + timeout if timeout is not None else inf
            return take_token(holds_of(cache).records, key, count, seconds, min(begun + cache.timeout, latest), latest)

        def left(start: float) -> float:
            return max(0.0, start - monotonic())

        if inspect.iscoroutinefunction(function):
            import asyncio

            @functools.wraps(function)
            async def later(*arguments: Any, **options: Any) -> Any:
                start = reserve()
                while (pause := left(start)) > 0.0:
                    await asyncio.sleep(pause)
                return await function(*arguments, **options)

            return cast("_Function", later)

        @functools.wraps(function)
        def throttled(*arguments: Any, **options: Any) -> Any:
            start = reserve()
            while (pause := left(start)) > 0.0:
                sleep(pause)
            return function(*arguments, **options)

        return cast("_Function", throttled)

    return decorate


def take_token(  # noqa: PLR0917
    records: Records, key: _Key, count: int, seconds: float, until: float, latest: float
) -> float:
    """Take a token of a bucket; returns when it may be used, on the monotonic clock.

    Raises:
        Timeout: that is later than ``latest``, and none was taken; or the records were locked ``until`` then.

    A bucket is known by when it will be full again: what is missing comes back one by one, evenly.
    (Turner's leaky bucket as a meter, or ATM's virtual scheduling algorithm: ITU-T I.371, annex A.)
    """
    interval = seconds / count

    def reserve() -> tuple[float, bool]:
        with records.index.transact():
            now = monotonic()
            bucket = records.bucket(key)
            full = now
            # What was written later than now is of another life of the machine.
            if bucket is not None and bucket.written <= now < bucket.full <= now + _MOST_RESERVED * interval:
                full = bucket.full
            start = max(now, full + interval - seconds)
            if start > max(now + _ROUNDING, latest):
                return start, False
            records.index[key] = encode(Bucket(now, full + interval))
            return start, True

    start, taken = records.write(reserve, until)
    if not taken:
        raise Timeout(
            f"a throttled call would have to wait for {start - monotonic():.3g} s, which is longer than its timeout"
        )
    return start
