"""Greenlets: threads of gevent and eventlet, many of which share one thread of the system.

They take turns only where one of them gives way. So whoever waits for another one must not put the system's thread to
sleep (``sleeper``, ``sleep``), and what belongs to a thread must not belong to the next greenlet on it, too
(``identity``, ``current``). Neither library is imported here: where a program has not done so, there are no greenlets.

What needs a thread of the system for itself (maintenance) takes it from ``unpatched``, whatever was patched meanwhile:
what such a thread does gives way to nobody, and what it waits for comes from any thread.
"""

from __future__ import annotations

import _thread
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["current", "identity", "sleep", "sleeper", "unpatched"]


def unpatched(module: str, name: str) -> Any:
    """What a module of Python's has under a name, also where gevent or eventlet has put something else there.

    Args:
        module: "_thread" or "time".
        name: of what is in it (str).
    """
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and hasattr(gevent, "get_original"):
        return gevent.get_original(module, name)
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and getattr(eventlet, "already_patched", None):
        return getattr(eventlet.original(module), name)
    return getattr(_MODULES[module], name)


_MODULES = {"_thread": _thread, "time": time}
_get_ident = unpatched("_thread", "get_ident")
_sleep_thread = unpatched("time", "sleep")


def current() -> Any:
    """The greenlet that runs; None if it is the main one of its thread, or there are none."""
    greenlet = sys.modules.get("greenlet")
    if greenlet is None:
        return None
    try:
        found = greenlet.getcurrent()
        return None if found.parent is None else found
    except AttributeError:
        # It is just being imported.
        return None


def identity() -> int:
    """A number of the thread or greenlet that runs, which no other has while it lives (int)."""
    greenlet = current()
    return _get_ident() if greenlet is None else id(greenlet)


def sleeper() -> Callable[[float], object] | None:
    """What sleeps for so many seconds while the other greenlets of this thread go on; None if it has none."""
    gevent = sys.modules.get("gevent._hub_local")
    if gevent is not None:
        hub = getattr(gevent, "get_hub_if_exists", _nothing)()
        if hub is not None and hub is not current():
            sleep: Callable[[float], object] = sys.modules["gevent"].sleep
            return sleep
    eventlet = sys.modules.get("eventlet.hubs")
    if eventlet is not None:
        hub = getattr(getattr(eventlet, "_threadlocal", None), "hub", None)
        if hub is not None and hub.greenlet is not current():
            sleep = sys.modules["eventlet"].sleep
            return sleep
    return None


def sleep(seconds: float) -> None:
    """Sleep, and let other greenlets of this thread go on meanwhile."""
    (sleeper() or _sleep_thread)(seconds)


def _nothing() -> None:
    return None
