# cython: nonecheck=True
"""The public face: the methods that people call, compiled, so that no Python frame stands before the store.

`StoreMapping` holds what a dict does and what every kind of cache shares; `IndexMapping` and `CacheMapping` add the few
methods whose signatures differ: an Index knows no expiry and no tags. What is done with a key is done by the store that it
belongs to (`store_of`), what is done with all entries by each of the stores (shards.pyx); a Cache or an Index has one.

An entry that has expired is no entry for any method, except that its row still takes space until `expire()`.
"""

from itertools import islice

# What collections.abc shows; the interpreter has loaded it, but not the rest of collections.
from _collections_abc import Mapping, MutableMapping

from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.bulk cimport delete_many, get_many, pairs_of, put_many
from fastcache.engine.shards cimport Shards
from fastcache.engine.entries.entry cimport BYTES, COPY, VALUE, Entry, ReadMode
from fastcache.engine.entries.expiry cimport expiry
from fastcache.engine.store cimport Store
from fastcache.engine.database.transaction cimport Transaction

from fastcache.errors import ClosedError, DecodeError, DirectoryGoneError, UntrustedValueError
from fastcache.runtime.imports import load

cdef object MISSING = object()
_COUNTERS = ("hits", "misses", "memory_hits", "evictions", "expirations")
cdef Py_ssize_t UPDATE_CHUNK = 1000


