"""The process: forks and the exit, in phases whose order stands here, whatever is imported first.

SQLite keeps its POSIX locks in tables of the process, which a child inherits without the locks, and a lock that another
thread holds at a fork is locked for ever in the child. So before a fork whoever takes part stops and holds what it has,
one phase after the other, and gives it back in the reverse order; in the child it begins anew. At the exit the first
phases write out and close what is open; it can still be used.

C code may fork without any hook. The child then finds out when it first needs a connection (writer_lock.pyx counts
forks), and calls ``notice_fork``.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from fastcache.runtime.greenlets import unpatched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = [
    "BACKGROUND",
    "BYTE_LOCKS",
    "CALLS",
    "CONNECTIONS",
    "FLIGHTS",
    "GUARD",
    "LOCKS",
    "PHASES",
    "STORES",
    "TEMPORARY",
    "TOKENS",
    "WORKERS",
    "Phase",
    "leave",
    "notice_fork",
]

_get_ident = unpatched("_thread", "get_ident")
# How long a fork waits for the guard, in seconds.
_PATIENCE = 10.0
# How soon it is looked whether a thread has come back from its fork, in seconds.
_MOMENT = 0.01

guard = _thread.RLock()
"""The lock for what is short, or imports, and that other threads must not be in the middle of at a fork. To be looked
up here each time: a child has another one."""


def _nothing() -> None:
    """What a phase does that nobody takes part in."""


class Phase:
    """One step of a fork, and of the exit; who takes part in it sets what is done then.

    Attributes:
        before: called before a fork. May be interrupted anywhere.
        in_parent: called after it in the process that has forked, if ``before`` was, also if that has raised.
        unnoticed: called first in a child that was forked without notice.
        in_child: called in each child.
        at_exit: called at the exit.
    """

    __slots__ = ("at_exit", "before", "in_child", "in_parent", "name", "unnoticed")

    before: Callable[[], object]
    in_parent: Callable[[], object]
    unnoticed: Callable[[], object]
    in_child: Callable[[], object]
    at_exit: Callable[[], object]

    def __init__(self, name: str) -> None:
        self.name = name
        self.before = self.in_parent = self.unnoticed = self.in_child = self.at_exit = _nothing

    def leave(self) -> None:
        """Do what is to be done at the exit."""
        self.at_exit()


WORKERS = Phase("workers")
"""The threads of asynchronous caches: at the exit, what they have begun is finished; a child has none."""
BACKGROUND = Phase("background")
"""The thread of maintenance is stopped, so that it is inside of no store."""
TEMPORARY = Phase("temporary")
"""At the exit, temporary directories are removed that cannot be removed later (afterwards.pyx)."""
STORES = Phase("stores")
"""Every store is held, so that no other thread is inside of one; at the exit, written out."""
CALLS = Phase("calls")
"""No call of SQLite begins any more that gives up the GIL without holding a store."""
CONNECTIONS = Phase("connections")
"""Those that were opened meanwhile are held, too, and all connections are closed."""
GUARD = Phase("guard")
"""The lock of this module is held, last: who imports may be inside of a store."""
BYTE_LOCKS = Phase("byte locks")
"""In a child: the bytes that its parent has locked are the parent's."""
TOKENS = Phase("tokens")
"""In a child: tokens of locks and numbers of threads are those of no other process."""
LOCKS = Phase("locks")
"""In a child: what its parent holds and waits for is the parent's."""
FLIGHTS = Phase("flights")
"""In a child: what its parent computes is the parent's."""

PHASES = (WORKERS, BACKGROUND, TEMPORARY, FLIGHTS, LOCKS, TOKENS, BYTE_LOCKS, STORES, CALLS, CONNECTIONS, GUARD)
"""In the order of what comes before a fork, and at the exit; what comes after it is done in the reverse order."""

# For each forking thread (the child's one thread keeps its identity): the phases that have begun, and whether it was
# interrupted by Ctrl-C.
_forking: dict[int, tuple[list[Phase], list[bool]]] = {}


def leave() -> None:
    """Do what is to be done at the exit, all of it, whatever one part of it raises; may be done again."""
    failure: BaseException | None = None
    for phase in PHASES:
        try:
            phase.leave()
        except BaseException as error:
            failure = error
    if failure is not None:
        raise failure


def _before_fork() -> None:
    coming = list(reversed(PHASES))
    begun: list[Phase] = []
    interrupted: list[bool] = []
    _forking[_get_ident()] = (begun, interrupted)
    # Nothing can stop a fork. The child will not touch what could not be closed.
    while coming:
        try:
            while coming:
                phase = coming.pop()
                begun.append(phase)
                phase.before()
        except KeyboardInterrupt:
            interrupted.append(True)


def _after_fork_in_parent() -> None:
    begun, interrupted = _forking.pop(_get_ident())
    while begun:
        try:
            while begun:
                begun.pop().in_parent()
        except KeyboardInterrupt:
            interrupted.append(True)
    if interrupted:
        # What is raised in here is lost.
        try:
            unpatched("_thread", "start_new_thread")(_interrupt_soon, (_get_ident(),))
        except RuntimeError:
            _thread.interrupt_main()


def _interrupt_soon(forking: int) -> None:
    """In a thread of its own: interrupt the main one, when the one that has forked has come back from here."""
    frame: FrameType | None = None
    while True:
        unpatched("time", "sleep")(_MOMENT)
        frame = sys._current_frames().get(forking)
        while frame is not None and frame.f_code is not _after_fork_in_parent.__code__:
            frame = frame.f_back
        if frame is None:
            break
    _thread.interrupt_main()


def _after_fork_in_child() -> None:
    noticed = _get_ident() in _forking
    _forking.clear()
    if noticed:
        _begin_anew()
    else:
        # Some servers fork by themselves, and tell Python afterwards.
        notice_fork()


def notice_fork() -> None:
    """In a child that was forked by C code, without notice: close what came with it, and begin anew."""
    _forking.clear()
    for phase in reversed(PHASES):
        phase.unnoticed()
    _begin_anew()


def _begin_anew() -> None:
    for phase in reversed(PHASES):
        phase.in_child()


def _hold_guard() -> None:
    guard.acquire(True, _PATIENCE)


def _release_guard() -> None:
    # contextlib takes longer to import than all of this.
    try:  # noqa: SIM105
        guard.release()
    except RuntimeError:
        # It could not be had.
        pass


def _renew_guard() -> None:
    """In a child: whoever holds the parent's does not exist there."""
    global guard  # noqa: PLW0603 - it has no method to be set free by others
    guard = _thread.RLock()


GUARD.before, GUARD.in_parent, GUARD.unnoticed, GUARD.in_child = _hold_guard, _release_guard, _renew_guard, _renew_guard

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
# What is registered last is called first; and whatever one of them raises keeps none of the others from being called.
for _phase in reversed(PHASES):
    atexit.register(_phase.leave)
