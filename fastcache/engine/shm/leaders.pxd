# Who leads for a number, of all processes: a word of shared memory each, in place of a system call.

from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.shm.eventcount cimport EventCount


cdef enum:
    # What a claim is: nothing, since another one leads, or how one does.
    REFUSED = 0
    BY_WORD = 1
    BY_BYTE = 2


cdef class Leaders:
    cdef ByteLocks byte_locks
    cdef EventCount event_count
    cdef unsigned long long* words

    cdef int claim(self, long long number) except -1
    cdef bint release(self, long long number, int claim) noexcept
    cdef unsigned long long known_as(self) except? 0
    cdef bint bury(self, unsigned long long owner) except -1
    cdef void clear(self, unsigned long long owner) noexcept
    cdef void count_less(self, unsigned long long* word) noexcept
