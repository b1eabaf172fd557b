# What wakes waiters, in whatever process.

cdef class EventCount:
    cdef object mapping
    cdef unsigned int* number
    cdef Py_ssize_t room
