# cython: nonecheck=True
"""Value files: what is too large for a row.

A file's life, in the order that makes a crash harmless at every point:

1. it is written to ``values/tmp/NAME``;
2. the writer takes the database's write lock, renames the file to ``values/NAME`` and commits the row naming it.
   So whoever holds the write lock sees no file in ``values/`` that a living writer is about to name;
3. the row goes away (to be replaced, maybe): a trigger puts NAME into the table ``trash`` in the same transaction;
4. after that commit somebody unlinks it, then drops it from the trash. A reader that had read the row before finds
   no file, and reads the row again. What a transaction evicts to make room for itself is unlinked at once, before its
   commit (bounded.pyx): should it be undone, the row is there again without its file, and goes, too.

What is always true, and who keeps it so:

- **A name says who has given it out.** It is the number of a writer and a sequence, 16 hexadecimal digits each. A number is
  random, and claimed (byte_locks.pyx) as long as its writer lives: the system takes the claim back from whoever is killed. No
  name is used twice.
- **A death is noticed by a marker.** Each writer leaves an empty file ``values/tmp/NUMBER.writer`` before its first file,
  and removes it when it closes. A marker whose number nobody claims is a dead writer's; looking for one is listing a
  folder that is next to empty. Who finds one compares the files with the rows (``Leftovers.reclaim``), unlinks what no
  row and no trash names, deletes the rows whose file is gone, and last of all removes the marker. (Considered, and left:
  to write down in the marker which names a writer may have under way. It costs a write now and then, is worth nothing
  after a power cut, and the rows have to be gone through all the same, since no index says which of them names a file.)
- **Temporary files are owned from the moment they exist.** `PendingFile` is made first, and creates its file in one call of
  compiled code, in which no signal handler runs. It removes the file when it is collected, unless it was told that its row
  is committed: from then on nothing removes the file but the trash.
- **No link leads elsewhere.** The two folders are opened without following links, and all is done relative to these
  descriptors. What is removed are plain files with a name of our form. The cache's own directory may be a link. So
  a directory that is renamed while it is in use goes on working.
- **A folder that is not there is no lost file.** Rows are removed only for a file that is missing in a folder that is there.

Where a number cannot be claimed (no byte locks), each temporary file is locked by itself (flock), and who finds one whose
lock is free knows that its writer is dead; so it was before there were numbers, and such files are still known. Windows
has neither: there a file that is open cannot be unlinked, which is proof enough that its writer lives.
"""

import os
import time

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR, ENOENT

from fastcache.errors import CacheError, ClosedError, StorageError, system_error
from fastcache.runtime.imports import load

