# cython: nonecheck=True, auto_pickle=False
"""The entries of one directory: the wiring of the parts that keep them there.

A `DiskStore` is a database (database/) and parts, each with a state of its own, that are given the database with each call:

- reading: `lookup` (where an entry is looked for, entries/lookup.pyx), `reads` (entries/reads.pyx), `content` (its value);
- writing: `changes` (what is done to one entry, entries/changes.pyx), `writes` (its row), `filed` (a value that goes into a file),
  `rows` (many, and what a transaction defers), `flusher` (what batches put off), `group` (threads that commit
  together);
- keeping within a limit: `limit`, `room`, `evictor`, `leftovers`, `space` (eviction/);
- time: `expiry`; and the WAL: `checkpoints` (database/checkpoints.pyx).

None of them knows the store. Those that have a say in transactions are its *participants* (`Participant`, in
database/database.pyx), and are called in the order in which `__init__` lists them.
"""

from _weakref import ref

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.database.blocks cimport enter, leave
from fastcache.engine.database.closing cimport close, close_if_idle, finish
from fastcache.engine.database.forking cimport after_fork_in_child, drop_inherited, hold, quiesce, resume
from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.database.database cimport CLOSED, warn
from fastcache.engine.database.full_disk cimport end_way, make_way
from fastcache.engine.database.transaction cimport DatabaseTransaction, Transaction
from fastcache.engine.database.trash cimport tidy, tidy_at_opening
from fastcache.engine.entries.at_once cimport find_at_once, has_at_once, may_write_at_once
from fastcache.engine.entries.culling cimport cull
from fastcache.engine.entries.entry cimport VALUE, Entry, ReadMode, check_tag
from fastcache.engine.entries.expiry cimport expiry
from fastcache.engine.entries.ordered cimport find_key_ends, scan_in_order
from fastcache.engine.entries.reading cimport read_many
from fastcache.engine.entries.removal cimport change_many, most_asked, remove_many
from fastcache.engine.entries.scan cimport scalar
from fastcache.engine.entries.walk cimport newest, take_end
from fastcache.engine.entries.writing cimport BatchPart, RowBatchPart, RowWriting, Writing
from fastcache.engine.eviction.limit cimport check_limit, check_policy
from fastcache.engine.eviction.room cimport Room
from fastcache.engine.eviction.vacuum cimport vacuum
from fastcache.engine.upkeep cimport maintain
from fastcache.engine.memory.sieve cimport Budget
from fastcache.engine.sqlite.cells cimport Cell
from fastcache.engine.store cimport Store, check_journal, check_memory

from fastcache.engine.codecs.keys import stored_form
from fastcache.engine.database import forks, reserve
from fastcache.engine.entries.ordered import walk_in_order
from fastcache.engine.entries.walk import walk_items, walk_keys
from fastcache.engine.shm.byte_locks import byte_locks_of
from fastcache.engine.sqlite import sql
from fastcache.errors import ClosedError, CorruptError, FullError, Timeout

cdef extern from "<limits.h>":
    long long LLONG_MAX


