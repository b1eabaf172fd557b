# Iteration over all entries.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.eviction.evict cimport Evictor


cdef long long newest(Database database) except? 0
cdef tuple take_end(Database database, Reads reads, Evictor evictor, bint last)
