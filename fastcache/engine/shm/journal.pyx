# cython: nonecheck=True
"""The journal: a ring of changes that are not in SQLite yet, in a file of ours that all processes map.

A commit of SQLite costs ten microseconds and more. What a ``set`` promises, that others see it at once and that it survives the
death of any process, takes no commit: what is written to a shared mapping has both, since the pages are the kernel's. So a change is
*appended* here, as a record, and later *drained*, with others, into SQLite (entries/drain.pyx). **The state of a store is SQLite's table,
and then the records from the position on that this table says it has applied, in their order.**

Positions are bytes, counted from the beginning of the file's life; the byte at position p lies at p modulo the capacity. The header
says, each word on a cache line of its own where it is written often:

    TAIL        where the next record begins. Stored when a record is whole, so that whoever sees it sees the record.
    HEAD        what lies before it was drained, and may be overwritten. Stored after the commit that has drained it.
    RESERVED    stored before a record is written: what lies a capacity before it is being overwritten.
    OWNER       the lock: the number of who appends, or 0.
    CLOSER      the gate: the number of who writes to the database itself; nobody appends meanwhile. 0 if it is open.
    GENERATION  grows by one whenever the database was written to in another way than by draining.

What is always true, and who keeps it so:

- **A record is whole or not there**, whoever is killed: `append` writes it behind the tail, and moves the tail last.
- **A record is overwritten only after it was drained**: `append` refuses where the head is in the way (FULL).
- **Draining changes nothing that anybody can see**: it may go on while others append, and readers keep what they know.
- **Who writes in any other way shuts the gate first, then drains all**, and opens it when the commit is there. So once a commit of
  that kind can be seen, the head was moved past all that came before it. (What a drain evicts is such a write, too; it holds the
  lock while it commits.)
- **A reader looks at the tail first, then at the head, and only then takes a snapshot of SQLite, or looks whether the one that it
  keeps is the present one.** A record at or beyond the head is the newest word on its key; what lies before the head is in that
  snapshot. Whoever has read a record looks at the head once more: then it was neither overwritten nor outdated while it was read.
- **What builds on what it has read** (add, incr, delete, pop, touch) appends only if neither the tail nor the generation has moved since
  it was read, which is looked at under the lock.
- **Who dies holds nothing.** OWNER and CLOSER are numbers that the system takes from the dead (byte_locks.pyx). Whoever waits for
  one for longer than it takes asks for it, and if it is free takes its place: there is nothing to repair, since the tail was not moved.
- **The lock is held for a copy of some hundred bytes**, by a thread that has the GIL and runs no Python code meanwhile.

A record begins at a multiple of 8 and is of such a size; where too little room is left at the end of the ring the next one
begins at its start. In words of 8 bytes: its checksum, its position, its size and kinds, the key's hash, the expiry, the codec and the
value's size, one word each of key, value and tag (a number, or how many bytes it has), and when it was; then their bytes. The checksum covers
the rest, and with it the position and the file's identity: what an earlier lap or file has left is no record. It is looked at
when a record is drained: as long as the machine runs, nothing else is ever found. After a power cut pages of the ring may be older
than others; then the chain of records ends where one is not whole. What is whole goes into a new file (`take_over`), of another identity: the last moments may be
missing, never the integrity.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree
from libc.string cimport memcpy, memset

from fastcache.engine.shm.wal_clock cimport barrier, replace, settle, store
from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_INTEGER, CELL_NULL, CELL_REAL, CELL_TEXT, ROW_DELETE, ROW_SET, CellKind, is_same_cell

from fastcache.engine.shm.byte_locks import byte_locks_in
from fastcache.engine.shm.sharing import file_mode, settle_mode
from fastcache.errors import system_error
from fastcache.runtime import imports

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(__i386__)
    #define fastcache_relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define fastcache_relax() __asm__ __volatile__("yield")
    #else
    #define fastcache_relax() ((void)0)
    #endif
    """
    void relax "fastcache_relax"() noexcept nogil

