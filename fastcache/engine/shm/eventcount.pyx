"""An event count: threads of any process sleep until another one notifies them, and cost nothing meanwhile.

It is a number in shared memory that each notification increments (Reed and Kanodia, "Synchronization with Eventcounts and
Sequencers", 1979). A waiter reads it, looks whether what it waits for is there, and if not sleeps for as long as the number
is what it was: so no notification between the look and the sleep is missed. The system does that comparison (futex;
https://man7.org/linux/man-pages/man2/futex.2.html). Each waiter names some of 32 bits, and a notification wakes those of its
bits alone.

A notification is a hint. Whoever is killed sends none, so that a waiter looks now and then all the same. Where there is no
futex, or it fails, it does so every millisecond, and so does a greenlet, which must let others go on; one that wakes nobody is no
error, since it follows what is done.
"""

import os
from time import monotonic

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals

from fastcache.engine.shm.change_log import map_shared
from fastcache.errors import StorageError, system_error
from fastcache.runtime import greenlets

cdef extern from *:
    """
    #if defined(__linux__)
    #include <errno.h>
    #include <linux/futex.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>
    #define FASTCACHE_WOKEN 0
    #define FASTCACHE_INTERRUPTED EINTR
    #define FASTCACHE_TOO_LATE ETIMEDOUT
    static int fastcache_wait(unsigned int *word, unsigned int seen, unsigned int bits, double seconds)
    {
        struct timespec until;
        long long nanoseconds;
        if (clock_gettime(CLOCK_MONOTONIC, &until) != 0)
            return errno;
        nanoseconds = until.tv_nsec + (long long)(seconds * 1e9);
        until.tv_sec += (time_t)(nanoseconds / 1000000000);
        until.tv_nsec = (long)(nanoseconds % 1000000000);
        return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &until, 0, bits) == 0 ? 0 : errno;
    }
    static void fastcache_wake(unsigned int *word, unsigned int bits)
    {
        syscall(SYS_futex, word, FUTEX_WAKE_BITSET, 0x7fffffff, 0, 0, bits);
    }
    static unsigned int fastcache_read(unsigned int *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static void fastcache_advance(unsigned int *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }
    #else
    #define FASTCACHE_WOKEN 0
    #define FASTCACHE_INTERRUPTED 1
    #define FASTCACHE_TOO_LATE 2
    static int fastcache_wait(unsigned int *word, unsigned int seen, unsigned int bits, double seconds) { return -1; }
    static void fastcache_wake(unsigned int *word, unsigned int bits) { }
    #if defined(_MSC_VER)
    #include <intrin.h>
    static unsigned int fastcache_read(unsigned int *word) { return (unsigned int)_InterlockedOr((long *)word, 0); }
    static void fastcache_advance(unsigned int *word) { _InterlockedIncrement((long *)word); }
    #else
    static unsigned int fastcache_read(unsigned int *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static void fastcache_advance(unsigned int *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }
    #endif
    #endif
    """
    int FASTCACHE_WOKEN
    int FASTCACHE_INTERRUPTED
    int FASTCACHE_TOO_LATE
    int fastcache_wait(unsigned int* word, unsigned int seen, unsigned int bits, double seconds) nogil
    void fastcache_wake(unsigned int* word, unsigned int bits) nogil
    unsigned int fastcache_read(unsigned int* word) nogil
    void fastcache_advance(unsigned int* word) nogil

cdef unsigned int ALL_BITS = 0xFFFFFFFF
# The file: a magic number, then the count, in a cache line of its own; then counters, if there are any (counters.pyx).
cdef unsigned long long MAGIC = 0x314C4C4542636166ULL
cdef Py_ssize_t SIZE = 128
cdef Py_ssize_t NUMBER = 64
# Where the system does not wake us: how long a look is put off, in seconds. Among greenlets, at most; half of what was waited.
cdef double NAP = 0.001
cdef double LONGEST_NAP = 0.01
# No sleep is longer than this, in seconds.
cdef double LONGEST_SLEEP = 3600.0


cdef class EventCount:
    """The event count in one file.

    Args:
        path: of the file; made (0600) if absent. None for memory of this process alone.
        room: how many bytes there have to be behind it.
    Raises:
        StorageError: it cannot be made or mapped, or is something else.
    """

    def __cinit__(self, str path, Py_ssize_t room=0):
        cdef Py_buffer view
        cdef bint ours
        content = MAGIC.to_bytes(8, "little").ljust(SIZE + room, b"\0")
        try:
            self.mapping = bytearray(content) if path is None else map_shared(path, content)
        except (OSError, ValueError, OverflowError) as error:
            if getattr(error, "errno", None):
                raise system_error(error.errno, f"map {path!r}") from error
            raise StorageError(f"cannot map {path!r}: {getattr(error, 'strerror', None) or error}") from error
        PyObject_GetBuffer(self.mapping, &view, PyBUF_WRITABLE)
        ours = view.len >= SIZE + room and (<unsigned long long*>view.buf)[0] == MAGIC
        # The mapping never moves, and is closed only when it is collected, together with this object.
        self.number = <unsigned int*>(<char*>view.buf + NUMBER)
        self.room = room
        PyBuffer_Release(&view)
        if not ours:
            raise StorageError(f"{path!r} is no event count of fastcache")

    def read(self):
        """How many notifications there were, modulo 2**32 (int)."""
        return fastcache_read(self.number)

    def notify(self, unsigned int bits=ALL_BITS):
        """Wake who waits on any of these bits (a mask of 32). Never fails."""
        fastcache_advance(self.number)
        fastcache_wake(self.number, bits)

    def wait(self, unsigned int seen, double seconds, unsigned int bits=ALL_BITS):
        """Sleep until a notification on any of these bits, for so many seconds at most; not at all if there was one since
        ``read`` returned ``seen``. Returns whether there was one (bool). Signal handlers run meanwhile."""
        cdef double end = monotonic() + seconds
        cdef double left = seconds
        cdef int code
        sleep = greenlets.sleeper()
        while left > 0.0 and sleep is not None:
            if fastcache_read(self.number) != seen:
                return True
            sleep(min(left, max(NAP, min(LONGEST_NAP, 0.5 * (seconds - left)))))
            left = end - monotonic()
        while left > 0.0:
            with nogil:
                code = fastcache_wait(self.number, seen, bits, min(left, LONGEST_SLEEP))
            if code == FASTCACHE_WOKEN or fastcache_read(self.number) != seen:
                return True
            if code == FASTCACHE_INTERRUPTED:
                PyErr_CheckSignals()
            elif code != FASTCACHE_TOO_LATE:
                # There is no futex here, or none to be had.
                greenlets.sleep(min(left, NAP))
            left = end - monotonic()
        return fastcache_read(self.number) != seen
