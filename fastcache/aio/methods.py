"""Methods of a synchronous class as coroutines, with the same parameters and results."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sized
from typing import Any, Concatenate, ParamSpec, TypeVar

from fastcache.aio.worker import breathing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["constructor", "reading", "writing", "writing_many"]

# So many items take well under a millisecond.
_FEW = 200

_P = ParamSpec("_P")
_R = TypeVar("_R")


def constructor(sync: Callable[_P, Any]) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, _P], None]]:
    """A decorator of ``__init__``: it has the parameters of a synchronous class."""
    signature = inspect.signature(sync)

    def decorate(made: Callable[..., None]) -> Callable[Concatenate[Any, _P], None]:
        def __init__(self: Any, /, *arguments: _P.args, **options: _P.kwargs) -> None:  # noqa: N807
            # What it cannot be made with is said at once, and not when it is opened.
            signature.bind(*arguments, **options)
            made(self, *arguments, **options)

        first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        __init__.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[first, *signature.parameters.values()]
        )
        return __init__

    return decorate


def reading(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]]:
    """The coroutine of a method that changes nothing: it does not wait for other tasks' transactions."""

    async def reading(self: Any, /, *arguments: _P.args, **options: _P.kwargs) -> _R:
        result: _R = await self._run(method, arguments, options, False)
        return result

    like: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]] = _like(reading, method)
    return like


def writing(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]]:
    """The coroutine of a method that may change something."""

    async def writing(self: Any, /, *arguments: _P.args, **options: _P.kwargs) -> _R:
        result: _R = await self._run(method, arguments, options, True)
        return result

    like: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]] = _like(writing, method)
    return like


def writing_many(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]]:
    """The same of one that takes many keys or items from its first argument: the loop goes on meanwhile."""

    async def writing_many(self: Any, /, *arguments: _P.args, **options: _P.kwargs) -> _R:
        given: tuple[Any, ...] = arguments
        if given:
            given = (_breathing(given[0]), *given[1:])
        result: _R = await self._run(method, given, options, True)
        return result

    like: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _R]] = _like(writing_many, method)
    return like


def _breathing(given: Any) -> Any:
    # What is no iterable is for the method to refuse.
    if not isinstance(given, Iterable) or (isinstance(given, Sized) and len(given) < _FEW):
        return given
    if isinstance(given, Mapping):
        return breathing(given.items())
    return given if hasattr(given, "keys") else breathing(given)


def _like(made: Any, method: Any) -> Any:
    """Give a coroutine the name, the signature and the documentation of a method."""
    made.__name__ = method.__name__
    made.__qualname__ = method.__qualname__
    made.__doc__ = f"A coroutine: {_prose(method.__doc__ or '')}"
    try:
        made.__signature__ = inspect.signature(method)
    except ValueError:
        # One of its defaults has no literal.
        return made
    return made


def _prose(text: str) -> str:
    """A docstring without its examples, which are synchronous."""
    first, _, rest = text.partition("\n")
    kept = f"{first}\n{textwrap.dedent(rest)}".partition("\n>>>")[0].rstrip()
    return f"{kept[:1].lower()}{kept[1:]}" if not kept[:2].isupper() else kept