cdef class StoreMapping:
    """A MutableMapping over a store."""

    cdef Store store_of(self, object key):
        if self.stores.count == 1:
            return self.store
        return self.stores.of(key)

    cdef object fetch(self, object key, object missing):
        """The live value of a key, or ``missing``; counts a hit or a miss."""
        cdef unsigned long long hashed = 0
        if self.stores.count == 1:
            return self.store.fetch_hashed(key, missing, hashed)
        return self.stores.at(self.stores.index_of(key, &hashed)).fetch_hashed(key, missing, hashed)

    # -- opening and closing ---------------------------------------------------------------------------------

    def _open(self, directory, shards=1, **options):
        """Open the stores; called once, by the subclass's ``__init__``."""
        temporary = directory is None
        if temporary:
            directory = load("fastcache.engine.temporary").make()
        self.stores = Shards(directory, shards, {"scheduler": _schedule, **options})
        self.store = self.stores.first
        if temporary:
            # With what an iterator holds, which may outlive the mapping.
            opened = self.store if self.stores.count == 1 else self.stores
            load("fastcache.engine.temporary").remove_with(opened, self.store.directory)
            self.temporary = True

    def _compute_once(self, key, compute):
        """The value of a key that was found absent: what ``compute`` returns after it has stored it. A subclass sees to it that
        of all who miss it one computes (recipes.py)."""
        return compute()

    def close(self):
        """Close the cache; what was stored stays. May be called again. Every other use then raises ClosedError.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
            StorageError, FullError, Timeout: what ``write_behind`` has put off could not be written. It waits on, and the
                cache stays open.
        """
        self.stores.close()
        if self.temporary:
            load("fastcache.engine.temporary").remove(self.store.directory)

    def __enter__(self):
        if self.store.closed:
            raise ClosedError(f"the cache in {self.store.directory!r} is closed")
        return self

    def __exit__(self, kind, error, traceback):
        self.close()

    def __reduce__(self):
        store = self.store
        options = {"serializer": store.serializer, "timeout": store.timeout, "memory": store.memory_limit}
        if self.stores.count > 1:
            options["shards"] = self.stores.count
        options["durability"] = store.durability
        options["compression"] = store.compression
        if store.timer is not None:
            options["timer"] = store.timer
        if store.write_behind:
            options["write_behind"] = store.write_behind
        if store.on_evict is not None:
            options["on_evict"] = store.on_evict
        if store.recreate:
            options["recreate"] = True
        if store.read_only:
            options["read_only"] = True
        return _reopen, (type(self), store.directory, options)

    def __repr__(self):
        return f"{type(self).__name__}({self.store.directory!r})"

    # -- what a dict does ------------------------------------------------------------------------------------

    def __getitem__(self, key):
        value = self.fetch(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key, value):
        self.store_of(key).put(key, value, NEVER, None, False)

    def __delitem__(self, key):
        if not self.store_of(key).remove(key):
            raise KeyError(key)

    def __contains__(self, key):
        return self.store_of(key).contains(key)

    def __len__(self):
        return self.count()

    def __bool__(self):
        return next(iter(self), MISSING) is not MISSING

    def __iter__(self):
        return self.walk(False, False)

    def __reversed__(self):
        return self.walk(False, True)

    cdef object walk(self, bint items, bint backward):
        """Iterate over the keys, or the pairs, of one store after the other."""
        cdef Store store
        if self.stores.count > 1:
            return _walk_all(self.stores, self.stores.all(), items, backward)
        store = self.store
        return store.items(backward) if items else store.keys(backward)

    def _pairs(self, bint backward):
        """Iterate over the (key, value) pairs, for views.py."""
        return self.walk(True, backward)

    def __eq__(self, other):
        if other is self:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None

    def keys(self):
        """A view of the keys in order of insertion."""
        return load("fastcache.engine.views").KeysOfStore(self)

    def values(self):
        """A view of the values in order of insertion."""
        return load("fastcache.engine.views").ValuesOfStore(self)

    def items(self):
        """A view of the (key, value) pairs in order of insertion."""
        return load("fastcache.engine.views").ItemsOfStore(self)

    def update(self, other=(), /, **items):
        """Store all items of a mapping, of an iterable of pairs, and of the keywords.

        They are written in transactions of up to a thousand; if one fails, the earlier ones stay.

        >>> from fastcache import Index
        >>> with Index() as index:
        ...     index.update({"a": 1}, b=2)
        ...     list(index.items())
        [('a', 1), ('b', 2)]
        """
        self._update(other)
        if items:
            self._update(items)

    def _update(self, given):
        pairs = pairs_of(given)
        # What is not taken from the iterator yet is not part of the transaction.
        while chunk := list(islice(pairs, UPDATE_CHUNK)):
            put_many(self.stores, chunk, NEVER, None, False)

    def popitem(self, bint last=True):
        """Remove and return the newest (key, value) pair, or the oldest with ``last=False``.

        Raises:
            KeyError: there is none.
        """
        for store in (reversed if last else iter)(self.stores.all()):
            pair = store.take_end(last)
            if pair is not None:
                return pair
        raise KeyError("popitem(): the mapping is empty")

    def clear(self):
        """Remove everything; returns how many entries that were (int)."""
        return sum([store.clear() for store in self.stores.all()])

    # -- what every kind of cache adds -----------------------------------------------------------------------

    def delete(self, key):
        """Remove an entry; returns whether there was one (bool)."""
        return self.store_of(key).remove(key)

    def exists(self, key):
        """Whether there is an entry (bool); the same as ``key in cache``."""
        return self.store_of(key).contains(key)

    def incr(self, key, delta=1, default=0):
        """Add ``delta`` to the int of a key, atomically across threads and processes; returns the sum.

        Args:
            key: a missing one starts from ``default``.
            delta: an int, which may be negative.
        Raises:
            TypeError: the stored value is no int; it stays as it is.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.incr("visits"), cache.incr("visits", 10)
        (1, 11)
        """
        return self.store_of(key).increment(key, delta, default)

    def decr(self, key, delta=1, default=0):
        """Subtract ``delta`` from the int of a key; see ``incr``."""
        return self.store_of(key).increment(key, -delta, default)

    def get_many(self, keys):
        """The values of many keys, as a dict; those that are absent are left out. All are of one moment.

        Args:
            keys: any iterable of keys.
        Raises:
            TypeError, ValueError: one of them cannot be a key; the message says which.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.update(a=1, b=2)
        ...     cache.get_many(["a", "b", "c"])
        {'a': 1, 'b': 2}
        """
        return get_many(self.stores, keys)

    def delete_many(self, keys):
        """Remove the entries of many keys, in one transaction; returns how many there were (int).

        Args:
            keys: any iterable of keys. Memory is bounded, so that it may be a long one.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     _ = cache.set_many({"a": 1, "b": 2})
        ...     cache.delete_many(["a", "c"]), list(cache)
        (1, ['b'])
        """
        return delete_many(self.stores, keys)

    def batch(self, max_items=1000, max_seconds=1.0):
        """A context manager for a stream of operations, which are committed many at a time.

        That is done whenever ``max_items`` wait, or one has waited for ``max_seconds`` (also while the stream pauses),
        and at the end of the block. Before, nobody sees them. If an exception leaves the block, what was committed
        stays, the rest is dropped, and a note on the exception says how many that were (from Python 3.11 on).

        Args:
            max_items: int.
            max_seconds: seconds (int, float).
        Returns:
            An object with ``b[key] = value``, ``b.set`` (with ``expire`` and ``tag`` if the cache knows them),
            ``b.delete(key)``, ``b.flush()``, and ``b.committed``, the number of operations committed so far.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     with cache.batch() as batch:
        ...         for number in range(2500):
        ...             batch[number] = number * number
        ...     batch.committed, cache[99]
        (2500, 9801)
        """
        self.store.refuse_writing()
        return load("fastcache.engine.batch").Batch(self.stores, max_items, max_seconds)

    def flush(self):
        """Write what ``write_behind`` has put off, and wait for it; without it, there is nothing to do.

        Raises:
            StorageError, FullError, Timeout: not all could be written. Nothing is lost: what is left goes on waiting.
        """
        self.stores.flush()

    def transact(self, key=MISSING):
        """A context manager: what is done inside is committed together, or not at all if an exception leaves it.

        Other threads and processes see nothing of it before. Re-entrant on its thread: an inner block whose
        exception is caught outside undoes its own writes alone. Other threads that want to write wait for the end.

        Args:
            key: where there are shards, the transaction is that of this key's, and only keys of the same can be used inside.
                Where there are none, it says nothing, so that what is written for either works with both.
        Raises:
            Timeout: another writer did not finish within ``timeout`` seconds.
            TypeError: there are shards, and no key was given.
            TransactionError: inside, a key of another shard was used, or what is about all entries.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     with cache.transact():
        ...         cache["from"], cache["to"] = 90, 110
        ...     cache["from"] + cache["to"]
        200
        """
        if self.stores.count == 1:
            return Transaction(self.store.database)
        if key is MISSING:
            raise TypeError("transact() needs a key where there are shards: a transaction is that of one shard")
        return self.stores.transact(key)

    def count(self):
        """How many entries there are (int); the same as ``len``."""
        return sum([store.count() for store in self.stores.all()])

    def size(self):
        """Bytes of all values (int), as they are stored."""
        return sum([store.size() for store in self.stores.all()])

    def volume(self):
        """Bytes on disk (int): the database file and the value files, those that are yet to be unlinked, too; the
        write-ahead log aside. Costs O(1)."""
        return sum([store.volume() for store in self.stores.all()])

    def vacuum(self):
        """Give free space in the database back to the file system, a little at a time, so that others wait for no longer
        than that; returns how many bytes that were (int). Without it, free space is used again.

        Raises:
            TransactionError: inside ``transact``.
        """
        return sum([store.vacuum() for store in self.stores.all()])

    @property
    def directory(self):
        """The cache's directory (str), an absolute path."""
        return self.store.directory

    @property
    def serializer(self):
        """The serializer of values that SQLite has no type for."""
        return self.store.serializer

    @property
    def timeout(self):
        """Seconds (float) to wait for another writer."""
        return self.store.timeout

    @property
    def memory(self):
        """Bytes (int) of what was read that may stay in this process; 0 for none."""
        return self.store.memory_limit

    @property
    def compression(self):
        """What compresses values: "zstd", "lz4", "blosc2" or None."""
        return self.store.compression

    @property
    def read_only(self):
        """Whether nothing is written (bool): every method that would raises ReadOnlyError."""
        return self.store.read_only

    @property
    def recreate(self):
        """Whether it begins anew where its directory was removed or replaced while it was open (bool)."""
        return self.store.recreate

    @property
    def durability(self):
        """"normal" or "full": whether each commit waits for the disk."""
        return self.store.durability


