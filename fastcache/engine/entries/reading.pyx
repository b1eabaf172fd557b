# cython: nonecheck=True
"""Many entries read in one call: all of one snapshot, and from the memory tier where that tells of the same."""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.codecs.values cimport CODEC_NATIVE, CODEC_SERIALIZED
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.entry cimport Entry, entry_of_row, read_entry
from fastcache.engine.entries.lookup cimport CONTENT, Finding, Lookup
from fastcache.engine.memory.sieve cimport ABSENT, OBJECT, UNDECODED, Kind, Node
from fastcache.engine.shm.journal cimport IS_PENDING, UNCLEAR, Journal, Pending
from fastcache.engine.shm.wal_clock cimport Tick, read, still_stands
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport CELL_NULL, NEVER, ROW_SET, Cell, Row
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement

from fastcache.errors import DecodeError, UntrustedValueError

cdef object NOTHING = object()


cdef int name_item(Py_ssize_t position, object error) except -1:
    """Say in the message of an error which item it was."""
    if error.args and type(error.args[0]) is str:
        error.args = (f"item {position}: {error.args[0]}", *error.args[1:])
    return 0


cdef dict read_many(Database database, Reads reads, list keys, object on_error):
    """The live values of all keys that have one, as of one moment. ``on_error(key, error)`` is called for what cannot be decoded,
    if it is not None."""
    cdef Reading reading = Reading(database, reads, keys)
    reading.on_error = on_error
    reading.read()
    while not reading.load_files():
        reading.read()
    return reading.values()


cdef struct Question:
    Cell key
    # The tier has answered it.
    bint recalled
    # Where the row is, as the tier is to know it.
    unsigned int row


