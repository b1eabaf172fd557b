# cython: nonecheck=True
"""Flushing queues: what write-behind and batches have put off is written, in order, and nothing is lost.

pending.pyx has what waits, and what is always true of it.
"""

from time import monotonic

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.database cimport CLOSED, OPEN, SOON
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.entries.pending cimport Generation, PendingWrite, WriteBuffer
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.sqlite.cells cimport NEVER, ROW_SET, Row

from fastcache.errors import ClosedError, Timeout

# Rows of a queue that are written in one transaction: not so many that the change log does not list them, or others wait
# for long.
cdef Py_ssize_t QUEUED_AT_ONCE = 4096

# What has something to write, by its database: not to be collected.
cdef dict unwritten = {}


@cython.final
cdef class Flusher(Participant):
    """Writes the queues of one store.

    Args:
        rows: what writes them.
        behind: what write-behind puts off; None without.
    """

    def __cinit__(self, RowWrites rows, WriteBuffer behind):
        self.rows = rows
        self.filed = rows.filed
        self.limit = rows.limit
        self.space = rows.space
        self.behind = behind
        self.queues = [] if behind is None else [behind]

    # -- as a part of transactions ------------------------------------------------------------------------------

    cdef int before_transaction(self, Database database) except -1:
        """Before what is atomic, and what looks at all: write what waits, or wait until it is written.

        Inside a transaction nothing waits, and the one that flushes is inside one."""
        if self.behind is None or self.behind.is_empty():
            return 0
        if database.writer_lock.held_by_me() and (database.depth != 0 or self.behind.is_flushing):
            return 0
        return self.flush_queue(database, self.behind)

    cdef bint has_pending(self) noexcept:
        return self.behind is not None and not self.behind.is_empty()

    cdef int flush(self, Database database) except -1:
        return 0 if self.behind is None else self.flush_queue(database, self.behind)

    cdef int after_fork_in_child(self, Database database) except -1:
        unwritten.pop(id(database), None)
        for queue in self.queues:
            (<WriteBuffer>queue).discard()
        return 0

    # -- write-behind -------------------------------------------------------------------------------------------

    cdef bint can_wait(self, Database database) noexcept:
        """Whether a set or delete may be put off. Not past a transaction, which could not see it."""
        return (self.behind is not None and not database.entering and database.life == OPEN
                and (database.depth == 0 or self.behind.is_flushing) and not self.must_refuse_soon(database))

    cdef bint must_refuse_soon(self, Database database) noexcept:
        """Whether nothing is evicted and little room is left, so that a set should know at once whether it fits."""
        return (self.limit.max_size != 0 and not self.limit.evicts
                and self.space.room.left - self.behind.active.size < self.limit.high)

    cdef bint wait_for_space(self, Database database) except -1:
        """Before something is put off: raise what has gone wrong before, and wait if too much waits already.

        Returns whether something can be put off at once; else look anew, since others were let in."""
        cdef WriteBuffer queue = self.behind
        if database.life == CLOSED:
            raise ClosedError(f"the cache in {database.directory!r} is closed")
        self.raise_failure(queue)
        if not queue.is_full():
            return self.can_wait(database)
        # Maintenance has the writer lock while it writes.
        database.writer_lock.acquire(database.timeout)
        try:
            queue.next_to_write()
        finally:
            database.writer_lock.release()
        if queue.is_full() or not database.schedule(0.0):
            self.flush_queue(database, queue)
        return False

    cdef int on_enqueued(self, Database database, unsigned long long hashed) except -1:
        """After something was put off: the tier does not know it, and somebody has to write it."""
        cdef WriteBuffer queue = self.behind
        self.rows.writes.lookup.tier.forget(hashed)
        if not queue.scheduled:
            queue.scheduled = True
            try:
                unwritten[id(database)] = database.keepalive()
                if not database.schedule(queue.delay):
                    self.flush_queue(database, queue)
            except BaseException:
                # Or nobody would hear of it.
                queue.scheduled = False
                raise
        elif not queue.requested and queue.is_enough():
            queue.requested = True
            database.schedule(0.0)
        return 0

    cdef bint has_expired_waiting(self, Database database, object name) except -1:
        """Whether the key waits to be set to what has expired meanwhile: a set over it is an insertion."""
        cdef PendingWrite place = self.behind.find(name)
        return place is not None and place.expire != NEVER and place.expire <= database.now()

    cdef int raise_failure(self, WriteBuffer queue) except -1:
        if queue.failure is not None:
            failure, queue.failure = queue.failure, None
            raise failure
        return 0

    # -- queues -------------------------------------------------------------------------------------------------

    cdef int add_queue(self, Database database, WriteBuffer queue) except -1:
        """Have maintenance look after a queue."""
        if database.life == CLOSED:
            raise ClosedError(f"the cache in {database.directory!r} is closed")
        self.queues.append(queue)
        return 0

    cdef int remove_queue(self, WriteBuffer queue) except -1:
        self.queues.remove(queue)
        return 0

    cdef double maintain(self, Database database, WriteBuffer queue) except? -2.0:
        """Write a queue if it is time; returns in how many seconds it will be, or -1 if nothing waits."""
        cdef double due = queue.due_in(monotonic())
        if due == 0.0:
            try:
                self.flush_queue(database, queue)
            except Timeout as error:
                if queue.stuck_since == 0.0:
                    queue.stuck_since = monotonic()
                if monotonic() - queue.stuck_since >= database.timeout - MAINTENANCE_PATIENCE:
                    queue.failure = error
                    raise
                return SOON
            except Exception as error:
                queue.failure = error
                raise
            due = queue.due_in(monotonic())
        return due

    cdef int flush_queue(self, Database database, WriteBuffer queue) except -1:
        """Write all that has come in until now, and wait for it."""
        cdef int index
        cdef Generation generation
        database.writer_lock.acquire(database.patience())
        try:
            # What could not be written before, and what has come in since.
            for index in range(2):
                generation = queue.next_to_write()
                if generation is not None:
                    self.write_generation(database, queue, generation)
            queue.failure = None
            queue.stuck_since = 0.0
            if queue is self.behind and queue.is_empty():
                unwritten.pop(id(database), None)
        except BaseException:
            # Who had been called for it may have been here already.
            if database.life != CLOSED and not database.is_hurried():
                database.schedule(SOON)
            raise
        finally:
            database.writer_lock.release()
        return 0

    cdef int write_generation(self, Database database, WriteBuffer queue, Generation generation) except -1:
        cdef Py_ssize_t end
        cdef long long block, stored
        cdef bint written
        queue.is_flushing = True
        try:
            while generation.written < generation.count:
                end = min(generation.written + QUEUED_AT_ONCE, generation.count)
                if self.limit.max_size:
                    end = self.prepare_rows(database, generation, end)
                if end == generation.written:
                    # A file alone, for which room is made before.
                    stored = self.filed.files_stored
                    written = False
                    try:
                        self.rows.write_alone(database, &generation.rows[end], False)
                        written = True
                    finally:
                        if written or self.filed.files_stored != stored:
                            queue.committed += 1
                            generation.written += 1
                    continue
                enter(database)
                block = database.innermost_block()
                try:
                    self.rows.write_rows(database, generation, generation.written, end, False)
                    generation.ending = end
                except BaseException:
                    leave(database, False)
                    raise
                written = False
                try:
                    leave(database, True)
                    written = True
                finally:
                    # What is committed is not written again, whatever has come after it: somebody may have written something
                    # newer meanwhile.
                    if written or database.committed_last == block:
                        queue.committed += end - generation.written
                        generation.written = end
        finally:
            queue.is_flushing = False
        queue.flushing = None
        return 0

    cdef Py_ssize_t prepare_rows(self, Database database, Generation generation, Py_ssize_t end) except -1:
        """Make room for the next rows, up to a value that goes into a file, or this end. Returns how far that is."""
        cdef const Row* row
        cdef long long need = 0
        cdef Py_ssize_t index
        for index in range(generation.written, end):
            row = &generation.rows[index]
            if row.kind == ROW_SET and self.rows.is_large(&row.value):
                end = index
                break
            if row.kind == ROW_SET:
                need += cost_of_row(&row.key, row.value.size)
            if need > self.limit.low:
                end = index + 1
                break
        if need:
            self.space.make_room_before(database, need)
        return end
