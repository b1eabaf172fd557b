"""Any number of threads and processes share a directory, and nothing acknowledged is lost."""

import collections
import os
import random
import threading

import pytest

import fastcache

from ..together import together
from ..workers.described import SIZES, described, is_whole
from ..workers.forks import REFUSED
from .store import StoreContract, in_order, keys_in_order, values_in_order


def all_at_once(processes):
    """Release processes that are ready."""
    for process in processes:
        assert process.hear() == "ready"
    for process in processes:
        process.tell()


class ThreadContract(StoreContract):
    def test_counting_in_eight_threads_loses_nothing(self, store):
        def count():
            for _ in range(250):
                store.incr("n")
                store.decr("down", 2)

        together(*[count] * 8)
        assert store["n"] == 2000
        assert store["down"] == -4000

    def test_every_increment_gives_a_number_of_its_own(self, store):
        numbers = together(*[lambda: [store.incr("n") for _ in range(250)]] * 8)
        assert all(mine == sorted(mine) for mine in numbers)
        assert sorted(number for mine in numbers for number in mine) == list(range(1, 2001))

    def test_of_many_threads_that_add_a_key_exactly_one_wins(self, store):
        def add(name):
            return [key for key in range(200) if store.add(key, name)]

        won = together(*[lambda name=name: add(name) for name in range(8)])
        assert sorted(key for keys in won for key in keys) == list(range(200))
        assert {key: name for name, keys in enumerate(won) for key in keys} == store

    def test_setdefault_gives_all_threads_the_same(self, store):
        given = together(*[lambda name=name: [store.setdefault(key, name) for key in range(200)] for name in range(8)])
        assert all(mine == given[0] for mine in given)
        assert values_in_order(store) == [store[key] for key in store]
        assert store == dict(enumerate(given[0]))

    def test_pop_hands_each_entry_to_one_thread(self, store):
        store.update((key, [key]) for key in range(500))
        got = together(*[lambda: [value[0] for key in range(500) if (value := store.pop(key, None)) is not None]] * 8)
        assert sorted(value for mine in got for value in mine) == list(range(500))
        assert len(store) == 0

    def test_popitem_hands_each_entry_to_one_thread(self, store):
        store.update((key, b"x" * (key % 5 * 30_000)) for key in range(300))

        def take():
            taken = []
            try:
                while True:
                    taken.append(store.popitem(last=len(taken) % 2 == 0)[0])
            except KeyError:
                return taken

        got = together(*[take] * 4)
        assert sorted(key for mine in got for key in mine) == list(range(300))

    @pytest.mark.usefixtures("short_turns")
    def test_delete_succeeds_in_one_thread(self, store):
        store.update((key, key) for key in range(300))
        deleted = together(*[lambda: [key for key in range(300) if store.delete(key)]] * 8)
        assert sorted(key for mine in deleted for key in mine) == list(range(300))

    def test_each_thread_finds_its_own_writes_at_once(self, store):
        def write(name):
            for number in range(200):
                store[name, number] = number
                assert store[name, number] == number
                store[name] = number
                assert store.get(name) == number
                del store[name, number]
                assert (name, number) not in store

        together(*[lambda name=name: write(name) for name in range(6)])
        assert store == dict.fromkeys(range(6), 199)

    @pytest.mark.usefixtures("short_turns")
    def test_no_thread_reads_a_torn_value(self, store):
        done = threading.Event()

        def write(seed):
            chance = random.Random(seed)
            try:
                for _ in range(150):
                    key = chance.randrange(6)
                    if chance.random() < 0.9:
                        store[key] = described(key, chance.choice(SIZES))
                    else:
                        store.delete(key)
            finally:
                done.set()

        def read(seed):
            chance = random.Random(seed)
            seen = 0
            while not done.is_set():
                key = chance.randrange(6)
                if (value := store.get(key)) is not None:
                    assert is_whole(key, value)
                    seen += 1
                for key, value in store.items():
                    assert is_whole(key, value)
            return seen

        together(lambda: write(1), lambda: write(2), lambda: read(3), lambda: read(4), lambda: read(5))
        assert store.check(fix=True)

    def test_readers_see_a_transaction_as_a_whole(self, store):
        store.update(left=0, right=0)
        done = threading.Event()

        def write():
            try:
                for number in range(1, 300):
                    with store.transact("a"):
                        store["left"] = number
                        store["right"] = -number
            finally:
                done.set()

        def read():
            while not done.is_set():
                seen = dict(store.items())
                assert seen["left"] == -seen["right"]
                with store.transact("a"):
                    assert store["left"] == -store["right"]

        together(write, read, read)

    @pytest.mark.usefixtures("short_turns")
    def test_a_key_that_is_never_absent_is_never_missed(self, store):
        store["a"] = 0
        done = threading.Event()

        def write():
            try:
                for number in range(150):
                    store["a"] = described("a", 140_000) if number % 3 else number
                    store["b"] = number
            finally:
                done.set()

        def read():
            while not done.is_set():
                assert store.get("a") is not None
                assert "a" in store
                assert "a" in list(store)

        together(write, read, read)

    def test_threads_clear_while_others_write(self, store):
        def write(name):
            for number in range(100):
                store[name, number] = b"x" * (number % 4 * 140_000)

        together(lambda: write(1), lambda: write(2), lambda: [store.clear() for _ in range(30)])
        assert all(len(value) % 140_000 == 0 for value in store.values())
        assert store.check(fix=True)
        store.clear()
        assert store.size() == 0


