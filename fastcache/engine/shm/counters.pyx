"""Counters in shared memory: how often something has happened, for any process that looks twice.

There are a few thousand, and numbers share them. So whoever sees that one has grown knows that it may have happened to its own
number, or to one that shares the counter.
"""

cimport cython

from fastcache.engine.shm.eventcount cimport EventCount

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static unsigned int fastcache_read_counter(unsigned int *word) { return (unsigned int)_InterlockedOr((long *)word, 0); }
    static void fastcache_advance_counter(unsigned int *word) { _InterlockedIncrement((long *)word); }
    #else
    static unsigned int fastcache_read_counter(unsigned int *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
    static void fastcache_advance_counter(unsigned int *word) { __atomic_fetch_add(word, 1, __ATOMIC_SEQ_CST); }
    #endif
    """
    unsigned int fastcache_read_counter(unsigned int* word) nogil
    void fastcache_advance_counter(unsigned int* word) nogil

# Behind the cache line of the event count. A prime number, so that numbers that are alike do not share one.
cdef Py_ssize_t BEHIND = 64 // sizeof(unsigned int)
cdef Py_ssize_t COUNT = 2011

ROOM = 8064
"""How many bytes the event count has to have room for."""


@cython.final
cdef class Counters:
    """The counters that lie in the file of an event count, so that they need no file, and no descriptor, of their own."""

    def __cinit__(self, EventCount event_count not None):
        if event_count.room < COUNT * <Py_ssize_t>sizeof(unsigned int):
            raise ValueError("there is no room for counters behind this event count")
        self.event_count = event_count
        self.first = event_count.number + BEHIND

    def read(self, number):
        """The counter of a number (int), modulo 2**32."""
        return fastcache_read_counter(self.first + <Py_ssize_t>(number % COUNT))

    def advance(self, number):
        """Count once more. Never fails."""
        fastcache_advance_counter(self.first + <Py_ssize_t>(number % COUNT))
