# cython: nonecheck=True
"""When the WAL is copied into the database, and by whom.

**No commit waits for the disk**, unless durability is "full". The WAL is copied by maintenance, from 1,000 frames on. Under
steady writes that alone would never let it start over, since its end moves on meanwhile: from 3,500 frames on maintenance keeps
the writers out for the last of it, and should it be late, the writer does so itself.

Under a limit the WAL, which is not part of it, takes a quarter of it at most (and LEAST_WAL): all of these numbers are smaller then, in the
same proportions. One large transaction makes it as long as that is; it gets shorter afterwards.
"""

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.database cimport CLOSED, TRASH_PERIOD, warn
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.trash cimport empty_trash
from fastcache.engine.shm.wal_clock cimport Tick, is_backfilled, read, wal_frames
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.connection cimport Connection

from fastcache.engine.database import reserve
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, Timeout

# WAL frames, each of 4 KiB, after which maintenance copies them back (SQLite's own default); after which it sees to it
# that the WAL starts over, later where several processes write, all of which have to wait for it; and after which the
# writer does. A shorter one is recycled sooner, which is faster than letting it grow.
cdef int CHECKPOINT_FRAMES = 1000
cdef int RESTART_FRAMES = 3500
cdef int CONTENDED_RESTART_FRAMES = 6000
cdef int OWN_CHECKPOINT_FRAMES = 6500
cdef int OWN_CHECKPOINT_STEP = 250
# Before much is written at once to a WAL that is kept short: how long others get to have it start over, in seconds.
cdef double OTHERS_PATIENCE = 0.05
# Bytes above which the WAL is made shorter when it is idle, and how soon that is tried again, in seconds.
cdef long long LARGEST_WAL = sql.LARGEST_WAL
SHORTENING_PERIOD = 1.0
# What the WAL may take of a limit; and what it may take under any limit, in bytes: below, copying costs more than it gives.
cdef int WAL_SHARE = 4
cdef long long LEAST_WAL = 2 << 20
# What it may take where the disk has little room.
cdef long long SHORT_WAL = reserve.SIZE * 3 // 4
# A frame: a page and its header, in bytes.
cdef int FRAME = 4096 + 24


