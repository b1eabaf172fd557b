"""What was stored outlives the store; what was temporary does not; what is closed says so."""

import copy
import gc
import multiprocessing
import operator
import os
import pathlib
import pickle
import stat
import warnings

import pytest

import fastcache

from ..together import together
from .serializers import JSONSerializer
from .store import StoreContract, in_order, keys_in_order

BIG = b"big!" * 1_000_000

USES = {
    "[]": lambda store: store["a"],
    "[]=": lambda store: store.__setitem__("a", 1),
    "del": lambda store: store.__delitem__("a"),
    "in": lambda store: "a" in store,
    "len": len,
    "iter": list,
    "reversed": lambda store: list(reversed(store)),
    "keys": lambda store: list(store.keys()),
    "values": lambda store: list(store.values()),
    "items": lambda store: list(store.items()),
    "get": lambda store: store.get("a"),
    "set": lambda store: store.set("a", 1),
    "add": lambda store: store.add("a", 1),
    "pop": lambda store: store.pop("a", None),
    "popitem": lambda store: store.popitem(),
    "setdefault": lambda store: store.setdefault("a", 1),
    "update": lambda store: store.update(a=1),
    "clear": lambda store: store.clear(),
    "delete": lambda store: store.delete("a"),
    "exists": lambda store: store.exists("a"),
    "incr": lambda store: store.incr("n"),
    "decr": lambda store: store.decr("n"),
    "get_or_set": lambda store: store.get_or_set("b", lambda: 1),
    "transact": lambda store: store.transact("a").__enter__(),
    "count": lambda store: store.count(),
    "size": lambda store: store.size(),
    "volume": lambda store: store.volume(),
    "check": lambda store: store.check(),
    "with": lambda store: store.__enter__(),
    "==": lambda store: store == {},
}


