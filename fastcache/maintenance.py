"""Maintenance: the one background thread of a process, whatever the number of caches.

It does for each store what callers should not wait for (``Store.tend``): checkpoints, the trash, what has expired, what
waits to be written, and letting go of snapshots that nobody reads from. A store calls it when there is something to do,
and says how soon; from then on ``tend`` says when there will be more. Otherwise the thread sleeps, and nothing wakes
it. It begins with the first call and ends when the last store is closed. A fork and the exit of the interpreter stop it
first; after a fork either side starts its own when it needs one.
"""

from __future__ import annotations

import _thread
import atexit
import os
from _weakref import ref
from time import monotonic

# Before our own hooks are registered: at a fork and at the exit, those that are registered last run first, and the
# thread has to be gone before the stores are held.
import fastcache.engine.process  # noqa: F401
from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.engine.store import Store

__all__ = ["attend"]

_NEVER = float("inf")
# How long a fork or the exit waits for the thread to end, in seconds.
_PATIENCE = 5.0
# After a failure it tries again after so many seconds, then after twice as many, and so on.
_FIRST_RETRY, _LAST_RETRY = 0.25, 60.0


class _Maintenance:
    def __init__(self) -> None:
        self.over = False
        self.renew()

    def renew(self) -> None:
        """Begin without a thread, as a forked child does."""
        # By identity. Plain dicts, because copying one cannot be interrupted.
        self.stores: dict[int, ref[Store]] = {}
        self.due: dict[int, float] = {}
        self.retries: dict[int, float] = {}
        # Guards the beginning and the end of the thread. Re-entrant, because the garbage collector may come in between.
        self.guard = _thread.RLock()
        self.running = False
        self.stopping = False
        # When it will wake by itself. While it works, it has to be told of anything new.
        self.until = _NEVER
        # Free when there is something new.
        self.news = _thread.allocate_lock()
        self.news.acquire()
        # Held by the thread while it runs.
        self.alive = _thread.allocate_lock()

    def attend(self, store: Store, seconds: float) -> bool:
        identity = id(store)
        if store.closed:
            self.forget(identity)
            return False
        due = monotonic() + seconds
        if due < self.due.get(identity, _NEVER):
            self.due[identity] = due
        if identity not in self.stores:
            self.stores[identity] = ref(store, lambda _: self.forget(identity))
        with self.guard:
            if not self.running:
                return self.start()
        if due < self.until:
            self.wake()
        return True

    def forget(self, identity: int) -> None:
        for known in (self.stores, self.due, self.retries):
            known.pop(identity, None)
        if self.running and not self.stores:
            self.wake()

    def start(self) -> bool:
        """Start the thread; False if there is none to be had, because the interpreter exits, say."""
        if self.over or not self.alive.acquire(True, _PATIENCE):
            return False
        self.running = True
        try:
            _thread.start_new_thread(self.run, ())
        except RuntimeError:
            self.running = False
            self.alive.release()
        return self.running

    def wake(self) -> None:
        # contextlib takes longer to import than all of this.
        try:  # noqa: SIM105
            self.news.release()
        except RuntimeError:
            # Somebody else has just done so.
            pass

    def run(self) -> None:
        try:
            while True:
                with self.guard:
                    if self.stopping or not self.stores:
                        self.running = False
                        return
                self.until = _NEVER
                self.look_around()
                # What comes in after this look wakes us, since `until` is not set yet.
                until = min(self.due.copy().values(), default=_NEVER)
                wait = until - monotonic()
                if wait > 0.0:
                    self.until = until
                    self.news.acquire(True, -1 if wait == _NEVER else min(wait, _thread.TIMEOUT_MAX))
        finally:
            self.alive.release()

    def look_around(self) -> None:
        now = monotonic()
        for identity, due in self.due.copy().items():
            if due > now:
                continue
            # Taken out first: it may be called for again as soon as this has looked at it.
            self.due.pop(identity, None)
            reference = self.stores.get(identity)
            store = None if reference is None else reference()
            if store is not None:
                again = self.tend(store)
                if again is not None:
                    self.due[identity] = min(monotonic() + again, self.due.get(identity, _NEVER))
            del store

    def tend(self, store: Store) -> float | None:
        identity = id(store)
        try:
            again = store.tend()
        except Exception as error:
            retry = self.retries.get(identity, _FIRST_RETRY)
            self.retries[identity] = min(2 * retry, _LAST_RETRY)
            load("logging").getLogger("fastcache").warning(
                "maintenance of %r failed, and is tried again in %g s: %s", store.directory, retry, error
            )
            return retry
        self.retries.pop(identity, None)
        return again

    def stop(self) -> None:
        """End the thread and wait for it."""
        self.stopping = True
        self.wake()
        if self.alive.acquire(True, _PATIENCE):
            self.alive.release()
        self.stopping = False

    def resume(self) -> None:
        """After a fork: start again if there is something to do; otherwise when there is."""
        if self.due:
            with self.guard:
                if not self.running:
                    self.start()

    def end(self) -> None:
        """Stop for good."""
        self.over = True
        self.stop()


_maintenance = _Maintenance()


def attend(store: Store, seconds: float) -> bool:
    """Have ``store.tend()`` called within so many seconds; returns whether it will be."""
    return _maintenance.attend(store, seconds)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_maintenance.stop, after_in_parent=_maintenance.resume, after_in_child=_maintenance.renew
    )
atexit.register(_maintenance.end)
