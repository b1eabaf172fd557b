# A database that keeps within a limit. Between Database and Store.

from fastcache.engine.sqlite.connection cimport Cell
from fastcache.engine.database.database cimport Database
from fastcache.engine.eviction.policies cimport Policy
from fastcache.engine.shm.access_table cimport Recency
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.memory.sieve cimport Node


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
    cdef unsigned long long room_at
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

    # Rows that the open transaction has evicted, whose files are unlinked already: (block, row, file). And those of transactions
    # that were undone since: they are there again, without their files, and to be deleted.
    cdef list unlinked
    cdef list dangling
    # The block that has emptied the trash which others had committed before it.
    cdef long long emptied_by
    # When dead writers were last looked for, whether somebody is to look again, and whether a reservation of ours is left.
    cdef double looked_at
    cdef bint look_due
    cdef bint owes_room

    # What Store knows of keys.
    cdef int will_change_stored(self, object stored) except -1
    cdef object key_of_stored(self, object stored)

    cdef int take_over_settings(self) except -1
    cdef int tell_settings(self) except -1
    cdef int follow_settings(self, Session session) except -1
    cdef int use_recency(self, str name) except -1
    cdef Recency open_recency(self, str path, int meaning)
    cdef int notice_settings(self) except -1
    cdef void use(self, Node* node) noexcept
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
    cdef bint make_room_inside(self, long long need) except -1
    cdef bint has_room_for_file(self, long long size) except -1
    cdef bint empty_older_trash(self, Session session) except -1
    cdef Py_ssize_t evict_some(self, Session session, long long wanted, bint at_once) except -1
    cdef long long evict_row(self, Session session, long long row, str reason, bint at_once) except? -2
    cdef int unlink_at_once(self, Session session, long long row, str file) except -1
    cdef int forget_file(self, Session session, str file) except -1
    cdef bint drop_row(self, Session session, long long row, str file, str reason) except -1
    cdef int drop_again(self, long long block) except -1
    cdef int drop_dangling(self) except -1
    cdef long long expired_row(self, Session session, long long now) except? -1
    cdef int leave_together(self, int count, str reason, list rows) except -1
    cdef int leaves(self, object stored, str reason, int count=*) except -1

    cdef bint make_room_for_file(self, long long size, bint strictly) except -1
    cdef long long tail(self) except -1
    cdef long long length(self) except -1
    cdef int reserve_file(self, str name, long long size) except -1
    cdef bint give_back(self, object name) except -1
    cdef bint release_dead(self) except -1
    cdef int settle_room(self) except -1
    cdef int look_at_opening(self) except -1
    cdef int look_out(self) except -1
    cdef double tend_files(self) except? -1.0
    cdef bint look_around(self) except -1
    cdef int reclaim(self, list dead) except -1
    cdef int drop_lost(self, list lost) except -1
    cdef int look_before_evicting(self, long long size) except -1
    cdef bint tidy_for_room(self, bint strictly) except -1
    cdef bint shorten(self, bint patiently) except -1
    cdef bint lengthen(self, bint patiently) except -1
    cdef int copy_wal(self, bint patiently) except -1
    cdef long long shortage(self, long long size) noexcept

    cdef int tend_room(self) except -1
    cdef int tell(self) except -1
    cdef bint vacuum_some(self, Session session) except -1


cdef long long cost_of_row(const Cell* key, long long size) noexcept
