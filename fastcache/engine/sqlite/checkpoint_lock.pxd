# The lock of checkpoints, which is not taken where there is nothing to copy.
#
# SQLite before 3.51.3 (and 3.50.7, 3.44.6) has a race that damages databases (sqlite.org/wal.html, "The WAL-Reset Bug"): where a
# checkpoint begins while all of the WAL has been copied already, and a commit starts the WAL over at that moment, the
# checkpoint marks as copied what it has not copied. A later one leaves it out, and what was committed is lost. We checkpoint
# on one connection while others commit, and on two shortly after each other, so that this is no matter of years here.
#
# So the method of the file that locks is one of ours: once a checkpoint has its lock, it is looked whether something is left to
# be copied. If so, nobody can start the WAL over before this checkpoint has copied it, since no other checkpoint can run. If not,
# the lock is given back, and SQLite is told that it is busy.
#
# A foreign program that checkpoints has no such method. So a commit of ours that starts the WAL over has the lock of checkpoints for that
# moment; where another one has it, the commit is appended, and the next one starts it over.

from libc.string cimport memcmp

from fastcache.engine.sqlite.sqlite3 cimport (
    SQLITE_BUSY,
    SQLITE_OK,
    SQLITE_SHM_EXCLUSIVE,
    SQLITE_SHM_LOCK,
    SQLITE_SHM_UNLOCK,
    sqlite3_file,
    sqlite3_io_methods,
)

cdef enum:
    # The byte of the wal-index that who checkpoints locks: WAL_CKPT_LOCK.
    CHECKPOINT_LOCK = 1
    # Those of all readers but of who reads the database alone, WAL_READ_LOCK(1) and on: locked together to start the WAL over.
    READERS_OF_WAL = 4
    READERS_COUNT = 4
    # Bytes of the wal-index that have its header; where that says how many frames there are, and how many were copied.
    INDEX_REGION = 32768
    FRAMES_AT = 16
    COPIED_AT = 96


cdef inline bint is_all_copied(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept nogil:
    """Whether all that the WAL of a file holds is in the database (nBackfill is mxFrame); its index is mapped already."""
    cdef void* region = NULL
    if methods.iVersion < 2 or methods.xShmMap == NULL:
        return False
    if methods.xShmMap(file, 0, INDEX_REGION, 0, <void*>&region) != SQLITE_OK or region == NULL:
        return False
    return memcmp(<const char*>region + FRAMES_AT, <const char*>region + COPIED_AT, 4) == 0


cdef inline bint begins_checkpoint(int offset, int count, int flags) noexcept nogil:
    """Whether this is how SQLite locks for a checkpoint. (For a recovery it locks more bytes.)"""
    return offset == CHECKPOINT_LOCK and count == 1 and flags == (SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)


cdef inline int lock_for_checkpoint(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept nogil:
    """xShmLock for a checkpoint, by the methods of SQLite's own."""
    cdef int code = methods.xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)
    if code == SQLITE_OK and is_all_copied(file, methods):
        code = methods.xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
        if code == SQLITE_OK:
            code = SQLITE_BUSY
    return code


cdef inline bint ends_checkpoint(int offset, int count, int flags) noexcept nogil:
    return offset == CHECKPOINT_LOCK and count == 1 and flags == (SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)


cdef inline bint is_of_starting_over(int offset, int count) noexcept nogil:
    """Whether this is what SQLite locks, and unlocks, around starting the WAL over; who checkpoints, to wait for readers."""
    return offset == READERS_OF_WAL and count == READERS_COUNT


cdef inline int lock_for_starting_over(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept nogil:
    """xShmLock for a commit that starts the WAL over: nobody checkpoints meanwhile."""
    cdef int code = methods.xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)
    if code != SQLITE_OK:
        return code
    code = methods.xShmLock(file, READERS_OF_WAL, READERS_COUNT, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)
    if code != SQLITE_OK:
        methods.xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
    return code


cdef inline int unlock_after_starting_over(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept nogil:
    cdef int code = methods.xShmLock(file, READERS_OF_WAL, READERS_COUNT, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
    cdef int given_back = methods.xShmLock(file, CHECKPOINT_LOCK, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
    return code if code != SQLITE_OK else given_back
