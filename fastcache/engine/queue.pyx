# cython: nonecheck=True
"""What waits to be written: with write-behind, in a batch, and where threads share commits.

A queue has two generations. New operations go into `filling`. Whoever flushes (Store.flush_queue) has the turn, makes it
`writing`, and writes that in transactions of a few thousand, while another generation fills. What is always true:

- *Order.* A generation is written whole before the next one is begun.
- *Nothing is dropped.* A generation goes away when all of it is committed. If writing fails, what is left stays `writing`,
  is tried again first at the next flush, and the failure is raised at the next call. A queue that is not empty is kept
  alive by maintenance, and the exit of the interpreter flushes it.
- *This process reads its own writes.* With write-behind, who reads asks the queue before SQLite. The memory tier knows
  nothing of a key that waits: it is made to forget it (Memory.forget), and Store.remember asks the queue.
- *It is bounded.* `filling` has room for so much; who finds it full waits until what is `writing` is written.

What is atomic flushes first (Store.flush_first), and so does what looks at the whole table.
"""

from time import monotonic

cimport cython
from cpython.ref cimport PyObject

from fastcache.engine.values cimport CODEC_NATIVE, CODEC_SERIALIZED

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError(object dictionary, object key) except? NULL

# Of a generation: when it is time to write it, and when it is full.
cdef Py_ssize_t ENOUGH_ROWS = 4096
cdef Py_ssize_t MOST_ROWS = 16384
cdef long long ENOUGH_BYTES = 4 * 1024 * 1024
cdef long long MOST_BYTES = 32 * 1024 * 1024


@cython.no_gc
@cython.final
cdef class Place:
    """The last operation on a key. Not tracked by the garbage collector, so that making one runs nothing."""


cdef class Generation(Rows):
    """Operations that wait together."""

    def __cinit__(self):
        self.places = {}


cdef class Queue:
    """Operations that wait, for ``delay`` seconds at most."""

    def __cinit__(self, double delay):
        self.delay = delay
        self.filling = Generation()

    cdef bint is_empty(self) noexcept:
        return self.filling.count == 0 and self.writing is None

    cdef bint is_enough(self) noexcept:
        """Whether it is time to write, long waited or not."""
        return self.filling.count >= ENOUGH_ROWS or self.filling.size >= ENOUGH_BYTES

    cdef bint is_full(self) noexcept:
        return self.filling.count >= MOST_ROWS or self.filling.size >= MOST_BYTES

    cdef int put(
            self, object name, const Cell* key, object key_owner, const Cell* value, object value_owner, object known,
            const Cell* tag, object tag_owner, int codec, long long expire) except -1:
        """Have an entry set; under a name if it is to be found. Nothing here lets anybody come in between."""
        cdef Place place
        cdef Generation generation = self.filling
        cdef PyObject* found
        if generation.count == 0:
            self.since = monotonic()
        if name is None:
            return generation.add(key, key_owner, value, value_owner, tag, tag_owner, codec, expire)
        place = Place.__new__(Place)
        found = PyDict_GetItemWithError(generation.places, name)
        place.index = generation.count
        # What is not serialized is read as it was given.
        place.codec = codec if codec >= CODEC_SERIALIZED else CODEC_NATIVE
        place.expire = expire
        place.size = value.size
        place.known = known
        place.tag = tag_owner
        if found != NULL and not (<Place>found).deleted:
            place.index = (<Place>found).index
            generation.replace(place.index, value, value_owner, tag, tag_owner, codec, expire)
        else:
            generation.add(key, key_owner, value, value_owner, tag, tag_owner, codec, expire)
        generation.places[name] = place
        return 0

    cdef int remove(self, object name, const Cell* key, object key_owner) except -1:
        """Have a key deleted."""
        cdef Place place
        cdef Generation generation = self.filling
        if generation.count == 0:
            self.since = monotonic()
        if name is not None:
            place = Place.__new__(Place)
            place.index = generation.count
            place.deleted = True
            generation.places[name] = place
        return generation.add_deletion(key, key_owner)

    cdef Place find(self, object name):
        """The last operation on a key; None if none waits. Runs no Python code."""
        cdef PyObject* found
        cdef Generation generation = self.filling
        if generation.count:
            found = PyDict_GetItemWithError(generation.places, name)
            if found != NULL:
                return <Place>found
        generation = self.writing
        if generation is not None:
            found = PyDict_GetItemWithError(generation.places, name)
            # What is committed may have been overwritten by others.
            if found != NULL and (<Place>found).index >= generation.written:
                return <Place>found
        return None

    cdef Generation next_to_write(self):
        """What is to be written next; None if nothing is. The turn is held."""
        cdef Generation fresh
        if self.writing is None and self.filling.count:
            fresh = Generation()
            self.writing = self.filling
            self.filling = fresh
            self.called = False
        return self.writing

    cdef int forsake(self) except -1:
        """Forget what waits: because it is the parent's, in a child, or because its batch has failed."""
        self.filling = Generation()
        self.writing = None
        self.failure = None
        self.flushing = False
        self.called = False
        return 0

    cdef double due_in(self, double now) noexcept:
        """In how many seconds it is time to write; negative if nothing waits."""
        if self.writing is not None:
            return 0.0
        if self.filling.count == 0:
            return -1.0
        return 0.0 if self.is_enough() else max(0.0, self.since + self.delay - now)
