"""Greenlets: threads of gevent and eventlet, many of which share one thread of the system.

They take turns only where one of them gives way. So whoever waits for another one must not put the system's thread to
sleep (``sleeper``, ``sleep``), and what belongs to a thread must not belong to the next greenlet on it, too
(``identity``, ``current``). Neither library is imported here: where a program has not done so, there are no greenlets.

What needs a thread of the system for itself (maintenance) takes it from ``unpatched``, whatever was patched meanwhile:
what such a thread does gives way to nobody, and what it waits for comes from any thread.
"""

import _thread
import sys
import time

from cpython.object cimport PyObject


def unpatched(str module, str name):
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
    return getattr(MODULES[module], name)


MODULES = {"_thread": _thread, "time": time}
cdef object get_ident = unpatched("_thread", "get_ident")
cdef object sleep_thread = unpatched("time", "sleep")
# Of the module greenlet, once there are some that take turns.
cdef object getcurrent = None


cpdef bint may_be():
    """Whether there may be greenlets that take turns: gevent or eventlet is loaded. Others (SQLAlchemy's, say) only call one another,
    and are one with their thread."""
    cdef dict modules = sys.modules
    return "gevent" in modules or "eventlet" in modules


cpdef object current():
    """The greenlet that runs; None if it is the main one of its thread, or there are none that take turns.

    Runs no Python code, so that no interrupt can fall into it."""
    global getcurrent
    if getcurrent is None:
        if not may_be():
            return None
        getcurrent = getattr(sys.modules.get("greenlet"), "getcurrent", None)
        if getcurrent is None:
            # It is just being imported.
            return None
    found = getcurrent()
    return None if found.parent is None else found


cpdef object identity():
    """A number of the thread or greenlet that runs, which no other has while it lives (int)."""
    greenlet = current()
    return get_ident() if greenlet is None else <unsigned long><PyObject*>greenlet


def sleeper():
    """What sleeps for so many seconds while the other greenlets of this thread go on; None if it has none."""
    gevent = sys.modules.get("gevent._hub_local")
    if gevent is not None:
        hub = gevent.get_hub_if_exists() if hasattr(gevent, "get_hub_if_exists") else None
        if hub is not None and hub is not current():
            return sys.modules["gevent"].sleep
    eventlet = sys.modules.get("eventlet.hubs")
    if eventlet is not None:
        hub = getattr(getattr(eventlet, "_threadlocal", None), "hub", None)
        if hub is not None and hub.greenlet is not current():
            return sys.modules["eventlet"].sleep
    return None


def sleep(double seconds):
    """Sleep, and let other greenlets of this thread go on meanwhile."""
    (sleeper() or sleep_thread)(seconds)
