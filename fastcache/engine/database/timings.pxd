# How long writes take, and what is waited for.

cdef enum:
    BUCKETS = 19


cdef class Histogram:
    # Of each bucket how many, not cumulative; the last one is for all that is longer.
    cdef long long[BUCKETS + 1] counts
    cdef double total

    cdef void add(self, double seconds) noexcept


cdef class Timings:
    cdef readonly Histogram held
    cdef readonly Histogram waited
    # What was waited for other processes, in seconds.
    cdef readonly double others
