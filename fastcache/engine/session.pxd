# A connection with its prepared statements.

from fastcache.engine.clock cimport Tick
from fastcache.engine.connection cimport Connection, Statement


cdef class Session:
    cdef Connection connection
    cdef Statement get, get_next, exists, set, add, pop_native, incr
    cdef Statement scan_keys, scan_keys_back, scan_items, scan_items_back
    cdef Statement begin, commit, rollback, savepoint, release, rollback_to
    cdef dict others
    # The lingering snapshot: whether one is kept, of which reading of the clock, and whether it was read from lately.
    cdef bint lingers
    cdef bint used
    cdef bint pins_wal
    cdef Tick seen

    cdef Statement statement(self, str text)
    cdef void abandon(self) noexcept
    cdef bint linger(self, const unsigned long long* clock) except -1
    cdef void let_go_if_old(self, const unsigned long long* clock) noexcept
    cdef void let_go(self) noexcept
