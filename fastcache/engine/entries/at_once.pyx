# cython: nonecheck=True
"""One entry, read from SQLite or set, where nothing has to be waited for: for event loops (fastcache.aio).

What is done here is what the thread of an asynchronous cache would do with the GIL in hand, so that the loop would stand still
anyway; done in the loop it costs a tenth of being handed over. Whatever may be waited for is looked for first, and then nothing
is done, not even counted:

- a lock: the writer lock is tried; where SQLite says that it is busy, that is the answer. Another process that asks to come first
  comes first, in the thread;
- a file: a value that has one, a connection that has to be opened, a directory that is not in its place any more;
- the disk, by fsync (Database.waits_for_disk): durability "full", a commit that starts the WAL over, one while maintenance syncs,
  and one after which a checkpoint may be due;
- eviction: where there is a limit, room is known to be left;
- Python code for long: a value of more than 16 KiB, or a compressed one, of which nobody knows how much that is.

What is left is pages that SQLite reads or writes. It reads those that are not in its cache from the file, by the system's cache as a rule;
and a commit without fsync is a write into that. The thread, too, has the GIL meanwhile (see "The GIL is a reader's lock", database.pyx).
"""

from cpython.ref cimport PyObject

from fastcache.engine.codecs.keys cimport canonical_key, encode_key
from fastcache.engine.codecs.values cimport COMPRESSION_SHIFT
from fastcache.engine.database.database cimport OPEN
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.writer_lock cimport fork_count
from fastcache.engine.entries.lookup cimport CONTENT, NOWHERE, PRESENCE, REMEMBERED, STORED, Depth, Finding, Lookup
from fastcache.engine.entries.writes cimport bind_row
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.shm.change_log cimport is_priority_requested, settings_version
from fastcache.engine.shm.journal cimport IS_PENDING, NOT_PENDING, UNCLEAR, Pending
from fastcache.engine.shm.wal_clock cimport Tick, load, read, wal_frames
from fastcache.engine.sqlite.cells cimport NEVER, Cell, Row
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW, Statement

# What takes well under a millisecond to verify and decode.
cdef long long QUICK_BYTES = 16 * 1024
# A set of that size adds fewer frames to the WAL.
cdef unsigned int FEW_FRAMES = 16


# -- reading ----------------------------------------------------------------------------------------------------------


cdef object find_at_once(Database database, Reads reads, object key, object missing, object elsewhere):
    """The live value of a key that is not in memory, or ``missing``; ``elsewhere`` if something has to be waited for."""
    cdef Cell cell
    cdef Finding found
    cdef Statement statement
    keepalive = encode_key(key, reads.serializer, &cell)
    name = name_at_once(reads.lookup, database, key, keepalive, &cell)
    if not ask_at_once(reads.lookup, database, name, &cell, CONTENT, &found):
        return elsewhere
    if found.source == REMEMBERED:
        return elsewhere
    if found.source == STORED:
        statement = <Statement>found.statement
        if (not statement.column_is_null(3) or statement.column_integer(4) > QUICK_BYTES
                or statement.column_integer(0) >> COMPRESSION_SHIFT):
            statement.reset()
            return elsewhere
    return reads.value_of(database, key, name, &cell, &found, missing)


cdef object has_at_once(Database database, Reads reads, object key, object elsewhere):
    """Whether a key has a live entry (bool); ``elsewhere`` if something has to be waited for."""
    cdef Cell cell
    cdef Finding found
    cdef Statement statement
    keepalive = encode_key(key, reads.serializer, &cell)
    name = name_at_once(reads.lookup, database, key, keepalive, &cell)
    if not ask_at_once(reads.lookup, database, name, &cell, PRESENCE, &found):
        return elsewhere
    if found.source == STORED:
        statement = <Statement>found.statement
        if not statement.column_is_null(3):
            statement.reset()
            return elsewhere
    return reads.presence_of(database, key, name, &cell, &found)


cdef object name_at_once(Lookup lookup, Database database, object key, object keepalive, Cell* cell):
    """The key's name in the tier, None where nobody needs it nor its hash. May run a serializer: before anything is looked at."""
    if database.journal is None and lookup.era(database) == 0:
        return None
    return canonical_key(key, keepalive, lookup.serializer, &cell.hashed)


