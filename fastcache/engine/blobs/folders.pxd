# The folders of value files.

cdef class Folder:
    cdef readonly str path
    # -1 where everything is done by path.
    cdef int fd
    # Of the files that are made in it.
    cdef int mode

    cdef bint was_removed(self) noexcept
    cdef int create(self, str name) except -1
    cdef int open(self, str name) except -1
    cdef int look(self, str name, long long* size) except -1
    cdef int move(self, str name, Folder target) except -1
    cdef bint remove(self, str name) noexcept
    cdef list names(self)


cdef class Folders:
    cdef readonly str path
    cdef readonly str temporary
    # None until they are needed.
    cdef Folder values
    cdef Folder arriving

    cdef Folder open_values(self)
    cdef Folder open_arriving(self)
    cdef Folder values_if_there(self)
    cdef Folder arriving_if_there(self)
    cdef int make(self) except -1
    cdef int close(self) noexcept


cdef int raise_storage_error(object error, str doing, str folder) except -1
cdef int raise_code(int code, str doing, str folder) except -1
