# cython: nonecheck=True
"""How long writes take, and what is waited for: histograms of one database in this process, kept once somebody asks for them.

The writer lock fills them (writer_lock.pyx), with the GIL. Buckets grow by 1, 2.5 and 5 in each power of ten, from 10 µs to 10 s.
"""

cimport cython

cdef double[BUCKETS] BOUNDS = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]


@cython.final
cdef class Histogram:
    """A number of durations, by their length."""

    cdef void add(self, double seconds) noexcept:
        cdef int place = 0
        while place < BUCKETS and seconds > BOUNDS[place]:
            place += 1
        self.counts[place] += 1
        self.total += seconds

    @property
    def seconds(self):
        """All of them together, in seconds (float)."""
        return self.total

    @property
    def buckets(self):
        """Of each bound in seconds (float) how many were not longer (int): a list of pairs, the last bound infinite."""
        cdef int place
        cdef long long count = 0
        found = []
        for place in range(BUCKETS + 1):
            count += self.counts[place]
            found.append((BOUNDS[place] if place < BUCKETS else float("inf"), count))
        return found


@cython.final
cdef class Timings:
    """How long the writer lock was held for each write or transaction, and how long threads have waited for it; and how long
    other processes were waited for, in seconds."""

    def __cinit__(self):
        self.held = Histogram()
        self.waited = Histogram()
