"""Byte locks: numbers that one process at a time holds, until it releases them or dies.

Number n is the byte at offset n of an empty file, locked by fcntl
(https://pubs.opengroup.org/onlinepubs/9699919799/functions/fcntl.html). The system releases the locks of a process that is killed, at
once; asking takes a microsecond. What is always true, and who keeps it so:

- **Such a lock belongs to the process.** Among its threads the set `held` decides, guarded by the GIL. A forked child
  has none of its parent's locks, and starts with an empty set.
- **A file is opened once**, however many ask for it (`byte_locks_in`), and closed when nobody has the object any more, so that
  nothing is held either. It is closed with the GIL held: nobody can have opened it anew, and locked a byte, before that is done.
- **Nobody else's close takes a lock away**, where Linux has locks of descriptions (engine/descriptions.pxd): whoever copies
  the directory reads this file, too. A child closes the description that it comes with as soon as it is forked, and opens one of its own
  when it needs it. Elsewhere the locks are POSIX's, and the first close of any descriptor of the file drops them.
- **Acquiring and releasing cannot be interrupted**: between the system's answer and the set no Python code runs.
- **What was released is free, or will be.** The system may refuse even that, for lack of memory; the number is then
  `owed`, and released by whoever acquires or asks next.
- **A process may be known by a byte**: that of its `owner` number, which it keeps locked as long as the object lives, so that others can write
  that number down and see later whether it is there (leaders.pyx). Only where a description has the locks: what a stranger's close
  may take away is no sign of life. The number goes in the child's handler, and with each fork the object begins another `life`.

Where there is no fcntl (Windows), a byte lock excludes the other threads alone, and nobody is known to be dead. Those of a cache in memory
(`byte_locks_in_memory`) have no file at all: no other process knows of them.
"""

import os
from _weakref import ref

from fastcache.engine.descriptions cimport FASTCACHE_HAS_DESCRIPTIONS

from fastcache.engine.shm.sharing import file_mode, make_folder, settle_mode
from fastcache.runtime import fork
from fastcache.errors import DirectoryGoneError, StorageError, system_error

