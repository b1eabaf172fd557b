# cython: nonecheck=True, auto_pickle=False
"""A store whose entries are in memory alone: what `DiskStore` does (disk_store.pyx), without a file.

What it holds, and how that is changed, says held.pyx; here are the verbs. Maintenance removes what expires, commits what batches have
put off, and calls ``on_evict``, as it does for a store on disk.
"""

from _weakref import ref
from os import urandom
from time import monotonic

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident

from fastcache.engine.codecs.keys cimport decode_key
from fastcache.engine.codecs.values cimport CODEC_NATIVE
from fastcache.engine.database.database cimport check_durability, check_read_only
from fastcache.engine.database.scope cimport MAINTENANCE_PATIENCE, Scope, know_main_thread
from fastcache.engine.database.transaction cimport Transaction
from fastcache.engine.entries.changes cimport check_number
from fastcache.engine.entries.content cimport name_key
from fastcache.engine.entries.entry cimport VALUE, Entry, ReadMode, check_tag
from fastcache.engine.entries.reading cimport name_item
from fastcache.engine.entries.writing cimport BatchPart, Writing
from fastcache.engine.eviction.limit cimport check_limit, check_policy
from fastcache.engine.held_walks cimport portion_in_order
from fastcache.engine.held_writing cimport HeldBatchPart, HeldTransaction, HeldWriting
from fastcache.engine.sqlite.cells cimport NEVER, Cell
from fastcache.engine.store cimport check_journal, check_memory
from fastcache.engine.table.item cimport changed_item
from fastcache.engine.table.table cimport NEVER_GOES, is_live

from fastcache.engine.database import forks
from fastcache.engine.held_walks import walk, walk_in_order
from fastcache.engine.shm.byte_locks import byte_locks_in_memory
from fastcache.errors import DecodeError, Timeout, TransactionError, UntrustedValueError

cdef extern from "<math.h>":
    double INFINITY

cdef extern from "<limits.h>":
    long long LLONG_MAX, LLONG_MIN

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

# How long maintenance leaves between two looks for what has expired, in seconds; and how many it removes at a time.
cdef double EXPIRY_PERIOD = 1.0
cdef Py_ssize_t EXPIRED_AT_ONCE = 500
# What takes well under a millisecond to decode.
cdef Py_ssize_t QUICK_BYTES = 16 * 1024


