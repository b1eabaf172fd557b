# cython: nonecheck=True
"""What a thread needs to use a database: the turn to write, and a session, which is a connection with its statements."""

import _thread

from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine import sql
from fastcache.engine.errors import Timeout


cdef class Turn:
    """Whose turn it is to write, among the threads of this process; re-entrant."""

    def __cinit__(self):
        self.lock = _thread.allocate_lock()
        self.owner = 0
        self.depth = 0

    cdef int take(self, double timeout) except -1:
        if self.is_mine():
            self.depth += 1
            return 0
        if not self.lock.acquire(False):
            if not (timeout > 0.0 and self.lock.acquire(True, min(timeout, _thread.TIMEOUT_MAX))):
                raise Timeout(
                    f"another thread of this process kept the cache locked for the whole timeout of {timeout:g} s")
        self.owner = PyThread_get_thread_ident()
        self.depth = 1
        return 0

    cdef bint take_if_free(self) except -1:
        if not self.is_mine() and not self.lock.acquire(False):
            return False
        self.owner = PyThread_get_thread_ident()
        self.depth += 1
        return True

    cdef void give(self):
        self.depth -= 1
        if self.depth == 0:
            self.owner = 0
            self.lock.release()

    cdef bint is_mine(self) noexcept:
        return self.owner != 0 and self.owner == <unsigned long>PyThread_get_thread_ident()


cdef class Session:
    """A connection and its prepared statements."""

    def __cinit__(self, Connection connection):
        self.connection = connection
        self.get = Statement(connection, sql.GET)
        self.exists = Statement(connection, sql.EXISTS)
        self.set = Statement(connection, sql.SET)
        self.add = Statement(connection, sql.ADD)
        self.pop_native = Statement(connection, sql.POP_NATIVE)
        self.incr = Statement(connection, sql.INCR)
        self.scan_keys = Statement(connection, sql.SCAN_KEYS)
        self.scan_keys_back = Statement(connection, sql.SCAN_KEYS_BACK)
        self.scan_items = Statement(connection, sql.SCAN_ITEMS)
        self.scan_items_back = Statement(connection, sql.SCAN_ITEMS_BACK)
        self.begin = Statement(connection, sql.BEGIN)
        self.commit = Statement(connection, sql.COMMIT)
        self.rollback = Statement(connection, sql.ROLLBACK)
        self.savepoint = Statement(connection, sql.SAVEPOINT)
        self.release = Statement(connection, sql.RELEASE)
        self.rollback_to = Statement(connection, sql.ROLLBACK_TO)
        self.others = {}

    cdef Statement statement(self, str text):
        """The statement of a text that is used now and then, compiled once."""
        statement = self.others.get(text)
        if statement is None:
            statement = self.others[text] = Statement(self.connection, text)
        return statement

    cdef void abandon(self) noexcept:
        self.connection.abandon()


