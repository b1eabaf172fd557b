# cython: nonecheck=True
"""The limit of one database and the policy of eviction: what is stored of them, and what follows from them."""

import os

cimport cython

from fastcache.engine.database.database cimport warn
from fastcache.engine.eviction.policies cimport meaning_of, policy_of
from fastcache.engine.shm.access_table cimport on_row_change
from fastcache.engine.sqlite.cells cimport CELL_BLOB, CELL_TEXT

from fastcache.engine.sqlite import sql
from fastcache.errors import LimitWarning, TooLargeError
from fastcache.runtime import imports

POLICIES = ("lru", "lrs", "lfu", "sieve", "fifo", "ttl", "none")

# The parts of the limit at which maintenance is called, until which it evicts, and that stay free for what several
# processes write at the same time.
cdef long long LOW_SHARE = 64
cdef long long HIGH_SHARE = 32
cdef long long RESERVE_SHARE = 128
# More room than this in advance is of no use, in bytes.
cdef long long MOST_LOW = 16 << 20
# Pages of an empty database, and some for the branches of its trees.
cdef long long EMPTY_PAGES = 13
# A limit that leaves room for something, in bytes: smaller ones are kept as if they were this.
cdef long long SMALLEST_LIMIT = 131072
# What an access table is made for where nobody says how much is stored, in bytes.
cdef long long UNKNOWN_LIMIT = 1 << 30
# SQLite's pages, and what they have room for.
PAGE = 4096
cdef long long USABLE = 4080


cdef Policy no_policy = policy_of("none", None)


