# cython: nonecheck=True
"""Looking for an entry: the one order of the places in which it may be, and the memory tier's fill.

1. *Pending*: what write-behind has put off and not committed yet. This process reads its own writes.
2. *Remembered*: the memory tier, while it is of the present (memory/tier.pyx); but for who is inside a transaction, which
   has its own view, and for who needs the whole row, of which the tier knows a part.
3. *Stored*: SQLite, in a snapshot that is not older than the tier's era (`era` comes first), so that what was read
   there may fill the tier. A value that is in a file is read after that, and looked for again if the file is gone.

All reads ask here: one key (`find`), and many in one snapshot (`find_aside` for each, then the snapshot; bulk.pyx). A plain
key that is in the tier may be answered before anything else (Store.in_memory): what is pending is never in the tier, since
`fill` leaves it out, and putting it off forgets it.
"""

cimport cython

from fastcache.engine.codecs.keys cimport canonical_key
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.pending cimport PendingWrite
from fastcache.engine.memory.sieve cimport PRESENT
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW


@cython.final
cdef class Lookup(Participant):
    """Where entries are looked for; a store has one. As a part of transactions, it keeps the tier up with commits."""

    def __cinit__(self, Memory tier, WriteBuffer pending, serializer):
        self.tier = tier
        self.pending = pending
        self.serializer = serializer

    cdef int attach(self, Database database, Session session) except -1:
        self.tier.attach(database.clock, database.log)
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
        """Look for an entry, and say in ``found`` where it is. Returns the key's name in the tier, None where nobody needed it.

        ``keepalive`` and ``cell`` are the key as it is encoded."""
        cdef bint usable
        name = None
        if self.pending is not None:
            name = canonical_key(key, keepalive, self.serializer, &cell.hashed)
        usable = depth != WHOLE and self.era(database) != 0
        if usable and name is None:
            name = canonical_key(key, keepalive, self.serializer, &cell.hashed)
        if not self.find_aside(name, cell.hashed, depth, usable, -1, found):
            self.ask(database, cell, depth, found)
            if not usable:
                found.era = 0
        return name

    cdef bint find_aside(
            self, object name, unsigned long long hashed, Depth depth, bint usable, int committed, Finding* found) except -1:
        """Look for it where SQLite need not be asked: among what is pending, and in the tier if it is ``usable``. Returns
        whether it is there. Runs no Python code. Of ``committed``, see WriteBuffer.find_as_of."""
        cdef PendingWrite place
        cdef Node* node
        if self.pending is not None:
            place = self.pending.find_as_of(name, committed)
            if place is not None:
                found.source = PENDING
                found.place = <PyObject*>place
                return True
        if usable:
            node = self.tier.sieve.find(name, hashed)
            if node != NULL and (node.kind != PRESENT or depth == PRESENCE):
                node.visited = 1
                found.source = REMEMBERED
                found.node = node
                return True
        return False

    cdef int ask(self, Database database, const Cell* key, Depth depth, Finding* found) except -1:
        """Ask SQLite for the row of a key: as GET has it, or EXISTS if its presence is enough."""
        cdef Session session
        cdef Statement statement
        cdef BusyWait wait = None
        cdef int step
        found.source = STORED
        while True:
            # In this order: the snapshot that is read must not be older than the era.
            found.era = self.era(database)
            session = database.reading_snapshot()
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

    cdef bint fill(
            self, unsigned long long era, object name, unsigned long long hashed, Kind kind, object value, int codec,
            long long expire, unsigned int row) except -1:
        """Leave to the tier what SQLite has said, unless something newer is pending. Returns whether it was kept."""
        if self.pending is not None and self.pending.find(name) is not None:
            return False
        return self.tier.keep(era, name, hashed, kind, value, codec, expire, row)
