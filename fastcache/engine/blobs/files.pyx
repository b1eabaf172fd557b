# cython: nonecheck=True
"""Value files: what is too large for a row.

A file's life, in the order that makes a crash harmless at every point:

1. it is written to ``values/tmp/NAME``;
2. the writer takes the database's write lock, renames the file to ``values/NAME`` and commits the row naming it.
   So whoever holds the write lock sees no file in ``values/`` that a living writer is about to name;
3. the row goes away (to be replaced, maybe): a trigger puts NAME into the table ``trash`` in the same transaction;
4. after that commit somebody unlinks it, then drops it from the trash. A reader that had read the row before finds
   no file, and reads the row again. What a transaction evicts to make room for itself is unlinked at once, before its
   commit (evict.pyx): should it be undone, the row is there again without its file, and goes, too.

What is always true, and who keeps it so:

- **A name says who has given it out**, and a death is noticed: see writers.pyx.
- **Temporary files are owned from the moment they exist.** `PendingFile` is made first, and creates its file in one call of
  compiled code, in which no signal handler runs. It removes the file when it is collected, unless it was told that its row
  is committed: from then on nothing removes the file but the trash.
- **No link leads elsewhere.** The two folders are opened without following links, and all is done relative to these
  descriptors (folders.pyx). What is removed are plain files with a name of our form. So a directory that is renamed while it
  is in use goes on working.
- **A folder that is not there is no lost file.** Rows are removed only for a file that is missing in a folder that is there.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EINTR

from fastcache.engine.blobs.folders cimport Folder, Folders, raise_code, raise_storage_error
from fastcache.engine.blobs.system_calls cimport (
    BY_PATH,
    fastcache_close,
    fastcache_is_link,
    fastcache_lock,
    fastcache_look_at,
    fastcache_process,
    fastcache_read,
)
from fastcache.engine.blobs.writers cimport Writers, is_ours, marker_of, new_number

from fastcache.errors import CacheError, ClosedError, StorageError
from fastcache.runtime.imports import load

cdef Py_ssize_t LARGEST_WRITE = 1 << 30
# IOV_MAX is at least that on every system that has writev.
cdef Py_ssize_t MOST_PARTS = 1 if BY_PATH else 1024


class MissingFileError(CacheError):
    """The file is not there, or has not the size that its row states."""


@cython.final
@cython.no_gc
cdef class ValueFiles:
    """The value files of one cache directory."""

    def __init__(self, str directory not None):
        self.directory = directory
        self.folders = Folders(directory)
        self.writers = Writers(directory, self.folders)
        self.folder = self.folders.path
        self.pending = set()
        self.left = set()

    def __dealloc__(self):
        try:
            self.close()
        except BaseException:
            # Then the process's end gives the claim back, and somebody else removes the marker.
            pass

    cdef int refuse_links(self) except -1:
        """Raise StorageError where one of the folders is a link, or no folder."""
        self.folders.arriving_if_there()
        return 0

    cdef int rest(self) except -1:
        """Nothing is written here for now: keep no descriptor for it."""
        if not self.number:
            self.folders.arriving = None
        return 0

    cdef int announce(self) except -1:
        """Have a number, and a marker that says so: before the first file, or the first one that is unlinked too early."""
        cdef unsigned long long number
        cdef str marker
        cdef bint claimed = False
        cdef Folder arriving
        if self.number:
            return 0
        self.folders.make()
        number = new_number()
        # By names of our own: somebody may close these files meanwhile.
        claims = None
        if not BY_PATH:
            try:
                claims = self.writers.known_claims()
                claimed = claims.acquire(number)
            except StorageError:
                # There are no byte locks, or something else lies in the place of their file.
                pass
        if not claimed:
            # One that nobody takes for a number that could be claimed.
            number |= 1 << 63
            self.locks_each = True
        marker = marker_of(number)
        if claimed:
            try:
                arriving = self.folders.open_arriving()
                fastcache_close(arriving.create(marker))
            except OSError as error:
                claims.release(number)
                raise_storage_error(error, "create a file in", self.folders.temporary)
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
            self.after_fork_in_child()
        for tries in range(2):
            self.announce()
            pending = PendingFile.__new__(PendingFile)
            pending.files = self
            pending.process = self.process
            pending.name = f"{self.number:016x}{self.sequence:016x}"
            self.sequence += 1
            try:
                pending.arriving = self.folders.open_arriving()
                pending.values = self.folders.values
                self.pending.add(pending.name)
                pending.fd = pending.arriving.create(pending.name)
                break
            except FileNotFoundError as error:
                if tries:
                    raise_storage_error(error, "create a value file in", self.folder)
                # Somebody has removed the folder, and our marker with it.
                self.give_number_back()
            except OSError as error:
                raise_storage_error(error, "create a value file in", self.folder)
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
        cdef Folder values = self.folders.values
        if not is_ours(name):
            raise MissingFileError("a row names a file in a form that is not ours")
        try:
            try:
                fd = (values if values is not None else self.folders.open_values()).open(name)
            except FileNotFoundError:
                # A folder that is not there says nothing of a file.
                fd = self.folders.open_values().open(name)
        except FileNotFoundError as error:
            values = self.folders.values
            if values is None or values.was_removed():
                raise StorageError(f"cannot read from {self.folder!r}: the folder is not there, and with it all values that "
                                   "are in files; put it back, or remove what cannot be read with check(fix=True)") from error
            raise MissingFileError("a value file is not there") from error
        except OSError as error:
            if fastcache_is_link(error.errno or 0) and not isinstance(error, CacheError):
                raise MissingFileError("what lies in a value file's place is none") from error
            raise_storage_error(error, "open a value file of", self.folder)
        kind = fastcache_look_at(fd, &found)
        if kind == 1 and found == stated:
            return fd
        fastcache_close(fd)
        if kind < 0:
            raise_code(kind, "look at a value file of", self.folder)
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
                    raise_code(<int>count, "read a value file of", self.folder)
                if count > 0:
                    place += count
                    left -= count
                if left:
                    PyErr_CheckSignals()
        finally:
            fastcache_close(fd)
        return payload

    def map(self, object name, object size, bint private=False):
        """The same as a view of the file, valid as long as anybody has it; or as bytes where there are no maps.

        One that is ``private`` can be written to, which changes it alone."""
        cdef int fd = self.open(name, size)
        mapped = None
        try:
            mapped = load("fastcache.engine.blobs.mmapped").map_file(fd, size, private)
        except (ImportError, OSError):
            # Too few descriptors to load what maps.
            pass
        finally:
            fastcache_close(fd)
        return self.read(name, size) if mapped is None else mapped

    def open_file(self, object name, object size):
        """A committed file, open for reading (an io.FileIO); raises what ``read`` raises."""
        return os.fdopen(self.open(name, size), "rb", 0)

    def open_named(self, object name, object size):
        """The same, buffered (an io.BufferedReader), and with the file's path as its name."""
        cdef int fd = self.open(name, size)
        return open(os.path.join(self.folder, name), "rb", opener=lambda path, flags: fd)

    def size(self, object name):
        """The size in bytes of a committed file; None if it is not there or no plain file.

        Raises:
            StorageError: the folder is not there, or no folder.
        """
        cdef long long size = 0
        if not is_ours(name):
            return None
        try:
            return size if self.folders.open_values().look(name, &size) else None
        except FileNotFoundError as error:
            if self.folders.values is None:
                raise StorageError(f"cannot look into {self.folder!r}: the folder is not there") from error
            return None
        except OSError as error:
            raise_storage_error(error, "look at a value file of", self.folder)

    def is_there(self):
        """Whether the folder of value files is there (bool); raises StorageError where it is no folder."""
        return self.folders.values_if_there() is not None

    def unlink(self, object name):
        """Remove a committed file. Returns whether it is gone (bool); it stays where the system does not let go of it, and
        while its folder is not there."""
        if not is_ours(name):
            return True
        try:
            return self.folders.open_values().remove(name)
        except OSError:
            return False

    def names(self):
        """The names in the folder that are of our form (list); whoever wants to know what is there looks at each."""
        cdef Folder values = self.folders.values_if_there()
        return [] if values is None else [name for name in values.names() if is_ours(name)]

    def take_over(self, ValueFiles source not None, object name):
        """Give a committed file of another directory its name in this one, too (a link, or a copy); returns whether there
        is one. What has the name here already goes."""
        cdef Folder here, there
        cdef long long size = 0
        try:
            self.folders.make()
            there, here = source.folders.open_values(), self.folders.open_values()
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
            raise_storage_error(error, "move a value file to", self.folder)
        return True

    # -- what the dead have left --------------------------------------------------------------------------------

    def abandoned(self, *, bint remove):
        """Count the temporary files that dead writers have left behind, and remove them if asked."""
        return self.writers.abandoned(remove)

    cdef list dead_writers(self):
        """The markers of writers that are dead."""
        return self.writers.dead()

    cdef int forget_writer(self, str marker) except -1:
        """Remove a dead writer's marker: all that it has left is gone."""
        return self.writers.forget(marker)

    cdef bint is_settled(self, object name) except -1:
        """Whether nobody is about to write the file for which room was reserved under this name; a temporary file that was left
        goes."""
        cdef Folder arriving
        if not is_ours(name):
            return True
        if self.number and int(name[:16], 16) == self.number:
            return name not in self.pending
        if not self.writers.is_dead(name):
            return False
        arriving = self.folders.arriving_if_there()
        return arriving is None or arriving.remove(name)

    cdef int remove_left(self) except -1:
        """Remove those of our files that could not be removed at the time."""
        cdef Folder arriving = self.folders.arriving
        for name in list(self.left):
            if (arriving is None or arriving.remove(name)) and self.unlink(name):
                self.left.discard(name)
        return 0

    # -- the end ------------------------------------------------------------------------------------------------

    cdef int give_number_back(self) except -1:
        cdef unsigned long long number = self.number
        # By names of our own: removing lets others in, who may find that nothing is left to do, and forget these.
        cdef Folder arriving = self.folders.arriving
        claims = self.writers.claims
        if self.closed and self.pending:
            # Another thread is about to remove what it has written in vain, and then gives the number back.
            return 0
        self.number = 0
        if number and not self.locks_each and self.process == fastcache_process():
            self.remove_left()
            # If there are any left all the same, whoever finds the marker takes us for dead, and removes them.
            if arriving is not None and not self.left:
                arriving.remove(marker_of(number))
            claims.release(number)
        return 0

    cdef int close(self) except -1:
        """Give the number back, and close the folders."""
        self.closed = True
        try:
            self.give_number_back()
        finally:
            if not self.number:
                self.folders.close()
                self.writers.claims = None
        return 0

    cdef int leave(self) except -1:
        """The directory is gone: what comes next is for the one that has come into its place, with another number."""
        try:
            self.give_number_back()
        finally:
            self.folders.close()
            self.writers.claims = None
        return 0

    cdef int after_fork_in_child(self) except -1:
        """In a child: the number is the parent's."""
        self.number = 0
        self.folders.close()
        self.writers.claims = None
        self.pending = set()
        self.left = set()
        return 0


@cython.final
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
            raise_storage_error(error, f"write a value of {size} bytes to", self.files.folder)
        return 0

    cdef int rename(self) except -1:
        """Give the file its final name; the caller holds the database's write lock."""
        cdef int code = 0
        try:
            if BY_PATH:
                # Windows does not rename what is open; elsewhere a lock may tell until then that its writer lives.
                code = self.close()
            if code == 0:
                self.arriving.move(self.name, self.values)
                self.renamed = True
        except OSError as error:
            raise_storage_error(error, "finish a value file in", self.files.folder)
        if not BY_PATH:
            code = self.close()
        if code < 0:
            raise_code(code, "finish a value file in", self.files.folder)
        return 0

    cdef int close(self) noexcept:
        cdef int fd = self.fd, code
        self.fd = -1
        with nogil:
            code = fastcache_close(fd)
        return code

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
