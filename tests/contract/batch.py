"""A stream is written in batches: each commits as a whole, in order, and before it waits too long."""

import itertools
import math
import os
import sys
import threading
import time

import pytest

import fastcache

from ..together import in_a_thread, together
from ..workers.described import generation
from .bulk import IN_A_FILE, REFUSALS
from .concurrency import all_at_once
from .store import StoreContract, in_order, keys_in_order, value_files
from .values import Selfish, no_pickle

BIG = b"big!" * 500_000
LONG = 1000.0
PATIENCE_SECONDS = 30


USES = {
    "set": lambda batch: batch.set("a", 1),
    "[]=": lambda batch: batch.__setitem__("a", 1),
    "delete": lambda batch: batch.delete("a"),
    "flush": lambda batch: batch.flush(),
}


class Oops(Exception):
    pass


def wait_until(condition):
    """Poll; fail if it does not come true for very long."""
    over = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < over, "waited in vain"
        time.sleep(0.005)


class BatchContract(StoreContract):
    # what a batch does

    def test_a_batch_stores_and_deletes_in_order(self, store):
        store.update(old=1, gone=2)
        with store.batch() as batch:
            batch["a"] = 1
            batch.set("b", IN_A_FILE)
            batch["c"] = [3]
            batch.delete("gone")
            batch.delete("absent")
            batch["a"] = 4
            batch.delete("b")
            batch["b"] = BIG
            batch["old"] = "new"
            batch["d"] = 5
            batch.delete("d")
        assert in_order(store) == [("old", "new"), ("a", 4), ("c", [3]), ("b", BIG)]
        assert len(store) == 4
        assert store.check()

    def test_a_batch_of_nothing_does_nothing(self, store):
        store["a"] = 1
        with store.batch() as batch:
            assert batch.committed == 0
        with store.batch() as batch:
            batch.flush()
            batch.flush()
        assert batch.committed == 0
        assert in_order(store) == [("a", 1)]

    def test_what_waits_is_not_visible(self, store, open_store):
        other = open_store()
        store.update(a=1, b=2)
        with store.batch(max_items=100, max_seconds=LONG) as batch:
            batch["a"] = 3
            batch.delete("b")
            batch["c"] = BIG
            for reader in (store, other):
                assert in_order(reader) == [("a", 1), ("b", 2)]
                assert (reader["a"], reader.get("b"), reader.get("c"), len(reader)) == (1, 2, None, 2)
                assert "c" not in reader
                assert reader.get_many("abc") == {"a": 1, "b": 2}
            assert batch.committed == 0
        for reader in (store, other):
            assert in_order(reader) == [("a", 3), ("c", BIG)]
            assert (reader["a"], reader.get("b"), reader["c"], len(reader)) == (3, None, BIG, 2)
        assert batch.committed == 3

    @pytest.mark.parametrize("max_items", [1, 2, 7, 10])
    def test_it_commits_whenever_so_many_wait(self, store, open_store, max_items):
        other = open_store()
        with store.batch(max_items=max_items, max_seconds=LONG) as batch:
            for number in range(35):
                batch[number] = IN_A_FILE if number % 10 == 3 else number
                committed = (number + 1) // max_items * max_items
                assert batch.committed == committed
                assert keys_in_order(store) == keys_in_order(other) == list(range(committed))
                assert len(store) == committed
        assert batch.committed == 35
        assert keys_in_order(store) == list(range(35))
        assert store.check()

    def test_deletes_count_as_operations_too(self, store):
        store.update((number, number) for number in range(10))
        with store.batch(max_items=4, max_seconds=LONG) as batch:
            for number in range(6):
                batch.delete(number)
            assert batch.committed == 4
            assert keys_in_order(store) == list(range(4, 10))
            batch.delete("absent")
            batch["new"] = 1
            assert batch.committed == 8
            assert keys_in_order(store) == [6, 7, 8, 9, "new"]
            batch["new"] = 2
        assert batch.committed == 9
        assert store["new"] == 2

    def test_flush_commits_what_waits(self, store, open_store):
        other = open_store()
        with store.batch(max_seconds=LONG) as batch:
            batch["a"] = 1
            batch["b"] = BIG
            batch.flush()
            assert batch.committed == 2
            assert in_order(store) == in_order(other) == [("a", 1), ("b", BIG)]
            batch["c"] = 3
            assert "c" not in store
        assert batch.committed == 3
        assert in_order(other) == [("a", 1), ("b", BIG), ("c", 3)]

    def test_by_default_a_thousand_wait_at_most(self, store):
        with store.batch(max_seconds=LONG) as batch:
            for number in range(2500):
                batch[number] = number
                assert batch.committed == (number + 1) // 1000 * 1000
        assert len(store) == 2500

    def test_it_commits_by_itself_while_the_stream_pauses(self, store, open_store):
        other = open_store()
        with store.batch(max_items=1000, max_seconds=0.05) as batch:
            for number in range(3):
                batch[number] = number
                batch[f"large {number}"] = IN_A_FILE
                wait_until(lambda number=number: f"large {number}" in other)
                assert store[number] == number
                wait_until(lambda number=number: batch.committed == 2 * number + 2)
        assert keys_in_order(store) == [name for number in range(3) for name in (number, f"large {number}")]

    def test_another_process_sees_a_pausing_stream(self, store, directory, start):
        other = start("answer", self.kind, str(directory))

        def count():
            other.tell(["count"])
            return other.hear()

        assert count() == 0
        with store.batch(max_seconds=0.05) as batch:
            batch["a"] = 1
            batch["b"] = 2
            wait_until(lambda: count() == 2)
        other.tell(None)
        other.finish()

    def test_values_are_as_they_were_when_they_were_given(self, store):
        mine = [1]
        with store.batch(max_seconds=LONG) as batch:
            batch["a"] = mine
            mine.append(2)
            batch["b"] = mine
            mine.append(3)
        assert in_order(store) == [("a", [1]), ("b", [1, 2])]

    def test_files_of_replaced_values_go_away(self, store, directory):
        with store.batch(max_items=7) as batch:
            for number in range(30):
                batch[number % 3] = BIG if number % 2 else IN_A_FILE
            batch[0] = 1
            batch.delete(1)
            batch[2] = "text"
        assert in_order(store) == [(0, 1), (2, "text")]
        assert store.check(fix=True)
        assert value_files(directory) == set()

    def test_two_batches_one_after_the_other_and_side_by_side(self, store):
        with store.batch(max_seconds=LONG) as first:
            first["a"] = 1
        with store.batch(max_seconds=LONG) as one, store.batch(max_seconds=LONG) as other:
            one["b"] = 2
            other["c"] = 3
            other.flush()
            assert (one.committed, other.committed) == (0, 1)
            assert in_order(store) == [("a", 1), ("c", 3)]
        assert in_order(store) == [("a", 1), ("c", 3), ("b", 2)]

    def test_writes_beside_a_batch_are_committed_on_their_own(self, store):
        with store.batch(max_seconds=LONG) as batch:
            batch["a"] = 1
            store["b"] = 2
            with store.transact("a"):
                store["c"] = 3
            assert in_a_thread(lambda: store.set("d", 4)) is True
            assert keys_in_order(store) == ["b", "c", "d"]
        assert keys_in_order(store) == ["b", "c", "d", "a"]

    def test_what_is_known_in_memory_follows(self, store):
        store.update(a=1, b=2)
        assert store.get_many("abc") == {"a": 1, "b": 2}
        with store.batch(max_items=3, max_seconds=LONG) as batch:
            batch["a"] = 3
            batch.delete("b")
            assert (store["a"], store["b"]) == (1, 2)
            batch["c"] = 4
            assert (store["a"], store.get("b"), store["c"]) == (3, None, 4)

    # errors

    @pytest.mark.parametrize("failure", [Oops, KeyboardInterrupt, GeneratorExit, BaseException])
    def test_an_exception_keeps_what_was_committed_and_drops_what_waits(self, store, directory, failure):
        raised = failure("why")
        with pytest.raises(failure) as caught, store.batch(max_items=10, max_seconds=LONG) as batch:  # noqa: PT012
            for number in range(27):
                batch[number] = IN_A_FILE if number % 10 == 3 else number
            raise raised
        assert caught.value is raised
        assert keys_in_order(store) == list(range(20))
        assert batch.committed == 20
        if sys.version_info >= (3, 11):
            assert any("7" in note for note in raised.__notes__)
        assert store.check(fix=True)
        assert len(value_files(directory)) == 2

    def test_an_exception_when_nothing_waits_drops_nothing(self, store):
        with pytest.raises(Oops), store.batch(max_seconds=LONG) as batch:  # noqa: PT012
            batch["a"] = 1
            batch.flush()
            raise Oops
        assert in_order(store) == [("a", 1)]

    @pytest.mark.parametrize(
        ("key", "value"),
        [("secret", no_pickle()), ("secret", Selfish()), ("secret", [BIG, no_pickle()]), ([], 1), (math.nan, 1)],
        ids=["no pickle", "selfish", "large", "unhashable key", "NaN as a key"],
    )
    def test_an_item_that_cannot_be_stored_raises_at_once_and_leaves_the_batch_usable(
        self, store, directory, key, value
    ):
        store["secret"] = "old"
        with store.batch(max_items=4, max_seconds=LONG) as batch:
            batch["a"] = 1
            with pytest.raises(REFUSALS) as error:
                batch[key] = value
            assert "secret" not in str(error.value)
            with pytest.raises(type(error.value)):
                batch.set(key, value)
            batch["b"] = BIG
            batch["c"] = 3
            assert batch.committed == 0
            batch["d"] = 4
            assert batch.committed == 4
        assert in_order(store) == [("secret", "old"), ("a", 1), ("b", BIG), ("c", 3), ("d", 4)]
        assert store.check(fix=True)
        assert len(value_files(directory)) == 1

    def test_a_key_that_cannot_be_one_is_refused_by_delete_too(self, store):
        with store.batch(max_seconds=LONG) as batch:
            batch["a"] = 1
            with pytest.raises(TypeError):
                batch.delete([])
        assert in_order(store) == [("a", 1)]

    @pytest.mark.parametrize(
        "options",
        [
            {"max_items": 0},
            {"max_items": -1},
            {"max_items": "10"},
            {"max_items": 1.5},
            {"max_items": [1]},
            {"max_seconds": -1},
            {"max_seconds": math.nan},
            {"max_seconds": "1"},
            {"max_seconds": [1]},
            {"colour": "red"},
        ],
        ids=str,
    )
    def test_a_limit_that_makes_no_sense_is_refused(self, store, options):
        with pytest.raises((TypeError, ValueError)), store.batch(**options):
            pass
        with store.batch() as batch:
            batch["a"] = 1
        assert in_order(store) == [("a", 1)]

    @pytest.mark.parametrize("use", USES)
    def test_outside_its_block_it_is_of_no_use(self, store, use):
        store["old"] = 1
        batch = store.batch()
        with pytest.raises(fastcache.TransactionError):
            USES[use](batch)
        with batch:
            batch["b"] = 2
        with pytest.raises(fastcache.TransactionError):
            USES[use](batch)
        assert batch.committed == 1
        with pytest.raises(Oops), store.batch(max_seconds=LONG) as failed:  # noqa: PT012
            failed["c"] = 3
            raise Oops
        with pytest.raises(fastcache.TransactionError):
            USES[use](failed)
        assert in_order(store) == [("old", 1), ("b", 2)]

    def test_a_batch_that_cannot_commit_says_so(self, open_store, directory, start):
        store = open_store(timeout=0.1)
        store["a"] = "old"
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        with pytest.raises(fastcache.Timeout), store.batch(max_seconds=LONG) as batch:
            batch["a"] = "new"
        assert batch.committed == 0
        # Tried by the other thread or by this one, it must not end as if all were well.
        with pytest.raises(fastcache.Timeout), store.batch(max_seconds=0.01) as batch:  # noqa: PT012
            batch["a"] = "new"
            batch["b"] = IN_A_FILE
            time.sleep(0.2)
        assert batch.committed == 0
        holder.tell()
        holder.finish()
        # Nor may it be committed afterwards: it was said that it is not.
        for _ in range(10):
            assert in_order(store) == [("a", "old"), ("held", 1)]
            time.sleep(0.02)
        assert store.check(fix=True)

    def test_what_could_not_be_committed_still_waits(self, open_store, directory, start):
        store = open_store(timeout=0.2)
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        with store.batch(max_seconds=LONG) as batch:
            batch["a"] = 1
            batch["b"] = IN_A_FILE
            with pytest.raises(fastcache.Timeout):
                batch.flush()
            assert batch.committed == 0
            holder.tell()
            holder.finish()
            batch.flush()
            assert batch.committed == 2
            batch["c"] = 3
        assert in_order(store) == [("held", 1), ("a", 1), ("b", IN_A_FILE), ("c", 3)]

    # threads and processes

    def test_commits_of_the_other_thread_come_in_between_and_nothing_is_lost_or_swapped(self, store):
        model = {}
        # So short a time that the other thread commits again and again while this one adds.
        with store.batch(max_items=50, max_seconds=0.001) as batch:
            for number in range(3000):
                key = number * 7 % 101
                if number % 5 == 4:
                    batch.delete(key)
                    model.pop(key, None)
                else:
                    batch[key] = number
                    model[key] = number
                if number % 100 == 0:
                    time.sleep(0.002)
        assert batch.committed == 3000
        assert in_order(store) == list(model.items())

    def test_each_thread_may_have_a_batch_of_its_own(self, store):
        def write(name):
            with store.batch(max_items=20, max_seconds=0.01) as batch:
                for number in range(300):
                    batch[name, number] = IN_A_FILE if number % 100 == 50 else number
            return batch.committed

        assert together(*[lambda name=name: write(name) for name in range(5)]) == [300] * 5
        assert len(store) == 1500
        for name in range(5):
            assert [key for key in store if key[0] == name] == [(name, number) for number in range(300)]
        assert store.check()

    def test_threads_that_share_a_batch_lose_nothing(self, store):
        with store.batch(max_items=20, max_seconds=0.002) as batch:

            def write(name):
                for number in range(300):
                    batch[name, number] = number

            together(*[lambda name=name: write(name) for name in range(4)])
        assert batch.committed == 1200
        assert sorted(store) == list(itertools.product(range(4), range(300)))

    def test_another_process_sees_each_commit_whole_or_not_at_all(self, store, directory, start):
        writer = start("write_generations", self.kind, str(directory), "batch", 40, 10)
        all_at_once([writer])
        seen = set()
        while len(seen) < 20:
            found = store.get_many(range(40))
            generations = set(map(generation, found.values()))
            assert list(found) in ([], list(range(40)))
            assert len(generations) < 2
            seen |= generations
        writer.tell("stop")
        writer.finish()

    def test_a_process_killed_in_its_batch_leaves_what_was_committed(self, open_store, directory, start):
        process = start("stop_in_batch", self.kind, str(directory), 10, 27)
        assert process.hear() == 20
        process.popen.kill()
        process.popen.wait()
        store = open_store()
        assert keys_in_order(store) == list(range(20))
        store.check(fix=True)
        assert store.check()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
    def test_a_child_forked_in_a_batch_commits_nothing_of_it(self, open_store, directory, start):
        assert start("fork_in_a_batch", self.kind, str(directory)).finish() == 0
        store = open_store()
        assert in_order(store) == [("b", 2), ("child", 1), ("c", 3)]

    def test_leaving_the_interpreter_inside_a_batch_hangs_nowhere(self, open_store, directory, start):
        process = start("end_in_a_batch", self.kind, str(directory))
        process.finish()
        assert set(open_store()) >= {0, 1, 2, 3}

    def test_a_batch_does_not_keep_other_threads_from_writing(self, store):
        written = threading.Event()

        def write():
            store["theirs"] = 1
            written.set()

        with store.batch(max_items=2, max_seconds=LONG) as batch:
            batch["a"] = 1
            thread = threading.Thread(target=write, daemon=True)
            thread.start()
            assert written.wait(PATIENCE_SECONDS)
            batch["b"] = 2
        thread.join(PATIENCE_SECONDS)
        assert keys_in_order(store) == ["theirs", "a", "b"]


