# cython: nonecheck=True
"""What waits to be written: what a bulk call has taken from its iterable, what a transaction has set (Rows); what a batch puts
off, and what threads commit together (WriteBuffer).

A queue has two generations. New operations go into `active`. Whoever flushes (Flusher.flush_queue) has the writer lock, makes it
`flushing`, and writes that in transactions of a few thousand, while another generation fills. What is always true:

- *Order.* A generation is written whole before the next one is begun.
- *Nothing is dropped.* A generation goes away when all of it is committed. If writing fails, what is left stays `flushing`,
  is tried again first at the next flush, and the failure is raised at the next call.
- *It is bounded.* `active` has room for so much; who finds it full waits until what is `flushing` is written.

What a batch has put off nobody reads before it is committed, not even the thread that has put it off.
"""

from time import monotonic

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.string cimport memset

from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_NULL, CELL_TEXT, NEVER, ROW_DELETE

# What is written in one statement: enough that its beginning and end do not count.
cdef Py_ssize_t STATEMENT_ROWS = 1000
cdef long long STATEMENT_BYTES = 1024 * 1024
# When a generation is full.
cdef Py_ssize_t MOST_ROWS = 16384
cdef long long MOST_BYTES = 32 * 1024 * 1024


cdef class Rows:
    """Entries to be written, and keys to be deleted, in the order of their operations.

    A row borrows what its cells point to; `keepalives` keeps that alive, three objects for each row. All of them are of types
    whose end runs no code, so that adding a row lets nobody come in between."""

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


cdef class Generation(Rows):
    """Operations that wait together."""


cdef class WriteBuffer:
    """Operations that wait, for ``delay`` seconds at most."""

    def __cinit__(self, double delay):
        self.delay = delay
        self.active = Generation()

    cdef bint is_full(self) noexcept:
        return self.active.count >= MOST_ROWS or self.active.size >= MOST_BYTES

    cdef int put(self, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1:
        """Have an entry set. Nothing here lets anybody come in between."""
        if self.active.count == 0:
            self.since = monotonic()
        return self.active.add(row, key_keepalive, value_keepalive, tag_keepalive)

    cdef int remove(self, const Cell* key, object key_keepalive) except -1:
        """Have a key deleted."""
        if self.active.count == 0:
            self.since = monotonic()
        return self.active.add_deletion(key, key_keepalive)

    cdef int raise_failure(self) except -1:
        """Raise what maintenance could not tell anybody."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        return 0

    cdef Generation next_to_write(self):
        """What is to be written next; None if nothing is. The writer lock is held."""
        cdef Generation fresh
        if self.flushing is None and self.active.count:
            fresh = Generation()
            self.flushing = self.active
            self.active = fresh
            self.scheduled = False
        return self.flushing

    cdef int discard(self) except -1:
        """Forget what waits: because it is the parent's, in a child, or because its batch has failed."""
        self.active = Generation()
        self.flushing = None
        self.failure = None
        self.is_flushing = False
        self.scheduled = False
        return 0

    cdef double due_in(self, double now) noexcept:
        """In how many seconds it is time to write; negative if nothing waits."""
        if self.flushing is not None:
            return 0.0
        if self.active.count == 0:
            return -1.0
        return max(0.0, self.since + self.delay - now)
