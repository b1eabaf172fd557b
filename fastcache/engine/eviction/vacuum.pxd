# Free pages given back to the file system.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.room cimport Room


cdef bint shorten(Database database, Room room, bint patiently) except -1
cdef bint lengthen(Database database, Room room, bint patiently) except -1
cdef int copy_wal(Database database, bint patiently) except -1
cdef bint vacuum_some(Database database, Session session) except -1
cdef long long vacuum(Database database, Room room) except -1
