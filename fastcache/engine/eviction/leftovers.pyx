# cython: nonecheck=True
"""What the dead have left: temporary files, files without a row, rows without their file, and reservations.

It is given back by whoever notices (`look_around`): at opening, in maintenance (about once a second, as long as files are
written), and when room is needed. blobs/writers.pyx tells how a death is known.
"""

from time import monotonic

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.blobs.writers cimport is_ours
from fastcache.engine.database.database cimport warn
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.trash cimport empty_trash
from fastcache.engine.sqlite.connection cimport Connection

from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, Timeout

cdef extern from "<math.h>":
    double INFINITY

# How long nobody looks for it, in seconds.
cdef double LOOK_PERIOD = 1.0


@cython.final
cdef class Leftovers(Participant):
    """Looks for dead writers, and gives back what they have left."""

    def __cinit__(self, Evictor evictor):
        self.evictor = evictor

    cdef int settle(self, Database database) except -1:
        if database.files.number and not self.look_due:
            self.look_out(database)
        return 0

    cdef int after_fork_in_child(self, Database database) except -1:
        self.look_due = False
        self.owes_room = False
        return 0

    cdef int begin(self, Database database) except -1:
        """What cannot be done now is left to maintenance: neither a full disk nor a long transaction keeps anybody from
        opening."""
        database.hurried_thread = <unsigned long>PyThread_get_thread_ident()
        try:
            # Those of writers that had no number, too.
            self.release_dead(database)
            self.look_around(database)
        except Timeout:
            database.schedule(LOOK_PERIOD)
        except CacheError as error:
            warn("what others have left in %r stays for now: %s", database.directory, error)
        finally:
            database.hurried_thread = 0
        return 0

    cdef int look_out(self, Database database) except -1:
        """While files are written here, others may die: have somebody look around soon."""
        self.look_due = True
        try:
            scheduled = database.schedule(LOOK_PERIOD)
        except BaseException:
            self.look_due = False
            raise
        if not scheduled:
            self.look_due = False
            if monotonic() - self.looked_at >= LOOK_PERIOD and database.depth == 0:
                # Before anything that it commits has it look out, too.
                self.looked_at = monotonic()
                try:
                    self.look_around(database)
                except CacheError as error:
                    warn("what others have left in %r stays for now: %s", database.directory, error)
        return 0

    cdef double maintain(self, Database database) except? -1.0:
        """Look around if it is time, which is about once a second; returns in how many seconds it will be."""
        cdef double wait = self.looked_at + LOOK_PERIOD - monotonic()
        if wait <= 0.0 or self.owes_room or self.evictor.dangling:
            self.look_around(database)
            return INFINITY
        return wait if self.look_due else INFINITY

    cdef bint look_around(self, Database database) except -1:
        """Give back what dead writers have left; no transaction is open. Returns whether there was any."""
        cdef bint any = database.files.abandoned(remove=True) != 0
        cdef list dead = database.files.dead_writers()
        if dead:
            # What they were about to unlink, first.
            empty_trash(database, database.patience())
            self.reclaim(database, dead)
            any = True
        if self.owes_room:
            any = self.release_dead(database) or any
        if self.evictor.dangling:
            self.evictor.drop_dangling(database)
        database.files.rest()
        self.looked_at = monotonic()
        self.look_due = False
        return any

    cdef int reclaim(self, Database database, list dead) except -1:
        """Unlink the files that no row names, and delete the rows whose file is gone, then the markers of the dead.

        The files are listed, and the snapshot of the rows is taken, while this has the write lock: then nobody is between giving
        a file its name and committing its row, or has evicted what is not committed. So what does not match then never
        will, whoever is dead or alive, and the comparison itself keeps nobody waiting."""
        cdef Connection connection
        cdef int stay = 0
        database.writer_lock.acquire(database.patience())
        try:
            connection = database.connect()
            try:
                enter(database)
                try:
                    there = set(database.files.names())
                    connection.query(sql.BEGIN_SNAPSHOT)
                    trash = connection.query(sql.ALL_TRASH)
                finally:
                    leave(database, False)
                rows = connection.query(sql.FILE_ROWS, (), True)
            finally:
                connection.close(False)
            for name in there.difference([name for _, name, _ in rows], [name for (name,) in trash]):
                stay += not database.files.unlink(name)
            lost = [(row, name) for row, name, _ in rows if is_ours(name) and name not in there]
            if lost:
                self.drop_lost(database, lost)
            self.release_dead(database)
            if stay:
                warn("files that dead writers have left in %r cannot be removed: %s", database.files.folder, stay)
                return 0
            for marker in dead:
                database.files.forget_writer(marker)
        finally:
            database.writer_lock.release()
        return 0

    cdef int drop_lost(self, Database database, list lost) except -1:
        """Delete rows whose files are not there, unless all of the folder is not."""
        cdef Session session
        enter(database)
        try:
            session = database.writing()
            for row, name in lost:
                if database.files.size(name) is None:
                    self.evictor.drop_row(database, session, row, name, None)
        except BaseException:
            leave(database, False)
            raise
        leave(database, True)
        return 0

    cdef bint release_dead(self, Database database) except -1:
        """Drop what the dead have reserved, and what we have and could not drop. Returns whether there was anything."""
        cdef bint any = False
        database.writer_lock.acquire(database.timeout)
        try:
            if not database.writing().connection.query(sql.LIST_RESERVED):
                self.owes_room = False
                return False
            enter(database)
            try:
                # Under the lock: a file that is written by now is reserved no more.
                for name, _ in database.writing().connection.query(sql.LIST_RESERVED):
                    if database.files.is_settled(name) and self.give_back(database, name):
                        any = True
            except BaseException:
                leave(database, False)
                raise
            leave(database, True)
            self.owes_room = False
        finally:
            database.writer_lock.release()
        return any

    cdef bint give_back(self, Database database, object name) except -1:
        """In the open transaction, drop a reservation. Returns whether there was one."""
        rows = database.writing().connection.query(sql.GIVE_BACK, (name,))
        if rows:
            database.count_file(-(rows[0][0] if type(rows[0][0]) is int else 0))
        return bool(rows)
