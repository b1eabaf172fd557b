# Python key <-> SQLite key, and the hash that is the same in every process.

from fastcache.engine.sqlite.cells cimport Cell

cdef object encode_key(object key, object serializer, Cell* cell)
cdef object decode_key(object stored, object serializer)
cdef unsigned long long hash_key(object key, object serializer) except? 0
cdef int shard_of(unsigned long long hashed, int count) noexcept
cdef bint hash_plain(object key, int depth, unsigned long long* hashed) except -1
cdef object canonical_key(object key, object keepalive, object serializer, unsigned long long* hashed)
