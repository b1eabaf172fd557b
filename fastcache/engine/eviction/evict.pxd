# Removing entries, and telling of it.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.limit cimport Limit


cdef class Evictor(Participant):
    cdef Limit limit
    cdef object serializer
    cdef object on_evict
    cdef long long evictions
    cdef long long expirations
    # How often in a row nothing of what was to be evicted was there.
    cdef int fruitless

    # What the open transaction has evicted, and what is evicted and not told yet: (block, reason, key, how many).
    cdef list removed
    cdef object undelivered
    # Rows that the open transaction has evicted, whose files are unlinked already: (block, row, file). And those of transactions
    # that were undone since: they are there again, without their files, and to be deleted.
    cdef list unlinked
    cdef list dangling
    # The block that has emptied the trash which others had committed before it.
    cdef long long emptied_by

    cdef Py_ssize_t evict_some(self, Database database, Session session, long long wanted, bint at_once) except -1
    cdef long long expired_row(self, Database database, Session session, long long now) except? -1
    cdef long long evict_row(self, Database database, Session session, long long row, str reason, bint at_once) except? -2
    cdef int unlink_at_once(self, Database database, Session session, long long row, str file) except -1
    cdef int forget_file(self, Database database, Session session, str file) except -1
    cdef bint drop_row(self, Database database, Session session, long long row, str file, str reason) except -1
    cdef int drop_again(self, Database database, long long block) except -1
    cdef int drop_dangling(self, Database database) except -1
    cdef bint empty_older_trash(self, Database database, Session session) except -1
    cdef int announce(self, Database database, object stored) except -1
    cdef int record_removal(self, Database database, object stored, str reason, int count=*) except -1
    cdef int record_removals(self, Database database, int count, str reason, list rows) except -1
    cdef int notify(self, Database database) except -1
