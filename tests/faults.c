/* A library that is loaded before all others (LD_PRELOAD) and has chosen system calls fail: see soak_faults.py.

   Calls of the kinds asked for count if they concern a path below a folder, or a descriptor of such a file, and are of one
   thread, or of all but one. They are numbered from the moment of arming on; so many of them fail, from one on. For Linux
   with glibc. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    CREATE, OPEN, READ, WRITE, SYNC, TRUNCATE, ALLOCATE, MAP, RENAME, LINK, UNLINK, MKDIR, LOCK, UNLOCK, FLOCK, FUTEX, STAT,
    CHMOD, LIST, CLOSE, THREAD, MEMORY, OBJECTS, KINDS
};

const char *faults_kinds = "create open read write sync truncate allocate map rename link unlink mkdir lock unlock flock futex stat "
                           "chmod list close thread memory objects";

/* Instead of an error: take, or give, half of what was asked for. */
#define SHORT (-1)
#define LONGEST 65536

static char folder[512];
static size_t folder_size;
static volatile int armed;
static unsigned long failing;
static long from, behind;
static int reaction, others;
static long owner;
static long counted, failed;
static unsigned char calls[LONGEST];
static uintptr_t low, high;

void faults_watch(const char *path)
{
    folder_size = strlen(path);
    memcpy(folder, path, folder_size + 1);
}

static int find_sqlite(struct dl_phdr_info *info, size_t size __attribute__((unused)), void *address)
{
    uintptr_t begin, end;
    int index;
    for (index = 0; index < info->dlpi_phnum; index++) {
        begin = info->dlpi_addr + info->dlpi_phdr[index].p_vaddr;
        end = begin + info->dlpi_phdr[index].p_memsz;
        if (info->dlpi_phdr[index].p_type == PT_LOAD && begin <= (uintptr_t)address && (uintptr_t)address < end) {
            low = begin;
            high = end;
            return 1;
        }
    }
    return 0;
}

/* The address of any function of SQLite's: memory is denied to its module alone. */
void faults_sqlite(void *address) { dl_iterate_phdr(find_sqlite, address); }

/* `error` is an errno, or SHORT. With `beside`, calls of other threads count instead of this one's. */
void faults_arm(unsigned long kinds, long first, long many, int error, int beside)
{
    failing = kinds;
    from = first;
    behind = first + many;
    reaction = error;
    others = beside;
    owner = syscall(SYS_gettid);
    counted = failed = 0;
    __atomic_store_n(&armed, 1, __ATOMIC_SEQ_CST);
}

/* Returns how many calls were counted; `faults_failed` of them have failed. */
long faults_disarm(void)
{
    __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST);
    return counted;
}

long faults_failed(void) { return failed; }
int faults_call(long number) { return number < LONGEST ? calls[number] : KINDS; }

static int below(const char *path)
{
    return strncmp(path, folder, folder_size) == 0 && (path[folder_size] == '/' || path[folder_size] == 0);
}

static int fd_below(int fd)
{
    char link[64], path[4096];
    long size;
    if (fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = syscall(SYS_readlink, link, path, sizeof path - 1);
    if (size <= 0)
        return 0;
    path[size] = 0;
    return below(path);
}

static int place_below(int fd, const char *path)
{
    if (path == 0)
        return 0;
    return path[0] == '/' ? below(path) : fd != AT_FDCWD && fd_below(fd);
}

/* Whether this call, which counts, is to fail. */
static int due(enum kind kind)
{
    long number;
    if (!(failing >> kind & 1) || others == (syscall(SYS_gettid) == owner))
        return 0;
    number = __atomic_fetch_add(&counted, 1, __ATOMIC_SEQ_CST);
    if (number < LONGEST)
        calls[number] = (unsigned char)kind;
    if (number < from || number >= behind)
        return 0;
    __atomic_fetch_add(&failed, 1, __ATOMIC_SEQ_CST);
    return 1;
}

static int fd_due(enum kind kind, int fd)
{
    int before = errno, result = armed && fd_below(fd) && due(kind);
    errno = before;
    return result;
}

static int path_due(enum kind kind, int fd, const char *path)
{
    int before = errno, result = armed && place_below(fd, path) && due(kind);
    errno = before;
    return result;
}

static int fails(void)
{
    errno = reaction;
    return -1;
}

#define NEXT(name) ((__typeof__(&name))next(#name, &next_##name))
static void *next(const char *name, void **known)
{
    if (*known == 0)
        *known = dlsym(RTLD_NEXT, name);
    return *known;
}

static int is_missing(const char *path) { return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0; }

static int is_new(int fd, const char *path, int flags)
{
    return flags & O_CREAT && syscall(SYS_faccessat, fd, path, F_OK) != 0;
}

#define OPENS(name, fd, before, after) \
    static void *next_##name; \
    int name before \
    { \
        mode_t mode = 0; \
        va_list more; \
        va_start(more, flags); \
        if (flags & O_CREAT) \
            mode = va_arg(more, mode_t); \
        va_end(more); \
        if (armed && path_due(is_new(fd, path, flags) ? CREATE : OPEN, fd, path)) \
            return fails(); \
        return NEXT(name) after; \
    }
OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, fd, (int fd, const char *path, int flags, ...), (fd, path, flags, mode))
OPENS(openat64, fd, (int fd, const char *path, int flags, ...), (fd, path, flags, mode))

