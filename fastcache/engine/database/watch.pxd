# Whether a database is still where it was opened.

from fastcache.engine.monotonic cimport seconds
from fastcache.engine.sqlite.stamp cimport Identity, coarse_seconds

# How long nobody looks, in seconds: before a write, and before a read that asks SQLite. What is in memory is not looked after.
cdef double WRITE_PERIOD
cdef double READ_PERIOD


cdef class Watch:
    # The database file, and which one it was; all zero while it is not known.
    cdef bytes name
    cdef Identity identity
    # The same of the WAL and its index; all zero where there are none.
    cdef tuple names
    cdef Identity[2] beside
    # When somebody last looked, in seconds of the monotonic clock; and at all three files.
    cdef double looked
    cdef double compared

    cdef inline bint is_due_to_write(self) noexcept:
        cdef double now = seconds()
        if now - self.looked < WRITE_PERIOD:
            return False
        self.looked = now
        return True

    cdef inline bint is_due_to_read(self) noexcept:
        cdef double now = coarse_seconds()
        if now - self.looked < READ_PERIOD:
            return False
        self.looked = now
        return True

    cdef inline bint is_due_to_compare(self) noexcept:
        """Whether all three were not looked at for long, by the time at which the first one was."""
        if self.looked - self.compared < READ_PERIOD:
            return False
        self.compared = self.looked
        return True

    cdef bint is_known(self) noexcept
    cdef void begin(self) noexcept
    cdef void begin_beside(self, bint has_wal) noexcept
    cdef bint is_whole(self) noexcept
    cdef bint lacks_part(self) noexcept
    cdef void forget(self) noexcept
    cdef bint is_there(self) noexcept
