# cython: nonecheck=True
"""Looking for an entry: the one order of the places in which it may be, and the memory tier's fill.

1. *Remembered*: the memory tier, while it is of the present (memory/tier.pyx); but for who is inside a transaction, which
   has its own view, and for who needs the whole row, of which the tier knows a part.
2. *Appended*: the journal (shm/journal.pyx), followed up to its tail: what is there is newer than what SQLite has.
3. *Stored*: SQLite, in a snapshot that is not older than the tier's era (`era` comes first), so that what was read
   there may fill the tier. A value that is in a file is read after that, and looked for again if the file is gone.

All reads ask here: one key (`find`), and many in one snapshot (`remembers` for each, then the journal and the snapshot;
reading.pyx). A plain key that is in the tier may be answered before anything else (Reads.in_memory).
"""

cimport cython

from fastcache.engine.codecs.keys cimport canonical_key
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.entry cimport entry_of_row
from fastcache.engine.memory.sieve cimport PRESENT
from fastcache.engine.shm.journal cimport IS_PENDING, NOT_PENDING, Journal, Pending
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport ROW_DELETE, Row
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW


@cython.final
cdef class Lookup(Participant):
    """Where entries are looked for; a store has one. As a part of transactions, it keeps the tier up with commits."""

    def __cinit__(self, Memory tier, serializer):
        self.tier = tier
        self.serializer = serializer

    cdef int attach(self, Database database, Session session) except -1:
        self.tier.attach(database.clock, database.log, database.journal)
        return 0

    cdef int attach_journal(self, Database database) except -1:
        self.tier.attach(database.clock, database.log, database.journal)
        return 0

    cdef void detach(self) noexcept:
        self.tier.detach()

    cdef int after_commit(self, Database database) except -1:
        database.own_era = self.tier.era if self.tier.follow_own(&database.commit) else 0
        return 0

    cdef unsigned long long era(self, Database database) noexcept:
        """The tier's era, if this thread may use it now; else 0."""
        if database.depth != 0 and database.writer_lock.held_by_me():
            return 0
        return self.tier.catch_up()

    cdef object find(self, Database database, object key, object keepalive, Cell* cell, Depth depth, Finding* found):
        """Look for an entry, and say in ``found`` where it is. Returns the key's name in the tier.

        ``keepalive`` and ``cell`` are the key as it is encoded."""
        cdef bint usable
        name = canonical_key(key, keepalive, self.serializer, &cell.hashed)
        usable = depth != WHOLE and self.era(database) != 0
        if not (usable and self.remembers(name, cell.hashed, depth, found)):
            self.ask(database, cell, depth, found)
            if not usable:
                found.era = 0
        return name

    cdef bint remembers(self, object name, unsigned long long hashed, Depth depth, Finding* found) except -1:
        """Look for it in the tier, which is of the present. Returns whether it is there. Runs no Python code."""
        cdef Node* node = self.tier.sieve.find(name, hashed)
        if node == NULL or (node.kind == PRESENT and depth != PRESENCE):
            return False
        node.visited = 1
        found.source = REMEMBERED
        found.node = node
        return True

    cdef int ask(self, Database database, const Cell* key, Depth depth, Finding* found) except -1:
        """Ask SQLite for the row of a key: as GET has it, or EXISTS if its presence is enough."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef Journal journal
        cdef int step
        while True:
            # In this order: the snapshot that is read must not be older than the era, nor than the journal's head.
            if database.journal is not None and database.watch.is_due_to_read():
                # Also for what is in the journal, whose file is mapped and stays, wherever its name has gone.
                database.look_around()
            if database.writer is None:
                # What is there may be another journal than before.
                database.choose_session()
            found.era = self.era(database)
            journal = database.journal
            # Before a transaction all was drained; or it is the one that drains.
            if (journal is not None and (database.depth == 0 or not database.writer_lock.held_by_me())
                    and self.ask_journal(database, key, found)):
                return 0
            found.source = STORED
            session = database.reading_snapshot()
            if database.journal is not journal:
                continue
            if session.has_snapshot:
                if not session.find(database.clock, key):
                    continue
                found.statement = <PyObject*>session.get_next
                if session.get_next.column_is_null(6):
                    found.source = NOWHERE
                return 0
            statement = session.exists if depth == PRESENCE else session.get
            if statement.ready():
                statement.bind(1, key)
                step = statement.step()
                if step == STEP_ROW:
                    found.statement = <PyObject*>statement
                    return 0
                if step == STEP_DONE:
                    statement.reset()
                    found.source = NOWHERE
                    return 0
            wait = database.pause(wait)

    cdef bint ask_journal(self, Database database, const Cell* key, Finding* found) except -1:
        """Look for a key among what is in the journal, followed up to its tail. Returns whether all is known of it."""
        cdef Journal journal = database.journal
        cdef Pending pending
        cdef Row row
        cdef unsigned long long place = 0
        while True:
            if journal.followed != journal.tail() or journal.broken:
                # Unless the tier has done so, or this is inside a transaction, before which all was drained.
                journal.follow()
            pending = journal.find(key, &row, &place)
            if pending == NOT_PENDING:
                return False
            if pending != IS_PENDING:
                # Of another key with the same hash.
                database.flush_first()
                return False
            if row.kind == ROW_DELETE:
                found.source = NOWHERE
                if journal.holds(place):
                    return True
                continue
            try:
                self.appended = entry_of_row(&row)
            except (UnicodeError, MemoryError):
                # Or torn, since it was overwritten meanwhile.
                if journal.holds(place):
                    raise
                continue
            if journal.holds(place):
                found.source = APPENDED
                return True

    cdef Entry taken(self):
        """What was found in the journal."""
        entry, self.appended = self.appended, None
        return entry

    cdef bint fill(
            self, unsigned long long era, object name, unsigned long long hashed, Kind kind, object value, int codec,
            long long expire, unsigned int row) except -1:
        """Leave to the tier what SQLite has said, or the journal. Returns whether it was kept."""
        return self.tier.keep(era, name, hashed, kind, value, codec, expire, row)
