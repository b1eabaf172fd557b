# Who goes first: the policies.

from fastcache.engine.shm.access_table cimport AccessTable, Use
from fastcache.engine.database.sessions cimport Session


cdef enum:
    LOOK_AHEAD = 64

# No row has this id.
cdef long long NO_ROW


cdef class Policy:
    # Rows that were read, in the order of their ids or of what else counts, and not looked at yet.
    cdef long long[LOOK_AHEAD] rows
    cdef Py_ssize_t count
    cdef Py_ssize_t next

    cdef long long choose(self, Session session) except? -1
    cdef int look_ahead(self, Session session, str text, long long after, long long until, int limit) except -1
    cdef int begin(self) except -1


cdef Policy policy_of(str name, AccessTable access_table)
cdef int meaning_of(str name) noexcept
