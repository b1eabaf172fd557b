# The files of values that are too large for a row.

cdef class Folder:
    cdef readonly str path
    # -1 where everything is done by path.
    cdef int fd

    cdef bint was_removed(self) noexcept
    cdef int create(self, str name) except -1
    cdef int open(self, str name) except -1
    cdef int look(self, str name, long long* size) except -1
    cdef bint remove(self, str name) noexcept
    cdef list names(self)


cdef class ValueFiles:
    cdef readonly str folder
    cdef readonly str temporary
    cdef str directory
    # Open folders; None until they are needed.
    cdef Folder values
    cdef Folder arriving
    # The claims of all writers here; our number among them, 0 while we have none, and of which process it is.
    cdef object claims
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

    cdef Folder open_values(self)
    cdef Folder open_arriving(self)
    cdef Folder values_if_there(self)
    cdef Folder arriving_if_there(self)
    cdef int refuse_links(self) except -1
    cdef int rest(self) except -1
    cdef int make_folders(self) except -1
    cdef int announce(self) except -1
    cdef object known_claims(self)
    cdef PendingFile begin(self)
    cdef int open(self, object name, object size) except -1
    cdef bint is_dead(self, str name) except -1
    cdef bint is_left(self, Folder arriving, str name) except -1
    cdef bint is_settled(self, object name) except -1
    cdef bint is_free(self, str name) except -1
    cdef bint is_claimed(self, str digits) except -1
    cdef list dead_writers(self)
    cdef int forget_writer(self, str marker) except -1
    cdef int remove_left(self) except -1
    cdef int give_number_back(self) except -1
    cdef int close(self) except -1
    cdef int renew(self) except -1


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
    cdef void stays(self) noexcept
    cdef void discard(self) noexcept


cdef bint is_ours(object name) noexcept
