# cython: nonecheck=True
"""The entries of one directory: get, set, add, pop, delete, touch, incr, scan, and what waits to be written.

What is always true, and who keeps it so (database.pyx and bounded.pyx have the rest):

- **What is known is not asked for.** The memory tier (memory.pyx) answers while the clock stands (clock.pxd), but never
  inside a transaction. What a read fills in was read from a snapshot that was chosen after the tier's era was taken.
- **A single write is one statement in autocommit.** What one statement cannot do (an expired entry in the way, a value
  in a file, a pop that must be decoded first) runs between `enter` and `leave`, as a savepoint if a transaction is open.
- **Many writes are one statement, too** (write_rows). What a transaction sets is put off (`deferred`) until it reads, or
  ends; what it has put off is part of it, and if it cannot be written the transaction fails.
- **What waits to be written** (queue.pyx) is read before SQLite is asked, and written before anything atomic.
"""

import _thread
from time import monotonic

cimport cython
from cpython.buffer cimport PyBUF_READ
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.number cimport PyNumber_Index
from cpython.pythread cimport PyThread_get_thread_ident
from libc.string cimport memset

from fastcache.engine.clock cimport Tick, is_backfilled, read, stands
from fastcache.engine.connection cimport (
    CELL_BLOB, CELL_NULL, CELL_TEXT, NEVER, ROW_DELETE, ROW_NOTHING, ROW_SET, STEP_DONE, STEP_ROW, BusyWait,
    cell_object, cell_of_plain)
from fastcache.engine.bounded cimport Bounded, cost_of_row
from fastcache.engine.database cimport SNAPSHOT_PERIOD, TENDING_PATIENCE, warn
from fastcache.engine.keys cimport canonical_key, decode_key, encode_key, hash_plain
from fastcache.engine.queue cimport Generation, Place, Queue
from fastcache.engine.sieve cimport ABSENT, OBJECT, PRESENT, UNDECODED, Kind, Node
from fastcache.engine.values cimport (
    CODEC_BUFFERS, CODEC_BYTES, CODEC_NATIVE, CODEC_ON_DISK, CODEC_SERIALIZED, CODEC_TEXT, COMPRESSION_SHIFT, Apart, Packed,
    ValueFormat)

from fastcache.engine import sql
from fastcache.engine.errors import CacheError, ClosedError, StorageError, Timeout
from fastcache.engine.files import MissingFileError

cdef extern from "<math.h>":
    double INFINITY

cdef extern from "<limits.h>":
    long long LLONG_MAX, LLONG_MIN

# A value of more bytes than this goes into a file of its own. Measured (bench/inline_limit.py).
cdef long long INLINE_LIMIT = 64 * 1024
# A value of more bytes than this is written to the database without the GIL.
cdef long long LARGE = 16 * 1024
# How long maintenance leaves between two looks for what has expired, in seconds.
cdef double EXPIRY_PERIOD = 1.0
# Rows that it deletes in one transaction, and rows of a queue that are written in one: not so many that the change log
# does not list them, or others wait for long.
cdef int EXPIRED_AT_ONCE = 500
cdef Py_ssize_t QUEUED_AT_ONCE = 4096
cdef int LARGEST_BATCH = 256

# Stores that have something to write: not to be collected.
cdef dict unwritten = {}

# Of no more rows than this, a batch is written with the GIL.
cdef Py_ssize_t FEW = 32
# Of a statement that changes more entries than this, the change log says no more than that.
cdef int MOST_LISTED = 1000


