# cython: nonecheck=True
"""An entry as it was read: what its row says, and what is stored of its value."""

cimport cython

from fastcache.engine.codecs.values cimport CODEC_ON_DISK
from fastcache.engine.sqlite.cells cimport NEVER, cell_object, cell_of_plain


@cython.no_gc
@cython.freelist(8)
cdef class Entry:
    """What a row says of an entry. Not tracked by the garbage collector, so that making one runs nothing."""


cdef Entry read_entry(Statement statement):
    """Copy the current row of GET or POP_NATIVE. Runs no Python code."""
    cdef Entry entry = Entry.__new__(Entry)
    # Of another type or size than we ever write: no codec at all, and no expiry.
    cdef long long codec = statement.column_integer(0)
    entry.codec = <int>codec if 0 <= codec <= CODEC_ON_DISK and statement.column_is_integer(0) else -1
    entry.expire = statement.column_integer(1) if statement.column_is_integer(1) else NEVER
    entry.stored = statement.column_object(2)
    file = statement.column_object(3)
    entry.file = file if type(file) is str else None
    entry.size = statement.column_integer(4)
    entry.tag = statement.column_object(5)
    entry.id = statement.column_integer(6)
    return entry


cdef Entry entry_of_row(const Row* row):
    """A row that is to be set, as it will be read; copies what it borrows."""
    cdef Entry entry = Entry.__new__(Entry)
    entry.codec = row.codec if 0 <= row.codec <= CODEC_ON_DISK else -1
    entry.expire = row.expire
    entry.stored = cell_object(&row.value)
    entry.size = row.size
    entry.tag = cell_object(&row.tag)
    return entry


cdef object check_tag(object tag, Cell* cell):
    """Fill the cell with a tag; returns what it borrows from."""
    if tag is None or type(tag) in (str, bytes, int):
        try:
            return cell_of_plain(tag, cell)
        except (UnicodeEncodeError, OverflowError) as error:
            raise ValueError("a tag must be valid Unicode, and fit in 64 bits if it is an int") from error
    if type(tag) is float and tag == tag:
        return cell_of_plain(tag, cell)
    if type(tag) is float:
        raise ValueError("NaN cannot be a tag")
    raise TypeError(f"a tag must be a str, bytes, int or float, not {type(tag).__name__}")
