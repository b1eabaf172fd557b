# Threads that store together.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.entries.pending cimport WriteBuffer
from fastcache.engine.sqlite.cells cimport Row


cdef class GroupCommit(Participant):
    cdef Flusher flusher
    cdef WriteBuffer group

    cdef bint put(self, Database database, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1
