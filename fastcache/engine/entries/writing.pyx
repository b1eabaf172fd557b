# cython: nonecheck=True
"""What one call, or a batch, has to write to one store: entries that come one after the other, and are written many at a time.

`Writing` is one transaction, begun when it is first needed. `BatchPart` commits now and then, and leaves what is committed. Where
entries are in a database, both are rows (`RowWriting`, `RowBatchPart`).
"""

import _thread

cimport cython

from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.database.transaction cimport DatabaseTransaction
from fastcache.engine.entries.entry cimport check_tag
from fastcache.engine.entries.pending cimport Generation, begin_row
from fastcache.engine.sqlite.cells cimport Row


cdef class Writing:
    """The transaction of one call."""

    cdef int add(self, object key, object value, long long expire, object tag, const Cell* tag_cell) except -1:
        """An entry is to be set; the tag is checked, and stands in the cell, too."""
        raise NotImplementedError

    cdef int remove(self, object key) except -1:
        """An entry is to be removed."""
        raise NotImplementedError

    cdef bint is_full(self) except -1:
        """Whether so many wait that they are to be written."""
        raise NotImplementedError

    cdef int write(self) except -1:
        """Write what waits, in the transaction, and count what that changes."""
        raise NotImplementedError

    cdef Transaction new_block(self):
        """What the transaction begins with."""
        raise NotImplementedError

    cdef int begin(self) except -1:
        if self.block is None:
            block = self.new_block()
            block.__enter__()
            self.block = block
        return 0

    cdef int finish(self) except -1:
        self.write()
        return self.close(False)

    cdef int undo(self) except -1:
        return self.close(True)

    cdef int close(self, bint failed) except -1:
        cdef Transaction block = self.block
        self.block = None
        if block is not None:
            block.exit(failed)
        return 0


@cython.final
cdef class RowWriting(Writing):
    """The same as rows."""

    def __cinit__(self, Database database, Changes changes, bint only_if_absent):
        self.database = database
        self.changes = changes
        self.only_if_absent = only_if_absent
        self.rows = Rows()

    cdef int add(self, object key, object value, long long expire, object tag, const Cell* tag_cell) except -1:
        return self.changes.add_row(self.database, self.rows, key, value, expire, tag, tag_cell)

    cdef int remove(self, object key) except -1:
        return self.changes.add_deletion(self.database, self.rows, key)

    cdef bint is_full(self) except -1:
        return self.rows.is_full()

    cdef Transaction new_block(self):
        self.changes.rows.make_room_ahead(self.database, self.rows)
        return DatabaseTransaction(self.database)

    cdef int write(self) except -1:
        if not self.rows.count:
            return 0
        self.begin()
        self.changed += self.changes.rows.write_rows(self.database, self.rows, 0, self.rows.count, self.only_if_absent)
        return self.rows.clear()


cdef class BatchPart:
    """What of a batch waits for one store."""

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        """An entry is to be set."""
        raise NotImplementedError

    cdef int remove(self, object key) except -1:
        """An entry is to be removed."""
        raise NotImplementedError

    cdef Py_ssize_t waiting(self) except -1:
        """How many operations wait."""
        raise NotImplementedError

    cdef long long committed(self) except -1:
        """How many are committed."""
        raise NotImplementedError

    cdef int came_in(self) except -1:
        """One more waits: see to it that all are committed in time."""
        raise NotImplementedError

    cdef int flush(self) except -1:
        """Commit what waits; raise what maintenance could not tell anybody."""
        raise NotImplementedError

    cdef int leave(self) except -1:
        """The block is left: maintenance must not write what is to be dropped."""
        raise NotImplementedError

    cdef int finish(self) except -1:
        """Commit what is left."""
        raise NotImplementedError

    cdef Py_ssize_t drop(self) except -1:
        """What waits is not to be written any more; returns how many operations that were."""
        raise NotImplementedError


@cython.final
cdef class RowBatchPart(BatchPart):
    """The same as rows."""

    def __cinit__(self, Database database, Changes changes, double max_seconds):
        self.database = database
        self.changes = changes
        self.flusher = changes.flusher
        self.queue = WriteBuffer(max_seconds)
        self.flusher.add_queue(database, self.queue)

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef Row row
        begin_row(&row, expire)
        key_keepalive = encode_key(key, self.changes.serializer, &row.key)
        self.changes.reads.name_of(key, key_keepalive, &row.key)
        value_keepalive = self.changes.encode_whole(self.database, value, &row)
        tag_keepalive = check_tag(tag, &row.tag)
        self.queue.raise_failure()
        return self.queue.put(&row, key_keepalive, value_keepalive, tag_keepalive)

    cdef int remove(self, object key) except -1:
        cdef Cell cell
        keepalive = encode_key(key, self.changes.serializer, &cell)
        self.changes.reads.name_of(key, keepalive, &cell)
        self.queue.raise_failure()
        return self.queue.remove(&cell, keepalive)

    cdef Py_ssize_t waiting(self) except -1:
        return self.queue.active.count

    cdef long long committed(self) except -1:
        return self.queue.committed

    cdef int came_in(self) except -1:
        if self.queue.is_full():
            self.flusher.flush_queue(self.database, self.queue)
        elif not self.queue.scheduled:
            self.queue.scheduled = self.database.schedule(self.queue.delay)
            if not self.queue.scheduled:
                self.flusher.flush_queue(self.database, self.queue)
        return 0

    cdef int flush(self) except -1:
        self.queue.raise_failure()
        return self.flusher.flush_queue(self.database, self.queue)

    cdef int leave(self) except -1:
        return self.flusher.remove_queue(self.queue)

    cdef int finish(self) except -1:
        self.database.writer_lock.acquire(self.database.timeout)
        try:
            self.flusher.flush_queue(self.database, self.queue)
        finally:
            self.database.writer_lock.release()
        return 0

    cdef Py_ssize_t drop(self) except -1:
        cdef Py_ssize_t waiting = self.queue.active.count
        if self.queue.flushing is not None and not self.queue.is_flushing:
            waiting += self.queue.flushing.count - self.queue.flushing.written
        elif self.queue.flushing is not None:
            # Maintenance is at it, and ends by itself.
            self.queue.active = Generation()
            self.database.writer_lock.acquire(_thread.TIMEOUT_MAX)
            self.database.writer_lock.release()
            if self.queue.flushing is not None:
                waiting += self.queue.flushing.count - self.queue.flushing.written
        self.queue.discard()
        return waiting
