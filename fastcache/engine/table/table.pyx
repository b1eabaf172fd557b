# cython: nonecheck=True
"""All entries that are held in memory: by key, in the order of insertion, by expiry, use, tag, and in the order of keys.

What is always true, and who keeps it so:

- **A change is complete, or was not begun.** `enter` and `remove` do what may fail (for lack of memory) first. No Python code runs in
  between, and nothing that may start the garbage collector, so that the GIL keeps all other threads out.
- **What was done in a transaction can be undone.** `log` says what was there before each change, and what after (an item never changes,
  item.pyx), so that undoing runs through it backwards. `before` says what was there before the transaction: for those who are not
  inside of it (``aside``), and see what is committed.
"""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError, PyDict_SetItem
from cpython.ref cimport PyObject

from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.table.heap cimport DUE, USED
from fastcache.engine.table.item cimport NO_PLACE

from fastcache.engine.codecs.ranges import place_of

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef object MISSING = object()
# A use more often than this counts no more.
cdef unsigned int MOST_USES = 255
# How many used items sieve passes by before it takes one all the same, so that its work is bounded.
cdef int MOST_PASSED = 1024


cdef bint is_live(Item item, long long now) noexcept:
    """Whether an item has not expired."""
    return item.expire == NEVER or item.expire > now


