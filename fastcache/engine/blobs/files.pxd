# The files of values that are too large for a row.

from fastcache.engine.blobs.folders cimport Folder, Folders
from fastcache.engine.blobs.writers cimport Writers


cdef class ValueFiles:
    cdef readonly str folder
    cdef str directory
    cdef Folders folders
    cdef Writers writers
    # Our number, 0 while we have none, and of which process it is.
    cdef unsigned long long number
    cdef int process
    # Whether temporary files are locked one by one, since no number can be claimed.
    cdef bint locks_each
    cdef unsigned long long sequence
    cdef bint closed
    # The names of our files that are neither committed nor removed.
    cdef set pending
    # The names of those that could not be removed.
    cdef set left

    cdef int refuse_links(self) except -1
    cdef int rest(self) except -1
    cdef int announce(self) except -1
    cdef PendingFile begin(self)
    cdef int open(self, object name, object size) except -1
    cdef bint is_settled(self, object name) except -1
    cdef list dead_writers(self)
    cdef int forget_writer(self, str marker) except -1
    cdef int remove_left(self) except -1
    cdef int give_number_back(self) except -1
    cdef int leave(self) except -1
    cdef int close(self) except -1
    cdef int after_fork_in_child(self) except -1


cdef class PendingFile:
    cdef readonly str name
    cdef ValueFiles files
    cdef Folder arriving
    cdef Folder values
    cdef int fd
    cdef int process
    # Whether it has its final name, and whether that is in a row that is committed.
    cdef bint renamed
    cdef readonly bint committed

    cdef int write(self, list parts) except -1
    cdef int rename(self) except -1
    cdef int close(self) noexcept
    cdef void stays(self) noexcept
    cdef void discard(self) noexcept
