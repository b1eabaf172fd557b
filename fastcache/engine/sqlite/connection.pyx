"""One connection to one database: open, prepared statements, errors, checkpoints.

Of this room, it and row_source.pyx call SQLite's C API, and nobody else does. They share the one object that links it: so a
process holds one copy of SQLite, whichever was chosen when building.

A connection has no mutex of its own (SQLITE_OPEN_NOMUTEX). Who uses it makes sure that one thread at a time
does: either the GIL is held from the first bind to the reset, with nothing in between that can run Python code
(no container is created, since that may start the garbage collector), or the thread holds the store's turn. So whoever
closes it, which takes both, never comes between a step and the columns of its row. What was closed meanwhile is found
out at the next step (ClosedError); `reset` and `stop` then do nothing.

SQLITE_BUSY can come from any step, also from COMMIT and from a read (recovery, a closing process). No step waits
inside SQLite: it comes back as STEP_BUSY with the statement reset, and BusyWait decides on trying again.

In all of the engine, locks are taken and given back by calls: the code that Cython makes of a `with` statement crashes where
there was no memory for a traceback.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport (
    CELL_BLOB, CELL_INTEGER, CELL_NULL, CELL_REAL, CELL_TEXT, ROW_DELETED, Cell, CellKind, Row, cell_object,
    cell_of_plain)
from fastcache.engine.sqlite.checkpoint_lock cimport is_all_copied
from fastcache.engine.sqlite.fork_safety cimport begin_free_call, connections_to, count_closed, count_opened, end_free_call
from fastcache.engine.sqlite.locks_of_files cimport use_descriptions
from fastcache.engine.sqlite.read_lock cimport ReadLock, release_lock, track_lock
from fastcache.engine.sqlite.row_source cimport attach_source, make_batch, make_feed
from fastcache.engine.monotonic cimport seconds
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.sqlite3 cimport *
from fastcache.engine.sqlite.stamp cimport Stamp, take_stamp
from fastcache.engine.sqlite.sync_watch cimport fastcache_syncs, watch_syncs
from fastcache.engine.sqlite.vfs cimport add_copy

from fastcache.engine.sqlite import sql
from fastcache.errors import (
    ClosedError,
    CorruptError,
    FullError,
    NotACacheError,
    OpenError,
    SQLiteError,
    StorageError,
    TooLargeError,
    system_error,
)

cdef extern from "<errno.h>":
    int ENOENT
    int errno

cdef extern from *:
    """
    #ifdef _WIN32
    static void fastcache_close_folder(int fd) { (void)fd; }
    #else
    #include <unistd.h>
    static void fastcache_close_folder(int fd) { (void)close(fd); }
    #endif
    """
    void fastcache_close_folder(int fd) noexcept

OLDEST_SQLITE = (3, 37, 0)
sqlite_version = (<bytes>sqlite3_libversion()).decode()
sqlite_version_info = tuple(int(part) for part in sqlite_version.split("."))

if sqlite_version_info < OLDEST_SQLITE:
    raise ImportError(
        f"fastcache needs SQLite {'.'.join(map(str, OLDEST_SQLITE))} or newer, "
        f"but this process has loaded {sqlite_version}"
    )
if not sqlite3_threadsafe():
    raise ImportError(
        "fastcache cannot use this SQLite: it was built without thread safety (SQLITE_THREADSAFE=0)"
    )

# How often a checkpoint that restarts the WAL asks for a lock that another holds, and how long it sleeps in between, in
# microseconds.
cdef int RESTART_TRIES = 50
cdef int RESTART_NAP = 100

# The same for a thread that is let in.
cdef int RETURN_TRIES = 10
cdef int RETURN_NAP = 20

# Of the wal-index: its format.
cdef unsigned int WAL_INDEX_VERSION = 3007000
# The unit in which SQLite maps the wal-index, in bytes.
cdef int WAL_INDEX_REGION = 32768

# The longest path that SQLite takes, in bytes, less what it appends.
cdef int LONGEST_PATH = 500
cdef const char* WITHOUT_LOCKS = b"unix-none" if os.name == "posix" else b"win32-none"
cdef const char* BY_FOLDER = b"fastcache-by-folder"
cdef const char* BY_FOLDER_WITHOUT_LOCKS = b"fastcache-by-folder-none"
cdef sqlite3_vfs by_folder
cdef sqlite3_vfs by_folder_without_locks


cdef int errno_of_making(str path) except -1:
    """Why no file can be made beside another one (an errno); 0 if it can."""
    probe = f"{path}-{os.urandom(8).hex()}"
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(probe)
    except OSError as error:
        return error.errno or 0
    return 0


cdef int commit_hook(void* argument) noexcept nogil:
    cdef Hooks* hooks = <Hooks*>argument
    return hooks.before_commit != NULL and not hooks.before_commit(hooks.commit_argument)


cdef int wal_hook(void* argument, sqlite3* db, const char* name, int frames) noexcept nogil:
    cdef Hooks* hooks = <Hooks*>argument
    hooks.frames = frames
    if hooks.after_commit != NULL:
        hooks.after_commit(hooks.commit_argument, frames)
    return SQLITE_OK


cdef void update_hook(
        void* argument, int change, const char* base, const char* table, sqlite3_int64 row) noexcept nogil:
    # Of our tables, SQLite tells of `entry` alone: the others have no rowids.
    cdef Hooks* hooks = <Hooks*>argument
    if change != ROW_DELETED:
        hooks.last_row = row
    hooks.on_row_change(hooks.row_argument, change, row)


cdef bint nap(int microseconds) noexcept nogil:
    """Sleep so long; returns whether that was possible."""
    cdef sqlite3_vfs* system = sqlite3_vfs_find(NULL)
    if system == NULL:
        return False
    system.xSleep(system, microseconds)
    return True


cdef int restart_busy_handler(void* argument, int tries) noexcept nogil:
    return tries < RESTART_TRIES and nap(RESTART_NAP)


cdef sqlite3_file* database_file(sqlite3* db) noexcept:
    """SQLite's file of the database; NULL if it cannot be had."""
    cdef sqlite3_file* file = NULL
    if sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, <void*>&file) != SQLITE_OK:
        return NULL
    return NULL if file == NULL or file.pMethods == NULL else file


