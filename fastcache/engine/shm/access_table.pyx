"""When entries were last used, or how often: a table in shared memory, which every process that reads or writes
the cache maps. So a read writes no database, and what one process has read counts at once when another evicts.

The table knows rows, not keys. Rowids grow with each insertion, which makes them the clock as well: *the time is the
rowid that was inserted last*. An entry that was never used since it was inserted needs no slot, because its time is its
rowid. A slot is one word that is written at once: the low half of the rowid, and of the time at which it was last used; or,
for LFU, how often (8 bits) and its priority (24 bits), which is that number plus the priority of what was evicted last
(LFU with dynamic aging: Arlitt et al., "Evaluating Content Management Techniques for Web Proxy Caches", 2000). Under LFU
every row has a slot.

What may be wrong here, and why that is good enough: a slot can be lost (two processes take the same free one, a
neighbourhood is full, the file grows meanwhile), and the table can lag behind a rollback. Then an entry counts as less used
than it was. The rows that no slot and no hand would lead to are found by a second, slow hand (policies.pyx). Nothing that
is read here decides on anything but which entry is evicted, so that a planted file can do no more; where in memory
something lies is never read from it.

A row is looked for in the NEIGHBOURS slots from its hash on. A row that is deleted leaves its slot. When neighbourhoods get
crowded, who evicts makes a table of twice the size (under SQLite's write lock), and leaves word of that in the old one.
"""

import sys

from libc.stdlib cimport qsort
from libc.string cimport memcpy, memset
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc

from fastcache.engine.shm.wal_clock cimport load, replace, store
from fastcache.engine.sqlite.cells cimport ROW_DELETED, ROW_INSERTED

from fastcache.engine.shm.change_log import map_shared, replace_shared

cdef enum:
    NEIGHBOURS = 16
    BUCKETS = 512
    # For LFU.
    MOST_COUNTED = 255
    PRIORITIES = 0x1000000

cdef unsigned long long MAGIC_NUMBER = 0x31636E6372636166ULL
# A table of this many slots or fewer is never too large for a limit.
cdef unsigned long long LEAST_CAPACITY = 128
# One that is made for a limit of any size has no more; who evicts makes a larger one when it is crowded.
cdef unsigned long long MOST_AT_FIRST = 1 << 20
# The part of a limit that the table may take.
cdef unsigned long long LARGEST_SHARE = 16


