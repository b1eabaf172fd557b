# cython: nonecheck=True
"""One database in use: its sessions, the writer lock, and the parts that have a say in its transactions.

What is always true, and who keeps it so:

- **Two sessions at most.** All writes go through the session `writer`, by the thread that holds the `writer_lock`. A read
  uses the writer too while nobody holds the writer lock, since one connection keeps one warm page cache; while another
  thread holds it, reads use the session `reader`, opened on first need. So a read neither waits for this process's
  writers nor sees what they have not committed. Maintenance has a connection of its own, `checkpoint_connection`, for checkpoints.
- **Every commit announces the keys that it changes** (change_log.pyx): `will_change` comes before the statement, or
  `will_change_all`; and whoever commits brings all parts up to it (`follow_commit`) with the writer lock still in hand.
- **The parts are called in one order**, that of `participants`: each says in its `Participant` methods what it does when a
  transaction begins, reads, is undone or commits (blocks.pyx, and `writing` here). A single write in autocommit is
  followed by `follow_commit` and `settle`, too.
- **The GIL is a reader's lock.** A thread without the writer lock holds the GIL from the first bind to the last column, and does
  nothing in between that runs Python code. A snapshot may stay pinned on its session (sessions.pyx), until the session is used for
  something else. The GIL is given up only with the writer lock in hand (waiting, bulk work, large
  values, checkpoints, files), when every other thread stays away from the writer.
- **Who waits gets its turn.** A thread that has waited for a millisecond is handed the writer lock (writer_lock.pyx); a process that has
  waited as long says so in the change log (change_log.pyx), and the others stand back.
- **A fork leaves nothing shared.** forks.py closes all connections before it, and until it is done none is opened (the
  lock `opening`); both sides reopen on first use.
"""

import _thread
import os

cimport cython
from cpython.mem cimport PyMem_RawFree

from fastcache.engine.blobs.files cimport ValueFiles
from fastcache.engine.database.opening cimport (
    connect, connect_to_read, find_journal, initialize, journal_is_unborn, make_directory, open_log, refuse_uninitialized,
    take_settings, use_wal)
from fastcache.engine.database.scope cimport Scope
from fastcache.engine.database.watch cimport Watch
from fastcache.engine.database.writer_lock cimport fork_count, knows_greenlets
from fastcache.engine.shm.change_log cimport (
    after_commit, announce, announce_nothing, before_commit, has_journal_since, is_priority_requested, request_priority,
    settings_changed, settings_version, withdraw_priority)
from fastcache.engine.shm.journal cimport Journal, at_place
from fastcache.engine.monotonic cimport seconds
from fastcache.engine.shm.wal_clock cimport is_backfilled
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.connection cimport STEP_BUSY, STEP_ROW, is_syncing
from fastcache.engine.sqlite.copying cimport overwrite
from fastcache.engine.sqlite.fork_safety cimport end_free_call, try_begin_free_call, wait_for_fork

from fastcache.engine.database import forks, reading, reserve
from fastcache.engine.shm import change_log
from fastcache.engine.sqlite import sql
from fastcache.errors import (
    CacheError, ClosedError, DirectoryGoneError, FormatError, FullError, NotACacheError, OpenError, ReadOnlyError, StorageError,
    Timeout, TransactionError)
from fastcache.runtime import fork, imports

# The last part of a message about a directory that is gone.
cdef str HOW_TO_GO_ON = "nothing was written; open it anew, or give recreate=True to go on in a new one"

# How long a writer waits for another process before it asks to come first, in seconds.
cdef double PATIENT_SECONDS = 0.001
# How soon maintenance comes for what had to wait, in seconds.
SOON = 0.025
# How long a file that was replaced may stay, in seconds: many are unlinked in one go.
TRASH_PERIOD = 0.05


