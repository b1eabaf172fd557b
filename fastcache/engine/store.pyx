# cython: nonecheck=True
"""The entries of one directory: get, set, add, pop, delete, touch, incr, scan, and what waits to be written.

What is always true, and who keeps it so (database.pyx and bounded.pyx have the rest):

- **What is known is not asked for.** The memory tier (tier.pyx) answers while the clock stands (wal_clock.pxd), but never
  inside a transaction. What a read fills in was read from a snapshot that was chosen after the tier's era was taken.
- **A single write is one statement in autocommit.** What one statement cannot do (an expired entry in the way, a value
  in a file, a pop that must be decoded first) runs between `enter` and `leave`, as a savepoint if a transaction is open.
- **A large value is a file first, and then a row** (files.pyx): it is written before the write lock is taken, and renamed
  under it. Whatever is raised before the commit removes the file, and nothing that is raised after it does.
- **Many writes are one statement, too** (write_rows). What a transaction sets is put off (`deferred`) until it reads, or
  ends; what it has put off is part of it, and if it cannot be written the transaction fails.
- **What waits to be written** (pending.pyx) is read before SQLite is asked, and written before anything atomic.
"""

import _thread
from time import monotonic

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.number cimport PyNumber_Index
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.sqlite.connection cimport (
    CELL_BLOB, CELL_NULL, CELL_TEXT, NEVER, ROW_DELETE, ROW_NOTHING, ROW_SET, STEP_DONE, STEP_ROW, BusyWait,
    cell_object, cell_of_plain)
from fastcache.engine.eviction.bounded cimport Bounded, cost_of_row
from fastcache.engine.database.database cimport SHORTENING_PERIOD, SOON, TENDING_PATIENCE, warn
from fastcache.engine.blobs.files cimport PendingFile
from fastcache.engine.codecs.keys cimport canonical_key, decode_key, encode_key, hash_plain
from fastcache.engine.entries.entry cimport VALUE, Entry, Want, check_tag, entry_of, read_entry
from fastcache.engine.entries.content cimport Content
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.lookup cimport (
    CONTENT, NOWHERE, PENDING, PRESENCE, REMEMBERED, WHOLE, Finding, Lookup)
from fastcache.engine.entries.pending cimport Generation, Place, Queue
from fastcache.engine.entries.removal cimport change_many, most_asked, remove_many
from fastcache.engine.entries.scan cimport Count, scalar, scan
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.memory.sieve cimport ABSENT, OBJECT, PRESENT, UNDECODED, Node
from fastcache.engine.codecs.values cimport (
    CODEC_BYTES, CODEC_NATIVE, CODEC_SERIALIZED, CODEC_TEXT, Packed,
    ValueFormat)

from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, ClosedError, StorageError, Timeout
from fastcache.engine.blobs.files import MissingFileError

cdef extern from "<math.h>":
    double INFINITY

cdef extern from "<limits.h>":
    long long LLONG_MAX, LLONG_MIN

# A value of more bytes than this goes into a file of its own. Measured (bench/inline_limit.py).
cdef long long INLINE_LIMIT = 64 * 1024
# A value of more bytes than this is written to the database without the GIL.
cdef long long LARGE = 16 * 1024
# Rows of a queue that are written in one transaction: not so many that the change log does not list them, or others wait
# for long.
cdef Py_ssize_t QUEUED_AT_ONCE = 4096
cdef int LARGEST_BATCH = 256

# Stores that have something to write: not to be collected.
cdef dict unwritten = {}

# Of no more rows than this, a batch is written with the GIL.
cdef Py_ssize_t FEW = 32


cdef inline void in_file(const Row* row, Row* filed) noexcept:
    """The same entry with its value in a file."""
    filed[0] = row[0]
    filed.codec = codec_in_file(row.codec, &row.value)
    filed.value.kind = CELL_NULL
    filed.value.size = 0


cdef int bind_row(Statement statement, const Row* row, str file) except -1:
    """Bind the parameters that SET, ADD and INSERT share. ``file`` must live until the reset."""
    cdef Cell file_cell
    cell_of_plain(file, &file_cell)
    statement.bind(1, &row.key)
    statement.bind_integer(2, row.codec)
    statement.bind_integer(3, row.size)
    if row.expire == NEVER:
        statement.bind_null(4)
    else:
        statement.bind_integer(4, row.expire)
    statement.bind(5, &row.tag)
    statement.bind(6, &file_cell)
    statement.bind(7, &row.value)
    return 0


