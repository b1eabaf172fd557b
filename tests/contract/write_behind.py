"""What is written behind is there at once for this process, and for everybody before long."""

import contextlib
import itertools
import os
import pickle
import threading
import time

import pytest

import fastcache

from ..together import in_a_thread, together
from ..workers.described import is_whole
from .batch import wait_until
from .bulk import IN_A_FILE, REFUSALS
from .store import StoreContract, in_order, keys_in_order, value_files, values_in_order
from .values import Selfish, no_pickle

BIG = b"big!" * 500_000

LATER = 1000.0
"""So late that a test sees what waits."""


class Oops(Exception):
    pass


@contextlib.contextmanager
def another_process(start, kind, directory):
    """A function that asks a process with a store of its own."""
    process = start("answer", kind, str(directory))

    def ask(*question):
        process.tell(question)
        return process.hear()

    yield ask
    process.tell(None)
    process.finish()


@contextlib.contextmanager
def locked(start, kind, directory):
    """While another process is inside a transaction."""
    holder = start("hold", kind, str(directory))
    assert holder.hear() == "holding"
    yield
    holder.tell()
    holder.finish()


LOOKS = {
    "get": lambda store, key: store.get(key) == key,
    "get with extras": lambda store, key: store.get(key, tag=True) == (key, None),
    "in": lambda store, key: key in store,
    "len": lambda store, key: len(store) > key,
    "get_many": lambda store, key: store.get_many([key, 0]) == {key: key, 0: 0},
    "iter": lambda store, key: list(store)[: key + 1] == list(range(key + 1)),
    "reversed": lambda store, key: list(reversed(store))[-1 - key :] == list(range(key, -1, -1)),
    "values": lambda store, key: list(store.values())[: key + 1] == list(range(key + 1)),
    "add": lambda store, key: store.add(key, -1) is False,
    "touch": lambda store, key: store.touch(key) is True,
    "incr": lambda store, key: store.incr(key, 0) == key,
}


def in_a_block(store):
    with store.transact("a"):
        return store["n"] == 5


FLUSHES = {
    "incr": lambda store: store.incr("n") == 6,
    "decr": lambda store: store.decr("n") == 4,
    "add": lambda store: store.add("n", 1) is False,
    "pop": lambda store: store.pop("n") == 5,
    "popitem": lambda store: store.popitem() == ("n", 5),
    "setdefault": lambda store: store.setdefault("n", 1) == 5,
    "get_or_set": lambda store: store.get_or_set("other", lambda: 1) == 1,
    "touch": lambda store: store.touch("n", 100) is True,
    "transact": in_a_block,
    "set_many": lambda store: store.set_many({"other": 1}) == 1,
    "add_many": lambda store: store.add_many({"n": 1}) == 0,
    "delete_many": lambda store: store.delete_many(["n", "absent"]) == 1,
    "clear": lambda store: store.clear() == 2,
    "expire": lambda store: store.expire() == 0,
    "evict_tag": lambda store: store.evict_tag("red") == 1,
}


