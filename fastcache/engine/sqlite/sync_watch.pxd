# Whether a checkpoint of this process waits for the disk just now (xSync).
#
# Whoever commits meanwhile may have to wait as well, though it does not sync: the file system journals the WAL's inode, and
# keeps writers out of it while that is being written. So an event loop does not commit then, and others do it without the GIL.
#
# The method of the file that syncs is one of ours, which counts; all else is left to SQLite's own methods (as in read_lock.pxd).
# There is one count in a process: this is for connection.pyx alone. A child that C code has forked meanwhile may never count
# down to 0, and then takes the long way.

from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from fastcache.engine.sqlite.checkpoint_lock cimport begins_checkpoint, lock_for_checkpoint
from fastcache.engine.sqlite.sqlite3 cimport sqlite3_file, sqlite3_io_methods

cdef extern from *:
    """
    static int fastcache_syncs = 0;
    #if defined(_MSC_VER)
    #include <intrin.h>
    static void fastcache_count_syncs(int change) { _InterlockedExchangeAdd((volatile long *)&fastcache_syncs, change); }
    #else
    static void fastcache_count_syncs(int change) { __atomic_fetch_add(&fastcache_syncs, change, __ATOMIC_RELAXED); }
    #endif
    """
    int fastcache_syncs
    void fastcache_count_syncs(int change) noexcept nogil

cdef enum:
    # Of what follows xUnfetch we know nothing.
    KNOWN_METHODS = 3


cdef struct SyncWatch:
    # First, so that a pointer to the file's methods is one to this.
    sqlite3_io_methods methods
    const sqlite3_io_methods* below


cdef inline int sync_watched(sqlite3_file* file, int flags) noexcept nogil:
    """xSync."""
    cdef int code
    fastcache_count_syncs(1)
    code = (<SyncWatch*>file.pMethods).below.xSync(file, flags)
    fastcache_count_syncs(-1)
    return code


cdef inline int lock_watched(sqlite3_file* file, int offset, int count, int flags) noexcept nogil:
    """xShmLock: a checkpoint for which there is nothing to copy does not begin (checkpoint_lock.pxd)."""
    cdef const sqlite3_io_methods* below = (<SyncWatch*>file.pMethods).below
    if begins_checkpoint(offset, count, flags):
        return lock_for_checkpoint(file, below)
    return below.xShmLock(file, offset, count, flags)


cdef inline int close_watched(sqlite3_file* file) noexcept nogil:
    """xClose: SQLite forgets the methods after it."""
    cdef SyncWatch* watch = <SyncWatch*>file.pMethods
    cdef int code
    file.pMethods = watch.below
    code = watch.below.xClose(file)
    free(watch)
    return code


cdef inline int watch_syncs(sqlite3_file* file) noexcept nogil:
    """Count the syncs of a file as long as it is open, if that can be done, and is not yet."""
    cdef SyncWatch* watch
    if file == NULL or file.pMethods == NULL or file.pMethods.xSync == sync_watched:
        return 0
    watch = <SyncWatch*>malloc(sizeof(SyncWatch))
    if watch != NULL:
        memcpy(&watch.methods, file.pMethods, sizeof(sqlite3_io_methods))
        watch.methods.iVersion = min(watch.methods.iVersion, <int>KNOWN_METHODS)
        watch.methods.xSync = sync_watched
        watch.methods.xClose = close_watched
        if watch.methods.iVersion >= 2 and watch.methods.xShmLock != NULL:
            watch.methods.xShmLock = lock_watched
        watch.below = file.pMethods
        file.pMethods = &watch.methods
    return 0
