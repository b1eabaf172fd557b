# Removing a number of entries when somebody asks for it, whatever the limit.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.eviction.evict cimport Evictor


cdef list cull(
    Database database, Evictor evictor, Expiry expiry, Reads reads, Py_ssize_t most, object now, bint by_policy, bint values)
