# cython: nonecheck=True
"""Items in the order in which they were inserted: an array, in which each item knows its slot.

Numbers grow along the array, and what is removed leaves its slot empty, with its number. So a walk that remembers the number of the
last item it has shown finds where it was, whatever has come and gone meanwhile. When most slots are empty, those that are not move
together: never inside a transaction, which may have to put back what it has removed.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc

# Fewer slots than these are not worth being looked at.
cdef Py_ssize_t FEW = 64


@cython.final
@cython.no_gc
cdef class Order:
    """The order of a table."""

    def __dealloc__(self):
        PyMem_RawFree(self.slots)

    cdef int reserve(self) except -1:
        """Make room for one more: what follows cannot fail."""
        cdef Py_ssize_t room = max(FEW, self.room + self.room // 2)
        cdef Slot* slots
        if self.end < self.room:
            return 0
        slots = <Slot*>PyMem_RawRealloc(self.slots, <size_t>room * sizeof(Slot))
        if slots == NULL:
            raise MemoryError()
        self.slots = slots
        self.room = room
        return 0

    cdef void add(self, Item item) noexcept:
        """Put a new item at the end; there is room for it."""
        self.newest += 1
        item.id = self.newest
        item.slot = self.end
        self.slots[self.end].id = item.id
        self.slots[self.end].item = <PyObject*>item
        self.end += 1
        self.count += 1

    cdef void remove(self, Item item) noexcept:
        self.slots[item.slot].item = NULL
        self.count -= 1
        while self.begin < self.end and self.slots[self.begin].item == NULL:
            self.begin += 1
        while self.end > self.begin and self.slots[self.end - 1].item == NULL:
            self.end -= 1

    cdef void replace(self, Item item, Item by) noexcept:
        """Put another item in the place of one."""
        by.id = item.id
        by.slot = item.slot
        self.slots[item.slot].item = <PyObject*>by

    cdef void restore(self, Item item) noexcept:
        """Put an item back that was removed: all that was done since is undone already."""
        cdef Py_ssize_t slot
        if self.begin == self.end:
            # Nothing was left, so that it begins here.
            self.begin = self.end = item.slot
        # What lies between was empty before; others may have stood there since, and numbers must not become less.
        for slot in range(self.end, item.slot):
            self.slots[slot].item = NULL
            self.slots[slot].id = self.slots[self.end - 1].id
        self.slots[item.slot].id = item.id
        self.slots[item.slot].item = <PyObject*>item
        self.begin = min(self.begin, item.slot)
        self.end = max(self.end, item.slot + 1)
        self.count += 1

    cdef Py_ssize_t after(self, long long id) noexcept:
        """The first slot of a higher number."""
        cdef Py_ssize_t low = self.begin, high = self.end, middle
        while low < high:
            middle = (low + high) >> 1
            if self.slots[middle].id <= id:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Item first(self):
        """The oldest item; None if there is none."""
        return <Item>self.slots[self.begin].item if self.begin < self.end else None

    cdef Item last(self):
        """The newest one."""
        return <Item>self.slots[self.end - 1].item if self.begin < self.end else None

    cdef void clear(self) noexcept:
        """Forget all; the numbers go on."""
        PyMem_RawFree(self.slots)
        self.slots = NULL
        self.room = self.begin = self.end = self.count = 0

    cdef void compact(self) noexcept:
        """Move the items together, if most slots are empty. No transaction is open."""
        cdef Py_ssize_t slot, to = 0
        cdef Slot* fewer
        if self.end <= FEW or 2 * self.count > self.end:
            return
        for slot in range(self.begin, self.end):
            if self.slots[slot].item != NULL:
                self.slots[to] = self.slots[slot]
                (<Item>self.slots[to].item).slot = to
                to += 1
        self.begin = 0
        self.end = to
        if self.room > 4 * max(FEW, to):
            fewer = <Slot*>PyMem_RawRealloc(self.slots, <size_t>(2 * max(FEW, to)) * sizeof(Slot))
            if fewer != NULL:
                self.slots = fewer
                self.room = 2 * max(FEW, to)
