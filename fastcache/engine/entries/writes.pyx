# cython: nonecheck=True
"""Writing one entry: set, add, touch, pop, incr, delete.

**A single write is one statement in autocommit.** What one statement cannot do (an expired entry in the way, a value in a file)
runs between `enter` and `leave`, as a savepoint if a transaction is open.
"""

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.codecs.values cimport CODEC_NATIVE, CODEC_SERIALIZED
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.entry cimport read_entry
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.memory.sieve cimport OBJECT, UNDECODED
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport NEVER, cell_object, cell_of_plain
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW, Statement

from fastcache.engine.sqlite import sql

# A value of more bytes than this is written to the database without the GIL.
cdef long long LARGE = 16 * 1024


cdef int bind_row(Statement statement, const Row* row, str file) except -1:
    """Bind the parameters that SET, ADD and INSERT share. ``file`` must live until the reset."""
    cdef Cell file_cell
    cell_of_plain(file, &file_cell)
    statement.bind(1, &row.key)
    statement.bind_integer(2, row.codec)
    statement.bind_integer(3, row.size)
    if row.expire == NEVER:
        statement.bind_null(4)
    else:
        statement.bind_integer(4, row.expire)
    statement.bind(5, &row.tag)
    statement.bind(6, &file_cell)
    statement.bind(7, &row.value)
    return 0