cdef extern from *:
    """
    #include <errno.h>
    #ifdef _WIN32
    #include <io.h>
    #include <process.h>
    #define fastcache_process() ((int)_getpid())
    static int fastcache_close(int fd) { return _close(fd); }
    /* Everything else is done by path. */
    static int fastcache_open_folder(int folder, const char *name) { return -1; }
    static int fastcache_create_in(int folder, const char *name) { return -1; }
    static int fastcache_open_in(int folder, const char *name) { return -1; }
    static int fastcache_remove_from(int folder, const char *name) { return -1; }
    static int fastcache_move(int from, const char *name, int to) { return -1; }
    static int fastcache_look_in(int folder, const char *name, long long *size) { return -1; }
    static int fastcache_is_removed(int fd) { return 0; }
    static int fastcache_is_link(int code) { return 0; }
    static int fastcache_lock(int fd) { return -1; }
    static int fastcache_look_at(int fd, long long *size)
    {
        *size = _filelengthi64(fd);
        return *size < 0 ? -1 : 1;
    }
    static long long fastcache_read(int fd, char *place, long long size)
    {
        return _read(fd, place, size > 0x40000000 ? 0x40000000 : (unsigned)size);
    }
    static const int HERE = -1;
    #else
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/file.h>
    #include <sys/stat.h>
    #include <unistd.h>
    #define fastcache_process() ((int)getpid())
    static const int HERE = AT_FDCWD;
    static int fastcache_open_at(int folder, const char *name, int flags)
    {
        int fd;
        do {
            fd = openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
        } while (fd < 0 && errno == EINTR);
        return fd < 0 ? -errno : fd;
    }
    static int fastcache_open_folder(int folder, const char *name)
    {
        return fastcache_open_at(folder, name, O_RDONLY | O_DIRECTORY);
    }
    static int fastcache_create_in(int folder, const char *name)
    {
        return fastcache_open_at(folder, name, O_WRONLY | O_CREAT | O_EXCL);
    }
    static int fastcache_open_in(int folder, const char *name)
    {
        /* Opening a FIFO that somebody has planted must not hang. */
        return fastcache_open_at(folder, name, O_RDONLY | O_NONBLOCK);
    }
    static int fastcache_close(int fd)
    {
        /* Interrupted or not, it is closed. */
        return close(fd) == 0 || errno == EINTR ? 0 : -errno;
    }
    static int fastcache_kind(const struct stat *found, long long *size)
    {
        *size = (long long)found->st_size;
        return S_ISREG(found->st_mode) ? 1 : 0;
    }
    static int fastcache_look_in(int folder, const char *name, long long *size)
    {
        struct stat found;
        return fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) == 0 ? fastcache_kind(&found, size) : -errno;
    }
    static int fastcache_look_at(int fd, long long *size)
    {
        struct stat found;
        return fstat(fd, &found) == 0 ? fastcache_kind(&found, size) : -errno;
    }
    static int fastcache_is_removed(int fd)
    {
        struct stat found;
        return fstat(fd, &found) == 0 && found.st_nlink == 0;
    }
    static int fastcache_is_link(int code) { return code == ELOOP || code == ENOTDIR || code == EMLINK; }
    static int fastcache_remove_from(int folder, const char *name)
    {
        long long size;
        int kind = fastcache_look_in(folder, name, &size);
        if (kind == 1)
            return unlinkat(folder, name, 0) == 0 ? 0 : -errno;
        /* What is no plain file is not ours. */
        return kind == 0 ? 0 : kind;
    }
    static int fastcache_move(int from, const char *name, int to)
    {
        return renameat(from, name, to, name) == 0 ? 0 : -errno;
    }
    /* 1 if the lock was free, 0 if it was not, less where there are no locks. */
    static int fastcache_lock(int fd)
    {
        return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 1 : errno == EWOULDBLOCK || errno == EINTR ? 0 : -errno;
    }
    static long long fastcache_read(int fd, char *place, long long size)
    {
        ssize_t count = read(fd, place, size > 0x40000000 ? 0x40000000 : (size_t)size);
        return count >= 0 ? (long long)count : errno == EINTR ? -EINTR : -errno;
    }
    #endif
    """
    const int HERE
    int fastcache_process() noexcept nogil
    int fastcache_close(int fd) noexcept nogil
    int fastcache_open_folder(int folder, const char* name) noexcept nogil
    int fastcache_create_in(int folder, const char* name) noexcept nogil
    int fastcache_open_in(int folder, const char* name) noexcept nogil
    int fastcache_remove_from(int folder, const char* name) noexcept nogil
    int fastcache_move(int source, const char* name, int target) noexcept nogil
    int fastcache_look_in(int folder, const char* name, long long* size) noexcept nogil
    int fastcache_look_at(int fd, long long* size) noexcept nogil
    bint fastcache_is_removed(int fd) noexcept nogil
    bint fastcache_is_link(int code) noexcept nogil
    int fastcache_lock(int fd) noexcept nogil
    long long fastcache_read(int fd, char* place, long long size) noexcept nogil

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8(object text) except NULL

