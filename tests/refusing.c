/* A system that refuses what locks and computing once ask of it; loaded with LD_PRELOAD.

   REFUSE_FUTEX is the errno of each futex that is not the C library's own. REFUSE_LOCKS is that of each lock on a byte of
   a file named alive, or, if REFUSE_UNLOCKING is given, of so many of those that give one back. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int number_in(const char *name)
{
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long given[6];
    va_list arguments;
    if (number == SYS_futex && number_in("REFUSE_FUTEX")) {
        errno = number_in("REFUSE_FUTEX");
        return -1;
    }
    va_start(arguments, number);
    for (int index = 0; index < 6; index++)
        given[index] = va_arg(arguments, long);
    va_end(arguments);
    if (!next)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}

static int is_alive(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    return length > 6 && memcmp(path + length - 6, "/alive", 6) == 0;
}

static int control(const char *name, int fd, int command, void *argument)
{
    static int unlocked;
    int (*next)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);
    int sets = command == F_SETLK || command == F_OFD_SETLK;
    if (number_in("REFUSE_LOCKS") && (sets || command == F_GETLK || command == F_OFD_GETLK) && is_alive(fd)) {
        int refused = number_in("REFUSE_UNLOCKING");
        int unlocks = sets && ((struct flock *)argument)->l_type == F_UNLCK;
        if (refused ? unlocks && unlocked++ < refused : 1) {
            errno = number_in("REFUSE_LOCKS");
            return -1;
        }
    }
    return next(fd, command, argument);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control("fcntl", fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control("fcntl64", fd, command, argument);
}
