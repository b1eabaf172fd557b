# Numbers in shared memory that only grow.

from fastcache.engine.shm.eventcount cimport EventCount


cdef class Counters:
    cdef EventCount event_count
    cdef unsigned int* first
