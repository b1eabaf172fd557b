# cython: nonecheck=True
"""The context manager of ``transact()``: one block, entered and left by one thread.

Blocks of a thread nest, and each is left on its own: what is committed or undone is decided by the database (or whatever else is
in its place), for the innermost block alone. A block that is left out of order takes those inside it with it.
"""

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.writer_lock cimport Block, identity, new_block, notice_greenlets

from fastcache.errors import TransactionError


cdef enum State:
    NEW, STARTED, COMMITTED, ROLLED_BACK, FAILED


cdef class Transaction:
    """One block of ``with cache.transact():``. Used once, by one thread, and by one of its tasks.

    A subclass says how a block is entered, and how the innermost one is left."""

    def __cinit__(self, Scope scope, *_):
        self.scope = scope
        # What it belongs to lives as long: a temporary directory, too.
        self.keepalive = scope.keepalive()
        self.state = NEW

    cdef int enter(self) except -1:
        """Take the writer lock and begin a block, in the transaction that is open if there is one."""
        raise NotImplementedError

    cdef int leave(self, bint keep) except -1:
        """End the innermost block, and give the writer lock back."""
        raise NotImplementedError

    def __enter__(self):
        if self.state != NEW:
            raise TransactionError("a transaction is used once: call transact() for each block")
        notice_greenlets()
        # What takes memory comes before the transaction begins.
        cdef bint outermost = self.scope.depth == 0 or not self.scope.writer_lock.held_by_me()
        cdef Block block = new_block() if outermost else None
        self.enter()
        if outermost:
            self.scope.writer_lock.bind(block)
        self.state = STARTED
        self.thread = identity()
        self.block = self.scope.innermost_block()
        return self

    def __exit__(self, kind, error, traceback):
        self.exit(kind is not None)
        return False

    cdef int exit(self, bint failed) except -1:
        """Leave the block, which may have failed."""
        if self.state != STARTED:
            raise TransactionError("this transaction has not begun, or has ended already")
        if self.thread != identity() or not self.scope.writer_lock.held_by_thread():
            if failed:
                # Another thread, or a child forked inside the block, has nothing to undo: let the exception pass.
                return 0
            raise TransactionError("a transaction is left by the thread that entered it, in the same process")
        self.state = FAILED
        self.scope.writer_lock.come_here()
        if not self.scope.is_open(self.block):
            if failed:
                return 0
            raise TransactionError("this transaction was rolled back together with one around it, which was left first")
        if self.block != self.scope.innermost_block():
            while self.scope.is_open(self.block):
                self.leave(False)
            raise TransactionError(
                "an inner transaction was still open, so that this one was rolled back: leave blocks in order")
        return self.end(not failed)

    cdef int end(self, bint keep) except -1:
        """Commit it, or undo it: it is the innermost one, and this thread's."""
        self.state = FAILED
        self.leave(keep)
        self.state = COMMITTED if keep else ROLLED_BACK
        return 0


cdef class DatabaseTransaction(Transaction):
    """The same where the entries are in a database."""

    def __cinit__(self, Database database, *_):
        self.database = database

    cdef int enter(self) except -1:
        return enter(self.database)

    cdef int leave(self, bint keep) except -1:
        return leave(self.database, keep)
