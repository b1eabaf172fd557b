# One block of a transaction.

from fastcache.engine.database.database cimport Database


cdef class Transaction:
    cdef Database database
    cdef object keepalive
    cdef int state
    cdef unsigned long thread
    cdef long long block

    cdef int exit(self, bint failed) except -1
    cdef int end(self, bint keep) except -1
