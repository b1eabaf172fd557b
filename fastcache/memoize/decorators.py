"""Memoizing: a function's results in a cache, under a key made of the call; computed once, whoever asks.

Keys, hits and misses are compiled (calls.pyx, which says what a key looks like); who computes what is missing is
decided by sync/single_flight.py. Here is what is rare: making the wrapper, and renewing before it expires. What is
always true:

- A result is found again by the same call of the same function alone. The first part of the key names the function
  (module and qualified name, or ``name``) with its signature, and whatever else decides what a call is:
  "module:qualname(a, *, b=)", then marks (names.py).
- Exceptions are not stored. None is a result like any other.
- While the function runs no lock is held, but what keeps others from computing the same.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import sys
from math import log
from random import random
from time import monotonic

from fastcache.engine.computing import find_again
from fastcache.engine.mapping import now_of
from fastcache.errors import ReadOnlyWarning
from fastcache.memoize.calls import ABSENT, NO_DEFAULT, BoundCall, CacheInfo, Call, quicken
from fastcache.memoize.code_hash import fingerprint_and_seen
from fastcache.memoize.content_hash import NoContentError, digest
from fastcache.memoize.names import name_of, unnamed
from fastcache.memoize.travel import goes_by_value, reopened
from fastcache.runtime.greenlets import identity
from fastcache.runtime.imports import load, warn
from fastcache.sync.flights import Ending, Flight
from fastcache.sync.single_flight import check_timeout, number_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable
    from datetime import timedelta
    from typing import Any, ParamSpec, TypeAlias, TypeVar

    from fastcache.engine.mapping import StoreMapping
    from fastcache.errors import CacheError
    from fastcache.memoize.explain import Explanation
    from fastcache.sync.single_flight import SingleFlight

    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _Ignore: TypeAlias = Iterable[str | int] | str | int
else:
    _P = _R = None

__all__ = ["CacheInfo", "Memoized", "memoize", "memoize_stampede"]

_CLEARED_AT_ONCE = 1000


class Memoized(Call[_P, _R]):
    """A memoized function, called as the function is."""

    _has_told = False

    def __init__(self, cache: StoreMapping, function: Callable[_P, _R], how: dict[str, Any], **parameters: Any) -> None:
        version_aware: bool = parameters.pop("version_aware")
        # How it was asked for: what ``_parameters`` was told.
        self._asked: dict[str, Any] = parameters.pop("asked")
        opening: str = parameters.pop("opening")
        super().__init__(cache, function, how=how, opening=None if version_aware else opening, **parameters)
        functools.update_wrapper(self, function)
        # What it is called in its keys, whatever its code.
        self.unversioned = opening

    def cache_info(self) -> CacheInfo:
        """How many calls of this process were hits, and how many had to compute (CacheInfo)."""
        return CacheInfo(self.hits, self.misses)

    def cache_clear(self) -> int:
        """Remove all results of this function, also those of its other versions; returns how many (int)."""
        removed = 0
        doomed = []
        for key in self.cache:
            if type(key) is tuple and key and self._is_opening(key[0]):
                doomed.append(key)
                if len(doomed) == _CLEARED_AT_ONCE:
                    removed += self.cache.delete_many(doomed)
                    doomed.clear()
        return removed + self.cache.delete_many(doomed)

    def invalidate(self, *args: _P.args, **kwargs: _P.kwargs) -> bool:
        """Remove the result of this call; returns whether there was one (bool)."""
        return self.cache.delete(self.cache_key(*args, **kwargs))

    def explain(self, *args: _P.args, **kwargs: _P.kwargs) -> Explanation:
        """Why this call is answered from the cache, or is not; it computes nothing, and looks at all keys.

        Returns:
            What is true if it is cached, reads as a sentence (``str``), and has a ``reason``: "cached", "undecodable",
            "expired", "removed" (evicted or deleted), "different" or "new". If other calls of the function are stored,
            ``differences`` says what differs from the nearest one: arguments, defaults, the code.
        Raises:
            TypeError: an argument has no content, or the function cannot be called like that.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     @cache.memoize
        ...     def power(base, exponent=2):
        ...         return base**exponent
        ...     power(3, 4)
        ...     print(power.explain(3))
        ...     bool(power.explain(3, exponent=4))
        81
        not cached: the nearest stored call differs in
          default exponent: 2 now, 4 in the cache
        True
        """
        found: Explanation = load("fastcache.memoize.explain").explain(self, args, kwargs)
        return found

    def seconds_kept(self) -> float | None:
        """For how many seconds a result is kept; None for ever."""
        expire: Any = self.how.get("expire")
        seconds: float | None = expire.total_seconds() if hasattr(expire, "total_seconds") else expire
        return seconds

    def bind(self, instance: object) -> BoundMemoized[..., _R]:
        """The method of an instance."""
        return BoundMemoized(self, instance)

    def prepare(self) -> None:
        """Find the first part of the key, when all that the function refers to is there, and after it has changed."""
        try:
            code, self.seen = fingerprint_and_seen(self.function)
            self.opening = f"{self.unversioned}@{code}"
        except NoContentError as error:
            raise unnamed(self.function, "version_aware", error) from None

    def content(self, value: object, name: str) -> bytes:
        """What stands for an argument that cannot stand in a key itself."""
        try:
            return digest(value)
        except NoContentError as error:
            function = getattr(self.function, "__qualname__", self.unversioned)
            raise TypeError(
                f"argument {name!r} of {function}: {error} cannot be part of a key; let it not count by ignore="
            ) from None

    def tell_unstored(self, error: CacheError) -> None:
        """Say once that results cannot be stored, and why: each call computes."""
        if not self._has_told:
            self._has_told = True
            text = f"the results of {self.unversioned} are computed each time, and not stored: {error}"
            load("warnings").warn(text, ReadOnlyWarning, stacklevel=load("fastcache.runtime.callers").level_of_caller())

    def number_of(self, key: tuple[Any, ...]) -> int:
        """What the flights know a key by."""
        return number_of(key, self.cache.serializer)

    def _is_opening(self, part: object) -> bool:
        if not isinstance(part, str) or not part.startswith(self.unversioned):
            return False
        return len(part) == len(self.unversioned) or part[len(self.unversioned)] == "@"

    def __reduce__(self) -> str | tuple[Any, ...]:
        # By name, as a function, if that is enough.
        if not goes_by_value(self, sys._getframe(1)):
            name: str = self.__qualname__  # type: ignore[attr-defined]
            return name
        reopening: Any = self.cache.__reduce__()
        what = (type(self), self.function, *reopening[:2], self.unversioned, self._asked, self._options())
        return _made_again, what

    def _options(self) -> dict[str, Any]:
        """What it was made with, beside the cache, the function and its parameters."""
        return {"how": self.how}

    def __repr__(self) -> str:
        return f"<memoized {self.function!r}>"


class MemoizedCoroutine(Memoized[_P, _R]):
    """A memoized ``async def``: what is called returns a coroutine."""

    # inspect.iscoroutinefunction asks what looks like a function for the flags of its code.
    @property
    def __code__(self) -> Any:
        return self.function.__code__

    @property
    def __defaults__(self) -> Any:
        return self.function.__defaults__

    @property
    def __kwdefaults__(self) -> Any:
        return self.function.__kwdefaults__

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> Any:  # type: ignore[override]
        """The result, which others may compute meanwhile."""
        key = self.cache_key(*args, **kwargs)
        found = self.find(key)
        if found is ABSENT:
            return await self.compute(key, args, kwargs)
        self.hits += 1
        return found

    async def compute(self, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What is stored of a call that was not found: computed, by this task or by another."""
        made = False

        async def make() -> Any:
            nonlocal made
            made = True
            return await self.make(key, args, kwargs)

        async def look(absent: Any) -> Any:
            return find_again(self.cache, key, absent)

        flights = self.flights_of(key)
        if flights is None:
            found = await make()
        else:
            patience = self.cache.timeout if self.timeout is None else self.timeout
            found = await flights.run_async(self.number_of(key), look, make, patience)
        self.count(made)
        return found if made or self.copy else self.as_found(key, found)

    async def make(self, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function, and store what it returns."""
        begun = monotonic()
        return self.store(key, await self.function(*args, **kwargs), begun)  # type: ignore[misc]


class BoundMemoized(BoundCall[_P, _R]):
    """A memoized method, looked up on an instance."""

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMemoized):
            return NotImplemented
        return self.__func__ is other.__func__ and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        return f"<bound {self.__func__!r} of {self.__self__!r}>"


class MemoizedClassMethod(classmethod):  # type: ignore[type-arg]
    """A class method whose function is memoized."""

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self.__func__.__get__(type(instance) if owner is None else owner, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.__func__,)


def _made_again(  # noqa: PLR0917
    kind: Any,
    function: Callable[..., Any],
    reopen: Callable[..., Any],
    arguments: tuple[Any, ...],
    opening: str,
    asked: dict[str, Any],
    options: dict[str, Any],
) -> Memoized[..., Any]:
    """What was pickled by value. It is called what it was called where it comes from."""
    parameters = _parameters(function, **asked | {"name": opening})
    made: Memoized[..., Any] = kind(
        reopened(reopen, arguments), function, **options, **parameters | {"opening": opening, "asked": asked}
    )
    return made


# -- early renewal --------------------------------------------------------------------------------------------


def is_due(expires: float, seconds: float, beta: float, now: float) -> bool:
    """Whether to renew now what expires then: the less likely, the earlier it is, and the shorter it takes to compute.

    This is XFetch, of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB
    2015.
    """
    # Of 1 - random(), which is never 0.
    return now - seconds * beta * log(1.0 - random()) >= expires


class EarlyMemoized(Memoized[_P, _R]):
    """A memoized function whose results are renewed before they expire.

    What is stored is a tuple: the result, for how long it was computed, and when it expires (both float, in seconds).
    """

    def __init__(self, *arguments: Any, expire: float, beta: float, **parameters: Any) -> None:
        super().__init__(*arguments, **parameters)
        self._expire = expire
        self._beta = beta

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result; the old one, too, while the next one is computed."""
        key = self.cache_key(*args, **kwargs)
        found = self.find(key)
        if found is ABSENT:
            found = self.compute(key, args, kwargs)
        else:
            self.hits += 1
            self.renew_if_due(found, key, args, kwargs)
        result: _R = found[0]
        return result

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"expire": self._expire, "beta": self._beta}

    def store(self, key: tuple[Any, ...], result: Any, begun: float) -> Any:
        """Store the result of a call that has begun then; return what was stored."""
        stored = (result, monotonic() - begun, now_of(self.cache, key) + self._expire)
        return super().store(key, stored, begun)

    def renew_if_due(self, found: Any, key: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Begin to renew what was found, if it is time, and nobody else does."""
        _, seconds, expires = found
        if is_due(expires, seconds, self._beta, now_of(self.cache, key)):
            flights = self.flights_of(key)
            if flights is None:
                return
            flight = Flight(flights, self.number_of(key))
            started = False
            try:
                started = flights.begin(flight) and self.start(flights, flight, key, args, kwargs)
            finally:
                if not started:
                    flights.end(flight)

    def start(self, flights: SingleFlight, flight: Flight, *call: Any) -> bool:
        """Renew in a thread of its own, which ends the flight; returns whether it has begun."""
        context = contextvars.copy_context()

        def renew() -> None:
            try:
                flight.thread = identity()
                context.run(flights.lead, flight, lambda: self.make(*call))
            except Exception as error:
                self.report(error)
            finally:
                flights.end(flight)

        try:
            # A daemon: the end of the program does not wait for it.
            load("threading").Thread(target=renew, name="fastcache-renewal", daemon=True).start()
        except RuntimeError as error:
            # There can be no more threads.
            self.report(error)
            return False
        return True

    def report(self, error: BaseException) -> None:
        """Log that a renewal has failed: without the error's message, in which arguments may stand."""
        warn("renewing a result of %s failed: %s", self.unversioned, type(error).__qualname__)


class EarlyMemoizedCoroutine(EarlyMemoized[_P, _R], MemoizedCoroutine[_P, _R]):
    """The same for an ``async def``."""

    async def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> Any:  # type: ignore[override]
        """The result; the old one, too, while the next one is computed."""
        key = self.cache_key(*args, **kwargs)
        found = self.find(key)
        if found is ABSENT:
            found = await self.compute(key, args, kwargs)
        else:
            self.hits += 1
            self.renew_if_due(found, key, args, kwargs)
        return found[0]

    def start(self, flights: SingleFlight, flight: Flight, *call: Any) -> bool:
        """Renew in a task, which ends the flight."""
        loop = load("asyncio").get_running_loop()
        flight.loop = id(loop)
        end = Ending(flight)

        async def renew() -> None:
            try:
                await flights.lead_async(flight, lambda: self.make(*call))
            except Exception as error:
                self.report(error)
            finally:
                end()

        task = loop.create_task(renew())
        # The loop itself forgets a task that nobody else remembers; and nobody else should remember one whose loop is
        # closed.
        _renewing.difference_update([other for other in _renewing if other.get_loop().is_closed()])
        _renewing.add(task)
        # It may be cancelled before it begins.
        task.add_done_callback(end)
        task.add_done_callback(_renewing.discard)
        return True


_renewing: set[asyncio.Task[None]] = set()


# After its subclasses, which are called otherwise.
quicken(Memoized)


# -- making them ----------------------------------------------------------------------------------------------


def memoize(
    cache: StoreMapping,
    function: Any,
    *,
    typed: bool,
    name: str | None,
    ignore: _Ignore,
    version_aware: bool,
    timeout: float | None,
    copy: bool,
    **how: Any,
) -> Any:
    """A function, or static or class method, whose results are in a cache; see Cache.memoize."""

    def wrap(given: Callable[..., Any]) -> Memoized[..., Any]:
        kind = MemoizedCoroutine if inspect.iscoroutinefunction(given) else Memoized
        parameters = _parameters(given, "", typed, name, ignore, version_aware, timeout, copy)
        return kind(cache, given, how, **parameters)

    return _wrapped(function, wrap)


def memoize_stampede(
    cache: StoreMapping,
    function: Any,
    *,
    expire: float | timedelta,
    beta: float,
    tag: Any,
    typed: bool,
    name: str | None,
    ignore: _Ignore,
    version_aware: bool,
    timeout: float | None,
    copy: bool,
) -> Any:
    """The same, renewed early; see Cache.memoize_stampede."""
    seconds = expire if isinstance(expire, (int, float)) else expire.total_seconds()
    if not seconds > 0 or not 0 <= beta < float("inf"):
        raise ValueError(f"expire must be a positive number of seconds, and beta a number from 0: {expire!r}, {beta!r}")

    def wrap(given: Callable[..., Any]) -> Memoized[..., Any]:
        kind = EarlyMemoizedCoroutine if inspect.iscoroutinefunction(given) else EarlyMemoized
        parameters = _parameters(given, " stampede", typed, name, ignore, version_aware, timeout, copy)
        return kind(cache, given, {"expire": expire, "tag": tag}, expire=seconds, beta=beta, **parameters)

    return _wrapped(function, wrap)


def _wrapped(function: Any, wrap: Callable[[Callable[..., Any]], Memoized[..., Any]]) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(wrap(function.__func__))
    if isinstance(function, classmethod):
        return MemoizedClassMethod(wrap(function.__func__))
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"what is memoized must be a function or method, not {type(function).__qualname__}")
    return wrap(function)


