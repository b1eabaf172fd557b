# An entry that is held in memory.

from cpython.object cimport PyObject

cdef enum:
    # Of no heap.
    NO_PLACE = -1


cdef class Item:
    # What stands for its key, and for all that are one with it (canonical_key); and the key as a row would have it.
    cdef object name
    cdef object key
    # The value itself, or the bytes that it is decoded from; how; and how many bytes that are.
    cdef object value
    cdef int codec
    cdef long long size
    # In ms since the epoch, or NEVER.
    cdef long long expire
    cdef object tag
    # Its number, which no other has, but one that has replaced it; and where it stands in the order of insertion.
    cdef long long id
    cdef Py_ssize_t slot
    # Bytes of memory, about.
    cdef long long cost
    # Its places in the heaps: of what expires, and of what is used.
    cdef Py_ssize_t[2] places
    # When it goes, among those that are used: by when it was used last, or how often. For sieve, whether it was.
    cdef long long rank
    cdef unsigned int uses
    cdef bint visited
    # Those with the same tag; borrowed.
    cdef PyObject* next_tagged
    cdef PyObject* last_tagged


cdef Item new_item(object name, object key, object value, int codec, long long size, long long expire, object tag)
cdef Item changed_item(Item before, object value, int codec, long long size, long long expire)
cdef long long utf8_size(object text) noexcept