@cython.final
cdef class Checkpoints(Participant):
    """What is due, and what is next, of the checkpoints of one database."""

    def __cinit__(self):
        self.largest_wal = LARGEST_WAL
        self.scale(OWN_CHECKPOINT_FRAMES)

    cdef int attach(self, Database database, Session session) except -1:
        if self.largest_wal != LARGEST_WAL:
            session.connection.execute(sql.KEEP_WAL.format(self.largest_wal))
        return 0

    cdef int keep_within(self, Database database, long long max_size) except -1:
        """Keep the WAL to its part of a limit; 0 for none."""
        self.max_size = max_size
        return self.keep_short(database)

    cdef int look_at_disk(self, Database database) except -1:
        """Keep the WAL shorter on a disk with little room: what is in it has to have room in the database, too, for anything to be
        deleted when there is none left."""
        try:
            self.disk_is_short = reserve.room(database.directory) < LARGEST_WAL
        except OSError:
            # Of a directory that is gone others tell.
            return 0
        return self.keep_short(database)

    cdef int keep_short(self, Database database) except -1:
        """Have all that decides on the WAL's length follow from the limit and the disk."""
        cdef long long largest = LARGEST_WAL
        if self.max_size:
            largest = min(largest, max(LEAST_WAL, self.max_size // WAL_SHARE))
        if self.disk_is_short:
            largest = min(largest, SHORT_WAL)
        if largest == self.largest_wal:
            return 0
        self.largest_wal = largest
        # What several processes write before one of them has looked has to fit, too.
        self.scale(<int>min(OWN_CHECKPOINT_FRAMES, largest // FRAME * 3 // 4))
        if database.writer is not None:
            database.writer.connection.execute(sql.KEEP_WAL.format(largest))
        return 0

    cdef bint is_kept_short(self) noexcept:
        """Whether the WAL is kept shorter than others, for a limit or a disk with little room."""
        return self.largest_wal < LARGEST_WAL

    cdef void scale(self, int own) noexcept:
        """Have the writer see to the WAL after so many frames, and maintenance in proportion."""
        self.own_checkpoint_frames = own
        self.own_checkpoint_step = own * OWN_CHECKPOINT_STEP // OWN_CHECKPOINT_FRAMES
        self.checkpoint_frames = own * CHECKPOINT_FRAMES // OWN_CHECKPOINT_FRAMES
        self.restart_frames = own * RESTART_FRAMES // OWN_CHECKPOINT_FRAMES
        self.contended_restart_frames = own * CONTENDED_RESTART_FRAMES // OWN_CHECKPOINT_FRAMES
        self.checkpoint_at = self.checkpoint_frames
        self.own_checkpoint_at = own

    cdef int after_fork_in_child(self, Database database) except -1:
        # Who was called is in the parent.
        self.maintenance_requested = False
        return 0

    cdef int settle(self, Database database) except -1:
        """After a commit, the writer lock still held: call for maintenance if there is something to do, and keep the WAL short.

        Maintenance alone would not: while it copies, steady writers append, so that the WAL never starts over. Who has the
        turn completes what it has left, which waits for the disk but is little, and rare."""
        cdef Session session = database.writer
        cdef int frames = session.connection.hooks.frames
        cdef bint call = database.has_trash
        if frames < self.frames_seen:
            # It has started over.
            database.contended = False
            self.checkpoint_at = self.checkpoint_frames
            self.own_checkpoint_at = self.own_checkpoint_frames
            self.patient_at = 0
        self.frames_seen = frames
        if frames >= self.checkpoint_at:
            # Counted from here: while a reader keeps the WAL from starting over, not at every commit.
            self.checkpoint_at = frames + self.checkpoint_frames
            self.checkpoint_due = True
            self.look_at_disk(database)
            self.restart_due = frames >= (
                self.contended_restart_frames if database.contended or database.fills_fast else self.restart_frames)
            call = True
        if call and (self.checkpoint_due or not self.maintenance_requested):
            self.maintenance_requested = True
            try:
                scheduled = database.schedule(0.0 if self.checkpoint_due else TRASH_PERIOD)
            except BaseException:
                # It has been said again, if it could be; to say it once more with the next commit costs little.
                self.maintenance_requested = False
                raise
            if not scheduled:
                self.maintenance_requested = False
                self.tidy_up(database, session)
        if frames >= self.own_checkpoint_at:
            self.own_checkpoint_at = frames + self.own_checkpoint_step
            self.restart_wal(database, session)
        return 0

    cdef bint has_got_long(self, Database database) except -1:
        """Whether the WAL, which is kept short, is as long for all that as it is to get, and has to start over."""
        cdef Tick now
        return (self.is_kept_short() and database.clock != NULL and database.writer is not None and read(database.clock, &now)
                and <int>wal_frames(&now) >= max(self.own_checkpoint_frames, self.patient_at) and not is_backfilled(database.clock))

    cdef int before_many_changes(self, Database database) except -1:
        """Before much is written at once: have a WAL that has got long start over first. Others may be at it, or write just now; a
        reader who stays is not waited for again and again. The writer lock is held."""
        cdef BusyWait wait = None
        while self.has_got_long(database):
            if wait is not None:
                try:
                    wait.pause()
                except Timeout:
                    self.patient_at = max(self.own_checkpoint_frames, self.patient_at) + OWN_CHECKPOINT_STEP
                    break
            wait = wait or BusyWait(OTHERS_PATIENCE, "waiting for a checkpoint")
            # Without the snapshot that it may keep, with which SQLite refuses.
            self.restart_wal(database, database.writing())
        return 0

    cdef int tidy_up(self, Database database, Session session) except -1:
        """Do by ourselves what nobody else will. The commit stands whatever happens here, so failures are logged."""
        try:
            if database.has_trash:
                empty_trash(database, database.timeout)
            if self.checkpoint_due:
                self.checkpoint_due = False
                session.connection.checkpoint()
        except (CacheError, OSError) as error:
            database.has_trash = True
            warn("tidying %r has to wait: %s", database.directory, error)
        return 0

    cdef int restart_wal(self, Database database, Session session) except -1:
        """Copy what is left of the WAL while nobody in this process appends to it, so that the next commit starts it over."""
        try:
            # If maintenance is at it, its work is most of ours.
            checkpoint_lock = database.checkpoint_lock
            checkpoint_lock.acquire()
            try:
                session.connection.checkpoint(True)
            finally:
                checkpoint_lock.release()
        except CacheError as error:
            warn("a checkpoint of %r has to wait: %s", database.directory, error)
        return 0

    cdef int checkpoint_beside(self, Database database) except -1:
        """Copy what the WAL holds, on a connection of its own, while others write."""
        cdef Tick now
        cdef Connection connection
        if database.clock != NULL and read(database.clock, &now) and wal_frames(&now) < <unsigned int>self.checkpoint_frames:
            # Another process was faster.
            self.restart_due = False
            return 0
        database.begin_opening()
        try:
            if database.checkpoint_connection is not None and database.checkpoint_connection.read_only:
                checkpoint_lock = database.checkpoint_lock
                checkpoint_lock.acquire()
                try:
                    connection, database.checkpoint_connection = database.checkpoint_connection, None
                    connection.close(False)
                finally:
                    checkpoint_lock.release()
            if database.checkpoint_connection is None:
                connection = database.open_connection(False)
                checkpoint_lock = database.checkpoint_lock
                checkpoint_lock.acquire()
                try:
                    # Opening takes a while, in which the store may have been closed.
                    if database.life == CLOSED:
                        connection.close(False)
                        return 0
                    database.checkpoint_connection = connection
                finally:
                    checkpoint_lock.release()
        finally:
            database.end_opening()
        checkpoint_lock = database.checkpoint_lock
        checkpoint_lock.acquire()
        try:
            if database.checkpoint_connection is not None:
                database.checkpoint_connection.watch_syncs()
                database.checkpoint_connection.checkpoint()
        finally:
            checkpoint_lock.release()
        if self.restart_due:
            self.restart_due = False
            # Nobody writes while it copies the rest, which is little by now.
            checkpoint_lock = database.checkpoint_lock
            checkpoint_lock.acquire()
            try:
                if database.checkpoint_connection is not None:
                    database.checkpoint_connection.checkpoint(True)
            finally:
                checkpoint_lock.release()
        return 0

    cdef bint shorten_wal(self, Database database) except -1:
        """If the WAL has grown beyond what it keeps, and nobody is in the way, have it start over and get shorter. Returns
        whether it is still to be done.

        By a commit (PRAGMA journal_size_limit): a WAL that was truncated to nothing would have the clock begin anew."""
        cdef Tick now
        if database.clock == NULL or not read(database.clock, &now) or <long long>wal_frames(&now) * FRAME <= self.largest_wal:
            return False
        database.writer_lock.acquire(MAINTENANCE_PATIENCE)
        try:
            if database.depth:
                return True
            checkpoint_lock = database.checkpoint_lock
            checkpoint_lock.acquire()
            try:
                database.writing().connection.checkpoint(True)
            finally:
                checkpoint_lock.release()
            if not is_backfilled(database.clock):
                return True
            enter(database)
            try:
                database.writing().connection.execute(sql.START_OVER)
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            return read(database.clock, &now) and <long long>wal_frames(&now) * FRAME > self.largest_wal
        finally:
            database.writer_lock.release()
