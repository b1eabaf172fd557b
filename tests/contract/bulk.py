"""Many entries in one call: one transaction, by the rules of single operations."""

import contextlib
import math
import os
import pickle
import threading

import pytest

import fastcache

from .. import samples
from ..samples import same, show
from ..together import in_a_thread, together
from ..workers.described import described, generation
from .concurrency import all_at_once
from .mapping import Lookup
from .store import StoreContract, in_order, keys_in_order, value_files, values_in_order
from .values import PLAIN, SUBCLASSES, Selfish, no_pickle

IN_A_FILE = b"file" * 40_000
BIG = b"big!" * 500_000

FORMS = {
    "a dict": dict,
    "items of a dict": lambda pairs: dict(pairs).items(),
    "a list of tuples": list,
    "a tuple of lists": lambda pairs: tuple(map(list, pairs)),
    "a generator": lambda pairs: (pair for pair in pairs),
    "an iterator": iter,
}

KEYS = {
    "a list": list,
    "a tuple": tuple,
    "a generator": lambda keys: (key for key in keys),
    "a dict": dict.fromkeys,
    "keys of a dict": lambda keys: dict.fromkeys(keys).keys(),
}

NO_ITEMS = {
    "a value that cannot be stored": ("secret", no_pickle()),
    "a large value that cannot be stored": ("secret", [b"x" * 3_000_000, no_pickle()]),
    "a value that fails by itself": ("secret", Selfish()),
    "a key that cannot be hashed": (["secret"], 1),
    "a key that cannot be stored": (no_pickle(), "secret"),
    "a key that equals nothing": (math.nan, "secret"),
    "a number": 5,
    "a triple": ("secret", 2, 3),
    "a single": ("secret",),
    "an empty tuple": (),
    "none": None,
    "a word": "secret",
}
REFUSALS = (TypeError, ValueError, AttributeError, pickle.PicklingError, ZeroDivisionError)

STORE_MANY = ("set_many", "add_many")


class Oops(Exception):
    pass