@cython.final
cdef class Table:
    """The entries of one store."""

    def __cinit__(self):
        self.items = {}
        self.encoded = {}
        self.order = Order()
        self.due = Heap(DUE)
        self.tags = {}
        self.log = []
        self.before = {}

    # -- changes ------------------------------------------------------------------------------------------------

    cdef int enter(self, Item item, Item old) except -1:
        """Enter an item that is new, in the place of the one that has its name, if any."""
        self.order.reserve()
        if item.expire != NEVER:
            self.due.reserve()
        if self.used is not None:
            self.used.reserve()
        self.link_tag(item)
        try:
            if self.logs:
                self.record(old, item)
            if item.key is not item.name:
                self.encoded[item.key] = item
            self.items[item.name] = item
        except BaseException:
            self.unlink_tag(item)
            raise
        if old is not None:
            self.put_over(item, old)
            self.unlink_tag(old)
            return 0
        self.insert(item)
        return self.index(item)

    cdef int remove(self, Item item) except -1:
        """Remove an item that is here."""
        if self.logs:
            self.record(item, None)
        self.take_out(item)
        if not self.logs:
            self.order.compact()
        return 0

    cdef int remove_all(self) except -1:
        """Remove all items."""
        cdef Py_ssize_t slot
        if self.logs:
            while self.order.count:
                self.remove(self.order.first())
            return 0
        # Freed when nothing refers to them from here any more.
        items = self.items, self.encoded, self.tags
        self.items, self.encoded, self.tags = {}, {}, {}
        self.order.clear()
        self.due.clear()
        if self.used is not None:
            self.used.clear()
        self.keys = None
        self.size = self.cost = 0
        return 0

    cdef int record(self, Item old, Item new) except -1:
        """Note a change."""
        name = new.name if old is None else old.name
        if PyDict_GetItemWithError(self.before, name) == NULL:
            PyDict_SetItem(self.before, name, old)
        self.log.append(old)
        try:
            self.log.append(new)
        except BaseException:
            del self.log[len(self.log) - 1]
            raise
        return 0

    cdef void insert(self, Item item) noexcept:
        """Have a new item in the order and the heaps, where there is room for it."""
        self.order.add(item)
        self.size += item.size
        self.cost += item.cost
        if item.expire != NEVER:
            self.due.add(item, item.expire)
        self.begin_use(item)
        if self.used is not None:
            self.used.add(item, item.rank)

    cdef void begin_use(self, Item item) noexcept:
        """Nobody has used an item yet."""
        item.uses = 0
        if self.has_ranks():
            self.note_store(item)

    cdef void put_over(self, Item item, Item old) noexcept:
        """Have an item in the place of another one."""
        self.order.replace(old, item)
        self.size += item.size - old.size
        self.cost += item.cost - old.cost
        if item.expire != NEVER and old.places[<int>DUE] != NO_PLACE:
            self.due.replace(old, item, item.expire)
        elif item.expire != NEVER:
            self.due.add(item, item.expire)
        else:
            self.due.remove(old)
        item.rank = old.rank
        item.uses = old.uses
        item.visited = old.visited
        self.note_store(item)
        if self.used is not None:
            self.used.replace(old, item, item.rank)

    cdef void take_out(self, Item item) noexcept:
        """Have an item nowhere any more."""
        self.order.remove(item)
        self.size -= item.size
        self.cost -= item.cost
        self.due.remove(item)
        if self.used is not None:
            self.used.remove(item)
        self.unlink_tag(item)
        if self.keys is not None:
            try:
                self.keys.remove(item.key)
            except MemoryError:
                self.keys = None
        if item.key is not item.name:
            self.encoded.pop(item.key, None)
        self.items.pop(item.name, None)

    cdef int index(self, Item item) except -1:
        """Have the key of an item in the order of keys, if somebody has asked for that."""
        if self.keys is not None:
            try:
                self.keys.add(item.key)
            except MemoryError:
                # It is made again.
                self.keys = None
        return 0

    # -- tags ---------------------------------------------------------------------------------------------------

    cdef int link_tag(self, Item item) except -1:
        """Have an item among those with its tag."""
        cdef PyObject* found
        if item.tag is None:
            return 0
        found = PyDict_GetItemWithError(self.tags, item.tag)
        self.tags[item.tag] = item
        item.last_tagged = NULL
        # It is in the table, so that it lives though the dict does not refer to it any more.
        item.next_tagged = found
        if found != NULL:
            (<Item>found).last_tagged = <PyObject*>item
        return 0

    cdef void unlink_tag(self, Item item):
        """Have it there no more."""
        if item.tag is None:
            return
        if item.next_tagged != NULL:
            (<Item>item.next_tagged).last_tagged = item.last_tagged
        if item.last_tagged != NULL:
            (<Item>item.last_tagged).next_tagged = item.next_tagged
        elif item.next_tagged != NULL:
            self.tags[item.tag] = <Item>item.next_tagged
        else:
            self.tags.pop(item.tag, None)
        item.next_tagged = item.last_tagged = NULL

    cdef list tagged(self, object tag):
        """All items with a tag, in the order of insertion."""
        cdef PyObject* found = PyDict_GetItemWithError(self.tags, tag)
        cdef list items = []
        while found != NULL:
            items.append(<Item>found)
            found = (<Item>found).next_tagged
        items.sort(key=number_of)
        return items

    # -- transactions -------------------------------------------------------------------------------------------

    cdef int begin_log(self) except -1:
        """A transaction begins."""
        self.newest_before = self.order.newest
        self.cost_before = self.cost
        self.logs = True
        return 0

    cdef void end_log(self):
        """It has ended."""
        # Freed when they are not here any more.
        log, before = self.log, self.before
        self.logs = False
        self.log, self.before = [], {}
        self.order.compact()

    cdef int roll_back(self, Py_ssize_t mark) except -1:
        """Undo the changes from this one on."""
        cdef Item old, new
        while len(self.log) > mark:
            old, new = self.log[len(self.log) - 2], self.log[len(self.log) - 1]
            if old is None:
                self.take_out(new)
            else:
                if old.expire != NEVER:
                    self.due.reserve()
                if self.used is not None:
                    self.used.reserve()
                self.items[old.name] = old
                if old.key is not old.name:
                    self.encoded[old.key] = old
                self.link_tag(old)
                if new is not None:
                    self.put_over(old, new)
                    self.unlink_tag(new)
                else:
                    self.order.restore(old)
                    # Nor has the hand passed it.
                    self.hand = min(self.hand, old.id - 1)
                    self.size += old.size
                    self.cost += old.cost
                    if old.expire != NEVER:
                        self.due.add(old, old.expire)
                    if self.used is not None:
                        self.used.add(old, old.rank)
                    self.index(old)
            del self.log[len(self.log) - 2:]
        return 0

    cdef Item committed(self, object name):
        """What has a name outside of the open transaction; None for nothing."""
        cdef PyObject* found = PyDict_GetItemWithError(self.before, name)
        if found == NULL:
            found = PyDict_GetItemWithError(self.items, name)
        return None if found == NULL else <Item>found

    # -- what goes first ----------------------------------------------------------------------------------------

    cdef void note_use(self, Item item) noexcept:
        """An item was used."""
        if self.policy == LEAST_RECENTLY_USED:
            self.clock += 1
            item.rank = self.clock
        elif self.policy == LEAST_FREQUENTLY_USED:
            # LFU with dynamic aging: nothing that is used from now on goes before what has gone already (Arlitt et al.,
            # "Evaluating Content Management Techniques for Web Proxy Caches", 2000).
            item.uses += item.uses < MOST_USES
            item.rank = self.clock + item.uses
        elif self.policy == NOT_VISITED:
            item.visited = True

    cdef void note_store(self, Item item) noexcept:
        """An item was stored, which is to use it."""
        if self.policy == LEAST_RECENTLY_STORED:
            self.clock += 1
            item.rank = self.clock
        else:
            self.note_use(item)

    cdef bint has_ranks(self) noexcept:
        """Whether what goes first is what has the lowest rank."""
        return self.policy in (LEAST_RECENTLY_USED, LEAST_RECENTLY_STORED, LEAST_FREQUENTLY_USED)

    cdef int use_policy(self, Policy policy) except -1:
        """Begin with a policy: of what is here, nobody has used anything."""
        cdef Py_ssize_t slot
        cdef Item item
        cdef Heap used = None
        if policy == self.policy:
            return 0
        self.policy = policy
        self.clock = self.hand = 0
        for slot in range(self.order.begin, self.order.end):
            if self.order.slots[slot].item != NULL:
                item = <Item>self.order.slots[slot].item
                item.visited = False
                item.places[<int>USED] = NO_PLACE
                self.begin_use(item)
        if self.has_ranks():
            used = Heap(USED)
            for slot in range(self.order.begin, self.order.end):
                if self.order.slots[slot].item != NULL:
                    used.reserve()
                    item = <Item>self.order.slots[slot].item
                    used.add(item, item.rank)
        self.used = used
        return 0

    cdef Item victim(self):
        """The item that goes next, of those that have not expired; None if none is to go."""
        cdef Item item
        if self.policy == NEVER_GOES:
            return None
        if self.policy == NOT_VISITED:
            return self.pass_visited()
        if self.has_ranks():
            item = self.used.first()
            if item is not None and self.policy == LEAST_FREQUENTLY_USED:
                self.clock = item.rank
            return item
        item = self.due.first() if self.policy == SOONEST_TO_EXPIRE else None
        return self.order.first() if item is None else item

    cdef Item pass_visited(self):
        """The first item from the hand on that was not used since that last passed (Zhang et al., "SIEVE is Simpler than LRU",
        NSDI 2024)."""
        cdef Py_ssize_t slot = self.order.after(self.hand)
        cdef int passed = 0
        cdef Item item
        if not self.order.count:
            return None
        while True:
            if slot >= self.order.end:
                # From the newest on to the oldest.
                slot = self.order.begin
            if self.order.slots[slot].item != NULL:
                item = <Item>self.order.slots[slot].item
                self.hand = item.id
                if not item.visited or passed == MOST_PASSED:
                    return item
                item.visited = False
                passed += 1
            slot += 1

    # -- many items ---------------------------------------------------------------------------------------------

    cdef list portion(self, long long last, long long end, bint backward, Py_ssize_t limit, long long now, bint aside):
        """The next live items in the order of insertion, beyond the number ``last`` and up to ``end``; backward, from below it."""
        cdef list found = []
        cdef Py_ssize_t slot = self.order.after(last - 1) - 1 if backward else self.order.after(last)
        cdef Item item
        while len(found) < limit and (
                slot >= self.order.begin if backward else slot < self.order.end and self.order.slots[slot].id <= end):
            if self.order.slots[slot].item != NULL:
                item = <Item>self.order.slots[slot].item
                if is_live(item, now) and not (aside and item.name in self.before):
                    found.append(item)
            slot += -1 if backward else 1
        if aside:
            for old in self.before.values():
                if old is not None and is_live(old, now) and (
                        (<Item>old).id < last if backward else last < (<Item>old).id <= end):
                    found.append(old)
            found.sort(key=number_of, reverse=backward)
            del found[limit:]
        return found

    cdef Item of_key(self, object key):
        """What has a key as a row would have it."""
        cdef PyObject* found = PyDict_GetItemWithError(self.encoded, key)
        if found == NULL:
            found = PyDict_GetItemWithError(self.items, key)
        return None if found == NULL else <Item>found

    cdef KeyOrder sorted_keys(self):
        """The order of keys."""
        cdef KeyOrder keys
        cdef Item item
        while self.keys is None:
            keys = KeyOrder()
            newest, count = self.order.newest, self.order.count
            keys.fill([(<Item>item).key for item in list(self.items.values())])
            # Making lists may have started the garbage collector, and that anything.
            if newest == self.order.newest and count == self.order.count:
                self.keys = keys
        return self.keys

    cdef list in_order(
            self, object low, object high, bint beyond, bint backward, Py_ssize_t limit, long long end, long long now, bint aside):
        """The next live items in the order of keys, from ``low`` (or ``beyond`` it) to before ``high``, up to the number ``end``;
        None for no end."""
        cdef list found = []
        cdef Item item
        cdef Py_ssize_t wanted = PY_SSIZE_T_MAX // 2 if aside else limit
        while True:
            keys = self.sorted_keys().portion(low, high, beyond, backward, wanted)
            for key in keys:
                item = self.of_key(key)
                if item is not None and item.id <= end and is_live(item, now) and not (aside and item.name in self.before):
                    found.append(item)
            if len(keys) < wanted or len(found) >= limit:
                break
            if backward:
                high = keys[len(keys) - 1]
            else:
                low = keys[len(keys) - 1]
                beyond = True
        if aside:
            for old in self.before.values():
                if old is not None and is_live(old, now) and is_within((<Item>old).key, low, high, beyond):
                    found.append(old)
            found.sort(key=place_of_item, reverse=backward)
        del found[limit:]
        return found

    # -- for tests ----------------------------------------------------------------------------------------------

    def problems(self):
        """What does not fit together (list of str): looked for by tests."""
        cdef Py_ssize_t slot
        cdef Item item
        cdef list found = []
        cdef long long size = 0, cost = 0, last = 0
        cdef Py_ssize_t due = 0, count = 0, tagged = 0
        for slot in range(self.order.begin, self.order.end):
            if self.order.slots[slot].id < last:
                found.append(f"slot {slot}: its number is less than that before it")
            last = self.order.slots[slot].id
            if self.order.slots[slot].item == NULL:
                continue
            item = <Item>self.order.slots[slot].item
            count += 1
            size += item.size
            cost += item.cost
            due += item.expire != NEVER
            tagged += item.tag is not None
            if item.slot != slot or item.id != last or self.items.get(item.name) is not item or self.of_key(item.key) is not item:
                found.append(f"slot {slot}: its item does not belong there")
            if (item.places[<int>DUE] != NO_PLACE) != (item.expire != NEVER):
                found.append(f"slot {slot}: its expiry is not watched")
            if self.used is not None and self.used.nodes[item.places[<int>USED]].item != <void*>item:
                found.append(f"slot {slot}: its use is not watched")
        if not count == self.order.count == len(self.items):
            found.append(f"{count} items, of which {self.order.count} were counted and {len(self.items)} can be found")
        if due != self.due.count or (self.used is not None and self.used.count != count):
            found.append("a heap has other items than the table")
        if (size, cost) != (self.size, self.cost):
            found.append(f"{size} and {cost} bytes, of which {self.size} and {self.cost} were counted")
        if tagged != sum([len(self.tagged(tag)) for tag in self.tags]):
            found.append("not all tags can be found")
        if self.keys is not None:
            keys = self.keys.portion(None, None, False, False, PY_SSIZE_T_MAX // 2)
            if keys != sorted([(<Item>item).key for item in self.items.values()], key=place_of):
                found.append("the order of keys is wrong")
        return found


def number_of(Item item not None):
    """What items are sorted by in the order of insertion."""
    return item.id


def place_of_item(Item item not None):
    """What they are sorted by in the order of keys."""
    return place_of(item.key)


cdef bint is_within(object key, object low, object high, bint beyond) except -1:
    """Whether a key lies in a range."""
    place = place_of(key)
    if low is not None and (place < place_of(low) or (beyond and place == place_of(low))):
        return False
    return high is None or place < place_of(high)
