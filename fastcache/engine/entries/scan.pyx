# cython: nonecheck=True
"""Looks at the whole table: rows in order, a portion at a time; sums; and the count, which is remembered.

What waits to be written is written first (Database.flush_first).
"""

cimport cython
from libc.string cimport memset

from fastcache.engine.database.sessions cimport Session
from fastcache.engine.shm.wal_clock cimport read, stands
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW, Statement

from fastcache.engine.sqlite import sql


cdef list scan(Database database, bint items, bint backward, long long* last, long long end, int limit):
    """The next rows in order of insertion, from beyond rowid ``last``, which is moved on, up to ``end`` (backward, that
    is where it began): one flat list of stored keys, and for ``items`` of key, codec, file, size and stored value."""
    cdef Session session
    cdef Statement statement
    cdef BusyWait wait = None
    cdef int columns = 6 if items else 2
    cdef int column, step
    cdef long long seen
    cdef list found
    cdef long long now = database.counted_from()
    database.flush_first()
    while True:
        found = []
        seen = last[0]
        session = database.reading()
        if items:
            statement = session.scan_items_back if backward else session.scan_items
        else:
            statement = session.scan_keys_back if backward else session.scan_keys
        if statement.ready():
            statement.bind_integer(1, seen)
            statement.bind_integer(2, limit)
            if not backward:
                statement.bind_integer(3, end)
            statement.bind_integer(8, now)
            step = statement.step()
            try:
                while step == STEP_ROW:
                    begin_span(spans)
                    try:
                        seen = statement.column_integer(0)
                        for column in range(1, columns):
                            found.append(statement.column_object(column))
                    finally:
                        end_span(spans)
                    step = statement.step()
            finally:
                statement.reset()
            if step == STEP_DONE:
                last[0] = seen
                return found
        wait = database.pause(wait)


cdef object scalar(Database database, str text, tuple parameters):
    """The single value of a statement that may walk the whole table: without the GIL where the writer lock is free."""
    cdef Session session
    cdef Statement statement
    cdef BusyWait wait = None
    database.flush_first()
    if not database.writer_lock.try_acquire():
        return scalar_beside(database, text, parameters)
    try:
        while True:
            session = database.reading() if database.read_only else database.writing()
            statement = session.statement(text)
            statement.bind_all(parameters)
            if statement.step(True) == STEP_ROW:
                return only_value(statement)
            wait = database.pause(wait)
    finally:
        database.writer_lock.release()


cdef object scalar_beside(Database database, str text, tuple parameters):
    """The same with the GIL, while another thread has the writer lock."""
    cdef Statement statement
    cdef BusyWait wait = None
    while True:
        statement = database.reading().statement(text)
        if statement.ready():
            statement.bind_all(parameters)
            if statement.step() == STEP_ROW:
                return only_value(statement)
        wait = database.pause(wait)


cdef object only_value(Statement statement):
    """The first column of the row that a statement stands on, which is then reset."""
    begin_span(spans)
    try:
        return statement.column_object(0)
    finally:
        statement.reset()
        end_span(spans)


@cython.final
cdef class Count(Participant):
    """How many live entries there are. Not counted again while nobody has committed and nothing has expired."""

    cdef object of(self, Database database):
        cdef Tick before
        cdef Session session
        cdef long long now = database.counted_from()
        cdef bint lasting
        database.flush_first()
        if database.clock == NULL or (database.depth != 0 and database.writer_lock.held_by_me()):
            return scalar(database, sql.COUNT, (now,))
        if stands(database.clock, &self.counted_at) and self.counted_from <= now < self.counted_until:
            return self.counted
        lasting = read(database.clock, &before)
        # As long as it is open, the clock's life does not end.
        session = database.writer
        counted = scalar(database, sql.COUNT, (now,))
        until = scalar(database, sql.NEXT_EXPIRY, (now,))
        if lasting and session is database.writer and database.clock != NULL and stands(database.clock, &before):
            self.counted = counted
            self.counted_from = now
            self.counted_until = until if type(until) is int else NEVER
            self.counted_at = before
        return counted

    cdef void detach(self) noexcept:
        memset(&self.counted_at, 0, sizeof(self.counted_at))
