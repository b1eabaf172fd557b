# cython: nonecheck=True
"""How much room there is: counted in O(1), and kept up to date by our own commits.

`left` is what is left, from the counts of pages and free pages in the database's header and that of bytes in files. It holds
while the clock stands at `left_at`, the header's checksum when it was counted; our own commits move both on, each taking off a
little more than it needs. After another process's, it is counted anew.
"""

import os

cimport cython

from fastcache.engine.eviction.limit cimport PAGE
from fastcache.engine.shm.wal_clock cimport Tick, fingerprint, read

from fastcache.engine.sqlite import sql
from fastcache.errors import system_error


@cython.final
cdef class Room(Participant):
    """Bytes that are left of a limit."""

    def __cinit__(self, Limit limit):
        self.limit = limit

    cdef void detach(self) noexcept:
        self.left_at = 0

    cdef int measure(self, Database database, Session session) except -1:
        """Count the room there is."""
        cdef Tick now
        self.left_at = fingerprint(&now) if database.clock != NULL and read(database.clock, &now) else 0
        self.pages = database.integer(session, sql.PAGE_COUNT)
        self.free_pages = database.integer(session, sql.FREE_PAGES)
        self.counted = database.integer(session, sql.COUNTED_BYTES)
        self.left = self.limit.max_size - (self.pages - self.free_pages) * self.limit.page_size - self.counted
        self.limit.follow()
        self.left -= self.limit.table_size()
        return 0

    cdef int after_commit(self, Database database) except -1:
        if self.left_at != 0:
            self.left_at = database.commit.left if fingerprint(&database.commit.before) == self.left_at else 0
        return 0

    cdef int discard_deferred(self, Database database) except -1:
        self.left_at = 0
        return 0

    cdef int roll_back(self, Database database) except -1:
        self.left_at = 0
        return 0

    cdef int files_counted(self, long long size) except -1:
        # Until it is counted anew.
        self.left -= size
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        self.left_at = 0
        return 0

    cdef long long trash(self, Database database, Session session) except -1:
        """Bytes of the files that are yet to be unlinked, after ``measure``."""
        return max(0, database.integer(session, sql.TRASH_BYTES)) if self.counted else 0

    cdef long long shortage(self, long long size) noexcept:
        """Bytes that are missing for a file of this size. Free pages are no room for it."""
        return size + self.limit.reserve + self.free_pages * self.limit.page_size - self.left

    cdef long long tail(self, Database database) except -1:
        """Bytes that the database file has beyond its pages: what was vacuumed leaves it when all of the WAL was copied."""
        return max(0, self.length(database) - self.pages * self.limit.page_size)

    cdef long long length(self, Database database) except -1:
        """Bytes of the database file."""
        try:
            return os.stat(database.path).st_size
        except OSError as error:
            raise system_error(error.errno, f"look at {database.path!r}") from error

    cdef bint has_room_for_file(self, Database database, long long size) except -1:
        """Whether a file of this size, and its row, have room beside the file of the database as it is. Free pages cannot be
        given back inside a transaction: what has only room in them goes there."""
        return self.shortage(size) + PAGE + self.tail(database) <= 0