cdef class AccessTable:
    """The table of one directory.

    Args:
        path: where it is; made (0600) if absent.
        meaning: what the slots are to say; one of another meaning is emptied.
        limit: bytes of the whole cache, which bound the table, too.
    Raises:
        OSError: it cannot be made or mapped.
        ValueError: it is something else.
    """

    def __cinit__(self, str path, int meaning, unsigned long long limit):
        cdef unsigned long long capacity = LEAST_CAPACITY
        self.path = path
        self.mappings = []
        self.tables = []
        self.most = LEAST_CAPACITY
        while 2 * <unsigned long long>self.most * sizeof(unsigned long long) <= limit // LARGEST_SHARE:
            self.most *= 2
        # For entries of 2 KiB; it grows if they are smaller.
        while capacity < <unsigned long long>self.most and capacity * 2048 < limit and capacity < MOST_AT_FIRST:
            capacity *= 2
        self.table = self.map_file(<Meaning>meaning, capacity)
        if load(&self.table.words[RECENCY_MEANING]) != <unsigned long long>meaning:
            self.start_over(0)
            store(&self.table.words[RECENCY_MEANING], meaning)

    def __dealloc__(self):
        for address in self.tables or ():
            PyMem_RawFree(<void*><size_t>address)

    cdef Table* map_file(self, Meaning meaning, unsigned long long capacity) except NULL:
        """Map the file, made if need be. What was mapped before stays so, since others may be at it."""
        cdef Py_buffer view
        cdef Table* table
        cdef unsigned long long words[3]
        words[0] = MAGIC_NUMBER
        words[1] = capacity
        words[2] = meaning
        beginning = (<const char*>words)[:sizeof(words)]
        mapping = map_shared(self.path, beginning.ljust(8 * (RECENCY_SLOTS + capacity), b"\0"), is_table)
        PyObject_GetBuffer(mapping, &view, PyBUF_WRITABLE)
        # It never moves, and is closed only when it is collected, together with this object.
        PyBuffer_Release(&view)
        capacity = (<unsigned long long*>view.buf)[RECENCY_CAPACITY]
        # Somebody may have changed it since it was looked at.
        if not fits(capacity, view.len):
            raise ValueError("not a access table")
        table = <Table*>PyMem_RawMalloc(sizeof(Table))
        if table == NULL:
            raise MemoryError()
        table.words = <unsigned long long*>view.buf
        table.mask = capacity - 1
        table.meaning = meaning
        self.mappings.append(mapping)
        self.tables.append(<size_t>table)
        return table

    cdef int follow(self) except -1:
        """Map the file anew if another process has made a larger one. Runs Python code then, and lets others in."""
        cdef Table* before = self.table
        cdef Table* larger
        if load(&before.words[RECENCY_MOVED]):
            larger = self.map_file(before.meaning, before.mask + 1)
            if larger.mask == before.mask:
                # Nobody makes one of the same size: a stranger has set the word, in this very file maybe.
                store(&before.words[RECENCY_MOVED], 0)
                store(&larger.words[RECENCY_MOVED], 0)
            self.table = larger
        return 0

    cdef int tidy(self) except -1:
        """Make a larger table if this one is crowded. SQLite's write lock is held."""
        cdef Table* before = self.table
        cdef unsigned long long capacity = 2 * (before.mask + 1)
        cdef unsigned long long slot, at
        cdef unsigned long long* words
        if load(&before.words[RECENCY_CROWDED]) * 64 < before.mask or capacity > <unsigned long long>self.most:
            return 0
        content = bytearray(8 * (RECENCY_SLOTS + capacity))
        words = <unsigned long long*><char*>content
        memcpy(words, before.words, RECENCY_SLOTS * sizeof(unsigned long long))
        words[RECENCY_CAPACITY] = capacity
        words[RECENCY_MOVED] = 0
        words[RECENCY_CROWDED] = 0
        for at in range(before.mask + 1):
            slot = load(&before.words[RECENCY_SLOTS + at])
            if slot:
                put(words + RECENCY_SLOTS, capacity - 1, slot)
        replace_shared(self.path, bytes(content))
        store(&before.words[RECENCY_MOVED], 1)
        return self.follow()

    cdef unsigned long long size(self) noexcept nogil:
        """Bytes that the file takes."""
        return 8 * (RECENCY_SLOTS + self.table.mask + 1)

    cdef bint is_used(self, long long row) noexcept nogil:
        """Whether a row has a slot."""
        return find(self.table, <unsigned int>row) != NULL

    cdef bint stands(self, const Use* use) noexcept nogil:
        """Whether a row was not used since."""
        cdef unsigned long long* slot = find(self.table, <unsigned int>(use.slot >> 32))
        return slot != NULL and load(slot) == use.slot

    cdef void forget(self, long long row) noexcept nogil:
        """Take a row's slot away."""
        cdef unsigned long long* slot = find(self.table, <unsigned int>row)
        if slot != NULL:
            store(slot, 0)

    cdef void went(self, const Use* use) noexcept nogil:
        """The row was evicted: under LFU, nothing that comes from now on has a lower priority."""
        if self.table.meaning == USED_OFTEN:
            store(&self.table.words[RECENCY_FLOOR], <unsigned int>use.slot % PRIORITIES)

    cdef bint is_older(self, long long row, unsigned int time) noexcept nogil:
        """Whether a row that was never used was inserted at this time, or before."""
        return place_of(self.table, <unsigned int>row) <= place_of(self.table, time)

    cdef long long row_of(self, const Use* use) noexcept nogil:
        """The rowid that a slot is about: the largest one, not beyond the clock, that ends in what the slot has of it."""
        cdef unsigned long long clock = load(&self.table.words[RECENCY_CLOCK])
        cdef unsigned long long row = (clock >> 32 << 32) | (use.slot >> 32)
        return <long long>(row if row <= clock or row < 1ULL << 32 else row - (1ULL << 32))

    cdef void begin_at(self, long long newest) noexcept nogil:
        """The newest row there is: a table that is new knows nothing of it, and its clock would count use as ancient."""
        if load(&self.table.words[RECENCY_CLOCK]) < <unsigned long long>newest:
            store(&self.table.words[RECENCY_CLOCK], <unsigned long long>newest)

    cdef void start_over(self, long long newest) noexcept nogil:
        """Forget everything; the newest row is given."""
        cdef Table* table = self.table
        memset(table.words + RECENCY_SLOTS, 0, <size_t>(table.mask + 1) * sizeof(unsigned long long))
        self.look_again()
        store(&table.words[RECENCY_CROWDED], 0)
        store(&table.words[RECENCY_CLOCK], <unsigned long long>newest)

    cdef void look_again(self) noexcept nogil:
        """There may be rows where the hands have been."""
        store(&self.table.words[RECENCY_HAND], 0)
        store(&self.table.words[RECENCY_SWEEP], 0)
        store(&self.table.words[RECENCY_SWEPT], 0)

    cdef Py_ssize_t first(self, Use* uses, Py_ssize_t wanted) noexcept nogil:
        """The slots that are to go first, in order: about as many as wanted, or all. Returns how many."""
        cdef Table* table = self.table
        cdef const unsigned long long* slots = table.words + RECENCY_SLOTS
        cdef unsigned long long slot, at
        cdef unsigned long long count = 0, found = 0
        cdef unsigned long long[BUCKETS] buckets
        cdef unsigned int place, lowest = 0xFFFFFFFF, highest = 0
        cdef unsigned long long width, index
        cdef int bucket, last = BUCKETS - 1
        for at in range(table.mask + 1):
            slot = load(&slots[at])
            if slot:
                place = place_of(table, <unsigned int>slot)
                lowest = min(lowest, place)
                highest = max(highest, place)
                count += 1
        if count == 0:
            return 0
        if count > <unsigned long long>wanted:
            width = (<unsigned long long>highest - lowest) // BUCKETS + 1
            memset(buckets, 0, sizeof(buckets))
            for at in range(table.mask + 1):
                slot = load(&slots[at])
                if slot:
                    place = place_of(table, <unsigned int>slot)
                    # It may have changed since.
                    index = (max(place, lowest) - lowest) // width
                    buckets[index if index < BUCKETS else last] += 1
            count = 0
            for bucket in range(BUCKETS):
                count += buckets[bucket]
                if count >= <unsigned long long>wanted:
                    last = bucket
                    break
            highest = <unsigned int>min(<unsigned long long>highest, lowest + (<unsigned long long>last + 1) * width - 1)
        for at in range(table.mask + 1):
            slot = load(&slots[at])
            if slot:
                place = place_of(table, <unsigned int>slot)
                if place <= highest:
                    uses[found].slot = slot
                    uses[found].place = place
                    found += 1
                    if found == 2 * <unsigned long long>wanted:
                        break
        qsort(uses, <size_t>found, sizeof(Use), compare)
        return <Py_ssize_t>found