cdef bint BY_PATH = os.name == "nt"
# For Windows, where everything is done by path.
cdef int READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
cdef int WRITE_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0))
cdef Py_ssize_t LARGEST_WRITE = 1 << 30
# IOV_MAX is at least that on every system that has writev.
cdef Py_ssize_t MOST_PARTS = 1 if BY_PATH else 1024
cdef str MARKER = ".writer"
# The numbers of writers: the upper half of those that can be claimed, since locks have the others.
cdef unsigned long long LEAST_NUMBER = 1 << 61
cdef unsigned long long NUMBERS = 1 << 62
# How long a writer may take from creating a temporary file to locking it, in seconds.
cdef double UNLOCKED = 0.05


class MissingFileError(CacheError):
    """The file is not there, or has not the size that its row states."""


cdef bint is_ours(object name) noexcept:
    """Whether a file's name is of the form that we give out, so that a row that was planted reaches no other file."""
    return type(name) is str and len(<str>name) == 32 and are_digits(<str>name)


cdef bint are_digits(str text) noexcept:
    cdef Py_UCS4 digit
    for digit in text:
        if not (u"0" <= digit <= u"9" or u"a" <= digit <= u"f"):
            return False
    return True


cdef bint is_marker(str name) noexcept:
    return len(name) == 16 + len(MARKER) and name.endswith(MARKER) and are_digits(name[:16])


cdef int raise_system_error(int code, str path) except -1:
    raise OSError(-code, os.strerror(-code), path)


# Collected in no cycle, and with what they hold still in place: what they have to give back, they give back.
@cython.no_gc
cdef class Folder:
    """A folder that is open. What is done in it leads nowhere else, whatever becomes of its path."""

    def __cinit__(self, str path):
        self.path = path
        self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            fastcache_close(self.fd)

    cdef bint was_removed(self) noexcept:
        """Whether it is not there any more, nor elsewhere."""
        return not os.path.isdir(self.path) if self.fd < 0 else fastcache_is_removed(self.fd)

    cdef int create(self, str name) except -1:
        """Create a file, and return its descriptor."""
        cdef int code
        cdef const char* place
        if self.fd < 0:
            return os.open(os.path.join(self.path, name), WRITE_FLAGS, 0o600)
        place = PyUnicode_AsUTF8(name)
        with nogil:
            code = fastcache_create_in(self.fd, place)
        if code < 0:
            raise_system_error(code, self.path)
        return code

    cdef int open(self, str name) except -1:
        """Open a file for reading, and return its descriptor."""
        cdef int code
        if self.fd < 0:
            return os.open(os.path.join(self.path, name), READ_FLAGS)
        code = fastcache_open_in(self.fd, PyUnicode_AsUTF8(name))
        if code < 0:
            raise_system_error(code, self.path)
        return code

    cdef int look(self, str name, long long* size) except -1:
        """Whether there is a plain file of this name, and its size; raises FileNotFoundError if there is nothing."""
        cdef int code
        if self.fd < 0:
            found = os.lstat(os.path.join(self.path, name))
            size[0] = found.st_size
            return load("stat").S_ISREG(found.st_mode)
        code = fastcache_look_in(self.fd, PyUnicode_AsUTF8(name), size)
        if code < 0:
            raise_system_error(code, self.path)
        return code

    cdef bint remove(self, str name) noexcept:
        """Remove a plain file; returns whether there is none any more. Also called while an exception is on its way."""
        cdef const char* place
        cdef int code
        if self.fd < 0:
            try:
                os.unlink(os.path.join(self.path, name))
            except FileNotFoundError:
                return True
            except BaseException:
                return False
            return True
        place = PyUnicode_AsUTF8(name)
        with nogil:
            code = fastcache_remove_from(self.fd, place)
        return code == 0 or code == -ENOENT

    cdef list names(self):
        """The names of everything in it. Raises OSError."""
        cdef int fd
        if self.fd < 0:
            return os.listdir(self.path)
        # Through a descriptor of its own, since each has but one position in the list.
        fd = fastcache_open_folder(self.fd, b".")
        if fd < 0:
            raise_system_error(fd, self.path)
        try:
            return os.listdir(fd)
        finally:
            fastcache_close(fd)


