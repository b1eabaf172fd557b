# cython: nonecheck=True
"""When entries expire: seconds from now, as users say it, the absolute time that is stored, and the removal in time."""

from time import monotonic

cimport cython

from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE
from fastcache.engine.entries.removal cimport remove_many
from fastcache.engine.sqlite.cells cimport NEVER

from fastcache.engine.sqlite import sql

cdef extern from "<math.h>":
    double INFINITY

# How long maintenance leaves between two looks for what has expired, in seconds.
cdef double EXPIRY_PERIOD = 1.0
# Rows that it deletes in one transaction: not so many that the change log does not list them, or others wait for long.
cdef int EXPIRED_AT_ONCE = 500


@cython.final
cdef class Expiry:
    """When maintenance has to remove something next. A cache with a timer of its own does not tell when that is."""

    def __cinit__(self, Evictor evictor):
        self.evictor = evictor
        self.next = NEVER

    cdef int begin(self, Database database) except -1:
        """A store was opened: look when the first entry expires, and have it removed then."""
        self.look(database)
        if self.next != NEVER and not database.keeps_expired:
            database.schedule(max(0.0, (self.next - database.now()) / 1000.0))
        return 0

    cdef int expect(self, Database database, long long expire) except -1:
        """An entry was stored that expires at this time."""
        if expire < self.next and database.timer is None:
            self.next = expire
            if not database.keeps_expired:
                database.schedule(max(0.0, (expire - database.now()) / 1000.0))
        return 0

    cdef double maintain(self, Database database) except? -1.0:
        """Delete what has expired, if it is time; returns in how many seconds there will be more."""
        cdef double wait
        cdef int changed = EXPIRED_AT_ONCE
        if database.timer is not None or database.keeps_expired or self.next == NEVER:
            return INFINITY
        wait = max((self.next - database.now()) / 1000.0, self.removed_at + EXPIRY_PERIOD - monotonic())
        if wait > 0.0:
            return wait
        while changed == EXPIRED_AT_ONCE:
            database.writer_lock.acquire(MAINTENANCE_PATIENCE)
            try:
                which = (database.now(), EXPIRED_AT_ONCE)
                changed = remove_many(database, self.evictor, sql.KEYS_EXPIRED_FIRST, which, sql.EXPIRE_FIRST, which, "expired")
            finally:
                database.writer_lock.release()
        self.removed_at = monotonic()
        self.look(database)
        if self.next == NEVER:
            return INFINITY
        return max(EXPIRY_PERIOD, (self.next - database.now()) / 1000.0)

    cdef int look(self, Database database) except -1:
        """Look when the first entry expires. Under the writer lock, as is whoever stores one (`expect`)."""
        database.writer_lock.acquire(MAINTENANCE_PATIENCE)
        try:
            first = database.writing().connection.query(sql.FIRST_EXPIRY)[0][0]
            self.next = first if type(first) is int else NEVER
        finally:
            database.writer_lock.release()
        return 0


cdef long long expiry(Scope scope, object expire) except? -1:
    """The absolute time, in ms, that is ``expire`` from now: seconds (int, float), a timedelta, or None for never."""
    cdef double seconds
    if expire is None:
        return NEVER
    if isinstance(expire, (int, float)) and not isinstance(expire, bool):
        try:
            seconds = expire
        except OverflowError:
            seconds = INFINITY if expire > 0 else -INFINITY
    elif is_timedelta(expire):
        seconds = expire.total_seconds()
    else:
        raise TypeError(f"expire must be seconds (int, float) or a timedelta, not {type(expire).__name__}")
    if seconds != seconds:
        raise ValueError("expire must be a number of seconds, not NaN")
    # Beyond a hundred thousand years either way, it is never, or long ago.
    if seconds > 4e12:
        return NEVER
    if seconds <= 0.0:
        return scope.now() + <long long>max(seconds * 1000.0, -4e15)
    # Never less than asked for, and a positive time is never nothing.
    return scope.now() + max(1, <long long>(seconds * 1000.0 + 0.5))


cdef bint is_timedelta(object expire) except -1:
    # Whoever has made one has loaded its module.
    from datetime import timedelta

    return isinstance(expire, timedelta)
