"""Two keys are one entry exactly when a dict says so, and every key comes back as it went in."""

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from .. import samples
from ..samples import same, show
from .store import StoreContract, in_order, keys_in_order, values_in_order

NAN = math.nan

ONE_KEY = [
    (1, 1.0, True),
    (0, 0.0, -0.0, False),
    (-1, -1.0),
    (2**53, 2.0**53),
    (-(2**63), -(2.0**63)),
    (2**63, 2.0**63),
    (2**64, 2.0**64),
    (2**70, 2.0**70),
    (2**127, 2.0**127),
    (int(1e23), 1e23),
    (int(1e308), 1e308),
    ((1, "a"), (1.0, "a"), (True, "a")),
    ((0, (0.0,)), (False, (-0.0,))),
    ((2**70,), (2.0**70,)),
    (frozenset([1, 2]), frozenset([2.0, True])),
    (frozenset(["a", "b", "c"]), frozenset(["c", "b", "a"])),
    (frozenset([(1,)]), frozenset([(1.0,)])),
    ("a", samples.Text("a")),
    (b"a", samples.Bytes(b"a")),
    (7, samples.Number(7), samples.Measure(7.0), 7.0),
    (7.5, samples.Measure(7.5)),
    (2**70, samples.Number(2**70), samples.Measure(2.0**70)),
    (samples.Level.LOW, 1, True),
    ((samples.Level.HIGH, samples.Text("a")), (2, "a")),
    ((1.5, 2.0), samples.Point(1.5, 2)),
]

TWO_KEYS = [
    ("a", b"a"),
    ("", b""),
    ("", None),
    ("", 0),
    ("", ()),
    (0, None),
    ("None", None),
    ("1", 1),
    (b"1", 1),
    ("1.5", 1.5),
    ("a", "a\0"),
    ("a\0", "a\0b"),
    ("\0", ""),
    (b"\0", b""),
    (b"a", b"a\0"),
    ("a", "A"),
    ("a", "a "),
    ("é", "e\u0301"),
    ("\ud83d\ude00", "😀"),
    ("\ud800", "\udc00"),
    ("\ud800", "\ufffd"),
    ("\ud800", "?"),
    ("\ud800", b"\xed\xa0\x80"),
    (2**53, 2**53 + 1),
    (2**53 + 1, 2.0**53),
    (2**63 - 1, 2.0**63),
    (2**63 - 1, 2**63),
    (2**63, 2**63 + 1),
    (2**64 + 1, 2.0**64),
    (-(2**63), -(2**63) - 1),
    (-(2**63) - 1, -(2.0**63)),
    (2**70, -(2**70)),
    (2**70, str(2**70)),
    (2**2000, 2**2000 + 1),
    (2**2000, math.inf),
    (0.1, 0.1 + 1e-17 * 2),
    (5e-324, 0),
    (math.inf, -math.inf),
    (math.inf, "inf"),
    ((), (None,)),
    ((), frozenset()),
    ((1,), 1),
    ((1,), frozenset([1])),
    ((1, 2), (2, 1)),
    (("a", "b"), ("ab",)),
    (("a", "b"), ("a\0b",)),
    (("a", "b"), ("ab", "")),
    (("a",), (b"a",)),
    (((1, 2), 3), (1, (2, 3))),
    (((1, 2), 3), (1, 2, 3)),
    (((),), ()),
    (((), ()), ((),)),
    ((None,), ("",)),
    ((2**70,), (str(2**70),)),
    (("\ud800",), ("\ufffd",)),
    (("\ud83d\ude00",), ("😀",)),
    ((2**53,), (2**53 + 1,)),
    (frozenset([1]), frozenset([(1,)])),
    (frozenset([frozenset()]), frozenset()),
    (frozenset(["a", "b"]), frozenset(["ab"])),
    (samples.Color.RED, "red"),
    (samples.Color.RED, samples.Color.GREEN),
    (samples.Place("a", 1), samples.Place("a", 2)),
    (samples.Place("a", 1), ("a", 1)),
    (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)),
    (samples.Level.LOW, samples.Level.HIGH),
    (1j, 1),
]


class Refusing:
    """It can be hashed, but equals nothing."""


class Forgetful:
    """It can be pickled, but comes back as something else."""

    def __reduce__(self):
        return (dict, ())


@dataclasses.dataclass(frozen=True)
class Query:
    """It equals itself anywhere, but a set's order is another one in each process."""

    fields: frozenset


class Mood(str, enum.Enum):
    GOOD = "good"