class PersistenceContract(StoreContract):
    def test_everything_is_there_after_reopening(self, open_store):
        pairs = [
            ("a", 1),
            (b"b", [2]),
            ((3, "c"), BIG),
            (None, "text" * 500_000),
            (2**70, None),
            (1.5, {"d": 4}),
        ]
        with open_store() as store:
            store.update(pairs)
            store["a"] = "changed"
            del store[None]
        expected = [("a", "changed"), *pairs[1:3], *pairs[4:]]
        for _ in range(3):
            with open_store() as store:
                assert in_order(store) == expected
                assert len(store) == 5
                assert store.check()

    def test_the_order_goes_on_after_reopening(self, open_store):
        expected = []
        for number in range(10):
            with open_store() as store:
                store[number] = number
                store.popitem(last=False) if number % 3 == 2 else None
                expected = [*expected, number][number % 3 == 2 :]
                assert keys_in_order(store) == expected

    def test_two_objects_on_one_directory_are_one_store(self, open_store):
        one, other = open_store(), open_store()
        one["a"] = 1
        assert other["a"] == 1
        other["a"] = BIG
        assert one["a"] == BIG
        assert "b" not in one
        other["b"] = 2
        assert one["b"] == 2
        del one["a"]
        assert "a" not in other
        assert other.clear() == 1
        assert list(one) == []
        one.close()
        other["c"] = 3
        assert other == {"c": 3}

    # pickling

    def test_a_pickled_store_opens_the_same_directory(self, open_store, directory):
        store = open_store(timeout=7.5)
        store["a"] = [1]
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            with pickle.loads(pickle.dumps(store, protocol)) as other:
                assert type(other) is type(store)
                assert other.directory == store.directory
                assert other.timeout == 7.5
                assert other == {"a": [1]}
                other["a"] = [protocol]
                assert store["a"] == [protocol]
                other["a"] = [1]
        assert store == {"a": [1]}

    def test_a_pickled_store_takes_its_serializer_along(self, open_store):
        store = open_store(serializer=JSONSerializer())
        store["a"] = {"b": 1}
        with pickle.loads(pickle.dumps(store)) as other:
            assert isinstance(other.serializer, JSONSerializer)
            assert other["a"] == {"b": 1}

    def test_a_copy_is_another_object_on_the_same_directory(self, store):
        store["a"] = 1
        with copy.copy(store) as other:
            assert other is not store
            other["a"] = 2
        assert store["a"] == 2

    def test_a_store_can_be_sent_to_other_processes(self, store):
        context = multiprocessing.get_context("spawn")
        store["from here"] = 1
        process = context.Process(target=operator.setitem, args=(store, "from there", [2]))
        process.start()
        process.join()
        assert process.exitcode == 0
        assert in_order(store) == [("from here", 1), ("from there", [2])]
        with context.Pool(2) as pool:
            pool.starmap(operator.setitem, [(store, number, number) for number in range(20)])
            assert pool.map(store.get, range(20)) == list(range(20))
        assert len(store) == 22

    # temporary directories

    @pytest.fixture
    def little_to_collect(self):
        """What was there before the test is not looked at by the collector: it is much, and none of it is meant."""
        gc.freeze()
        yield
        gc.unfreeze()

    def test_without_a_directory_it_is_temporary_and_private(self):
        store = self.store_type()
        other = self.store_type(None)
        directory = pathlib.Path(store.directory)
        assert directory.is_dir()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert store.directory != other.directory
        store["a"] = BIG
        assert len(other) == 0
        store.close()
        assert not directory.exists()
        other.close()
        assert not pathlib.Path(other.directory).exists()

    @pytest.mark.parametrize(
        "use",
        [
            iter,
            reversed,
            lambda store: iter(store.keys()),
            lambda store: iter(store.values()),
            lambda store: iter(store.items()),
            lambda store: reversed(store.items()),
        ],
        ids=["iter", "reversed", "keys", "values", "items", "reversed items"],
    )
    @pytest.mark.usefixtures("little_to_collect")
    def test_a_temporary_store_lives_as_long_as_an_iterator_of_it(self, use):
        directories = []

        def make():
            store = self.store_type()
            directories.append(store.directory)
            store.update((number, BIG if number == 7 else 1) for number in range(100))
            return store

        iterator = use(make())
        next(iterator)
        gc.collect()
        assert os.path.isdir(directories[0])
        assert len(list(iterator)) == 99
        del iterator
        gc.collect()
        assert not os.path.exists(directories[0])
        assert sorted(make()) == list(range(100))
        gc.collect()
        assert not os.path.exists(directories[1])

    @pytest.mark.usefixtures("little_to_collect")
    def test_a_temporary_store_lives_as_long_as_its_transaction(self):
        def make():
            store = self.store_type()
            directories.append(store.directory)
            return store

        directories = []
        with make().transact("a"):
            gc.collect()
            assert os.path.isdir(directories[0])
        gc.collect()
        assert not os.path.exists(directories[0])

    def test_a_pickled_copy_does_not_remove_the_temporary_directory(self):
        with self.store_type() as store:
            store["a"] = 1
            context = multiprocessing.get_context("spawn")
            process = context.Process(target=operator.setitem, args=(store, "b", 2))
            process.start()
            process.join()
            assert process.exitcode == 0
            assert store == {"a": 1, "b": 2}

    @pytest.mark.parametrize("ending", ["close", "forget", "keep", "collect", "raise"])
    def test_a_temporary_directory_is_gone_after_the_process(self, start, ending):
        directory = start("temporary", self.kind, ending).finish()
        assert not os.path.exists(directory)

    def test_a_forked_child_does_not_remove_the_temporary_directory(self, start):
        process = start("temporary", self.kind, "fork")
        directory = process.hear()
        assert process.hear() is True
        process.finish()
        assert not os.path.exists(directory)

    # closing

    @pytest.mark.parametrize("use", USES)
    def test_a_closed_store_says_so(self, store, use):
        store["a"] = 1
        store.close()
        with pytest.raises(fastcache.ClosedError, match=r"(?i)close") as error:
            USES[use](store)
        assert isinstance(error.value, fastcache.CacheError)
        assert isinstance(error.value, ValueError)

    def test_closing_again_is_no_error(self, store, open_store):
        store["a"] = 1
        for _ in range(3):
            store.close()
        assert open_store()["a"] == 1

    def test_a_with_block_closes(self, open_store):
        store = open_store()
        with store as entered:
            assert entered is store
            store["a"] = 1
        with pytest.raises(fastcache.ClosedError):
            store["a"]
        with pytest.raises(ZeroDivisionError), open_store() as store:
            raise ZeroDivisionError
        with pytest.raises(fastcache.ClosedError):
            store["a"]

    def test_closing_from_many_threads_at_once(self, open_store):
        for _ in range(30):
            store = open_store()
            store["a"] = 1
            together(*[store.close] * 4)
            with pytest.raises(fastcache.ClosedError):
                store["a"]
        assert open_store()["a"] == 1

    def test_closing_while_other_threads_use_it(self, open_store):
        for _ in range(30):
            store = open_store()

            def use(store=store):
                with pytest.raises(fastcache.ClosedError):  # noqa: PT012
                    for number in range(1_000_000):
                        store[number % 5] = b"x" * (number % 3 * 140_000)
                        store.get(number % 5)
                        list(store)

            together(use, use, store.close)

    def test_an_iteration_over_a_closed_store_says_so_and_does_not_crash(self, store):
        store.update((number, number) for number in range(1000))
        iterators = [iter(store), reversed(store), iter(store.items()), iter(store.values())]
        for iterator in iterators:
            next(iterator)
        store.close()
        for iterator in iterators:
            with pytest.raises(fastcache.ClosedError):
                list(iterator)

    def test_forgetting_an_open_store_complains_about_nothing(self, open_store, directory):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(20):
                store = self.store_type(directory)
                store[number] = number
                del store
        assert len(open_store()) == 20

    def test_its_text_names_the_kind_and_the_directory(self, store, directory):
        assert self.kind in repr(store)
        assert str(directory) in repr(store)
        store["secret"] = "payload"
        assert "secret" not in repr(store)
        store.close()
        assert self.kind in repr(store)
