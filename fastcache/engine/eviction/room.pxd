# How much room there is.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.limit cimport Limit


cdef class Room(Participant):
    cdef Limit limit
    # Bytes that are left, counting free pages, and the number of the commit after which that was so.
    cdef long long left
    cdef unsigned long long left_at
    # What it was counted from: pages, free ones, and bytes of files.
    cdef long long pages
    cdef long long free_pages
    cdef long long counted

    cdef int measure(self, Database database, Session session) except -1
    cdef long long trash(self, Database database, Session session) except -1
    cdef long long shortage(self, long long size) noexcept
    cdef long long tail(self, Database database) except -1
    cdef long long length(self, Database database) except -1
    cdef bint has_room_for_file(self, Database database, long long size) except -1
