# Transactions: begun, committed and undone.

from fastcache.engine.database.database cimport Database
from fastcache.engine.database.sessions cimport Session


cdef int enter(Database database) except -1
cdef int leave(Database database, bint keep) except -1
cdef bint end_block(Database database, bint keep) except -1
cdef int roll_back(Database database, Session session) except -1
cdef int undo_files(Database database, Py_ssize_t mark) except -1
cdef int remove_later(Database database) except -1
