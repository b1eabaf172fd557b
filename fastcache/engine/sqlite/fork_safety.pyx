"""What keeps forks and SQLite apart: free calls, and the databases that a child inherits.

A free call is one of SQLite's that gives up the GIL without a writer lock: opening, closing, a long query. A fork waits for those
under way, and keeps others from beginning: SQLite's own mutexes, locked by a thread that the child does not have, would
stay locked there for ever, and a connection that is made meanwhile would be both's. What a fork finds open yet belongs to
the parent, and the child must not open it.
"""

import os
import time

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.runtime import fork

# How many connections this process has open on each path. What is left of it when a fork comes is inherited.
cdef dict opened = {}

inherited = set()
"""Database files (device, inode) that this process must not open: it was forked inside a transaction on them."""

# The free calls under way.
cdef int free_calls = 0
# The thread that forks; 0 if none does.
cdef unsigned long forking = 0
# How often who waits for that looks again, and how long a fork waits, in seconds.
cdef double FORK_NAP = 0.0005
cdef double FORK_PATIENCE = 10.0


cdef extern from *:
    """
    #if defined(_MSC_VER)
    static __declspec(thread) int fastcache_free_depth = 0;
    #else
    static __thread int fastcache_free_depth = 0;
    #endif
    """
    # How deep this thread is in such calls.
    int fastcache_free_depth


cdef int begin_free_call(bint waits=True) except -1:
    """Before a free call. Nested ones wait for no fork, nor does who has SQLite's lock, for which the one that forks may be
    waiting."""
    while not try_begin_free_call(waits):
        wait_for_fork()
    return 0


cdef bint try_begin_free_call(bint waits=True) noexcept:
    """The same, unless it would have to wait: returns whether it has begun. For who has a lock that the thread that forks may
    need (a timer may read from any store), and has to give it back before it waits."""
    global free_calls, fastcache_free_depth
    if fastcache_free_depth == 0:
        if waits and forking != 0 and forking != <unsigned long>PyThread_get_thread_ident():
            return False
        free_calls += 1
    fastcache_free_depth += 1
    return True


cdef int wait_for_fork() except -1:
    """Wait a moment for the end of a fork. Runs Python code, and lets others in."""
    time.sleep(FORK_NAP)
    return 0


cdef void end_free_call() noexcept:
    global free_calls, fastcache_free_depth
    fastcache_free_depth -= 1
    if fastcache_free_depth == 0:
        free_calls -= 1


def _hold_free_calls():
    """Before a fork: let no call begin that gives up the GIL without a writer lock, and wait for those under way."""
    global forking
    deadline = time.monotonic() + FORK_PATIENCE
    while forking != 0 and forking != <unsigned long>PyThread_get_thread_ident():
        # Another thread forks, too.
        time.sleep(FORK_NAP)
    forking = <unsigned long>PyThread_get_thread_ident()
    # Not for the one that this thread itself is in.
    while free_calls > (fastcache_free_depth != 0) and time.monotonic() < deadline:
        time.sleep(FORK_NAP)


def _resume_free_calls():
    """After a fork, in the process that has forked."""
    global forking
    if forking == <unsigned long>PyThread_get_thread_ident():
        forking = 0


def _renew_free_calls():
    """After a fork, in the child: whoever was in such a call does not exist there."""
    global forking, free_calls, fastcache_free_depth
    forking = 0
    free_calls = 0
    fastcache_free_depth = 0


cdef int count_opened(str path) except -1:
    """A connection to this database was opened."""
    opened[path] = opened.get(path, 0) + 1
    return 0


cdef int count_closed(str path) except -1:
    """A connection to this database was closed."""
    left = opened.get(path, 0) - 1
    if left > 0:
        opened[path] = left
    else:
        opened.pop(path, None)
    return 0


cdef int connections_to(str path) except -1:
    """How many connections to this database this process has."""
    return opened.get(path, 0)


def _inherit():
    """In a child: what is open yet is the parent's."""
    _renew_free_calls()
    paths = list(opened)
    opened.clear()
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            # Removed: then nobody can open it by this path.
            continue
        inherited.add((status.st_dev, status.st_ino))


fork.CALLS.before, fork.CALLS.in_parent = _hold_free_calls, _resume_free_calls
fork.CALLS.unnoticed, fork.CALLS.in_child = _renew_free_calls, _inherit
