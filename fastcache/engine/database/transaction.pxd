# One block of a transaction.

from fastcache.engine.shards cimport Shards
from fastcache.engine.store cimport Store


cdef class Transaction:
    cdef Store store
    cdef int state
    cdef unsigned long thread
    cdef long long block

    cdef int exit(self, bint failed) except -1
    cdef int end(self, bint keep) except -1


cdef class ShardTransaction(Transaction):
    cdef Shards shards
