"""What nobody asks for: the write-ahead log stays short, what is over is removed, and what is idle sleeps."""

import contextlib
import itertools
import json
import logging
import os
import signal
import threading
import time

import pytest

from .batch import wait_until
from .bulk import IN_A_FILE
from .concurrency import all_at_once
from .store import StoreContract, keys_in_order, value_files

BIG = b"big!" * 500_000
LONGEST_WAL = 32 * 1024 * 1024

of_linux = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="tells threads by /proc")


@contextlib.contextmanager
def rows(start, directory):
    """A function that asks the database itself."""
    process = start("answer_sql", str(directory))

    def ask(statement):
        process.tell(statement)
        return process.hear()[0][0]

    yield ask
    process.tell(None)
    process.finish()


class MaintenanceContract(StoreContract):
    def test_the_wal_stays_short_while_somebody_reads_all_the_time(self, store, directory, start):
        reader = start("read_on", self.kind, str(directory))
        all_at_once([reader])
        wal = directory / "cache.db-wal"
        longest = 0
        for number in range(30_000):
            store[number % 5000] = b"%01000d" % number
            if number % 500 == 0:
                longest = max(longest, wal.stat().st_size)
        longest = max(longest, wal.stat().st_size)
        reader.tell("stop")
        assert reader.finish() > 0
        assert 0 < longest < LONGEST_WAL
        assert len(store) == 5000

    def test_the_wal_stays_short_while_others_write_all_the_time(self, store, directory, start):
        others = [start("write_on", self.kind, str(directory), name, "set", 100) for name in ("a", "b")]
        all_at_once(others)
        wal = directory / "cache.db-wal"
        longest = 0
        for number in range(6000):
            store[number % 500] = b"%04000d" % number
            if number % 100 == 0:
                longest = max(longest, wal.stat().st_size)
        for other in others:
            assert other.hear() == "far"
        for other in others:
            other.tell("stop")
            other.finish()
        assert 0 < longest < LONGEST_WAL
        assert len(store) == 502

    def test_the_wal_gets_short_again_after_a_large_transaction(self, store, directory):
        wal = directory / "cache.db-wal"
        store.set_many((number, b"%04000d" % number) for number in range(12_000))
        store.clear()
        wait_until(lambda: wal.stat().st_size <= LONGEST_WAL)

    @pytest.mark.parametrize("how", ["stop", "hold the GIL"])
    @pytest.mark.parametrize("writes_meanwhile", [True, False])
    def test_the_wal_stays_short_beside_a_reader_that_cannot_run(self, store, directory, start, how, writes_meanwhile):
        """What it keeps of a snapshot is in nobody's way, whatever it does next."""
        reader = start("read_in_bursts", self.kind, str(directory), how)
        wal = directory / "cache.db-wal"

        # What is set to what it was is no commit.
        numbers = itertools.count()

        def write(times):
            for number in itertools.islice(numbers, times):
                store[number % 5000] = b"%01000d" % number

        told = threading.Event()
        writing = threading.Thread(target=lambda: [write(500) for _ in iter(told.is_set, True)])
        if writes_meanwhile:
            writing.start()
        else:
            write(500)
        try:
            for _ in range(20):
                reader.tell("go")
                assert reader.hear() == "done"
                if not writes_meanwhile:
                    time.sleep(0.01)
            if how == "stop":
                os.kill(reader.popen.pid, signal.SIGSTOP)
            else:
                reader.tell("hold")
        finally:
            told.set()
            if writes_meanwhile:
                writing.join()
        write(30_000)
        longest = wal.stat().st_size
        if how == "stop":
            os.kill(reader.popen.pid, signal.SIGCONT)
        os.kill(reader.popen.pid, signal.SIGKILL)
        assert longest < LONGEST_WAL + 1_000_000

    def test_files_of_values_that_were_replaced_go_away_by_themselves(self, store, directory):
        for number in range(30):
            store[number % 3] = BIG if number % 2 else IN_A_FILE
        store.set_many({0: 1, 1: IN_A_FILE})
        del store[2]
        wait_until(lambda: len(value_files(directory)) == 1)
        assert store == {0: 1, 1: IN_A_FILE}
        assert store.check()

    def test_files_that_a_killed_process_did_not_remove_go_away_by_themselves(self, store, directory, start):
        for number in range(10):
            store[number] = IN_A_FILE
        store["a"] = IN_A_FILE
        other = start("answer", self.kind, str(directory))
        for number in range(5):
            other.tell(["set", number, 1])
            assert other.hear() is True
        other.popen.kill()
        other.popen.wait()
        store["a"] = 1
        wait_until(lambda: len(value_files(directory)) == 5)
        assert len(store) == 11

    @of_linux
    def test_the_thread_ends_when_the_last_store_is_closed(self, directory, start):
        said = start("open_and_close", self.kind, str(directory), str(directory) + " too").finish()
        assert said["after each close of the last"] == [said["before"]] * 3
        assert all(number > said["before"] for number in said["while one is open"])

    @pytest.mark.parametrize("ending", ["return", "exit", "threads", "daemons"])
    def test_nobody_hangs_at_exit(self, open_store, directory, start, ending):
        start("end_busy", self.kind, str(directory), ending).finish()
        store = open_store()
        store.check(fix=True)
        assert store.check()

    def test_it_goes_on_in_parent_and_child_after_a_fork(self, open_store, directory, start):
        assert start("fork_and_replace", self.kind, str(directory)).finish() == [0, 0]
        assert open_store() == {"parent": 1, "child": 1}


