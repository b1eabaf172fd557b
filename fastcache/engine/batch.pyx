# cython: nonecheck=True
"""A stream of operations that are committed many at a time: what waits for each shard, and when all of it is written."""

cimport cython

from fastcache.engine.bulk cimport Parts
from fastcache.engine.entries.expiry cimport expiry
from fastcache.engine.entries.writing cimport BatchPart
from fastcache.engine.shards cimport Shards
from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.store cimport Store

from fastcache.errors import ClosedError, TransactionError


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
        return sum([(<BatchPart>part).committed() for part in self.parts if part is not None])

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
                (<BatchPart>part).leave()
        if error is not None:
            self.drop(error)
            return False
        try:
            for part in self.parts:
                if part is not None:
                    (<BatchPart>part).finish()
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
        self.put(key, value, expiry(self.shards.first.scope, expire), tag)

    def delete(self, key):
        """Remove an entry, if there is one."""
        cdef BatchPart part = self.part_of(key)
        part.remove(key)
        self.came_in(part)

    def flush(self):
        """Commit what waits, and wait for it."""
        self.refuse_if_not_open()
        for part in self.parts:
            if part is not None:
                (<BatchPart>part).flush()

    cdef int put(self, object key, object value, long long expire, object tag) except -1:
        cdef BatchPart part = self.part_of(key)
        part.put(key, value, expire, tag)
        return self.came_in(part)

    cdef BatchPart part_of(self, object key):
        self.refuse_if_not_open()
        return self.of(key)

    cdef object make(self, Store store):
        return store.batch_part(self.max_seconds)

    cdef int came_in(self, BatchPart part) except -1:
        """One more waits for a shard."""
        cdef Py_ssize_t waiting = 0
        for each in self.parts:
            if each is not None:
                waiting += (<BatchPart>each).waiting()
        if waiting >= self.max_items:
            self.flush()
        else:
            part.came_in()
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
                waiting += (<BatchPart>part).drop()
        if hasattr(error, "add_note"):
            error.add_note(f"batch: {self.committed} operations were committed, {waiting} were dropped")
        return 0
