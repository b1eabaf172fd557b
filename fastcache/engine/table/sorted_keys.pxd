# Keys in their own order.


cdef class SortedKeys:
    # Lists of keys, none of which is empty, and the last key of each.
    cdef list blocks
    cdef list lasts
    cdef list spare

    cdef int fill(self, list keys) except -1
    cdef int add(self, object key) except -1
    cdef int split(self, Py_ssize_t at, list block) except -1
    cdef int remove(self, object key) except -1
    cdef list portion(self, object low, object high, bint beyond, bint backward, Py_ssize_t limit)


cdef class KeyOrder:
    # Numbers, texts and bytes: none of them is compared with another.
    cdef SortedKeys numbers
    cdef SortedKeys texts
    cdef SortedKeys blobs

    cdef SortedKeys of_kind(self, int kind)
    cdef int fill(self, list keys) except -1
    cdef int add(self, object key) except -1
    cdef int remove(self, object key) except -1
    cdef list portion(self, object low, object high, bint beyond, bint backward, Py_ssize_t limit)


cdef int kind_of(object key) noexcept
