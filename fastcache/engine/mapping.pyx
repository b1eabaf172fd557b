# cython: nonecheck=True
"""The public face: the methods that people call, compiled, so that no Python frame stands before the store.

`StoreMapping` holds what a dict does and what every kind of cache shares; `IndexMapping` (index_mapping.pyx) and `CacheMapping`
(cache_mapping.pyx) add the methods whose signatures differ: an Index knows no expiry and no tags. What is done with a key is done by the store that it
belongs to (`store_of`), what is done with all entries by each of the stores (shards.pyx); a Cache or an Index has one.

An entry that has expired is no entry for any method, except that its row still takes space until `expire()`.
"""

from itertools import islice

# What collections.abc shows; the interpreter has loaded it, but not the rest of collections.
from _collections_abc import Mapping, MutableMapping

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Size

from fastcache.engine.sqlite.cells cimport NEVER
from fastcache.engine.bulk cimport delete_many, get_many, pairs_of, put_many
from fastcache.engine.shards cimport Shards
from fastcache.engine.entries.entry cimport BYTES, SHARED, VALUE
from fastcache.engine.disk_store cimport DiskStore
from fastcache.engine.store cimport Store

from fastcache.engine.codecs.keys import NeverFoundError
from fastcache.errors import ClosedError, FullError
from fastcache.runtime.imports import load

cdef extern from "Python.h":
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    Py_ssize_t PySequence_Fast_GET_SIZE(object sequence) noexcept

