# Transactions, bulk calls and batches on what a store in memory holds.

from fastcache.engine.database.transaction cimport Transaction
from fastcache.engine.entries.writing cimport BatchPart, Writing
from fastcache.engine.held cimport Held


cdef class HeldTransaction(Transaction):
    cdef Held held


cdef class HeldWriting(Writing):
    cdef Held held
    # Items to be stored, and names to be removed.
    cdef list waiting


cdef class HeldBatchPart(BatchPart):
    cdef Held held
    cdef double max_seconds
    cdef list pending
    cdef long long done
    # When the first of them has to be committed, by time.monotonic; and what could not be told when maintenance failed.
    cdef double due
    cdef object failure

    cdef int raise_failure(self) except -1
    cdef double maintain(self) except? -1.0
    cdef int commit(self) except -1
