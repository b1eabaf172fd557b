"""Maintenance: the one background thread of a process, whatever the number of caches.

It lets go of snapshots that nobody reads from any more. It starts when a store keeps the first one, looks at all
that do every PERIOD_SECONDS, and sleeps, until it is woken, once none does. A fork and the exit of the interpreter
stop it first; after a fork either side starts its own when it needs one.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.engine.store import Store

__all__ = ["attend"]

PERIOD_SECONDS = 0.025
# How long a fork or the exit waits for the thread to end, in seconds.
_PATIENCE = 5.0


class _Maintenance:
    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin without a thread, as a forked child does."""
        # A plain dict, because copying one cannot be interrupted.
        self.stores: dict[int, weakref.ref[Store]] = {}
        self.running = False
        self.stopping = False
        self.over = False
        # Free when there is something to do.
        self.work = _thread.allocate_lock()
        self.work.acquire()
        # Held by the thread while it runs.
        self.alive = _thread.allocate_lock()

    def attend(self, store: Store) -> None:
        self.stores[id(store)] = weakref.ref(store)
        if self.running:
            self.wake()
        elif not self.start():
            # The first time, it has just been read from.
            store.let_go()
            store.let_go()

    def start(self) -> bool:
        """Start the thread; False if there is none to be had, because the interpreter exits, say."""
        if self.over or not self.alive.acquire(False):
            return False
        self.running = True
        try:
            _thread.start_new_thread(self.run, ())
        except RuntimeError:
            self.running = False
            self.alive.release()
        return self.running

    def wake(self) -> None:
        # It is free already if somebody else has just done so.
        with contextlib.suppress(RuntimeError):
            self.work.release()

    def run(self) -> None:
        try:
            while not self.stopping:
                self.work.acquire(True, PERIOD_SECONDS if self.stores else -1)
                try:
                    self.look_around()
                except Exception:
                    import logging

                    logging.getLogger("fastcache").exception("maintenance failed, and goes on")
        finally:
            self.alive.release()

    def look_around(self) -> None:
        for identity in list(self.stores):
            # Taken out first: it may be handed in again as soon as nothing is kept.
            reference = self.stores.pop(identity, None)
            store = None if reference is None else reference()
            if reference is not None and store is not None and store.let_go():
                self.stores[identity] = reference
            del store

    def stop(self) -> None:
        """End the thread and wait for it."""
        if not self.running:
            return
        self.stopping = True
        self.wake()
        if self.alive.acquire(True, _PATIENCE):
            self.alive.release()
        self.running = self.stopping = False

    def resume(self) -> None:
        """After a fork: start again if there is something to do; otherwise when there is."""
        if self.stores:
            self.start()

    def end(self) -> None:
        """Stop for good."""
        self.over = True
        self.stop()


_maintenance = _Maintenance()


def attend(store: Store) -> None:
    """Have ``store.let_go()`` called from time to time until it returns False."""
    _maintenance.attend(store)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_maintenance.stop, after_in_parent=_maintenance.resume, after_in_child=_maintenance.renew
    )
atexit.register(_maintenance.end)
