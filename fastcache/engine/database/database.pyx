# cython: nonecheck=True
"""One database: its connections, whose turn it is, its transactions, and what follows a commit.

What is always true, and who keeps it so:

- **Two sessions at most.** All writes go through the session `writer`, by the thread that holds the `turn`. A read
  uses the writer too while nobody holds the turn, since one connection keeps one warm page cache; while another
  thread holds it, reads use the session `reader`, opened on first need. So a read neither waits for this process's
  writers nor sees what they have not committed. Maintenance has a connection of its own, `tender`, for checkpoints.
- **Every commit announces the keys that it changes** (change_log.pyx): `will_change` comes before the statement, or
  `will_change_all`; and whoever commits brings the tier up to it (`follow_commit`) with the turn still in hand.
- **The GIL is a reader's lock.** A thread without the turn holds the GIL from the first bind to the last column, and does
  nothing in between that runs Python code. A snapshot may linger on its session (sessions.pyx), until the session is used for
  something else. The GIL is given up only with the turn in hand (waiting, bulk work, large
  values, checkpoints, files), when every other thread stays away from the writer.
- **No commit waits for the disk**, unless durability is "full". The WAL is copied into the database by maintenance, from
  1,000 frames on. Under steady writes that alone would never let it start over, since its end moves on meanwhile: from
  3,500 frames on maintenance keeps the writers out for the last of it, and should it be late, the writer does so itself.
- **Files follow rows.** files.pyx tells their life; here `created` lists the files that the open transaction has renamed
  into place, so that a rollback removes them, and `has_trash` says that a trigger has put names into the trash.
- **What follows a commit cannot undo it.** Once SQLite has committed, the files in `created` stay, and `committed_last` says
  which block that was, before anything runs that may raise (maintenance is called, a signal handler comes in).
- **Who waits gets its turn.** A thread that has waited for a millisecond is handed the turn (writer_lock.pyx); a process that has
  waited as long says so in the change log (change_log.pyx), and the others stand back.
- **A fork leaves nothing shared.** forks.py closes all connections before it, and until it is done none is opened (the
  lock `opening`); both sides reopen on first use.
"""

import _thread
import os
import stat

from cpython.mem cimport PyMem_RawFree
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.shm.change_log cimport (
    after_commit, announce, announce_nothing, before_commit, is_anyone_starving, starve, starve_no_more)
from fastcache.engine.shm.wal_clock cimport Tick, is_backfilled, read, stands, wal_frames
from fastcache.engine.sqlite.connection cimport STEP_BUSY, STEP_ROW, begin_free_call, end_free_call
from fastcache.engine.blobs.files cimport PendingFile, ValueFiles
from fastcache.engine.memory.sieve cimport Budget
from fastcache.engine.database.writer_lock cimport fork_count

from fastcache.engine.database import forks
from fastcache.engine.shm import change_log
from fastcache.engine.sqlite import connection as connections, sql
from fastcache.runtime import fork, imports
from fastcache.errors import (
    CacheError,
    ClosedError,
    CorruptError,
    FormatError,
    FullError,
    NotACacheError,
    OpenError,
    StorageError,
    Timeout,
    TransactionError,
    system_error,
)

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long long tv_sec
        long tv_nsec
    int TIME_UTC
    int timespec_get(timespec* now, int base)

cdef extern from *:
    """
    #if PY_VERSION_HEX < 0x030D0000
    static int fastcache_is_main_thread(void) { return _PyOS_IsMainThread(); }
    #else
    static int fastcache_is_main_thread(void) { return 0; }
    #endif
    """
    # Whether it is this thread that must be the first to import threading: from Python 3.13 on, any may.
    bint fastcache_is_main_thread()

# WAL frames, each of 4 KiB, after which maintenance copies them back (SQLite's own default); after which it sees to it
# that the WAL starts over, later where several processes write, all of which have to wait for it; and after which the
# writer does. A shorter one is recycled sooner, which is faster than letting it grow.
cdef int CHECKPOINT_FRAMES = 1000
cdef int RESTART_FRAMES = 3500
cdef int CONTENDED_RESTART_FRAMES = 6000
cdef int OWN_CHECKPOINT_FRAMES = 6500
cdef int OWN_CHECKPOINT_STEP = 250
# Bytes above which the WAL is made shorter when it is idle, and how soon that is tried again, in seconds.
cdef long long LARGEST_WAL = sql.LARGEST_WAL
SHORTENING_PERIOD = 1.0
# Of each of many shards, in KiB; SQLite's own default.
cdef int LEAST_PAGE_CACHE = 2048
# How long a writer waits for another process before it asks to come first, in seconds.
cdef double STARVED = 0.001
# How soon maintenance comes for what had to wait, in seconds.
SOON = 0.025
# How long it waits for the turn, or for another process, in seconds.
TENDING_PATIENCE = 0.5


# How often maintenance is called that is interrupted while it listens.
cdef int MOST_CALLS = 5
# How long a file that was replaced may stay, in seconds: many are unlinked in one go.
cdef double TRASH_PERIOD = 0.05


