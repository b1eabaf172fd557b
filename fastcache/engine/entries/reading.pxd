# Many entries read in one call.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.reads cimport Reads


cdef int name_item(Py_ssize_t position, object error) except -1
cdef dict read_many(Database database, Reads reads, list keys, object on_error)
