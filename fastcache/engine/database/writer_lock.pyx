# cython: nonecheck=True
"""Whose turn it is to write, among the threads of a process.

A thread that gives the writer lock back and wants it again at once is faster than any that has to wake up first: good for
speed, since nothing is as quick as no switch between threads, and bad for who waits. So a writer lock that is given back is free for
whoever comes first, unless the one that waits longest has waited for a millisecond: then it is handed over. (The same
rule as the starvation mode of Go's sync.Mutex: https://go.dev/src/internal/sync/mutex.go.)

Everything here is done with the GIL, which is why no lock guards it; it is given up in one place, while waiting.

**A transaction is a context's**, in the sense of contextvars: that of the task that has begun it, and of those that it starts
inside. The other tasks of its thread read what is committed, and are refused when they write: they cannot wait for a task that
cannot go on before they let it. (A generator has no context of its own: what its caller does between two steps is inside.)

Greenlets (runtime/greenlets.pyx) share a thread of the system, and are threads of their own here: by `identity`, which asks for them
once the program has loaded what makes them. One that waits lets the others go on, and looks again every few milliseconds.
"""

import _thread
import sys
from _contextvars import ContextVar
from time import monotonic

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.monotonic cimport seconds
from fastcache.runtime.greenlets cimport current, may_be

from fastcache.runtime import greenlets, imports
from fastcache.errors import Timeout, TransactionError

cdef extern from *:
    """
    static unsigned long fastcache_forks = 0;
    #ifdef _WIN32
    static int fastcache_count_forks(void) { return 0; }
    #else
    #include <pthread.h>
    static void fastcache_was_forked(void) { fastcache_forks++; }
    static int fastcache_count_forks(void) { return pthread_atfork(0, 0, fastcache_was_forked); }
    #endif
    """
    unsigned long fastcache_forks
    int fastcache_count_forks() noexcept

if fastcache_count_forks():
    raise MemoryError("forks cannot be counted")

# Whether there may be greenlets in this process.
cdef bint has_greenlets = False
# The naps of a greenlet that waits, in seconds: each twice as long as the one before.
cdef double FIRST_NAP = 0.0005
cdef double LONGEST_NAP = 0.01


cdef int notice_greenlets() except -1:
    """Look whether the program has loaded what makes greenlets: before a thread has or waits for a writer lock for long."""
    global has_greenlets
    if not has_greenlets and may_be():
        has_greenlets = True
    return 0


cdef bint knows_greenlets() noexcept:
    """Whether greenlets are told apart, so that one of them may let others go on with something in hand."""
    return has_greenlets


cdef unsigned long identity() noexcept:
    """A number of the thread or greenlet that runs."""
    if not has_greenlets:
        return <unsigned long>PyThread_get_thread_ident()
    return greenlet_identity()


cdef unsigned long greenlet_identity() noexcept:
    greenlet = current()
    return <unsigned long>PyThread_get_thread_ident() if greenlet is None else <unsigned long><PyObject*>greenlet


# After this time a waiter does not have to compete any more, in seconds.
cdef double FAIR = 0.001


cdef unsigned long fork_count() noexcept nogil:
    """How many forks lie between the process that has loaded this module and this one, whoever made them: Python, whose hooks
    run (runtime/fork.py), or C code (a server, a library), which knows nothing of these."""
    return fastcache_forks


cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        PyObject* context
    PyThreadState* PyThreadState_Get() noexcept
    int PyContextVar_Get(object variable, PyObject* default, PyObject** value) except -1

# The blocks in which a context is, as a tuple; and some that have ended.
cdef object inside = ContextVar("fastcache_inside")


@cython.final
cdef class Block:
    """A transaction of ``transact()``, as the contexts know it that it belongs to."""


cdef Block new_block():
    """Let this context, and those that descend from it, be inside of a transaction that begins."""
    cdef Block block = Block.__new__(Block)
    cdef Block other
    inside.set((block, *[other for other in inside.get(()) if other.is_open]))
    # To set a variable has made a context, if there was none.
    block.context = <object>PyThreadState_Get().context
    return block


cdef bint knows(object context_block) noexcept:
    """Whether this context descends from that in which a block was begun."""
    cdef PyObject* found = NULL
    try:
        if PyContextVar_Get(inside, NULL, &found) < 0 or found == NULL:
            return False
        blocks = <object>found
        Py_DECREF(blocks)
        for block in <tuple>blocks:
            if block is context_block:
                return True
    except MemoryError:
        pass
    return False


cdef class Waiter:
    """A thread that waits for the writer lock, asleep on a lock of its own."""

    def __cinit__(self, unsigned long thread):
        self.lock = imports.new_lock()
        self.lock.acquire()
        self.thread = thread
        self.since = monotonic()
        self.came = seconds()