def _parameters(  # noqa: PLR0917
    function: Any,
    marks: str,
    typed: bool,
    name: str | None,
    ignore: _Ignore,
    version_aware: bool,
    timeout: float | None,
    copy: bool,
) -> dict[str, Any]:
    """What a Call has to know of a function."""
    ignore = (ignore,) if isinstance(ignore, (str, int)) else tuple(ignore)
    asked = {"marks": marks, "typed": typed, "name": name, "ignore": ignore}
    signature = _signature(function)
    named = [each for each in signature.parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    variable = {each.kind: each.name for each in signature.parameters.values() if each not in named}
    positional = [each for each in named if each.kind is not each.KEYWORD_ONLY]
    more = variable.get(inspect.Parameter.VAR_POSITIONAL)
    keywords = variable.get(inspect.Parameter.VAR_KEYWORD)
    names = tuple(each.name for each in named)
    ignored = _ignored(function, ignore, names, len(positional), more, keywords)
    marks = f"{' typed' if typed else ''}{_marks_of(ignored, names)}{marks}"
    return {
        "names": names,
        "defaults": tuple(NO_DEFAULT if each.default is each.empty else each.default for each in named),
        "positional_only": sum(each.kind is each.POSITIONAL_ONLY for each in named),
        "positional": len(positional),
        "more": more,
        "named": keywords,
        "ignored": ignored,
        "typed": typed,
        "copy": copy,
        "version_aware": version_aware,
        "timeout": None if timeout is None else check_timeout(timeout),
        "asked": asked | {"version_aware": version_aware, "timeout": timeout, "copy": copy},
        "opening": f"{name_of(function, name)}{_spelled(signature)}{marks}",
    }


def _signature(function: Any) -> inspect.Signature:
    """The signature of what is called; of a wrapper that hands on everything, that of what it wraps."""
    try:
        own = inspect.signature(function, follow_wrapped=False)
        kinds = [each.kind for each in own.parameters.values()]
        if kinds == [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]:
            return inspect.signature(function)
    except ValueError as error:
        raise TypeError(f"{function!r} does not say which parameters it has, and cannot be memoized") from error
    return own


def _spelled(signature: inspect.Signature) -> str:
    """The names and kinds of the parameters, without annotations or the values of defaults."""
    bare = [each.replace(annotation=each.empty, default=each.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(bare, __validate_parameters__=False))


def _ignored(  # noqa: PLR0917
    function: Any,
    ignore: tuple[str | int, ...],
    names: tuple[str, ...],
    positional: int,
    more: str | None,
    keywords: str | None,
) -> frozenset[str | int]:
    """What does not count: places among the parameters, -1 less those in ``*args``, names in ``**kwargs``."""
    ignored: set[str | int] = set()
    for each in ignore:
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise TypeError(f"ignore must hold names (str) or positions (int) of parameters, not {type(each).__name__}")
        if isinstance(each, str):
            if each in names:
                ignored.add(names.index(each))
            elif keywords is not None:
                ignored.add(each)
            else:
                raise ValueError(f"{function.__qualname__} has no parameter {each!r} to ignore")
        elif 0 <= each < positional:
            ignored.add(each)
        elif each >= positional and more is not None:
            ignored.add(-1 - each)
        else:
            raise ValueError(f"{function.__qualname__} has no parameter at position {each} to ignore")
    return frozenset(ignored)


def _marks_of(ignored: frozenset[str | int], names: tuple[str, ...]) -> str:
    spelled = [
        f"**{each}" if isinstance(each, str) else names[each] if each >= 0 else f"*{-1 - each}" for each in ignored
    ]
    return f" without {', '.join(sorted(spelled))}" if spelled else ""
