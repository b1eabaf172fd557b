"""What stores of several shards promise beside what every store does."""

import collections
import contextlib
import datetime
import decimal
import itertools
import math
import os
import pathlib
import pickle
import random
import signal
import sqlite3
import threading
import time
import uuid

import pytest

import fastcache
from fastcache.engine.codecs.keys import shard_of_stored, stored_form
from fastcache.engine.shards import path_of

from ..together import in_a_thread, together
from .batch import wait_until
from .bounded import MOST_OCCUPIED, another_process, occupied
from .concurrency import all_at_once
from .store import StoreContract, value_files

SHARDS = 8
IN_A_FILE = b"file" * 50_000

# A key, and the shard that has it: of 8, and of 5. It must never change, or what is stored is not found again.
PLACES = [
    ("", 3, 2),
    ("a", 0, 0),
    ("key", 5, 3),
    ("key 1", 1, 1),
    ("é", 4, 3),
    ("żółw", 5, 3),
    ("日本", 6, 3),
    ("😀", 3, 1),
    ("a" * 1000, 3, 2),
    ("a\0b", 1, 1),
    (b"", 2, 1),
    (b"a", 2, 1),
    (b"key", 1, 0),
    (bytes(100), 0, 0),
    (0, 5, 3),
    (-1, 3, 2),
    (7, 5, 3),
    (12345, 1, 0),
    (2**31, 6, 4),
    (2**53, 2, 1),
    (2**63 - 1, 0, 0),
    (-(2**63), 3, 2),
    (2**64, 5, 3),
    (-(2**70), 1, 0),
    (10**30, 5, 3),
    (1.0, 7, 4),
    (0.5, 1, 0),
    (-1.5, 1, 0),
    (1e300, 2, 1),
    (2.0**70, 4, 2),
    (math.inf, 0, 0),
    (-math.inf, 0, 0),
    (None, 2, 1),
    ((), 7, 4),
    ((1,), 6, 4),
    ((1, 2), 2, 1),
    (("a", (b"b", None)), 7, 4),
    ((1.0, True), 1, 0),
    (frozenset(), 4, 2),
    (frozenset([1, 2, 3]), 6, 3),
    (frozenset(["a", "b"]), 7, 4),
    ((frozenset([1]), "x"), 1, 0),
    (decimal.Decimal("1.1"), 0, 0),
    (datetime.date(2026, 2, 28), 5, 3),
    (uuid.UUID(int=7), 2, 1),
]

KINDS = {
    "int": lambda number: number,
    "int in steps": lambda number: number * 4096,
    "negative int": lambda number: -number - 1,
    "large int": lambda number: 2**64 + number,
    "float": lambda number: number + 0.5,
    "str": lambda number: f"key {number}",
    "long str": lambda number: "x" * 100 + f"{number:08}",
    "wide str": lambda number: f"日{number}",
    "bytes": lambda number: number.to_bytes(8, "little"),
    "tuple": lambda number: ("t", number),
    "frozenset": lambda number: frozenset([number, "s"]),
    "Decimal": lambda number: decimal.Decimal(number) / 8 + decimal.Decimal("0.1"),
}


class Oops(Exception):
    pass


def databases(directory):
    """The databases of a directory, by the number of the shard."""
    found = {0: pathlib.Path(directory) / "cache.db"}
    for path in pathlib.Path(directory).glob("shard-*/cache.db"):
        found[int(path.parent.name.removeprefix("shard-"))] = path
    return {index: path for index, path in found.items() if path.exists()}


def stored(directory, statement="SELECT value FROM entry"):
    """The rows of each of the databases."""
    rows = {}
    for index, path in databases(directory).items():
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows[index] = [row[0] for row in database.execute(statement)]
    return rows


def shard_of(key, count=SHARDS):
    """Where a key belongs; test_each_key_has_its_place shows that it is so."""
    return shard_of_stored(stored_form(key, fastcache.PickleSerializer()), fastcache.PickleSerializer(), count)


def key_in(shard, count=SHARDS, prefix="key"):
    """A key that belongs to a shard."""
    return next(key for number in itertools.count() if shard_of(key := f"{prefix} {number}", count) == shard)


def hits_of(store, shard):
    """How many hits in memory a shard had; an Index has no statistics."""
    (found,) = (each for each in store.stores.all() if each.directory == path_of(store.directory, shard))
    return found.memory_hits