@cython.no_gc
@cython.freelist(8)
cdef class Entry:
    """What a row says of an entry. Not tracked by the garbage collector, so that making one runs nothing."""


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
            its own; returns whether it will be. Without one, no snapshot is kept, and each does its own tidying.
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
        self.format = ValueFormat(serializer, compression)
        self.compression = compression
        super().__init__(
            directory, timeout=timeout, timer=timer, memory=memory, keeper=keeper, durability=durability,
            on_evict=on_evict, keeps_limit=keeps_limit,
            settings={
                "format": sql.FORMAT, "serializer": serializer.name, "shards": shards, "max_size": 0, "eviction": "lru",
                **(inherited or {})})
        self.inline_limit = INLINE_LIMIT
        self.next_expiry = NEVER
        self.deferred = Rows()
        self.queues = []
        self.write_behind = check_delay(write_behind)
        if self.write_behind:
            # Half of it is for the writing.
            self.behind = Queue(self.write_behind / 2)
            self.queues.append(self.behind)
        if self.syncs:
            self.group = Queue(0.0)
        self.open(settings or {})
        if keeper is not None and timer is None and self.writer is not None:
            self.find_next_expiry()
            if self.next_expiry != NEVER:
                self.call_keeper(max(0.0, (self.next_expiry - self.now()) / 1000.0))

    cdef void forget_clock(self) noexcept:
        Bounded.forget_clock(self)
        memset(&self.counted_at, 0, sizeof(self.counted_at))

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
            if self.recency is not None:
                self.use(node)
            self.hits += 1
            self.memory_hits += 1
            return <object>node.value
        return self.recall(key, hashed, node, missing)

    cdef Node* in_memory(self, object key, unsigned long long* hashed) except? NULL:
        """What the tier knows of a plain key, if it can be used as it is; NULL if that has to be found out."""
        cdef Node* node = NULL
        if self.pins_wal and is_backfilled(self.clock):
            self.let_go_of_old()
        if (self.memory.is_current() and (self.depth == 0 or not self.turn.is_mine())
                and (hashed[0] != 0 or hash_plain(key, 0, hashed))):
            node = self.memory.sieve.find(key, hashed[0])
            if node != NULL:
                node.visited = 1
        return node

    cdef object recall(self, object name, unsigned long long hashed, Node* node, object missing):
        """The live value of what the tier knows, or ``missing``."""
        cdef int kind = node.kind
        cdef int codec = node.codec
        cdef long long expire = node.expire
        # The node may be gone as soon as anything else runs.
        value = <object>node.value if kind != ABSENT else None
        if kind == ABSENT or (expire != NEVER and expire <= self.now()):
            self.misses += 1
            return missing
        if self.recency is not None:
            self.use(node)
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
        cdef Statement statement
        cdef Entry entry
        cdef Node* node
        cdef unsigned long long era = 0
        cdef bint sighted
        cdef Place place
        cdef unsigned int row = 0
        name = None
        self.notice_settings()
        owner = encode_key(key, self.serializer, &cell)
        if self.behind is not None:
            name = canonical_key(key, owner, self.serializer, &cell.hashed)
            place = self.behind.find(name)
            if place is not None:
                return self.fetch_waiting(place, missing)
        sighted = self.sight() != 0
        if sighted:
            name = canonical_key(key, owner, self.serializer, &cell.hashed)
            node = self.memory.sieve.find(name, cell.hashed)
            if node != NULL and node.kind != PRESENT:
                node.visited = 1
                return self.recall(name, cell.hashed, node, missing)
        statement = self.look_up(True, &cell, &era)
        if not sighted:
            era = 0
        if statement is None:
            self.remember(era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            self.misses += 1
            return missing
        if self.recency is not None:
            row = <unsigned int>statement.column_integer(6)
        # The plainest row first: native, never expires, no file.
        if statement.column_integer(0) == CODEC_NATIVE and statement.column_is_null(1) and statement.column_is_integer(0):
            try:
                value = statement.column_object(2)
            finally:
                statement.reset()
            self.remember(era, name, cell.hashed, OBJECT, value, CODEC_NATIVE, NEVER, row)
            if self.recency is not None:
                self.use_stored(row)
            self.hits += 1
            return value
        try:
            entry = self.read_entry(statement)
        finally:
            statement.reset()
        if not self.load(entry):
            if entry.file is None:
                self.misses += 1
                return missing
            entry = self.fetch_entry(key)
            if entry is not None:
                return entry.stored
            return missing
        if self.recency is not None:
            self.use_stored(entry.id)
        self.admit(entry, &cell)
        stored = entry.stored
        self.decode(entry, False)
        if entry.codec < CODEC_SERIALIZED:
            self.remember(era, name, cell.hashed, OBJECT, entry.stored, entry.codec, entry.expire, row)
        elif type(stored) is bytes and self.remember(
                era, name, cell.hashed, UNDECODED, stored, entry.codec, entry.expire, row):
            self.memory.sieve.become(name, cell.hashed, stored, entry.stored)
        self.hits += 1
        return entry.stored

    cdef object fetch_waiting(self, Place place, object missing):
        """The live value of what waits to be written, or ``missing``."""
        cdef Entry entry = entry_of(place)
        if entry is None or (entry.expire != NEVER and entry.expire <= self.now()):
            self.misses += 1
            return missing
        self.decode(entry, False)
        self.hits += 1
        self.memory_hits += 1
        return entry.stored

    cdef object name_of(self, object key, object owner, Cell* cell):
        """What stands for a key in the tier; fills the cell's hash, which a write has to announce.

        Also while there is no clock: the write itself may open the connection that has it."""
        return canonical_key(key, owner, self.serializer, &cell.hashed)

    cdef bint remember(
            self, unsigned long long era, object name, unsigned long long hashed, Kind kind, object value, int codec,
            long long expire, unsigned int row) except -1:
        """Leave to the tier what SQLite has said, unless something newer waits to be written."""
        if self.behind is not None and self.behind.find(name) is not None:
            return False
        return self.memory.keep(era, name, hashed, kind, value, codec, expire, row)

    cdef unsigned long long sight(self) noexcept:
        """The tier's era, if this thread may use it now; else 0."""
        if self.depth != 0 and self.turn.is_mine():
            return 0
        if not self.memory.is_current():
            self.let_go_of_old()
        return self.memory.catch_up()

    cdef Statement look_up(self, bint whole, const Cell* key, unsigned long long* era):
        """The row of a key, as GET has it, or EXISTS if the ``whole`` is not needed: a statement on it, to be reset; None
        if there is none. ``era`` is that of the tier before it."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int step
        while True:
            # In this order: the snapshot that is read must not be older than the era.
            era[0] = self.sight()
            session = self.lingering()
            if session.lingers:
                try:
                    step = session.get_next.step_for(key)
                except BaseException:
                    session.let_go()
                    raise
                if step == STEP_ROW:
                    return None if session.get_next.column_is_null(6) else session.get_next
                session.let_go()
            statement = session.get if whole else session.exists
            if statement.ready():
                statement.bind(1, key)
                step = statement.step()
                if step == STEP_ROW:
                    return statement
                if step == STEP_DONE:
                    statement.reset()
                    return None
            wait = self.pause(wait)

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
        cdef Statement statement
        cdef Entry entry
        cdef unsigned long long era
        cdef str lost = None
        cdef Place place
        owner = encode_key(key, self.serializer, &cell)
        if self.behind is not None:
            place = self.behind.find(canonical_key(key, owner, self.serializer, &cell.hashed))
            if place is not None:
                entry = entry_of(place)
                if entry is None or (entry.expire != NEVER and entry.expire <= self.now()):
                    return None
                self.give(entry, want)
                return entry
        while True:
            statement = self.look_up(True, &cell, &era)
            if statement is None:
                break
            try:
                entry = self.read_entry(statement)
            finally:
                statement.reset()
            if self.load(entry, want):
                self.admit(entry, &cell)
                self.give(entry, want)
                return entry
            if entry.file is None:
                break
            # The file is gone: replaced between our two looks, unless the row still names the same one.
            if entry.file == lost:
                self.name_of(key, owner, &cell)
                self.repair_dangling(entry, &cell)
                break
            lost = entry.file
        return None

    cdef Entry read_entry(self, Statement statement):
        """Copy the current row of GET or POP_NATIVE. Runs no Python code."""
        cdef Entry entry = Entry.__new__(Entry)
        # Of another type or size than we ever write: no codec at all, and no expiry.
        cdef long long codec = statement.column_integer(0)
        entry.codec = <int>codec if 0 <= codec <= CODEC_ON_DISK and statement.column_is_integer(0) else -1
        entry.expire = statement.column_integer(1) if statement.column_is_integer(1) else NEVER
        entry.stored = statement.column_object(2)
        file = statement.column_object(3)
        entry.file = file if type(file) is str else None
        entry.size = statement.column_integer(4)
        entry.tag = statement.column_object(5)
        entry.id = statement.column_integer(6)
        return entry

    cdef bint load(self, Entry entry, Want want=VALUE) except -1:
        """Read ``stored`` from the file, if it is in one, or map it. False if the entry has expired (then ``file`` becomes
        None) or its file is missing."""
        if entry.expire != NEVER and entry.expire <= self.now():
            entry.file = None
            return False
        if entry.file is not None:
            try:
                entry.stored = self.read_file(entry.codec, entry.file, entry.size, want)
            except MissingFileError:
                return False
        return True

    cdef object read_file(self, int codec, object file, object size, Want want):
        """The content of a value file, of what is in a row: a view of it if that is how it will be used, else bytes."""
        if not codec >> COMPRESSION_SHIFT and (codec & CODEC_BUFFERS or want == BYTES):
            return self.files.map(file, size)
        return self.files.read(file, size)

    cdef int admit(self, Entry entry, const Cell* key) except -1:
        """Have ``stored`` verified and decompressed, if need be."""
        cdef int codec = entry.codec
        entry.stored = self.format.admit(entry.stored, key, &codec)
        entry.codec = codec
        return 0

    cdef int decode(self, Entry entry, bint copy) except -1:
        """Turn ``stored``, once it is admitted, into the Python value."""
        entry.stored = self.format.decode(entry.codec, entry.stored, copy)
        return 0

    cdef int give(self, Entry entry, Want want) except -1:
        """Turn ``stored``, once it is admitted, into what is wanted of it."""
        if want != BYTES:
            return self.decode(entry, want == COPY)
        if type(entry.stored) is Apart:
            entry.stored = (<Apart>entry.stored).whole
        if type(entry.stored) is str:
            entry.stored = (<str>entry.stored).encode("utf-8", "surrogatepass")
        if entry.stored is None or type(entry.stored) in (int, float):
            raise TypeError(f"buffer=True is for what is stored as bytes, and this is of the type {type(entry.stored).__name__}")
        entry.stored = memoryview(entry.stored).toreadonly()
        return 0

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
        cdef Statement statement
        cdef Node* node
        cdef unsigned long long era = 0
        cdef long long expire, size
        cdef bint sighted
        cdef Place place
        name = None
        owner = encode_key(key, self.serializer, &cell)
        if self.behind is not None:
            name = canonical_key(key, owner, self.serializer, &cell.hashed)
            place = self.behind.find(name)
            if place is not None:
                return not place.deleted and (place.expire == NEVER or place.expire > self.now())
        sighted = self.sight() != 0
        if sighted:
            name = canonical_key(key, owner, self.serializer, &cell.hashed)
            node = self.memory.sieve.find(name, cell.hashed)
            if node != NULL:
                node.visited = 1
                return self.recall_presence(node)
        statement = self.look_up(False, &cell, &era)
        if not sighted:
            era = 0
        if statement is None:
            self.remember(era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            return False
        try:
            expire = statement.column_integer(1) if statement.column_is_integer(1) else NEVER
            file = statement.column_object(3)
            size = statement.column_integer(4)
        finally:
            statement.reset()
        if file is None:
            self.remember(era, name, cell.hashed, PRESENT, None, 0, expire, 0)
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
        cdef Cell key_cell, value_cell, tag_cell
        cdef int codec = 0
        cdef bint expired
        key_owner = encode_key(key, self.serializer, &key_cell)
        name = self.name_of(key, key_owner, &key_cell)
        value_owner = self.format.encode(value, &key_cell, &value_cell, &codec)
        self.refuse_too_large(&key_cell, value_cell.size)
        tag_owner = check_tag(tag, &tag_cell)
        cdef bint large = self.is_large(&value_cell)
        # What stays in the tier: what will be read, or what it is decoded from.
        known = value
        cdef int known_codec = CODEC_NATIVE
        parts = None
        if type(value_owner) is Packed:
            # What waits must not change any more.
            if not large or self.behind is not None or self.group is not None:
                (<Packed>value_owner).join(&value_cell)
            parts = (<Packed>value_owner).parts
            known = (<Packed>value_owner).known
            known_codec = (<Packed>value_owner).known_codec
        if not only_if_absent:
            while self.can_wait():
                expired = self.has_expired_waiting(name)
                if self.let_in():
                    self.behind.put(
                        name, &key_cell, key_owner, &value_cell, value_owner, known, known_codec, &tag_cell, tag_owner,
                        codec, expire, expired)
                    self.came_in(key_cell.hashed)
                    return True
            if self.group is not None and self.turn.owner != 0 and not self.turn.is_mine():
                return self.put_together(
                    &key_cell, key_owner, &value_cell, value_owner, &tag_cell, tag_owner, codec, expire)
            if not large and self.depth != 0 and self.turn.is_mine():
                return self.defer(key_owner, &key_cell, value_owner, &value_cell, codec, expire, tag_owner, &tag_cell)
            if large:
                return self.put_file(
                    False, &key_cell, codec, expire, &tag_cell, &value_cell, parts, name, known, known_codec)
            return self.put_row(False, &key_cell, codec, expire, &tag_cell, &value_cell, name, known, known_codec)
        # A row in the way may be one whose file is lost, which reads as absent: looking at it removes it.
        while True:
            if large:
                if self.contains(key):
                    return False
                if self.put_file(
                        True, &key_cell, codec, expire, &tag_cell, &value_cell, parts, name, known, known_codec):
                    return True
            elif self.put_row(True, &key_cell, codec, expire, &tag_cell, &value_cell, name, known, known_codec):
                return True
            elif self.contains(key):
                return False

    cdef int add_row(
            self, Rows rows, object key, object value, long long expire, object tag_owner, const Cell* tag) except -1:
        """Append an entry to be set to what waits to be written."""
        cdef Cell key_cell, value_cell
        cdef int codec = 0
        key_owner = encode_key(key, self.serializer, &key_cell)
        self.name_of(key, key_owner, &key_cell)
        value_owner = self.encode_whole(value, &key_cell, &value_cell, &codec)
        self.refuse_too_large(&key_cell, value_cell.size)
        return rows.add(&key_cell, key_owner, &value_cell, value_owner, tag, tag_owner, codec, expire)

    cdef object encode_whole(self, object value, const Cell* key, Cell* cell, int* codec):
        """Encode a value that has to wait, in one piece: what was given may change meanwhile."""
        owner = self.format.encode(value, key, cell, codec)
        if type(owner) is Packed:
            (<Packed>owner).join(cell)
        return owner

    cdef int add_deletion(self, Rows rows, object key) except -1:
        """Append a key to be deleted to what waits to be written."""
        cdef Cell cell
        owner = encode_key(key, self.serializer, &cell)
        self.name_of(key, owner, &cell)
        return rows.add_deletion(&cell, owner)

    cdef bint put_row(
            self, bint only_if_absent, const Cell* key, int codec, long long expire, const Cell* tag,
            const Cell* value, object name, object known, int known_codec) except -1:
        """Store a value in its row."""
        cdef bint stored
        self.take_turn()
        try:
            stored = self.write_row(only_if_absent, key, codec, value.size, expire, tag, None, value)
            if self.depth == 0:
                if stored:
                    self.keep_own(key, name, known, known_codec, expire)
                self.settle()
        finally:
            self.turn.give()
        return stored

    cdef bint defer(
            self, object key_owner, const Cell* key, object value_owner, const Cell* value, int codec, long long expire,
            object tag_owner, const Cell* tag) except -1:
        """Inside a transaction: leave it until the next read, or the end, since many at once are cheaper."""
        self.deferred.add(key, key_owner, value, value_owner, tag, tag_owner, codec, expire)
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
            # Inside a transaction, what it has evicted is unlinked at its end.
            self.make_room(need, False)
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
                            self.expect_expiry(rows[index].expire)
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
        statement.run()
        found = statement.column_integer(0) != 0
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
                if self.put_file(
                        only_if_absent, &row.key, row.codec, row.expire, &row.tag, &row.value, None, None, None, 0):
                    return True
            elif self.write_row(
                    only_if_absent, &row.key, row.codec, row.value.size, row.expire, &row.tag, None, &row.value):
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

    cdef int keep_own(self, const Cell* key, object name, object known, int codec, long long expire) except -1:
        """Remember what our last commit has stored, if none has followed it. The turn is still held."""
        if known is None and codec != CODEC_NATIVE:
            return 0
        self.remember(
            self.own_era, name, key.hashed, UNDECODED if codec >= CODEC_SERIALIZED else OBJECT, known, codec, expire,
            self.row_written())
        return 0

    cdef bint put_file(
            self, bint only_if_absent, const Cell* key, int codec, long long expire, const Cell* tag,
            const Cell* value, list parts, object name, object known, int known_codec) except -1:
        """Store a value in a file: written before the lock is taken, and given its name under it."""
        cdef bint stored = False
        # Inside a transaction, nobody else can take the room that is made there.
        cdef bint reserved = self.max_size != 0 and (self.depth == 0 or not self.turn.is_mine())
        cdef Cell nothing
        nothing.kind = CELL_NULL
        nothing.size = 0
        if codec == CODEC_NATIVE:
            codec = CODEC_TEXT if value.kind == CELL_TEXT else CODEC_BYTES
        if parts is None:
            parts = [PyMemoryView_FromMemory(<char*>value.data, value.size, PyBUF_READ)]
        pending = self.files.begin()
        try:
            if reserved:
                self.reserve_file(pending.name, value.size)
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
                elif self.max_size and not self.make_room_for_file(value.size, False):
                    self.raise_full()
                self.created.append(pending)
                pending.commit()
                stored = self.write_row(
                    only_if_absent, key, codec, value.size, expire, tag, pending.name, &nothing)
            except BaseException:
                self.leave(False)
                raise
            self.leave(stored)
            if stored and self.depth == 0 and name is not None:
                self.keep_own(key, name, known, known_codec, expire)
        except BaseException:
            if reserved:
                self.abandon_file(pending, True)
            raise
        finally:
            self.turn.give()
        if reserved and not stored:
            self.abandon_file(pending, True)
        return stored

    cdef int abandon_file(self, object pending, bint reserved) except -1:
        """Remove a file that will not be named by a row, and give back the room that was made for it.

        Should that fail, somebody else does it, since nobody holds the file any more."""
        pending.discard()
        if reserved:
            try:
                self.release_dead()
            except (CacheError, OSError) as error:
                warn("room that was reserved in %r is given back later: %s", self.directory, error)
        return 0

    cdef bint write_row(
            self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
            str file, const Cell* value) except -1:
        """Write a row, and where there is a limit make room for it. Returns whether it was written."""
        cdef long long need, before
        cdef bint written = False
        cdef bint strictly = True
        cdef bint ready
        if self.max_size == 0:
            return self.upsert(only_if_absent, key, codec, size, expire, tag, file, value)
        need = cost_of_row(key, size if file is None else 0)
        if self.fits(need):
            written = self.upsert(only_if_absent, key, codec, size, expire, tag, file, value)
            self.room -= need
            return written
        while True:
            self.enter()
            try:
                ready = self.make_room(need, strictly)
                if ready:
                    before = self.room
                    written = self.upsert(only_if_absent, key, codec, size, expire, tag, file, value)
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

    cdef bint upsert(
            self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
            str file, const Cell* value) except -1:
        """Run the upsert, or the insert. Returns whether the row was written."""
        cdef long long now = self.now()
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        cdef bint written
        while True:
            session = self.writing()
            statement = session.add if only_if_absent else session.set
            self.bind_row(statement, key, codec, size, expire, tag, file, value)
            if not only_if_absent:
                statement.bind_integer(8, now)
            self.will_change(key)
            changed = self.change(session, statement, file is None and size > LARGE)
            if changed >= 0:
                break
            wait = self.pause(wait)
        if changed:
            if file is not None:
                self.count_file(size)
            if self.depth == 0:
                self.follow_commit()
            written = True
        elif file is not None:
            # put_file has begun a block already.
            written = self.replace_row(only_if_absent, key, codec, size, expire, tag, file, value, now)
        else:
            self.enter()
            try:
                self.will_change(key)
                written = self.replace_row(only_if_absent, key, codec, size, expire, tag, file, value, now)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
        if expire != NEVER:
            self.expect_expiry(expire)
        return written

    cdef bint replace_row(
            self, bint only_if_absent, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
            str file, const Cell* value, long long now) except -1:
        """Put a row in the place of the one that SET or ADD has left alone; a transaction is open.

        ``now`` is the same as theirs: a clock that jumps in between must not make a set do nothing."""
        cdef Session session = self.writing()
        cdef Statement statement = session.statement(sql.ROW_OF_KEY)
        cdef long long row = 0
        cdef bint there = False
        cdef bint live = False
        cdef bint has_file = False
        statement.bind(1, key)
        if statement.run() == STEP_ROW:
            there = True
            row = statement.column_integer(0)
            live = not statement.column_is_integer(1) or statement.column_integer(1) > now
            has_file = not statement.column_is_null(2)
            statement.reset()
        if live and only_if_absent:
            return False
        if live:
            if has_file:
                self.change_row(session, sql.DROP_FILE, row)
                self.has_trash = True
            statement = session.statement(sql.REPLACE)
            self.bind_row(statement, key, codec, size, expire, tag, file, value)
            statement.bind_integer(8, row)
        else:
            if there:
                self.change_row(session, sql.DELETE_ROW, row)
            statement = session.statement(sql.INSERT)
            self.bind_row(statement, key, codec, size, expire, tag, file, value)
        self.change_locked(session, statement, False)
        # What was there is in the trash, and counts until it is unlinked.
        if file is not None:
            self.count_file(size)
        return True

    cdef int bind_row(
            self, Statement statement, const Cell* key, int codec, long long size, long long expire, const Cell* tag,
            str file, const Cell* value) except -1:
        """Bind the parameters that SET, ADD and INSERT share. ``file`` must live until the reset."""
        cdef Cell file_cell
        cell_of_plain(file, &file_cell)
        statement.bind(1, key)
        statement.bind_integer(2, codec)
        statement.bind_integer(3, size)
        if expire == NEVER:
            statement.bind_null(4)
        else:
            statement.bind_integer(4, expire)
        statement.bind(5, tag)
        statement.bind(6, &file_cell)
        statement.bind(7, value)
        return 0

    cdef int run_keyed(self, str text, const Cell* key, long long expire, long long now) except -1:
        """Run one of the statements whose parameters are a key, an expiry and now; returns how many rows it changed."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        while True:
            session = self.writing()
            statement = session.statement(text)
            statement.bind(1, key)
            if text is sql.TOUCH:
                if expire != NEVER:
                    self.expect_expiry(expire)
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
                    self.remember(self.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
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
                    self.remember(self.own_era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
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
                try:
                    entry = self.read_entry(statement)
                    # The row is out for good once the statement is done, which includes the commit.
                    step = statement.step(self.group is not None)
                finally:
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
                row = self.scan(True, last, &end, 1)
                if not row:
                    break
                # By its rowid: a key that a foreign program wrote may not encode to what is stored.
                try:
                    found = decode_key(row[0], self.serializer), self.value_of(row[0], row[1], row[2], row[3], row[4])
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

    cdef object value_of(self, object key, object codec, object file, object size, object stored):
        """The value of a scanned row, its key as it is stored; raises MissingFileError."""
        cdef Cell cell
        cdef int number = codec if type(codec) is int and 0 <= codec < 1 << 31 else -1
        if file is not None:
            stored = self.read_file(number, file, size, VALUE)
        cell_of_plain(key, &cell)
        stored = self.format.admit(stored, &cell, &number)
        return self.format.decode(number, stored, False)

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

    cdef int bulk(self, str text, tuple parameters) except -1:
        """Run one statement over many entries, inside a transaction, without the GIL; returns how many it changed."""
        cdef Session session = self.writing()
        cdef Statement statement = session.statement(text)
        statement.bind_all(parameters)
        return self.change_locked(session, statement, True)

    cdef int bulk_of(self, str keys, tuple which, str text, tuple parameters, str reason) except -1:
        """The same as a transaction of its own, which announces each key if there are not too many, and tells of it."""
        cdef int changed = 0
        self.enter()
        try:
            rows = self.writing().connection.query(keys, which)
            if len(rows) > MOST_LISTED:
                self.will_change_all()
            else:
                for (stored,) in rows:
                    self.will_change_stored(stored)
            if rows:
                changed = self.bulk(text, parameters)
            self.leave_together(changed, reason, rows)
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return changed

    def clear(self):
        """Delete every entry; returns how many live ones that were."""
        self.enter()
        try:
            self.expire()
            self.will_change_all()
            cleared = self.bulk(sql.CLEAR, ())
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return cleared

    def expire(self):
        """Delete what has expired; returns how many rows that were."""
        now = self.now()
        return self.bulk_of(sql.KEYS_EXPIRED, (now, self.most_asked()), sql.EXPIRE, (now,), "expired")

    def evict_tag(self, tag):
        """Delete what carries the tag; returns how many live entries that were."""
        cdef Cell cell
        check_tag(tag, &cell)
        now = self.now()
        return self.bulk_of(sql.KEYS_TAGGED, (tag, now, self.most_asked()), sql.EVICT_TAG, (tag, now), "tag")

    cdef long long most_asked(self) noexcept:
        """Of how many keys it matters which they are: of all that are to be told."""
        return MOST_LISTED + 1 if self.on_evict is None else LLONG_MAX

    # -- the whole table -------------------------------------------------------------------------------------

    cdef list scan(self, bint items, bint backward, long long* last, int limit):
        """The next rows in order of insertion, from beyond rowid ``last``, which is moved on: one flat list of stored
        keys, and for ``items`` of key, codec, file, size and stored value."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int columns = 6 if items else 2
        cdef int column, step
        cdef long long seen
        cdef list found
        cdef long long now = self.now()
        self.flush_first()
        while True:
            found = []
            seen = last[0]
            session = self.reading()
            if items:
                statement = session.scan_items_back if backward else session.scan_items
            else:
                statement = session.scan_keys_back if backward else session.scan_keys
            if statement.ready():
                statement.bind_integer(1, seen)
                statement.bind_integer(2, limit)
                statement.bind_integer(8, now)
                step = statement.step()
                try:
                    while step == STEP_ROW:
                        seen = statement.column_integer(0)
                        for column in range(1, columns):
                            found.append(statement.column_object(column))
                        step = statement.step()
                finally:
                    statement.reset()
                if step == STEP_DONE:
                    last[0] = seen
                    return found
            wait = self.pause(wait)

    cdef object scalar(self, str text, tuple parameters):
        """The single value of a statement that may walk the whole table: without the GIL where the turn is free."""
        cdef Statement statement
        cdef BusyWait wait = None
        self.flush_first()
        if not self.turn.take_if_free():
            return self.reading().connection.query(text, parameters)[0][0]
        try:
            while True:
                statement = self.writing().statement(text)
                statement.bind_all(parameters)
                if statement.step(True) == STEP_ROW:
                    try:
                        return statement.column_object(0)
                    finally:
                        statement.reset()
                wait = self.pause(wait)
        finally:
            self.turn.give()

    def count(self):
        """How many live entries there are. Not counted again while nobody has committed and nothing has expired."""
        cdef Tick before
        cdef long long now = self.now()
        cdef bint lasting
        self.flush_first()
        if self.clock == NULL or (self.depth != 0 and self.turn.is_mine()):
            return self.scalar(sql.COUNT, (now,))
        if stands(self.clock, &self.counted_at) and self.counted_from <= now < self.counted_until:
            return self.counted
        lasting = read(self.clock, &before)
        counted = self.scalar(sql.COUNT, (now,))
        until = self.scalar(sql.NEXT_EXPIRY, (now,))
        if lasting and self.clock != NULL and stands(self.clock, &before):
            self.counted = counted
            self.counted_from = now
            self.counted_until = until if type(until) is int else NEVER
            self.counted_at = before
        return counted

    def size(self):
        """Bytes of all live values."""
        return self.scalar(sql.SIZE, (self.now(),))

    def volume(self):
        """Bytes of the database file and of the value files, the WAL aside."""
        return self.scalar(sql.VOLUME, ())

    def keys(self, bint backward=False):
        """Iterate over the live keys in order of insertion."""
        cdef long long last = LLONG_MAX if backward else LLONG_MIN
        cdef int limit = 16
        cdef list batch
        while True:
            batch = self.scan(False, backward, &last, limit)
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
            batch = self.scan(True, backward, &last, limit)
            for index in range(0, len(batch), 5):
                key = decode_key(batch[index], self.serializer)
                try:
                    value = self.value_of(
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
        return decode_key(key, self.serializer), self.value_of(key, codec, file, size, stored)

    @property
    def decodes(self):
        """Whether what is stored can be looked at beyond its bytes: what a serializer of the user's makes is the user's."""
        return self.format.trusts

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
        if self.let_go():
            soonest = SNAPSHOT_PERIOD
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
            self.tend_room()
            soonest = min(soonest, self.tend_expiry())
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
                return SNAPSHOT_PERIOD
            except Exception as error:
                queue.failure = error
                raise
            due = queue.due_in(monotonic())
        return due

    cdef double tend_expiry(self) except? -1.0:
        """Delete what has expired, if it is time; returns in how many seconds there will be more.

        A cache with a timer of its own does not tell when that is."""
        cdef double wait
        cdef int changed = EXPIRED_AT_ONCE
        if self.timer is not None:
            return INFINITY
        if self.next_expiry == NEVER:
            return INFINITY
        wait = max((self.next_expiry - self.now()) / 1000.0, self.expired_at + EXPIRY_PERIOD - monotonic())
        if wait > 0.0:
            return wait
        while changed == EXPIRED_AT_ONCE:
            self.turn.take(TENDING_PATIENCE)
            try:
                which = (self.now(), EXPIRED_AT_ONCE)
                changed = self.bulk_of(sql.KEYS_EXPIRED_FIRST, which, sql.EXPIRE_FIRST, which, "expired")
            finally:
                self.turn.give()
        self.expired_at = monotonic()
        self.find_next_expiry()
        if self.next_expiry == NEVER:
            return INFINITY
        return max(EXPIRY_PERIOD, (self.next_expiry - self.now()) / 1000.0)

    cdef int find_next_expiry(self) except -1:
        """Look when the first entry expires. Under the turn, as is whoever stores one (expect_expiry)."""
        self.turn.take(TENDING_PATIENCE)
        try:
            first = self.writing().connection.query(sql.FIRST_EXPIRY)[0][0]
            self.next_expiry = first if type(first) is int else NEVER
        finally:
            self.turn.give()
        return 0

    cdef int expect_expiry(self, long long expire) except -1:
        """An entry was stored that expires at this time."""
        if expire < self.next_expiry and self.timer is None:
            self.next_expiry = expire
            self.call_keeper(max(0.0, (expire - self.now()) / 1000.0))
        return 0

    # -- what waits to be written ----------------------------------------------------------------------------

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
        finally:
            self.turn.give()
        return 0

    cdef int write_generation(self, Queue queue, Generation generation) except -1:
        cdef Py_ssize_t end
        queue.flushing = True
        try:
            while generation.written < generation.count:
                end = min(generation.written + QUEUED_AT_ONCE, generation.count)
                if self.max_size:
                    end = self.prepare_rows(generation, end)
                if end == generation.written:
                    # A file alone, since a transaction that evicts others cannot unlink them.
                    self.write_alone(&generation.rows[end], False)
                    queue.committed += 1
                    generation.written += 1
                    continue
                self.enter()
                try:
                    self.write_rows(generation, generation.written, end, False)
                except BaseException:
                    self.leave(False)
                    raise
                self.leave(True)
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
        if queue.filling.count == 1:
            unwritten[id(self)] = self
            if not self.call_keeper(queue.delay):
                self.flush_queue(queue)
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

    cdef bint put_together(
            self, const Cell* key, object key_owner, const Cell* value, object value_owner, const Cell* tag,
            object tag_owner, int codec, long long expire) except -1:
        """While another thread commits: set an entry in one commit with all that wait as well.

        Whoever has the turn next writes for all. Nobody reads it before, or is told that it is stored."""
        cdef Generation generation = self.group.filling
        cdef Py_ssize_t index = generation.count
        self.group.put(None, key, key_owner, value, value_owner, None, 0, tag, tag_owner, codec, expire)
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
            elif isinstance(generation.failure, CacheError):
                raise type(generation.failure)(*generation.failure.args) from generation.failure
            elif generation.failure is not None:
                raise StorageError(
                    f"{self.directory!r}: what several threads stored together was not committed, because one of them "
                    "was interrupted") from generation.failure
        finally:
            self.turn.give()
        return True
cdef Entry entry_of(Place place):
    """What waits to be written, as a row would have it; None for a key that is to be deleted."""
    cdef Entry entry
    if place.deleted:
        return None
    entry = Entry.__new__(Entry)
    entry.codec = place.codec
    entry.expire = place.expire
    entry.size = place.size
    entry.stored = place.known
    entry.tag = place.tag
    return entry


cdef object check_tag(object tag, Cell* cell):
    if tag is None or type(tag) in (str, bytes, int):
        try:
            return cell_of_plain(tag, cell)
        except (UnicodeEncodeError, OverflowError) as error:
            raise ValueError("a tag must be valid Unicode, and fit in 64 bits if it is an int") from error
    if type(tag) is float and tag == tag:
        return cell_of_plain(tag, cell)
    if type(tag) is float:
        raise ValueError("NaN cannot be a tag")
    raise TypeError(f"a tag must be a str, bytes, int or float, not {type(tag).__name__}")


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


cdef bint is_timedelta(object expire) except -1:
    # Whoever has made one has loaded its module.
    from datetime import timedelta

    return isinstance(expire, timedelta)


cdef long long expiry(Store store, object expire) except? -1:
    """The absolute time, in ms, that is ``expire`` from now."""
    cdef double seconds
    if isinstance(expire, (int, float)) and not isinstance(expire, bool):
        try:
            seconds = expire
        except OverflowError:
            seconds = INFINITY if expire > 0 else -INFINITY
    elif is_timedelta(expire):
        seconds = expire.total_seconds()
    else:
        raise TypeError(f"expire must be seconds (int, float) or a timedelta, not {type(expire).__name__}")
    if seconds != seconds:
        raise ValueError("expire must be a number of seconds, not NaN")
    # Beyond a hundred thousand years either way, it is never, or long ago.
    if seconds > 4e12:
        return NEVER
    if seconds <= 0.0:
        return store.now() + <long long>max(seconds * 1000.0, -4e15)
    # Never less than asked for, and a positive time is never nothing.
    return store.now() + max(1, <long long>(seconds * 1000.0 + 0.5))
