"""Memoizing for event loops, with the keys and names of memoize/decorators.py, so that both find the same results."""

from __future__ import annotations

import functools
import inspect
from time import monotonic
from typing import Generic, ParamSpec, TypeVar

from fastcache.aio.mapping import ELSEWHERE
from fastcache.aio.once import call, compute_once
from fastcache.aio.opened import ABSENT
from fastcache.engine.mapping import now_of
from fastcache.memoize import calls, decorators
from fastcache.memoize.calls import CacheInfo
from fastcache.runtime.loops import running_loop
from fastcache.sync.flights import Ending, Flight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, Protocol, overload

    from fastcache.aio.mapping import Mapping
    from fastcache.memoize.explain import Explanation

    class _Decorate(Protocol):
        """What makes a memoized function of a function."""

        @overload
        def __call__(self, function: Callable[_P, Awaitable[_R]], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...

    class _IndexMemoize(Protocol):
        """The same, with and without parentheses."""

        @overload
        def __call__(self, function: Callable[_P, Awaitable[_R]], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(
            self,
            *,
            typed: bool = ...,
            name: str | None = ...,
            ignore: _Ignore = ...,
            version_aware: bool = ...,
            timeout: float | None = ...,
            copy: bool = ...,
        ) -> _Decorate: ...

    class _CacheMemoize(Protocol):
        """The same, with expiry and tags."""

        @overload
        def __call__(self, function: Callable[_P, Awaitable[_R]], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(
            self,
            *,
            expire: float | timedelta | None = ...,
            tag: Any = ...,
            typed: bool = ...,
            name: str | None = ...,
            ignore: _Ignore = ...,
            version_aware: bool = ...,
            timeout: float | None = ...,
            copy: bool = ...,
        ) -> _Decorate: ...

    from datetime import timedelta

    from fastcache.memoize.decorators import _Ignore

__all__ = ["Memoized", "memoize", "memoize_stampede"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

# Of arguments of these types the contents are the key, without much work.
_QUICK = frozenset({str, bytes, int, float, bool, type(None)})


class Memoized(Generic[_P, _R]):
    """A memoized function, called as the function is; what is returned is awaited.

    Args:
        cache: where results are kept.
        function: what is memoized.
        make: what makes the synchronous one (decorators.py), when the cache is open.
    """

    def __init__(self, cache: Mapping, function: Any, make: Callable[[Any], Any]) -> None:
        self._cache = cache
        self._make = make
        # The synchronous one, once it is made. It keeps the keys, and counts.
        self._made: Any = None
        functools.update_wrapper(self, function)
        mark = getattr(inspect, "markcoroutinefunction", None)
        if mark is not None:
            mark(self)

    def __repr__(self) -> str:
        return f"<memoized {self.__wrapped__!r}>"  # type: ignore[attr-defined]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else _Bound(self, instance)

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result, which others may compute meanwhile."""
        made, key = await self._key(args, kwargs)
        found = await self._find(made, key)
        if found is ABSENT:
            found = await self._compute(made, key, args, kwargs)
        else:
            made.hits += 1
        result: _R = found
        return result

    async def cache_key(self, *args: _P.args, **kwargs: _P.kwargs) -> tuple[Any, ...]:
        """The key of this call."""
        key: tuple[Any, ...] = (await self._key(args, kwargs))[1]
        return key

    async def invalidate(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Remove the result of this call; returns whether there was one (bool)."""
        return bool(await self._in_thread("invalidate", args, kwargs))

    async def cache_clear(self) -> int:
        """Remove all results of this function, also those of its other versions; returns how many (int)."""
        removed: int = await self._in_thread("cache_clear", (), {})
        return removed

    async def explain(self, *args: _P.args, **kwargs: _P.kwargs) -> Explanation:
        """Why this call is answered from the cache, or is not; see fastcache's ``explain``."""
        explanation: Explanation = await self._in_thread("explain", args, kwargs)
        return explanation

    def cache_info(self) -> CacheInfo:
        """How many calls of this process were hits, and how many had to compute (CacheInfo)."""
        made = self._made
        return CacheInfo(0, 0) if made is None else CacheInfo(made.hits, made.misses)

    async def _in_thread(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._cache._run(lambda opened: getattr(self._of(opened), name)(*args, **kwargs), (), {}, True)

    def _of(self, opened: Any) -> Any:
        """In the thread: the synchronous one."""
        if self._made is None:
            self._made = self._make(opened)
        return self._made

    async def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...]]:
        """The synchronous one, and the key of a call."""
        made = self._made
        if (
            made is not None
            and not made._asked["version_aware"]
            and all(type(each) in _QUICK for each in args)
            and all(type(each) in _QUICK for each in kwargs.values())
        ):
            return made, made.cache_key(*args, **kwargs)

        def key_of(opened: Any) -> tuple[Any, tuple[Any, ...]]:
            made = self._of(opened)
            return made, made.cache_key(*args, **kwargs)

        found: tuple[Any, tuple[Any, ...]] = await self._cache._run(key_of, (), {}, False)
        return found

    async def _find(self, made: Any, key: tuple[Any, ...]) -> Any:
        """The result under a key, or ABSENT."""
        cache = self._cache
        worker = cache._worker
        if made.copy and (worker.holder is None or worker.block() is None):
            try:
                found = cache._find_at_once(key, ABSENT, ELSEWHERE)
            except Exception:
                # What cannot be decoded is computed.
                found = ELSEWHERE
            if found is not ELSEWHERE:
                return found
        found = await cache._run(lambda _: made.find(key), (), {}, False)
        return ABSENT if found is calls.ABSENT else found

    async def _compute(self, made: Any, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What is stored of a call that was not found: computed, by this task or by another."""
        computed = False

        async def compute() -> Any:
            nonlocal computed
            computed = True
            return await self._computed(made, key, args, kwargs)

        found = await compute_once(self._cache, key, compute, made.timeout, refuses=False)
        made.count(computed)
        if computed or made.copy:
            return found
        return await self._cache._run(lambda _: made.as_found(key, found), (), {}, False)

    async def _computed(self, made: Any, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, and store what it returns."""
        begun = monotonic()
        result = await call(self._cache, made.function, *args, **kwargs)
        return await self._cache._run(lambda _: made.store(key, result, begun), (), {}, True)


class EarlyMemoized(Memoized[_P, _R]):
    """A memoized coroutine function whose results are renewed, in a task, before they expire."""

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result; the old one, too, while the next one is computed."""
        made, key = await self._key(args, kwargs)
        found = await self._find(made, key)
        if found is ABSENT:
            found = await self._compute(made, key, args, kwargs)
        else:
            made.hits += 1
            _, seconds, expires = found
            if decorators.is_due(expires, seconds, made._beta, now_of(made.cache, key)):
                await self._renew(made, key, args, kwargs)
        result: _R = found[0]
        return result

    async def _renew(self, made: Any, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Begin to renew a result, unless somebody else does."""
        loop = running_loop()
        if not hasattr(loop, "create_task"):
            # A loop of trio has tasks in nurseries alone. It is computed when it has expired.
            return
        flights, number = await self._cache._run(lambda _: (made.flights_of(key), made.number_of(key)), (), {}, False)
        if flights is None:
            return
        flight = Flight(flights, number, id(loop))
        end = Ending(flight)
        if not flights.begin(flight):
            end()
            return

        async def renew() -> None:
            try:
                await flights.lead_async(flight, lambda: self._computed(made, key, args, kwargs))
            except Exception as error:
                made.report(error)
            finally:
                end()

        task = loop.create_task(renew())
        _renewing.difference_update([other for other in _renewing if other.get_loop().is_closed()])
        _renewing.add(task)
        # It may be cancelled before it begins.
        task.add_done_callback(end)
        task.add_done_callback(_renewing.discard)


# Loops do not remember their tasks.
_renewing: set[Any] = set()


class _Bound:
    """A memoized method, looked up on an instance."""

    def __init__(self, memoized: Memoized[..., Any], instance: object) -> None:
        self.__func__ = memoized
        self.__self__ = instance

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__func__, name)
        if name in ("cache_key", "invalidate", "explain"):
            return functools.partial(found, self.__self__)
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"


def memoize(cache: Mapping, function: Any, how: dict[str, Any]) -> Any:
    """A function whose results are in a cache; without one, what makes it."""
    if function is None:
        return lambda function: memoize(cache, function, how)
    return _wrapped(Memoized, cache, function, lambda opened: decorators.memoize(opened, function, **how))


def memoize_stampede(cache: Mapping, how: dict[str, Any]) -> _Decorate:
    """What makes a memoized coroutine function whose results are renewed early."""

    def decorate(function: Any) -> Any:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"aio.memoize_stampede is for coroutine functions (async def), which {function!r} is not")
        return _wrapped(
            EarlyMemoized, cache, function, lambda opened: decorators.memoize_stampede(opened, function, **how)
        )

    return decorate


def _wrapped(
    kind: type[Memoized[..., Any]], cache: Mapping, function: Any, make: Callable[[Any], Any]
) -> Memoized[..., Any]:
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"what is memoized must be a function or method, not {type(function).__qualname__}")
    return kind(cache, function, make)
