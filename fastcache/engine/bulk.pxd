# Many entries in one call.

from fastcache.engine.store cimport Store


cdef object pairs_of(object given)
cdef Py_ssize_t put_many(Store store, object given, long long expire, object tag, bint only_if_absent) except -1
cdef Py_ssize_t delete_many(Store store, object keys) except -1
cdef dict get_many(Store store, object keys)
