# The entries of one place: get, set, add, pop, delete, touch, incr, scan.
#
# Part of the public API: `from fastcache.engine.store cimport Store` in a Cython module of one's own, then
# `cdef Store store = cache.store`, and call these without Python overhead. The GIL is needed.

from fastcache.engine.codecs.values cimport ValueFormat
from fastcache.engine.database.scope cimport Scope
from fastcache.engine.database.transaction cimport Transaction
from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.entries.writing cimport BatchPart, Writing
from fastcache.engine.sqlite.cells cimport NEVER


cdef class Store:
    cdef object __weakref__
    cdef readonly object serializer
    cdef readonly object compression
    cdef ValueFormat format
    cdef Scope scope

    # Entries. `expire` is an absolute time in ms, or NEVER.
    cdef object fetch(self, object key, object missing)
    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed)
    cdef Entry fetch_entry(self, object key, ReadMode mode=*)
    cdef bint contains(self, object key) except -1
    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1
    cdef object find_in_memory(self, object key, object missing, object elsewhere)
    cdef object has_in_memory(self, object key, object elsewhere)
    cdef object find_stored(self, object key, object missing, object elsewhere)
    cdef object has_stored(self, object key, object elsewhere)
    cdef bint put_at_once(self, object key, object value, long long expire, object tag) except -1
    cdef bint remove(self, object key) except -1
    cdef bint set_expiry(self, object key, long long expire) except -1
    cdef Entry take_entry(self, object key)
    cdef object increment(self, object key, object delta, object default)
    cpdef Transaction transact(self)
    # Many of them.
    cdef dict fetch_many(self, list keys, object on_error)
    cdef Writing write_many(self, bint only_if_absent)
    cdef BatchPart batch_part(self, double max_seconds)

    cdef int set_up(self, object serializer, object compression) except -1


cdef unsigned long long check_memory(object memory) except? 0
cdef bint check_journal(object journal) except -1
