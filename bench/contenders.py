"""Who is measured, each with the settings that its own documentation starts with.

fastcache is measured as it comes, and with less memory or delayed writes where a row says so. `Index` shares its code
and is left out.

diskcache_rs: `Cache` is its drop-in for diskcache's, persistent and shared between processes as ours is. Its
`FastCache` sounds faster, but recommends `Cache` "for maximum performance" in its own documentation. Its
`transact()` is a lock between threads, without atomicity: many sets in one cost as much as they do alone.
"""

from __future__ import annotations

import asyncio
import functools
import pickle
from collections.abc import Callable, MutableSequence, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from entries import KIB, NAMES, VALUE
from loops import Loops, double


@dataclass(frozen=True)
class Contender:
    """A cache and how it is opened.

    Args:
        kind: the class.
        limit: its name for the most bytes that it may keep.
        policy: its name for evicting what was not used the longest, if it has to be told.
    """

    name: str
    module: str
    loops: Callable[..., Loops] = Loops
    peer: bool = True
    extra: str = ".[bench]"
    limit: str = "max_size"
    policy: str | None = None
    kind: str = "Cache"

    def settings(self) -> dict[str, object]:
        """What the cache is opened with beside its directory."""
        return {}

    def open(self, directory: str) -> Loops:
        return self.loops(getattr(import_module(self.module), self.kind)(directory, **self.settings()))

    def sharded(self) -> Contender:
        """The same cache in several databases, by the class and the number of shards that it has for that."""
        loops = OneByOneLoops if self.peer else self.loops
        return replace(self, name=f"{self.name}, sharded", kind="FanoutCache", loops=loops)

    def open_bounded(self, directory: str, most_bytes: int, **settings: object) -> Loops:
        """Under a limit. The peers then evict what was not used the longest, as far as they do what they say."""
        policy = {"eviction_policy": self.policy} if self.policy else {}
        settings = {self.limit: most_bytes, **policy, **self.settings(), **settings}
        return self.loops(import_module(self.module).Cache(directory, **settings))

    def companion(self, directory: str) -> Loops | None:
        """What stays open beside the processes that are measured; caches need nothing."""
        return None

    def obstacle(self) -> str | None:
        """Why it cannot be measured here; None if it can."""
        if find_spec(self.module) is None:
            return f"{self.name} is not installed: pip install {self.extra}"
        return None


class FastcacheLoops(Loops):
    def fill(self, names: Sequence[str], value: object) -> None:
        self.set_many(names, value)

    def get_many(self, keys: Sequence[str]) -> int:
        return len(self.cache.get_many(keys))

    def set_many(self, keys: Sequence[str], value: object) -> None:
        self.cache.set_many(zip(keys, repeat(value), strict=False))

    def set_in_batch(self, keys: Sequence[str], value: object) -> None:
        with self.cache.batch() as batch:
            for key in keys:
                batch[key] = value

    def flush(self) -> None:
        self.cache.flush()

    def memoized(self) -> Any:
        get_or_set = self.cache.get_or_set
        return lambda number: get_or_set(number, lambda: double(number))


class OneByOneLoops(Loops):
    """Of a class that has no transaction over all of its databases."""

    def fill(self, names: Sequence[str], value: object) -> None:
        for name in names:
            self.cache.set(name, value)


class DiskcacheRsLoops(Loops):
    def fill(self, names: Sequence[str], value: object) -> None:
        self.set_many(names, value)

    def set_many(self, keys: Sequence[str], value: object) -> None:
        self.cache.set_many(zip(keys, repeat(value), strict=False))