class KeyContract(StoreContract):
    @pytest.mark.parametrize("same_keys", ONE_KEY, ids=lambda group: show(group[0]))
    def test_what_is_one_key_for_a_dict_is_one_key(self, store, same_keys):
        assert len(dict.fromkeys(same_keys)) == 1, "the test itself is wrong"
        for first in same_keys:
            for second in same_keys:
                store.clear()
                store[first] = "first"
                assert store.get(second) == "first"
                assert store[second] == "first"
                assert second in store
                assert store.add(second, "no") is False
                store[second] = "second"
                assert in_order(store) == [(first, "second")]
                assert store.delete(second) is True
                assert first not in store

    @pytest.mark.parametrize("two_keys", TWO_KEYS, ids=lambda pair: f"{show(pair[0])} {show(pair[1])}")
    def test_what_are_two_keys_for_a_dict_are_two_keys(self, store, two_keys):
        assert len(dict.fromkeys(two_keys)) == 2, "the test itself is wrong"
        for one, other in (two_keys, two_keys[::-1]):
            store.clear()
            store[one] = 1
            assert other not in store
            assert store.get(other) is None
            store[other] = 2
            assert in_order(store) == [(one, 1), (other, 2)]
            assert store.delete(one) is True
            assert store[other] == 2

    @given(st.lists(samples.keys, max_size=12))
    @settings(max_examples=100)
    def test_any_keys_make_the_same_mapping_as_in_a_dict(self, store, keys):
        self._is_like_a_dict(store, keys)

    @given(st.lists(samples.crowded_keys, max_size=20))
    @settings(max_examples=200)
    @example([2**53, 2.0**53, 2**53 + 1, float(2**53 + 1)])
    @example([(1, 1.0), (True, 1), (1, 1)])
    def test_keys_that_nearly_meet_make_the_same_mapping_as_in_a_dict(self, store, keys):
        self._is_like_a_dict(store, keys)

    def _is_like_a_dict(self, store, keys):
        store.clear()
        model = {}
        for number, key in enumerate(keys):
            assert (key in store) == (key in model)
            store[key] = model[key] = number
        assert in_order(store) == list(model.items())
        assert store == model
        for key in keys:
            assert store[key] == model[key]
        for key in keys[::2]:
            assert store.pop(key, None) == model.pop(key, None)
        assert in_order(store) == list(model.items())

    @given(samples.keys)
    @settings(max_examples=150)
    def test_a_key_comes_back_equal(self, store, key):
        store.clear()
        store[key] = 1
        (back,) = store
        assert back == key
        assert hash(back) == hash(key)
        assert isinstance(back, (int, float)) or type(back) is type(key)

    @pytest.mark.parametrize("number", samples.NUMBERS, ids=str)
    def test_an_integer_and_the_float_next_to_it_are_told_apart_as_in_a_dict(self, store, number):
        numbers = [
            number,
            float(number),
            math.nextafter(float(number), math.inf),
            math.nextafter(float(number), -math.inf),
        ]
        self._is_like_a_dict(store, numbers)
        self._is_like_a_dict(store, numbers[::-1])
        self._is_like_a_dict(store, [(one,) for one in numbers])

    @pytest.mark.parametrize("key", samples.OTHER_KEYS, ids=show)
    def test_anything_else_that_is_hashable_and_comes_back_equal_is_a_key(self, store, open_store, key):
        store["before"] = 0
        store[key] = 1
        assert store[key] == 1
        assert key in store
        assert store.add(key, 2) is False
        assert in_order(store) == [("before", 0), (key, 1)]
        assert same(list(store)[1], key)
        assert open_store()[key] == 1
        assert store.incr(key) == 2
        assert store.pop(key, None) == 2
        with pytest.raises(KeyError) as error:
            store[key]
        assert error.value.args == (key,)

    def test_all_of_them_together_are_as_many_as_in_a_dict(self, store):
        model = {key: number for number, key in enumerate(samples.OTHER_KEYS)}
        store.update(model)
        assert in_order(store) == list(model.items())

    @pytest.mark.parametrize(
        "key",
        [
            samples.Text("a"),
            samples.Bytes(b"a"),
            samples.Number(7),
            samples.Measure(7.5),
            samples.Level.HIGH,
            Mood.GOOD,
        ],
        ids=show,
    )
    def test_a_subclass_of_a_native_type_is_a_key(self, store, key):
        store[key] = 1
        assert store[key] == 1
        assert in_order(store) == [(key, 1)]

    def test_numbers_of_other_types_are_found_again(self, store):
        for key in (decimal.Decimal("0.1"), fractions.Fraction(1, 3)):
            store[key] = str(key)
            assert store[key] == str(key)
        assert len(store) == 2

    @pytest.mark.parametrize(
        "key",
        [NAN, -NAN, (NAN,), (1, (NAN,)), frozenset([NAN]), (frozenset([(NAN, 1)]),), samples.Measure("nan")],
        ids=show,
    )
    def test_nan_is_no_key(self, store, key):
        store["a"] = 1
        for attempt in (
            lambda: store.set(key, 1),
            lambda: store.__setitem__(key, 1),
            lambda: store.add(key, 1),
            lambda: store.get(key),
            lambda: store[key],
            lambda: key in store,
            lambda: store.incr(key),
            lambda: store.delete(key),
            lambda: store.setdefault(key, 1),
            lambda: store.update([(key, 1)]),
            lambda: store.pop(key, None),
            lambda: store.get_or_set(key, lambda: 1),
        ):
            with pytest.raises(ValueError, match=r"(?i)nan"):
                attempt()
        assert store == {"a": 1}

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            ([1], "list"),
            ({}, "dict"),
            ({1}, "set"),
            (bytearray(b"a"), "bytearray"),
            (([1],), "tuple|list"),
            ((1, (2, {})), "tuple|dict"),
            (slice([]), "slice|list"),
        ],
        ids=show,
    )
    def test_what_cannot_be_hashed_is_refused_by_its_type(self, store, key, name):
        for attempt in (
            lambda: store.set(key, 1),
            lambda: store.add(key, 1),
            lambda: store.get(key),
            lambda: store[key],
            lambda: key in store,
            lambda: store.delete(key),
            lambda: store.incr(key),
        ):
            with pytest.raises(TypeError, match=name):
                attempt()
        assert len(store) == 0

    @pytest.mark.parametrize(
        "key", [object(), Refusing(), Forgetful(), lambda: None, (1, object()), iter([])], ids=lambda _: ""
    )
    def test_what_does_not_come_back_equal_is_refused_by_its_type(self, store, key):
        name = "object" if isinstance(key, tuple) else type(key).__name__
        for attempt in (lambda: store.set(key, 1), lambda: store.add(key, 1), lambda: store.update({key: 1})):
            with pytest.raises(TypeError, match=name):
                attempt()
        assert len(store) == 0

    @pytest.mark.parametrize("key", [object(), Forgetful(), (1, object())], ids=lambda _: "")
    def test_what_does_not_come_back_equal_is_not_there(self, store, key):
        store["k"] = 1
        assert key not in store
        assert not store.exists(key)

    @pytest.mark.parametrize(
        "key",
        [
            Query(frozenset(["alpha", "beta", "gamma"])),
            Query(frozenset([8, 16])),
            Query(frozenset()),
            (1, Query(frozenset(["a"]))),
            samples.Place("a", frozenset(["b", "c"])),
            Query((1, (frozenset("ab"),))),
        ],
        ids=show,
    )
    def test_what_hides_a_set_is_refused_by_its_type(self, store, key):
        name = "Place" if isinstance(key, samples.Place) else "Query"
        for attempt in (
            lambda: store.set(key, 1),
            lambda: store.add(key, 1),
            lambda: store.get(key),
            lambda: key in store,
            lambda: store.update({key: 1}),
        ):
            with pytest.raises(TypeError, match=name):
                attempt()
        assert len(store) == 0
        store[Query(("a", "b"))] = 1
        assert store[Query(("a", "b"))] == 1

    @given(st.lists(samples.keys, min_size=1, max_size=5))
    @settings(max_examples=30)
    def test_bytes_that_look_like_a_pickled_key_are_a_key_of_their_own(self, store, keys):
        store.clear()
        model = {}
        for key in keys:
            for protocol in (2, 4, 5):
                for one in (key, pickle.dumps(key, protocol), (pickle.dumps(key, protocol),)):
                    store[one] = model[one] = len(model)
        assert store == model

    def test_bytes_that_equal_what_is_stored_for_another_key_are_a_key_of_their_own(self, open_store, directory, start):
        keys = [
            (1, "a"), (), (None,), ((1.5, b"b"), "c"), frozenset([1, "a"]), frozenset(), None,
            2**70, -(2**70), "\ud800", "a\0b", 2.0**70, True, samples.Color.RED, samples.Place("a", 1),
            (samples.Color.RED,), ("\ud800", 2**64),
        ]  # fmt: skip
        model = {key: number for number, key in enumerate(keys)}
        with open_store() as store:
            store.update(model)
        stored = [bytes.fromhex(blob) for blob in start("blobs", str(directory)).finish()]
        assert stored
        texts = [blob.decode("utf-8", "surrogatepass") for blob in stored if blob.isascii()]
        store = open_store()
        for blob in (*stored, *texts):
            assert blob not in store
        for blob in (*stored, *texts):
            store[blob] = model[blob] = len(model)
        assert in_order(store) == list(model.items())

    @pytest.mark.parametrize("length", [100, 1000, 10_000, 1_000_000])
    def test_long_keys(self, store, length):
        keys = ["k" * length, "k" * (length - 1) + "j", b"k" * length, ("k" * length,), 2**length]
        model = {key: number for number, key in enumerate(keys)}
        store.update(model)
        assert values_in_order(store) == list(model.values())
        assert keys_in_order(store) == list(model)
        assert store["k" * length] == 0

    @pytest.mark.parametrize("depth", [10, 100, 5_000])
    def test_a_deeply_nested_key_is_kept_or_refused(self, store, depth):
        key = ()
        for _ in range(depth):
            key = (key,)
        try:
            store[key] = 1
        except (RecursionError, ValueError, TypeError):
            assert depth > 100
            assert len(store) == 0
        else:
            assert store[key] == 1
            assert key[0] not in store