@cython.final
cdef class MemoryStore(Store):
    """The entries of one cache in memory.

    Args:
        directory: what it is called.
        serializer, timeout, timer, scheduler, compression, on_evict, keeps_limit: as of a DiskStore.
        settings: the limit and the policy.
        read_only: whether nothing is to be written.
        memory, durability, journal, recreate: checked, and without meaning: all is in memory, and gone with it.
    """

    def __init__(
            self, directory, *, serializer, timeout=60.0, timer=None, memory=0, scheduler=None, durability="normal",
            compression=None, on_evict=None, keeps_limit=True, settings=None, recreate=False, read_only=None,
            journal=False):
        cdef dict asked = {name: value for name, value in (settings or {}).items() if value is not None}
        self.set_up(serializer, compression)
        self.format.signs = False
        self.memory_limit = check_memory(memory)
        self.durability = check_durability(durability)
        check_journal(journal)
        self.recreate = recreate
        if on_evict is not None and not callable(on_evict):
            raise TypeError(f"on_evict must be a callable that takes a key and a reason, not {type(on_evict).__name__}")
        if on_evict is not None:
            know_main_thread()
        check_limit(asked.get("max_size", 0), 0)
        check_policy(asked.get("eviction", "lru"))
        self.scope = Scope()
        self.scope.make(directory, ref(self), timeout, timer, scheduler)
        self.held = Held(self.scope, self.format, on_evict, keeps_limit, check_read_only(read_only) is True)
        self.held.use_limit(asked.get("max_size", 0), asked.get("eviction", "lru"))
        forks.register(self)

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def in_memory(self):
        """Whether its entries are in memory alone."""
        return True

    @property
    def token(self):
        """What no other store has (str)."""
        if self.own_token is None:
            self.own_token = urandom(16).hex()
        return self.own_token

    @property
    def closed(self):
        """Whether it was closed."""
        return self.held.closed

    @property
    def read_only(self):
        """Whether nothing is written."""
        return self.held.read_only

    @property
    def max_size(self):
        """Bytes that the entries may take; 0 for any number."""
        return self.held.max_size

    @property
    def total_size(self):
        """The same."""
        return self.held.max_size

    @property
    def eviction(self):
        """What goes first when it is full."""
        return self.held.eviction

    @property
    def on_evict(self):
        """What is called with that."""
        return self.held.on_evict

    @property
    def memory_used(self):
        """Bytes that copies of what is elsewhere take: there are none."""
        return 0

    def recount_memory(self):
        """The same, counted anew."""
        return 0

    @property
    def memory_hits(self):
        """Hits for which nothing but memory was asked: all."""
        return self.hits

    @memory_hits.setter
    def memory_hits(self, long long value):
        pass

    @property
    def evictions(self):
        """Entries that were removed for the limit."""
        return self.held.evictions

    @evictions.setter
    def evictions(self, long long value):
        self.held.evictions = value

    @property
    def expirations(self):
        """Entries that were removed because they had expired."""
        return self.held.expirations

    @expirations.setter
    def expirations(self, long long value):
        self.held.expirations = value

    # -- reading ------------------------------------------------------------------------------------------------

    cdef object fetch_hashed(self, object key, object missing, unsigned long long hashed):
        """The live value of a key, or ``missing``; counts a hit or a miss. The hash is of no use here."""
        cdef Item item = self.held.find(key)
        if item is None or (item.expire != NEVER and item.expire <= self.scope.now()):
            self.misses += 1
            return missing
        if self.held.table.policy != NEVER_GOES:
            self.held.table.note_use(item)
        self.hits += 1
        if item.codec == CODEC_NATIVE:
            return item.value
        return self.held.value_of(item, VALUE)

    cdef Item hit(self, object key):
        """The live item of a key, or None; counts a hit or a miss."""
        return self.pass_on(self.held.find(key))

    cdef Item pass_on(self, Item item):
        """An item that was found, if it is live; counts a hit or a miss."""
        if item is None or (item.expire != NEVER and item.expire <= self.scope.now()):
            self.misses += 1
            return None
        self.hits += 1
        self.held.table.note_use(item)
        return item

    cdef Entry fetch_entry(self, object key, ReadMode mode=VALUE):
        """The live entry of a key with its value as wanted, or None; counts a hit or a miss."""
        cdef Item item = self.hit(key)
        return None if item is None else self.entry_of(item, mode)

    cdef Entry entry_of(self, Item item, ReadMode mode):
        """An item with its value as wanted."""
        cdef Entry entry = Entry.__new__(Entry)
        entry.codec = item.codec
        entry.expire = item.expire
        entry.size = item.size
        entry.tag = item.tag
        entry.stored = self.held.value_of(item, mode)
        return entry

    cdef bint contains(self, object key) except -1:
        """Whether a key has a live entry."""
        cdef Item item = self.held.find(key)
        return item is not None and (item.expire == NEVER or item.expire > self.scope.now())

    cdef dict fetch_many(self, list keys, object on_error):
        """The live values of all keys that have one, as of one moment."""
        cdef dict values = {}
        cdef Py_ssize_t index
        cdef Item item
        cdef list names = [None] * len(keys)
        for index in range(len(keys)):
            try:
                names[index] = self.held.name_of(keys[index])
            except (TypeError, ValueError) as error:
                name_item(index, error)
                raise
        # Nothing runs in between.
        found = [self.held.find_name(name) for name in names]
        for index in range(len(keys)):
            item = self.pass_on(found[index])
            if item is None:
                continue
            try:
                values[keys[index]] = self.held.value_of(item, VALUE)
            except (DecodeError, UntrustedValueError) as error:
                self.hits -= 1
                if on_error is None:
                    raise
                on_error(keys[index], error)
        return values

    # -- writing ------------------------------------------------------------------------------------------------

    cdef bint put(self, object key, object value, long long expire, object tag, bint only_if_absent) except -1:
        """Store an entry; with ``only_if_absent``, unless a live one is there. Returns whether it was stored."""
        cdef Cell cell
        if tag is not None:
            check_tag(tag, &cell)
        return self.held.put(self.held.new_entry(key, value, expire, tag), only_if_absent)

    cdef object find_in_memory(self, object key, object missing, object elsewhere):
        """The live value of a key, or ``missing``; ``elsewhere`` if it would take long to decode."""
        cdef Item item = self.held.find(key)
        if item is not None and item.codec != CODEC_NATIVE and item.size > QUICK_BYTES:
            return elsewhere
        return self.fetch_hashed(key, missing, 0)

    cdef object has_in_memory(self, object key, object elsewhere):
        """Whether a key has a live entry."""
        return self.contains(key)

    cdef bint put_at_once(self, object key, object value, long long expire, object tag) except -1:
        """Store an entry, if nobody has to be waited for; returns whether it was."""
        return self.scope.writer_lock.owner == 0 and self.put(key, value, expire, tag, False)

    cdef bint remove(self, object key) except -1:
        """Delete the live entry of a key. Returns whether there was one."""
        self.held.refuse_writing()
        name = self.held.name_of(key)
        cdef long long now = self.held.moment()
        cdef bint claimed = self.held.claim()
        try:
            return self.held.remove(name, now)
        finally:
            self.held.release(claimed)

    cdef bint set_expiry(self, object key, long long expire) except -1:
        """Give the live entry of a key another expiry. Returns whether there was one."""
        cdef Item item
        self.held.refuse_writing()
        while True:
            item = self.own(key)
            if item is None:
                return False
            if self.held.replace(item, changed_item(item, item.value, item.codec, item.size, expire)):
                return True

    cdef Item own(self, object key):
        """The live item of a key, for who changes it: waits for who is inside of a transaction. None if there is none."""
        name = self.held.name_of(key)
        cdef long long now = self.held.moment()
        cdef bint claimed = self.held.claim()
        cdef Item item = self.held.live(name, now)
        self.held.release(claimed)
        return item

    cdef Entry take_entry(self, object key):
        """Remove the live entry of a key and return it with its value decoded, or None.

        What cannot be decoded is not removed."""
        cdef Item item
        cdef Entry entry
        self.held.refuse_writing()
        while True:
            item = self.own(key)
            if item is None:
                self.misses += 1
                return None
            entry = self.entry_of(item, VALUE)
            # Each is handed out once.
            if self.held.remove_this(item, None):
                self.hits += 1
                return entry

    cdef object increment(self, object key, object delta, object default):
        """Add to the number of a key; returns the sum. With the default None, raises KeyError if there is none."""
        cdef Item item, sum
        delta = check_number(delta, "delta")
        start = None if default is None else check_number(default, "default") + delta
        self.held.refuse_writing()
        while True:
            item = self.own(key)
            if item is None:
                if start is None:
                    raise KeyError(key)
                if self.held.put(self.held.new_entry(key, start, NEVER, None), True):
                    return start
                continue
            value = self.held.value_of(item, VALUE)
            if not isinstance(value, (int, float)):
                raise TypeError(f"incr needs a number, and the stored value is of type {type(value).__name__}")
            value = value + delta
            sum = self.held.make_entry(item.name, item.key, value, item.expire, item.tag)
            if self.held.replace(item, sum):
                return value

    cpdef Transaction transact(self):
        """A block of a transaction on this store, which has not begun."""
        return HeldTransaction(self.scope, self.held)

    cdef Writing write_many(self, bint only_if_absent):
        """What one call has to write, in one transaction."""
        return HeldWriting(self.held, only_if_absent)

    cdef BatchPart batch_part(self, double max_seconds):
        """What a batch has to write, none of which is to wait for longer than that."""
        return HeldBatchPart(self.held, max_seconds)

    def clear(self):
        """Delete every entry; returns how many live ones that were."""
        self.held.remove_expired(PY_SSIZE_T_MAX)
        cdef bint claimed = self.held.claim()
        try:
            count = self.held.table.order.count
            self.held.table.remove_all()
        finally:
            self.held.release(claimed)
        return count

    def expire(self):
        """Delete what has expired; returns how many entries that were."""
        return self.held.remove_expired(PY_SSIZE_T_MAX)

    def evict_tag(self, tag):
        """Delete what carries the tag; returns how many live entries that were."""
        cdef Cell cell
        cdef Item item
        cdef Py_ssize_t removed = 0
        check_tag(tag, &cell)
        cdef long long now = self.held.moment()
        cdef bint claimed = self.held.claim()
        try:
            for item in self.held.table.tagged(tag):
                if is_live(item, now) and self.held.remove_this(item, "tag"):
                    removed += 1
        finally:
            self.held.release(claimed)
        self.held.settle()
        return removed

    # -- all entries --------------------------------------------------------------------------------------------

    def count(self):
        """How many live entries there are."""
        self.held.refuse()
        cdef long long now = self.held.moment()
        if self.held.is_aside():
            return len(self.committed(now))
        return self.held.table.order.count - self.held.table.due.count_until(now)

    cdef list committed(self, long long now):
        """All live items that are committed, for who is not inside of the open transaction."""
        return self.held.table.portion(0, LLONG_MAX, False, PY_SSIZE_T_MAX, now, self.held.is_aside())

    def size(self):
        """Bytes of all live values."""
        cdef Item item
        self.held.refuse()
        cdef long long now = self.held.moment()
        if self.held.is_aside():
            return sum([(<Item>item).size for item in self.committed(now)])
        return self.held.table.size - sum([(<Item>item).size for item in self.held.table.due.until(now, PY_SSIZE_T_MAX)])

    def volume(self):
        """Bytes of memory that all entries take, about."""
        self.held.refuse()
        return self.held.table.cost_before if self.held.is_aside() else self.held.table.cost

    cdef long long newest(self) except? -1:
        """The number of the newest entry that a walk that begins now meets."""
        self.held.refuse()
        return self.held.table.newest_before if self.held.is_aside() else self.held.table.order.newest

    def keys(self, bint backward=False, on_error=None):
        """Iterate over the live keys that there are now, in order of insertion."""
        return walk(self.held, self.newest(), False, backward, self, on_error)

    def items(self, bint backward=False, on_error=None):
        """Iterate over the live keys and values that there are now, in order of insertion."""
        return walk(self.held, self.newest(), True, backward, self, on_error)

    def in_order(self, which, bint items, bint backward=False, on_error=None):
        """Iterate over the live entries of a KeyRange that there are now, in the order of keys: (stored key, key, value)."""
        return walk_in_order(self.held, which, self.newest(), items, backward, self, on_error)

    def some_in_order(self, low, high, bint backward, bint beyond, int limit):
        """The next keys from ``low`` (or ``beyond`` it) to below ``high``, as a row would have them, in their order: a list of up
        to ``limit``."""
        cdef Item item
        return [(<Item>item).key for item in portion_in_order(self.held, low, high, beyond, backward, limit, LLONG_MAX)]

    def key_ends(self):
        """The least and the greatest key as they are stored, of one moment; None and None if there is none."""
        cdef list least = portion_in_order(self.held, None, None, False, False, 1, LLONG_MAX)
        cdef list greatest = portion_in_order(self.held, None, None, False, True, 1, LLONG_MAX)
        if not least or not greatest:
            return None, None
        return (<Item>least[0]).key, (<Item>greatest[0]).key

    def expiry_of(self, key):
        """When the entry of a key expires, or has expired, in ms; None for never, or if there is none."""
        cdef Item item = self.held.find(key)
        return None if item is None or item.expire == NEVER else item.expire

    def take_end(self, bint last):
        """Remove the newest (or oldest) entry and return its key and value, or None if there is none."""
        cdef Item item
        self.held.refuse_writing()
        while True:
            now = self.scope.now()
            # So that what another one is about to remove is waited for.
            self.held.release(self.held.claim())
            found = self.held.table.portion(LLONG_MAX if last else 0, LLONG_MAX, last, 1, now, self.held.is_aside())
            if not found:
                return None
            item = found[0]
            key = decode_key(item.key, self.serializer)
            pair = key, self.held.value_of(item, VALUE)
            if self.held.remove_this(item, None):
                return pair

    def entries(self):
        """All live entries of one moment: (key, value, when it expires in ms or None, tag, bytes of the value)."""
        cdef Item item
        self.held.refuse()
        found = self.committed(self.held.moment())
        for each in found:
            item = each
            yield (
                decode_key(item.key, self.serializer), self.held.value_of(item, VALUE),
                None if item.expire == NEVER else item.expire, item.tag, item.size)

    # -- the limit ----------------------------------------------------------------------------------------------

    def set_limit(self, max_size):
        """Change the limit; what is too much goes before this returns. 0 for none."""
        self.held.refuse_writing()
        if self.scope.depth and self.scope.writer_lock.held_by_me():
            raise TransactionError("max_size is not to be set inside transact()")
        self.held.use_limit(check_limit(max_size, 0), self.held.eviction)
        self.held.shrink()

    def stored_limit(self):
        """The limit and the policy: dict."""
        return {"max_size": self.held.max_size, "eviction": self.held.eviction}

    def adopt_limit(self, limit):
        """Keep to what another shard has said: there is none."""

    def evict(self):
        """Bring what is stored under the limit; returns how many entries that has removed."""
        return self.held.shrink()

    def vacuum(self):
        """Give back what is free: nothing is. Returns how many bytes that were.

        Raises:
            TransactionError: inside a transaction.
        """
        self.held.refuse_writing()
        if self.scope.depth and self.scope.writer_lock.held_by_me():
            raise TransactionError("vacuum() is not for use inside transact()")
        return 0

    def make_way(self):
        """Make room where the disk is full, which it never is here."""
        return False

    def end_way(self):
        """After that."""

    # -- maintenance --------------------------------------------------------------------------------------------

    def maintain(self):
        """Do what there is to do beside the callers; returns in how many seconds (float) there will be more, or None."""
        cdef double soonest = INFINITY
        self.scope.hurried_thread = <unsigned long>PyThread_get_thread_ident()
        try:
            if not self.held.closed:
                for part in list(self.held.batches):
                    soonest = min(soonest, (<HeldBatchPart>part).maintain())
                soonest = min(soonest, self.remove_due())
        except Timeout:
            # Somebody has the writer lock for long.
            soonest = min(soonest, MAINTENANCE_PATIENCE)
        finally:
            self.scope.hurried_thread = 0
        self.held.tell()
        return None if soonest == INFINITY else soonest

    cdef double remove_due(self) except? -1.0:
        """Remove what has expired, if it is time; returns in how many seconds there will be more."""
        cdef Item item
        cdef double wait
        if self.held.expected == NEVER:
            return INFINITY
        wait = max((self.held.expected - self.scope.now()) / 1000.0, self.held.expired_at + EXPIRY_PERIOD - monotonic())
        if wait > 0.0:
            return wait
        while self.held.remove_expired(EXPIRED_AT_ONCE) == EXPIRED_AT_ONCE:
            pass
        self.held.expired_at = monotonic()
        item = self.held.table.due.first()
        if item is None:
            self.held.expected = NEVER
            return INFINITY
        self.held.expected = item.expire
        return max(EXPIRY_PERIOD, (item.expire - self.scope.now()) / 1000.0)

    def flush(self):
        """Write what waits to be written: nothing ever does."""
        self.held.refuse()

    def close(self):
        """Free all entries. Every later use raises ClosedError.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
        """
        if self.held.closed:
            return
        self.held.notice_fork()
        self.scope.writer_lock.acquire(self.scope.timeout)
        try:
            if self.scope.depth:
                raise TransactionError("a cache cannot be closed inside transact()")
            self.held.closed = True
            self.held.table.remove_all()
        finally:
            self.scope.writer_lock.release()
        self.held.tell()

    def close_if_idle(self):
        """Close, unless a thread has the writer lock."""
        if self.scope.writer_lock.owner == 0:
            self.close()

    def look(self):
        """See to it that it is where it was: nothing can have removed it."""

    def is_there(self):
        """The same (bool)."""
        return True

    def refuse_writing(self):
        """Raise ReadOnlyError if nothing is written."""
        if not self.held.closed:
            self.held.refuse_writing()

    def byte_locks(self):
        """Numbers that one thread at a time holds, for locks and for computing once: of this store alone."""
        if self.locks is None:
            self.locks = byte_locks_in_memory()
        return self.locks

    def problems(self):
        """What does not fit together (list of str); for the check."""
        return self.held.table.problems()

    # -- forks (database/forks.py) ------------------------------------------------------------------------------

    def hold(self, timeout):
        """Keep all other threads from writing: what they are inside of is undone in the child all the same."""
        return True

    def held_by_thread(self):
        """Whether this thread has the writer lock, whichever of its tasks it is."""
        return self.scope.writer_lock.held_by_thread()

    def let_go(self):
        """Close connections for now: there are none."""
        return True

    def quiesce(self):
        """Before a fork: nothing waits."""

    def resume(self):
        """After it."""

    def drop_inherited(self):
        """In a child that was forked without notice: nothing is shared."""
        return True

    def after_fork_in_child(self):
        """The child has entries of its own, as they were committed, and free locks."""
        self.held.end_blocks()

    def finish(self, patience):
        """At the exit: nothing is to be written."""