cdef extern from *:
    """
    #include <stdlib.h>
    struct fastcache_bytes {
        /* -1 in a child that was forked, until it locks. */
        int fd;
        /* Its locks are of the description. */
        int described;
        /* The number that this process is known by; 0 for none. */
        unsigned long long owner;
        /* How often it was forked. */
        unsigned int life;
        struct fastcache_bytes *next;
    };
    #ifdef _WIN32
    static int fastcache_lock_byte(struct fastcache_bytes *file, long long number, int take) { return 1; }
    static int fastcache_is_locked(struct fastcache_bytes *file, long long number) { return 1; }
    static int fastcache_first_locked(struct fastcache_bytes *file, long long *first, long long *count) { return 0; }
    static int fastcache_lacks_locks(int code) { return 0; }
    #include <io.h>
    static struct fastcache_bytes *fastcache_new_bytes(int fd)
    {
        struct fastcache_bytes *file = (struct fastcache_bytes *)calloc(1, sizeof *file);
        if (file != NULL)
            file->fd = fd;
        return file;
    }
    static void fastcache_free_bytes(struct fastcache_bytes *file) { _close(file->fd); free(file); }
    static void fastcache_close_fd(int fd) { _close(fd); }
    #else
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <string.h>
    #include <unistd.h>
    static struct fastcache_bytes *fastcache_all_bytes;
    static pthread_mutex_t fastcache_bytes_mutex = PTHREAD_MUTEX_INITIALIZER;
    static void fastcache_bytes_before(void) { pthread_mutex_lock(&fastcache_bytes_mutex); }
    static void fastcache_bytes_after(void) { pthread_mutex_unlock(&fastcache_bytes_mutex); }
    static void fastcache_bytes_in_child(void)
    {
        struct fastcache_bytes *file;
        for (file = fastcache_all_bytes; file != NULL; file = file->next) {
            file->owner = 0;
            file->life++;
            if (file->described && file->fd >= 0) {
                close(file->fd);
                file->fd = -1;
            }
        }
        pthread_mutex_unlock(&fastcache_bytes_mutex);
    }
    /* Takes the descriptor over, if there is memory. */
    static struct fastcache_bytes *fastcache_new_bytes(int fd)
    {
        static int forks = 0;
        struct fastcache_bytes *file = (struct fastcache_bytes *)calloc(1, sizeof *file);
        if (file == NULL)
            return NULL;
        file->fd = fd;
        pthread_mutex_lock(&fastcache_bytes_mutex);
        if (!forks)
            forks = pthread_atfork(fastcache_bytes_before, fastcache_bytes_after, fastcache_bytes_in_child) == 0;
    #if FASTCACHE_HAS_DESCRIPTIONS
        file->described = forks && fastcache_has_description_locks(fd);
    #endif
        file->next = fastcache_all_bytes;
        fastcache_all_bytes = file;
        pthread_mutex_unlock(&fastcache_bytes_mutex);
        return file;
    }
    static void fastcache_free_bytes(struct fastcache_bytes *file)
    {
        struct fastcache_bytes **link;
        pthread_mutex_lock(&fastcache_bytes_mutex);
        for (link = &fastcache_all_bytes; *link != file; link = &(*link)->next)
            ;
        *link = file->next;
        if (file->fd >= 0)
            close(file->fd);
        pthread_mutex_unlock(&fastcache_bytes_mutex);
        free(file);
    }
    static int fastcache_lock_bytes(
        struct fastcache_bytes *file, int command, int type, long long number, long long count, struct flock *place)
    {
        int code;
        memset(place, 0, sizeof(*place));
        place->l_type = (short)type;
        place->l_whence = SEEK_SET;
        place->l_start = (off_t)number;
        place->l_len = (off_t)count;
    #if FASTCACHE_HAS_DESCRIPTIONS
        if (file->described)
            command = command == F_SETLK ? F_OFD_SETLK : F_OFD_GETLK;
    #endif
        do {
            code = fcntl(file->fd, command, place);
        } while (code == -1 && errno == EINTR);
        return code;
    }
    static int fastcache_lock_byte(struct fastcache_bytes *file, long long number, int take)
    {
        struct flock place;
        if (fastcache_lock_bytes(file, F_SETLK, take ? F_WRLCK : F_UNLCK, number, 1, &place) == 0)
            return 1;
        return errno == EACCES || errno == EAGAIN ? 0 : -errno;
    }
    static int fastcache_is_locked(struct fastcache_bytes *file, long long number)
    {
        struct flock place;
        return fastcache_lock_bytes(file, F_GETLK, F_WRLCK, number, 1, &place) == 0 ? place.l_type != F_UNLCK : -errno;
    }
    /* Whether another process has locked any of these; fills in the first range of them. */
    static int fastcache_first_locked(struct fastcache_bytes *file, long long *first, long long *count)
    {
        struct flock place;
        if (fastcache_lock_bytes(file, F_GETLK, F_WRLCK, *first, *count, &place) != 0)
            return -errno;
        *first = place.l_start;
        *count = place.l_len;
        return place.l_type != F_UNLCK;
    }
    static int fastcache_lacks_locks(int code)
    {
        return code == ENOLCK || code == ENOTSUP || code == EOPNOTSUPP || code == ENOSYS || code == EINVAL;
    }
    static void fastcache_close_fd(int fd) { close(fd); }
    #endif
    """
    int fastcache_lock_byte(fastcache_bytes* file, long long number, int take)
    int fastcache_is_locked(fastcache_bytes* file, long long number)
    int fastcache_first_locked(fastcache_bytes* file, long long* first, long long* count)
    bint fastcache_lacks_locks(int code)
    fastcache_bytes* fastcache_new_bytes(int fd)
    void fastcache_free_bytes(fastcache_bytes* file)
    void fastcache_close_fd(int fd)

NUMBERS = 1 << 62
"""Locks and flights use the numbers from 0 to below this; those above say which flight waits for which (flights.pyx)."""

