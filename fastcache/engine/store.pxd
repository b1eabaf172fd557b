# One database: get, set, add, pop, delete, touch, incr, scan, transactions.
#
# Part of the public API: `from fastcache.engine.store cimport Store` in a Cython module of one's own, then
# `cdef Store store = cache.store`, and call these without Python overhead. The GIL is needed.

from fastcache.engine.clock cimport Tick
from fastcache.engine.connection cimport NEVER, Cell, Row, Statement
from fastcache.engine.bounded cimport Bounded
from fastcache.engine.queue cimport Generation, Place, Queue, Rows
from fastcache.engine.session cimport Session
from fastcache.engine.sieve cimport Kind, Node
from fastcache.engine.values cimport ValueFormat


cdef enum Want:
    # What a read gives: the value, the value with arrays that can be written to, or the bytes that are stored.
    VALUE = 0
    COPY = 1
    BYTES = 2


cdef class Entry:
    cdef int codec
    cdef long long size
    cdef long long expire
    cdef long long id
    cdef object stored
    cdef object tag
    cdef str file


cdef object check_tag(object tag, Cell* cell)
cdef long long expiry(Store store, object expire) except? -1
cdef Entry entry_of(Place place)


cdef class Store(Bounded):
    cdef readonly object serializer
    cdef ValueFormat format
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
    # When the first entry expires, as far as is known, and when it was last looked for.
    cdef long long next_expiry
    cdef double expired_at
    # How many entries there were when the clock stood there, and in which time that holds.
    cdef object counted
    cdef Tick counted_at
    cdef long long counted_from
    cdef long long counted_until
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
    cdef object fetch_waiting(self, Place place, object missing)
    cdef object name_of(self, object key, object owner, Cell* cell)
    cdef bint remember(
        self, unsigned long long era, object name, unsigned long long hashed, Kind kind, object value, int codec,
        long long expire, unsigned int row) except -1
    cdef unsigned long long sight(self) noexcept
    cdef Statement look_up(self, bint whole, const Cell* key, unsigned long long* era)
    cdef object value_of(self, object key, object codec, object file, object size, object stored)

    cdef Entry read_entry(self, Statement statement)
    cdef bint load(self, Entry entry, Want want=*) except -1
    cdef object read_file(self, int codec, object file, object size, Want want)
    cdef int admit(self, Entry entry, const Cell* key) except -1
    cdef int decode(self, Entry entry, bint copy) except -1
    cdef int give(self, Entry entry, Want want) except -1
    cdef object encode_whole(self, object value, const Cell* key, Cell* cell, int* codec)
    cdef int keep_own(self, const Cell* key, object name, object known, int codec, long long expire) except -1
    cdef bint put_row(
        self, bint only_if_absent, const Cell* key, int codec, long long expire, const Cell* tag,
        const Cell* value, object name, object known, int known_codec) except -1
    cdef bint put_file(
        self, bint only_if_absent, const Cell* key, int codec, long long expire, const Cell* tag,
        const Cell* value, list parts, object name, object known, int known_codec) except -1
    cdef bint write_row(
        self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
        str file, const Cell* value) except -1
    cdef bint upsert(
        self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
        str file, const Cell* value) except -1
    cdef bint replace_row(
        self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
        str file, const Cell* value, long long now) except -1
    cdef int bind_row(
        self, Statement statement, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
        str file, const Cell* value) except -1
    cdef bint change_keyed(self, str text, object key, long long expire) except -1
    cdef int run_keyed(self, str text, const Cell* key, long long expire, long long now) except -1
    cdef bint defer(
        self, object key_owner, const Cell* key, object value_owner, const Cell* value, int codec, long long expire,
        object tag_owner, const Cell* tag) except -1
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
    cdef int abandon_file(self, object pending, bint reserved) except -1
    cdef bint is_in_the_way(self, Session session, long long now) except -1
    cdef bint write_alone(self, const Row* row, bint only_if_absent) except -1
    cdef Py_ssize_t delete_run(self, const Row* rows, Py_ssize_t count, long long now) except -1
    cdef Entry pop_native(self, const Cell* key, long long now)
    cdef bint increment_native(
        self, const Cell* key, long long delta, long long start, long long now, long long* total) except -1

    cdef object do_tend(self)

    # Expiry
    cdef double tend_expiry(self) except? -1.0
    cdef int find_next_expiry(self) except -1
    cdef int expect_expiry(self, long long expire) except -1

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
    cdef bint put_together(
        self, const Cell* key, object key_owner, const Cell* value, object value_owner, const Cell* tag,
        object tag_owner, int codec, long long expire) except -1

    # Inside
    cdef int repair_dangling(self, Entry entry, const Cell* key) except -1
    cdef list scan(self, bint items, bint backward, long long* last, int limit)
    cdef object scalar(self, str text, tuple parameters)
    cdef int bulk(self, str text, tuple parameters) except -1
    cdef int bulk_of(self, str keys, tuple which, str text, tuple parameters, str reason) except -1
    cdef long long most_asked(self) noexcept
