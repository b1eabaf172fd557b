# The public face over a store: what a dict does, and what every kind of cache adds to it.

from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.shards cimport Shards
from fastcache.engine.store cimport Store


cdef class StoreMapping:
    # Of all shards, and the first of them.
    cdef readonly Shards stores
    cdef readonly Store store
    # Whether its directory goes with it.
    cdef bint temporary
    cdef object __weakref__

    cdef Store store_of(self, object key)
    cdef Store opened_store_of(self, object key)
    cdef object walk(self, bint items, bint backward, object on_error)
    cdef tuple end_of(self, bint last)
    cdef object fetch(self, object key, object missing)
    cdef object fetch_shared(self, object key, object missing)


cdef bint is_little(object value) noexcept
cdef ReadMode wanted(bint copy, bint buffer) noexcept
cdef object with_extras(Entry entry, object default, bint expire_time, bint tag)
