# cython: nonecheck=True
"""What a fork does with one database: it is held, closed, and let go again.

forks.py calls these for all open stores. All connections are closed before a fork, and until it is done none is opened (the lock
`opening`); both sides reopen on first use.
"""

import _thread

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.database.database cimport CLOSED, CLOSING, OPEN, SOON, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.writer_lock cimport WriterLock, fork_count
from fastcache.engine.sqlite.connection cimport Connection

from fastcache.errors import CacheError, Timeout, TransactionError
from fastcache.runtime import imports


cdef bint hold(Database database, double timeout) except -1:
    """Keep all other threads from writing and from opening connections; returns whether that was possible."""
    try:
        database.writer_lock.acquire(timeout)
    except (Timeout, TransactionError):
        return False
    if database.depth or database.writer_lock.depth > 1 or not database.opening.acquire(True, timeout):
        database.writer_lock.release()
        return False
    return True


cdef int quiesce(Database database) except -1:
    """Write what waits, and close the connections; they reopen on next use.

    For a fork: what cannot be written within a moment, or not at all, goes on waiting in the parent. Who has SQLite's lock
    may be waiting for the end of the fork."""
    if database.life == CLOSED:
        return 0
    database.hurried_thread = <unsigned long>PyThread_get_thread_ident()
    try:
        database.flush()
    except (CacheError, OSError):
        database.flush_after_fork = True
    finally:
        database.hurried_thread = 0
        database.drop_sessions(False)
    return 0


cdef int resume(Database database) except -1:
    """Let the other threads go on."""
    database.opening.release()
    database.writer_lock.release()
    if database.flush_after_fork:
        database.flush_after_fork = False
        database.schedule(SOON)
    return 0


cdef bint drop_inherited(Database database) except -1:
    """In a child that was forked without notice: close the connections that came with it; returns whether all could be.

    They are copies: their locks are the parent's, and stay. What is closed is only what this process has of them. That is
    possible unless one is in a transaction, whose end would undo the parent's."""
    cdef Session session
    cdef Connection connection
    cdef bint all_closed = True
    for session in (database.reader, database.writer):
        if session is not None:
            session.release_snapshot()
    for connection in [session.connection for session in (database.reader, database.writer) if session is not None] + (
            [database.checkpoint_connection] if database.checkpoint_connection is not None else []):
        if connection.in_transaction():
            all_closed = False
        else:
            try:
                connection.close(False)
            except CacheError:
                all_closed = False
    return all_closed


cdef int after_fork_in_child(Database database) except -1:
    """Start in the child with free locks and no connection; never touch the parent's."""
    database.born = fork_count()
    # What it is known by is the parent's.
    database.journal = None
    database.draining = False
    database.writer_lock = WriterLock()
    database.opening = imports.new_lock(_thread.RLock)
    database.unlinking = imports.new_lock(_thread.RLock)
    database.checkpoint_lock = imports.new_lock()
    for session in (database.writer, database.reader):
        if session is not None:
            (<Session>session).abandon()
    if database.checkpoint_connection is not None:
        database.checkpoint_connection.abandon()
    database.writer = None
    database.reader = None
    database.checkpoint_connection = None
    database.forget_clock()
    database.files.after_fork_in_child()
    database.flush_after_fork = False
    database.depth = 0
    database.has_deferred = False
    if database.life == CLOSING:
        database.life = OPEN
    database.hurried_thread = 0
    database.created = []
    database.marks = []
    database.blocks = []
    for each in database.participants:
        (<Participant>each).after_fork_in_child(database)
    return 0
