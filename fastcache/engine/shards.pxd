# The databases of one mapping, and which of them a key belongs to.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.transaction cimport DatabaseTransaction
from fastcache.engine.memory.sieve cimport Budget
from fastcache.engine.store cimport Store


cdef class Shards


cdef class ShardTransaction(DatabaseTransaction):
    cdef Store store
    cdef Shards shards


cdef class Shards:
    cdef readonly str directory
    # How many there are, open or not; the first one is open.
    cdef readonly int count
    cdef readonly Store first
    cdef Budget budget
    cdef list stores
    cdef dict options
    # The shard in which a thread is inside transact(), by thread.
    cdef dict blocks
    cdef object __weakref__

    cdef int index_of(self, object key, unsigned long long* hashed) except -1
    cdef Store of(self, object key)
    cdef Store at(self, int index)
    cdef dict limit(self)
    cdef int have_adopt(self, Store store) except -1
    cdef list opened(self)
    cdef list to_write(self)
    cdef Store inside(self)
    cdef int refuse_elsewhere(self, int index) except -1
    cdef ShardTransaction transact(self, object key)
    cdef int enter(self, Store store) except -1
    cdef int leave(self, Store store) except -1
