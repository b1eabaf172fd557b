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
from fastcache.runtime import background

from ..together import together
from .batch import wait_until
from .concurrency import all_at_once
from .maintenance import rows
from .store import StoreContract, value_files

LIMIT = 2_000_000
SMALLER = 1_000_000

# What several writers may go beyond, and what a file system gives back later.
MOST_OCCUPIED = 1.05

POLICIES = ("lru", "lrs", "lfu", "sieve", "fifo", "ttl")
BY_USE = ("lru", "lfu", "sieve")

FILE = 150_000
SIZES = (100, 1024, 8192, 60_000, FILE)
MIX = "a mix"

# Entries of 1 KiB: as many as surely fit into SMALLER, and as many as do so alone, but not with the others.
SOME = 300
KIBIBYTES = 560


class Oops(Exception):
    pass


def occupied(directory):
    """Bytes of all files in the directory but those that the limit is not about."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.endswith(("-wal", "-shm")) and name not in {"cache.changes", "cache.journal"}:
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


def limit_for(size):
    """Of the smallest values, so many fit into the smaller limit that a larger one shows no more."""
    return SMALLER if size == SIZES[0] else LIMIT


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


def by_incr(store, values, within):
    for number, _ in enumerate(values):
        assert store.incr(f"{number:0100}") == 1
        within.look()


WRITES = {
    "set_many of more than the limit": (in_one_call, (*SIZES, MIX)),
    "set_many": (in_some_calls, (*SIZES, MIX)),
    "transact with more than the limit": (in_one_transaction, (1024, 60_000, FILE, MIX)),
    "transact": (in_some_transactions, (1024, 60_000, FILE, MIX)),
    "batch": (by_batch, (1024, 60_000, FILE, MIX)),
    "add": (by_add, (1024, 60_000, FILE, MIX)),
    "incr": (by_incr, (100,)),
}


@contextlib.contextmanager
def another_process(start, kind, directory, **options):
    """A function that asks a process with a store of its own."""
    process = start("answer", kind, str(directory), options)

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
        limit = limit_for(size)
        store = open_store(max_size=limit, eviction=policy)
        each(store, values_of(size, limit=limit), Within(store, directory, every=1 if size in SIZES[2:] else 25))
        assert len(store) > 0
        assert store.stats().evictions > 0
        assert store.check()

    @pytest.mark.parametrize(("way", "size"), [(way, size) for way, (_, sizes) in WRITES.items() for size in sizes])
    def test_however_it_is_written_it_stays_within_its_limit(self, open_store, directory, way, size):
        limit = limit_for(size)
        store = open_store(max_size=limit)
        write, _ = WRITES[way]
        every = 1 if size in SIZES[2:] else 25
        write(store, values_of(size, limit=limit), Within(store, directory, 1 if write is in_one_call else every))
        assert store.stats().evictions > 0
        assert store.check()

    @pytest.mark.parametrize("policy", POLICIES)
    @pytest.mark.parametrize("size", [100, 8192])
    def test_from_small_values_to_files_and_back_it_stays_within_its_limit(self, open_store, directory, policy, size):
        limit = limit_for(size)
        store = open_store(max_size=limit, eviction=policy)
        within = Within(store, directory)
        numbers = itertools.count()
        for length in (size, FILE, size, FILE):
            within.every = 1 if length == FILE else 50
            for value in values_of(length, times=1.5, limit=limit):
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
        # Each of them goes beyond the limit by itself.
        times = 3 * LIMIT // 2 // (size + 100)
        writers = [start("fill", self.kind, str(directory), name, size, times) for name in "abcd"]
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

    @pytest.mark.parametrize("where", ["a row", "a file"])
    def test_threads_that_write_at_once_stay_within_the_limit(self, open_store, directory, where):
        store = open_store(max_size=LIMIT)
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
        store = open_store(max_size=131_072)
        store["old"] = 1
        self.assert_refused(store, lambda store: store.set("the key", "secret" * 10_500))

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
        with pytest.raises(fastcache.TooLargeError) as error, full.batch() as batch:  # noqa: PT012
            batch["before"] = 1
            batch.flush()
            batch["the key"] = b"secret" * 200_000
        assert "secret" not in str(error.value)
        assert full["before"] == 1
        assert "the key" not in full
        assert full.stats().evictions == 0

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


def settled(store):
    """Wait until whoever is evicting has done so."""
    with store.transact():
        pass


def quiet(store):
    """The same, and until nobody has evicted more for a moment: what is listed then stays."""
    evicted = None
    while evicted != (evicted := store.stats().evictions):
        time.sleep(0.05)
        settled(store)


def flood(store, entries, name="flood", size=1024):
    for number in range(entries):
        store[name, number] = random.randbytes(size)


def kept(store, keys):
    """Those of the keys that are left, all looked at in one moment."""
    with store.transact():
        left = set(store)
    return [key for key in keys if key in left]


USES = {
    "get": lambda store, key: store.get(key),
    "[]": lambda store, key: store[key],
    "get with extras": lambda store, key: store.get(key, tag=True),
    "get_many": lambda store, key: store.get_many([key]),
    "setdefault": lambda store, key: store.setdefault(key, 5),
    "get_or_set": lambda store, key: store.get_or_set(key, lambda: 5),
    "set": lambda store, key: store.set(key, bytes(1024)),
    "[]=": lambda store, key: store.__setitem__(key, bytes(1024)),
    "set_many": lambda store, key: store.set_many({key: bytes(1024)}),
    "touch": lambda store, key: store.touch(key),
}


class OrderContract(StoreContract):
    """What goes first."""

    @pytest.mark.parametrize("memory", [0, 1 << 25])
    @pytest.mark.parametrize("way", USES)
    @pytest.mark.parametrize("policy", BY_USE)
    def test_what_was_used_survives_what_was_not(self, open_store, policy, way, memory):
        store = open_store(max_size=SMALLER, eviction=policy, memory=memory)
        store.update((key, bytes(1024)) for key in range(SOME))
        hot = range(0, SOME, 7)
        for key in hot:
            USES[way](store, key)
        flood(store, KIBIBYTES)
        assert kept(store, hot) == list(hot)
        cold = [key for key in range(SOME) if key not in hot]
        # In vain, if none had to go.
        left = kept(store, cold)
        assert 0 < len(left) < len(cold)
        if policy != "lfu":
            # The oldest go first.
            assert left == cold[-len(left) :]

    @pytest.mark.parametrize("memory", [0, 1 << 25])
    @pytest.mark.parametrize("way", USES)
    def test_lrs_asks_when_something_was_stored_and_not_when_it_was_read(self, open_store, way, memory):
        store = open_store(max_size=SMALLER, eviction="lrs", memory=memory)
        store.update((key, bytes(1024)) for key in range(SOME))
        hot = range(0, SOME, 7)
        for key in hot:
            USES[way](store, key)
        flood(store, KIBIBYTES)
        left = kept(store, range(SOME))
        assert 0 < len(left) < SOME
        if way in ("set", "[]=", "set_many", "touch"):
            assert kept(store, hot) == list(hot)
        else:
            assert left == list(range(SOME))[-len(left) :]

    @pytest.mark.parametrize("policy", BY_USE)
    def test_what_was_used_in_another_process_survives(self, open_store, directory, start, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        store.update((key, "x" * 1024) for key in range(SOME))
        hot = range(0, SOME, 7)
        with another_process(start, self.kind, directory) as ask:
            for key in hot:
                assert ask("get", key) == "x" * 1024
            flood(store, KIBIBYTES)
            assert kept(store, hot) == list(hot)
            assert 0 < len(kept(store, range(SOME))) < SOME

    @pytest.mark.parametrize("policy", BY_USE)
    def test_what_was_used_inside_a_transaction_survives(self, open_store, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        store.update((key, bytes(1024)) for key in range(SOME))
        hot = range(0, SOME, 7)
        with store.transact():
            assert all(store[key] for key in hot)
        flood(store, KIBIBYTES)
        assert kept(store, hot) == list(hot)
        assert 0 < len(kept(store, range(SOME))) < SOME

    @pytest.mark.parametrize("memory", [0, 1 << 25])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_lru_leaves_exactly_what_was_used_last(self, open_store, monkeypatch, seed, memory):
        """No entry is left that was used earlier than one that went. The time is the number of insertions."""
        # Whoever writes evicts, so that nothing is used while it is being evicted.
        monkeypatch.setattr(background, "schedule", lambda store, seconds: False)
        store = open_store(max_size=300_000, eviction="lru", memory=memory)
        chance = random.Random(seed)
        used = collections.OrderedDict()
        insertions, went = 0, 0
        for _ in range(400):
            for _ in range(10):
                key = min(int(chance.expovariate(1 / 80)), 1000)
                if store.get(key) is None:
                    insertions += 1
                    store[key] = random.randbytes(1000)
                used[key] = insertions
                used.move_to_end(key)
            left = set(store)
            gone = [key for key in used if key not in left]
            went += len(gone)
            if gone:
                latest = max(used.pop(key) for key in gone)
                assert all(used[key] >= latest for key in left)
            assert set(used) == left
        assert went > 200

    @pytest.mark.parametrize("size", [1024, FILE])
    def test_fifo_leaves_what_was_inserted_last(self, open_store, size):
        store = open_store(max_size=SMALLER, eviction="fifo")
        entries = 3 * SMALLER // size
        for number in range(entries):
            store[number] = random.randbytes(size)
            store.get(0)
            store.get(number - 5)
            if number % 2 and number - 3 in store:
                store[number - 3] = random.randbytes(size)
        settled(store)
        left = list(store)
        assert 0 < len(left) < entries // 2
        assert left == list(range(entries - len(left), entries))

    def test_ttl_evicts_what_expires_first_and_then_what_is_oldest(self, open_store):
        told = []
        with open_store(max_size=SMALLER, eviction="ttl", on_evict=lambda key, _: told.append(key)) as store:
            expires = random.Random(1).sample(range(10_000, 20_000), SOME)
            for number, expire in enumerate(expires):
                store.set(number, bytes(1024), expire=expire)
                store["never", number] = bytes(10)
            for number in range(SOME):
                assert store.get(number) == bytes(1024)
            flood(store, KIBIBYTES)
            went = SOME - len(kept(store, range(SOME)))
            assert 0 < went < SOME
            flood(store, 2 * KIBIBYTES, "second")
        first, then = told[:SOME], told[SOME:]
        assert first == sorted(range(SOME), key=expires.__getitem__)
        never = [("never", number) for number in range(SOME)] + [("flood", number) for number in range(KIBIBYTES)]
        never += [("second", number) for number in range(2 * KIBIBYTES)]
        assert len(then) > SOME
        assert then == never[: len(then)]

    @pytest.mark.parametrize("policy", ["lfu", "sieve"])
    def test_what_is_used_often_survives_a_flood_of_what_is_used_once(self, open_store, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        hot = range(40)
        store.update((key, bytes(1024)) for key in hot)
        for lot in range(20):
            # The clock has to go on for a use to count again.
            store["tick", lot] = 1
            assert all(key in store and store[key] for key in hot)
        # lfu: used twenty times, while the age grows by one with each turn over. sieve: used in every turn.
        for lot in range(20):
            flood(store, 150, lot)
            if policy == "sieve":
                assert store.get_many(hot).keys() == set(hot)
        assert kept(store, hot) == list(hot)
        assert not any(("tick", lot) in store for lot in range(20))

    def test_lfu_forgets_what_was_used_often_long_ago(self, open_store):
        store = open_store(max_size=300_000, eviction="lfu")
        store["old star"] = bytes(1024)
        for lot in range(5):
            store["tick", lot] = 1
            assert store["old star"]
        for lot in range(100):
            flood(store, 100, lot)
        settled(store)
        assert "old star" not in store

    def test_sieve_keeps_what_is_used_again_over_what_is_newer(self, open_store):
        told = []
        with open_store(max_size=SMALLER, eviction="sieve", on_evict=lambda key, _: told.append(key)) as store:
            store.update((key, bytes(1024)) for key in range(SOME))
            hot = set(range(0, SOME, 3))
            assert store.get_many(hot).keys() == hot
            flood(store, 2 * KIBIBYTES)
        order = [*range(SOME), *(("flood", number) for number in range(2 * KIBIBYTES))]
        # The hand passes by what was used, takes everything else as it comes, and begins again.
        first_round = [key for key in order if key not in hot]
        assert len(told) > SOME
        assert told == first_round[: len(told)]

    @pytest.mark.parametrize("policy", POLICIES)
    def test_what_has_expired_goes_before_anything_that_lives(self, open_store, clock, policy):
        told = []
        options = {"timer": clock, "on_evict": lambda key, reason: told.append((key, reason))}
        with open_store(max_size=SMALLER, eviction=policy, **options) as store:
            # Those that would go first otherwise.
            store.set_many(((f"old {number}", bytes(1024)) for number in range(100)), expire=1000)
            store.set_many(((f"gone {number}", bytes(1024)) for number in range(200)), expire=2000)
            store.set_many(((f"soon gone {number}", bytes(1024)) for number in range(250)), expire=10)
            assert store.get_many(f"soon gone {number}" for number in range(250))
            clock.advance(16)
            for number in range(300):
                store[number] = bytes(1024)
            assert len(kept(store, (f"old {number}" for number in range(100)))) == 100
            assert len(store) == 600
            assert store.stats().expirations > 0
            assert store.stats().evictions == 0
            flood(store, 400)
            settled(store)
            assert store.stats().expirations == 250
            assert store.stats().evictions > 0
        reasons = [reason for _, reason in told]
        assert reasons[:250] == ["expired"] * 250
        assert set(reasons[250:]) == {"evicted"}
        assert {key for key, _ in told[:250]} == {f"soon gone {number}" for number in range(250)}

    @pytest.mark.parametrize("policy", POLICIES)
    def test_after_clear_the_order_is_right_again(self, open_store, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        flood(store, 3 * KIBIBYTES)
        store.clear()
        # So many that rowids go beyond those of before, without anything that has to go.
        store.set_many((("small", number), number) for number in range(4 * KIBIBYTES))
        store.set_many((key, bytes(1024)) for key in range(SOME))
        hot = range(0, SOME, 7)
        for key in hot:
            assert store[key]
        # What is small goes first; of what follows, what was not used.
        flood(store, KIBIBYTES)
        settled(store)
        left = kept(store, (("small", number) for number in range(4 * KIBIBYTES)))
        assert len(left) < 4 * KIBIBYTES
        if policy != "lfu":
            assert left == [("small", number) for number in range(4 * KIBIBYTES - len(left), 4 * KIBIBYTES)]
            assert not left or kept(store, range(SOME)) == list(range(SOME))
        if policy in BY_USE:
            assert kept(store, hot) == list(hot)

    @pytest.mark.parametrize("policy", POLICIES)
    def test_what_a_rollback_brought_back_goes_in_the_end(self, open_store, policy):
        store = open_store(max_size=SMALLER, eviction=policy)
        early = range(SOME)
        store.update((key, bytes(1024)) for key in early)
        flood(store, KIBIBYTES // 2)
        for lot in range(5):
            with contextlib.suppress(Oops), store.transact():
                flood(store, KIBIBYTES, ("undone", lot))
                assert len(store) < SOME + KIBIBYTES
                raise Oops
        # The rows behind the hand are found by a second one, some with every 64 that go.
        for lot in range(12):
            flood(store, KIBIBYTES, lot)
        assert kept(store, early) == []
        assert store.check()


class FullContract(StoreContract):
    """A cache that evicts nothing."""

    @pytest.fixture
    def store(self, open_store):
        return open_store(max_size=SMALLER, eviction="none")

    def fill(self, store, size, name="secret"):
        """Set until it is full; return what was stored."""
        stored = {}
        with pytest.raises(fastcache.CacheFullError) as error:  # noqa: PT012
            for number in itertools.count():
                value = random.randbytes(size)
                store[name, number] = value
                stored[name, number] = value
        assert name not in str(error.value)
        assert stored
        return stored

    @pytest.mark.parametrize("size", [100, 3000, 60_000, FILE])
    def test_when_it_is_full_it_says_so_and_loses_nothing(self, store, directory, size):
        stored = self.fill(store, size)
        assert sum(map(len, stored.values())) > SMALLER // 2
        for _ in range(20):
            with pytest.raises(fastcache.CacheFullError):
                store["more"] = random.randbytes(size)
            with pytest.raises(fastcache.CacheFullError):
                store.add("more", random.randbytes(size))
        assert dict(store.items()) == stored
        assert store.volume() <= SMALLER
        assert occupied(directory) <= MOST_OCCUPIED * SMALLER
        assert store.check()

    # (A file needs room beside the one that it replaces.)
    @pytest.mark.parametrize("size", [100, 3000, 60_000])
    def test_what_is_there_can_be_replaced_by_what_is_as_large(self, store, size):
        stored = self.fill(store, size)
        for key in stored:
            stored[key] = random.randbytes(size)
            store[key] = stored[key]
        assert dict(store.items()) == stored
        assert store.volume() <= SMALLER

    @pytest.mark.parametrize("size", [100, 3000, 60_000, FILE])
    def test_deleting_makes_room(self, store, size):
        stored = self.fill(store, size)
        gone = list(stored)[: max(1, len(stored) // 3)]
        assert store.delete_many(gone) == len(gone)
        for number in range(max(1, len(gone) // 2)):
            store["new", number] = random.randbytes(size)
        assert store.volume() <= SMALLER

    @pytest.mark.parametrize("size", [100, FILE])
    def test_a_higher_limit_makes_room(self, store, size):
        stored = self.fill(store, size)
        store.max_size = LIMIT
        more = self.fill(store, size, "more")
        assert len(more) > len(stored) // 2
        assert dict(store.items()) == stored | more
        assert store.volume() <= LIMIT

    @pytest.mark.parametrize("size", [1000, FILE])
    def test_what_has_expired_makes_room(self, open_store, clock, size):
        store = open_store(max_size=SMALLER, eviction="none", timer=clock)
        store["stays"] = 1
        entries = SMALLER // 2 // size
        store.set_many(((("gone", number), random.randbytes(size)) for number in range(entries)), expire=16)
        stored = self.fill(store, size)
        clock.advance(16)
        for number in range(entries - 1):
            store["new", number] = random.randbytes(size)
        assert len(store) == 1 + len(stored) + entries - 1
        assert store.stats().evictions == 0
        assert store.stats().expirations > 0

    @pytest.mark.parametrize("size", [1000, FILE])
    @pytest.mark.parametrize("method", ["set_many", "add_many"])
    def test_many_are_stored_all_or_none(self, store, method, size):
        store["stays"] = b"old"
        pairs = [("stays", b"new"), *((number, random.randbytes(size)) for number in range(2 * SMALLER // size))]
        with pytest.raises(fastcache.CacheFullError):
            getattr(store, method)(pairs)
        assert dict(store) == {"stays": b"old"}
        assert store.set_many(pairs[: len(pairs) // 3]) == len(pairs) // 3
        assert store.check()

    def test_a_transaction_that_does_not_fit_can_be_undone(self, store):
        store["stays"] = 1
        with pytest.raises(fastcache.CacheFullError), store.transact():  # noqa: PT012
            store["stays"] = 2
            flood(store, 2000)
        assert dict(store) == {"stays": 1}
        store["more"] = 2

    def test_counting_on_needs_no_room(self, store):
        store["n"] = 1
        self.fill(store, 100)
        assert [store.incr("n") for _ in range(50)] == list(range(2, 52))


class HotSetContract(StoreContract):
    """What several processes read again and again stays, whatever else comes in."""

    HOT = 50

    def kept_of_hot(self, open_store, directory, start, policy):
        """Flood a cache while two processes read the hot keys; return how many of these are left."""
        store = open_store(max_size=SMALLER, eviction=policy)
        store.update((key, "x" * 1024) for key in range(self.HOT))
        readers = [start("read_hot", self.kind, str(directory), self.HOT) for _ in range(2)]
        with another_process(start, self.kind, directory) as ask:
            for reader in readers:
                assert reader.hear() == "ready"
            # Each portion is a fifth of what fits in, and both readers go through the hot keys once from its beginning.
            for portion in range(25):
                ask.process.tell(["set_many", [[f"{portion} {number}", "x" * 1024] for number in range(100)]])
                for reader in readers:
                    reader.tell("once more")
                for reader in readers:
                    reader.hear()
                assert ask.process.hear() == 100
        for reader in readers:
            reader.tell(None)
            reader.finish()
        assert store.stats().evictions >= 0
        assert len(store) < 25 * 100 // 2
        return len(kept(store, range(self.HOT)))

    @pytest.mark.parametrize("policy", BY_USE)
    def test_the_hot_keys_survive(self, open_store, directory, start, policy):
        # Between two uses of a key not even half of what fits in comes in. Two slots may be lost where two processes
        # take the same free one at the same moment.
        assert self.kept_of_hot(open_store, directory, start, policy) >= self.HOT - 2

    @pytest.mark.parametrize("policy", ["lrs", "fifo", "ttl"])
    def test_they_do_not_where_use_does_not_count(self, open_store, directory, start, policy):
        assert self.kept_of_hot(open_store, directory, start, policy) == 0


class SettingContract(StoreContract):
    """The limit and the policy belong to the cache, for all who have it open."""

    def test_there_is_none_at_first(self, store):
        assert (store.max_size, store.eviction) == (0, "lru")

    @pytest.mark.parametrize("size", [1000, FILE])
    def test_lowering_it_evicts_before_it_returns(self, open_store, directory, size):
        store = open_store(max_size=4 * LIMIT)
        store.update((number, random.randbytes(size)) for number in range(3 * LIMIT // size))
        store.max_size = SMALLER
        assert store.max_size == SMALLER
        assert store.volume() <= SMALLER
        assert 3 * LIMIT // size - 1 in store
        assert 0 not in store
        wait_until(lambda: occupied(directory) <= MOST_OCCUPIED * SMALLER)
        each(store, values_of(size, limit=SMALLER), Within(store, directory, every=20))

    @pytest.mark.parametrize("how", ["attribute", "option"])
    def test_another_process_keeps_to_a_limit_that_was_lowered(self, open_store, directory, start, how):
        store = open_store(max_size=4 * LIMIT)
        store.update((number, bytes(1000)) for number in range(3000))
        with another_process(start, self.kind, directory) as ask:
            assert ask("set", "theirs", 1) is True
            if how == "attribute":
                store.max_size = SMALLER
            else:
                open_store(max_size=SMALLER)
            for number in range(1500):
                assert ask("set", f"theirs {number}", "x" * 1000) is True
            assert ask("__getattribute__", "max_size") == SMALLER
        store["mine"] = 1
        assert store.max_size == SMALLER
        assert store.volume() <= SMALLER

    def test_one_that_was_raised_holds_for_all(self, open_store, directory, start):
        store = open_store(max_size=SMALLER)
        with another_process(start, self.kind, directory) as ask:
            assert ask("set", "theirs", 1) is True
            store.max_size = 4 * LIMIT
            for number in range(2000):
                assert ask("set", number, "x" * 1000) is True
        assert len(store) == 2001

    def test_zero_is_none_at_all(self, open_store):
        store = open_store(max_size=SMALLER)
        other = open_store()
        store.max_size = 0
        assert store.max_size == 0
        store.update((number, bytes(1000)) for number in range(2000))
        other.update((-number, bytes(1000)) for number in range(1, 2000))
        store["a file"] = bytes(3 * LIMIT)
        assert len(other) == len(store) == 4000
        assert other.max_size == 0
        assert open_store().max_size == 0
        assert store.evict() == 0

    def test_both_are_remembered(self, open_store):
        open_store(max_size=SMALLER, eviction="sieve").close()
        with open_store() as store:
            assert (store.max_size, store.eviction) == (SMALLER, "sieve")
            store.max_size = 2 * LIMIT
        with open_store() as store:
            assert (store.max_size, store.eviction) == (2 * LIMIT, "sieve")
        with open_store(max_size=LIMIT) as store:
            assert (store.max_size, store.eviction) == (LIMIT, "sieve")
        with open_store(eviction="fifo") as store:
            assert (store.max_size, store.eviction) == (LIMIT, "fifo")
        with open_store() as store:
            assert (store.max_size, store.eviction) == (LIMIT, "fifo")

    @pytest.mark.parametrize("before", [*POLICIES, "none"])
    def test_another_policy_is_followed_by_who_has_it_open(self, open_store, directory, start, before):
        store = open_store(max_size=SMALLER, eviction=before)
        store.update((key, bytes(1024)) for key in range(SOME))
        with another_process(start, self.kind, directory) as ask:
            assert ask("get", "absent") is None
            other = open_store(eviction="fifo" if before != "fifo" else "lru")
            for number in range(KIBIBYTES):
                assert ask("set", f"flood {number}", "x" * 1024) is True
            assert ask("__getattribute__", "eviction") == other.eviction
            for key in range(SOME):
                assert store.get(key, b"") is not None
            store["mine"] = 1
            assert store.eviction == other.eviction
            left = kept(store, range(SOME))
            assert 0 < len(left) < SOME
            assert left == list(range(SOME - len(left), SOME))

    def test_it_cannot_be_set_in_a_transaction(self, open_store):
        store = open_store(max_size=LIMIT)
        with store.transact():
            with pytest.raises(fastcache.TransactionError):
                store.max_size = SMALLER
            store["a"] = 1
        assert (store.max_size, store["a"]) == (LIMIT, 1)

    @pytest.mark.parametrize("wrong", ["1", 1.5, True, b"1", [1]], ids=repr)
    def test_what_is_no_number_of_bytes_is_refused(self, open_store, wrong):
        store = open_store(max_size=SMALLER)
        with pytest.raises(TypeError):
            store.max_size = wrong
        with pytest.raises(TypeError):
            open_store(max_size=wrong)
        assert store.max_size == SMALLER

    @pytest.mark.parametrize("wrong", [-1, -(10**30), 1 << 62, 10**30], ids=repr)
    def test_a_number_that_can_be_no_limit_is_refused(self, open_store, wrong):
        store = open_store(max_size=SMALLER)
        with pytest.raises((ValueError, OverflowError)):
            store.max_size = wrong
        with pytest.raises((ValueError, OverflowError)):
            open_store(max_size=wrong)
        assert store.max_size == SMALLER

    @pytest.mark.parametrize("wrong", ["LRU", "", "least-recently-used", b"lru", 1])
    def test_an_unknown_policy_is_refused(self, open_store, wrong):
        store = open_store(eviction="sieve")
        with pytest.raises(ValueError, match="eviction"):
            open_store(eviction=wrong)
        assert store.eviction == "sieve"
        assert open_store().eviction == "sieve"

    @pytest.mark.parametrize("wrong", [1, "print", []])
    def test_what_cannot_be_called_is_refused_for_on_evict(self, open_store, wrong):
        with pytest.raises(TypeError):
            open_store(on_evict=wrong)

    def test_the_policy_is_changed_by_opening_alone(self, store):
        with pytest.raises(AttributeError):
            store.eviction = "fifo"

    def test_an_index_in_the_same_directory_evicts_nothing(self, open_store, directory):
        with open_store(max_size=SMALLER) as store:
            store.update((number, bytes(1000)) for number in range(200))
        with fastcache.Index(directory) as index:
            index.update((number, bytes(1000)) for number in range(2000))
            index["a file"] = bytes(LIMIT)
            assert len(index) == 2001
            assert index.check()
        store = open_store()
        assert store.max_size == SMALLER
        store["mine"] = 1
        store.evict()
        assert store.volume() <= SMALLER

    @pytest.mark.parametrize("limit", [1, 1000, 131_071])
    def test_a_limit_below_what_an_empty_cache_takes_is_kept_as_well_as_it_can_be(self, open_store, directory, limit):
        with pytest.warns(fastcache.LimitWarning, match="131072") as caught:
            store = open_store(max_size=limit)
        assert len(caught) == 1
        for number in range(1000):
            store[number] = bytes(500)
            assert store.volume() <= 131_072
        assert 999 in store
        assert store.max_size == limit
        store.max_size = 0
        with pytest.warns(fastcache.LimitWarning, match="131072"):
            store.max_size = limit
        with open_store() as other:
            assert other.max_size == limit
        with pytest.raises(ValueError, match="max_size"):
            store.max_size = -1

    @pytest.mark.parametrize("policy", POLICIES)
    def test_entries_that_cannot_be_deleted_keep_nobody_waiting_for_ever(self, open_store, directory, start, policy):
        with open_store(max_size=SMALLER, eviction=policy) as store:
            flood(store, SOME)
        start(
            "sql", str(directory), "CREATE TRIGGER planted BEFORE DELETE ON entry BEGIN SELECT RAISE(IGNORE); END"
        ).finish()
        store = open_store()
        with pytest.raises(fastcache.CacheFullError):
            flood(store, 2 * KIBIBYTES, "more")
        assert len(store) >= SOME

    def test_the_smallest_limit_makes_no_trouble(self, open_store, directory):
        store = open_store(max_size=131_072)
        each(store, range(2000), Within(store, directory))
        assert 1999 in store
        assert store.check()


class CountingContract(StoreContract):
    def test_what_went_is_counted(self, open_store, clock):
        store = open_store(max_size=SMALLER, timer=clock)
        assert (store.stats().evictions, store.stats().expirations) == (0, 0)
        store.set_many(((number, bytes(1024)) for number in range(100)), expire=16)
        clock.advance(16)
        assert store.expire() == 100
        assert (store.stats().evictions, store.stats().expirations) == (0, 100)
        flood(store, 2 * KIBIBYTES)
        # Maintenance may be about to evict a few more.
        wait_until(lambda: store.stats().evictions == 2 * KIBIBYTES - len(store))
        with store.transact():
            store.reset_stats()
            assert (store.stats().evictions, store.stats().expirations) == (0, 0)

    def test_what_was_asked_for_by_key_or_tag_is_not_counted(self, open_store):
        store = open_store(max_size=SMALLER)
        store.set_many({"a": 1, "b": 2, "c": 3}, tag="red")
        del store["a"]
        store.pop("b")
        store.evict_tag("red")
        store["d"] = 1
        store.clear()
        assert (store.stats().evictions, store.stats().expirations) == (0, 0)

    def test_what_a_transaction_undoes_is_not_counted(self, open_store):
        store = open_store(max_size=SMALLER)
        store.update((number, bytes(1024)) for number in range(SOME))
        with contextlib.suppress(Oops), store.transact():
            flood(store, 2 * KIBIBYTES)
            raise Oops
        settled(store)
        assert len(store) == SOME
        assert store.stats().evictions == 0

    def test_each_object_counts_what_it_has_evicted(self, open_store, directory, start):
        store = open_store(max_size=SMALLER)
        with another_process(start, self.kind, directory) as ask:
            for number in range(2 * KIBIBYTES):
                assert ask("set", number, "x" * 1024) is True
            wait_until(lambda: ask("stats")["evictions"] == 2 * KIBIBYTES - len(store))
        assert store.stats().evictions == 0


class Told(list):
    """What on_evict was called with."""

    def __call__(self, key, reason):
        self.append((key, reason))


REMEMBERED = []


def remember(key, reason):
    REMEMBERED.append((key, reason))


class Named:
    """A key that goes through the serializer."""

    def __init__(self, name):
        self.name = name

    def __eq__(self, other):
        return type(other) is Named and other.name == self.name

    def __hash__(self):
        return hash(self.name)


class TellingContract(StoreContract):
    """on_evict is told of everything that goes by itself, once."""

    @pytest.mark.parametrize("policy", POLICIES)
    def test_each_key_that_was_evicted_is_told_once(self, open_store, policy):
        told = Told()
        with open_store(max_size=SMALLER, eviction=policy, on_evict=told) as store:
            store["a file"] = bytes(FILE)
            flood(store, 3 * KIBIBYTES)
            stored = {"a file", *(("flood", number) for number in range(3 * KIBIBYTES))}
            # Maintenance may be about to evict a few more.
            wait_until(lambda: {key for key, _ in told} == stored - set(store))
        assert {reason for _, reason in told} == {"evicted"}
        assert len(told) == len(set(told))

    @pytest.mark.parametrize(
        "key", [None, 1, 1 << 80, 0.5, "a", "\ud800", b"b", (1, ("a", None)), frozenset({1, 2}), Named("n")], ids=repr
    )
    def test_any_key_is_told_as_it_was_given(self, open_store, key):
        told = Told()
        with open_store(max_size=SMALLER, eviction="fifo", on_evict=told, safe_types=[Named]) as store:
            store[key] = 1
            flood(store, 2 * KIBIBYTES)
        assert told[0] == (key, "evicted")
        assert type(told[0][0]) is type(key)

    def test_what_expires_is_told(self, open_store):
        told = Told()
        store = open_store(on_evict=told)
        store.set_many(((number, number) for number in range(50)), expire=0.02)
        store.set("a file", bytes(FILE), expire=0.02)
        store["stays"] = 1
        wait_until(lambda: len(told) == 51)
        assert sorted(told, key=str) == sorted(((key, "expired") for key in [*range(50), "a file"]), key=str)

    def test_what_expire_removes_is_told(self, open_store, clock):
        told = Told()
        with open_store(on_evict=told, timer=clock) as store:
            store.set_many(((number, number) for number in range(50)), expire=16)
            clock.advance(16)
            assert store.expire() == 50
            assert store.expire() == 0
        assert sorted(told) == [(number, "expired") for number in range(50)]

    def test_what_is_evicted_by_tag_is_told(self, open_store):
        told = Told()
        with open_store(on_evict=told) as store:
            store.set_many(((number, number) for number in range(50)), tag="red")
            store.set("stays", 1, tag="green")
            assert store.evict_tag("red") == 50
        assert sorted(told) == [(number, "tag") for number in range(50)]

    def test_very_many_are_told_too(self, open_store, clock):
        told = Told()
        with open_store(on_evict=told, timer=clock) as store:
            store.set_many(((number, number) for number in range(20_000)), tag="red")
            assert store.evict_tag("red") == 20_000
            store.set_many(((number, number) for number in range(20_000)), expire=16)
            clock.advance(16)
            assert store.expire() == 20_000
        # Maintenance may be telling of the last one.
        wait_until(lambda: len(told) == 40_000)
        counted = collections.Counter(told)
        assert counted == collections.Counter((n, reason) for n in range(20_000) for reason in ("tag", "expired"))

    def test_what_was_asked_for_by_key_is_not_told(self, open_store):
        told = Told()
        with open_store(max_size=SMALLER, on_evict=told) as store:
            store.update({number: bytes(FILE if number == 3 else 10) for number in range(10)})
            del store[0]
            store.delete(1)
            store.pop(2)
            store.popitem()
            store.delete_many([3, 4])
            store[5] = bytes(FILE)
            store.set_many({6: 1})
            store.set(7, 1, expire=-1)
            store[7] = 2
            store.clear()
        assert [key for key, reason in told if reason != "expired"] == []

    def test_what_is_rolled_back_is_not_told(self, open_store):
        told = Told()
        with open_store(max_size=SMALLER, on_evict=told) as store:
            store.update((("early", number), bytes(1024)) for number in range(SOME))
            store.set("tagged", 1, tag="red")
            with contextlib.suppress(Oops), store.transact():
                assert store.evict_tag("red") == 1
                flood(store, 2 * KIBIBYTES)
                raise Oops
            with store.transact():
                with contextlib.suppress(Oops), store.transact():
                    assert store.evict_tag("red") == 1
                    flood(store, 2 * KIBIBYTES)
                    raise Oops
                store["inner"] = 1
            assert len(store) == SOME + 2
            assert store.stats().evictions == 0
            with store.transact():
                store.set("in a block", 1, tag="green")
                with store.transact():
                    store.evict_tag("green")
        assert told == [("in a block", "tag")]

    def test_it_may_use_and_write_to_the_cache(self, open_store):
        told = []

        def on_evict(key, reason):
            told.append(key)
            store.incr("evicted")
            assert key not in store
            with store.transact():
                store["last", reason] = key
            if isinstance(key, tuple) and key[0] == "flood":
                store["saved", key[1] % 10] = bytes(1024)

        with open_store(max_size=SMALLER, on_evict=on_evict) as store:
            flood(store, 3 * KIBIBYTES)
            wait_until(lambda: len(told) > KIBIBYTES)
            assert store["last", "evicted"] in told
        with open_store() as store:
            assert store.get("evicted", 0) > 0
            assert store.volume() <= SMALLER

    def test_it_is_called_while_nobody_holds_anything(self, open_store):
        """It waits for another thread that writes, which waits for it if the caller holds a lock."""
        in_vain = []

        def write(key):
            # What is told last is told when the cache is closed.
            with contextlib.suppress(fastcache.ClosedError):
                store["by a thread", key] = 1

        def on_evict(key, _):
            if isinstance(key, tuple) and key[1] % 50 == 0:
                thread = threading.Thread(target=write, args=(key,), daemon=True)
                thread.start()
                thread.join(30)
                in_vain.append(thread.is_alive())

        with open_store(max_size=SMALLER, on_evict=on_evict) as store:
            flood(store, 2 * KIBIBYTES)
            wait_until(lambda: in_vain)
            with store.transact():
                flood(store, 2 * KIBIBYTES, "second")
        assert in_vain
        assert not any(in_vain)

    def test_what_it_raises_is_logged_and_the_rest_is_told(self, open_store, caplog):
        caplog.set_level(logging.WARNING, "fastcache")
        told = []

        def on_evict(key, _):
            told.append(key)
            if key[1] % 10 == 3:
                raise Oops("secret")

        with open_store(max_size=SMALLER, on_evict=on_evict) as store:
            flood(store, 2 * KIBIBYTES)
        assert len(told) == len(set(told)) == store.stats().evictions > 0
        assert any("Oops" in record.getMessage() for record in caplog.records)
        assert not any("secret" in record.getMessage() for record in caplog.records)

    def test_what_another_process_evicts_is_told_there(self, open_store, directory, start):
        told = Told()
        with open_store(max_size=SMALLER, on_evict=told) as store, another_process(start, self.kind, directory) as ask:
            store["mine"] = 1
            for number in range(2 * KIBIBYTES):
                ask("set", number, "x" * 1024)
            assert "mine" not in store
        assert ("mine", "evicted") not in told

    def test_it_goes_along_when_a_cache_is_pickled(self, open_store):
        REMEMBERED.clear()
        store = open_store(max_size=SMALLER, on_evict=remember)
        with pickle.loads(pickle.dumps(store)) as copy:
            assert copy.max_size == SMALLER
            copy.set("a", 1, tag="red")
            copy.evict_tag("red")
        assert REMEMBERED == [("a", "tag")]
        with pytest.raises((pickle.PicklingError, AttributeError)):
            pickle.dumps(open_store(on_evict=lambda key, reason: None))


class EvictContract(StoreContract):
    def test_there_is_nothing_to_do_below_the_limit(self, open_store):
        store = open_store(max_size=SMALLER)
        store.update((number, bytes(1000)) for number in range(100))
        assert store.evict() == 0
        assert len(store) == 100
        with open_store(max_size=0) as unlimited:
            assert unlimited.evict() == 0

    @pytest.mark.parametrize("policy", POLICIES)
    def test_in_a_transaction_it_says_how_many_went(self, open_store, policy):
        store, other = open_store(max_size=2 * LIMIT, eviction=policy), open_store()
        store.update((number, bytes(1000)) for number in range(2000))
        with store.transact():
            # The limit is lowered by another object meanwhile, which waits for that.
            lowering = threading.Thread(target=lambda: setattr(other, "max_size", SMALLER))
            before = len(store)
            assert store.evict() == 0
        lowering.start()
        lowering.join()
        assert len(store) < before
        with store.transact():
            assert store.evict() == 0
        assert store.volume() <= SMALLER
        assert store.check()

    @pytest.mark.parametrize("size", [1000, FILE])
    def test_after_another_process_has_lowered_the_limit_it_keeps_to_it(self, open_store, directory, start, size):
        store = open_store(max_size=4 * LIMIT)
        store.update((number, bytes(size)) for number in range(LIMIT // size))
        with another_process(start, self.kind, directory) as ask:
            ask("__setattr__", "max_size", SMALLER)
            before = len(store)
            assert 0 <= store.evict() <= before - len(store)
            assert store.volume() <= SMALLER
        assert LIMIT // size - 1 in store


class VacuumContract(StoreContract):
    """What is free can be given back."""

    def test_the_file_gets_smaller_after_much_was_deleted(self, open_store, directory):
        with open_store() as store:
            store.update((number, bytes(1000)) for number in range(3000))
        store = open_store()
        before, volume = os.stat(directory / "cache.db").st_size, store.volume()
        assert store.delete_many(range(100, 3000)) == 2900
        freed = store.vacuum()
        assert freed > LIMIT
        assert store.volume() == volume - freed
        wait_until(lambda: os.stat(directory / "cache.db").st_size < before - LIMIT)
        assert dict(store) == {number: bytes(1000) for number in range(100)}
        assert store.vacuum() == 0
        assert store.check()

    def test_after_clear_hardly_anything_is_left(self, store, directory):
        store.update((number, bytes(1000)) for number in range(2000))
        store.clear()
        assert store.vacuum() > LIMIT // 2
        assert os.stat(directory / "cache.db").st_size < 200_000
        store["a"] = 1
        assert dict(store) == {"a": 1}
        assert store.check()

    def test_inside_a_transaction_it_is_refused(self, store):
        with store.transact():
            store["a"] = 1
            with pytest.raises(fastcache.TransactionError):
                store.vacuum()
            store["b"] = 2
        assert dict(store) == {"a": 1, "b": 2}

    def test_it_works_while_another_process_writes(self, store, directory, start):
        store.update((number, bytes(1000)) for number in range(3000))
        other = start("write_on", self.kind, str(directory), "theirs", "set", 100)
        all_at_once([other])
        store.delete_many(range(3000))
        assert store.vacuum() > LIMIT
        assert other.hear() == "far"
        other.tell("stop")
        times = other.finish()
        assert store["theirs"] == times - 1
        assert store.check()

    def test_free_pages_are_used_again(self, store):
        store.update((("first", number), bytes(1000)) for number in range(2000))
        volume = store.volume()
        for lot in range(5):
            store.delete_many(list(store)[:1000])
            store.update(((lot, number), bytes(1000)) for number in range(1000))
        assert len(store) == 2000
        assert store.volume() <= 1.1 * volume


class FileRoomContract(StoreContract):
    @pytest.mark.parametrize("policy", [*POLICIES, "none"])
    def test_the_space_of_replaced_and_deleted_files_comes_back(self, open_store, directory, policy):
        store = open_store(max_size=LIMIT, eviction=policy)
        store["stays"] = 1
        for number in range(60):
            store["replaced", number % 4] = bytes(FILE)
            if number % 3 == 0:
                del store["replaced", number % 4]
        assert "stays" in store
        assert store.stats().evictions == 0
        wait_until(lambda: len(value_files(directory)) <= 4)
        assert store.check()

    def test_who_is_killed_while_it_writes_leaves_nothing_reserved(self, open_store, directory, start):
        chance = random.Random(1)
        open_store(max_size=LIMIT).close()
        for kill in range(12):
            survivor = open_store() if kill % 2 else None
            process = start("write_large_on", self.kind, str(directory), [FILE, 400_000, 900_000][kill % 3])
            assert process.hear() == "ready"
            process.tell()
            process.hear()
            time.sleep(chance.random() * 0.02)
            process.popen.kill()
            process.popen.wait()
            store = survivor or open_store()
            # As many as ever, though some of them came before.
            store.clear()
            for number in range(10):
                store["after", number] = random.randbytes(FILE)
            assert len(store) == 10
            assert store.stats().evictions == 0
            store.check(fix=True)
            assert store.check()
            store.close()
            files = sum(path.stat().st_size for path in value_files(directory))
            with open_store() as store:
                assert store.volume() == files + os.stat(directory / "cache.db").st_size
                wait_until(lambda: len(value_files(directory)) == 10)


def planted(content):
    """A table with the right head and whatever else."""
    return content[:24] + random.Random(1).randbytes(len(content) - 24)


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "garbage": lambda path: path.write_bytes(random.Random(1).randbytes(20_000)),
    "zeros": lambda path: path.write_bytes(bytes(20_000)),
    "random slots": lambda path: path.write_bytes(planted(path.read_bytes())),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


# Where the table of recency says that there is a larger one, in bytes from its beginning.
WORD_MOVED = 3 * 8


class RecencyContract(StoreContract):
    """The table in which use is noted may be lost at any time."""

    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("policy", ["lru", "lfu"])
    def test_whatever_has_become_of_it_the_cache_works(self, open_store, directory, policy, damage):
        with open_store(max_size=SMALLER, eviction=policy) as store:
            flood(store, 2 * KIBIBYTES)
            # Or maintenance evicts what is listed here.
            quiet(store)
            assert all(store.get(key) for key in list(store)[:100])
        assert (directory / "cache.recency").is_file()
        DAMAGES[damage](directory / "cache.recency")
        with open_store() as store:
            left = len(store)
            assert all(value is not None for value in store.values())
            flood(store, 2 * KIBIBYTES, "again")
            settled(store)
            assert store.volume() <= SMALLER
            assert len(store) < left + 2 * KIBIBYTES
            assert ("again", 2 * KIBIBYTES - 1) in store
            assert store.check()

    @pytest.mark.parametrize("policy", BY_USE)
    def test_what_is_read_counts_from_the_first_moment_on(self, open_store, directory, policy):
        """Also before anything was inserted since the table is a new one."""
        with open_store(max_size=SMALLER, eviction=policy) as store:
            store.update((key, bytes(1024)) for key in range(SOME))
        (directory / "cache.recency").unlink()
        store = open_store()
        hot = range(0, SOME, 7)
        assert store.get_many(hot).keys() == set(hot)
        flood(store, KIBIBYTES)
        assert len(kept(store, range(SOME))) < SOME
        assert kept(store, hot) == list(hot)

    @pytest.mark.parametrize("policy", BY_USE)
    @pytest.mark.parametrize("before", BY_USE)
    def test_one_of_another_policy_does_no_harm(self, open_store, before, policy):
        with open_store(max_size=SMALLER, eviction=before) as store:
            store.update((key, bytes(1024)) for key in range(SOME))
            assert store.get_many(range(0, SOME, 2))
        with open_store(eviction=policy) as store:
            hot = range(0, SOME, 7)
            # What was read before is older, and what is read more often counts more.
            for lot in range(3):
                store["tick", lot] = 1
                assert store.get_many(hot).keys() == set(hot)
            flood(store, KIBIBYTES)
            assert len(kept(store, range(SOME))) < SOME
            assert kept(store, hot) == list(hot)
            assert store.check()

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors by /proc")
    def test_a_word_that_says_it_has_grown_which_it_has_not_costs_nothing(self, open_store, directory):
        store = open_store(max_size=LIMIT, eviction="lru")
        store.update((key, key) for key in range(10))
        store.get_many(range(10))

        def lie():
            with open(directory / "cache.recency", "r+b") as file:
                file.seek(WORD_MOVED)
                file.write(b"\x01")

        lie()
        store.get(1)
        before = len(os.listdir("/proc/self/fd"))
        for key in range(10):
            lie()
            store.get(key)
            store.get(key)
        assert len(os.listdir("/proc/self/fd")) <= before + 10
        for _ in range(100):
            store.get_many(range(10))
        assert len(os.listdir("/proc/self/fd")) <= before + 10

    @pytest.mark.parametrize("policy", ["lru", "sieve"])
    def test_it_grows_when_more_is_used_than_it_has_slots_for(self, open_store, directory, policy):
        store = open_store(max_size=LIMIT, eviction=policy)
        before = os.stat(directory / "cache.recency").st_size
        hot = range(3000)
        store.set_many((("hot", key), key) for key in hot)
        for lot in range(20):
            found = store.get_many(("hot", key) for key in hot)
            store.set_many((("hot", key), key) for key in hot if ("hot", key) not in found)
            store.set_many(((lot, number), bytes(100)) for number in range(2000))
        assert os.stat(directory / "cache.recency").st_size > before
        # In vain, if nothing had to go.
        assert len(store) < 3000 + 20 * 2000
        # Until it has grown, a slot may be lost.
        assert len(kept(store, (("hot", key) for key in hot))) > 2850
        assert occupied(directory) <= MOST_OCCUPIED * LIMIT


class ForkContract(StoreContract):
    @pytest.mark.parametrize("policy", POLICIES)
    def test_parent_and_child_both_evict_after_a_fork(self, open_store, directory, start, policy):
        said = start("fork_and_evict", self.kind, str(directory), policy, SMALLER).finish()
        assert said["status"] == 0
        assert said["volume"] <= SMALLER
        assert said["evictions"] > 0
        # The child tells of its own alone, and so does the parent.
        assert said["told twice"] == []
        store = open_store()
        assert store.max_size == SMALLER
        assert store.check()
