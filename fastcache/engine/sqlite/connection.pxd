# One sqlite3*: open, pragmas, prepared statements, errors, checkpoints. Other rooms reach SQLite's C API through these
# methods alone.

from fastcache.engine.sqlite.cells cimport Cell, Row
from fastcache.engine.sqlite.handles cimport sqlite3, sqlite3_stmt
from fastcache.engine.sqlite.row_source cimport RowSource
from fastcache.engine.sqlite.stamp cimport Stamp


cdef enum Step:
    STEP_DONE = 0
    STEP_ROW = 1
    STEP_BUSY = 2


# Called by SQLite in the middle of a step: with the write lock held, just before a commit becomes visible, which is rolled back if it
# returns False, as if another had the lock (STEP_BUSY); and just after
# it has, with the number of frames that the WAL then holds.
ctypedef bint (*BeforeCommit)(void* argument) noexcept nogil
ctypedef void (*AfterCommit)(void* argument, int frames) noexcept nogil
# Called for each row that is inserted, changed or deleted.
ctypedef void (*RowChanged)(void* argument, int change, long long row) noexcept nogil


# What is called in the middle of a step, with what, and what was seen there.
cdef struct Hooks:
    BeforeCommit before_commit
    AfterCommit after_commit
    void* commit_argument
    RowChanged on_row_change
    void* row_argument
    # How many the WAL held after the last commit.
    int frames
    # The one that was inserted or changed last.
    long long last_row


cdef bint is_syncing() noexcept nogil


cdef class Connection:
    cdef sqlite3* db
    cdef readonly str path
    cdef readonly double timeout
    # SQLite has opened one of its files for reading alone. It must be opened anew.
    cdef bint read_only
    # How it reads, if it writes nothing (reading.py); else None. And its folder, where the path is too long for SQLite.
    cdef readonly str reading
    cdef int folder
    # Without locks: the three files as they were when it was opened. And a clock for what never changes.
    cdef bint has_no_locks
    cdef bint changed
    cdef tuple names
    cdef Stamp stamp
    cdef unsigned long long[12] still_clock
    # The ReadLock of its file (read_lock.pxd), if that is known; else NULL.
    cdef void* read_lock
    # What the system said last when a step had failed.
    cdef int step_errno
    # How long it has worked without the GIL, in seconds.
    cdef double seconds_free
    # Whether a thread has come back from SQLite, and waits for the GIL.
    cdef bint returning
    cdef Hooks hooks
    # The one row of the feed, whose key is what `step_for` looks for.
    cdef Row asked
    cdef RowSource feed
    cdef RowSource batch

    cdef int make_tables(self) except -1
    cdef bytes reachable(self, bytes name)
    cdef int close_folder(self) noexcept
    cdef bint has_changed(self) noexcept
    cdef int refuse_changed(self) except -1
    cdef void offer(self, const Row* rows, Py_ssize_t count) noexcept
    cdef int busy_or_raise(self, int code, object doing) except -1
    cdef int system_errno(self, int primary) noexcept
    cdef void let_in(self) noexcept
    cdef int close(self, bint checkpoint=*) except -1
    cdef void abandon(self) noexcept
    cdef int refuse_read_only(self) except -1
    cdef bint in_transaction(self) noexcept
    cdef int changes(self) noexcept
    cdef int total_changes(self) noexcept
    cdef int roll_back(self) except -1
    cdef int checkpoint(self, bint restart=*) except -1
    cdef void watch_syncs(self) noexcept
    cdef const unsigned long long* wal_index(self) noexcept
    cdef void track_read_lock(self) noexcept
    cdef bint has_no_snapshot(self) noexcept
    cdef bint release_read_lock(self) noexcept
    cdef void watch_commits(self, BeforeCommit before, AfterCommit after, void* argument) noexcept
    cdef void watch_rows(self, RowChanged changed, void* argument) noexcept
    cdef int execute(self, str text) except -1
    cpdef list query(self, str text, tuple parameters=*, bint release_gil=*)
    cdef list rows_of(self, str text, tuple parameters, bint release_gil)


cdef class Statement:
    cdef Connection connection
    cdef sqlite3_stmt* handle
    cdef readonly str text
    # It never comes to its end: only `stop` resets it.
    cdef bint endless

    cdef int ready(self) except -1
    cdef int prepare(self) except -1
    cdef int bind(self, int index, const Cell* cell) except -1
    cdef int bind_integer(self, int index, long long value) except -1
    cdef int bind_null(self, int index) except -1
    cdef int bind_all(self, tuple values) except -1
    cdef int step(self, bint release_gil=*) except -1
    cdef int run(self, bint release_gil=*) except -1
    cdef int step_for(self, const Cell* key) except -1
    cdef void reset(self) noexcept
    cdef void stop(self) noexcept
    cdef void undo(self) noexcept
    cdef void column(self, int index, Cell* cell) noexcept
    cdef long long column_integer(self, int index) noexcept
    cdef bint column_is_null(self, int index) noexcept
    cdef bint column_is_integer(self, int index) noexcept
    cdef object column_object(self, int index)
