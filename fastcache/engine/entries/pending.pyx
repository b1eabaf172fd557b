# cython: nonecheck=True
"""What waits to be written: what a bulk call has taken from its iterable, what a transaction has set (Rows); what
write-behind and batches put off, and what threads commit together (WriteBuffer).

A queue has two generations. New operations go into `active`. Whoever flushes (Store.flush_queue) has the writer lock, makes it
`flushing`, and writes that in transactions of a few thousand, while another generation fills. What is always true:

- *Order.* A generation is written whole before the next one is begun.
- *Nothing is dropped.* A generation goes away when all of it is committed. If writing fails, what is left stays `flushing`,
  is tried again first at the next flush, and the failure is raised at the next call. A queue that is not empty is kept
  alive by maintenance, and the exit of the interpreter flushes it.
- *This process reads its own writes.* With write-behind, who reads asks the queue before SQLite. The memory tier knows
  nothing of a key that waits: it is made to forget it (Memory.forget), and Lookup.fill asks the queue.
- *It is bounded.* `active` has room for so much; who finds it full waits until what is `flushing` is written.

What is atomic flushes first (Store.flush_first), and so does what looks at the whole table.
"""

from time import monotonic

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from cpython.ref cimport PyObject
from libc.string cimport memset

from fastcache.engine.shm.wal_clock cimport Tick, commit_number, load
from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_NULL, CELL_TEXT, NEVER, ROW_DELETE

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object dictionary, object key) except? NULL

# What is written in one statement: enough that its beginning and end do not count.
cdef Py_ssize_t STATEMENT_ROWS = 1000
cdef long long STATEMENT_BYTES = 1024 * 1024
# Of a generation: when it is time to write it, and when it is full.
cdef Py_ssize_t ENOUGH_ROWS = 4096
cdef Py_ssize_t MOST_ROWS = 16384
cdef long long ENOUGH_BYTES = 4 * 1024 * 1024
cdef long long MOST_BYTES = 32 * 1024 * 1024