@cython.final
cdef class Reading:
    """The keys of one call, and what was found: the value itself where it was as plain as can be, an Entry, or NOTHING."""

    cdef Database database
    cdef Reads reads
    cdef list keys, names, keepalives, found
    cdef object on_error
    # Value files that were not there, and what was read by itself for that.
    cdef set lost, decoded_already
    cdef Question* questions
    # The era that the tier may be filled for.
    cdef unsigned long long era
    # The journal, its head, and whether it is of no use; and a reading of the clock before the snapshot, if there was one.
    cdef Journal journal
    cdef unsigned long long head
    cdef bint unclear, told
    cdef Tick tick

    def __cinit__(self, Database database, Reads reads, list keys):
        cdef Py_ssize_t index, count = len(keys)
        self.database = database
        self.reads = reads
        self.keys = keys
        self.lost = set()
        self.decoded_already = set()
        self.keepalives = [None] * count
        self.names = [None] * count
        self.questions = <Question*>PyMem_RawCalloc(count + 1, sizeof(Question))
        if self.questions == NULL:
            raise MemoryError()
        for index in range(count):
            try:
                self.keepalives[index] = keepalive = encode_key(keys[index], reads.serializer, &self.questions[index].key)
            except (TypeError, ValueError) as error:
                name_item(index, error)
                raise
            self.names[index] = reads.name_of(keys[index], keepalive, &self.questions[index].key)

    def __dealloc__(self):
        PyMem_RawFree(self.questions)

    cdef int read(self) except -1:
        """Find all of them in one snapshot, and in the tier where it tells of the same."""
        cdef Session session
        cdef Cell nothing
        cdef BusyWait wait = None
        cdef bint done = False
        nothing.kind = CELL_NULL
        self.reads.limit.follow()
        while True:
            if self.unclear or (self.database.clock == NULL and self.database.journal is not None and not self.database.read_only):
                # Of another key with the same hash; or there is no clock to go by.
                self.unclear = False
                self.database.flush_first()
            self.found = [NOTHING] * len(self.keys)
            # In this order, as for a single read: the snapshot must not be older than the era.
            self.era = self.reads.lookup.era(self.database)
            self.journal = self.database.journal
            self.told = self.database.clock != NULL and read(self.database.clock, &self.tick)
            session = self.database.reading_snapshot()
            if self.database.journal is not self.journal:
                continue
            # Who reads alone, and has no clock, is alone: nobody writes.
            self.told = self.told or self.database.read_only
            if (self.database.clock == NULL and not self.database.read_only) or (
                    self.database.depth != 0 and self.database.writer_lock.held_by_me()):
                # Before that, all was drained.
                self.journal = None
            if session.has_snapshot:
                try:
                    done = self.read_all(session.get_next)
                except Exception:
                    # Of what was torn, it says nothing.
                    if session.is_sound(self.database.clock):
                        raise
                finally:
                    if not done or not session.is_sound(self.database.clock):
                        session.release_snapshot()
                if session.has_snapshot:
                    return 0
                # Lost, or torn: then not all were found.
                done = False
                continue
            if session.get_next.ready() and session.get_next.step_for(&nothing) == STEP_ROW:
                try:
                    done = self.read_all(session.get_next)
                finally:
                    session.get_next.stop()
            if done:
                return 0
            wait = self.database.pause(wait)

    cdef bint read_all(self, Statement statement) except -1:
        """Find them with the snapshot in place. Runs no Python code, so that nobody comes in between.

        False if the snapshot was lost."""
        # With the journal, in this order: the snapshot is there, the tail is followed, and the snapshot is the present one. So all is of
        # the moment at which the tail was looked at.
        if self.journal is not None:
            self.journal.follow()
            self.head = self.journal.head()
            if self.journal.broken or not self.told or (
                    self.database.clock != NULL and not still_stands(self.database.clock, &self.tick)):
                return False
        # If the clock still stands at the tier's epoch, then the snapshot was taken there, too.
        cdef bint usable = self.era != 0 and self.reads.tier.is_current()
        cdef Lookup lookup = self.reads.lookup
        cdef Finding found
        cdef Py_ssize_t index
        for index in range(len(self.keys)):
            self.questions[index].recalled = usable and lookup.remembers(
                self.names[index], self.questions[index].key.hashed, CONTENT, &found)
            if self.questions[index].recalled:
                begin_span(spans)
                try:
                    self.recall(index, found.node)
                finally:
                    end_span(spans)
                continue
            if self.journal is not None and self.is_appended(index):
                continue
            if statement.step_for(&self.questions[index].key) != STEP_ROW:
                return False
            begin_span(spans)
            try:
                self.take_row(index, statement)
            finally:
                end_span(spans)
        # What was taken from the journal was still pending.
        return self.journal is None or (not self.unclear and self.journal.holds(self.head) and self.journal.head() == self.head)

    cdef bint is_appended(self, Py_ssize_t index) except -1:
        """Take what is pending for a key in the journal; whether something is."""
        cdef Row row
        cdef unsigned long long place = 0
        cdef Pending pending = self.journal.find(&self.questions[index].key, &row, &place)
        if pending == UNCLEAR:
            # Who reads alone cannot have it drained.
            self.unclear = not self.database.read_only
        if pending != IS_PENDING:
            return False
        if row.kind == ROW_SET:
            self.found[index] = entry_of_row(&row)
        return True

    cdef int recall(self, Py_ssize_t index, Node* node) except -1:
        """Take what the tier knows of a key."""
        if node.kind != ABSENT:
            self.reads.limit.note_use(node)
        self.found[index] = recalled(node)
        return 0

    cdef int take_row(self, Py_ssize_t index, Statement statement) except -1:
        """Take the row of a key that the statement stands on, or one of nulls."""
        if statement.column_is_null(6):
            return 0
        self.questions[index].row = self.reads.limit.row_read(statement)
        self.reads.limit.note_row(self.questions[index].row)
        if (statement.column_integer(0) == CODEC_NATIVE and statement.column_is_integer(0)
                and statement.column_is_null(1) and statement.column_is_null(3)):
            self.found[index] = statement.column_object(2)
        else:
            self.found[index] = read_entry(statement)
        return 0

    cdef bint load_files(self) except -1:
        """Read the values that are in files. False if one has gone since, so that all has to be read again."""
        cdef Entry entry
        cdef Py_ssize_t index
        for index in range(len(self.keys)):
            if type(self.found[index]) is not Entry:
                continue
            entry = self.found[index]
            if self.reads.content.load(self.database, entry):
                continue
            if entry.file is None:
                self.found[index] = NOTHING
            elif entry.file not in self.lost:
                # Replaced between our two looks, unless the row still names the same one.
                self.lost.add(entry.file)
                return False
            else:
                try:
                    entry = self.reads.find_entry(self.database, self.keys[index])
                except (DecodeError, UntrustedValueError) as error:
                    if self.on_error is None:
                        raise
                    self.on_error(self.keys[index], error)
                    entry = None
                self.found[index] = NOTHING if entry is None else entry
                self.decoded_already.add(index)
        return True

    cdef dict values(self):
        """Decode what was found; count hits and misses, and leave the rest to the tier."""
        cdef dict values = {}
        cdef Py_ssize_t index
        for index in range(len(self.keys)):
            found = self.found[index]
            if type(found) is Entry:
                try:
                    found = self.decoded(index, found)
                except (DecodeError, UntrustedValueError) as error:
                    name_key(self.keys[index], error)
                    if self.on_error is None:
                        raise
                    self.on_error(self.keys[index], error)
                    continue
            elif not self.questions[index].recalled:
                self.keep(index, ABSENT if found is NOTHING else OBJECT, found, CODEC_NATIVE, NEVER)
            if found is NOTHING:
                self.reads.misses += 1
            else:
                self.reads.hits += 1
                self.reads.memory_hits += self.questions[index].recalled
                values[self.keys[index]] = found
        return values

    cdef object decoded(self, Py_ssize_t index, Entry entry):
        """The value of an entry."""
        stored = entry.stored
        if index in self.decoded_already:
            return stored
        if not self.questions[index].recalled:
            self.reads.content.unwrap(entry, &self.questions[index].key)
            stored = entry.stored
        self.reads.content.decode(entry)
        # Of what is in the journal it is not known which row that will be, whose use may have to be told.
        if not self.questions[index].recalled and (entry.id != 0 or not self.reads.limit.notes_reads):
            if entry.codec < CODEC_SERIALIZED:
                self.keep(index, OBJECT, entry.stored, entry.codec, entry.expire)
            elif type(stored) is bytes:
                self.keep(index, UNDECODED, stored, entry.codec, entry.expire)
        return entry.stored

    cdef int keep(self, Py_ssize_t index, Kind kind, object value, int codec, long long expire) except -1:
        self.reads.lookup.fill(
            self.era, self.names[index], self.questions[index].key.hashed, kind, value, codec, expire,
            self.questions[index].row)
        return 0


cdef object recalled(const Node* node):
    """What the tier knows of a key, in the form that the row would have."""
    cdef Entry entry
    if node.kind == ABSENT:
        return NOTHING
    if node.kind == OBJECT and node.expire == NEVER:
        return <object>node.value
    entry = Entry.__new__(Entry)
    entry.codec = node.codec if node.kind != OBJECT else CODEC_NATIVE
    entry.expire = node.expire
    entry.stored = <object>node.value
    return entry
