# What one call, or a batch, has to write to one store.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.transaction cimport Transaction
from fastcache.engine.entries.changes cimport Changes
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.entries.pending cimport Rows, WriteBuffer
from fastcache.engine.sqlite.cells cimport Cell


cdef class Writing:
    cdef Transaction block
    cdef bint only_if_absent
    # How many entries that has changed so far.
    cdef Py_ssize_t changed

    cdef int add(self, object key, object value, long long expire, object tag, const Cell* tag_cell) except -1
    cdef int remove(self, object key) except -1
    cdef bint is_full(self) except -1
    cdef int write(self) except -1
    cdef Transaction new_block(self)
    cdef int begin(self) except -1
    cdef int finish(self) except -1
    cdef int undo(self) except -1
    cdef int close(self, bint failed) except -1


cdef class RowWriting(Writing):
    cdef Database database
    cdef Changes changes
    cdef Rows rows


cdef class BatchPart:
    cdef int put(self, object key, object value, long long expire, object tag) except -1
    cdef int remove(self, object key) except -1
    cdef Py_ssize_t waiting(self) except -1
    cdef long long committed(self) except -1
    cdef int came_in(self) except -1
    cdef int flush(self) except -1
    cdef int leave(self) except -1
    cdef int finish(self) except -1
    cdef Py_ssize_t drop(self) except -1


cdef class RowBatchPart(BatchPart):
    cdef Database database
    cdef Changes changes
    cdef Flusher flusher
    cdef WriteBuffer queue