cdef Folder open_folder(Folder within, str path, str name):
    """Open a folder, unless it is a link; raises FileNotFoundError if there is none."""
    cdef Folder folder = Folder.__new__(Folder, path)
    cdef int code
    cdef bytes place
    if BY_PATH:
        if os.path.islink(path) or not os.path.isdir(path) and os.path.lexists(path):
            raise_no_folder(path)
        os.stat(path)
        return folder
    if within is None:
        place = os.fsencode(path)
        code = fastcache_open_folder(HERE, PyBytes_AS_STRING(place))
    else:
        code = fastcache_open_folder(within.fd, PyUnicode_AsUTF8(name))
    if code >= 0:
        folder.fd = code
        return folder
    if fastcache_is_link(-code):
        raise_no_folder(path)
    raise_system_error(code, path)


cdef list list_folder(Folder folder):
    """The names of everything in a folder."""
    try:
        return folder.names()
    except OSError as error:
        raise storage_error(error, "list", folder.path) from error


cdef int raise_no_folder(str path) except -1:
    raise StorageError(
        f"{path!r} has to be a folder, and is a link or something else; nothing is read, written or removed behind it. Put the "
        "folder itself there, or make the cache's whole directory a link")


cdef int make_folder(str path, object within) except -1:
    try:
        os.mkdir(path, 0o700, dir_fd=within)
    except FileExistsError:
        pass
    return 0


