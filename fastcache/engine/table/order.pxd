# Items in the order in which they were inserted.

from cpython.object cimport PyObject

from fastcache.engine.table.item cimport Item


cdef struct Slot:
    long long id
    # Borrowed from the table; NULL for one that was removed.
    PyObject* item


cdef class Order:
    cdef Slot* slots
    cdef Py_ssize_t room
    # Where the first item stands, and behind the last; and how many there are between.
    cdef Py_ssize_t begin
    cdef Py_ssize_t end
    cdef Py_ssize_t count
    # The last number that was given.
    cdef long long newest

    cdef int reserve(self) except -1
    cdef void add(self, Item item) noexcept
    cdef void remove(self, Item item) noexcept
    cdef void replace(self, Item item, Item by) noexcept
    cdef void restore(self, Item item) noexcept
    cdef Py_ssize_t after(self, long long id) noexcept
    cdef Item first(self)
    cdef Item last(self)
    cdef void clear(self) noexcept
    cdef void compact(self) noexcept
