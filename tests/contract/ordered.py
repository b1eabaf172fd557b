"""Keys in their own order: ranges, prefixes, both directions; and the newest and the oldest entry."""

import decimal
import math
import sqlite3
import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcache
from fastcache.engine.sqlite import sql

from ..together import together
from .store import StoreContract

MARK = b"\xfcfc\x01"

# What meets near the ends of everything: other types, other signs, what is encoded.
NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=True).filter(
    lambda number: math.isinf(number) or -(2.0**63) <= number < 2.0**63
)
TEXTS = st.text("ab\x00\x7f\x80\ud7ff\ue000\U0010ffff", max_size=3)
BYTES = st.binary(max_size=2) | st.sampled_from([b"", b"\xfc", b"\xfcf", b"\xfcfc", b"\xfd", b"\xff", b"\xff\xff"])
PLAIN = NUMBERS | st.integers(-3, 3) | TEXTS | BYTES
MARKED = st.binary(max_size=2).map(lambda end: MARK + end)
TUPLES = st.lists(st.sampled_from(["a", "b", 1, 2.5, None, b"x", ("a",)]), max_size=3).map(tuple)


def place(key):
    return (1, key) if isinstance(key, str) else (2, key) if isinstance(key, bytes) else (0, key)


def begins(key, prefix):
    return type(key) is type(prefix) and key[: len(prefix)] == prefix


