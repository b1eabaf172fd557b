/* A disk that takes 20 ms for each sync, and the main thread that must not wait for it; loaded with LD_PRELOAD.

   Counted are the syncs of the main thread and those of the others, and the writes with which the main thread comes in
   between the beginning and the end of a sync. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int syncing_thread, own_syncs, other_syncs, own_writes;

static int is_main(void)
{
    return syscall(SYS_gettid) == getpid();
}

static int slow(int fd, const char *name)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result;
    atomic_fetch_add(is_main() ? &own_syncs : &other_syncs, 1);
    atomic_store(&syncing_thread, (int)syscall(SYS_gettid));
    usleep(20000);
    result = next(fd);
    atomic_store(&syncing_thread, 0);
    return result;
}

int fsync(int fd)
{
    return slow(fd, "fsync");
}

int fdatasync(int fd)
{
    return slow(fd, "fdatasync");
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off64_t);
    if (!next)
        next = (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    if (is_main() && atomic_load(&syncing_thread))
        atomic_fetch_add(&own_writes, 1);
    return next(fd, data, size, offset);
}

/* The thread that syncs just now, or 0. */
int slow_disk_thread(void)
{
    return atomic_load(&syncing_thread);
}

/* One of the counts; all begin anew. */
int slow_disk_count(int which)
{
    return atomic_exchange(which == 0 ? &own_syncs : which == 1 ? &other_syncs : &own_writes, 0);
}
