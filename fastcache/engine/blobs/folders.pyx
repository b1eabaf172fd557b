# cython: nonecheck=True
"""The folders of value files, each as a descriptor: what is done in one leads nowhere else, whatever becomes of its path.

They are opened without following links. What is removed are plain files. (The cache's own directory may be a link.)
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport ENOENT

from fastcache.engine.blobs.system_calls cimport (
    BY_PATH,
    HERE,
    fastcache_close,
    fastcache_create_in,
    fastcache_is_link,
    fastcache_is_removed,
    fastcache_look_in,
    fastcache_move,
    fastcache_open_folder,
    fastcache_open_in,
    fastcache_remove_from,
)

from fastcache.engine.shm.sharing import file_mode, make_folder as make_in
from fastcache.errors import CacheError, StorageError, system_error
from fastcache.runtime.imports import load

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8(object text) except NULL

# For Windows, where everything is done by path.
cdef int READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
cdef int WRITE_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0))


cdef int raise_system_error(int code, str path) except -1:
    raise OSError(-code, os.strerror(-code), path)


cdef int raise_storage_error(object error, str doing, str folder) except -1:
    """Raise our exception for one of the system's; one that is ours already, as it is."""
    if isinstance(error, CacheError):
        raise error
    raise system_error(error.errno or 0, f"{doing} {folder!r}") from error


cdef int raise_code(int code, str doing, str folder) except -1:
    """The same for what a system call has returned."""
    raise_storage_error(OSError(-code, os.strerror(-code)), doing, folder)


# Collected in no cycle, and with what they hold still in place: what they have to give back, they give back.
@cython.final
@cython.no_gc
cdef class Folder:
    """A folder that is open."""

    def __cinit__(self, str path):
        self.path = path
        self.fd = -1
        self.mode = 0o600

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
            code = fastcache_create_in(self.fd, place, self.mode)
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

    cdef int move(self, str name, Folder target) except -1:
        """Have a file in another folder instead."""
        cdef const char* place = PyUnicode_AsUTF8(name)
        cdef int code
        if self.fd < 0:
            os.rename(os.path.join(self.path, name), os.path.join(target.path, name))
            return 0
        with nogil:
            code = fastcache_move(self.fd, place, target.fd)
        if code < 0:
            raise_system_error(code, self.path)
        return 0

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
        """The names of everything in it."""
        cdef int fd = -1
        try:
            if self.fd < 0:
                return os.listdir(self.path)
            # Through a descriptor of its own, since each has but one position in the list.
            fd = fastcache_open_folder(self.fd, b".")
            if fd < 0:
                raise_system_error(fd, self.path)
            return os.listdir(fd)
        except OSError as error:
            raise_storage_error(error, "list", self.path)
        finally:
            if fd >= 0:
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
        folder.mode = file_mode(code)
        return folder
    if fastcache_is_link(-code):
        raise_no_folder(path)
    raise_system_error(code, path)


cdef int raise_no_folder(str path) except -1:
    raise StorageError(
        f"{path!r} has to be a folder, and is a link or something else; nothing is read, written or removed behind it. Put the "
        "folder itself there, or make the cache's whole directory a link")


cdef int make_folder(str path, object within) except -1:
    try:
        make_in(path, within)
    except FileExistsError:
        pass
    return 0


@cython.final
@cython.no_gc
cdef class Folders:
    """The folder of committed files and, in it, that of temporary ones; opened when they are first needed."""

    def __cinit__(self, str directory):
        self.path = os.path.join(directory, "values")
        self.temporary = os.path.join(self.path, "tmp")

    cdef Folder open_values(self):
        """The folder of committed files; raises FileNotFoundError."""
        if self.values is not None and self.values.was_removed():
            self.close()
        if self.values is None:
            self.values = open_folder(None, self.path, "values")
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
            raise_storage_error(error, "open the folder", self.path)

    cdef Folder arriving_if_there(self):
        """The folder of temporary files, in the same way."""
        try:
            return self.open_arriving()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise_storage_error(error, "open the folder", self.temporary)

    cdef int make(self) except -1:
        """Make those that are not there."""
        cdef Folder values
        try:
            make_folder(self.path, None)
            values = self.open_values()
            if BY_PATH:
                make_folder(self.temporary, None)
            else:
                make_folder("tmp", values.fd)
        except OSError as error:
            raise_storage_error(error, "make the folder", self.temporary)
        return 0

    cdef int close(self) noexcept:
        self.values = None
        self.arriving = None
        return 0
