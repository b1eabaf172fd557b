# What transactions are of: whose turn it is, which blocks are open, what time it is there.

from fastcache.engine.database.writer_lock cimport WriterLock


# How long maintenance waits for the writer lock, or for another process, in seconds.
cdef double MAINTENANCE_PATIENCE


cdef class Scope:
    cdef readonly str directory
    cdef readonly double timeout
    cdef readonly object timer
    # Who is called for maintenance, and what for: a weak reference.
    cdef object scheduler
    cdef object keepalive
    # The thread that tends it just now, or is about to fork, and must not wait for long; 0 if there is none.
    cdef unsigned long hurried_thread
    # Among threads.
    cdef WriterLock writer_lock
    # The open transaction: how deep, and the numbers of its blocks, which no other ever has.
    cdef int depth
    cdef list blocks
    cdef long long entered

    cdef int make(self, str directory, object keepalive, object timeout, object timer, object scheduler) except -1
    cdef long long now(self) except? -1
    cdef bint schedule(self, double seconds) except -1
    cdef double patience(self) noexcept
    cdef bint is_hurried(self) noexcept
    cdef long long innermost_block(self) except -1
    cdef bint is_open(self, long long block) except -1


cdef int know_main_thread() except -1
