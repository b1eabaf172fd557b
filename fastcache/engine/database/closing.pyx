# cython: nonecheck=True
"""The end of a database's use: its journal is drained, and its connections are closed; for good, or at the exit of the process
until somebody still needs one."""

from fastcache.engine.database.database cimport CLOSED, CLOSING, FINISHING, Life, Participant, warn

from fastcache.errors import CacheError, Timeout, TransactionError

# Nothing is lost: whoever opens it next drains it.
cdef str IN_JOURNAL = "%r: what was set last is in its journal, and not in the database yet: %s"


cdef int close(Database database) except -1:
    """Close the connections; what was acknowledged stays. Every later use raises ClosedError.

    Raises:
        TransactionError: this thread is inside a transaction.
        Timeout: another thread is inside one, for longer than ``timeout``.
    """
    cdef Life before
    if database.life == CLOSED:
        return 0
    database.writer_lock.acquire(database.timeout)
    try:
        if database.depth or database.writer_lock.depth > 1:
            raise TransactionError(
                "a cache cannot be closed inside its own transaction, or by what interrupts one of its operations")
        # Nothing goes into the journal any more, so that all of it is drained.
        before = database.life
        database.life = CLOSING
        try:
            database.flush()
        except BaseException:
            database.life = before
            raise
        shut(database)
    finally:
        database.writer_lock.release()
    database.schedule(0.0)
    return 0


cdef int close_if_idle(Database database) except -1:
    """Close, unless a thread has the writer lock. Nobody minds what waits: a temporary directory is about to be removed."""
    if database.life == CLOSED or not database.writer_lock.try_acquire():
        return 0
    try:
        if not database.depth and database.writer_lock.depth == 1:
            shut(database)
    finally:
        database.writer_lock.release()
    return 0


cdef int finish(Database database, double patience) except -1:
    """At the exit: put nothing into the journal any more, drain it, and close the connections, unless a thread has the writer lock;
    if something is to be drained, unless it has it for so many seconds.

    Exit handlers that come after this, and finalizers, may still use the database, and open connections again."""
    cdef bint waits
    if database.life in (CLOSED, CLOSING):
        return 0
    database.life = FINISHING
    waits = has_waiting(database)
    try:
        database.writer_lock.acquire(patience if waits else 0.0)
    except (Timeout, TransactionError) as error:
        if waits:
            warn(IN_JOURNAL, database.directory, error)
    else:
        try:
            if not database.depth and database.writer_lock.depth == 1:
                try:
                    database.flush()
                except (CacheError, OSError) as error:
                    warn(IN_JOURNAL, database.directory, error)
                database.drop_sessions(True)
        finally:
            database.writer_lock.release()
    return 0


cdef bint has_waiting(Database database) noexcept:
    """Whether something waits to be written."""
    for each in database.participants:
        if (<Participant>each).has_pending(database):
            return True
    return False


cdef int shut(Database database) except -1:
    """Be closed from now on. The writer lock is held, and nothing waits to be written."""
    database.life = CLOSED
    unlinking = database.unlinking
    unlinking.acquire()
    unlinking.release()
    try:
        database.drop_sessions(True)
        database.leave_journal()
    finally:
        database.files.close()
    return 0