class DictLoops(Loops):
    """A dict in this process, with the entries that a directory starts with."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, VALUE))

    def getitem(self, keys: Sequence[str]) -> None:
        # The interpreter has an instruction for the subscript of an exact dict, which no other type can have.
        self.get(keys)

    def set(self, keys: Sequence[str], value: object) -> None:
        cache = self.cache
        for key in keys:
            cache[key] = value

    def fill(self, names: Sequence[str], value: object) -> None:
        self.cache.update(dict.fromkeys(names, value))

    def close(self) -> None:
        self.cache.clear()


class LruLoops(Loops):
    """What functools keeps in this process."""

    def __init__(self) -> None:
        super().__init__(None)

    def memoize(self, function: Any) -> Any:
        return functools.lru_cache(maxsize=None)(function)

    def close(self) -> None:
        """Nothing is open."""


class MappingLoops(DictLoops):
    """What a library keeps in this process, as a mapping."""

    def __init__(self, kind: Callable[[int], Any]) -> None:
        Loops.__init__(self, kind(10 * len(NAMES)))
        self.fill(NAMES, VALUE)

    def getitem(self, keys: Sequence[str]) -> None:
        Loops.getitem(self, keys)


class SettingLoops(Loops):
    """fastcache without memoizing: the function is called, and what it returns is stored."""

    def memoize(self, function: Any) -> Any:
        def compute(one: int, other: int) -> Any:
            result = function(one, other)
            self.cache.set((one, other), result)
            return result

        return compute


class DecodingLoops(Loops):
    """A get decodes the value that was stored last, whatever the key: a hit on a mutable value cannot do less."""

    def __init__(self) -> None:
        super().__init__(None)

    def fill(self, names: Sequence[str], value: object) -> None:
        self.payload = pickle.dumps(value, 5)

    def holds(self, name: str, value: object) -> bool:
        return bool(pickle.loads(self.payload) == value)

    def get(self, keys: Sequence[str]) -> None:
        loads, payload = pickle.loads, self.payload
        for _ in keys:
            loads(payload)

    def close(self) -> None:
        del self.payload


@dataclass(frozen=True)
class LimitedContender(Contender):
    """fastcache with so many bytes of memory."""

    memory: int = 0

    def settings(self) -> dict[str, object]:
        return {"memory": self.memory}


@dataclass(frozen=True)
class BareContender(Contender):
    """What Python does without any cache. Its loops take no directory."""

    def open(self, directory: str) -> Loops:
        return self.loops()


@dataclass(frozen=True)
class InMemoryContender(Contender):
    """A cache without a directory, with the entries that a directory starts with."""

    def open(self, directory: str) -> Loops:
        loops = super().open(":memory:")
        loops.fill(NAMES, VALUE)
        return loops


@dataclass(frozen=True)
class CachetoolsContender(Contender):
    """One of cachetools, with room for more entries than it is given."""

    def open(self, directory: str) -> Loops:
        return MappingLoops(getattr(import_module(self.module), self.kind))


@dataclass(frozen=True)
class FloorContender(Contender):
    kind: str = "Floor"

    def open(self, directory: str) -> Loops:
        opened: Loops = getattr(import_module("floor"), self.kind)(directory)
        return opened

    def companion(self, directory: str) -> Loops:
        # The last one to close removes the WAL file, and there would be none to recycle.
        return self.open(directory)

    def obstacle(self) -> str | None:
        from floor import obstacle

        return super().obstacle() or obstacle()


@dataclass(frozen=True)
class JournalContender(Contender):
    """fastcache with a journal, or without one: then each write is a commit of SQLite's."""

    journal: bool = True

    def settings(self) -> dict[str, object]:
        return {"journal": self.journal}


class StoreLoops(Loops):
    """Of a store of bytes that is no cache: its loops are over its own calls."""

    def keys(self, names: Sequence[str]) -> Any:
        return [name.encode() for name in names]

    def mixed(self, keys: Any, value: object, period: int) -> None:
        if period == 0:
            self.get(keys)
            return
        for start in range(0, len(keys), period):
            self.set(keys[start : start + 1], value)
            self.get(keys[start + 1 : start + period])

    def mixed_timed(self, keys: Any, value: object, period: int, latencies: MutableSequence[int]) -> None:
        for start in range(0, len(keys), period):
            one = keys[start : start + 1]
            begun = perf_counter_ns()
            self.set(one, value)
            latencies.append(perf_counter_ns() - begun)
            self.get(keys[start + 1 : start + period])


class LmdbLoops(StoreLoops):
    """Each write is a transaction of its own, and each read a snapshot of its own."""

    def fill(self, names: Sequence[str], value: object) -> None:
        with self.cache.begin(write=True) as transaction:
            for key in self.keys(names):
                transaction.put(key, value)

    def holds(self, name: str, value: object) -> bool:
        with self.cache.begin() as transaction:
            return bool(transaction.get(name.encode()) == value)

    def count(self, times: int) -> int:
        return int(self.cache.stat()["entries"])

    def get(self, keys: Any) -> None:
        begin = self.cache.begin
        for key in keys:
            with begin() as transaction:
                transaction.get(key)

    def set(self, keys: Any, value: object) -> None:
        begin = self.cache.begin
        for key in keys:
            with begin(write=True) as transaction:
                transaction.put(key, value)

    def add(self, keys: Any, value: object) -> None:
        begin = self.cache.begin
        for key in keys:
            with begin(write=True) as transaction:
                transaction.put(key, value, overwrite=False)

    def delete(self, keys: Any) -> None:
        begin = self.cache.begin
        for key in keys:
            with begin(write=True) as transaction:
                transaction.delete(key)

    def incr(self, keys: Any) -> None:
        begin = self.cache.begin
        for key in keys:
            with begin(write=True) as transaction:
                transaction.put(key, b"%d" % (int(transaction.get(key, b"0")) + 1))


