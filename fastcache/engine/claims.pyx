"""Claims: numbers that a process has to itself, until it gives them back or dies.

A claim is a lock on one byte of a file that is empty (fcntl; https://pubs.opengroup.org/onlinepubs/9699919799/functions/fcntl.html).
The system keeps these locks, and takes them back from who is killed, at once; whoever asks pays a microsecond. What is
always true, and who keeps it so:

- **Such a lock belongs to the process.** Among its threads the set `held` decides, with the GIL as its lock. A forked child
  has none of its parent's, and starts with an empty set.
- **Closing any descriptor of a file drops all of the process's locks on it.** So a file is opened once, however many ask
  for it (`claims_in`), and closed when nobody has the object any more, so that nothing is held either.

Where there is no fcntl (Windows), a claim keeps out the other threads alone, and nobody is known to be dead.
"""

import os
from _weakref import ref

from fastcache.engine import lazy
from fastcache.engine.errors import StorageError

cdef extern from *:
    """
    #ifdef _WIN32
    static int fastcache_claim(int fd, long long number, int take) { return 1; }
    static int fastcache_is_claimed(int fd, long long number) { return 1; }
    #else
    #include <errno.h>
    #include <fcntl.h>
    #include <string.h>
    static int fastcache_lock_byte(int fd, int command, int type, long long number, struct flock *place)
    {
        int code;
        memset(place, 0, sizeof(*place));
        place->l_type = (short)type;
        place->l_whence = SEEK_SET;
        place->l_start = (off_t)number;
        place->l_len = 1;
        do {
            code = fcntl(fd, command, place);
        } while (code == -1 && errno == EINTR);
        return code;
    }
    static int fastcache_claim(int fd, long long number, int take)
    {
        struct flock place;
        if (fastcache_lock_byte(fd, F_SETLK, take ? F_WRLCK : F_UNLCK, number, &place) == 0)
            return 1;
        return errno == EACCES || errno == EAGAIN ? 0 : -errno;
    }
    static int fastcache_is_claimed(int fd, long long number)
    {
        struct flock place;
        return fastcache_lock_byte(fd, F_GETLK, F_WRLCK, number, &place) == 0 ? place.l_type != F_UNLCK : -errno;
    }
    #endif
    """
    int fastcache_claim(int fd, long long number, int take)
    int fastcache_is_claimed(int fd, long long number)

NUMBERS = 1 << 62
"""Claims are numbers from 0 to below this."""

# By device and inode. Without callbacks, which could run while a file is being closed.
cdef dict opened = {}


cdef class Claims:
    """The claims on one file; ``claims_in`` makes these."""

    cdef object __weakref__
    cdef readonly str path
    cdef readonly set held
    cdef int fd

    def __cinit__(self, str path, int fd):
        self.path = path
        self.fd = fd
        self.held = set()

    def __dealloc__(self):
        if self.fd >= 0:
            os.close(self.fd)

    def claim(self, long long number):
        """Have a number; returns whether it was free (bool): nobody had it, in no thread and no process."""
        if number in self.held:
            return False
        if not self.checked(fastcache_claim(self.fd, number, 1)):
            return False
        self.held.add(number)
        return True

    def release(self, long long number):
        """Give a number back."""
        if number in self.held:
            self.held.discard(number)
            self.checked(fastcache_claim(self.fd, number, 0))

    def is_claimed(self, long long number):
        """Whether anybody has it (bool)."""
        return number in self.held or self.checked(fastcache_is_claimed(self.fd, number)) != 0

    cdef int register(self) except -1:
        status = os.fstat(self.fd)
        opened[status.st_dev, status.st_ino] = ref(self)
        return 0

    def renew(self):
        """In a child: what its parent holds is the parent's."""
        self.held = set()

    cdef int checked(self, int code) except -1:
        if code < 0:
            raise StorageError(f"cannot lock a byte of {self.path!r}: {os.strerror(-code)}")
        return code


def claims_in(str path):
    """The claims on this file, which is made (0600) if absent: one object for all of the process.

    Raises:
        StorageError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    cdef Claims found
    # A lock that a fork waits for. Two threads must not open the file twice.
    with lazy.loading:
        try:
            found = known(path)
            if found is None:
                found = Claims(path, os.open(path, flags, 0o600))
                found.register()
        except OSError as error:
            raise StorageError(f"cannot open {path!r}: {error.strerror}") from error
    return found


def claims_beside(str directory):
    """The claims in the folder ``locks`` of a cache's directory, which is made (0700) if absent.

    Raises:
        StorageError: it, or a file in it, cannot be made.
    """
    folder = os.path.join(directory, "locks")
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder!r}: {error.strerror}") from error
    return claims_in(os.path.join(folder, "alive"))


cdef Claims known(str path):
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


def renew():
    """In a child: none of its parent's claims are its own."""
    for reference in list(opened.values()):
        claims = reference()
        if claims is not None:
            claims.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=renew)
