# One database: get, set, add, pop, delete, touch, incr, scan, transactions.
#
# Part of the public API: `from fastcache.engine.store cimport Store` in a Cython module of one's own, then
# `cdef Store store = cache.store`, and call these without Python overhead. The GIL is needed.

from libc.string cimport memset

from fastcache.engine.sqlite.connection cimport CELL_NULL, NEVER, ROW_SET, Cell, Row, Statement
from fastcache.engine.eviction.bounded cimport Bounded
from fastcache.engine.blobs.files cimport PendingFile
from fastcache.engine.entries.entry cimport VALUE, Entry, Want
from fastcache.engine.entries.content cimport Content
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.lookup cimport Lookup
from fastcache.engine.entries.pending cimport Generation, Place, Queue, Rows
from fastcache.engine.entries.scan cimport Count
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.memory.sieve cimport Node
from fastcache.engine.codecs.values cimport ValueFormat


cdef inline void begin_row(Row* row, long long expire) noexcept:
    """An entry that is to be set, without its key, value and tag yet."""
    memset(row, 0, sizeof(Row))
    row.value.kind = CELL_NULL
    row.tag.kind = CELL_NULL
    row.expire = expire
    row.kind = ROW_SET


cdef class Store(Bounded):
    cdef readonly object serializer
    cdef ValueFormat format
    cdef Lookup lookup
    cdef readonly object compression
    cdef public long long hits
    cdef public long long misses
    cdef public long long memory_hits
    cdef public long long inline_limit
    cdef readonly double write_behind
    # Of write-behind; of threads that commit together, for durability "full"; and all that maintenance looks after.
    cdef Queue behind
    cdef Queue group
    cdef list queues
    cdef Content content
    cdef Expiry expiry
    cdef Count counter
    # How many values in files were committed by themselves.
    cdef long long files_stored
    # What the open transaction has set and not written yet.
    cdef Rows deferred

    # Entries. `expire` is an absolute time in ms, or NEVER.
    cdef object fetch(self, object key, object missing)
    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed)
    cdef Entry fetch_entry(self, object key, Want want=*)
    cdef Entry find_entry(self, object key, Want want=*)
    cdef bint contains(self, object key) except -1
    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1
    cdef bint remove(self, object key) except -1
    cdef Entry take_entry(self, object key)
    cdef bint set_expiry(self, object key, long long expire) except -1
    cdef object increment(self, object key, object delta, object default)
    cdef object fetch_row(self, object key, object missing)
    cdef object recall(self, object name, unsigned long long hashed, Node* node, object missing)
    cdef bint recall_presence(self, const Node* node) except -1
    cdef Node* in_memory(self, object key, unsigned long long* hashed) except? NULL
    cdef bint contains_row(self, object key) except -1
    cdef object fetch_pending(self, Place place, object missing)
    cdef object name_of(self, object key, object owner, Cell* cell)

    cdef object encode_whole(self, object value, Row* row)
    cdef int keep_own(self, const Row* row, object name, object known, int codec) except -1
    cdef bint put_row(self, const Row* row, bint only_if_absent, object name, object known, int known_codec) except -1
    cdef bint put_file(
        self, const Row* row, bint only_if_absent, list parts, object name, object known, int known_codec) except -1
    cdef bint write_row(self, const Row* row, bint only_if_absent, str file) except -1
    cdef bint upsert(self, const Row* row, bint only_if_absent, str file) except -1
    cdef bint replace_row(self, const Row* row, bint only_if_absent, str file, long long now) except -1
    cdef bint change_keyed(self, str text, object key, long long expire) except -1
    cdef int run_keyed(self, str text, const Cell* key, long long expire, long long now) except -1
    cdef bint defer(self, const Row* row, object key_owner, object value_owner, object tag_owner) except -1
    cdef int add_row(
        self, Rows rows, object key, object value, long long expire, object tag_owner, const Cell* tag) except -1
    cdef int add_deletion(self, Rows rows, object key) except -1
    cdef Py_ssize_t write_rows(self, Rows rows, Py_ssize_t start, Py_ssize_t end, bint only_if_absent) except -1
    cdef bint is_large(self, const Cell* value) noexcept
    cdef Py_ssize_t write_run(self, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now) except -1
    cdef long long need_of(self, const Row* row) noexcept
    cdef Py_ssize_t write_run_within(
        self, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now, long long need) except -1
    cdef int make_room_for_number(self, const Cell* key) except -1
    cdef bint put_file_inside(self, const Row* row, bint only_if_absent, list parts) except -1
    cdef int abandon_file(self, PendingFile pending, bint reserved) except -1
    cdef bint is_in_the_way(self, Session session, long long now) except -1
    cdef bint write_alone(self, const Row* row, bint only_if_absent) except -1
    cdef Py_ssize_t delete_run(self, const Row* rows, Py_ssize_t count, long long now) except -1
    cdef Entry pop_native(self, const Cell* key, long long now)
    cdef bint increment_native(
        self, const Cell* key, long long delta, long long start, long long now, long long* total) except -1

    cdef object do_tend(self)

    # What waits to be written
    cdef double tend_queue(self, Queue queue) except? -2.0
    cdef int flush_queue(self, Queue queue) except -1
    cdef int write_generation(self, Queue queue, Generation generation) except -1
    cdef Py_ssize_t prepare_rows(self, Generation generation, Py_ssize_t end) except -1
    cdef int make_room_ahead(self, Rows rows) except -1
    cdef int take_turn(self) except -1
    cdef bint can_wait(self) noexcept
    cdef bint must_refuse_soon(self) noexcept
    cdef int came_in(self, unsigned long long hashed) except -1
    cdef bint has_expired_waiting(self, object name) except -1
    cdef bint let_in(self) except -1
    cdef int raise_failure(self, Queue queue) except -1
    cdef int add_queue(self, Queue queue) except -1
    cdef int remove_queue(self, Queue queue) except -1
    cdef bint put_together(self, const Row* row, object key_owner, object value_owner, object tag_owner) except -1

    # Inside
    cdef int repair_dangling(self, Entry entry, const Cell* key) except -1
