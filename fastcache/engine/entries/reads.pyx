# cython: nonecheck=True
"""Reading one entry: what the lookup has found becomes a value, and a hit or a miss.

**What is known is not asked for.** The memory tier (memory/tier.pyx) answers while the clock stands (shm/wal_clock.pxd), but never
inside a transaction. What a read fills in was read from a snapshot that was chosen after the tier's era was taken.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE

from fastcache.engine.codecs.keys cimport canonical_key, encode_key, hash_plain
from fastcache.engine.codecs.values cimport CODEC_BYTES, CODEC_NATIVE, CODEC_SERIALIZED
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.entry cimport VALUE, read_entry
from fastcache.engine.entries.lookup cimport APPENDED, CONTENT, NOWHERE, PRESENCE, REMEMBERED, STORED, WHOLE, Finding
from fastcache.engine.memory.sieve cimport ABSENT, OBJECT, PRESENT, UNDECODED
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.sqlite.connection cimport STEP_DONE, Statement

from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.sqlite import sql
from fastcache.errors import DecodeError, UntrustedValueError

# How often the file of an entry that somebody replaces is looked for.
cdef int MOST_TRIES = 10
# What takes well under a millisecond to decode.
cdef Py_ssize_t QUICK_BYTES = 16 * 1024


@cython.final
cdef class Reads:
    """Reads entries, and counts hits and misses."""

    def __cinit__(self, Lookup lookup, Content content, Limit limit, serializer):
        self.lookup = lookup
        self.tier = lookup.tier
        self.content = content
        self.limit = limit
        self.serializer = serializer

    cdef object fetch_hashed(self, Database database, object key, object missing, unsigned long long hashed):
        """The same where the hash of a plain key is known, or 0."""
        cdef Node* node = self.in_memory(database, key, &hashed)
        if node == NULL or node.kind == PRESENT:
            return self.fetch_row(database, key, missing)
        if node.kind == OBJECT and node.expire == NEVER:
            begin_span(spans)
            value = <object>node.value
            self.hits += 1
            self.memory_hits += 1
            self.limit.note_use(node)
            end_span(spans)
            self.limit.follow()
            return value
        return self.recall(database, key, hashed, node, missing)

    cdef object find_in_memory(self, Database database, object key, object missing, object elsewhere):
        """The live value of a key, or ``missing``, if this process knows it and has it at hand; else ``elsewhere``, not counted.

        Waits for nothing: neither for SQLite nor for a lock, nor for the decoding of much."""
        cdef unsigned long long hashed = 0
        cdef Cell cell
        cdef Finding found
        cdef Node* node = self.in_memory(database, key, &hashed)
        name = key
        if node == NULL:
            if hashed != 0 and self.tier.is_current():
                return elsewhere
            keepalive = encode_key(key, self.serializer, &cell)
            name = self.name_of(key, keepalive, &cell)
            hashed = cell.hashed
            if self.lookup.era(database) == 0 or not self.lookup.remembers(name, hashed, CONTENT, &found):
                return elsewhere
            node = found.node
        if node.kind == PRESENT or (node.kind > OBJECT and not is_quick(<object>node.value)):
            return elsewhere
        return self.recall(database, name, hashed, node, missing)

    cdef object has_in_memory(self, Database database, object key, object elsewhere):
        """Whether a key has a live entry (bool), if the tier knows that; else ``elsewhere``."""
        cdef unsigned long long hashed = 0
        cdef Node* node = self.in_memory(database, key, &hashed)
        return elsewhere if node == NULL else self.recall_presence(database, node)

    cdef Node* in_memory(self, Database database, object key, unsigned long long* hashed) except? NULL:
        """What the tier knows of a plain key, if it can be used as it is; NULL if that has to be found out."""
        cdef Node* node = NULL
        if (self.tier.is_current() and (database.depth == 0 or not database.writer_lock.held_by_me())
                and (hashed[0] != 0 or hash_plain(key, 0, hashed))):
            node = self.tier.sieve.find(key, hashed[0])
            if node != NULL:
                node.visited = 1
        return node

    cdef object recall(self, Database database, object name, unsigned long long hashed, Node* node, object missing):
        """The live value of what the tier knows, or ``missing``."""
        begin_span(spans)
        cdef int kind = node.kind
        cdef int codec = node.codec
        cdef unsigned int row = node.row
        cdef long long expire = node.expire
        # The node may be gone as soon as anything else runs: a timer, say.
        value = <object>node.value if kind != ABSENT else None
        end_span(spans)
        if kind == ABSENT or (expire != NEVER and expire <= database.now()):
            self.misses += 1
            return missing
        self.limit.note_use_of_row(row)
        if kind != OBJECT:
            encoded = value
            try:
                value = self.content.format.decode(codec, encoded, True)
            except (DecodeError, UntrustedValueError) as error:
                name_key(name, error)
                raise
            if kind == UNDECODED:
                self.tier.sieve.become(name, hashed, encoded, value)
        self.hits += 1
        self.memory_hits += 1
        return value

    cdef object fetch_row(self, Database database, object key, object missing):
        """The same for what the tier does not know, or not for certain."""
        cdef Cell cell
        cdef Finding found
        database.notice_settings()
        keepalive = encode_key(key, self.serializer, &cell)
        name = self.lookup.find(database, key, keepalive, &cell, CONTENT, &found)
        return self.value_of(database, key, name, &cell, &found, missing)

    cdef object value_of(self, Database database, object key, object name, const Cell* cell, const Finding* found, object missing):
        """The live value of what was found, or ``missing``; nothing has run since."""
        cdef Statement statement
        cdef Entry entry
        cdef unsigned int row
        if found.source == REMEMBERED:
            return self.recall(database, name, cell.hashed, found.node, missing)
        if found.source == NOWHERE:
            self.lookup.fill(found.era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            self.misses += 1
            return missing
        if found.source == APPENDED:
            return self.finish_entry(database, key, name, cell, self.lookup.taken(), found.era, 0, missing)
        statement = <Statement>found.statement
        begin_span(spans)
        row = self.limit.row_read(statement)
        # The plainest row first: native, never expires, no file.
        if statement.column_integer(0) == CODEC_NATIVE and statement.column_is_null(1) and statement.column_is_integer(0):
            try:
                value = statement.column_object(2)
            finally:
                statement.reset()
                end_span(spans)
            self.lookup.fill(found.era, name, cell.hashed, OBJECT, value, CODEC_NATIVE, NEVER, row)
            self.limit.note_use_of_row(row)
            self.hits += 1
            return value
        try:
            entry = read_entry(statement)
        finally:
            statement.reset()
            end_span(spans)
        return self.finish_entry(database, key, name, cell, entry, found.era, row, missing)

    cdef object finish_entry(
            self, Database database, object key, object name, const Cell* cell, Entry entry, unsigned long long era, unsigned int row,
            object missing):
        """The live value of what was read, or ``missing``; the tier has it afterwards."""
        if not self.content.load(database, entry):
            if entry.file is None:
                self.misses += 1
                return missing
            entry = self.fetch_entry(database, key)
            if entry is not None:
                return entry.stored
            return missing
        self.limit.note_use_of_row(entry.id)
        try:
            self.content.unwrap(entry, cell)
            stored = entry.stored
            self.content.decode(entry)
        except (DecodeError, UntrustedValueError) as error:
            name_key(key, error)
            raise
        if entry.id == 0 and self.limit.notes_reads:
            # Of what is in the journal it is not known which row that will be, whose use is to be told.
            era = 0
        if entry.codec < CODEC_SERIALIZED:
            self.lookup.fill(era, name, cell.hashed, OBJECT, entry.stored, entry.codec, entry.expire, row)
        elif type(stored) is bytes and self.lookup.fill(
                era, name, cell.hashed, UNDECODED, stored, entry.codec, entry.expire, row):
            self.tier.sieve.become(name, cell.hashed, stored, entry.stored)
        self.hits += 1
        return entry.stored

    cdef object name_of(self, object key, object keepalive, Cell* cell):
        """What stands for a key in the tier; fills the cell's hash, which a write has to announce.

        Also while there is no clock: the write itself may open the connection that has it."""
        return canonical_key(key, keepalive, self.serializer, &cell.hashed)

    cdef Entry fetch_entry(self, Database database, object key, ReadMode mode=VALUE):
        """The live entry of a key with its value as wanted, or None; counts a hit or a miss."""
        cdef Entry entry = self.find_entry(database, key, mode)
        if entry is None:
            self.misses += 1
        else:
            self.hits += 1
            self.limit.note_use_of_row(entry.id)
        return entry

    cdef Entry find_entry(self, Database database, object key, ReadMode mode=VALUE):
        """The same, not counted."""
        cdef Cell cell
        cdef Finding found
        cdef Entry entry
        cdef str lost = None
        keepalive = encode_key(key, self.serializer, &cell)
        while True:
            self.lookup.find(database, key, keepalive, &cell, WHOLE, &found)
            if found.source == NOWHERE:
                return None
            if found.source == APPENDED:
                entry = self.lookup.taken()
            else:
                entry = entry_found(<Statement>found.statement)
            if self.content.load(database, entry, mode):
                try:
                    self.content.unwrap(entry, &cell)
                    self.content.as_mode(entry, mode)
                except (DecodeError, UntrustedValueError) as error:
                    name_key(key, error)
                    raise
                return entry
            if entry.file is None:
                return None
            # The file is gone: replaced between our two looks, unless the row still names the same one.
            if entry.file == lost:
                self.name_of(key, keepalive, &cell)
                self.repair_dangling(database, entry, &cell)
                return None
            lost = entry.file

    cdef Entry find_stored(self, Database database, const Cell* cell, object key, object keepalive):
        """What is stored for a key as it is stored, expired or not, which may be in a file; None if there is nothing. Not counted."""
        cdef Finding found
        self.lookup.find(database, key, keepalive, <Cell*>cell, WHOLE, &found)
        if found.source == NOWHERE:
            return None
        if found.source == APPENDED:
            return self.lookup.taken()
        return entry_found(<Statement>found.statement)

    cdef object open_value(self, Database database, object key):
        """Bytes that lie in a file, open for reading; else the live value in a tuple, or None. Counts a hit or a miss."""
        cdef Cell cell
        cdef Finding found
        cdef Entry entry
        cdef int tries
        keepalive = encode_key(key, self.serializer, &cell)
        # A file that is replaced meanwhile is looked for again.
        for tries in range(MOST_TRIES):
            self.lookup.find(database, key, keepalive, &cell, WHOLE, &found)
            if found.source != STORED:
                self.lookup.taken()
                break
            entry = entry_found(<Statement>found.statement)
            if entry.file is None or entry.codec != CODEC_BYTES or (entry.expire != NEVER and entry.expire <= database.now()):
                break
            try:
                opened = self.content.files.open_named(entry.file, entry.size)
            except MissingFileError:
                continue
            self.hits += 1
            self.limit.note_use_of_row(entry.id)
            return opened
        entry = self.fetch_entry(database, key)
        return None if entry is None else (entry.stored,)

    cdef object fetch_scanned(self, Database database, object key, list portion, Py_ssize_t index, object missing):
        """The value of a row that lies in a scanned portion from ``index`` on, or ``missing``."""
        cdef Entry entry
        try:
            return self.content.of_scanned(
                portion[index], portion[index + 1], portion[index + 2], portion[index + 3], portion[index + 4])
        except MissingFileError:
            # Replaced or deleted since the scan.
            entry = self.fetch_entry(database, key)
            return missing if entry is None else entry.stored

    cdef bint contains(self, Database database, object key) except -1:
        cdef unsigned long long hashed = 0
        cdef Node* node = self.in_memory(database, key, &hashed)
        if node == NULL:
            return self.contains_row(database, key)
        return self.recall_presence(database, node)

    cdef bint recall_presence(self, Database database, const Node* node) except -1:
        """Whether what the tier knows is a live entry."""
        cdef long long expire = node.expire
        return node.kind != ABSENT and (expire == NEVER or expire > database.now())

    cdef bint contains_row(self, Database database, object key) except -1:
        """The same for what the tier does not know, or not for certain."""
        cdef Cell cell
        cdef Finding found
        keepalive = encode_key(key, self.serializer, &cell)
        name = self.lookup.find(database, key, keepalive, &cell, PRESENCE, &found)
        return self.presence_of(database, key, name, &cell, &found)

    cdef bint presence_of(
            self, Database database, object key, object name, const Cell* cell, const Finding* found) except -1:
        """Whether what was found is a live entry; nothing has run since."""
        cdef Statement statement
        cdef Entry entry
        cdef long long expire, size
        if found.source == REMEMBERED:
            return self.recall_presence(database, found.node)
        if found.source == NOWHERE:
            self.lookup.fill(found.era, name, cell.hashed, ABSENT, None, 0, NEVER, 0)
            return False
        if found.source == APPENDED:
            entry = self.lookup.taken()
            return entry.expire == NEVER or entry.expire > database.now()
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
        if expire != NEVER and expire <= database.now():
            return False
        if file is None:
            return True
        return database.files.size(file) == size or self.fetch_entry(database, key) is not None

    cdef int repair_dangling(self, Database database, Entry entry, const Cell* key) except -1:
        """Remove a row whose file is lost, unless that would mean to wait: this is a read."""
        cdef Statement statement
        if database.read_only or not database.writer_lock.try_acquire():
            return 0
        try:
            statement = database.writing().statement(sql.DELETE_DANGLING)
            parameters = (entry.id, entry.file)
            statement.bind_all(parameters)
            database.will_change(key)
            if statement.step() == STEP_DONE:
                statement.reset()
                database.has_trash = True
                database.follow_commit()
        finally:
            database.writer_lock.release()
        return 0


cdef bint is_quick(object encoded) noexcept:
    """Whether what a value is decoded from is little."""
    return type(encoded) is bytes and PyBytes_GET_SIZE(encoded) <= QUICK_BYTES


cdef Entry entry_found(Statement found):
    """The entry of the row on which a statement stands, which is reset."""
    # A reference of our own: what is made here may let others in, one of whom closes the store.
    cdef Statement statement = found
    begin_span(spans)
    try:
        return read_entry(statement)
    finally:
        statement.reset()
        end_span(spans)
