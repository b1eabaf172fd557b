# cython: nonecheck=True
"""The context manager of ``transact()``: one block, entered and left by one thread.

Blocks of a thread nest, and each is left on its own: what is committed or undone is decided by the store, for the
innermost block alone. A block that is left out of order takes those inside it with it.
"""

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.errors import TransactionError


cdef enum State:
    NEW, STARTED, COMMITTED, ROLLED_BACK, FAILED


cdef class Transaction:
    """One block of ``with cache.transact():``. Used once, by one thread."""

    def __cinit__(self, Store store, *_):
        self.store = store
        self.state = NEW

    def __enter__(self):
        if self.state != NEW:
            raise TransactionError("a transaction is used once: call transact() for each block")
        self.store.enter()
        self.state = STARTED
        self.thread = <unsigned long>PyThread_get_thread_ident()
        self.block = self.store.blocks[len(self.store.blocks) - 1]
        return self

    def __exit__(self, kind, error, traceback):
        if self.state != STARTED:
            raise TransactionError("this transaction has not begun, or has ended already")
        if self.thread != <unsigned long>PyThread_get_thread_ident() or not self.store.turn.is_mine():
            if kind is not None:
                # Another thread, or a child forked inside the block, has nothing to undo: let the exception pass.
                return False
            raise TransactionError("a transaction is left by the thread that entered it, in the same process")
        self.state = FAILED
        if self.block not in self.store.blocks:
            if kind is not None:
                return False
            raise TransactionError("this transaction was rolled back together with one around it, which was left first")
        if self.block != self.store.blocks[len(self.store.blocks) - 1]:
            while self.block in self.store.blocks:
                self.store.leave(False)
            raise TransactionError(
                "an inner transaction was still open, so that this one was rolled back: leave blocks in order "
                "(tasks of one thread share its transactions: await nothing inside)")
        self.store.leave(kind is None)
        self.state = COMMITTED if kind is None else ROLLED_BACK
        return False


cdef class ShardTransaction(Transaction):
    """One block of ``with cache.transact(key):`` where there are several shards."""

    def __init__(self, Store store, Shards shards):
        self.shards = shards

    def __enter__(self):
        Transaction.__enter__(self)
        self.shards.enter(self.store)
        return self

    def __exit__(self, kind, error, traceback):
        try:
            return Transaction.__exit__(self, kind, error, traceback)
        finally:
            self.shards.leave(self.store)
