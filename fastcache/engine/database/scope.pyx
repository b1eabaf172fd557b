# cython: nonecheck=True
"""What transactions are of: whose turn it is, which blocks are open, what time it is there, and who is called for maintenance.

A `Database` is one, and so is what a store in memory has in its place.
"""

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.database.timings cimport Timings

from fastcache.errors import StorageError
from fastcache.runtime import imports

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long long tv_sec
        long tv_nsec
    int TIME_UTC
    int timespec_get(timespec* now, int base)

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    static int fastcache_is_main_thread(void) { return _PyOS_IsMainThread(); }
    #else
    static int fastcache_is_main_thread(void) { return 0; }
    #endif
    """
    # Whether it is this thread that must be the first to import threading: from Python 3.13 on, any may.
    bint fastcache_is_main_thread()

# How often maintenance is called that is interrupted while it listens.
cdef int MOST_CALLS = 5
MAINTENANCE_PATIENCE = 0.5


cdef class Scope:
    """The writer lock, the open blocks and the clock of a store."""

    cdef int make(self, str directory, object keepalive, object timeout, object timer, object scheduler) except -1:
        """Called once.

        Args:
            directory: what it is called in messages.
            keepalive: a weak reference to what maintenance is called for.
            timeout: how long to wait for another writer, in seconds.
            timer: called for the time in seconds since the epoch; None for the system's clock.
            scheduler: called with what is kept alive and a number of seconds, to have it maintained within that time.
        """
        self.directory = directory
        self.keepalive = keepalive
        self.timeout = check_timeout(timeout)
        if timer is not None and not callable(timer):
            raise TypeError(f"timer must be a callable that returns seconds, not {type(timer).__name__}")
        self.timer = timer
        if timer is not None:
            know_main_thread()
        self.scheduler = scheduler
        self.writer_lock = WriterLock()
        self.blocks = []
        return 0

    def time_writes(self):
        """From now on, keep how long writes take; returns the Timings, the same ones each time."""
        if self.writer_lock.timings is None:
            self.writer_lock.timings = Timings()
        return self.writer_lock.timings

    cdef long long innermost_block(self) except -1:
        """The number of the innermost block, which no other ever has; a transaction is open."""
        return self.blocks[self.depth - 1]

    cdef bint is_open(self, long long block) except -1:
        """Whether a block has not been left yet."""
        cdef int index
        for index in range(self.depth):
            if self.blocks[index] == block:
                return True
        return False

    cdef double patience(self) noexcept:
        """For how long this thread waits for the writer lock, or for another process, in seconds."""
        return min(self.timeout, MAINTENANCE_PATIENCE) if self.is_hurried() else self.timeout

    cdef bint is_hurried(self) noexcept:
        """Whether this thread must not wait for long: maintenance, which tends others, too, or one that is about to fork."""
        return self.hurried_thread != 0 and self.hurried_thread == <unsigned long>PyThread_get_thread_ident()

    cdef long long now(self) except? -1:
        """Milliseconds since the epoch."""
        cdef timespec moment
        cdef double seconds
        if self.timer is not None:
            seconds = self.timer()
            if not -4e12 < seconds < 4e12:
                raise ValueError("timer must return seconds since the epoch, and has returned something else")
            return <long long>(seconds * 1000.0)
        if timespec_get(&moment, TIME_UTC) != TIME_UTC:
            raise StorageError("the system's clock cannot be read")
        return <long long>moment.tv_sec * 1000 + moment.tv_nsec // 1000000

    cdef bint schedule(self, double seconds) except -1:
        """Have `maintain` called within so many seconds; returns whether it will be.

        A signal handler may raise in between, when nobody may have heard of it yet: then it is said again, and raised after."""
        cdef bint scheduled = False
        cdef int tries
        interruption = None
        keepalive = self.keepalive()
        if self.scheduler is None or keepalive is None:
            return False
        for tries in range(MOST_CALLS):
            try:
                scheduled = self.scheduler(keepalive, seconds)
                break
            except MemoryError:
                # This comes after a commit, which stands. In vain, it is as if there was no maintenance.
                pass
            except BaseException as error:
                interruption = error
        if interruption is not None:
            raise interruption
        return scheduled


cdef int know_main_thread() except -1:
    """Before maintenance runs what users have written, which may import threading: see to it that this takes the main thread
    for the main thread, and not the one of maintenance (background.py)."""
    if fastcache_is_main_thread():
        imports.load("threading")
    return 0


cdef double check_timeout(object timeout) except -1.0:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, not {timeout!r}")
    return timeout
