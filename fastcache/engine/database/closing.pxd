# The end of a database's use.

from fastcache.engine.database.database cimport Database


cdef int close(Database database) except -1
cdef int close_if_idle(Database database, object patience) except -1