/* What reads or writes `size` bytes at `data`. */
#define TRANSFER(kind, name, before, after) \
    static void *next_##name; \
    ssize_t name before \
    { \
        if (fd_due(kind, fd)) { \
            if (reaction != SHORT) \
                return fails(); \
            size = size > 1 ? size / 2 : size; \
        } \
        return NEXT(name) after; \
    }
TRANSFER(READ, read, (int fd, void *data, size_t size), (fd, data, size))
TRANSFER(READ, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
TRANSFER(READ, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
TRANSFER(WRITE, write, (int fd, const void *data, size_t size), (fd, data, size))
TRANSFER(WRITE, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
TRANSFER(WRITE, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))

/* The same with parts; of less than two, half of the first is written. */
#define GATHER(kind, name, one, before, after) \
    static void *next_##name; \
    ssize_t name before \
    { \
        if (fd_due(kind, fd)) { \
            if (reaction != SHORT) \
                return fails(); \
            if (count > 1) \
                count /= 2; \
            else \
                return one(fd, parts[0].iov_base, parts[0].iov_len > 1 ? parts[0].iov_len / 2 : parts[0].iov_len); \
        } \
        return NEXT(name) after; \
    }
GATHER(READ, readv, read, (int fd, const struct iovec *parts, int count), (fd, parts, count))
GATHER(WRITE, writev, write, (int fd, const struct iovec *parts, int count), (fd, parts, count))

/* Calls that return 0, or -1 and errno. */
#define ON_FD(kind, name, before, after) \
    static void *next_##name; \
    int name before { return fd_due(kind, fd) ? fails() : NEXT(name) after; }
#define ON_PATH(kind, name, before, after) \
    static void *next_##name; \
    int name before { return path_due(kind, AT_FDCWD, path) ? fails() : NEXT(name) after; }
#define ON_PLACE(kind, name, before, after) \
    static void *next_##name; \
    int name before { return path_due(kind, fd, path) ? fails() : NEXT(name) after; }

ON_FD(SYNC, fsync, (int fd), (fd))
ON_FD(SYNC, fdatasync, (int fd), (fd))
ON_FD(TRUNCATE, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(TRUNCATE, ftruncate64, (int fd, off64_t size), (fd, size))
ON_FD(ALLOCATE, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
ON_FD(ALLOCATE, fallocate64, (int fd, int mode, off64_t at, off64_t size), (fd, mode, at, size))
ON_FD(FLOCK, flock, (int fd, int operation), (fd, operation))
ON_FD(CHMOD, fchmod, (int fd, mode_t mode), (fd, mode))
ON_FD(STAT, fstat, (int fd, struct stat *found), (fd, found))
ON_FD(STAT, fstat64, (int fd, struct stat64 *found), (fd, found))
ON_PATH(STAT, stat, (const char *path, struct stat *found), (path, found))
ON_PATH(STAT, stat64, (const char *path, struct stat64 *found), (path, found))
ON_PATH(STAT, lstat, (const char *path, struct stat *found), (path, found))
ON_PATH(STAT, lstat64, (const char *path, struct stat64 *found), (path, found))
ON_PATH(CHMOD, chmod, (const char *path, mode_t mode), (path, mode))
ON_PATH(UNLINK, unlink, (const char *path), (path))
ON_PATH(UNLINK, rmdir, (const char *path), (path))
ON_PATH(RENAME, rename, (const char *path, const char *other), (path, other))
ON_PATH(LINK, link, (const char *path, const char *other), (path, other))
ON_PLACE(STAT, fstatat, (int fd, const char *path, struct stat *found, int flags), (fd, path, found, flags))
ON_PLACE(STAT, fstatat64, (int fd, const char *path, struct stat64 *found, int flags), (fd, path, found, flags))
ON_PLACE(CHMOD, fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags))
ON_PLACE(UNLINK, unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
ON_PLACE(MKDIR, mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
ON_PLACE(RENAME, renameat, (int fd, const char *path, int fd2, const char *other), (fd, path, fd2, other))
ON_PLACE(RENAME, renameat2, (int fd, const char *path, int fd2, const char *other, unsigned flags),
         (fd, path, fd2, other, flags))
ON_PLACE(LINK, linkat, (int fd, const char *path, int fd2, const char *other, int flags), (fd, path, fd2, other, flags))

/* What is there already is what any system says first. */
static void *next_mkdir;
int mkdir(const char *path, mode_t mode)
{
    if (armed && is_missing(path) && path_due(MKDIR, AT_FDCWD, path))
        return fails();
    return NEXT(mkdir)(path, mode);
}

/* These return the error. */
#define RETURNS_ERROR(name, type) \
    static void *next_##name; \
    int name(int fd, type at, type size) { return fd_due(ALLOCATE, fd) ? reaction : NEXT(name)(fd, at, size); }
RETURNS_ERROR(posix_fallocate, off_t)
RETURNS_ERROR(posix_fallocate64, off64_t)

/* A descriptor is closed, whatever close says of it. */
static void *next_close;
int close(int fd)
{
    int fault = fd_due(CLOSE, fd), result = NEXT(close)(fd);
    return fault ? fails() : result;
}

static void *next_mmap, *next_mmap64;
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t at)
{
    if (fd >= 0 && fd_due(MAP, fd))
        return fails(), MAP_FAILED;
    return NEXT(mmap)(address, size, protection, flags, fd, at);
}
void *mmap64(void *address, size_t size, int protection, int flags, int fd, off64_t at)
{
    if (fd >= 0 && fd_due(MAP, fd))
        return fails(), MAP_FAILED;
    return NEXT(mmap64)(address, size, protection, flags, fd, at);
}

static int is_lock(int command)
{
    return command == F_SETLK || command == F_SETLKW || command == F_GETLK || command == F_OFD_SETLK ||
           command == F_OFD_SETLKW || command == F_OFD_GETLK;
}
#define CONTROL(name) \
    static void *next_##name; \
    int name(int fd, int command, ...) \
    { \
        va_list more; \
        void *argument; \
        va_start(more, command); \
        argument = va_arg(more, void *); \
        va_end(more); \
        if (is_lock(command) && fd_due(((struct flock *)argument)->l_type == F_UNLCK ? UNLOCK : LOCK, fd)) \
            return fails(); \
        return NEXT(name)(fd, command, argument); \
    }
CONTROL(fcntl)
CONTROL(fcntl64)

static void *next_opendir, *next_fdopendir;
DIR *opendir(const char *path)
{
    if (path_due(LIST, AT_FDCWD, path))
        return fails(), (DIR *)0;
    return NEXT(opendir)(path);
}
DIR *fdopendir(int fd)
{
    if (fd_due(LIST, fd))
        return fails(), (DIR *)0;
    return NEXT(fdopendir)(fd);
}

/* Of CPython's and glibc's own futexes, none goes through this function. */
static void *next_syscall;
long syscall(long number, ...)
{
    va_list more;
    long a, b, c, d, e, f;
    va_start(more, number);
    a = va_arg(more, long);
    b = va_arg(more, long);
    c = va_arg(more, long);
    d = va_arg(more, long);
    e = va_arg(more, long);
    f = va_arg(more, long);
    va_end(more);
    if (number == SYS_futex && armed && due(FUTEX))
        return fails();
    return NEXT(syscall)(number, a, b, c, d, e, f);
}

static void *next_pthread_create;
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    if (armed && due(THREAD))
        return reaction;
    return NEXT(pthread_create)(thread, attributes, run, argument);
}

/* Memory that SQLite asks for. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *before, size_t size);
#define DENIED \
    (armed && (uintptr_t)__builtin_return_address(0) >= low && (uintptr_t)__builtin_return_address(0) < high && \
     due(MEMORY))
void *malloc(size_t size) { return DENIED ? (errno = ENOMEM, (void *)0) : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return DENIED ? (errno = ENOMEM, (void *)0) : __libc_calloc(count, size); }
void *realloc(void *before, size_t size) { return DENIED ? (errno = ENOMEM, (void *)0) : __libc_realloc(before, size); }

/* What Python asks for, in each of its three domains (Include/cpython/pymem.h). */
typedef struct {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *before, size_t size);
    void (*free)(void *context, void *memory);
} Allocator;
static Allocator python[3];
#define NONE_LEFT (armed && due(OBJECTS))
static void *hook_malloc(void *context, size_t size)
{
    Allocator *real = context;
    return NONE_LEFT ? 0 : real->malloc(real->context, size);
}
static void *hook_calloc(void *context, size_t count, size_t size)
{
    Allocator *real = context;
    return NONE_LEFT ? 0 : real->calloc(real->context, count, size);
}
static void *hook_realloc(void *context, void *before, size_t size)
{
    Allocator *real = context;
    return NONE_LEFT ? 0 : real->realloc(real->context, before, size);
}
static void hook_free(void *context, void *memory)
{
    Allocator *real = context;
    real->free(real->context, memory);
}

void faults_hook_python(void)
{
    void (*get)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    int domain;
    for (domain = 0; domain < 3; domain++) {
        Allocator ours = {&python[domain], hook_malloc, hook_calloc, hook_realloc, hook_free};
        get(domain, &python[domain]);
        set(domain, &ours);
    }
}
