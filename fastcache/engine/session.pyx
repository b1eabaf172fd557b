# cython: nonecheck=True
"""A connection with its statements, and the snapshot that it may keep.

**The lingering snapshot.** More than half of a single SELECT goes into setting up the statement, and taking and dropping
the read lock. A session that is read from again, without a commit in between, keeps the statement `get_next` in the middle
of its rows (connection.pyx: the feed), and with it the read transaction. What is always true: *a snapshot is read from only
while the clock stands where it stood when the snapshot was taken*; who reads makes sure of it each time. It is let go of
when the clock has moved, before the session writes, when nothing was read from it for a moment, and when all that the WAL
holds was copied into the database: a snapshot that was taken before then keeps the WAL from starting over. It is never taken by the thread that has the turn, so that there is none while the session writes.
"""

from fastcache.engine.clock cimport is_backfilled, read, same, stands
from fastcache.engine.connection cimport CELL_NULL, STEP_ROW, Cell

from fastcache.engine import sql


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

    cdef bint linger(self, const unsigned long long* clock) except -1:
        """Keep a snapshot, if the clock stands where it stood when this was last asked. Returns whether one is kept.

        Not at the first time: what is read only once between two commits would pay for taking it. The GIL is held, and no
        Python code runs."""
        cdef Tick now
        cdef Cell nothing
        nothing.kind = CELL_NULL
        if not read(clock, &now):
            return False
        if not same(&now, &self.seen):
            self.seen = now
            return False
        self.pins_wal = not is_backfilled(clock)
        if not self.get_next.ready() or self.get_next.step_for(&nothing) != STEP_ROW:
            return False
        # If a commit came in between, the snapshot is newer than this reading.
        self.lingers = stands(clock, &now)
        if not self.lingers:
            self.get_next.stop()
        return self.lingers

    cdef void let_go_if_old(self, const unsigned long long* clock) noexcept:
        """End the snapshot if the clock has moved, or if it alone may keep the WAL from starting over."""
        if self.lingers and (not stands(clock, &self.seen) or (self.pins_wal and is_backfilled(clock))):
            self.let_go()

    cdef void let_go(self) noexcept:
        """End the snapshot, if one is kept."""
        self.pins_wal = False
        if self.lingers:
            self.lingers = False
            self.get_next.stop()