class OrderedContract(StoreContract):
    def test_keys_items_and_values_come_in_the_order_of_keys(self, store):
        store.update({"b": 1, "a": 2, "c": 3, 10: 4, 2: 5, 2.5: 6, b"b": 7})
        assert list(store.keys(reverse=False)) == [2, 2.5, 10, "a", "b", "c", b"b"]
        assert list(store.keys(reverse=True)) == [b"b", "c", "b", "a", 10, 2.5, 2]
        assert list(store.items(start="a", stop="c")) == [("a", 2), ("b", 1)]
        assert list(store.values(start="a", stop="c", reverse=True)) == [1, 2]
        assert list(store.keys(start=2.25, stop="b")) == [2.5, 10, "a"]
        assert list(store.values(prefix="b")) == [1]

    def test_what_is_asked_for_is_a_view_for_both_directions(self, store):
        view = store.keys(start=1)
        assert list(view) == []
        store.update({3: "c", 2: "b", 0: "a"})
        assert list(view) == list(view) == [2, 3]
        assert list(reversed(view)) == [3, 2]
        assert list(reversed(store.keys(start=1, reverse=True))) == [2, 3]
        assert "keys" in repr(view)

    @given(keys=st.lists(PLAIN, max_size=12), start=st.none() | PLAIN, stop=st.none() | PLAIN, backward=st.booleans())
    @settings(max_examples=60)
    def test_any_range_is_what_sorting_gives(self, store, keys, start, stop, backward):
        store.clear()
        store.update((key, repr(key)) for key in keys)
        expected = sorted(store, key=place, reverse=backward)
        if start is not None:
            expected = [key for key in expected if place(key) >= place(start)]
        if stop is not None:
            expected = [key for key in expected if place(key) < place(stop)]
        assert list(store.keys(start=start, stop=stop, reverse=backward)) == expected
        assert list(store.items(start=start, stop=stop, reverse=backward)) == [(key, store[key]) for key in expected]

    @given(
        keys=st.lists(TEXTS | BYTES | MARKED | TUPLES, max_size=12),
        prefix=TEXTS | BYTES | MARKED | st.sampled_from([MARK[:3], MARK]) | TUPLES,
        backward=st.booleans(),
    )
    @settings(max_examples=100)
    def test_any_prefix_finds_what_begins_so_and_nothing_else(self, store, keys, prefix, backward):
        store.clear()
        store.update((key, 1) for key in [*keys, None, 1, frozenset("a"), 1 << 70])
        found = list(store.keys(prefix=prefix, reverse=backward))
        assert set(found) == {key for key in store if begins(key, prefix)}
        assert len(found) == len(set(found))
        assert found == list(reversed(store.keys(prefix=prefix, reverse=not backward)))
        if isinstance(prefix, str) or (isinstance(prefix, bytes) and not any(key[:4] == MARK for key in found)):
            assert found == sorted(found, reverse=backward)
        if isinstance(prefix, tuple):
            assert [len(key) for key in found] == sorted(map(len, found), reverse=backward)

    def test_a_prefix_and_ends_are_met_together(self, store):
        store.update((f"user:{number}", number) for number in range(10))
        store["page:1"] = 1
        assert list(store.values(prefix="user:", start="user:3", stop="user:6")) == [3, 4, 5]
        assert list(store.values(prefix="user:", start="a", stop="z")) == list(range(10))
        assert list(store.values(prefix="user:", start="user:8", reverse=True)) == [9, 8]
        assert list(store.values(prefix="user:", stop="p")) == []

    def test_what_stands_for_plain_keys_stands_for_an_end(self, store):
        store.update({1: "a", 2: "b", 3: "c"})
        assert list(store.keys(start=decimal.Decimal(2))) == [2, 3]
        assert list(store.keys(start=True, stop=2)) == [1]
        assert list(store.keys(start=-math.inf, stop=math.inf)) == [1, 2, 3]

    def test_what_has_no_order_is_refused(self, store):
        for options in (
            {"prefix": 1},
            {"prefix": 1.5},
            {"prefix": frozenset()},
            {"prefix": "\ud800"},
            {"start": (1,)},
            {"stop": frozenset()},
            {"start": 1 << 64},
            {"stop": "\ud800"},
            {"start": MARK},
            {"start": [1]},
            {"prefix": ("a",), "start": "b"},
            {"prefix": ([],)},
        ):
            for method in (store.keys, store.values, store.items):
                with pytest.raises(TypeError):
                    method(**options)
        with pytest.raises(ValueError, match="NaN"):
            store.keys(start=math.nan)
        with pytest.raises(TypeError):
            store.keys("a")

    @pytest.mark.parametrize("backward", [False, True])
    def test_many_come_in_order_with_large_values_among_them(self, store, backward):
        numbers = range(3000)
        _ = [store.set(number, b"x" * 70_000 if number % 600 == 7 else number) for number in (7, 2407, 1207)]
        store.update((number * 7 % 3000, number * 7 % 3000) for number in numbers if number * 7 % 3000 % 600 != 7)
        store.update({607: b"x" * 70_000, 1807: b"x" * 70_000})
        expected = sorted(numbers, reverse=backward)
        assert list(store.keys(reverse=backward)) == expected
        assert [key if value in (key, b"x" * 70_000) else None for key, value in store.items(reverse=backward)] == (
            expected
        )

    def test_what_is_added_while_iterating_is_not_met_and_what_is_deleted_is_not_shown(self, store):
        store.update((number, number) for number in range(0, 400, 2))
        found = []
        for key, value in store.items(start=0):
            found.append(key)
            store[key + 1] = value
            if key == 0:
                store.delete_many(range(200, 400))
        assert found == list(range(0, 200, 2))

    def test_what_a_transaction_has_set_is_there(self, store):
        with store.transact(1):
            store[1] = "a"
            if getattr(store, "shards", 1) == 1:
                assert list(store.items(start=0)) == [(1, "a")]
        assert list(store.items(start=0)) == [(1, "a")]

    def test_what_cannot_be_decoded_is_left_out_or_told(self, store, request):
        module = types.ModuleType("models_of_a_release_before")
        sys.modules[module.__name__] = module
        request.addfinalizer(lambda: sys.modules.pop(module.__name__, None))
        exec("class User:\n    pass\n", vars(module))
        store.update({"a": 1, "b": module.User(), "c": 3})
        sys.modules.pop(module.__name__)
        told = []
        with self.store_type(store.directory, memory=0) as again:
            assert list(again.items(lambda key, error: told.append((key, type(error))), start="a")) == [
                ("a", 1),
                ("c", 3),
            ]
            assert told == [("b", fastcache.DecodeError)]
            assert list(again.values("skip", reverse=True)) == [3, 1]
            assert list(again.keys(start="a")) == ["a", "b", "c"]
            with pytest.raises(fastcache.DecodeError):
                list(again.items("raise", start="a"))
            with pytest.raises(ValueError, match="on_error"):
                again.items("ignore", start="a")
        store.delete("b")

    @pytest.mark.leaves_damage
    def test_planted_keys_that_are_no_tuples_end_no_search(self, store, directory):
        store.update({("a",): 1, ("a", "b"): 2, ("b",): 3})
        database = sqlite3.connect(directory / "cache.db")
        for end in (b"", b"\0\0", b"\x01", b"\0\0\0\x02S", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff"):
            database.execute("INSERT INTO entry (key, codec, size, value) VALUES (?, 0, 1, 1)", (MARK + b"T" + end,))
        database.commit()
        for backward in (False, True):
            for prefix, expected in ((("a",), [("a",), ("a", "b")]), ((), [("a",), ("b",), ("a", "b")])):
                found = list(store.keys(prefix=prefix, reverse=backward))
                assert found == (expected[::-1] if backward else expected)
        database.close()

    def test_an_iteration_outlives_the_object_of_a_temporary_store(self):
        keys = iter(self.store_type(None).keys(start=1))
        items = self.store_type(None, memory=0)
        items.update((number, number) for number in range(1000))
        pairs = iter(items.items(start=1))
        del items
        assert list(keys) == []
        assert len(list(pairs)) == 999

    def test_in_a_thread_beside_a_writer_they_come_in_order(self, store):
        store.update((number, 0) for number in range(1000))

        def write():
            for number in range(3000):
                store[number % 1000] = number

        def look():
            for _ in range(5):
                assert list(store.keys(reverse=True)) == list(range(999, -1, -1))

        together(write, look)

    def test_what_is_not_asked_for_is_not_read(self, store, directory):
        store["a"] = 1
        database = sqlite3.connect(directory / "cache.db")
        for (_, _, low, has_high), text in sql.SCAN_IN_ORDER.items():
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {text}", [None] * 8)]
            by = "SEARCH entry USING INDEX entry_key" if low or has_high else "SCAN entry USING INDEX entry_key"
            assert len(plan) == 1, plan
            assert plan[0].startswith(by), plan
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql.FIRST_AND_LAST_KEY}")]
        assert plan.count("SEARCH entry USING COVERING INDEX entry_key") == 2, plan
        database.close()

    # -- the newest and the oldest -----------------------------------------------------------------------------

    def test_peekitem_is_what_popitem_would_take(self, store):
        store.update({"b": 1, "a": b"x" * 100_000, "c": [3]})
        for last in (True, False):
            for _ in range(2):
                found = store.peekitem(last)
                assert found == store.peekitem(last=last)
            assert store.popitem(last) == found
        assert len(store) == 1
        store.clear()
        with pytest.raises(KeyError, match="empty"):
            store.peekitem()


class CacheOrderedContract(StoreContract):
    def test_what_has_expired_is_not_there(self, open_store, clock):
        store = open_store(timer=clock)
        for number in range(100):
            store.set(number, number, expire=10 if number % 3 else None)
        clock.advance(20)
        expected = [number for number in range(100) if number % 3 == 0]
        assert list(store.keys(start=0)) == expected
        assert list(store.values(reverse=True)) == expected[::-1]
        assert store.peekitem()[1] in expected
        store.set((1,), 1, expire=5)
        clock.advance(6)
        assert list(store.keys(prefix=())) == []

    def test_peekitem_tells_expiry_and_tag(self, open_store, clock):
        store = open_store(timer=clock)
        store.set("a", 1, expire=10, tag="t")
        moment = store.get("a", expire_time=True)[1]
        assert store.peekitem(expire_time=True, tag=True) == (("a", 1), moment, "t")
        assert store.peekitem(tag=True) == (("a", 1), "t")
        assert store.peekitem(expire_time=True) == (("a", 1), moment)
