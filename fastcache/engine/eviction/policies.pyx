"""Who goes first: the policies of eviction. Each names one row after the other; eviction itself is evict.pyx.

None of them keeps an index, and none walks the whole table. What was never used is found in the order of rowids, which is
the order of insertion, and what was used in the access table (access_table.pyx), which is in memory.

- **lru** is exact. The *hand* stands at the rowid up to which every row is gone, or was used. The rows beyond it that have no
  slot, in their order, and the slots, in theirs, are two queues by age; the older head goes. The second one is a list of the
  oldest slots, made in one pass over them (a nanosecond for each) and good for hundreds of evictions: whatever is used
  meanwhile becomes younger than its *horizon*. A row that lost its slot is behind the hand, where nobody looks for it:
  therefore a slow *sweep* goes over those rows again, and what it finds without a slot goes next.
- **lrs** is the same, told of writes alone (Limit.notes_reads): what was stored longest ago goes first.
- **lfu** takes the slots in the order of their priorities; every row has one. What has none, because the table is newer, or
  lost it, the sweep finds; until that has been over all rows once, what it finds goes before everything else.
- **sieve** walks the rows from the oldest to the newest, takes the slot away where there is one, and names the first row
  where there is none (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024).
- **none** never names any. **fifo** takes the rows in their order; **ttl** those that expire first, and then, of what never does, the oldest.

What is named may be gone by then, because another process has evicted it or a transaction was rolled back. Then nothing is
deleted, and the next one is asked for.
"""

from libc.string cimport memset
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

from fastcache.engine.shm.wal_clock cimport load, store
from fastcache.engine.sqlite.connection cimport STEP_ROW, Statement
from fastcache.engine.shm.access_table cimport RECENCY_HAND, RECENCY_SWEEP, RECENCY_SWEEP_END, RECENCY_SWEPT, USED_AT, USED_OFTEN

from fastcache.engine.sqlite import sql

cdef extern from "<limits.h>":
    long long LLONG_MAX, LLONG_MIN

NO_ROW = LLONG_MIN

cdef enum:
    # Slots that a list is made of at once, at least.
    FEWEST_LISTED = 256
    # The part of all slots that it is otherwise.
    LISTED_SHARE = 32
    # After so many rows the sweep looks at some.
    SWEPT_EVERY = 64
    SWEPT_AT_ONCE = 16
    # How many used rows sieve passes by before it takes one all the same, so that its work is bounded.
    MOST_PASSED = 1024


cdef class Policy:
    """First in, first out; the base of the others."""

    cdef int begin(self) except -1:
        """Before one or more rows are asked for: what was read ahead may be out of date, because others evict, too."""
        return 0

    cdef long long choose(self, Session session) except? -1:
        """The row that goes next, or NO_ROW. Inside a transaction."""
        if self.next == self.count:
            # What came before is gone.
            self.look_ahead(session, sql.ROWS_FROM, LLONG_MIN, LLONG_MAX, LOOK_AHEAD)
        if self.next == self.count:
            return NO_ROW
        self.next += 1
        return self.rows[self.next - 1]

    cdef int look_ahead(self, Session session, str text, long long after, long long until, int limit) except -1:
        """Read the next rows after one."""
        cdef Statement statement = session.statement(text)
        self.count = self.next = 0
        statement.bind_integer(1, after)
        statement.bind_integer(2, until)
        statement.bind_integer(3, limit)
        while self.count < limit and statement.step() == STEP_ROW:
            self.rows[self.count] = statement.column_integer(0)
            self.count += 1
        statement.reset()
        return 0


cdef class Never(Policy):
    """Nothing goes."""

    cdef long long choose(self, Session session) except? -1:
        return NO_ROW


cdef class SoonestToExpire(Policy):
    """By the index on expiry; after these, first in, first out."""

    cdef int begin(self) except -1:
        # What was set since may expire sooner.
        self.count = self.next = 0
        return 0

    cdef long long choose(self, Session session) except? -1:
        if self.next == self.count:
            self.look_ahead(session, sql.ROWS_THAT_EXPIRE, LLONG_MIN, LLONG_MAX, SWEPT_AT_ONCE)
        return Policy.choose(self, session)