cdef class Store(Bounded):
    """The entries of one directory.

    Args:
        directory: where the database and the value files are; made (0700) if absent.
        serializer: for what SQLite has no value of its own for (see fastcache.Serializer).
        compression: "zstd", "lz4" or "blosc2" for what is worth it; None for not at all.
        timeout: how long to wait for another writer, in seconds.
        timer: called for the time in seconds since the epoch; None for the system's clock.
        memory: how many bytes of what was read may stay in this process; 0 for none.
        keeper: called with the store and a number of seconds, to have ``tend`` called within that time, by a thread of
            its own; returns whether it will be. Without one, each does its own tidying.
        write_behind: for how many seconds a set or delete may wait to be written; None or 0 for not at all.
        durability: "normal", or "full" to have each commit synced to the disk before it returns.
        on_evict: called with the key and the reason, by maintenance, of what the store has removed by itself.
        keeps_limit: whether the ``max_size`` that is stored holds for this object.
        settings: kept in the database with the format: those of a new one; for one that exists, what is not
            None replaces what is stored.
        shards: of how many databases this is one. Its part of ``max_size`` is the same as theirs.
        inherited: settings of a new database that are not the usual ones.
    Raises:
        OpenError: (FormatError, NotACacheError) the directory cannot be opened as asked.
    """

    def __init__(
            self, directory, *, serializer, timeout=60.0, timer=None, memory=0, keeper=None, write_behind=None,
            durability="normal", compression=None, on_evict=None, keeps_limit=True, settings=None, shards=1, inherited=None):
        self.serializer = check_serializer(serializer)
        self.counter = Count()
        self.format = ValueFormat(serializer, compression)
        self.compression = compression
        super().__init__(
            directory, timeout=timeout, timer=timer, memory=memory, keeper=keeper, durability=durability,
            on_evict=on_evict, keeps_limit=keeps_limit,
            settings={
                "format": sql.FORMAT, "serializer": serializer.name, "shards": shards, "max_size": 0, "eviction": "lru",
                **(inherited or {})})
        self.inline_limit = INLINE_LIMIT
        self.expiry = Expiry()
        self.deferred = Rows()
        self.queues = []
        self.write_behind = check_delay(write_behind)
        if self.write_behind:
            # Half of it is for the writing.
            self.behind = Queue(self.write_behind / 2)
            self.behind.commit = &self.commit
            self.queues.append(self.behind)
        if self.syncs:
            self.group = Queue(0.0)
        self.lookup = Lookup(self.memory, self.behind, serializer)
        self.content = Content(self.format, self.files)
        self.open(settings or {})
        if keeper is not None and timer is None and self.writer is not None:
            self.expiry.begin(self)

    cdef void forget_clock(self) noexcept:
        Bounded.forget_clock(self)
        self.counter.forget()

    def renew(self):
        """Start anew in a child: what waits is the parent's."""
        super().renew()
        unwritten.pop(id(self), None)
        self.deferred = Rows()
        for queue in self.queues:
            (<Queue>queue).forsake()
        if self.group is not None:
            self.group.forsake()

    def __reduce__(self):
        raise TypeError("a Store cannot be pickled; the Cache or Index that holds it can")

    @property
    def memory_limit(self):
        """Bytes that the memory tier may take."""
        return self.memory.sieve.limit

    @property
    def memory_used(self):
        """Bytes that it takes."""
        return self.memory.sieve.used

    def recount_memory(self):
        """The same, counted anew: for tests (sieve.pyx)."""
        return self.memory.sieve.recount()

    # -- reading ---------------------------------------------------------------------------------------------

    cdef object fetch(self, object key, object missing):
        """The live value of a key, or ``missing``; counts a hit or a miss."""
        return self.fetch_hashed(key, missing, 0)

    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed):
        """The same where the hash of a plain key is known, or 0."""
        cdef Node* node = self.in_memory(key, &hashed)
        if node == NULL or node.kind == PRESENT:
            return self.fetch_row(key, missing)
        if node.kind == OBJECT and node.expire == NEVER:
            begin_span(spans)
            value = <object>node.value
            self.hits += 1
            self.memory_hits += 1
            if self.recency is not None:
                self.use(node)
            end_span(spans)
            if self.recency is not None:
                self.recency.follow()
            return value
        return self.recall(key, hashed, node, missing)

    cdef Node* in_memory(self, object key, unsigned long long* hashed) except? NULL:
        """What the tier knows of a plain key, if it can be used as it is; NULL if that has to be found out."""
        cdef Node* node = NULL
        if (self.memory.is_current() and (self.depth == 0 or not self.turn.is_mine())
                and (hashed[0] != 0 or hash_plain(key, 0, hashed))):
            node = self.memory.sieve.find(key, hashed[0])
            if node != NULL:
                node.visited = 1
        return node

    cdef object recall(self, object name, unsigned long long hashed, Node* node, object missing):
        """The live value of what the tier knows, or ``missing``."""
        begin_span(spans)
        cdef int kind = node.kind
        cdef int codec = node.codec
        cdef unsigned int row = node.row
        cdef long long expire = node.expire
        # The node may be gone as soon as anything else runs: a timer, say.
        value = <object>node.value if kind != ABSENT else None
        end_span(spans)
        if kind == ABSENT or (expire != NEVER and expire <= self.now()):
            self.misses += 1
            return missing
        if self.recency is not None and row:
            self.use_stored(row)
        if kind != OBJECT:
            encoded = value
            value = self.format.decode(codec, encoded, False)
            if kind == UNDECODED:
                self.memory.sieve.become(name, hashed, encoded, value)
        self.hits += 1
        self.memory_hits += 1
        return value

    cdef object fetch_row(self, object key, object missing):
        """The same for what the tier does not know, or not for certain."""
        cdef Cell cell
        cdef Finding found
        cdef Statement statement
        cdef Entry entry
        cdef unsigned int row = 0
        self.notice_settings()
        owner = encode_key(key, self.serializer, &cell)
        name = self.lookup.find(self, key, owner, &cell, CONTENT, &found)
        if found.source == PENDING:
            return self.fetch_pending(<Place>found.place, missing)
        if found.source == REMEMBERED:
            return self.recall(name, cell.hashed, found.node, missing)
        if found.source == NOWHERE:
            self.lookup.fill(found.era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            self.misses += 1
            return missing
        statement = <Statement>found.statement
        begin_span(spans)
        if self.recency is not None:
            row = <unsigned int>statement.column_integer(6)
        # The plainest row first: native, never expires, no file.
        if statement.column_integer(0) == CODEC_NATIVE and statement.column_is_null(1) and statement.column_is_integer(0):
            try:
                value = statement.column_object(2)
            finally:
                statement.reset()
                end_span(spans)
            self.lookup.fill(found.era, name, cell.hashed, OBJECT, value, CODEC_NATIVE, NEVER, row)
            if self.recency is not None:
                self.use_stored(row)
            self.hits += 1
            return value
        try:
            entry = read_entry(statement)
        finally:
            statement.reset()
            end_span(spans)
        if not self.content.load(self, entry):
            if entry.file is None:
                self.misses += 1
                return missing
            entry = self.fetch_entry(key)
            if entry is not None:
                return entry.stored
            return missing
        if self.recency is not None:
            self.use_stored(entry.id)
        self.content.admit(entry, &cell)
        stored = entry.stored
        self.content.decode(entry, False)
        if entry.codec < CODEC_SERIALIZED:
            self.lookup.fill(found.era, name, cell.hashed, OBJECT, entry.stored, entry.codec, entry.expire, row)
        elif type(stored) is bytes and self.lookup.fill(
                found.era, name, cell.hashed, UNDECODED, stored, entry.codec, entry.expire, row):
            self.memory.sieve.become(name, cell.hashed, stored, entry.stored)
        self.hits += 1
        return entry.stored

    cdef object fetch_pending(self, Place place, object missing):
        """The live value of what waits to be written, or ``missing``."""
        cdef Entry entry = entry_of(place)
        if entry is None or (entry.expire != NEVER and entry.expire <= self.now()):
            self.misses += 1
            return missing
        self.content.decode(entry, False)
        self.hits += 1
        self.memory_hits += 1
        return entry.stored

    cdef object name_of(self, object key, object owner, Cell* cell):
        """What stands for a key in the tier; fills the cell's hash, which a write has to announce.

        Also while there is no clock: the write itself may open the connection that has it."""
        return canonical_key(key, owner, self.serializer, &cell.hashed)

    cdef Entry fetch_entry(self, object key, Want want=VALUE):
        """The live entry of a key with its value as wanted, or None; counts a hit or a miss."""
        cdef Entry entry = self.find_entry(key, want)
        if entry is None:
            self.misses += 1
        else:
            self.hits += 1
            if self.recency is not None and entry.id:
                self.use_stored(entry.id)
        return entry

    cdef Entry find_entry(self, object key, Want want=VALUE):
        """The same, not counted."""
        cdef Cell cell
        cdef Finding found
        cdef Statement statement
        cdef Entry entry
        cdef str lost = None
        owner = encode_key(key, self.serializer, &cell)
        while True:
            self.lookup.find(self, key, owner, &cell, WHOLE, &found)
            if found.source == NOWHERE:
                return None
            if found.source == PENDING:
                entry = entry_of(<Place>found.place)
                if entry is None or (entry.expire != NEVER and entry.expire <= self.now()):
                    return None
                self.content.give(entry, want)
                return entry
            statement = <Statement>found.statement
            begin_span(spans)
            try:
                entry = read_entry(statement)
            finally:
                statement.reset()
                end_span(spans)
            if self.content.load(self, entry, want):
                self.content.admit(entry, &cell)
                self.content.give(entry, want)
                return entry
            if entry.file is None:
                return None
            # The file is gone: replaced between our two looks, unless the row still names the same one.
            if entry.file == lost:
                self.name_of(key, owner, &cell)
                self.repair_dangling(entry, &cell)
                return None
            lost = entry.file

    cdef bint contains(self, object key) except -1:
        cdef unsigned long long hashed = 0
        cdef Node* node = self.in_memory(key, &hashed)
        if node == NULL:
            return self.contains_row(key)
        return self.recall_presence(node)

    cdef bint recall_presence(self, const Node* node) except -1:
        """Whether what the tier knows is a live entry."""
        cdef long long expire = node.expire
        return node.kind != ABSENT and (expire == NEVER or expire > self.now())

    cdef bint contains_row(self, object key) except -1:
        """The same for what the tier does not know, or not for certain."""
        cdef Cell cell
        cdef Finding found
        cdef Statement statement
        cdef Place place
        cdef long long expire, size
        owner = encode_key(key, self.serializer, &cell)
        name = self.lookup.find(self, key, owner, &cell, PRESENCE, &found)
        if found.source == PENDING:
            place = <Place>found.place
            return not place.deleted and (place.expire == NEVER or place.expire > self.now())
        if found.source == REMEMBERED:
            return self.recall_presence(found.node)
        if found.source == NOWHERE:
            self.lookup.fill(found.era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            return False
        statement = <Statement>found.statement
        begin_span(spans)
        try:
            expire = statement.column_integer(1) if statement.column_is_integer(1) else NEVER
            file = statement.column_object(3)
            size = statement.column_integer(4)
        finally:
            statement.reset()
            end_span(spans)
        if file is None:
            self.lookup.fill(found.era, name, cell.hashed, PRESENT, None, 0, expire, 0)
        if expire != NEVER and expire <= self.now():
            return False
        if file is None:
            return True
        return self.files.size(file) == size or self.fetch_entry(key) is not None

    cdef int repair_dangling(self, Entry entry, const Cell* key) except -1:
        """Remove a row whose file is lost, unless that would mean to wait: this is a read."""
        cdef Statement statement
        if not self.turn.take_if_free():
            return 0
        try:
            statement = self.writing().statement(sql.DELETE_DANGLING)
            parameters = (entry.id, entry.file)
            statement.bind_all(parameters)
            self.will_change(key)
            if statement.step() == STEP_DONE:
                statement.reset()
                self.has_trash = True
                self.follow_commit()
        finally:
            self.turn.give()
        return 0

    # -- writing ---------------------------------------------------------------------------------------------

    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored."""
        cdef Row row
        cdef bint expired
        begin_row(&row, expire)
        key_owner = encode_key(key, self.serializer, &row.key)
        name = self.name_of(key, key_owner, &row.key)
        value_owner = self.format.encode(value, &row.key, &row.value, &row.codec)
        self.refuse_too_large(&row.key, row.value.size)
        tag_owner = check_tag(tag, &row.tag)
        cdef bint large = self.is_large(&row.value)
        # What stays in the tier: what will be read, or what it is decoded from.
        known = value
        cdef int known_codec = CODEC_NATIVE
        parts = None
        if type(value_owner) is Packed:
            # What waits must not change any more.
            if not large or self.behind is not None or self.group is not None:
                (<Packed>value_owner).join(&row.value)
            parts = (<Packed>value_owner).parts
            known = (<Packed>value_owner).known
            known_codec = (<Packed>value_owner).known_codec
        row.size = row.value.size
        if not only_if_absent:
            while self.can_wait():
                expired = self.has_expired_waiting(name)
                if self.let_in():
                    self.behind.put(&row, key_owner, value_owner, tag_owner, name, known, known_codec, expired)
                    self.came_in(row.key.hashed)
                    return True
            if self.group is not None and self.turn.owner != 0 and not self.turn.is_mine():
                return self.put_together(&row, key_owner, value_owner, tag_owner)
            if not large and self.depth != 0 and self.turn.is_mine():
                return self.defer(&row, key_owner, value_owner, tag_owner)
            if large:
                return self.put_file(&row, False, parts, name, known, known_codec)
            return self.put_row(&row, False, name, known, known_codec)
        # A row in the way may be one whose file is lost, which reads as absent: looking at it removes it.
        while True:
            if large:
                if self.contains(key):
                    return False
                if self.put_file(&row, True, parts, name, known, known_codec):
                    return True
            elif self.put_row(&row, True, name, known, known_codec):
                return True
            elif self.contains(key):
                return False

    cdef int add_row(
            self, Rows rows, object key, object value, long long expire, object tag_owner, const Cell* tag) except -1:
        """Append an entry to be set to what waits to be written."""
        cdef Row row
        begin_row(&row, expire)
        row.tag = tag[0]
        key_owner = encode_key(key, self.serializer, &row.key)
        self.name_of(key, key_owner, &row.key)
        value_owner = self.encode_whole(value, &row)
        return rows.add(&row, key_owner, value_owner, tag_owner)

    cdef object encode_whole(self, object value, Row* row):
        """Encode a value that has to wait, in one piece: what was given may change meanwhile. The row has its key."""
        owner = self.format.encode(value, &row.key, &row.value, &row.codec)
        self.refuse_too_large(&row.key, row.value.size)
        if type(owner) is Packed:
            (<Packed>owner).join(&row.value)
        row.size = row.value.size
        return owner

    cdef int add_deletion(self, Rows rows, object key) except -1:
        """Append a key to be deleted to what waits to be written."""
        cdef Cell cell
        owner = encode_key(key, self.serializer, &cell)
        self.name_of(key, owner, &cell)
        return rows.add_deletion(&cell, owner)

    cdef bint put_row(self, const Row* row, bint only_if_absent, object name, object known, int known_codec) except -1:
        """Store a value in its row."""
        cdef bint stored
        self.take_turn()
        try:
            stored = self.write_row(row, only_if_absent, None)
            if self.depth == 0:
                if stored:
                    self.keep_own(row, name, known, known_codec)
                self.settle()
        finally:
            self.turn.give()
        return stored

    cdef bint defer(self, const Row* row, object key_owner, object value_owner, object tag_owner) except -1:
        """Inside a transaction: leave it until the next read, or the end, since many at once are cheaper."""
        self.deferred.add(row, key_owner, value_owner, tag_owner)
        if self.deferred.is_full():
            self.carry_out()
        return True

    cdef bint has_put_off(self) noexcept:
        return self.deferred.count != 0

    cdef int forget_put_off(self) except -1:
        Bounded.forget_put_off(self)
        return self.deferred.clear()

    cdef int carry_out(self) except -1:
        """Write what this transaction has left until now.

        What was put off has been promised: if it fails, the transaction fails as a whole."""
        cdef Rows rows = self.deferred
        self.deferred = Rows()
        try:
            self.write_rows(rows, 0, rows.count, False)
        except BaseException:
            self.roll_back(self.writer)
            raise
        return 0

    cdef Py_ssize_t write_rows(self, Rows rows, Py_ssize_t start, Py_ssize_t end, bint only_if_absent) except -1:
        """Carry out some rows in their order, inside the transaction; returns how many entries that has changed."""
        cdef Py_ssize_t stop, changed = 0
        cdef long long need, portion = max(1, self.low)
        cdef long long now = self.now()
        while start < end:
            stop = start + 1
            if rows.rows[start].kind == ROW_DELETE:
                while stop < end and rows.rows[stop].kind == ROW_DELETE:
                    stop += 1
                changed += self.delete_run(&rows.rows[start], stop - start, now)
            elif rows.rows[start].kind == ROW_NOTHING:
                pass
            elif self.is_large(&rows.rows[start].value):
                changed += self.write_alone(&rows.rows[start], only_if_absent)
            else:
                need = self.need_of(&rows.rows[start])
                # With a limit, no more at once than there is kept free.
                while (stop < end and need < portion and rows.rows[stop].kind == ROW_SET
                        and not self.is_large(&rows.rows[stop].value)):
                    need += self.need_of(&rows.rows[stop])
                    stop += 1
                if self.max_size == 0:
                    changed += self.write_run(&rows.rows[start], stop - start, only_if_absent, now)
                else:
                    changed += self.write_run_within(&rows.rows[start], stop - start, only_if_absent, now, need)
            start = stop
        return changed

    cdef long long need_of(self, const Row* row) noexcept:
        """Bytes that a row needs, where that matters."""
        return cost_of_row(&row.key, row.value.size) if self.max_size else 0

    cdef Py_ssize_t write_run_within(
            self, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now, long long need) except -1:
        """The same where there is a limit: room for so many bytes is made first."""
        cdef Py_ssize_t changed
        cdef bint fits = self.fits(need)
        if not fits:
            # Within its transaction, which goes on.
            self.make_room_inside(need)
        cdef long long before = self.room
        changed = self.write_run(rows, count, only_if_absent, now)
        self.room -= need
        if not fits and self.policy is None:
            self.refuse_if_full(before)
        return changed

    cdef bint is_large(self, const Cell* value) noexcept:
        """Whether a value goes into a file."""
        return value.size > self.inline_limit and value.kind in (CELL_TEXT, CELL_BLOB)

    cdef Py_ssize_t write_run(self, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now) except -1:
        """Set (or add) rows whose values stay in them, as one statement if nothing is in the way."""
        cdef Session session = self.writing()
        cdef Statement statement
        cdef Py_ssize_t index, changed = -1
        if count > 1:
            session.connection.offer(rows, count)
            try:
                if not self.is_in_the_way(session, now):
                    for index in range(count):
                        self.will_change(&rows[index].key)
                    statement = session.statement(sql.ADD_MANY if only_if_absent else sql.SET_MANY)
                    if not only_if_absent:
                        statement.bind_integer(8, now)
                    changed = self.change_locked(session, statement, count > FEW)
                    for index in range(count):
                        if rows[index].expire != NEVER:
                            self.expiry.expect(self, rows[index].expire)
            finally:
                session.connection.offer(NULL, 0)
        # Fewer than asked for: the count of files is wrong, and one was in the way after all.
        if changed < 0 or (changed < count and not only_if_absent):
            changed = 0
            for index in range(count):
                changed += self.write_alone(&rows[index], only_if_absent)
        return changed

    cdef bint is_in_the_way(self, Session session, long long now) except -1:
        """Whether any of the rows that are offered meets an entry that has expired, or is in a file."""
        cdef Statement statement = session.statement(sql.MAY_BE_IN_THE_WAY)
        cdef bint found
        statement.bind_integer(8, now)
        found = statement.run() == STEP_ROW and statement.column_integer(0) != 0
        statement.reset()
        if found:
            statement = session.statement(sql.IN_THE_WAY)
            statement.bind_integer(8, now)
            found = statement.run() == STEP_ROW
            statement.reset()
        return found

    cdef bint write_alone(self, const Row* row, bint only_if_absent) except -1:
        """The same for one row, whatever is in its way and wherever its value goes. Returns whether it was written."""
        while True:
            if self.is_large(&row.value):
                if self.put_file(row, only_if_absent, None, None, None, 0):
                    return True
            elif self.write_row(row, only_if_absent, None):
                return True
            # Looking at it removes a row whose file is lost.
            if self.contains(decode_key(cell_object(&row.key), self.serializer)):
                return False

    cdef Py_ssize_t delete_run(self, const Row* rows, Py_ssize_t count, long long now) except -1:
        """Delete the live entries of these keys as one statement; returns how many there were."""
        cdef Session session = self.writing()
        cdef Statement statement = session.statement(sql.DELETE_MANY)
        cdef Py_ssize_t index
        for index in range(count):
            self.will_change(&rows[index].key)
        session.connection.offer(rows, count)
        try:
            statement.bind_integer(8, now)
            return self.change_locked(session, statement, count > FEW)
        finally:
            session.connection.offer(NULL, 0)

    cdef int keep_own(self, const Row* row, object name, object known, int codec) except -1:
        """Remember what our last commit has stored, if none has followed it. The turn is still held."""
        if known is None and codec != CODEC_NATIVE:
            return 0
        self.lookup.fill(
            self.own_era, name, row.key.hashed, UNDECODED if codec >= CODEC_SERIALIZED else OBJECT, known, codec,
            row.expire, self.row_written())
        return 0

    cdef bint put_file(
            self, const Row* row, bint only_if_absent, list parts, object name, object known, int known_codec) except -1:
        """Store a value in a file: written before the lock is taken, and given its name under it."""
        cdef PendingFile pending
        cdef Row filed
        cdef bint stored = False
        cdef bint inside = self.depth != 0 and self.turn.is_mine()
        cdef bint reserved = self.max_size != 0
        if inside and reserved:
            return self.put_file_inside(row, only_if_absent, parts)
        in_file(row, &filed)
        if parts is None:
            parts = [PyMemoryView_FromMemory(<char*>row.value.data, row.size, PyBUF_READ)]
        pending = self.files.begin()
        try:
            if reserved:
                self.reserve_file(pending.name, row.size)
            pending.write(parts)
            self.take_turn()
        except BaseException:
            self.abandon_file(pending, reserved)
            raise
        try:
            try:
                self.enter()
            except BaseException:
                self.abandon_file(pending, reserved)
                raise
            try:
                if reserved:
                    self.give_back(pending.name)
                self.created.append(pending)
                pending.rename()
                stored = self.write_row(&filed, only_if_absent, pending.name)
            except BaseException:
                self.leave(False)
                raise
            try:
                self.leave(stored)
            finally:
                self.files_stored += pending.committed
            if stored and self.depth == 0 and name is not None:
                self.keep_own(row, name, known, known_codec)
        except BaseException:
            if reserved and not pending.committed:
                self.abandon_file(pending, True)
            raise
        finally:
            self.turn.give()
        if reserved and not stored:
            self.abandon_file(pending, True)
        return stored

    cdef bint put_file_inside(self, const Row* row, bint only_if_absent, list parts) except -1:
        """The same inside a transaction, with a limit: there nobody else can take the room that is made, so that the file is
        written when there is some. If it is in pages, the value goes into them."""
        cdef PendingFile pending
        cdef Row whole
        cdef bint stored
        self.enter()
        try:
            if not self.make_room_inside(row.size + cost_of_row(&row.key, 0)):
                self.raise_full()
            if self.has_room_for_file(row.size):
                pending = self.files.begin()
                self.created.append(pending)
                pending.write(parts or [PyMemoryView_FromMemory(<char*>row.value.data, row.size, PyBUF_READ)])
                pending.rename()
                in_file(row, &whole)
                stored = self.write_row(&whole, only_if_absent, pending.name)
            else:
                whole = row[0]
                if parts is not None:
                    joined = b"".join(parts)
                    cell_of_plain(joined, &whole.value)
                stored = self.write_row(&whole, only_if_absent, None)
        except BaseException:
            self.leave(False)
            raise
        self.leave(stored)
        return stored

    cdef int abandon_file(self, PendingFile pending, bint reserved) except -1:
        """Remove a file that will not be named by a row, and give back the room that was made for it.

        Should that fail, maintenance does it."""
        pending.discard()
        self.remove_later()
        if reserved:
            self.owes_room = True
            try:
                self.release_dead()
            except (CacheError, OSError) as error:
                warn("room that was reserved in %r is given back later: %s", self.directory, error)
                self.call_keeper(SOON)
        return 0

    cdef bint write_row(self, const Row* row, bint only_if_absent, str file) except -1:
        """Write a row, and where there is a limit make room for it. Returns whether it was written."""
        cdef long long need, before
        cdef bint written = False
        cdef bint strictly = True
        cdef bint ready
        if self.max_size == 0:
            return self.upsert(row, only_if_absent, file)
        need = cost_of_row(&row.key, row.value.size)
        if self.fits(need):
            written = self.upsert(row, only_if_absent, file)
            self.room -= need
            return written
        while True:
            self.enter()
            try:
                ready = self.make_room(need, strictly)
                if ready:
                    before = self.room
                    written = self.upsert(row, only_if_absent, file)
                    self.room -= need
                    if written and self.policy is None:
                        self.refuse_if_full(before)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            if ready:
                return written
            strictly = self.tidy_for_room(strictly)

    cdef bint upsert(self, const Row* row, bint only_if_absent, str file) except -1:
        """Run the upsert, or the insert. Returns whether the row was written."""
        cdef long long now = self.now()
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        cdef bint written
        cdef unsigned long long era
        while True:
            session = self.writing()
            statement = session.add if only_if_absent else session.set
            bind_row(statement, row, file)
            if not only_if_absent:
                statement.bind_integer(8, now)
            self.will_change(&row.key)
            changed = self.change(session, statement, row.value.size > LARGE)
            if changed >= 0:
                break
            wait = self.pause(wait)
        if changed:
            if file is not None:
                self.count_file(row.size)
            if self.depth == 0:
                self.follow_commit()
            written = True
        elif file is not None:
            # put_file has begun a block already.
            written = self.replace_row(row, only_if_absent, file, now)
        else:
            self.enter()
            try:
                self.will_change(&row.key)
                written = self.replace_row(row, only_if_absent, file, now)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
        if row.expire != NEVER:
            # A signal handler that comes in here may set the same key. Then what it has set is the last.
            era = self.own_era
            self.expiry.expect(self, row.expire)
            self.own_era = era
        return written

    cdef bint replace_row(self, const Row* row, bint only_if_absent, str file, long long now) except -1:
        """Put a row in the place of the one that SET or ADD has left alone; a transaction is open.

        ``now`` is the same as theirs: a clock that jumps in between must not make a set do nothing."""
        cdef Session session = self.writing()
        cdef Statement statement = session.statement(sql.ROW_OF_KEY)
        cdef long long place = 0
        cdef bint there = False
        cdef bint live = False
        cdef bint has_file = False
        statement.bind(1, &row.key)
        if statement.run() == STEP_ROW:
            begin_span(spans)
            there = True
            place = statement.column_integer(0)
            live = not statement.column_is_integer(1) or statement.column_integer(1) > now
            has_file = not statement.column_is_null(2)
            statement.reset()
            end_span(spans)
        if live and only_if_absent:
            return False
        if live:
            if has_file:
                self.change_row(session, sql.DROP_FILE, place)
                self.has_trash = True
            statement = session.statement(sql.REPLACE)
            bind_row(statement, row, file)
            statement.bind_integer(8, place)
        else:
            if there:
                self.change_row(session, sql.DELETE_ROW, place)
            statement = session.statement(sql.INSERT)
            bind_row(statement, row, file)
        self.change_locked(session, statement, False)
        # What was there is in the trash, and counts until it is unlinked.
        if file is not None:
            self.count_file(row.size)
        return True

    cdef int run_keyed(self, str text, const Cell* key, long long expire, long long now) except -1:
        """Run one of the statements whose parameters are a key, an expiry and now; returns how many rows it changed."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        # Calls for maintenance, which lets others come in, who may use the same statement: before anything is bound.
        if expire != NEVER:
            self.expiry.expect(self, expire)
        while True:
            session = self.writing()
            statement = session.statement(text)
            statement.bind(1, key)
            if text is sql.TOUCH:
                if expire == NEVER:
                    statement.bind_null(2)
                else:
                    statement.bind_integer(2, expire)
            statement.bind_integer(8, now)
            self.will_change(key)
            changed = self.change(session, statement, False)
            if changed >= 0:
                break
            wait = self.pause(wait)
        if self.depth == 0:
            self.follow_commit()
        return changed

    cdef bint remove(self, object key) except -1:
        """Delete the live entry of a key. Returns whether there was one."""
        return self.change_keyed(sql.DELETE, key, NEVER)

    cdef bint set_expiry(self, object key, long long expire) except -1:
        """Give the live entry of a key another expiry. Returns whether there was one."""
        return self.change_keyed(sql.TOUCH, key, expire)

    cdef bint change_keyed(self, str text, object key, long long expire) except -1:
        cdef Cell cell
        cdef bint changed
        cdef long long entered
        cdef unsigned int commit
        owner = encode_key(key, self.serializer, &cell)
        name = self.name_of(key, owner, &cell)
        cdef long long now = self.now()
        while text is sql.DELETE and self.can_wait():
            entered = self.behind.entered
            commit = self.commit.number
            if not self.contains(key):
                return False
            # Looking may have let other threads in, one of which may have removed it: then look anew.
            if self.let_in() and self.behind.entered == entered and self.commit.number == commit:
                self.behind.remove(name, &cell, owner)
                self.came_in(cell.hashed)
                return True
        self.take_turn()
        try:
            changed = self.run_keyed(text, &cell, expire, now) > 0
            if self.depth == 0:
                if changed and text is sql.DELETE:
                    self.lookup.fill(self.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
                self.settle()
        finally:
            self.turn.give()
        return changed

    cdef Entry take_entry(self, object key):
        """Remove the live entry of a key and return it with its value decoded, or None.

        What cannot be decoded is not removed."""
        cdef Cell cell
        cdef Entry entry
        owner = encode_key(key, self.serializer, &cell)
        name = self.name_of(key, owner, &cell)
        cdef long long now = self.now()
        self.take_turn()
        try:
            entry = self.pop_native(&cell, now)
            if entry is not None:
                self.hits += 1
                if self.depth == 0:
                    self.follow_commit()
                    self.lookup.fill(self.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
                    self.settle()
                return entry
            if not self.contains(key):
                self.misses += 1
                return None
            self.enter()
            try:
                entry = self.fetch_entry(key)
                if entry is not None:
                    self.will_change(&cell)
                    self.writing().connection.query(sql.DELETE_ROW, (entry.id,))
                    self.has_trash = self.has_trash or entry.file is not None
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            return entry
        finally:
            self.turn.give()

    cdef Entry pop_native(self, const Cell* key, long long now):
        """Remove and return the live entry of a key if it is native and in the row, as one statement."""
        cdef Statement statement
        cdef BusyWait wait = None
        cdef Entry entry
        cdef int step
        while True:
            statement = self.writing().pop_native
            statement.bind(1, key)
            statement.bind_integer(8, now)
            self.will_change(key)
            step = statement.step()
            if step == STEP_ROW:
                begin_span(spans)
                try:
                    entry = read_entry(statement)
                except BaseException:
                    # Without memory for it, it stays where it is: to reset the statement would be to commit.
                    statement.undo()
                    raise
                finally:
                    end_span(spans)
                # The row is out for good once the statement is done, which includes the commit.
                step = statement.step(self.group is not None)
                statement.reset()
                if step == STEP_DONE:
                    return entry
            elif step == STEP_DONE:
                statement.reset()
                return None
            wait = self.pause(wait)

    def take_end(self, bint last):
        """Remove the newest (or oldest) entry and return its key and value, or None if there is none."""
        cdef long long end
        cdef list row
        cdef Cell cell
        found = None
        self.enter()
        try:
            while found is None:
                end = LLONG_MAX if last else LLONG_MIN
                row = scan(self, True, last, &end, 1)
                if not row:
                    break
                # By its rowid: a key that a foreign program wrote may not encode to what is stored.
                try:
                    found = decode_key(row[0], self.serializer), self.content.of_scanned(row[0], row[1], row[2], row[3], row[4])
                except MissingFileError:
                    pass
                self.will_change_stored(row[0])
                self.writing().connection.query(sql.DELETE_ROW, (end,))
                self.has_trash = self.has_trash or row[2] is not None
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return found

    cdef object key_of_stored(self, object stored):
        return decode_key(stored, self.serializer)

    cdef int will_change_stored(self, object stored) except -1:
        cdef Cell cell
        if self.clock == NULL:
            return 0
        try:
            key = decode_key(stored, self.serializer)
            canonical_key(key, stored, self.serializer, &cell.hashed)
        except CacheError:
            return self.will_change_all()
        return self.will_change(&cell)

    cdef object increment(self, object key, object delta, object default):
        """Add to the int of a key as one statement; returns the sum."""
        cdef Cell cell
        cdef Entry entry
        cdef long long total = 0
        delta = PyNumber_Index(delta)
        start = PyNumber_Index(default) + delta
        owner = encode_key(key, self.serializer, &cell)
        self.name_of(key, owner, &cell)
        self.refuse_too_large(&cell, 8)
        cdef long long now = self.now()
        self.take_turn()
        try:
            if self.max_size:
                self.make_room_for_number(&cell)
            if (-(1 << 63) <= delta < 1 << 63 and -(1 << 63) <= start < 1 << 63
                    and self.increment_native(&cell, delta, start, now, &total)):
                if self.depth == 0:
                    self.follow_commit()
                    self.settle()
                return total
            # An expired entry is in the way, an int beyond 64 bits, or no int at all.
            self.enter()
            try:
                entry = self.fetch_entry(key)
                if entry is None:
                    value = start
                    self.put(key, value, NEVER, None, False)
                elif isinstance(entry.stored, int):
                    value = entry.stored + delta
                    self.put(key, value, entry.expire, entry.tag, False)
                else:
                    raise TypeError(f"incr needs an int, and the stored value is of type {type(entry.stored).__name__}")
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            return value
        finally:
            self.turn.give()

    cdef int make_room_for_number(self, const Cell* key) except -1:
        """Before a number is added to, which may insert a row."""
        cdef long long need = cost_of_row(key, 0)
        self.make_room_before(need)
        if (self.policy is None and self.room - need < self.reserve
                and not self.contains(decode_key(cell_object(key), self.serializer))):
            self.raise_full()
        self.room -= need
        return 0

    cdef bint increment_native(
            self, const Cell* key, long long delta, long long start, long long now, long long* total) except -1:
        """Add to a live native int, or insert the start, as one statement. False if it is neither."""
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int step
        while True:
            statement = self.writing().incr
            statement.bind(1, key)
            statement.bind_integer(2, delta)
            statement.bind_integer(3, start)
            statement.bind_integer(8, now)
            self.will_change(key)
            step = statement.step()
            if step == STEP_ROW:
                total[0] = statement.column_integer(0)
                step = statement.step(self.group is not None)
                statement.reset()
                if step == STEP_DONE:
                    return True
            elif step == STEP_DONE:
                statement.reset()
                return False
            wait = self.pause(wait)

    def clear(self):
        """Delete every entry; returns how many live ones that were."""
        self.enter()
        try:
            self.expire()
            self.will_change_all()
            cleared = change_many(self, sql.CLEAR, ())
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return cleared

    def expire(self):
        """Delete what has expired; returns how many rows that were."""
        now = self.now()
        return remove_many(self, sql.KEYS_EXPIRED, (now, most_asked(self)), sql.EXPIRE, (now,), "expired")

    def evict_tag(self, tag):
        """Delete what carries the tag; returns how many live entries that were."""
        cdef Cell cell
        check_tag(tag, &cell)
        now = self.now()
        return remove_many(self, sql.KEYS_TAGGED, (tag, now, most_asked(self)), sql.EVICT_TAG, (tag, now), "tag")

    # -- the whole table -------------------------------------------------------------------------------------

    def count(self):
        """How many live entries there are."""
        return self.counter.of(self)

    def size(self):
        """Bytes of all live values."""
        return scalar(self, sql.SIZE, (self.now(),))

    def volume(self):
        """Bytes of the database file and of the value files, the WAL aside."""
        return scalar(self, sql.VOLUME, ())

    def keys(self, bint backward=False):
        """Iterate over the live keys in order of insertion."""
        cdef long long last = LLONG_MAX if backward else LLONG_MIN
        cdef int limit = 16
        cdef list batch
        while True:
            batch = scan(self, False, backward, &last, limit)
            for stored in batch:
                yield decode_key(stored, self.serializer)
            if len(batch) < limit:
                return
            limit = min(2 * limit, LARGEST_BATCH)

    def items(self, bint backward=False):
        """Iterate over the live keys and values in order of insertion."""
        cdef long long last = LLONG_MAX if backward else LLONG_MIN
        cdef int limit = 16
        cdef Py_ssize_t index
        cdef list batch
        cdef Entry entry
        while True:
            batch = scan(self, True, backward, &last, limit)
            for index in range(0, len(batch), 5):
                key = decode_key(batch[index], self.serializer)
                try:
                    value = self.content.of_scanned(
                        batch[index], batch[index + 1], batch[index + 2], batch[index + 3], batch[index + 4])
                except MissingFileError:
                    # Replaced or deleted since the scan.
                    entry = self.fetch_entry(key)
                    if entry is not None:
                        yield key, entry.stored
                else:
                    yield key, value
            if len(batch) < 5 * limit:
                return
            limit = min(2 * limit, LARGEST_BATCH)

    # -- for the check -----------------------------------------------------------------------------------------

    def decode_row(self, key, codec, file, size, stored):
        """The key and value of a row, as they would be read; raises what reading them would raise."""
        return decode_key(key, self.serializer), self.content.of_scanned(key, codec, file, size, stored)

    # -- maintenance -----------------------------------------------------------------------------------------

    def tend(self):
        """Do what there is to do beside the callers; returns in how many seconds (float) there will be more, or None.

        Called by maintenance alone. An error is raised when all the rest is done."""
        self.tended_by = <unsigned long>PyThread_get_thread_ident()
        try:
            return self.do_tend()
        finally:
            self.tended_by = 0

    cdef object do_tend(self):
        cdef double soonest = INFINITY
        cdef double due
        failure = None
        self.called = False
        if self.closed:
            return None
        for queue in list(self.queues):
            try:
                due = self.tend_queue(queue)
                if due >= 0.0:
                    soonest = min(soonest, due)
            except (CacheError, OSError) as error:
                failure = error
        try:
            if self.has_trash:
                self.empty_trash(TENDING_PATIENCE)
            if self.checkpoint_due:
                self.checkpoint_due = False
                self.checkpoint_beside()
            if self.shorten_wal():
                soonest = min(soonest, SHORTENING_PERIOD)
            self.tend_room()
            soonest = min(soonest, self.tend_files())
            soonest = min(soonest, self.expiry.tend(self))
        except ClosedError:
            return None
        except Timeout:
            # Somebody has the turn for long.
            soonest = min(soonest, TENDING_PATIENCE)
        except (CacheError, OSError) as error:
            # Of what was closed meanwhile, the directory may be gone.
            if self.closed:
                return None
            self.has_trash = True
            failure = failure or error
        self.tell()
        if failure is not None:
            raise failure
        return None if soonest == INFINITY else soonest

    cdef double tend_queue(self, Queue queue) except? -2.0:
        """Write a queue if it is time; returns in how many seconds it will be, or -1 if nothing waits."""
        cdef double due = queue.due_in(monotonic())
        if due == 0.0:
            try:
                self.flush_queue(queue)
            except Timeout as error:
                if queue.stuck_since == 0.0:
                    queue.stuck_since = monotonic()
                if monotonic() - queue.stuck_since >= self.timeout - TENDING_PATIENCE:
                    queue.failure = error
                    raise
                return SOON
            except Exception as error:
                queue.failure = error
                raise
            due = queue.due_in(monotonic())
        return due

    # -- what waits to be written ----------------------------------------------------------------------------

    def has_waiting(self):
        """Whether write-behind has put something off."""
        return self.behind is not None and not self.behind.is_empty()

    def flush(self):
        """Write what write-behind has put off."""
        if self.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        if self.behind is not None:
            self.flush_queue(self.behind)

    cdef int flush_queue(self, Queue queue) except -1:
        """Write all that has come in until now, and wait for it."""
        cdef int index
        cdef Generation generation
        self.turn.take(min(self.timeout, TENDING_PATIENCE) if self.is_maintenance() else self.timeout)
        try:
            # What could not be written before, and what has come in since.
            for index in range(2):
                generation = queue.next_to_write()
                if generation is not None:
                    self.write_generation(queue, generation)
            queue.failure = None
            queue.stuck_since = 0.0
            if queue is self.behind and queue.is_empty():
                unwritten.pop(id(self), None)
        except BaseException:
            # Who had been called for it may have been here already.
            if not self.closed and not self.is_maintenance():
                self.call_keeper(SOON)
            raise
        finally:
            self.turn.give()
        return 0

    cdef int write_generation(self, Queue queue, Generation generation) except -1:
        cdef Py_ssize_t end
        cdef long long block, stored
        cdef bint written
        queue.flushing = True
        try:
            while generation.written < generation.count:
                end = min(generation.written + QUEUED_AT_ONCE, generation.count)
                if self.max_size:
                    end = self.prepare_rows(generation, end)
                if end == generation.written:
                    # A file alone, for which room is made before.
                    stored = self.files_stored
                    written = False
                    try:
                        self.write_alone(&generation.rows[end], False)
                        written = True
                    finally:
                        if written or self.files_stored != stored:
                            queue.committed += 1
                            generation.written += 1
                    continue
                self.enter()
                block = self.block()
                try:
                    self.write_rows(generation, generation.written, end, False)
                    generation.ending = end
                except BaseException:
                    self.leave(False)
                    raise
                written = False
                try:
                    self.leave(True)
                    written = True
                finally:
                    # What is committed is not written again, whatever has come after it: somebody may have written something
                    # newer meanwhile.
                    if written or self.committed_last == block:
                        queue.committed += end - generation.written
                        generation.written = end
        finally:
            queue.flushing = False
        queue.writing = None
        return 0

    cdef Py_ssize_t prepare_rows(self, Generation generation, Py_ssize_t end) except -1:
        """Make room for the next rows, up to a value that goes into a file, or this end. Returns how far that is."""
        cdef const Row* row
        cdef long long need = 0
        cdef Py_ssize_t index
        for index in range(generation.written, end):
            row = &generation.rows[index]
            if row.kind == ROW_SET and self.is_large(&row.value):
                end = index
                break
            if row.kind == ROW_SET:
                need += cost_of_row(&row.key, row.value.size)
            if need > self.low:
                end = index + 1
                break
        if need:
            self.make_room_before(need)
        return end

    cdef int make_room_ahead(self, Rows rows) except -1:
        """Before a transaction that is to store these: make room for what goes into files, since what it evicts itself cannot
        be unlinked before its end."""
        cdef long long size = 0
        cdef Py_ssize_t index
        if self.max_size == 0 or (self.depth != 0 and self.turn.is_mine()):
            return 0
        for index in range(rows.count):
            if rows.rows[index].kind == ROW_SET and self.is_large(&rows.rows[index].value):
                size += rows.rows[index].value.size
        if size and self.policy is not None:
            self.reserve_file(None, min(size, self.largest))
        return 0

    cdef int flush_first(self) except -1:
        """Before what is atomic, and what looks at all: write what waits, or wait until it is written.

        Inside a transaction nothing waits, and the one that flushes is inside one."""
        if self.behind is None or self.behind.is_empty():
            return 0
        if self.turn.is_mine() and (self.depth != 0 or self.behind.flushing):
            return 0
        return self.flush_queue(self.behind)

    cdef int take_turn(self) except -1:
        """Take the turn for something atomic."""
        self.turn.take(self.timeout)
        if self.behind is not None:
            try:
                self.flush_first()
            except BaseException:
                self.turn.give()
                raise
        return 0

    cdef bint can_wait(self) noexcept:
        """Whether a set or delete may be put off. Not past a transaction, which could not see it."""
        return (self.behind is not None and not self.entering and not self.closing
                and (self.depth == 0 or self.behind.flushing) and not self.must_refuse_soon())

    cdef bint must_refuse_soon(self) noexcept:
        """Whether nothing is evicted and little room is left, so that a set should know at once whether it fits."""
        return (self.max_size != 0 and self.policy is None
                and self.room - self.behind.filling.size < self.high)

    cdef int came_in(self, unsigned long long hashed) except -1:
        """After something was put off: the tier does not know it, and somebody has to write it."""
        cdef Queue queue = self.behind
        self.memory.forget(hashed)
        if not queue.attended:
            queue.attended = True
            try:
                unwritten[id(self)] = self
                if not self.call_keeper(queue.delay):
                    self.flush_queue(queue)
            except BaseException:
                # Or nobody would hear of it.
                queue.attended = False
                raise
        elif not queue.called and queue.is_enough():
            queue.called = True
            self.call_keeper(0.0)
        return 0

    cdef bint has_expired_waiting(self, object name) except -1:
        """Whether the key waits to be set to what has expired meanwhile: a set over it is an insertion."""
        cdef Place place = self.behind.find(name)
        return place is not None and place.expire != NEVER and place.expire <= self.now()

    cdef bint let_in(self) except -1:
        """Before something is put off: raise what has gone wrong before, and wait if too much waits already.

        Returns whether something can be put off at once; else look anew, since others were let in."""
        cdef Queue queue = self.behind
        if self.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        self.raise_failure(queue)
        if not queue.is_full():
            return self.can_wait()
        # Maintenance has the turn while it writes.
        self.turn.take(self.timeout)
        try:
            queue.next_to_write()
        finally:
            self.turn.give()
        if queue.is_full() or not self.call_keeper(0.0):
            self.flush_queue(queue)
        return False

    cdef int raise_failure(self, Queue queue) except -1:
        if queue.failure is not None:
            failure, queue.failure = queue.failure, None
            raise failure
        return 0

    cdef int add_queue(self, Queue queue) except -1:
        """Have maintenance look after a queue."""
        if self.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        self.queues.append(queue)
        return 0

    cdef int remove_queue(self, Queue queue) except -1:
        self.queues.remove(queue)
        return 0

    cdef bint put_together(self, const Row* row, object key_owner, object value_owner, object tag_owner) except -1:
        """While another thread commits: set an entry in one commit with all that wait as well.

        Whoever has the turn next writes for all. Nobody reads it before, or is told that it is stored."""
        cdef Generation generation = self.group.filling
        cdef Py_ssize_t index = generation.count
        self.group.put(row, key_owner, value_owner, tag_owner)
        try:
            self.turn.take(self.timeout)
        except Timeout:
            if generation is self.group.filling:
                generation.rows[index].kind = ROW_NOTHING
                raise
            # It is being written just now.
            self.turn.take(_thread.TIMEOUT_MAX)
        except BaseException:
            if generation is self.group.filling:
                generation.rows[index].kind = ROW_NOTHING
            raise
        try:
            if generation is self.group.filling:
                self.group.next_to_write()
                try:
                    self.write_generation(self.group, generation)
                except BaseException as error:
                    generation.failure = error
                    self.group.writing = None
                    raise
            elif index < generation.written:
                # It was committed, whatever came after.
                pass
            elif isinstance(generation.failure, CacheError):
                raise type(generation.failure)(*generation.failure.args) from generation.failure
            elif generation.failure is not None:
                raise StorageError(
                    f"{self.directory!r}: what several threads stored together was not committed, because one of them "
                    "was interrupted") from generation.failure
        finally:
            self.turn.give()
        return True


cdef int codec_in_file(int codec, const Cell* value) noexcept:
    """How a value is stored in a file: there it has no type of SQLite's."""
    if codec != CODEC_NATIVE:
        return codec
    return CODEC_TEXT if value.kind == CELL_TEXT else CODEC_BYTES


cdef object check_serializer(object serializer):
    name = getattr(serializer, "name", None)
    if not (type(name) is str and callable(getattr(serializer, "dumps", None))
            and callable(getattr(serializer, "loads", None))):
        raise TypeError(
            "serializer must have a name (str) and the methods dumps and loads; a "
            f"{type(serializer).__name__} has not")
    return serializer


cdef double check_delay(object write_behind) except -1.0:
    if write_behind is None:
        return 0.0
    if isinstance(write_behind, bool) or not isinstance(write_behind, (int, float)):
        raise TypeError(f"write_behind must be a number of seconds or None, not {type(write_behind).__name__}")
    if not 0 <= write_behind < 1e9:
        raise ValueError(f"write_behind must be between 0 and 1e9 seconds, not {write_behind!r}")
    return write_behind

