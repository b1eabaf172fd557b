# cython: nonecheck=True
"""Many entries in one call: what is written is one transaction, what is read is one snapshot.

What is given is taken, and encoded, a thousand at a time, so that it may be endless. The transaction begins when the
first thousand are there; whatever the iterable does from then on, it does inside. An error undoes the call.
"""

from _collections_abc import Mapping

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree

from fastcache.engine.connection cimport CELL_NULL, NEVER, STEP_ROW, BusyWait, Cell, Statement
from fastcache.engine.keys cimport encode_key
from fastcache.engine.queue cimport Place, Rows
from fastcache.engine.session cimport Session
from fastcache.engine.sieve cimport ABSENT, OBJECT, PRESENT, UNDECODED, Kind, Node
from fastcache.engine.store cimport Entry, check_tag, entry_of
from fastcache.engine.transaction cimport Transaction
from fastcache.engine.values cimport CODEC_NATIVE, CODEC_SERIALIZED

cdef object NOTHING = object()


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
        if self.block is None:
            self.store.make_room_ahead(self.rows)
            block = Transaction(self.store)
            block.__enter__()
            self.block = block
        self.changed += self.store.write_rows(self.rows, 0, self.rows.count, self.only_if_absent)
        return self.rows.clear()

    cdef int finish(self) except -1:
        self.write()
        return self.leave(None, None)

    cdef int undo(self, object error) except -1:
        return self.leave(type(error), error)

    cdef int leave(self, object kind, object error) except -1:
        block, self.block = self.block, None
        if block is not None:
            block.__exit__(kind, error, None)
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


cdef Py_ssize_t put_many(Store store, object given, long long expire, object tag, bint only_if_absent) except -1:
    """Set (or add) all pairs; returns how many that has stored."""
    cdef Writing writing = Writing(store, only_if_absent)
    cdef Py_ssize_t position = 0
    cdef Cell tag_cell
    tag_owner = check_tag(tag, &tag_cell)
    try:
        for pair in pairs_of(given):
            try:
                key, value = pair
                store.add_row(writing.rows, key, value, expire, tag_owner, &tag_cell)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            if writing.rows.is_full():
                writing.write()
        writing.finish()
    except BaseException as error:
        writing.undo(error)
        raise
    return writing.changed if only_if_absent else position


cdef Py_ssize_t delete_many(Store store, object keys) except -1:
    """Delete the live entries of all keys; returns how many there were."""
    cdef Writing writing = Writing(store, False)
    cdef Py_ssize_t position = 0
    try:
        for key in keys:
            try:
                store.add_deletion(writing.rows, key)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            if writing.rows.is_full():
                writing.write()
        writing.finish()
    except BaseException as error:
        writing.undo(error)
        raise
    return writing.changed


cdef dict get_many(Store store, object keys):
    """The live values of all keys that have one, as of one moment."""
    cdef Reading reading = Reading(store, list(keys))
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


