# Reading one entry.

from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.content cimport Content
from fastcache.engine.entries.entry cimport Entry, ReadMode
from fastcache.engine.entries.lookup cimport Finding, Lookup
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.memory.sieve cimport Node
from fastcache.engine.memory.tier cimport Memory
from fastcache.engine.sqlite.cells cimport Cell


cdef class Reads:
    cdef Lookup lookup
    cdef Memory tier
    cdef Content content
    cdef Limit limit
    cdef object serializer
    cdef long long hits
    cdef long long misses
    cdef long long memory_hits

    cdef object fetch_hashed(self, Database database, object key, object missing, unsigned long long hashed)
    cdef object find_in_memory(self, Database database, object key, object missing, object elsewhere)
    cdef object has_in_memory(self, Database database, object key, object elsewhere)
    cdef Node* in_memory(self, Database database, object key, unsigned long long* hashed) except? NULL
    cdef object recall(self, Database database, object name, unsigned long long hashed, Node* node, object missing)
    cdef object fetch_row(self, Database database, object key, object missing)
    cdef object value_of(
        self, Database database, object key, object name, const Cell* cell, const Finding* found, object missing)
    cdef object finish_entry(
        self, Database database, object key, object name, const Cell* cell, Entry entry, unsigned long long era, unsigned int row,
        object missing)
    cdef Entry find_stored(self, Database database, const Cell* cell, object key, object keepalive)
    cdef object name_of(self, object key, object keepalive, Cell* cell)
    cdef Entry fetch_entry(self, Database database, object key, ReadMode mode=*)
    cdef Entry find_entry(self, Database database, object key, ReadMode mode=*)
    cdef object open_value(self, Database database, object key)
    cdef object fetch_scanned(self, Database database, object key, list portion, Py_ssize_t index, object missing)
    cdef bint contains(self, Database database, object key) except -1
    cdef bint recall_presence(self, Database database, const Node* node) except -1
    cdef bint contains_row(self, Database database, object key) except -1
    cdef bint presence_of(self, Database database, object key, object name, const Cell* cell, const Finding* found) except -1
    cdef int repair_dangling(self, Database database, Entry entry, const Cell* key) except -1
