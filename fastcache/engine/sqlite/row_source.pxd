# Rows in memory as a table of SQLite's.

from fastcache.engine.sqlite.cells cimport Row
from fastcache.engine.sqlite.handles cimport sqlite3


cdef struct RowSource:
    # What the table says of its columns: some of those that a row has, from the first on.
    const char* declaration
    # How many rows SQLite's planner is told to expect.
    int expected
    # How many a step goes on: 0 for a source without end.
    int stride
    # What it has now.
    const Row* rows
    Py_ssize_t count


cdef void make_feed(RowSource* source, const Row* row) noexcept
cdef void make_batch(RowSource* source) noexcept
cdef int attach_source(sqlite3* db, const char* name, RowSource* source) noexcept
