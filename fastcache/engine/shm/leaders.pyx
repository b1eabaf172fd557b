"""Leaders: of all processes that ask for a number, one leads, until it says that it is done, or dies.

A byte lock of each number (byte_locks.pyx) would do, and costs two system calls. Here are words of shared memory instead, of which numbers share
one, and each process that leads has one byte locked for good, by whose number the others know it. A word is

    count (10 bits) | awaited (1) | owner (13) | tag (40)

`owner` is who leads for the number of that tag; 0 for nobody. Whoever finds the word taken for another number, or has no number of
its own, leads by the byte lock of its number instead, and adds itself to the `count`. What is always true, and who keeps it so:

- **For a number at most one leads.** While the count is not zero nobody takes the word, and before it adds itself to the count, in
  the same step, each looks whether the word is that of its number. So all who ask for one number do it in the same way: by the word, where
  only one can replace a free one, or by the byte lock.
- **The count is never less than those who lead by byte locks**: it grows before such a lock is acquired, and shrinks after it was
  released. Who is killed in between leaves it too high, as does one that has grown to its limit: that costs system calls, and nothing else.
- **Who dies leads for nothing.** Its byte is free then. Whoever finds its number in a word locks that byte, clears all of its words, and
  unlocks it; as long as it is locked nobody else can be known by that number. Who takes a number clears what the one before has
  left, before it uses it.
- **Who is refused has said that it waits**, in the same word, in one step with seeing that it is taken: so whoever leads knows when it is
  done whether there is anybody to wake. By byte locks it always wakes.
- **A child leads for nothing**, even if C code has forked it: a number goes in the same handler that closes the description
  (byte_locks.pyx), and with another `life` nothing is released.

Tags have 40 bits of a number, which together with its word's place are 51. Two numbers that are alike in these wait for each other,
which is as good as impossible.
"""

cimport cython

from fastcache.engine.shm.byte_locks cimport MOST_OWNERS
from fastcache.engine.shm.wal_clock cimport load, replace

from fastcache.engine.shm import counters

cdef unsigned long long COUNT = 2048
cdef int TAG_BITS = 40
cdef unsigned long long TAG = (1ULL << 40) - 1
cdef unsigned long long OWNER = <unsigned long long>MOST_OWNERS << 40
cdef unsigned long long AWAITED = 1ULL << 53
cdef unsigned long long ONE = 1ULL << 54
cdef unsigned long long MOST = 1023ULL << 54

# Behind the cache line of the event count, and the counters.
cdef Py_ssize_t BEHIND = 64 + counters.ROOM

ROOM = 8 * COUNT
"""How many bytes the event count has to have room for, beside the counters."""


@cython.final
cdef class Leaders:
    """The words that lie in the file of an event count, behind its counters.

    Args:
        byte_locks: those of the directory.
        event_count: with room for counters and for these.
    """

    def __cinit__(self, ByteLocks byte_locks not None, EventCount event_count not None):
        if event_count.room < counters.ROOM + <Py_ssize_t>ROOM:
            raise ValueError("there is no room for leaders behind this event count")
        self.byte_locks = byte_locks
        self.event_count = event_count
        self.words = <unsigned long long*>(<char*>event_count.number + BEHIND)

    cdef int claim(self, long long number) except -1:
        """Lead for a number, if nobody does; returns how (BY_WORD, BY_BYTE), or REFUSED.

        Raises:
            StorageError: the system has no locks there, or too little memory for one.
        """
        cdef unsigned long long* word = self.words + <unsigned long long>number % COUNT
        cdef unsigned long long tag = (<unsigned long long>number // COUNT) & TAG
        cdef unsigned long long mine = self.known_as()
        cdef unsigned long long seen, owner
        cdef bint acquired = False
        while True:
            seen = load(word)
            owner = (seen & OWNER) >> TAG_BITS
            if owner == 0:
                if mine and seen < ONE:
                    if replace(word, seen, (seen & AWAITED) | mine << TAG_BITS | tag):
                        return BY_WORD
                    continue
            elif owner != mine and self.bury(owner):
                continue
            elif seen & TAG == tag:
                if seen & AWAITED or replace(word, seen, seen | AWAITED):
                    return REFUSED
                continue
            if seen >= MOST or replace(word, seen, seen + ONE):
                break
        try:
            acquired = self.byte_locks.acquire(number)
        finally:
            if not acquired:
                self.count_less(word)
        return BY_BYTE if acquired else REFUSED

    cdef bint release(self, long long number, int claim) noexcept:
        """Lead no more, in the life in which it did; returns whether somebody may wait for that."""
        cdef unsigned long long* word = self.words + <unsigned long long>number % COUNT
        cdef unsigned long long ours = (
            self.byte_locks.owner() << TAG_BITS | (<unsigned long long>number // COUNT) & TAG)
        cdef unsigned long long seen
        if claim == BY_BYTE:
            self.byte_locks.release(number)
            self.count_less(word)
            return True
        while True:
            seen = load(word)
            if seen & (OWNER | TAG) != ours:
                return False
            if replace(word, seen, seen & MOST):
                return seen & AWAITED != 0

    cdef unsigned long long known_as(self) except? 0:
        """The number that this process is known by; 0 if there is none to be had, or none that would go with it."""
        cdef unsigned long long owner = self.byte_locks.owner()
        if owner == 0:
            owner = self.byte_locks.take_owner()
            if owner:
                self.clear(owner)
        return owner

    cdef bint bury(self, unsigned long long owner) except -1:
        """Let another one lead where a process did that is dead; returns whether it is."""
        if not self.byte_locks.lock_owner(owner):
            return False
        self.clear(owner)
        self.byte_locks.unlock_owner(owner)
        return True

    cdef void clear(self, unsigned long long owner) noexcept:
        """Take what was led by a number whose byte is locked here. Who waits for that does so for who leads next."""
        cdef unsigned long long index, seen
        for index in range(COUNT):
            seen = load(self.words + index)
            while (seen & OWNER) >> TAG_BITS == owner and not replace(
                    self.words + index, seen, seen & (MOST | AWAITED)):
                seen = load(self.words + index)

    def state(self, long long number):
        """The word of a number: its owner, whether it is awaited, and the count (tuple): for tests."""
        cdef unsigned long long seen = load(self.words + <unsigned long long>number % COUNT)
        return (seen & OWNER) >> TAG_BITS, seen & AWAITED != 0, seen // ONE

    cdef void count_less(self, unsigned long long* word) noexcept:
        """One that was counted leads no more."""
        cdef unsigned long long seen
        while True:
            seen = load(word)
            # Of those at the limit nobody knows how many there are.
            if not ONE <= seen < MOST or replace(word, seen, seen - ONE):
                return
