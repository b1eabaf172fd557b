# cython: nonecheck=True
"""The trash: names of value files that no row has any more, put there by triggers and yet to be unlinked."""

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.database cimport CLOSED, warn
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement

from fastcache.engine.sqlite import sql
from fastcache.errors import FullError, OpenError, StorageError


cdef int tidy_at_opening(Database database) except -1:
    """Empty the trash that others have left. What fails here, on a full disk say, is done another time; but folders that
    are links are refused."""
    try:
        database.files.refuse_links()
    except StorageError as error:
        raise OpenError(*error.args) from error
    try:
        empty_trash(database, database.timeout)
    except (FullError, StorageError) as error:
        warn("tidying %r has to wait: %s", database.directory, error)
    return 0


cdef int empty_trash(Database database, double patience) except -1:
    """Unlink the files in the trash, then forget them; no transaction is open. The writer lock is not needed to unlink."""
    cdef list names, gone
    cdef int changed = 1
    try:
        while changed:
            database.writer_lock.acquire(patience)
            try:
                database.has_trash = False
                names = [row[0] for row in database.writing().connection.query(sql.LIST_TRASH, ())]
            finally:
                database.writer_lock.release()
            gone = unlink_all(database, names)
            changed = forget_trash(database, gone, patience) if gone else 0
            if len(gone) < len(names):
                return 0
    except BaseException:
        database.has_trash = True
        raise
    return 0


cdef list unlink_all(Database database, list names):
    """Unlink files, and what could not be removed before; returns the names of those that are gone. Closing waits for the one that
    is under way, and then ends it: whoever has closed may remove the whole directory."""
    cdef list gone = []
    unlinking = database.unlinking
    unlinking.acquire()
    try:
        if database.life != CLOSED:
            database.files.remove_left()
        for name in names:
            if database.life == CLOSED:
                break
            if database.files.unlink(name):
                gone.append(name)
    finally:
        unlinking.release()
    return gone


cdef int forget_trash(Database database, list names, double patience) except -1:
    """Take the names of files that are gone out of the trash; returns how many were there."""
    cdef Session session
    cdef Statement statement
    cdef int changed = 0
    cdef long long freed = 0
    database.writer_lock.acquire(patience)
    try:
        enter(database)
        try:
            session = database.writing()
            statement = session.statement(sql.EMPTY_TRASH)
            for name in names:
                parameters = (name,)
                statement.bind_all(parameters)
                if statement.run() == STEP_ROW:
                    changed += 1
                    freed += max(0, statement.column_integer(0))
                    statement.step()
                    statement.reset()
            database.count_file(-freed)
        except BaseException:
            leave(database, False)
            raise
        leave(database, True)
    finally:
        database.writer_lock.release()
    return changed


cdef int tidy(Database database) except -1:
    """Unlink the files in the trash, unless a transaction is open, whose end will do it."""
    database.writer_lock.acquire(database.timeout)
    try:
        database.has_trash = True
        if not database.depth:
            empty_trash(database, database.timeout)
    finally:
        database.writer_lock.release()
    return 0
