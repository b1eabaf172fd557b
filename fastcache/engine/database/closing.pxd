# The end of a database's use.

from fastcache.engine.database.database cimport Database


cdef int close(Database database) except -1
cdef int close_if_idle(Database database) except -1
cdef int finish(Database database, double patience) except -1
