# The system calls for value files, in an open folder. What fails returns less than zero: -errno, on Unix.
#
# On Windows everything is done by path (BY_PATH), but for what is done with an open file.

cdef extern from *:
    """
    #include <errno.h>
    #ifdef _WIN32
    #include <io.h>
    #include <process.h>
    #define fastcache_process() ((int)_getpid())
    static inline int fastcache_close(int fd) { return _close(fd); }
    /* Everything else is done by path. */
    static inline int fastcache_open_folder(int folder, const char *name) { return -1; }
    static inline int fastcache_create_in(int folder, const char *name, int mode) { return -1; }
    static inline int fastcache_open_in(int folder, const char *name) { return -1; }
    static inline int fastcache_remove_from(int folder, const char *name) { return -1; }
    static inline int fastcache_move(int from, const char *name, int to) { return -1; }
    static inline int fastcache_look_in(int folder, const char *name, long long *size) { return -1; }
    static inline int fastcache_is_removed(int fd) { return 0; }
    static inline int fastcache_is_link(int code) { return 0; }
    static inline int fastcache_lock(int fd) { return -1; }
    static inline int fastcache_look_at(int fd, long long *size)
    {
        *size = _filelengthi64(fd);
        return *size < 0 ? -1 : 1;
    }
    static inline long long fastcache_read(int fd, char *place, long long size)
    {
        return _read(fd, place, size > 0x40000000 ? 0x40000000 : (unsigned)size);
    }
    #define FASTCACHE_HERE -1
    #define FASTCACHE_BY_PATH 1
    #else
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/file.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #define fastcache_process() ((int)getpid())
    #define FASTCACHE_HERE AT_FDCWD
    #define FASTCACHE_BY_PATH 0
    static inline int fastcache_open_at(int folder, const char *name, int flags, int mode)
    {
        int fd;
        do {
            fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        } while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : fd;
    }
    static inline int fastcache_open_folder(int folder, const char *name)
    {
        return fastcache_open_at(folder, name, O_RDONLY | O_DIRECTORY, 0);
    }
    /* Other than 0600, the mode is to be had whatever the umask. */
    static inline int fastcache_create_in(int folder, const char *name, int mode)
    {
        int code, fd = fastcache_open_at(folder, name, O_WRONLY | O_CREAT | O_EXCL, mode);
        if (fd >= 0 && mode != 0600 && fchmod(fd, (mode_t)mode) != 0) {
            code = -errno;
            (void)close(fd);
            (void)unlinkat(folder, name, 0);
            return code;
        }
        return fd;
    }
    static inline int fastcache_open_in(int folder, const char *name)
    {
        /* Opening a FIFO that somebody has planted must not hang. */
        return fastcache_open_at(folder, name, O_RDONLY | O_NONBLOCK, 0);
    }
    static inline int fastcache_close(int fd)
    {
        /* Interrupted or not, it is closed. */
        return close(fd) == 0 || errno == EINTR ? 0 : -errno;
    }
    static inline int fastcache_kind(const struct stat *found, long long *size)
    {
        *size = (long long)found->st_size;
        return S_ISREG(found->st_mode) ? 1 : 0;
    }
    static inline int fastcache_look_in(int folder, const char *name, long long *size)
    {
        struct stat found;
        return fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 ? fastcache_kind(&found, size) : -errno;
    }
    static inline int fastcache_look_at(int fd, long long *size)
    {
        struct stat found;
        return fstat(fd, &found) == 0 ? fastcache_kind(&found, size) : -errno;
    }
    static inline int fastcache_is_removed(int fd)
    {
        struct stat found;
        return fstat(fd, &found) == 0 && found.st_nlink == 0;
    }
    static inline int fastcache_is_link(int code) { return code == ELOOP || code == ENOTDIR || code == EMLINK; }
    static inline int fastcache_remove_from(int folder, const char *name)
    {
        long long size;
        int kind = fastcache_look_in(folder, name, &size);
        if (kind == 1)
            return unlinkat(folder, name, 0) == 0 ? 0 : -errno;
        /* What is no plain file is not ours. */
        return kind == 0 ? 0 : kind;
    }
    static inline int fastcache_move(int from, const char *name, int to)
    {
        return renameat(from, name, to, name) == 0 ? 0 : -errno;
    }
    /* 1 if the lock was free, 0 if it was not, less where there are no locks. */
    static inline int fastcache_lock(int fd)
    {
        return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    }
    static inline long long fastcache_read(int fd, char *place, long long size)
    {
        ssize_t count = read(fd, place, size > 0x40000000 ? 0x40000000 : (size_t)size);
        return count >= 0 ? (long long)count : errno == EINTR ? -EINTR : -errno;
    }
    #endif
    """
    const int HERE "FASTCACHE_HERE"
    const bint BY_PATH "FASTCACHE_BY_PATH"
    int fastcache_process() noexcept nogil
    int fastcache_close(int fd) noexcept nogil
    int fastcache_open_folder(int folder, const char* name) noexcept nogil
    int fastcache_create_in(int folder, const char* name, int mode) noexcept nogil
    int fastcache_open_in(int folder, const char* name) noexcept nogil
    int fastcache_remove_from(int folder, const char* name) noexcept nogil
    int fastcache_move(int source, const char* name, int target) noexcept nogil
    int fastcache_look_in(int folder, const char* name, long long* size) noexcept nogil
    int fastcache_look_at(int fd, long long* size) noexcept nogil
    bint fastcache_is_removed(int fd) noexcept nogil
    bint fastcache_is_link(int code) noexcept nogil
    int fastcache_lock(int fd) noexcept nogil
    long long fastcache_read(int fd, char* place, long long size) noexcept nogil
