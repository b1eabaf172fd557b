# The two handles of SQLite that the engine passes around, known by name alone: a module that cimports the
# store needs neither SQLite's header nor its library.

cdef extern from *:
    """
    typedef struct sqlite3 sqlite3;
    typedef struct sqlite3_stmt sqlite3_stmt;
    """
    ctypedef struct sqlite3
    ctypedef struct sqlite3_stmt
