# cython: nonecheck=True
"""Keeping within the limit: who makes room, and when.

What is always true, and who keeps it so:

- **The directory occupies no more than max_size**: the pages of the database, the value files (those in the trash, until they
  are unlinked, and those that are about to be written), and the access table; not the WAL and the change log. Who
  writes knows before it does that there is room, or makes it in the same transaction. What may go beyond is what several
  processes write between their looks, and `reserve` is kept for that.
- **Room is counted in O(1)** (room.pyx).
- **What is evicted from files is room only when they are unlinked** (evict.pyx). Inside a transaction that goes on, that is at
  once. Where small entries are evicted, the room is in free pages: there a large value goes into its row. What the
  transaction itself has replaced or deleted stays until it is committed, and counts until then. If that leaves too
  little room, the call raises CacheFullError.
- **Eviction comes before the need.** Below `low`, maintenance is called, which evicts until `high` is left, some entries at
  a time. Only where it is late does the writer evict, and no more than what it needs itself, or little.
- **A file is reserved before it is written** (sql.RESERVE), so that what is being written counts, too. Inside a transaction
  nobody else can take the room that was made, and the file is written there.
- **What the dead leave is given back** by whoever notices (leftovers.pyx).

Free pages are used again by whatever comes next in the database, but not by files: where these need them, and where the
limit was lowered, pages go back to the file system (vacuum.pyx).
"""

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.database.trash cimport empty_trash
from fastcache.engine.eviction.limit cimport PAGE, check_limit
from fastcache.engine.eviction.vacuum cimport lengthen, shorten, vacuum_some
from fastcache.engine.shm.wal_clock cimport load
from fastcache.engine.sqlite.busy cimport BusyWait

from fastcache.engine.database import reserve
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheFullError, TransactionError

# Processes that may write at the same time, each without knowing of the others. With more, or without so much room, who
# writes looks for it under the write lock.
cdef long long AT_THE_SAME_TIME = 8
# For how long a file waits for the database's to get shorter, in seconds.
cdef double TAIL_PATIENCE = 0.3