@cython.no_gc
cdef class ValueFiles:
    """The value files of one cache directory."""

    def __init__(self, str directory not None):
        self.directory = directory
        self.folder = os.path.join(directory, "values")
        self.temporary = os.path.join(self.folder, "tmp")
        self.pending = set()
        self.left = set()

    def __dealloc__(self):
        try:
            self.close()
        except BaseException:
            # Then the process's end gives the claim back, and somebody else removes the marker.
            pass

    cdef Folder open_values(self):
        """The folder of committed files, opened when it is first needed; raises FileNotFoundError."""
        if self.values is not None and self.values.was_removed():
            self.values = None
            self.arriving = None
        if self.values is None:
            self.values = open_folder(None, self.folder, "values")
        return self.values

    cdef Folder open_arriving(self):
        """The folder of temporary files, in the same way."""
        cdef Folder values = self.open_values()
        if self.arriving is not None and self.arriving.was_removed():
            self.arriving = None
        if self.arriving is None:
            self.arriving = open_folder(values, self.temporary, "tmp")
        return self.arriving

    cdef Folder values_if_there(self):
        """The folder of committed files, None if there is none; raises StorageError where it cannot be opened."""
        try:
            return self.open_values()
        except FileNotFoundError:
            return None
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise storage_error(error, "open the folder", self.folder) from error

    cdef Folder arriving_if_there(self):
        """The folder of temporary files, in the same way."""
        try:
            return self.open_arriving()
        except FileNotFoundError:
            return None
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise storage_error(error, "open the folder", self.temporary) from error

    cdef int refuse_links(self) except -1:
        """Raise StorageError where one of the folders is a link, or no folder."""
        self.arriving_if_there()
        return 0

    cdef int rest(self) except -1:
        """Nothing is written here for now: keep no descriptor for it."""
        if not self.number:
            self.arriving = None
        return 0

    cdef int make_folders(self) except -1:
        cdef Folder values
        try:
            make_folder(self.folder, None)
            values = self.open_values()
            if BY_PATH:
                make_folder(self.temporary, None)
            else:
                make_folder("tmp", values.fd)
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise storage_error(error, "make the folder", self.temporary) from error
        return 0

    cdef object known_claims(self):
        if self.claims is None:
            try:
                claims = load("fastcache.engine.shm.byte_locks")
            except (ImportError, OSError) as error:
                # For want of descriptors, say.
                raise StorageError(f"cannot load a module of fastcache, to write to {self.folder!r}: {error}") from error
            self.claims = claims.byte_locks_of(self.directory)
        return self.claims

    cdef int announce(self) except -1:
        """Have a number, and a marker that says so: before the first file, or the first one that is unlinked too early."""
        cdef unsigned long long number
        cdef str marker
        cdef bint claimed = False
        cdef Folder arriving
        if self.number:
            return 0
        self.make_folders()
        number = LEAST_NUMBER | (<unsigned long long>int.from_bytes(os.urandom(8), "little") & (LEAST_NUMBER - 1))
        # By names of our own: somebody may close these files meanwhile.
        claims = None
        if not BY_PATH:
            try:
                claims = self.known_claims()
                claimed = claims.acquire(number)
            except StorageError:
                # There are no byte locks, or something else lies in the place of their file.
                pass
        if not claimed:
            # One that nobody takes for a number that could be claimed.
            number |= 1 << 63
            self.locks_each = True
        marker = f"{number:016x}{MARKER}"
        if claimed:
            try:
                arriving = self.open_arriving()
                fastcache_close(arriving.create(marker))
            except OSError as error:
                claims.release(number)
                if isinstance(error, CacheError):
                    raise
                raise storage_error(error, "create a file in", self.temporary) from error
            except BaseException:
                claims.release(number)
                raise
        if self.number or self.closed:
            # Another thread was faster, or has closed them.
            if claimed:
                arriving.remove(marker)
                claims.release(number)
            if self.closed:
                raise ClosedError(f"the cache in {self.directory!r} is closed")
            return 0
        self.process = fastcache_process()
        self.sequence = 0
        self.number = number
        return 0

    cdef PendingFile begin(self):
        """An empty temporary file."""
        cdef PendingFile pending
        cdef int tries
        if self.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        if self.number and self.process != fastcache_process():
            # Forked by something that tells nobody.
            self.renew()
        for tries in range(2):
            self.announce()
            pending = PendingFile.__new__(PendingFile)
            pending.files = self
            pending.process = self.process
            pending.name = f"{self.number:016x}{self.sequence:016x}"
            self.sequence += 1
            try:
                pending.arriving = self.open_arriving()
                pending.values = self.values
                self.pending.add(pending.name)
                pending.fd = pending.arriving.create(pending.name)
                break
            except FileNotFoundError as error:
                if tries:
                    raise storage_error(error, "create a value file in", self.folder) from error
                # Somebody has removed the folder, and our marker with it.
                self.give_number_back()
            except OSError as error:
                if isinstance(error, CacheError):
                    raise
                raise storage_error(error, "create a value file in", self.folder) from error
        if self.locks_each and not BY_PATH:
            fastcache_lock(pending.fd)
        return pending

    cdef int open(self, object name, object size) except -1:
        """Open a committed file, if it has the size that its row states."""
        cdef long long found = -1
        # Compared as a C integer: nothing may fail while the descriptor is nobody's.
        cdef long long stated = size if type(size) is int else -1
        cdef int fd = -1
        cdef int kind
        if not is_ours(name):
            raise MissingFileError("a row names a file in a form that is not ours")
        try:
            try:
                fd = (self.values if self.values is not None else self.open_values()).open(name)
            except FileNotFoundError:
                # A folder that is not there says nothing of a file.
                fd = self.open_values().open(name)
        except FileNotFoundError as error:
            if self.values is None or self.values.was_removed():
                raise StorageError(f"cannot read from {self.folder!r}: the folder is not there, and with it all values that "
                                   "are in files; put it back, or remove what cannot be read with check(fix=True)") from error
            raise MissingFileError("a value file is not there") from error
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            if fastcache_is_link(error.errno or 0):
                raise MissingFileError("what lies in a value file's place is none") from error
            raise storage_error(error, "open a value file of", self.folder) from error
        kind = fastcache_look_at(fd, &found)
        if kind == 1 and found == stated:
            return fd
        fastcache_close(fd)
        if kind < 0:
            error = OSError(-kind, os.strerror(-kind))
            raise storage_error(error, "look at a value file of", self.folder) from error
        raise MissingFileError("a value file has another size than its row states")

    def read(self, object name, object size):
        """The bytes of a committed file.

        Raises:
            MissingFileError: it is not there, or is not ``size`` bytes long.
            StorageError: the file system reported an error, or the folder is not there.
        """
        cdef int fd = self.open(name, size)
        cdef long long left, count
        cdef char* place
        cdef object payload
        try:
            left = size
            payload = PyBytes_FromStringAndSize(NULL, left)
            place = PyBytes_AS_STRING(payload)
            while left:
                with nogil:
                    count = fastcache_read(fd, place, left)
                if count == 0:
                    raise MissingFileError("a value file has another size than its row states")
                if count < 0 and count != -EINTR:
                    error = OSError(-count, os.strerror(-count))
                    raise storage_error(error, "read a value file of", self.folder) from error
                if count > 0:
                    place += count
                    left -= count
                if left:
                    PyErr_CheckSignals()
        finally:
            fastcache_close(fd)
        return payload

    def map(self, object name, object size):
        """The same as a view of the file, valid as long as anybody has it; or as bytes where there are no maps."""
        cdef int fd = self.open(name, size)
        mapped = None
        try:
            mapped = load("fastcache.engine.blobs.mmapped").map_file(fd, size)
        except (ImportError, OSError):
            # Too few descriptors to load what maps.
            pass
        finally:
            fastcache_close(fd)
        return self.read(name, size) if mapped is None else mapped

    def size(self, object name):
        """The size in bytes of a committed file; None if it is not there or no plain file.

        Raises:
            StorageError: the folder is not there, or no folder.
        """
        cdef long long size = 0
        if not is_ours(name):
            return None
        try:
            return size if self.open_values().look(name, &size) else None
        except FileNotFoundError as error:
            if self.values is None:
                raise StorageError(f"cannot look into {self.folder!r}: the folder is not there") from error
            return None
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise storage_error(error, "look at a value file of", self.folder) from error

    def is_there(self):
        """Whether the folder of value files is there (bool); raises StorageError where it is no folder."""
        return self.values_if_there() is not None

    def unlink(self, object name):
        """Remove a committed file. Returns whether it is gone (bool); it stays where the system does not let go of it, and
        while its folder is not there."""
        if not is_ours(name):
            return True
        try:
            return self.open_values().remove(name)
        except OSError:
            return False

    def names(self):
        """The names in the folder that are of our form (list); whoever wants to know what is there looks at each."""
        cdef Folder values = self.values_if_there()
        return [] if values is None else [name for name in list_folder(values) if is_ours(name)]

    def take_over(self, ValueFiles source not None, object name):
        """Give a committed file of another directory its name in this one, too (a link, or a copy); returns whether there
        is one. What has the name here already goes."""
        cdef Folder here, there
        cdef long long size = 0
        try:
            self.make_folders()
            there, here = source.open_values(), self.open_values()
            try:
                if not is_ours(name) or not there.look(name, &size):
                    return False
            except FileNotFoundError:
                return False
            here.remove(name)
            try:
                if BY_PATH:
                    os.link(os.path.join(there.path, name), os.path.join(here.path, name))
                else:
                    os.link(name, name, src_dir_fd=there.fd, dst_dir_fd=here.fd, follow_symlinks=False)
            except OSError:
                # Not every file system has hard links.
                with os.fdopen(there.open(name), "rb") as old, os.fdopen(here.create(name), "wb") as new:
                    load("shutil").copyfileobj(old, new, 1 << 20)
        except OSError as error:
            if isinstance(error, CacheError):
                raise
            raise storage_error(error, "move a value file to", self.folder) from error
        return True

    # -- what the dead have left --------------------------------------------------------------------------------

    def abandoned(self, *, bint remove):
        """Count the temporary files that dead writers have left behind, and remove them if asked."""
        cdef Folder arriving = self.arriving_if_there()
        cdef int count = 0
        if arriving is None:
            return 0
        found = list_folder(arriving)
        suspects = [name for name in found if is_ours(name) and self.is_left(arriving, name)]
        if any(f"{name[:16]}{MARKER}" not in found for name in suspects):
            # Its writer may be alive, and just about to lock it.
            time.sleep(UNLOCKED)
            suspects = [name for name in suspects if self.is_left(arriving, name)]
        for name in suspects:
            if not remove or arriving.remove(name):
                count += 1
        return count

    cdef bint is_left(self, Folder arriving, str name) except -1:
        """Whether a temporary file is there after its writer's death: a writer that lives removes its files first, and gives
        its number back then, so what is to be seen after that stays."""
        cdef long long size
        if not self.is_dead(name):
            return False
        try:
            return arriving.look(name, &size)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_error(error, "look into", self.temporary) from error

    cdef list dead_writers(self):
        """The markers of writers that are dead."""
        cdef Folder arriving = self.arriving_if_there()
        if arriving is None:
            return []
        return [name for name in list_folder(arriving) if is_marker(name) and not self.is_claimed(name)]

    cdef int forget_writer(self, str marker) except -1:
        """Remove a dead writer's marker: all that it has left is gone."""
        cdef Folder arriving = self.arriving_if_there()
        if arriving is not None and not arriving.remove(marker):
            raise StorageError(f"cannot remove a file from {self.temporary!r}")
        return 0

    cdef bint is_claimed(self, str digits) except -1:
        """Whether the writer whose number a name begins with has claimed it, and lives."""
        cdef unsigned long long number = int(digits[:16], 16)
        return LEAST_NUMBER <= number < NUMBERS and self.known_claims().is_locked(number)

    cdef bint is_dead(self, str name) except -1:
        """Whether the writer of a temporary file is dead."""
        return not self.is_claimed(name) and self.is_free(name)

    cdef bint is_free(self, str name) except -1:
        """Whether nobody has locked a temporary file, or there is none."""
        cdef int fd = -1
        try:
            fd = self.open_arriving().open(name)
            # Where there are no locks, no leftover is ever removed.
            return BY_PATH or fastcache_lock(fd) == 1
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            if fd >= 0:
                fastcache_close(fd)

    cdef bint is_settled(self, object name) except -1:
        """Whether nobody is about to write the file for which room was reserved under this name; a temporary file that was left
        goes."""
        cdef Folder arriving
        if not is_ours(name):
            return True
        if self.number and int(name[:16], 16) == self.number:
            return name not in self.pending
        if not self.is_dead(name):
            return False
        arriving = self.arriving_if_there()
        return arriving is None or arriving.remove(name)

    cdef int remove_left(self) except -1:
        """Remove those of our files that could not be removed at the time."""
        cdef Folder arriving = self.arriving
        for name in list(self.left):
            if (arriving is None or arriving.remove(name)) and self.unlink(name):
                self.left.discard(name)
        return 0

    # -- the end ------------------------------------------------------------------------------------------------

    cdef int give_number_back(self) except -1:
        cdef unsigned long long number = self.number
        # By names of our own: removing lets others in, who may find that nothing is left to do, and forget these.
        cdef Folder arriving = self.arriving
        claims = self.claims
        if self.closed and self.pending:
            # Another thread is about to remove what it has written in vain, and then gives the number back.
            return 0
        self.number = 0
        if number and not self.locks_each and self.process == fastcache_process():
            self.remove_left()
            # If there are any left all the same, whoever finds the marker takes us for dead, and removes them.
            if arriving is not None and not self.left:
                arriving.remove(f"{number:016x}{MARKER}")
            claims.release(number)
        return 0

    cdef int close(self) except -1:
        """Give the number back, and close the folders."""
        self.closed = True
        try:
            self.give_number_back()
        finally:
            if not self.number:
                self.values = None
                self.arriving = None
                self.claims = None
        return 0

    cdef int renew(self) except -1:
        """In a child: the number is the parent's."""
        self.number = 0
        self.values = None
        self.arriving = None
        self.claims = None
        self.pending = set()
        self.left = set()
        return 0


