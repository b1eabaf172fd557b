"""Queues: what is pushed is pulled once, in order, whoever pushes and pulls at the same time."""

import json
import os
import signal
import time

import pytest

import fastcache

from ..together import together
from .store import StoreContract

FIRST = 500_000_000_000_000


class QueueContract(StoreContract):
    def test_keys_are_numbers_that_follow_one_another_in_both_directions(self, store):
        assert [store.push("a"), store.push("b"), store.push("c", side="front")] == [FIRST, FIRST + 1, FIRST - 1]
        assert store.get(FIRST) == "a"
        assert store.pull() == (FIRST - 1, "c")
        assert store.pull(side="back") == (FIRST + 1, "b")
        assert store.pull() == (FIRST, "a")
        assert store.pull() == (None, None)
        assert len(store) == 0
        assert store.push("anew", side="front") == FIRST

    def test_a_prefix_is_a_queue_of_its_own(self, store):
        assert store.push("a", "jobs") == "jobs-500000000000000"
        assert store.push("b", prefix="jobs") == "jobs-500000000000001"
        assert store.push("c", "jobs", "front") == "jobs-499999999999999"
        assert store.push("d", "job") == "job-500000000000000"
        assert store.push("e") == FIRST
        assert store.push("f", "") == "-500000000000000"
        assert store.peek("jobs") == ("jobs-499999999999999", "c")
        assert [store.pull("jobs")[1] for _ in range(4)] == ["c", "a", "b", None]
        assert store.pull("job") == ("job-500000000000000", "d")
        assert store.pull("") == ("-500000000000000", "f")
        assert list(store) == [FIRST]

    def test_what_is_no_entry_of_it_is_left_alone(self, store):
        others = [
            "jobs-5-500000000000001",
            "jobs-",
            "jobs-5",
            "jobs-50000000000000x",
            "jobs-\u066500000000000000",
            -1,
            0.5,
        ]
        others += [FIRST + 0.5, 1_000_000_000_000_000, "jobs", "jobs-5000000000000000", b"jobs-500000000000000", (1,)]
        store.update((key, "other") for key in others)
        assert store.pull("jobs") == store.pull() == store.peek(side="back") == (None, None)
        assert store.push(1, "jobs") == "jobs-500000000000000"
        assert store.push(2) == FIRST
        assert store.push(3, "jobs-5", "front") == "jobs-5-500000000000000"
        assert store.pull("jobs") == ("jobs-500000000000000", 1)
        assert store.pull() == (FIRST, 2)
        assert set(others) <= set(store)

    def test_peek_leaves_it_there(self, store):
        assert store.peek() == (None, None)
        assert store.peek("jobs", default="none", side="back") == "none"
        store.push("a")
        store.push("b")
        assert store.peek() == store.peek() == (FIRST, "a")
        assert store.peek(side="back") == (FIRST + 1, "b")
        assert len(store) == 2

    def test_an_empty_one_gives_the_default(self, store):
        assert store.pull(default=0) == 0
        assert store.pull("jobs", "nothing", "back") == "nothing"

    def test_what_is_neither_side_nor_prefix_is_refused(self, store):
        for method in (lambda *given: store.push(1, *given), store.peek, store.pull):
            with pytest.raises(TypeError, match="prefix"):
                method(1)
        for method in (lambda **given: store.push(1, **given), store.peek, store.pull):
            with pytest.raises(ValueError, match="side"):
                method(side="left")
        assert len(store) == 0

    def test_where_no_number_is_left_it_says_so(self, store):
        store[999_999_999_999_999] = "last"
        store["q-000000000000000"] = "first"
        with pytest.raises(fastcache.StorageError, match="no number left"):
            store.push(1)
        with pytest.raises(fastcache.StorageError, match="no number left"):
            store.push(1, "q", side="front")
        assert store.push(1, side="front") == 999_999_999_999_998

    def test_large_values_and_any_others_come_back(self, store):
        for value in (b"x" * 200_000, None, [1, {"a": 2}], 1.5):
            store.push(value)
        assert [store.pull()[1] for _ in range(4)] == [b"x" * 200_000, None, [1, {"a": 2}], 1.5]

    def test_in_a_transaction_that_is_undone_nothing_was_pulled_or_pushed(self, store):
        store.push("a")

        def pull_and_push():
            with store.transact():
                assert store.pull() == (FIRST, "a")
                assert store.push("b") == FIRST
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            pull_and_push()
        assert store.pull() == (FIRST, "a")
        assert store.pull() == (None, None)

    def test_threads_push_and_pull_each_value_once(self, store):
        def push(name):
            return [store.push((name, number)) for number in range(100)]

        def pull():
            found = []
            while len(found) < 100:
                key, value = store.pull()
                if key is not None:
                    found.append((key, value))
            return found

        *pushed, one, other = together(lambda: push("a"), lambda: push("b"), pull, pull)
        assert len({key for keys in pushed for key in keys}) <= 200
        values = [value for _, value in one + other]
        assert sorted(values) == sorted((name, number) for name in "ab" for number in range(100))
        for found in (one, other):
            for name in "ab":
                assert [n for _, (who, n) in found if who == name] == sorted(n for _, (who, n) in found if who == name)

    def test_what_processes_push_and_pull_is_there_once(self, store, start):
        producers = [start("push_many", self.kind, store.directory, name, 150) for name in ("a", "b")]
        consumers = [start("pull_until_killed", self.kind, store.directory) for _ in range(2)]
        for process in producers + consumers:
            assert process.hear() == "ready"
            process.tell()
        pulled = [consumers[0].hear() for _ in range(20)]
        # What it has pulled and not told yet is lost with it: one at most.
        os.kill(consumers[0].popen.pid, signal.SIGKILL)
        pulled += [json.loads(line) for line in consumers[0].popen.stdout]
        for producer in producers:
            producer.finish()
        while len(store):
            time.sleep(0.01)
        consumers[1].tell("stop")
        rest = []
        while (said := consumers[1].hear()) != "end":
            rest.append(said)
        consumers[1].finish()
        names = [(name, number) for name, number in pulled + rest]
        expected = {(name, number) for name in ("a", "b") for number in range(150)}
        assert len(names) == len(set(names))
        assert len(expected - set(names)) <= 1


class CacheQueueContract(StoreContract):
    def test_what_has_expired_is_not_pulled(self, open_store, clock):
        store = open_store(timer=clock)
        store.push("a", expire=5)
        store.push("b", tag="t")
        store.push("c", expire=5, side="front")
        clock.advance(6)
        assert store.peek() == (FIRST + 1, "b")
        assert store.pull(tag=True) == ((FIRST + 1, "b"), "t")
        assert store.pull() == (None, None)
        assert store.push("d") == FIRST

    def test_expiry_and_tag_are_told(self, open_store, clock):
        store = open_store(timer=clock)
        key = store.push("a", "q", expire=5, tag="t")
        moment = store.get(key, expire_time=True)[1]
        for look in (store.peek, store.pull):
            assert look("q", expire_time=True, tag=True) == ((key, "a"), moment, "t")
            if look == store.peek:
                assert look("q", tag=True) == ((key, "a"), "t")
        assert store.pull("q", expire_time=True, tag=True) == ((None, None), None, None)
        assert store.peek("q", 0, expire_time=True) == (0, None)