cdef bint is_syncing() noexcept nogil:
    """Whether a checkpoint waits for the disk just now."""
    return fastcache_syncs != 0


cdef int stop_clock(unsigned long long* words) except -1:
    """Make the header of a wal-index that will never change (shm/wal_clock.pxd), and like which there is no other."""
    cdef int index
    words[0] = WAL_INDEX_VERSION
    words[1] = 1ULL << 32
    words[4] = words[5] = <unsigned long long>int.from_bytes(os.urandom(8), "little") | 1
    for index in range(6):
        words[6 + index] = words[index]
    return 0


cdef bytes uri_of(bytes name):
    """The name of a file as a URI (sqlite.org/uri.html)."""
    return b"file:" + b"".join([
        b"%c" % byte if byte in b"/._-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" else b"%%%02X" % byte
        for byte in name])


@cython.no_gc
@cython.final
cdef class Connection:
    """One open database; closed when collected.

    Args:
        path: the database file, an absolute path. Created if absent, unless it is only read.
        lenient: read as much of a damaged database as can be read, for a repair.
        timeout: how long to wait for another connection's lock, in seconds.
        reading: None, or how to read without writing anything: one of the ways in ``database/reading.py``.
    Raises:
        OpenError: it cannot be opened for reading and writing, or not for reading.
    """

    def __cinit__(self, str path, bint lenient=False, double timeout=60.0, bint exclusive=False, str reading=None):
        # Before anything that may be interrupted: what is collected then closes no descriptor of others.
        self.folder = -1
        cdef bytes name = os.fsencode(path) if os.name == "posix" else path.encode()
        cdef int code
        cdef int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        cdef const char* filename
        cdef const char* vfs = NULL
        cdef bint alone = reading == "alone"
        self.path = path
        self.timeout = timeout
        use_descriptions()
        self.reading = reading
        if reading is not None:
            flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        if alone:
            vfs = WITHOUT_LOCKS
        if len(name) > LONGEST_PATH:
            name = self.reachable(name)
            if not add_copy(&by_folder, NULL, BY_FOLDER) or (
                    alone and not add_copy(&by_folder_without_locks, WITHOUT_LOCKS, BY_FOLDER_WITHOUT_LOCKS)):
                self.close_folder()
                raise OpenError(f"cannot open {path!r}: SQLite takes no path that is so long")
            vfs = BY_FOLDER_WITHOUT_LOCKS if alone else BY_FOLDER
        if reading == "fixed":
            stop_clock(&self.still_clock[0])
        if reading in ("still", "fixed", "alone"):
            # Before it is opened: what changes from now on is a change.
            self.names = (name, name + b"-wal", name + b"-shm")
            self.has_no_locks = reading != "fixed"
            take_stamp(
                PyBytes_AS_STRING(self.names[0]), PyBytes_AS_STRING(self.names[1]), PyBytes_AS_STRING(self.names[2]),
                &self.stamp)
        if reading in ("still", "fixed"):
            flags |= SQLITE_OPEN_URI
            name = uri_of(name) + b"?immutable=1"
        filename = PyBytes_AS_STRING(name)
        begin_free_call()
        try:
            with nogil:
                code = sqlite3_open_v2(filename, &self.db, flags, vfs)
            if code == SQLITE_OK:
                count_opened(path)
        finally:
            end_free_call()
        if code != SQLITE_OK:
            self.close_folder()
        if code != SQLITE_OK:
            if self.db == NULL:
                raise MemoryError(f"cannot open {path!r}: out of memory")
            try:
                self.busy_or_raise(code, "open the database")
                raise OpenError(f"cannot open {path!r} as a database")
            finally:
                sqlite3_close(self.db)
                self.db = NULL
        if reading is None and sqlite3_db_readonly(self.db, "main") == 1:
            self.close()
            raise OpenError(f"cannot open {path!r}: it is read-only, and a cache must be able to write")
        code = sqlite3_db_config(self.db, SQLITE_DBCONFIG_DEFENSIVE, <int>(not lenient), <int*>NULL)
        if code != SQLITE_OK:
            self.busy_or_raise(code, "set up the connection")
        sqlite3_wal_hook(self.db, wal_hook, &self.hooks)
        self.asked.key.kind = CELL_NULL
        # Before the database is first looked at: what cannot be had for oneself alone times out here.
        for pragma in (sql.EXCLUSIVE,) * (exclusive or alone) + (sql.LENIENT,) * lenient + sql.PRAGMAS:
            self.execute(pragma)

    cdef bytes reachable(self, bytes name):
        """A short name for a file whose path is too long for SQLite, by a descriptor of its folder."""
        folder, _, last = name.rpartition(b"/")
        if os.name == "posix":
            try:
                self.folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
                short = f"/proc/self/fd/{self.folder}"
                if os.path.samestat(os.stat(short), os.fstat(self.folder)):
                    return short.encode() + b"/" + last
            except OSError as error:
                if self.folder < 0:
                    raise system_error(error.errno, f"open the folder of {self.path!r}", OpenError) from error
            self.close_folder()
        raise OpenError(
            f"cannot open {self.path!r}: SQLite takes no path of more than {LONGEST_PATH} bytes; use a shorter one (where there "
            "is /proc, it may be longer)")

    cdef int close_folder(self) noexcept:
        cdef int folder = self.folder
        self.folder = -1
        if folder >= 0:
            fastcache_close_folder(folder)
        return 0

    cdef bint has_changed(self) noexcept:
        """Whether what is read without locks may not be of one moment: somebody writes, or has written."""
        cdef Stamp now
        if not self.has_no_locks or self.db == NULL:
            return False
        take_stamp(
            PyBytes_AS_STRING(self.names[0]), PyBytes_AS_STRING(self.names[1]), PyBytes_AS_STRING(self.names[2]), &now)
        if memcmp(&now, &self.stamp, sizeof(Stamp)) != 0:
            self.changed = True
        return self.changed

    cdef int refuse_changed(self) except -1:
        """Raise ClosedError, so that it is opened anew, if somebody writes to what is read here without locks."""
        if self.has_changed():
            raise ClosedError(f"{self.path!r} was written to meanwhile; ask again")
        return 0

    cdef int make_tables(self) except -1:
        """Make the feed and the batch: tables that exist without being created, in this connection alone."""
        cdef bytes feed = sql.FEED.encode()
        cdef bytes batch = sql.BATCH.encode()
        cdef int code
        make_feed(&self.feed, &self.asked)
        make_batch(&self.batch)
        code = attach_source(self.db, PyBytes_AS_STRING(feed), &self.feed)
        if code == SQLITE_OK:
            code = attach_source(self.db, PyBytes_AS_STRING(batch), &self.batch)
        if code != SQLITE_OK:
            self.busy_or_raise(code, "set up the connection")
        return 0

    cdef void offer(self, const Row* rows, Py_ssize_t count) noexcept:
        """Have the batch consist of these rows."""
        self.batch.rows = rows
        self.batch.count = count

    def __dealloc__(self):
        # Not close(): at this point nothing can be raised, and no method may be called on self.
        cdef sqlite3_stmt* statement
        if self.db != NULL and self.reading == "alone" and connections_to(self.path) > 1:
            # As in close().
            return
        if self.db != NULL:
            statement = sqlite3_next_stmt(self.db, NULL)
            while statement != NULL:
                sqlite3_finalize(statement)
                statement = sqlite3_next_stmt(self.db, NULL)
            # With the GIL, since nobody holds a lock that would keep a fork from coming in between.
            sqlite3_close(self.db)
            count_closed(self.path)
        self.close_folder()

    cdef void let_in(self) noexcept:
        """If another thread has come back from SQLite with this connection, and waits for the GIL: let it have it. Python would take it
        from a thread that computes only after 5 ms."""
        cdef int tries
        if self.returning:
            with nogil:
                for tries in range(RETURN_TRIES):
                    if not nap(RETURN_NAP) or not self.returning:
                        break

    cdef int close(self, bint checkpoint=True) except -1:
        """Finalize every statement and close. With ``checkpoint`` off the last connection of all leaves the
        WAL as it is, which costs no fsync now and a recovery at the next opening."""
        cdef sqlite3_stmt* statement
        cdef sqlite3* db
        cdef int code
        # May wait, and let others in, one of whom may close it. From here on nobody runs before it is out of their reach:
        # whoever has a statement of this connection yet finds that it is closed.
        begin_free_call(not self.in_transaction())
        db = self.db
        self.db = NULL
        self.read_lock = NULL
        if db == NULL:
            end_free_call()
            return 0
        statement = sqlite3_next_stmt(db, NULL)
        while statement != NULL:
            sqlite3_finalize(statement)
            statement = sqlite3_next_stmt(db, NULL)
        if self.reading == "alone" and connections_to(self.path) > 1:
            # Without locks of its own, SQLite minds no others: closing the file would drop those that other connections of
            # this process have on it. It stays open; there is one of them for each time that somebody began to write.
            end_free_call()
            return 0
        if not checkpoint:
            # What it answers changes nothing: then it checkpoints.
            sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, <int>1, <int*>NULL)
        with nogil:
            code = sqlite3_close(db)
            if code != SQLITE_OK:
                # It goes with what uses it yet.
                sqlite3_close_v2(db)
        if code == SQLITE_OK:
            self.close_folder()
        end_free_call()
        count_closed(self.path)
        if code != SQLITE_OK:
            raise StorageError(f"cannot close {self.path!r}: it is still in use")
        return 0

    cdef void abandon(self) noexcept:
        """Forget the handle without touching it: it belongs to the process this one was forked from."""
        self.db = NULL
        self.read_lock = NULL

    cdef int busy_or_raise(self, int code, object doing) except -1:
        """The single map from SQLite's result codes to exceptions. Returns only for a code that waiting cures."""
        cdef int primary = code & 0xFF
        # PROTOCOL is the WAL's own lock race, after SQLite has tried for ten seconds.
        if primary == SQLITE_BUSY or primary == SQLITE_LOCKED or primary == SQLITE_PROTOCOL:
            return 0
        # What BeforeCommit has refused is rolled back.
        if code == SQLITE_CONSTRAINT_COMMITHOOK:
            return 0
        cause = SQLiteError((<bytes>sqlite3_errmsg(self.db)).decode("utf-8", "replace"), code)
        doing = f"{doing} in {self.path!r}"
        where = f"cannot {doing}"
        number = self.system_errno(primary)
        if primary == SQLITE_CANTOPEN and number == ENOENT:
            # What it could not make, it has looked for.
            number = errno_of_making(self.path) or number
        if primary == SQLITE_NOMEM or code == SQLITE_IOERR_NOMEM:
            raise MemoryError(f"{where}: out of memory") from cause
        if primary == SQLITE_FULL:
            raise FullError(f"{where}: the disk is full; free some space, nothing was changed") from cause
        if primary == SQLITE_NOTADB:
            raise NotACacheError(f"{self.path!r} is not a database; choose another directory") from cause
        # Of some errors of the disk SQLite says that the database is damaged.
        if primary == SQLITE_IOERR or (primary == SQLITE_CORRUPT and number):
            if number:
                raise system_error(number, doing) from cause
            raise StorageError(f"{where}: the file system reported an error") from cause
        # Our statements are right, so that SQLITE_ERROR means a schema that is not (a table is gone, say).
        if primary == SQLITE_CORRUPT or primary == SQLITE_ERROR:
            raise CorruptError(
                f"{where}: the database is damaged; check(fix=True) saves what can be read if it can be opened at all, "
                "otherwise remove the directory"
            ) from cause
        if primary == SQLITE_READONLY:
            self.read_only = True
        if primary in (SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_AUTH):
            if number:
                raise system_error(number, doing, OpenError) from cause
            raise OpenError(f"{where}: the file or its directory is not writable") from cause
        if primary == SQLITE_TOOBIG:
            raise TooLargeError(f"{where}: a key or value is larger than SQLite can hold") from cause
        raise StorageError(f"{where}: unexpected answer from SQLite") from cause

    cdef int system_errno(self, int primary) noexcept:
        """What the system has said to SQLite before this result code; 0 if it is not about that."""
        cdef sqlite3_file* journal = NULL
        cdef int number = 0
        if primary == SQLITE_CANTOPEN or primary == SQLITE_IOERR:
            number = sqlite3_system_errno(self.db)
        if number == 0 and (primary == SQLITE_IOERR or primary == SQLITE_CORRUPT):
            sqlite3_file_control(self.db, "main", SQLITE_FCNTL_LAST_ERRNO, &number)
            if number == 0 and sqlite3_file_control(
                    self.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, <void*>&journal) == SQLITE_OK:
                # The write-ahead log.
                if journal != NULL and journal.pMethods != NULL:
                    journal.pMethods.xFileControl(journal, SQLITE_FCNTL_LAST_ERRNO, &number)
        if number == 0 and primary == SQLITE_IOERR:
            # Some versions of SQLite tell nobody why a commit has failed.
            number = self.step_errno
        return number

    cdef int refuse_read_only(self) except -1:
        """Raise OpenError if SQLite has opened the WAL, or its index, for reading alone: it does so without a word.

        Where another connection is writing just now, that cannot be told."""
        cdef Statement statement = Statement(self, sql.BEGIN)
        if statement.step() != STEP_BUSY:
            statement.reset()
            self.execute(sql.ROLLBACK)
        return 0

    cdef bint in_transaction(self) noexcept:
        return self.db != NULL and sqlite3_get_autocommit(self.db) == 0

    cdef int changes(self) noexcept:
        return sqlite3_changes(self.db)

    cdef int total_changes(self) noexcept:
        return sqlite3_total_changes(self.db)

    cdef int roll_back(self) except -1:
        """Undo the transaction that is open, if there is one: SQLite may have done so."""
        if self.in_transaction():
            self.execute(sql.ROLLBACK)
        return 0

    cdef int checkpoint(self, bint restart=False) except -1:
        """Copy what the WAL holds into the database, as far as no reader is in the way; without waiting for anybody.

        With ``restart``, keep writers out meanwhile, and wait a little for readers, so that the next writer starts the WAL
        over. Returns 1 if everything was copied."""
        cdef int code, frames = 0, copied = 0
        cdef int mode = SQLITE_CHECKPOINT_RESTART if restart else SQLITE_CHECKPOINT_PASSIVE
        cdef sqlite3_file* file = database_file(self.db)
        with nogil:
            if restart:
                sqlite3_busy_handler(self.db, restart_busy_handler, NULL)
            code = sqlite3_wal_checkpoint_v2(self.db, NULL, mode, &frames, &copied)
            if restart:
                sqlite3_busy_handler(self.db, NULL, NULL)
        if code == SQLITE_BUSY and file != NULL and is_all_copied(file, file.pMethods):
            # There was nothing to copy.
            return 1
        if code != SQLITE_OK:
            self.busy_or_raise(code, "checkpoint")
            return 0
        return copied >= frames

    cdef void watch_syncs(self) noexcept:
        """Before a checkpoint: have its syncs tell of themselves (`is_syncing`). Not for a connection whose read lock is tracked."""
        cdef sqlite3_file* journal = NULL
        if self.read_lock == NULL:
            watch_syncs(database_file(self.db))
            if sqlite3_file_control(self.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, <void*>&journal) == SQLITE_OK:
                watch_syncs(journal)

    cdef const unsigned long long* wal_index(self) noexcept:
        """The address of the wal-index header, valid until this connection closes; NULL if it cannot be had.

        For a database in WAL mode that was read already: so its shared memory is mapped, and nothing is made here."""
        cdef sqlite3_file* file = database_file(self.db)
        cdef void* region = NULL
        if self.reading == "fixed":
            # A clock that stands still, each copy of its header as it would be, and like no other one's.
            return &self.still_clock[0]
        if file == NULL or file.pMethods.iVersion < 2 or file.pMethods.xShmMap == NULL:
            return NULL
        if file.pMethods.xShmMap(file, 0, WAL_INDEX_REGION, 0, <void*>&region) != SQLITE_OK:
            return NULL
        return <const unsigned long long*>region

    cdef void track_read_lock(self) noexcept:
        """From now on keep track of its snapshots' lock, if that can be; nothing is read from it just now."""
        cdef sqlite3_file* file = database_file(self.db)
        if file != NULL and self.read_lock == NULL:
            self.read_lock = track_lock(file)

    cdef bint has_no_snapshot(self) noexcept:
        """Whether it is known that nothing is read from it just now."""
        return self.read_lock != NULL and (<ReadLock*>self.read_lock).held == 0

    cdef bint release_read_lock(self) noexcept:
        """Unlock what its snapshot holds, which goes on; returns whether that could be done."""
        return self.read_lock != NULL and release_lock(<ReadLock*>self.read_lock)

    cdef void watch_commits(self, BeforeCommit before, AfterCommit after, void* argument) noexcept:
        """Have both called around each commit of this connection that changes something."""
        self.hooks.before_commit = before
        self.hooks.after_commit = after
        self.hooks.commit_argument = argument
        sqlite3_commit_hook(self.db, commit_hook, &self.hooks)

    cdef void watch_rows(self, RowChanged changed, void* argument) noexcept:
        """Have it called for each row that this connection inserts, changes or deletes; for NULL, not any more."""
        self.hooks.on_row_change = changed
        self.hooks.row_argument = argument
        self.hooks.last_row = 0
        if changed != NULL:
            sqlite3_update_hook(self.db, update_hook, &self.hooks)
        else:
            sqlite3_update_hook(self.db, NULL, NULL)

    cdef int execute(self, str text) except -1:
        """Run one statement whose results do not matter, without the GIL. The connection is the caller's alone, or the caller
        holds the writer lock."""
        cdef Statement statement = Statement(self, text)
        begin_free_call(not self.in_transaction())
        try:
            statement.run(True)
            statement.reset()
        finally:
            end_free_call()
        return 0

    cpdef list query(self, str text, tuple parameters=(), bint release_gil=False):
        """Run one statement and return all its rows, as tuples of SQLite's own values.

        For what is rare. Parameters are str, bytes, int, float or None. Tuples are made between steps, so the
        connection must be one that is never used without the GIL, or the caller holds the writer lock. With
        ``release_gil`` it must be the caller's alone.
        """
        if not release_gil:
            return self.rows_of(text, parameters, False)
        begin_free_call()
        try:
            return self.rows_of(text, parameters, True)
        finally:
            end_free_call()

    cdef list rows_of(self, str text, tuple parameters, bint release_gil):
        cdef Statement statement = Statement(self, text)
        cdef BusyWait wait = None
        cdef int step, columns, index
        cdef list rows, row
        while True:
            rows = []
            statement.prepare()
            columns = sqlite3_column_count(statement.handle)
            statement.bind_all(parameters)
            while True:
                # Made before the step: a list may start the garbage collector, whose code may let others in, and these
                # may close the connection. Between the step and the last column, nothing runs.
                row = [None] * columns
                step = statement.step(release_gil)
                if step != STEP_ROW:
                    break
                begin_span(spans)
                try:
                    for index in range(columns):
                        row[index] = statement.column_object(index)
                finally:
                    end_span(spans)
                rows.append(tuple(row))
            statement.reset()
            if step == STEP_DONE:
                return rows
            self.refuse_changed()
            if wait is None:
                wait = BusyWait(self.timeout, "waiting to use the database")
            wait.pause()


