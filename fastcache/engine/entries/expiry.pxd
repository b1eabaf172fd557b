# When entries expire, and their removal.

from fastcache.engine.database.database cimport Database
from fastcache.engine.eviction.bounded cimport Bounded


cdef class Expiry:
    # When the first entry expires, as far as is known, in ms; and when it was last looked for, in seconds.
    cdef long long next
    cdef double removed_at

    cdef int begin(self, Bounded store) except -1
    cdef int expect(self, Bounded store, long long expire) except -1
    cdef double tend(self, Bounded store) except? -1.0
    cdef int look(self, Bounded store) except -1


cdef long long expiry(Database database, object expire) except? -1
