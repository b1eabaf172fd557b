# The limit of one database, and the policy of eviction.

from fastcache.engine.database.database cimport Database, Participant
from fastcache.engine.database.sessions cimport Session
from fastcache.engine.eviction.policies cimport Policy
from fastcache.engine.memory.sieve cimport Node
from fastcache.engine.shm.access_table cimport AccessTable, use_row
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.sqlite.connection cimport Statement

# SQLite's pages, in bytes.
cdef long long PAGE


cdef class Limit(Participant):
    # Bytes that the directory may occupy, the WAL aside; 0 for any number. And of all shards together.
    cdef long long max_size
    cdef long long total_size
    cdef str eviction
    # Whether the limit that is stored holds for this object.
    cdef bint keeps_limit

    cdef Policy policy
    # Whether it ever names anything.
    cdef bint evicts
    # When entries were last used; None where nobody asks for it.
    cdef AccessTable access_table
    # Whether reads are told to it, too.
    cdef bint notes_reads
    # Whether entries go only when somebody asks for it.
    cdef bint culls

    cdef long long page_size
    # Bytes left at which maintenance is called, until which it evicts, below which the writer does; and the largest entry.
    cdef long long low
    cdef long long high
    cdef long long reserve
    cdef long long largest

    cdef int take_over(self, Database database) except -1
    cdef int use_access_table(self, Database database, str name) except -1
    cdef AccessTable open_access_table(self, Database database, str path, int meaning)
    cdef int tidy(self, Database database) except -1
    cdef int refuse_too_large(self, Database database, const Cell* key, long long size) except -1
    cdef str limit_in_words(self)

    # Use, which is of no interest unless it `notes_reads`.

    cdef inline void note_use(self, Node* node) noexcept:
        """What the tier knows is used. Runs no Python code; `follow` is for afterwards."""
        cdef unsigned int now
        if self.notes_reads:
            now = self.access_table.now()
            if node.row and node.used_at != now:
                node.used_at = now
                use_row(self.access_table.table, node.row)

    cdef inline void note_row(self, unsigned int row) noexcept:
        """The same of a row that was read with others; `follow` comes before them."""
        if self.notes_reads:
            use_row(self.access_table.table, row)

    cdef inline int follow(self) except -1:
        """Let others in, maybe, to have the table that other processes use."""
        if self.notes_reads:
            self.access_table.follow()
        return 0

    cdef inline int note_use_of_row(self, long long row) except -1:
        """A row is used; 0 for none."""
        if self.notes_reads and row:
            self.access_table.follow()
            use_row(self.access_table.table, <unsigned int>row)
        return 0

    cdef inline void look_again(self) noexcept:
        """What was evicted may be there again."""
        if self.access_table is not None:
            self.access_table.look_again()

    cdef inline long long table_size(self) noexcept:
        """Bytes of the access table."""
        return <long long>self.access_table.size() if self.access_table is not None else 0

    cdef inline unsigned int row_read(self, Statement statement):
        """What the tier is to know of the row that GET stands on."""
        return <unsigned int>statement.column_integer(6) if self.notes_reads else 0

    cdef inline unsigned int row_written(self, Database database) noexcept:
        """What the tier is to know of the row that our last statement has written."""
        return <unsigned int>database.writer.connection.hooks.last_row if self.notes_reads else 0



cdef long long cost_of_row(const Cell* key, long long size) noexcept
cdef int check_policy(object eviction) except -1
cdef long long check_limit(object max_size, int shards) except -1
