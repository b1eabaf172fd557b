# cython: nonecheck=True
"""A stream of operations that are committed many at a time: what waits for each shard, and when all of it is written."""

import _thread

cimport cython

from fastcache.engine.bulk cimport Parts
from fastcache.engine.sqlite.cells cimport NEVER, Cell, Row
from fastcache.engine.codecs.keys cimport encode_key
from fastcache.engine.entries.pending cimport Generation, WriteBuffer
from fastcache.engine.shards cimport Shards
from fastcache.engine.entries.entry cimport check_tag
from fastcache.engine.entries.expiry cimport expiry
from fastcache.engine.entries.pending cimport begin_row
from fastcache.engine.store cimport Store

from fastcache.errors import ClosedError, TransactionError


@cython.final
cdef class Part:
    """What waits for one shard."""

    cdef Store store
    cdef WriteBuffer queue

    def __cinit__(self, Store store, double max_seconds):
        self.store = store
        self.queue = WriteBuffer(max_seconds)

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef Row row
        begin_row(&row, expire)
        key_keepalive = encode_key(key, self.store.serializer, &row.key)
        self.store.reads.name_of(key, key_keepalive, &row.key)
        value_keepalive = self.store.changes.encode_whole(self.store.database, value, &row)
        tag_keepalive = check_tag(tag, &row.tag)
        self.store.flusher.raise_failure(self.queue)
        return self.queue.put(&row, key_keepalive, value_keepalive, tag_keepalive)

    cdef int delete(self, object key) except -1:
        cdef Cell cell
        keepalive = encode_key(key, self.store.serializer, &cell)
        self.store.reads.name_of(key, keepalive, &cell)
        self.store.flusher.raise_failure(self.queue)
        return self.queue.remove(None, &cell, keepalive)

    cdef int finish(self) except -1:
        self.store.database.writer_lock.acquire(self.store.database.timeout)
        try:
            self.store.flusher.flush_queue(self.store.database, self.queue)
        finally:
            self.store.database.writer_lock.release()
        return 0

    cdef Py_ssize_t drop(self) except -1:
        """What waits is not to be written any more; returns how many operations that were."""
        cdef Py_ssize_t waiting = self.queue.active.count
        if self.queue.flushing is not None and not self.queue.is_flushing:
            waiting += self.queue.flushing.count - self.queue.flushing.written
        elif self.queue.flushing is not None:
            # Maintenance is at it, and ends by itself.
            self.queue.active = Generation()
            self.store.database.writer_lock.acquire(_thread.TIMEOUT_MAX)
            self.store.database.writer_lock.release()
            if self.queue.flushing is not None:
                waiting += self.queue.flushing.count - self.queue.flushing.written
        self.queue.discard()
        return waiting


@cython.final
cdef class Batch(Parts):
    """The context manager of ``batch()``; see there.

    Attributes:
        committed: how many operations are committed (int).
    """

    cdef Py_ssize_t max_items
    cdef double max_seconds
    cdef bint open
    cdef bint used

    def __cinit__(self, Shards shards, max_items, max_seconds):
        if isinstance(max_items, bool) or not isinstance(max_items, int):
            raise TypeError(f"max_items must be an int, not {type(max_items).__name__}")
        if isinstance(max_seconds, bool) or not isinstance(max_seconds, (int, float)):
            raise TypeError(f"max_seconds must be a number of seconds, not {type(max_seconds).__name__}")
        if not 1 <= max_items <= 1 << 30:
            raise ValueError(f"max_items must be between 1 and {1 << 30}, not {max_items}")
        if not max_seconds > 0:
            raise ValueError(f"max_seconds must be more than 0 seconds, not {max_seconds!r}")
        self.max_items = max_items
        self.max_seconds = max_seconds

    @property
    def committed(self):
        return sum([(<Part>part).queue.committed for part in self.parts if part is not None])

    def __enter__(self):
        if self.used:
            raise TransactionError("a batch is used once: call batch() for each block")
        if self.shards.first.closed:
            raise ClosedError(f"the cache in {self.shards.directory!r} is closed")
        self.open = self.used = True
        return self

    def __exit__(self, kind, error, traceback):
        if not self.open:
            raise TransactionError("a batch is used inside its block")
        self.open = False
        # Maintenance must not write what is to be dropped.
        for part in self.parts:
            if part is not None:
                (<Part>part).store.flusher.remove_queue((<Part>part).queue)
        if error is not None:
            self.drop(error)
            return False
        try:
            for part in self.parts:
                if part is not None:
                    (<Part>part).finish()
        except BaseException as failure:
            self.drop(failure)
            raise
        return False

    def __setitem__(self, key, value):
        self.put(key, value, NEVER, None)

    def __delitem__(self, key):
        self.delete(key)

    def set(self, key, value, *, expire=None, tag=None):
        """Store a value; ``expire`` and ``tag`` as in ``Cache.set``."""
        self.put(key, value, expiry(self.shards.first.database, expire), tag)

    def delete(self, key):
        """Remove an entry, if there is one."""
        cdef Part part = self.part_of(key)
        part.delete(key)
        self.came_in(part)

    def flush(self):
        """Commit what waits, and wait for it."""
        self.refuse_if_not_open()
        for part in self.parts:
            if part is not None:
                (<Part>part).store.flusher.raise_failure((<Part>part).queue)
                (<Part>part).store.flusher.flush_queue((<Part>part).store.database, (<Part>part).queue)

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef Part part = self.part_of(key)
        part.put(key, value, expire, tag)
        return self.came_in(part)

    cdef Part part_of(self, object key):
        self.refuse_if_not_open()
        return self.of(key)

    cdef object make(self, Store store):
        cdef Part part = Part(store, self.max_seconds)
        store.flusher.add_queue(store.database, part.queue)
        return part

    cdef int came_in(self, Part part) except -1:
        """One more waits for a shard."""
        cdef Py_ssize_t waiting = 0
        for each in self.parts:
            if each is not None:
                waiting += (<Part>each).queue.active.count
        if waiting >= self.max_items:
            self.flush()
        elif part.queue.is_full():
            part.store.flusher.flush_queue(part.store.database, part.queue)
        elif not part.queue.scheduled:
            part.queue.scheduled = part.store.database.schedule(part.queue.delay)
            if not part.queue.scheduled:
                part.store.flusher.flush_queue(part.store.database, part.queue)
        return 0

    cdef int refuse_if_not_open(self) except -1:
        if not self.open:
            raise TransactionError("a batch is used inside its block")
        return 0

    cdef int drop(self, object error) except -1:
        """The block has failed, and the error says what has become of it."""
        cdef Py_ssize_t waiting = 0
        for part in self.parts:
            if part is not None:
                waiting += (<Part>part).drop()
        if hasattr(error, "add_note"):
            error.add_note(f"batch: {self.committed} operations were committed, {waiting} were dropped")
        return 0
