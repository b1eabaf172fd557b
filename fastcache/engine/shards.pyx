# cython: nonecheck=True
"""The databases of one mapping: a Cache has one, a FanoutCache several, each of them a shard.

Writers of different shards do not wait for each other: each has its own write lock, log, memory and commit clock. What is
always true, and who keeps it so:

- **A key has one place.** The high half of its hash (keys.pyx) picks the shard, by multiplication, so that the low half, which
  picks the place in the memory tier, stays as good as it was.
- **The first shard speaks for all.** It lies in the directory itself, the others in folders beneath it, so that a directory
  is never taken for another kind. Its database says how many there are, which is decided once, in the transaction that makes
  its tables; and the limit and the policy. Whoever opens another shard, or makes it, has it adopt these afterwards; whoever
  changes them writes them to the first one first, and then to all that are there. So no order of the two leaves one behind.
- **A shard is opened when it is first needed**, by whichever thread; of two that do so at once, one closes its own again.
- **A transaction is one shard's.** A thread that is inside `transact(key)` is refused whatever lies, or may lie, in others.
- **The memory tier is one**: each shard has its own table, since each has its own clock, but one budget (sieve.pyx).
"""

import os

from fastcache.engine.codecs.keys cimport hash_key, hash_plain, shard_of

from fastcache.engine.disk_store cimport DiskStore
from fastcache.engine.store cimport check_memory

from fastcache.engine.database.opening import refuse_link
from fastcache.engine.database.reading import is_there
from fastcache.errors import ClosedError, CorruptError, TransactionError
from fastcache.runtime.imports import load

MOST_SHARDS = 1000
# In place of a directory.
IN_MEMORY = ":memory:"


def path_of(directory, int index):
    """The directory of a shard of the cache in this one."""
    return directory if index == 0 else os.path.join(directory, f"shard-{index:03}")


def check_shards(count):
    """The number of shards, if it can be one."""
    if isinstance(count, bool) or not isinstance(count, int):
        raise TypeError(f"shards must be a number (int), not {type(count).__name__}")
    if not 1 <= count <= MOST_SHARDS:
        raise ValueError(f"shards must be between 1 and {MOST_SHARDS}, not {count}")
    return count


