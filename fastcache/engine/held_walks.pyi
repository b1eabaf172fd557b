"""Iteration over what a store in memory holds."""

from collections.abc import Callable, Iterator
from typing import Any

from fastcache.engine.codecs.ranges import KeyRange
from fastcache.engine.held import Held

_OnError = Callable[[Any, Exception], object] | None

def walk(held: Held, end: int, items: bool, backward: bool, keepalive: object, on_error: _OnError) -> Iterator[Any]: ...
def walk_in_order(
    held: Held, which: KeyRange, end: int, items: bool, backward: bool, keepalive: object, on_error: _OnError
) -> Iterator[tuple[Any, Any, Any]]: ...
def tuple_ranges(held: Held, which: KeyRange, end: int, backward: bool) -> Iterator[tuple[bytes, bytes]]: ...