class CacheMaintenanceContract(StoreContract):
    def test_what_has_expired_is_removed_by_itself(self, store, directory, start):
        with rows(start, directory) as ask:
            store["stays"] = 1
            store.set("stays for long", BIG, expire=1000)
            for number in range(200):
                store.set(number, IN_A_FILE if number % 20 == 3 else number, expire=0.05)
            assert ask("SELECT count(*) FROM entry") >= 2
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 2)
            wait_until(lambda: len(value_files(directory)) == 1)
            assert keys_in_order(store) == ["stays", "stays for long"]
            assert len(store) == 2
            store.set_many(((number, number) for number in range(3000)), expire=0.05)
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 2)
            store.set("a", 1)
            assert store.touch("a", 0.05) is True
            store.flush()
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 2)
            assert keys_in_order(store) == ["stays", "stays for long"]
        assert store.check()

    def test_what_expires_later_is_not_forgotten_over_what_expires_soon(self, store, directory, start):
        with rows(start, directory) as ask:
            for number in range(10):
                store.set(number, number, expire=0.02 + 0.1 * number)
            # Nobody uses it any more.
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 0)
            store.set("long", 1, expire=1000)
            store.set("short", 1, expire=0.05)
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 1)
        assert keys_in_order(store) == ["long"]

    def test_what_had_expired_before_it_was_opened_is_removed_too(self, open_store, directory, start):
        with open_store() as store:
            store.set_many(((number, IN_A_FILE if number == 7 else number) for number in range(50)), expire=0.01)
            store["stays"] = 1
        time.sleep(0.02)
        store = open_store()
        store["new"] = 2
        with rows(start, directory) as ask:
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 2)
        wait_until(lambda: value_files(directory) == set())
        assert keys_in_order(store) == ["stays", "new"]

    def test_it_keeps_out_of_a_transaction(self, store, directory, start):
        store.set_many(((number, IN_A_FILE if number == 7 else number) for number in range(50)), expire=0.01)
        with rows(start, directory) as ask:
            with store.transact("a"):
                store["a"] = 1
                time.sleep(0.1)
                assert keys_in_order(store) == ["a"]
                store.set("b", 2, expire=0.01)
                store["c"] = 3
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 2)
        assert keys_in_order(store) == ["a", "c"]

    def test_who_waits_for_a_snapshot_does_not_wait_while_maintenance_waits_for_him(self, open_store, directory, start):
        store = open_store(memory=0)
        other = start("answer_sql", str(directory))
        for round_number in range(2):
            store["a"] = round_number
            store.set("b", 1, expire=0.05)
            other.tell("BEGIN IMMEDIATE")
            assert other.hear() == []
            # Meanwhile maintenance begins to wait for the lock, to remove what has expired.
            time.sleep(1.2 if round_number else 0.2)
            assert [store["a"] for _ in range(10)] == [round_number] * 10
            # At once, so that nobody gets the lock in between.
            for statement in ("UPDATE entry SET size = size + 1", "COMMIT", "PRAGMA wal_checkpoint(RESTART)"):
                other.popen.stdin.write(json.dumps(statement) + "\n")
            other.popen.stdin.flush()
            other.hear(), other.hear()
            ((busy, _, _),) = other.hear()
            assert not busy
        other.tell(None)
        other.finish()

    def test_it_removes_no_entry_that_was_set_again(self, store):
        for number in range(300):
            store.set("a", number, expire=0.001)
            store["a"] = number
            assert store["a"] == number
            if number % 30 == 0:
                time.sleep(0.01)
        time.sleep(0.1)
        assert store["a"] == 299

    @pytest.mark.leaves_damage
    def test_what_goes_wrong_is_logged_and_it_goes_on(self, open_store, directory, start, tmp_path, caplog):
        caplog.set_level(logging.WARNING, "fastcache")
        store, well = open_store(), open_store(tmp_path / "well")
        with rows(start, directory) as ask:
            process = start("sql", str(directory), "DROP TABLE trash")
            process.finish()
            store.set("a", IN_A_FILE, expire=0.05)
            wait_until(lambda: any(record.name.startswith("fastcache") for record in caplog.records))
            assert ask("SELECT count(*) FROM entry") <= 1
        with rows(start, tmp_path / "well") as ask:
            well.set("a", IN_A_FILE, expire=0.05)
            wait_until(lambda: ask("SELECT count(*) FROM entry") == 0)

    @of_linux
    def test_who_does_nothing_is_not_woken(self, directory, start):
        assert start("idle", self.kind, str(directory)).finish() == 0