@cython.no_gc
@cython.final
cdef class Statement:
    """A prepared statement, compiled on first use."""

    def __cinit__(self, Connection connection, str text):
        self.connection = connection
        self.text = text

    def __dealloc__(self):
        if self.handle != NULL and self.connection.db != NULL:
            sqlite3_finalize(self.handle)

    cdef int ready(self) except -1:
        """Compile the statement if it is not yet. Returns 0 where the schema could not be read for a lock."""
        cdef bytes text
        cdef int code
        if self.connection.db == NULL:
            raise ClosedError(f"the connection to {self.connection.path!r} was closed meanwhile")
        if self.handle != NULL:
            return 1
        text = self.text.encode()
        code = sqlite3_prepare_v3(
            self.connection.db, PyBytes_AS_STRING(text), <int>PyBytes_GET_SIZE(text) + 1,
            SQLITE_PREPARE_PERSISTENT, &self.handle, NULL)
        if code == SQLITE_OK:
            return 1
        self.connection.busy_or_raise(code, "prepare a statement")
        return 0

    cdef int prepare(self) except -1:
        """Compile the statement, waiting for locks; the caller holds the writer lock."""
        cdef BusyWait wait = BusyWait(self.connection.timeout, "reading the schema")
        while not self.ready():
            wait.pause()
        return 0

    cdef int bind(self, int index, const Cell* cell) except -1:
        """Bind without copying: what the cell borrows must live until the reset."""
        cdef int code
        if self.handle == NULL or self.connection.db == NULL:
            self.prepare()
        if cell.kind == CELL_TEXT:
            code = sqlite3_bind_text64(
                self.handle, index, cell.data, <unsigned long long>cell.size, SQLITE_STATIC, SQLITE_UTF8)
        elif cell.kind == CELL_BLOB:
            code = sqlite3_bind_blob64(self.handle, index, cell.data, <unsigned long long>cell.size, SQLITE_STATIC)
        elif cell.kind == CELL_INTEGER:
            code = sqlite3_bind_int64(self.handle, index, cell.integer)
        elif cell.kind == CELL_REAL:
            code = sqlite3_bind_double(self.handle, index, cell.real)
        else:
            code = sqlite3_bind_null(self.handle, index)
        if code != SQLITE_OK:
            self.connection.busy_or_raise(code, "bind a parameter")
            raise StorageError("a parameter cannot be bound")
        return 0

    cdef int bind_integer(self, int index, long long value) except -1:
        cdef Cell cell
        cell.kind = CELL_INTEGER
        cell.integer = value
        return self.bind(index, &cell)

    cdef int bind_null(self, int index) except -1:
        cdef Cell cell
        cell.kind = CELL_NULL
        return self.bind(index, &cell)

    cdef int bind_all(self, tuple values) except -1:
        """Bind plain values to the parameters in order; the tuple must live until the reset."""
        cdef Cell cell
        cdef int index = 0
        for value in values:
            index += 1
            cell_of_plain(value, &cell)
            self.bind(index, &cell)
        return 0

    cdef int step(self, bint release_gil=False) except -1:
        """One step. After STEP_BUSY and after an exception the statement is reset."""
        cdef int code
        cdef double began, ended
        if self.handle == NULL or self.connection.db == NULL:
            self.prepare()
        if release_gil:
            with nogil:
                began = seconds()
                code = sqlite3_step(self.handle)
                ended = seconds()
                self.connection.returning = True
            self.connection.returning = False
            self.connection.seconds_free += ended - began
        else:
            code = sqlite3_step(self.handle)
        if self.connection.has_no_locks and self.connection.has_changed():
            # Whatever it says, nobody knows of which moment. Whoever is asked next is opened anew (choose_session).
            sqlite3_reset(self.handle)
            return STEP_BUSY
        if code == SQLITE_ROW:
            return STEP_ROW
        if code == SQLITE_DONE:
            return STEP_DONE
        self.connection.step_errno = errno
        # Reset first: building an exception runs Python code, and a reader may hold nothing but the GIL. The
        # reset repeats the step's code and leaves its message in place.
        sqlite3_reset(self.handle)
        self.connection.busy_or_raise(code, "carry out a statement")
        return STEP_BUSY

    cdef int run(self, bint release_gil=False) except -1:
        """Step once, as often as it takes to get the lock. Returns STEP_ROW or STEP_DONE (then reset).

        For statements without parameters: a signal handler that runs while this waits might bind them."""
        cdef int step
        cdef BusyWait wait = None
        while True:
            step = self.step(release_gil)
            if step == STEP_ROW:
                return STEP_ROW
            if step == STEP_DONE:
                sqlite3_reset(self.handle)
                return STEP_DONE
            if self.text is sql.COMMIT and not self.connection.in_transaction():
                # SQLite gives up the transaction where its own locks fail.
                raise StorageError(f"cannot commit in {self.connection.path!r}: the file system has lost a lock")
            self.connection.refuse_changed()
            if wait is None:
                wait = BusyWait(self.connection.timeout, "waiting to write")
            wait.pause()

    cdef int step_for(self, const Cell* key) except -1:
        """One step of a statement over the feed, with the row of this key or of nulls."""
        cdef int step
        self.connection.asked.key = key[0]
        try:
            step = self.step()
        finally:
            # What the cell borrows is not ours any more.
            self.connection.asked.key.kind = CELL_NULL
        return step

    cdef void reset(self) noexcept:
        # The code that reset returns repeats the last step's, which was looked at there. Of a connection that was closed
        # meanwhile, no statement is left.
        if self.handle != NULL and not self.endless and self.connection.db != NULL:
            sqlite3_reset(self.handle)

    cdef void stop(self) noexcept:
        if self.handle != NULL and self.connection.db != NULL:
            sqlite3_reset(self.handle)

    cdef void undo(self) noexcept:
        """End a statement that has changed something and stands on a row, so that it has not; an open transaction is rolled
        back as a whole. (To reset it would be to commit it.)"""
        if self.handle != NULL and self.connection.db != NULL:
            sqlite3_interrupt(self.connection.db)
            # Fails, which undoes it.
            sqlite3_step(self.handle)
            sqlite3_reset(self.handle)

    cdef void column(self, int index, Cell* cell) noexcept:
        """Fill the cell with a column of the row; what it borrows lives until the next step or reset."""
        cell.kind = <CellKind>sqlite3_column_type(self.handle, index)
        if cell.kind == CELL_TEXT:
            cell.data = <const char*>sqlite3_column_text(self.handle, index)
            cell.size = sqlite3_column_bytes(self.handle, index)
        elif cell.kind == CELL_BLOB:
            cell.data = <const char*>sqlite3_column_blob(self.handle, index)
            cell.size = sqlite3_column_bytes(self.handle, index)
        elif cell.kind == CELL_INTEGER:
            cell.integer = sqlite3_column_int64(self.handle, index)
        elif cell.kind == CELL_REAL:
            cell.real = sqlite3_column_double(self.handle, index)

    cdef long long column_integer(self, int index) noexcept:
        return sqlite3_column_int64(self.handle, index)

    cdef bint column_is_null(self, int index) noexcept:
        return sqlite3_column_type(self.handle, index) == SQLITE_NULL

    cdef bint column_is_integer(self, int index) noexcept:
        return sqlite3_column_type(self.handle, index) == SQLITE_INTEGER

    cdef object column_object(self, int index):
        cdef Cell cell
        self.column(index, &cell)
        return cell_object(&cell)
