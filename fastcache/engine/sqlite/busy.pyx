"""Waiting for a lock that another connection holds.

No step waits inside SQLite: it comes back as STEP_BUSY (connection.pyx), and whoever made it waits here and tries again.
"""

import time

cimport cython
from cpython.exc cimport PyErr_CheckSignals

from fastcache.errors import Timeout
from fastcache.runtime import greenlets

cdef object sleep = greenlets.unpatched("time", "sleep")

# The naps of a waiter: a part of what it has waited already, from the first to the longest, in seconds.
cdef double FIRST_NAP = 30e-6
cdef double NAP_SHARE = 0.1
cdef double LONGEST_NAP = 2e-3


@cython.final
cdef class BusyWait:
    """Waiting for a lock that another connection holds: back off, then give up with Timeout."""

    def __cinit__(self, double timeout, doing, double started=0.0):
        self.timeout = timeout
        self.doing = doing
        self.started = started

    cdef int pause(self, bint gives_way=False) except -1:
        """Sleep a little without the GIL; raise Timeout once ``timeout`` seconds have gone by. With ``gives_way`` other greenlets
        of this thread go on meanwhile: for who begins anew after it with whatever it has found."""
        cdef double now = time.monotonic()
        cdef double left, nap
        if self.started == 0.0:
            self.started = now
        self.waited = now - self.started
        left = self.timeout - self.waited
        if left <= 0.0:
            raise Timeout(
                f"{self.doing}: the database was locked by another writer for the whole timeout of "
                f"{self.timeout:g} s"
            )
        nap = min(LONGEST_NAP, max(FIRST_NAP, self.waited * NAP_SHARE))
        # A signal that comes in between two naps interrupts neither.
        PyErr_CheckSignals()
        # Waiters that woke in step would keep colliding: each its own part of it, by the last digits of its clock.
        nap = min(left, nap * (0.5 + 0.5 * (<long long>(now * 1e9) % 1000) / 1000.0))
        if gives_way:
            greenlets.sleep(nap)
        else:
            sleep(nap)
        return 0
