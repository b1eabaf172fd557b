# Writing one entry.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.lookup cimport Lookup
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.room cimport Room
from fastcache.engine.eviction.space cimport Space
from fastcache.engine.sqlite.cells cimport Cell, Row
from fastcache.engine.sqlite.connection cimport Statement


cdef int bind_row(Statement statement, const Row* row, str file) except -1


cdef class Writes:
    cdef Reads reads
    cdef Lookup lookup
    cdef object serializer
    cdef Limit limit
    cdef Room room
    cdef Space space
    cdef Expiry expiry

    cdef bint put_row(
        self, Database database, const Row* row, bint only_if_absent, object name, object cached, int cached_codec) except -1
    cdef int fill_own(self, Database database, const Row* row, object name, object cached, int codec) except -1
    cdef bint write_row(self, Database database, const Row* row, bint only_if_absent, str file) except -1
    cdef bint upsert(self, Database database, const Row* row, bint only_if_absent, str file) except -1
    cdef bint replace_row(self, Database database, const Row* row, bint only_if_absent, str file, long long now) except -1
    cdef int run_keyed(self, Database database, str text, const Cell* key, long long expire, long long now) except -1
    cdef Entry pop_native(self, Database database, const Cell* key, long long now)
    cdef bint increment_native(
        self, Database database, const Cell* key, long long delta, long long start, long long now, long long* total) except -1
    cdef int make_room_for_number(self, Database database, const Cell* key) except -1