cdef class IndexMapping(StoreMapping):
    """The methods of an Index that a Cache has with more parameters."""

    def get(self, key, default=None, *, bint copy=False, bint buffer=False):
        """The value of a key, or ``default``; for ``copy`` and ``buffer`` see Cache.get."""
        if not (copy or buffer):
            return self.fetch(key, default)
        return with_extras(self.store_of(key).fetch_entry(key, wanted(copy, buffer)), default, False, False)

    def set(self, key, value):
        """Store a value; the same as ``index[key] = value``. Returns True."""
        self.store_of(key).put(key, value, NEVER, None, False)
        return True

    def add(self, key, value):
        """Store a value only if the key is absent, atomically; returns whether it was stored (bool)."""
        return self.store_of(key).put(key, value, NEVER, None, True)

    def set_many(self, mapping_or_pairs):
        """Store many values, in one transaction; returns how many (int). See Cache.set_many."""
        return put_many(self.stores, mapping_or_pairs, NEVER, None, False)

    def add_many(self, mapping_or_pairs):
        """Store those values whose keys are absent, in one transaction; returns how many (int). See Cache.set_many."""
        return put_many(self.stores, mapping_or_pairs, NEVER, None, True)

    def pop(self, key, default=MISSING, /):
        """Remove a key and return its value, or ``default``.

        Raises:
            KeyError: the key is absent and no default was given.
        """
        cdef Entry entry = self.store_of(key).take_entry(key)
        if entry is not None:
            return entry.stored
        if default is MISSING:
            raise KeyError(key)
        return default

    def setdefault(self, key, default=None):
        """The value of a key; if it is absent, ``default`` is stored first."""
        return get_or_put(self.store_of(key), key, default, None, None)

    def get_or_set(self, key, factory):
        """The value of a key; if it is absent, what ``factory()`` returns is stored first. See Cache.get_or_set."""
        return get_or_make(self, key, factory, None, None)