# What is not possible inside a transaction of the third shard's.
REFUSED = {
    "get": lambda store, other: store.get(other),
    "[]": lambda store, other: store[other],
    "in": lambda store, other: other in store,
    "[]=": lambda store, other: store.__setitem__(other, 1),
    "set": lambda store, other: store.set(other, 1),
    "add": lambda store, other: store.add(other, 1),
    "incr": lambda store, other: store.incr(other),
    "delete": lambda store, other: store.delete(other),
    "pop": lambda store, other: store.pop(other, None),
    "setdefault": lambda store, other: store.setdefault(other, 1),
    "get_or_set": lambda store, other: store.get_or_set(other, int),
    "transact": lambda store, other: store.transact(other),
    "get_many": lambda store, other: store.get_many([key_in(3), other]),
    "set_many": lambda store, other: store.set_many([(key_in(3), "wrong"), (other, 1)]),
    "set_many of many": lambda store, other: store.set_many((number, 1) for number in range(20_000)),
    "add_many": lambda store, other: store.add_many([(key_in(3, prefix="new"), 1), (other, 1)]),
    "delete_many": lambda store, other: store.delete_many([key_in(3), other]),
    "update": lambda store, other: store.update({key_in(3): "wrong", other: 1}),
    "len": lambda store, _: len(store),
    "bool": lambda store, _: bool(store),
    "count": lambda store, _: store.count(),
    "iter": lambda store, _: next(iter(store)),
    "reversed": lambda store, _: next(reversed(store)),
    "items": lambda store, _: list(store.items()),
    "values": lambda store, _: list(store.values()),
    "==": lambda store, _: store == {},
    "popitem": lambda store, _: store.popitem(),
    "clear": lambda store, _: store.clear(),
    "size": lambda store, _: store.size(),
    "volume": lambda store, _: store.volume(),
    "vacuum": lambda store, _: store.vacuum(),
    "check": lambda store, _: store.check(),
    "close": lambda store, _: store.close(),
}