@cython.final
cdef class Limit(Participant):
    """How much may be stored, and who goes first when it is too much.

    Args:
        keeps: whether the ``max_size`` that is stored holds for this object.
        culls: whether entries go only when `cull` is called, whatever the limit.
    """

    def __cinit__(self, bint keeps, bint culls):
        self.keeps_limit = keeps
        self.culls = culls
        self.eviction = "lru"
        self.policy = policy_of("none", None)
        self.page_size = PAGE

    cdef int attach(self, Database database, Session session) except -1:
        if self.access_table is not None:
            session.connection.watch_rows(on_row_change, <void*>&self.access_table.table)
        return 0

    cdef void begin_anew(self) noexcept:
        # `take_over` opens the one that lies there.
        if self.access_table is not None:
            self.policy = no_policy
            self.access_table = None
            self.notes_reads = False

    cdef int take_over(self, Database database) except -1:
        """Keep to the limit and the policy that are stored."""
        cdef long long limit
        usable = usable_settings(database.settings)
        self.total_size = usable["max_size"] if self.keeps_limit and not self.culls else 0
        limit = self.total_size // <long long>database.settings["shards"]
        if self.total_size:
            limit = max(limit, SMALLEST_LIMIT)
        self.eviction = usable["eviction"]
        self.max_size = limit
        database.fills_fast = limit != 0
        # A statement may need a page or two for its trees, whatever the limit.
        self.reserve = min(max(limit // RESERVE_SHARE, 2 * PAGE), MOST_LOW // 2)
        self.low = min(max(limit // LOW_SHARE, self.reserve + PAGE), MOST_LOW)
        self.high = min(max(limit // HIGH_SHARE, self.reserve + 2 * PAGE), 2 * MOST_LOW)
        self.page_size = 4096
        self.use_access_table(database, self.eviction if (limit or self.culls) and not database.read_only else "none")
        if database.writer is not None and (limit or self.culls):
            self.page_size = database.integer(database.writer, sql.PAGE_SIZE)
            if self.access_table is not None:
                self.access_table.begin_at(database.integer(database.writer, sql.NEWEST_ROW))
        self.largest = limit - self.high - EMPTY_PAGES * self.page_size
        self.largest -= self.table_size()
        return 0

    cdef int use_access_table(self, Database database, str name) except -1:
        """Begin with a policy, and with the table that it wants."""
        cdef int meaning = meaning_of(name)
        cdef AccessTable before = self.access_table
        cdef AccessTable access_table = before
        cdef Policy policy
        if meaning == 0:
            access_table = None
        elif before is None or <int>before.table.meaning != meaning:
            access_table = self.open_access_table(database, os.path.join(database.directory, "cache.recency"), meaning)
            if access_table is None:
                name = "fifo"
        policy = policy_of(name, access_table)
        # Nothing fails from here on, so that the table that is told of rows does not go while it is.
        self.access_table = access_table
        self.notes_reads = access_table is not None and name != "lrs"
        self.policy = policy
        self.evicts = name != "none"
        if database.writer is not None and access_table is not before:
            database.writer.connection.watch_rows(NULL, NULL)
            self.attach(database, database.writer)
        return 0

    cdef AccessTable open_access_table(self, Database database, str path, int meaning):
        """The access table; one that is damaged is replaced. None if there is none to be had."""
        try:
            try:
                return AccessTable(path, meaning, self.max_size or UNKNOWN_LIMIT)
            except ValueError:
                os.unlink(path)
                return AccessTable(path, meaning, self.max_size or UNKNOWN_LIMIT)
        except (OSError, ValueError) as error:
            warn("%r has no access table, and evicts what is oldest: %s", database.directory, error)
            return None

    cdef int tidy(self, Database database) except -1:
        """Before something is evicted: make the access table larger if it is crowded. SQLite's write lock is held."""
        if self.access_table is not None:
            try:
                self.access_table.tidy()
            except OSError as error:
                warn("the access table of %r cannot grow: %s", database.directory, error)
        return 0

    cdef int refuse_too_large(self, Database database, const Cell* key, long long size) except -1:
        """Raise TooLargeError for what would not fit if nothing else was there."""
        cdef long long need = size + cost_of_row(key, 0)
        if self.max_size and need > self.largest:
            raise TooLargeError(
                f"{database.directory!r}: an entry of {need} bytes does not fit in a cache whose max_size is "
                f"{self.limit_in_words()}; nothing was evicted for it")
        return 0

    cdef str limit_in_words(self):
        if self.total_size == self.max_size:
            return f"{self.max_size} bytes"
        return f"{self.total_size} bytes, kept as {self.max_size} in each database"


def usable_settings(stored):
    """The limit and the policy among settings that somebody may have damaged."""
    size, name = stored.get("max_size"), stored.get("eviction")
    return {
        "max_size": size if type(size) is int and 0 < size < 1 << 62 else 0,
        "eviction": name if name in POLICIES else "lru"}


cdef long long cost_of_row(const Cell* key, long long size) noexcept:
    """Bytes that an entry takes in the database: its share of a page of rows, or pages of its own, and of one of the index of
    keys, two thirds of which are used (https://sqlite.org/fileformat.html#b_tree_pages)."""
    cdef long long key_size = key.size if key.kind in (CELL_TEXT, CELL_BLOB) else 9
    cdef long long cell = size + key_size + 24
    if cell <= USABLE:
        cell = PAGE // (USABLE // cell)
    else:
        cell = (cell // USABLE + 2) * PAGE
    return cell + 3 * (key_size + 12) // 2


cdef int check_policy(object eviction) except -1:
    if eviction not in POLICIES:
        raise ValueError(f"eviction must be one of {', '.join(map(repr, POLICIES))}, not {eviction!r}")
    return 0


cdef long long check_limit(object max_size, int shards) except -1:
    if isinstance(max_size, bool) or not isinstance(max_size, int):
        raise TypeError(f"max_size must be a number of bytes (int), not {type(max_size).__name__}")
    if not 0 <= max_size < 1 << 62:
        raise ValueError(f"max_size must be a number of bytes between 1 and 2**62, or 0 for no limit, not {max_size}")
    if 0 < max_size < SMALLEST_LIMIT * shards:
        each = f"{SMALLEST_LIMIT} bytes" + (f" for each of the {shards} shards" if shards > 1 else "")
        imports.load("warnings").warn(
            f"max_size={max_size} is kept as if it was {each}: an empty database takes half of that", LimitWarning, stacklevel=3)
    return max_size