cdef bint ask_at_once(
        Lookup lookup, Database database, object name, const Cell* key, Depth depth, Finding* found) except -1:
    """What Lookup.find does, if that waits for nothing; returns whether it was done. Runs no Python code."""
    cdef Session session
    cdef Statement statement
    cdef int step
    cdef Pending pending
    cdef bint usable = name is not None and lookup.era(database) != 0
    if usable and lookup.remembers(name, key.hashed, depth, found):
        return True
    if not is_usable(database) or database.writer_lock.held_by_thread():
        return False
    # In this order: the snapshot that is read must not be older than the era, nor than the journal's head (Lookup.ask).
    found.era = lookup.era(database) if usable else 0
    if database.journal is not None:
        pending = look_at_journal(database, key)
        if pending == IS_PENDING:
            return lookup.ask_journal(database, key, found)
        if pending != NOT_PENDING:
            return False
    session = session_at_once(database)
    if session is None:
        return False
    found.source = STORED
    if session.pin_snapshot(database.clock):
        if not session.find(database.clock, key):
            return False
        found.statement = <PyObject*>session.get_next
        if session.get_next.column_is_null(6):
            found.source = NOWHERE
        return True
    statement = session.exists if depth == PRESENCE else session.get
    if not statement.ready():
        return False
    statement.bind(1, key)
    step = statement.step()
    if step == STEP_ROW:
        found.statement = <PyObject*>statement
    elif step == STEP_DONE:
        statement.reset()
        found.source = NOWHERE
    else:
        return False
    return True


cdef Pending look_at_journal(Database database, const Cell* key) except *:
    """Whether a key has something in the journal that can be read at once; UNCLEAR for what cannot."""
    cdef Row row
    cdef unsigned long long place = 0
    cdef Pending pending
    if database.journal.broken:
        return UNCLEAR
    if database.journal.followed != database.journal.tail():
        database.journal.follow()
    pending = database.journal.find(key, &row, &place)
    return UNCLEAR if pending == IS_PENDING and row.codec >> COMPRESSION_SHIFT else pending


cdef Session session_at_once(Database database):
    """The session to read from until the GIL is given up; None if one would have to be opened, or something else comes first."""
    if not is_usable(database) or database.writer_lock.held_by_thread():
        return None
    if database.watch.is_due_to_read() and not is_in_place(database):
        return None
    return database.writer if database.writer_lock.owner == 0 else database.reader


# -- setting ----------------------------------------------------------------------------------------------------------


cdef bint may_write_at_once(Database database, Checkpoints checkpoints) except -1:
    """Whether a set would wait for nothing, as far as that can be told before; nobody else has the writer lock, or it is ours."""
    cdef Tick now
    if not is_usable(database) or database.scheduler is None:
        return False
    # What goes into SQLite beside a journal is drained first.
    if database.journal is not None:
        return False
    # Nobody is in between, and nothing is left to be done.
    if database.depth != 0 or database.has_trash or database.writer.connection.read_only:
        return False
    if database.writer.connection.in_transaction():
        return False
    if database.commit.ring != NULL and is_priority_requested(database.commit.ring, database.token):
        return False
    # So may one after which a checkpoint is due.
    if not read(database.clock, &now) or database.waits_for_disk():
        return False
    if <long long>wal_frames(&now) + FEW_FRAMES >= min(checkpoints.checkpoint_at, checkpoints.own_checkpoint_at):
        return False
    return not database.watch.is_due_to_write() or is_in_place(database)


cdef bint put_row_at_once(
        Database database, Checkpoints checkpoints, Writes writes, const Row* row, object name, object cached,
        int cached_codec) except -1:
    """Store a value in its row, if that waits for nothing; returns whether it was done."""
    cdef Statement statement
    cdef unsigned long long era
    cdef long long need = 0
    cdef long long now = database.now()
    if not database.writer_lock.try_acquire():
        return False
    try:
        if database.writer_lock.depth > 1 or not may_write_at_once(database, checkpoints):
            return False
        if writes.limit.max_size:
            need = cost_of_row(&row.key, row.value.size)
            # Known without a look, and enough.
            if (writes.room.left_at == 0 or load(&database.clock[5]) != writes.room.left_at
                    or not writes.space.fits(database, need)):
                return False
        database.writer.release_snapshot()
        statement = database.writer.set
        if not statement.ready():
            return False
        bind_row(statement, row, None)
        statement.bind_integer(8, now)
        database.will_change(&row.key)
        # An entry that has expired, or has a file, is left alone; and another process may be writing.
        if database.change(database.writer, statement, False) <= 0:
            return False
        writes.room.left -= need
        database.follow_commit()
        if row.expire != NEVER:
            # A signal handler that comes in here may set the same key. Then what it has set is the last.
            era = database.own_era
            writes.expiry.expect(database, row.expire)
            database.own_era = era
        writes.fill_own(database, row, name, cached, cached_codec)
        database.settle()
    finally:
        database.writer_lock.release()
    return True


# -- both -------------------------------------------------------------------------------------------------------------


cdef bint is_usable(Database database) noexcept:
    """Whether it is open, with a WAL and its clock, and nothing has to be taken note of first: a fork, or other settings."""
    return (database.life == OPEN and database.writer is not None and database.clock != NULL and not database.read_only
            and not database.is_nothing and database.born == fork_count()
            and (database.commit.ring == NULL or settings_version(database.commit.ring) == database.settings_seen))


cdef bint is_in_place(Database database) noexcept:
    """What the watch was just due to look at: whether all that was opened is where it was. If not, the next one looks as well."""
    if database.watch.is_there() and (not database.watch.is_due_to_compare() or database.watch.is_whole()):
        return True
    database.watch.looked = database.watch.compared = 0.0
    return False
