# Whose turn it is to write, among the threads of a process, and the tasks of a thread.

from cpython.object cimport PyObject

from fastcache.engine.database.timings cimport Timings
from fastcache.engine.shm.journal cimport Journal


cdef class Block:
    # Whether the transaction is open, and the context in which it was begun.
    cdef bint is_open
    cdef object context


cdef class WriterLock:
    # The thread that has it (its `identity`); 0 if none. One that it was handed to, and that has not woken yet, has it at depth 0.
    cdef unsigned long owner
    cdef int depth
    # When its owner began to wait for it, by time.monotonic; 0 if it did not have to.
    cdef double began
    cdef list waiters
    # How long it is held and waited for, if somebody wants to know; and when it was taken, by the system's clock.
    cdef Timings timings
    cdef double taken
    # The journal whose gate may have been shut by whoever has it.
    cdef Journal journal
    # The number of forks (fork_count) in which this was true.
    cdef unsigned long born

    cdef int notice_fork(self) except -1
    cdef int acquire(self, double timeout) except -1
    cdef bint try_acquire(self) except -1
    cdef void release(self)
    cdef void release_to_waiter(self)
    # The owner's transaction, if it is one of ``transact()``: that of a context, not of all that its thread does.
    cdef Block block

    cdef bint held_by_me(self) noexcept
    cdef bint held_by_thread(self) noexcept
    cdef void bind(self, Block block) noexcept
    cdef void unbind(self) noexcept
    cdef void come_here(self) noexcept
    cdef bint is_elsewhere(self) noexcept

    cdef int wait(self, unsigned long me, double timeout) except -1
    cdef int pass_on(self, double patience) except -1


cdef unsigned long fork_count() noexcept nogil
cdef unsigned long identity() noexcept
cdef Block new_block()
cdef int notice_greenlets() except -1
cdef bint knows_greenlets() noexcept


cdef class Waiter:
    cdef object lock
    cdef unsigned long thread
    # By time.monotonic, and by the system's clock.
    cdef double since
    cdef double came
