"""``get_or_set``: a missing value is computed once, whoever asks, and no thread waits for it.

Who computes what is missing is known to sync/single_flight.py, of all tasks, threads and processes. What touches the
disk (to look once more, to store) is done in the thread of the cache; nothing waits there for another computation,
which may need it.
"""

from __future__ import annotations

import inspect

from fastcache.aio.opened import ABSENT
from fastcache.engine.computing import find_again
from fastcache.errors import DecodeError, DirectoryGoneError, UntrustedValueError
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from fastcache.aio.mapping import Mapping

__all__ = ["call", "compute_once", "get_or_set"]


async def get_or_set(  # noqa: PLR0917
    cache: Mapping, key: Any, factory: Callable[[], Any], how: dict[str, Any], timeout: float | None, copy: bool
) -> Any:
    """The value of a key; if absent, what ``factory`` returns is stored first, by one caller at a time."""
    found = await _find(cache, key, copy)
    if found is not ABSENT:
        return found

    async def compute() -> Any:
        value = await call(cache, factory)
        return await cache._run(_put, (key, value, how), {}, True)

    made = await compute_once(cache, key, compute, timeout)
    if copy:
        return made
    # As a hit would give it.
    found = await _find(cache, key, False)
    return made if found is ABSENT else found


async def compute_once(
    cache: Mapping, key: Any, compute: Callable[[], Awaitable[Any]], timeout: float | None, refuses: bool = True
) -> Any:
    """The value of a key that was found absent: what ``compute`` returns after it has stored it, or another has.

    Args:
        refuses: whether nothing is computed where nothing can be stored.
    """
    inside = cache._worker.block() is not None

    def begin(opened: Any) -> tuple[Any, int, float]:
        single_flight = load("fastcache.sync.single_flight")
        patience = opened.timeout if timeout is None else single_flight.check_timeout(timeout)
        if opened.read_only:
            if refuses:
                opened.store.refuse_writing()
            return None, 0, patience
        if inside:
            # Others cannot store it before this transaction ends.
            return None, 0, patience
        try:
            flights = opened._single_flight
            if flights is None:
                flights = opened._single_flight = single_flight.single_flight_of(opened.store)
        except DirectoryGoneError:
            return None, 0, patience
        return flights, single_flight.number_of(key, opened.serializer), patience

    async def look(absent: Any) -> Any:
        return await cache._run(find_again, (key, absent), {}, False)

    flights, number, patience = await cache._run(begin, (), {}, False)
    if flights is None:
        return await compute()
    return await flights.run_async(number, look, compute, patience)


async def call(cache: Mapping, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Await a coroutine function; call a function in the thread of the cache."""
    if inspect.iscoroutinefunction(function):
        return await function(*arguments, **options)
    result = await cache._run(lambda _: function(*arguments, **options), (), {}, False)
    # A partial of a coroutine function, say, or what has no other sign of it.
    return await result if inspect.isawaitable(result) else result


async def _find(cache: Mapping, key: Any, copy: bool) -> Any:
    """What is stored, or ABSENT, as which counts what cannot be decoded."""
    try:
        return await cache.get(key, ABSENT, copy=copy)  # type: ignore[attr-defined]
    except (UntrustedValueError, DecodeError):
        return ABSENT


def _put(opened: Any, key: Any, value: Any, how: dict[str, Any]) -> Any:
    """In the thread: add a value; returns what is there then, whoever has stored it."""
    while not opened.add(key, value, **how):
        try:
            found = opened.get(key, ABSENT)
        except (UntrustedValueError, DecodeError):
            opened.set(key, value, **how)
            return value
        if found is not ABSENT:
            return found
    return value
