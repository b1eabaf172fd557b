# Items, of which the one of the lowest rank is known.

from fastcache.engine.table.item cimport Item


cdef enum HeapKind:
    # What expires, by when that is; and what is used, by `Item.rank`.
    DUE = 0
    USED = 1


cdef struct HeapNode:
    long long rank
    long long id
    # Borrowed from the table.
    void* item


cdef class Heap:
    cdef HeapKind kind
    cdef HeapNode* nodes
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t room

    cdef int reserve(self) except -1
    cdef void add(self, Item item, long long rank) noexcept
    cdef void remove(self, Item item) noexcept
    cdef void replace(self, Item item, Item by, long long rank) noexcept
    cdef Item first(self)
    cdef void clear(self) noexcept
    cdef Py_ssize_t count_until(self, long long rank) noexcept
    cdef Py_ssize_t count_below(self, Py_ssize_t place, long long rank) noexcept
    cdef list until(self, long long rank, Py_ssize_t limit)
    cdef void put(self, Py_ssize_t place, HeapNode node) noexcept
    cdef void sift_up(self, Py_ssize_t place) noexcept
    cdef void sift_down(self, Py_ssize_t place) noexcept
