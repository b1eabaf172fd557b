# cython: nonecheck=True
"""Writing many entries: runs of rows as one statement each, and what a transaction sets.

What a transaction sets is deferred until it reads, or ends; what it has deferred is part of it, and if it cannot be written the
transaction fails.
"""

cimport cython

from fastcache.engine.database.blocks cimport roll_back
from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_TEXT, NEVER, ROW_DELETE, ROW_NOTHING, ROW_SET, cell_object
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement

from fastcache.engine.sqlite import sql

# A value of more bytes than this goes into a file of its own. Measured (bench/inline_limit.py).
cdef long long INLINE_LIMIT = 64 * 1024
# Of no more rows than this, a batch is written with the GIL.
cdef Py_ssize_t FEW = 32


@cython.final
cdef class RowWrites(Participant):
    """Writes rows in their order, whatever they are: entries to be set, with values of any size, and keys to be deleted."""

    def __cinit__(self, FileWrites filed):
        self.filed = filed
        self.writes = filed.writes
        self.limit = filed.limit
        self.space = filed.space
        self.inline_limit = INLINE_LIMIT
        self.deferred = Rows()

    # -- as a part of transactions ------------------------------------------------------------------------------

    cdef bint defer(
            self, Database database, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1:
        """Inside a transaction: leave it until the next read, or the end, since many at once are cheaper."""
        self.deferred.add(row, key_keepalive, value_keepalive, tag_keepalive)
        database.has_deferred = True
        if self.deferred.is_full():
            self.flush_deferred(database)
        return True

    cdef int flush_deferred(self, Database database) except -1:
        """Write what this transaction has left until now.

        What was put off has been promised: if it fails, the transaction fails as a whole."""
        cdef Rows rows = self.deferred
        self.deferred = Rows()
        database.has_deferred = False
        try:
            self.write_rows(database, rows, 0, rows.count, False)
        except BaseException:
            roll_back(database, database.writer)
            raise
        return 0

    cdef int discard_deferred(self, Database database) except -1:
        database.has_deferred = False
        return self.deferred.clear()

    cdef int after_fork_in_child(self, Database database) except -1:
        self.deferred = Rows()
        return 0

    # -- writing ------------------------------------------------------------------------------------------------

    cdef Py_ssize_t write_rows(
            self, Database database, Rows rows, Py_ssize_t start, Py_ssize_t end, bint only_if_absent) except -1:
        """Carry out some rows in their order, inside the transaction; returns how many entries that has changed."""
        cdef Py_ssize_t stop, changed = 0
        cdef long long need, portion = max(1, self.limit.low)
        cdef long long now = database.now()
        while start < end:
            stop = start + 1
            if rows.rows[start].kind == ROW_DELETE:
                while stop < end and rows.rows[stop].kind == ROW_DELETE:
                    stop += 1
                changed += self.delete_run(database, &rows.rows[start], stop - start, now)
            elif rows.rows[start].kind == ROW_NOTHING:
                pass
            elif self.is_large(&rows.rows[start].value):
                changed += self.write_alone(database, &rows.rows[start], only_if_absent)
            else:
                need = self.need_of(&rows.rows[start])
                # With a limit, no more at once than there is kept free.
                while (stop < end and need < portion and rows.rows[stop].kind == ROW_SET
                        and not self.is_large(&rows.rows[stop].value)):
                    need += self.need_of(&rows.rows[stop])
                    stop += 1
                if self.limit.max_size == 0:
                    changed += self.write_run(database, &rows.rows[start], stop - start, only_if_absent, now)
                else:
                    changed += self.write_run_within(database, &rows.rows[start], stop - start, only_if_absent, now, need)
            start = stop
        return changed

    cdef long long need_of(self, const Row* row) noexcept:
        """Bytes that a row needs, where that matters."""
        return cost_of_row(&row.key, row.value.size) if self.limit.max_size else 0

    cdef Py_ssize_t write_run_within(
            self, Database database, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now, long long need) except -1:
        """The same where there is a limit: room for so many bytes is made first."""
        cdef Py_ssize_t changed
        cdef bint fits = self.space.fits(database, need)
        if not fits:
            # Within its transaction, which goes on.
            self.space.make_room_inside(database, need)
        cdef long long before = self.space.room.left
        changed = self.write_run(database, rows, count, only_if_absent, now)
        self.space.room.left -= need
        if not fits and not self.limit.evicts:
            self.space.refuse_if_full(database, before)
        return changed

    cdef bint is_large(self, const Cell* value) noexcept:
        """Whether a value goes into a file."""
        return value.size > self.inline_limit and value.kind in (CELL_TEXT, CELL_BLOB)

    cdef Py_ssize_t write_run(
            self, Database database, const Row* rows, Py_ssize_t count, bint only_if_absent, long long now) except -1:
        """Set (or add) rows whose values stay in them, as one statement if nothing is in the way."""
        cdef Session session = database.writing()
        cdef Statement statement
        cdef Py_ssize_t index, changed = -1
        # What is drained announces no key, be it one entry.
        if count > 1 or self.quiet:
            session.connection.offer(rows, count)
            try:
                if not self.has_conflict(session, count > FEW, now):
                    if not self.quiet:
                        for index in range(count):
                            database.will_change(&rows[index].key)
                    statement = session.statement(sql.ADD_MANY if only_if_absent else sql.SET_MANY)
                    if not only_if_absent:
                        statement.bind_integer(8, now)
                    changed = database.change_locked(session, statement, count > FEW)
                    for index in range(count):
                        if rows[index].expire != NEVER and not self.quiet:
                            self.writes.expiry.expect(database, rows[index].expire)
            finally:
                session.connection.offer(NULL, 0)
        # Fewer than asked for: the count of files is wrong, and one was in the way after all.
        if changed < 0 or (changed < count and not only_if_absent):
            changed = 0
            for index in range(count):
                changed += self.write_alone(database, &rows[index], only_if_absent)
        return changed

    cdef bint has_conflict(self, Session session, bint release_gil, long long now) except -1:
        """Whether any of the rows that are offered meets an entry that has expired, or is in a file."""
        cdef Statement statement = session.statement(sql.MAY_CONFLICT)
        cdef bint found
        statement.bind_integer(8, now)
        found = statement.run() == STEP_ROW and statement.column_integer(0) != 0
        statement.reset()
        if found:
            statement = session.statement(sql.CONFLICT)
            statement.bind_integer(8, now)
            found = statement.run(release_gil) == STEP_ROW
            statement.reset()
        return found

    cdef bint write_alone(self, Database database, const Row* row, bint only_if_absent) except -1:
        """The same for one row, whatever is in its way and wherever its value goes. Returns whether it was written."""
        while True:
            if self.is_large(&row.value):
                if self.filed.put_file(database, row, only_if_absent, None, None, None, 0):
                    return True
            elif self.writes.write_row(database, row, only_if_absent, None):
                return True
            # Looking at it removes a row whose file is lost.
            if self.writes.reads.contains(database, decode_key(cell_object(&row.key), self.writes.serializer)):
                return False

    cdef Py_ssize_t delete_run(self, Database database, const Row* rows, Py_ssize_t count, long long now) except -1:
        """Delete the live entries of these keys as one statement; returns how many there were."""
        cdef Session session = database.writing()
        # While the journal is drained, what was deleted was live then, and may have expired since.
        cdef Statement statement = session.statement(sql.DELETE_ALL_OF if self.quiet else sql.DELETE_MANY)
        cdef Py_ssize_t index
        if not self.quiet:
            for index in range(count):
                database.will_change(&rows[index].key)
        session.connection.offer(rows, count)
        try:
            if not self.quiet:
                statement.bind_integer(8, now)
            return database.change_locked(session, statement, count > FEW)
        finally:
            session.connection.offer(NULL, 0)

    cdef int make_room_ahead(self, Database database, Rows rows) except -1:
        """Before a transaction that is to store these: make room for what goes into files, since what it evicts itself cannot
        be unlinked before its end."""
        cdef long long size = 0
        cdef Py_ssize_t index
        if self.limit.max_size == 0 or (database.depth != 0 and database.writer_lock.held_by_me()):
            return 0
        for index in range(rows.count):
            if rows.rows[index].kind == ROW_SET and self.is_large(&rows.rows[index].value):
                size += rows.rows[index].value.size
        if size and self.limit.evicts:
            self.space.reserve_file(database, None, min(size, self.limit.largest))
        return 0
