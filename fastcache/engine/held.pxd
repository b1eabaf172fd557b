# What a store in memory holds.

from fastcache.engine.codecs.values cimport ValueFormat
from fastcache.engine.database.scope cimport Scope
from fastcache.engine.entries.entry cimport ReadMode
from fastcache.engine.table.item cimport Item
from fastcache.engine.table.table cimport Table


cdef class Held:
    cdef Scope scope
    cdef Table table
    cdef ValueFormat format
    cdef object serializer
    cdef bint closed
    cdef bint read_only
    # Whether there is a limit for this object at all; in bytes, 0 for none; and what goes first.
    cdef bint keeps_limit
    cdef long long max_size
    cdef str eviction
    # Who is told of what has gone. What was removed and is not counted yet, and why; and what is to be told.
    cdef object on_evict
    cdef list removed
    cdef list reasons
    cdef object untold
    cdef object telling
    # Where in the table's log, and in `removed`, each open block begins.
    cdef list marks
    # What batches have put off (held_writing.pyx).
    cdef list batches
    cdef long long evictions
    cdef long long expirations
    # For when maintenance is called to remove what expires, in ms; and when it has last done so, in seconds.
    cdef long long expected
    cdef double expired_at

    cdef int refuse(self) except -1
    cdef int refuse_writing(self) except -1
    cdef object name_of(self, object key)
    cdef Item find(self, object key)
    cdef Item find_name(self, object name)
    cdef bint is_aside(self) except -1
    cdef int notice_fork(self) except -1
    cdef object value_of(self, Item item, ReadMode mode)
    cdef object buffer_of(self, object value)

    cdef Item new_entry(self, object key, object value, long long expire, object tag)
    cdef Item make_entry(self, object name, object stored, object value, long long expire, object tag)
    cdef Item encode_entry(self, object name, object stored, object value, long long expire, object tag)
    cdef int refuse_too_large(self, Item item) except -1
    cdef long long moment(self) except? -1
    cdef bint claim(self) except -1
    cdef void release(self, bint claimed)
    cdef Item live(self, object name, long long now)
    cdef bint enter(self, Item item, bint only_if_absent, long long now) except -1
    cdef bint put(self, Item item, bint only_if_absent) except -1
    cdef bint replace(self, Item item, Item by) except -1
    cdef bint remove(self, object name, long long now) except -1
    cdef bint remove_this(self, Item item, str reason) except -1
    cdef Py_ssize_t remove_expired(self, Py_ssize_t limit) except -1

    cdef Item make_room(self, Item item, Item old, long long now)
    cdef Py_ssize_t shrink(self) except -1
    cdef int use_limit(self, long long max_size, str eviction) except -1
    cdef int note_removal(self, Item item, str reason) except -1
    cdef int settle(self) except -1
    cdef int expect(self, long long expire) except -1
    cdef int tell(self) except -1

    cdef int enter_block(self) except -1
    cdef int leave_block(self, bint keep) except -1
    cdef int end_blocks(self) except -1
