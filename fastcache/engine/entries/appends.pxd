# Changes of one entry that go into the journal.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.drain cimport Drain
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.entries.lookup cimport Lookup
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.shm.journal cimport Appended, Journal
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport Cell, Row


cdef enum Outcome:
    # It was done; it is not to be done, since there is (or is not) an entry; or it has to be done in SQLite.
    DONE, REFUSED, ELSEWHERE


cdef class Attempt:
    cdef BusyWait wait
    cdef double since
    cdef int tries
    # As they were before anything was read.
    cdef Journal journal
    cdef unsigned long long tail
    cdef unsigned long long generation


cdef class Appends:
    cdef Reads reads
    cdef Lookup lookup
    cdef Limit limit
    cdef Drain drain
    # Whether this object's changes go there.
    cdef bint wanted

    cdef bint may_append(self, Database database) except -1
    cdef bint may_set(self, Database database) except -1
    cdef bint is_draining(self, Database database) noexcept
    cdef bint is_inside(self, Database database) noexcept
    cdef Outcome put(
        self, Database database, Row* row, object name, object cached, int cached_codec, bint at_once) except *
    cdef Outcome add(self, Database database, object key, Row* row, object name, object cached, int cached_codec) except *
    cdef Outcome remove(self, Database database, object key, object name, const Cell* cell) except *
    cdef Outcome touch(
        self, Database database, object key, object keepalive, object name, const Cell* cell, long long expire) except *
    cdef Entry take(self, Database database, object key, object name, const Cell* cell, Outcome* outcome)
    cdef object increment(
        self, Database database, object key, object keepalive, object name, const Cell* cell, object delta, object start,
        Outcome* outcome)
    cdef bint begin(self, Database database, Attempt attempt, bint takes_room) except -1
    cdef Outcome append(
        self, Database database, Row* row, object name, object cached, int cached_codec, Attempt attempt) except *
    cdef bint wait(self, Database database, Appended why, Attempt attempt) except -1
    cdef int appended(self, Database database, const Row* row, object name, object cached, int cached_codec) except -1
