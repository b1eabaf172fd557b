# cython: nonecheck=True
"""Whether a database is still where it was opened: its directory may be removed, renamed or replaced by others meanwhile.

Nobody tells that. What is open goes on working, in files that have no name any more, or another one: what is written there is
lost, and a lock that is acquired there is held twice. So whoever is about to write looks whether the path still leads to the
file that was opened (device and inode). That is one system call (`stat`, 1 to 2 µs, against 12 to 20 of a set), which is left
out if somebody has looked within the last tenth of a millisecond: a write that begins later than that after the directory
has gone is refused. Before the commit of a transaction somebody looks in any case, and so does who acquires a lock. Reads
that ask SQLite look every ten milliseconds, by a clock that costs next to nothing. Hits in memory do not look.

The WAL and its index are looked after as well, every ten milliseconds. Who tidies up by the age of files may remove one of them
alone; then whoever opens the database next makes another one, and does not see what is written through the first. So all
connections of this process are closed and opened anew, after the WAL was copied if it is still ours alone.

Considered, and left: `fstat` of the directory for its number of links costs half as much, and does not see that it was
renamed, or emptied; inotify costs a descriptor for each cache, of which there are 128 for an account.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.errno cimport ENOENT, ENOTDIR
from libc.string cimport memset

from fastcache.engine.sqlite.stamp cimport identify, is_same

cdef extern from *:
    """
    #include <errno.h>
    #ifndef ESTALE
    #define ESTALE ENOENT
    #endif
    """
    int ESTALE

# No file has this number.
cdef unsigned long long GONE = 0xFFFFFFFFFFFFFFFFULL

WRITE_PERIOD = 100e-6
READ_PERIOD = 10e-3


@cython.final
@cython.no_gc
cdef class Watch:
    """Knows which file a path led to.

    Args:
        path: of the database file.
    """

    def __cinit__(self, str path not None):
        self.name = os.fsencode(path)
        self.names = (self.name + b"-wal", self.name + b"-shm")
        self.forget()

    cdef bint is_known(self) noexcept:
        """Whether a file was opened there."""
        return self.identity.inode != 0

    cdef void begin(self) noexcept:
        """It was opened just now."""
        if identify(PyBytes_AS_STRING(self.name), &self.identity) != 0:
            self.forget()

    cdef void forget(self) noexcept:
        memset(&self.identity, 0, sizeof(self.identity))
        memset(&self.beside, 0, sizeof(self.beside))

    cdef void begin_beside(self, bint has_wal) noexcept:
        """A WAL and its index were opened just now, if there are any."""
        cdef int index
        memset(&self.beside, 0, sizeof(self.beside))
        for index in range(2 if has_wal else 0):
            if identify(PyBytes_AS_STRING(self.names[index]), &self.beside[index]) != 0:
                # Not even now: somebody has removed it, which is seen at the next look.
                self.beside[index].inode = GONE

    cdef bint is_whole(self) noexcept:
        """Whether the WAL and its index are those that were opened."""
        cdef Identity found
        cdef int index, code
        for index in range(2):
            if self.beside[index].inode != 0:
                code = identify(PyBytes_AS_STRING(self.names[index]), &found)
                if code == -ENOENT or (code == 0 and not is_same(&found, &self.beside[index])):
                    return False
        return True

    cdef bint lacks_part(self) noexcept:
        """Whether one of them is gone, and no other has come into its place: then nobody has opened the database since."""
        cdef Identity found
        cdef int index
        cdef bint lacks = False
        for index in range(2):
            if self.beside[index].inode != 0:
                if identify(PyBytes_AS_STRING(self.names[index]), &found) != 0:
                    lacks = True
                elif not is_same(&found, &self.beside[index]):
                    return False
        return lacks

    cdef bint is_there(self) noexcept:
        """Whether the path leads to the file that was opened. What cannot be told for other reasons is taken for a yes."""
        cdef Identity found
        cdef int code
        if self.identity.inode == 0:
            return True
        code = identify(PyBytes_AS_STRING(self.name), &found)
        if code == 0:
            return is_same(&found, &self.identity)
        return code != -ENOENT and code != -ENOTDIR and code != -ESTALE