class FanoutContract(StoreContract):
    # where keys are

    def test_it_says_how_many_there_are(self, open_store, tmp_path):
        assert open_store().shards == open_store().shard_count == 8
        assert open_store(tmp_path / "three", shards=3).shards == 3
        assert open_store(tmp_path / "four", shard_count=4).shards == 4
        one = open_store(tmp_path / "one", shards=1)
        one["a"] = 1
        with one.transact():
            assert len(one) == 1

    @pytest.mark.parametrize("kind", KINDS)
    def test_keys_are_spread_evenly(self, kind):
        for count in (5, 8):
            found = collections.Counter(shard_of(KINDS[kind](number), count) for number in range(10_000))
            mean = 10_000 / count
            assert len(found) == count
            assert all(abs(number - mean) < 0.15 * mean for number in found.values()), found

    @pytest.mark.parametrize("count", [8, 5])
    def test_each_key_has_its_place(self, open_store, tmp_path, start, monkeypatch, count):
        keys = [place[0] for place in PLACES]
        expected = {position: place[1 if count == 8 else 2] for position, place in enumerate(PLACES)}
        with open_store(tmp_path / "here", shards=count) as store:
            store.set_many((key, position) for position, key in enumerate(keys))
            assert list(store.get_many(keys).values()) == [store[key] for key in keys] == list(range(len(keys)))
        assert {value: shard for shard, values in stored(tmp_path / "here").items() for value in values} == expected
        (tmp_path / "keys").write_bytes(pickle.dumps(keys))
        for seed in ("0", "7"):
            monkeypatch.setenv("PYTHONHASHSEED", seed)
            other = tmp_path / f"with seed {seed}"
            start("set_pickled", self.kind, str(other), count, str(tmp_path / "keys")).finish()
            assert {value: shard for shard, values in stored(other).items() for value in values} == expected
        assert [shard_of(key, count) for key in keys] == list(expected.values())

    @pytest.mark.parametrize(
        "same",
        [
            (1, 1.0, True),
            (0, 0.0, -0.0, False),
            (2**64, 2.0**64),
            ((1, "a"), (1.0, "a"), (True, "a")),
            (2**53, 2.0**53),
        ],
        ids=str,
    )
    def test_what_is_one_key_in_a_dict_is_one_in_one_shard(self, store, directory, same):
        for number, key in enumerate(same):
            store[key] = number
            assert [store[other] for other in same] == [number] * len(same)
            with store.transact(same[0]):
                assert store.pop(key, None) == number
                store[key] = number
        assert len(store) == 1
        assert sorted(map(len, stored(directory).values()))[-2:] in ([0, 1], [1])

    # iteration

    def test_iteration_is_complete_and_in_order_within_each_shard(self, store):
        numbers = list(range(3000))
        random.Random(1).shuffle(numbers)
        store.set_many((number, -number) for number in numbers)
        by_shard = sorted(numbers, key=shard_of)
        assert list(store) == list(store.keys()) == by_shard
        assert list(store.values()) == [-number for number in by_shard]
        assert list(store.items()) == [(number, -number) for number in by_shard]
        assert list(reversed(store)) == list(reversed(store.keys())) == by_shard[::-1]
        assert list(reversed(store.values())) == [-number for number in reversed(by_shard)]
        assert list(reversed(store.items())) == [(number, -number) for number in reversed(by_shard)]
        assert store == {number: -number for number in numbers}

    def test_popitem_hands_out_everything_once(self, store):
        numbers = range(200)
        store.set_many((number, -number) for number in numbers)
        by_shard = sorted(numbers, key=shard_of)
        assert store.popitem() == (by_shard[-1], -by_shard[-1])
        assert store.popitem(last=False) == (by_shard[0], -by_shard[0])
        assert sorted(store.popitem()[0] for _ in range(198)) == sorted(by_shard[1:-1])
        for last in (True, False):
            with pytest.raises(KeyError):
                store.popitem(last=last)

    # opening

    @pytest.mark.parametrize("wrong", [0, -1, 1001, 10**30])
    def test_a_number_of_shards_that_makes_no_sense_is_refused(self, open_store, directory, wrong):
        for name in ("shards", "shard_count"):
            with pytest.raises(ValueError, match="between 1 and 1000"):
                open_store(**{name: wrong})
        assert not directory.exists()

    @pytest.mark.parametrize("wrong", [True, 2.0, "2", None])
    def test_what_is_no_number_of_shards_is_refused(self, open_store, directory, wrong):
        with pytest.raises(TypeError, match="shards must be a number"):
            open_store(shards=wrong)
        assert not directory.exists()

    def test_another_number_is_refused_and_the_error_says_how_to_convert(self, open_store, directory):
        with open_store(shards=3) as store:
            store.set_many((number, number) for number in range(30))
        for count in (2, 4, 8, 1):
            with pytest.raises(fastcache.FormatError) as error:
                open_store(shards=count)
            for part in ("3 shards", f"asked for with {count}", "shards=3", f"fastcache reshard {directory} {count}"):
                assert part in str(error.value)
        for kind in (fastcache.Cache, fastcache.Index):
            with pytest.raises(fastcache.FormatError, match=rf"3 shards.*fastcache reshard {directory} 1"):
                kind(directory)
        assert len(open_store(shards=3)) == 30

    @pytest.mark.parametrize("kind", [fastcache.Cache, fastcache.Index])
    def test_the_directory_of_a_single_one_is_refused(self, open_store, directory, kind):
        with kind(directory) as single:
            single["a"] = 1
        with pytest.raises(fastcache.FormatError, match=rf"a Cache or an Index.*fastcache reshard {directory} 8"):
            open_store()
        assert not list(directory.glob("shard-*"))
        with open_store(shards=1) as store:
            assert store == {"a": 1}

    def test_a_shard_by_itself_is_refused(self, open_store, directory):
        open_store().set_many((number, number) for number in range(100))
        for kind in (fastcache.Cache, fastcache.Index):
            with pytest.raises(fastcache.FormatError):
                kind(directory / "shard-001")

    def test_shards_are_made_when_they_are_needed(self, open_store, directory):
        store = open_store(shards=64)
        assert len(databases(directory)) == 1
        key = key_in(40, 64)
        assert len(store) == 0
        assert list(store) == []
        assert store.clear() == 0
        store[key] = 1
        assert sorted(databases(directory)) == [0, 40]
        with open_store(shards=64) as other:
            assert other == {key: 1}
            assert sorted(databases(directory)) == [0, 40]

    def test_what_another_object_has_made_is_found(self, open_store, directory, start):
        first, second = open_store(), open_store()
        for number in range(100):
            first[number] = number
            assert second[number] == number
        assert len(second) == 100
        other = start("answer", self.kind, str(directory))
        other.tell(["count"])
        assert other.hear() == 100
        other.tell(None)
        other.finish()

    @pytest.mark.parametrize("processes", [2, 6])
    def test_processes_that_make_one_directory_at_once_all_get_it(self, open_store, tmp_path, start, processes):
        directories = [str(tmp_path / f"round {number}") for number in range(12)]
        started = [start("create_shards", self.kind, 8, *directories) for _ in range(processes)]
        for _ in directories:
            all_at_once(started)
        assert [process.finish() for process in started] == [[]] * processes
        for directory in directories:
            with open_store(directory) as store:
                assert store["opened with 8"] == processes
                assert len(store) == processes + 1
                assert store.check()

    def test_of_processes_that_ask_for_different_numbers_one_number_wins(self, open_store, tmp_path, start):
        directories = [str(tmp_path / f"round {number}") for number in range(15)]
        asked = [2, 3, 2, 1]
        started = [start("create_shards", self.kind, count, *directories) for count in asked]
        for _ in directories:
            all_at_once(started)
        errors = [process.finish() for process in started]
        for directory in directories:
            got = {count for count, refused in zip(asked, errors, strict=True) if directory not in refused}
            assert len(got) == 1, got
            (count,) = got
            assert all((directory in refused) == (other != count) for other, refused in zip(asked, errors, strict=True))
            with open_store(directory, shards=count) as store:
                assert store[f"opened with {count}"] == asked.count(count)
                assert len(store) == asked.count(count) + 1
                assert store.check()

    def test_threads_that_need_a_shard_at_once_get_the_same(self, open_store):
        store = open_store(shards=16)

        def count():
            for number in range(200):
                store.incr(number)

        together(*[count] * 6)
        assert store == dict.fromkeys(range(200), 6)

    def test_it_is_pickled_with_its_number_of_shards(self, open_store):
        with open_store(shards=3) as store:
            store.set_many((number, number) for number in range(50))
            with pickle.loads(pickle.dumps(store)) as other:
                assert type(other) is type(store)
                assert (other.shards, other.directory) == (3, store.directory)
                assert other == store

    def test_a_temporary_one_vanishes(self):
        with self.store_type(shards=5) as store:
            store.set_many((number, IN_A_FILE) for number in range(20))
            assert len(databases(store.directory)) == 5
        assert not os.path.exists(store.directory)
        store = self.store_type(shards=5)
        store.set_many((number, IN_A_FILE) for number in range(20))
        directory = store.directory
        rest = iter(store.items())
        next(rest)
        del store
        assert len(list(rest)) == 19
        del rest
        wait_until(lambda: not os.path.exists(directory))

    def test_a_closed_one_says_so_whatever_the_shard(self, open_store):
        store = open_store()
        store[key_in(0)] = store[key_in(3)] = 1
        store.close()
        for shard in (0, 3, 5):
            for use in (store.get, store.delete, store.exists, store.incr, lambda key: store.transact(key).__enter__()):
                with pytest.raises(fastcache.ClosedError):
                    use(key_in(shard))
        for use in (len, list, store.__class__.clear, store.__class__.volume):
            with pytest.raises(fastcache.ClosedError):
                use(store)
        store.close()

    def test_parent_and_child_go_on_after_a_fork(self, open_store, directory, start):
        ends, values = start("fork_shards", self.kind, str(directory)).finish()
        assert ends == [0, 0]
        assert values == [1 if shard_of(number) == shard_of(1) else 2 for number in range(100)]
        assert open_store().check()

    # transactions

    def test_a_transaction_needs_a_key(self, store):
        with pytest.raises(TypeError, match="needs a key"):
            store.transact()
        with pytest.raises(TypeError):
            store.transact([1])

    def test_a_transaction_commits(self, store, open_store, directory, start):
        a, b = key_in(3), key_in(3, prefix="other")
        with store.transact(a):
            store[a], store[b] = 1, IN_A_FILE
            assert store.incr(a) == 2
            assert store.get_many([a, b]) == {a: 2, b: IN_A_FILE}
            assert in_a_thread(lambda: store.get(a)) is None
        assert store == open_store() == {a: 2, b: IN_A_FILE}

    def test_a_transaction_rolls_back(self, store, directory):
        a, b = key_in(3), key_in(3, prefix="other")
        store[a] = 0
        with pytest.raises(Oops), store.transact(b):  # noqa: PT012
            store[a], store[b] = 1, IN_A_FILE
            raise Oops
        assert store == {a: 0}
        with store.transact(a):
            store[a] = 1
            with contextlib.suppress(Oops), store.transact(b):
                store[a], store[b] = 2, 2
                raise Oops
            assert store[a] == 1
            assert b not in store
            with store.transact(b):
                store[b] = 3
        assert store == {a: 1, b: 3}
        elsewhere = key_in(4)
        store[elsewhere] = 1
        assert len(store) == 3

    @pytest.mark.parametrize("use", REFUSED)
    def test_what_is_of_other_shards_is_refused_inside_and_changes_nothing(self, store, use):
        inside, another, other = key_in(3), key_in(3, prefix="another"), key_in(5)
        store.update({inside: 1, other: 2})
        with store.transact(inside):
            store[another] = 3
            with pytest.raises(fastcache.TransactionError, match=r"only keys of that key's shard|vacuum"):
                REFUSED[use](store, other)
            # It goes on, and so do other threads.
            assert store[another] == 3
            store[another] = 4
            assert in_a_thread(lambda: (store[other], store.incr(other))) == (2, 3)
        assert store == {inside: 1, another: 4, other: 3}

    def test_an_iteration_that_began_outside_ends_inside_at_the_next_shard(self, store):
        store.set_many((number, number) for number in range(100))
        iterator = iter(store)
        first = next(iterator)
        with store.transact(first):
            store[first] = "changed"
        assert len(list(iterator)) == 99

    def test_a_batch_inside_is_of_that_shard(self, store):
        inside, other = key_in(3), key_in(5)
        with store.transact(inside), store.batch() as batch:
            batch[inside] = 1
            with pytest.raises(fastcache.TransactionError):
                batch[other] = 2
            with pytest.raises(fastcache.TransactionError):
                batch.delete(other)
        assert store == {inside: 1}

    def test_threads_in_transactions_of_different_shards_do_not_wait_for_each_other(self, open_store):
        store = open_store(timeout=20)
        barrier = threading.Barrier(SHARDS)

        def inside(shard):
            with store.transact(key_in(shard)):
                store[key_in(shard)] = shard
                # All are inside at once, or this raises.
                barrier.wait(60)

        together(*[lambda shard=shard: inside(shard) for shard in range(SHARDS)])
        assert store == {key_in(shard): shard for shard in range(SHARDS)}

    def test_while_another_process_is_in_one_shard_the_others_can_be_used(self, open_store, directory, start):
        store = open_store(timeout=0.05)
        store.set_many((key_in(shard), 0) for shard in range(SHARDS))
        holder = start("hold_key", self.kind, str(directory), key_in(3))
        assert holder.hear() == "holding"
        for shard in range(SHARDS):
            if shard != 3:
                store[key_in(shard)] = "new"
                assert store.set_many({key_in(shard, prefix="many"): 1}) == 1
                with store.transact(key_in(shard)):
                    assert store.set_many({key_in(shard, prefix="inside"): 1}) == 1
                with store.batch() as batch:
                    batch[key_in(shard)] = "newer"
        assert store[key_in(3)] == 0
        with pytest.raises(fastcache.Timeout):
            store[key_in(3)] = 1
        # One that needs all of them has none afterwards.
        with pytest.raises(fastcache.Timeout):
            store.set_many((("stream", number), 1) for number in range(20_000))
        assert ("stream", 5) not in store
        assert store[key_in(5)] == "newer"
        holder.tell()
        holder.finish()
        assert store[key_in(3)] == "held"
        assert store.set_many((("stream", number), 1) for number in range(20_000)) == 20_000
        assert len(store) == 20_000 + 8 + 14

    @pytest.mark.parametrize("hold", [0, 6])
    @pytest.mark.parametrize("method", ["set_many", "add_many", "delete_many"])
    def test_a_long_stream_of_one_shard_inside_its_transaction_needs_no_other(
        self, open_store, directory, start, hold, method
    ):
        store = open_store(timeout=0.05)
        inside = key_in(3)
        numbers = [number for number in range(30_000) if shard_of(number) == 3]
        holder = start("hold_key", self.kind, str(directory), key_in(hold))
        assert holder.hear() == "holding"
        with store.transact(inside):
            if method == "delete_many":
                store.set_many((number, 1) for number in numbers[:100])
                assert store.delete_many(iter(numbers)) == 100
            else:
                assert getattr(store, method)((number, 1) for number in numbers) == len(numbers)
        holder.tell()
        holder.finish()
        assert len(store) == 1 + (0 if method == "delete_many" else len(numbers))

    def test_processes_count_in_transactions(self, open_store, directory, start):
        processes = [
            start("transact_on", self.kind, str(directory), key, 100)
            for key in (key_in(1), key_in(1), key_in(2), key_in(2))
        ]
        all_at_once(processes)
        for process in processes:
            process.finish()
        assert open_store() == {key_in(1): 200, key_in(2): 200}

    # many

    @pytest.mark.parametrize("method", ["set_many", "add_many"])
    @pytest.mark.parametrize("items", [500, 20_000])
    def test_an_error_in_the_iterable_leaves_nothing(self, store, directory, method, items):
        store.set_many((number, "old") for number in range(0, 100, 2))

        def pairs():
            for number in range(items):
                yield (number, IN_A_FILE if number % 1000 == 7 else "new")
            raise Oops

        for _ in range(2):
            with pytest.raises(Oops):
                getattr(store, method)(pairs())
        with pytest.raises(Oops):
            store.delete_many(key for key, _ in pairs())
        with pytest.raises(TypeError, match=r"item 500: "):
            getattr(store, method)((number if number != 500 else [], "new") for number in range(items + 1))
        assert store == dict.fromkeys(range(0, 100, 2), "old")
        in_a_thread(lambda: store.set(1, "of another thread"))
        store.check(fix=True)
        assert store.check()

    def test_a_stream_may_use_the_store(self, store):
        store.set_many((number, 0) for number in range(10_000))
        assert store.set_many((key, store[key] + 1) for key in range(20_000) if key in store) == 10_000
        assert store == dict.fromkeys(range(10_000), 1)
        assert store.delete_many(iter(store)) == 10_000

    def test_streams_over_all_shards_in_opposite_orders_never_block_each_other(self, open_store, directory, start):
        streams = [
            start("set_streams", self.kind, str(directory), name, 12_000, backward)
            for name, backward in (("a", False), ("b", True), ("c", True))
        ]
        all_at_once(streams)
        for stream in streams:
            stream.finish()
        found = open_store()
        by_shard = collections.defaultdict(set)
        for number, name in found.items():
            by_shard[shard_of(number)].add(name)
        assert len(found) == 12_000
        assert all(len(names) == 1 for names in by_shard.values())

    def test_threads_that_stream_over_all_shards_never_block_each_other(self, store):
        def stream(name, numbers):
            for _ in range(2):
                store.set_many((number, name) for number in numbers)

        together(
            lambda: stream("a", range(12_000)),
            lambda: stream("b", range(12_000, 0, -1)),
            lambda: [store.transact(number).__enter__().__exit__(None, None, None) for number in range(500)],
        )
        assert len(store) == 12_001
        assert store.check()

    def test_a_killed_stream_leaves_each_shard_all_or_nothing(self, open_store, directory, start):
        chance = random.Random(5)
        said = 0
        for _ in range(8):
            process = start("set_generations", self.kind, str(directory), 9000)
            for _ in range(chance.randrange(1, 3)):
                said = process.hear()
            # Maybe in the midst of the commits.
            time.sleep(chance.random() * 0.15)
            process.popen.send_signal(signal.SIGKILL)
            process.popen.wait()
            with open_store() as store:
                seen = collections.defaultdict(collections.Counter)
                for number, generation in store.items():
                    seen[shard_of(number)][generation] += 1
                assert len(seen) == SHARDS
                assert all(len(generations) == 1 for generations in seen.values()), seen
                assert sum(sum(generations.values()) for generations in seen.values()) == 9000
                latest = {generation for generations in seen.values() for generation in generations}
                assert min(latest) >= said
                assert max(latest) - min(latest) <= 1
                # In the order of the shards.
                assert [min(seen[shard]) for shard in range(SHARDS)] == sorted(
                    (min(seen[shard]) for shard in range(SHARDS)), reverse=True
                )
        with open_store() as store:
            store.check(fix=True)
            assert store.check()

    def test_a_process_killed_within_a_stream_leaves_nothing_of_it(self, open_store, directory, start):
        process = start("stop_in_set_many", self.kind, str(directory), 20_000)
        assert process.hear() == "middle"
        process.popen.kill()
        process.popen.wait()
        store = open_store()
        assert len(store) == 0
        store[1] = 1
        store.check(fix=True)
        assert store.check()

    # batch

    def test_a_batch_commits_in_all_shards(self, store, open_store):
        with store.batch(max_items=100) as batch:
            for number in range(1050):
                batch[number] = number
            assert batch.committed == 1000
            batch.flush()
            assert batch.committed == 1050
            assert len(open_store()) == 1050
            for number in range(0, 1050, 2):
                batch.delete(number)
        assert batch.committed == 1050 + 525
        assert open_store() == {number: number for number in range(1, 1050, 2)}

    def test_a_batch_that_fails_says_what_has_become_of_it(self, store):
        with pytest.raises(Oops) as error, store.batch(max_items=100) as batch:  # noqa: PT012
            for number in range(250):
                batch[number] = number
            raise Oops
        assert len(store) == batch.committed == 200
        assert getattr(error.value, "__notes__", [None]) in (
            [None],
            ["batch: 200 operations were committed, 50 were dropped"],
        )

    def test_a_batch_that_cannot_commit_in_one_shard_says_so(self, open_store, directory, start):
        store = open_store(timeout=0.05)
        holder = start("hold_key", self.kind, str(directory), key_in(3))
        assert holder.hear() == "holding"
        with pytest.raises(fastcache.Timeout) as error, store.batch(max_seconds=1000) as batch:  # noqa: PT012
            for shard in range(SHARDS):
                batch[key_in(shard, prefix="batch")] = shard
        assert batch.committed == sum(key_in(shard, prefix="batch") in store for shard in range(SHARDS)) < SHARDS
        if hasattr(error.value, "__notes__"):
            assert error.value.__notes__ == [
                f"batch: {batch.committed} operations were committed, {SHARDS - batch.committed} were dropped"
            ]
        holder.tell()
        holder.finish()
        assert key_in(3, prefix="batch") not in store
        store[key_in(3)] = 1

    # memory

    def test_all_shards_have_one_budget_of_memory(self, open_store):
        budget = 1_000_000
        store = open_store(memory=budget)
        store.set_many((number, bytes(1000)) for number in range(4000))
        peak = 0
        for number in itertools.chain(range(4000), range(0, 4000, 3)):
            store[number]
            assert store.stores.memory_used <= budget
            peak = max(peak, store.stores.memory_used)
        assert peak > 0.8 * budget

    def test_one_hot_shard_may_have_nearly_all_memory(self, open_store):
        store = open_store(memory=1_000_000)
        hot = [number for number in range(16_000) if shard_of(number) == 3][:700]
        store.set_many((number, bytes(1000)) for number in hot)
        for _ in range(2):
            assert all(number in store.get_many([number]) for number in hot)
        before = hits_of(store, 3)
        assert [len(store[number]) for number in hot] == [1000] * 700
        assert hits_of(store, 3) - before == 700
        assert 0.7 * 1_000_000 < store.stores.memory_used <= 1_000_000

    def test_a_shard_that_comes_late_gets_its_share_of_memory(self, open_store):
        store = open_store(memory=1_000_000)
        store.set_many((number, bytes(1000)) for number in range(16_000))
        for number in range(16_000):
            if shard_of(number) != 3:
                store[number]
        late = [number for number in range(16_000) if shard_of(number) == 3][:90]
        for number in late * 3:
            store[number]
        before = hits_of(store, 3)
        for number in late:
            store[number]
        assert hits_of(store, 3) - before == 90
        assert store.stores.memory_used <= 1_000_000

    # as a whole

    def test_damage_of_one_shard_is_named_and_repaired(self, store, directory):
        store.set_many((number, IN_A_FILE if number % 10 == 3 else number) for number in range(200))
        folder = directory / "shard-005"
        files = sorted(value_files(folder))
        files[0].unlink()
        (folder / "values" / "ff").mkdir(exist_ok=True)
        (folder / "values" / "ff" / ("f" * 32)).write_bytes(b"planted")
        found = store.check()
        assert not found
        assert found.dangling_rows == 1
        assert all(line.startswith("shard-005: ") for line in found.details), found
        assert store.check(fix=True).fixed
        assert store.check()
        assert len(store) == 199

    def test_a_damaged_database_of_one_shard_is_repaired(self, store, open_store, directory):
        store.set_many((number, "x" * 300) for number in range(8000))
        store.close()
        with open(directory / "shard-005" / "cache.db", "r+b") as database:
            database.seek(40 * 4096)
            database.write(b"\xff" * 4096)
        store = open_store()
        found = store.check(fix=True)
        assert not found.sqlite_integrity_ok
        assert all(line.startswith("shard-005: ") for line in found.details), found
        assert store.check()
        left = set(store)
        assert 7500 < len(left) < 8000
        assert {shard_of(number) for number in range(8000) if number not in left} == {5}

    def test_volume_size_and_vacuum_are_of_all(self, store, directory):
        store.set_many((number, bytes(1000)) for number in range(4000))
        assert store.size() == 4_000_000
        assert 4_000_000 < store.volume() < 8_000_000
        before = store.volume()
        assert store.delete_many(range(3900)) == 3900
        freed = store.vacuum()
        assert store.volume() < before / 3
        assert before - store.volume() <= freed * 1.1
        assert store.check()


