# cython: nonecheck=True
"""Draining: what is in the journal goes into SQLite, many records in one transaction.

shm/journal.pyx says what is always true. Whoever drains has the writer lock and SQLite's write lock, reads from `meta` up to where the
table has applied the journal, writes the newest record of each key from there on, and the new position into `meta`, commits, and
then moves the journal's head. Killed anywhere, it is done again, or was done.

It happens in three cases: in maintenance, a moment after something was appended; before something that looks at the whole table
(`before_transaction`); and before SQLite is written to in any other way (`before_changing`), with the gate shut until the writer
lock is given back. Where the ring is full, whoever appends drains a part of it.

What was acknowledged must find room in SQLite. So what is pending is never more than a part of what the disk has left, which is looked
at before the first append and with each transaction that drains (`look_at_disk`); and on a disk that is all but full nothing is set here.
"""

cimport cython
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.database cimport CLOSED, OPEN, SOON, warn
from fastcache.engine.database.full_disk cimport end_way, make_way
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.writer_lock cimport knows_greenlets
from fastcache.engine.monotonic cimport seconds
from fastcache.engine.shm.journal cimport APPENDED, DAMAGED, RECORD_BYTES, TAKEN, Taken
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.cells cimport CELL_NULL, NEVER, ROW_DELETE, ROW_NOTHING, ROW_SET, is_same_cell

from fastcache.engine.database import reserve
from fastcache.engine.sqlite import sql
from fastcache.errors import DirectoryGoneError, FullError, Timeout

# How long what was appended may stay in the journal alone, in seconds; the writing comes on top of that.
cdef double DELAY = 0.025
# How many records go into one transaction, and of how many bytes. The more there are, the less each costs: changes of one key become
# one, and changes of one page. But others wait for its end: it takes about so many seconds, as far as those before tell, and half
# of the ring at most, so that the other half can be filled meanwhile.
cdef Py_ssize_t LEAST_RECORDS = 512
cdef Py_ssize_t MOST_RECORDS = 16384
cdef unsigned long long MOST_BYTES = 8 << 20
cdef double SECONDS = 0.01
# What one takes before any was drained, in seconds.
cdef double USUAL_COST = 4e-6
# The most on a full disk, where what is drained has to fit into what was kept in reserve.
cdef Py_ssize_t FEW_RECORDS = 16
# Where the write-ahead log is kept short, of the frames after which it starts over: each record takes some four.
cdef Py_ssize_t SHARE_OF_LOG = 16
# How often who drains begins its transaction, if others have made the write-ahead log long meanwhile.
cdef int MOST_BEGINNINGS = 5
# On a disk with less room than this nothing is set in the journal, in bytes: of what one transaction drains, each record may change a page
# of its own, in the write-ahead log and in the database. And of the room that there is, what is pending is this part at most.
cdef unsigned long long LEAST_ROOM = 16 << 20
cdef unsigned long long ROOM_FOR = 8
# How long whoever opens it gives others to drain what is there, in seconds.
cdef double OTHERS_DELAY = 0.5
# How long who reads alone waits for others to drain, in seconds.
cdef double PATIENCE = 1.0
# How long whoever was called to drain may take to begin, in seconds.
cdef double CALLED = 0.001
# How long somebody may hold the journal's lock before it is looked whether he lives, in seconds.
cdef double LONG = 0.001

# What has something in its journal, by its Drain: not to be collected before maintenance has drained it.
cdef dict undrained = {}


