# Reading and setting one entry where nothing has to be waited for.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.reads cimport Reads
from fastcache.engine.entries.writes cimport Writes
from fastcache.engine.sqlite.cells cimport Row


cdef object find_at_once(Database database, Reads reads, object key, object missing, object elsewhere)
cdef object has_at_once(Database database, Reads reads, object key, object elsewhere)
cdef bint may_write_at_once(Database database, Checkpoints checkpoints) except -1
cdef bint put_row_at_once(
    Database database, Checkpoints checkpoints, Writes writes, const Row* row, object name, object cached,
    int cached_codec) except -1
