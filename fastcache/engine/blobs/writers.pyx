# cython: nonecheck=True
"""Who writes value files: which writers live, and what the dead have left in ``values/tmp``.

- **A name says who has given it out.** It is the number of a writer and a sequence, 16 hexadecimal digits each. A number is
  random, and claimed (byte_locks.pyx) as long as its writer lives: the system takes the claim back from whoever is killed. No
  name is used twice.
- **A death is noticed by a marker.** Each writer leaves an empty file ``values/tmp/NUMBER.writer`` before its first file,
  and removes it when it closes. A marker whose number nobody claims is a dead writer's; looking for one is listing a
  folder that is next to empty. Who finds one compares the files with the rows (``Leftovers.reclaim``), unlinks what no
  row and no trash names, deletes the rows whose file is gone, and last of all removes the marker. (Considered, and left:
  to write down in the marker which names a writer may have under way. It costs a write now and then, is worth nothing
  after a power cut, and the rows have to be gone through all the same, since no index says which of them names a file.)

Where a number cannot be claimed (no byte locks), each temporary file is locked by itself (flock), and who finds one whose
lock is free knows that its writer is dead; so it was before there were numbers, and such files are still known. Windows
has neither: there a file that is open cannot be unlinked, which is proof enough that its writer lives.
"""

import os
import time

cimport cython

from fastcache.engine.blobs.folders cimport Folder, Folders, raise_storage_error
from fastcache.engine.blobs.system_calls cimport BY_PATH, fastcache_close, fastcache_lock

from fastcache.errors import StorageError
from fastcache.runtime.imports import load

cdef str MARKER = ".writer"
# The numbers of writers: the upper half of those that can be claimed, since locks have the others.
cdef unsigned long long LEAST_NUMBER = 1 << 61
cdef unsigned long long NUMBERS = 1 << 62
# How long a writer may take from creating a temporary file to locking it, in seconds.
cdef double UNLOCKED = 0.05


cdef bint is_ours(object name) noexcept:
    """Whether a file's name is of the form that we give out, so that a row that was planted reaches no other file."""
    return type(name) is str and len(<str>name) == 32 and are_digits(<str>name)


cdef bint are_digits(str text) noexcept:
    cdef Py_UCS4 digit
    for digit in text:
        if not (u"0" <= digit <= u"9" or u"a" <= digit <= u"f"):
            return False
    return True


cdef unsigned long long new_number() except 0:
    return LEAST_NUMBER | (<unsigned long long>int.from_bytes(os.urandom(8), "little") & (LEAST_NUMBER - 1))


cdef str marker_of(unsigned long long number):
    return f"{number:016x}{MARKER}"


cdef bint is_marker(str name) noexcept:
    return len(name) == 16 + len(MARKER) and name.endswith(MARKER) and are_digits(name[:16])


@cython.final
@cython.no_gc
cdef class Writers:
    """All writers of a directory, in whatever process."""

    def __cinit__(self, str directory, Folders folders):
        self.directory = directory
        self.folders = folders

    cdef object known_claims(self):
        """The claims of their numbers."""
        if self.claims is None:
            try:
                claims = load("fastcache.engine.shm.byte_locks")
            except (ImportError, OSError) as error:
                # For want of descriptors, say.
                raise StorageError(
                    f"cannot load a module of fastcache, to write to {self.folders.path!r}: {error}") from error
            self.claims = claims.byte_locks_of(self.directory)
        return self.claims

    cdef bint is_claimed(self, str digits) except -1:
        """Whether the writer whose number a name begins with has claimed it, and lives."""
        cdef unsigned long long number = int(digits[:16], 16)
        return LEAST_NUMBER <= number < NUMBERS and self.known_claims().is_locked(number)

    cdef bint is_free(self, str name) except -1:
        """Whether nobody has locked a temporary file, or there is none."""
        cdef int fd = -1
        try:
            fd = self.folders.open_arriving().open(name)
            # Where there are no locks, no leftover is ever removed.
            return BY_PATH or fastcache_lock(fd) == 1
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            if fd >= 0:
                fastcache_close(fd)

    cdef bint is_dead(self, str name) except -1:
        """Whether the writer of a temporary file is dead."""
        return not self.is_claimed(name) and self.is_free(name)

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
            raise_storage_error(error, "look into", self.folders.temporary)

    cdef int abandoned(self, bint remove) except -1:
        """Count the temporary files that dead writers have left behind, and remove them if asked."""
        cdef Folder arriving = self.folders.arriving_if_there()
        cdef int count = 0
        if arriving is None:
            return 0
        found = arriving.names()
        suspects = [name for name in found if is_ours(name) and self.is_left(arriving, name)]
        if any([f"{name[:16]}{MARKER}" not in found for name in suspects]):
            # Its writer may be alive, and just about to lock it.
            time.sleep(UNLOCKED)
            suspects = [name for name in suspects if self.is_left(arriving, name)]
        for name in suspects:
            if not remove or arriving.remove(name):
                count += 1
        return count

    cdef list dead(self):
        """The markers of those that are dead."""
        cdef Folder arriving = self.folders.arriving_if_there()
        if arriving is None:
            return []
        return [name for name in arriving.names() if is_marker(name) and not self.is_claimed(name)]

    cdef int forget(self, str marker) except -1:
        """Remove a dead writer's marker: all that it has left is gone."""
        cdef Folder arriving = self.folders.arriving_if_there()
        if arriving is not None and not arriving.remove(marker):
            raise StorageError(f"cannot remove a file from {self.folders.temporary!r}")
        return 0
