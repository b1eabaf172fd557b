# What the dead have left.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.eviction.evict cimport Evictor


cdef class Leftovers(Participant):
    cdef Evictor evictor
    # When dead writers were last looked for, whether somebody is to look again, and whether a reservation of ours is left.
    cdef double looked_at
    cdef bint look_due
    cdef bint owes_room

    cdef int begin(self, Database database) except -1
    cdef int look_out(self, Database database) except -1
    cdef double maintain(self, Database database) except? -1.0
    cdef bint look_around(self, Database database) except -1
    cdef int reclaim(self, Database database, list dead) except -1
    cdef int drop_lost(self, Database database, list lost) except -1
    cdef bint release_dead(self, Database database) except -1
    cdef bint give_back(self, Database database, object name) except -1
