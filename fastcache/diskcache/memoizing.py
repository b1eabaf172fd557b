"""Memoizing as diskcache does it: keys of calls, and the decorator that a Cache and a FanoutCache share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.settings import ENOVAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["args_to_key", "cache_key_of", "full_name", "memoize"]


def full_name(func: Callable[..., Any]) -> str:
    """The module and qualified name of a function (str)."""
    return f"{func.__module__}.{func.__qualname__}"


def args_to_key(
    base: tuple[Any, ...], args: tuple[Any, ...], kwargs: dict[str, Any], typed: bool, ignore: Iterable[Any]
) -> tuple[Any, ...]:
    """The key of a call: what identifies the function, the positional arguments, None, the named ones in alphabetical
    order, and, if ``typed``, the types of all.

    Args:
        base: what identifies the function.
        args, kwargs: of the call.
        ignore: positions (int) and names (str) of arguments that do not count.
    """
    places = [value for place, value in enumerate(args) if place not in ignore]
    names = sorted((name, value) for name, value in kwargs.items() if name not in ignore)
    key = (*base, *places, None)
    for pair in names:
        key += pair
    if typed:
        key += tuple(type(value) for value in places) + tuple(type(value) for _, value in names)
    return key


def cache_key_of(
    function: Callable[..., Any], name: str | None, typed: bool, ignore: Iterable[Any]
) -> Callable[..., tuple[Any, ...]]:
    """What makes the keys of a function's calls; arguments as of ``memoize``."""
    base = (full_name(function) if name is None else name,)

    def cache_key(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The key of a call."""
        return args_to_key(base, args, kwargs, typed, ignore)

    return cache_key


def memoize(
    self: Any,
    name: str | None = None,
    typed: bool = False,
    expire: float | None = None,
    tag: Any = None,
    ignore: Iterable[Any] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: results are kept in the cache, under the key that the function's ``__cache_key__(...)`` tells.

    Args:
        name: of the function in keys (str); its module and qualified name by default.
        typed: tell arguments of different types apart. (Those inside a key are told apart anyway.)
        expire: seconds until a result is computed again; None for never, 0 for not to keep any.
        tag: of all results.
        ignore: positions (int) and names (str) of arguments that do not count.
    Raises:
        TypeError: the parentheses are missing: ``@cache.memoize()``.
    """
    if callable(name):
        raise TypeError("name cannot be callable")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        cache_key = cache_key_of(function, name, typed, ignore)

        @functools.wraps(function)
        def memoized(*args: Any, **kwargs: Any) -> Any:
            key = cache_key(*args, **kwargs)
            result = self.get(key, default=ENOVAL, retry=True)
            if result is ENOVAL:
                result = function(*args, **kwargs)
                if expire is None or expire > 0:
                    self.set(key, result, expire, tag=tag, retry=True)
            return result

        memoized.__cache_key__ = cache_key  # type: ignore[attr-defined]
        return memoized

    return decorate
