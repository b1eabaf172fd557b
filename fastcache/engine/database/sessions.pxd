# A connection with its prepared statements.

from fastcache.engine.shm.wal_clock cimport Tick
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.sqlite.connection cimport Connection, Statement


cdef class Session:
    cdef Connection connection
    cdef Statement get, get_next, exists, set, add, pop_native, incr
    cdef Statement scan_keys, scan_keys_back, scan_items, scan_items_back
    cdef Statement begin, commit, rollback, savepoint, release, rollback_to
    cdef dict others
    cdef bint has_wal
    # The pinned snapshot: whether one is kept, and of which reading of the clock.
    cdef bint has_snapshot
    cdef Tick seen

    cdef Statement statement(self, str text)
    cdef void abandon(self) noexcept
    cdef bint pin_snapshot(self, const unsigned long long* clock) except -1
    cdef bint find(self, const unsigned long long* clock, const Cell* key) except -1
    cdef bint is_sound(self, const unsigned long long* clock) noexcept
    cdef void release_snapshot(self) noexcept
