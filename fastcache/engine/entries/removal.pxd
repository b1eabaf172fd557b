# Many entries removed by one statement.

from fastcache.engine.eviction.bounded cimport Bounded


cdef int change_many(Bounded store, str text, tuple parameters) except -1
cdef int remove_many(Bounded store, str keys, tuple which, str text, tuple parameters, str reason) except -1
cdef long long most_asked(Bounded store) noexcept
