# The entries of one directory: get, set, add, pop, delete, touch, incr, scan.
#
# Part of the public API: `from fastcache.engine.store cimport Store` in a Cython module of one's own, then
# `cdef Store store = cache.store`, and call these without Python overhead. The GIL is needed.

from fastcache.engine.codecs.values cimport ValueFormat
from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.changes cimport Changes
from fastcache.engine.entries.content cimport Content
from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.file_writes cimport FileWrites
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.entries.group_commit cimport GroupCommit
from fastcache.engine.entries.lookup cimport Lookup
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.entries.row_writes cimport RowWrites
from fastcache.engine.entries.scan cimport Count
from fastcache.engine.entries.writes cimport Writes
from fastcache.engine.eviction.evict cimport Evictor
from fastcache.engine.eviction.leftovers cimport Leftovers
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.space cimport Space
from fastcache.engine.memory.tier cimport Memory
from fastcache.engine.sqlite.cells cimport NEVER


cdef class Store:
    cdef object __weakref__
    cdef readonly object serializer
    cdef readonly object compression
    cdef readonly double write_behind
    cdef ValueFormat format
    cdef readonly Database database
    cdef Memory memory

    # Reading.
    cdef Lookup lookup
    cdef Content content
    cdef Reads reads
    cdef Count counter
    # Writing.
    cdef Changes changes
    cdef Writes writes
    cdef FileWrites filed
    cdef RowWrites rows
    cdef Flusher flusher
    # None but for durability "full".
    cdef GroupCommit group
    # Keeping within the limit.
    cdef Limit limit
    cdef Evictor evictor
    cdef Leftovers leftovers
    cdef Space space
    # What is due.
    cdef Expiry expiry
    cdef Checkpoints checkpoints

    # Entries. `expire` is an absolute time in ms, or NEVER.
    cdef int open(self, dict asked) except -1
    cdef object fetch(self, object key, object missing)
    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed)
    cdef Entry fetch_entry(self, object key, ReadMode mode=*)
    cdef bint contains(self, object key) except -1
    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1
    cdef object find_in_memory(self, object key, object missing, object elsewhere)
    cdef object has_in_memory(self, object key, object elsewhere)
    cdef bint put_off(self, object key, object value, long long expire, object tag) except -1
    cdef bint remove(self, object key) except -1
    cdef bint set_expiry(self, object key, long long expire) except -1
    cdef Entry take_entry(self, object key)
    cdef object where_full(self, object work, tuple arguments)
    cdef object increment(self, object key, object delta, object default)


cdef unsigned long long check_memory(object memory) except? 0
