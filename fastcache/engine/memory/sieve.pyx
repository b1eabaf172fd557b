"""A hash table bounded in bytes, whose replacement is SIEVE.

SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024): entries stand in the order in which they came. A hit sets
one bit. To make room, a hand walks from the oldest entry towards the newest, takes the bit away where it is set, and
removes the first entry where it is not. So a hit moves nothing and allocates nothing, and what is asked for once goes
before what is asked for again.

The table is open addressing over places in an array of nodes. A slot holds half of the hash and the place plus one;
removing shifts back what follows (Knuth, TAOCP 6.4, algorithm R), so that no tombstones stay. Keys whose hashes were
made to collide would only keep each other out: none is entered further than LONGEST_PROBE slots from where it belongs.

Bytes are counted as Python and the C library take them: objects with their headers, rounded up to the allocator's
units, and the two arrays with what is free in them. Keys and values are strings, numbers, bytes, and tuples and
frozensets of these alone: neither comparing nor freeing them runs Python code. The GIL is held throughout.
"""

cimport cython
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF

from fastcache.engine.codecs.plainness cimport NOT_PLAIN, plainness_of

cdef extern from "Python.h":
    int PyObject_RichCompareBool(object one, object other, int operation) except -1
    int Py_EQ
    int PyUnicode_KIND(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyTuple_GET_SIZE(object parts)
    PyObject* PyTuple_GET_ITEM(object parts, Py_ssize_t index)

cdef enum:
    NOWHERE = 0xFFFFFFFF
    LONGEST_PROBE = 256
    FIRST_ROOM = 32
    # A value nested deeper is taken for one that can be changed.
    DEEPEST = 8
    # What takes more than a sixth of the limit passes by.
    LARGEST_SHARE = 6
    # Python rounds up to this; it is also what the C library adds.
    UNIT = 16
    # Above this, Python asks the C library, which adds a header of its own.
    SMALL_OBJECT = 512


@cython.no_gc
cdef class Budget:
    """Bytes that some tables have together. Who needs more takes them from the one that has most."""

    def __cinit__(self, unsigned long long limit):
        self.limit = limit

    def __dealloc__(self):
        PyMem_RawFree(self.members)

    cdef bint join(self, Sieve sieve) noexcept:
        # Not counted as a reference: a table leaves before it goes.
        cdef PyObject** members = <PyObject**>PyMem_RawRealloc(
            self.members, <size_t>(self.count + 1) * sizeof(PyObject*))
        if members == NULL:
            return False
        self.members = members
        members[self.count] = <PyObject*>sieve
        self.count += 1
        return True

    cdef void leave(self, Sieve sieve) noexcept:
        cdef Py_ssize_t index
        for index in range(self.count):
            if self.members[index] == <PyObject*>sieve:
                self.count -= 1
                self.members[index] = self.members[self.count]
                return

    cdef Sieve largest(self):
        cdef Py_ssize_t index
        cdef Sieve largest = None, each
        for index in range(self.count):
            each = <Sieve>self.members[index]
            if each.count and (largest is None or each.used > largest.used):
                largest = each
        return largest

    cdef bint make_room(self) noexcept:
        """Have the largest table evict an entry. False if there is none."""
        cdef Sieve largest = self.largest()
        if largest is None:
            return False
        largest.evict()
        return True

    cdef bint make_room_for(self, Sieve smaller) noexcept:
        """Have the largest table evict an entry, so that this one can grow. False if none is larger."""
        cdef Sieve largest = self.largest()
        if largest is None or largest.used <= smaller.used:
            return False
        largest.evict()
        return True


@cython.no_gc
cdef class Sieve:
    """Entries of at most as many bytes as a budget has."""

    def __cinit__(self, Budget budget):
        self.oldest = self.newest = self.hand = self.unused = NOWHERE
        if not budget.join(self):
            raise MemoryError()
        self.budget = budget
        self.limit = budget.limit

    def __dealloc__(self):
        if self.budget is not None:
            self.clear()
            self.budget.leave(self)

    cdef void take(self, long long bytes) noexcept:
        self.used += <unsigned long long>bytes
        self.budget.used += <unsigned long long>bytes

    cdef Node* find(self, object key, unsigned long long hashed) noexcept:
        """The entry of a key, or NULL."""
        cdef unsigned long long slot, at
        cdef Node* node
        cdef int same
        if self.slots == NULL:
            return NULL
        at = hashed & self.mask
        while True:
            slot = self.slots[at]
            if slot == 0:
                return NULL
            if slot >> 32 == hashed >> 32:
                node = &self.nodes[<unsigned int>slot - 1]
                if node.hashed == hashed:
                    same = 1 if node.key == <PyObject*>key else equal(<object>node.key, key)
                    if same > 0:
                        return node
                    if same < 0:
                        # What that has run may have changed the table: as if it was not here.
                        return NULL
            at = (at + 1) & self.mask

    cdef bint keep(
            self, object key, unsigned long long hashed, Kind kind, object value, int codec, long long expire,
            unsigned long long key_cost, unsigned long long value_cost, unsigned int row) noexcept:
        """Enter a key, or replace what is known of it. Returns whether that was possible."""
        cdef unsigned long long cost = key_cost + value_cost
        cdef bint fits = 0 <= codec <= 0xFFFF and cost <= self.limit // LARGEST_SHARE
        cdef unsigned char visited = 0
        cdef unsigned int place
        cdef Node* node = self.find(key, hashed)
        if node != NULL:
            visited = node.visited
            self.remove(<unsigned int>(node - self.nodes))
        if not fits:
            return False
        place = self.claim(cost)
        if place == NOWHERE:
            return False
        node = &self.nodes[place]
        node.hashed = hashed
        node.key = <PyObject*>key
        node.value = <PyObject*>value if kind >= OBJECT else NULL
        node.expire = expire
        node.cost = <unsigned int>(cost // UNIT)
        node.codec = <unsigned short>codec
        node.row = row
        node.used_at = 0
        node.kind = kind
        node.visited = visited
        if not self.enter(place, hashed):
            node.older = self.unused
            self.unused = place
            return False
        Py_INCREF(key)
        if kind >= OBJECT:
            Py_INCREF(value)
        self.link(place)
        self.take(<long long>cost)
        self.count += 1
        return True

    cdef void become(self, object key, unsigned long long hashed, object encoded, object value) noexcept:
        """Put a decoded value in the place of the bytes that it came from, if it cannot be changed."""
        cdef bint immutable = plainness_of(value, DEEPEST) != NOT_PLAIN
        cdef unsigned long long before = cost_of(encoded)
        cdef unsigned long long after = cost_of(value)
        cdef Node* node = self.find(key, hashed)
        if node == NULL or node.kind != UNDECODED or node.value != <PyObject*>encoded:
            return
        node.kind = ENCODED
        if not immutable or self.budget.used - before + after > self.limit:
            return
        node.kind = OBJECT
        node.value = <PyObject*>value
        node.cost = <unsigned int>(node.cost - before // UNIT + after // UNIT)
        self.take(<long long>(after - before))
        Py_INCREF(value)
        Py_DECREF(encoded)

    cdef void forget(self, unsigned long long hashed) noexcept:
        """Remove whatever has this hash."""
        cdef unsigned long long at, slot
        at = hashed & self.mask
        while self.slots != NULL:
            slot = self.slots[at]
            if slot == 0:
                return
            if slot >> 32 == hashed >> 32 and self.nodes[<unsigned int>slot - 1].hashed == hashed:
                # Another one may have moved here; or anything, if somebody had a weak reference to what goes.
                self.remove(<unsigned int>slot - 1)
                at = hashed & self.mask
            else:
                at = (at + 1) & self.mask

    cdef void clear(self) noexcept:
        """Remove everything, and give the arrays back."""
        cdef unsigned int place = self.oldest
        cdef Node* nodes = self.nodes
        cdef Node* node
        cdef unsigned long long* slots = self.slots
        # Empty before anything is freed.
        self.nodes = NULL
        self.slots = NULL
        self.oldest = self.newest = self.hand = self.unused = NOWHERE
        self.room = 0
        self.count = 0
        self.take(-<long long>self.used)
        while place != NOWHERE:
            node = &nodes[place]
            place = node.newer
            Py_DECREF(<object>node.key)
            Py_XDECREF(node.value)
        PyMem_RawFree(nodes)
        PyMem_RawFree(slots)

    cdef unsigned int claim(self, unsigned long long cost) noexcept:
        """A node to use, with so many bytes free for its objects; NOWHERE if that cannot be."""
        cdef unsigned int place
        while self.unused == NOWHERE or self.budget.used + cost > self.limit:
            if self.unused == NOWHERE and self.budget.used + cost <= self.limit and self.grow():
                continue
            if self.unused == NOWHERE and self.budget.make_room_for(self):
                continue
            if self.unused == NOWHERE and self.oldest != NOWHERE:
                # Of another table it would be no node of ours.
                self.evict()
            elif not self.budget.make_room():
                return NOWHERE
        place = self.unused
        self.unused = self.nodes[place].older
        return place

    cdef bint grow(self) noexcept:
        """Make room for half as many entries again, within the limit."""
        cdef unsigned long long room = self.room + self.room // 2 if self.room else FIRST_ROOM
        cdef unsigned long long size = self.mask + 1 if self.slots != NULL else 0
        cdef unsigned long long larger = size if size else 2 * FIRST_ROOM
        cdef unsigned long long more
        cdef unsigned long long* slots = NULL
        cdef unsigned long long* before = self.slots
        cdef Node* nodes
        cdef unsigned int place, newer, lost = NOWHERE
        cdef size_t count = 0
        # At most two slots in three are taken.
        while larger * 2 < room * 3:
            larger *= 2
        more = (room - self.room) * sizeof(Node) + (larger - size) * sizeof(unsigned long long)
        if self.budget.used + more > self.limit or room >= NOWHERE:
            return False
        if larger != size:
            slots = <unsigned long long*>PyMem_RawCalloc(<size_t>larger, sizeof(unsigned long long))
            if slots == NULL:
                return False
        nodes = <Node*>PyMem_RawRealloc(self.nodes, <size_t>room * sizeof(Node))
        if nodes == NULL:
            PyMem_RawFree(slots)
            return False
        self.nodes = nodes
        for place in range(self.room, <unsigned int>room):
            nodes[place].older = self.unused
            self.unused = place
        self.room = <unsigned int>room
        self.take(<long long>more)
        if larger != size:
            self.slots = slots
            self.mask = larger - 1
            PyMem_RawFree(before)
            place = self.oldest
            while place != NOWHERE:
                newer = nodes[place].newer
                if not self.enter(place, nodes[place].hashed):
                    # Its slot is gone already.
                    self.unlink(place)
                    nodes[place].newer = lost
                    lost = place
                    count += 1
                place = newer
            self.free_lost(lost, count)
        return True

    cdef void free_lost(self, unsigned int lost, size_t count) noexcept:
        """Free a chain of nodes that no slot leads to. Whoever has a weak reference to a value may run code, and so change
        the table: references are dropped when all is in order again."""
        cdef PyObject** dropped
        cdef unsigned int place
        cdef size_t index = 0
        if count == 0:
            return
        # Without memory they stay for ever.
        dropped = <PyObject**>PyMem_RawCalloc(2 * count, sizeof(PyObject*))
        while lost != NOWHERE:
            place = lost
            lost = self.nodes[place].newer
            if dropped != NULL:
                dropped[index] = self.nodes[place].key
                dropped[index + 1] = self.nodes[place].value
                index += 2
            self.release(place)
        while index > 0:
            index -= 1
            Py_XDECREF(dropped[index])
        PyMem_RawFree(dropped)

    cdef bint enter(self, unsigned int place, unsigned long long hashed) noexcept:
        """Point a slot to a node. False if all are taken as far as may be looked."""
        cdef unsigned long long at = hashed & self.mask
        cdef int probe
        for probe in range(LONGEST_PROBE):
            if self.slots[at] == 0:
                self.slots[at] = (hashed >> 32 << 32) | (place + 1)
                return True
            at = (at + 1) & self.mask
        return False

    cdef void evict(self) noexcept:
        """Remove the next entry that was not asked for since the hand passed it."""
        cdef unsigned int place = self.hand if self.hand != NOWHERE else self.oldest
        while self.nodes[place].visited:
            self.nodes[place].visited = 0
            place = self.nodes[place].newer
            if place == NOWHERE:
                place = self.oldest
        self.hand = self.nodes[place].newer
        self.remove(place)

    cdef void remove(self, unsigned int place) noexcept:
        """Remove an entry."""
        cdef unsigned long long hashed = self.nodes[place].hashed
        cdef unsigned long long at = hashed & self.mask
        while <unsigned int>self.slots[at] != place + 1:
            at = (at + 1) & self.mask
        self.leave(at)
        self.drop(place)

    cdef void drop(self, unsigned int place) noexcept:
        """Free a node whose slot is gone."""
        cdef PyObject* key = self.nodes[place].key
        cdef PyObject* value = self.nodes[place].value
        self.unlink(place)
        self.release(place)
        Py_DECREF(<object>key)
        Py_XDECREF(value)

    cdef void release(self, unsigned int place) noexcept:
        """Have a node that is not among the others any more be one of the unused. What it refers to is the caller's."""
        cdef Node* node = &self.nodes[place]
        self.take(-<long long>node.cost * UNIT)
        self.count -= 1
        node.older = self.unused
        self.unused = place

    cdef void leave(self, unsigned long long at) noexcept:
        """Empty a slot, and let those behind it come closer to where they belong."""
        cdef unsigned long long next = at
        cdef unsigned long long home
        while True:
            next = (next + 1) & self.mask
            if self.slots[next] == 0:
                self.slots[at] = 0
                return
            home = self.nodes[<unsigned int>self.slots[next] - 1].hashed & self.mask
            if (next - home) & self.mask >= (next - at) & self.mask:
                self.slots[at] = self.slots[next]
                at = next

    cdef void link(self, unsigned int place) noexcept:
        """Make a node the newest."""
        cdef Node* node = &self.nodes[place]
        node.newer = NOWHERE
        node.older = self.newest
        if self.newest == NOWHERE:
            self.oldest = place
        else:
            self.nodes[self.newest].newer = place
        self.newest = place

    cdef void unlink(self, unsigned int place) noexcept:
        cdef Node* node = &self.nodes[place]
        if self.hand == place:
            self.hand = node.newer
        if node.older == NOWHERE:
            self.oldest = node.newer
        else:
            self.nodes[node.older].newer = node.newer
        if node.newer == NOWHERE:
            self.newest = node.older
        else:
            self.nodes[node.newer].older = node.older

    def recount(self):
        """Bytes that it takes, counted anew from what is there: for tests, which collect no garbage meanwhile.

        Raises:
            AssertionError: what leads from one entry to another is damaged.
        """
        cdef unsigned long long size = self.mask + 1 if self.slots != NULL else 0
        cdef unsigned long long total = self.room * sizeof(Node) + size * sizeof(unsigned long long)
        cdef unsigned long long cost, at, taken = 0
        cdef unsigned int place = self.oldest, older = NOWHERE
        cdef Py_ssize_t listed = 0, unused = 0
        cdef bint met_hand = self.hand == NOWHERE
        cdef Node* node
        while place != NOWHERE:
            require(place < self.room and listed < self.count, "the list is longer than it should be")
            node = &self.nodes[place]
            require(node.older == older, "an entry does not lead back to the one before")
            require(self.find(<object>node.key, node.hashed) == node, "an entry is not found by its key")
            require((node.kind >= OBJECT) == (node.value != NULL), "an entry has no value, or one that it should not have")
            cost = cost_of(<object>node.key) + cost_of_utf8(<object>node.key)
            cost += cost_of(<object>node.value) if node.value != NULL else 0
            require(cost == <unsigned long long>node.cost * UNIT, "an entry takes other bytes than were counted")
            total += cost
            listed += 1
            met_hand = met_hand or place == self.hand
            older = place
            place = node.newer
        require(older == self.newest and listed == self.count, "the list is shorter than it should be")
        require(met_hand, "the hand is at no entry")
        place = self.unused
        while place != NOWHERE:
            require(place < self.room and unused < <Py_ssize_t>self.room, "the unused nodes have no end")
            unused += 1
            place = self.nodes[place].older
        require(listed + unused == <Py_ssize_t>self.room, "nodes are neither used nor unused")
        for at in range(size):
            taken += self.slots[at] != 0
        require(taken == <unsigned long long>self.count, "slots lead to no entry")
        require(total == self.used, f"{self.used} bytes are counted, and {total} taken")
        return total


cdef int require(bint holds, str message) except -1:
    if not holds:
        raise AssertionError(f"the memory tier is damaged: {message}")
    return 0


cdef int equal(object one, object other) noexcept:
    """Whether two keys are one; -1 if that cannot be told, for want of memory or of depth. A text is never compared with
    bytes, for which python -b would complain."""
    if (type(one) is bytes) != (type(other) is bytes):
        return 0
    try:
        return PyObject_RichCompareBool(one, other, Py_EQ)
    except Exception:
        return -1


cdef inline unsigned long long allocated(unsigned long long size) noexcept:
    size = (size + (UNIT - 1)) // UNIT * UNIT
    return size + UNIT if size > SMALL_OBJECT else size


cdef unsigned long long cost_of(object value) noexcept:
    """Bytes that an object and its parts take. What is shared counts as if it was not."""
    cdef unsigned long long total, width
    kind = type(value)
    if kind is bytes:
        return allocated(33 + <unsigned long long>PyBytes_GET_SIZE(value))
    if kind is str:
        width = <unsigned long long>PyUnicode_GET_LENGTH(value)
        if PyUnicode_IS_COMPACT_ASCII(value):
            return allocated(49 + width)
        return allocated(76 + (width + 1) * <unsigned>PyUnicode_KIND(value))
    if kind is tuple:
        total = allocated(40 + 8 * <unsigned long long>PyTuple_GET_SIZE(value))
        for index in range(PyTuple_GET_SIZE(value)):
            total += cost_of(<object>PyTuple_GET_ITEM(value, index))
        return total
    if kind is frozenset:
        total = allocated(232) + allocated(64 * <unsigned long long>len(value))
        for part in value:
            total += cost_of(part)
        return total
    if kind is int:
        return allocated(28 + <unsigned long long>(value.bit_length() // 30) * 4)
    if kind is float:
        return allocated(24)
    return 0


cdef unsigned long long cost_of_utf8(object key) noexcept:
    """Bytes that a text takes in addition once it was bound as a key: Python keeps its UTF-8."""
    if type(key) is not str or PyUnicode_IS_COMPACT_ASCII(key):
        return 0
    return allocated(1 + 3 * <unsigned long long>PyUnicode_GET_LENGTH(key))
