"""A bell: who waits for something sleeps until it rings, in whatever process, and costs nothing meanwhile.

It is a number in shared memory that grows with each ring. Who waits reads it, looks whether what it waits for is there, and
if not sleeps for as long as the number is what it was: so no ring between the look and the sleep is missed. The system
does that comparison (futex; https://man7.org/linux/man-pages/man2/futex.2.html). Each sleeper names one of 32 tones, and
a ring wakes those of its tones alone.

A ring is a hint. Whoever is killed does not ring, so that a sleeper looks now and then all the same. Where there is no
futex, or it fails, it does so every millisecond; a ring that wakes nobody is no error, since it follows what is done.
"""

import os
from time import monotonic, sleep

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals

from fastcache.engine.shm.change_log import map_shared
from fastcache.errors import StorageError, system_error

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
    static int fastcache_sleep(unsigned int *word, unsigned int seen, unsigned int tones, double seconds)
    {
        struct timespec until;
        long long nanoseconds;
        if (clock_gettime(CLOCK_MONOTONIC, &until) != 0)
            return errno;
        nanoseconds = until.tv_nsec + (long long)(seconds * 1e9);
        until.tv_sec += (time_t)(nanoseconds / 1000000000);
        until.tv_nsec = (long)(nanoseconds % 1000000000);
        return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &until, 0, tones) == 0 ? 0 : errno;
    }
    static void fastcache_wake(unsigned int *word, unsigned int tones)
    {
        syscall(SYS_futex, word, FUTEX_WAKE_BITSET, 0x7fffffff, 0, 0, tones);
    }
    static unsigned int fastcache_count(unsigned int *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static void fastcache_grow(unsigned int *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }
    #else
    #define FASTCACHE_WOKEN 0
    #define FASTCACHE_INTERRUPTED 1
    #define FASTCACHE_TOO_LATE 2
    static int fastcache_sleep(unsigned int *word, unsigned int seen, unsigned int tones, double seconds) { return -1; }
    static void fastcache_wake(unsigned int *word, unsigned int tones) { }
    #if defined(_MSC_VER)
    #include <intrin.h>
    static unsigned int fastcache_count(unsigned int *word) { return (unsigned int)_InterlockedOr((long *)word, 0); }
    static void fastcache_grow(unsigned int *word) { _InterlockedIncrement((long *)word); }
    #else
    static unsigned int fastcache_count(unsigned int *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static void fastcache_grow(unsigned int *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }
    #endif
    #endif
    """
    int FASTCACHE_WOKEN
    int FASTCACHE_INTERRUPTED
    int FASTCACHE_TOO_LATE
    int fastcache_sleep(unsigned int* word, unsigned int seen, unsigned int tones, double seconds) nogil
    void fastcache_wake(unsigned int* word, unsigned int tones) nogil
    unsigned int fastcache_count(unsigned int* word) nogil
    void fastcache_grow(unsigned int* word) nogil

cdef unsigned int ALL_TONES = 0xFFFFFFFF
# The file: a signature, then the number, in a cache line of its own.
cdef unsigned long long SIGNATURE = 0x314C4C4542636166ULL
cdef Py_ssize_t SIZE = 128
cdef Py_ssize_t NUMBER = 64
# Where the system does not wake us: how long a look is put off, in seconds.
cdef double NAP = 0.001
# No sleep is longer than this, in seconds.
cdef double LONGEST_SLEEP = 3600.0


cdef class Bell:
    """The bell in one file.

    Args:
        path: of the file; made (0600) if absent.
    Raises:
        StorageError: it cannot be made or mapped, or is something else.
    """

    def __cinit__(self, str path):
        cdef Py_buffer view
        cdef bint ours
        try:
            self.mapping = map_shared(path, SIGNATURE.to_bytes(8, "little").ljust(SIZE, b"\0"))
        except (OSError, ValueError, OverflowError) as error:
            if getattr(error, "errno", None):
                raise system_error(error.errno, f"map {path!r}") from error
            raise StorageError(f"cannot map {path!r}: {getattr(error, 'strerror', None) or error}") from error
        PyObject_GetBuffer(self.mapping, &view, PyBUF_WRITABLE)
        ours = view.len >= SIZE and (<unsigned long long*>view.buf)[0] == SIGNATURE
        # The mapping never moves, and is closed only when it is collected, together with this object.
        self.number = <unsigned int*>(<char*>view.buf + NUMBER)
        PyBuffer_Release(&view)
        if not ours:
            raise StorageError(f"{path!r} is no bell of fastcache")

    def count(self):
        """How often it has rung, modulo 2**32 (int)."""
        return fastcache_count(self.number)

    def ring(self, unsigned int tones=ALL_TONES):
        """Wake who sleeps on one of these tones (a mask of 32 bits). Fails in no way."""
        fastcache_grow(self.number)
        fastcache_wake(self.number, tones)

    def sleep(self, unsigned int seen, double seconds, unsigned int tones=ALL_TONES):
        """Sleep until it rings on one of these tones, for so many seconds at most; not at all if it has rung since its
        ``count`` was ``seen``. Returns whether it has (bool). Signal handlers run meanwhile."""
        cdef double end = monotonic() + seconds
        cdef double left = seconds
        cdef int code
        while left > 0.0:
            with nogil:
                code = fastcache_sleep(self.number, seen, tones, min(left, LONGEST_SLEEP))
            if code == FASTCACHE_WOKEN or fastcache_count(self.number) != seen:
                return True
            if code == FASTCACHE_INTERRUPTED:
                PyErr_CheckSignals()
            elif code != FASTCACHE_TOO_LATE:
                # There is no futex here, or none to be had.
                sleep(min(left, NAP))
            left = end - monotonic()
        return fastcache_count(self.number) != seen
