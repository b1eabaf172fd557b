# cython: nonecheck=True
"""Whole databases, copied by SQLite's online backup (https://sqlite.org/backup.html)."""

from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.fork_safety cimport begin_free_call, end_free_call
from fastcache.engine.sqlite.sqlite3 cimport (
    SQLITE_DONE, SQLITE_OK, sqlite3_backup, sqlite3_backup_finish, sqlite3_backup_init, sqlite3_backup_pagecount,
    sqlite3_backup_remaining, sqlite3_backup_step, sqlite3_extended_errcode)

from fastcache.engine.sqlite import sql
from fastcache.errors import StorageError

# How many pages are copied in one go: two megabytes.
cdef int PAGES_AT_ONCE = 512


cdef int overwrite(Connection target, Connection source, object fill) except -1:
    """Replace the whole content of a database by that of ``source``, as one transaction (sqlite.org/backup.html).

    ``fill()`` is called to complete the source while this database is locked against other writers: the first
    step takes the lock, and a source that has changed since makes the next step start over.
    """
    cdef sqlite3_backup* backup
    cdef int code
    cdef BusyWait wait = BusyWait(target.timeout, "waiting to replace the database")
    cdef bint filled = False
    backup = sqlite3_backup_init(target.db, "main", source.db, "main")
    if backup == NULL:
        target.busy_or_raise(sqlite3_extended_errcode(target.db), "replace the database")
        raise StorageError(f"cannot replace the content of {target.path!r}: it is in use")
    try:
        while True:
            with nogil:
                code = sqlite3_backup_step(backup, -1 if filled else 1)
            if code == SQLITE_OK or code == SQLITE_DONE:
                if filled:
                    return 0
                fill()
                filled = True
            else:
                target.busy_or_raise(code, "replace the database")
                wait.pause()
    finally:
        code = sqlite3_backup_finish(backup)
        if code != SQLITE_OK:
            target.busy_or_raise(code, "replace the database")


def copy_database(Connection source not None, Connection target not None, progress):
    """Copy the whole database into another one, which is the caller's alone, a piece at a time (sqlite.org/backup.html).

    What is copied is the snapshot of the transaction that is open, however long it takes; nobody else has to wait.
    ``progress`` is called after each piece with the bytes that are copied, and those that there are.
    """
    cdef sqlite3_backup* backup
    cdef int code
    cdef long long left, pages
    cdef BusyWait wait = BusyWait(source.timeout, "waiting to copy the database")
    cdef long long page_size = source.query(sql.PAGE_SIZE)[0][0]
    backup = sqlite3_backup_init(target.db, "main", source.db, "main")
    if backup == NULL:
        target.busy_or_raise(sqlite3_extended_errcode(target.db), "begin a copy of the database")
        raise StorageError(f"cannot copy the database to {target.path!r}: it is in use")
    try:
        while True:
            begin_free_call()
            with nogil:
                code = sqlite3_backup_step(backup, PAGES_AT_ONCE)
            end_free_call()
            if code == SQLITE_OK or code == SQLITE_DONE:
                left, pages = sqlite3_backup_remaining(backup), sqlite3_backup_pagecount(backup)
                progress((pages - left) * page_size, pages * page_size)
                if code == SQLITE_DONE:
                    break
            else:
                target.busy_or_raise(code, "copy the database")
                wait.pause()
    finally:
        code = sqlite3_backup_finish(backup)
    if code != SQLITE_OK:
        target.busy_or_raise(code, "copy the database")
        raise StorageError(f"cannot copy the database to {target.path!r}: it is in use")
