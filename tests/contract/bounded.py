"""A cache with a limit keeps within it at every moment, and what goes for that is what its policy says."""

import collections
import contextlib
import itertools
import logging
import os
import pickle
import random
import threading
import time

import pytest

import fastcache

from ..together import together
from .batch import wait_until
from .concurrency import all_at_once
from .maintenance import rows
from .store import StoreContract, value_files

LIMIT = 2_000_000
SMALLER = 1_000_000

# What several writers may go beyond, and what a file system gives back later.
MOST_OCCUPIED = 1.05

POLICIES = ("lru", "lfu", "sieve", "fifo", "ttl")
BY_USE = ("lru", "lfu", "sieve")

FILE = 150_000
SIZES = (100, 1024, 8192, 60_000, FILE)
MIX = "a mix"

# As many entries of 1 KiB as surely fit into SMALLER together, and a part of them that is far from filling it.
KIBIBYTES = 500
SOME = 300


class Oops(Exception):
    pass


def occupied(directory):
    """Bytes of all files in the directory but those that the limit is not about."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.endswith(("-wal", "-shm")) and name != "cache.changes":
                # It may go meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    total += os.stat(os.path.join(folder, name)).st_size
    return total


def values_of(size, times=2.5, limit=LIMIT):
    """Values of one size, or of all, that take several times the limit together."""
    chance = random.Random(1)
    left = times * limit
    while left > 0:
        length = size if size != MIX else chance.choice(SIZES)
        yield chance.randbytes(length)
        left -= length + 60


class Within:
    """Looks whether a cache is within its limit; each look counts."""

    def __init__(self, store, directory, every=1):
        self.store, self.directory = store, directory
        self.calls, self.every = 0, every

    def look(self):
        self.calls += 1
        if self.calls % self.every == 0:
            limit = self.store.max_size
            assert occupied(self.directory) <= MOST_OCCUPIED * limit
            assert self.store.volume() <= limit


def each(store, values, within):
    for key, value in enumerate(values):
        store[key] = value
        within.look()


def by_add(store, values, within):
    for key, value in enumerate(values):
        assert store.add(key, value) is True
        within.look()


def in_one_call(store, values, within):
    """More than the limit at once."""
    assert store.set_many(enumerate(values)) > 0
    within.look()


def in_some_calls(store, values, within):
    pairs = enumerate(values)
    while some := list(itertools.islice(pairs, 5)):
        assert store.set_many(some) == len(some)
        within.look()


def in_one_transaction(store, values, within):
    with store.transact():
        for key, value in enumerate(values):
            store[key] = value
            within.look()
    within.look()


def in_some_transactions(store, values, within):
    pairs = enumerate(values)
    while some := list(itertools.islice(pairs, 5)):
        with store.transact():
            for key, value in some:
                store[key] = value
                within.look()
        within.look()


def by_batch(store, values, within):
    with store.batch(max_items=5) as batch:
        for key, value in enumerate(values):
            batch[key] = value
            within.look()
    within.look()


def behind(store, values, within):
    for key, value in enumerate(values):
        store[key] = value
        within.look()
    store.flush()
    within.look()


def by_incr(store, values, within):
    for number, _ in enumerate(values):
        assert store.incr(f"{number:0100}") == 1
        within.look()


# What of a call is one transaction can keep no file that it has evicted itself from lying there until its end.
WRITES = {
    "set_many of more than the limit": (in_one_call, (100, 1024, 8192, 60_000)),
    "set_many": (in_some_calls, (*SIZES, MIX)),
    "transact with more than the limit": (in_one_transaction, (1024, 60_000)),
    "transact": (in_some_transactions, (1024, 60_000, FILE, MIX)),
    "batch": (by_batch, (1024, 60_000, FILE, MIX)),
    "write_behind": (behind, (1024, 60_000, FILE, MIX)),
    "add": (by_add, (1024, 60_000, FILE, MIX)),
    "incr": (by_incr, (100,)),
}


@contextlib.contextmanager
def another_process(start, kind, directory, **options):
    """A function that asks a process with a store of its own."""
    process = start("answer_with", kind, str(directory), options)

    def ask(*question):
        process.tell(question)
        return process.hear()

    ask.process = process
    yield ask
    process.tell(None)
    process.finish()


class LimitContract(StoreContract):
    """However it is written to, what lies in the directory is no more than allowed."""

    @pytest.mark.parametrize("size", [*SIZES, MIX])
    @pytest.mark.parametrize("policy", POLICIES)
    def test_whatever_is_set_it_stays_within_its_limit(self, open_store, directory, policy, size):
        store = open_store(max_size=LIMIT, eviction=policy)
        each(store, values_of(size), Within(store, directory, every=1 if size in SIZES[2:] else 25))
        assert 0 < len(store)
        assert 0 < store.stats().evictions
        assert store.check()

    @pytest.mark.parametrize(("way", "size"), [(way, size) for way, (_, sizes) in WRITES.items() for size in sizes])
    def test_however_it_is_written_it_stays_within_its_limit(self, open_store, directory, way, size):
        store = open_store(max_size=LIMIT, **({"write_behind": 0.005} if way == "write_behind" else {}))
        write, _ = WRITES[way]
        every = 1 if size in SIZES[2:] else 25
        write(store, values_of(size), Within(store, directory, 1 if write is in_one_call else every))
        assert 0 < store.stats().evictions
        assert store.check()

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("size", [100, 8192])
    def test_from_small_values_to_files_and_back_it_stays_within_its_limit(self, open_store, directory, policy, size):
        store = open_store(max_size=LIMIT, eviction=policy)
        within = Within(store, directory)
        numbers = itertools.count()
        for length in (size, FILE, size, FILE):
            within.every = 1 if length == FILE else 50
            for value in values_of(length, times=1.5):
                store[next(numbers)] = value
                within.look()
        assert store.check()

    def test_values_that_grow_in_place_stay_within_the_limit(self, open_store, directory):
        store = open_store(max_size=LIMIT)
        within = Within(store, directory)
        for size in (100, 5000, 50_000, FILE, 2 * FILE):
            for key in range(40):
                store[key] = random.randbytes(size)
                within.look()
        assert 39 in store
        assert store.check()

    @pytest.mark.parametrize("size", [200, 3000, FILE])
    def test_while_four_processes_write_it_stays_within_its_limit(self, open_store, directory, start, size):
        open_store(max_size=LIMIT).close()
        writers = [start("fill", self.kind, str(directory), name, size, 3 * LIMIT // (size + 100)) for name in "abcd"]
        all_at_once(writers)
        samples = []
        while any(writer.popen.poll() is None for writer in writers) and len(samples) < 100_000:
            samples.append(occupied(directory))
            time.sleep(0.001)
        for writer in writers:
            writer.finish()
        store = open_store()
        assert max(samples) <= MOST_OCCUPIED * LIMIT
        assert occupied(directory) <= MOST_OCCUPIED * LIMIT
        assert store.volume() <= LIMIT
        # In vain, if nothing was filled.
        assert store.size() > LIMIT // 2
        assert store.check()

    @pytest.mark.parametrize("where", ["memory", "a row", "a file"])
    def test_threads_that_write_at_once_stay_within_the_limit(self, open_store, directory, where):
        store = open_store(max_size=LIMIT, write_behind=0.005 if where == "memory" else None)
        size = FILE if where == "a file" else 3000

        def write(name):
            within = Within(store, directory, every=1 if where == "a file" else 25)
            for number in range(LIMIT // size):
                store[name, number] = random.randbytes(size)
                within.look()

        together(*[lambda name=name: write(name) for name in range(4)])
        store.flush()
        assert store.volume() <= LIMIT
        assert store.check()


TOO_LARGE = {
    "[]=": lambda store, value: store.__setitem__("the key", value),
    "set": lambda store, value: store.set("the key", value),
    "set over another": lambda store, value: store.set("old", value),
    "add": lambda store, value: store.add("the key", value),
    "set_many": lambda store, value: store.set_many({"new": 1, "the key": value, "newer": 2}),
    "add_many": lambda store, value: store.add_many({"new": 1, "the key": value}),
    "update": lambda store, value: store.update({"new": 1, "the key": value}),
    "setdefault": lambda store, value: store.setdefault("the key", value),
    "get_or_set": lambda store, value: store.get_or_set("the key", lambda: value),
}


class TooLargeContract(StoreContract):
    @pytest.fixture
    def full(self, open_store):
        store = open_store(max_size=SMALLER)
        store["old"] = 1
        store["a file"] = bytes(FILE)
        store.update((number, bytes(1000)) for number in range(200))
        return store

    def assert_refused(self, store, act):
        before = list(store.items())
        with pytest.raises(fastcache.TooLargeError) as error:
            act(store)
        assert "secret" not in str(error.value)
        assert "the key" not in str(error.value)
        assert list(store.items()) == before
        assert store.stats().evictions == 0

    @pytest.mark.parametrize("way", TOO_LARGE)
    @pytest.mark.parametrize("value", [b"secret" * 200_000, "secret" * 200_000, ["secret"] * 500_000], ids=type)
    def test_what_is_larger_than_the_limit_is_refused_and_evicts_nothing(self, full, way, value):
        self.assert_refused(full, lambda store: TOO_LARGE[way](store, value))

    def test_a_row_that_is_larger_than_the_limit_is_refused_too(self, open_store):
        store = open_store(max_size=120_000)
        store["old"] = 1
        self.assert_refused(store, lambda store: store.set("the key", "secret" * 10_000))

    def test_a_key_that_is_larger_than_the_limit_is_refused_too(self, full):
        self.assert_refused(full, lambda store: store.set("the key" + "secret" * 200_000, 1))
        self.assert_refused(full, lambda store: store.incr("the key" + "secret" * 200_000))

    def test_in_a_transaction_it_is_refused_and_the_rest_can_be_kept(self, full):
        with full.transact():
            full["before"] = 1
            with pytest.raises(fastcache.TooLargeError):
                full["the key"] = b"secret" * 200_000
            full["after"] = 2
        assert (full["before"], full["after"], "the key" in full) == (1, 2, False)
        assert full.stats().evictions == 0

    def test_a_batch_refuses_it(self, full):
        with full.batch() as batch:
            batch["before"] = 1
            with pytest.raises(fastcache.TooLargeError):
                batch["the key"] = b"secret" * 200_000
        assert full["before"] == 1
        assert full.stats().evictions == 0

    def test_what_is_to_be_written_behind_is_refused_at_once(self, open_store):
        store = open_store(max_size=SMALLER, write_behind=1000.0)
        store["old"] = 1
        self.assert_refused(store, lambda store: store.set("the key", b"secret" * 200_000))
        store["new"] = 2
        store.flush()
        assert dict(store) == {"old": 1, "new": 2}

    @pytest.mark.parametrize("policy", [*POLICIES, "none"])
    def test_what_is_a_little_smaller_than_the_limit_is_stored(self, open_store, directory, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        store["the key"] = bytes(SMALLER * 8 // 10)
        assert store["the key"] == bytes(SMALLER * 8 // 10)
        assert occupied(directory) <= MOST_OCCUPIED * SMALLER


READS = {
    "[]": lambda store, key: store[key],
    "get": lambda store, key: store.get(key),
    "get with extras": lambda store, key: store.get(key, expire_time=True, tag=True),
    "in": lambda store, key: key in store,
    "get_many": lambda store, key: store.get_many([key, "absent"]),
    "get of what is absent": lambda store, key: store.get(("absent", key)),
    "setdefault": lambda store, key: store.setdefault(key, 5),
    "get_or_set": lambda store, key: store.get_or_set(key, lambda: 5),
    "items": lambda store, _: next(iter(store.items())),
    "len": lambda store, _: (len(store), store.size(), store.volume()),
}


class ReadingContract(StoreContract):
    @pytest.mark.parametrize("memory", [0, 1 << 25])
    @pytest.mark.parametrize("policy", BY_USE)
    def test_reading_writes_nothing(self, open_store, directory, start, policy, memory):
        store = open_store(max_size=SMALLER, eviction=policy, memory=memory)
        store.update((number, b"x" * (FILE if number == 7 else 1000)) for number in range(SOME))
        with rows(start, directory) as ask:
            # Until maintenance has done what it was called for.
            wait_until(lambda: ask("PRAGMA wal_checkpoint(PASSIVE)") == 0)
            before = ask("PRAGMA data_version"), os.stat(directory / "cache.db-wal").st_size
            for key in range(SOME):
                for read in READS.values():
                    read(store, key)
            assert (ask("PRAGMA data_version"), os.stat(directory / "cache.db-wal").st_size) == before
            # In vain, if a write was not seen.
            store["new"] = 1
            assert ask("PRAGMA data_version") != before[0]