cdef class Shards:
    """The stores of a directory.

    Args:
        directory: of the first one; ":memory:" for a single one in memory.
        count: how many there are, from 1 to 1000.
        options: of each Store.
    """

    def __init__(self, directory, count, dict options):
        self.count = check_shards(count)
        self.budget = Budget(check_memory(options["memory"]))
        self.blocks = {}
        if directory == IN_MEMORY:
            # Where nobody waits for a disk, shards are of no use.
            self.count = 1
            self.first = load("fastcache.engine.memory_store").MemoryStore(directory, **options)
            self.directory = directory
            self.stores = [self.first]
            return
        self.first = DiskStore(directory, **{**options, "memory": self.budget, "shards": count})
        self.directory = self.first.directory
        self.stores = [self.first] + [None] * (count - 1)
        options["serializer"] = self.first.serializer
        # What was asked for is in the first one now.
        asked = options.pop("settings", None) or {}
        if self.first.read_only:
            options["read_only"] = True
        self.options = options
        if count > 1 and not self.first.read_only and any(value is not None for value in asked.values()):
            for store in self.all():
                self.have_adopt(store)

    # -- which one ----------------------------------------------------------------------------------------------

    cdef int index_of(self, object key, unsigned long long* hashed) except -1:
        """The shard of a key; raises what a key that cannot be one raises. Fills in the hash if the key is plain. Of one
        shard, nothing has to be known of the key."""
        cdef unsigned long long whole
        cdef int index
        if self.count == 1:
            return 0
        if hash_plain(key, 0, hashed):
            whole = hashed[0]
        else:
            hashed[0] = 0
            whole = hash_key(key, self.first.serializer)
        index = shard_of(whole, self.count)
        if self.blocks:
            self.refuse_elsewhere(index)
        return index

    cdef Store of(self, object key):
        cdef unsigned long long hashed = 0
        return self.at(self.index_of(key, &hashed))

    cdef Store at(self, int index):
        cdef Store store = self.stores[index]
        if index and store is not None and (<DiskStore>store).database.is_nothing and is_there(os.path.join(self.path(index), "cache.db")):
            # Somebody has made it since.
            self.stores[index] = None
            store.close()
            store = None
        return store if store is not None else self.open_shard(index)

    def open_shard(self, int index):
        """Open a shard, and make it if need be."""
        if index:
            refuse_link(self.path(index))
            # What lies beneath a directory that is gone is not made anew.
            self.first.look()
        nothing = self.first.read_only and not is_there(os.path.join(self.path(index), "cache.db"))
        store = DiskStore(
            self.path(index), **{
                **self.options, "memory": self.budget, "shards": self.count, "inherited": self.limit(), "nothing": nothing})
        # It may have been changed since, for those that were there.
        self.have_adopt(store)
        if self.stores[index] is None and not self.first.closed:
            self.stores[index] = store
        else:
            store.close()
            if self.first.closed:
                raise ClosedError(f"the cache in {self.directory!r} is closed")
        return self.stores[index]

    cdef dict limit(self):
        """What the first shard says of the limit and the policy, or has said before it was damaged."""
        if self.first.closed:
            raise ClosedError(f"the cache in {self.directory!r} is closed")
        try:
            return self.first.stored_limit()
        except CorruptError:
            return {name: self.first.settings[name] for name in ("max_size", "eviction")}

    cdef int have_adopt(self, Store store) except -1:
        """Have another shard keep to the limit of the first one. One that is damaged is for check() to repair."""
        if store.read_only:
            return 0
        try:
            store.adopt_limit(self.limit())
        except CorruptError:
            pass
        return 0

    def path(self, int index):
        """The directory of a shard."""
        return path_of(self.directory, index)

    def is_there(self, int index):
        """Whether a shard was ever written to."""
        return self.stores[index] is not None or is_there(os.path.join(self.path(index), "cache.db"))

    # -- all of them --------------------------------------------------------------------------------------------

    def all(self):
        """The stores of all shards that there are (list): what was never written to is empty.

        Raises:
            TransactionError: this thread is inside ``transact(key)``, whose end the others know nothing of.
        """
        if self.count == 1:
            return self.stores
        if self.blocks:
            self.refuse_elsewhere(-1)
        return [self.at(index) for index in range(self.count) if self.is_there(index)]

    cdef list opened(self):
        """Those that this object has used."""
        return [store for store in self.stores if store is not None]

    cdef list to_write(self):
        """All, whether there or not, in the order in which whoever needs several has to lock them."""
        return [self.at(index) for index in range(self.count)]

    @property
    def memory_used(self):
        """Bytes that the memory tier takes."""
        return self.budget.used

    def recount_memory(self):
        """The same, counted anew: for tests (sieve.pyx)."""
        return sum([store.recount_memory() for store in self.opened()])

    @property
    def closed(self):
        """Whether it was closed; the first one is closed last."""
        return self.first.closed

    def flush(self):
        """Write what waits in any of them."""
        for store in self.opened():
            store.flush()

    def set_limit(self, max_size):
        """Change the limit of all of them together."""
        if self.blocks:
            self.refuse_elsewhere(-1)
        self.first.set_limit(max_size)
        for store in self.all():
            self.have_adopt(store)
            store.evict()

    def close(self):
        """Close all; if that is not possible, those that are left can be used, and closed, later."""
        if self.first.closed:
            return
        if self.blocks:
            self.refuse_elsewhere(-1)
        for store in reversed(self.opened()):
            store.close()

    def close_if_idle(self):
        """Close those in which no thread has the writer lock."""
        for store in reversed(self.opened()):
            store.close_if_idle()

    # -- transactions -------------------------------------------------------------------------------------------

    cdef ShardTransaction transact(self, object key):
        """One block of a transaction on the shard of a key."""
        cdef Store store = self.of(key)
        return ShardTransaction((<DiskStore>store).database, store, self)

    cdef int enter(self, Store store) except -1:
        """A block of ``transact(key)`` has begun."""
        self.blocks[id(store)] = store
        return 0

    cdef int leave(self, Store store) except -1:
        """It has ended one, maybe not the outermost."""
        if store.scope.depth == 0:
            self.blocks.pop(id(store), None)
        return 0

    cdef Store inside(self):
        """The store in whose ``transact(key)`` this thread, and this task of it, is; None if in none."""
        cdef Store store
        for store in list(self.blocks.values()):
            if store.scope.depth == 0:
                # It was rolled back together with one around it.
                self.blocks.pop(id(store), None)
            elif store.scope.writer_lock.held_by_me():
                return store
        return None

    cdef int refuse_elsewhere(self, int index) except -1:
        """Raise TransactionError if this thread is inside a transaction, unless of this shard."""
        cdef Store inside = self.inside()
        if inside is None or (index >= 0 and self.stores[index] is inside):
            return 0
        raise TransactionError(
            f"{self.directory!r}: inside transact(key), only keys of that key's shard can be used, one at a time: what is done "
            "elsewhere would not be part of the transaction. Do it outside of the block, or use a Cache or Index")


cdef class ShardTransaction(DatabaseTransaction):
    """One block of ``with cache.transact(key):`` where there are several shards."""

    def __init__(self, Database database, Store store, Shards shards):
        self.store = store
        self.shards = shards

    def __enter__(self):
        DatabaseTransaction.__enter__(self)
        try:
            self.shards.enter(self.store)
        except BaseException:
            # A block that was not entered is not left.
            self.end(False)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        try:
            return DatabaseTransaction.__exit__(self, kind, error, traceback)
        finally:
            self.shards.leave(self.store)