@cython.final
cdef class Records(Rows):
    """Records of the journal as rows that borrow from it: of each key what is left of its changes, one deletion at most and then one
    row to be set."""

    def __dealloc__(self):
        PyMem_RawFree(self.slots)

    cdef bint make_slots(self, size_t count) noexcept nogil:
        self.soonest = NEVER
        self.room_of_slots = 64
        while self.room_of_slots < 2 * count:
            self.room_of_slots = 2 * self.room_of_slots
        self.slots = <size_t*>PyMem_RawCalloc(self.room_of_slots, sizeof(size_t))
        self.room = 2 * <Py_ssize_t>count
        self.rows = <Row*>PyMem_RawRealloc(self.rows, self.room * sizeof(Row))
        return self.slots != NULL and self.rows != NULL

    cdef bint take(self, const Row* row) noexcept nogil:
        """Add a record. What it makes needless is withdrawn."""
        cdef size_t at = <size_t>row.key.hashed & (self.room_of_slots - 1)
        cdef Row* there = NULL
        while self.slots[at] != 0:
            there = &self.rows[self.slots[at] - 1]
            if there.key.hashed == row.key.hashed and is_same_cell(&there.key, &row.key):
                break
            there = NULL
            at = (at + 1) & (self.room_of_slots - 1)
        if there != NULL and there.kind == ROW_SET:
            if row.kind == ROW_SET and (there.expire == NEVER or there.expire > row.at):
                # A set over another one keeps its place.
                there[0] = row[0]
                return True
            if row.kind == ROW_SET:
                # Over what has expired, it is an insertion, and goes to the end.
                there.kind = ROW_DELETE
                there.value.kind = CELL_NULL
            else:
                there.kind = ROW_NOTHING
        elif there != NULL and row.kind == ROW_DELETE:
            return True
        if self.count == self.room:
            return False
        self.rows[self.count] = row[0]
        self.count = self.count + 1
        self.slots[at] = <size_t>self.count
        return True

    cdef int collect(self, Journal journal, unsigned long long* place, unsigned long long until, Py_ssize_t most) noexcept nogil:
        """Take the records from a place on, and move that: up to a position, or so many. Returns how many."""
        cdef unsigned long long since = place[0], before
        cdef int taken = 0
        cdef Taken found
        cdef Row row
        while taken < most and place[0] - since < min(MOST_BYTES, journal.capacity // 2):
            before = place[0]
            found = journal.next(place, until, &row, True)
            if found == DAMAGED:
                return -1
            if found != TAKEN:
                break
            if not self.take(&row):
                place[0] = before
                break
            taken += 1
        return taken

    cdef int in_order(self) except -1:
        """Put the deletions first, so that the rows that are to be set are one statement: what is left of different keys may change
        places, and of one key a deletion comes first."""
        cdef Py_ssize_t index, deletions = 0
        cdef Row* ordered = <Row*>PyMem_RawRealloc(NULL, max(1, self.count) * sizeof(Row))
        if ordered == NULL:
            raise MemoryError()
        for index in range(self.count):
            deletions += self.rows[index].kind == ROW_DELETE
            if self.rows[index].kind == ROW_SET:
                self.soonest = min(self.soonest, self.rows[index].expire)
        cdef Py_ssize_t next_deletion = 0, next_set = deletions
        for index in range(self.count):
            if self.rows[index].kind == ROW_DELETE:
                ordered[next_deletion] = self.rows[index]
                next_deletion += 1
            elif self.rows[index].kind == ROW_SET:
                ordered[next_set] = self.rows[index]
                next_set += 1
        PyMem_RawFree(self.rows)
        self.rows = ordered
        self.room = max(1, self.count)
        self.count = next_set
        return 0


@cython.final
cdef class Drain(Participant):
    """Drains the journal of one store. Args: rows: what writes rows; checkpoints: what makes room on a full disk."""

    def __cinit__(self, RowWrites rows, Checkpoints checkpoints):
        self.rows = rows
        self.checkpoints = checkpoints
        self.cost = USUAL_COST

    # -- as a part of transactions ------------------------------------------------------------------------------

    cdef int attach(self, Database database, Session session) except -1:
        self.scheduled = False
        self.requested = False
        self.left_until = 0.0
        return 0

    cdef void detach(self) noexcept:
        self.keep_alive(None)

    cdef void keep_alive(self, object store) noexcept:
        """Not to be collected before all is drained; None for that it may be."""
        try:
            if store is None:
                undrained.pop(id(self), None)
            else:
                undrained[id(self)] = store
        except MemoryError:
            # It may be collected: what is in the journal is drained by whoever comes next.
            pass

    cdef int before_transaction(self, Database database) except -1:
        cdef Journal journal = database.journal
        if journal is None or journal.is_empty():
            return 0
        if database.read_only:
            return self.wait_for_others(database)
        if database.depth != 0 and database.writer_lock.held_by_me():
            # All was drained before it began.
            return 0
        return self.drain_all(database)

    cdef int before_changing(self, Database database) except -1:
        if database.journal is None or database.draining:
            return 0
        self.shut(database)
        return self.drain_all(database)

    cdef bint has_pending(self, Database database) noexcept:
        return database.journal is not None and not database.journal.read_only and not database.journal.is_empty()

    cdef int flush(self, Database database) except -1:
        if database.journal is None or database.read_only or database.journal.is_empty():
            return 0
        try:
            self.drain_all(database)
        except (FullError, Timeout, DirectoryGoneError) as error:
            # Nothing is lost: whoever opens it next drains it.
            if database.life == OPEN and not database.is_hurried():
                raise
            if isinstance(error, DirectoryGoneError) or database.is_hurried():
                return 0
            warn("%r: what was set last is in its journal, and not in the database yet: %s", database.directory, error)
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        self.keep_alive(None)
        self.scheduled = False
        self.requested = False
        return 0

    cdef int wait_for_others(self, Database database) except -1:
        """Who reads alone looks at the whole: whoever has appended drains in time, if he lives. It is waited for once."""
        cdef Journal journal = database.journal
        cdef unsigned long long tail = journal.tail()
        cdef BusyWait wait = BusyWait(min(PATIENCE, database.patience()), "waiting for the journal to be drained")
        try:
            while journal.head() < tail and tail != self.in_vain and database.journal is journal:
                wait.pause(knows_greenlets())
        except Timeout:
            self.in_vain = tail
        return 0

    # -- draining -----------------------------------------------------------------------------------------------

    cdef int shut(self, Database database) except -1:
        """Shut the gate: from now on nobody appends, until the writer lock, which is held, is given back."""
        cdef Journal journal = database.journal
        cdef BusyWait wait = None
        cdef double since = 0.0
        journal.take_number()
        while journal.try_shut() != APPENDED:
            if since == 0.0:
                since = seconds()
            elif seconds() - since > LONG:
                journal.look_after()
            wait = database.pause(wait)
            if database.journal is not journal:
                return 0
        return 0

    cdef int drain_all(self, Database database) except -1:
        """Drain all that is there now; with the gate shut, all that there is."""
        cdef Journal journal
        cdef unsigned long long until
        database.writer_lock.acquire(database.patience())
        try:
            # Inside of a transaction, or called by what interrupts the draining.
            if database.depth != 0 or database.draining:
                return 0
            if database.writer is None:
                database.open_writer()
            journal = database.journal
            if journal is None:
                return 0
            until = journal.tail()
            while (journal.head() < until or journal.shut_here and not journal.is_empty()) and database.journal is journal:
                self.drain_next(database, journal.tail() if journal.shut_here else until)
                # What is damaged ends it sooner.
                until = min(until, journal.tail())
            if journal.is_empty():
                self.keep_alive(None)
        finally:
            database.writer_lock.release()
        return 0

    cdef int make_room(self, Database database) except -1:
        """The ring is full: wait for whoever drains it in this process, or was called to; or drain a part.

        This waits without the writer lock, which whoever drains would have to hand over and get back for each part, and the GIL with it,
        which a thread that appends keeps for milliseconds. So it goes on with the next part while what it has made room for is used."""
        cdef Journal journal = database.journal
        cdef unsigned long long head
        cdef BusyWait wait = BusyWait(database.patience(), "waiting for the journal to be drained")
        if journal is None:
            return 0
        head = journal.head()
        while database.draining or (self.requested and wait.waited < CALLED):
            wait.pause(knows_greenlets())
            if database.journal is not journal or journal.head() != head:
                if database.writer_lock.timings is not None:
                    database.writer_lock.timings.waited.add(wait.waited)
                return 0
        return self.drain_part(database)

    cdef int drain_part(self, Database database) except -1:
        """Drain a part, unless somebody else does meanwhile: the ring is full, or it is time."""
        cdef Journal journal = database.journal
        cdef unsigned long long head
        if journal is None:
            return 0
        head = journal.head()
        database.writer_lock.acquire(database.patience())
        try:
            if database.depth == 0 and not database.draining and database.journal is journal and journal.head() == head:
                self.drain_next(database, journal.tail())
        finally:
            database.writer_lock.release_to_waiter()
        return 0

    cdef int drain_next(self, Database database, unsigned long long until) except -1:
        """Drain a part of what is there up to a position; on a full disk, make way first. The writer lock is held."""
        cdef Journal journal = database.journal
        if database.vacuums:
            return self.drain_where_way_is_made(database, until)
        try:
            return self.drain_some(database, until, self.part())
        except FullError:
            journal.allowed = 0
            # What ends it begins a transaction, before which there may be something to drain.
            if self.makes_way or not make_way(database, self.checkpoints):
                raise
        self.makes_way = True
        try:
            return self.drain_where_way_is_made(database, until)
        finally:
            try:
                end_way(database, self.checkpoints)
            finally:
                self.makes_way = False

    cdef int drain_where_way_is_made(self, Database database, unsigned long long until) except -1:
        """Drain as much as goes there, a few records at a time."""
        cdef Journal journal = database.journal
        cdef unsigned long long head = journal.head()
        while database.journal is journal and journal.head() < min(until, journal.tail()):
            try:
                self.drain_some(database, until, FEW_RECORDS)
            except FullError:
                if journal.head() == head:
                    raise
                return 0
        return 0

    cdef Py_ssize_t part(self) noexcept:
        """How many records go into the next transaction."""
        cdef Py_ssize_t most = min(MOST_RECORDS, max(LEAST_RECORDS, <Py_ssize_t>(SECONDS / self.cost)))
        if self.checkpoints.is_kept_short():
            # The write-ahead log is to stay as short as that with what two processes add before it starts over.
            most = min(most, max(FEW_RECORDS, <Py_ssize_t>self.checkpoints.own_checkpoint_frames // SHARE_OF_LOG))
        return most

    cdef int look_at_disk(self, Database database) except -1:
        """Have as much be set in the journal as there is room for on the disk."""
        cdef Journal journal = database.journal
        cdef unsigned long long room
        if journal is None:
            return 0
        try:
            room = <unsigned long long>reserve.room(database.directory)
        except OSError:
            # Of a directory that is gone others tell.
            return 0
        journal.allowed = min(journal.capacity, room // ROOM_FOR) if room >= LEAST_ROOM else 0
        return 0

    cdef int drain_some(self, Database database, unsigned long long until, Py_ssize_t most) except -1:
        """Drain so many records in one transaction. The writer lock is held."""
        cdef Journal journal = database.journal
        cdef Records records = Records()
        cdef Session session
        cdef unsigned long long place
        cdef BusyWait wait = None
        cdef bint ours = True
        cdef double began, spent = 0.0
        cdef int taken
        # Nobody moves the head meanwhile.
        most = min(most, <Py_ssize_t>((until - min(until, journal.head())) // RECORD_BYTES) + 1)
        if not records.make_slots(most):
            raise MemoryError()
        database.draining = True
        try:
            self.begin(database)
            try:
                session = database.writing()
                began = session.connection.seconds_free
                place = <unsigned long long>database.integer(session, sql.GET_APPLIED)
                ours = <unsigned long long>database.integer(session, sql.GET_JOURNAL) == journal.id
                if not ours or place < journal.head() or place > journal.tail():
                    # Another one has taken its place: what was acknowledged is kept all the same.
                    place = journal.head()
                with nogil:
                    spent -= seconds()
                    taken = records.collect(journal, &place, until, most)
                    spent += seconds()
                    session.connection.returning = True
                session.connection.returning = False
                if taken < 0:
                    place = self.leave_out(database, journal, place)
                if records.count:
                    records.in_order()
                    self.rows.quiet = True
                    try:
                        self.rows.write_rows(database, records, 0, records.count, False)
                    finally:
                        self.rows.quiet = False
                if ours:
                    database.change_row(session, sql.PUT_APPLIED, <long long>place)
                if database.commit.everything or database.commit.count != 0:
                    # Something was evicted, say: nobody must append what builds on what that was, without seeing it.
                    journal.take_number()
                    while not journal.try_hold():
                        journal.look_after()
                        wait = database.pause(wait)
            except BaseException:
                leave(database, False)
                raise
            self.place = place
            leave(database, True)
            if taken >= LEAST_RECORDS:
                # Without what was waited for the GIL.
                spent += session.connection.seconds_free - began
                self.cost += (spent / taken - self.cost) / 4
            self.look_at_disk(database)
            if records.soonest != NEVER:
                self.rows.writes.expiry.expect(database, records.soonest)
            self.records += max(0, taken)
            self.transactions += 1
            if not ours and journal.is_empty() and database.depth == 0:
                database.drop_sessions(False)
        finally:
            journal.let_go(True)
            database.draining = False
        return 0

    cdef int begin(self, Database database) except -1:
        """Begin a transaction that writes much. Others may have done the same while this has waited for its turn, each of whom was told
        before it waited that the WAL is short enough: so it is looked at again."""
        cdef int tries
        for tries in range(MOST_BEGINNINGS):
            self.checkpoints.before_many_changes(database)
            enter(database)
            if tries == MOST_BEGINNINGS - 1 or not self.checkpoints.has_got_long(database):
                break
            leave(database, False)
        return 0

    cdef int after_commit(self, Database database) except -1:
        if database.draining:
            # Before anything else is written.
            database.journal.drained(self.place)
            database.journal.let_go(True)
            database.draining = False
        return 0

    cdef unsigned long long leave_out(self, Database database, Journal journal, unsigned long long place) except? 0:
        """What is damaged ends the chain: nothing is known of what lies behind it. Returns up to where there is something now."""
        self.shut(database)
        warn("%r: the journal is damaged, and what was written last is lost: %s", database.directory, f"{journal.tail() - place} bytes")
        journal.cut(place)
        return place

    # -- maintenance --------------------------------------------------------------------------------------------

    cdef int call(self, Database database) except -1:
        """After something was appended: have it drained in time."""
        cdef Session session
        if database.draining:
            session = database.writer
            if session is not None:
                session.connection.let_in()
        if not self.scheduled:
            self.scheduled = True
            try:
                self.keep_alive(database.keepalive())
                if not database.schedule(DELAY):
                    if database.life == CLOSED:
                        # Since it was appended, by another thread or a finalizer: whoever opens it next drains it.
                        self.keep_alive(None)
                    else:
                        self.drain_all(database)
            except BaseException:
                # Or nobody would hear of it.
                self.scheduled = False
                raise
        elif not self.requested and database.journal is not None and (
                database.journal.tail() - database.journal.head() > database.journal.capacity // 4):
            self.requested = True
            database.schedule(0.0)
        return 0

    cdef int call_for_left(self, Database database) except -1:
        """After opening: what is there is of somebody who lives, and drains it, or is dead. Who reads beside others that write takes no
        lock of theirs, with which it could be stopped."""
        self.left_at = database.journal.head()
        self.left_until = seconds() + OTHERS_DELAY
        if not database.schedule(OTHERS_DELAY):
            self.drain_all(database)
        return 0

    cdef double maintain(self, Database database) except? -2.0:
        """Drain what is there; returns in how many seconds to come again, or -1."""
        # Its connections may be closed, for a fork say: what was appended just then is drained all the same.
        cdef Journal journal = database.journal
        cdef unsigned long long until
        cdef double left = self.left_until - seconds()
        if journal is None or journal.read_only:
            return -1.0
        if self.left_until != 0.0 and not self.scheduled:
            if journal.is_empty():
                self.left_until = 0.0
                return -1.0
            if journal.head() != self.left_at:
                # Somebody drains, so far.
                self.left_at = journal.head()
                self.left_until = seconds() + OTHERS_DELAY
                return OTHERS_DELAY
            if left > 0.0:
                return left
        self.left_until = 0.0
        self.scheduled = False
        self.requested = False
        try:
            until = journal.tail()
            while database.journal is journal and journal.head() < min(until, journal.tail()):
                self.drain_part(database)
        except Timeout:
            self.scheduled = True
            return SOON
        except BaseException:
            self.scheduled = True
            raise
        if not self.scheduled:
            # All that this object has appended is drained, whatever others have appended since.
            self.keep_alive(None)
        return -1.0