cdef object MISSING = object()
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

    cdef object fetch_shared(self, object key, object missing):
        """The same with arrays that cannot be written to."""
        cdef Entry entry = self.store_of(key).fetch_entry(key, SHARED)
        return missing if entry is None else entry.stored

    cdef Store opened_store_of(self, object key):
        """The store of a key; None if that would have to be opened first."""
        cdef unsigned long long hashed = 0
        cdef Store store
        if self.stores.count == 1:
            return self.store
        store = self.stores.stores[self.stores.index_of(key, &hashed)]
        return None if store is None or (<DiskStore>store).database.is_nothing else store

    # -- at once, for event loops (fastcache.aio) ------------------------------------------------------------

    def _find_at_once(self, key, missing, elsewhere):
        """What ``get`` returns, if that waits for nothing and does not take long; else ``elsewhere``, and nothing is counted."""
        cdef Store store = self.opened_store_of(key)
        return elsewhere if store is None else store.find_in_memory(key, missing, elsewhere)

    def _has_at_once(self, key, elsewhere):
        """The same of ``exists``."""
        cdef Store store
        try:
            store = self.opened_store_of(key)
            return elsewhere if store is None else store.has_in_memory(key, elsewhere)
        except NeverFoundError:
            return False

    def _find_stored_at_once(self, key, missing, elsewhere):
        """What ``get`` returns of what is not in memory, if SQLite can be asked without waiting for anything; else ``elsewhere``."""
        cdef Store store = self.opened_store_of(key)
        return elsewhere if store is None else store.find_stored(key, missing, elsewhere)

    def _has_stored_at_once(self, key, elsewhere):
        """The same of ``exists``."""
        cdef Store store
        try:
            store = self.opened_store_of(key)
            return elsewhere if store is None else store.has_stored(key, elsewhere)
        except NeverFoundError:
            return False

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

    def _compute_once(self, key, compute, timeout=None):
        """The value of a key that was found absent: what ``compute`` returns after it has stored it. A subclass sees to it that
        of all who miss it one computes (recipes.py)."""
        return compute()

    def close(self):
        """Close the cache; what was stored stays. May be called again. Every other use then raises ClosedError.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
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
        if self.store.in_memory:
            raise TypeError(f"{self!r} is in the memory of this process, and cannot be pickled: no other process finds it there")
        return _reopen, (type(self), self.store.directory, self._options())

    def _options(self):
        """What it was opened with (dict)."""
        store = self.store
        options = {"serializer": store.serializer, "timeout": store.timeout, "memory": store.memory_limit}
        if self.stores.count > 1:
            options["shards"] = self.stores.count
        options["durability"] = store.durability
        options["compression"] = store.compression
        if store.timer is not None:
            options["timer"] = store.timer
        if not store.in_memory:
            options["journal"] = store.asked_journal
        if store.on_evict is not None:
            options["on_evict"] = store.on_evict
        if store.recreate:
            options["recreate"] = True
        if store.read_only:
            options["read_only"] = True
        return options

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
        try:
            return self.store_of(key).contains(key)
        except NeverFoundError:
            return False

    def __len__(self):
        return self.count()

    def __bool__(self):
        return next(iter(self), MISSING) is not MISSING

    def __iter__(self):
        return self.walk(False, False, "warn")

    def __reversed__(self):
        return self.walk(False, True, "warn")

    cdef object walk(self, bint items, bint backward, object on_error):
        """Iterate over the keys, or the pairs, of one store after the other; for ``on_error`` see ``items``."""
        cdef Store store
        handler = None if on_error == "raise" else _Handler(self.directory, on_error)
        if self.stores.count > 1:
            # Where each ends is asked before the first begins: what is added meanwhile is met in none.
            stores = self.stores.all()
            return _walk_all(self.stores, [
                store.items(backward, handler) if items else store.keys(backward, handler)
                for store in (reversed(stores) if backward else stores)])
        store = self.store
        return store.items(backward, handler) if items else store.keys(backward, handler)

    def _pairs(self, bint backward, on_error="raise"):
        """Iterate over the (key, value) pairs, for views.py."""
        return self.walk(True, backward, on_error)

    def __eq__(self, other):
        if other is self:
            return True
        if not isinstance(other, Mapping):
            return NotImplemented
        # What cannot be decoded is not known to be equal.
        return dict(self.items(on_error="raise")) == dict(
            other.items(on_error="raise") if isinstance(other, StoreMapping) else other.items())

    __hash__ = None

    def keys(self, *, prefix=None, start=None, stop=None, reverse=None):
        """A view of the keys in order of insertion; with any argument, of some of them in their own order.

        That order is the database's index of keys, so that nothing is read but what is asked for: first numbers (int, float,
        bool) by value, then str by code points, then bytes, byte by byte. All other keys (None, tuples, frozensets, ints
        beyond 64 bits, str with lone surrogates and objects) lie among the bytes, behind ``b"\\xfcfc\\x01"``, in an order that
        means nothing. Iterating shows what there was when it began, as it is when its turn comes.

        Args:
            prefix: a str, bytes or tuple that the keys begin with. Of tuples, the shorter ones come first.
            start: the first key (int, float, str or bytes), whether it is there or not.
            stop: the key before which to end, likewise.
            reverse: whether backwards (bool). To have all keys in order, say ``reverse=False``.
        Raises:
            TypeError: the prefix is of another type; start or stop has no order, or stands beside a tuple as prefix.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.update({"user:2": "b", "user:1": "a", "page:1": "c", ("x", 1): "d", 7: "e"})
        ...     list(cache.keys(prefix="user:")), list(cache.keys(start="page", stop="user:2"))
        ...     list(cache.keys(prefix=("x",))), list(cache.keys(reverse=True, stop=b""))
        (['user:1', 'user:2'], ['page:1', 'user:1'])
        ([('x', 1)], ['user:2', 'user:1', 'page:1', 7])
        """
        if prefix is None and start is None and stop is None and reverse is None:
            return load("fastcache.engine.views").KeysOfStore(self)
        return load("fastcache.engine.views").InOrder(self, "keys", (prefix, start, stop), reverse, "warn")

    def values(self, on_error="warn", *, prefix=None, start=None, stop=None, reverse=None):
        """A view of the values in order of insertion, or in the order of their keys as in ``keys``; for ``on_error`` see
        ``items``."""
        if prefix is None and start is None and stop is None and reverse is None:
            return load("fastcache.engine.views").ValuesOfStore(self, on_error)
        return load("fastcache.engine.views").InOrder(self, "values", (prefix, start, stop), reverse, on_error)

    def items(self, on_error="warn", *, prefix=None, start=None, stop=None, reverse=None):
        """A view of the (key, value) pairs in order of insertion, or in the order of their keys.

        Args:
            on_error: what iterating does with an entry that cannot be decoded here (its class has moved, say, or it is not
                trusted): "warn" leaves it out, and the first one is logged, as a warning of the logger "fastcache"; "skip"
                leaves it out; "raise" raises the DecodeError or UntrustedValueError. A callable is called with the key
                (None if that cannot be decoded) and the error; the entry is left out, unless it raises.
            prefix, start, stop, reverse: which ones, in the order of keys; see ``keys``.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache["b"], cache["a"] = 1, 2
        ...     list(cache.items()), list(cache.items(start="a")), list(cache.items(on_error=print))
        ([('b', 1), ('a', 2)], [('a', 2), ('b', 1)], [('b', 1), ('a', 2)])
        """
        if prefix is None and start is None and stop is None and reverse is None:
            return load("fastcache.engine.views").ItemsOfStore(self, on_error)
        return load("fastcache.engine.views").InOrder(self, "items", (prefix, start, stop), reverse, on_error)

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

    cdef tuple end_of(self, bint last):
        """The key and the entry that ``popitem`` would remove."""
        cdef Entry entry
        for key in self.walk(False, last, "raise"):
            entry = self.store_of(key).fetch_entry(key, VALUE)
            if entry is not None:
                return key, entry
        raise KeyError("peekitem(): the mapping is empty")

    def clear(self):
        """Remove everything; returns how many entries that were (int)."""
        return sum([store.clear() for store in self.stores.all()])

    # -- what every kind of cache adds -----------------------------------------------------------------------

    def delete(self, key):
        """Remove an entry; returns whether there was one (bool)."""
        return self.store_of(key).remove(key)

    def exists(self, key):
        """Whether there is an entry (bool); the same as ``key in cache``."""
        try:
            return self.store_of(key).contains(key)
        except NeverFoundError:
            return False

    def incr(self, key, delta=1, default=0):
        """Add ``delta`` to the number of a key, atomically across threads and processes; returns the sum.

        Args:
            key: a missing one starts from ``default``.
            delta: int or float, which may be negative.
            default: int or float; None if there has to be an entry.
        Raises:
            KeyError: the key is absent, and ``default`` is None.
            TypeError: the stored value is no number; it stays as it is.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.incr("visits"), cache.incr("visits", 10), cache.incr("weight", 0.5)
        (1, 11, 0.5)
        """
        return self.store_of(key).increment(key, delta, default)

    def decr(self, key, delta=1, default=0):
        """Subtract ``delta`` from the number of a key; see ``incr``."""
        return self.store_of(key).increment(key, -delta, default)

    def get_many(self, keys, on_error="warn"):
        """The values of many keys, as a dict; those that are absent are left out. All are of one moment.

        Args:
            keys: any iterable of keys.
            on_error: what is done about an entry that cannot be decoded; see ``items``.
        Raises:
            TypeError, ValueError: one of them cannot be a key; the message says which.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.update(a=1, b=2)
        ...     cache.get_many(["a", "b", "c"])
        {'a': 1, 'b': 2}
        """
        return get_many(self.stores, keys, load("fastcache.engine.undecodable").handler_of(self.directory, on_error))

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
        try:
            return delete_many(self.stores, keys)
        except FullError as error:
            done = getattr(error, "changed", 0)
            # What is gone through only once is gone.
            if iter(keys) is keys or not all([store.make_way() for store in self.stores.all()]):
                raise
        try:
            return done + delete_many(self.stores, keys)
        finally:
            for store in self.stores.all():
                store.end_way()

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
        """Write what is in the journal to the database, and wait for it; without a journal, there is nothing to do.

        Raises:
            StorageError, FullError, Timeout: not all could be written. Nothing is lost: what is left stays in the journal.
        """
        self.stores.flush()

    def transact(self, key=MISSING):
        """A context manager: what is done inside is committed together, or not at all if an exception leaves it.

        Other threads and processes see nothing of it before. Re-entrant on its thread: an inner block whose
        exception is caught outside undoes its own writes alone. Other threads that want to write wait for the end. The
        other tasks of its thread (asyncio) cannot wait for it: they see nothing of it, and what they write is refused.

        Args:
            key: where there are shards, the transaction is that of this key's, and only keys of the same can be used inside.
                Where there are none, it says nothing, so that what is written for either works with both.
        Raises:
            Timeout: another writer did not finish within ``timeout`` seconds.
            TypeError: there are shards, and no key was given.
            TransactionError: inside, a key of another shard was used, or what is about all entries. Another task of this
                thread is inside of a transaction.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     with cache.transact():
        ...         cache["from"], cache["to"] = 90, 110
        ...     cache["from"] + cache["to"]
        200
        """
        if self.stores.count == 1:
            return self.store.transact()
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


cdef class _Handler:
    """What is called with the key and the error of each entry that cannot be decoded; what that does is loaded with the first."""

    cdef object directory
    cdef object asked
    cdef object handler

    def __cinit__(self, directory, asked):
        self.directory = directory
        self.asked = asked

    def __call__(self, key, error):
        if self.handler is None:
            self.handler = load("fastcache.engine.undecodable").handler_of(self.directory, self.asked)
        return self.handler(key, error)


def _walk_all(Shards shards, list walks):
    # `shards` lives as long as this does, and a temporary directory as long as that.
    for walk in walks:
        yield from walk


def _reopen(kind, directory, options):
    """Open again what was pickled."""
    return kind(directory, **options)


def _schedule(store, seconds):
    """Call maintenance, which is loaded when somebody first does; see there."""
    return load("fastcache.runtime.background").schedule(store, seconds)


cdef ReadMode wanted(bint copy, bint buffer) noexcept:
    return BYTES if buffer else VALUE if copy else SHARED


cdef object with_extras(Entry entry, object default, bint expire_time, bint tag):
    if not (expire_time or tag):
        return default if entry is None else entry.stored
    cdef list found = [default if entry is None else entry.stored]
    if expire_time:
        found.append(None if entry is None or entry.expire == NEVER else entry.expire / 1000)
    if tag:
        found.append(None if entry is None else entry.tag)
    return tuple(found)


def is_inside(StoreMapping mapping not None, key):
    """Whether this thread is inside of a transaction on the store of a key (bool)."""
    return mapping.store_of(key).held_by_me()


def now_of(StoreMapping mapping not None, key):
    """The time by the clock of a key's store: seconds since the epoch (float)."""
    return mapping.store_of(key).scope.now() / 1000.0


