# Python key <-> SQLite key.

from fastcache.engine.connection cimport Cell

cdef object encode_key(object key, object serializer, Cell* cell)
cdef object decode_key(object stored, object serializer)