cdef class Rows:
    """Entries to be written, and keys to be deleted, in the order of their operations.

    A row borrows what its cells point to; `keepalives` keeps that alive, three objects for each row. All of them are of types
    whose end runs no code, so that adding a row, or giving it another value, lets nobody come in between."""

    def __cinit__(self):
        self.keepalives = []

    def __dealloc__(self):
        PyMem_RawFree(self.rows)

    cdef int add(self, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1:
        """Append an entry to be set."""
        self.claim(&row.key)[0] = row[0]
        self.keepalives.append(key_keepalive)
        self.keepalives.append(value_keepalive)
        self.keepalives.append(tag_keepalive)
        self.size += row.size
        self.count += 1
        return 0

    cdef int add_deletion(self, const Cell* key, object key_keepalive) except -1:
        """Append a key to be deleted."""
        cdef Row* row = self.claim(key)
        row.value.kind = CELL_NULL
        row.tag.kind = CELL_NULL
        row.expire = NEVER
        row.kind = ROW_DELETE
        self.keepalives.append(key_keepalive)
        self.keepalives.append(None)
        self.keepalives.append(None)
        self.count += 1
        return 0

    cdef int replace(self, Py_ssize_t index, const Row* row, object value_keepalive, object tag_keepalive) except -1:
        """Give a row that is to be set another value: as if it had been set again, since a set keeps its place."""
        cdef Row* there = &self.rows[index]
        cdef Cell key = there.key
        self.size += row.size - there.size
        there[0] = row[0]
        # Its own, which is kept alive already.
        there.key = key
        self.keepalives[3 * index + 1] = value_keepalive
        self.keepalives[3 * index + 2] = tag_keepalive
        return 0

    cdef Row* claim(self, const Cell* key) except NULL:
        """The next row, with its key, not counted yet."""
        cdef Py_ssize_t room
        cdef Row* larger
        cdef Row* row
        if self.count == self.room:
            room = max(<Py_ssize_t>16, 2 * self.room)
            larger = <Row*>PyMem_RawRealloc(self.rows, room * sizeof(Row))
            if larger == NULL:
                raise MemoryError()
            self.rows = larger
            self.room = room
        row = &self.rows[self.count]
        memset(row, 0, sizeof(Row))
        row.key = key[0]
        if key.kind == CELL_TEXT or key.kind == CELL_BLOB:
            self.size += key.size
        return row

    cdef bint is_full(self) noexcept:
        """Whether it is time to write them."""
        return self.count >= STATEMENT_ROWS or self.size >= STATEMENT_BYTES

    cdef int clear(self) except -1:
        """Forget them all. Takes no memory: undoing must not fail for want of it."""
        self.count = 0
        self.size = 0
        self.keepalives.clear()
        return 0


@cython.no_gc
@cython.final
cdef class PendingWrite:
    """The last operation on a key. Not tracked by the garbage collector, so that making one runs nothing."""


cdef class Generation(Rows):
    """Operations that wait together."""

    def __cinit__(self):
        self.places = {}


cdef class WriteBuffer:
    """Operations that wait, for ``delay`` seconds at most."""

    def __cinit__(self, double delay):
        self.delay = delay
        self.active = Generation()

    cdef bint is_empty(self) noexcept:
        return self.active.count == 0 and self.flushing is None

    cdef bint is_enough(self) noexcept:
        """Whether it is time to write, long waited or not."""
        return self.active.count >= ENOUGH_ROWS or self.active.size >= ENOUGH_BYTES

    cdef bint is_full(self) noexcept:
        return self.active.count >= MOST_ROWS or self.active.size >= MOST_BYTES

    cdef int put(
            self, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive, object name=None,
            object cached=None, int cached_codec=0, bint expired=False) except -1:
        """Have an entry set; under a name if it is to be found. Nothing here lets anybody come in between.

        What waits for the same key is replaced, unless it is to be deleted, or has ``expired``: then this is an
        insertion, and goes to the end."""
        cdef PendingWrite place
        cdef Generation generation = self.active
        cdef PyObject* found
        self.entered += 1
        if generation.count == 0:
            self.since = monotonic()
        if name is None:
            return generation.add(row, key_keepalive, value_keepalive, tag_keepalive)
        place = PendingWrite.__new__(PendingWrite)
        found = PyDict_GetItemWithError(generation.places, name)
        place.index = generation.count
        place.codec = cached_codec
        place.expire = row.expire
        place.size = row.size
        place.cached = cached
        place.tag = tag_keepalive
        if found != NULL and not (<PendingWrite>found).deleted and not expired:
            place.index = (<PendingWrite>found).index
            generation.replace(place.index, row, value_keepalive, tag_keepalive)
        else:
            generation.add(row, key_keepalive, value_keepalive, tag_keepalive)
        generation.places[name] = place
        return 0

    cdef int remove(self, object name, const Cell* key, object key_keepalive) except -1:
        """Have a key deleted."""
        cdef PendingWrite place
        cdef Generation generation = self.active
        self.entered += 1
        if generation.count == 0:
            self.since = monotonic()
        if name is not None:
            place = PendingWrite.__new__(PendingWrite)
            place.index = generation.count
            place.deleted = True
            generation.places[name] = place
        return generation.add_deletion(key, key_keepalive)

    cdef PendingWrite find(self, object name):
        """The last operation on a key; None if none waits. Runs no Python code.

        Before a snapshot is chosen: it may be newer than this."""
        return self.find_as_of(name, -1)

    cdef PendingWrite find_as_of(self, object name, int committed):
        """The same for who has a snapshot: ``committed`` is what ``is_committed`` has said before that; -1 to ask it now."""
        cdef PyObject* found
        cdef Generation generation = self.active
        if generation.count:
            found = PyDict_GetItemWithError(generation.places, name)
            if found != NULL:
                return <PendingWrite>found
        generation = self.flushing
        if generation is not None:
            found = PyDict_GetItemWithError(generation.places, name)
            # What is committed may have been overwritten by others.
            if found != NULL and (<PendingWrite>found).index >= generation.written:
                if (<PendingWrite>found).index >= generation.ending:
                    return <PendingWrite>found
                if committed < 0:
                    committed = self.is_committed()
                return None if committed else <PendingWrite>found
        return None

    cdef bint is_committed(self) noexcept:
        """Whether the commit that is on the way has become visible. Who makes it may not have come back from it, for want of
        the GIL, while others have overwritten it already."""
        cdef Tick now
        if self.commit == NULL or self.commit.header == NULL or self.commit.coming == 0:
            return False
        # SQLite's write lock is held until then, so that nobody else can have moved it.
        now.words[1] = load(&self.commit.header[1])
        return commit_number(&now) != self.commit.coming - 1

    cdef Generation next_to_write(self):
        """What is to be written next; None if nothing is. The writer lock is held."""
        cdef Generation fresh
        if self.flushing is None and self.active.count:
            fresh = Generation()
            self.flushing = self.active
            self.active = fresh
            self.scheduled = False
            self.requested = False
        return self.flushing

    cdef int discard(self) except -1:
        """Forget what waits: because it is the parent's, in a child, or because its batch has failed."""
        self.active = Generation()
        self.flushing = None
        self.failure = None
        self.is_flushing = False
        self.scheduled = False
        self.requested = False
        return 0

    cdef double due_in(self, double now) noexcept:
        """In how many seconds it is time to write; negative if nothing waits."""
        if self.flushing is not None:
            return 0.0
        if self.active.count == 0:
            return -1.0
        return 0.0 if self.is_enough() else max(0.0, self.since + self.delay - now)
