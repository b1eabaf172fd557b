# The commit clock: "has anyone committed since?" in a few nanoseconds, across all processes.
#
# In WAL mode every process maps the same wal-index. Its header, 48 bytes at its beginning and once more behind them, is
# rewritten by every commit: second copy first, then the first one (sqlite.org/walformat.html). So:
#
# - while the first copy is what it was, no commit has become visible since: no reader can have seen a newer one;
# - a commit has become visible before it is acknowledged;
# - the number of the commit (iChange) grows by one with each commit that changes something, whoever makes it. A recovery
#   after a writer died in the middle of these copies sets it back to zero. A checkpoint that restarts the WAL rewrites
#   the header, with the same number and other salts.
#
# The clock has lives. The last connection to close removes the WAL, and the next one to open begins with an empty header,
# which is the same in every life; the first commit draws salts at random, and from then on no header of another life has
# the same bytes. A recovery keeps the salts, and a restart has others. While a process is connected, nobody can remove the
# WAL, so that a header which it has seen never comes to stand for something else: not even the empty one.
#
# The bytes are compared, not trusted: what cannot be explained is a change. One history would go unseen: the WAL is
# truncated to nothing by a foreign program (PRAGMA wal_checkpoint(TRUNCATE)), that program is killed between the two
# copies, and the clock was last read when the life had not begun. fastcache never truncates a WAL to nothing.

from libc.string cimport memcmp, memcpy

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static __inline unsigned long long fastcache_load(const volatile unsigned long long *word)
    {
        unsigned long long value = *word;
        _ReadWriteBarrier();
        return value;
    }
    static __inline void fastcache_store(volatile unsigned long long *word, unsigned long long value)
    {
        _ReadWriteBarrier();
        *word = value;
    }
    static __inline int fastcache_replace(
        volatile unsigned long long *word, unsigned long long expected, unsigned long long value)
    {
        return _InterlockedCompareExchange64((volatile long long *)word, (long long)value, (long long)expected)
            == (long long)expected;
    }
    static __inline void fastcache_settle(void)
    {
        _ReadWriteBarrier();
    }
    static __inline void fastcache_barrier(void)
    {
        long locked = 0;
        _InterlockedExchange(&locked, 1);
    }
    #else
    static inline unsigned long long fastcache_load(const unsigned long long *word)
    {
        return __atomic_load_n(word, __ATOMIC_ACQUIRE);
    }
    static inline void fastcache_store(unsigned long long *word, unsigned long long value)
    {
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    static inline int fastcache_replace(
        unsigned long long *word, unsigned long long expected, unsigned long long value)
    {
        return __atomic_compare_exchange_n(word, &expected, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
    }
    static inline void fastcache_settle(void)
    {
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    }
    static inline void fastcache_barrier(void)
    {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    #endif
    """
    # Words that other processes write at the same time.
    unsigned long long load "fastcache_load"(const unsigned long long* word) noexcept nogil
    void store "fastcache_store"(unsigned long long* word, unsigned long long value) noexcept nogil
    bint replace "fastcache_replace"(
        unsigned long long* word, unsigned long long expected, unsigned long long value) noexcept nogil
    void barrier "fastcache_barrier"() noexcept nogil
    # What was loaded before it is not loaded after what comes behind it.
    void settle "fastcache_settle"() noexcept nogil


cdef enum:
    HEADER_WORDS = 6
    HEADER_SIZE = 48
    WAL_INDEX_VERSION = 3007000


ctypedef struct Tick:
    # One reading of the clock: the header. All zero, it is no reading: a header says that it is initialized.
    unsigned long long words[6]


cdef inline unsigned int part(const Tick* tick, int offset) noexcept nogil:
    cdef unsigned int value
    memcpy(&value, <const char*>tick + offset, sizeof(value))
    return value


cdef inline unsigned int commit_number(const Tick* tick) noexcept nogil:
    return part(tick, 8)


cdef inline unsigned int wal_frames(const Tick* tick) noexcept nogil:
    return part(tick, 16)


cdef inline unsigned long long fingerprint(const Tick* tick) noexcept nogil:
    # The header's checksum of itself.
    return tick.words[5]


cdef inline bint is_empty(const Tick* tick) noexcept nogil:
    """Whether the WAL's life has not begun yet: there are no salts, and the header is the same in every life."""
    return tick.words[4] == 0


cdef inline bint is_backfilled(const unsigned long long* header) noexcept nogil:
    """Whether all that the WAL holds is in the database, too (nBackfill is mxFrame), so that it can start over."""
    cdef unsigned long long frames = load(&header[2]), backfilled = load(&header[2 * HEADER_WORDS])
    return memcmp(&frames, &backfilled, 4) == 0


cdef inline bint stands(const unsigned long long* header, const Tick* tick) noexcept nogil:
    """Whether the clock is where it was at this reading."""
    return (load(&header[1]) == tick.words[1] and load(&header[5]) == tick.words[5]
            and load(&header[0]) == tick.words[0] and load(&header[2]) == tick.words[2]
            and load(&header[3]) == tick.words[3] and load(&header[4]) == tick.words[4])


cdef inline bint still_stands(const unsigned long long* header, const Tick* tick) noexcept nogil:
    """The same after something was read without a lock: whether it belongs to this reading."""
    settle()
    return stands(header, tick)


cdef inline bint same(const Tick* one, const Tick* other) noexcept nogil:
    cdef int index
    for index in range(HEADER_WORDS):
        if one.words[index] != other.words[index]:
            return False
    return True


cdef inline bint read(const unsigned long long* header, Tick* tick) noexcept nogil:
    """Read the clock. False if a commit is writing it just now, or died doing so."""
    cdef int index
    for index in range(HEADER_WORDS):
        tick.words[index] = load(&header[index])
    barrier()
    for index in range(HEADER_WORDS):
        if load(&header[HEADER_WORDS + index]) != tick.words[index]:
            return False
    return part(tick, 0) == WAL_INDEX_VERSION and (<const unsigned char*>tick)[12] == 1
