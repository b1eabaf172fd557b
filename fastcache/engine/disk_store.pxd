# The entries of one directory, and the parts that keep them there.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.appends cimport Appends
from fastcache.engine.entries.changes cimport Changes
from fastcache.engine.entries.content cimport Content
from fastcache.engine.entries.drain cimport Drain
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
from fastcache.engine.store cimport Store


cdef class DiskStore(Store):
    cdef readonly Database database
    cdef Memory memory
    cdef bint journal_asked

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
    cdef Drain drain
    cdef Appends appends
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

    cdef int open(self, dict asked) except -1
    cdef object where_full(self, object work, tuple arguments)
    cdef object where_short(self, object work, tuple arguments)
    cdef object where_way_is_made(self, object work, tuple arguments)
