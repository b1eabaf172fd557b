# When entries were last used, or how often: a table in shared memory, by row.

from fastcache.engine.shm.wal_clock cimport load


cdef enum:
    # Words at the beginning of the file. HAND and SWEEP move when something is evicted, CLOCK with each insertion.
    RECENCY_MAGIC, RECENCY_CAPACITY, RECENCY_MEANING, RECENCY_MOVED
    RECENCY_HAND, RECENCY_SWEEP, RECENCY_FLOOR, RECENCY_CROWDED
    RECENCY_CLOCK, RECENCY_SWEPT, RECENCY_SWEEP_END
    RECENCY_SLOTS = 16


cdef enum Meaning:
    # What a slot says of its row: when it was used, or how often.
    USED_AT = 1
    USED_OFTEN = 2


cdef struct Table:
    unsigned long long* words
    # Of the slots. Not read from the file again, where anybody could change it.
    unsigned long long mask
    Meaning meaning


cdef struct Use:
    # A slot as it was found, and its place among those to be evicted: the smallest goes first.
    unsigned long long slot
    unsigned int place


cdef class AccessTable:
    cdef Table* table
    cdef list mappings
    cdef list tables
    cdef str path
    cdef Py_ssize_t most

    cdef Table* map_file(self, Meaning meaning, unsigned long long capacity) except NULL
    cdef int follow(self) except -1
    cdef int tidy(self) except -1
    cdef bint is_used(self, long long row) noexcept nogil
    cdef bint stands(self, const Use* use) noexcept nogil
    cdef void forget(self, long long row) noexcept nogil
    cdef Py_ssize_t first(self, Use* uses, Py_ssize_t wanted) noexcept nogil
    cdef bint is_older(self, long long row, unsigned int time) noexcept nogil
    cdef long long row_of(self, const Use* use) noexcept nogil
    cdef void went(self, const Use* use) noexcept nogil
    cdef void begin_at(self, long long newest) noexcept nogil
    cdef void start_over(self, long long newest) noexcept nogil
    cdef void look_again(self) noexcept nogil
    cdef unsigned long long size(self) noexcept nogil

    cdef inline unsigned int now(self) noexcept nogil:
        """The half of the clock that a slot holds."""
        return <unsigned int>load(&self.table.words[RECENCY_CLOCK])


cdef void use_row(Table* table, unsigned int row) noexcept nogil
cdef void on_row_change(void* place, int change, long long row) noexcept nogil
