# Looks at the whole table.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.shm.wal_clock cimport Tick


cdef list scan(Database database, bint items, bint backward, long long* last, long long end, int limit)
cdef object scalar(Database database, str text, tuple parameters)


cdef class Count(Participant):
    # How many entries there were when the clock stood there, and in which time that holds.
    cdef object counted
    cdef Tick counted_at
    cdef long long counted_from
    cdef long long counted_until

    cdef object of(self, Database database)
