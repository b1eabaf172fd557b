# cython: nonecheck=True
"""Transactions of a database: blocks that nest, begun, committed and undone.

`enter` takes the writer lock and begins one; `leave` ends the innermost one and gives the lock back: the outermost as SQLite's
transaction, those inside of it as savepoints. Each calls the database's participants at its point. What is always true:

- **Whatever fails, none is left open**, and until SQLite has ended it, `depth` says so: what interrupts this is inside.
- **Files follow rows.** `created` lists the files that the open transaction has renamed into place, so that undoing removes them.
- **What follows a commit cannot undo it.** Once SQLite has committed, the files in `created` stay, and `committed_last` says
  which block that was, before anything runs that may raise (maintenance is called, a signal handler comes in).
"""

from fastcache.engine.blobs.files cimport PendingFile
from fastcache.engine.database.database cimport TRASH_PERIOD, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.shm.change_log cimport announce_nothing
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.connection cimport STEP_BUSY, STEP_ROW, Statement

from fastcache.engine.sqlite import sql
from fastcache.errors import TransactionError


cdef int enter(Database database) except -1:
    """Take the writer lock and begin a transaction, or a savepoint in the one that is open."""
    cdef Session session
    cdef BusyWait wait = None
    database.writer_lock.acquire(database.patience())
    # Made before the transaction begins, since it takes memory.
    cdef object mark, block
    try:
        if database.depth == 0:
            # With the gate open, so that it is shut, a moment later, for what is appended meanwhile alone.
            database.flush_first()
        session = database.changing()
        # All that takes memory comes before the transaction begins: whatever fails, none is left open.
        while len(database.marks) <= database.depth:
            database.marks.append(0)
        while len(database.blocks) <= database.depth:
            database.blocks.append(0)
        database.entered += 1
        mark, block = len(database.created), database.entered
        if database.depth == 0:
            while session.begin.step() == STEP_BUSY or lacks_journal(database, session):
                wait = database.pause(wait)
                session = database.changing()
            session.begin.reset()
            database.commit.guarded = False
            database.clear_priority()
            announce_nothing(&database.commit)
        else:
            session.savepoint.run()
    except BaseException:
        database.writer_lock.release()
        raise
    database.marks[database.depth] = mark
    database.blocks[database.depth] = block
    database.depth += 1
    return 0


cdef bint lacks_journal(Database database, Session session) except -1:
    """Whether a journal may have been made before a transaction had the write lock: then it is ended."""
    if not database.may_lack_journal():
        return False
    session.begin.reset()
    session.rollback.run()
    return True


cdef int leave(Database database, bint keep) except -1:
    """End what the last ``enter`` began, and give the writer lock back.

    Until SQLite has ended it, ``depth`` says so: what interrupts this belongs to the transaction."""
    cdef long long block = database.innermost_block()
    cdef bint committed
    cdef unsigned long long era
    try:
        committed = end_block(database, keep)
        if committed:
            try:
                database.follow_commit()
                era = database.own_era
                database.settle()
                # Tidying commits, too.
                database.own_era = era
            finally:
                database.committed_last = block
        for each in database.participants:
            (<Participant>each).block_left(database, block, keep)
    finally:
        database.writer_lock.release()
    return 0


cdef bint end_block(Database database, bint keep) except -1:
    """Release the innermost block's savepoint, or undo it; commit the transaction, or roll it back. Returns whether it was
    committed."""
    cdef Session session = database.writer
    cdef Py_ssize_t mark = database.marks[database.depth - 1]
    cdef bint committed = False
    cdef BusyWait wait = None
    try:
        if not keep:
            database.discard_deferred()
        elif database.has_deferred:
            database.flush_deferred()
        if not session.connection.in_transaction():
            # SQLite rolls back by itself after some errors (a full disk, for one).
            roll_back(database, session)
            if keep:
                raise TransactionError("an earlier error has rolled this transaction back; run its block again")
        elif database.depth > 1:
            try:
                try:
                    if not keep:
                        undo_files(database, mark)
                finally:
                    if not keep:
                        session.rollback_to.run()
                    session.release.run()
            except BaseException:
                # An inner block that cannot be undone takes all of them with it.
                roll_back(database, session)
                raise
        elif keep:
            try:
                database.refuse_if_gone()
                if database.vacuums:
                    vacuum_inside(database)
                while session.commit.step(True) == STEP_BUSY:
                    wait = database.pause(wait)
                    # What a signal handler has set meanwhile is part of it.
                    if database.has_deferred:
                        database.flush_deferred()
                session.commit.reset()
            except BaseException:
                roll_back(database, session)
                raise
            committed = True
            # What follows cannot undo it. Nothing has run in between.
            database.committed_last = database.blocks[0]
            for pending in database.created:
                (<PendingFile>pending).stays()
            database.created.clear()
        else:
            roll_back(database, session)
    finally:
        if database.depth == 1 and not committed:
            # What a signal handler has set meanwhile goes, too.
            database.discard_deferred()
        database.depth -= 1
        if not committed and database.depth == 0 and session.connection.in_transaction():
            # Not even rolling back was possible. Closing does it, too.
            database.drop_sessions(False)
    return committed


cdef int vacuum_inside(Database database) except -1:
    """In the open transaction, give all free pages back: what lies beyond the new end is not written, and copying the WAL makes
    the database no longer. For a disk that is full (full_disk.pyx)."""
    cdef Session session = database.writing()
    cdef Statement statement = session.statement(sql.VACUUM_ALL)
    while statement.step(True) == STEP_ROW:
        pass
    statement.reset()
    return 0


cdef int roll_back(Database database, Session session) except -1:
    """Undo the whole transaction, whatever interrupts it."""
    for each in database.participants:
        (<Participant>each).roll_back(database)
    try:
        undo_files(database, 0)
    finally:
        if session.connection.in_transaction():
            session.rollback.run(True)
    return 0


cdef int undo_files(Database database, Py_ssize_t mark) except -1:
    """Remove the files of what is rolled back: before the lock goes, so that nobody takes them for orphans."""
    cdef Py_ssize_t index
    for index in range(mark, len(database.created)):
        (<PendingFile>database.created[index]).discard()
    # Only this needs no memory, for a smaller list. What stays of an inner block does no harm.
    if mark == 0:
        database.created.clear()
    remove_later(database)
    return 0


cdef int remove_later(Database database) except -1:
    """Have maintenance remove files that could not be removed just now."""
    if database.files.left:
        database.has_trash = True
        database.schedule(TRASH_PERIOD)
    return 0