cdef class Database:
    """The database of one directory; the base of Store, which see for the arguments."""

    def __init__(self, directory, *, timeout, timer, memory, keeper, durability, settings):
        self.directory = os.path.abspath(os.fspath(directory))
        self.timeout = check_timeout(timeout)
        if timer is not None and not callable(timer):
            raise TypeError(f"timer must be a callable that returns seconds, not {type(timer).__name__}")
        self.timer = timer
        if timer is not None:
            know_main_thread()
        self.memory = Memory(memory if isinstance(memory, Budget) else Budget(check_memory(memory)))
        self.keeper = keeper
        self.durability = check_durability(durability)
        self.syncs = durability == "full"
        self.token = int.from_bytes(os.urandom(3), "little") or 1
        self.files = ValueFiles(self.directory)
        self.turn = Turn()
        self.born = fork_count()
        self.opening = imports.new_lock(_thread.RLock)
        self.tending = imports.new_lock()
        self.created = []
        self.marks = []
        self.blocks = []
        self.checkpoint_at = CHECKPOINT_FRAMES
        self.own_checkpoint_at = OWN_CHECKPOINT_FRAMES
        self.settings = settings

    def __dealloc__(self):
        PyMem_RawFree(self.commit.hashes)

    cdef int open(self, dict asked) except -1:
        """Open the directory, and tidy up what others have left."""
        make_directory(self.directory)
        forks.register(self)
        try:
            self.open_writer()
            self.check_settings(asked)
            change_log.remove_unfinished(self.directory, ("cache.changes", "cache.recency"))
            self.tidy_at_opening()
        except CorruptError as error:
            # Opened all the same, so that check(fix=True) can be called; every other use raises the error again.
            warn("%r is damaged: %s", self.directory, error)
            self.drop_sessions(False)
        except BaseException:
            self.close()
            raise
        return 0

    # What Store adds to a transaction, and to its end.

    cdef bint has_put_off(self) noexcept:
        """Whether the open transaction has something to write yet."""
        return False

    cdef int carry_out(self) except -1:
        """Write what the open transaction has put off."""
        return 0

    cdef int forget_put_off(self) except -1:
        return 0

    cdef int flush_first(self) except -1:
        """Write what waits, before something that must not come before it."""
        return 0

    cdef int prepare(self, Session session) except -1:
        """A session to write with was opened."""
        return 0

    def flush(self):
        """Write what was put off, and wait for it."""

    # -- opening and closing ------------------------------------------------------------------------------------

    @property
    def path(self):
        """The database file."""
        return os.path.join(self.directory, "cache.db")

    cdef int open_writer(self) except -1:
        """Open the writer's session; make the tables if the database has none."""
        cdef Session session
        cdef const unsigned long long* clock = NULL
        cdef ChangeLog log = None
        self.begin_opening()
        try:
            if self.writer is not None:
                return 0
            session = self.open_session()
            if session.has_wal:
                clock = session.connection.wal_index()
                if clock != NULL:
                    session.connection.know_read_lock()
                    log = self.open_log()
            self.refuse_if_closed(session)
            self.clock = clock
            self.log = log
            self.memory.attach(clock, log)
            self.commit.header = clock
            self.commit.ring = NULL if log is None else log.ring
            self.commit.capacity = 0 if log is None else log.capacity
            session.connection.watch_commits(before_commit, after_commit, &self.commit)
            self.prepare(session)
            self.writer = session
        finally:
            self.end_opening()
        return 0

    cdef Session open_session(self):
        """A session to write with; the database has its tables. As in open_connection, what fails is tried once more."""
        cdef Session session
        try:
            session = Session(self.connect_once(False))
            session.has_wal = self.use_wal(session.connection)
            if session.has_wal:
                return self.initialize(session)
        except NotACacheError:
            raise
        except OpenError:
            pass
        # Its files are shared by all connections of a process, and must be closed first.
        session = None
        session = Session(self.connect_once(False))
        session.has_wal = self.use_wal(session.connection)
        return self.initialize(session)

    cdef void forget_clock(self) noexcept:
        """Before the connection goes that it belongs to."""
        self.clock = NULL
        self.commit.header = NULL
        self.commit.ring = NULL
        self.memory.detach()

    cdef ChangeLog open_log(self):
        """The change log; None, and everything works without, if there is to be none or it cannot be had."""
        if not change_log.capacity:
            return None
        try:
            return ChangeLog(os.path.join(self.directory, "cache.changes"))
        except (OSError, ValueError) as error:
            warn("%r has no change log, so that each commit of others empties the memory: %s", self.directory, error)
            return None

    cdef int open_reader(self) except -1:
        cdef Session session
        self.begin_opening()
        try:
            if self.reader is None:
                session = Session(self.open_connection(False))
                self.refuse_if_closed(session)
                if self.clock != NULL:
                    session.connection.know_read_lock()
                self.reader = session
        finally:
            self.end_opening()
        return 0

    cdef int begin_opening(self) except -1:
        """Have the lock `opening`, and keep forks waiting: until it is all done, or none of it is."""
        self.opening.acquire()
        try:
            begin_free_call()
        except BaseException:
            self.opening.release()
            raise
        return 0

    cdef int end_opening(self) except -1:
        end_free_call()
        self.opening.release()
        return 0

    cdef int refuse_if_closed(self, Session session) except -1:
        """Asked after the last line that lets other threads run: the store may have been closed while it opened."""
        if self.closed:
            session.connection.close()
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        return 0

    cdef Connection open_connection(self, bint lenient):
        """Every connection to this database is opened here, under the lock `opening`, which a fork takes.

        What SQLite cannot open for writing it tries to open for reading, and tells of that alone. So it is asked once more:
        either it can now, or it says why not."""
        try:
            return self.connect_once(lenient)
        except NotACacheError:
            raise
        except OpenError:
            return self.connect_once(lenient)

    cdef Connection connect_once(self, bint lenient):
        cdef Connection connection
        path = self.path
        new = True
        if self.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        refuse_link(path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise system_error(error.errno, f"look at {path!r}", OpenError) from error
        else:
            new = found.st_size == 0
            # SQLite would take less than its smallest page for an empty database.
            if 0 < found.st_size < 512:
                raise NotACacheError(f"{path!r} is not a database; choose another directory")
            if (found.st_dev, found.st_ino) in connections.inherited:
                raise TransactionError(
                    f"{self.directory!r} was in use, in a transaction or a check, when this process was forked, so that "
                    "its locks cannot be trusted here; fork outside of these, or start the process with spawn")
        connection = Connection(path, lenient, self.timeout)
        if not lenient:
            # The first look opens the write-ahead log, and its index.
            connection.query(sql.GET_APPLICATION_ID)
        if self.settings["shards"] > 1:
            # Together they have what one would have.
            connection.execute(sql.PAGE_CACHE.format(max(LEAST_PAGE_CACHE, sql.PAGE_CACHE_KIB // self.settings["shards"])))
        if new:
            try:
                os.chmod(path, 0o600)
            except OSError as error:
                raise system_error(error.errno, f"protect {path!r}", OpenError) from error
        return connection

    cdef bint use_wal(self, Connection connection) except -1:
        """Have the database use a WAL if it is new; returns whether it does.

        Without shared memory (a network file system) SQLite stays with its rollback journal; but also if it fails in the
        moment, and does not say so."""
        if self.is_ours(connection):
            connection.refuse_read_only()
            return connection.query(sql.GET_JOURNAL_MODE)[0][0] == "wal"
        connection.execute(sql.USE_INCREMENTAL_VACUUM)
        return connection.query(sql.USE_WAL)[0][0] == "wal"

    cdef Session initialize(self, Session session):
        """Make sure that the database is ours and has its tables, whoever else is doing the same."""
        cdef Connection connection = session.connection
        # Undoing must not fail for want of memory.
        session.rollback.prepare()
        session.rollback_to.prepare()
        session.release.prepare()
        if not session.has_wal or self.syncs:
            connection.execute(sql.SYNC_FULL)
        if self.is_ours(connection):
            return session
        connection.execute(sql.BEGIN)
        try:
            if not self.is_ours(connection):
                for statement in sql.SCHEMA:
                    connection.execute(statement)
                for name, value in self.settings.items():
                    connection.query(sql.PUT_META, (name, value))
                connection.query(sql.PUT_META, ("file_bytes", 0))
                connection.execute(sql.MARK_AS_OURS)
            connection.execute(sql.COMMIT)
        except BaseException:
            if connection.in_transaction():
                connection.execute(sql.ROLLBACK)
            raise
        return session

    cdef bint is_ours(self, Connection connection) except -1:
        """Whether the database is a cache; False if it is empty. Raises NotACacheError if it is neither."""
        # In this order: whoever makes the tables marks them in the same transaction.
        tables = connection.query(sql.COUNT_SCHEMA)[0][0]
        mark = connection.query(sql.GET_APPLICATION_ID)[0][0]
        if mark == sql.APPLICATION_ID:
            return True
        if mark or tables:
            raise NotACacheError(
                f"{connection.path!r} is a database of another program; choose another directory")
        return False

    cdef int check_settings(self, dict asked) except -1:
        """Compare what is stored with what was asked; take over, or record, the rest."""
        stored = dict(self.writer.connection.query(sql.GET_META))
        for counter in ("file_bytes", "restarts"):
            stored.pop(counter, None)
        if stored.get("format") != self.settings["format"]:
            raise FormatError(
                f"{self.directory!r} is stored in format {stored.get('format')}, and this version of fastcache "
                f"reads format {sql.FORMAT}; use the version that wrote it, or another directory")
        if stored.get("shards") != self.settings["shards"] or stored.get("resharding") is not None:
            refuse_shards(self.directory, stored, self.settings["shards"])
        if stored.get("serializer") != self.settings["serializer"]:
            raise FormatError(
                f"{self.directory!r} is stored with serializer {stored.get('serializer')!r}, but was asked for with "
                f"{self.settings['serializer']!r}; open it with {stored.get('serializer')!r}, or use another directory")
        if type(stored.get("max_size")) is not int:
            asked = {**asked, "max_size": asked.get("max_size") or 0}
        for name, value in asked.items():
            if value is not None and stored.get(name) != value:
                self.writer.connection.query(sql.PUT_META, (name, value))
                stored[name] = value
        self.settings = stored
        return 0

    def close(self):
        """Close the connections; what was acknowledged stays. Every later use raises ClosedError.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
        """
        if self.closed:
            return
        self.turn.take(self.timeout)
        try:
            if self.depth or self.turn.depth > 1:
                raise TransactionError(
                    "a cache cannot be closed inside its own transaction, or by what interrupts one of its operations")
            # Nothing is put off any more, so that all of it is written.
            self.closing = True
            try:
                self.flush()
            except BaseException:
                self.closing = False
                raise
            self.shut()
        finally:
            self.turn.give()
        self.call_keeper(0.0)

    def has_waiting(self):
        """Whether something waits to be written."""
        return False

    def close_if_idle(self, patience=None):
        """Close, unless a thread has the turn; if something waits to be written, unless it has it for so many seconds.

        Without patience nobody minds what waits: a temporary directory is about to be removed."""
        if self.closed:
            return
        waits = patience is not None and self.has_waiting()
        try:
            self.turn.take(patience if waits else 0.0)
        except Timeout as error:
            if waits:
                warn("%r is left open, and what waited to be written is lost: %s", self.directory, error)
        else:
            try:
                if not self.depth and self.turn.depth == 1:
                    self.closing = True
                    try:
                        self.flush()
                    except (CacheError, OSError) as error:
                        warn("%r is closed, and what waited to be written is lost: %s", self.directory, error)
                    self.shut()
            finally:
                self.turn.give()

    cdef int shut(self) except -1:
        """Be closed from now on. The turn is held, and nothing waits to be written."""
        self.closed = True
        try:
            self.drop_sessions(True)
        finally:
            self.files.close()
        return 0

    cdef int drop_sessions(self, bint checkpoint) except -1:
        """Close both connections, to be reopened on next use unless the store is closed. The turn is held."""
        # Forgotten before they are closed: closing gives up the GIL, and other threads must not find them.
        cdef Session reader = self.reader
        cdef Session writer = self.writer
        self.reader = None
        self.writer = None
        self.forget_clock()
        # Maintenance may be at work on it.
        tending = self.tending
        tending.acquire()
        try:
            tender, self.tender = self.tender, None
            if tender is not None:
                (<Connection>tender).close(False)
        finally:
            tending.release()
        if reader is not None:
            reader.connection.close(checkpoint)
        if writer is not None:
            writer.connection.close(checkpoint)
        return 0

    def hold(self, timeout):
        """Keep all other threads from writing and from opening connections; returns whether that was possible."""
        try:
            self.turn.take(timeout)
        except Timeout:
            return False
        if self.depth or self.turn.depth > 1 or not self.opening.acquire(True, timeout):
            self.turn.give()
            return False
        return True

    def quiesce(self):
        """Write what waits, and close the connections; they reopen on next use.

        For a fork: what cannot be written within a moment goes on waiting in the parent. Who has SQLite's lock may be waiting
        for the end of the fork."""
        if self.closed:
            return
        self.tended_by = <unsigned long>PyThread_get_thread_ident()
        try:
            self.flush()
        except Timeout:
            self.flush_after_fork = True
        finally:
            self.tended_by = 0
            self.drop_sessions(False)

    def is_mine(self):
        """Whether this thread has the turn."""
        return self.turn.is_mine()

    def resume(self):
        """Let the other threads go on."""
        self.opening.release()
        self.turn.give()
        if self.flush_after_fork:
            self.flush_after_fork = False
            self.call_keeper(SOON)

    def drop_inherited(self):
        """In a child that was forked without notice: close the connections that came with it; returns whether all could be.

        They are copies: their locks are the parent's, and stay. What is closed is only what this process has of them. That is
        possible unless one is in a transaction, whose end would undo the parent's."""
        cdef Session session
        cdef Connection connection
        cdef bint all_closed = True
        for session in (self.reader, self.writer):
            if session is not None:
                session.let_go()
        for connection in [session.connection for session in (self.reader, self.writer) if session is not None] + (
                [self.tender] if self.tender is not None else []):
            if connection.in_transaction():
                all_closed = False
            else:
                try:
                    connection.close(False)
                except CacheError:
                    all_closed = False
        return all_closed

    def renew(self):
        """Start in the child with free locks and no connection; never touch the parent's."""
        self.born = fork_count()
        self.turn = Turn()
        self.opening = imports.new_lock(_thread.RLock)
        self.tending = imports.new_lock()
        for session in (self.writer, self.reader):
            if session is not None:
                (<Session>session).abandon()
        if self.tender is not None:
            self.tender.abandon()
        self.writer = None
        self.reader = None
        self.tender = None
        self.forget_clock()
        self.files.renew()
        self.flush_after_fork = False
        self.depth = 0
        self.entering = 0
        self.closing = False
        self.tended_by = 0
        # Who was called is in the parent.
        self.called = False
        self.created = []
        self.marks = []
        self.blocks = []

    # -- sessions -----------------------------------------------------------------------------------------------

    cdef Session choose_session(self):
        """The session to read from now, until the GIL is given up."""
        if self.born != fork_count():
            fork.notice_fork()
        if self.has_put_off() and self.turn.is_mine():
            self.carry_out()
        if self.writer is None:
            self.open_writer()
            return self.choose_session()
        if self.turn.owner == 0 or self.turn.is_mine():
            return self.writer
        if self.reader is None:
            self.open_reader()
            # Opening gives up the GIL: choose anew.
            return self.choose_session()
        return self.reader

    cdef Session reading(self):
        """The same, for a transaction of its own, or the one that is open."""
        cdef Session session = self.choose_session()
        session.let_go()
        return session

    cdef Session lingering(self):
        """The same, for the reads that are worth a kept snapshot; whether there is one, it says itself (``lingers``)."""
        cdef Session session = self.choose_session()
        if self.clock == NULL or self.turn.is_mine():
            session.let_go()
        else:
            session.linger(self.clock)
        return session

    cdef Session writing(self):
        """The session to write to; the turn is held."""
        if self.born != fork_count():
            fork.notice_fork()
        if self.depth == 0 and self.writer is not None and (
                self.writer.connection.in_transaction() or self.writer.connection.read_only):
            # A transaction that could not even be rolled back, or a file that is open for reading alone. Closing ends both.
            self.drop_sessions(False)
        if self.writer is None:
            self.open_writer()
        self.writer.let_go()
        if self.depth and not self.writer.connection.in_transaction():
            raise TransactionError(
                "an earlier error has rolled this transaction back: leave its block, and run it again")
        if self.has_put_off():
            self.carry_out()
        if self.depth == 0 and self.commit.ring != NULL and is_anyone_starving(self.commit.ring, self.token):
            self.stand_back()
        return self.writer

    cdef BusyWait pause(self, BusyWait wait):
        """Wait a little for another connection's lock. Signal handlers run here, and may use this store."""
        if wait is None:
            # What was waited for the turn counts.
            wait = BusyWait(
                min(self.timeout, TENDING_PATIENCE) if self.is_maintenance() else self.timeout,
                "waiting to use the cache", self.turn.began if self.turn.is_mine() else 0.0)
        try:
            wait.pause()
        except BaseException:
            self.be_served()
            raise
        if not self.tending.locked():
            self.contended = True
        if wait.waited > STARVED and self.turn.is_mine() and self.commit.ring != NULL:
            self.starving = True
            starve(self.commit.ring, self.token)
        return wait

    cdef list read_rows(self, str text):
        """All rows of a statement without parameters, read as a single entry is: by whoever holds the GIL."""
        while True:
            try:
                return self.reading().connection.query(text)
            except ClosedError:
                # For a fork: it is opened anew.
                if self.closed:
                    raise

    cdef bint is_maintenance(self) noexcept:
        """Whether this is the thread that tends this store, and others: it must not wait for long for one of them."""
        return self.tended_by != 0 and self.tended_by == <unsigned long>PyThread_get_thread_ident()

    cdef int stand_back(self) except -1:
        """Before writing: let another process come first that has waited for too long."""
        cdef BusyWait wait = None
        while self.commit.ring != NULL and is_anyone_starving(self.commit.ring, self.token):
            wait = self.pause(wait)
        return 0

    cdef void be_served(self) noexcept:
        """What was waited for is there, or given up."""
        if self.starving:
            self.starving = False
            if self.commit.ring != NULL:
                starve_no_more(self.commit.ring, self.token)

    cdef long long now(self) except? -1:
        """Milliseconds since the epoch."""
        cdef timespec moment
        cdef double seconds
        if self.timer is not None:
            seconds = self.timer()
            if not -4e12 < seconds < 4e12:
                raise ValueError("timer must return seconds since the epoch, and has returned something else")
            return <long long>(seconds * 1000.0)
        if timespec_get(&moment, TIME_UTC) != TIME_UTC:
            raise StorageError("the system's clock cannot be read")
        return <long long>moment.tv_sec * 1000 + moment.tv_nsec // 1000000

    # -- changes ------------------------------------------------------------------------------------------------

    cdef int will_change(self, const Cell* key) except -1:
        """Have the commit to come announce a key."""
        if self.clock != NULL:
            if self.depth == 0:
                announce_nothing(&self.commit)
            announce(&self.commit, key.hashed)
        return 0

    cdef int will_change_all(self) except -1:
        """Have the commit to come announce that any key may have changed."""
        self.commit.everything = True
        return 0

    cdef int follow_commit(self) except -1:
        """After a commit of ours, the turn still held: bring the tier up to it."""
        self.be_served()
        self.own_era = self.memory.era if self.memory.follow_own(&self.commit) else 0
        return 0

    cdef int change(self, Session session, Statement statement, bint release_gil) except -2:
        """Step a bound statement to its end; returns how many rows it changed, or -1 if another has the lock: then it
        is to be bound anew, since others may use it meanwhile."""
        cdef int before = session.connection.total_changes()
        if statement.step(release_gil or self.syncs) == STEP_BUSY:
            return -1
        statement.reset()
        return self.count_changes(session.connection, before)

    cdef int change_locked(self, Session session, Statement statement, bint release_gil) except -1:
        """The same where this process holds the write lock already."""
        cdef int changed = self.change(session, statement, release_gil)
        if changed < 0:
            raise Timeout(f"{self.directory!r}: the database was locked in the middle of a transaction")
        return changed

    cdef int count_changes(self, Connection connection, int before) except -1:
        """How many rows the last statement changed. What it changed beyond them, a trigger did: a file moved."""
        cdef int changed = connection.changes()
        if connection.total_changes() - before != changed:
            self.has_trash = True
        return changed

    # -- transactions -------------------------------------------------------------------------------------------

    cdef int enter(self) except -1:
        """Take the turn and begin a transaction, or a savepoint in the one that is open."""
        cdef Session session
        cdef BusyWait wait = None
        self.turn.take(min(self.timeout, TENDING_PATIENCE) if self.is_maintenance() else self.timeout)
        cdef bint entering = False
        # Made before the transaction begins, since it takes memory.
        cdef object mark, block
        try:
            if self.depth == 0:
                # From here on, nobody puts anything off that this transaction would not see; nor when the transactions have
                # ended that write what was put off before.
                entering = True
                self.entering += 1
                self.flush_first()
            session = self.writing()
            # All that takes memory comes before the transaction begins: whatever fails, none is left open.
            while len(self.marks) <= self.depth:
                self.marks.append(0)
            while len(self.blocks) <= self.depth:
                self.blocks.append(0)
            self.entered += 1
            mark, block = len(self.created), self.entered
            if self.depth == 0:
                while session.begin.step() == STEP_BUSY:
                    wait = self.pause(wait)
                    session = self.writing()
                session.begin.reset()
                self.be_served()
                announce_nothing(&self.commit)
            else:
                session.savepoint.run()
        except BaseException:
            self.entering -= entering
            self.turn.give()
            raise
        self.marks[self.depth] = mark
        self.blocks[self.depth] = block
        self.depth += 1
        self.entering -= entering
        return 0

    cdef int leave(self, bint keep) except -1:
        """End what the last ``enter`` began, and give the turn back.

        Until SQLite has ended it, ``depth`` says so: what interrupts this belongs to the transaction."""
        cdef Session session = self.writer
        cdef Py_ssize_t mark = self.marks[self.depth - 1]
        cdef long long block = self.block()
        cdef bint committed = False
        cdef unsigned long long era
        cdef BusyWait wait = None
        try:
            if not keep:
                self.forget_put_off()
            elif self.has_put_off():
                self.carry_out()
            if not session.connection.in_transaction():
                # SQLite rolls back by itself after some errors (a full disk, for one).
                self.roll_back(session)
                if keep:
                    raise TransactionError("an earlier error has rolled this transaction back; run its block again")
            elif self.depth > 1:
                try:
                    try:
                        if not keep:
                            self.undo_files(mark)
                    finally:
                        if not keep:
                            session.rollback_to.run()
                        session.release.run()
                except BaseException:
                    # An inner block that cannot be undone takes all of them with it.
                    self.roll_back(session)
                    raise
            elif keep:
                try:
                    while session.commit.step(True) == STEP_BUSY:
                        wait = self.pause(wait)
                        # What a signal handler has set meanwhile is part of it.
                        if self.has_put_off():
                            self.carry_out()
                    session.commit.reset()
                except BaseException:
                    self.roll_back(session)
                    raise
                committed = True
                # What follows cannot undo it. Nothing has run in between.
                self.committed_last = block
                for pending in self.created:
                    (<PendingFile>pending).stays()
                self.created.clear()
            else:
                self.roll_back(session)
        finally:
            if self.depth == 1 and not committed:
                # What a signal handler has set meanwhile goes, too.
                self.forget_put_off()
            self.depth -= 1
            if not committed:
                if self.depth == 0 and session.connection.in_transaction():
                    # Not even rolling back was possible. Closing does it, too.
                    self.drop_sessions(False)
                self.turn.give()
        if committed:
            try:
                self.follow_commit()
                era = self.own_era
                self.settle()
                # Tidying commits, too.
                self.own_era = era
            finally:
                self.committed_last = block
                self.turn.give()
        return 0

    cdef long long block(self) except -1:
        """The number of the innermost block, which no other ever has; a transaction is open."""
        return self.blocks[self.depth - 1]

    cdef bint is_open(self, long long block) except -1:
        """Whether a block has not been left yet."""
        cdef int index
        for index in range(self.depth):
            if self.blocks[index] == block:
                return True
        return False

    cdef int roll_back(self, Session session) except -1:
        """Undo the whole transaction, whatever interrupts it."""
        try:
            self.undo_files(0)
        finally:
            if session.connection.in_transaction():
                session.rollback.run(True)
        return 0

    cdef int undo_files(self, Py_ssize_t mark) except -1:
        """Remove the files of what is rolled back: before the lock goes, so that nobody takes them for orphans."""
        cdef Py_ssize_t index
        for index in range(mark, len(self.created)):
            (<PendingFile>self.created[index]).discard()
        # Only this needs no memory, for a smaller list. What stays of an inner block does no harm.
        if mark == 0:
            self.created.clear()
        self.remove_later()
        return 0

    cdef int remove_later(self) except -1:
        """Have maintenance remove files that could not be removed just now."""
        if self.files.left:
            self.has_trash = True
            self.call_keeper(TRASH_PERIOD)
        return 0

    # -- after a commit -----------------------------------------------------------------------------------------

    cdef int settle(self) except -1:
        """After a commit, the turn still held: call for maintenance if there is something to do, and keep the WAL short.

        Maintenance alone would not: while it copies, steady writers append, so that the WAL never starts over. Who has the
        turn completes what it has left, which waits for the disk but is little, and rare."""
        cdef Session session = self.writer
        cdef int frames = session.connection.witness.frames
        cdef bint call = self.has_trash
        if frames < self.frames_seen:
            # It has started over.
            self.contended = False
            self.checkpoint_at = CHECKPOINT_FRAMES
            self.own_checkpoint_at = OWN_CHECKPOINT_FRAMES
        self.frames_seen = frames
        if frames >= self.checkpoint_at:
            # Counted from here: while a reader keeps the WAL from starting over, not at every commit.
            self.checkpoint_at = frames + CHECKPOINT_FRAMES
            self.checkpoint_due = True
            self.restart_due = frames >= (
                CONTENDED_RESTART_FRAMES if self.contended or self.fills_fast else RESTART_FRAMES)
            call = True
        if call and (self.checkpoint_due or not self.called):
            self.called = True
            try:
                attended = self.call_keeper(0.0 if self.checkpoint_due else TRASH_PERIOD)
            except BaseException:
                # It has been said again, if it could be; to say it once more with the next commit costs little.
                self.called = False
                raise
            if not attended:
                self.called = False
                self.tidy_up(session)
        if frames >= self.own_checkpoint_at:
            self.own_checkpoint_at = frames + OWN_CHECKPOINT_STEP
            self.restart_wal(session)
        return 0

    cdef int tidy_up(self, Session session) except -1:
        """Do by ourselves what nobody else will. The commit stands whatever happens here, so failures are logged."""
        try:
            if self.has_trash:
                self.empty_trash(self.timeout)
            if self.checkpoint_due:
                self.checkpoint_due = False
                session.connection.checkpoint()
        except (CacheError, OSError) as error:
            self.has_trash = True
            warn("tidying %r has to wait: %s", self.directory, error)
        return 0

    cdef bint call_keeper(self, double seconds) except -1:
        """Have ``tend`` called within so many seconds; returns whether it will be.

        A signal handler may raise in between, when nobody may have heard of it yet: then it is said again, and raised after."""
        cdef bint attended = False
        cdef int tries
        interruption = None
        if self.keeper is None:
            return False
        for tries in range(MOST_CALLS):
            try:
                attended = self.keeper(self, seconds)
                break
            except MemoryError:
                # This comes after a commit, which stands. In vain, it is as if there was no maintenance.
                pass
            except BaseException as error:
                interruption = error
        if interruption is not None:
            raise interruption
        return attended

    cdef int restart_wal(self, Session session) except -1:
        """Copy what is left of the WAL while nobody in this process appends to it, so that the next commit starts it over."""
        try:
            # If maintenance is at it, its work is most of ours.
            tending = self.tending
            tending.acquire()
            try:
                session.connection.checkpoint(True)
            finally:
                tending.release()
        except CacheError as error:
            warn("a checkpoint of %r has to wait: %s", self.directory, error)
        return 0

    cdef int checkpoint_beside(self) except -1:
        """Copy what the WAL holds, on a connection of its own, while others write."""
        cdef Tick now
        cdef Connection connection
        if self.clock != NULL and read(self.clock, &now) and wal_frames(&now) < <unsigned int>CHECKPOINT_FRAMES:
            # Another process was faster.
            self.restart_due = False
            return 0
        self.begin_opening()
        try:
            if self.tender is not None and self.tender.read_only:
                tending = self.tending
                tending.acquire()
                try:
                    connection, self.tender = self.tender, None
                    connection.close(False)
                finally:
                    tending.release()
            if self.tender is None:
                connection = self.open_connection(False)
                tending = self.tending
                tending.acquire()
                try:
                    # Opening takes a while, in which the store may have been closed.
                    if self.closed:
                        connection.close(False)
                        return 0
                    self.tender = connection
                finally:
                    tending.release()
        finally:
            self.end_opening()
        tending = self.tending
        tending.acquire()
        try:
            if self.tender is not None:
                self.tender.checkpoint()
        finally:
            tending.release()
        if self.restart_due:
            self.restart_due = False
            # Nobody writes while it copies the rest, which is little by now.
            tending = self.tending
            tending.acquire()
            try:
                if self.tender is not None:
                    self.tender.checkpoint(True)
            finally:
                tending.release()
        return 0

    cdef bint shorten_wal(self) except -1:
        """If the WAL has grown beyond what it keeps, and nobody is in the way, have it start over and get shorter. Returns
        whether it is still to be done.

        By a commit (PRAGMA journal_size_limit): a WAL that was truncated to nothing would have the clock begin anew."""
        cdef Tick now
        if self.clock == NULL or not read(self.clock, &now) or <long long>wal_frames(&now) * 4096 <= LARGEST_WAL:
            return False
        self.turn.take(TENDING_PATIENCE)
        try:
            if self.depth:
                return True
            tending = self.tending
            tending.acquire()
            try:
                self.writing().connection.checkpoint(True)
            finally:
                tending.release()
            if not is_backfilled(self.clock):
                return True
            self.enter()
            try:
                self.writing().connection.execute(sql.START_OVER)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
            return read(self.clock, &now) and <long long>wal_frames(&now) * 4096 > LARGEST_WAL
        finally:
            self.turn.give()

    cdef int tidy_at_opening(self) except -1:
        """Empty the trash that others have left. What fails here, on a full disk say, is done another time; but folders that
        are links are refused."""
        try:
            self.files.refuse_links()
        except StorageError as error:
            raise OpenError(*error.args) from error
        try:
            self.empty_trash(self.timeout)
        except (FullError, StorageError) as error:
            warn("tidying %r has to wait: %s", self.directory, error)
        return 0

    cdef int empty_trash(self, double patience) except -1:
        """Unlink the files in the trash, then forget them; no transaction is open. The turn is not needed to unlink."""
        cdef list names, gone
        cdef int changed = 1
        self.files.remove_left()
        try:
            while changed:
                self.turn.take(patience)
                try:
                    self.has_trash = False
                    names = [row[0] for row in self.writing().connection.query(sql.LIST_TRASH, ())]
                finally:
                    self.turn.give()
                gone = [name for name in names if self.files.unlink(name)]
                changed = self.forget_trash(gone, patience) if gone else 0
                if len(gone) < len(names):
                    return 0
        except BaseException:
            self.has_trash = True
            raise
        return 0

    cdef int forget_trash(self, list names, double patience) except -1:
        """Take the names of files that are gone out of the trash; returns how many were there."""
        cdef Session session
        cdef Statement statement
        cdef int changed = 0
        cdef long long freed = 0
        self.turn.take(patience)
        try:
            self.enter()
            try:
                session = self.writing()
                statement = session.statement(sql.EMPTY_TRASH)
                for name in names:
                    parameters = (name,)
                    statement.bind_all(parameters)
                    if statement.run() == STEP_ROW:
                        changed += 1
                        freed += max(0, statement.column_integer(0))
                        statement.step()
                        statement.reset()
                self.count_file(-freed)
            except BaseException:
                self.leave(False)
                raise
            self.leave(True)
        finally:
            self.turn.give()
        return changed

    cdef int count_file(self, long long size) except -1:
        """Files have grown, or shrunk, by so many bytes."""
        cdef Session session
        if size:
            session = self.writing()
            self.change_row(session, sql.COUNT_FILE, size)
        return 0

    cdef int change_row(self, Session session, str text, long long parameter) except -1:
        """Run a statement that has one parameter, a rowid or a number of bytes."""
        cdef Statement statement = session.statement(text)
        statement.bind_integer(1, parameter)
        return self.change_locked(session, statement, False)

    # -- for the check ------------------------------------------------------------------------------------------

    def connect(self, bint lenient=False):
        """Another connection to the database, the caller's alone."""
        self.begin_opening()
        try:
            return self.open_connection(lenient)
        finally:
            self.end_opening()

    def query(self, text, parameters=()):
        """All rows of one statement, run by the thread that is inside ``transact``."""
        if not self.turn.is_mine() or not self.depth:
            raise TransactionError("query is for use inside transact()")
        self.will_change_all()
        return self.writing().connection.query(text, tuple(parameters))

    def tidy(self):
        """Unlink the files in the trash, unless a transaction is open, whose end will do it."""
        self.turn.take(self.timeout)
        try:
            self.has_trash = True
            if not self.depth:
                self.empty_trash(self.timeout)
        finally:
            self.turn.give()

    def replace_content(self, Connection source, fill):
        """Replace the whole database, however damaged, by another's content, which ``fill()`` completes under the
        write lock."""
        cdef Connection connection
        self.turn.take(self.timeout)
        try:
            if self.depth or self.turn.depth > 1:
                raise TransactionError("the database cannot be replaced inside a transaction")
            connection = self.connect(True)
            connection.overwrite_with(source, fill)
            connection.close()
            # What is cached of the old content goes.
            self.drop_sessions(True)
        finally:
            self.turn.give()


cdef int know_main_thread() except -1:
    """Before maintenance runs what users have written, which may import threading: see to it that this takes the main thread
    for the main thread, and not the one of maintenance (background.py)."""
    if fastcache_is_main_thread():
        imports.load("threading")
    return 0


cdef int warn(str message, str directory, object error) except -1:
    imports.warn(message, directory, error)
    return 0


cdef double check_timeout(object timeout) except -1.0:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout must be at least 0 seconds, not {timeout!r}")
    return timeout


cdef str check_durability(object durability):
    if durability not in ("normal", "full"):
        raise ValueError(f"durability must be 'normal' or 'full', not {durability!r}")
    return durability


cdef unsigned long long check_memory(object memory) except? 0:
    if isinstance(memory, bool) or not isinstance(memory, int):
        raise TypeError(f"memory must be a number of bytes (int), not {type(memory).__name__}")
    if not 0 <= memory < 1 << 63:
        raise ValueError(f"memory must be at least 0 bytes, not {memory}")
    return memory


cdef int refuse_shards(str directory, dict stored, object asked) except -1:
    """Say how to open what has another number of shards, or how to convert it."""
    if stored.get("resharding") is not None:
        raise FormatError(
            f"{directory!r}: a conversion to another number of shards is under way, or was interrupted; to go on with it, run: "
            f"fastcache reshard {directory} {stored.get('resharding')}")
    found = stored.get("shards")
    how = "a Cache or an Index" if found == 1 else f"shards={found}"
    raise FormatError(
        f"{directory!r} is stored with {found} shards, but was asked for with {asked}; open it with {how}, or convert it: "
        f"fastcache reshard {directory} {asked}")


def refuse_link(path):
    """Raise OpenError for a link: who could plant it could have us write elsewhere. (The cache's directory may be one.)"""
    if os.path.islink(path):
        raise OpenError(f"{path!r} is a link, and a cache keeps what it has in its own directory; put the file or folder itself "
                        "there, or make the whole directory a link")


cdef int make_directory(str directory) except -1:
    """Make the cache's directory and what leads to it; raise OpenError where that is not possible."""
    try:
        try:
            try:
                os.mkdir(directory, 0o700)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(directory), exist_ok=True)
                os.mkdir(directory, 0o700)
        except FileExistsError:
            # Not isdir(), which takes any error for a no.
            if not stat.S_ISDIR(os.stat(directory).st_mode):
                raise OpenError(f"{directory!r} is a file, and a cache needs a directory") from None
    except CacheError:
        raise
    except OSError as error:
        raise system_error(error.errno, f"make the directory {directory!r}", OpenError) from error
    return 0