class ProcessContract(StoreContract):
    def test_counting_in_eight_threads_and_four_processes_loses_nothing(self, store, directory, start):
        processes = [start("count", self.kind, str(directory), 8, 60) for _ in range(4)]
        all_at_once(processes)

        def count():
            for _ in range(60):
                store.incr("n")

        together(*[count] * 8)
        for process in processes:
            process.finish()
        assert store["n"] == 60 * 8 * (4 + 1)

    def test_of_many_processes_that_add_a_key_exactly_one_wins(self, store, directory, start):
        processes = [start("add", self.kind, str(directory), 400) for _ in range(4)]
        all_at_once(processes)
        won = {process.popen.pid: process.finish() for process in processes}
        assert sorted(key for keys in won.values() for key in keys) == list(range(400))
        assert {key: pid for pid, keys in won.items() for key in keys} == store

    @pytest.mark.parametrize("size", [10, 200_000])
    def test_pop_hands_each_entry_to_one_process(self, store, directory, start, size):
        store.update((key, f"{key:0{size}}") for key in range(200))
        processes = [start("pop", self.kind, str(directory), 200) for _ in range(4)]
        all_at_once(processes)
        got = [int(value.lstrip("0") or 0) for process in processes for value in process.finish()]
        assert sorted(got) == list(range(200))
        assert len(store) == 0
        assert store.check(fix=True)

    def test_popitem_hands_each_entry_to_one_process(self, store, directory, start):
        store.update((key, key) for key in range(400))
        processes = [start("popitem", self.kind, str(directory)) for _ in range(4)]
        all_at_once(processes)
        assert sorted(key for process in processes for key in process.finish()) == list(range(400))

    def test_what_each_process_inserted_is_there_in_its_order(self, store, directory, start):
        processes = [start("insert", self.kind, str(directory), name, 300) for name in "abcd"]
        all_at_once(processes)
        for process in processes:
            process.finish()
        by_name = collections.defaultdict(list)
        for key, number in store.items():
            by_name[key[0]].append(number)
        assert by_name == {name: list(range(300)) for name in "abcd"}

    def test_no_process_reads_a_torn_value(self, store, directory, start):
        readers = [start("read_described", self.kind, str(directory), seed) for seed in range(2)]
        writers = [start("write_described", self.kind, str(directory), seed, 250) for seed in range(2)]
        all_at_once([*readers, *writers])
        assert [writer.finish() for writer in writers] == ["done", "done"]
        for reader in readers:
            reader.tell("stop")
        seen = [reader.finish() for reader in readers]
        assert all(number > 0 for number in seen)
        assert all(is_whole(key, value) for key, value in store.items())
        assert store.check(fix=True)

    def test_a_write_elsewhere_is_seen_at_once(self, store, directory, start):
        other = start("answer", self.kind, str(directory))
        for number in range(300):
            other.tell(["set", "a", number])
            assert other.hear() is True
            assert store["a"] == number
            store["a"] = -number
            other.tell(["get", "a"])
            assert other.hear() == -number
            other.tell(["delete", "a"])
            assert other.hear() is True
            assert store.get("a") is None
            assert "a" not in store
        other.tell(None)
        other.finish()

    def test_a_large_value_deleted_elsewhere_is_gone_here(self, store, directory, start):
        other = start("answer", self.kind, str(directory))
        for size in (100_000, 3_000_000):
            for _ in range(20):
                store["a"] = b"x" * size
                other.tell(["delete", "a"])
                assert other.hear() is True
                assert store.get("a") is None
                other.tell(["set", "a", "t" * size])
                assert other.hear() is True
                assert store["a"] == "t" * size
        other.tell(None)
        other.finish()

    # fork

    @pytest.mark.parametrize("how", ["os", "multiprocessing"])
    def test_parent_and_child_both_write_after_a_fork(self, open_store, directory, start, how):
        assert start("fork_and_write", self.kind, str(directory), how, 200).finish() == "done"
        store = open_store()
        assert store["n"] == 400
        assert len(store) == 402
        for name in ("parent", "child"):
            assert [store[f"{name} {number}"] for number in range(200)] == list(range(200))
        assert store.check()

    def test_the_parent_closes_and_the_child_loses_nothing(self, open_store, directory, start):
        assert start("fork_and_close", self.kind, str(directory), 200).finish() == "done"
        store = open_store()
        assert [store[f"child {number}"] for number in range(200)] == list(range(200))
        assert {"before", "child opened", "child ended", "parent", "parent again"} < set(store)
        assert store.check()

    def test_the_child_ends_and_the_parent_keeps_its_lock(self, open_store, directory, start):
        store = open_store(timeout=0.1)
        assert len(store) == 0
        process = start("child_ends_first", self.kind, str(directory))
        expected = []
        for ending in ("close", "exit", "forget"):
            assert process.hear() == ending
            with pytest.raises(fastcache.Timeout):
                store["between"] = 1
            process.tell()
            assert process.hear() == "left"
            expected += [f"{ending} {when}" for when in ("before", "inside", "after")]
            assert keys_in_order(store) == expected
            process.tell()
        assert process.finish() == "done"

    def test_a_child_born_in_a_transaction_takes_no_part_in_it(self, open_store, directory, start):
        seen = start("fork_inside_a_transaction", self.kind, str(directory)).finish()
        assert seen[0] in ("old", "TransactionError")
        assert seen[1] in ("Timeout", "TransactionError")
        assert seen[2] in ("Timeout", "TransactionError")
        assert open_store() == {
            "a": "new",
            "b": 1,
            "child after": 1,
            "child in its own": 1,
            "parent after": 1,
        }

    def test_a_child_that_leaves_the_block_it_was_born_in_does_not_end_it(self, open_store, directory, start):
        seen = start("fork_leaves_the_block", self.kind, str(directory)).finish()
        assert seen == [["a", "new"], ["b", 1]]
        assert open_store() == {"a": "new", "b": 1}

    def test_a_fork_beside_a_closed_store_is_like_any_other(self, directory, start):
        assert start("fork_beside_a_closed_one", self.kind, str(directory)).finish() == [0, 2, True]

    def test_a_fork_while_other_threads_write_loses_nothing(self, open_store, directory, start):
        statuses, counted, expected = start("fork_many", self.kind, str(directory), 8, 25).finish()
        assert statuses == [0] * 8
        assert counted == expected
        assert open_store()["n"] == expected

    def test_a_child_forked_while_a_thread_imports_what_the_store_needs_does_not_wait_for_it(
        self, open_store, directory, start
    ):
        loaded, statuses, names = start("fork_while_loading", self.kind, str(directory)).finish()
        assert {"fastcache.runtime.background", "fastcache.engine.batch", "fastcache.check.check"} <= set(loaded)
        statuses = [os.waitstatus_to_exitcode(status) for status in statuses]
        # None was killed by the alarm.
        assert set(statuses) <= {0, REFUSED}
        assert 0 in statuses
        assert names == ["parent", *(f"child {number}" for number, status in enumerate(statuses) if status == 0)]
        assert open_store().check()

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells open files by /proc")
    def test_a_child_forked_while_other_threads_read_inherits_no_database(self, open_store, directory, start):
        directories = [str(directory / name) for name in "abc"]
        inherited, statuses = start("fork_while_reading", self.kind, 15, *directories).finish()
        assert inherited == []
        assert statuses == [0] * 15
        for path in directories:
            store = open_store(path)
            assert store == {"a": 1} | {f"child {number}": number for number in range(15)}
            assert store.check()

    def test_a_fork_that_is_interrupted_mixes_up_no_transactions(self, open_store, directory, start):
        seen = start("interrupt_a_fork", self.kind, str(directory)).finish()
        assert seen["status"] == 0
        assert seen["by the worker"] == ["a", "half"]
        written, found = seen["by the child"]
        assert written in (True, "Timeout", "TransactionError")
        assert found == "TransactionError" or "half" not in found
        assert "half" not in seen["afterwards"]
        assert "parent" in seen["afterwards"]
        assert ("child" in seen["afterwards"]) == (written is True)
        assert open_store().check()

    # interruption

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_what_is_interrupted_happens_as_a_whole_or_not_at_all(self, open_store, directory, start, seed):
        process = start("interrupted", self.kind, str(directory), seed, 800)
        assert process.hear() > 10
        with open_store(timeout=0.2) as store:
            store["nobody holds the lock"] = 1
        process.tell()
        process.finish()
        store = open_store()
        store.check(fix=True)
        assert store.check()

    # ending

    def test_leaving_the_interpreter_while_daemon_threads_write_is_silent(self, open_store, directory, start):
        for _ in range(5):
            start("end_with_daemons", self.kind, str(directory), 3).finish()
        store = open_store()
        assert store.check(fix=True)

    def test_nobody_waits_on_because_another_waiter_was_interrupted(self, directory, start):
        assert start("interrupted_among_waiters", self.kind, str(directory), 2000).finish() >= 2000

    def test_forks_while_other_threads_open_and_close_stores(self, directory, tmp_path, start):
        others = [str(tmp_path / name) for name in "abc"]
        assert start("fork_beside_openings", self.kind, str(directory), *others).finish() == [{"0": 60}, 61]

    def test_a_child_that_c_code_forks_has_connections_of_its_own(self, directory, start):
        seen = start("fork_without_hooks", self.kind, str(directory), "idle").finish()
        assert seen == {
            "by the parent": [1, 1],
            "by the child": [True, "before", "after", 2],
            "status": 0,
            "afterwards": [1, "after", 2, True],
        }

    def test_a_child_that_c_code_forks_inside_a_transaction_is_refused(self, directory, start):
        seen = start("fork_without_hooks", self.kind, str(directory), "transaction").finish()
        assert seen == {
            "by the parent": [None, 1],
            "by the child": ["TransactionError"] * 4,
            "status": 0,
            "afterwards": [None, "after", 1, True],
        }

    def test_leaving_the_interpreter_without_closing_is_silent(self, open_store, directory, start):
        start("end_without_closing", self.kind, str(directory)).finish()
        assert open_store()["a"] == 1

    def test_the_directory_can_be_removed_by_whoever_closed_it(self, open_store, directory):
        with open_store() as store:
            store["a"] = b"x" * 3_000_000
        assert not (directory / "cache.db-wal").exists() or os.path.getsize(directory / "cache.db-wal") == 0
        assert in_order(open_store()) == [("a", b"x" * 3_000_000)]
