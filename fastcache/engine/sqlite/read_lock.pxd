# The read lock of a connection's snapshot, which can be given back before the snapshot ends.
#
# A reader of a WAL holds a shared lock on one of five bytes of the wal-index from the beginning of its transaction to the end,
# and while it does, the WAL does not start over (sqlite.org/walformat.html, "Locks"). That is right for a reader that may
# read on after others have committed. One that reads only while nobody has committed, and looks at the clock (wal_clock.pxd)
# after each read as it did before, needs no lock: it is the reader's side of a sequence lock. What is always true of a
# snapshot whose lock was given back, and why:
#
# - *As long as the clock stands, nothing changes of what its reader sees.* A page of the snapshot is in the WAL, or in the
#   database if the WAL did not have it when the snapshot began. A frame of the WAL is written over only after the WAL was
#   started over, and that writes another header first (walRestartHdr in SQLite's wal.c). A page of the database is written by
#   checkpoints alone, from frames that the snapshot has, too, and reads from the WAL. The index of the frames
#   changes behind the last one, and what was behind it is written anew only after such another header.
# - *What was read while the clock moved is not used*, be it a row, none, or an error: pages may be torn. SQLite takes no harm
#   by torn pages, as by none that are damaged: it copies them (PRAGMA mmap_size = 0), and looks at what they say.
# - *The pages that SQLite has kept of it go.* The next transaction of this connection begins with a comparison of headers,
#   and nobody makes the clock stand again where it stood: as long as a connection is open, the WAL's life goes on.
# - *SQLite does not give back again what is not held.* In versions before 3.41 that would take the locks of other connections
#   of this process away. So the method of the file that locks is one of ours, which tells what is held, and leaves out
#   to unlock what was unlocked before. All else is left to SQLite's own methods.

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastcache.engine.sqlite.checkpoint_lock cimport (
    begins_checkpoint,
    ends_checkpoint,
    is_of_starting_over,
    lock_for_checkpoint,
    lock_for_starting_over,
    unlock_after_starting_over,
)
from fastcache.engine.sqlite.sqlite3 cimport (
    SQLITE_OK,
    SQLITE_SHM_SHARED,
    SQLITE_SHM_UNLOCK,
    sqlite3_file,
    sqlite3_io_methods,
)

cdef enum:
    # The first of the bytes that readers lock: WAL_READ_LOCK(0).
    FIRST_READ_LOCK = 3
    # Of what follows xUnfetch we know nothing.
    KNOWN_METHODS = 3


cdef struct ReadLock:
    # First, so that a pointer to the file's methods is one to this.
    sqlite3_io_methods methods
    const sqlite3_io_methods* below
    sqlite3_file* file
    # Which byte the connection has locked, 0 for none; and whether it only believes so.
    int held
    bint released
    # Whether this connection has the lock of checkpoints, to checkpoint; and whether it has it to start the WAL over.
    bint checkpoints
    bint starts_over


cdef inline int lock_tracked(sqlite3_file* file, int offset, int count, int flags) noexcept nogil:
    """xShmLock: what is given back is not given back again; all else is SQLite's own."""
    cdef ReadLock* lock = <ReadLock*>file.pMethods
    cdef int code
    if begins_checkpoint(offset, count, flags):
        code = lock_for_checkpoint(file, lock.below)
        lock.checkpoints = code == SQLITE_OK
        return code
    if ends_checkpoint(offset, count, flags):
        lock.checkpoints = False
    elif is_of_starting_over(offset, count) and not lock.checkpoints:
        if not flags & SQLITE_SHM_UNLOCK:
            code = lock_for_starting_over(file, lock.below)
            lock.starts_over = code == SQLITE_OK
            return code
        if lock.starts_over:
            lock.starts_over = False
            return unlock_after_starting_over(file, lock.below)
    if offset < FIRST_READ_LOCK or not flags & SQLITE_SHM_SHARED:
        return lock.below.xShmLock(file, offset, count, flags)
    if flags & SQLITE_SHM_UNLOCK and lock.released and offset == lock.held:
        code = SQLITE_OK
    else:
        code = lock.below.xShmLock(file, offset, count, flags)
    if code == SQLITE_OK:
        lock.held = 0 if flags & SQLITE_SHM_UNLOCK else offset
        lock.released = False
    return code


cdef inline int close_tracked(sqlite3_file* file) noexcept nogil:
    """xClose: SQLite forgets the methods after it."""
    cdef ReadLock* lock = <ReadLock*>file.pMethods
    cdef int code
    file.pMethods = lock.below
    code = lock.below.xClose(file)
    free(lock)
    return code


cdef inline ReadLock* track_lock(sqlite3_file* file) noexcept nogil:
    """Keep track of the read lock of a file as long as it is open; nobody reads from it just now. NULL if that cannot be
    done, and nothing changes."""
    cdef ReadLock* lock
    if file.pMethods.iVersion < 2 or file.pMethods.xShmLock == NULL:
        return NULL
    lock = <ReadLock*>malloc(sizeof(ReadLock))
    if lock == NULL:
        return NULL
    memcpy(&lock.methods, file.pMethods, sizeof(sqlite3_io_methods))
    lock.methods.iVersion = min(lock.methods.iVersion, <int>KNOWN_METHODS)
    lock.methods.xShmLock = lock_tracked
    lock.methods.xClose = close_tracked
    lock.below = file.pMethods
    lock.file = file
    lock.held = 0
    lock.released = lock.checkpoints = lock.starts_over = False
    file.pMethods = &lock.methods
    return lock


cdef inline bint release_lock(ReadLock* lock) noexcept nogil:
    """Unlock what the snapshot holds; returns whether that could be done."""
    if lock.held == 0 or lock.below.xShmLock(lock.file, lock.held, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED) != SQLITE_OK:
        return False
    lock.released = True
    return True
