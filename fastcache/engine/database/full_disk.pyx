# cython: nonecheck=True
"""What makes room where the disk is full, so that a cache can be emptied there.

To delete something takes room, too: SQLite writes the pages that change into the WAL before it copies them. So each database keeps a
reserve (reserve.py). Whatever fails for want of room, and would give room, has the WAL copied, so that what comes next is written over
what the WAL has already, and the reserve given up; then it is tried once more, with all that it
changes kept in memory until it commits, and what it frees given back in the same transaction: what lies beyond the end of the database
is never written. Afterwards the WAL is cut, and a new reserve is made
as soon as there is room for it. What may give much is done in this way at once on a disk with little room: in the usual one, what was
freed stays in the database for what comes next, and the WAL takes more than before.

How much the database has to grow for the WAL to be copied is what decides on what can be done; it is no more than the reserve where the disk
has filled up slowly, since the WAL is kept short on a disk with little room (`Checkpoints.look_at_disk`). Where it was filled in one go, by
another program say, single entries can be deleted until the reserve is used up, and ``clear`` always works.
"""

import os

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.checkpoints cimport SHORT_WAL
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.shm.wal_clock cimport is_backfilled

from fastcache.engine.database import reserve
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, FullError, StorageError

# What one transaction that gives room takes of the WAL, in bytes.
cdef long long WAL_NEEDED = 128 << 10


cdef bint make_way(Database database, Checkpoints checkpoints) except -1:
    """After FullError: make room for something that would give more. Returns whether it can be tried again, after which `end_way`
    is to be called; inside of a transaction, which SQLite has undone by then, it cannot."""
    if database.writer_lock.held_by_me() and database.depth:
        return False
    database.writer_lock.acquire(database.timeout)
    try:
        reserve.give_up(database.directory)
        # In vain, it would take what there is, which may be enough for the WAL to grow.
        if fits(database):
            copy_wal(database)
        # Some builds of SQLite write zeros to what is freed.
        if not database.vacuums:
            checkpoints.secure_delete = <int>database.integer(database.writing(), sql.GET_SECURE_DELETE)
        database.writing().connection.execute(sql.SECURE_DELETE.format(0))
        database.writing().connection.execute(sql.KEEP_IN_MEMORY)
        database.vacuums = True
    finally:
        database.writer_lock.release()
    return True


cdef bint end_way(Database database, Checkpoints checkpoints) except -1:
    """After that, successful or not: give back what the WAL takes, and have a reserve again if there is room."""
    # Whatever fails here is of less interest than what was done, or has failed, before.
    database.vacuums = False
    try:
        restore(database, checkpoints)
    except CacheError:
        pass
    # What has got room is for others, too.
    checkpoints.lacks_reserve = reserve.keep(database.directory, database.settings, share=2 * database.settings["shards"])
    return 0


cdef int restore(Database database, Checkpoints checkpoints) except -1:
    """Have SQLite's settings be the usual ones again, and the WAL short."""
    database.writer_lock.acquire(database.timeout)
    try:
        database.writing().connection.execute(sql.LET_SPILL)
        database.writing().connection.execute(sql.SECURE_DELETE.format(checkpoints.secure_delete))
        if database.depth == 0 and fits(database) and copy_wal(database) and database.clock != NULL and is_backfilled(database.clock):
            cut_wal(database, checkpoints)
    finally:
        database.writer_lock.release()
    return 0


cdef bint fits(Database database) except -1:
    """Whether there is room for copying the WAL, and for what is written next."""
    try:
        return growth(database) + max(0, WAL_NEEDED - wal_size(database)) <= reserve.room(database.directory)
    except OSError as error:
        if isinstance(error, CacheError):
            raise
        # The directory is gone, of which whoever writes tells.
        return False


cdef long long growth(Database database) except -1:
    """How much longer the database gets by copying the WAL, in bytes."""
    cdef Session session = database.writing()
    cdef long long size = database.integer(session, sql.PAGE_COUNT) * database.integer(session, sql.PAGE_SIZE)
    return max(0, size - <long long>os.stat(database.path).st_size)


cdef long long wal_size(Database database) except -1:
    """The length of the WAL, which is written over once it is copied."""
    try:
        return os.stat(database.path + "-wal").st_size
    except OSError:
        return 0


cdef bint copy_wal(Database database) except -1:
    """Copy the WAL, so that it starts over; returns whether that could be done."""
    checkpoint_lock = database.checkpoint_lock
    checkpoint_lock.acquire()
    try:
        return database.writing().connection.checkpoint(True)
    except (FullError, StorageError):
        # The database would have to grow, and cannot. What comes then still has the reserve.
        return False
    finally:
        checkpoint_lock.release()


cdef int cut_wal(Database database, Checkpoints checkpoints) except -1:
    """Have the WAL start over, and keep little of its length: what the next write takes."""
    try:
        database.writing().connection.execute(sql.KEEP_WAL.format(SHORT_WAL))
        try:
            enter(database)
            try:
                database.writing().connection.execute(sql.START_OVER)
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
        finally:
            database.writing().connection.execute(sql.KEEP_WAL.format(checkpoints.largest_wal))
    except CacheError:
        # What was to be done is done; this is tried again by whoever shortens the WAL.
        pass
    return 0
