"""Memoized functions on their way to other processes: by name, as functions are, or by value.

Pickle finds a memoized function under its name. cloudpickle (and so joblib, dask and ray, some of which have a copy of
it) sends the functions of main modules, of notebooks, and of other functions by value, since they cannot be imported
over there. So it does with memoized ones: the function, what it is called in the keys, and the cache, which is opened
again by its directory.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from fastcache.engine.mapping import StoreMapping

__all__ = ["goes_by_value", "reopened"]

# The caches that were opened for functions that came by value. Each task of a worker brings its own copy of these.
_reopened: list[tuple[Callable[..., Any], tuple[Any, ...], StoreMapping]] = []
_MOST_REOPENED = 16


def goes_by_value(thing: Any, asking: FrameType) -> bool:
    """Whether what has this name is to be pickled by value: cloudpickle asks, and would do so with a function.

    Args:
        thing: what has ``__module__`` and ``__qualname__``.
        asking: the frame of whoever has called ``__reduce_ex__``; compiled code has none.
    """
    if asking.f_code.co_name != "dump" or not hasattr(asking.f_locals.get("self"), "reducer_override"):
        return False
    module = sys.modules.get(thing.__module__)
    if module is None or thing.__module__ == "__main__":
        return True
    # Of modules that the user has registered.
    is_registered = asking.f_globals.get("_is_registered_pickle_by_value")
    if is_registered is not None and is_registered(module):
        return True
    found: Any = module
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return getattr(found, "__func__", found) is not thing


def reopened(reopen: Callable[..., Any], arguments: tuple[Any, ...]) -> StoreMapping:
    """The cache that was sent along, as it was reduced: one object for all functions that it came with."""
    for known in list(_reopened):
        if known[2].stores.closed:
            _reopened.remove(known)
        elif known[0] is reopen and _are_alike(known[1], arguments):
            return known[2]
    cache: StoreMapping = reopen(*arguments)
    _reopened.append((reopen, arguments, cache))
    del _reopened[:-_MOST_REOPENED]
    return cache


def _are_alike(one: Any, other: Any) -> bool:
    """Whether the same would be made of both."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_are_alike, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_are_alike(one[key], other[key]) for key in one)
    if one == other:
        return True
    try:
        ours, theirs = one.__reduce_ex__(4), other.__reduce_ex__(4)
    except Exception:
        return False
    return isinstance(ours, tuple) and ours[:1] == theirs[:1] and _are_alike(list(ours[1:3]), list(theirs[1:3]))
