# A database that keeps within a limit. Between Database and Store.

from fastcache.engine.connection cimport Cell
from fastcache.engine.database cimport Database
from fastcache.engine.eviction cimport Policy
from fastcache.engine.recency cimport Recency
from fastcache.engine.session cimport Session
from fastcache.engine.sieve cimport Node


cdef class Bounded(Database):
    # Bytes that the directory may occupy, the WAL aside; 0 for any number.
    cdef readonly long long max_size
    # Of all shards together.
    cdef readonly long long total_size
    cdef readonly str eviction
    cdef readonly object on_evict
    cdef public long long evictions
    cdef public long long expirations
    # Whether the limit that is stored holds for this object.
    cdef bint keeps_limit
    cdef unsigned long long settings_seen

    cdef Policy policy
    # None where nobody asks for it.
    cdef Recency recency

    # Bytes that are left, counting free pages, and the number of the commit after which that was so.
    cdef long long room
    cdef unsigned int room_at
    # What it was counted from: pages, free ones, and bytes of files.
    cdef long long page_size
    cdef long long pages
    cdef long long free_pages
    cdef long long counted
    # Bytes left at which maintenance is called, until which it evicts, below which the writer does; and the largest entry.
    cdef long long low
    cdef long long high
    cdef long long reserve
    cdef long long largest
    cdef bint called_for_room
    # How often in a row nothing of what was to be evicted was there.
    cdef int fruitless

    # What the open transaction has evicted, and what is evicted and not told yet: (block, reason, key, how many).
    cdef list leaving
    cdef object gone

    # What Store knows of keys.
    cdef int will_change_stored(self, object stored) except -1
    cdef object key_of_stored(self, object stored)

    cdef int take_over_settings(self) except -1
    cdef int tell_settings(self) except -1
    cdef int follow_settings(self, Session session) except -1
    cdef int use_recency(self, str name) except -1
    cdef Recency open_recency(self, str path, int meaning)
    cdef int notice_settings(self) except -1
    cdef int use(self, Node* node) except -1
    cdef int use_stored(self, long long row) except -1
    cdef unsigned int row_written(self) noexcept

    cdef int refuse_too_large(self, const Cell* key, long long size) except -1
    cdef bint fits(self, long long need) except -1
    cdef int measure(self, Session session) except -1
    cdef long long trash(self, Session session) except -1
    cdef long long integer(self, Session session, str text) except? -1
    cdef bint make_room(self, long long need, bint strictly) except -1
    cdef int make_room_before(self, long long need) except -1
    cdef int refuse_if_full(self, long long before) except -1
    cdef int raise_full(self) except -1
    cdef str limit_in_words(self)
    cdef Py_ssize_t evict_some(self, Session session, long long wanted) except -1
    cdef long long evict_row(self, Session session, long long row, str reason) except? -2
    cdef long long expired_row(self, Session session, long long now) except? -1
    cdef int leave_together(self, int count, str reason, list rows) except -1
    cdef int leaves(self, object stored, str reason, int count=*) except -1

    cdef bint make_room_for_file(self, long long size, bint strictly) except -1
    cdef long long tail(self) except -1
    cdef long long length(self) except -1
    cdef int reserve_file(self, str name, long long size) except -1
    cdef bint give_back(self, object name) except -1
    cdef bint release_dead(self) except -1
    cdef bint tidy_for_room(self, bint strictly) except -1
    cdef bint shorten(self, bint patiently) except -1
    cdef bint lengthen(self, bint patiently) except -1
    cdef int copy_wal(self, bint patiently) except -1
    cdef long long shortage(self, long long size) noexcept

    cdef int tend_room(self) except -1
    cdef int tell(self) except -1
    cdef bint vacuum_some(self, Session session) except -1


cdef long long cost_of_row(const Cell* key, long long size) noexcept
