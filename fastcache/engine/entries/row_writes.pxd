# Writing many entries, and what a transaction defers.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.file_writes cimport FileWrites
from fastcache.engine.entries.pending cimport Rows
from fastcache.engine.entries.writes cimport Writes
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.space cimport Space
from fastcache.engine.sqlite.cells cimport Cell, Row


cdef class RowWrites(Participant):
    cdef FileWrites filed
    cdef Writes writes
    cdef Limit limit
    cdef Space space
    # A value of more bytes goes into a file.
    cdef long long inline_limit
    # Whether what is written is known already, so that it is not announced: while the journal is drained.
    cdef bint quiet
    # What the open transaction has set and not written yet.
    cdef Rows deferred

    cdef bint defer(
        self, Database database, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1
    cdef Py_ssize_t write_rows(
        self, Database database, Rows rows, Py_ssize_t start, Py_ssize_t end, bint only_if_absent) except -1
    cdef long long need_of(self, const Row* row) noexcept
    cdef Py_ssize_t write_run_within(
        self, Database database, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now, long long need) except -1
    cdef bint is_large(self, const Cell* value) noexcept
    cdef Py_ssize_t write_run(
        self, Database database, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now) except -1
    cdef bint has_conflict(self, Session session, bint release_gil, long long now) except -1
    cdef bint write_alone(self, Database database, const Row* row, bint only_if_absent) except -1
    cdef Py_ssize_t delete_run(self, Database database, const Row* rows, Py_ssize_t count, long long now) except -1
    cdef int make_room_ahead(self, Database database, Rows rows) except -1
