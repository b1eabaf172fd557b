# cython: nonecheck=True
"""Many entries removed by one statement: all, what has expired, what carries a tag."""

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.sqlite.connection cimport Statement

cdef extern from "<limits.h>":
    long long LLONG_MAX

# Of a statement that changes more entries than this, the change log says no more than that.
cdef int MOST_LISTED = 1000


cdef int change_many(Database database, str text, tuple parameters) except -1:
    """Run one statement over many entries, inside a transaction, without the GIL; returns how many it changed."""
    cdef Session session = database.writing()
    cdef Statement statement = session.statement(text)
    statement.bind_all(parameters)
    return database.change_locked(session, statement, True)


cdef int remove_many(
        Database database, Evictor evictor, str keys, tuple which, str text, tuple parameters, str reason) except -1:
    """The same as a transaction of its own, which announces each key if there are not too many, and tells of it.

    Args:
        keys: the statement for the keys that go, and its parameters ``which``.
    """
    cdef int changed = 0
    enter(database)
    try:
        rows = database.writing().connection.query(keys, which)
        if len(rows) > MOST_LISTED:
            database.will_change_all()
        else:
            for (stored,) in rows:
                evictor.announce(database, stored)
        if rows:
            changed = change_many(database, text, parameters)
        evictor.record_removals(database, changed, reason, rows)
    except BaseException:
        leave(database, False)
        raise
    leave(database, True)
    return changed


cdef long long most_asked(Evictor evictor) noexcept:
    """Of how many keys it matters which they are: of all that are to be told."""
    return MOST_LISTED + 1 if evictor.on_evict is None else LLONG_MAX
