# The one order in which an entry is looked for.

from cpython.ref cimport PyObject

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.memory.sieve cimport Kind, Node
from fastcache.engine.memory.tier cimport Memory
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.sqlite.connection cimport Statement


cdef enum Source:
    # Where an entry was found: in the memory tier, in the journal, or in SQLite.
    REMEMBERED = 0
    APPENDED = 1
    STORED = 2
    # It is certain that there is none.
    NOWHERE = 3


cdef enum Depth:
    # How much has to be known of an entry: whether there is one, its value, or all that its row says.
    PRESENCE = 0
    CONTENT = 1
    WHOLE = 2


cdef struct Finding:
    Source source
    # REMEMBERED. Borrowed, as the statement is, until anything runs that may let others in.
    Node* node
    # STORED: a Statement that stands on the row, and has to be reset.
    PyObject* statement
    # The tier's era before SQLite was asked, for `fill`; 0 where the tier may not be filled.
    unsigned long long era


cdef class Lookup(Participant):
    cdef Memory tier
    cdef object serializer
    # What was found in the journal, for whoever has asked (`taken`).
    cdef Entry appended

    cdef Entry taken(self)
    cdef bint ask_journal(self, Database database, const Cell* key, Finding* found) except -1
    cdef unsigned long long era(self, Database database) noexcept
    cdef object find(self, Database database, object key, object keepalive, Cell* cell, Depth depth, Finding* found)
    cdef bint remembers(self, object name, unsigned long long hashed, Depth depth, Finding* found) except -1
    cdef int ask(self, Database database, const Cell* key, Depth depth, Finding* found) except -1
    cdef bint fill(
        self, unsigned long long era, object name, unsigned long long hashed, Kind kind, object value, int codec,
        long long expire, unsigned int row) except -1
