# Many entries read in one call.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.entries.reads cimport Reads


cdef int name_item(Py_ssize_t position, object error) except -1
cdef dict read_many(Database database, Reads reads, Flusher flusher, list keys, object on_error)
