# Iteration in the order of keys.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.reads cimport Reads


cdef tuple find_key_ends(Database database)
cdef list scan_in_order(
    Database database, bint items, bint backward, object low, object high, bint beyond, long long end, int limit)
