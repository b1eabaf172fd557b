# When the WAL is copied into the database.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session


cdef double SHORTENING_PERIOD


cdef class Checkpoints(Participant):
    # Whether maintenance was called and is to come, and for what.
    cdef bint maintenance_requested
    cdef bint checkpoint_due
    cdef bint restart_due
    # WAL frames at which to call it next, and to see to it oneself; and those after our last commit.
    cdef int checkpoint_at
    cdef int own_checkpoint_at
    cdef int frames_seen

    cdef int tidy_up(self, Database database, Session session) except -1
    cdef int restart_wal(self, Database database, Session session) except -1
    cdef int checkpoint_beside(self, Database database) except -1
    cdef bint shorten_wal(self, Database database) except -1
