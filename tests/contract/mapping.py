"""A store behaves like a dict."""

import collections.abc

import numpy as np
import pytest

from .store import StoreContract, in_order

MANY = 10_000
BIG = b"\x00big" * 1_000_000


class Lookup:
    """No mapping, but it has keys() and []: all that dict.update asks for."""

    def keys(self):
        return ["a", "b"]

    def __getitem__(self, key):
        return key.upper()


def added_while_iterating(store, view, direction):
    """The numbers met in one of the views while another entry is added for each."""
    met = []
    for entry in direction(getattr(store, view)()):
        assert len(met) < 5000, "meets what it adds"
        met.append(entry[0] if view == "items" else entry)
        store[f"added {len(met)}"] = met[-1]
    return sorted(met)


class MappingContract(StoreContract):
    # one entry

    def test_a_stored_value_is_found_in_every_way_there_is(self, store):
        store["a"] = 1
        assert store["a"] == 1
        assert store.get("a") == 1
        assert "a" in store
        assert store.exists("a") is True

    def test_an_absent_key_is_found_in_no_way_there_is(self, store):
        assert "a" not in store
        assert store.exists("a") is False
        assert store.get("a") is None
        assert store.get("a", "instead") == "instead"
        assert store.delete("a") is False

    @pytest.mark.parametrize("key", ["a", 7, b"b", None, (1, 2), (), 2**70, 1.5])
    def test_the_error_for_an_absent_key_carries_the_key(self, store, key):
        for access in (store.__getitem__, store.__delitem__):
            with pytest.raises(KeyError) as error:
                access(key)
            assert error.value.args == (key,)

    def test_set_says_true_and_replaces(self, store):
        assert store.set("a", 1) is True
        assert store.set("a", 2) is True
        assert store["a"] == 2
        assert len(store) == 1

    def test_add_sets_only_what_is_absent(self, store):
        assert store.add("a", 1) is True
        assert store.add("a", 2) is False
        assert store["a"] == 1

    def test_delete_says_whether_there_was_something(self, store):
        store["a"] = 1
        assert store.delete("a") is True
        assert store.delete("a") is False
        assert "a" not in store

    def test_del_removes(self, store):
        store["a"] = store["b"] = 1
        del store["a"]
        assert in_order(store) == [("b", 1)]

    def test_pop_hands_out_the_value_once(self, store):
        store["a"] = [1]
        assert store.pop("a", "gone") == [1]
        assert store.pop("a", "gone") == "gone"
        assert store.pop("a", default="gone") == "gone"
        assert len(store) == 0

    def test_setdefault_keeps_what_is_there(self, store):
        assert store.setdefault("a", 1) == 1
        assert store.setdefault("a", 2) == 1
        assert store.setdefault("b") is None
        assert in_order(store) == [("a", 1), ("b", None)]

    def test_none_as_a_value_is_no_miss(self, store):
        store["a"] = None
        assert store.get("a", "instead") is None
        assert store["a"] is None
        assert "a" in store
        assert store.setdefault("a", 1) is None
        assert store.add("a", 1) is False
        assert store.get_or_set("a", lambda: 1) is None
        assert store.pop("a", "instead") is None

    # get_or_set

    def test_get_or_set_asks_the_factory_only_for_what_is_absent(self, store):
        asked = []

        def factory():
            asked.append(True)
            return [len(asked)]

        assert store.get_or_set("a", factory) == [1]
        assert store.get_or_set("a", factory) == [1]
        assert len(asked) == 1
        assert store["a"] == [1]

    def test_a_factory_that_fails_leaves_nothing(self, store):
        with pytest.raises(ZeroDivisionError):
            store.get_or_set("a", lambda: 1 // 0)
        assert "a" not in store
        store["a"] = 1
        assert store["a"] == 1

    def test_a_factory_may_use_the_store(self, store):
        def factory():
            store["b"] = 2
            return store["b"] + 1

        assert store.get_or_set("a", factory) == 3
        assert store == {"a": 3, "b": 2}

    # counters

    def test_a_missing_counter_starts_from_the_default(self, store):
        assert store.incr("up") == 1
        assert store.decr("down") == -1
        assert store.incr("far", 5, 100) == 105
        assert store.decr("near", delta=5, default=100) == 95
        assert store == {"up": 1, "down": -1, "far": 105, "near": 95}

    def test_a_counter_counts_on(self, store):
        store["n"] = 40
        assert store.incr("n") == 41
        assert store.incr("n", 10) == 51
        assert store.decr("n", 100, 7) == -49
        assert store.incr("n", 0) == -49
        assert store["n"] == -49
        assert type(store["n"]) is int

    def test_counting_keeps_the_place(self, store):
        store.update(n=1, other=2)
        store.incr("n")
        assert in_order(store) == [("n", 2), ("other", 2)]

    @pytest.mark.parametrize("value", ["5", "text", b"5", 5j, None, [1], (1,), "", b"", BIG])
    def test_a_value_that_is_no_number_does_not_count_and_stays(self, store, value):
        store["a"] = value
        for count in (store.incr, store.decr):
            with pytest.raises(TypeError):
                count("a")
        assert store["a"] == value
        assert type(store["a"]) is type(value)

    def test_floats_count_too(self, store):
        assert store.incr("a", 0.5) == 0.5
        assert store.incr("a") == 1.5
        assert store.decr("a", 0.25, 7) == 1.25
        assert store.incr("b", 2, 0.5) == 2.5
        store["n"] = 40
        assert store.incr("n", 1.0) == 41.0
        assert type(store["n"]) is float
        assert store.incr("far", 1.5, 2**70) == float(2**70)
        assert store.incr("numpy", np.float64(0.5), np.int64(2)) == 2.5
        assert type(store["numpy"]) is float
        assert store.incr("numpy's", np.int64(3)) == 3

    @pytest.mark.parametrize("delta", [1, 0.5, 2**70])
    def test_without_a_default_there_has_to_be_a_number(self, store, delta):
        for count in (store.incr, store.decr):
            with pytest.raises(KeyError, match="absent"):
                count("absent", delta, None)
            with pytest.raises(KeyError, match="absent"):
                count("absent", delta, default=None)
        assert store == {}
        store["a"] = 1
        assert store.incr("a", delta, None) == 1 + delta

    @pytest.mark.parametrize("delta", ["1", None, b"1", 1j])
    def test_a_step_that_is_no_number_is_refused(self, store, delta):
        store["a"] = 1
        for key in ("a", "absent"):
            with pytest.raises(TypeError):
                store.incr(key, delta)
            with pytest.raises(TypeError):
                store.decr(key, delta)
        assert store == {"a": 1}

    @pytest.mark.parametrize("value", [2**63 - 1, 2**63, 2**64, 10**30])
    def test_a_counter_never_wraps_around(self, store, value):
        store["up"] = value
        store["down"] = -value
        for key, count, expected in (("up", store.incr, value + 1), ("down", store.decr, -value - 1)):
            try:
                assert count(key) == expected
                assert store[key] == expected
            except OverflowError:
                assert abs(store[key]) == value

    @pytest.mark.parametrize("delta", [2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1])
    def test_a_huge_step_never_wraps_around(self, store, delta):
        for count, expected in ((store.incr, delta), (store.decr, -delta)):
            store.clear()
            try:
                assert count("n", delta) == expected
                assert store["n"] == expected
            except OverflowError:
                assert "n" not in store

    # order

    def test_iteration_follows_insertion(self, store):
        for key in ("c", "a", "b"):
            store[key] = key.upper()
        assert list(store) == ["c", "a", "b"]
        assert list(reversed(store)) == ["b", "a", "c"]

    def test_an_update_keeps_the_place(self, store):
        store.update(c=1, a=2, b=3)
        store["c"] = "text"
        store.set("a", BIG)
        store.setdefault("b", 5)
        store.add("b", 6)
        assert list(store) == ["c", "a", "b"]

    def test_what_is_inserted_again_goes_to_the_end(self, store):
        store.update(c=1, a=2, b=3)
        del store["c"]
        store["c"] = 4
        assert list(store) == ["a", "b", "c"]
        store.pop("a", None)
        store.add("a", 5)
        assert list(store) == ["b", "c", "a"]

    def test_the_last_place_is_free_again_after_it_was_deleted(self, store):
        store.update(a=1, b=2, c=3)
        del store["c"]
        store["d"] = 4
        store["c"] = 5
        assert list(store) == ["a", "b", "d", "c"]

    def test_popitem_takes_the_last_or_the_first(self, store):
        store.update(a=1, b=2, c=3)
        assert store.popitem() == ("c", 3)
        assert store.popitem(last=False) == ("a", 1)
        assert store.popitem(last=True) == ("b", 2)
        with pytest.raises(KeyError):
            store.popitem()
        with pytest.raises(KeyError):
            store.popitem(last=False)

    # views

    def test_views_iterate_in_both_directions(self, store):
        pairs = [("c", 1), ("a", [2]), ("b", None)]
        store.update(pairs)
        assert list(store.keys()) == ["c", "a", "b"]
        assert list(store.values()) == [1, [2], None]
        assert list(store.items()) == pairs
        assert list(reversed(store.keys())) == ["b", "a", "c"]
        assert list(reversed(store.values())) == [None, [2], 1]
        assert list(reversed(store.items())) == pairs[::-1]

    def test_views_are_live(self, store):
        keys, values, items = store.keys(), store.values(), store.items()
        assert len(keys) == len(values) == len(items) == 0
        store.update(a=1, b=2)
        assert len(keys) == len(values) == len(items) == 2
        assert list(keys) == ["a", "b"]
        del store["a"]
        assert list(items) == [("b", 2)]
        assert list(values) == [2]

    def test_views_answer_what_they_contain(self, store):
        store.update(a=1, b=None)
        assert "a" in store.keys()  # noqa: SIM118 - the view is what is asked
        assert "c" not in store.keys()  # noqa: SIM118
        assert ("a", 1) in store.items()
        assert ("a", 2) not in store.items()
        assert ("c", 1) not in store.items()
        assert None in store.values()
        assert 2 not in store.values()

    def test_the_views_of_an_empty_store_are_empty(self, store):
        assert list(store) == list(store.keys()) == list(store.values()) == list(store.items()) == []
        assert list(reversed(store)) == []

    # many

    def test_update_takes_what_a_dict_takes(self, store, open_store, tmp_path):
        store.update({"a": 1})
        store.update([("b", 2), ["c", 3]])
        store.update(d=4, self=5, other=6)
        store.update({"a": 7}, b=8)
        store.update(iter([("e", 9)]))
        store.update()
        assert in_order(store) == [
            ("a", 7), ("b", 8), ("c", 3), ("d", 4), ("self", 5), ("other", 6), ("e", 9),
        ]  # fmt: skip
        store.update(Lookup())
        assert store["a"] == "A"
        other = open_store(tmp_path / "other")
        other.update(store)
        assert in_order(other) == in_order(store)

    @pytest.mark.parametrize("wrong", [5, [1], [(1, 2, 3)], ["abc"], None])
    def test_update_refuses_what_a_dict_refuses(self, store, wrong):
        with pytest.raises((TypeError, ValueError)):
            store.update(wrong)
        assert len(store) == 0

    def test_clear_says_how_many_there_were(self, store):
        assert store.clear() == 0
        store.update(a=1, b=BIG, c=3)
        assert store.clear() == 3
        assert len(store) == 0
        assert list(store) == []
        assert store.get("a") is None
        store["a"] = 1
        assert in_order(store) == [("a", 1)]

    def test_len_and_count_follow_every_change(self, store):
        lengths = [len(store)]
        for change in (
            lambda: store.set("a", 1),
            lambda: store.set("a", 2),
            lambda: store.add("b", 3),
            lambda: store.incr("c"),
            lambda: store.update(d=4, e=5),
            lambda: store.delete("a"),
            lambda: store.pop("b", None),
            store.popitem,
            store.clear,
        ):
            change()
            assert store.count() == len(store) == len(list(store))
            lengths.append(len(store))
        assert lengths == [0, 1, 1, 2, 3, 5, 4, 3, 2, 0]

    def test_ten_thousand_entries_come_back_in_order(self, store):
        pairs = [(f"key {number}", number) for number in range(MANY)]
        store.update(pairs)
        assert len(store) == MANY
        assert list(store) == [key for key, _ in pairs]
        assert list(store.values()) == list(range(MANY))
        assert in_order(store) == pairs
        assert list(reversed(store.items())) == pairs[::-1]
        assert store == dict(pairs)

    def test_ten_thousand_entries_with_gaps_come_back_in_order(self, store):
        store.update((number, number) for number in range(MANY))
        with store.transact("a"):
            for number in range(0, MANY, 3):
                del store[number]
            for number in range(0, MANY, 6):
                store[number] = -number
        expected = {number: number for number in range(MANY) if number % 3}
        expected.update((number, -number) for number in range(0, MANY, 6))
        assert in_order(store) == list(expected.items())
        assert list(reversed(store)) == list(reversed(expected))

    # iteration while the store changes

    @pytest.mark.parametrize("direction", [iter, reversed])
    @pytest.mark.parametrize("view", ["keys", "items"])
    def test_deleting_each_key_as_it_comes_visits_all(self, store, direction, view):
        store.update((number, number) for number in range(1000))
        seen = []
        for entry in direction(getattr(store, view)()):
            key = entry if view == "keys" else entry[0]
            seen.append(key)
            del store[key]
        assert sorted(seen) == list(range(1000))
        assert len(store) == 0

    @pytest.mark.parametrize("direction", [iter, reversed])
    def test_each_key_left_alone_is_seen_exactly_once(self, store, direction):
        store.update((number, number) for number in range(1000))
        seen = []
        for key in direction(store):
            seen.append(key)
            if isinstance(key, int) and key % 10 == 0:
                store.pop(key + 1, None)
                store[key + 2] = "changed"
                store.delete(key + 3)
                store[key + 3] = "again"
                store.add(f"new {key}", None)
            assert len(seen) < 5000, "iteration never ends"
        numbers = [key for key in seen if isinstance(key, int)]
        untouched = [number for number in range(1000) if number % 10 not in (1, 3)]
        assert sorted(number for number in numbers if number % 10 not in (1, 3)) == untouched

    @pytest.mark.parametrize("direction", [iter, reversed])
    @pytest.mark.parametrize("view", ["keys", "values", "items"])
    def test_what_is_added_while_iterating_is_not_met(self, store, view, direction):
        store.update((number, number) for number in range(900))
        assert added_while_iterating(store, view, direction) == list(range(900))
        assert len(store) == 1800

    def test_a_store_can_be_updated_from_itself(self, store):
        store.update((number, 1) for number in range(3000))
        store.update((f"copy of {key}", value) for key, value in store.items())
        assert len(store) == 6000

    def test_clear_ends_an_iteration(self, store):
        store.update((number, number) for number in range(1000))
        iterator = iter(store.items())
        assert next(iterator) == (0, 0)
        store.clear()
        assert all(0 < key < 1000 for key, _ in iterator)
        assert list(store) == []

    def test_two_iterations_do_not_disturb_each_other(self, store):
        store.update((number, number) for number in range(300))
        assert list(zip(store, store.values(), reversed(store), strict=True)) == [
            (number, number, 299 - number) for number in range(300)
        ]

    def test_an_iteration_may_be_abandoned(self, store):
        store.update((number, BIG if number == 500 else number) for number in range(1000))
        for _ in range(50):
            next(iter(store.items()))
        store["more"] = 1
        assert store.clear() == 1001

    # as a whole

    def test_a_store_equals_the_mapping_it_holds(self, store, open_store, tmp_path):
        store.update(a=1, b=[2])
        assert store == {"a": 1, "b": [2]}
        assert store == {"b": [2], "a": 1}
        assert store == {"a": 1, "b": [2]}
        assert store == {"a": True, "b": [2.0]}
        other = open_store(tmp_path / "other")
        assert store != other
        other.update(b=[2], a=1)
        assert store == other

    @pytest.mark.parametrize(
        "other",
        [
            {},
            {"a": 1},
            {"a": 1, "b": [3]},
            {"a": 1, "c": [2]},
            {"a": 1, "b": [2], "c": 3},
            [("a", 1), ("b", [2])],
            7,
            None,
        ],
    )
    def test_a_store_differs_from_everything_else(self, store, other):
        store.update(a=1, b=[2])
        assert store != other
        assert other != store
        assert not store == other  # noqa: SIM201 - that is another method

    def test_two_empty_stores_are_equal(self, store, open_store, tmp_path):
        assert store == {}
        assert store == open_store(tmp_path / "other")

    def test_a_store_cannot_be_hashed(self, store):
        with pytest.raises(TypeError):
            hash(store)

    def test_a_store_is_a_mutable_mapping(self, store):
        assert isinstance(store, collections.abc.MutableMapping)
        assert issubclass(self.store_type, collections.abc.MutableMapping)

    def test_a_dict_can_be_made_of_it(self, store):
        store.update(a=1, b=2)
        assert dict(store) == {"a": 1, "b": 2}
        assert {**store} == {"a": 1, "b": 2}

    def test_size_is_the_bytes_of_the_values(self, store):
        assert store.size() == 0
        store["a"] = b"x" * 100
        store["b"] = b"y" * 5_000_000
        assert store.size() == 5_000_100
        store["b"] = "z" * 50
        assert store.size() == 150
        store.clear()
        assert store.size() == 0

    def test_volume_grows_with_what_is_stored(self, store):
        empty = store.volume()
        store["a"] = bytes(5_000_000)
        assert store.volume() >= empty + 5_000_000

    def test_the_properties_say_how_it_was_opened(self, open_store, directory):
        store = open_store(directory, timeout=1.5)
        assert store.directory == str(directory)
        assert store.timeout == 1.5
        assert isinstance(store.serializer.name, str)
