# Writing what batches have put off, and what threads commit together.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.entries.file_writes cimport FileWrites
from fastcache.engine.entries.pending cimport Generation, WriteBuffer
from fastcache.engine.entries.row_writes cimport RowWrites
from fastcache.engine.eviction.limit cimport Limit
from fastcache.engine.eviction.space cimport Space


cdef class Flusher(Participant):
    cdef RowWrites rows
    cdef FileWrites filed
    cdef Limit limit
    cdef Space space
    # Of open batches, which maintenance looks after.
    cdef list queues

    cdef int add_queue(self, Database database, WriteBuffer queue) except -1
    cdef int remove_queue(self, WriteBuffer queue) except -1
    cdef double maintain(self, Database database, WriteBuffer queue) except? -2.0
    cdef int flush_queue(self, Database database, WriteBuffer queue) except -1
    cdef int write_generation(self, Database database, WriteBuffer queue, Generation generation) except -1
    cdef Py_ssize_t prepare_rows(self, Database database, Generation generation, Py_ssize_t end) except -1
