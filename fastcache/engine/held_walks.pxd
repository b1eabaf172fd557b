# Iteration over what a store in memory holds.

from fastcache.engine.held cimport Held


cdef list portion_in_order(Held held, object low, object high, bint beyond, bint backward, int limit, long long end)