@cython.final
cdef class DiskStore(Store):
    """The entries of one directory.

    Args:
        directory: where the database and the value files are; made (0700) if absent.
        serializer: for what SQLite has no value of its own for (see fastcache.Serializer).
        compression: "zstd", "lz4" or "blosc2" for what is worth it; None for not at all.
        timeout: how long to wait for another writer, in seconds.
        timer: called for the time in seconds since the epoch; None for the system's clock.
        memory: how many bytes of what was read may stay in this process; 0 for none.
        scheduler: called with the store and a number of seconds, to have `maintain` called within that time, by a thread of
            its own; returns whether it will be. Without one, each does its own tidying.
        durability: "normal", or "full" to have each commit synced to the disk before it returns.
        on_evict: called with the key and the reason, by maintenance, of what the store has removed by itself.
        keeps_limit: whether the ``max_size`` that is stored holds for this object.
        settings: kept in the database with the format: those of a new one; for one that exists, what is not
            None replaces what is stored.
        shards: of how many databases this is one. Its part of ``max_size`` is the same as theirs.
        inherited: settings of a new database that are not the usual ones.
        recreate: whether to begin anew where the directory was removed or replaced while it was open.
        read_only: whether nothing is to be written; None for if nothing can be.
        nothing: whether it is empty, and is read alone; ``directory`` is not even looked at.
        culls: whether entries go only when their removal is asked for (`cull`, `expire`), whatever the limit. Those that have
            expired are counted and iterated over until then.
        journal: whether what is set may be in the journal alone at first, from which it is drained into SQLite (shm/journal.pyx).
    Raises:
        OpenError: (FormatError, NotACacheError) the directory cannot be opened as asked.
    """

    def __init__(
            self, directory, *, serializer, timeout=60.0, timer=None, memory=0, scheduler=None, durability="normal",
            compression=None, on_evict=None, keeps_limit=True, settings=None, shards=1, inherited=None,
            recreate=False, read_only=None, nothing=False, culls=False, journal=False):
        self.set_up(serializer, compression)
        self.journal_asked = check_journal(journal)
        self.scope = self.database = Database(
            directory, ref(self), timeout=timeout, timer=timer, scheduler=scheduler, durability=durability,
            settings={
                "format": sql.FORMAT, "serializer": serializer.name, "shards": shards, "max_size": 0, "eviction": "lru",
                **(inherited or {})},
            recreate=recreate, read_only=read_only, nothing=nothing, keeps_expired=culls,
            journal=self.journal_asked and durability == "normal" and scheduler is not None and not culls)
        self.memory = Memory(memory if isinstance(memory, Budget) else Budget(check_memory(memory)))
        self.lookup = Lookup(self.memory, serializer)
        self.content = Content(self.format, self.database.files)
        self.counter = Count()
        self.limit = Limit(keeps_limit, culls)
        self.evictor = Evictor(self.limit, serializer, on_evict)
        self.expiry = Expiry(self.evictor)
        self.leftovers = Leftovers(self.evictor)
        self.checkpoints = Checkpoints()
        self.space = Space(self.limit, Room(self.limit), self.evictor, self.leftovers, self.checkpoints)
        self.reads = Reads(self.lookup, self.content, self.limit, serializer)
        self.writes = Writes(self.reads, self.space, self.expiry)
        self.filed = FileWrites(self.writes, self.leftovers)
        self.rows = RowWrites(self.filed)
        self.flusher = Flusher(self.rows)
        self.drain = Drain(self.rows, self.checkpoints)
        self.appends = Appends(self.reads, self.drain, self.database.asked_journal)
        self.changes = Changes(self.reads, self.rows, self.flusher, self.appends, self.checkpoints, self.format)
        participants = (
            # What is pending comes before a transaction, and what is deferred into it.
            self.drain, self.flusher, self.rows,
            # What a transaction has removed, and whose room that was; what follows a commit begins with these.
            self.evictor, self.leftovers, self.space.room, self.space, self.limit,
            # What is remembered is brought up to the commit.
            self.lookup, self.counter,
            # At last, since it may take long.
            self.checkpoints)
        if self.database.syncs:
            self.group = GroupCommit(self.flusher)
            self.changes.group = self.group
            participants += (self.group,)
        self.database.participants = participants
        self.open(settings or {})
        if scheduler is not None and timer is None and self.database.writer is not None and not self.database.read_only:
            self.expiry.begin(self.database)

    cdef int open(self, dict asked) except -1:
        """Open the database, and tidy up what others have left."""
        cdef Database database = self.database
        if asked.get("max_size") is not None:
            check_limit(asked["max_size"], database.settings["shards"])
        if asked.get("eviction") is not None:
            check_policy(asked["eviction"])
        forks.register(self)
        try:
            database.open(asked)
            if not database.read_only:
                tidy_at_opening(database)
                self.checkpoints.look_at_disk(database)
                self.checkpoints.lacks_reserve = reserve.keep(database.directory, database.settings)
        except CorruptError as error:
            # Opened all the same, so that check(fix=True) can be called; every other use raises the error again.
            warn("%r is damaged: %s", database.directory, error)
            database.drop_sessions(False)
        except BaseException:
            self.close()
            raise
        if not database.read_only and any(asked.get(name) is not None for name in ("max_size", "eviction")):
            database.tell_settings()
        # Maintenance may be called, and must not begin before this is done.
        database.writer_lock.acquire(database.timeout)
        try:
            self.space.take_over(database, {})
            if database.writer is not None and not database.read_only:
                self.leftovers.begin(database)
                self.space.room.left_at = 0
        finally:
            database.writer_lock.release()
        if self.drain.has_pending(database):
            # Of somebody who is dead, or busy.
            if database.clock == NULL:
                self.drain.drain_all(database)
            else:
                self.drain.call_for_left(database)
        return 0

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def in_memory(self):
        """Whether its entries are in memory alone."""
        return False

    @property
    def path(self):
        """The database file."""
        return self.database.path

    @property
    def journal(self):
        """The journal (Journal), if the database is open and has one; else None."""
        return self.database.journal

    @property
    def asked_journal(self):
        """Whether it was opened with one."""
        return self.journal_asked

    @property
    def uses_journal(self):
        """Whether what is set goes there."""
        return self.appends.wanted

    @property
    def durability(self):
        """"normal" or "full"."""
        return self.database.durability

    @property
    def settings(self):
        """What is stored with the format."""
        return self.database.settings

    @property
    def files(self):
        """The value files."""
        return self.database.files

    @property
    def closed(self):
        """Whether it was closed."""
        return self.database.life == CLOSED

    @property
    def read_only(self):
        """Whether nothing is written."""
        return self.database.read_only

    @property
    def recreate(self):
        """Whether it begins anew where its directory was removed."""
        return self.database.recreate

    @property
    def is_nothing(self):
        """Whether there is nothing to read, and nothing is written."""
        return self.database.is_nothing

    @property
    def max_size(self):
        """Bytes that the directory may occupy, the WAL aside; 0 for any number."""
        return self.limit.max_size

    @property
    def total_size(self):
        """The same of all shards together."""
        return self.limit.total_size

    @property
    def eviction(self):
        """What goes first when it is full."""
        return self.limit.eviction

    @property
    def on_evict(self):
        """What is called with that."""
        return self.evictor.on_evict

    @property
    def memory_limit(self):
        """Bytes that the memory tier may take."""
        return self.memory.sieve.limit

    @property
    def memory_used(self):
        """Bytes that it takes."""
        return self.memory.sieve.used

    @property
    def hits(self):
        """Reads that have found an entry."""
        return self.reads.hits

    @hits.setter
    def hits(self, long long value):
        self.reads.hits = value

    @property
    def misses(self):
        """Reads that have not."""
        return self.reads.misses

    @misses.setter
    def misses(self, long long value):
        self.reads.misses = value

    @property
    def memory_hits(self):
        """Hits for which SQLite was not asked."""
        return self.reads.memory_hits

    @memory_hits.setter
    def memory_hits(self, long long value):
        self.reads.memory_hits = value

    @property
    def evictions(self):
        """Entries that were removed for the limit."""
        return self.evictor.evictions

    @evictions.setter
    def evictions(self, long long value):
        self.evictor.evictions = value

    @property
    def expirations(self):
        """Entries that were removed because they had expired."""
        return self.evictor.expirations

    @expirations.setter
    def expirations(self, long long value):
        self.evictor.expirations = value

    @property
    def written(self):
        """About how many bytes of entries were set through this object."""
        return self.changes.written

    @property
    def inline_limit(self):
        """A value of more bytes than this goes into a file."""
        return self.rows.inline_limit

    @inline_limit.setter
    def inline_limit(self, long long value):
        self.rows.inline_limit = value

    def recount_memory(self):
        """What ``memory_used`` says, counted anew: for tests (sieve.pyx)."""
        return self.memory.sieve.recount()

    # -- reading ------------------------------------------------------------------------------------------------

    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed):
        """The live value of a key whose hash is known if it is plain, or 0; or ``missing``."""
        return self.reads.fetch_hashed(self.database, key, missing, hashed)

    cdef Entry fetch_entry(self, object key, ReadMode mode=VALUE):
        """The live entry of a key with its value as wanted, or None; counts a hit or a miss."""
        return self.reads.fetch_entry(self.database, key, mode)

    cdef bint contains(self, object key) except -1:
        """Whether a key has a live entry."""
        return self.reads.contains(self.database, key)

    cdef object find_in_memory(self, object key, object missing, object elsewhere):
        """The live value of a key, or ``missing``, if this process has it at hand; else ``elsewhere``, and nothing is counted."""
        return self.reads.find_in_memory(self.database, key, missing, elsewhere)

    cdef object has_in_memory(self, object key, object elsewhere):
        """Whether a key has a live entry, if this process knows it; else ``elsewhere``."""
        return self.reads.has_in_memory(self.database, key, elsewhere)

    cdef object find_stored(self, object key, object missing, object elsewhere):
        """The live value of a key that is not in memory, or ``missing``, if SQLite can say so at once; else ``elsewhere``."""
        return find_at_once(self.database, self.reads, key, missing, elsewhere)

    cdef object has_stored(self, object key, object elsewhere):
        """Whether a key has a live entry, if SQLite can say so at once; else ``elsewhere``."""
        return has_at_once(self.database, self.reads, key, elsewhere)

    # -- writing ------------------------------------------------------------------------------------------------

    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored."""
        return self.changes.put(self.database, key, value, expire, tag, only_if_absent)

    cdef bint put_at_once(self, object key, object value, long long expire, object tag) except -1:
        """Store an entry, if neither the disk nor a lock has to be waited for; returns whether it is stored."""
        if not self.appends.wanted and (
                self.database.writer_lock.owner != 0 or not may_write_at_once(self.database, self.checkpoints)):
            return False
        return self.changes.put(self.database, key, value, expire, tag, False, True)

    cdef bint remove(self, object key) except -1:
        """Delete the live entry of a key. Returns whether there was one."""
        return self.changes.remove(self.database, key)

    cdef bint set_expiry(self, object key, long long expire) except -1:
        """Give the live entry of a key another expiry. Returns whether there was one."""
        return self.changes.set_expiry(self.database, key, expire)

    cdef Entry take_entry(self, object key):
        """Remove the live entry of a key and return it with its value decoded, or None."""
        return self.changes.take_entry(self.database, key)

    cdef object increment(self, object key, object delta, object default):
        """Add to the number of a key; returns the sum."""
        return self.changes.increment(self.database, key, delta, default)

    cpdef Transaction transact(self):
        """A block of a transaction on this store, which has not begun."""
        return DatabaseTransaction(self.database)

    cdef dict fetch_many(self, list keys, object on_error):
        """The live values of all keys that have one, as of one moment."""
        return read_many(self.database, self.reads, keys, on_error)

    cdef Writing write_many(self, bint only_if_absent):
        """What one call has to write, in one transaction."""
        return RowWriting(self.database, self.changes, only_if_absent)

    cdef BatchPart batch_part(self, double max_seconds):
        """What a batch has to write, none of which is to wait for longer than that."""
        return RowBatchPart(self.database, self.changes, max_seconds)

    def put_in_file(self, key, bytes data not None, expire, tag, bint only_if_absent):
        """Store bytes in a file, however few they are; returns whether they were stored. ``expire`` as users say it."""
        return self.changes.put_in_file(self.database, key, data, expiry(self.database, expire), tag, only_if_absent)

    def open_value(self, key):
        """The value of a key, or None if it has no live entry: bytes that lie in a file as that, open for reading (binary); else
        the value in a tuple."""
        return self.reads.open_value(self.database, key)

    cdef object where_full(self, object work, tuple arguments):
        """Do something that gives room, also where the disk is full."""
        try:
            return work(*arguments)
        except FullError:
            if not make_way(self.database, self.checkpoints):
                raise
        return self.where_way_is_made(work, arguments)

    cdef object where_short(self, object work, tuple arguments):
        """The same of what may give much: on a disk with little room it is free for others afterwards."""
        self.checkpoints.look_at_disk(self.database)
        if self.checkpoints.disk_is_short and make_way(self.database, self.checkpoints):
            return self.where_way_is_made(work, arguments)
        return self.where_full(work, arguments)

    cdef object where_way_is_made(self, object work, tuple arguments):
        try:
            return work(*arguments)
        finally:
            end_way(self.database, self.checkpoints)

    def clear(self):
        """Delete every entry; returns how many live ones that were."""
        return self.where_short(self.clear_once, ())

    def clear_once(self):
        """The same where there is room."""
        enter(self.database)
        try:
            self.expire_once()
            self.database.will_change_all()
            cleared = change_many(self.database, sql.CLEAR, ())
        except BaseException:
            leave(self.database, False)
            raise
        leave(self.database, True)
        return cleared

    def expire(self):
        """Delete what has expired; returns how many rows that were."""
        return self.where_short(self.expire_once, ())

    def expire_once(self):
        """The same where there is room."""
        now = self.database.now()
        which = (now, most_asked(self.evictor))
        return remove_many(self.database, self.evictor, sql.KEYS_EXPIRED, which, sql.EXPIRE, (now,), "expired")

    def evict_tag(self, tag):
        """Delete what carries the tag and is counted; returns how many that were."""
        return self.where_short(self.evict_tag_once, (tag,))

    def evict_tag_once(self, tag):
        """The same where there is room."""
        cdef Cell cell
        check_tag(tag, &cell)
        now = self.database.counted_from()
        which = (tag, now, most_asked(self.evictor))
        return remove_many(self.database, self.evictor, sql.KEYS_TAGGED, which, sql.EVICT_TAG, (tag, now), "tag")

    # -- the whole table ----------------------------------------------------------------------------------------

    def count(self):
        """How many live entries there are."""
        return self.counter.of(self.database)

    def size(self):
        """Bytes of all live values."""
        return scalar(self.database, sql.SIZE, (self.database.counted_from(),))

    def volume(self):
        """Bytes of the database file and of the value files, the WAL aside."""
        return scalar(self.database, sql.VOLUME, ())

    def used(self):
        """The same of what is in use: without free pages, and files that are yet to be unlinked."""
        return scalar(self.database, sql.USED, ())

    def keys(self, bint backward=False, on_error=None):
        """Iterate over the live keys that there are now, in order of insertion."""
        return walk_keys(self.database, self.serializer, newest(self.database), backward, self, on_error)

    def items(self, bint backward=False, on_error=None):
        """Iterate over the live keys and values that there are now, in order of insertion."""
        return walk_items(self.database, self.reads, newest(self.database), backward, self, on_error)

    def in_order(self, which, bint items, bint backward=False, on_error=None):
        """Iterate over the live entries of a KeyRange that there are now, in the order of keys: (stored key, key, value)."""
        return walk_in_order(self.database, self.reads, which, newest(self.database), items, backward, self, on_error)

    def some_in_order(self, low, high, bint backward, bint beyond, int limit):
        """The next keys from ``low`` (or ``beyond`` it) to below ``high``, as they are stored, in their order: a list of up to
        ``limit``, for who knows the ends of a range and needs no iterator."""
        return scan_in_order(self.database, False, backward, low, high, beyond, LLONG_MAX, limit)

    def key_ends(self):
        """The least and the greatest key as they are stored, of one moment; None and None if there is none."""
        return find_key_ends(self.database)

    def expiry_of(self, key):
        """When the entry of a key expires, or has expired, in ms; None for never, or if there is none."""
        # A connection of its own, which sees what has expired, too.
        for _, expire, _ in self.connect().query(sql.ROW_OF_KEY, (stored_form(key, self.serializer),)):
            return expire
        return None

    def take_end(self, bint last):
        """Remove the newest (or oldest) entry and return its key and value, or None if there is none."""
        return self.where_full(self.take_end_once, (last,))

    def take_end_once(self, bint last):
        """The same where there is room."""
        return take_end(self.database, self.reads, self.evictor, last)

    def decode_row(self, key, codec, file, size, stored):
        """The key and value of a row, as they would be read; raises what reading them would raise."""
        return decode_key(key, self.serializer), self.content.of_scanned(key, codec, file, size, stored)

    # -- the limit ----------------------------------------------------------------------------------------------

    def set_limit(self, max_size):
        """Change the limit, for all processes; what is too much goes before this returns. 0 for none."""
        self.where_full(self.set_limit_once, (max_size,))

    def set_limit_once(self, max_size):
        """The same where there is room."""
        self.space.set_limit(self.database, max_size)

    def stored_settings(self):
        """All that is stored with the format, as it is now: dict."""
        return dict(self.database.read_rows(sql.GET_META))

    def stored_limit(self):
        """The limit and the policy as they are stored now: dict."""
        return self.space.stored_limit(self.database)

    def adopt_limit(self, limit):
        """Keep to what ``stored_limit`` of another shard has said."""
        self.space.adopt_limit(self.database, limit)

    def evict(self):
        """Bring what is stored under the limit; returns how many entries that has removed."""
        return self.where_short(self.evict_once, ())

    def evict_once(self):
        """The same where there is room."""
        return self.space.evict(self.database)

    def has_expired(self):
        """Whether something has expired that this process knows of (bool); costs next to nothing."""
        return self.expiry.next <= self.database.now()

    def cull(self, Py_ssize_t most, now=None, bint by_policy=True, bint values=False):
        """Remove up to ``most`` entries: first what has expired by ``now`` (ms since the epoch; None for nothing), then, unless
        told otherwise, what the policy names. Returns a list of their values, or of as many Nones."""
        return self.where_full(self.cull_once, (most, now, by_policy, values))

    def cull_once(self, Py_ssize_t most, now, bint by_policy, bint values):
        """The same where there is room."""
        return cull(self.database, self.evictor, self.expiry, self.reads, most, now, by_policy, values)

    def vacuum(self):
        """Give the free pages back to the file system; returns how many bytes that were.

        Raises:
            TransactionError: inside a transaction.
        """
        return self.where_full(self.vacuum_once, ())

    def vacuum_once(self):
        """The same where there is room."""
        return vacuum(self.database, self.space.room)

    def make_way(self):
        """Make room for something that gives more, where the disk is full; returns whether it is worth trying (bool)."""
        return make_way(self.database, self.checkpoints)

    def end_way(self):
        """After that."""
        end_way(self.database, self.checkpoints)

    # -- maintenance --------------------------------------------------------------------------------------------

    def maintain(self):
        """Do what there is to do beside the callers; returns in how many seconds (float) there will be more, or None.

        Called by maintenance alone. An error is raised when all the rest is done."""
        self.database.hurried_thread = <unsigned long>PyThread_get_thread_ident()
        try:
            return maintain(
                self.database, self.drain, self.flusher, self.checkpoints, self.space, self.leftovers, self.expiry, self.evictor)
        finally:
            self.database.hurried_thread = 0

    def flush(self):
        """Write what is in the journal, and wait for it."""
        if self.database.life == CLOSED:
            raise ClosedError(f"the cache in {self.database.directory!r} is closed")
        self.database.flush()

    def close(self):
        """Close the connections; what was acknowledged stays. Every later use raises ClosedError.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
        """
        close(self.database)
        self.evictor.notify(self.database)

    def close_if_idle(self):
        """Close, unless a thread has the writer lock; what waits to be written is of no use any more."""
        close_if_idle(self.database)

    def finish(self, patience):
        """At the exit: write what waits, and close the connections until somebody still needs one; a thread that has the writer
        lock is waited for for so many seconds."""
        finish(self.database, patience)

    # -- forks (database/forks.py) ------------------------------------------------------------------------------

    def hold(self, timeout):
        """Keep all other threads from writing and from opening connections; returns whether that was possible."""
        return hold(self.database, timeout)

    def held_by_thread(self):
        """The same, whichever of its tasks has it."""
        return self.database.writer_lock.held_by_thread()

    def quiesce(self):
        """Write what waits, and close the connections; they reopen on next use."""
        quiesce(self.database)

    def resume(self):
        """Let the other threads go on."""
        resume(self.database)

    def drop_inherited(self):
        """In a child that was forked without notice: close the connections that came with it; returns whether all could be."""
        return drop_inherited(self.database)

    def after_fork_in_child(self):
        """Start in the child with free locks and no connection; what waits is the parent's."""
        after_fork_in_child(self.database)

    # -- for the check ------------------------------------------------------------------------------------------

    def let_go(self, bint checkpoint=False):
        """Close the connections for now, unless somebody is inside of it; returns whether none is left (bool). With ``checkpoint``
        as the last use does."""
        return self.database.let_go(checkpoint)

    def look(self):
        """See to it that its directory is the one that was opened; raises DirectoryGoneError."""
        self.database.look()

    def is_there(self):
        """Whether its directory is the one that was opened (bool)."""
        return self.database.is_there()

    def byte_locks(self):
        """Numbers that one thread of one process at a time holds, for locks and for computing once: those of its directory."""
        return byte_locks_of(self.database.directory)

    def refuse_writing(self):
        """Raise ReadOnlyError if nothing is written, and DirectoryGoneError if its directory is gone."""
        self.database.refuse_writing()

    def connect(self, bint lenient=False):
        """Another connection to the database, the caller's alone."""
        return self.database.connect(lenient)

    def query(self, text, parameters=()):
        """All rows of one statement, run by the thread that is inside ``transact``."""
        return self.database.query(text, parameters)

    def tidy(self):
        """Unlink the files in the trash, unless a transaction is open, whose end will do it."""
        tidy(self.database)

    def replace_content(self, source, fill):
        """Replace the whole database, however damaged, by another's content, which ``fill()`` completes under the
        write lock."""
        self.database.replace_content(source, fill)
