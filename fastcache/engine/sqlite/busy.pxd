# Waiting for a lock that another connection holds.

cdef class BusyWait:
    cdef double timeout
    cdef double started
    # How long, when it was last asked to pause, in seconds.
    cdef double waited
    cdef object doing

    cdef int pause(self, bint gives_way=*) except -1