cdef class WriterLock:
    """Whose turn it is; re-entrant."""

    def __cinit__(self):
        self.waiters = []
        self.born = fork_count()
        notice_greenlets()

    cdef int acquire(self, double timeout) except -1:
        """Have the writer lock, within ``timeout`` seconds."""
        cdef unsigned long me = identity()
        self.notice_fork()
        if self.owner == 0:
            self.owner = me
            self.began = 0.0
            if self.timings is not None:
                self.taken = seconds()
        elif self.owner != me:
            return self.wait(me, timeout)
        elif self.is_elsewhere():
            raise TransactionError(
                "another task of this thread is inside of transact(), and would wait for ever if it was waited for; nothing was "
                "done. Await nothing inside of transact(), or let the tasks take turns (an asyncio.Lock)")
        self.depth += 1
        return 0

    cdef bint try_acquire(self) except -1:
        cdef unsigned long me = identity()
        self.notice_fork()
        if self.owner != 0 and (self.owner != me or self.is_elsewhere()):
            return False
        if self.owner == 0:
            self.owner = me
            self.began = 0.0
            if self.timings is not None:
                self.taken = seconds()
        self.depth += 1
        return True

    cdef int notice_fork(self) except -1:
        """In a child that was forked without Python's hooks: whoever has the writer lock, or waits for it, is in the parent."""
        if self.born != fork_count():
            self.born = fork_count()
            self.owner = 0
            self.depth = 0
            self.block = None
            self.waiters = []
        return 0

    cdef void release(self):
        self.depth -= 1
        if self.depth == 0:
            if self.journal is not None and self.journal.shut_here:
                self.journal.open_gate()
            if self.timings is not None:
                self.timings.held.add(seconds() - self.taken)
            self.unbind()
            if self.waiters:
                self.pass_on(FAIR)
            else:
                self.owner = 0

    cdef void release_to_waiter(self):
        """Give it back to whoever waits, for however long: what is done in the background comes in small pieces."""
        self.depth -= 1
        if self.depth == 0:
            if self.journal is not None and self.journal.shut_here:
                self.journal.open_gate()
            if self.timings is not None:
                self.timings.held.add(seconds() - self.taken)
            self.unbind()
            if self.waiters:
                self.pass_on(0.0)
            else:
                self.owner = 0

    cdef bint held_by_me(self) noexcept:
        """Whether this thread has it, and this task, if it is for a transaction."""
        return self.owner != 0 and self.owner == identity() and not self.is_elsewhere()

    cdef bint held_by_thread(self) noexcept:
        return self.owner != 0 and self.owner == identity()

    cdef void bind(self, Block block) noexcept:
        """It is for a transaction from now on."""
        block.is_open = True
        self.block = block

    cdef void unbind(self) noexcept:
        if self.block is not None:
            self.block.is_open = False
            self.block.context = None
            self.block = None

    cdef void come_here(self) noexcept:
        """Whoever ends a transaction may do so in another context: a generator that is collected, say."""
        if self.is_elsewhere():
            self.block.context = <object>PyThreadState_Get().context

    cdef bint is_elsewhere(self) noexcept:
        """Whether it is for a transaction of another task of its thread."""
        return (self.block is not None and self.block.context is not <object>PyThreadState_Get().context
                and not knows(self.block))

    cdef int wait(self, unsigned long me, double timeout) except -1:
        cdef Waiter waiter = Waiter(me)
        cdef double left
        cdef double nap = FIRST_NAP
        sleep = greenlets.sleeper() if has_greenlets else None
        self.waiters.append(waiter)
        try:
            # A signal handler that runs meanwhile may wait, too, and get what was meant for us.
            while self.owner != 0 and self.owner != me:
                left = waiter.since + timeout - monotonic()
                # Whoever has it when the interpreter ends was stopped, and will not give it back.
                if left <= 0.0 or sys.is_finalizing():
                    raise Timeout(
                        f"another thread of this process kept the cache locked for the whole timeout of {timeout:g} s")
                if sleep is None:
                    waiter.lock.acquire(True, min(left, _thread.TIMEOUT_MAX))
                elif not waiter.lock.acquire(False):
                    sleep(min(left, nap))
                    nap = min(2.0 * nap, LONGEST_NAP)
            self.owner = me
            self.depth += 1
            self.began = waiter.since
            if self.timings is not None:
                self.taken = seconds()
                self.timings.waited.add(self.taken - waiter.came)
        except BaseException:
            self.waiters.remove(waiter)
            if self.owner == me and self.depth == 0:
                self.owner = 0
            # It may have been us whom it was meant to wake.
            if self.owner == 0 and self.waiters:
                self.pass_on(FAIR)
            raise
        self.waiters.remove(waiter)
        return 0

    cdef int pass_on(self, double patience) except -1:
        """Hand it to whoever has waited for so many seconds; else set it free, and wake the first one."""
        cdef Waiter first = self.waiters[0]
        cdef Waiter waiter
        # By a clock that needs no memory: to give the writer lock back must not fail.
        self.owner = first.thread if seconds() - first.came >= patience else 0
        for waiter in self.waiters:
            # A thread that waits in a signal handler of its own stands here twice.
            if waiter is first or waiter.thread == self.owner:
                if waiter.lock.locked():
                    waiter.lock.release()
        return 0
