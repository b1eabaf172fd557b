# A value that is made when it is missing.

from fastcache.engine.mapping cimport StoreMapping
from fastcache.engine.store cimport Store


cdef object get_or_put(Store store, object key, object given, object expire, object tag)
cdef object get_or_make(StoreMapping mapping, object key, object factory, object expire, object tag, object timeout, bint copy)
cpdef object find_again(StoreMapping mapping, object key, object missing)