class CacheBatchContract(StoreContract):
    """What expiry and tags add to it."""

    def test_expiry_and_tags_are_stored(self, open_store, clock):
        store = open_store(timer=clock)
        with store.batch() as batch:
            batch["plain"] = 1
            batch.set("short", 2, expire=8)
            batch.set("tagged", [3], tag="red")
            batch.set("both", IN_A_FILE, expire=100, tag="red")
            batch.set("plain, too", 5, expire=1, tag="red")
            batch["plain, too"] = 6
        found = {key: store.get(key, expire_time=True, tag=True) for key in store}
        assert found == {
            "plain": (1, None, None),
            "short": (2, clock.now + 8, None),
            "tagged": ([3], None, "red"),
            "both": (IN_A_FILE, clock.now + 100, "red"),
            "plain, too": (6, None, None),
        }
        clock.advance(8)
        assert "short" not in store
        assert len(store) == 4
        assert store.evict_tag("red") == 2
        assert keys_in_order(store) == ["plain", "plain, too"]

    def test_what_has_expired_is_set_at_the_end(self, open_store, clock):
        store = open_store(timer=clock)
        store.set("gone", 1, expire=1)
        store["a"] = 2
        clock.advance(1)
        with store.batch() as batch:
            batch["gone"] = 3
            batch["a"] = 4
        assert in_order(store) == [("a", 4), ("gone", 3)]

    def test_a_wrong_expiry_or_tag_raises_at_once(self, store):
        with store.batch() as batch:
            for attempt in (
                lambda: batch.set("a", 1, expire="1"),
                lambda: batch.set("a", 1, expire=math.nan),
                lambda: batch.set("a", 1, tag=["tag"]),
                lambda: batch.set("a", 1, 10),
            ):
                with pytest.raises((TypeError, ValueError)):
                    attempt()
            batch["b"] = 2
        assert in_order(store) == [("b", 2)]
