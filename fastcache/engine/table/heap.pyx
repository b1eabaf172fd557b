# cython: nonecheck=True
"""Items, of which the one of the lowest rank is known: a binary heap, in which each item knows its place.

In the heap of what is used (`USED`), the ranks may be out of date: a use only raises `Item.rank`, which costs nothing, and whoever asks
for the first moves down what has been used since. So each use is paid for at most once, and only if the item came to the top.
"""

cimport cython
from cpython.mem cimport PyMem_RawFree, PyMem_RawRealloc

from fastcache.engine.table.item cimport NO_PLACE


cdef inline bint is_less(const HeapNode* one, const HeapNode* other) noexcept:
    # Of those of one rank, the older one first.
    return one.rank < other.rank or (one.rank == other.rank and one.id < other.id)


@cython.final
@cython.no_gc
cdef class Heap:
    """A heap of one kind."""

    def __cinit__(self, HeapKind kind):
        self.kind = kind

    def __dealloc__(self):
        PyMem_RawFree(self.nodes)

    cdef int reserve(self) except -1:
        """Make room for one more: what follows cannot fail."""
        cdef Py_ssize_t room = max(16, 2 * self.room)
        cdef HeapNode* nodes
        if self.count < self.room:
            return 0
        nodes = <HeapNode*>PyMem_RawRealloc(self.nodes, <size_t>room * sizeof(HeapNode))
        if nodes == NULL:
            raise MemoryError()
        self.nodes = nodes
        self.room = room
        return 0

    cdef void add(self, Item item, long long rank) noexcept:
        """Add an item; there is room for it."""
        cdef HeapNode node
        node.rank = rank
        node.id = item.id
        node.item = <void*>item
        self.count += 1
        self.put(self.count - 1, node)
        self.sift_up(self.count - 1)

    cdef void remove(self, Item item) noexcept:
        """Remove an item, if it is here."""
        cdef Py_ssize_t place = item.places[<int>self.kind]
        if place == NO_PLACE:
            return
        item.places[<int>self.kind] = NO_PLACE
        self.count -= 1
        if place < self.count:
            self.put(place, self.nodes[self.count])
            self.sift_up(place)
            self.sift_down((<Item>self.nodes[place].item).places[<int>self.kind])

    cdef void replace(self, Item item, Item by, long long rank) noexcept:
        """Put another item of the same number, and of another rank, in the place of one."""
        cdef Py_ssize_t place = item.places[<int>self.kind]
        item.places[<int>self.kind] = NO_PLACE
        self.nodes[place].item = <void*>by
        self.nodes[place].rank = rank
        by.places[<int>self.kind] = place
        self.sift_up(place)
        self.sift_down(by.places[<int>self.kind])

    cdef Item first(self):
        """The item of the lowest rank; None if there is none."""
        cdef Item item
        while self.count:
            item = <Item>self.nodes[0].item
            if self.kind == DUE or self.nodes[0].rank >= item.rank:
                return item
            self.nodes[0].rank = item.rank
            self.sift_down(0)
        return None

    cdef void clear(self) noexcept:
        """Forget all. The items are not asked any more where they are."""
        self.count = 0

    cdef Py_ssize_t count_until(self, long long rank) noexcept:
        """How many are of this rank or a lower one."""
        return self.count_below(0, rank)

    cdef Py_ssize_t count_below(self, Py_ssize_t place, long long rank) noexcept:
        if place >= self.count or self.nodes[place].rank > rank:
            return 0
        return 1 + self.count_below(2 * place + 1, rank) + self.count_below(2 * place + 2, rank)

    cdef list until(self, long long rank, Py_ssize_t limit):
        """Items of this rank or a lower one, in no order; about so many at most."""
        cdef list found = []
        cdef list places = [0]
        cdef Py_ssize_t place
        while places and len(found) < limit:
            place = places.pop()
            if place < self.count and self.nodes[place].rank <= rank:
                found.append(<Item>self.nodes[place].item)
                places.append(2 * place + 2)
                places.append(2 * place + 1)
        return found

    cdef void put(self, Py_ssize_t place, HeapNode node) noexcept:
        self.nodes[place] = node
        (<Item>node.item).places[<int>self.kind] = place

    cdef void sift_up(self, Py_ssize_t place) noexcept:
        cdef HeapNode node = self.nodes[place]
        cdef Py_ssize_t parent
        while place > 0:
            parent = (place - 1) >> 1
            if not is_less(&node, &self.nodes[parent]):
                break
            self.put(place, self.nodes[parent])
            place = parent
        self.put(place, node)

    cdef void sift_down(self, Py_ssize_t place) noexcept:
        cdef HeapNode node = self.nodes[place]
        cdef Py_ssize_t child
        while True:
            child = 2 * place + 1
            if child >= self.count:
                break
            if child + 1 < self.count and is_less(&self.nodes[child + 1], &self.nodes[child]):
                child += 1
            if not is_less(&self.nodes[child], &node):
                break
            self.put(place, self.nodes[child])
            place = child
        self.put(place, node)