class WriteBehindContract(StoreContract):
    @pytest.fixture
    def store(self, open_store):
        return open_store(write_behind=LATER)

    # the option

    def test_it_is_off_if_nothing_is_said(self, open_store):
        for options in ({}, {"write_behind": None}, {"write_behind": 0}):
            with open_store(**options) as store, open_store() as other:
                assert not store.write_behind
                store["a"] = 1
                assert other["a"] == 1
                store.flush()
                del store["a"]
                assert "a" not in other

    @pytest.mark.parametrize("seconds", [1, 0.5, 0.001, 3600])
    def test_its_delay_can_be_asked_for(self, open_store, seconds):
        assert open_store(write_behind=seconds).write_behind == seconds

    @pytest.mark.parametrize("wrong", ["1", -1, float("nan"), [1]])
    def test_a_delay_that_makes_no_sense_is_refused(self, open_store, wrong):
        with pytest.raises((TypeError, ValueError)):
            open_store(write_behind=wrong)

    def test_it_goes_along_when_a_store_is_pickled(self, store):
        store["a"] = 1
        with pickle.loads(pickle.dumps(store)) as other:
            assert other.write_behind == LATER
            other["b"] = 2
        store.flush()
        assert in_order(store) in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)])

    # this process sees it at once, others when it is stored

    def test_this_process_reads_what_waits_in_every_way_there_is(self, store):
        assert store.set("a", 1) is True
        store["b"] = [2]
        assert store.set("c", IN_A_FILE, tag="red", expire=100) is True
        assert (store["a"], store.get("b"), store["c"]) == (1, [2], IN_A_FILE)
        assert store.get("c", tag=True) == (IN_A_FILE, "red")
        assert "a" in store
        assert store.exists("b") is True
        assert len(store) == store.count() == 3
        assert keys_in_order(store) == ["a", "b", "c"]
        assert list(reversed(store)) == ["c", "b", "a"]
        assert values_in_order(store) == [1, [2], IN_A_FILE]
        assert in_order(store) == [("a", 1), ("b", [2]), ("c", IN_A_FILE)]
        assert store == {"a": 1, "b": [2], "c": IN_A_FILE}
        assert list(store.get_many(["c", "absent", "a"]).items()) == [("c", IN_A_FILE), ("a", 1)]
        assert in_a_thread(lambda: in_order(store)) == [("a", 1), ("b", [2]), ("c", IN_A_FILE)]
        assert in_a_thread(lambda: store["a"]) == 1
        assert store.check()

    def test_this_process_misses_at_once_what_was_deleted(self, store):
        store.update((key, key) for key in "abcd")
        store.flush()
        assert store.get_many("abcd") == dict(zip("abcd", "abcd", strict=True))
        assert store.delete("a") is True
        del store["b"]
        store["e"] = 1
        assert store.delete("e") is True
        for look in (lambda: list(store), lambda: in_a_thread(lambda: list(store))):
            assert look() == ["c", "d"]
        assert store.get("a") is store.get("b") is store.get("e") is None
        assert "a" not in store
        assert len(store) == 2
        assert store.get_many("abcde") == {"c": "c", "d": "d"}
        with pytest.raises(KeyError):
            store["a"]

    def test_delete_says_whether_there_was_something(self, store):
        store["stored"] = 1
        store.flush()
        store["waits"] = 2
        for key in ("stored", "waits"):
            assert store.delete(key) is True
            assert store.delete(key) is False
            with pytest.raises(KeyError) as error:
                del store[key]
            assert error.value.args == (key,)
            store[key] = 3
            assert store.delete(key) is True
        assert store.delete("absent") is False
        store.flush()
        assert len(store) == 0

    def test_values_are_as_they_were_when_they_were_set(self, store, open_store):
        mine = [1]
        store["a"] = mine
        mine.append(2)
        assert store["a"] == [1]
        store["b"] = mine
        mine.append(3)
        store["b"].append("changed")
        assert store["b"] == [1, 2]
        store.flush()
        mine.append(4)
        assert in_order(store) == in_order(open_store()) == [("a", [1]), ("b", [1, 2])]

    def test_others_see_it_after_flush(self, store, open_store, directory, start):
        with another_process(start, self.kind, directory) as ask:
            assert ask("count") == 0
            store["a"] = 1
            store["b"] = "text" * 20_000
            store.flush()
            assert ask("get_many", ["a", "b"]) == {"a": 1, "b": "text" * 20_000}
            store["a"] = 2
            del store["b"]
            store["c"] = None
            store.flush()
            assert ask("get_many", ["a", "b", "c"]) == {"a": 2, "c": None}
            assert in_order(open_store()) == [("a", 2), ("c", None)]
            store.flush()
            assert ask("count") == len(store) == 2

    @pytest.mark.parametrize("seconds", [0.001, 0.2])
    def test_others_see_it_before_long_without_any_call(self, open_store, directory, start, seconds):
        store = open_store(write_behind=seconds)
        with another_process(start, self.kind, directory) as ask:
            for number in range(3):
                store["a"] = number
                store[str(number)] = number
                wait_until(
                    lambda number=number: ask("get_many", ["a", str(number)]) == {"a": number, str(number): number}
                )
                store.delete(str(number))
                wait_until(lambda number=number: ask("exists", str(number)) is False)
            assert ask("count") == len(store) == 1

    def test_a_key_that_is_set_all_the_time_is_seen_by_others_too(self, open_store, directory, start):
        store = open_store(write_behind=0.05)
        numbers = itertools.count(1)

        def seen():
            for _ in range(100):
                store["a"] = next(numbers)
            return (ask("get", "a") or 0) > first

        with another_process(start, self.kind, directory) as ask:
            for _ in range(3):
                first = ask("get", "a") or 0
                wait_until(seen)

    def test_set_and_delete_return_while_another_process_writes(self, open_store, directory, start):
        store = open_store(write_behind=LATER, timeout=10)
        store["old"] = 1
        store["gone"] = 2
        store.flush()
        # They would wait for ten seconds, and fail.
        with locked(start, self.kind, directory):
            store["a"] = 1
            store.set("old", IN_A_FILE)
            assert store.delete("gone") is True
            assert store.delete("absent") is False
            assert (store["a"], store.get("gone"), "old" in store) == (1, None, True)
            assert store.get_many(["a", "gone", "old"]) == {"a": 1, "old": IN_A_FILE}
        store.flush()
        assert sorted(store) == ["a", "held", "old"]

    def test_order_is_what_it_would_be(self, store, open_store):
        store.update(a=1, b=2, c=3)
        store.flush()
        store["b"] = IN_A_FILE
        store["d"] = 4
        del store["a"]
        store["a"] = 5
        store["c"] = 6
        del store["d"]
        store["e"] = 7
        expected = [("b", IN_A_FILE), ("c", 6), ("a", 5), ("e", 7)]
        assert in_order(store) == expected
        assert list(reversed(store.items())) == expected[::-1]
        assert len(store) == 4
        store.flush()
        assert in_order(store) == in_order(open_store()) == expected

    def test_files_of_values_that_were_replaced_go_away(self, store, directory):
        for number in range(20):
            store[number % 3] = BIG if number % 2 else IN_A_FILE
            if number % 6 == 5:
                store.flush()
        store[0] = 1
        del store[1]
        store[2] = "text"
        store.flush()
        assert in_order(store) == [(0, 1), (2, "text")]
        assert store.check(fix=True)
        assert value_files(directory) == set()

    @pytest.mark.parametrize("value", [no_pickle(), Selfish(), [BIG, no_pickle()]], ids=["lambda", "selfish", "large"])
    def test_what_cannot_be_stored_raises_at_once_and_leaves_the_old_value(self, store, value):
        store["a"] = 1
        for attempt in (lambda: store.set("a", value), lambda: store.__setitem__("b", value)):
            with pytest.raises(REFUSALS):
                attempt()
        with pytest.raises(TypeError):
            store[[]] = 1
        assert in_order(store) == [("a", 1)]
        store.flush()
        assert in_order(store) == [("a", 1)]

    # what is more than a set or delete

    @pytest.mark.parametrize("method", FLUSHES)
    def test_whatever_is_atomic_is_done_to_what_was_set_before(self, store, open_store, method):
        store.set("kept", 1, tag="red")
        store["n"] = 5
        assert FLUSHES[method](store)
        after = in_order(store)
        # It is stored now, and so is all that waited.
        assert in_order(open_store()) == after
        store.flush()
        assert in_order(store) == after

    def test_incr_of_this_process_and_sets_of_others_come_together(self, store, directory, start):
        with another_process(start, self.kind, directory) as ask:
            store["n"] = 5
            assert store.incr("n") == 6
            assert ask("incr", "n") == 7
            assert store["n"] == 7
            store["n"] = 10
            assert store["n"] == 10
            assert ask("get", "n") in (7, 10)
            assert store.incr("n") == 11
            assert ask("incr", "n") == 12
            assert store.pop("n") == 12
            assert ask("exists", "n") is False

    def test_a_transaction_that_fails_undoes_nothing_that_was_set_before_it(self, store, open_store):
        store.update(a=1)
        store["b"] = 2
        with pytest.raises(Oops), store.transact("a"):  # noqa: PT012
            assert store["b"] == 2
            store["b"] = 3
            store["c"] = 4
            assert store.delete("a") is True
            assert in_order(store) == [("b", 3), ("c", 4)]
            raise Oops
        assert in_order(store) == [("a", 1), ("b", 2)]
        assert (store["a"], store["b"], store.get("c")) == (1, 2, None)
        store.flush()
        assert in_order(store) == in_order(open_store()) == [("a", 1), ("b", 2)]

    def test_what_a_transaction_wrote_is_stored_when_it_is_over(self, store, directory, start):
        with another_process(start, self.kind, directory) as ask:
            store["before"] = 0
            with store.transact("a"):
                store["a"] = 1
                del store["before"]
                assert ask("exists", "a") is False
            assert ask("get_many", ["before", "a"]) == {"a": 1}

    def test_expiry_counts_from_the_call_of_set(self, open_store, clock):
        store = open_store(write_behind=LATER, timer=clock)
        store.set("a", 1, expire=10, tag="red")
        store.set("b", 2, expire=4)
        time = clock.now
        clock.advance(4)
        assert keys_in_order(store) == ["a"]
        assert store.get("b") is None
        assert store.delete("b") is False
        assert store.get("a", expire_time=True, tag=True) == (1, time + 10, "red")
        store.flush()
        assert store.get("a", expire_time=True, tag=True) == (1, time + 10, "red")
        assert len(store) == 1
        other = open_store(timer=clock)
        assert other.get("a", expire_time=True, tag=True) == (1, time + 10, "red")
        clock.advance(6)
        assert len(store) == len(other) == 0

    def test_a_set_over_what_has_expired_goes_to_the_end(self, open_store, clock):
        store = open_store(write_behind=LATER, timer=clock)
        store.set("gone", 1, expire=4)
        store["a"] = 2
        store.set("waits and goes", 3, expire=4)
        clock.advance(4)
        store["waits and goes"] = 4
        store["gone"] = 5
        assert in_order(store) == [("a", 2), ("waits and goes", 4), ("gone", 5)]
        store.flush()
        assert in_order(store) == [("a", 2), ("waits and goes", 4), ("gone", 5)]

    # waiting until all is stored

    def test_close_stores_what_waits(self, open_store):
        for number in range(5):
            with open_store(write_behind=LATER) as store:
                store[number] = IN_A_FILE
                store.delete(number - 1)
        with open_store() as store:
            assert in_order(store) == [(4, IN_A_FILE)]
            assert store.check()

    def test_a_closed_store_says_so(self, open_store):
        store = open_store(write_behind=LATER)
        store["a"] = 1
        store.close()
        store.close()
        for use in (
            lambda: store.set("a", 2),
            lambda: store.__setitem__("a", 2),
            lambda: store.delete("a"),
            lambda: store.get("a"),
            store.flush,
        ):
            with pytest.raises(fastcache.ClosedError):
                use()
        assert in_order(open_store()) == [("a", 1)]

    @pytest.mark.parametrize("ending", ["return", "exit", "collect", "thread", "another at exit"])
    def test_whoever_ends_without_closing_has_stored_everything(self, open_store, directory, start, ending):
        start("end_behind", self.kind, str(directory), LATER, ending).finish()
        store = open_store()
        assert keys_in_order(store) == list(range(100))
        assert all(value == IN_A_FILE if number % 10 == 3 else value == number for number, value in store.items())
        assert store.check()

    def test_a_temporary_store_can_write_behind(self):
        store = self.store_type(write_behind=LATER)
        store["a"] = BIG
        directory = store.directory
        assert store["a"] == BIG
        store.flush()
        store["b"] = 1
        store.close()
        assert not os.path.exists(directory)

    # what goes wrong

    def test_while_another_process_writes_the_failure_comes_up_and_nothing_is_lost(self, open_store, directory, start):
        store = open_store(write_behind=0.02, timeout=0.2)
        stored = {}
        numbers = itertools.count()

        def fails():
            number = next(numbers)
            value = IN_A_FILE if number % 7 == 3 else number
            try:
                store[number] = value
                stored[number] = value
                if number % 5 == 4:
                    assert store.delete(number - 1) is True
                    del stored[number - 1]
            except fastcache.Timeout:
                return True
            return False

        with locked(start, self.kind, directory):
            wait_until(fails)
            with pytest.raises(fastcache.Timeout):
                store.flush()
            assert stored
            assert store.get_many(stored) == stored
            assert all(store[number] == value for number, value in stored.items())
        store.flush()
        assert open_store().get_many(stored) == stored
        assert store.get_many(stored) == stored
        store["afterwards"] = 1
        store.flush()
        assert open_store()["afterwards"] == 1
        assert store.check(fix=True)

    def test_whatever_is_atomic_says_that_it_cannot_flush(self, open_store, directory, start):
        store = open_store(write_behind=LATER, timeout=0.2)
        store["n"] = 5
        with locked(start, self.kind, directory):
            for act in (store.incr, lambda key: store.add("new", 1), lambda key: store.transact("a").__enter__()):
                with pytest.raises(fastcache.Timeout):
                    act("n")
            assert store["n"] == 5
        assert store.incr("n") == 6
        assert "new" not in store

    @pytest.mark.parametrize("size", [100, 160_000])
    def test_when_the_disk_takes_no_more_the_failure_comes_up_and_nothing_is_lost(
        self, open_store, directory, start, size
    ):
        said = start("write_behind_to_a_full_disk", self.kind, str(directory), size).finish()
        # A value that is to be a file may be refused at once.
        if size < 1000:
            assert said["stored"] > 0
            assert said["flush"] == "failed"
        store = open_store()
        assert list(store.get_many(range(said["stored"])).values()) == ["x" * size] * said["stored"]
        assert store["afterwards"] == 1
        assert store.check(fix=True)

    # threads

    def test_each_thread_finds_its_own_writes_and_all_are_stored(self, open_store):
        store = open_store(write_behind=0.005)

        def write(name):
            for number in range(300):
                store[name, number] = IN_A_FILE if number % 50 == 7 else number
                assert (name, number) in store
                store[name] = number
                assert store[name] == number
                if number % 3 == 2:
                    assert store.delete((name, number)) is True
                    assert (name, number) not in store
                if number % 100 == 50:
                    store.flush()
                if number % 20 == 5:
                    store.incr("n")

        together(*[lambda name=name: write(name) for name in range(6)])
        store.flush()
        other = open_store()
        for reader in (store, other):
            assert len(reader) == 6 * (200 + 1) + 1
            assert reader["n"] == 6 * 15
            for name in range(6):
                assert reader[name] == 299
                assert all(((name, number) in reader) is (number % 3 != 2) for number in range(300))
        assert in_order(store) == in_order(other)
        assert store.check(fix=True)

    def test_what_one_thread_has_set_another_sees(self, open_store):
        store = open_store(write_behind=0.001)
        for number in range(300):
            store["a"] = number
            assert in_a_thread(lambda: store["a"]) == number if number % 30 == 0 else True
            seen = together(lambda: store.get("a"), lambda: store.get_many("a"), lambda: dict(store))
            assert seen == [number, {"a": number}, {"a": number}]

    @pytest.mark.parametrize("look", LOOKS)
    @pytest.mark.usefixtures("short_turns")
    def test_nothing_is_missed_by_another_thread_while_it_is_written(self, open_store, look):
        store = open_store(write_behind=0.0005)
        latest = -1
        done = threading.Event()

        def write():
            nonlocal latest
            try:
                for number in range(800):
                    store[number] = number
                    latest = number
                    if number % 10 == 0:
                        store.flush()
            finally:
                done.set()

        def read():
            while not done.is_set():
                if (number := latest) >= 0:
                    assert LOOKS[look](store, number)

        together(write, read)

    def test_what_is_set_while_it_is_written_is_neither_lost_nor_overtaken(self, open_store):
        """A key is never seen to go back, whichever of the moments of a write of the other thread it hits."""
        store = open_store(write_behind=0.0005)
        done = threading.Event()

        def write():
            try:
                for number in range(1, 4000):
                    store["a"] = number
                    assert store["a"] == number
                    if number % 500 == 0:
                        store.flush()
            finally:
                done.set()

        def read():
            last = 0
            while not done.is_set():
                for number in (store.get("a", 0), store.get_many("a").get("a", 0), dict(store.items()).get("a", 0)):
                    assert number >= last
                    last = number

        together(write, read, read)
        store.flush()
        assert open_store()["a"] == 3999

    def test_a_transaction_sees_nothing_that_others_put_off_meanwhile(self, open_store, short_turns):
        def timer():
            # Whoever writes what was put off looks at it, and so lets others in.
            time.sleep(0.0002)
            return time.time()

        store = open_store(write_behind=5, timer=timer)
        ended = threading.Event()

        def put_off():
            while not ended.is_set():
                store["k"] = "of others"
                time.sleep(0.0001)

        threads = [threading.Thread(target=put_off) for _ in range(3)]
        for thread in threads:
            thread.start()
        seen = set()
        try:
            for _ in range(200):
                with store.transact():
                    before = store.get("k")
                    store["k"] = "mine"
                    seen.add((store.get("k"), store.get("k")))
                    store["k"] = before
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert seen == {("mine", "mine")}

    def test_a_normal_exit_writes_what_waits_while_daemon_threads_are_inside_of_operations(self, start, directory):
        for _ in range(3):
            start("end_with_waiting", str(directory), 3).finish()
            with self.store_type(directory) as store:
                assert [store.get(f"waits {number}") for number in range(100)] == list(range(100))
                store.clear()

    def test_closing_while_other_threads_set_keeps_what_they_were_told_is_set(self, open_store):
        for _ in range(10):
            told = {}

            def write(name, store, told):
                with pytest.raises(fastcache.ClosedError):  # noqa: PT012
                    for number in itertools.count():
                        store[name, number] = number
                        told[name, number] = number

            store = open_store(write_behind=0.01)
            together(
                lambda store=store, told=told: write("a", store, told),
                lambda store=store, told=told: write("b", store, told),
                lambda store=store, told=told: (wait_until(lambda: len(told) > 50), store.close()),
            )
            with open_store() as other:
                assert other.get_many(told) == told
                other.clear()

    # processes

    def test_a_forked_child_writes_nothing_of_its_parents(self, open_store, directory, start):
        said = start("fork_behind", self.kind, str(directory), LATER).finish()
        assert said["status"] == 0
        store = open_store()
        assert dict(store) == {
            "a": "parent later",
            "b": "of the parent",
            "of the child": 1,
            "of the child, flushed": 2,
            "after": 3,
        }
        assert store.check()

    def test_a_fork_while_another_process_writes_neither_loses_nor_doubles(self, open_store, directory, start):
        with open_store() as store:
            store["n"] = 0
        process = start("fork_behind_a_lock", self.kind, str(directory))
        assert process.hear() == "ready"
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        process.tell()
        assert process.hear() == "forked"
        holder.tell()
        holder.finish()
        process.tell()
        assert process.finish() == 0
        assert dict(open_store()) == {"n": 0, "held": 1, "a": "parent later", "b": 2, "child": 1}

    def test_forks_while_threads_write_lose_nothing(self, open_store, directory, start):
        statuses, written = start("fork_many_behind", self.kind, str(directory), 8).finish()
        assert statuses == [0] * 8
        store = open_store()
        for name, number in written:
            assert store[f"{name}"] == number
        assert {f"child {number}" for number in range(8)} < set(store)
        assert store.check()

    def test_a_killed_process_has_stored_what_was_old_enough(self, open_store, directory, start):
        store = open_store()
        for lot in range(4):
            process = start("set_behind", self.kind, str(directory), 0.1, lot, 100)
            assert process.hear() == "set"
            # In vain, if what it has set is not stored within the delay.
            wait_until(lambda lot=lot: all(f"{lot} {number}" in store for number in range(100)))
            process.tell()
            assert process.hear() == "set more"
            process.popen.kill()
            process.popen.wait()
            assert all(f"{lot} {number}" in store for number in range(100))
        assert all(is_whole(key.split()[1], value) for key, value in store.items())
        store.check(fix=True)
        assert store.check()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_fork_waits_for_nobody_who_waits_for_it(self, directory, start):
        assert start("fork_beside_a_writer", self.kind, str(directory)).finish() == [0, "v", "v", 1]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_fork_waits_for_no_lock_of_who_waits_for_it(self, directory, start):
        assert start("fork_beside_an_opening", self.kind, str(directory)).finish() == [0, ["v"]]

    @pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="tells memory by /proc")
    @pytest.mark.parametrize("seconds", [0.5, LATER])
    def test_a_loop_of_sets_takes_no_room_without_bound(self, directory, start, seconds):
        entries, kilobytes = start("fill_behind", self.kind, str(directory), seconds, 50_000, 3_000).finish()
        assert entries == 50_000
        # 150 MB went through.
        assert kilobytes < 100_000

    def test_two_processes_that_write_behind_come_to_the_same(self, open_store, directory, start):
        store = open_store(write_behind=0.01)
        process = start("set_behind", self.kind, str(directory), 0.01, "theirs", 200)
        for number in range(200):
            store[f"mine {number}"] = number
            store["both"] = number
        assert process.hear() == "set"
        process.tell()
        assert process.hear() == "set more"
        process.tell()
        process.finish()
        store.flush()
        names = {f"mine {number}" for number in range(200)} | {f"theirs {number}" for number in range(400)} | {"both"}
        assert set(store) == set(open_store()) == names
