# Many entries in one call.

from fastcache.engine.shards cimport Shards
from fastcache.engine.store cimport Store


cdef class Parts:
    cdef Shards shards
    # By the number of the shard; None for one of which nothing has come.
    cdef list parts

    cdef object make(self, Store store)
    cdef object of(self, object key)
    cdef object at(self, int index)


cdef object pairs_of(object given)
cdef Py_ssize_t put_many(Shards shards, object given, long long expire, object tag, bint only_if_absent) except -1
cdef Py_ssize_t delete_many(Shards shards, object keys) except -1
cdef dict get_many(Shards shards, object keys, object on_error)
