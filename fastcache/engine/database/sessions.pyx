# cython: nonecheck=True
"""A connection with its statements, and the snapshot that it may keep.

**The pinned snapshot.** More than half of a single SELECT goes into setting up the statement, and taking and dropping
the read lock. A session that is read from again, without a commit in between, keeps the statement `get_next` in the middle
of its rows (row_source.pyx: the feed), and with it the read transaction. What is always true: *what is read from a kept snapshot is
used only if the clock stands, before and after, where it stood when the snapshot was taken*. So it needs no lock, and has none
(read_lock.pxd): it is in nobody's way, whatever becomes of its process, and may stay as long as it likes. Nothing else is read from
the session meanwhile: it is let go of before that, before the session writes, and when the clock has moved. It is never taken
by the thread that has the writer lock, so that there is none while the session writes.
"""

cimport cython

from fastcache.engine.shm.wal_clock cimport read, same, stands, still_stands
from fastcache.engine.sqlite.cells cimport CELL_NULL, Cell
from fastcache.engine.sqlite.connection cimport STEP_ROW

from fastcache.engine.sqlite import sql


@cython.final
cdef class Session:
    """A connection and its prepared statements."""

    def __cinit__(self, Connection connection):
        self.connection = connection
        connection.make_tables()
        self.get = Statement(connection, sql.GET)
        self.exists = Statement(connection, sql.EXISTS)
        self.set = Statement(connection, sql.SET)
        self.add = Statement(connection, sql.ADD)
        self.pop_native = Statement(connection, sql.POP_NATIVE)
        self.incr = Statement(connection, sql.INCR)
        self.scan_keys = Statement(connection, sql.SCAN_KEYS)
        self.scan_keys_back = Statement(connection, sql.SCAN_KEYS_BACK)
        self.scan_items = Statement(connection, sql.SCAN_ITEMS)
        self.scan_items_back = Statement(connection, sql.SCAN_ITEMS_BACK)
        self.begin = Statement(connection, sql.BEGIN)
        self.commit = Statement(connection, sql.COMMIT)
        self.rollback = Statement(connection, sql.ROLLBACK)
        self.savepoint = Statement(connection, sql.SAVEPOINT)
        self.release = Statement(connection, sql.RELEASE)
        self.rollback_to = Statement(connection, sql.ROLLBACK_TO)
        self.get_next = Statement(connection, sql.GET_NEXT)
        self.get_next.endless = True
        self.others = {}

    cdef Statement statement(self, str text):
        """The statement of a text that is used now and then, compiled once."""
        statement = self.others.get(text)
        if statement is None:
            statement = self.others[text] = Statement(self.connection, text)
        return statement

    cdef void abandon(self) noexcept:
        self.connection.abandon()

    cdef bint pin_snapshot(self, const unsigned long long* clock) except -1:
        """Keep a snapshot, if the clock stands where it stood when this was last asked. Returns whether one is kept.

        Not while commits come one after the other: what is read only once in between would pay for taking it. The GIL is
        held, and no Python code runs."""
        cdef Tick now
        cdef Cell nothing
        nothing.kind = CELL_NULL
        if self.has_snapshot:
            if stands(clock, &self.seen):
                return True
            self.release_snapshot()
        if not read(clock, &now):
            return False
        if not same(&now, &self.seen):
            self.seen = now
            return False
        if not self.connection.has_no_snapshot() or not self.get_next.ready():
            return False
        if self.get_next.step_for(&nothing) != STEP_ROW:
            return False
        # If a commit came in between, the snapshot is newer than this reading.
        self.has_snapshot = self.connection.release_read_lock() and still_stands(clock, &now)
        if not self.has_snapshot:
            self.get_next.stop()
        return self.has_snapshot

    cdef bint find(self, const unsigned long long* clock, const Cell* key) except -1:
        """Have `get_next` stand on the row of a key, or one of nulls, in the snapshot that is kept. False if it is lost."""
        cdef int step
        cdef bint sound
        try:
            step = self.get_next.step_for(key)
        except BaseException as error:
            sound = still_stands(clock, &self.seen)
            self.release_snapshot()
            # Of what was torn, it says nothing.
            if sound or not isinstance(error, Exception):
                raise
            return False
        if step == STEP_ROW and still_stands(clock, &self.seen):
            return True
        self.release_snapshot()
        return False

    cdef bint is_sound(self, const unsigned long long* clock) noexcept:
        """Whether what was read from the snapshot that is kept belongs to it."""
        return self.has_snapshot and still_stands(clock, &self.seen)

    cdef void release_snapshot(self) noexcept:
        """End the snapshot, if one is kept."""
        if self.has_snapshot:
            self.has_snapshot = False
            self.get_next.stop()
