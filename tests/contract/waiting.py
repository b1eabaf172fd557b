"""Whoever waits for another writer gets its turn, or is told after ``timeout`` that it did not."""

import contextlib
import threading
import time

import pytest

import fastcache

from ..together import in_a_thread, together
from .concurrency import all_at_once
from .store import StoreContract

BIG = b"big!" * 500_000
TIMEOUT_SECONDS = 0.2
PATIENCE_SECONDS = 60

WRITES = {
    "set": lambda store: store.set("a", 2),
    "a large value": lambda store: store.set("a", BIG),
    "add": lambda store: store.add("b", 2),
    "delete": lambda store: store.delete("a"),
    "pop": lambda store: store.pop("a", None),
    "incr": lambda store: store.incr("n"),
    "set_many": lambda store: store.set_many({"a": 2, "b": 3}),
    "delete_many": lambda store: store.delete_many("ab"),
    "transact": lambda store: store.transact().__enter__(),
    "clear": lambda store: store.clear(),
}


class WaitingContract(StoreContract):
    @pytest.fixture
    def store(self, open_store):
        store = open_store(timeout=TIMEOUT_SECONDS)
        store.update(a=1, n=5)
        return store

    def assert_times_out(self, store, way):
        start = time.monotonic()
        with pytest.raises(fastcache.Timeout):
            WRITES[way](store)
        # No less. How much more depends on what else the machine does.
        assert time.monotonic() - start >= TIMEOUT_SECONDS

    @contextlib.contextmanager
    def inside_elsewhere(self, start, directory):
        """While another process is inside a transaction."""
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"
        yield holder
        holder.tell()
        holder.finish()

    @contextlib.contextmanager
    def inside_a_thread(self, store):
        """While another thread is inside a transaction."""
        inside, leave = threading.Event(), threading.Event()

        def hold():
            with store.transact():
                inside.set()
                assert leave.wait(PATIENCE_SECONDS)

        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        assert inside.wait(PATIENCE_SECONDS)
        yield
        leave.set()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()

    @pytest.mark.parametrize("way", ["set", "delete", "set_many", "transact"])
    def test_a_write_waits_for_another_process_as_long_as_it_may(self, store, directory, start, way):
        with self.inside_elsewhere(start, directory):
            self.assert_times_out(store, way)
            assert store["a"] == 1
        assert store.set("a", 3) is True
        assert store == {"a": 3, "n": 5, "held": 1}

    @pytest.mark.parametrize("way", ["set", "delete", "set_many", "transact"])
    def test_a_write_waits_for_another_thread_as_long_as_it_may(self, store, way):
        with self.inside_a_thread(store):
            self.assert_times_out(store, way)
            assert store["a"] == 1
        assert store.set("a", 3) is True
        assert store == {"a": 3, "n": 5}

    def test_a_write_waits_for_another_object_in_this_process_as_long_as_it_may(self, store, open_store):
        with self.inside_a_thread(open_store()):
            self.assert_times_out(store, "set")
        assert store.set("a", 3) is True

    def test_threads_that_wait_for_another_process_all_time_out(self, store, directory, start):
        with self.inside_elsewhere(start, directory):
            together(*[lambda way=way: self.assert_times_out(store, way) for way in WRITES])
            assert store == {"a": 1, "n": 5}
        together(*[lambda name=name: store.set(name, name) for name in range(8)])
        assert len(store) == 11

    def test_a_write_waits_for_a_thread_and_a_process_at_once_as_long_as_it_may(
        self, store, open_store, directory, start
    ):
        """A thread waits, for long, for the process, before this one begins to wait for both."""
        patient = open_store(timeout=PATIENCE_SECONDS)
        with self.inside_elsewhere(start, directory):
            waiting = [threading.Thread(target=patient.incr, args=("n",), daemon=True) for _ in range(3)]
            for thread in waiting:
                thread.start()
            self.assert_times_out(store, "set")
            together(*[lambda: self.assert_times_out(store, "transact")] * 3)
        for thread in waiting:
            thread.join(PATIENCE_SECONDS)
        assert store["n"] == 8

    def test_without_patience_a_write_times_out_all_the_same(self, open_store, directory, start):
        store = open_store(timeout=0)
        store["a"] = 1
        with self.inside_elsewhere(start, directory), pytest.raises(fastcache.Timeout):
            store["a"] = 2
        with self.inside_a_thread(store), pytest.raises(fastcache.Timeout):
            store["a"] = 2
        store["a"] = 3
        assert store["a"] == 3

    def test_reads_do_not_wait(self, store, directory, start):
        with self.inside_elsewhere(start, directory):
            assert store["a"] == 1
            assert store.get_many("an") == {"a": 1, "n": 5}
            assert dict(store.items()) == {"a": 1, "n": 5}
            assert in_a_thread(lambda: len(store)) == 2

    def test_a_write_goes_on_when_who_it_waits_for_dies(self, open_store, directory, start):
        store = open_store(timeout=PATIENCE_SECONDS)
        for number in range(5):
            holder = start("hold", self.kind, str(directory))
            assert holder.hear() == "holding"
            thread = threading.Thread(target=store.set, args=(number, number), daemon=True)
            thread.start()
            thread.join(0.02 * number)
            assert thread.is_alive()
            holder.popen.kill()
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()
            holder.popen.wait()
        assert list(store) == list(range(5))

    @pytest.mark.parametrize("how", ["set", "transact", "set_many"])
    def test_of_processes_that_write_all_the_time_each_gets_on(self, open_store, directory, start, how):
        store = open_store(timeout=PATIENCE_SECONDS)
        # None of them stops before all have come that far: who gets no turn keeps the others waiting for ever.
        others = [start("write_on", self.kind, str(directory), name, how, 60) for name in ("a", "b", "c")]
        all_at_once(others)
        for number in range(60):
            store["d", number] = number
        for other in others:
            assert other.hear() == "far"
        for other in others:
            other.tell("stop")
        written = [other.finish() for other in others]
        assert all(number >= 60 for number in written)
        assert [store[name] for name in ("a", "b", "c")] == [number - 1 for number in written]
        assert all(store["d", number] == number for number in range(60))

    def test_of_threads_that_write_all_the_time_each_gets_on(self, open_store):
        store = open_store(timeout=PATIENCE_SECONDS)
        far = threading.Barrier(5)
        over = time.monotonic() + PATIENCE_SECONDS
        done = threading.Event()

        def write(name):
            number = 0
            while not done.is_set() and time.monotonic() < over:
                store[name] = number
                number += 1
                if number == 100:
                    threading.Thread(target=far.wait, args=(PATIENCE_SECONDS,), daemon=True).start()
            return number

        def wait():
            far.wait(PATIENCE_SECONDS)
            done.set()

        written = together(*[lambda name=name: write(name) for name in range(4)], wait)[:4]
        assert [store[name] for name in range(4)] == [number - 1 for number in written]