@cython.final
cdef class Space(Participant):
    """Makes room within a limit."""

    def __cinit__(self, Limit limit, Room room, Evictor evictor, Leftovers leftovers, Checkpoints checkpoints):
        self.limit = limit
        self.room = room
        self.evictor = evictor
        self.leftovers = leftovers
        self.checkpoints = checkpoints

    # -- the settings -------------------------------------------------------------------------------------------

    cdef int settings_changed(self, Database database, Session session) except -1:
        """Another object has changed the limit or the policy."""
        stored = dict(session.connection.query(sql.GET_META))
        return self.take_over(database, {name: stored.get(name) for name in ("max_size", "eviction")})

    cdef int take_over(self, Database database, dict changed) except -1:
        """Keep to these settings, which are stored; called for the first time when the database was opened."""
        database.settings = {**database.settings, **changed}
        self.limit.take_over(database)
        self.checkpoints.keep_within(database, self.limit.max_size)
        self.room.left_at = 0
        self.called_for_room = False
        if database.writer is not None and self.limit.max_size:
            # Calls maintenance if the limit was lowered.
            self.fits(database, 0)
        return 0

    cdef int settle(self, Database database) except -1:
        if self.limit.max_size and database.has_trash:
            # Until these are unlinked, there is less room.
            database.schedule(0.0)
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        self.called_for_room = False
        return 0

    cdef int set_limit(self, Database database, object given) except -1:
        """Change the limit, for all processes; what is too much goes before this returns. 0 for none."""
        cdef long long max_size = check_limit(given, database.settings["shards"])
        database.writer_lock.acquire(database.timeout)
        try:
            if database.depth:
                raise TransactionError("max_size is not to be set inside transact()")
            # Not after what waits to be written, for which there may be no room yet.
            database.writing().connection.query(sql.PUT_META, ("max_size", max_size))
            database.tell_settings()
            self.take_over(database, {"max_size": max_size})
            self.checkpoints.lacks_reserve = reserve.keep(database.directory, database.settings)
        finally:
            database.writer_lock.release()
        self.evict(database)
        return 0

    cdef dict stored_limit(self, Database database):
        """The limit and the policy as they are stored now: dict."""
        stored = dict(database.read_rows(sql.GET_META))
        return {name: stored.get(name) for name in ("max_size", "eviction")}

    cdef int adopt_limit(self, Database database, dict limit) except -1:
        """Keep to what ``stored_limit`` of another shard has said."""
        if limit == self.stored_limit(database):
            return 0
        database.writer_lock.acquire(database.timeout)
        try:
            for name, value in limit.items():
                database.writing().connection.query(sql.PUT_META, (name, value))
            database.tell_settings()
            self.take_over(database, limit)
            self.checkpoints.lacks_reserve = reserve.keep(database.directory, database.settings)
        finally:
            database.writer_lock.release()
        return 0

    # -- for rows -----------------------------------------------------------------------------------------------

    cdef bint fits(self, Database database, long long need) except -1:
        """Whether there is room for so many bytes in rows, also if others write as much at the same time; calls maintenance
        if not for much more. The writer lock is held."""
        if (self.room.left_at == 0 or self.room.left - AT_THE_SAME_TIME * need < self.limit.reserve
                or load(&database.clock[5]) != self.room.left_at):
            self.room.measure(database, database.writing())
        if self.room.left - need < self.limit.low and not self.called_for_room and self.limit.evicts:
            self.called_for_room = True
            database.schedule(0.0)
        return self.room.left - AT_THE_SAME_TIME * need >= self.limit.reserve

    cdef bint make_room(self, Database database, long long need, bint strictly) except -1:
        """In the open transaction, evict until there is room for so many bytes in rows. False if files that were evicted
        have to be unlinked for that, after which it is to be tried anew; if that was in vain, not ``strictly``.

        Without a policy that evicts, whoever writes looks afterwards whether it has gone beyond (refuse_if_full)."""
        cdef Session session
        cdef long long before, trash = 0
        if database.depth > 1:
            # Inside a transaction of the user's.
            if (not self.make_room_inside(database, need) and self.limit.evicts
                    and not database.integer(database.writing(), sql.COUNT_RESERVED)):
                self.raise_full(database)
            return True
        session = database.writing()
        self.room.measure(database, session)
        before = self.room.left
        while self.room.left - need < self.limit.reserve:
            trash = self.room.trash(database, session)
            if self.room.left + trash - need >= self.limit.reserve:
                return not strictly
            if not self.evictor.evict_some(database, session, 2 * need + self.limit.reserve - self.room.left - trash, False):
                break
            self.room.measure(database, session)
            # The limit was lowered, which is not for one writer to make up for.
            if before < 0 and self.room.left + trash - before > 2 * need:
                return True
        if (self.room.left - need < self.limit.reserve and self.limit.evicts
                and not database.integer(session, sql.COUNT_RESERVED)):
            self.raise_full(database)
        # All the rest is reserved for files, which can be evicted soon.
        return True

    cdef bint make_room_inside(self, Database database, long long need) except -1:
        """In an open transaction that goes on, evict until there is room for so many bytes, in rows or in files; what is in
        files is unlinked at once. False if there is too little left to evict."""
        cdef Session session = database.writing()
        cdef long long before, missing
        self.room.measure(database, session)
        before = self.room.left
        while True:
            missing = self.limit.reserve + need - self.room.left
            # The limit was lowered, which is not for one writer to make up for.
            if missing <= 0 or (before < 0 and self.room.left - before > 2 * need):
                return True
            if self.room.trash(database, session) and self.evictor.empty_older_trash(database, session):
                pass
            elif not self.evictor.evict_some(database, session, missing + min(need, 4 * PAGE), True):
                return False
            self.room.measure(database, session)

    cdef int make_room_before(self, Database database, long long need) except -1:
        """Before a statement or a transaction, as transactions of their own, make room for so many bytes in rows."""
        cdef bint ready = self.fits(database, need)
        cdef bint strictly = True
        while not ready:
            enter(database)
            try:
                ready = self.make_room(database, need, strictly)
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            if not ready:
                strictly = self.tidy_for_room(database, strictly)
        return 0

    cdef int refuse_if_full(self, Database database, long long before) except -1:
        """In the open transaction, raise CacheFullError if what was written since has gone beyond the limit."""
        cdef Session session = database.writing()
        self.room.measure(database, session)
        if self.room.left < self.limit.reserve and self.room.left + self.room.trash(database, session) < before:
            self.raise_full(database)
        return 0

    cdef int raise_full(self, Database database) except -1:
        why = "nothing is ever evicted from it" if not self.limit.evicts else "what is left cannot be evicted just now"
        raise CacheFullError(
            f"{database.directory!r}: the cache is full (max_size is {self.limit.limit_in_words()}), and {why}; delete "
            "something, or raise max_size. Nothing was changed")

    # -- for files ----------------------------------------------------------------------------------------------

    cdef bint make_room_for_file(self, Database database, long long size, bint strictly) except -1:
        """In the open transaction, evict until a file of this size has room. Returns whether it has already; if not, what
        was evicted has yet to be unlinked, or to leave the database file (if that counts, ``strictly``)."""
        cdef Session session = database.writing()
        cdef long long missing, trash, tail
        cdef Py_ssize_t named = 1
        while True:
            self.room.measure(database, session)
            tail = self.room.tail(database) if strictly else 0
            missing = self.room.shortage(size) + tail
            if missing <= 0:
                return True
            trash = self.room.trash(database, session)
            missing -= trash + self.room.free_pages * self.limit.page_size + tail
            if missing <= 0:
                return False
            if named == 0:
                if not database.integer(session, sql.COUNT_RESERVED):
                    self.raise_full(database)
                # Others have reserved what is left.
                return not strictly
            named = self.evictor.evict_some(database, session, missing, False)

    cdef int reserve_file(self, Database database, str name, long long size) except -1:
        """Make room for a file, and keep it until it is written; without a name, only make it.

        What is waited for is a little while what others have reserved, and that the database file gets shorter: a reader of
        another program may keep it from that for as long as it likes, and a thread of ours may need the writer lock."""
        cdef BusyWait wait = BusyWait(database.timeout, "waiting for room that others have reserved")
        cdef bint done = False
        cdef bint looked = False
        while True:
            database.writer_lock.acquire(database.timeout)
            try:
                if not looked:
                    looked = True
                    self.look_before_evicting(database, size)
                enter(database)
                try:
                    done = self.make_room_for_file(database, size, wait.waited < TAIL_PATIENCE)
                    if done and name is not None:
                        database.writing().connection.query(sql.RESERVE, (name, size))
                        database.count_file(size)
                except BaseException:
                    leave(database, False)
                    raise
                leave(database, True)
                if done:
                    return 0
                done = self.tidy_for_room(database, wait.waited < TAIL_PATIENCE)
            finally:
                database.writer_lock.release()
            if not done:
                database.pause(wait)

    cdef int look_before_evicting(self, Database database, long long size) except -1:
        """If so many bytes have no room, and some are reserved: what the dead have reserved goes first. No transaction is open,
        and the writer lock is held."""
        cdef Session session = database.writing()
        self.room.measure(database, session)
        if (database.depth == 0 and self.room.shortage(size) > self.room.trash(database, session)
                and database.integer(session, sql.COUNT_RESERVED)):
            self.leftovers.look_around(database)
        return 0

    cdef bint tidy_for_room(self, Database database, bint strictly) except -1:
        """Unlink what is in the trash, give free pages back (``strictly``, only if ``tail`` will tell of them), and drop what
        the dead have reserved; no transaction is open. Returns whether that was anything."""
        cdef Session session
        cdef bint any = False
        cdef long long trash
        session = database.writing()
        self.room.measure(database, session)
        trash = self.room.trash(database, session)
        if trash:
            empty_trash(database, database.timeout)
            session = database.writing()
            self.room.measure(database, session)
            # A system may not let go of a file that somebody has open.
            any = self.room.trash(database, session) < trash
        if (self.room.free_pages and (lengthen(database, self.room, not strictly) or not strictly)
                and vacuum_some(database, database.writing())):
            any = True
        any = shorten(database, self.room, False) or any
        return self.leftovers.look_around(database) or any

    # -- what people and maintenance ask for --------------------------------------------------------------------

    cdef int maintain(self, Database database) except -1:
        """Evict ahead of need, if little room is left."""
        cdef Session session
        cdef Py_ssize_t named = 1
        cdef long long goal = self.limit.low
        self.called_for_room = False
        if self.limit.max_size == 0 or not self.limit.evicts:
            return 0
        database.writer_lock.acquire(MAINTENANCE_PATIENCE)
        try:
            self.look_before_evicting(database, goal)
        finally:
            database.writer_lock.release_to_waiter()
        while named:
            database.writer_lock.acquire(MAINTENANCE_PATIENCE)
            try:
                session = database.writing()
                self.room.measure(database, session)
                # What is evicted makes room when it is unlinked.
                if self.room.left + self.room.trash(database, session) >= goal:
                    break
                goal = self.limit.high
                enter(database)
                try:
                    named = self.evictor.evict_some(database, session, goal - self.room.left, False)
                except BaseException:
                    leave(database, False)
                    raise
                leave(database, True)
            finally:
                database.writer_lock.release_to_waiter()
            if database.has_trash:
                empty_trash(database, MAINTENANCE_PATIENCE)
            if self.checkpoints.checkpoint_due:
                # Which must not wait until there is room for good.
                database.schedule(0.0)
                return 0
        # Where the limit was lowered.
        while self.limit.max_size and self.room.shortage(0) > self.limit.reserve and self.room.free_pages:
            database.writer_lock.acquire(MAINTENANCE_PATIENCE)
            try:
                if not lengthen(database, self.room, True) or not vacuum_some(database, database.writing()):
                    break
                shorten(database, self.room, True)
            finally:
                database.writer_lock.release()
        return 0

    cdef Py_ssize_t evict(self, Database database) except -1:
        """Bring what is stored under the limit; returns how many entries that has removed."""
        cdef Session session
        cdef Py_ssize_t named = 1, removed = 0, before
        while self.limit.max_size and named:
            database.writer_lock.acquire(database.timeout)
            try:
                session = database.writing()
                self.room.measure(database, session)
                if self.room.left + self.room.trash(database, session) >= self.limit.reserve:
                    break
                enter(database)
                try:
                    before = len(self.evictor.removed)
                    named = self.evictor.evict_some(database, session, self.limit.reserve - self.room.left, database.depth > 1)
                    removed += len(self.evictor.removed) - before
                except BaseException:
                    leave(database, False)
                    raise
                leave(database, True)
                if database.has_trash and database.depth == 0:
                    empty_trash(database, database.timeout)
            finally:
                database.writer_lock.release()
        while self.limit.max_size and not database.writer_lock.held_by_me():
            database.writer_lock.acquire(database.timeout)
            try:
                self.room.measure(database, database.writing())
                if self.room.shortage(0) <= self.limit.reserve or not self.tidy_for_room(database, False):
                    shorten(database, self.room, True)
                    break
            finally:
                database.writer_lock.release()
        return removed