# By which processes are known: above those of the waits.
cdef long long FIRST_OWNER = (1 << 62) + (1 << 60)
# How many of them a process tries. They are next to each other, and begin with one that no other process of the machine begins with.
cdef int OWNER_TRIES = 64

cdef int FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)

# By device and inode. Without callbacks, which could run while a file is being closed.
cdef dict opened = {}


cdef class ByteLocks:
    """The byte locks of one file; ``byte_locks_in`` makes these. Without a path, of none."""

    def __cinit__(self, str path, int fd):
        self.path = path
        self.held = set()
        self.owed = set()
        if path is None:
            return
        self.file = fastcache_new_bytes(fd)
        if self.file == NULL:
            fastcache_close_fd(fd)
            raise MemoryError("no memory for byte locks")

    def __dealloc__(self):
        if self.file != NULL:
            fastcache_free_bytes(self.file)

    cpdef bint acquire(self, long long number) except -1:
        """Acquire a number if it is free; returns whether it was (bool): no thread of any process held it.

        Raises:
            StorageError: the system has no such locks there, or too little memory for one.
        """
        if number in self.held:
            return False
        if self.file == NULL:
            self.held.add(number)
            return True
        if self.file.fd < 0:
            self.reopen()
        if self.owed:
            self.release_owed()
        # Before it is locked, since this may fail.
        self.held.add(number)
        cdef int code = fastcache_lock_byte(self.file, number, 1)
        if code <= 0:
            self.held.discard(number)
            self.checked(code)
            return False
        return True

    cpdef release(self, object number):
        """Release a number, if we hold it. Never fails, and needs no memory."""
        cdef long long place = number
        if number in self.held:
            self.held.discard(number)
            # In a child that has not locked anything yet, what is held is its parent's.
            if self.file != NULL and self.file.fd >= 0 and fastcache_lock_byte(self.file, place, 0) < 0 and (
                    fastcache_lock_byte(self.file, place, 0) < 0):
                self.owed.add(number)

    cpdef bint is_locked(self, long long number) except -1:
        """Whether anybody holds it (bool)."""
        if self.file == NULL:
            return number in self.held
        if self.file.fd < 0:
            self.reopen()
        if self.owed:
            self.release_owed()
        return number in self.held or self.checked(fastcache_is_locked(self.file, number)) != 0

    cdef list locked_within(self, long long first, long long count):
        """Which of so many numbers from this one on other processes hold (list of int)."""
        cdef list found = []
        cdef long long end = first + count
        cdef long long start
        if self.file == NULL:
            return found
        if self.file.fd < 0:
            self.reopen()
        while first < end:
            start, count = first, end - first
            if not self.checked(fastcache_first_locked(self.file, &start, &count)):
                break
            # Neighbours are one lock to the system, which may begin before, and of which 0 is one without an end.
            first = max(first, start)
            found.append(first)
            if first + 1 < start + count:
                first += 1
            else:
                first = start + count
        return found

    cdef unsigned long long owner(self) noexcept:
        """The number that this process is known by; 0 if it has none yet."""
        return 0 if self.file == NULL else self.file.owner

    cdef unsigned int life(self) noexcept:
        """How many forks lie between the process that has opened the file and this one."""
        return 0 if self.file == NULL else self.file.life

    cdef unsigned long long take_owner(self) except? 0:
        """Have a number that this process is known by; 0 if there is none to be had."""
        cdef int tries
        cdef unsigned long long number
        if self.file == NULL or not self.file.described:
            return 0
        if self.file.fd < 0:
            self.reopen()
        for tries in range(OWNER_TRIES):
            number = 1 + <unsigned long long>(os.getpid() + tries) % MOST_OWNERS
            if self.lock_owner(number):
                self.file.owner = number
                return number
        return 0

    cdef bint lock_owner(self, unsigned long long number) except -1:
        """Lock the byte of such a number, if nobody is known by it; returns whether that was so. It must not be ours."""
        if self.file.fd < 0:
            self.reopen()
        return self.checked(fastcache_lock_byte(self.file, FIRST_OWNER + <long long>number, 1)) != 0

    cdef void unlock_owner(self, unsigned long long number) noexcept:
        """Unlock it again. Should the system refuse that, nobody is known by it as long as this process lives."""
        fastcache_lock_byte(self.file, FIRST_OWNER + <long long>number, 0)

    def beside(self, str name):
        """The path of a file beside theirs (str); None if there is none."""
        return None if self.path is None else os.path.join(os.path.dirname(self.path), name)

    cdef int release_owed(self) except -1:
        """Release what the system has refused to, unless it was acquired again."""
        for number in list(self.owed):
            if number in self.held or fastcache_lock_byte(self.file, number, 0) >= 0:
                self.owed.discard(number)
        return 0

    cdef int register(self) except -1:
        status = os.fstat(self.file.fd)
        self.place = (status.st_dev, status.st_ino)
        opened[self.place] = ref(self)
        return 0

    cdef int reopen(self) except -1:
        """In a child that was forked: have a description of its own. (The one that it came with was closed, since it would have kept
        the parent's locks.)"""
        cdef int fd = -1
        try:
            fd = os.open(self.path, FLAGS)
            status = os.fstat(fd)
        except OSError as error:
            if fd >= 0:
                fastcache_close_fd(fd)
            raise system_error(error.errno, f"open {self.path!r}") from error
        if (status.st_dev, status.st_ino) != self.place:
            fastcache_close_fd(fd)
            raise StorageError(f"{self.path!r} is another file than before this process was forked; open the cache anew")
        if self.file.fd < 0:
            self.file.fd = fd
        else:
            # Another thread was faster.
            fastcache_close_fd(fd)
        return 0

    def after_fork_in_child(self):
        """What its parent holds is the parent's."""
        self.held = set()
        self.owed = set()

    cdef int checked(self, int code) except -1:
        if code < 0:
            reason = os.strerror(-code)
            if fastcache_lacks_locks(-code):
                reason = f"its file system does not lock bytes of files, which locks and computing once need ({reason})"
            raise StorageError(f"cannot lock a byte of {self.path!r}: {reason}")
        return code


