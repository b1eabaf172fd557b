# cython: nonecheck=True
"""Transactions, bulk calls and batches on what a store in memory holds."""

from time import monotonic

cimport cython

from fastcache.engine.entries.entry cimport check_tag
from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.table.item cimport Item

from fastcache.errors import CacheError

cdef extern from "<math.h>":
    double INFINITY

# Entries of one call that are taken before they are written.
cdef Py_ssize_t AT_ONCE = 1000


@cython.final
cdef class HeldTransaction(Transaction):
    """One block of ``with cache.transact():``."""

    def __cinit__(self, scope, Held held):
        self.held = held

    cdef int enter(self) except -1:
        return self.held.enter_block()

    cdef int leave(self, bint keep) except -1:
        return self.held.leave_block(keep)


cdef Py_ssize_t apply(Held held, list waiting, bint only_if_absent) except -1:
    """In the open transaction, store the items and remove the names of a list; returns how many entries that changes."""
    cdef Py_ssize_t changed = 0
    cdef long long now = held.moment()
    cdef long long soonest = NEVER
    cdef Item item
    for each in waiting:
        if type(each) is Item:
            item = each
            changed += held.enter(item, only_if_absent, now)
            soonest = min(soonest, item.expire)
        else:
            # A name, in a tuple.
            changed += held.remove((<tuple>each)[0], now)
    held.expect(soonest)
    return changed


@cython.final
cdef class HeldWriting(Writing):
    """The transaction of one call."""

    def __cinit__(self, Held held, bint only_if_absent):
        self.held = held
        self.only_if_absent = only_if_absent
        self.waiting = []

    cdef int add(self, object key, object value, long long expire, object tag, const Cell* tag_cell) except -1:
        self.waiting.append(self.held.new_entry(key, value, expire, tag))
        return 0

    cdef int remove(self, object key) except -1:
        self.held.refuse_writing()
        self.waiting.append((self.held.name_of(key),))
        return 0

    cdef bint is_full(self) except -1:
        return len(self.waiting) >= AT_ONCE

    cdef Transaction new_block(self):
        return HeldTransaction(self.held.scope, self.held)

    cdef int write(self) except -1:
        if not self.waiting:
            return 0
        self.begin()
        waiting, self.waiting = self.waiting, []
        self.changed += apply(self.held, waiting, self.only_if_absent)
        return 0


@cython.final
cdef class HeldBatchPart(BatchPart):
    """What of a batch waits."""

    def __cinit__(self, Held held, double max_seconds):
        self.held = held
        self.max_seconds = max_seconds
        self.pending = []
        self.due = INFINITY
        held.batches.append(self)

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef Cell cell
        cdef Item item = self.held.new_entry(key, value, expire, check_tag(tag, &cell))
        self.raise_failure()
        self.pending.append(item)
        return 0

    cdef int remove(self, object key) except -1:
        self.held.refuse_writing()
        name = self.held.name_of(key)
        self.raise_failure()
        self.pending.append((name,))
        return 0

    cdef Py_ssize_t waiting(self) except -1:
        return len(self.pending)

    cdef long long committed(self) except -1:
        return self.done

    cdef int came_in(self) except -1:
        if self.due == INFINITY:
            self.due = monotonic() + self.max_seconds
            if not self.held.scope.schedule(self.max_seconds):
                self.commit()
        return 0

    cdef int raise_failure(self) except -1:
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return 0

    cdef int flush(self) except -1:
        self.raise_failure()
        return self.commit()

    cdef int leave(self) except -1:
        if self in self.held.batches:
            self.held.batches.remove(self)
        return 0

    cdef int finish(self) except -1:
        return self.commit()

    cdef Py_ssize_t drop(self) except -1:
        dropped, self.pending = self.pending, []
        return len(dropped)

    cdef double maintain(self) except? -1.0:
        """Commit what waits, if it is time; returns in how many seconds there will be more."""
        cdef double left = self.due - monotonic()
        if left > 0.0:
            return left
        try:
            self.commit()
        except CacheError as error:
            # Whoever uses it next is told; what waits goes on waiting.
            self.failure = error
        return INFINITY

    cdef int commit(self) except -1:
        """Commit what waits, in the order in which it came."""
        cdef HeldTransaction block
        cdef Py_ssize_t count
        if not self.pending:
            self.due = INFINITY
            return 0
        block = HeldTransaction(self.held.scope, self.held)
        block.__enter__()
        try:
            # Another thread may have done so, while this one waited for its turn.
            count = len(self.pending)
            apply(self.held, self.pending[:count], False)
        except BaseException:
            block.exit(True)
            raise
        block.exit(False)
        del self.pending[:count]
        self.done += count
        self.due = INFINITY if not self.pending else monotonic() + self.max_seconds
        return 0
