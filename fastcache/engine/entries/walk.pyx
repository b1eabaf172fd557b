# cython: nonecheck=True
"""Iteration: all entries one after the other, in order of insertion.

A walk reads a portion of rows at a time, each as it then is: what was deleted meanwhile is not shown, and what was changed is shown
as it is. **It ends where the table ended when it began**: `newest` says which row was the last one then, so that whoever adds
entries while iterating does not meet them. (A row takes the number that follows the highest one there is: an entry that is added
after the newest one was deleted may be met in its place, once.)

What cannot be decoded is handed to ``on_error(key, error)``, the key None if it is the key that cannot, and left out; where there is
no such function, the error is raised.
"""

from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.scan cimport scan
from fastcache.engine.sqlite.cells cimport Cell

from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.sqlite import sql
from fastcache.errors import DecodeError, UntrustedValueError

cdef extern from "<limits.h>":
    long long LLONG_MAX, LLONG_MIN

# Rows that are read at a time, at first and at most.
cdef int SMALLEST_PORTION = 16
cdef int LARGEST_PORTION = 256

cdef object MISSING = object()


cdef long long newest(Database database) except? 0:
    """The rowid of the newest entry; the lowest there can be if there is none."""
    database.flush_first()
    found = database.read_rows(sql.NEWEST)[0][0]
    return LLONG_MIN if found is None else found


def walk_keys(Database database not None, serializer, long long end, bint backward, keepalive, on_error):
    """Iterate over the live keys up to rowid ``end``; ``keepalive`` lives as long as the iterator."""
    cdef long long last = begin_at(end, backward)
    cdef int limit = SMALLEST_PORTION
    cdef list portion
    while True:
        portion = scan(database, False, backward, &last, end, limit)
        for stored in portion:
            try:
                key = decode_key(stored, serializer)
            except (DecodeError, UntrustedValueError) as error:
                if on_error is None:
                    raise
                on_error(None, error)
                continue
            yield key
        if len(portion) < limit:
            return
        limit = min(2 * limit, LARGEST_PORTION)


def walk_items(Database database not None, Reads reads not None, long long end, bint backward, keepalive, on_error):
    """Iterate over the live keys and values likewise."""
    cdef long long last = begin_at(end, backward)
    cdef int limit = SMALLEST_PORTION
    cdef Py_ssize_t index
    cdef list portion
    while True:
        portion = scan(database, True, backward, &last, end, limit)
        for index in range(0, len(portion), 5):
            key = None
            try:
                key = decode_key(portion[index], reads.serializer)
                value = reads.fetch_scanned(database, key, portion, index, MISSING)
                if value is MISSING:
                    continue
            except (DecodeError, UntrustedValueError) as error:
                if key is not None:
                    name_key(key, error)
                if on_error is None:
                    raise
                on_error(key, error)
                continue
            yield key, value
        if len(portion) < 5 * limit:
            return
        limit = min(2 * limit, LARGEST_PORTION)


cdef long long begin_at(long long end, bint backward) noexcept:
    """The rowid beyond which a walk begins."""
    if not backward:
        return LLONG_MIN
    return end if end == LLONG_MAX else end + 1


cdef tuple take_end(Database database, Reads reads, Evictor evictor, bint last):
    """Remove the newest (or oldest) entry and return its key and value, or None if there is none."""
    cdef long long end
    cdef list row
    cdef Cell cell
    found = None
    enter(database)
    try:
        while found is None:
            end = LLONG_MAX if last else LLONG_MIN
            row = scan(database, True, last, &end, LLONG_MAX, 1)
            if not row:
                break
            # By its rowid: a key that a foreign program wrote may not encode to what is stored.
            key = decode_key(row[0], reads.serializer)
            try:
                found = key, reads.content.of_scanned(row[0], row[1], row[2], row[3], row[4])
            except MissingFileError:
                pass
            except (DecodeError, UntrustedValueError) as error:
                name_key(key, error)
                raise
            evictor.announce(database, row[0])
            database.writing().connection.query(sql.DELETE_ROW, (end,))
            database.has_trash = database.has_trash or row[2] is not None
    except BaseException:
        leave(database, False)
        raise
    leave(database, True)
    return found
