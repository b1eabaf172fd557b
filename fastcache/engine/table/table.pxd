# All entries that are held in memory, and how to undo what was done to them.

from fastcache.engine.table.heap cimport Heap
from fastcache.engine.table.item cimport Item
from fastcache.engine.table.order cimport Order
from fastcache.engine.table.sorted_keys cimport KeyOrder


cdef enum Policy:
    # What goes first. Without a limit, none.
    NEVER_GOES, OLDEST, SOONEST_TO_EXPIRE, LEAST_RECENTLY_USED, LEAST_RECENTLY_STORED, LEAST_FREQUENTLY_USED, NOT_VISITED


cdef class Table:
    # By name; and those whose key as a row would have it is another object, by that.
    cdef dict items
    cdef dict encoded
    cdef Order order
    # What expires; and what is used, where the policy asks for that.
    cdef Heap due
    cdef Heap used
    # The last one with each tag.
    cdef dict tags
    # None until somebody asks for the order of keys.
    cdef KeyOrder keys
    # Bytes of all values as they are stored; and of memory, about.
    cdef long long size
    cdef long long cost

    # While a transaction is open: each change as what was there before and what is there now, None for nothing; and what was there
    # before the transaction, by name.
    cdef bint logs
    cdef list log
    cdef dict before
    cdef long long newest_before
    cdef long long cost_before

    cdef Policy policy
    # Uses so far, or the rank of what has gone last; and the number that sieve's hand stands at.
    cdef long long clock
    cdef long long hand

    cdef int begin_log(self) except -1
    cdef void end_log(self)
    cdef int roll_back(self, Py_ssize_t mark) except -1
    cdef int enter(self, Item item, Item old) except -1
    cdef int remove(self, Item item) except -1
    cdef int remove_all(self) except -1
    cdef int record(self, Item old, Item new) except -1
    cdef void insert(self, Item item) noexcept
    cdef void begin_use(self, Item item) noexcept
    cdef void put_over(self, Item item, Item old) noexcept
    cdef void take_out(self, Item item) noexcept
    cdef int index(self, Item item) except -1
    cdef int link_tag(self, Item item) except -1
    cdef void unlink_tag(self, Item item)
    cdef void note_use(self, Item item) noexcept
    cdef void note_store(self, Item item) noexcept
    cdef bint has_ranks(self) noexcept
    cdef int use_policy(self, Policy policy) except -1
    cdef Item victim(self)
    cdef Item pass_visited(self)

    cdef Item committed(self, object name)
    cdef Item of_key(self, object key)
    cdef list portion(self, long long last, long long end, bint backward, Py_ssize_t limit, long long now, bint aside)
    cdef list in_order(
        self, object low, object high, bint beyond, bint backward, Py_ssize_t limit, long long end, long long now, bint aside)
    cdef list tagged(self, object tag)
    cdef KeyOrder sorted_keys(self)


cdef bint is_live(Item item, long long now) noexcept