@cython.final
cdef class Writes:
    """Writes entries whose values lie in their rows, and keeps within the limit."""

    def __cinit__(self, Reads reads, Space space, Expiry expiry):
        self.reads = reads
        self.lookup = reads.lookup
        self.serializer = reads.serializer
        self.limit = space.limit
        self.room = space.room
        self.space = space
        self.expiry = expiry

    cdef bint put_row(
            self, Database database, const Row* row, bint only_if_absent, object name, object cached, int cached_codec) except -1:
        """Store a value in its row."""
        cdef bint stored
        database.acquire_writer_lock()
        try:
            stored = self.write_row(database, row, only_if_absent, None)
            if database.depth == 0:
                if stored:
                    self.fill_own(database, row, name, cached, cached_codec)
                database.settle()
        finally:
            database.writer_lock.release()
        return stored

    cdef int fill_own(self, Database database, const Row* row, object name, object cached, int codec) except -1:
        """Remember what our last commit has stored, if none has followed it. The writer lock is still held."""
        if cached is None and codec != CODEC_NATIVE:
            return 0
        self.lookup.fill(
            database.own_era, name, row.key.hashed, UNDECODED if codec >= CODEC_SERIALIZED else OBJECT, cached, codec,
            row.expire, self.limit.row_written(database))
        return 0

    cdef bint write_row(self, Database database, const Row* row, bint only_if_absent, str file) except -1:
        """Write a row, and where there is a limit make room for it. Returns whether it was written."""
        cdef long long need, before
        cdef bint written = False
        cdef bint strictly = True
        cdef bint ready
        if self.limit.max_size == 0:
            return self.upsert(database, row, only_if_absent, file)
        need = cost_of_row(&row.key, row.value.size)
        if self.space.fits(database, need):
            written = self.upsert(database, row, only_if_absent, file)
            self.room.left -= need
            return written
        while True:
            enter(database)
            try:
                ready = self.space.make_room(database, need, strictly)
                if ready:
                    before = self.room.left
                    written = self.upsert(database, row, only_if_absent, file)
                    self.room.left -= need
                    if written and not self.limit.evicts:
                        self.space.refuse_if_full(database, before)
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            if ready:
                return written
            strictly = self.space.tidy_for_room(database, strictly)

    cdef bint upsert(self, Database database, const Row* row, bint only_if_absent, str file) except -1:
        """Run the upsert, or the insert. Returns whether the row was written."""
        cdef long long now = row.at if row.at else database.now()
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        cdef bint written
        cdef unsigned long long era
        while True:
            session = database.changing()
            statement = session.add if only_if_absent else session.set
            bind_row(statement, row, file)
            if not only_if_absent:
                statement.bind_integer(8, now)
            database.will_change(&row.key)
            changed = database.change(session, statement, row.value.size > LARGE)
            if changed >= 0:
                break
            wait = database.pause(wait)
        if changed:
            if file is not None:
                database.count_file(row.size)
            if database.depth == 0:
                database.follow_commit()
            written = True
        elif file is not None:
            # put_file has begun a block already.
            written = self.replace_row(database, row, only_if_absent, file, now)
        else:
            enter(database)
            try:
                database.will_change(&row.key)
                written = self.replace_row(database, row, only_if_absent, file, now)
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
        if row.expire != NEVER and not row.at:
            # A signal handler that comes in here may set the same key. Then what it has set is the last.
            era = database.own_era
            self.expiry.expect(database, row.expire)
            database.own_era = era
        return written

    cdef bint replace_row(self, Database database, const Row* row, bint only_if_absent, str file, long long now) except -1:
        """Put a row in the place of the one that SET or ADD has left alone; a transaction is open.

        ``now`` is the same as theirs: a clock that jumps in between must not make a set do nothing."""
        cdef Session session = database.writing()
        cdef Statement statement = session.statement(sql.ROW_OF_KEY)
        cdef long long place = 0
        cdef bint there = False
        cdef bint live = False
        cdef bint has_file = False
        statement.bind(1, &row.key)
        if statement.run() == STEP_ROW:
            begin_span(spans)
            there = True
            place = statement.column_integer(0)
            live = not statement.column_is_integer(1) or statement.column_integer(1) > now
            has_file = not statement.column_is_null(2)
            statement.reset()
            end_span(spans)
        if live and only_if_absent:
            return False
        if live:
            if has_file:
                database.change_row(session, sql.DROP_FILE, place)
                database.has_trash = True
            statement = session.statement(sql.REPLACE)
            bind_row(statement, row, file)
            statement.bind_integer(8, place)
        else:
            if there:
                database.change_row(session, sql.DELETE_ROW, place)
            statement = session.statement(sql.INSERT)
            bind_row(statement, row, file)
        database.change_locked(session, statement, False)
        # What was there is in the trash, and counts until it is unlinked.
        if file is not None:
            database.count_file(row.size)
        return True

    cdef int run_keyed(self, Database database, str text, const Cell* key, long long expire, long long now) except -1:
        """Run one of the statements whose parameters are a key, an expiry and now; returns how many rows it changed."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int changed
        # Calls for maintenance, which lets others come in, who may use the same statement: before anything is bound.
        if expire != NEVER:
            self.expiry.expect(database, expire)
        while True:
            session = database.changing()
            statement = session.statement(text)
            statement.bind(1, key)
            if text is sql.TOUCH:
                if expire == NEVER:
                    statement.bind_null(2)
                else:
                    statement.bind_integer(2, expire)
            statement.bind_integer(8, now)
            database.will_change(key)
            changed = database.change(session, statement, False)
            if changed >= 0:
                break
            wait = database.pause(wait)
        if database.depth == 0:
            database.follow_commit()
        return changed

    cdef Entry pop_native(self, Database database, const Cell* key, long long now):
        """Remove and return the live entry of a key if it is native and in the row, as one statement."""
        cdef Statement statement
        cdef BusyWait wait = None
        cdef Entry entry
        cdef int step
        while True:
            statement = database.changing().pop_native
            statement.bind(1, key)
            statement.bind_integer(8, now)
            database.will_change(key)
            step = statement.step()
            if step == STEP_ROW:
                begin_span(spans)
                try:
                    entry = read_entry(statement)
                except BaseException:
                    # Without memory for it, it stays where it is: to reset the statement would be to commit.
                    statement.undo()
                    raise
                finally:
                    end_span(spans)
                # The row is out for good once the statement is done, which includes the commit.
                step = statement.step(database.waits_for_disk())
                statement.reset()
                if step == STEP_DONE:
                    return entry
            elif step == STEP_DONE:
                statement.reset()
                return None
            wait = database.pause(wait)

    cdef bint increment_native(
            self, Database database, const Cell* key, long long delta, long long start, long long now, long long* total) except -1:
        """Add to a live native int, or insert the start, as one statement. False if it is neither."""
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int step
        while True:
            statement = database.changing().incr
            statement.bind(1, key)
            statement.bind_integer(2, delta)
            statement.bind_integer(3, start)
            statement.bind_integer(8, now)
            database.will_change(key)
            step = statement.step()
            if step == STEP_ROW:
                total[0] = statement.column_integer(0)
                step = statement.step(database.waits_for_disk())
                statement.reset()
                if step == STEP_DONE:
                    return True
            elif step == STEP_DONE:
                statement.reset()
                return False
            wait = database.pause(wait)

    cdef int make_room_for_number(self, Database database, const Cell* key) except -1:
        """Before a number is added to, which may insert a row."""
        cdef long long need = cost_of_row(key, 0)
        self.space.make_room_before(database, need)
        if (not self.limit.evicts and self.room.left - need < self.limit.reserve
                and not self.reads.contains(database, decode_key(cell_object(key), self.serializer))):
            self.space.raise_full(database)
        self.room.left -= need
        return 0