class RocksdbLoops(StoreLoops):
    def fill(self, names: Sequence[str], value: object) -> None:
        self.set(self.keys(names), value)

    def holds(self, name: str, value: object) -> bool:
        return bool(self.cache.get(name.encode()) == value)

    def set(self, keys: Any, value: object) -> None:
        put = self.cache.put
        for key in keys:
            put(key, value)


@dataclass(frozen=True)
class LmdbContender(Contender):
    """LMDB without a sync at each commit, which fastcache does not make either: what was written outlives the process.

    Args:
        map_size: the most bytes that it may grow to.
    """

    loops: Callable[..., Loops] = LmdbLoops
    map_size: int = 1 << 34

    def open(self, directory: str) -> Loops:
        return self.loops(import_module(self.module).open(directory, map_size=self.map_size, sync=False))


@dataclass(frozen=True)
class RocksdbContender(Contender):
    """RocksDB as it comes: with a log of what was written, which is not synced. One process at a time may open it."""

    loops: Callable[..., Loops] = RocksdbLoops

    def open(self, directory: str) -> Loops:
        rocksdict = import_module(self.module)
        return self.loops(rocksdict.Rdict(directory, rocksdict.Options(raw_mode=True)))


class DjangoLoops(Loops):
    """A backend of Django's cache."""

    def fill(self, names: Sequence[str], value: object) -> None:
        self.set_many(names, value)

    def get_many(self, keys: Sequence[str]) -> int:
        return len(self.cache.get_many(keys))

    def set_many(self, keys: Sequence[str], value: object) -> None:
        self.cache.set_many(dict.fromkeys(keys, value))

    def get_in_coroutine(self, keys: Sequence[str]) -> None:
        async def run() -> None:
            get = self.cache.aget
            for key in keys:
                await get(key)

        asyncio.run(run())


class FileBasedLoops(DjangoLoops):
    def fill(self, names: Sequence[str], value: object) -> None:
        # Without listing the directory before each: filling it would take minutes.
        self.cache._cull = lambda: None
        super().fill(names, value)
        del self.cache._cull


class FastcacheDjangoLoops(DjangoLoops):
    def close(self) -> None:
        # The backend's own close() is for the end of a request.
        self.cache.cache.close()


class DiskcacheDjangoLoops(DjangoLoops):
    def close(self) -> None:
        self.cache._cache.close()


@dataclass(frozen=True)
class DjangoContender(Contender):
    """A backend of Django's cache with as many entries as it is given, which do not expire meanwhile."""

    loops: Callable[..., Loops] = DjangoLoops
    extra: str = ".[django]"

    def params(self) -> dict[str, object]:
        return {"TIMEOUT": 24 * 3600}

    def open(self, directory: str) -> Loops:
        return self.loops(getattr(import_module(self.module), self.kind)(directory, self.params()))

    def obstacle(self) -> str | None:
        return super().obstacle() if find_spec("django") else f"{self.name} needs Django: pip install {self.extra}"


@dataclass(frozen=True)
class CulledDjangoContender(DjangoContender):
    """One that would else keep 300 entries."""

    def params(self) -> dict[str, object]:
        return {**super().params(), "OPTIONS": {"MAX_ENTRIES": 1_000_000}}


@dataclass(frozen=True)
class LocMemContender(CulledDjangoContender):
    """One in this process, with the entries that a directory starts with."""

    def open(self, directory: str) -> Loops:
        loops = super().open(directory)
        loops.cache.clear()
        loops.fill(NAMES, VALUE)
        return loops


