"""Rows in memory as a table of SQLite's, so that one statement reads many keys, or writes many entries.

It is a virtual table (https://sqlite.org/vtab.html), and there are two of them in a connection:

- the batch has the rows that the connection is offered, and one statement writes them all;
- the feed is a batch of one row for ever, whose one column is the key that the connection is asked for next. Joined with it, a
  statement that is never reset finds one key after the other: no parameter to bind, no cursor to open, no lock to take.

What the rows borrow must live until the statement is reset.
"""

from libc.string cimport memset

from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_INTEGER, CELL_REAL, CELL_TEXT, NEVER, Cell, Row
from fastcache.engine.sqlite.sqlite3 cimport *


cdef struct Table:
    sqlite3_vtab base
    const RowSource* source


cdef struct Cursor:
    sqlite3_vtab_cursor base
    Py_ssize_t index


cdef int connect(
        sqlite3* db, void* aux, int count, const char* const* arguments, sqlite3_vtab** table,
        char** message) noexcept nogil:
    cdef Table* made
    cdef int code = sqlite3_declare_vtab(db, (<const RowSource*>aux).declaration)
    if code != SQLITE_OK:
        return code
    made = <Table*>sqlite3_malloc(sizeof(Table))
    if made == NULL:
        return SQLITE_NOMEM
    memset(made, 0, sizeof(Table))
    made.source = <const RowSource*>aux
    table[0] = <sqlite3_vtab*>made
    return SQLITE_OK


cdef int disconnect(sqlite3_vtab* table) noexcept nogil:
    sqlite3_free(table)
    return SQLITE_OK


cdef int plan(sqlite3_vtab* table, sqlite3_index_info* info) noexcept nogil:
    info.estimatedRows = (<Table*>table).source.expected
    info.estimatedCost = <double>info.estimatedRows
    return SQLITE_OK


cdef int open_cursor(sqlite3_vtab* table, sqlite3_vtab_cursor** cursor) noexcept nogil:
    cursor[0] = <sqlite3_vtab_cursor*>sqlite3_malloc(sizeof(Cursor))
    if cursor[0] == NULL:
        return SQLITE_NOMEM
    memset(cursor[0], 0, sizeof(Cursor))
    return SQLITE_OK


cdef int close_cursor(sqlite3_vtab_cursor* cursor) noexcept nogil:
    sqlite3_free(cursor)
    return SQLITE_OK


cdef int begin(
        sqlite3_vtab_cursor* cursor, int number, const char* text, int count, sqlite3_value** values) noexcept nogil:
    (<Cursor*>cursor).index = 0
    return SQLITE_OK


cdef int go_on(sqlite3_vtab_cursor* cursor) noexcept nogil:
    (<Cursor*>cursor).index += (<Table*>cursor.pVtab).source.stride
    return SQLITE_OK


cdef int is_at_end(sqlite3_vtab_cursor* cursor) noexcept nogil:
    return (<Cursor*>cursor).index >= (<Table*>cursor.pVtab).source.count


cdef int column_of(sqlite3_vtab_cursor* cursor, sqlite3_context* context, int column) noexcept nogil:
    cdef const Row* row = &(<Table*>cursor.pVtab).source.rows[(<Cursor*>cursor).index]
    if column == 0:
        result_of(&row.key, context)
    elif column == 1:
        sqlite3_result_int64(context, row.codec)
    elif column == 2:
        sqlite3_result_int64(context, row.value.size)
    elif column == 3:
        if row.expire == NEVER:
            sqlite3_result_null(context)
        else:
            sqlite3_result_int64(context, row.expire)
    elif column == 4:
        result_of(&row.tag, context)
    else:
        result_of(&row.value, context)
    return SQLITE_OK


cdef void result_of(const Cell* cell, sqlite3_context* context) noexcept nogil:
    """Hand a cell to SQLite, which is done with what it borrows before the statement is reset."""
    if cell.kind == CELL_TEXT:
        sqlite3_result_text64(context, cell.data, <unsigned long long>cell.size, SQLITE_STATIC, SQLITE_UTF8)
    elif cell.kind == CELL_BLOB:
        sqlite3_result_blob64(context, cell.data, <unsigned long long>cell.size, SQLITE_STATIC)
    elif cell.kind == CELL_INTEGER:
        sqlite3_result_int64(context, cell.integer)
    elif cell.kind == CELL_REAL:
        sqlite3_result_double(context, cell.real)
    else:
        sqlite3_result_null(context)


cdef int row_of(sqlite3_vtab_cursor* cursor, sqlite3_int64* row) noexcept nogil:
    row[0] = (<Cursor*>cursor).index
    return SQLITE_OK


# No xCreate: it exists in each connection that knows the module, and cannot be made in a file
# (https://sqlite.org/vtab.html#eponymous_only_virtual_tables).
cdef sqlite3_module methods
memset(&methods, 0, sizeof(methods))
methods.xConnect = connect
methods.xBestIndex = plan
methods.xDisconnect = disconnect
methods.xDestroy = disconnect
methods.xOpen = open_cursor
methods.xClose = close_cursor
methods.xFilter = begin
methods.xNext = go_on
methods.xEof = is_at_end
methods.xColumn = column_of
methods.xRowid = row_of


cdef void make_feed(RowSource* source, const Row* row) noexcept:
    """Have it give this row for ever."""
    source.declaration = "CREATE TABLE feed (key)"
    source.expected = 1
    source.stride = 0
    source.rows = row
    source.count = 1


cdef void make_batch(RowSource* source) noexcept:
    """Have it give the rows that it is offered, of which it has none yet."""
    source.declaration = "CREATE TABLE batch (key, codec, size, expire, tag, value)"
    source.expected = 1000
    source.stride = 1
    source.rows = NULL
    source.count = 0


cdef int attach_source(sqlite3* db, const char* name, RowSource* source) noexcept:
    """Make it a table of this connection, of this name; returns SQLite's code. The source must outlive the connection."""
    return sqlite3_create_module_v2(db, name, &methods, source, NULL)