cdef class CacheMapping(StoreMapping):
    """The methods of a Cache that know expiry, tags and statistics."""

    def get(self, key, default=None, *, bint copy=False, bint buffer=False, bint expire_time=False, bint tag=False):
        """The value of a key, or ``default``.

        Args:
            copy: have numpy's arrays in memory of their own, which can be written to. Without it they cannot, and large
                ones are a map of the file: they load when touched, and stay valid whatever becomes of the entry.
            buffer: return the stored bytes as a memoryview, without decoding them: those of a bytes, those of a str in
                UTF-8, or what the serializer has made of the value.
            expire_time: return also when it expires: seconds since the epoch (float), or None for never.
            tag: return also its tag, or None.
        Returns:
            The value; with extras a tuple of the value and the extras asked for, in this order.
        Raises:
            UntrustedValueError: what is stored is not plain data, and not signed with this process's secret.
            TypeError: there are no bytes to be had by ``buffer``: it is an int, float, bool or None.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     _ = cache.set("k", "v", tag="letters")
        ...     cache.get("k"), cache.get("k", tag=True), cache.get("absent", 0)
        ('v', ('v', 'letters'), 0)
        """
        if not (expire_time or tag or copy or buffer):
            return self.fetch(key, default)
        return with_extras(self.store_of(key).fetch_entry(key, wanted(copy, buffer)), default, expire_time, tag)

    def set(self, key, value, *, expire=None, tag=None):
        """Store a value, whatever was there.

        Args:
            key: str, bytes, int, float, bool, None, a tuple or frozenset of these: one key if equal, as in a dict. Or
                what the serializer brings back equal: one key if its bytes are the same.
            value: anything that the serializer can store.
            expire: seconds (int, float) or a timedelta from now, to the millisecond; zero and less mean already
                expired; None for never.
            tag: str, bytes, int or float, for ``evict_tag``.
        Returns:
            True: it is stored, and seen by every process.
        Raises:
            TypeError, ValueError: the key, value, expiry or tag is none that can be stored.
            Timeout: another writer did not finish within ``timeout`` seconds.
        """
        cdef Store store = self.store_of(key)
        store.put(key, value, expiry(store.database, expire), tag, False)
        return True

    def add(self, key, value, *, expire=None, tag=None):
        """Store a value only if the key is absent or expired, atomically; returns whether it was stored (bool).

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.add("k", 1), cache.add("k", 2), cache["k"]
        (True, False, 1)
        """
        cdef Store store = self.store_of(key)
        return store.put(key, value, expiry(store.database, expire), tag, True)

    def set_many(self, mapping_or_pairs, *, expire=None, tag=None):
        """Store many values, in one transaction, at a fraction of what single ones cost; returns how many (int).

        An error keeps nothing of the call. The first thousand are taken before the transaction begins, the rest inside,
        with memory bounded however many they are; other writers wait meanwhile. For a stream that takes its time, see
        ``batch``.

        Args:
            mapping_or_pairs: a mapping, or any iterable of (key, value) pairs. Of equal keys the last one counts.
            expire, tag: of all of them, as in ``set``.
        Raises:
            TypeError, ValueError: an item cannot be stored; the message begins with its position: "item 3: ...".
            Timeout: another writer did not finish within ``timeout`` seconds.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.set_many({"a": 1, "b": 2}), cache.set_many((n, n * n) for n in range(1000))
        (2, 1000)
        """
        return put_many(self.stores, mapping_or_pairs, expiry(self.store.database, expire), tag, False)

    def add_many(self, mapping_or_pairs, *, expire=None, tag=None):
        """Store those values whose keys are absent or expired, in one transaction; returns how many (int).

        Of equal keys the first one counts. See ``set_many`` for the rest.
        """
        return put_many(self.stores, mapping_or_pairs, expiry(self.store.database, expire), tag, True)

    def pop(self, key, default=None, *, bint expire_time=False, bint tag=False):
        """Remove a key and return its value, or ``default``; each value is handed out once. Extras as in ``get``."""
        return with_extras(self.store_of(key).take_entry(key), default, expire_time, tag)

    def setdefault(self, key, default=None, *, expire=None, tag=None):
        """The value of a key; if it is absent, ``default`` is stored first."""
        return get_or_put(self.store_of(key), key, default, expire, tag)

    def get_or_set(self, key, factory, *, expire=None, tag=None):
        """The value of a key; if it is absent, what ``factory()`` returns is stored first.

        Of all threads and processes that ask for an absent key at the same time, one calls its factory; the others wait,
        and get what it has stored. If it raises, or is killed, the next one calls its own. Who has waited for the cache's
        ``timeout`` (the other one was stopped, hangs, or takes that long) calls its own, too, and so does at once whoever
        would wait for itself, in however many processes, or is inside of ``transact``. If another one stores a value
        meanwhile, that one is returned, so that all see the same.

        Args:
            factory: called without arguments, and with no lock held. An exception of it goes to the caller alone. It may
                ask for other keys; if it asks for this very one, its factory is called right away.
        Raises:
            StorageError: the folder ``locks`` in the cache's directory, or a file in it, cannot be made.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.get_or_set("k", lambda: 6 * 7), cache.get_or_set("k", lambda: 0)
        (42, 42)
        """
        return get_or_make(self, key, factory, expire, tag)

    def touch(self, key, expire=None):
        """Give an entry a new expiry, counted from now, or none; returns whether there is one (bool)."""
        cdef Store store = self.store_of(key)
        return store.set_expiry(key, expiry(store.database, expire))

    def expire(self):
        """Remove the entries that have expired; returns how many (int)."""
        return sum([store.expire() for store in self.stores.all()])

    def evict(self):
        """Bring the cache under ``max_size`` now, rather than in the background; returns how many entries that has removed
        (int).

        >>> from fastcache import Cache
        >>> with Cache(max_size=1_000_000, eviction="fifo") as cache:
        ...     for number in range(3000):
        ...         cache[number] = bytes(1000)
        ...     cache.evict(), cache.volume() <= 1_000_000, 0 in cache, 2999 in cache
        (0, True, False, True)
        """
        return sum([store.evict() for store in self.stores.all()])

    def evict_tag(self, tag):
        """Remove the entries that carry the tag; returns how many (int)."""
        return sum([store.evict_tag(tag) for store in self.stores.all()])

    def stats(self):
        """Hits and misses of this object in this process, of ``get``, ``[]``, ``pop`` and what is built on them.

        ``memory_hits`` are those hits for which SQLite was not asked. ``evictions`` and ``expirations`` are the entries that
        this object has removed for ``max_size``, and because they had expired.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache["k"] = "v"
        ...     cache["k"], cache.get("absent")
        ...     cache.stats(), cache.stats().misses
        ('v', None)
        ({'hits': 1, 'misses': 1, 'memory_hits': 1, 'evictions': 0, 'expirations': 0}, 1)
        """
        stores = self.stores.opened()
        return load("fastcache.engine.views").Stats(
            {counter: sum([getattr(store, counter) for store in stores]) for counter in _COUNTERS})

    def reset_stats(self):
        """Count from zero."""
        for store in self.stores.opened():
            for counter in _COUNTERS:
                setattr(store, counter, 0)

    @property
    def write_behind(self):
        """For how many seconds (float) a set or delete may wait to be written; 0.0 for not at all."""
        return self.store.write_behind

    @property
    def max_size(self):
        """The limit in bytes (int) of what the directory may occupy, the write-ahead log aside; 0 for none.

        Setting it changes it for all processes, and for good. What is too much is evicted before that returns.

        >>> from fastcache import Cache
        >>> with Cache(max_size=10_000_000) as cache:
        ...     _ = cache.set_many((number, bytes(1000)) for number in range(5000))
        ...     cache.max_size = 1_000_000
        ...     cache.volume() <= 1_000_000, 4999 in cache
        (True, True)
        """
        return self.store.total_size

    @max_size.setter
    def max_size(self, max_size):
        self.stores.set_limit(max_size)

    @property
    def eviction(self):
        """What goes first when the cache is full: "lru", "lfu", "sieve", "fifo", "ttl", or "none"."""
        return self.store.eviction