class FanoutCacheContract(StoreContract):
    """What has to do with limits, expiry and tags."""

    def test_expiry_tags_and_statistics_are_of_all_shards(self, open_store, clock):
        store = open_store(timer=clock)
        store.set_many(((number, number) for number in range(100)), expire=10, tag="red")
        store.set_many(((number, number) for number in range(100, 300)), tag="blue")
        store.set_many((number, number) for number in range(300, 350))
        store.reset_stats()
        assert [store.get(number) for number in range(360)] == [*range(350), *[None] * 10]
        assert store.stats() | {"memory_hits": 0} == {
            "hits": 350, "misses": 10, "memory_hits": 0, "evictions": 0, "expirations": 0,
        }  # fmt: skip
        assert store.touch(0, 100) is True
        clock.advance(20)
        assert store.expire() == 99
        assert store.stats().expirations == 99
        assert store.evict_tag("blue") == 200
        assert len(store) == 51
        store.reset_stats()
        assert set(store.stats().values()) == {0}

    @pytest.mark.parametrize("use", ["expire", "evict", "evict_tag", "max_size"])
    def test_what_is_about_all_is_refused_inside_a_transaction(self, open_store, use):
        store = open_store(max_size=10_000_000)
        act = {
            "expire": store.expire,
            "evict": store.evict,
            "evict_tag": lambda: store.evict_tag("tag"),
            "max_size": lambda: setattr(store, "max_size", 5_000_000),
        }[use]
        with store.transact("a"):
            store["a"] = 1
            with pytest.raises(fastcache.TransactionError):
                act()
            store["a"] = 2
        assert store == {"a": 2}
        assert store.max_size == 10_000_000

    def test_a_limit_is_for_all_together_and_each_keeps_its_part(self, open_store, directory):
        limit = 4_000_000
        store = open_store(max_size=limit)
        for number in range(12_000):
            store[number] = bytes(900)
            if number % 500 == 0:
                assert occupied(directory) <= MOST_OCCUPIED * limit
        assert occupied(directory) <= MOST_OCCUPIED * limit
        assert limit // 2 < store.volume() <= limit
        for index, path in databases(directory).items():
            assert occupied_by(path.parent, index) <= MOST_OCCUPIED * limit / SHARDS
        assert store.stats().evictions > 0
        assert store.check()

    def test_while_processes_write_it_stays_within_its_limit(self, open_store, directory, start):
        limit = 4_000_000
        open_store(max_size=limit).close()
        writers = [start("fill", self.kind, str(directory), name, size, 6_000_000 // size) for name, size in (
            ("a", 500), ("b", 3000), ("c", 60_000)
        )]  # fmt: skip
        all_at_once(writers)
        samples = []
        while any(writer.popen.poll() is None for writer in writers):
            samples.append(occupied(directory))
            time.sleep(0.003)
        for writer in writers:
            writer.finish()
        store = open_store()
        assert max(samples) <= MOST_OCCUPIED * limit
        assert store.volume() <= limit
        assert store.size() > limit // 4
        assert store.check()

    @pytest.mark.parametrize("limit", [131072 * 8, 131072 * 8 + 1, 10_000_007, 2**33 + 1])
    def test_the_limit_comes_back_exactly(self, open_store, directory, start, limit):
        with open_store(max_size=limit, eviction="sieve") as store:
            assert store.max_size == limit
        with open_store() as store:
            assert (store.max_size, store.eviction) == (limit, "sieve")
            store.set_many((number, number) for number in range(100))
            assert store.max_size == limit
        assert [int(size[0]) for size in stored(directory, MAX_SIZE).values()] == [limit] * SHARDS
        with pickle.loads(pickle.dumps(open_store())) as copy:
            assert copy.max_size == limit

    @pytest.mark.parametrize("limit", [1, 131072, 131072 * 8 - 1])
    def test_a_limit_that_leaves_little_for_each_is_kept_as_well_as_it_can_be(self, open_store, limit):
        with pytest.warns(fastcache.LimitWarning, match="131072 bytes for each of the 8 shards"):
            store = open_store(max_size=limit)
        store.set_many((number, bytes(1000)) for number in range(3000))
        assert store.volume() <= 131072 * 8
        assert len(store) > 100
        with pytest.warns(fastcache.LimitWarning, match="for each of the 8 shards"):
            store.max_size = limit
        assert store.max_size == limit
        with open_store() as other:
            assert other.max_size == limit

    def test_what_does_not_fit_into_a_part_is_refused(self, open_store):
        store = open_store(max_size=2_000_000)
        for size in (260_000, 1_900_000):
            with pytest.raises(fastcache.TooLargeError):
                store["a"] = bytes(size)
        store["a"] = bytes(150_000)
        assert len(store["a"]) == 150_000

    def test_a_limit_is_followed_by_shards_that_are_opened_later(self, open_store, directory, start):
        store = open_store()
        store[key_in(3)] = 1
        with another_process(start, self.kind, directory) as ask:
            assert ask("set", key_in(4), 2) is True
            other = open_store(max_size=3_000_000)
            other[key_in(5)] = 1
            for number in range(6000):
                store[number] = bytes(1000)
            for number in range(6000, 6200):
                ask("set", number, "x" * 1000)
        assert store.volume() <= 3_000_000
        assert occupied(directory) <= MOST_OCCUPIED * 3_000_000
        assert store.max_size == other.max_size == open_store().max_size == 3_000_000
        assert {int(size) for (size,) in stored(directory, MAX_SIZE).values()} == {3_000_000}

    def test_a_limit_that_is_changed_holds_at_once_and_for_all(self, open_store, directory, start):
        store, other = open_store(), open_store()
        store.set_many((number, bytes(1000)) for number in range(8000))
        with another_process(start, self.kind, directory) as ask:
            assert ask("exists", 7999) is True
            store.max_size = 4_000_001
            assert store.volume() <= 4_000_001
            assert occupied(directory) <= MOST_OCCUPIED * 4_000_001
            for number in range(8000, 10_000):
                ask("set", number, "x" * 1000)
            assert ask("volume") <= 4_000_001
        for number in range(10_000, 14_000):
            other[number] = bytes(1000)
        assert other.volume() <= 4_000_001
        assert other.max_size == 4_000_001
        other.max_size = 0
        for number in range(20_000, 28_000):
            store[number] = bytes(1000)
        assert store.volume() > 8_000_000
        assert store.max_size == 0

    def test_each_that_is_evicted_is_told_once(self, open_store):
        told = []
        store = open_store(max_size=2_000_000, on_evict=lambda key, reason: told.append((key, reason)))
        for number in range(6000):
            store[number] = bytes(500)
        wait_until(lambda: len(told) == store.stats().evictions == 6000 - len(store))
        gone = [key for key, _ in told]
        assert {reason for _, reason in told} == {"evicted"}
        assert len(gone) == len(set(gone)) == 6000 - len(store)
        assert not set(gone) & set(store)

    def test_what_is_in_the_journals_is_written_in_all_shards(self, open_store, directory):
        store = open_store()
        for number in range(300):
            store[number] = number
        assert store == {number: number for number in range(300)}
        store.delete(7)
        store.flush()
        assert sum(map(len, stored(directory).values())) == 299
        store[7] = 8
        store.close()
        assert len(open_store()) == 300


MAX_SIZE = "SELECT value FROM meta WHERE name = 'max_size'"


def occupied_by(folder, index):
    """What one shard occupies; the others lie in folders of the first one."""
    others = sum(occupied(path) for path in folder.glob("shard-*")) if index == 0 else 0
    return occupied(folder) - others
