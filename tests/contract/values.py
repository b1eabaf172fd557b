"""A value comes back as it went in: the same type, the same content, and a copy of one's own."""

import collections
import math
import pickle

import pytest
from hypothesis import given, settings

from .. import samples
from ..samples import same, show
from .store import StoreContract, in_order, value_files

ONE_GB = 1_000_000_001

PLAIN = [
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64, 10**100, -(10**100),
    0.0, -0.0, 1.0, 0.1, 5e-324, 1e308, math.inf, -math.inf, math.nan,
    "", "a", "\0", "a\0b", "\0" * 50, "naïve ☃ 😀", "\ud800", "a\udfffb\0", "\ud83d\ude00",
    b"", b"a", b"\0", b"a\0b", bytes(range(256)), b"\xed\xa0\x80",
    (), (1, "a", None), ((), (1.5, (b"b", True))), frozenset(), frozenset([1, "a"]),
    [], [1, [2, [3]]], {}, {"a": {"b": [1]}}, {1: 2, None: 3, (1, 2): 4}, set(), {1, 2}, bytearray(b"a"), 1j,
    collections.OrderedDict(b=1, a=2), collections.defaultdict(list, a=[1]), collections.Counter("abca"),
    collections.deque([1, 2], 5),
    range(5), slice(1, 2), ..., int, len,
]  # fmt: skip

SUBCLASSES = [
    samples.Text("a"), samples.Bytes(b"a"), samples.Number(7), samples.Measure(7.5), samples.Mapping(a=1),
    samples.Level.HIGH, samples.Color.RED, samples.Point(1, 2), samples.Place("a", 1),
    samples.Text(""), samples.Bytes(b""), samples.Number(2**80), samples.Measure("-0.0"),
]  # fmt: skip

