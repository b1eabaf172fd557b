# Many entries removed by one statement.

from fastcache.engine.database.database cimport Database
from fastcache.engine.eviction.evict cimport Evictor


cdef int change_many(Database database, str text, tuple parameters) except -1
cdef int remove_many(
    Database database, Evictor evictor, str keys, tuple which, str text, tuple parameters, str reason) except -1
cdef long long most_asked(Evictor evictor) noexcept
