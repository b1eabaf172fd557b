# cython: nonecheck=True, auto_pickle=False
"""The methods of an Index that a Cache has with more parameters: no expiry, no tags."""

from fastcache.engine.bulk cimport put_many
from fastcache.engine.computing cimport get_or_make, get_or_put
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.mapping cimport StoreMapping, is_little, wanted, with_extras
from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.store cimport Store

cdef object MISSING = object()


cdef class IndexMapping(StoreMapping):
    """A StoreMapping without expiry and tags."""

    def get(self, key, default=None, *, bint copy=True, bint buffer=False):
        """The value of a key, or ``default``; for ``copy`` and ``buffer`` see Cache.get."""
        if copy and not buffer:
            return self.fetch(key, default)
        return with_extras(self.store_of(key).fetch_entry(key, wanted(copy, buffer)), default, False, False)

    def set(self, key, value):
        """Store a value; the same as ``index[key] = value``. Returns True."""
        self.store_of(key).put(key, value, NEVER, None, False)
        return True

    def _set_at_once(self, key, value):
        """The same, if nothing is waited for, neither a lock nor the disk, and it is little to encode. Else nothing is done. Returns
        whether it was."""
        cdef Store store
        if not is_little(value) or not is_little(key):
            return False
        store = self.opened_store_of(key)
        return store is not None and store.put_at_once(key, value, NEVER, None)

    def add(self, key, value):
        """Store a value only if the key is absent, atomically; returns whether it was stored (bool)."""
        return self.store_of(key).put(key, value, NEVER, None, True)

    def set_many(self, mapping_or_pairs):
        """Store many values, in one transaction; returns how many (int). See Cache.set_many."""
        return put_many(self.stores, mapping_or_pairs, NEVER, None, False)

    def add_many(self, mapping_or_pairs):
        """Store those values whose keys are absent, in one transaction; returns how many (int). See Cache.set_many."""
        return put_many(self.stores, mapping_or_pairs, NEVER, None, True)

    def pop(self, key, default=MISSING):
        """Remove a key and return its value, or ``default``.

        Raises:
            KeyError: the key is absent and no default was given.
        """
        cdef Entry entry = self.store_of(key).take_entry(key)
        if entry is not None:
            return entry.stored
        if default is MISSING:
            raise KeyError(key)
        return default

    def peekitem(self, bint last=True):
        """The newest (key, value) pair, or the oldest with ``last=False``: what ``popitem`` would remove.

        Raises:
            KeyError: there is none.
        """
        cdef Entry entry
        key, entry = self.end_of(last)
        return key, entry.stored

    def setdefault(self, key, default=None):
        """The value of a key; if it is absent, ``default`` is stored first."""
        return get_or_put(self.store_of(key), key, default, None, None)

    def get_or_set(self, key, factory, *, timeout=None, bint copy=True):
        """The value of a key; if it is absent, what ``factory()`` returns is stored first. See Cache.get_or_set."""
        return get_or_make(self, key, factory, None, None, timeout, copy)
