# Whole databases, copied.

from fastcache.engine.sqlite.connection cimport Connection


cdef int overwrite(Connection target, Connection source, object fill) except -1