cdef bint fits(unsigned long long capacity, unsigned long long size) noexcept:
    """Whether a table of so many slots lies within so many bytes."""
    return (NEIGHBOURS <= capacity <= 1ULL << 40 and capacity & (capacity - 1) == 0
            and size >= 8 * (RECENCY_SLOTS + capacity))


def is_table(unsigned long long size, beginning):
    """Whether a file of this size and beginning can be a access table."""
    return fits(int.from_bytes(beginning[8:16], sys.byteorder), size)


cdef int compare(const void* one, const void* other) noexcept nogil:
    cdef unsigned long long left = (<unsigned long long>(<const Use*>one).place << 32) | (<const Use*>one).slot >> 32
    cdef unsigned long long right = (<unsigned long long>(<const Use*>other).place << 32) | (<const Use*>other).slot >> 32
    return -1 if left < right else left > right


cdef unsigned int place_of(const Table* table, unsigned int value) noexcept nogil:
    """Where a slot, or a row that was never used, stands among those to be evicted. Differences count, since both wrap."""
    cdef unsigned int age
    if table.meaning == USED_OFTEN:
        return (value - <unsigned int>load(&table.words[RECENCY_FLOOR]) + PRIORITIES // 4) % PRIORITIES
    age = <unsigned int>load(&table.words[RECENCY_CLOCK]) - value
    # Used after the newest row was deleted, and its rowid given out again.
    if age > <unsigned int>0xF0000000:
        age = 0
    return <unsigned int>0xFFFFFFFF - age


cdef inline unsigned long long home_of(unsigned int row, unsigned long long mask) noexcept nogil:
    return (<unsigned long long>row * 0x9E3779B97F4A7C15ULL >> 20) & mask


cdef unsigned long long* find(const Table* table, unsigned int row) noexcept nogil:
    """The slot of a row, or NULL. What is deleted leaves a hole, so that all neighbours are looked at."""
    cdef unsigned long long* slots = table.words + RECENCY_SLOTS
    cdef unsigned long long home = home_of(row, table.mask)
    cdef unsigned long long* slot
    cdef int index
    for index in range(NEIGHBOURS):
        slot = &slots[(home + index) & table.mask]
        if <unsigned int>(load(slot) >> 32) == row and load(slot) != 0:
            return slot
    return NULL


cdef bint put(unsigned long long* slots, unsigned long long mask, unsigned long long value) noexcept nogil:
    """Put a word into a free slot; False if there is none."""
    cdef unsigned long long home = home_of(<unsigned int>(value >> 32), mask)
    cdef int index
    for index in range(NEIGHBOURS):
        if load(&slots[(home + index) & mask]) == 0 and replace(&slots[(home + index) & mask], 0, value):
            return True
    return False


cdef void put_instead(Table* table, unsigned long long value) noexcept nogil:
    """Put a word into the slot of whatever is to go first among its neighbours."""
    cdef unsigned long long* slots = table.words + RECENCY_SLOTS
    cdef unsigned long long home = home_of(<unsigned int>(value >> 32), table.mask)
    cdef unsigned long long at, chosen = home & table.mask
    cdef int index
    for index in range(1, NEIGHBOURS):
        at = (home + index) & table.mask
        if place_of(table, <unsigned int>load(&slots[at])) < place_of(table, <unsigned int>load(&slots[chosen])):
            chosen = at
    store(&slots[chosen], value)
    store(&table.words[RECENCY_CROWDED], load(&table.words[RECENCY_CROWDED]) + 1)


cdef void use_row(Table* table, unsigned int row) noexcept nogil:
    """A row is used now. (One in four billion rows cannot be told from a free slot.)"""
    cdef unsigned long long* slot = find(table, row)
    cdef unsigned int value, count
    if row == 0:
        return
    if table.meaning == USED_AT:
        value = <unsigned int>load(&table.words[RECENCY_CLOCK])
    else:
        count = 1
        if slot != NULL:
            count = min(MOST_COUNTED, (<unsigned int>load(slot) >> 24) + 1)
        value = (count << 24) | ((<unsigned int>load(&table.words[RECENCY_FLOOR]) + count) % PRIORITIES)
    if slot != NULL:
        store(slot, (<unsigned long long>row << 32) | value)
    elif not put(table.words + RECENCY_SLOTS, table.mask, (<unsigned long long>row << 32) | value):
        put_instead(table, (<unsigned long long>row << 32) | value)


cdef void on_row_change(void* place, int change, long long row) noexcept nogil:
    """SQLite's update hook: a row of ours was inserted, changed or deleted."""
    cdef Table* table = (<Table**>place)[0]
    cdef unsigned long long* slot
    if change == ROW_INSERTED:
        store(&table.words[RECENCY_CLOCK], <unsigned long long>row)
        # Rowids started over, or the newest was given out again: it is beyond the hand.
        if load(&table.words[RECENCY_HAND]) >= <unsigned long long>row:
            store(&table.words[RECENCY_HAND], <unsigned long long>row - 1)
        if table.meaning == USED_OFTEN:
            use_row(table, <unsigned int>row)
    elif change == ROW_DELETED:
        slot = find(table, <unsigned int>row)
        if slot != NULL:
            store(slot, 0)
    else:
        use_row(table, <unsigned int>row)
