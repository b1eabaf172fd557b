# When the WAL is copied into the database.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session


cdef double SHORTENING_PERIOD
cdef long long SHORT_WAL


cdef class Checkpoints(Participant):
    # Whether maintenance was called and is to come, and for what.
    cdef bint maintenance_requested
    cdef bint checkpoint_due
    cdef bint restart_due
    # WAL frames at which to call it next, and to see to it oneself; and those after our last commit.
    cdef int checkpoint_at
    cdef int own_checkpoint_at
    cdef int frames_seen
    # And before how many frames it is not waited for again, if that was in vain.
    cdef int patient_at
    # WAL frames after which maintenance copies them; after which it sees to it that the WAL starts over, if nobody else writes,
    # and if others do; after which the writer does. And the bytes above which it is made shorter when it is idle.
    cdef int checkpoint_frames
    cdef int restart_frames
    cdef int contended_restart_frames
    cdef int own_checkpoint_frames
    cdef int own_checkpoint_step
    cdef long long largest_wal
    # The limit, and whether the disk has little room: what the WAL may take follows from these.
    cdef long long max_size
    cdef bint disk_is_short
    # SQLite's setting, while something is done where the disk is full; and whether a reserve is to be made when there is room (full_disk.pyx).
    cdef int secure_delete
    cdef bint lacks_reserve

    cdef int look_at_disk(self, Database database) except -1
    cdef int keep_short(self, Database database) except -1
    cdef int keep_within(self, Database database, long long max_size) except -1
    cdef bint is_kept_short(self) noexcept
    cdef void scale(self, int own) noexcept
    cdef int tidy_up(self, Database database, Session session) except -1
    cdef int restart_wal(self, Database database, Session session) except -1
    cdef bint has_got_long(self, Database database) except -1
    cdef int before_many_changes(self, Database database) except -1
    cdef int checkpoint_beside(self, Database database) except -1
    cdef bint shorten_wal(self, Database database) except -1