cdef extern from "<signal.h>" nogil:
    int raise_signal "raise"(int signal)

cdef unsigned long long MAGIC_NUMBER = 0x3130726E6C6A6366ULL

# How often a lock that another one holds is looked at before anything else is done, some 20 microseconds.
cdef int SPINS = 500
# How often it is tried to take in what others append faster than that.
cdef int MOST_TRIES = 4
cdef unsigned long long LOW_HALF = 0xFFFFFFFFULL
cdef unsigned long long MOST_NUMBERS = 1ULL << 61

LEAST_CAPACITY = 1 << 16
MOST_CAPACITY = 1 << 22


# Where an append, or a shutting of the gate, is to stop, and the signal that does it: for tests of what its death leaves.
cdef int fault_at = 0
cdef int fault_signal = 0

FAULTS = {"locked": 1, "reserved": 2, "half": 3, "whole": 4, "published": 5, "shut": 6, "held": 7, "made": 8, "looked": 9}
"""The places at which ``fault`` can stop this process, by name."""


def fault(name, int signal):
    """Have this process send itself a signal where it is next at that place: "locked", nothing else was done; "reserved", so was the
    room; "half" or "whole", that much of the record is written; "published", the tail is moved; "shut", the gate is shut by this
    process; "held", it has the lock for a commit; "made", there is a journal that the database does not know yet; "looked", there was
    none, and SQLite is about to be written to. "" for nowhere."""
    global fault_at, fault_signal
    fault_at = FAULTS[name] if name else 0
    fault_signal = signal


cdef void at_place(int place) noexcept nogil:
    """Stop here, if this is the place."""
    global fault_at
    if fault_at == place:
        fault_at = 0
        raise_signal(fault_signal)


cdef inline unsigned long long rounded(unsigned long long size) noexcept nogil:
    return (size + 7) & ~<unsigned long long>7


cdef inline unsigned long long bytes_of(const Cell* cell) noexcept nogil:
    """How many bytes a cell has beside its word."""
    return <unsigned long long>cell.size if cell.kind == CELL_TEXT or cell.kind == CELL_BLOB else 0


cdef inline unsigned long long size_of(const Row* row) noexcept nogil:
    return RECORD_BYTES + rounded(bytes_of(&row.key)) + rounded(bytes_of(&row.value)) + rounded(bytes_of(&row.tag))


cdef inline unsigned long long word_of(const Cell* cell) noexcept nogil:
    """The word of a cell: a number, or how many bytes it has."""
    cdef unsigned long long word = 0
    if cell.kind == CELL_REAL:
        memcpy(&word, &cell.real, 8)
    elif cell.kind == CELL_INTEGER:
        word = <unsigned long long>cell.integer
    else:
        word = bytes_of(cell)
    return word


cdef inline char* put_bytes(char* there, const Cell* cell) noexcept nogil:
    """Copy a cell's bytes, filled up with zeros; returns where the next ones go."""
    cdef unsigned long long size = bytes_of(cell)
    if size:
        (<unsigned long long*>(there + rounded(size) - 8))[0] = 0
        memcpy(there, cell.data, size)
    return there + rounded(size)


cdef inline bint take_cell(Cell* cell, int kind, unsigned long long word, const char** there, const char* end) noexcept nogil:
    """Fill a cell from its word and bytes; False if it cannot be one."""
    memset(cell, 0, sizeof(Cell))
    cell.kind = <CellKind>kind
    if kind == CELL_INTEGER:
        cell.integer = <long long>word
    elif kind == CELL_REAL:
        memcpy(&cell.real, &word, 8)
    elif kind == CELL_TEXT or kind == CELL_BLOB:
        if word > <unsigned long long>(end - there[0]):
            return False
        cell.data = there[0]
        cell.size = <Py_ssize_t>word
        there[0] += rounded(word)
    elif kind != CELL_NULL:
        return False
    return True


