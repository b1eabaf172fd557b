# cython: nonecheck=True
"""Eviction: removing entries that somebody else chooses, counting them, and telling ``on_evict``.

- **What is evicted from files is room only when they are unlinked**, which comes after the commit that evicts and before
  the one that writes. Inside a transaction that goes on there is no such place. There, what is evicted is unlinked at once:
  an eviction is never taken back, and may come at any time. Should the transaction be undone, these rows are there
  again, read as missing, and are deleted right after it (`dangling`); by somebody else, should this process be killed
  first.
- **What goes is told afterwards.** The keys that a transaction evicts are announced like all changes. `on_evict` is called
  with them by maintenance, once that has committed, without any lock.
"""

# Not by way of collections, which takes longer to import than all of this.
from _collections import deque

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.blobs.writers cimport is_ours
from fastcache.engine.codecs.keys cimport canonical_key, decode_key
from fastcache.engine.database.database cimport warn
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE, know_main_thread
from fastcache.engine.eviction.policies cimport NO_ROW
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement

from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError

cdef extern from *:
    """
    static void fastcache_drop_last(PyObject *list)
    {
        Py_ssize_t last = PyList_GET_SIZE(list) - 1;
        PyObject *dropped = PyList_GET_ITEM(list, last);
        Py_SET_SIZE((PyVarObject *)list, last);
        Py_DECREF(dropped);
    }
    """
    # As list.pop() does it, but that this never makes the list's memory smaller, for which it may need some.
    void drop_last "fastcache_drop_last"(object items) noexcept

# Entries that are evicted in one transaction of maintenance.
cdef Py_ssize_t EVICTED_AT_ONCE = 80
# How often in a row nothing that is named may be there.
cdef int MOST_FRUITLESS = 500
# What an entry takes beside its key and value, in bytes.
cdef long long ROW_COST = 64


