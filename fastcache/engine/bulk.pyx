# cython: nonecheck=True
"""Many entries in one call: what is written is one transaction, what is read is one snapshot; of each shard.

What is given is taken, and encoded, a thousand at a time, so that it may be endless. The transaction begins when the
first thousand are there; whatever the iterable does from then on, it does inside. An error undoes the call.

Of several shards, each has its part. A call that fits into memory writes one part after the other, holding one lock at a time. One
that does not begins all transactions at once, in the order of the shards, which is everybody's: so that no two wait for each
other. They are committed one after the other; what fails then leaves those before it.
"""

from _collections_abc import Mapping

cimport cython

from fastcache.engine.entries.entry cimport check_tag
from fastcache.engine.entries.reading cimport name_item
from fastcache.engine.entries.writing cimport Writing
from fastcache.engine.shards cimport Shards
from fastcache.engine.sqlite.cells cimport NEVER, Cell
from fastcache.engine.store cimport Store

from fastcache.errors import FullError


cdef class Parts:
    """What of one call, or of a batch, goes to each of the shards: a part is made when the first key of its shard comes."""

    def __cinit__(self, Shards shards, *_):
        self.shards = shards
        self.parts = [None] * shards.count

    cdef object make(self, Store store):
        """The part of a shard of which nothing has come yet."""
        raise NotImplementedError

    cdef object of(self, object key):
        cdef unsigned long long hashed = 0
        return self.at(self.shards.index_of(key, &hashed))

    cdef object at(self, int index):
        part = self.parts[index]
        if part is None:
            part = self.parts[index] = self.make(self.shards.at(index))
        return part


@cython.final
cdef class Writings(Parts):
    """The transactions of one call."""

    cdef bint only_if_absent
    cdef bint begun

    def __cinit__(self, Shards shards, bint only_if_absent):
        self.only_if_absent = only_if_absent

    cdef object make(self, Store store):
        return store.write_many(self.only_if_absent)

    cdef int came_in(self, Writing part) except -1:
        """A row was added to one of them."""
        if not part.is_full():
            return 0
        if not self.begun:
            self.begin()
        return part.write()

    cdef int begin(self) except -1:
        cdef Py_ssize_t index
        cdef Writing part
        self.begun = True
        # Inside of transact(key), there is but one part; to lock others would not be in the order.
        if self.shards.count > 1 and self.shards.inside() is None:
            # All are opened before the first is locked.
            for index in range(len(self.shards.to_write())):
                part = self.at(index)
                part.begin()
        return 0

    cdef Py_ssize_t finish(self) except -1:
        """Write what is left, and commit; returns how many entries that has changed, all in all."""
        cdef Py_ssize_t changed = 0
        cdef Writing part
        for part in self.parts:
            if part is not None:
                try:
                    part.finish()
                except FullError as error:
                    # Those before are committed.
                    error.changed = changed
                    raise
                changed += part.changed
        return changed

    cdef int undo(self) except -1:
        """Undo what is not committed, of each, whatever becomes of the others."""
        cdef Writing part
        cdef Py_ssize_t index
        interruption = None
        # The last one first: on a thread, blocks end in the order in which they began.
        for index in range(self.shards.count - 1, -1, -1):
            part = self.parts[index]
            if part is not None:
                try:
                    part.undo()
                except BaseException as error:
                    interruption = error
        if interruption is not None:
            raise interruption
        return 0


cdef object pairs_of(object given):
    """An iterator over the (key, value) pairs of a mapping or of an iterable of pairs."""
    if isinstance(given, Mapping):
        return iter(given.items())
    if hasattr(given, "keys"):
        return ((key, given[key]) for key in given.keys())
    return iter(given)


cdef Py_ssize_t put_many(Shards shards, object given, long long expire, object tag, bint only_if_absent) except -1:
    """Set (or add) all pairs; returns how many that has stored."""
    cdef Writings parts = Writings(shards, only_if_absent)
    cdef Writing part
    cdef Py_ssize_t position = 0, changed
    cdef Cell tag_cell
    tag_keepalive = check_tag(tag, &tag_cell)
    try:
        for pair in pairs_of(given):
            try:
                key, value = pair
                part = parts.of(key)
                part.add(key, value, expire, tag_keepalive, &tag_cell)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        changed = parts.finish()
    except BaseException:
        parts.undo()
        raise
    return changed if only_if_absent else position


def add_entries(Shards shards, object entries):
    """Add entries that each have an expiry and a tag of their own, in one transaction for each shard.

    Args:
        shards: those of a cache (Shards).
        entries: an iterable of (key, value, the absolute time in ms at which it expires or None, tag).

    Returns:
        How many that has stored (int): what a key has already, it keeps.
    """
    cdef Writings parts = Writings(shards, True)
    cdef Writing part
    cdef Py_ssize_t position = 0, changed
    cdef Cell tag_cell
    try:
        for key, value, expire, tag in entries:
            try:
                tag_keepalive = check_tag(tag, &tag_cell)
                part = parts.of(key)
                part.add(key, value, NEVER if expire is None else expire, tag_keepalive, &tag_cell)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        changed = parts.finish()
    except BaseException:
        parts.undo()
        raise
    return changed


cdef Py_ssize_t delete_many(Shards shards, object keys) except -1:
    """Delete the live entries of all keys; returns how many there were."""
    cdef Writings parts = Writings(shards, False)
    cdef Writing part
    cdef Py_ssize_t position = 0
    try:
        for key in keys:
            try:
                part = parts.of(key)
                part.remove(key)
            except (TypeError, ValueError) as error:
                name_item(position, error)
                raise
            position += 1
            parts.came_in(part)
        return parts.finish()
    except BaseException:
        parts.undo()
        raise


cdef dict get_many(Shards shards, object keys, object on_error):
    """The live values of all keys that have one; those of a shard as of one moment. ``on_error(key, error)`` is called for what
    cannot be decoded, if it is not None."""
    cdef dict found
    cdef list of_shard
    cdef Py_ssize_t position = 0
    cdef unsigned long long hashed = 0
    cdef dict groups = {}
    keys = list(keys)
    if shards.count == 1:
        return shards.first.fetch_many(keys, on_error)
    for key in keys:
        try:
            groups.setdefault(shards.index_of(key, &hashed), []).append(key)
        except (TypeError, ValueError) as error:
            name_item(position, error)
            raise
        position += 1
    found = {}
    for index, of_shard in groups.items():
        found.update(shards.at(index).fetch_many(of_shard, on_error))
    return {key: found[key] for key in keys if key in found}
