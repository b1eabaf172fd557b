# Entries that wait to be written together.

from fastcache.engine.connection cimport Cell, Row


cdef class Rows:
    cdef Row* rows
    cdef readonly Py_ssize_t count
    # Of keys and values.
    cdef readonly long long size
    cdef Py_ssize_t room
    cdef list owners

    cdef int add(
        self, const Cell* key, object key_owner, const Cell* value, object value_owner, const Cell* tag,
        object tag_owner, int codec, long long expire) except -1
    cdef int add_deletion(self, const Cell* key, object key_owner) except -1
    cdef int replace(
        self, Py_ssize_t index, const Cell* value, object value_owner, const Cell* tag, object tag_owner, int codec,
        long long expire) except -1
    cdef Row* claim(self, const Cell* key) except NULL
    cdef bint is_full(self) noexcept
    cdef int clear(self) except -1
