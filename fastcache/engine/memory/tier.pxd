# The memory tier: what this process knows of a cache's entries, and until when it is true.

from fastcache.engine.shm.change_log cimport ChangeLog, Commit
from fastcache.engine.shm.journal cimport Journal
from fastcache.engine.shm.wal_clock cimport Tick, load, stands
from fastcache.engine.memory.sieve cimport Kind, Node, Sieve


cdef class Memory:
    cdef Sieve sieve
    cdef const unsigned long long* clock
    cdef ChangeLog log
    cdef unsigned long long position
    cdef Tick epoch
    # The journal, or None; its tail, and where that was.
    cdef Journal journal
    cdef const unsigned long long* tail
    cdef unsigned long long followed
    # Counts the epochs. 0 is none.
    cdef readonly unsigned long long era
    cdef double impatient_at

    cdef void attach(self, const unsigned long long* clock, ChangeLog log, Journal journal) noexcept
    cdef void detach(self) noexcept
    cdef inline bint is_current(self) noexcept nogil:
        """Whether the journal's tail and the clock stand at the epoch. Asked for each hit."""
        return self.clock != NULL and load(self.tail) == self.followed and stands(self.clock, &self.epoch)

    cdef unsigned long long catch_up(self) noexcept
    cdef unsigned long long follow_journal(self) noexcept
    cdef bint follow_append(self, unsigned long long hashed) noexcept
    cdef bint follow_own(self, const Commit* commit) noexcept
    cdef bint keep(
        self, unsigned long long era, object key, unsigned long long hashed, Kind kind, object value, int codec,
        long long expire, unsigned int row) except -1

    cdef bint may_wait(self) noexcept
    cdef void start_over(self, const Tick* now) noexcept
    cdef void arrive(self, const Tick* now) noexcept
