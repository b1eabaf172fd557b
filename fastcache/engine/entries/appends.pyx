# cython: nonecheck=True
"""Changes of one entry that go into the journal: set, add, delete, pop, touch, incr.

shm/journal.pyx says what is always true there. A set is appended as it is. The others build on what they read: they take the tail
and the generation, read, and append *strictly*; if anybody has appended meanwhile, or written to SQLite in another way than by draining,
they begin again. So each takes effect at one moment, the one at which it is appended, or the one at which it was read that
there is nothing to do.

What cannot go there is done in SQLite, as without a journal (ELSEWHERE): inside of a transaction, what is large or in a file, and where
the gate stays shut, so that whoever waits there has its turn among those who write to SQLite.
"""

cimport cython

from fastcache.engine.codecs.values cimport CODEC_NATIVE, CODEC_SERIALIZED
from fastcache.engine.database.database cimport OPEN
from fastcache.engine.database.writer_lock cimport fork_count
from fastcache.engine.entries.entry cimport VALUE, check_tag
from fastcache.engine.entries.pending cimport begin_row
from fastcache.engine.memory.sieve cimport ABSENT, OBJECT, UNDECODED
from fastcache.engine.memory.tier cimport Memory
from fastcache.engine.shm.change_log cimport settings_version
from fastcache.engine.shm.journal cimport APPENDED, FULL, MOVED
from fastcache.engine.monotonic cimport seconds
from fastcache.engine.sqlite.cells cimport NEVER, ROW_DELETE, cell_of_plain

from fastcache.errors import Timeout
from fastcache.runtime import fork

# How long the gate may be shut, or the lock held, before a set is done in SQLite instead, in seconds: then it has its turn there.
cdef double LONG = 0.002
# How often what builds on what it has read begins again before it is done in SQLite instead.
cdef int MOST_TRIES = 20
# A value of more bytes than this is not copied twice.
cdef Py_ssize_t LARGE = 16 * 1024


@cython.final
cdef class Attempt:
    """One change on its way: how long it has waited for its turn, how often it has begun, and what it builds upon."""