cdef class Participant:
    """A part of a store that has a say in its transactions. The base of these, which does nothing at any time.

    A part knows nothing of what it belongs to: it is given the database with each call. A store lists its parts in the order in
    which they are called.
    """

    cdef int attach(self, Database database, Session session) except -1:
        """A session to write with was opened, and with it the clock, if there is one."""
        return 0

    cdef int attach_journal(self, Database database) except -1:
        """A journal was found, or made, while the database is open."""
        return 0

    cdef void detach(self) noexcept:
        """The connection is about to go that the clock belongs to."""

    cdef void begin_anew(self) noexcept:
        """Another database has come into the place of the one that was open: what was mapped with that is not its."""

    cdef int settings_changed(self, Database database, Session session) except -1:
        """Another object has changed the settings that are stored."""
        return 0

    cdef int before_transaction(self, Database database) except -1:
        """Something atomic begins, or a look at the whole table: what is pending has to come before it."""
        return 0

    cdef int before_changing(self, Database database) except -1:
        """Entries are about to be changed in SQLite, outside of a transaction or in one that begins: what is in the journal comes before."""
        return 0

    cdef int flush_deferred(self, Database database) except -1:
        """Write what the open transaction has deferred."""
        return 0

    cdef int discard_deferred(self, Database database) except -1:
        """The innermost block is undone: forget what it has deferred, and whatever else it has done."""
        return 0

    cdef int roll_back(self, Database database) except -1:
        """The whole transaction is undone. SQLite has not rolled back yet."""
        return 0

    cdef int after_commit(self, Database database) except -1:
        """SQLite has committed. Takes no time and lets nobody in."""
        return 0

    cdef int settle(self, Database database) except -1:
        """What follows a commit has its time now."""
        return 0

    cdef int block_left(self, Database database, long long block, bint kept) except -1:
        """A block has ended; the writer lock is still held."""
        return 0

    cdef int files_counted(self, long long size) except -1:
        """Files have grown, or shrunk, by so many bytes."""
        return 0

    cdef bint has_pending(self, Database database) noexcept:
        """Whether something waits to be written that is not part of a transaction."""
        return False

    cdef int flush(self, Database database) except -1:
        """Write that, and wait for it."""
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        """Begin anew: what was pending, deferred or removed is the parent's."""
        return 0


# Before anything that expires.
cdef long long LONG_AGO = -(1LL << 62)


