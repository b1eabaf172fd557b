# One block of a transaction.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.scope cimport Scope


cdef class Transaction:
    cdef Scope scope
    cdef object keepalive
    cdef int state
    cdef unsigned long thread
    cdef long long block

    cdef int enter(self) except -1
    cdef int leave(self, bint keep) except -1
    cdef int exit(self, bint failed) except -1
    cdef int end(self, bint keep) except -1


cdef class DatabaseTransaction(Transaction):
    cdef Database database
