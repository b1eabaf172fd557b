# Writing an entry whose value goes into a file.

from fastcache.engine.blobs.files cimport PendingFile
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.writes cimport Writes
from fastcache.engine.eviction.leftovers cimport Leftovers
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.space cimport Space
from fastcache.engine.sqlite.cells cimport Row


cdef class FileWrites:
    cdef Writes writes
    cdef Limit limit
    cdef Space space
    cdef Leftovers leftovers
    # How many values in files were committed by themselves.
    cdef long long files_stored

    cdef bint put_file(
        self, Database database, const Row* row, bint only_if_absent, list parts, object name, object cached, int cached_codec) except -1
    cdef bint put_file_inside(self, Database database, const Row* row, bint only_if_absent, list parts) except -1
    cdef int abandon_file(self, Database database, PendingFile pending, bint reserved) except -1
