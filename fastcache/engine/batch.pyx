# cython: nonecheck=True
"""A stream of operations that are committed many at a time."""

import _thread

from fastcache.engine.connection cimport NEVER, Cell
from fastcache.engine.keys cimport encode_key
from fastcache.engine.queue cimport Generation, Queue
from fastcache.engine.store cimport Store, check_tag, expiry

from fastcache.engine.errors import Timeout, TransactionError


cdef class Batch:
    """The context manager of ``batch()``; see there.

    Attributes:
        committed: how many operations are committed (int).
    """

    cdef Store store
    cdef Queue queue
    cdef Py_ssize_t max_items
    cdef bint open

    def __cinit__(self, Store store, max_items, max_seconds):
        if isinstance(max_items, bool) or not isinstance(max_items, int):
            raise TypeError(f"max_items must be an int, not {type(max_items).__name__}")
        if isinstance(max_seconds, bool) or not isinstance(max_seconds, (int, float)):
            raise TypeError(f"max_seconds must be a number of seconds, not {type(max_seconds).__name__}")
        if not 1 <= max_items <= 1 << 30:
            raise ValueError(f"max_items must be between 1 and {1 << 30}, not {max_items}")
        if not max_seconds > 0:
            raise ValueError(f"max_seconds must be more than 0 seconds, not {max_seconds!r}")
        self.store = store
        self.max_items = max_items
        self.queue = Queue(max_seconds)

    @property
    def committed(self):
        return self.queue.committed

    def __enter__(self):
        if self.open or self.queue.committed:
            raise TransactionError("a batch is used once: call batch() for each block")
        self.store.add_queue(self.queue)
        self.open = True
        return self

    def __exit__(self, kind, error, traceback):
        if not self.open:
            raise TransactionError("a batch is used inside its block")
        self.open = False
        # Maintenance must not write what is to be dropped.
        self.store.remove_queue(self.queue)
        if error is not None:
            self.drop(error)
            return False
        try:
            self.store.turn.take(self.store.timeout)
        except Timeout as failure:
            self.drop(failure)
            raise
        try:
            self.store.flush_queue(self.queue)
        except BaseException as failure:
            self.drop(failure)
            raise
        finally:
            self.store.turn.give()
        return False

    def __setitem__(self, key, value):
        self.put(key, value, NEVER, None)

    def __delitem__(self, key):
        self.delete(key)

    def set(self, key, value, *, expire=None, tag=None):
        """Store a value; ``expire`` and ``tag`` as in ``Cache.set``."""
        self.put(key, value, NEVER if expire is None else expiry(self.store, expire), tag)

    def delete(self, key):
        """Remove an entry, if there is one."""
        cdef Cell cell
        owner = encode_key(key, self.store.serializer, &cell)
        self.store.name_of(key, owner, &cell)
        self.refuse_if_not_open()
        self.queue.remove(None, &cell, owner)
        self.came_in()

    def flush(self):
        """Commit what waits, and wait for it."""
        self.refuse_if_not_open()
        self.store.flush_queue(self.queue)

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef Cell key_cell, value_cell, tag_cell
        cdef int codec = 0
        key_owner = encode_key(key, self.store.serializer, &key_cell)
        self.store.name_of(key, key_owner, &key_cell)
        value_owner = self.store.encode_whole(value, &key_cell, &value_cell, &codec)
        self.store.refuse_too_large(&key_cell, value_cell.size)
        tag_owner = check_tag(tag, &tag_cell)
        self.refuse_if_not_open()
        self.queue.put(None, &key_cell, key_owner, &value_cell, value_owner, None, 0, &tag_cell, tag_owner, codec, expire)
        return self.came_in()

    cdef int came_in(self) except -1:
        if self.queue.filling.count >= self.max_items or self.queue.is_full():
            self.store.flush_queue(self.queue)
        elif self.queue.filling.count == 1 and not self.store.call_keeper(self.queue.delay):
            self.store.flush_queue(self.queue)
        return 0

    cdef int refuse_if_not_open(self) except -1:
        if not self.open:
            raise TransactionError("a batch is used inside its block")
        return self.store.raise_failure(self.queue)

    cdef int drop(self, object error) except -1:
        """The block has failed: what waits is not to be written any more, and the error says so."""
        cdef Py_ssize_t waiting = self.queue.filling.count
        if self.queue.writing is not None and not self.queue.flushing:
            waiting += self.queue.writing.count - self.queue.writing.written
            self.queue.forsake()
        elif self.queue.writing is not None:
            # Maintenance is at it, and ends by itself.
            self.queue.filling = Generation()
            self.store.turn.take(_thread.TIMEOUT_MAX)
            self.store.turn.give()
            if self.queue.writing is not None:
                waiting += self.queue.writing.count - self.queue.writing.written
            self.queue.forsake()
        else:
            self.queue.forsake()
        if hasattr(error, "add_note"):
            error.add_note(f"batch: {self.queue.committed} operations were committed, {waiting} were dropped")
        return 0
