# Changes of one entry.

from fastcache.engine.codecs.values cimport ValueFormat
from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.appends cimport Appends
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.entries.file_writes cimport FileWrites
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.entries.group_commit cimport GroupCommit
from fastcache.engine.entries.lookup cimport Lookup
from fastcache.engine.entries.pending cimport Rows
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.entries.row_writes cimport RowWrites
from fastcache.engine.entries.writes cimport Writes
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.sqlite.cells cimport Cell, Row


cdef class Changes:
    cdef Reads reads
    cdef Lookup lookup
    cdef Limit limit
    cdef object serializer
    cdef RowWrites rows
    cdef FileWrites filed
    cdef Writes writes
    cdef Flusher flusher
    cdef Appends appends
    cdef Checkpoints checkpoints
    cdef ValueFormat format
    # About how many bytes of entries were set.
    cdef long long written
    # None but for durability "full".
    cdef GroupCommit group

    cdef bint put(
        self, Database database, object key, object value, long long expire, object tag, bint only_if_absent,
        bint at_once=*) except -1
    cdef bint put_in_file(
        self, Database database, object key, bytes data, long long expire, object tag, bint only_if_absent) except -1
    cdef int add_row(
        self, Database database, Rows rows, object key, object value, long long expire, object tag_keepalive,
        const Cell* tag) except -1
    cdef object encode_whole(self, Database database, object value, Row* row)
    cdef int add_deletion(self, Database database, Rows rows, object key) except -1
    cdef bint remove(self, Database database, object key) except -1
    cdef bint set_expiry(self, Database database, object key, long long expire) except -1
    cdef bint change_keyed(self, Database database, str text, object key, long long expire) except -1
    cdef Entry take_entry(self, Database database, object key)
    cdef Entry take_once(self, Database database, object key)
    cdef object increment(self, Database database, object key, object delta, object default)


cdef object check_number(object number, str name)
