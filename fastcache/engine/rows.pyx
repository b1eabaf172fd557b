"""Entries that wait to be written together, in the order of their operations: what a bulk call has taken from its
iterable, what a transaction has set, what write-behind has promised.

A row borrows what its cells point to; `owners` keeps that alive, three objects for each row. All of them are of types
whose end runs no code, so that adding a row, or giving it another value, lets nobody come in between.
"""

from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc
from libc.string cimport memset

from fastcache.engine.connection cimport CELL_BLOB, CELL_NULL, CELL_TEXT, NEVER, ROW_DELETE


# What is written in one statement: enough that its beginning and end do not count.
cdef Py_ssize_t MOST_ROWS = 1000
cdef long long MOST_BYTES = 1024 * 1024


cdef class Rows:
    """Rows, in order."""

    def __cinit__(self):
        self.owners = []

    def __dealloc__(self):
        PyMem_RawFree(self.rows)

    cdef int add(
            self, const Cell* key, object key_owner, const Cell* value, object value_owner, const Cell* tag,
            object tag_owner, int codec, long long expire) except -1:
        """Append an entry to be set."""
        cdef Row* row = self.claim(key)
        row.value = value[0]
        row.tag = tag[0]
        row.codec = codec
        row.expire = expire
        self.owners.append(key_owner)
        self.owners.append(value_owner)
        self.owners.append(tag_owner)
        self.size += value.size
        self.count += 1
        return 0

    cdef int add_deletion(self, const Cell* key, object key_owner) except -1:
        """Append a key to be deleted."""
        cdef Row* row = self.claim(key)
        row.value.kind = CELL_NULL
        row.tag.kind = CELL_NULL
        row.expire = NEVER
        row.kind = ROW_DELETE
        self.owners.append(key_owner)
        self.owners.append(None)
        self.owners.append(None)
        self.count += 1
        return 0

    cdef int replace(
            self, Py_ssize_t index, const Cell* value, object value_owner, const Cell* tag, object tag_owner, int codec,
            long long expire) except -1:
        """Give a row that is to be set another value: as if it had been set again, since a set keeps its place."""
        cdef Row* row = &self.rows[index]
        self.size += value.size - row.value.size
        row.value = value[0]
        row.tag = tag[0]
        row.codec = codec
        row.expire = expire
        self.owners[3 * index + 1] = value_owner
        self.owners[3 * index + 2] = tag_owner
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
        return self.count >= MOST_ROWS or self.size >= MOST_BYTES

    cdef int clear(self) except -1:
        """Forget them all."""
        self.owners = []
        self.count = 0
        self.size = 0
        return 0