cdef unsigned long long checksum(const unsigned long long* words, unsigned long long count, unsigned long long seed) noexcept nogil:
    """A checksum of words: two lanes of multiplication and shift, as hash functions have them (D. Knuth, "The Art of Computer
    Programming", volume 3, 6.4: multiplicative hashing)."""
    cdef unsigned long long one = seed ^ 0x9E3779B97F4A7C15ULL
    cdef unsigned long long other = ~seed
    cdef unsigned long long index = 0
    while index + 1 < count:
        one = (one ^ words[index]) * 0xBF58476D1CE4E5B9ULL
        other = (other ^ words[index + 1]) * 0x94D049BB133111EBULL
        one ^= one >> 29
        other ^= other >> 31
        index += 2
    if index < count:
        one = (one ^ words[index]) * 0xBF58476D1CE4E5B9ULL
        one ^= one >> 29
    one = (one ^ (other + count)) * 0x94D049BB133111EBULL
    return one ^ (one >> 32)


@cython.final
cdef class Journal:
    """The mapped file, and this object's index of what is pending in it; ``open_journal`` makes these."""

    def __cinit__(self, str path, object mapping, tuple identity, bint read_only):
        cdef Py_buffer view
        PyObject_GetBuffer(mapping, &view, PyBUF_SIMPLE if read_only else PyBUF_WRITABLE)
        self.mapping = mapping
        self.words = <unsigned long long*>view.buf
        self.ring = <char*>view.buf + HEADER_BYTES
        # The mapping never moves, and is closed only when it is collected, together with this object.
        PyBuffer_Release(&view)
        self.path = path
        self.identity = identity
        self.read_only = read_only
        self.capacity = self.allowed = self.words[CAPACITY]
        self.id = self.words[IDENTITY]
        self.begin_index(load(&self.words[HEAD]))

    def __dealloc__(self):
        PyMem_RawFree(self.slots)

    cdef int take_number(self) except -1:
        """Have a number of our own, before the lock or the gate is first asked for."""
        cdef unsigned long long number
        while self.number == 0:
            if self.numbers is None:
                self.numbers = byte_locks_in(self.path)
            number = int.from_bytes(os.urandom(8), "little") % (MOST_NUMBERS - 1) + 1
            # Opening the file lets other threads in, one of which may have taken one since.
            if self.number == 0 and self.numbers.acquire(number):
                self.number = number
        if self.is_closed:
            self.close()
        return 0

    def close(self):
        """Give the number back; nobody uses this object any more."""
        self.is_closed = True
        if self.number:
            self.numbers.release(self.number)
            self.number = 0

    # -- what it says -------------------------------------------------------------------------------------------

    cdef bint fits(self, const Row* row) noexcept nogil:
        """Whether a row is small enough for it."""
        return size_of(row) <= self.capacity // 8

    cdef bint is_empty(self) noexcept nogil:
        """Whether all is drained."""
        return load(&self.words[TAIL]) == load(&self.words[HEAD])

    cdef unsigned long long head(self) noexcept nogil:
        return load(&self.words[HEAD])

    cdef unsigned long long tail(self) noexcept nogil:
        return load(&self.words[TAIL])

    cdef unsigned long long generation(self) noexcept nogil:
        return load(&self.words[GENERATION])

    cdef bint is_shut(self) noexcept nogil:
        return load(&self.words[CLOSER]) != 0

    def state(self):
        """The words of the header that say how it stands, by name (dict of int): for tests, and for ``check``."""
        return {
            "head": load(&self.words[HEAD]), "tail": load(&self.words[TAIL]), "owner": load(&self.words[OWNER]),
            "closer": load(&self.words[CLOSER]), "generation": load(&self.words[GENERATION])}

    # -- appending ----------------------------------------------------------------------------------------------

    cdef bint lock(self) noexcept nogil:
        """Have the lock, unless another one holds it for longer than it takes to append."""
        cdef int spins
        for spins in range(SPINS):
            if load(&self.words[OWNER]) == 0 and replace(&self.words[OWNER], 0, self.number):
                return True
            relax()
        return False

    cdef void unlock(self) noexcept nogil:
        store(&self.words[OWNER], 0)

    cdef Appended append(
            self, const Row* row, bint strictly, unsigned long long tail, unsigned long long generation, bint drains) noexcept:
        """Append a change. ``strictly``, only if the tail and the generation are these. The thread that ``drains`` may do so although it has
        shut the gate, since it drains all that there is before it does anything else."""
        cdef unsigned long long size = size_of(row)
        cdef unsigned long long here, place, offset
        if not self.lock():
            return BUSY
        at_place(1)
        if load(&self.words[CLOSER]) != 0 and not (drains and self.shut_here):
            self.unlock()
            return SHUT
        here = load(&self.words[TAIL])
        if strictly and (here != tail or load(&self.words[GENERATION]) != generation):
            self.unlock()
            return MOVED
        place = here
        offset = here % self.capacity
        if self.capacity - offset < size:
            place += self.capacity - offset
        if place + size - load(&self.words[HEAD]) > (self.capacity if row.kind == ROW_DELETE else self.allowed):
            self.unlock()
            return FULL
        store(&self.words[RESERVED], place + size)
        barrier()
        at_place(2)
        if place != here and self.capacity - offset >= RECORD_BYTES:
            self.write_filler(here)
        self.write_record(place, row, size)
        at_place(4)
        store(&self.words[TAIL], place + size)
        at_place(5)
        self.unlock()
        self.before = here
        self.at = place
        self.after = place + size
        if self.followed == here and not self.broken and self.note(row.key.hashed, place):
            self.followed = self.after
        return APPENDED

    cdef void write_record(self, unsigned long long place, const Row* row, unsigned long long size) noexcept nogil:
        cdef unsigned long long* words = <unsigned long long*>(self.ring + place % self.capacity)
        cdef char* there
        words[1] = place
        words[2] = (
            size | <unsigned long long>(1 + <int>row.kind) << 32 | <unsigned long long>row.key.kind << 40
            | <unsigned long long>row.value.kind << 48 | <unsigned long long>row.tag.kind << 56)
        words[3] = row.key.hashed
        words[4] = <unsigned long long>row.expire
        words[5] = <unsigned long long><unsigned int>row.codec << 32 | <unsigned long long><unsigned int>row.value.size
        words[6] = word_of(&row.key)
        words[7] = word_of(&row.value)
        words[8] = word_of(&row.tag)
        words[9] = <unsigned long long>row.at
        there = put_bytes(<char*>(words + RECORD_WORDS), &row.key)
        at_place(3)
        there = put_bytes(there, &row.value)
        put_bytes(there, &row.tag)
        words[0] = checksum(words + 1, size // 8 - 1, self.id)

    # -- the gate -----------------------------------------------------------------------------------------------

    cdef Appended try_shut(self) noexcept:
        """Shut the gate, if nobody else has: APPENDED, or BUSY or SHUT."""
        if self.shut_here:
            return APPENDED
        if not self.lock():
            return BUSY
        if load(&self.words[CLOSER]) != 0:
            self.unlock()
            return SHUT
        store(&self.words[CLOSER], self.number)
        store(&self.words[GENERATION], load(&self.words[GENERATION]) + 1)
        self.unlock()
        self.shut_here = True
        at_place(6)
        return APPENDED

    cdef void open_gate(self) noexcept:
        """Open the gate, if we have shut it."""
        if self.shut_here:
            self.shut_here = False
            replace(&self.words[CLOSER], self.number, 0)

    cdef bint look_after(self) except -1:
        """Where somebody has the lock or the gate for long: if it is dead, put it aside. Returns whether that was so."""
        cdef unsigned long long owner = load(&self.words[OWNER])
        cdef unsigned long long closer = load(&self.words[CLOSER])
        cdef bint freed = False
        if owner != 0 and owner != self.number and self.is_nobody(owner):
            # It may have finished, and another one have begun, since; of one number there is one.
            freed = replace(&self.words[OWNER], owner, 0)
        if closer != 0 and closer != self.number and self.is_nobody(closer):
            freed = replace(&self.words[CLOSER], closer, 0) or freed
        return freed

    cdef bint is_nobody(self, unsigned long long number) except -1:
        """Whether nobody lives who has this number."""
        return number >= MOST_NUMBERS or not self.numbers.is_locked(number)

    cdef bint try_hold(self) noexcept:
        """Have the lock for a commit that changes more than it drains; `let_go` gives it back."""
        if self.shut_here or self.locked_here:
            return True
        self.locked_here = self.lock()
        if self.locked_here:
            at_place(7)
        return self.locked_here

    cdef void let_go(self, bint changed) noexcept:
        """After that: whether it has changed something."""
        if self.locked_here:
            self.locked_here = False
            if changed:
                store(&self.words[GENERATION], load(&self.words[GENERATION]) + 1)
            self.unlock()

    # -- following ----------------------------------------------------------------------------------------------

    cdef void begin_index(self, unsigned long long place) noexcept:
        """Begin with an empty index, that knows of nothing before this position."""
        self.count = 0
        if self.slots != NULL:
            memset(self.slots, 0, self.room * sizeof(Slot))
        self.followed = place
        self.broken = False

    cdef unsigned long long follow(self) noexcept:
        """Have all that was appended until now in the index; returns up to where. Runs no Python code."""
        cdef unsigned long long tail = load(&self.words[TAIL])
        cdef unsigned long long head
        cdef int tries
        if tail == self.followed and not self.broken:
            return tail
        head = load(&self.words[HEAD])
        if self.count != 0 and head >= self.followed:
            # None of what it knows is pending any more.
            self.begin_index(self.followed)
        if not self.broken and self.take_in(self.followed, tail):
            self.followed = tail
            return tail
        # Overrun, or damaged. What lies before the head is in SQLite.
        for tries in range(MOST_TRIES):
            head = load(&self.words[HEAD])
            tail = load(&self.words[TAIL])
            self.begin_index(head)
            if tail - head <= self.capacity and self.take_in(head, tail):
                self.followed = tail
                return tail
        self.followed = tail
        self.broken = True
        return tail

    cdef int pass_by(self, unsigned long long* place, unsigned long long* hashed) noexcept:
        """Move a place behind the record that is there. Returns 1 and the hash of its key, 0 where nothing but the end of the ring is filled, or
        -1 if it is not what it should be: overwritten meanwhile, as a rule."""
        cdef unsigned long long left = self.capacity - place[0] % self.capacity
        cdef unsigned long long size, kinds
        cdef const unsigned long long* words
        if left < RECORD_BYTES:
            place[0] += left
            return 0
        words = <const unsigned long long*>(self.ring + place[0] % self.capacity)
        size = words[2] & LOW_HALF
        kinds = words[2] >> 32
        hashed[0] = words[3]
        if words[1] != place[0] or size < RECORD_BYTES or size % 8 != 0 or size > left:
            return -1
        place[0] += size
        return kinds != 0

    cdef bint take_in(self, unsigned long long since, unsigned long long until) noexcept:
        """Put some records into the index. False if they are overwritten meanwhile."""
        cdef unsigned long long place = since, at, hashed = 0
        cdef int passed
        if until < since or until - since > self.capacity:
            return False
        while place < until:
            at = place
            passed = self.pass_by(&place, &hashed)
            if passed < 0 or passed and not self.note(hashed, at):
                return False
        settle()
        return place == until and load(&self.words[RESERVED]) - since <= self.capacity

    cdef bint tell(self, unsigned long long since, unsigned long long until, Forget forget, void* tier) noexcept:
        """Hand out the hashes of the keys that were changed between two positions. False if that is not known any more.

        What is told may run code."""
        cdef unsigned long long place = since, hashed = 0
        cdef int passed
        if until < since or until - since > self.capacity:
            return False
        while place < until:
            passed = self.pass_by(&place, &hashed)
            if passed < 0:
                return False
            if passed:
                forget(tier, False, hashed)
        settle()
        return place == until and load(&self.words[RESERVED]) - since <= self.capacity

    cdef Pending find(self, const Cell* key, Row* row, unsigned long long* place) noexcept:
        """What is pending for a key, up to where was followed: a row that borrows from the ring, and its place. Runs no Python code.

        Whoever has copied it asks `holds`: if not, it was drained meanwhile, and is looked for anew."""
        cdef unsigned long long behind
        cdef size_t index
        if self.broken:
            return UNCLEAR
        if self.count == 0:
            return NOT_PENDING
        index = <size_t>key.hashed & (self.room - 1)
        while self.slots[index].place != 0:
            if self.slots[index].hashed == key.hashed:
                behind = place[0] = self.slots[index].place - 1
                if not self.holds(place[0]):
                    return NOT_PENDING
                if self.next(&behind, behind + RECORD_BYTES, row, False) == TAKEN and is_same_cell(&row.key, key):
                    return IS_PENDING
                # Overwritten since, so that it is drained; or of another key, or damaged.
                return UNCLEAR if self.holds(place[0]) else NOT_PENDING
            index = (index + 1) & (self.room - 1)
        return NOT_PENDING

    cdef bint holds(self, unsigned long long place) noexcept nogil:
        """Whether the record that was found there was pending until now, so that what was copied of it is right."""
        settle()
        return load(&self.words[HEAD]) <= place

    cdef bint note(self, unsigned long long hashed, unsigned long long place) noexcept:
        """Put where a key's newest record is into the index. False without memory for it."""
        cdef size_t index
        if 2 * (self.count + 1) > self.room and not self.make_slots(self.count + 1):
            return False
        index = <size_t>hashed & (self.room - 1)
        while self.slots[index].place != 0 and self.slots[index].hashed != hashed:
            index = (index + 1) & (self.room - 1)
        if self.slots[index].place == 0:
            self.count += 1
            self.slots[index].hashed = hashed
        self.slots[index].place = place + 1
        return True

    cdef bint make_slots(self, size_t least) noexcept:
        """Have room for so many more: without what is drained, and in a larger table if need be."""
        cdef unsigned long long head = load(&self.words[HEAD])
        cdef Slot* before = self.slots
        cdef size_t room = self.room, count = 0, index
        for index in range(room):
            count += before[index].place != 0 and before[index].place - 1 >= head
        self.room = max(<size_t>64, room)
        while 4 * (count + 1) > self.room:
            self.room *= 2
        self.slots = <Slot*>PyMem_RawCalloc(self.room, sizeof(Slot))
        if self.slots == NULL:
            self.slots = before
            self.room = room
            return False
        self.count = 0
        for index in range(room):
            if before[index].place != 0 and before[index].place - 1 >= head:
                self.note(before[index].hashed, before[index].place - 1)
        PyMem_RawFree(before)
        return True

    # -- draining -----------------------------------------------------------------------------------------------

    cdef Taken next(self, unsigned long long* place, unsigned long long until, Row* row, bint verified) noexcept nogil:
        """The next record up to a position, as a row that borrows from the ring; moves the place behind it. ``verified``, only if
        its checksum is right."""
        cdef const unsigned long long* words
        cdef const char* there
        cdef const char* end
        cdef unsigned long long size, kinds, at
        while place[0] < until:
            at = place[0]
            if self.capacity - at % self.capacity < RECORD_BYTES:
                place[0] = at + self.capacity - at % self.capacity
                continue
            words = <const unsigned long long*>(self.ring + at % self.capacity)
            kinds = load(&words[2])
            size = kinds & LOW_HALF
            kinds >>= 32
            if words[1] != at or size < RECORD_BYTES or size % 8 != 0 or size > self.capacity - at % self.capacity:
                return DAMAGED
            if verified and words[0] != checksum(words + 1, (size if kinds else RECORD_BYTES) // 8 - 1, self.id):
                return DAMAGED
            if kinds == 0:
                place[0] = at + size
                continue
            there = <const char*>(words + RECORD_WORDS)
            end = <const char*>words + size
            memset(row, 0, sizeof(Row))
            if not (take_cell(&row.key, (kinds >> 8) & 0xFF, words[6], &there, end)
                    and take_cell(&row.value, (kinds >> 16) & 0xFF, words[7], &there, end)
                    and take_cell(&row.tag, (kinds >> 24) & 0xFF, words[8], &there, end)):
                return DAMAGED
            row.key.hashed = words[3]
            row.expire = <long long>words[4]
            row.at = <long long>words[9]
            row.codec = <int>(words[5] >> 32)
            if row.value.data == NULL:
                row.value.size = <Py_ssize_t>(words[5] & LOW_HALF)
            row.size = row.value.size
            row.kind = ROW_DELETE if (kinds & 0xFF) == 1 + <int>ROW_DELETE else ROW_SET
            place[0] = at + size
            return TAKEN
        return TAKEN_ALL

    cdef void drained(self, unsigned long long place) noexcept nogil:
        """All up to this position is in SQLite, as anybody can see."""
        cdef unsigned long long head = load(&self.words[HEAD])
        while head < place and not replace(&self.words[HEAD], head, place):
            head = load(&self.words[HEAD])

    cdef bint is_sound(self) noexcept nogil:
        """Whether the words of the header can be what we have written."""
        cdef unsigned long long head = load(&self.words[HEAD])
        cdef unsigned long long tail = load(&self.words[TAIL])
        return head <= tail and tail - head <= self.capacity and head % 8 == 0 and tail % 8 == 0

    cdef int take_over(self, Journal other, unsigned long long applied) except -1:
        """Have in this new one what is whole in another, from where SQLite has applied that on: the machine was off, or its header is
        damaged. Nobody else has this one."""
        cdef unsigned long long place = applied, offset
        cdef Row row
        cdef unsigned long long size, tail = 0
        while other.next(&place, applied + other.capacity, &row, True) == TAKEN:
            size = size_of(&row)
            offset = tail % self.capacity
            if self.capacity - offset < size:
                if self.capacity - offset >= RECORD_BYTES:
                    self.write_filler(tail)
                tail += self.capacity - offset
            if tail + size > self.capacity:
                break
            self.write_record(tail, &row, size)
            tail += size
        store(&self.words[RESERVED], tail)
        store(&self.words[TAIL], tail)
        return 0

    cdef void write_filler(self, unsigned long long place) noexcept nogil:
        """A record of no kind, as long as what is left of the ring."""
        cdef unsigned long long* words = <unsigned long long*>(self.ring + place % self.capacity)
        memset(words, 0, RECORD_BYTES)
        words[1] = place
        words[2] = self.capacity - place % self.capacity
        words[0] = checksum(words + 1, RECORD_WORDS - 1, self.id)

    cdef int cut(self, unsigned long long place) except -1:
        """Drop all from a position on, where a record turned out to be damaged. SQLite's write lock is held, and the gate is shut."""
        store(&self.words[RESERVED], place)
        store(&self.words[TAIL], place)
        self.clear_from(place, load(&self.words[HEAD]) + self.capacity)
        self.begin_index(place)
        return 0

    cdef void clear_from(self, unsigned long long place, unsigned long long until) noexcept nogil:
        """Have nothing lie behind the end of the chain that would be a part of it again, once other records lead up to it."""
        cdef unsigned long long part
        while place < until:
            part = min(until - place, self.capacity - place % self.capacity)
            memset(self.ring + place % self.capacity, 0, part)
            place += part

    cdef unsigned long long boot(self) noexcept nogil:
        """During which run of the machine it was last made, or recovered."""
        return load(&self.words[BOOT])


cdef int FLAGS = 0
for _flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
    FLAGS |= getattr(os, _flag, 0)


cdef unsigned long long boot_number() except? 0:
    """A number of this run of the machine; 0 where that is not known, and there can be no journal."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return int(file.read().replace(b"-", b"").strip()[:15], 16) | 1
    except (OSError, ValueError):
        return 0


def capacity_for(long long max_size, long long room=1 << 62):
    """How many bytes the ring of a store has that is kept within so many (0 for any number), on a disk that has so many left: a part of the
    limit that hardly counts, or else as few as it can have; of either a sixteenth at most. 0 for no ring."""
    cdef long long capacity = MOST_CAPACITY
    while max_size and capacity * 64 > max_size and capacity > LEAST_CAPACITY:
        capacity //= 2
    while (max_size and capacity * 16 > max_size) or capacity * 16 > room:
        capacity //= 2
    return capacity if capacity >= LEAST_CAPACITY else 0


cdef Journal open_journal(str path, unsigned long long identity, bint read_only):
    """The journal of this identity; None if there is none in this place, or another one."""
    cdef Py_buffer view
    cdef const unsigned long long* words
    cdef bint ours
    try:
        fd = os.open(path, FLAGS | (os.O_RDONLY if read_only else os.O_RDWR))
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if found.st_size < HEADER_BYTES + LEAST_CAPACITY or os.read(fd, 8) != MAGIC_NUMBER.to_bytes(8, "little"):
            return None
        mmap = imports.load("mmap")
        mapping = mmap.mmap(fd, found.st_size, access=mmap.ACCESS_READ if read_only else mmap.ACCESS_WRITE)
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    PyObject_GetBuffer(mapping, &view, PyBUF_SIMPLE)
    words = <const unsigned long long*>view.buf
    ours = (words[IDENTITY] == identity and words[CAPACITY] == <unsigned long long>(view.len - HEADER_BYTES)
            and words[CAPACITY] % 4096 == 0)
    PyBuffer_Release(&view)
    return Journal(path, mapping, (found.st_dev, found.st_ino), read_only) if ours else None


def pending_bytes(str path, unsigned long long identity):
    """How many bytes of the journal of this identity may not be in SQLite yet (int); 0 if it is not there."""
    cdef Journal journal = open_journal(path, identity, True)
    return 0 if journal is None else journal.tail() - journal.head()


cdef int make_journal(str path, unsigned long long identity, unsigned long long capacity, unsigned long long boot) except -1:
    """Make an empty journal, in place of one that may be there. SQLite's write lock is held.

    All of its space is allocated: where a hole cannot be filled, writing to the mapping would kill the process."""
    cdef unsigned long long words[HEADER_WORDS]
    memset(words, 0, sizeof(words))
    words[MAGIC] = MAGIC_NUMBER
    words[IDENTITY] = identity
    words[CAPACITY] = capacity
    words[BOOT] = boot
    temporary = f"{path}.{os.urandom(8).hex()}"
    mode = file_mode(os.path.dirname(path))
    try:
        fd = os.open(temporary, FLAGS | os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            settle_mode(fd, mode)
            os.posix_fallocate(fd, 0, HEADER_BYTES + capacity)
            os.write(fd, (<const char*>words)[:HEADER_BYTES])
        finally:
            os.close(fd)
        os.replace(temporary, path)
    except OSError as error:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise system_error(error.errno, f"make {path!r}") from error
    return 0
