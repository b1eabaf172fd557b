# cython: nonecheck=True
"""What every store does, wherever its entries are: on disk (disk_store.pyx), or in memory (memory_store.pyx).

A method that takes a key is declared in `Store`, so that it is called without Python overhead. The others are Python's, and of the same
names in both: `keys`, `items`, `in_order`, `key_ends` and `take_end`; `count`, `size`, `volume`; `clear`, `expire`, `evict`,
`evict_tag`, `vacuum`, `set_limit`; `flush`, `close`, `maintain`; `look`, `refuse_writing`, `make_way`, `end_way`; and what it is.
"""

from fastcache.engine.entries.entry cimport VALUE


cdef class Store:
    """The interface to the entries of one place."""

    cdef int set_up(self, object serializer, object compression) except -1:
        """Called once: how values are kept."""
        self.serializer = check_serializer(serializer)
        self.format = ValueFormat(serializer, compression)
        self.compression = compression
        return 0

    cdef object fetch(self, object key, object missing):
        """The live value of a key, or ``missing``; counts a hit or a miss."""
        return self.fetch_hashed(key, missing, 0)

    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed):
        """The same where the hash of a plain key is known, or 0."""
        raise NotImplementedError

    cdef Entry fetch_entry(self, object key, ReadMode mode=VALUE):
        """The live entry of a key with its value as wanted, or None; counts a hit or a miss."""
        raise NotImplementedError

    cdef bint contains(self, object key) except -1:
        """Whether a key has a live entry."""
        raise NotImplementedError

    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored."""
        raise NotImplementedError

    cdef object find_in_memory(self, object key, object missing, object elsewhere):
        """The live value of a key, or ``missing``, if this process has it at hand; else ``elsewhere``, and nothing is counted."""
        return elsewhere

    cdef object has_in_memory(self, object key, object elsewhere):
        """Whether a key has a live entry, if this process knows it; else ``elsewhere``."""
        return elsewhere

    cdef object find_stored(self, object key, object missing, object elsewhere):
        """The live value of a key that is not in memory, or ``missing``, if that waits for nothing; else ``elsewhere``."""
        return elsewhere

    cdef object has_stored(self, object key, object elsewhere):
        """Whether a key has a live entry, if that waits for nothing; else ``elsewhere``."""
        return elsewhere

    cdef bint put_at_once(self, object key, object value, long long expire, object tag) except -1:
        """Store an entry, if neither the disk nor a lock has to be waited for; returns whether it is stored."""
        return False

    cdef bint remove(self, object key) except -1:
        """Delete the live entry of a key. Returns whether there was one."""
        raise NotImplementedError

    cdef bint set_expiry(self, object key, long long expire) except -1:
        """Give the live entry of a key another expiry. Returns whether there was one."""
        raise NotImplementedError

    cdef Entry take_entry(self, object key):
        """Remove the live entry of a key and return it with its value decoded, or None."""
        raise NotImplementedError

    cdef object increment(self, object key, object delta, object default):
        """Add to the number of a key; returns the sum."""
        raise NotImplementedError

    cpdef Transaction transact(self):
        """A block of a transaction on this store, which has not begun."""
        raise NotImplementedError

    cdef dict fetch_many(self, list keys, object on_error):
        """The live values of all keys that have one, as of one moment. ``on_error(key, error)`` is called for what cannot be
        decoded, if it is not None."""
        raise NotImplementedError

    cdef Writing write_many(self, bint only_if_absent):
        """What one call has to write, in one transaction."""
        raise NotImplementedError

    cdef BatchPart batch_part(self, double max_seconds):
        """What a batch has to write, none of which is to wait for longer than that."""
        raise NotImplementedError

    @property
    def directory(self):
        """Where it is."""
        return self.scope.directory

    @property
    def timeout(self):
        """How long it waits for another writer, in seconds."""
        return self.scope.timeout

    @property
    def timer(self):
        """What tells the time; None for the system's clock."""
        return self.scope.timer

    def time_writes(self):
        """From now on, keep how long writes take; returns the Timings, the same ones each time."""
        return self.scope.time_writes()

    def held_by_me(self):
        """Whether this thread has the writer lock."""
        return self.scope.writer_lock.held_by_me()

    def __reduce__(self):
        raise TypeError("a Store cannot be pickled; the Cache or Index that holds it can")


cdef unsigned long long check_memory(object memory) except? 0:
    if isinstance(memory, bool) or not isinstance(memory, int):
        raise TypeError(f"memory must be a number of bytes (int), not {type(memory).__name__}")
    if not 0 <= memory < 1 << 63:
        raise ValueError(f"memory must be at least 0 bytes, not {memory}")
    return memory


cdef object check_serializer(object serializer):
    name = getattr(serializer, "name", None)
    if not (type(name) is str and callable(getattr(serializer, "dumps", None))
            and callable(getattr(serializer, "loads", None))):
        raise TypeError(
            "serializer must have a name (str) and the methods dumps and loads; a "
            f"{type(serializer).__name__} has not")
    return serializer


cdef bint check_journal(object journal) except -1:
    if not isinstance(journal, bool):
        raise TypeError(f"journal must be True or False, not {journal!r}")
    return journal
