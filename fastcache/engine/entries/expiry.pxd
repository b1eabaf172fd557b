# When entries expire, and their removal.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.scope cimport Scope
from fastcache.engine.eviction.evict cimport Evictor


cdef class Expiry:
    cdef Evictor evictor
    # When the first entry expires, as far as is known, in ms; and when it was last looked for, in seconds.
    cdef long long next
    cdef double removed_at

    cdef int begin(self, Database database) except -1
    cdef int expect(self, Database database, long long expire) except -1
    cdef double maintain(self, Database database) except? -1.0
    cdef int look(self, Database database) except -1


cdef long long expiry(Scope scope, object expire) except? -1