OF_SIZE = {
    "bytes": lambda size: b"\xff" * size,
    "bytes of NUL": bytes,
    "text": lambda size: "t" * size,
    "wide text": lambda size: "é" * (size // 2) + "t" * (size % 2),
    "text with a surrogate": lambda size: "t" * max(0, size - 3) + "\ud800",
    "bytearray": bytearray,
    "list": lambda size: ["t" * size],
    "bytes subclass": lambda size: samples.Bytes(b"b" * size),
    "text subclass": lambda size: samples.Text("t" * size),
    "integer": lambda size: 1 << (8 * size),
    "tuple": lambda size: (b"t" * size, 1),
}

POWERS = [2**power + step for power in (*range(6, 17), 18, 20, 22) for step in (-1, 0, 1)]


def no_pickle():
    return lambda: None


class Selfish:
    def __reduce__(self):
        raise ZeroDivisionError("cannot be pickled")


class ValueContract(StoreContract):
    @pytest.mark.parametrize("value", [*PLAIN, *SUBCLASSES], ids=show)
    def test_a_value_comes_back_as_it_went_in(self, store, open_store, value):
        store["a"] = value
        store["other"] = 1
        assert same(store["a"], value)
        assert same(store.get("a"), value)
        assert same(next(iter(store.values())), value)
        assert same(next(iter(store.items())), ("a", value))
        assert same(open_store()["a"], value)
        assert same(store.setdefault("a", 5), value)
        assert same(store.get_or_set("a", lambda: 5), value)
        assert same(store.popitem(last=False), ("a", value))
        assert store.add("a", value) is True
        assert same(store.pop("a", 5), value)
        assert same(store.setdefault("a", value), value)
        assert same(store.get_or_set("b", lambda: value), value)
        assert same(store["b"], value)

    @given(samples.values)
    @settings(max_examples=120)
    def test_any_value_comes_back_as_it_went_in(self, store, value):
        store["a"] = value
        assert same(store["a"], value)
        assert same(store.pop("a", None), value)

    @given(samples.values, samples.values)
    @settings(max_examples=50)
    def test_any_value_replaces_any_other(self, store, first, second):
        store["a"] = first
        store["a"] = second
        assert same(store["a"], second)
        assert len(store) == 1

    # sizes

    @pytest.mark.parametrize("kind", OF_SIZE)
    def test_values_of_all_sizes_come_back(self, store, kind):
        sizes = [0, 1, 2, 3, *POWERS]
        for size in sizes:
            store[size] = OF_SIZE[kind](size)
        for size in sizes:
            assert store[size] == OF_SIZE[kind](size)
        assert [key for key, _ in store.items()] == sizes
        assert store.check()

    @pytest.mark.parametrize("kind", OF_SIZE)
    def test_values_around_the_inline_limit_come_back(self, store, directory, kind):
        def in_a_file(size):
            store.clear()
            before = value_files(directory)
            store["a"] = OF_SIZE[kind](size)
            return bool(value_files(directory) - before)

        inside, outside = 0, 8_000_000
        assert in_a_file(outside)
        while outside - inside > 1:
            middle = (inside + outside) // 2
            if in_a_file(middle):
                outside = middle
            else:
                inside = middle
        store.clear()
        around = range(max(0, inside - 20), inside + 20)
        for size in around:
            store[size] = OF_SIZE[kind](size)
        for size in around:
            assert same(store[size], OF_SIZE[kind](size))
        for size in around:
            for other in (inside, outside, 0):
                store["a"] = OF_SIZE[kind](size)
                store["a"] = OF_SIZE[kind](other)
                assert same(store["a"], OF_SIZE[kind](other))
        store.clear()
        assert store.check(fix=True)
        assert value_files(directory) == set()

    def test_large_text_with_surrogates(self, store):
        for value in ("\ud800" * 1_000_000, "é\ud800\0" * 500_000, "\ud83d\ude00" * 300_000, "😀" * 400_000):
            store["a"] = value
            assert store["a"] == value

    def test_a_value_may_change_its_type_and_size(self, store, directory):
        values = [1, b"x" * 200_000, "text", None, [1] * 200_000, 1.5, "t" * 200_000, 2**80, b"", True]
        for first in values:
            for second in values:
                store["a"] = first
                store["a"] = second
                assert same(store["a"], second)
        assert len(store) == 1
        store.clear()
        assert store.check(fix=True)
        assert value_files(directory) == set()

    def test_equal_large_values_under_two_keys_are_independent(self, store):
        value = b"same" * 1_000_000
        store["a"] = value
        store["b"] = value
        del store["a"]
        assert store["b"] == value
        assert store.check(fix=True)
        assert store["b"] == value

    def test_a_value_of_a_large_key(self, store):
        key = ("k" * 100_000, 1)
        store[key] = b"v" * 3_000_000
        assert in_order(store) == [(key, b"v" * 3_000_000)]

    # copies

    @pytest.mark.parametrize("size", [1, 1_000_000])
    def test_mutable_values_are_copies_of_ones_own(self, store, size):
        mine = {"list": [1] * size, "bytes": bytearray(b"a")}
        store["a"] = mine
        mine["list"].append(2)
        mine["bytes"] += b"b"
        first = store["a"]
        assert first == {"list": [1] * size, "bytes": bytearray(b"a")}
        first["list"].append(3)
        first.clear()
        assert store["a"] == store.get("a") == {"list": [1] * size, "bytes": bytearray(b"a")}
        assert store["a"] is not store["a"]

    def test_what_setdefault_and_the_factory_gave_is_a_copy_too(self, store):
        mine = [1]
        store.setdefault("a", mine)
        mine.append(2)
        assert store["a"] == [1]
        store.get_or_set("b", lambda: mine)
        mine.append(3)
        assert store["b"] == [1, 2]

    # what cannot be stored

    @pytest.mark.parametrize(
        "value",
        [
            no_pickle(),
            [no_pickle()],
            Selfish(),
            (1, Selfish()),
            (n for n in ()),
            [b"x" * 3_000_000, no_pickle()],
        ],
        ids=show,
    )
    def test_a_value_that_cannot_be_stored_leaves_the_old_one(self, store, directory, value):
        store["a"] = b"old" * 1_000_000
        before = value_files(directory)
        for attempt in (
            lambda: store.set("a", value),
            lambda: store.__setitem__("a", value),
            lambda: store.add("b", value),
            lambda: store.setdefault("b", value),
            lambda: store.update(a=value),
            lambda: store.get_or_set("b", lambda: value),
        ):
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError, ZeroDivisionError)):
                attempt()
        assert in_order(store) == [("a", b"old" * 1_000_000)]
        assert value_files(directory) == before
        assert store.check()

    def test_a_value_that_cannot_be_stored_leaves_the_transaction_alone(self, store):
        with store.transact("a"):
            store["a"] = 1
            with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
                store["b"] = no_pickle()
            store["c"] = 2
        assert in_order(store) == [("a", 1), ("c", 2)]

    def test_a_value_that_refers_to_itself(self, store):
        value = [1]
        value.append(value)
        store["a"] = value
        back = store["a"]
        assert back[0] == 1
        assert back[1] is back


class HugeValueContract(StoreContract):
    def test_a_value_larger_than_a_gigabyte(self, store, directory):
        value = bytearray(ONE_GB)
        value[0], value[-1] = b"ae"
        value = bytes(value)
        store["a"] = value
        back = store["a"]
        assert back == value
        assert store.size() >= ONE_GB
        del back, value
        store["a"] = 1
        assert store["a"] == 1
        assert store.check(fix=True)
        assert value_files(directory) == set()
