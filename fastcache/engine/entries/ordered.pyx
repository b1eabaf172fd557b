# cython: nonecheck=True
"""Iteration in the order of keys, from their unique index: no row is read but those that are asked for.

What is said of a walk (walk.pyx) holds here, too: a portion at a time, each as it then is; and **it ends where the table ended when it
began**, so that an entry that is added meanwhile is not met, wherever its key lies. The first portion is one row: who wants
the first or the last alone pays for no more. What the order is, and what a range, says codecs/ranges.py.
"""

from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.spans cimport begin_span, end_span, spans
from fastcache.engine.sqlite.busy cimport BusyWait
from fastcache.engine.sqlite.connection cimport STEP_DONE, STEP_ROW, Statement

from fastcache.engine.codecs.ranges import after_bytes, size_of, tuples_after, tuples_from, tuples_of
from fastcache.engine.sqlite import sql
from fastcache.errors import DecodeError, UntrustedValueError

# Rows that are read at a time, after the first, and at most.
cdef int SMALLEST_PORTION = 16
cdef int LARGEST_PORTION = 256

cdef object MISSING = object()


def walk_in_order(
        Database database not None, Reads reads not None, which, long long end, bint items, bint backward, keepalive, on_error):
    """Iterate over the live entries of a range, up to rowid ``end``: (stored key, key, value), without ``items`` no value."""
    cdef Py_ssize_t index
    cdef Py_ssize_t columns = 5 if items else 1
    cdef int limit = 1
    cdef list portion
    ranges = [(which.low, which.high)] if which.parts is None else tuple_ranges(database, which, end, backward)
    keeps = which.keeps
    value = None
    for low, high in ranges:
        beyond = False
        while True:
            portion = scan_in_order(database, items, backward, low, high, beyond, end, limit)
            for index in range(0, len(portion), columns):
                stored = portion[index]
                if keeps is not None and not keeps(stored):
                    continue
                key = None
                try:
                    key = decode_key(stored, reads.serializer)
                    if items:
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
                yield stored, key, value
            if len(portion) < columns * limit:
                break
            if backward:
                high = portion[len(portion) - columns]
            else:
                low = portion[len(portion) - columns]
                beyond = True
            limit = SMALLEST_PORTION if limit == 1 else min(2 * limit, LARGEST_PORTION)


def tuple_ranges(Database database, which, long long end, bint backward):
    """The ranges of the tuples that begin with some elements: one for each length that there is."""
    low, high = tuples_from(which.size)
    while True:
        found = scan_in_order(database, False, backward, low, high, False, end, 1)
        if not found:
            return
        size = size_of(found[0])
        first = tuples_of(size) + which.parts
        yield first, after_bytes(first)
        if backward:
            # What was planted may be shorter.
            high = min(tuples_of(size), found[0])
        else:
            low = tuples_after(size)
            if low is None:
                return


cdef tuple find_key_ends(Database database):
    """The least and the greatest key as they are stored, of one moment; None and None if there is none."""
    cdef Session session
    cdef Statement statement
    cdef BusyWait wait = None
    cdef list found
    database.flush_first()
    while True:
        # Made before the step, since a list may start the garbage collector.
        found = [None, None]
        session = database.reading()
        statement = session.statement(sql.FIRST_AND_LAST_KEY)
        if statement.ready() and statement.step() == STEP_ROW:
            begin_span(spans)
            try:
                found[0] = statement.column_object(0)
                found[1] = statement.column_object(1)
            finally:
                statement.reset()
                end_span(spans)
            return tuple(found)
        wait = database.pause(wait)


cdef list scan_in_order(
        Database database, bint items, bint backward, object low, object high, bint beyond, long long end, int limit):
    """The next rows in the order of keys, from ``low`` (or beyond it) to below ``high``: one flat list, as of scan."""
    cdef Session session
    cdef Statement statement
    cdef BusyWait wait = None
    cdef int columns = 5 if items else 1
    cdef int column, step
    cdef list found
    cdef str text = sql.SCAN_IN_ORDER[items, backward, None if low is None else ">" if beyond else ">=", high is not None]
    cdef tuple parameters = (low, high, end, limit)
    cdef long long now = database.counted_from()
    database.flush_first()
    while True:
        found = []
        session = database.reading()
        statement = session.statement(text)
        if statement.ready():
            statement.bind_all(parameters)
            statement.bind_integer(8, now)
            step = statement.step()
            try:
                while step == STEP_ROW:
                    begin_span(spans)
                    try:
                        for column in range(columns):
                            found.append(statement.column_object(column))
                    finally:
                        end_span(spans)
                    step = statement.step()
            finally:
                statement.reset()
            if step == STEP_DONE:
                return found
        wait = database.pause(wait)