cdef class Reading:
    """The keys of one call, and what was found: the value itself where it was as plain as can be, an Entry, or NOTHING."""

    cdef Store store
    cdef list keys, names, owners, found
    # Value files that were not there, and what was read by itself for that.
    cdef set lost, decoded_already
    cdef Question* questions
    # The era that the tier may be filled for.
    cdef unsigned long long era

    def __cinit__(self, Store store, list keys):
        cdef Py_ssize_t index, count = len(keys)
        self.store = store
        self.keys = keys
        self.lost = set()
        self.decoded_already = set()
        self.owners = [None] * count
        self.names = [None] * count
        self.questions = <Question*>PyMem_RawCalloc(count + 1, sizeof(Question))
        if self.questions == NULL:
            raise MemoryError()
        for index in range(count):
            try:
                self.owners[index] = owner = encode_key(keys[index], store.serializer, &self.questions[index].key)
            except (TypeError, ValueError) as error:
                name_item(index, error)
                raise
            self.names[index] = store.name_of(keys[index], owner, &self.questions[index].key)

    def __dealloc__(self):
        PyMem_RawFree(self.questions)

    cdef int read(self) except -1:
        """Find all of them in one snapshot, and in the tier where it tells of the same."""
        cdef Session session
        cdef Cell nothing
        cdef BusyWait wait = None
        cdef bint done = False
        nothing.kind = CELL_NULL
        while True:
            # In this order, as for a single read: the snapshot must not be older than the era.
            self.era = self.store.sight()
            session = self.store.reading()
            if session.lingers:
                try:
                    done = self.read_all(session.get_next)
                finally:
                    if not done:
                        session.let_go()
            elif session.get_next.ready() and session.get_next.step_for(&nothing) == STEP_ROW:
                try:
                    done = self.read_all(session.get_next)
                finally:
                    session.get_next.stop()
            if done:
                return 0
            wait = self.store.pause(wait)

    cdef bint read_all(self, Statement statement) except -1:
        """Find them with the snapshot in place. Runs no Python code, so that nobody comes in between.

        False if the snapshot was lost."""
        # If the clock still stands at the tier's epoch, then the snapshot was taken there, too.
        cdef bint usable = self.era != 0 and self.store.memory.is_current()
        cdef Node* node
        cdef Place place
        cdef Entry entry
        cdef Py_ssize_t index
        self.found = [NOTHING] * len(self.keys)
        for index in range(len(self.keys)):
            self.questions[index].recalled = False
            if self.store.behind is not None:
                place = self.store.behind.find(self.names[index])
                if place is not None:
                    self.questions[index].recalled = True
                    entry = entry_of(place)
                    self.found[index] = NOTHING if entry is None else entry
                    continue
            if usable:
                node = self.store.memory.sieve.find(self.names[index], self.questions[index].key.hashed)
                if node != NULL and node.kind != PRESENT:
                    node.visited = 1
                    if self.store.recency is not None and node.kind != ABSENT:
                        self.store.use(node)
                    self.questions[index].recalled = True
                    self.found[index] = recalled(node)
                    continue
            if statement.step_for(&self.questions[index].key) != STEP_ROW:
                return False
            if statement.column_is_null(6):
                continue
            if self.store.recency is not None:
                self.questions[index].row = <unsigned int>statement.column_integer(6)
                self.store.use_stored(self.questions[index].row)
            if (statement.column_integer(0) == CODEC_NATIVE and statement.column_is_integer(0)
                    and statement.column_is_null(1) and statement.column_is_null(3)):
                self.found[index] = statement.column_object(2)
            else:
                self.found[index] = self.store.read_entry(statement)
        return True

    cdef bint load_files(self) except -1:
        """Read the values that are in files. False if one has gone since, so that all has to be read again."""
        cdef Entry entry
        cdef Py_ssize_t index
        for index in range(len(self.keys)):
            if type(self.found[index]) is not Entry:
                continue
            entry = self.found[index]
            if self.store.load(entry):
                continue
            if entry.file is None:
                self.found[index] = NOTHING
            elif entry.file not in self.lost:
                # Replaced between our two looks, unless the row still names the same one.
                self.lost.add(entry.file)
                return False
            else:
                entry = self.store.find_entry(self.keys[index])
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
                found = self.decoded(index, found)
            elif not self.questions[index].recalled:
                self.keep(index, ABSENT if found is NOTHING else OBJECT, found, CODEC_NATIVE, NEVER)
            if found is NOTHING:
                store.misses += 1
            else:
                store.hits += 1
                store.memory_hits += self.questions[index].recalled
                values[self.keys[index]] = found
        return values

    cdef object decoded(self, Py_ssize_t index, Entry entry):
        """The value of an entry."""
        stored = entry.stored
        if index in self.decoded_already:
            return stored
        if not self.questions[index].recalled:
            self.store.admit(entry, &self.questions[index].key)
            stored = entry.stored
        self.store.decode(entry, False)
        if not self.questions[index].recalled:
            if entry.codec < CODEC_SERIALIZED:
                self.keep(index, OBJECT, entry.stored, entry.codec, entry.expire)
            elif type(stored) is bytes:
                self.keep(index, UNDECODED, stored, entry.codec, entry.expire)
        return entry.stored

    cdef int keep(self, Py_ssize_t index, Kind kind, object value, int codec, long long expire) except -1:
        self.store.remember(
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
