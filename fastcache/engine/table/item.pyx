# cython: nonecheck=True
"""An entry that is held in memory: what it is, and how many bytes it takes.

**What an item says of its entry never changes**: who changes the entry makes another one, which takes its number and its place. So whoever
has an item has the entry as it was at one moment, and the old one is all that is needed to undo the change.

An item is not tracked by the garbage collector: making one runs nothing. What it refers to is a str, bytes, int, float, bool, None, or
tuples and frozensets of these alone, so that freeing it runs nothing either.
"""

cimport cython

from fastcache.engine.memory.sieve cimport cost_of

cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_UCS4 PyUnicode_READ_CHAR(object text, Py_ssize_t index)

# What an entry takes beside its key and value: the item, and its part of the table, the order and the heaps, in bytes.
cdef long long ITEM_COST = 224


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Item:
    """An entry."""


cdef Item new_item(object name, object key, object value, int codec, long long size, long long expire, object tag):
    """An entry that is not in the table yet."""
    cdef Item item = Item.__new__(Item)
    item.name = name
    item.key = key
    item.value = value
    item.codec = codec
    item.size = size
    item.expire = expire
    item.tag = tag
    item.places[0] = item.places[1] = NO_PLACE
    item.cost = ITEM_COST + <long long>cost_of(name) + <long long>cost_of(value)
    if key is not name:
        item.cost += <long long>cost_of(key)
    if tag is not None:
        item.cost += <long long>cost_of(tag)
    return item


cdef Item changed_item(Item before, object value, int codec, long long size, long long expire):
    """The same entry with another value or expiry."""
    return new_item(before.name, before.key, value, codec, size, expire, before.tag)


cdef long long utf8_size(object text) noexcept:
    """How many bytes a text is in UTF-8; lone surrogates are of three."""
    cdef Py_ssize_t index, length = PyUnicode_GET_LENGTH(text)
    cdef long long size = length
    cdef Py_UCS4 point
    if PyUnicode_IS_COMPACT_ASCII(text):
        return size
    for index in range(length):
        point = PyUnicode_READ_CHAR(text, index)
        size += (point > 0x7F) + (point > 0x7FF) + (point > 0xFFFF)
    return size
