# Many entries in one call.

from fastcache.engine.shards cimport Shards


cdef object pairs_of(object given)
cdef Py_ssize_t put_many(Shards shards, object given, long long expire, object tag, bint only_if_absent) except -1
cdef Py_ssize_t delete_many(Shards shards, object keys) except -1
cdef dict get_many(Shards shards, object keys)
