"""Maintenance: the one background thread of a process, whatever the number of caches.

It does for each store what callers should not wait for (``Store.maintain``): checkpoints, the trash, what has expired,
and what waits to be written. A store calls it when there is something to do, and says how soon; from then on
``maintain`` says when there will be more. Otherwise the thread sleeps, and nothing wakes it. It begins with the first
call and ends when the last store is closed. A fork and the exit of the interpreter stop it first; after a fork either
side starts its own when it needs one.

Before Python 3.13, threading takes the thread that imports it first for the main thread, and the exit waits for that.
If it was this one (``on_evict`` may import anything, and so may a finalizer), another one goes on in its place.
"""

from __future__ import annotations

import _thread
import sys
from _weakref import ref
from time import monotonic

from fastcache.runtime import fork
from fastcache.runtime.greenlets import unpatched
from fastcache.runtime.imports import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Store(Protocol):
        """What is maintained."""

        @property
        def closed(self) -> bool:
            """Whether it needs no maintenance any more."""

        @property
        def directory(self) -> str:
            """What it is called in warnings."""

        def maintain(self) -> float | None:
            """Do what there is to do; returns in how many seconds there will be more, if it is known."""


__all__ = ["schedule"]

_NEVER = float("inf")
# How long a fork or the exit waits for the thread to end, in seconds.
_PATIENCE = 5.0
# After a failure it tries again after so many seconds, then after twice as many, and so on.
_FIRST_RETRY, _LAST_RETRY = 0.25, 60.0


class _Maintenance:
    def __init__(self) -> None:
        self.over = False
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Begin without a thread, as a forked child does."""
        # By identity. Plain dicts, because copying one cannot be interrupted.
        self.stores: dict[int, ref[_Store]] = {}
        self.due: dict[int, float] = {}
        self.retries: dict[int, float] = {}
        # Guards the beginning and the end of the thread. Re-entrant, because the garbage collector may come in between.
        self.guard = _thread.RLock()
        self.running = False
        self.stopping = False
        # When it will wake by itself. While it works, it has to be told of anything new.
        self.until = _NEVER
        # Free when there is something new.
        self.news = unpatched("_thread", "allocate_lock")()
        self.news.acquire()
        # Held by the thread while it runs.
        self.alive = unpatched("_thread", "allocate_lock")()
        # Whether another thread has taken over from one that threading takes for the main thread.
        self.replaced = False

    def schedule(self, store: _Store, seconds: float) -> bool:
        identity = id(store)
        if store.closed:
            self.forget(identity)
            return False
        due = monotonic() + seconds
        if due < self.due.get(identity, _NEVER):
            self.due[identity] = due
        known = self.stores.get(identity)
        # What forgets a store may have been interrupted, and another one have come to lie where that was.
        if known is None or known() is not store:
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
        if self.over:
            return False
        # An interrupt may fall anywhere here. Whatever it leaves, the next start begins a thread; one too many ends.
        try:
            unpatched("_thread", "start_new_thread")(self.run, ())
        except RuntimeError:
            return False
        self.running = True
        return True

    def wake(self) -> None:
        # contextlib takes longer to import than all of this.
        try:  # noqa: SIM105
            self.news.release()
        except RuntimeError:
            # Somebody else has just done so.
            pass

    def run(self) -> None:
        # The one before may be about to end.
        if not self.alive.acquire(True, _PATIENCE):
            return
        try:
            while True:
                with self.guard:
                    self.running = not (self.stopping or self.over or not self.stores)
                    if not self.running:
                        return
                self.until = _NEVER
                try:
                    self.look_around()
                    # What comes in after this look wakes us, since `until` is not set yet.
                    until = min(self.due.copy().values(), default=_NEVER)
                except MemoryError:
                    until = monotonic() + _FIRST_RETRY
                if not self.replaced and is_taken_for_main() and self.replace():
                    return
                wait = until - monotonic()
                if wait > 0.0:
                    self.until = until
                    self.news.acquire(True, -1 if wait == _NEVER else min(wait, _thread.TIMEOUT_MAX))
        finally:
            self.alive.release()

    def replace(self) -> bool:
        """Start another thread, which begins when this one has ended; False if there is none to be had."""
        with self.guard:
            self.replaced = self.start()
        return self.replaced

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
                again = self.maintain(store)
                if again is not None:
                    self.due[identity] = min(monotonic() + again, self.due.get(identity, _NEVER))
            del store

    def maintain(self, store: _Store) -> float | None:
        identity = id(store)
        try:
            again = store.maintain()
        except Exception as error:
            retry = self.retries.get(identity, _FIRST_RETRY)
            self.retries[identity] = min(2 * retry, _LAST_RETRY)
            warn("maintenance of %r failed, and is tried again in %g s: %s", store.directory, retry, error)
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


def is_taken_for_main() -> bool:
    """Whether threading takes this thread for the main one."""
    try:
        taken: bool = sys.modules["threading"].main_thread().ident == unpatched("_thread", "get_ident")()
    except (KeyError, AttributeError, NameError):
        # Not imported, or just being.
        return False
    return taken


_maintenance = _Maintenance()


def schedule(store: _Store, seconds: float) -> bool:
    """Have ``store.maintain()`` called within so many seconds; returns whether it will be."""
    return _maintenance.schedule(store, seconds)


fork.BACKGROUND.before, fork.BACKGROUND.in_parent = _maintenance.stop, _maintenance.resume
fork.BACKGROUND.in_child = _maintenance.after_fork_in_child
fork.BACKGROUND.at_exit = _maintenance.end
