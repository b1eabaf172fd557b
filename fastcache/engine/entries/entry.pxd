# An entry as it was read, and how much of it is wanted.

from fastcache.engine.sqlite.cells cimport Cell, Row
from fastcache.engine.sqlite.connection cimport Statement


cdef enum ReadMode:
    # What a read gives: the value, whose arrays are the reader's own; the value with arrays over what is stored, which cannot
    # be written to; or the bytes that are stored.
    VALUE = 0
    SHARED = 1
    BYTES = 2


cdef class Entry:
    cdef int codec
    cdef long long size
    cdef long long expire
    cdef long long id
    cdef object stored
    cdef object tag
    cdef str file


cdef Entry read_entry(Statement statement)
cdef Entry entry_of_row(const Row* row)
cdef object check_tag(object tag, Cell* cell)
