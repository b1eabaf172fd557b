# Making room within a limit.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.evict cimport Evictor
from fastcache.engine.eviction.leftovers cimport Leftovers
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.room cimport Room


cdef class Space(Participant):
    cdef Limit limit
    cdef Room room
    cdef Evictor evictor
    cdef Leftovers leftovers
    cdef Checkpoints checkpoints
    cdef bint called_for_room

    cdef int take_over(self, Database database, dict changed) except -1
    cdef int set_limit(self, Database database, object given) except -1
    cdef dict stored_limit(self, Database database)
    cdef int adopt_limit(self, Database database, dict limit) except -1
    cdef bint fits(self, Database database, long long need) except -1
    cdef bint make_room(self, Database database, long long need, bint strictly) except -1
    cdef bint make_room_inside(self, Database database, long long need) except -1
    cdef int make_room_before(self, Database database, long long need) except -1
    cdef int refuse_if_full(self, Database database, long long before) except -1
    cdef int raise_full(self, Database database) except -1
    cdef bint make_room_for_file(self, Database database, long long size, bint strictly) except -1
    cdef int reserve_file(self, Database database, str name, long long size) except -1
    cdef int look_before_evicting(self, Database database, long long size) except -1
    cdef bint tidy_for_room(self, Database database, bint strictly) except -1
    cdef int maintain(self, Database database) except -1
    cdef Py_ssize_t evict(self, Database database) except -1
