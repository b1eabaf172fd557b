# The entries of a store in memory.

from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.held cimport Held
from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.store cimport Store
from fastcache.engine.table.item cimport Item


cdef class MemoryStore(Store):
    cdef Held held
    cdef readonly bint recreate
    cdef readonly str durability
    cdef readonly long long memory_limit
    cdef ByteLocks locks
    cdef object own_token
    cdef public long long hits
    cdef public long long misses

    cdef Item hit(self, object key)
    cdef Item pass_on(self, Item item)
    cdef Item own(self, object key)
    cdef Entry entry_of(self, Item item, ReadMode mode)
    cdef list committed(self, long long now)
    cdef long long newest(self) except? -1
    cdef double remove_due(self) except? -1.0
