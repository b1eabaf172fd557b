"""The open stores of a process: held and closed before a fork, begun anew in the child, written out at the exit.

Before a fork all connections are closed, and until it is done none is opened; both sides reopen on first use. What
cannot be closed (the forking thread is inside a transaction, another one checks) taints its database for the child,
which refuses to open it (``inherited``, in sqlite/fork_safety.pyx).
"""

from __future__ import annotations

import time
from _weakref import ref

from fastcache.runtime import fork, worker_exit
from fastcache.runtime.greenlets import unpatched
from fastcache.runtime.imports import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Store(Protocol):
        """What a Database does for this; see there."""

        @property
        def directory(self) -> str: ...
        def let_go(self) -> bool: ...
        def hold(self, timeout: float) -> bool: ...
        def held_by_thread(self) -> bool: ...
        def quiesce(self) -> None: ...
        def resume(self) -> None: ...
        def drop_inherited(self) -> bool: ...
        def after_fork_in_child(self) -> None: ...
        def finish(self, patience: float) -> None: ...


__all__ = ["let_go", "register"]

_get_ident = unpatched("_thread", "get_ident")

# All open stores, by identity. A plain dict of weak references, because copying one cannot be interrupted.
_stores: dict[int, ref[_Store]] = {}
# For each forking thread, the stores that it holds.
_held: dict[int, list[_Store]] = {}
# How long a fork waits for other threads to end their transactions, and the exit for what waits to be written, in
# seconds.
_PATIENCE = 10.0
# How long a fork waits for those that have just been opened.
_LATE_PATIENCE = 0.02


def register(store: _Store) -> None:
    """Remember a store for as long as it lives."""
    identity = id(store)
    worker_exit.watch()
    _stores[identity] = ref(store, lambda _: _stores.pop(identity, None))


def _living() -> list[_Store]:
    return [store for store in (reference() for reference in list(_stores.values())) if store is not None]


def let_go(directory: str) -> None:
    """Have all stores of a directory close their connections for now, but those that somebody is inside of."""
    for store in _living():
        if store.directory == directory:
            store.let_go()


def _hold() -> None:
    """Hold every store, but those that this thread is itself inside of.

    Others may hold one and wait for another, so that all are given back, and tried again, while one cannot be had.
    """
    # Whether it is a library's that ends its workers in its own way may be known by now.
    worker_exit.watch()
    held = _held[_get_ident()] = []
    deadline = time.monotonic() + _PATIENCE
    while True:
        patient = time.monotonic() < deadline
        missed = False
        for store in _living():
            if store.hold(0.02 if patient else 0.0):
                held.append(store)
            elif not store.held_by_thread():
                missed = True
                if patient:
                    break
        if not missed or not patient:
            return
        while held:
            held.pop().resume()


def _close() -> None:
    """Hold those that were opened meanwhile, too, and close the connections of all."""
    held = _held[_get_ident()]
    try:
        for store in _living():
            if store not in held and store.hold(_LATE_PATIENCE):
                held.append(store)
        for store in held:
            store.quiesce()
    except Exception as error:
        warn("a cache could not be closed before a fork: %s", error)


def _resume() -> None:
    for store in _held.pop(_get_ident(), ()):
        store.resume()


def _drop_inherited() -> None:
    for store in _living():
        store.drop_inherited()


def _begin_anew() -> None:
    _held.clear()
    for store in _living():
        store.after_fork_in_child()


def _finish() -> None:
    """Write what waits, and close the connections that nobody is using; what is left needs no closing to be safe.

    What waits to be written is waited for: daemon threads still run, and may be inside of something. Everything can
    still be used, by exit handlers that were registered earlier, and by finalizers.
    """
    deadline = time.monotonic() + _PATIENCE
    for store in _living():
        store.finish(max(0.0, deadline - time.monotonic()))


fork.STORES.before, fork.STORES.in_parent = _hold, _resume
fork.STORES.unnoticed, fork.STORES.in_child = _drop_inherited, _begin_anew
fork.STORES.at_exit = _finish
fork.CONNECTIONS.before = _close
