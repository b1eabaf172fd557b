# cython: nonecheck=True
"""Free pages given back to the file system, a few at a time (https://sqlite.org/pragma.html#pragma_incremental_vacuum).

They are used again by whatever comes next in the database, but not by files: where these need them, and where the limit was
lowered, they go back.
"""

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement

from fastcache.engine.sqlite import sql
from fastcache.errors import FullError, TransactionError


cdef bint shorten(Database database, Room room, bint patiently) except -1:
    """Copy all of the WAL if the database file is longer than its pages, and so make it shorter. ``patiently``, wait a
    little for readers. Returns whether it is shorter now. The writer lock is held."""
    room.measure(database, database.writing())
    if room.tail(database) == 0:
        return False
    copy_wal(database, patiently)
    return room.tail(database) == 0


cdef bint lengthen(Database database, Room room, bint patiently) except -1:
    """Before free pages are given back, copy the WAL if the database file is shorter than its pages: or else a checkpoint
    that is under way makes it as long as that after somebody has looked at its ``tail``. Returns whether it is as long
    now. The writer lock is held."""
    room.measure(database, database.writing())
    if room.length(database) < room.pages * room.limit.page_size:
        copy_wal(database, patiently)
    return room.length(database) >= room.pages * room.limit.page_size


cdef int copy_wal(Database database, bint patiently) except -1:
    cdef Session session = database.writing()
    # Maintenance may be at it.
    checkpoint_lock = database.checkpoint_lock
    checkpoint_lock.acquire()
    try:
        session.connection.checkpoint(patiently)
    finally:
        checkpoint_lock.release()
    return 0


cdef bint vacuum_some(Database database, Session session) except -1:
    """Give some free pages back, as a transaction; fewer where the disk is full. Returns whether there were any."""
    try:
        return vacuum_pages(database, session, sql.VACUUM_SOME)
    except FullError:
        if database.depth:
            raise
    copy_wal(database, True)
    return vacuum_pages(database, database.writing(), sql.VACUUM_FEW)


cdef bint vacuum_pages(Database database, Session session, str text) except -1:
    cdef Statement statement
    cdef long long before = database.integer(session, sql.FREE_PAGES)
    enter(database)
    try:
        statement = database.writing().statement(text)
        while statement.step(True) == STEP_ROW:
            pass
        statement.reset()
    except BaseException:
        leave(database, False)
        raise
    leave(database, True)
    return database.integer(database.writing(), sql.FREE_PAGES) < before


cdef long long vacuum(Database database, Room room) except -1:
    """Give the free pages back to the file system; returns how many bytes that were.

    Raises:
        TransactionError: inside a transaction.
    """
    cdef Session session
    cdef long long before = -1
    cdef bint left = True
    while left:
        database.writer_lock.acquire(database.timeout)
        try:
            if database.depth:
                raise TransactionError("vacuum() is not for use inside transact()")
            if before < 0:
                before = database.integer(database.writing(), sql.FREE_PAGES)
            lengthen(database, room, True)
            left = vacuum_some(database, database.writing())
        finally:
            database.writer_lock.release()
    database.writer_lock.acquire(database.timeout)
    try:
        shorten(database, room, True)
        return (before - min(before, database.integer(database.writing(), sql.FREE_PAGES))) * room.limit.page_size
    finally:
        database.writer_lock.release()
