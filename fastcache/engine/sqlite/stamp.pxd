# What the file system says of a database's three files. A connection that has no locks compares it after each step: what was
# read while it stayed the same is of one moment. And whether a path still leads to the file that it led to.
#
# A reader that may write nothing has no wal-index to share where there is none yet. It reads the database as it lies there
# (reading.py says how), and whoever begins to write makes a WAL first, with its wal-index: both are seen here. The time of
# the last change is as coarse as the system's tick, but a stamp that is older than that cannot be met again: the database
# changes only by a checkpoint, whose WAL must have been made since, and was seen.

cdef extern from *:
    """
    #ifndef FASTCACHE_STAMP
    #define FASTCACHE_STAMP
    #include <string.h>
    typedef struct {
        unsigned long long device, inode;
    } fastcache_identity;
    typedef struct {
        fastcache_identity base, wal, index;
        long long base_size, base_time, wal_size, wal_time;
    } fastcache_stamp;
    #ifdef _WIN32
    #include <sys/stat.h>
    #include <time.h>
    static inline int fastcache_identify(const char *path, fastcache_identity *found)
    {
        memset(found, 0, sizeof(*found));
        return 0;
    }
    static inline void fastcache_take_stamp(const char *base, const char *wal, const char *index, fastcache_stamp *found)
    {
        memset(found, 0, sizeof(*found));
    }
    static inline double fastcache_coarse_seconds(void) { return (double)GetTickCount64() * 1e-3; }
    #else
    #include <errno.h>
    #include <sys/stat.h>
    #include <time.h>
    #ifdef __APPLE__
    #define FASTCACHE_CHANGED(found) ((found).st_mtimespec)
    #else
    #define FASTCACHE_CHANGED(found) ((found).st_mtim)
    #endif
    static inline int fastcache_look_up(
        const char *path, fastcache_identity *identity, long long *size, long long *time)
    {
        struct stat found;
        if (stat(path, &found) != 0) {
            identity->device = identity->inode = 0;
            *size = *time = 0;
            return -errno;
        }
        identity->device = (unsigned long long)found.st_dev;
        identity->inode = (unsigned long long)found.st_ino;
        *size = (long long)found.st_size;
        *time = (long long)FASTCACHE_CHANGED(found).tv_sec * 1000000000 + (long long)FASTCACHE_CHANGED(found).tv_nsec;
        return 0;
    }
    /* Which file a path leads to; -errno if to none that can be had. */
    static inline int fastcache_identify(const char *path, fastcache_identity *found)
    {
        long long size, time;
        return fastcache_look_up(path, found, &size, &time);
    }
    static inline void fastcache_take_stamp(const char *base, const char *wal, const char *index, fastcache_stamp *found)
    {
        long long size, time;
        memset(found, 0, sizeof(*found));
        (void)fastcache_look_up(base, &found->base, &found->base_size, &found->base_time);
        (void)fastcache_look_up(wal, &found->wal, &found->wal_size, &found->wal_time);
        (void)fastcache_look_up(index, &found->index, &size, &time);
    }
    static inline double fastcache_coarse_seconds(void)
    {
        struct timespec now;
    #ifdef CLOCK_MONOTONIC_COARSE
        if (clock_gettime(CLOCK_MONOTONIC_COARSE, &now) != 0)
    #else
        if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
    #endif
            return 0.0;
        return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    }
    #endif
    #endif
    """
    ctypedef struct Identity "fastcache_identity":
        unsigned long long device
        unsigned long long inode
    ctypedef struct Stamp "fastcache_stamp":
        pass
    int identify "fastcache_identify"(const char* path, Identity* found) noexcept nogil
    void take_stamp "fastcache_take_stamp"(
        const char* base, const char* wal, const char* index, Stamp* found) noexcept nogil
    # The system's monotonic clock as of its last tick, a few milliseconds ago at most.
    double coarse_seconds "fastcache_coarse_seconds"() noexcept nogil


cdef inline bint is_same(const Identity* one, const Identity* other) noexcept nogil:
    return one.inode == other.inode and one.device == other.device