@cython.final
cdef class Database(Scope):
    """The database of one directory.

    Args:
        directory: where it lies; made (0700) if absent.
        keepalive: a weak reference to what maintenance is called for.
        timeout: how long to wait for another writer, in seconds.
        timer: called for the time in seconds since the epoch; None for the system's clock.
        scheduler: called with the keepalive and a number of seconds, to have it maintained within that time.
        durability: "normal", or "full" to have each commit synced to the disk before it returns.
        settings: of a new database; those that are stored replace them.
        recreate: whether to begin anew where the directory was removed or replaced while it was open.
        read_only: whether nothing is to be written; None for if nothing can be.
        nothing: whether there is nothing, and is not to be: a shard that is read before it was written.
        keeps_expired: whether what has expired is counted and iterated over until somebody asks for its removal.
        journal: whether there is to be a journal. One that is there is followed in any case.
    """

    def __init__(
            self, directory, keepalive, *, timeout, timer, scheduler, durability, settings, bint recreate=False, read_only=None,
            bint nothing=False, bint keeps_expired=False, bint journal=False):
        self.make(os.path.abspath(os.fspath(directory)), keepalive, timeout, timer, scheduler)
        self.durability = check_durability(durability)
        self.syncs = durability == "full"
        self.token = int.from_bytes(os.urandom(3), "little") or 1
        self.files = ValueFiles(self.directory)
        self.recreate = recreate
        self.asked_read_only = check_read_only(read_only)
        self.read_only = self.asked_read_only is True
        self.is_nothing = nothing
        self.keeps_expired = keeps_expired
        self.asked_journal = journal and not nothing
        self.journal_path = os.fsencode(os.path.join(self.directory, "cache.journal"))
        self.commit.journal = self.journal_path
        self.watch = Watch(self.path)
        self.born = fork_count()
        self.opening = imports.new_lock(_thread.RLock)
        self.unlinking = imports.new_lock(_thread.RLock)
        self.checkpoint_lock = imports.new_lock()
        self.participants = ()
        self.created = []
        self.marks = []
        self.settings = settings

    def __dealloc__(self):
        PyMem_RawFree(self.commit.hashes)

    # -- opening and closing ------------------------------------------------------------------------------------

    cdef int open(self, dict asked) except -1:
        """Make the directory, the database and its tables, if need be; take over the settings that are stored, and store what
        was ``asked`` for."""
        # Another thread that forks closes what nobody has the writer lock of.
        self.writer_lock.acquire(self.timeout)
        try:
            self.open_first(asked)
        finally:
            self.writer_lock.release()
        return 0

    cdef int open_first(self, dict asked) except -1:
        """The same, with the writer lock in hand."""
        if not self.read_only:
            try:
                make_directory(self.directory)
                self.open_writer()
            except (NotACacheError, FormatError):
                raise
            except OpenError as error:
                self.read_instead(error)
        if self.read_only:
            self.open_writer()
            self.settings = take_settings(self.writer.connection, self.directory, self.settings, {})
            return 0
        self.settings = take_settings(self.writer.connection, self.directory, self.settings, asked)
        if self.commit.ring != NULL:
            self.settings_seen = settings_version(self.commit.ring)
        self.wants_journal = self.asked_journal
        if self.wants_journal and self.journal is None and self.log is not None:
            self.seek_journal(True)
        change_log.remove_unfinished(self.directory, ("cache.changes", "cache.journal", "cache.recency"))
        return 0

    cdef int read_instead(self, error) except -1:
        """What cannot be opened for writing is opened for reading, unless that was refused; else the error is raised, with whose
        permission is missing."""
        why = reading.lacking(self.directory)
        if not why:
            raise error
        # What is there already, and can be read.
        if self.asked_read_only is None and os.path.exists(self.path) and os.access(self.path, os.R_OK):
            reading.choose_way(self.path)
            reading.tell(self.directory, why)
            self.read_only = True
            return 0
        raise type(error)(f"{error}; {why}") from error

    cdef int refuse_writing(self) except -1:
        """Before a write: raise ReadOnlyError if there is to be none, and DirectoryGoneError if there is nowhere to write to."""
        if self.read_only:
            raise ReadOnlyError(f"{self.directory!r} is open for reading alone; nothing was written")
        if self.depth == 0 and self.watch.is_due_to_write():
            self.look_around()
            if self.writer is None:
                self.open_writer()
        return 0

    cdef int look_around(self) except -1:
        """See whether all that was opened is where it was; close what is not."""
        if not self.watch.is_there():
            self.leave_directory()
        elif self.watch.is_due_to_compare() and not self.watch.is_whole():
            self.leave_files()
        return 0

    cdef int leave_files(self) except -1:
        """The WAL or its index was removed, or replaced: close all connections of this process, which share them."""
        if not self.writer_lock.try_acquire():
            # At the next look.
            self.watch.compared = 0.0
            return 0
        try:
            if self.depth == 0 and not self.watch.is_whole():
                if self.writer is not None and self.watch.lacks_part():
                    # What the WAL holds is nowhere else.
                    self.writer.release_snapshot()
                    self.writer.connection.checkpoint(True)
                forks.let_go(self.directory)
                self.drop_sessions(False)
        finally:
            self.writer_lock.release()
        return 0

    def let_go(self, bint checkpoint=False):
        """Close the connections for now, unless somebody is inside of it; returns whether none is left (bool). With ``checkpoint``
        as the last use does."""
        if not self.writer_lock.try_acquire():
            return False
        try:
            if self.depth or self.writer_lock.depth > 1:
                return False
            self.drop_sessions(checkpoint)
        finally:
            self.writer_lock.release()
        return True

    cdef int refuse_if_gone(self) except -1:
        """Raise DirectoryGoneError if the directory was removed or replaced."""
        if not self.watch.is_there():
            # From now on, all who ask look.
            self.watch.looked = 0.0
            raise DirectoryGoneError(
                f"{self.directory!r} was removed, renamed or replaced while it was open; {HOW_TO_GO_ON}")
        return 0

    cdef int leave_directory(self) except -1:
        """Close what was opened in a directory that is there no more: what is asked next opens what is there now, or raises.

        Whoever is inside a transaction cannot go on."""
        if not self.writer_lock.try_acquire():
            # Another thread is inside a transaction, which will not be committed.
            if not self.recreate:
                return self.refuse_if_gone()
            self.writer_lock.acquire(self.patience())
        try:
            if self.depth:
                self.refuse_if_gone()
            elif not self.watch.is_there():
                self.watch.looked = 0.0
                self.drop_sessions(False)
                self.files.leave()
        finally:
            self.writer_lock.release()
        return 0

    def look(self):
        """See to it that the directory is the one that was opened: else, what is opened is begun anew or DirectoryGoneError is
        raised, as the options say."""
        if self.life == CLOSED:
            return
        if not self.watch.is_there():
            self.leave_directory()
            if self.writer is None:
                self.open_writer()

    def is_there(self):
        """Whether its directory is the one that was opened (bool)."""
        return self.watch.is_there()

    @property
    def closed(self):
        """Whether it was closed."""
        return self.life == CLOSED

    @property
    def path(self):
        """The database file."""
        return os.path.join(self.directory, "cache.db")

    cdef int open_writer(self) except -1:
        """Open the writer's session; make the tables if the database has none."""
        self.begin_opening()
        try:
            while self.writer is None:
                self.open_writer_once()
        finally:
            self.end_opening()
        return 0

    cdef int open_writer_once(self) except -1:
        """The same, unless somebody closes all connections meanwhile: then there is none."""
        cdef Session session
        cdef const unsigned long long* clock = NULL
        cdef ChangeLog log = None
        cdef long long forgotten
        begins_anew = self.find_directory()
        session = self.open_session()
        self.arrive(session, begins_anew)
        if session.has_wal:
            clock = session.connection.wal_index()
            if clock != NULL and not self.read_only:
                session.connection.track_read_lock()
                log = open_log(self.directory)
        self.refuse_if_closed(session)
        if log is not None:
            self.commit.sought = settings_version(log.ring)
        self.take_journal(session.connection, log.ring if self.wants_journal and log is not None else NULL)
        if self.journal is None and os.path.exists(self.journal_path):
            # Somebody may be making it.
            self.commit.sought -= 1
        self.refuse_if_closed(session)
        # From here on, what is let go of may run code, or let others in.
        forgotten = self.clocks_forgotten
        self.clock = clock
        self.log = log
        self.commit.header = clock
        self.commit.ring = NULL if log is None else log.ring
        self.commit.capacity = 0 if log is None else log.capacity
        session.connection.watch_commits(before_commit, after_commit, &self.commit)
        if begins_anew:
            for each in self.participants:
                (<Participant>each).begin_anew()
            # So that these are looked at (follow_settings).
            self.settings_seen = settings_version(self.commit.ring) - 1 if self.commit.ring != NULL else 0
        for each in self.participants:
            (<Participant>each).attach(self, session)
        if self.clocks_forgotten == forgotten:
            self.writer = session
        else:
            self.forget_clock()
            session.connection.close(False)
        return 0

    cdef int take_journal(self, Connection connection, unsigned long long* ring) except -1:
        """Have the journal of the database that was opened; with the ring of the change log, make one if it has none. The connection is
        one that nobody else uses, nor follows the commits of."""
        cdef Journal journal = find_journal(connection, self.directory, self.journal, self.read_only, ring)
        if journal is not self.journal:
            self.leave_journal()
            self.journal = journal
            self.writer_lock.journal = journal
        return 0

    cdef bint may_lack_journal(self) noexcept:
        """Whether a journal may have been made since one was looked for, which is to be asked before SQLite is."""
        return self.journal is None and self.clock != NULL and not self.read_only and has_journal_since(&self.commit)

    cdef int seek_journal(self, bint make) except -1:
        """Look for a journal that another object may have made, or ``make`` one. Whoever asks may be without the writer lock, and must
        not use the connection of the session that writes."""
        cdef Connection connection
        cdef unsigned long long version = settings_version(self.commit.ring) if self.commit.ring != NULL else 0
        if not make and not os.path.exists(self.journal_path):
            self.commit.sought = version
            return 0
        self.begin_opening()
        try:
            connection = self.open_connection(False)
            try:
                # Opening lets others in.
                if self.writer is None or self.journal is not None or self.clock == NULL:
                    return 0
                self.take_journal(connection, self.commit.ring if make else NULL)
                if self.journal is None and os.path.exists(self.journal_path):
                    if journal_is_unborn(connection, os.fsdecode(self.journal_path)):
                        # It is looked for again with the next question.
                        return 0
                    self.take_journal(connection, NULL)
                self.commit.sought = version
                if self.journal is not None:
                    # They look at the journal alone.
                    for each in self.participants:
                        (<Participant>each).attach_journal(self)
            finally:
                connection.close(False)
        finally:
            self.end_opening()
        return 0

    cdef int leave_journal(self) except -1:
        """Nobody uses it any more: give back what it is known by."""
        cdef Journal journal = self.journal
        self.journal = None
        if journal is not None and self.writer_lock.journal is journal:
            self.writer_lock.journal = None
            journal.open_gate()
            journal.close()
        return 0

    cdef bint find_directory(self) except -1:
        """Before the database is opened once more: whether another one has come into its place, and is to be used, or made."""
        if self.life == CLOSED or not self.watch.is_known() or self.watch.is_there():
            return False
        if not self.recreate or self.read_only or self.is_hurried():
            self.refuse_if_gone()
            return False
        make_directory(self.directory)
        return True

    cdef int arrive(self, Session session, bint begins_anew) except -1:
        """The database was opened: it is the one that it was, unless it begins anew, with settings that are as good."""
        if self.is_nothing:
            return 0
        if begins_anew:
            self.settings = take_settings(session.connection, self.directory, self.settings, {})
        elif self.watch.is_known() and not self.watch.is_there():
            session.connection.close(False)
            self.refuse_if_gone()
        if begins_anew or not self.watch.is_known():
            self.watch.begin()
        self.watch.begin_beside(session.has_wal and not self.read_only)
        return 0

    cdef Session open_session(self):
        """A session to write with; the database has its tables. As in open_connection, what fails is tried once more."""
        cdef Session session
        if self.read_only and not self.is_nothing:
            session = Session(self.connect_once(False))
            refuse_uninitialized(session.connection)
            session.has_wal = session.connection.reading in ("live", "fixed")
            return session
        try:
            session = self.open_session_once()
            if session.has_wal:
                return initialize(session, self.settings, self.syncs)
        except NotACacheError:
            raise
        except OpenError:
            pass
        except FullError:
            # The index of the log takes room.
            if not reserve.give_up(self.directory):
                raise
            session = None
            session = self.open_session_once()
            session = initialize(session, self.settings, self.syncs)
            reserve.keep(self.directory, self.settings, share=1)
            return session
        # Its files are shared by all connections of a process, and must be closed first.
        session = None
        session = self.open_session_once()
        return initialize(session, self.settings, self.syncs)

    cdef Session open_session_once(self):
        cdef Session session = Session(self.connect_once(False))
        session.has_wal = use_wal(session.connection)
        return session

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
        if self.life == CLOSED:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        if self.is_nothing:
            return Connection(":memory:")
        if self.read_only:
            return connect_to_read(self.path, self.settings["shards"], self.timeout, lenient)
        return connect(self.path, self.directory, self.settings["shards"], self.timeout, lenient)

    cdef void forget_clock(self) noexcept:
        """Before the connection goes that it belongs to."""
        self.clocks_forgotten += 1
        self.clock = NULL
        self.commit.header = NULL
        self.commit.ring = NULL
        for each in self.participants:
            (<Participant>each).detach()

    cdef int drop_sessions(self, bint checkpoint) except -1:
        """Close both connections, to be reopened on next use unless the store is closed. The writer lock is held."""
        # Forgotten before they are closed: closing gives up the GIL, and other threads must not find them.
        cdef Session reader = self.reader
        cdef Session writer = self.writer
        self.reader = None
        self.writer = None
        self.forget_clock()
        # Maintenance may be at work on it.
        checkpoint_lock = self.checkpoint_lock
        checkpoint_lock.acquire()
        try:
            checkpoint_connection, self.checkpoint_connection = self.checkpoint_connection, None
            if checkpoint_connection is not None:
                (<Connection>checkpoint_connection).close(False)
        finally:
            checkpoint_lock.release()
        if reader is not None:
            reader.connection.close(checkpoint)
        if writer is not None:
            writer.connection.close(checkpoint)
        return 0

    cdef int open_reader(self) except -1:
        cdef Session session
        self.begin_opening()
        try:
            if self.reader is None:
                session = self.open_session() if self.read_only else Session(self.open_connection(False))
                self.refuse_if_closed(session)
                if self.clock != NULL and not self.read_only:
                    session.connection.track_read_lock()
                self.reader = session
        finally:
            self.end_opening()
        return 0

    cdef int begin_opening(self) except -1:
        """Have the lock `opening`, and keep forks waiting: until it is all done, or none of it is."""
        while True:
            self.opening.acquire()
            if try_begin_free_call():
                return 0
            self.opening.release()
            wait_for_fork()

    cdef int end_opening(self) except -1:
        end_free_call()
        self.opening.release()
        return 0

    cdef int refuse_if_closed(self, Session session) except -1:
        """Asked after the last line that lets other threads run: the store may have been closed while it opened."""
        if self.life == CLOSED:
            session.connection.close()
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        return 0

    cdef int flush(self) except -1:
        """Write what waits to be written, and wait for it."""
        for each in self.participants:
            (<Participant>each).flush(self)
        return 0

    cdef int flush_first(self) except -1:
        """Before what is atomic, and what looks at the whole table: have what waits written."""
        if self.journal is not None:
            for each in self.participants:
                (<Participant>each).before_transaction(self)
        return 0

    cdef int acquire_writer_lock(self) except -1:
        """Take the writer lock for something atomic."""
        if self.read_only:
            self.refuse_writing()
        self.writer_lock.acquire(self.timeout)
        return 0

    # -- sessions -----------------------------------------------------------------------------------------------

    cdef Session choose_session(self, bint sought=False):
        """The session to read from now, until the GIL is given up. ``sought`` says that a journal has just been looked for."""
        if self.born != fork_count():
            fork.notice_fork()
        if self.has_deferred and self.writer_lock.held_by_me():
            self.flush_deferred()
        if self.watch.is_due_to_read():
            self.look_around()
        if self.read_only:
            self.reopen_changed()
        if self.writer is None:
            self.open_writer()
            return self.choose_session()
        # Who is in a transaction has looked when it began, and keeps others from making one.
        if self.may_lack_journal() and not sought and (self.depth == 0 or not self.writer_lock.held_by_me()):
            self.seek_journal(False)
            return self.choose_session(True)
        if self.writer_lock.owner == 0 or self.writer_lock.held_by_me():
            return self.writer
        if self.reader is None:
            self.open_reader()
            # Opening gives up the GIL: choose anew.
            return self.choose_session()
        return self.reader

    cdef int reopen_changed(self) except -1:
        """Of what is read without locks: let go of what somebody has begun to write to, as the last step has found."""
        cdef Session session
        for session in (self.writer, self.reader):
            if session is not None and session.connection.changed:
                self.writer_lock.acquire(self.patience())
                try:
                    self.drop_sessions(False)
                finally:
                    self.writer_lock.release()
                return 0
        return 0

    cdef Session reading(self):
        """The same, for a transaction of its own, or the one that is open."""
        cdef Session session = self.choose_session()
        session.release_snapshot()
        return session

    cdef Session reading_snapshot(self):
        """The same, for the reads that are worth a kept snapshot; whether there is one, it says itself (``has_snapshot``)."""
        cdef Session session = self.choose_session()
        if self.clock == NULL or self.writer_lock.held_by_me():
            session.release_snapshot()
        else:
            session.pin_snapshot(self.clock)
        return session

    cdef Session writing(self):
        """The session to write to; the writer lock is held."""
        if self.born != fork_count():
            fork.notice_fork()
        if self.depth == 0 or self.read_only:
            self.refuse_writing()
        if self.depth == 0 and self.writer is not None and (
                self.writer.connection.in_transaction() or self.writer.connection.read_only):
            # A transaction that could not even be rolled back, or a file that is open for reading alone. Closing ends both.
            self.drop_sessions(False)
        if self.writer is None:
            self.open_writer()
        self.writer.release_snapshot()
        if self.depth and not self.writer.connection.in_transaction():
            raise TransactionError(
                "an earlier error has rolled this transaction back: leave its block, and run it again")
        if self.has_deferred:
            self.flush_deferred()
        if self.commit.ring != NULL:
            # Not with the gate of the journal shut, for which they wait.
            if (self.depth == 0 and (self.journal is None or not self.journal.shut_here)
                    and is_priority_requested(self.commit.ring, self.token)):
                self.yield_to_waiter()
            if settings_version(self.commit.ring) != self.settings_seen:
                self.follow_settings()
        if self.depth == 0 and self.may_lack_journal():
            self.seek_journal(False)
        self.commit.guarded = False
        return self.writer

    cdef Session changing(self):
        """The same to change entries, or to begin a transaction: nobody else changes any meanwhile, until the writer lock is given
        back."""
        cdef Session session = self.writing()
        while self.journal is not None and self.depth == 0 and not self.draining and not self.journal.shut_here:
            for each in self.participants:
                (<Participant>each).before_changing(self)
            # That may have let others in.
            session = self.writing()
        # Until SQLite's write lock is held, a journal may be made.
        self.commit.guarded = self.depth == 0 and self.journal is None
        if self.commit.guarded:
            at_place(9)
        return session

    cdef int follow_settings(self) except -1:
        """Another object has changed the limit or the policy. Whatever fails here, it is looked at again."""
        cdef Session session = self.writer
        cdef unsigned long long before = self.settings_seen
        self.settings_seen = settings_version(self.commit.ring)
        try:
            for each in self.participants:
                (<Participant>each).settings_changed(self, session)
        except BaseException:
            self.settings_seen = before
            raise
        return 0

    cdef int notice_settings(self) except -1:
        """Before a read: what another object has changed decides on whether use is told."""
        if (self.commit.ring != NULL and settings_version(self.commit.ring) != self.settings_seen
                and self.writer_lock.try_acquire()):
            try:
                self.writing()
            finally:
                self.writer_lock.release()
        return 0

    cdef int tell_settings(self) except -1:
        """Have the other objects look at the settings."""
        if self.commit.ring != NULL:
            settings_changed(self.commit.ring)
            self.settings_seen = settings_version(self.commit.ring)
        return 0

    cdef BusyWait pause(self, BusyWait wait):
        """Wait a little for another connection's lock. Signal handlers run here, and may use this store."""
        cdef double before
        if wait is None:
            # What was waited for the writer lock counts.
            wait = BusyWait(
                self.patience(),
                "waiting to use the cache", self.writer_lock.began if self.writer_lock.held_by_me() else 0.0)
        before = seconds()
        try:
            wait.pause(knows_greenlets())
        except BaseException:
            self.clear_priority()
            raise
        finally:
            if self.writer_lock.timings is not None:
                self.writer_lock.timings.others += seconds() - before
        if not self.checkpoint_lock.locked():
            self.contended = True
        if wait.waited > PATIENT_SECONDS and self.writer_lock.held_by_me() and self.commit.ring != NULL:
            self.has_priority_request = True
            request_priority(self.commit.ring, self.token)
        return wait

    cdef list read_rows(self, str text):
        """All rows of a statement without parameters, read as a single entry is: by whoever holds the GIL."""
        while True:
            try:
                return self.reading().connection.query(text)
            except ClosedError:
                # For a fork: it is opened anew.
                if self.life == CLOSED:
                    raise

    cdef int yield_to_waiter(self) except -1:
        """Before writing: let another process come first that has waited for too long."""
        cdef BusyWait wait = None
        while self.commit.ring != NULL and is_priority_requested(self.commit.ring, self.token):
            wait = self.pause(wait)
        return 0

    cdef void clear_priority(self) noexcept:
        """What was waited for is there, or given up."""
        if self.has_priority_request:
            self.has_priority_request = False
            if self.commit.ring != NULL:
                withdraw_priority(self.commit.ring, self.token)

    cdef long long counted_from(self) except? -1:
        """What expires later than this, in ms, is counted and iterated over: as a rule, what has not expired."""
        return LONG_AGO if self.keeps_expired else self.now()

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
        """After a commit of ours, the writer lock still held: bring all parts up to it."""
        self.clear_priority()
        for each in self.participants:
            (<Participant>each).after_commit(self)
        return 0

    cdef bint waits_for_disk(self) noexcept:
        """Whether a commit that comes next waits for the disk: each does with durability "full"; else one that starts the WAL over,
        whose new header SQLite syncs (https://sqlite.org/src/info/ff5be73dee), and maybe one during a sync of maintenance."""
        return self.syncs or (self.depth == 0 and self.clock != NULL and (is_backfilled(self.clock) or is_syncing()))

    cdef int change(self, Session session, Statement statement, bint release_gil) except -2:
        """Step a bound statement to its end; returns how many rows it changed, or -1 if another has the lock: then it
        is to be bound anew, since others may use it meanwhile."""
        cdef int before = session.connection.total_changes()
        if statement.step(release_gil or self.waits_for_disk()) == STEP_BUSY:
            return -1
        statement.reset()
        return self.count_changes(session.connection, before)

    cdef int change_locked(self, Session session, Statement statement, bint release_gil) except -1:
        """The same where this process holds the write lock already."""
        cdef int changed = self.change(session, statement, release_gil)
        if changed < 0:
            raise Timeout(f"{self.directory!r}: the database was locked in the middle of a transaction")
        return changed

    cdef int change_row(self, Session session, str text, long long parameter) except -1:
        """Run a statement that has one parameter, a rowid or a number of bytes."""
        cdef Statement statement = session.statement(text)
        statement.bind_integer(1, parameter)
        return self.change_locked(session, statement, False)

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

    cdef int count_file(self, long long size) except -1:
        """Files have grown, or shrunk, by so many bytes."""
        if size:
            for each in self.participants:
                (<Participant>each).files_counted(size)
            self.change_row(self.writing(), sql.COUNT_FILE, size)
        return 0

    cdef int count_changes(self, Connection connection, int before) except -1:
        """How many rows the last statement changed. What it changed beyond them, a trigger did: a file moved."""
        cdef int changed = connection.changes()
        if connection.total_changes() - before != changed:
            self.has_trash = True
        return changed

    # -- participants -------------------------------------------------------------------------------------------

    cdef int flush_deferred(self) except -1:
        """Write what the open transaction has deferred."""
        for each in self.participants:
            (<Participant>each).flush_deferred(self)
        return 0

    cdef int discard_deferred(self) except -1:
        """The innermost block is undone."""
        for each in self.participants:
            (<Participant>each).discard_deferred(self)
        return 0

    cdef int settle(self) except -1:
        """After a commit, the writer lock still held: what each part does then, whatever becomes of the others."""
        cdef Py_ssize_t next = 0, count = len(self.participants)
        interruption = None
        while next < count:
            try:
                while next < count:
                    next += 1
                    (<Participant>self.participants[next - 1]).settle(self)
            except BaseException as error:
                interruption = error
        if interruption is not None:
            raise interruption
        return 0

    # -- for the check ------------------------------------------------------------------------------------------

    def connect(self, bint lenient=False):
        """Another connection to the database, the caller's alone."""
        self.look()
        if not self.read_only:
            self.flush_first()
        self.begin_opening()
        try:
            return self.open_connection(lenient)
        finally:
            self.end_opening()

    def query(self, text, parameters=()):
        """All rows of one statement, run by the thread that is inside ``transact``."""
        if not self.writer_lock.held_by_me() or not self.depth:
            raise TransactionError("query is for use inside transact()")
        self.will_change_all()
        return self.writing().connection.query(text, tuple(parameters))

    def replace_content(self, Connection source, fill):
        """Replace the whole database, however damaged, by another's content, which ``fill()`` completes under the
        write lock."""
        cdef Connection connection
        self.writer_lock.acquire(self.timeout)
        try:
            if self.depth or self.writer_lock.depth > 1:
                raise TransactionError("the database cannot be replaced inside a transaction")
            if self.journal is not None:
                # What is in it is of the old content: it ends with that.
                for each in self.participants:
                    (<Participant>each).before_changing(self)
            connection = self.connect(True)
            overwrite(connection, source, fill)
            connection.close()
            # What is cached of the old content goes.
            self.drop_sessions(True)
        finally:
            self.writer_lock.release()


cdef int warn(str message, str directory, object error) except -1:
    imports.warn(message, directory, error)
    return 0


cdef object check_read_only(object read_only):
    if read_only is not None and not isinstance(read_only, bool):
        raise TypeError(f"read_only must be True, False, or None for if nothing can be written, not {read_only!r}")
    return read_only


cdef str check_durability(object durability):
    if durability not in ("normal", "full"):
        raise ValueError(f"durability must be 'normal' or 'full', not {durability!r}")
    return durability
