# cython: nonecheck=True
"""Group commit: threads that wait for one another's commit store together, where each commit waits for the disk."""

import _thread

cimport cython

from fastcache.engine.entries.pending cimport Generation
from fastcache.engine.sqlite.cells cimport ROW_NOTHING

from fastcache.errors import CacheError, StorageError, Timeout


@cython.final
cdef class GroupCommit(Participant):
    """What threads have set while another one commits."""

    def __cinit__(self, Flusher flusher):
        self.flusher = flusher
        self.group = WriteBuffer(0.0)

    cdef int after_fork_in_child(self, Database database) except -1:
        return self.group.discard()

    cdef bint put(self, Database database, const Row* row, object key_keepalive, object value_keepalive, object tag_keepalive) except -1:
        """While another thread commits: set an entry in one commit with all that wait as well.

        Whoever has the writer lock next writes for all. Nobody reads it before, or is told that it is stored."""
        cdef Generation generation = self.group.active
        cdef Py_ssize_t index = generation.count
        self.group.put(row, key_keepalive, value_keepalive, tag_keepalive)
        try:
            database.writer_lock.acquire(database.timeout)
        except Timeout:
            if generation is self.group.active:
                generation.rows[index].kind = ROW_NOTHING
                raise
            # It is being written just now.
            database.writer_lock.acquire(_thread.TIMEOUT_MAX)
        except BaseException:
            if generation is self.group.active:
                generation.rows[index].kind = ROW_NOTHING
            raise
        try:
            if generation is self.group.active:
                self.group.next_to_write()
                try:
                    self.flusher.write_generation(database, self.group, generation)
                except BaseException as error:
                    generation.failure = error
                    self.group.flushing = None
                    raise
            elif index < generation.written:
                # It was committed, whatever came after.
                pass
            elif isinstance(generation.failure, CacheError):
                raise type(generation.failure)(*generation.failure.args) from generation.failure
            elif generation.failure is not None:
                raise StorageError(
                    f"{database.directory!r}: what several threads stored together was not committed, because one of them "
                    "was interrupted") from generation.failure
        finally:
            database.writer_lock.release()
        return True