FASTCACHE = Contender("fastcache", "fastcache", FastcacheLoops, peer=False, extra=".")
NO_MEMORY = LimitedContender("fastcache memory=0", "fastcache", FastcacheLoops, peer=False, extra=".")
LITTLE_MEMORY = LimitedContender(
    "fastcache memory=1MiB", "fastcache", FastcacheLoops, peer=False, extra=".", memory=KIB * KIB
)
FLOOR = FloorContender("floor", "fastcache", peer=False, extra=".")
SNAPSHOT = FloorContender("floor, one snapshot", "fastcache", peer=False, extra=".", kind="FloorInSnapshot")
DICT = BareContender("dict", "builtins", DictLoops, peer=False)
DECODING = BareContender("pickle.loads", "pickle", DecodingLoops, peer=False)
# Of bench_in_memory.py.
IN_MEMORY = InMemoryContender("fastcache :memory:", "fastcache", FastcacheLoops, peer=False, extra=".")
CACHETOOLS = CachetoolsContender("cachetools.LRUCache", "cachetools", kind="LRUCache")
# References of bench_memoize.py.
LRU_CACHE = BareContender("functools.lru_cache", "functools", LruLoops, peer=False)
SETTING = Contender("computed and set", "fastcache", SettingLoops, peer=False, extra=".")
# References of bench_values.py, which opens them by itself.
FILE = BareContender("file", "numpy", peer=False, extra="numpy")
SHARDED = FASTCACHE.sharded()
SHARDED_NO_MEMORY = NO_MEMORY.sharded()
UNSIGNED = LimitedContender("as a plain dict", "fastcache", FastcacheLoops, peer=False, extra=".")
ONE_THREAD = LimitedContender("one thread", "fastcache", FastcacheLoops, peer=False, extra=".")
# References of bench_bounded.py, where all others have a limit.
UNBOUNDED = Contender("no limit", "fastcache", FastcacheLoops, peer=False, extra=".")
UNBOUNDED_NO_MEMORY = LimitedContender("memory=0, no limit", "fastcache", FastcacheLoops, peer=False, extra=".")
SCIQLOP_CACHE = Contender("sciqlop-cache", "pysciqlop_cache")
DISKCACHE = Contender("diskcache", "diskcache", limit="size_limit", policy="least-recently-used")
DISKCACHE_RS = Contender("diskcache_rs", "diskcache_rs", DiskcacheRsLoops, limit="size_limit")
PEERS = (SCIQLOP_CACHE, DISKCACHE, DISKCACHE_RS)
# Of bench_journal.py, where fastcache without a journal is a peer with directories of its own.
JOURNALED = JournalContender("fastcache journal=True", "fastcache", FastcacheLoops, peer=False, extra=".")
DIRECT = JournalContender("fastcache journal=False", "fastcache", FastcacheLoops, extra=".", journal=False)
LMDB = LmdbContender("LMDB", "lmdb")
ROCKSDB = RocksdbContender("RocksDB", "rocksdict")
JOURNAL_PEERS = (DIRECT, SCIQLOP_CACHE, DISKCACHE, LMDB, ROCKSDB)
# Of bench_diskcache.py: the face is held against the cache that it is one of.
FACE = Contender("fastcache.diskcache", "fastcache.diskcache", peer=False)
# Of bench_django.py.
FASTCACHE_IN_DJANGO = DjangoContender(
    "FastCache", "fastcache.django", FastcacheDjangoLoops, peer=False, kind="FastCache"
)
LOCMEM = LocMemContender("LocMemCache", "django.core.cache.backends.locmem", peer=False, kind="LocMemCache")
FILE_BASED = CulledDjangoContender(
    "FileBasedCache", "django.core.cache.backends.filebased", FileBasedLoops, kind="FileBasedCache"
)
DISKCACHE_IN_DJANGO = DjangoContender("diskcache's DjangoCache", "diskcache", DiskcacheDjangoLoops, kind="DjangoCache")
FACE_IN_DJANGO = DjangoContender(
    "fastcache.diskcache's DjangoCache", "fastcache.diskcache", DiskcacheDjangoLoops, kind="DjangoCache"
)
DJANGO_PEERS = (FILE_BASED, DISKCACHE_IN_DJANGO, FACE_IN_DJANGO)
CONTENDERS = (
    *(FASTCACHE, NO_MEMORY, LITTLE_MEMORY, SHARDED, SHARDED_NO_MEMORY),
    *(IN_MEMORY, CACHETOOLS),
    *(FLOOR, SNAPSHOT, DICT, DECODING),
    *(LRU_CACHE, SETTING),
    *(FILE, UNSIGNED, ONE_THREAD),
    *(UNBOUNDED, UNBOUNDED_NO_MEMORY),
    *(FACE, FASTCACHE_IN_DJANGO, LOCMEM),
    *(JOURNALED, DIRECT),
    *PEERS,
    *(LMDB, ROCKSDB),
    *DJANGO_PEERS,
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}
BY_NAME |= {peer.sharded().name: peer.sharded() for peer in (SCIQLOP_CACHE, DISKCACHE, DISKCACHE_RS)}
