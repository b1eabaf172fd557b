# cython: nonecheck=True
"""Many entries in one call: what is written is one transaction, what is read is one snapshot; of each shard.

What is given is taken, and encoded, a thousand at a time, so that it may be endless. The transaction begins when the
first thousand are there; whatever the iterable does from then on, it does inside. An error undoes the call.

Of several shards, each has its part. A call that fits into memory writes one part after the other, holding one lock at a time. One
that does not begins all transactions at once, in the order of the shards, which is everybody's: so that no two wait for each
other. They are committed one after the other; what fails then leaves those before it.
"""

from _collections_abc import Mapping

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport CELL_NULL, NEVER, Cell
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement
from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.entry cimport Entry, check_tag, entry_of, read_entry
from fastcache.engine.entries.lookup cimport CONTENT, PENDING, Finding, Lookup
from fastcache.engine.entries.pending cimport PendingWrite, Rows
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.shards cimport Shards
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.memory.sieve cimport ABSENT, OBJECT, UNDECODED, Kind, Node
from fastcache.engine.store cimport Store
from fastcache.engine.database.transaction cimport Transaction
from fastcache.engine.codecs.values cimport CODEC_NATIVE, CODEC_SERIALIZED

from fastcache.errors import DecodeError, FullError, UntrustedValueError

cdef object NOTHING = object()


cdef class Parts:
    """What of one call, or of a batch, goes to each of the shards: a part is made when the first key of its shard comes."""

    def __cinit__(self, Shards shards, *_):
        self.shards = shards
        self.parts = [None] * shards.count

    cdef object make(self, Store store):
        """The part of a shard of which nothing has come yet."""
        raise NotImplementedError

    cdef object of(self, object key):
        cdef unsigned long long hashed = 0
        return self.at(self.shards.index_of(key, &hashed))

    cdef object at(self, int index):
        part = self.parts[index]
        if part is None:
            part = self.parts[index] = self.make(self.shards.at(index))
        return part


@cython.final
cdef class Writing:
    """The transaction of one call, begun when it is first needed."""

    cdef Store store
    cdef Rows rows
    cdef Transaction block
    cdef Py_ssize_t changed
    cdef bint only_if_absent

    def __cinit__(self, Store store, bint only_if_absent):
        self.store = store
        self.rows = Rows()
        self.only_if_absent = only_if_absent

    cdef int write(self) except -1:
        if not self.rows.count:
            return 0
        self.begin()
        self.changed += self.store.rows.write_rows(self.store.database, self.rows, 0, self.rows.count, self.only_if_absent)
        return self.rows.clear()

    cdef int begin(self) except -1:
        if self.block is None:
            self.store.rows.make_room_ahead(self.store.database, self.rows)
            block = Transaction(self.store.database)
            block.__enter__()
            self.block = block
        return 0

    cdef int finish(self) except -1:
        self.write()
        return self.leave(False)

    cdef int undo(self) except -1:
        return self.leave(True)

    cdef int leave(self, bint failed) except -1:
        cdef Transaction block = self.block
        self.block = None
        if block is not None:
            block.exit(failed)
        return 0


@cython.final
cdef class Writings(Parts):
    """The transactions of one call."""

    cdef bint only_if_absent
    cdef bint begun

    def __cinit__(self, Shards shards, bint only_if_absent):
        self.only_if_absent = only_if_absent

    cdef object make(self, Store store):
        return Writing(store, self.only_if_absent)

    cdef int came_in(self, Writing part) except -1:
        """A row was added to one of them."""
        if not part.rows.is_full():
            return 0
        if not self.begun:
            self.begin()
        return part.write()

    cdef int begin(self) except -1:
        cdef Py_ssize_t index
        cdef Writing part
        self.begun = True
        # Inside of transact(key), there is but one part; to lock others would not be in the order.
        if self.shards.count > 1 and self.shards.inside() is None:
            # All are opened before the first is locked.
            for index in range(len(self.shards.to_write())):
                part = self.at(index)
                part.begin()
        return 0

    cdef Py_ssize_t finish(self) except -1:
        """Write what is left, and commit; returns how many entries that has changed, all in all."""
        cdef Py_ssize_t changed = 0
        cdef Writing part
        for part in self.parts:
            if part is not None:
                try:
                    part.finish()
                except FullError as error:
                    # Those before are committed.
                    error.changed = changed
                    raise
                changed += part.changed
        return changed

    cdef int undo(self) except -1:
        """Undo what is not committed, of each, whatever becomes of the others."""
        cdef Writing part
        cdef Py_ssize_t index
        interruption = None
        # The last one first: on a thread, blocks end in the order in which they began.
        for index in range(self.shards.count - 1, -1, -1):
            part = self.parts[index]
            if part is not None:
                try:
                    part.undo()
                except BaseException as error:
                    interruption = error
        if interruption is not None:
            raise interruption
        return 0


