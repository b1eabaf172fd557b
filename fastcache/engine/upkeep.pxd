# What maintenance does for one store.

from fastcache.engine.database.checkpoints cimport Checkpoints
from fastcache.engine.database.database cimport Database
from fastcache.engine.entries.drain cimport Drain
from fastcache.engine.entries.expiry cimport Expiry
from fastcache.engine.entries.flusher cimport Flusher
from fastcache.engine.eviction.evict cimport Evictor
from fastcache.engine.eviction.leftovers cimport Leftovers
from fastcache.engine.eviction.space cimport Space


cdef object maintain(
    Database database, Drain drain, Flusher flusher, Checkpoints checkpoints, Space space, Leftovers leftovers, Expiry expiry,
    Evictor evictor)