def interrupted(items, act):
    """The items, with something happening after the first half of them."""
    items = list(items)
    yield from items[: len(items) // 2]
    act()
    yield from items[len(items) // 2 :]


def fail(error):
    raise error


class BulkContract(StoreContract):
    # what it takes and what it gives

    @pytest.mark.parametrize("form", FORMS)
    def test_set_many_takes_pairs_in_every_form_and_says_how_many(self, store, form):
        pairs = [("a", 1), (("b", 2), [2]), (None, IN_A_FILE), (b"c", None)]
        assert store.set_many(FORMS[form](pairs)) == 4
        assert in_order(store) == pairs
        assert len(store) == 4

    @pytest.mark.parametrize("form", FORMS)
    def test_add_many_takes_pairs_in_every_form_and_says_how_many_were_absent(self, store, form):
        store["a"] = "old"
        pairs = [("a", 1), (("b", 2), [2]), (None, IN_A_FILE), (b"c", None)]
        assert store.add_many(FORMS[form](pairs)) == 3
        assert in_order(store) == [("a", "old"), *pairs[1:]]
        assert len(store) == 4

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_many_are_taken_from_another_store_or_whatever_has_keys(self, store, open_store, tmp_path, method):
        other = open_store(tmp_path / "other")
        other.update([("c", 1), ("a", IN_A_FILE), (1.5, [3])])
        take = getattr(store, method)
        assert take(other) == 3
        assert in_order(store) == in_order(other)
        store.clear()
        assert take(other.items()) == 3
        assert in_order(store) == in_order(other)
        store.clear()
        assert take(Lookup()) == 2
        assert in_order(store) == [("a", "A"), ("b", "B")]

    @pytest.mark.parametrize("form", KEYS)
    def test_delete_many_takes_keys_in_every_form_and_says_how_many_there_were(self, store, form):
        store.update([("a", 1), (("b", 2), IN_A_FILE), (None, 3), ("stays", 4)])
        assert store.delete_many(KEYS[form](["a", "absent", ("b", 2), None, ("b", 3)])) == 3
        assert in_order(store) == [("stays", 4)]
        assert len(store) == 1

    @pytest.mark.parametrize("form", KEYS)
    def test_get_many_takes_keys_in_every_form_and_gives_those_present_in_their_order(self, store, form):
        store.update([("a", 1), (("b", 2), IN_A_FILE), (None, [3]), ("other", 4)])
        found = store.get_many(KEYS[form]([None, "absent", ("b", 2), "a", ("b", 3)]))
        assert list(found.items()) == [(None, [3]), (("b", 2), IN_A_FILE), ("a", 1)]
        assert type(found) is dict

    @pytest.mark.parametrize("nothing", [(), [], {}, iter(()), "", {}.items()], ids=show)
    def test_nothing_is_no_error(self, store, nothing):
        store["a"] = 1
        assert store.set_many(nothing) == 0
        assert store.add_many(nothing) == 0
        assert store.delete_many(nothing) == 0
        assert store.get_many(nothing) == {}
        assert in_order(store) == [("a", 1)]

    @pytest.mark.parametrize("method", ["set_many", "add_many", "delete_many", "get_many"])
    @pytest.mark.parametrize("wrong", [5, None, 1.5])
    def test_what_cannot_be_iterated_is_refused(self, store, method, wrong):
        store["a"] = 1
        with pytest.raises(TypeError):
            getattr(store, method)(wrong)
        assert in_order(store) == [("a", 1)]

    def test_keys_of_all_kinds_are_told_apart_as_in_a_dict(self, store):
        pairs = [(key, number) for number, key in enumerate([*samples.NUMBERS, *samples.FLOATS, *samples.OTHER_KEYS])]
        model = dict(pairs)
        assert store.set_many(pairs) == len(pairs)
        assert in_order(store) == list(model.items())
        assert store.get_many(key for key, _ in pairs) == model
        assert store.add_many(pairs) == 0
        assert store.delete_many(key for key, _ in pairs) == len(model)
        assert store == {}
        assert store.set_many([(1, "int"), ("1", "text"), (1.0, "float"), (True, "bool"), ((1, True), "tuple")]) == 5
        assert in_order(store) == [(1, "bool"), ("1", "text"), ((1, 1), "tuple")]
        assert store.get_many([True, (1.0, 1)]) == {1: "bool", (1, 1): "tuple"}
        assert store.delete_many([1, 1.0, True]) == 1

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_values_of_all_kinds_come_back(self, store, open_store, method):
        values = [*PLAIN, *SUBCLASSES]
        assert getattr(store, method)(enumerate(values)) == len(values)
        for reader in (store, open_store()):
            found = reader.get_many(range(len(values)))
            assert all(map(same, found.values(), values))
            assert all(map(same, reader.values(), values))

    def test_values_are_as_they_were_when_they_were_given(self, store):
        mine = [0]

        def pairs():
            for number in range(5):
                yield number, mine
                mine.append(number)

        store.set_many(pairs())
        assert values_in_order(store) == [[0, *range(number)] for number in range(5)]
        found = store.get_many([0])
        found[0].append("changed")
        assert store[0] == [0]

    # the rules of single operations

    def test_a_set_over_an_entry_keeps_its_place(self, store):
        store.update(c=1, a=IN_A_FILE, b=3)
        assert store.set_many([("b", IN_A_FILE), ("new", 4), ("a", 5), ("c", BIG)]) == 4
        assert in_order(store) == [("c", BIG), ("a", 5), ("b", IN_A_FILE), ("new", 4)]

    def test_of_equal_keys_in_one_call_the_last_wins_at_the_place_of_the_first(self, store):
        pairs = [("a", 1), ("b", BIG), ("a", IN_A_FILE), ("c", 3), ("b", 4), ("a", 5)]
        assert store.set_many(pairs) == 6
        assert in_order(store) == [("a", 5), ("b", 4), ("c", 3)]
        assert len(store) == 3

    def test_equal_keys_are_added_deleted_and_found_once(self, store):
        assert store.add_many([("a", 1), ("b", 2), ("a", 1)]) == 2
        assert in_order(store) == [("a", 1), ("b", 2)]
        assert store.get_many("abab") == {"a": 1, "b": 2}
        assert store.delete_many("abcab") == 2
        assert len(store) == 0

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_large_values_go_along_with_small_ones(self, store, open_store, directory, method):
        sizes = [0, 10, 100, 131_071, 131_072, 131_073, 140_000, 1_000_000, 1_048_577, 3_000_000]
        pairs = [((kind, size), make(size)) for size in sizes for kind, make in (("b", bytes), ("t", "t".__mul__))]
        assert getattr(store, method)(iter(pairs)) == len(pairs)
        assert in_order(store) == pairs
        assert store.get_many(key for key, _ in reversed(pairs)) == dict(pairs)
        assert open_store().get_many(key for key, _ in pairs) == dict(pairs)
        assert value_files(directory)
        assert store.check()

    def test_the_file_of_a_value_that_is_replaced_or_deleted_goes_away(self, store, directory):
        for new in (1, IN_A_FILE, BIG, "text"):
            store.set_many((key, BIG) for key in range(5))
            store.set_many((key, new) for key in range(5))
            assert values_in_order(store) == [new] * 5
        assert store.check(fix=True)
        assert value_files(directory) == set()
        store.clear()
        store.set_many([("a", BIG), ("a", IN_A_FILE), ("b", BIG), ("a", BIG), ("b", 1)])
        assert store == {"a": BIG, "b": 1}
        assert store.add_many([("a", IN_A_FILE), ("b", BIG), ("c", IN_A_FILE)]) == 1
        assert store.check(fix=True)
        assert len(value_files(directory)) == 2
        assert store.delete_many("abc") == 3
        assert store.check(fix=True)
        assert value_files(directory) == set()
        assert store.size() == 0

    def test_ten_thousand_come_back_in_order(self, store):
        pairs = [(f"key {number}", number) for number in range(10_000)]
        assert store.set_many(iter(pairs)) == 10_000
        assert in_order(store) == pairs
        assert len(store) == 10_000
        assert list(store.get_many(key for key, _ in reversed(pairs))) == [key for key, _ in reversed(pairs)]
        assert store.add_many((f"key {number}", -1) for number in range(5000, 15_000)) == 5000
        assert len(store) == 15_000
        assert store.delete_many(f"key {number}" for number in range(0, 20_000, 2)) == 7500
        assert keys_in_order(store) == [f"key {number}" for number in range(1, 15_000, 2)]
        assert len(store) == 7500

    def test_what_is_known_in_memory_follows(self, store, open_store):
        other = open_store()
        keys = ["a", "b", "c", "new"]
        store.update(a=1, b=IN_A_FILE, c=[3])
        for reader in (store, other):
            assert reader.get_many(keys) == {"a": 1, "b": IN_A_FILE, "c": [3]}
        store.set_many({"a": 2, "b": 3, "new": IN_A_FILE})
        for reader in (store, other):
            assert [reader.get(key) for key in keys] == [2, 3, [3], IN_A_FILE]
            assert reader.get_many(keys) == {"a": 2, "b": 3, "c": [3], "new": IN_A_FILE}
        store.delete_many(["a", "new"])
        for reader in (store, other):
            assert [reader.get(key) for key in keys] == [None, 3, [3], None]
            assert "a" not in reader
            assert reader.get_many(keys) == {"b": 3, "c": [3]}
        store.add_many({"a": 4, "b": 5})
        for reader in (store, other):
            assert [reader.get(key) for key in keys] == [4, 3, [3], None]

    # errors in the middle

    @pytest.mark.parametrize("method", STORE_MANY)
    @pytest.mark.parametrize("position", [0, 3, 2500])
    @pytest.mark.parametrize("what", NO_ITEMS)
    def test_an_item_that_cannot_be_stored_is_named_by_its_position_and_nothing_is_kept(
        self, store, directory, method, position, what
    ):
        store.update(a=1, b=IN_A_FILE)
        files = value_files(directory)
        items = [(number, IN_A_FILE if number % 1000 == 2 else number) for number in range(3000)]
        items[:2] = [("a", BIG), ("b", 2)]
        items[position] = NO_ITEMS[what]
        with pytest.raises(REFUSALS) as error:
            getattr(store, method)(iter(items))
        assert str(error.value).startswith(f"item {position}: ")
        assert "secret" not in str(error.value)
        assert in_order(store) == [("a", 1), ("b", IN_A_FILE)]
        assert store.get_many(["a", "b", 2]) == {"a": 1, "b": IN_A_FILE}
        assert store.get(2) is None
        assert len(store) == 2
        assert store.check(fix=True)
        assert value_files(directory) == files

    @pytest.mark.parametrize("position", [0, 3, 2500])
    def test_a_key_that_cannot_be_deleted_is_named_by_its_position_and_nothing_is_deleted(self, store, position):
        store.set_many((number, IN_A_FILE if number == 2 else number) for number in range(3000))
        keys = list(range(3000))
        keys[position] = ["secret"]
        with pytest.raises(TypeError) as error:
            store.delete_many(keys)
        assert str(error.value).startswith(f"item {position}: ")
        assert "secret" not in str(error.value)
        assert keys_in_order(store) == list(range(3000))
        assert store[2] == IN_A_FILE
        assert len(store) == 3000
        assert store.check()

    def test_the_error_of_an_item_is_of_the_kind_that_a_single_set_raises(self, store):
        for value in (no_pickle(), Selfish()):
            with pytest.raises(REFUSALS) as single:
                store["a"] = value
            for method in STORE_MANY:
                with pytest.raises(type(single.value)):
                    getattr(store, method)([("a", value)])

    @pytest.mark.parametrize("method", ["set_many", "add_many", "delete_many"])
    @pytest.mark.parametrize("failure", [Oops, KeyError, StopAsyncIteration, KeyboardInterrupt, BaseException])
    def test_what_the_iterable_raises_comes_through_and_nothing_is_kept(
        self, store, open_store, directory, method, failure
    ):
        store.update(a=1, b=IN_A_FILE)
        files = value_files(directory)
        items = [("a", BIG), ("c", 3), ("b", 2), *((number, number) for number in range(3000)), ("d", BIG)]
        if method == "delete_many":
            items = [key for key, _ in items]
        raised = failure("why")
        with pytest.raises(failure) as caught:
            getattr(store, method)(interrupted(items, lambda: fail(raised)))
        assert caught.value is raised
        assert str(raised) == str(failure("why"))
        for reader in (store, open_store()):
            assert in_order(reader) == [("a", 1), ("b", IN_A_FILE)]
            assert [reader.get(key) for key in "abc"] == [1, IN_A_FILE, None]
        assert store.check(fix=True)
        assert value_files(directory) == files
        store["afterwards"] = 1
        assert in_a_thread(lambda: store.set("in a thread", 2)) is True

    def test_what_the_iterable_of_get_many_raises_comes_through(self, store):
        store.update(a=1, b=2)
        raised = Oops()
        with pytest.raises(Oops) as caught:
            store.get_many(interrupted("ab", lambda: fail(raised)))
        assert caught.value is raised
        with pytest.raises(TypeError):
            store.get_many(["a", [], "b"])
        assert store.get_many("ab") == {"a": 1, "b": 2}
        store["a"] = 3
        assert store.get_many("ab") == {"a": 3, "b": 2}

    # in a transaction

    def test_many_belong_to_the_block_they_stand_in(self, store, open_store):
        other = open_store()
        store.update(a=1, b=2)
        with pytest.raises(Oops), store.transact("a"):  # noqa: PT012
            assert store.set_many({"a": 3, "c": BIG}) == 2
            assert store.add_many({"a": 4, "d": 5}) == 1
            assert store.delete_many(["b", "absent"]) == 1
            assert store.get_many("abcd") == {"a": 3, "c": BIG, "d": 5}
            assert in_order(store) == [("a", 3), ("c", BIG), ("d", 5)]
            assert other.get_many("abcd") == {"a": 1, "b": 2}
            raise Oops
        assert in_order(store) == in_order(other) == [("a", 1), ("b", 2)]
        with store.transact("a"):
            store.set_many({"a": 3, "c": BIG})
            store.delete_many(["b"])
        assert in_order(store) == in_order(other) == [("a", 3), ("c", BIG)]
        assert store.check()

    @pytest.mark.parametrize("method", ["set_many", "add_many", "delete_many"])
    def test_an_error_that_is_caught_in_a_block_undoes_that_call_alone(self, store, directory, method):
        store["old"] = 1
        with store.transact("a"):
            store["before"] = BIG
            for wrong in ([("x", BIG), ("before", 2), ([], 3)], interrupted([("y", BIG), ("z", 4)], lambda: 1 // 0)):
                items = wrong if method != "delete_many" else ["before", "old", []]
                with pytest.raises((TypeError, ZeroDivisionError)):
                    getattr(store, method)(items)
                assert in_order(store) == [("old", 1), ("before", BIG)]
            store["after"] = 5
            store.set_many({"more": 6})
        assert in_order(store) == [("old", 1), ("before", BIG), ("after", 5), ("more", 6)]
        assert store.check(fix=True)
        assert len(value_files(directory)) == 1

    def test_an_inner_block_that_is_undone_takes_its_many_along(self, store):
        with store.transact("a"):
            store.set_many({"a": 1, "b": 2})
            with pytest.raises(Oops), store.transact("a"):  # noqa: PT012
                store.set_many({"a": 3, "c": BIG})
                store.delete_many(["b"])
                raise Oops
            assert store.get_many("abc") == {"a": 1, "b": 2}
        assert in_order(store) == [("a", 1), ("b", 2)]

    # an iterable that uses the store

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_the_iterable_may_use_the_store(self, store, method):
        store.update({number: number for number in range(10)})

        def pairs():
            for number in range(10):
                assert store[number] == number
                assert len(store.get_many(range(10))) == 10
                store[f"own {number}"] = number
                assert store[f"own {number}"] == number
                store.set_many([(f"own many {number}", number)])
                yield f"new {number}", store[number] * 2
                assert store.delete(f"own {number}") is True

        assert getattr(store, method)(pairs()) == 10
        expected = {number: number for number in range(10)}
        expected |= {f"own many {number}": number for number in range(10)}
        expected |= {f"new {number}": 2 * number for number in range(10)}
        assert store == expected
        assert len(store) == 30
        store["afterwards"] = 1
        assert in_a_thread(lambda: store.set("in a thread", 2)) is True

    def test_the_iterable_may_be_the_store(self, store):
        pairs = [(number, IN_A_FILE if number % 100 == 0 else number) for number in range(1000)]
        store.update(pairs)
        assert store.get_many(store) == dict(pairs)
        assert store.set_many(store) == 1000
        assert store.set_many(store.items()) == 1000
        assert store.set_many((key, value * 2) for key, value in store.items()) == 1000
        assert in_order(store) == [(key, value * 2) for key, value in pairs]
        assert store.add_many(store) == 0
        assert store.delete_many(key for key in store if key % 2) == 500
        assert keys_in_order(store) == list(range(0, 1000, 2))
        assert store.delete_many(store) == 500
        assert len(store) == 0

    # threads

    @pytest.mark.parametrize("method", ["set_many", "delete_many"])
    def test_another_thread_sees_nothing_of_it_before_it_is_done(self, store, method):
        store.update((number, "old") for number in range(100))
        before = in_order(store)
        asking = threading.Event()
        seen = []

        def read():
            asking.set()
            seen.append([in_order(store), store.get_many(range(200)), store.get(0), len(store)])

        thread = threading.Thread(target=read, daemon=True)

        def look():
            thread.start()
            assert asking.wait(60)
            thread.join(0.2)

        if method == "set_many":
            store.set_many(interrupted([(number, "new") for number in range(200)], look))
            after = [(number, "new") for number in range(200)]
        else:
            store.delete_many(interrupted(range(100), look))
            after = []
        thread.join(60)
        assert in_order(store) == after
        # One of the two as a whole, each time: the reader may be late.
        for whole in seen:
            assert whole[0] in (before, after)
            assert whole[1] in (dict(before), dict(after))
            assert whole[2] in ("old", dict(after).get(0))
            assert whole[3] in (100, len(after))
        assert seen

    def test_what_each_thread_stored_at_once_stands_together(self, store):
        def write(name):
            for lot in range(10):
                assert store.set_many(((name, lot, number), number) for number in range(50)) == 50

        together(*[lambda name=name: write(name) for name in range(6)])
        keys = list(store)
        assert len(keys) == len(store) == 6 * 10 * 50
        lots = [keys[start][:2] for start in range(0, len(keys), 50)]
        assert keys == [(*lot, number) for lot in lots for number in range(50)]
        assert sorted(lots) == [(name, lot) for name in range(6) for lot in range(10)]

    def test_of_many_threads_one_adds_all_and_one_deletes_all(self, store):
        for lot in range(20):
            keys = [(lot, number) for number in range(50)]
            lots = [[(key, name) for key in keys] for name in range(4)]
            added = together(*[lambda pairs=pairs: store.add_many(iter(pairs)) for pairs in lots])
            assert sorted(added) == [0, 0, 0, 50]
            assert store.get_many(keys) == dict.fromkeys(keys, added.index(50))
            deleted = together(*[lambda keys=keys: store.delete_many(iter(keys))] * 4)
            assert sorted(deleted) == [0, 0, 0, 50]
        assert len(store) == 0

    @pytest.mark.parametrize("memory", [0, 1 << 25])
    @pytest.mark.parametrize("size", [10, 140_000])
    def test_get_many_sees_a_transaction_of_another_thread_whole_or_not_at_all(self, open_store, memory, size):
        store = open_store(memory=memory)
        keys = range(30)
        store.set_many((key, described(0, size if key % 10 == 7 else 10)) for key in keys)
        done = threading.Event()

        def write():
            number = 0
            while not done.is_set():
                number += 1
                with store.transact("a"):
                    for key in keys:
                        store[key] = described(number, size if key % 10 == 7 else 10)

        def read():
            try:
                seen = set()
                while len(seen) < 20:
                    found = store.get_many(keys)
                    generations = set(map(generation, found.values()))
                    assert list(found) == list(keys)
                    assert len(generations) == 1
                    seen |= generations
            finally:
                done.set()

        together(write, read)

    # processes

    @pytest.mark.parametrize(("how", "size"), [("transact", 10), ("set_many", 10), ("transact", 140_000)])
    def test_get_many_sees_what_another_process_commits_whole_or_not_at_all(self, store, directory, start, how, size):
        writer = start("write_generations", self.kind, str(directory), how, 40, size)
        all_at_once([writer])
        seen = set()
        while len(seen) < 20:
            found = store.get_many(range(40))
            generations = set(map(generation, found.values()))
            assert list(found) in ([], list(range(40)))
            assert len(generations) < 2
            seen |= generations
        writer.tell("stop")
        assert writer.finish() >= 20
        assert store.check(fix=True)

    def test_what_other_processes_stored_at_once_stands_together(self, store, directory, start):
        writers = [start("set_lots", self.kind, str(directory), name, 15, 100) for name in range(3)]
        all_at_once(writers)
        lengths = []
        while not lengths or lengths[-1] < 3 * 15 * 100:
            lengths.append(len(store))
            assert lengths[-1] % 100 == 0
        for writer in writers:
            writer.finish()
        keys = list(store)
        lots = [keys[start].rsplit(" ", 1)[0] for start in range(0, len(keys), 100)]
        assert keys == [f"{lot} {number}" for lot in lots for number in range(100)]
        assert sorted(lots) == sorted(f"{name} {lot}" for name in range(3) for lot in range(15))

    def test_of_many_processes_one_adds_all_and_one_deletes_all(self, store, directory, start):
        others = [start("answer", self.kind, str(directory)) for _ in range(3)]
        for lot in range(15):
            keys = [f"{lot} {number}" for number in range(100)]
            for name, other in enumerate(others):
                other.tell(["add_many", [[key, name] for key in keys]])
            added = [other.hear() for other in others]
            assert sorted(added) == [0, 0, 100]
            assert store.get_many(keys) == dict.fromkeys(keys, added.index(100))
            for other in others:
                other.tell(["delete_many", keys])
            assert sorted(other.hear() for other in others) == [0, 0, 100]
            assert store.get_many(keys) == {}
        for other in others:
            other.tell(None)
            other.finish()

    def test_another_process_sees_nothing_of_it_before_it_is_done(self, store, directory, start):
        store.update((str(number), "old") for number in range(100))
        other = start("answer", self.kind, str(directory))

        def ask(*questions):
            answers = []
            for question in questions:
                other.tell(question)
                answers.append(other.hear())
            return answers

        questions = (["count"], ["get", "0"], ["get", "199"], ["get_many", ["0", "150"]])
        assert ask(*questions) == [100, "old", None, {"0": "old"}]
        middle = []
        store.set_many(
            interrupted([(str(number), "new") for number in range(200)], lambda: middle.extend(ask(*questions)))
        )
        assert middle == [100, "old", None, {"0": "old"}]
        assert ask(*questions) == [200, "new", "new", {"0": "new", "150": "new"}]
        middle = []
        store.delete_many(interrupted(map(str, range(200)), lambda: middle.extend(ask(*questions))))
        assert middle == [200, "new", "new", {"0": "new", "150": "new"}]
        assert ask(*questions) == [0, None, None, {}]
        other.tell(None)
        other.finish()

    def test_a_process_killed_in_the_middle_leaves_nothing_of_it(self, open_store, directory, start):
        with open_store() as store:
            store.update(a=1, b=IN_A_FILE)
            files = value_files(directory)
        process = start("stop_in_set_many", self.kind, str(directory), 3000)
        assert process.hear() == "middle"
        process.popen.kill()
        process.popen.wait()
        store = open_store()
        assert in_order(store) == [("a", 1), ("b", IN_A_FILE)]
        assert len(store) == 2
        store.check(fix=True)
        assert value_files(directory) == files
        assert store.check()
        store["afterwards"] = 1

    def test_while_another_process_writes_they_time_out_and_change_nothing(self, open_store, directory, start):
        store = open_store(timeout=0.2)
        store.update(a=1, b=2)
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        for write in (
            lambda: store.set_many({"a": 3, "c": BIG}),
            lambda: store.add_many({"c": BIG}),
            lambda: store.delete_many("ab"),
        ):
            with pytest.raises(fastcache.Timeout):
                write()
            assert store.get_many("abc") == {"a": 1, "b": 2}
        holder.tell()
        holder.finish()
        assert store.add_many({"a": 3, "c": 4}) == 1
        assert store.check(fix=True)

    def test_many_large_values_need_few_open_files(self, open_store, directory, start):
        assert start("fill_with_few_files", self.kind, str(directory), 1500, 133_000, 100).finish() == 1500
        store = open_store()
        assert len(store) == 1500
        assert store.check()

    def test_a_closed_store_says_so_for_many_too(self, store):
        store.close()
        for use in (
            lambda: store.set_many({"a": 1}),
            lambda: store.add_many({"a": 1}),
            lambda: store.delete_many(["a"]),
            lambda: store.get_many(["a"]),
        ):
            with pytest.raises(fastcache.ClosedError):
                use()


class CacheBulkContract(StoreContract):
    """What expiry and tags add to it."""

    @pytest.fixture
    def store(self, open_store, clock):
        return open_store(timer=clock)

    @pytest.fixture
    def worn(self, store, clock):
        """Four entries, the second and third of which have expired."""
        store["first"] = 1
        store.set("gone", 2, expire=10, tag="tag")
        store.set("gone, too", BIG, expire=10)
        store["last"] = 3
        clock.advance(10)
        return store

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_expiry_and_tag_are_stored_with_all(self, store, clock, method):
        pairs = [("a", 1), ("b", [2]), ("c", IN_A_FILE)]
        assert getattr(store, method)(pairs, expire=8, tag="red") == 3
        for key, value in pairs:
            assert store.get(key, expire_time=True, tag=True) == (value, clock.now + 8, "red")
        clock.advance(7.5)
        assert store.get_many("abc") == dict(pairs)
        assert len(store) == 3
        clock.advance(0.5)
        assert store.get_many("abc") == {}
        assert len(store) == 0
        getattr(store, method)(pairs, tag="red")
        getattr(store, method)({"d": 1}, tag="green")
        assert store.evict_tag("red") == 3
        assert keys_in_order(store) == ["d"]

    def test_a_set_forgets_the_old_expiry_and_tag_and_an_add_over_an_entry_keeps_them(self, store, clock):
        store.set_many({"a": 1, "b": 2}, expire=8, tag="red")
        assert store.add_many({"a": 3}, expire=100, tag="green") == 0
        assert store.get("a", expire_time=True, tag=True) == (1, clock.now + 8, "red")
        store.set_many({"a": 3})
        assert store.get("a", expire_time=True, tag=True) == (3, None, None)
        assert keys_in_order(store) == ["a", "b"]

    def test_a_set_over_what_has_expired_goes_to_the_end(self, worn, clock):
        assert worn.set_many([("gone, too", 5), ("last", 6), ("gone", BIG), ("first", 7)]) == 4
        assert in_order(worn) == [("first", 7), ("last", 6), ("gone, too", 5), ("gone", BIG)]
        assert worn.get("gone", expire_time=True, tag=True) == (BIG, None, None)
        clock.advance(1e6)
        assert len(worn) == 4

    def test_what_has_expired_counts_as_absent(self, worn):
        assert worn.get_many(["gone", "last", "gone, too", "first"]) == {"last": 3, "first": 1}
        assert worn.delete_many(["gone", "gone, too", "last"]) == 1
        assert worn.add_many({"gone": 4, "gone, too": 5, "first": 6}) == 2
        assert in_order(worn) == [("first", 1), ("gone", 4), ("gone, too", 5)]
        assert len(worn) == 3
        assert worn.check(fix=True)
        assert value_files(worn.directory) == set()

    def test_what_has_expired_is_still_not_there_after_an_error(self, worn):
        with pytest.raises(TypeError):
            worn.set_many([("gone", 5), ([], 1)])
        with contextlib.suppress(ZeroDivisionError):
            worn.add_many(interrupted([("gone", 5), ("new", 1)], lambda: 1 // 0))
        assert worn.get_many(["gone", "new", "first"]) == {"first": 1}
        assert in_order(worn) == [("first", 1), ("last", 3)]
        assert len(worn) == 2

    @pytest.mark.parametrize("method", STORE_MANY)
    @pytest.mark.parametrize("expire", [0, -1])
    def test_what_is_already_over_is_stored_and_invisible(self, store, method, expire):
        assert getattr(store, method)({"a": 1, "b": BIG}, expire=expire) == 2
        assert store.get_many("ab") == {}
        assert len(store) == 0
        assert keys_in_order(store) == []

    @pytest.mark.parametrize("method", STORE_MANY)
    def test_a_wrong_expiry_or_tag_is_refused(self, store, method):
        store["a"] = 1
        many = getattr(store, method)
        for attempt in (
            lambda: many({"a": 2}, expire="1"),
            lambda: many({"a": 2}, expire=float("nan")),
            lambda: many({"a": 2}, tag=["tag"]),
            lambda: many({"a": 2}, 10, "tag"),
            lambda: many({"a": 2}, ttl=10),
        ):
            with pytest.raises((TypeError, ValueError)):
                attempt()
        assert in_order(store) == [("a", 1)]

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells memory by /proc")
    @pytest.mark.parametrize("method", ["set_many", "add_many", "delete_many"])
    def test_a_long_generator_takes_no_room_of_its_own(self, directory, start, method):
        process = start("fill_many", self.kind, str(directory), method, 20_000, 2_500)
        stored, kilobytes = process.finish()
        assert stored == 20_000
        # 50 MB went through.
        assert kilobytes < 35_000
