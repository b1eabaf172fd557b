# cython: nonecheck=True
"""What maintenance does for one store, beside its callers: it drains the journal, writes what batches put off, tidies up,
copies the WAL, and makes room.

Called by the background thread (runtime/background.py) by way of `Store.maintain`. Each part says what it has to do, and when again.
"""

from fastcache.engine.database.checkpoints cimport SHORTENING_PERIOD
from fastcache.engine.database.database cimport CLOSED
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.database.trash cimport empty_trash

from fastcache.engine.database import reserve
from fastcache.errors import CacheError, ClosedError, DirectoryGoneError, Timeout

cdef extern from "<math.h>":
    double INFINITY


cdef object maintain(
        Database database, Drain drain, Flusher flusher, Checkpoints checkpoints, Space space, Leftovers leftovers, Expiry expiry,
        Evictor evictor):
    """Do all that there is to do; returns in how many seconds (float) there will be more, or None."""
    cdef double soonest = INFINITY
    cdef double due
    failure = None
    checkpoints.maintenance_requested = False
    if database.life == CLOSED or database.read_only:
        return None
    try:
        due = drain.maintain(database)
        if due >= 0.0:
            soonest = min(soonest, due)
    except (ClosedError, DirectoryGoneError):
        return None
    except (CacheError, OSError) as error:
        failure = error
    for queue in list(flusher.queues):
        try:
            due = flusher.maintain(database, queue)
            if due >= 0.0:
                soonest = min(soonest, due)
        except (CacheError, OSError) as error:
            failure = error
    try:
        if database.has_trash:
            empty_trash(database, MAINTENANCE_PATIENCE)
        if checkpoints.checkpoint_due:
            checkpoints.checkpoint_due = False
            checkpoints.checkpoint_beside(database)
        if checkpoints.lacks_reserve:
            checkpoints.lacks_reserve = reserve.keep(database.directory, database.settings)
        if checkpoints.shorten_wal(database):
            soonest = min(soonest, SHORTENING_PERIOD)
        space.maintain(database)
        soonest = min(soonest, leftovers.maintain(database))
        soonest = min(soonest, expiry.maintain(database))
    except (ClosedError, DirectoryGoneError):
        # Who uses it next is told.
        return None
    except Timeout:
        # Somebody has the writer lock for long.
        soonest = min(soonest, MAINTENANCE_PATIENCE)
    except (CacheError, OSError) as error:
        # Of what was closed meanwhile, the directory may be gone.
        if database.life == CLOSED:
            return None
        database.has_trash = True
        failure = failure or error
    evictor.notify(database)
    if failure is not None:
        raise failure
    return None if soonest == INFINITY else soonest
