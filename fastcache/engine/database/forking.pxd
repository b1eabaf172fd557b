# What a fork does with one database.

from fastcache.engine.database.database cimport Database


cdef bint hold(Database database, double timeout) except -1
cdef int quiesce(Database database) except -1
cdef int resume(Database database) except -1
cdef bint drop_inherited(Database database) except -1
cdef int after_fork_in_child(Database database) except -1
