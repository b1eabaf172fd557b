# What a pickle would do if it were loaded.

cdef enum Found:
    CALLS_FOUND = 1
    SETS_FOUND = 2
    REFUSED_FOUND = 4


cdef int walk(const unsigned char* start, Py_ssize_t length) noexcept
