# Value files that no row names any more.

from fastcache.engine.database.database cimport Database


cdef int tidy_at_opening(Database database) except -1
cdef int empty_trash(Database database, double patience) except -1
cdef int forget_trash(Database database, list names, double patience) except -1
cdef int tidy(Database database) except -1
