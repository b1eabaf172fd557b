"""The memory tier: what this process knows of a cache's entries, and until when it is true.

The invariant: *while the clock stands at the epoch, everything in the tier is what SQLite would answer.* (An entry's
expiry aside, which whoever takes a hit compares with the time.) Who keeps it so:

- **hit**: `is_current` is asked at each one. The hit's place among the commits of all processes is that moment.
- **fill**: whoever reads from SQLite takes the era before (`catch_up`: the clock stands at the epoch), and hands it to
  `keep` after. Nothing is kept unless the era is the same and the clock still stands, so that the snapshot which was
  read was the epoch's.
- **a commit**, of whatever process, moves the clock. `catch_up` then asks the change log which keys that has changed,
  forgets these, and moves the epoch. What the log cannot explain forgets everything.
- **the journal** (shm/journal.pyx) has a tail, which is a part of the epoch: while it has not moved nobody has appended. It is looked
  at before the clock. When it has moved, the keys that were appended are forgotten. Draining moves the clock, and changes no key.
- **our own commit** is one like any other, except that without a log we still know what it has changed: if it was the
  only one since the epoch, these keys are forgotten. If the clock stands exactly at it, then the value that it stored is
  known.

Only the thread that holds the GIL is here. Threads inside a transaction stay away: what they see is not committed.
"""

cimport cython
from libc.string cimport memset

from fastcache.engine.shm.change_log cimport FOLLOWED, NOT_YET, Followed
from fastcache.engine.monotonic cimport seconds
from fastcache.engine.shm.wal_clock cimport fingerprint, read, same
from fastcache.engine.shm.journal cimport TAIL
from fastcache.engine.memory.sieve cimport OBJECT, Budget, cost_of, cost_of_utf8

# Where there is no journal, its tail never moves.
cdef unsigned long long NO_TAIL = 0

# How long a commit may go unconfirmed, or a restarted WAL stay empty, before everything is forgotten, in seconds.
cdef double PATIENCE = 0.002


@cython.final
@cython.no_gc
cdef class Memory:
    """Args: budget: of bytes, which it may share with others."""

    def __cinit__(self, Budget budget):
        self.sieve = Sieve(budget)
        self.tail = &NO_TAIL

    cdef void attach(self, const unsigned long long* clock, ChangeLog log, Journal journal) noexcept:
        """Begin, empty, with a clock; a log and a journal are optional. Without a clock, or any room, nothing is ever known."""
        self.detach()
        self.journal = journal
        if self.sieve.limit:
            self.clock = clock
            self.log = log
            if journal is not None:
                self.tail = &journal.words[TAIL]

    cdef void detach(self) noexcept:
        """Forget everything, and the clock: its memory is about to be unmapped."""
        self.clock = NULL
        self.log = None
        self.journal = None
        self.tail = &NO_TAIL
        self.followed = 0
        memset(&self.epoch, 0, sizeof(self.epoch))
        self.sieve.clear()

    cdef unsigned long long catch_up(self) noexcept:
        """Move the epoch to the tail, and to the clock. Returns the era, or 0 if what is known cannot be used now."""
        cdef Tick now
        cdef Followed followed = NOT_YET
        cdef unsigned long long position
        # What is forgotten may run code, by which this one may be replaced.
        cdef ChangeLog log = self.log
        if self.is_current():
            return self.era
        if self.journal is not None:
            self.follow_journal()
        if self.is_current():
            # Only the tail has moved.
            return self.era
        if self.clock == NULL or not read(self.clock, &now):
            return 0
        if self.epoch.words[0] == 0 or log is None:
            self.start_over(&now)
            return self.era
        position = self.position
        followed = log.follow(&position, &self.epoch, &now, forget, <void*>self.sieve)
        if followed == FOLLOWED:
            self.position = position
            self.arrive(&now)
            return self.era
        if followed == NOT_YET and self.may_wait():
            return 0
        self.start_over(&now)
        return self.era

    cdef unsigned long long follow_journal(self) noexcept:
        """Forget what was appended to the journal, whose index is brought up first. Returns up to where."""
        cdef Journal journal = self.journal
        cdef unsigned long long before = self.followed
        cdef unsigned long long tail = journal.follow()
        if tail == before or self.clock == NULL:
            return tail
        # Before anything is forgotten, which may run code that comes here, too.
        self.era += 1
        if not journal.tell(before, tail, forget, <void*>self.sieve):
            self.sieve.clear()
        # Whoever came here meanwhile has forgotten what that was.
        if self.journal is journal and self.followed == before:
            self.followed = tail
            self.era += 1
        return tail

    cdef bint follow_append(self, unsigned long long hashed) noexcept:
        """After an append of ours: forget the key. Returns whether nobody else has appended since the epoch's tail."""
        cdef Journal journal = self.journal
        cdef unsigned long long after
        if self.clock == NULL or journal is None or journal.before != self.followed:
            return False
        after = journal.after
        self.era += 1
        self.followed = after
        self.sieve.forget(hashed)
        return self.followed == after

    cdef bint may_wait(self) noexcept:
        """Whether a commit that cannot be explained yet is younger than our patience."""
        cdef double now = seconds()
        if self.impatient_at == 0.0:
            self.impatient_at = now + PATIENCE
        return now < self.impatient_at

    cdef void start_over(self, const Tick* now) noexcept:
        self.sieve.clear()
        if self.log is not None:
            self.position = self.log.latest(now)
        self.arrive(now)

    cdef void arrive(self, const Tick* now) noexcept:
        self.epoch = now[0]
        self.era += 1
        self.impatient_at = 0.0

    cdef bint follow_own(self, const Commit* commit) noexcept:
        """After a commit of this process: forget what it has changed. Returns whether the clock stands exactly at it."""
        cdef Tick now
        cdef size_t index
        if self.clock == NULL or commit.left == 0 or not read(self.clock, &now):
            return False
        if self.log is not None:
            self.catch_up()
        elif same(&commit.before, &self.epoch) and fingerprint(&now) == commit.left and not commit.everything:
            for index in range(commit.count):
                self.sieve.forget(commit.hashes[index])
            self.arrive(&now)
        return fingerprint(&self.epoch) == commit.left and self.is_current()

    cdef bint keep(
            self, unsigned long long era, object key, unsigned long long hashed, Kind kind, object value, int codec,
            long long expire, unsigned int row) except -1:
        """Remember what SQLite has said since ``catch_up`` gave this era, if that is still so."""
        cdef unsigned long long value_cost, key_cost
        if era == 0:
            return False
        # Counting may run the garbage collector, and with it any code: before anything is looked at.
        value_cost = cost_of(value) if kind >= OBJECT else 0
        key_cost = cost_of(key) + cost_of_utf8(key)
        if era != self.era or not self.is_current():
            return False
        if not self.sieve.keep(key, hashed, kind, value, codec, expire, key_cost, value_cost, row):
            return False
        # What has gone for it may have run code, too: somebody may have had a weak reference to it.
        if era != self.era:
            self.sieve.forget(hashed)
            return False
        return True


cdef void forget(void* tier, bint everything, unsigned long long hashed) noexcept:
    if everything:
        (<Sieve>tier).clear()
    else:
        (<Sieve>tier).forget(hashed)
