# Values and rows as SQLite knows them: what all rooms of the engine pass around. Nothing of SQLite's C API is called.

from libc.string cimport memcmp


cdef enum CellKind:
    # SQLite's own numbers for its storage classes.
    CELL_INTEGER = 1
    CELL_REAL = 2
    CELL_TEXT = 3
    CELL_BLOB = 4
    CELL_NULL = 5


ctypedef struct Cell:
    # One value as SQLite knows it. `data` is borrowed from whoever filled the cell.
    CellKind kind
    long long integer
    double real
    const char* data
    Py_ssize_t size
    # Of a key, the hash that is the same in every process.
    unsigned long long hashed


cdef enum RowKind:
    ROW_SET = 0
    ROW_DELETE = 1
    # Withdrawn.
    ROW_NOTHING = 2


# One entry to be written, on its way through the engine and as the batch hands it out. What its cells borrow belongs to
# whoever made it.
ctypedef struct Row:
    Cell key
    # NULL where the value is in a file.
    Cell value
    Cell tag
    int codec
    # Bytes of the value, wherever it is.
    long long size
    # In ms since the epoch, or NEVER.
    long long expire
    # When it was set, in ms since the epoch; 0 for now.
    long long at
    RowKind kind


cdef enum RowChange:
    # SQLite's own numbers for what a statement has done to a row.
    ROW_DELETED = 9
    ROW_INSERTED = 18
    ROW_UPDATED = 23


# Milliseconds since the epoch that stand for "never expires".
cdef extern from *:
    """
    #define FASTCACHE_NEVER 0x7FFFFFFFFFFFFFFFLL
    """
    const long long NEVER "FASTCACHE_NEVER"


cdef inline bint is_same_cell(const Cell* one, const Cell* other) noexcept nogil:
    """Whether two cells are the same. (Of keys it is what SQLite says, too: a number that is an integer is stored as one.)"""
    if one.kind != other.kind:
        return False
    if one.kind == CELL_INTEGER:
        return one.integer == other.integer
    if one.kind == CELL_REAL:
        return one.real == other.real
    return one.size == other.size and (one.size == 0 or memcmp(one.data, other.data, <size_t>one.size) == 0)


cdef object cell_object(const Cell* cell)
cdef object cell_of_plain(object value, Cell* cell)
