# The value of an entry.

from fastcache.engine.blobs.files cimport ValueFiles
from fastcache.engine.codecs.values cimport ValueFormat
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.sqlite.cells cimport Cell


cdef class Content:
    cdef ValueFormat format
    cdef ValueFiles files

    cdef bint load(self, Database database, Entry entry, ReadMode mode=*) except -1
    cdef object read_file(self, int codec, object file, object size, ReadMode mode)
    cdef int unwrap(self, Entry entry, const Cell* key) except -1
    cdef int decode(self, Entry entry, ReadMode mode=*) except -1
    cdef int as_mode(self, Entry entry, ReadMode mode) except -1
    cdef object of_scanned(self, object key, object codec, object file, object size, object stored)


cdef int name_key(object key, object error) except -1
