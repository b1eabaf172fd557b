# The change log: which keys each commit has changed, told from process to process.

from fastcache.engine.shm.wal_clock cimport Tick


cdef enum Followed:
    FOLLOWED = 0    # every commit up to the clock's reading is explained, and its keys were handed out
    NOT_YET = 1     # one of them is in the log, but its writer has not confirmed it yet
    LOST = 2        # one of them is not in the log


# Called for each hash of a key that has changed; with everything set, for all at once.
ctypedef void (*Forget)(void* tier, bint everything, unsigned long long hashed) noexcept


cdef struct Commit:
    # What the writer's session is about to commit. The commit hook takes it from here, without the GIL.
    const unsigned long long* header
    unsigned long long* ring
    unsigned long long capacity
    unsigned long long* hashes
    size_t count
    size_t room
    bint everything
    Tick before
    unsigned int number
    unsigned int frames
    # The header's checksum after it; 0 if it is not known.
    unsigned long long left
    # Where its record lies, and the next one would.
    unsigned long long record
    unsigned long long head
    # Whether it must not come after the birth of a journal; which of the settings there was none with, and where it would be.
    bint guarded
    unsigned long long sought
    const char* journal


cdef class ChangeLog:
    cdef object mapping
    cdef unsigned long long* ring
    cdef unsigned long long capacity

    cdef unsigned long long latest(self, const Tick* now) noexcept nogil
    cdef Followed follow(
        self, unsigned long long* position, const Tick* since, const Tick* now, Forget forget,
        void* tier) noexcept


cdef int announce(Commit* commit, unsigned long long hashed) except -1
cdef void announce_nothing(Commit* commit) noexcept nogil
cdef bint before_commit(void* commit) noexcept nogil
cdef bint has_journal_since(const Commit* commit) noexcept nogil
cdef void after_commit(void* commit, int frames) noexcept nogil
cdef unsigned long long settings_version(unsigned long long* ring) noexcept nogil
cdef void settings_changed(unsigned long long* ring) noexcept nogil
cdef bint is_priority_requested(unsigned long long* ring, unsigned long long token) noexcept
cdef void request_priority(unsigned long long* ring, unsigned long long token) noexcept
cdef void withdraw_priority(unsigned long long* ring, unsigned long long token) noexcept
