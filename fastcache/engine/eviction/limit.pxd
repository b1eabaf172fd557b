# The limit of one database, and the policy of eviction.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.policies cimport Policy
from fastcache.engine.memory.sieve cimport Node
from fastcache.engine.shm.access_table cimport Recency
from fastcache.engine.sqlite.connection cimport Cell

# SQLite's pages, in bytes.
cdef long long PAGE


cdef class Limit(Participant):
    # Bytes that the directory may occupy, the WAL aside; 0 for any number. And of all shards together.
    cdef long long max_size
    cdef long long total_size
    cdef str eviction
    # Whether the limit that is stored holds for this object.
    cdef bint keeps_limit

    # None where nothing is ever evicted.
    cdef Policy policy
    # When entries were last used; None where nobody asks for it.
    cdef Recency recency

    cdef long long page_size
    # Bytes left at which maintenance is called, until which it evicts, below which the writer does; and the largest entry.
    cdef long long low
    cdef long long high
    cdef long long reserve
    cdef long long largest

    cdef int take_over(self, Database database) except -1
    cdef int use_recency(self, Database database, str name) except -1
    cdef Recency open_recency(self, Database database, str path, int meaning)
    cdef int refuse_too_large(self, Database database, const Cell* key, long long size) except -1
    cdef str limit_in_words(self)
    cdef void use(self, Node* node) noexcept
    cdef int use_stored(self, long long row) except -1
    cdef unsigned int row_written(self, Database database) noexcept


cdef long long cost_of_row(const Cell* key, long long size) noexcept
cdef int check_policy(object eviction) except -1
cdef long long check_limit(object max_size, int shards) except -1
