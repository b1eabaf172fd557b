# Opening a database: the directory, the file, its tables and settings.

from fastcache.engine.database.sessions cimport Session
from fastcache.engine.shm.change_log cimport ChangeLog
from fastcache.engine.shm.journal cimport Journal
from fastcache.engine.sqlite.connection cimport Connection


cdef int make_directory(str directory) except -1
cdef Connection connect(str path, str directory, int shards, double timeout, bint lenient)
cdef Connection connect_to_read(str path, int shards, double timeout, bint lenient)
cdef int refuse_uninitialized(Connection connection) except -1
cdef bint use_wal(Connection connection) except -1
cdef Session initialize(Session session, dict settings, bint syncs)
cdef dict take_settings(Connection connection, str directory, dict settings, dict asked)
cdef ChangeLog open_log(str directory)
cdef Journal find_journal(
    Connection connection, str directory, Journal known, bint read_only, unsigned long long* ring)
cdef bint journal_is_unborn(Connection connection, str path) except -1
