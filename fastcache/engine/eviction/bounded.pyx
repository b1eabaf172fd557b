"""A database that keeps within a limit: how much room there is, and who makes it.

What is always true, and who keeps it so:

- **The directory occupies no more than max_size**: the pages of the database, the value files (those in the trash, until they
  are unlinked, and those that are about to be written), and the table of recency; not the WAL and the change log. Who
  writes knows before it does that there is room, or makes it in the same transaction. What may go beyond is what several
  processes write between their looks, and `reserve` is kept for that.
- **Room is counted in O(1)**: `room` is what is left, from the counts of pages and free pages in the database's header and
  that of bytes in files. It holds while the clock stands at `room_at`, the header's checksum when it was counted;
  our own commits move both on, each taking off a little more than it needs. After another process's, it is counted anew.
- **What is evicted from files is room only when they are unlinked**, which comes after the commit that evicts and before
  the one that writes. Inside a transaction that goes on there is no such place. There, what is evicted is unlinked at once:
  an eviction is never taken back, and may come at any time. Should the transaction be undone, these rows are there
  again, read as missing, and are deleted right after it (`dangling`); by somebody else, should this process be killed
  first. Where small entries are evicted, the room is in free pages: there a large value goes into its row. What the
  transaction itself has replaced or deleted stays until it is committed, and counts until then. If that leaves too
  little room, the call raises CacheFullError.
- **Eviction comes before the need.** Below `low`, maintenance is called, which evicts until `high` is left, some entries at
  a time. Only where it is late does the writer evict, and no more than what it needs itself, or little.
- **A file is reserved before it is written** (sql.RESERVE), so that what is being written counts, too. Inside a transaction
  nobody else can take the room that was made, and the file is written there.
- **What the dead leave is given back** by whoever notices (`look_around`): at opening, in maintenance (about once a
  second, as long as files are written), and when room is needed. These are temporary files, files without a row, rows
  without their file, and reservations; files.pyx tells how a death is known.
- **What goes is told afterwards.** The keys that a transaction evicts are announced like all changes. `on_evict` is called
  with them by maintenance, once that has committed, without any lock.

Free pages are used again by whatever comes next in the database, but not by files: where these need them, and where the
limit was lowered, pages go back to the file system a few at a time (https://sqlite.org/pragma.html#pragma_incremental_vacuum).
"""

import os
from time import monotonic

# Not by way of collections, which takes longer to import than all of this.
from _collections import deque

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.shm.change_log cimport settings_changed, settings_version
from fastcache.engine.shm.wal_clock cimport Tick, fingerprint, load, read
from fastcache.engine.sqlite.connection cimport CELL_BLOB, CELL_TEXT, STEP_ROW, BusyWait, Connection, Statement
from fastcache.engine.database.database cimport TENDING_PATIENCE, know_main_thread, warn
from fastcache.engine.eviction.policies cimport NO_ROW, Policy, meaning_of, policy_of
from fastcache.engine.blobs.files cimport is_ours
from fastcache.engine.shm.access_table cimport row_changed, use_row
from fastcache.engine.spans cimport begin_span, end_span, spans

from fastcache.engine.sqlite import sql
from fastcache.errors import (
    CacheError, CacheFullError, StorageError, Timeout, TooLargeError, TransactionError, system_error)

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

cdef extern from "<math.h>":
    double INFINITY

POLICIES = ("lru", "lfu", "sieve", "fifo", "ttl", "none")

# The parts of the limit at which maintenance is called, until which it evicts, and that stay free for what several
# processes write at the same time.
cdef long long LOW_SHARE = 64
cdef long long HIGH_SHARE = 32
cdef long long RESERVE_SHARE = 128
# Processes that may write at the same time, each without knowing of the others. With more, or without so much room, who
# writes looks for it under the write lock.
cdef long long AT_THE_SAME_TIME = 8
# More room than this in advance is of no use, in bytes.
cdef long long MOST_LOW = 16 << 20
# For how long a file waits for the database's to get shorter, in seconds.
cdef double TAIL_PATIENCE = 0.3
# How long nobody looks for what the dead have left, in seconds.
cdef double LOOK_PERIOD = 1.0
# Pages of an empty database, and some for the branches of its trees.
cdef long long EMPTY_PAGES = 13
# A limit that leaves room for something, in bytes.
SMALLEST_LIMIT = 131072
# Entries that are evicted in one transaction of maintenance.
cdef Py_ssize_t EVICTED_AT_ONCE = 80
# How often in a row nothing that is named may be there.
cdef int MOST_FRUITLESS = 500
# What an entry takes beside its key and value, in bytes.
cdef long long ROW_COST = 64
# SQLite's pages, and what they have room for.
cdef long long PAGE = 4096
cdef long long USABLE = 4080


