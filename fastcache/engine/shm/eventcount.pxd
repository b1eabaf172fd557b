# What wakes those who wait, in whatever process.

cdef class Bell:
    cdef object mapping
    cdef unsigned int* number
