"""What a look at many entries does with those that cannot be decoded.

One of them is no reason to keep the others from whoever looks: a class that has moved, another secret, a library that
is not installed here. So it is left out, which is told; who wants to know which, or to stop, says so by ``on_error``.
"""

from __future__ import annotations

from fastcache.runtime.imports import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, TypeAlias

    from fastcache.errors import DecodeError, UntrustedValueError

    _OnError: TypeAlias = Literal["warn", "skip", "raise"] | Callable[[Any, DecodeError | UntrustedValueError], object]

__all__ = ["Undecodable", "handler_of"]


class Undecodable:
    """What is called with the key and the error of each, during one look, and logs the first."""

    __slots__ = ("_directory", "_told")

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._told = False

    def __call__(self, key: Any, error: Exception) -> None:
        """Leave an entry out; its key is None if that cannot be decoded."""
        if not self._told:
            self._told = True
            warn(
                "%r: an entry is left out, because its %s cannot be decoded (%s), and so is each that cannot: "
                "on_error= tells which, check() how many",
                self._directory,
                "key" if key is None else "value",
                type(error).__name__,
            )


def handler_of(directory: str, on_error: Any) -> Callable[[Any, Exception], object] | None:
    """What is called for each; None if the error is to be raised.

    Raises:
        ValueError, TypeError: ``on_error`` is none of those that there are.
    """
    if on_error == "warn":
        return Undecodable(directory)
    if on_error == "raise":
        return None
    if on_error == "skip":
        return _leave_out
    if isinstance(on_error, str):
        raise ValueError(f"on_error must be 'warn', 'skip', 'raise' or a callable, not {on_error!r}")
    if not callable(on_error):
        raise TypeError(f"on_error must be 'warn', 'skip', 'raise' or a callable, not {type(on_error).__name__}")
    handler: Callable[[Any, Exception], object] = on_error
    return handler


def _leave_out(key: Any, error: Exception) -> None:
    """Leave it out without a word."""
