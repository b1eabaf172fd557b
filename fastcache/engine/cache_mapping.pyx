# cython: nonecheck=True, auto_pickle=False
"""The methods of a Cache: expiry, tags, a limit and statistics."""

from fastcache.engine.bulk cimport put_many
from fastcache.engine.computing cimport get_or_make, get_or_put
from fastcache.engine.entries.entry cimport Entry
from fastcache.engine.entries.expiry cimport expiry
from fastcache.engine.mapping cimport StoreMapping, is_little, wanted, with_extras
from fastcache.engine.store cimport Store

from fastcache.runtime.imports import load

_COUNTERS = ("hits", "misses", "memory_hits", "evictions", "expirations")


cdef class CacheMapping(StoreMapping):
    """A StoreMapping with expiry, tags, a limit and statistics."""

    def get(self, key, default=None, *, bint copy=True, bint buffer=False, bint expire_time=False, bint tag=False):
        """The value of a key, or ``default``.

        Args:
            copy: whether numpy's arrays may be written to, which changes nothing that is stored. Large ones are a map of the
                file either way: they load when touched, take memory of their own where they are written to, and stay valid
                whatever becomes of the entry. With False, arrays cannot be written to, and small ones are not copied either.
            buffer: return the stored bytes as a memoryview, without decoding them: those of a bytes, those of a str in
                UTF-8, or what the serializer has made of the value.
            expire_time: return also when it expires: seconds since the epoch (float), or None for never.
            tag: return also its tag, or None.
        Returns:
            The value; with extras a tuple of the value and the extras asked for, in this order.
        Raises:
            UntrustedValueError: what is stored is not plain data, and not signed with this process's secret.
            DecodeError: it cannot be decoded: its class has moved, or is not installed here, or it is damaged. The message
                says of what type the key is.
            TypeError: there are no bytes to be had by ``buffer``: it is an int, float, bool or None.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     _ = cache.set("k", "v", tag="letters")
        ...     cache.get("k"), cache.get("k", tag=True), cache.get("absent", 0)
        ('v', ('v', 'letters'), 0)
        """
        if copy and not (expire_time or tag or buffer):
            return self.fetch(key, default)
        return with_extras(self.store_of(key).fetch_entry(key, wanted(copy, buffer)), default, expire_time, tag)

    def set(self, key, value, expire=None, *, tag=None):
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
        store.put(key, value, expiry(store.scope, expire), tag, False)
        return True

    def _set_at_once(self, key, value, expire=None, *, tag=None):
        """The same, if nothing is waited for, neither a lock nor the disk, and it is little to encode. Else nothing is done. Returns
        whether it was."""
        cdef Store store
        if not is_little(value) or not is_little(key):
            return False
        store = self.opened_store_of(key)
        return store is not None and store.put_at_once(key, value, expiry(store.scope, expire), tag)

    def add(self, key, value, expire=None, *, tag=None):
        """Store a value only if the key is absent or expired, atomically; returns whether it was stored (bool).

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.add("k", 1), cache.add("k", 2), cache["k"]
        (True, False, 1)
        """
        cdef Store store = self.store_of(key)
        return store.put(key, value, expiry(store.scope, expire), tag, True)

    def set_many(self, mapping_or_pairs, expire=None, *, tag=None):
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
        return put_many(self.stores, mapping_or_pairs, expiry(self.store.scope, expire), tag, False)

    def add_many(self, mapping_or_pairs, expire=None, *, tag=None):
        """Store those values whose keys are absent or expired, in one transaction; returns how many (int).

        Of equal keys the first one counts. See ``set_many`` for the rest.
        """
        return put_many(self.stores, mapping_or_pairs, expiry(self.store.scope, expire), tag, True)

    def pop(self, key, default=None, *, bint expire_time=False, bint tag=False):
        """Remove a key and return its value, or ``default``; each value is handed out once. Extras as in ``get``."""
        return with_extras(self.store_of(key).take_entry(key), default, expire_time, tag)

    def peekitem(self, bint last=True, *, bint expire_time=False, bint tag=False):
        """The newest (key, value) pair, or the oldest with ``last=False``: what ``popitem`` would remove. Extras as in
        ``get``.

        Raises:
            KeyError: there is none.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache["a"], cache["b"] = 1, 2
        ...     cache.peekitem(), cache.peekitem(last=False), cache.peekitem(tag=True), len(cache)
        (('b', 2), ('a', 1), (('b', 2), None), 2)
        """
        cdef Entry entry
        key, entry = self.end_of(last)
        found = with_extras(entry, None, expire_time, tag)
        return ((key, found[0]), *found[1:]) if expire_time or tag else (key, found)

    def setdefault(self, key, default=None, expire=None, *, tag=None):
        """The value of a key; if it is absent, ``default`` is stored first.

        What is there and cannot be decoded is not absent, but an error, as in ``get``: a default is not what was there.
        """
        return get_or_put(self.store_of(key), key, default, expire, tag)

    def get_or_set(self, key, factory, expire=None, *, tag=None, timeout=None, bint copy=True):
        """The value of a key; if it is absent, what ``factory()`` returns is stored first.

        Of all threads and processes that ask for an absent key at the same time, one calls its factory; the others wait,
        and get what it has stored. If it raises, all who have waited for it call their own at once, side by side; if it is
        killed or interrupted, the next one does. Who has waited for ``timeout`` seconds (the other one was stopped, hangs, or
        takes that long) calls its own, too, and so does at once whoever would wait for itself, in however many processes, or is
        inside of ``transact``. If another one stores a value meanwhile, that one is returned, so that all see the same. What is
        stored but cannot be decoded here (its class has moved, say) counts as absent.

        Args:
            factory: called without arguments, and with no lock held. An exception of it goes to the caller alone. It may
                ask for other keys; if it asks for this very one, its factory is called right away.
            expire, tag: of what is stored, as in ``set``.
            timeout: for how many seconds (int, float) to wait for another one that computes; None for the cache's.
            copy: whether arrays may be written to, as in ``get``.
        Raises:
            ValueError: the timeout is negative.
            StorageError: the folder ``locks`` in the cache's directory, or a file in it, cannot be made.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.get_or_set("k", lambda: 6 * 7), cache.get_or_set("k", lambda: 0)
        (42, 42)
        """
        return get_or_make(self, key, factory, expire, tag, timeout, copy)

    def touch(self, key, expire=None):
        """Give an entry a new expiry, counted from now, or none; returns whether there is one (bool)."""
        cdef Store store = self.store_of(key)
        return store.set_expiry(key, expiry(store.scope, expire))

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
        """What goes first when the cache is full: "lru", "lrs", "lfu", "sieve", "fifo", "ttl", or "none"."""
        return self.store.eviction
