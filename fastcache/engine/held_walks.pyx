# cython: nonecheck=True
"""Iteration over what a store in memory holds: in the order of insertion, and in that of keys.

As on disk (entries/walk.pyx, entries/ordered.pyx): a portion at a time, each as it then is; and a walk ends where the table ended when
it began, so that what is added meanwhile is not met. What cannot be decoded is handed to ``on_error(key, error)``, and left out; where
there is no such function, the error is raised.
"""

from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.entries.entry cimport VALUE
from fastcache.engine.table.item cimport Item

from fastcache.engine.codecs.ranges import after_bytes, size_of, tuples_after, tuples_from, tuples_of
from fastcache.errors import DecodeError, UntrustedValueError

# Items that are looked at in one go, at first and at most.
cdef int SMALLEST_PORTION = 16
cdef int LARGEST_PORTION = 256


def walk(Held held not None, long long end, bint items, bint backward, keepalive, on_error):
    """Iterate over the live keys, or pairs, up to the number ``end``; ``keepalive`` lives as long as the iterator."""
    cdef long long last = end + 1 if backward else 0
    cdef int limit = SMALLEST_PORTION
    cdef Item item
    cdef list portion
    while True:
        now = held.scope.now()
        held.refuse()
        portion = held.table.portion(last, end, backward, limit, now, held.is_aside())
        for each in portion:
            item = each
            key = None
            try:
                key = shown = decode_key(item.key, held.serializer)
                if items:
                    shown = key, held.value_of(item, VALUE)
            except (DecodeError, UntrustedValueError) as error:
                if on_error is None:
                    raise
                on_error(key, error)
                continue
            yield shown
        if len(portion) < limit:
            return
        last = item.id
        limit = min(2 * limit, LARGEST_PORTION)


def walk_in_order(Held held not None, which, long long end, bint items, bint backward, keepalive, on_error):
    """Iterate over the live entries of a KeyRange, up to the number ``end``: (stored key, key, value), without ``items`` no value.

    The first portion is one item: who wants the first or the last alone pays for no more."""
    cdef int limit = 1
    cdef Item item
    cdef list portion
    keeps = which.keeps
    value = None
    for low, high in [(which.low, which.high)] if which.parts is None else tuple_ranges(held, which, end, backward):
        beyond = False
        while True:
            portion = portion_in_order(held, low, high, beyond, backward, limit, end)
            for each in portion:
                item = each
                if keeps is not None and not keeps(item.key):
                    continue
                key = None
                try:
                    key = decode_key(item.key, held.serializer)
                    if items:
                        value = held.value_of(item, VALUE)
                except (DecodeError, UntrustedValueError) as error:
                    if on_error is None:
                        raise
                    on_error(key, error)
                    continue
                yield item.key, key, value
            if len(portion) < limit:
                break
            if backward:
                high = item.key
            else:
                low = item.key
                beyond = True
            limit = SMALLEST_PORTION if limit == 1 else min(2 * limit, LARGEST_PORTION)


def tuple_ranges(Held held not None, which, long long end, bint backward):
    """The ranges of the tuples that begin with some elements: one for each length that there is."""
    cdef Item item
    low, high = tuples_from(which.size)
    while True:
        found = portion_in_order(held, low, high, False, backward, 1, end)
        if not found:
            return
        item = found[0]
        size = size_of(item.key)
        first = tuples_of(size) + which.parts
        yield first, after_bytes(first)
        if backward:
            high = tuples_of(size)
        else:
            low = tuples_after(size)
            if low is None:
                return


cdef list portion_in_order(Held held, object low, object high, bint beyond, bint backward, int limit, long long end):
    """The next live items in the order of keys, from ``low`` (or beyond it) to below ``high``."""
    cdef long long now = held.scope.now()
    held.refuse()
    return held.table.in_order(low, high, beyond, backward, limit, end, now, held.is_aside())
