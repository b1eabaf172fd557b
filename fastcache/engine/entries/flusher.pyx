# cython: nonecheck=True
"""Flushing queues: what batches put off, or threads commit together, is written in order, and nothing is left out.

pending.pyx has what waits, and what is always true of it.
"""

from time import monotonic

cimport cython

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.database cimport CLOSED, SOON
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.entries.pending cimport Generation, WriteBuffer
from fastcache.engine.eviction.limit cimport cost_of_row
from fastcache.engine.sqlite.cells cimport ROW_SET, Row

from fastcache.errors import ClosedError, Timeout

# Rows of a queue that are written in one transaction: not so many that the change log does not list them, or others wait
# for long.
cdef Py_ssize_t QUEUED_AT_ONCE = 4096


@cython.final
cdef class Flusher(Participant):
    """Writes the queues of one store. Args: rows: what writes their rows."""

    def __cinit__(self, RowWrites rows):
        self.rows = rows
        self.filed = rows.filed
        self.limit = rows.limit
        self.space = rows.space
        self.queues = []

    cdef int after_fork_in_child(self, Database database) except -1:
        for queue in self.queues:
            (<WriteBuffer>queue).discard()
        return 0

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