def __getattr__(name):
    # Before views.py was there, this was the place that pickles name.
    if name == "Stats":
        return load("fastcache.engine.views").Stats
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


MutableMapping.register(StoreMapping)


# What takes well under a millisecond to encode.
cdef Py_ssize_t QUICK_BYTES = 16 * 1024
cdef Py_ssize_t QUICK_PARTS = 256


cdef bint is_little(object value) noexcept:
    """Whether a value is of Python's own types, has few parts, and few bytes."""
    cdef Py_ssize_t parts = QUICK_PARTS
    cdef Py_ssize_t size = QUICK_BYTES
    return fits(value, &parts, &size)


cdef bint fits(object value, Py_ssize_t* parts, Py_ssize_t* size) noexcept:
    """Whether so many parts and bytes are not exceeded; takes those of the value off."""
    kind = type(value)
    parts[0] -= 1
    if kind is str:
        size[0] -= 4 * PyUnicode_GET_LENGTH(value)
    elif kind is bytes:
        size[0] -= PyBytes_GET_SIZE(value)
    elif kind is int or kind is float or kind is bool or value is None:
        size[0] -= 8
    elif kind is tuple or kind is list:
        return PySequence_Fast_GET_SIZE(value) <= parts[0] and fit(value, parts, size)
    elif kind is dict:
        return PyDict_Size(value) <= parts[0] and fit(value, parts, size) and fit(value.values(), parts, size)
    else:
        return False
    return parts[0] >= 0 and size[0] >= 0


cdef bint fit(object values, Py_ssize_t* parts, Py_ssize_t* size) noexcept:
    for value in values:
        if not fits(value, parts, size):
            return False
    return True