@cython.no_gc
cdef class PendingFile:
    """A temporary file, until its row is committed; collected, it takes the file with it."""

    def __cinit__(self):
        self.fd = -1

    def __dealloc__(self):
        self.discard()

    cdef int write(self, list parts) except -1:
        """Write what follows each other."""
        try:
            for group in writable(parts):
                write_all(self.fd, group)
        except OSError as error:
            size = sum(map(len, parts))
            raise storage_error(error, f"write a value of {size} bytes to", self.files.folder) from error
        return 0

    cdef int rename(self) except -1:
        """Give the file its final name; the caller holds the database's write lock."""
        cdef const char* name = PyUnicode_AsUTF8(self.name)
        cdef int code = 0, fd = self.fd
        if BY_PATH:
            # Windows does not rename what is open.
            self.fd = -1
            code = fastcache_close(fd)
            if code == 0:
                try:
                    os.rename(os.path.join(self.arriving.path, self.name), os.path.join(self.values.path, self.name))
                except OSError as error:
                    raise storage_error(error, "finish a value file in", self.files.folder) from error
                self.renamed = True
        else:
            with nogil:
                code = fastcache_move(self.arriving.fd, name, self.values.fd)
            if code == 0:
                self.renamed = True
                self.fd = -1
                with nogil:
                    code = fastcache_close(fd)
        if code < 0:
            error = OSError(-code, os.strerror(-code))
            raise storage_error(error, "finish a value file in", self.files.folder) from error
        return 0

    cdef void stays(self) noexcept:
        """The row that names it is committed: from now on it is the trash's to remove. Runs no Python code."""
        self.committed = True
        if self.files is not None:
            self.files.pending.discard(self.name)

    cdef void discard(self) noexcept:
        """Remove the file, whether it has its final name or not, unless it is committed."""
        cdef int fd = self.fd
        cdef bint gone = True
        self.fd = -1
        # A child that was forked meanwhile has a descriptor of its own, but not the file.
        if fd >= 0:
            fastcache_close(fd)
        if self.process == fastcache_process():
            if not self.committed and self.arriving is not None:
                gone = (self.values if self.renamed else self.arriving).remove(self.name)
            if self.files is not None and not gone:
                self.files.left.add(self.name)
            if self.files is not None:
                self.files.pending.discard(self.name)
                if self.files.closed:
                    try:
                        self.files.close()
                    except BaseException:
                        # As in ValueFiles.__dealloc__.
                        pass


def writable(parts):
    """Groups of parts that one system call takes: so many, and so many bytes."""
    group = []
    size = 0
    for part in parts:
        for start in range(0, len(part), LARGEST_WRITE):
            piece = part if len(part) <= LARGEST_WRITE else memoryview(part)[start : start + LARGEST_WRITE]
            if group and (len(group) == MOST_PARTS or size + len(piece) > LARGEST_WRITE):
                yield group
                group, size = [], 0
            group.append(piece)
            size += len(piece)
    yield group


cdef int write_all(int fd, list parts) except -1:
    """Write all of them, however little the system takes at once."""
    cdef Py_ssize_t written
    if len(parts) == 1 or BY_PATH:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
        return 0
    written = os.writev(fd, parts)
    for part in parts:
        if written < len(part):
            write_all(fd, [memoryview(part)[written:]])
        written = max(0, written - len(part))
    return 0


def storage_error(error, doing, folder):
    """Our exception for one of the system's."""
    return system_error(error.errno or 0, f"{doing} {folder!r}")
