# Numbers that a process has to itself: what locks (holds.pyx) and computing once (flights.pyx) are built on.

cdef class Claims:
    cdef object __weakref__
    cdef readonly str path
    cdef readonly set held
    # What the system has refused to take back, to be given back later.
    cdef set owed
    cdef int fd

    cpdef bint claim(self, long long number) except -1
    cpdef release(self, object number)
    cpdef bint is_claimed(self, long long number) except -1
    cdef list claimed_within(self, long long first, long long count)
    cdef int pay(self) except -1
    cdef int register(self) except -1
    cdef int checked(self, int code) except -1
