# What makes room where the disk is full.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database

cdef bint make_way(Database database, Checkpoints checkpoints) except -1
cdef bint end_way(Database database, Checkpoints checkpoints) except -1