def byte_locks_in(str path):
    """The byte locks of this file, which is made (0600) if absent: one object in a process.

    Raises:
        StorageError: it cannot be opened.
    """
    cdef ByteLocks found
    # Two threads must not open the file twice.
    guard = fork.guard
    guard.acquire()
    try:
        try:
            found = known(path)
            if found is None:
                mode = file_mode(os.path.dirname(path))
                found = ByteLocks(path, os.open(path, FLAGS | os.O_CREAT, mode))
                settle_mode(found.file.fd, mode)
                found.register()
        except OSError as error:
            raise system_error(error.errno, f"open {path!r}") from error
    finally:
        guard.release()
    return found


def byte_locks_of(str directory):
    """The byte locks in the folder ``locks`` of a cache's directory, which is made (0700) if absent.

    Raises:
        StorageError: it, or a file in it, cannot be made.
    """
    folder = os.path.join(directory, "locks")
    try:
        make_folder(folder)
    except FileExistsError:
        if os.path.islink(folder):
            raise StorageError(f"{folder!r} is a link, and has to be a folder; nothing is written behind it") from None
    except FileNotFoundError as error:
        raise DirectoryGoneError(f"{directory!r} is not there any more; nothing can be locked in it") from error
    except OSError as error:
        raise system_error(error.errno, f"make the folder {folder!r}") from error
    return byte_locks_in(os.path.join(folder, "alive"))


def byte_locks_in_memory():
    """Byte locks that no other process knows of, and no other caller."""
    cdef ByteLocks made = ByteLocks(None, -1)
    opened[id(made)] = ref(made)
    return made


cdef ByteLocks known(str path):
    """The object of a file that is open already."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    for place, reference in list(opened.items()):
        if reference() is None:
            opened.pop(place, None)
    reference = opened.get((status.st_dev, status.st_ino))
    return None if reference is None else reference()


def _after_fork_in_child():
    for reference in list(opened.values()):
        byte_locks = reference()
        if byte_locks is not None:
            byte_locks.after_fork_in_child()


fork.BYTE_LOCKS.in_child = _after_fork_in_child