cdef object pairs_of(object given):
    """An iterator over the (key, value) pairs of a mapping or of an iterable of pairs."""
    if isinstance(given, Mapping):
        return iter(given.items())
    if hasattr(given, "keys"):
        return ((key, given[key]) for key in given.keys())
    return iter(given)


cdef int name_item(Py_ssize_t position, object error) except -1:
    """Say in the message of an error which item it was."""
    if error.args and type(error.args[0]) is str:
        error.args = (f"item {position}: {error.args[0]}", *error.args[1:])
    return 0


cdef Py_ssize_t put_many(Shards shards, object given, long long expire, object tag, bint only_if_absent) except -1:
    """Set (or add) all pairs; returns how many that has stored."""
    cdef Writings parts = Writings(shards, only_if_absent)
    cdef Writing part
    cdef Py_ssize_t position = 0, changed
    cdef Cell tag_cell
    tag_keepalive = check_tag(tag, &tag_cell)
    try:
        for pair in pairs_of(given):
            try:
                key, value = pair
                part = parts.of(key)
                part.store.changes.add_row(part.store.database, part.rows, key, value, expire, tag_keepalive, &tag_cell)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        changed = parts.finish()
    except BaseException:
        parts.undo()
        raise
    return changed if only_if_absent else position


def add_entries(Shards shards, object entries):
    """Add entries that each have an expiry and a tag of their own, in one transaction for each shard.

    Args:
        shards: those of a cache (Shards).
        entries: an iterable of (key, value, the absolute time in ms at which it expires or None, tag).

    Returns:
        How many that has stored (int): what a key has already, it keeps.
    """
    cdef Writings parts = Writings(shards, True)
    cdef Writing part
    cdef Py_ssize_t position = 0, changed
    cdef Cell tag_cell
    try:
        for key, value, expire, tag in entries:
            try:
                tag_keepalive = check_tag(tag, &tag_cell)
                part = parts.of(key)
                part.store.changes.add_row(
                    part.store.database, part.rows, key, value, NEVER if expire is None else expire, tag_keepalive, &tag_cell)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        changed = parts.finish()
    except BaseException:
        parts.undo()
        raise
    return changed


cdef Py_ssize_t delete_many(Shards shards, object keys) except -1:
    """Delete the live entries of all keys; returns how many there were."""
    cdef Writings parts = Writings(shards, False)
    cdef Writing part
    cdef Py_ssize_t position = 0
    try:
        for key in keys:
            try:
                part = parts.of(key)
                part.store.changes.add_deletion(part.store.database, part.rows, key)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        return parts.finish()
    except BaseException:
        parts.undo()
        raise


cdef dict get_many(Shards shards, object keys, object on_error):
    """The live values of all keys that have one; those of a shard as of one moment. ``on_error(key, error)`` is called for what
    cannot be decoded, if it is not None."""
    cdef dict found
    cdef list of_shard
    cdef Py_ssize_t position = 0
    cdef unsigned long long hashed = 0
    cdef dict groups = {}
    keys = list(keys)
    if shards.count == 1:
        return read_many(shards.first, keys, on_error)
    for key in keys:
        try:
            groups.setdefault(shards.index_of(key, &hashed), []).append(key)
        except (TypeError, ValueError) as error:
            name_item(position, error)
            raise
        position += 1
    found = {}
    for index, of_shard in groups.items():
        found.update(read_many(shards.at(index), of_shard, on_error))
    return {key: found[key] for key in keys if key in found}