cdef class Used(Policy):
    """What those have in common that look at the access table."""

    cdef AccessTable access_table
    # Where the hand stood when this last moved it.
    cdef long long seen

    cdef int begin(self) except -1:
        # While nobody else has moved it, what was read ahead still comes next.
        if <long long>load(&self.access_table.table.words[RECENCY_HAND]) != self.seen:
            self.count = self.next = 0
        return 0

    cdef int move_to(self, long long row) noexcept:
        """Move the hand."""
        self.seen = row
        store(&self.access_table.table.words[RECENCY_HAND], <unsigned long long>row)
        return 0


cdef class ByUse(Used):
    """What those have in common that ask it for an order."""

    # The slots that go first, and how far that list was used.
    cdef Use* uses
    cdef Py_ssize_t room
    cdef Py_ssize_t listed
    cdef Py_ssize_t taken
    # The latest time in it: what it does not have is not older.
    cdef unsigned int horizon
    # Rows that the sweep has found, and how many were chosen since it last looked.
    cdef long long[SWEPT_AT_ONCE] strays
    cdef Py_ssize_t stray_count
    cdef Py_ssize_t chosen

    def __dealloc__(self):
        PyMem_RawFree(self.uses)

    cdef const Use* next_used(self) noexcept:
        """The slot that goes first, as far as the list tells; NULL at its end."""
        while self.taken < self.listed:
            if self.access_table.stands(&self.uses[self.taken]):
                return &self.uses[self.taken]
            self.taken += 1
        return NULL

    cdef int make_list(self) except -1:
        """List the slots that go first."""
        cdef Py_ssize_t wanted = max(FEWEST_LISTED, <Py_ssize_t>(self.access_table.table.mask + 1) // LISTED_SHARE)
        if self.room < 2 * wanted:
            PyMem_RawFree(self.uses)
            self.room = self.listed = self.taken = 0
            self.uses = <Use*>PyMem_RawMalloc(<size_t>(2 * wanted) * sizeof(Use))
            if self.uses == NULL:
                raise MemoryError()
            self.room = 2 * wanted
        self.horizon = self.access_table.now()
        self.listed = self.access_table.first(self.uses, wanted)
        self.taken = 0
        if self.listed >= wanted:
            self.horizon = <unsigned int>self.uses[self.listed - 1].slot
        return 0

    cdef int sweep(self, Session session) except -1:
        """Look for strays among the next rows up to where the hand stood when this round began: it would not end if it had
        to catch up with what is inserted meanwhile."""
        cdef unsigned long long* words = self.access_table.table.words
        cdef long long row = <long long>load(&words[RECENCY_SWEEP])
        cdef Py_ssize_t index
        if row == 0:
            store(&words[RECENCY_SWEEP_END], <unsigned long long>self.hand(session))
        self.look_ahead(session, sql.ROWS_FROM, row, <long long>load(&words[RECENCY_SWEEP_END]), SWEPT_AT_ONCE)
        self.chosen = 0
        for index in range(self.count):
            row = self.rows[index]
            if not self.access_table.is_used(row):
                self.strays[self.stray_count] = row
                self.stray_count += 1
        store(&words[RECENCY_SWEEP], <unsigned long long>(row if self.count == SWEPT_AT_ONCE else 0))
        if self.count < SWEPT_AT_ONCE:
            store(&words[RECENCY_SWEPT], 1)
        self.count = self.next = 0
        return 0

    cdef long long hand(self, Session session) except? -1:
        """Up to which row all have a slot."""
        cdef Statement statement = session.statement(sql.NEWEST_ROW)
        cdef long long newest = 0
        if statement.run() == STEP_ROW:
            newest = statement.column_integer(0)
            statement.reset()
        return newest

    cdef long long choose(self, Session session) except? -1:
        self.chosen += 1
        if self.chosen >= SWEPT_EVERY and self.stray_count == 0:
            self.sweep(session)
        if self.stray_count:
            self.stray_count -= 1
            return self.strays[self.stray_count]
        return self.choose_by_use(session)

    cdef long long choose_by_use(self, Session session) except? -1:
        cdef const Use* use = self.next_used()
        if use == NULL:
            self.make_list()
            use = self.next_used()
        return self.first(session) if use == NULL else self.take(use)

    cdef long long first(self, Session session) except? -1:
        """The first row of all, for when nothing else is known."""
        self.look_ahead(session, sql.ROWS_FROM, LLONG_MIN, LLONG_MAX, 1)
        if self.count == 0:
            return NO_ROW
        self.count = 0
        return self.rows[0]

    cdef long long take(self, const Use* use) noexcept:
        cdef long long row = self.access_table.row_of(use)
        self.access_table.went(use)
        # Whether or not there is such a row.
        self.access_table.forget(row)
        self.taken += 1
        return row


cdef class LeastFrequentlyUsed(ByUse):
    """By the priority in the slots."""

    cdef long long choose(self, Session session) except? -1:
        while self.stray_count == 0 and load(&self.access_table.table.words[RECENCY_SWEPT]) == 0:
            self.sweep(session)
        return ByUse.choose(self, session)


cdef class LeastRecentlyUsed(ByUse):
    """By the time in the slots, and the rowids of what has none."""

    cdef long long hand(self, Session session) except? -1:
        return <long long>load(&self.access_table.table.words[RECENCY_HAND])

    cdef long long choose_by_use(self, Session session) except? -1:
        cdef long long row = self.next_unused(session)
        cdef const Use* use = self.next_used()
        if use == NULL and (row == NO_ROW or not self.access_table.is_older(row, self.horizon)):
            self.make_list()
            use = self.next_used()
        if row == NO_ROW and use == NULL:
            return self.first(session)
        if row == NO_ROW or (use != NULL and not self.access_table.is_older(row, <unsigned int>use.slot)):
            return self.take(use)
        self.move_to(row)
        self.next += 1
        return row

    cdef long long next_unused(self, Session session) except? -1:
        """The first row beyond the hand that was never used; the hand moves up to it."""
        while True:
            while self.next < self.count:
                if not self.access_table.is_used(self.rows[self.next]):
                    return self.rows[self.next]
                self.move_to(self.rows[self.next])
                self.next += 1
            self.look_ahead(
                session, sql.ROWS_FROM, <long long>load(&self.access_table.table.words[RECENCY_HAND]), LLONG_MAX, LOOK_AHEAD)
            if self.count == 0:
                return NO_ROW


cdef class SievePolicy(Used):
    """By a hand that gives each row that was used another round."""

    cdef long long choose(self, Session session) except? -1:
        cdef unsigned long long* words = self.access_table.table.words
        cdef int passed = 0
        cdef long long row
        while True:
            if self.next == self.count:
                self.look_ahead(session, sql.ROWS_FROM, <long long>load(&words[RECENCY_HAND]), LLONG_MAX, LOOK_AHEAD)
            if self.next == self.count:
                # From the newest on to the oldest.
                self.look_ahead(session, sql.ROWS_FROM, LLONG_MIN, LLONG_MAX, LOOK_AHEAD)
                if self.count == 0:
                    return NO_ROW
            row = self.rows[self.next]
            self.next += 1
            self.move_to(row)
            if not self.access_table.is_used(row) or passed == MOST_PASSED:
                return row
            self.access_table.forget(row)
            passed += 1


cdef int meaning_of(str name) noexcept:
    """What a policy wants to know of the use of entries; 0 for nothing."""
    return USED_AT if name in ("lru", "lrs", "sieve") else USED_OFTEN if name == "lfu" else 0


cdef Policy policy_of(str name, AccessTable access_table):
    """The policy of this name."""
    cdef Used used
    kinds = {"lru": LeastRecentlyUsed, "lrs": LeastRecentlyUsed, "lfu": LeastFrequentlyUsed, "sieve": SievePolicy}
    if name in kinds:
        used = kinds[name]()
        used.access_table = access_table
        return used
    if name == "ttl":
        return SoonestToExpire()
    return Policy() if name == "fifo" else Never()
