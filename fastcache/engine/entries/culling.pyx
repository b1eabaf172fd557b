# cython: nonecheck=True
"""Culling: a number of entries removed when somebody asks for it, first what has expired, then what the policy names.

It is for a store that removes nothing by itself (Limit.culls, Database.keeps_expired), whose owner says when there is too much.
"""

from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.database.trash cimport empty_trash
from fastcache.engine.eviction.policies cimport NO_ROW

from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError

# How often in a row nothing that the policy names may be there.
cdef int MOST_FRUITLESS = 500


cdef list cull(
        Database database, Evictor evictor, Expiry expiry, Reads reads, Py_ssize_t most, object now, bint by_policy, bint values):
    """Remove up to ``most`` entries, in one transaction; returns what they were: with ``values`` the value of each, None for one
    that cannot be read, else Nones.

    Args:
        now: what expires up to then, in ms since the epoch, has expired; None for nothing.
        by_policy: whether to go on with what the policy names.
    """
    cdef Session session
    cdef long long row, moment
    cdef bint expired = now is not None
    cdef int fruitless = 0
    cdef list removed = []
    moment = now if expired else 0
    enter(database)
    try:
        session = database.writing()
        evictor.limit.tidy(database)
        evictor.limit.policy.begin()
        while len(removed) < most and fruitless < MOST_FRUITLESS:
            row = NO_ROW
            if expired:
                row = evictor.expired_row(database, session, moment)
                expired = row != NO_ROW
            if row == NO_ROW and by_policy:
                row = evictor.limit.policy.choose(session)
            if row == NO_ROW:
                break
            value = value_of_row(database, reads, session, row) if values else None
            if evictor.evict_row(database, session, row, "expired" if expired else "evicted", database.depth > 1):
                removed.append(value)
                fruitless = 0
            else:
                fruitless += 1
    except BaseException:
        leave(database, False)
        raise
    leave(database, True)
    if now is not None and not expired:
        expiry.look(database)
    if database.has_trash and database.depth == 0:
        empty_trash(database, database.timeout)
    return removed


cdef object value_of_row(Database database, Reads reads, Session session, long long row):
    """The value of a row that is about to go; None if there is none that can be read."""
    for found in session.connection.query(sql.ITEM_TO_EVICT, (row,)):
        try:
            decode_key(found[0], reads.serializer)
            return reads.content.of_scanned(found[0], found[1], found[2], found[3], found[4])
        except (CacheError, MissingFileError):
            pass
    return None