def _walk_all(Shards shards, list stores, bint items, bint backward):
    # `shards` lives as long as this does, and a temporary directory as long as that.
    for store in reversed(stores) if backward else stores:
        yield from store.items(backward) if items else store.keys(backward)


def _reopen(kind, directory, options):
    """Open again what was pickled."""
    return kind(directory, **options)


def _schedule(store, seconds):
    """Call maintenance, which is loaded when somebody first does; see there."""
    return load("fastcache.runtime.background").schedule(store, seconds)


cdef ReadMode wanted(bint copy, bint buffer) except? VALUE:
    if copy and buffer:
        raise TypeError("copy and buffer exclude each other")
    return BYTES if buffer else COPY if copy else VALUE


cdef object with_extras(Entry entry, object default, bint expire_time, bint tag):
    if not (expire_time or tag):
        return default if entry is None else entry.stored
    cdef list found = [default if entry is None else entry.stored]
    if expire_time:
        found.append(None if entry is None or entry.expire == NEVER else entry.expire / 1000)
    if tag:
        found.append(None if entry is None else entry.tag)
    return tuple(found)


cdef object get_or_put(Store store, object key, object given, object expire, object tag):
    """The value of a key; if absent, ``given`` is added first."""
    while True:
        found = store.fetch(key, MISSING)
        if found is not MISSING:
            return found
        if store.put(key, given, expiry(store.database, expire), tag, True):
            return given