@cython.final
cdef class Evictor(Participant):
    """Removes entries, and tells of it.

    Args:
        limit: whose policy says which.
        serializer: what decodes their keys.
        on_evict: called with the key and the reason; None for nobody.
    """

    def __cinit__(self, Limit limit, serializer, on_evict):
        if on_evict is not None and not callable(on_evict):
            raise TypeError(f"on_evict must be a callable that takes a key and a reason, not {type(on_evict).__name__}")
        if on_evict is not None:
            know_main_thread()
        self.limit = limit
        self.serializer = serializer
        self.on_evict = on_evict
        self.removed = []
        self.undelivered = deque()
        self.unlinked = []
        self.dangling = []

    # -- as a part of transactions ------------------------------------------------------------------------------

    cdef int discard_deferred(self, Database database) except -1:
        """What the innermost block has evicted is there again."""
        cdef long long block
        if not self.removed:
            return 0
        block = database.innermost_block()
        while self.removed and self.removed[len(self.removed) - 1][0] >= block:
            drop_last(self.removed)
            self.limit.look_again()
        return 0

    cdef int roll_back(self, Database database) except -1:
        if self.removed:
            self.limit.look_again()
        self.removed.clear()
        if self.unlinked or self.emptied_by:
            # What was taken out of the trash is there again.
            database.has_trash = True
            self.emptied_by = 0
            self.dangling += self.unlinked
            self.unlinked.clear()
        return 0

    cdef int settle(self, Database database) except -1:
        """Count what has gone, and have it told."""
        if self.removed:
            removed, self.removed = self.removed, []
            for _, reason, _, count in removed:
                if reason == "expired":
                    self.expirations += count
                elif reason == "evicted":
                    self.evictions += count
            if self.on_evict is not None:
                self.undelivered.extend(removed)
                database.schedule(0.0)
        self.unlinked.clear()
        return 0

    cdef int block_left(self, Database database, long long block, bint kept) except -1:
        """Delete again what an undone block had evicted, and whose file is gone."""
        if database.depth == 0:
            if self.dangling:
                self.drop_dangling(database)
        elif not kept and self.unlinked:
            self.drop_again(database, block)
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        # What was evicted is the parent's to tell.
        self.removed = []
        self.undelivered = deque()
        self.unlinked = []
        self.dangling = []
        return 0

    # -- removing -----------------------------------------------------------------------------------------------

    cdef Py_ssize_t evict_some(self, Database database, Session session, long long wanted, bint at_once) except -1:
        """In the open transaction, remove entries of about so many bytes, those first that have expired; at most
        EVICTED_AT_ONCE. Their files are unlinked ``at_once``, or go into the trash.

        Returns how many rows were named, some of which may have been gone; 0 also if all of them have been for too long (a
        access table of another database, a trigger that keeps rows from going)."""
        cdef Py_ssize_t named = 0
        cdef long long freed = 0, row, now = database.now()
        cdef bint expired = True
        self.limit.tidy(database)
        self.limit.policy.begin()
        while freed < wanted and named < EVICTED_AT_ONCE:
            row = NO_ROW
            if expired:
                row = self.expired_row(database, session, now)
                expired = row != NO_ROW
            if row == NO_ROW:
                row = self.limit.policy.choose(session)
            if row == NO_ROW:
                break
            named += 1
            freed += self.evict_row(database, session, row, "expired" if expired else "evicted", at_once)
        self.fruitless = 0 if freed else self.fruitless + 1
        return named if self.fruitless < MOST_FRUITLESS else 0

    cdef long long expired_row(self, Database database, Session session, long long now) except? -1:
        cdef Statement statement = session.statement(sql.EXPIRED_ROW)
        cdef long long row = NO_ROW
        statement.bind_integer(1, now)
        if statement.step() == STEP_ROW:
            row = statement.column_integer(0)
        statement.reset()
        return row

    cdef long long evict_row(self, Database database, Session session, long long row, str reason, bint at_once) except? -2:
        """Remove a row; returns about how many bytes it took, 0 if it was gone."""
        cdef Statement statement = session.statement(sql.ROW_TO_EVICT)
        cdef long long freed
        statement.bind_integer(1, row)
        if statement.step() != STEP_ROW:
            statement.reset()
            return 0
        begin_span(spans)
        try:
            stored = statement.column_object(0)
            freed = max(0, statement.column_integer(1)) + ROW_COST
            file = statement.column_object(2)
        finally:
            statement.reset()
            end_span(spans)
        self.announce(database, stored)
        if not database.change_row(session, sql.DELETE_ROW, row):
            return 0
        if file is not None:
            database.has_trash = True
            if at_once and is_ours(file):
                self.unlink_at_once(database, session, row, file)
        self.record_removal(database, stored, reason)
        return freed

    cdef int unlink_at_once(self, Database database, Session session, long long row, str file) except -1:
        """Unlink the file of a row that the open transaction has evicted."""
        # Should this process be killed, somebody has to notice.
        database.files.announce()
        self.unlinked.append((database.innermost_block(), row, file))
        if database.files.unlink(file):
            self.forget_file(database, session, file)
        return 0

    cdef int forget_file(self, Database database, Session session, str file) except -1:
        """In the open transaction, take a file that is gone out of the trash."""
        for (size,) in session.connection.query(sql.EMPTY_TRASH, (file,)):
            database.count_file(-(size if type(size) is int and size > 0 else 0))
        return 0

    cdef bint drop_row(self, Database database, Session session, long long row, str file, str reason) except -1:
        """In the open transaction, delete a row whose file is gone, if it still names that. Returns whether it did."""
        cdef Statement statement = session.statement(sql.ROW_TO_EVICT)
        statement.bind_integer(1, row)
        if statement.step() != STEP_ROW:
            statement.reset()
            return False
        begin_span(spans)
        try:
            stored = statement.column_object(0)
            named = statement.column_object(2)
        finally:
            statement.reset()
            end_span(spans)
        if named != file:
            return False
        self.announce(database, stored)
        database.change_row(session, sql.DELETE_ROW, row)
        self.forget_file(database, session, file)
        if reason is not None:
            self.record_removal(database, stored, reason)
        return True

    cdef int drop_again(self, Database database, long long block) except -1:
        """In the open transaction, whose block of this number was undone: delete the rows that it had evicted, and whose files
        are gone."""
        cdef Session session = database.writing()
        cdef Py_ssize_t index
        cdef long long now = database.innermost_block()
        for index in range(len(self.unlinked)):
            evicted_in, row, file = self.unlinked[index]
            if evicted_in >= block:
                self.unlinked[index] = (now, row, file)
                self.drop_row(database, session, row, file, "evicted")
        return 0

    cdef int drop_dangling(self, Database database) except -1:
        """The same for transactions that were undone as a whole; none is open."""
        cdef Session session
        dangling, self.dangling = self.dangling, []
        try:
            enter(database)
            try:
                session = database.writing()
                for _, row, file in dangling:
                    self.drop_row(database, session, row, file, "evicted")
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
        except BaseException as error:
            # They read as missing meanwhile. Maintenance tries again.
            self.dangling = dangling + self.dangling
            if not isinstance(error, CacheError):
                raise
            database.schedule(MAINTENANCE_PATIENCE)
        return 0

    cdef bint empty_older_trash(self, Database database, Session session) except -1:
        """In an open transaction, unlink what was in the trash before it: what it has put there itself may come back. Returns
        whether that was anything."""
        cdef bint any = False
        if self.emptied_by == database.blocks[0] or database.clock == NULL:
            return False
        self.emptied_by = database.blocks[0]
        if database.reader is None:
            database.open_reader()
        # What is committed, as another connection sees it.
        database.reader.release_snapshot()
        for (name,) in database.reader.connection.query(sql.ALL_TRASH):
            if type(name) is str and database.files.unlink(name):
                self.forget_file(database, session, name)
                any = True
        return any

    # -- telling ------------------------------------------------------------------------------------------------

    cdef int announce(self, Database database, object stored) except -1:
        """Have the commit to come announce a key, as a row has it."""
        cdef Cell cell
        if database.clock == NULL:
            return 0
        try:
            key = decode_key(stored, self.serializer)
            canonical_key(key, stored, self.serializer, &cell.hashed)
        except CacheError:
            return database.will_change_all()
        return database.will_change(&cell)

    cdef int record_removal(self, Database database, object stored, str reason, int count=1) except -1:
        """The open transaction has removed an entry, or so many that nobody is told of, to be counted if it commits."""
        self.removed.append((database.innermost_block(), reason, stored, count))
        return 0

    cdef int record_removals(self, Database database, int count, str reason, list rows) except -1:
        """The same for the entries of these keys, which are so many that not all of the keys may be there."""
        if self.on_evict is None:
            return self.record_removal(database, None, reason, count)
        for (stored,) in rows:
            self.record_removal(database, stored, reason)
        return 0

    cdef int notify(self, Database database) except -1:
        """Call ``on_evict`` with what has gone; without any lock."""
        if self.on_evict is None:
            return 0
        # What it evicts itself is for the next time.
        for _ in range(len(self.undelivered)):
            try:
                _, reason, stored, _ = self.undelivered.popleft()
            except IndexError:
                break
            try:
                self.on_evict(decode_key(stored, self.serializer), reason)
            except Exception as error:
                warn("on_evict of %r has failed: %s", database.directory, type(error).__name__)
        return 0
