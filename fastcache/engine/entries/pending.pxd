# What waits to be written.

from libc.string cimport memset

from fastcache.engine.sqlite.cells cimport CELL_NULL, ROW_SET, Cell, Row


cdef class Rows:
    cdef Row* rows
    cdef readonly Py_ssize_t count
    # Of keys and values.
    cdef readonly long long size
    cdef Py_ssize_t room
    cdef list keepalives

    cdef int add(self, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1
    cdef int add_deletion(self, const Cell* key, object key_keepalive) except -1
    cdef Row* claim(self, const Cell* key) except NULL
    cdef bint is_full(self) noexcept
    cdef int clear(self) except -1


cdef class Generation(Rows):
    # So many of the rows are committed; and why those of a group were not.
    cdef Py_ssize_t written
    cdef object failure


cdef class WriteBuffer:
    # How long a row may wait, in seconds.
    cdef readonly double delay
    cdef Generation active
    cdef Generation flushing
    # When the oldest row of `active` came in, by time.monotonic.
    cdef double since
    # What maintenance has run into, to be raised at the next call.
    cdef object failure
    # Since when maintenance has waited in vain to write it, by time.monotonic; else 0.
    cdef double stuck_since
    cdef bint is_flushing
    # Whether maintenance was called to write it when it is time.
    cdef bint scheduled
    cdef readonly long long committed

    cdef bint is_full(self) noexcept
    cdef int put(self, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1
    cdef int remove(self, const Cell* key, object key_keepalive) except -1
    cdef int raise_failure(self) except -1
    cdef Generation next_to_write(self)
    cdef int discard(self) except -1
    cdef double due_in(self, double now) noexcept


cdef inline void begin_row(Row* row, long long expire) noexcept:
    """An entry that is to be set, without its key, value and tag yet."""
    memset(row, 0, sizeof(Row))
    row.value.kind = CELL_NULL
    row.tag.kind = CELL_NULL
    row.expire = expire
    row.kind = ROW_SET
