"""What all stores of a process share: forks, and the exit.

SQLite keeps its POSIX locks in tables of the process, which a child inherits without the locks. So before a fork all
connections are closed, and until it is done none is opened; both sides reopen on first use. What cannot be closed (the
forking thread is inside a transaction, another one checks) taints its database for the child, which refuses to open it.
"""

from __future__ import annotations

import _thread
import atexit
import os
import time
from _weakref import ref

from fastcache.engine import connection as connections
from fastcache.engine import lazy
from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.engine.store import Store

__all__ = ["inherited", "register"]

inherited: set[tuple[int, int]] = set()
"""Database files (device, inode) that this process must not open: it was forked inside a transaction on them."""

# All open stores, by identity. A plain dict of weak references, because copying one cannot be interrupted.
_stores: dict[int, ref[Store]] = {}
# How long a fork waits for other threads to end their transactions, in seconds.
_PATIENCE = 10.0
# For each forking thread (the child's one thread keeps its identity): the stores it holds, whether it holds the lock on
# GIL-free queries, and the one on imports, the paths that still had connections when it forked, and whether it was
# interrupted by Ctrl-C.
_forking: dict[int, tuple[list[Store], bool, bool, list[str], bool]] = {}


def register(store: Store) -> None:
    """Remember a store for as long as it lives."""
    identity = id(store)
    _stores[identity] = ref(store, lambda _: _stores.pop(identity, None))


def _living() -> list[Store]:
    return [store for store in (reference() for reference in list(_stores.values())) if store is not None]


def _before_fork() -> None:
    held: list[Store] = []
    quiet = loading = interrupted = False
    # An exception cannot stop a fork. The child will not touch what could not be closed.
    try:
        quiet = connections.free_queries.acquire(True, _PATIENCE)
        _hold_all(held)
        for store in held:
            store.quiesce()
        # Last: who imports may be inside of a store.
        loading = lazy.loading.acquire(True, _PATIENCE)
    except KeyboardInterrupt:
        interrupted = True
    except Exception as error:
        load("logging").getLogger("fastcache").warning("a cache could not be closed before a fork: %s", error)
    _forking[_thread.get_ident()] = (held, quiet, loading, connections.open_paths(), interrupted)


def _hold_all(held: list[Store]) -> None:
    """Hold every store, but those that this thread is itself inside of.

    Others may hold one and wait for another, so that all are given back, and tried again, while one cannot be had.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        patient = time.monotonic() < deadline
        missed = False
        for store in _living():
            if store.hold(0.02 if patient else 0.0):
                held.append(store)
            elif not store.is_mine():
                missed = True
                if patient:
                    break
        if not missed or not patient:
            return
        while held:
            held.pop().resume()


def _after_fork_in_parent() -> None:
    held, quiet, loading, _, interrupted = _forking.pop(_thread.get_ident())
    for store in held:
        store.resume()
    if quiet:
        connections.free_queries.release()
    if loading:
        lazy.loading.release()
    if interrupted:
        _thread.interrupt_main()


def _after_fork_in_child() -> None:
    _, _, loading, paths, _ = _forking.pop(_thread.get_ident())
    _forking.clear()
    connections.renew_free_queries()
    if loading:
        lazy.loading.release()
    else:
        lazy.renew()
    for store in _living():
        store.renew()
    connections.forget_open_paths()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            # Removed: then nobody can open it by this path.
            continue
        inherited.add((status.st_dev, status.st_ino))


def _close_all() -> None:
    """At exit, close what nobody is inside of; what is left needs no closing to be safe."""
    for store in _living():
        store.close_if_idle()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
atexit.register(_close_all)