@cython.final
cdef class Appends:
    """Appends changes to the journal of one store.

    Args:
        reads: what reads.
        drain: what drains.
        wanted: whether changes go there at all.
    """

    def __cinit__(self, Reads reads, Drain drain, bint wanted):
        self.reads = reads
        self.lookup = reads.lookup
        self.limit = reads.limit
        self.drain = drain
        self.wanted = wanted

    cdef bint may_append(self, Database database) except -1:
        """Whether there is a journal, and this is a moment at which changes go there. Opens the database if need be."""
        cdef Journal journal
        if not self.wanted or database.life != OPEN:
            return False
        if database.born != fork_count():
            fork.notice_fork()
        if self.is_inside(database):
            return False
        database.refuse_writing()
        if database.writer is None:
            database.open_writer()
        if (database.journal is None or database.clock == NULL or database.commit.ring == NULL
                or settings_version(database.commit.ring) != database.settings_seen):
            # Whatever has changed is looked at before SQLite is written to.
            return False
        # Held here, since others are let in, who may close it.
        journal = database.journal
        journal.take_number()
        return database.journal is journal

    cdef bint may_set(self, Database database) except -1:
        """The same for what takes room: where nothing is evicted, or the disk is all but full, whoever sets has to know at once if there
        is none."""
        if self.limit.max_size != 0 and not self.limit.evicts:
            return False
        if not self.drain.scheduled and database.journal is not None:
            # The first for some time.
            self.drain.look_at_disk(database)
        return self.may_append(database) and database.journal.allowed != 0

    cdef bint is_inside(self, Database database) noexcept:
        """Whether this thread writes to SQLite just now, and does not drain."""
        return database.writer_lock.owner != 0 and database.writer_lock.held_by_me() and not database.draining and (
            database.depth != 0 or database.journal is None or database.journal.shut_here)

    cdef bint is_draining(self, Database database) noexcept:
        """Whether this has interrupted what drains: a signal handler, or a timer."""
        return database.draining and database.writer_lock.held_by_me()

    # -- what builds on nothing ---------------------------------------------------------------------------------

    cdef Outcome put(
            self, Database database, Row* row, object name, object cached, int cached_codec, bint at_once) except *:
        """Have an entry set. With ``at_once``, only if nothing has to be waited for."""
        cdef Journal journal
        cdef Memory tier = self.lookup.tier
        cdef Appended result
        cdef Attempt attempt = None
        while True:
            if row.value.size > LARGE or not self.may_set(database):
                return ELSEWHERE
            journal = database.journal
            if not journal.fits(row):
                return ELSEWHERE
            row.at = database.now()
            if journal.tail() == tier.followed and not tier.is_current():
                # Or it would not be known what is set after a commit, until something else is read.
                tier.catch_up()
            if database.journal is not journal:
                continue
            result = journal.append(row, False, 0, 0, self.is_draining(database))
            if result == APPENDED:
                self.appended(database, row, name, cached, cached_codec)
                return DONE
            if at_once:
                return REFUSED
            if attempt is None:
                attempt = Attempt()
            if not self.wait(database, result, attempt):
                return ELSEWHERE

    cdef bint wait(self, Database database, Appended why, Attempt attempt) except -1:
        """After an append that was refused: wait for a moment. False if that was for long enough, and it is to be done in SQLite."""
        cdef Journal journal = database.journal
        if journal is None:
            return True
        if why == FULL:
            if self.is_draining(database):
                raise Timeout(f"{database.directory!r}: its journal is full, and this has interrupted what drains it")
            self.drain.make_room(database)
            return True
        if attempt.since == 0.0:
            attempt.since = seconds()
        elif seconds() - attempt.since > LONG:
            journal.look_after()
            if not self.is_draining(database):
                return False
        attempt.wait = database.pause(attempt.wait)
        return True

    cdef int appended(self, Database database, const Row* row, object name, object cached, int cached_codec) except -1:
        """After an append: the tier knows it, and it will be drained."""
        cdef Memory tier = self.lookup.tier
        if tier.follow_append(row.key.hashed) and not self.limit.notes_reads:
            if row.kind == ROW_DELETE:
                tier.keep(tier.era, name, row.key.hashed, ABSENT, None, 0, NEVER, 0)
            elif cached is not None or cached_codec == CODEC_NATIVE:
                tier.keep(
                    tier.era, name, row.key.hashed, UNDECODED if cached_codec >= CODEC_SERIALIZED else OBJECT, cached, cached_codec,
                    row.expire, 0)
        self.drain.call(database)
        return 0

    # -- what builds on what it has read ------------------------------------------------------------------------

    cdef bint begin(self, Database database, Attempt attempt, bint takes_room) except -1:
        """Begin, once more: from now on all is read that is to be built upon. False if it is to be done in SQLite."""
        if attempt.tries == MOST_TRIES:
            return False
        attempt.tries += 1
        if not (self.may_set(database) if takes_room else self.may_append(database)):
            return False
        attempt.journal = database.journal
        # In this order: whoever shuts the gate from now on makes it another generation.
        attempt.generation = attempt.journal.generation()
        if attempt.journal.is_shut():
            return False
        attempt.tail = attempt.journal.follow()
        return True

    cdef Outcome append(
            self, Database database, Row* row, object name, object cached, int cached_codec, Attempt attempt) except *:
        """Append if nothing has happened since: DONE, REFUSED if something has, or ELSEWHERE if that is to be done in SQLite."""
        cdef Journal journal = attempt.journal
        cdef Appended result
        if not journal.fits(row):
            return ELSEWHERE
        row.at = database.now()
        if database.journal is not journal:
            return REFUSED
        result = journal.append(row, True, attempt.tail, attempt.generation, self.is_draining(database))
        if result == APPENDED:
            self.appended(database, row, name, cached, cached_codec)
            return DONE
        if result == MOVED:
            return REFUSED
        return REFUSED if self.wait(database, result, attempt) else ELSEWHERE

    cdef Outcome add(self, Database database, object key, Row* row, object name, object cached, int cached_codec) except *:
        """Have an entry set unless there is a live one (REFUSED)."""
        cdef Outcome outcome
        cdef Attempt attempt = Attempt()
        while row.value.size <= LARGE and self.begin(database, attempt, True):
            if self.reads.contains(database, key):
                return REFUSED
            outcome = self.append(database, row, name, cached, cached_codec, attempt)
            if outcome != REFUSED:
                return outcome
        return ELSEWHERE

    cdef Outcome remove(self, Database database, object key, object name, const Cell* cell) except *:
        """Have the live entry of a key deleted; REFUSED if there is none."""
        cdef Outcome outcome
        cdef Row row
        cdef Attempt attempt = Attempt()
        begin_deletion(&row, cell)
        while self.begin(database, attempt, False):
            if not self.reads.contains(database, key):
                return REFUSED
            outcome = self.append(database, &row, name, None, 0, attempt)
            if outcome != REFUSED:
                return outcome
        return ELSEWHERE

    cdef Entry take(self, Database database, object key, object name, const Cell* cell, Outcome* outcome):
        """Have the live entry of a key deleted, and return it with its value decoded; None and REFUSED if there is none."""
        cdef Entry entry
        cdef Row row
        cdef Attempt attempt = Attempt()
        begin_deletion(&row, cell)
        while self.begin(database, attempt, False):
            entry = self.reads.find_entry(database, key, VALUE)
            if entry is None:
                outcome[0] = REFUSED
                return None
            if entry.file is not None:
                # Nobody reads it twice.
                break
            outcome[0] = self.append(database, &row, name, None, 0, attempt)
            if outcome[0] == DONE:
                return entry
            if outcome[0] == ELSEWHERE:
                break
        outcome[0] = ELSEWHERE
        return None

    cdef Outcome touch(
            self, Database database, object key, object keepalive, object name, const Cell* cell, long long expire) except *:
        """Give the live entry of a key another expiry; REFUSED if there is none."""
        cdef Entry entry
        cdef Outcome outcome
        cdef Row row
        cdef Attempt attempt = Attempt()
        while self.begin(database, attempt, True):
            entry = self.reads.find_stored(database, cell, key, keepalive)
            if entry is None or (entry.expire != NEVER and entry.expire <= database.now()):
                return REFUSED
            if entry.file is not None or entry.size > LARGE or entry.codec < 0:
                break
            begin_row(&row, expire)
            row.key = cell[0]
            row.codec = entry.codec
            cell_of_plain(entry.stored, &row.value)
            tag_keepalive = check_tag(entry.tag, &row.tag)
            if row.value.data == NULL:
                row.value.size = <Py_ssize_t>entry.size
            row.size = entry.size
            # What it is decoded from is not what the tier would keep.
            outcome = self.append(database, &row, name, None, CODEC_SERIALIZED, attempt)
            if outcome != REFUSED:
                return outcome
        return ELSEWHERE

    cdef object increment(
            self, Database database, object key, object keepalive, object name, const Cell* cell, object delta, object start,
            Outcome* outcome):
        """Add to the number of a key, or set it to the start; returns the sum. REFUSED if there is none, and no start."""
        cdef Entry entry
        cdef Row row
        cdef Attempt attempt = Attempt()
        while self.begin(database, attempt, True):
            entry = self.reads.find_stored(database, cell, key, keepalive)
            if entry is not None and entry.expire != NEVER and entry.expire <= database.now():
                entry = None
            if entry is None and start is None:
                outcome[0] = REFUSED
                return None
            if entry is not None and (
                    entry.codec != CODEC_NATIVE or entry.file is not None or type(entry.stored) not in (int, float)):
                # An int beyond 64 bits, or no number at all.
                break
            total = start if entry is None else entry.stored + delta
            if type(total) is int and not -(1 << 63) <= total < 1 << 63 or type(total) not in (int, float) or total != total:
                break
            begin_row(&row, NEVER if entry is None else entry.expire)
            row.key = cell[0]
            row.codec = CODEC_NATIVE
            cell_of_plain(total, &row.value)
            if entry is not None:
                check_tag(entry.tag, &row.tag)
            row.size = row.value.size = 8
            outcome[0] = self.append(database, &row, name, total, CODEC_NATIVE, attempt)
            if outcome[0] == DONE:
                return total
            if outcome[0] == ELSEWHERE:
                break
        outcome[0] = ELSEWHERE
        return None


cdef int begin_deletion(Row* row, const Cell* cell) noexcept:
    """A key that is to be deleted."""
    begin_row(row, NEVER)
    row.key = cell[0]
    row.kind = ROW_DELETE
    return 0
