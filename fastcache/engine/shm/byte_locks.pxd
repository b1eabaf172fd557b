# Numbers that one process at a time holds: what locks (holds.pyx) and computing once (flights.pyx) are built on.

cdef extern from *:
    struct fastcache_bytes:
        int fd
        int described
        unsigned long long owner
        unsigned int life


cdef enum:
    # By how many numbers processes can be known.
    MOST_OWNERS = 8191


cdef class ByteLocks:
    cdef object __weakref__
    cdef readonly str path
    cdef readonly set held
    # What the system has refused to release, to be released later.
    cdef set owed
    # The open file; its device and inode.
    cdef fastcache_bytes* file
    cdef tuple place

    cpdef bint acquire(self, long long number) except -1
    cpdef release(self, object number)
    cpdef bint is_locked(self, long long number) except -1
    cdef list locked_within(self, long long first, long long count)
    cdef unsigned long long owner(self) noexcept
    cdef unsigned int life(self) noexcept
    cdef unsigned long long take_owner(self) except? 0
    cdef bint lock_owner(self, unsigned long long number) except -1
    cdef void unlock_owner(self, unsigned long long number) noexcept
    cdef int release_owed(self) except -1
    cdef int register(self) except -1
    cdef int reopen(self) except -1
    cdef int checked(self, int code) except -1