cdef object get_or_make(StoreMapping mapping, object key, object factory, object expire, object tag):
    """The value of a key; if absent, what ``factory`` returns is added first, by one caller at a time."""
    try:
        found = mapping.fetch(key, MISSING)
    except UntrustedValueError:
        # Whoever put it there: it is of no use here, and can be made again.
        found = MISSING
    if found is not MISSING:
        return found
    if mapping.store.read_only:
        # Before anything is computed.
        mapping.store.refuse_writing()
    return _make_once(mapping, key, factory, expire, tag)


def _make_once(StoreMapping mapping, key, factory, expire, tag):
    """The same for a key that was found absent."""
    return mapping._compute_once(key, lambda: put_made(mapping.store_of(key), key, factory, expire, tag))


cdef object put_made(Store store, object key, object factory, object expire, object tag):
    """Add what ``factory`` returns; the value that is there then, whoever has stored it."""
    value = factory()
    # Counted from when the value is there.
    while not store.put(key, value, expiry(store.database, expire), tag, True):
        try:
            found = store.fetch(key, MISSING)
        except UntrustedValueError:
            store.put(key, value, expiry(store.database, expire), tag, False)
            return value
        if found is not MISSING:
            return found
    return value


def find_again(StoreMapping mapping not None, key, missing):
    """The value of a key that was found absent, or ``missing``; that is no miss once more. What cannot be decoded, whoever put
    it there, can be made again."""
    try:
        return mapping.fetch(key, missing) if key in mapping else missing
    except (UntrustedValueError, DecodeError, DirectoryGoneError):
        return missing


def is_inside(StoreMapping mapping not None, key):
    """Whether this thread is inside of a transaction on the store of a key (bool)."""
    return mapping.store_of(key).held_by_me()


def now_of(StoreMapping mapping not None, key):
    """The time by the clock of a key's store: seconds since the epoch (float)."""
    return mapping.store_of(key).database.now() / 1000.0


def __getattr__(name):
    # Before views.py was there, this was the place that pickles name.
    if name == "Stats":
        return load("fastcache.engine.views").Stats
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


MutableMapping.register(StoreMapping)
