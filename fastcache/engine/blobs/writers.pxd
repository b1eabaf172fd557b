# The writers of value files, living and dead.

from fastcache.engine.blobs.folders cimport Folder, Folders


cdef class Writers:
    cdef str directory
    cdef Folders folders
    # None until they are needed.
    cdef object claims

    cdef object known_claims(self)
    cdef bint is_claimed(self, str digits) except -1
    cdef bint is_free(self, str name) except -1
    cdef bint is_dead(self, str name) except -1
    cdef bint is_left(self, Folder arriving, str name) except -1
    cdef int abandoned(self, bint remove) except -1
    cdef list dead(self)
    cdef int forget(self, str marker) except -1


cdef bint is_ours(object name) noexcept
cdef str marker_of(unsigned long long number)
cdef unsigned long long new_number() except 0