cdef dict read_many(Store store, list keys, object on_error):
    """The same of one shard."""
    cdef Reading reading = Reading(store, keys)
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

    cdef Store store
    cdef list keys, names, keepalives, found
    cdef object on_error
    # Value files that were not there, and what was read by itself for that.
    cdef set lost, decoded_already
    cdef Question* questions
    # The era that the tier may be filled for.
    cdef unsigned long long era
    # Whether what write-behind commits just now was visible before the snapshot was taken.
    cdef bint committed

    def __cinit__(self, Store store, list keys):
        cdef Py_ssize_t index, count = len(keys)
        self.store = store
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
                self.keepalives[index] = keepalive = encode_key(keys[index], store.serializer, &self.questions[index].key)
            except (TypeError, ValueError) as error:
                name_item(index, error)
                raise
            self.names[index] = store.reads.name_of(keys[index], keepalive, &self.questions[index].key)

    def __dealloc__(self):
        PyMem_RawFree(self.questions)

    cdef int read(self) except -1:
        """Find all of them in one snapshot, and in the tier where it tells of the same."""
        cdef Session session
        cdef Cell nothing
        cdef BusyWait wait = None
        cdef bint done = False
        nothing.kind = CELL_NULL
        self.store.limit.follow()
        while True:
            self.found = [NOTHING] * len(self.keys)
            # In this order, as for a single read: the snapshot must not be older than the era.
            self.era = self.store.lookup.era(self.store.database)
            session = self.store.database.reading_snapshot()
            self.committed = self.store.flusher.behind is not None and self.store.flusher.behind.is_committed()
            if self.committed:
                # The snapshot that is kept may be older.
                session.release_snapshot()
            if session.has_snapshot:
                try:
                    done = self.read_all(session.get_next)
                except Exception:
                    # Of what was torn, it says nothing.
                    if session.is_sound(self.store.database.clock):
                        raise
                finally:
                    if not done or not session.is_sound(self.store.database.clock):
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
            wait = self.store.database.pause(wait)

    cdef bint read_all(self, Statement statement) except -1:
        """Find them with the snapshot in place. Runs no Python code, so that nobody comes in between.

        False if the snapshot was lost."""
        # If the clock still stands at the tier's epoch, then the snapshot was taken there, too.
        cdef bint usable = self.era != 0 and self.store.memory.is_current()
        cdef Lookup lookup = self.store.lookup
        cdef Finding found
        cdef Entry entry
        cdef Py_ssize_t index
        for index in range(len(self.keys)):
            self.questions[index].recalled = lookup.find_aside(
                self.names[index], self.questions[index].key.hashed, CONTENT, usable, self.committed, &found)
            if self.questions[index].recalled:
                if found.source == PENDING:
                    entry = entry_of(<PendingWrite>found.place)
                    self.found[index] = NOTHING if entry is None else entry
                else:
                    begin_span(spans)
                    try:
                        self.recall(index, found.node)
                    finally:
                        end_span(spans)
                continue
            if statement.step_for(&self.questions[index].key) != STEP_ROW:
                return False
            begin_span(spans)
            try:
                self.take_row(index, statement)
            finally:
                end_span(spans)
        return True

    cdef int recall(self, Py_ssize_t index, Node* node) except -1:
        """Take what the tier knows of a key."""
        if node.kind != ABSENT:
            self.store.limit.note_use(node)
        self.found[index] = recalled(node)
        return 0

    cdef int take_row(self, Py_ssize_t index, Statement statement) except -1:
        """Take the row of a key that the statement stands on, or one of nulls."""
        if statement.column_is_null(6):
            return 0
        self.questions[index].row = self.store.limit.row_read(statement)
        self.store.limit.note_row(self.questions[index].row)
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
            if self.store.content.load(self.store.database, entry):
                continue
            if entry.file is None:
                self.found[index] = NOTHING
            elif entry.file not in self.lost:
                # Replaced between our two looks, unless the row still names the same one.
                self.lost.add(entry.file)
                return False
            else:
                try:
                    entry = self.store.reads.find_entry(self.store.database, self.keys[index])
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
        cdef Store store = self.store
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
                store.reads.misses += 1
            else:
                store.reads.hits += 1
                store.reads.memory_hits += self.questions[index].recalled
                values[self.keys[index]] = found
        return values

    cdef object decoded(self, Py_ssize_t index, Entry entry):
        """The value of an entry."""
        stored = entry.stored
        if index in self.decoded_already:
            return stored
        if not self.questions[index].recalled:
            self.store.content.unwrap(entry, &self.questions[index].key)
            stored = entry.stored
        self.store.content.decode(entry)
        if not self.questions[index].recalled:
            if entry.codec < CODEC_SERIALIZED:
                self.keep(index, OBJECT, entry.stored, entry.codec, entry.expire)
            elif type(stored) is bytes:
                self.keep(index, UNDECODED, stored, entry.codec, entry.expire)
        return entry.stored

    cdef int keep(self, Py_ssize_t index, Kind kind, object value, int codec, long long expire) except -1:
        self.store.lookup.fill(
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
