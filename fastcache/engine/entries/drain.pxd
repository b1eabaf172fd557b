# What is in the journal goes into SQLite.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.entries.pending cimport Rows
from fastcache.engine.entries.row_writes cimport RowWrites
from fastcache.engine.shm.journal cimport Journal
from fastcache.engine.sqlite.cells cimport Row


cdef class Drain(Participant):
    cdef RowWrites rows
    cdef Checkpoints checkpoints
    # Whether it makes way on a full disk just now.
    cdef bint makes_way
    # Up to where the transaction that drains has applied it.
    cdef unsigned long long place
    # What a record takes that is drained, in seconds.
    cdef double cost
    # Whether maintenance was called for what is there, and whether it was because that is much.
    cdef bint scheduled
    cdef bint requested
    # Up to where others have appended and not drained while this, which reads alone, has waited for it.
    cdef unsigned long long in_vain
    # Where the head stood at opening, if something was there; and until when others have time to drain it, or 0.0.
    cdef unsigned long long left_at
    cdef double left_until
    # How many records this object has drained, and in how many transactions.
    cdef readonly long long records
    cdef readonly long long transactions

    cdef int wait_for_others(self, Database database) except -1
    cdef int shut(self, Database database) except -1
    cdef int drain_all(self, Database database) except -1
    cdef int make_room(self, Database database) except -1
    cdef int drain_part(self, Database database) except -1
    cdef int drain_next(self, Database database, unsigned long long until) except -1
    cdef int drain_where_way_is_made(self, Database database, unsigned long long until) except -1
    cdef int drain_some(self, Database database, unsigned long long until, Py_ssize_t most) except -1
    cdef int begin(self, Database database) except -1
    cdef Py_ssize_t part(self) noexcept
    cdef int look_at_disk(self, Database database) except -1
    cdef unsigned long long leave_out(self, Database database, Journal journal, unsigned long long place) except? 0
    cdef void keep_alive(self, object store) noexcept
    cdef int call(self, Database database) except -1
    cdef int call_for_left(self, Database database) except -1
    cdef double maintain(self, Database database) except? -2.0


cdef class Records(Rows):
    cdef size_t* slots
    cdef size_t room_of_slots
    # When the first of them expires.
    cdef long long soonest

    cdef bint make_slots(self, size_t count) noexcept nogil
    cdef bint take(self, const Row* row) noexcept nogil
    cdef int collect(self, Journal journal, unsigned long long* place, unsigned long long until, Py_ssize_t most) noexcept nogil
    cdef int in_order(self) except -1