cdef class Bounded(Database):
    """The limit of one database; see Store for the arguments."""

    def __init__(self, directory, *, on_evict=None, keeps_limit=True, **options):
        super().__init__(directory, **options)
        if on_evict is not None and not callable(on_evict):
            raise TypeError(f"on_evict must be a callable that takes a key and a reason, not {type(on_evict).__name__}")
        self.on_evict = on_evict
        if on_evict is not None:
            know_main_thread()
        self.keeps_limit = keeps_limit
        self.eviction = "lru"
        self.leaving = []
        self.gone = deque()
        self.unlinked = []
        self.dangling = []

    # What Store knows of keys.

    cdef int will_change_stored(self, object stored) except -1:
        """Have the commit to come announce a key, as a row has it."""
        return self.will_change_all()

    cdef object key_of_stored(self, object stored):
        """The key itself."""
        return stored

    # -- the limit and the policy -------------------------------------------------------------------------------

    cdef int open(self, dict asked) except -1:
        if asked.get("max_size") is not None:
            check_limit(asked["max_size"], self.settings["shards"])
        if asked.get("eviction") is not None and asked["eviction"] not in POLICIES:
            raise ValueError(f"eviction must be one of {', '.join(map(repr, POLICIES))}, not {asked['eviction']!r}")
        Database.open(self, asked)
        if any(asked.get(name) is not None for name in ("max_size", "eviction")):
            self.tell_settings()
        elif self.commit.ring != NULL:
            self.settings_seen = settings_version(self.commit.ring)
        # Maintenance may be called, and must not begin before this is done.
        self.turn.take(self.timeout)
        try:
            self.take_over_settings()
            if self.writer is not None:
                self.look_at_opening()
        finally:
            self.turn.give()
        return 0

    cdef void forget_clock(self) noexcept:
        Database.forget_clock(self)
        self.room_at = 0

    cdef int tell_settings(self) except -1:
        """Have the other objects look at the settings."""
        if self.commit.ring != NULL:
            settings_changed(self.commit.ring)
            self.settings_seen = settings_version(self.commit.ring)
        return 0

    cdef int prepare(self, Session session) except -1:
        if self.recency is not None:
            session.connection.watch_rows(row_changed, <void*>&self.recency.table)
        return 0

    cdef Session writing(self):
        cdef Session session = Database.writing(self)
        if self.commit.ring != NULL and settings_version(self.commit.ring) != self.settings_seen:
            self.follow_settings(session)
        return session

    cdef int follow_settings(self, Session session) except -1:
        """Another object has changed the limit or the policy."""
        cdef unsigned long long before = self.settings_seen
        self.settings_seen = settings_version(self.commit.ring)
        try:
            stored = dict(session.connection.query(sql.GET_META))
            self.settings = {**self.settings, **{name: stored.get(name) for name in ("max_size", "eviction")}}
            self.take_over_settings()
        except BaseException:
            # To be looked at again.
            self.settings_seen = before
            raise
        return 0

    cdef int take_over_settings(self) except -1:
        """Keep to the limit and the policy that are stored."""
        cdef long long limit
        usable = usable_settings(self.settings)
        self.total_size = usable["max_size"] if self.keeps_limit else 0
        limit = self.total_size // <long long>self.settings["shards"]
        self.eviction = usable["eviction"]
        self.max_size = limit
        self.fills_fast = limit != 0
        self.room_at = 0
        self.called_for_room = False
        # A statement may need a page or two for its trees, whatever the limit.
        self.reserve = min(max(limit // RESERVE_SHARE, 2 * PAGE), MOST_LOW // 2)
        self.low = min(max(limit // LOW_SHARE, self.reserve + PAGE), MOST_LOW)
        self.high = min(max(limit // HIGH_SHARE, self.reserve + 2 * PAGE), 2 * MOST_LOW)
        self.page_size = 4096
        self.use_recency(self.eviction if limit else "none")
        if self.writer is not None and limit:
            self.page_size = self.integer(self.writer, sql.PAGE_SIZE)
            if self.recency is not None:
                self.recency.begin_at(self.integer(self.writer, sql.NEWEST_ROW))
        self.largest = limit - self.high - EMPTY_PAGES * self.page_size
        if self.recency is not None:
            self.largest -= self.recency.size()
        if self.writer is not None and limit:
            # Calls maintenance if the limit was lowered.
            self.fits(0)
        return 0

    cdef int use_recency(self, str name) except -1:
        """Begin with a policy, and with the table that it wants."""
        cdef int meaning = meaning_of(name)
        cdef Recency before = self.recency
        cdef Recency recency = before
        cdef Policy policy
        if meaning == 0:
            recency = None
        elif before is None or <int>before.table.meaning != meaning:
            recency = self.open_recency(os.path.join(self.directory, "cache.recency"), meaning)
            if recency is None:
                name = "fifo"
        policy = policy_of(name, recency)
        # Nothing fails from here on, so that the table that is told of rows does not go while it is.
        self.recency = recency
        self.policy = policy
        if self.writer is not None and recency is not before:
            self.writer.connection.watch_rows(NULL, NULL)
            self.prepare(self.writer)
        return 0

    cdef Recency open_recency(self, str path, int meaning):
        """The table of recency; one that is damaged is replaced. None if there is none to be had."""
        try:
            try:
                return Recency(path, meaning, self.max_size)
            except ValueError:
                os.unlink(path)
                return Recency(path, meaning, self.max_size)
        except (OSError, ValueError) as error:
            warn("%r has no table of recency, and evicts what is oldest: %s", self.directory, error)
            return None

    def set_limit(self, max_size):
        """Change the limit, for all processes; what is too much goes before this returns. 0 for none."""
        max_size = check_limit(max_size, self.settings["shards"])
        self.turn.take(self.timeout)
        try:
            if self.depth:
                raise TransactionError("max_size is not to be set inside transact()")
            # Not after what waits to be written, for which there may be no room yet.
            self.writing().connection.query(sql.PUT_META, ("max_size", max_size))
            self.settings = {**self.settings, "max_size": max_size}
            self.tell_settings()
            self.take_over_settings()
        finally:
            self.turn.give()
        self.evict()

    def stored_limit(self):
        """The limit and the policy as they are stored now: dict."""
        stored = dict(self.read_rows(sql.GET_META))
        return {name: stored.get(name) for name in ("max_size", "eviction")}

    def adopt_limit(self, limit):
        """Keep to what ``stored_limit`` of another shard has said."""
        if limit == self.stored_limit():
            return
        self.turn.take(self.timeout)
        try:
            for name, value in limit.items():
                self.writing().connection.query(sql.PUT_META, (name, value))
            self.settings = {**self.settings, **limit}
            self.tell_settings()
            self.take_over_settings()
        finally:
            self.turn.give()

    # -- use ----------------------------------------------------------------------------------------------------

    cdef void use(self, Node* node) noexcept:
        """What the tier knows is used. Runs no Python code; `recency.follow` is for afterwards."""
        cdef unsigned int now = self.recency.now()
        if node.row and node.used_at != now:
            node.used_at = now
            use_row(self.recency.table, node.row)

    cdef int notice_settings(self) except -1:
        """Before a read: what another object has changed decides on whether use is told."""
        if (self.commit.ring != NULL and settings_version(self.commit.ring) != self.settings_seen
                and self.turn.take_if_free()):
            try:
                self.writing()
            finally:
                self.turn.give()
        return 0

    cdef int use_stored(self, long long row) except -1:
        """A row is used."""
        self.recency.follow()
        use_row(self.recency.table, <unsigned int>row)
        return 0

    cdef unsigned int row_written(self) noexcept:
        """What the tier is to know of the row that our last statement has written."""
        return <unsigned int>self.writer.connection.witness.row if self.recency is not None else 0

    # -- room ---------------------------------------------------------------------------------------------------

    cdef int refuse_too_large(self, const Cell* key, long long size) except -1:
        """Raise TooLargeError for what would not fit if nothing else was there."""
        cdef long long need = size + cost_of_row(key, 0)
        if self.max_size and need > self.largest:
            raise TooLargeError(
                f"{self.directory!r}: an entry of {need} bytes does not fit in a cache whose max_size is {self.limit_in_words()}; "
                "nothing was evicted for it")
        return 0

    cdef long long integer(self, Session session, str text) except? -1:
        """The one number that a statement without parameters tells; 0 for none."""
        cdef Statement statement = session.statement(text)
        cdef long long found = 0
        if statement.run() == STEP_ROW:
            begin_span(spans)
            found = statement.column_integer(0)
            statement.reset()
            end_span(spans)
        return found

    cdef long long trash(self, Session session) except -1:
        """Bytes of the files that are yet to be unlinked, after ``measure``."""
        return max(0, self.integer(session, sql.TRASH_BYTES)) if self.counted else 0

    cdef int measure(self, Session session) except -1:
        """Count the room there is."""
        cdef Tick now
        self.room_at = fingerprint(&now) if self.clock != NULL and read(self.clock, &now) else 0
        self.pages = self.integer(session, sql.PAGE_COUNT)
        self.free_pages = self.integer(session, sql.FREE_PAGES)
        self.counted = self.integer(session, sql.COUNTED_BYTES)
        self.room = self.max_size - (self.pages - self.free_pages) * self.page_size - self.counted
        if self.recency is not None:
            self.recency.follow()
            self.room -= self.recency.size()
        return 0

    cdef int follow_commit(self) except -1:
        Database.follow_commit(self)
        if self.room_at != 0:
            self.room_at = self.commit.left if fingerprint(&self.commit.before) == self.room_at else 0
        return 0

    cdef bint fits(self, long long need) except -1:
        """Whether there is room for so many bytes in rows, also if others write as much at the same time; calls maintenance
        if not for much more. The turn is held."""
        if (self.room_at == 0 or self.room - AT_THE_SAME_TIME * need < self.reserve
                or load(&self.clock[5]) != self.room_at):
            self.measure(self.writing())
        if self.room - need < self.low and not self.called_for_room and self.policy is not None:
            self.called_for_room = True
            self.call_keeper(0.0)
        return self.room - AT_THE_SAME_TIME * need >= self.reserve

    cdef bint make_room(self, long long need, bint strictly) except -1:
        """In the open transaction, evict until there is room for so many bytes in rows. False if files that were evicted
        have to be unlinked for that, after which it is to be tried anew; if that was in vain, not ``strictly``.

        Without a policy that evicts, whoever writes looks afterwards whether it has gone beyond (refuse_if_full)."""
        cdef Session session
        cdef long long before, trash = 0
        if self.depth > 1:
            # Inside a transaction of the user's.
            if (not self.make_room_inside(need) and self.policy is not None
                    and not self.integer(self.writing(), sql.COUNT_RESERVED)):
                self.raise_full()
            return True
        session = self.writing()
        self.measure(session)
        before = self.room
        while self.room - need < self.reserve:
            trash = self.trash(session)
            if self.room + trash - need >= self.reserve:
                return not strictly
            if not self.evict_some(session, 2 * need + self.reserve - self.room - trash, False):
                break
            self.measure(session)
            # The limit was lowered, which is not for one writer to make up for.
            if before < 0 and self.room + trash - before > 2 * need:
                return True
        if (self.room - need < self.reserve and self.policy is not None
                and not self.integer(session, sql.COUNT_RESERVED)):
            self.raise_full()
        # All the rest is reserved for files, which can be evicted soon.
        return True

    cdef bint make_room_inside(self, long long need) except -1:
        """In an open transaction that goes on, evict until there is room for so many bytes, in rows or in files; what is in
        files is unlinked at once. False if there is too little left to evict."""
        cdef Session session = self.writing()
        cdef long long before, missing
        self.measure(session)
        before = self.room
        while True:
            missing = self.reserve + need - self.room
            # The limit was lowered, which is not for one writer to make up for.
            if missing <= 0 or (before < 0 and self.room - before > 2 * need):
                return True
            if not self.empty_older_trash(session) and not self.evict_some(session, missing + min(need, 4 * PAGE), True):
                return False
            self.measure(session)

    cdef bint has_room_for_file(self, long long size) except -1:
        """Whether a file of this size, and its row, have room beside the file of the database as it is. Free pages cannot be
        given back inside a transaction: what has only room in them goes there."""
        return self.shortage(size) + PAGE + self.tail() <= 0

    cdef bint empty_older_trash(self, Session session) except -1:
        """In an open transaction, unlink what was in the trash before it: what it has put there itself may come back. Returns
        whether that was anything."""
        cdef bint any = False
        if self.emptied_by == self.blocks[0] or self.clock == NULL or not self.trash(session):
            return False
        self.emptied_by = self.blocks[0]
        if self.reader is None:
            self.open_reader()
        # What is committed, as another connection sees it.
        self.reader.let_go()
        for (name,) in self.reader.connection.query(sql.ALL_TRASH):
            if type(name) is str and self.files.unlink(name):
                self.forget_file(session, name)
                any = True
        return any

    cdef int make_room_before(self, long long need) except -1:
        """Before a statement or a transaction, as transactions of their own, make room for so many bytes in rows."""
        cdef bint ready = self.fits(need)
        cdef bint strictly = True
        while not ready:
            self.enter()
            try:
                ready = self.make_room(need, strictly)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            if not ready:
                strictly = self.tidy_for_room(strictly)
        return 0

    cdef int refuse_if_full(self, long long before) except -1:
        """In the open transaction, raise CacheFullError if what was written since has gone beyond the limit."""
        cdef Session session = self.writing()
        self.measure(session)
        if self.room < self.reserve and self.room + self.trash(session) < before:
            self.raise_full()
        return 0

    cdef int raise_full(self) except -1:
        why = "nothing is ever evicted from it" if self.policy is None else "what is left cannot be evicted just now"
        raise CacheFullError(
            f"{self.directory!r}: the cache is full (max_size is {self.limit_in_words()}), and {why}; delete something, or "
            "raise max_size. Nothing was changed")

    cdef str limit_in_words(self):
        if self.total_size == self.max_size:
            return f"{self.max_size} bytes"
        return f"{self.total_size} bytes, {self.max_size} in each shard"

    cdef Py_ssize_t evict_some(self, Session session, long long wanted, bint at_once) except -1:
        """In the open transaction, remove entries of about so many bytes, those first that have expired; at most
        EVICTED_AT_ONCE. Their files are unlinked ``at_once``, or go into the trash. Returns how many rows were named, some of which may have been gone; 0 also if all of them have been
        for too long (a table of recency of another database, a trigger that keeps rows from going)."""
        cdef Py_ssize_t named = 0
        cdef long long freed = 0, row, now = self.now()
        cdef bint expired = True
        if self.recency is not None:
            try:
                self.recency.tidy()
            except OSError as error:
                warn("the table of recency of %r cannot grow: %s", self.directory, error)
        if self.policy is not None:
            self.policy.begin()
        while freed < wanted and named < EVICTED_AT_ONCE:
            row = NO_ROW
            if expired:
                row = self.expired_row(session, now)
                expired = row != NO_ROW
            if row == NO_ROW and self.policy is not None:
                row = self.policy.choose(session)
            if row == NO_ROW:
                break
            named += 1
            freed += self.evict_row(session, row, "expired" if expired else "evicted", at_once)
        self.fruitless = 0 if freed else self.fruitless + 1
        return named if self.fruitless < MOST_FRUITLESS else 0

    cdef long long expired_row(self, Session session, long long now) except? -1:
        cdef Statement statement = session.statement(sql.EXPIRED_ROW)
        cdef long long row = NO_ROW
        statement.bind_integer(1, now)
        if statement.step() == STEP_ROW:
            row = statement.column_integer(0)
        statement.reset()
        return row

    cdef long long evict_row(self, Session session, long long row, str reason, bint at_once) except? -2:
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
        self.will_change_stored(stored)
        if not self.change_row(session, sql.DELETE_ROW, row):
            return 0
        if file is not None:
            self.has_trash = True
            if at_once and is_ours(file):
                self.unlink_at_once(session, row, file)
        self.leaves(stored, reason)
        return freed

    cdef int unlink_at_once(self, Session session, long long row, str file) except -1:
        """Unlink the file of a row that the open transaction has evicted."""
        # Should this process be killed, somebody has to notice.
        self.files.announce()
        self.unlinked.append((self.block(), row, file))
        if self.files.unlink(file):
            self.forget_file(session, file)
        return 0

    cdef int forget_file(self, Session session, str file) except -1:
        """In the open transaction, take a file that is gone out of the trash."""
        for (size,) in session.connection.query(sql.EMPTY_TRASH, (file,)):
            self.count_file(-(size if type(size) is int and size > 0 else 0))
        return 0

    cdef bint drop_row(self, Session session, long long row, str file, str reason) except -1:
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
        self.will_change_stored(stored)
        self.change_row(session, sql.DELETE_ROW, row)
        self.forget_file(session, file)
        if reason is not None:
            self.leaves(stored, reason)
        return True

    cdef int drop_again(self, long long block) except -1:
        """In the open transaction, whose block of this number was undone: delete the rows that it had evicted, and whose files
        are gone."""
        cdef Session session = self.writing()
        cdef Py_ssize_t index
        cdef long long now = self.block()
        for index in range(len(self.unlinked)):
            evicted_in, row, file = self.unlinked[index]
            if evicted_in >= block:
                self.unlinked[index] = (now, row, file)
                self.drop_row(session, row, file, "evicted")
        return 0

    cdef int drop_dangling(self) except -1:
        """The same for transactions that were undone as a whole; none is open."""
        cdef Session session
        dangling, self.dangling = self.dangling, []
        try:
            self.enter()
            try:
                session = self.writing()
                for _, row, file in dangling:
                    self.drop_row(session, row, file, "evicted")
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
        except BaseException as error:
            # They read as missing meanwhile. Maintenance tries again.
            self.dangling = dangling + self.dangling
            if not isinstance(error, CacheError):
                raise
            self.call_keeper(TENDING_PATIENCE)
        return 0

    cdef int leave(self, bint keep) except -1:
        cdef long long block
        if not self.unlinked and not self.dangling:
            return Database.leave(self, keep)
        block = self.block()
        # So that nobody comes in between.
        self.turn.take(self.timeout)
        try:
            Database.leave(self, keep)
            if self.depth == 0:
                if self.dangling:
                    self.drop_dangling()
            elif not keep and self.unlinked:
                self.drop_again(block)
        finally:
            self.turn.give()
        return 0

    cdef int leaves(self, object stored, str reason, int count=1) except -1:
        """The open transaction has removed an entry, or so many that nobody is told of, to be counted if it commits."""
        self.leaving.append((self.block(), reason, stored, count))
        return 0

    cdef int leave_together(self, int count, str reason, list rows) except -1:
        """The same for the entries of these keys, which are so many that not all of the keys may be there."""
        if self.on_evict is None:
            return self.leaves(None, reason, count)
        for (stored,) in rows:
            self.leaves(stored, reason)
        return 0

    cdef int count_file(self, long long size) except -1:
        # Until it is counted anew.
        self.room -= size
        return Database.count_file(self, size)

    cdef int forget_put_off(self) except -1:
        """The innermost block is undone, and what it has evicted is there again."""
        block = self.block()
        while self.leaving and self.leaving[len(self.leaving) - 1][0] >= block:
            drop_last(self.leaving)
            if self.recency is not None:
                self.recency.look_again()
        self.room_at = 0
        return 0

    cdef int roll_back(self, Session session) except -1:
        if self.leaving and self.recency is not None:
            self.recency.look_again()
        self.leaving.clear()
        self.room_at = 0
        if self.unlinked or self.emptied_by:
            # What was taken out of the trash is there again.
            self.has_trash = True
            self.emptied_by = 0
            self.dangling += self.unlinked
            self.unlinked.clear()
        return Database.roll_back(self, session)

    cdef int settle(self) except -1:
        try:
            self.settle_room()
        finally:
            # Whatever comes in between.
            Database.settle(self)
        return 0

    cdef int settle_room(self) except -1:
        """After a commit: count what has gone, and have maintenance see to room and to who may have died."""
        if self.leaving:
            leaving, self.leaving = self.leaving, []
            for _, reason, _, count in leaving:
                if reason == "expired":
                    self.expirations += count
                elif reason == "evicted":
                    self.evictions += count
            if self.on_evict is not None:
                self.gone.extend(leaving)
                self.call_keeper(0.0)
        self.unlinked.clear()
        if self.files.number and not self.look_due:
            self.look_out()
        if self.max_size and self.has_trash:
            # Until these are unlinked, there is less room.
            self.call_keeper(0.0)
        return 0

    cdef int tell(self) except -1:
        """Call ``on_evict`` with what has gone; without any lock."""
        if self.on_evict is None:
            return 0
        # What it evicts itself is for the next time.
        for _ in range(len(self.gone)):
            try:
                _, reason, stored, _ = self.gone.popleft()
            except IndexError:
                break
            try:
                self.on_evict(self.key_of_stored(stored), reason)
            except Exception as error:
                warn("on_evict of %r has failed: %s", self.directory, type(error).__name__)
        return 0

    # -- files --------------------------------------------------------------------------------------------------

    cdef long long shortage(self, long long size) noexcept:
        """Bytes that are missing for a file of this size. Free pages are no room for it."""
        return size + self.reserve + self.free_pages * self.page_size - self.room

    cdef long long tail(self) except -1:
        """Bytes that the database file has beyond its pages: what was vacuumed leaves it when all of the WAL was copied."""
        return max(0, self.length() - self.pages * self.page_size)

    cdef long long length(self) except -1:
        """Bytes of the database file."""
        try:
            return os.stat(self.path).st_size
        except OSError as error:
            raise system_error(error.errno, f"look at {self.path!r}") from error

    cdef bint make_room_for_file(self, long long size, bint strictly) except -1:
        """In the open transaction, evict until a file of this size has room. Returns whether it has already; if not, what
        was evicted has yet to be unlinked, or to leave the database file (if that counts, ``strictly``)."""
        cdef Session session = self.writing()
        cdef long long missing, trash, tail
        cdef Py_ssize_t named = 1
        while True:
            self.measure(session)
            tail = self.tail() if strictly else 0
            missing = self.shortage(size) + tail
            if missing <= 0:
                return True
            trash = self.trash(session)
            missing -= trash + self.free_pages * self.page_size + tail
            if missing <= 0:
                return False
            if named == 0:
                if not self.integer(session, sql.COUNT_RESERVED):
                    self.raise_full()
                # Others have reserved what is left.
                return not strictly
            named = self.evict_some(session, missing, False)

    cdef int reserve_file(self, str name, long long size) except -1:
        """Make room for a file, and keep it until it is written; without a name, only make it.

        What is waited for is a little while what others have reserved, and that the database file gets shorter: a reader of
        another program may keep it from that for as long as it likes, and a thread of ours may need the turn."""
        cdef BusyWait wait = BusyWait(self.timeout, "waiting for room that others have reserved")
        cdef bint done = False
        cdef bint looked = False
        while True:
            self.turn.take(self.timeout)
            try:
                if not looked:
                    looked = True
                    self.look_before_evicting(size)
                self.enter()
                try:
                    done = self.make_room_for_file(size, wait.waited < TAIL_PATIENCE)
                    if done and name is not None:
                        self.writing().connection.query(sql.RESERVE, (name, size))
                        self.count_file(size)
                except BaseException:
                    self.leave(False)
                    raise
                self.leave(True)
                if done:
                    return 0
                done = self.tidy_for_room(wait.waited < TAIL_PATIENCE)
            finally:
                self.turn.give()
            if not done:
                self.pause(wait)

    cdef int look_before_evicting(self, long long size) except -1:
        """If so many bytes have no room, and some are reserved: what the dead have reserved goes first. No transaction is open,
        and the turn is held."""
        cdef Session session = self.writing()
        self.measure(session)
        if self.depth == 0 and self.shortage(size) > self.trash(session) and self.integer(session, sql.COUNT_RESERVED):
            self.look_around()
        return 0

    cdef bint tidy_for_room(self, bint strictly) except -1:
        """Unlink what is in the trash, give free pages back (``strictly``, only if ``tail`` will tell of them), and drop what
        the dead have reserved; no transaction is open. Returns whether that was anything."""
        cdef Session session
        cdef bint any = False
        cdef long long trash
        session = self.writing()
        self.measure(session)
        trash = self.trash(session)
        if trash:
            self.empty_trash(self.timeout)
            session = self.writing()
            self.measure(session)
            # A system may not let go of a file that somebody has open.
            any = self.trash(session) < trash
        if self.free_pages and (self.lengthen(not strictly) or not strictly) and self.vacuum_some(self.writing()):
            any = True
        any = self.shorten(False) or any
        return self.look_around() or any

    cdef bint shorten(self, bint patiently) except -1:
        """Copy all of the WAL if the database file is longer than its pages, and so make it shorter. ``patiently``, wait a
        little for readers. Returns whether it is shorter now. The turn is held."""
        self.measure(self.writing())
        if self.tail() == 0:
            return False
        self.copy_wal(patiently)
        return self.tail() == 0

    cdef bint lengthen(self, bint patiently) except -1:
        """Before free pages are given back, copy the WAL if the database file is shorter than its pages: or else a checkpoint
        that is under way makes it as long as that after somebody has looked at its ``tail``. Returns whether it is as long
        now. The turn is held."""
        self.measure(self.writing())
        if self.length() < self.pages * self.page_size:
            self.copy_wal(patiently)
        return self.length() >= self.pages * self.page_size

    cdef int copy_wal(self, bint patiently) except -1:
        cdef Session session = self.writing()
        # Maintenance may be at it.
        tending = self.tending
        tending.acquire()
        try:
            session.connection.checkpoint(patiently)
        finally:
            tending.release()
        return 0

    cdef bint give_back(self, object name) except -1:
        """In the open transaction, drop a reservation. Returns whether there was one."""
        rows = self.writing().connection.query(sql.GIVE_BACK, (name,))
        if rows:
            self.count_file(-(rows[0][0] if type(rows[0][0]) is int else 0))
        return bool(rows)

    cdef bint release_dead(self) except -1:
        """Drop what the dead have reserved, and what we have and could not drop. Returns whether there was anything."""
        cdef bint any = False
        self.turn.take(self.timeout)
        try:
            if not self.writing().connection.query(sql.LIST_RESERVED):
                self.owes_room = False
                return False
            self.enter()
            try:
                # Under the lock: a file that is written by now is reserved no more.
                for name, _ in self.writing().connection.query(sql.LIST_RESERVED):
                    if self.files.is_settled(name) and self.give_back(name):
                        any = True
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            self.owes_room = False
        finally:
            self.turn.give()
        return any

    # -- what the dead have left --------------------------------------------------------------------------------

    cdef int look_at_opening(self) except -1:
        """What cannot be done now is left to maintenance: neither a full disk nor a long transaction keeps anybody from
        opening."""
        self.tended_by = <unsigned long>PyThread_get_thread_ident()
        try:
            # Those of writers that had no number, too.
            self.release_dead()
            self.look_around()
            self.room_at = 0
        except Timeout:
            self.call_keeper(LOOK_PERIOD)
        except CacheError as error:
            warn("what others have left in %r stays for now: %s", self.directory, error)
        finally:
            self.tended_by = 0
        return 0

    cdef int look_out(self) except -1:
        """While files are written here, others may die: have somebody look around soon."""
        self.look_due = True
        try:
            attended = self.call_keeper(LOOK_PERIOD)
        except BaseException:
            self.look_due = False
            raise
        if not attended:
            self.look_due = False
            if monotonic() - self.looked_at >= LOOK_PERIOD and self.depth == 0:
                # Before anything that it commits has it look out, too.
                self.looked_at = monotonic()
                try:
                    self.look_around()
                except CacheError as error:
                    warn("what others have left in %r stays for now: %s", self.directory, error)
        return 0

    cdef double tend_files(self) except? -1.0:
        """Look around if it is time, which is about once a second; returns in how many seconds it will be."""
        cdef double wait = self.looked_at + LOOK_PERIOD - monotonic()
        if wait <= 0.0 or self.owes_room or self.dangling:
            self.look_around()
            return INFINITY
        return wait if self.look_due else INFINITY

    cdef bint look_around(self) except -1:
        """Give back what dead writers have left; no transaction is open. Returns whether there was any."""
        cdef bint any = self.files.abandoned(remove=True) != 0
        cdef list dead = self.files.dead_writers()
        if dead:
            # What they were about to unlink, first.
            self.empty_trash(TENDING_PATIENCE if self.is_maintenance() else self.timeout)
            self.reclaim(dead)
            any = True
        if self.owes_room:
            any = self.release_dead() or any
        if self.dangling:
            self.drop_dangling()
        self.files.rest()
        self.looked_at = monotonic()
        self.look_due = False
        return any

    cdef int reclaim(self, list dead) except -1:
        """Unlink the files that no row names, and delete the rows whose file is gone, then the markers of the dead.

        The files are listed, and the snapshot of the rows is taken, while this has the write lock: then nobody is between giving
        a file its name and committing its row, or has evicted what is not committed. So what does not match then never
        will, whoever is dead or alive, and the comparison itself keeps nobody waiting."""
        cdef Connection connection
        cdef int stay = 0
        self.turn.take(min(self.timeout, TENDING_PATIENCE) if self.is_maintenance() else self.timeout)
        try:
            connection = self.connect()
            try:
                self.enter()
                try:
                    there = set(self.files.names())
                    connection.query(sql.BEGIN_SNAPSHOT)
                    trash = connection.query(sql.ALL_TRASH)
                finally:
                    self.leave(False)
                rows = connection.query(sql.FILE_ROWS, (), True)
            finally:
                connection.close(False)
            for name in there.difference([name for _, name, _ in rows], [name for (name,) in trash]):
                stay += not self.files.unlink(name)
            lost = [(row, name) for row, name, _ in rows if is_ours(name) and name not in there]
            if lost:
                self.drop_lost(lost)
            self.release_dead()
            if stay:
                warn("files that dead writers have left in %r cannot be removed: %s", self.files.folder, stay)
                return 0
            for marker in dead:
                self.files.forget_writer(marker)
        finally:
            self.turn.give()
        return 0

    cdef int drop_lost(self, list lost) except -1:
        """Delete rows whose files are not there, unless all of the folder is not."""
        cdef Session session
        self.enter()
        try:
            session = self.writing()
            for row, name in lost:
                if self.files.size(name) is None:
                    self.drop_row(session, row, name, None)
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return 0

    # -- what people and maintenance ask for --------------------------------------------------------------------

    cdef int tend_room(self) except -1:
        """Evict ahead of need, if little room is left."""
        cdef Session session
        cdef Py_ssize_t named = 1
        cdef long long goal = self.low
        self.called_for_room = False
        if self.max_size == 0 or self.policy is None:
            return 0
        self.turn.take(TENDING_PATIENCE)
        try:
            self.look_before_evicting(goal)
        finally:
            self.turn.give_way()
        while named:
            self.turn.take(TENDING_PATIENCE)
            try:
                session = self.writing()
                self.measure(session)
                # What is evicted makes room when it is unlinked.
                if self.room + self.trash(session) >= goal:
                    break
                goal = self.high
                self.enter()
                try:
                    named = self.evict_some(session, goal - self.room, False)
                except BaseException:
                    self.leave(False)
                    raise
                self.leave(True)
            finally:
                self.turn.give_way()
            if self.has_trash:
                self.empty_trash(TENDING_PATIENCE)
            if self.checkpoint_due:
                # Which must not wait until there is room for good.
                self.call_keeper(0.0)
                return 0
        # Where the limit was lowered.
        while self.max_size and self.shortage(0) > self.reserve and self.free_pages:
            self.turn.take(TENDING_PATIENCE)
            try:
                if not self.lengthen(True) or not self.vacuum_some(self.writing()):
                    break
                self.shorten(True)
            finally:
                self.turn.give()
        return 0

    def evict(self):
        """Bring what is stored under the limit; returns how many entries that has removed."""
        cdef Session session
        cdef Py_ssize_t named = 1, removed = 0, before
        while self.max_size and named:
            self.turn.take(self.timeout)
            try:
                session = self.writing()
                self.measure(session)
                if self.room + self.trash(session) >= self.reserve:
                    break
                self.enter()
                try:
                    before = len(self.leaving)
                    named = self.evict_some(session, self.reserve - self.room, self.depth > 1)
                    removed += len(self.leaving) - before
                except BaseException:
                    self.leave(False)
                    raise
                self.leave(True)
                if self.has_trash and self.depth == 0:
                    self.empty_trash(self.timeout)
            finally:
                self.turn.give()
        while self.max_size and not self.turn.is_mine():
            self.turn.take(self.timeout)
            try:
                self.measure(self.writing())
                if self.shortage(0) <= self.reserve or not self.tidy_for_room(False):
                    self.shorten(True)
                    break
            finally:
                self.turn.give()
        return removed

    cdef bint vacuum_some(self, Session session) except -1:
        """Give some free pages back, as a transaction. Returns whether there were any."""
        cdef Statement statement
        cdef long long before = self.integer(session, sql.FREE_PAGES)
        self.enter()
        try:
            statement = self.writing().statement(sql.VACUUM_SOME)
            while statement.step(True) == STEP_ROW:
                pass
            statement.reset()
        except BaseException:
            self.leave(False)
            raise
        self.leave(True)
        return self.integer(self.writing(), sql.FREE_PAGES) < before

    def vacuum(self):
        """Give the free pages back to the file system; returns how many bytes that were.

        Raises:
            TransactionError: inside a transaction.
        """
        cdef Session session
        cdef long long before = -1
        cdef bint left = True
        while left:
            self.turn.take(self.timeout)
            try:
                if self.depth:
                    raise TransactionError("vacuum() is not for use inside transact()")
                if before < 0:
                    before = self.integer(self.writing(), sql.FREE_PAGES)
                self.lengthen(True)
                left = self.vacuum_some(self.writing())
            finally:
                self.turn.give()
        self.turn.take(self.timeout)
        try:
            self.shorten(True)
            return (before - min(before, self.integer(self.writing(), sql.FREE_PAGES))) * self.page_size
        finally:
            self.turn.give()

    def renew(self):
        """Start anew in a child: what was evicted is the parent's to tell."""
        super().renew()
        self.leaving = []
        self.gone = deque()
        self.room_at = 0
        self.called_for_room = False
        self.unlinked = []
        self.dangling = []
        self.look_due = False
        self.owes_room = False

    def close(self):
        super().close()
        self.tell()


def usable_settings(stored):
    """The limit and the policy among settings that somebody may have damaged."""
    size, name = stored.get("max_size"), stored.get("eviction")
    smallest = SMALLEST_LIMIT * stored["shards"]
    return {
        "max_size": size if type(size) is int and smallest <= size < 1 << 62 else 0,
        "eviction": name if name in POLICIES else "lru"}


cdef long long cost_of_row(const Cell* key, long long size) noexcept:
    """Bytes that an entry takes in the database: its share of a page of rows, or pages of its own, and of one of the index of
    keys, two thirds of which are used (https://sqlite.org/fileformat.html#b_tree_pages)."""
    cdef long long key_size = key.size if key.kind in (CELL_TEXT, CELL_BLOB) else 9
    cdef long long cell = size + key_size + 24
    if cell <= USABLE:
        cell = PAGE // (USABLE // cell)
    else:
        cell = (cell // USABLE + 2) * PAGE
    return cell + 3 * (key_size + 12) // 2


cdef long long check_limit(object max_size, int shards) except -1:
    if isinstance(max_size, bool) or not isinstance(max_size, int):
        raise TypeError(f"max_size must be a number of bytes (int), not {type(max_size).__name__}")
    if max_size != 0 and not SMALLEST_LIMIT * shards <= max_size < 1 << 62:
        each = f"{SMALLEST_LIMIT} bytes" + (f" for each of the {shards} shards" if shards > 1 else "")
        raise ValueError(
            f"max_size must be 0 for no limit, or at least {each}, of which an empty cache takes most; not {max_size}")
    return max_size
