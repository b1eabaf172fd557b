"""Whoever reads or copies the files of a directory in a process that has it open takes nobody's locks away."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys

import pytest

from .store import StoreContract

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere any close of the file takes the locks away")
ROUNDS = 4


def read_files(directory):
    """Open, read and close each file, as a backup, an indexer or a virus scanner in this process does."""
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            path.read_bytes()


def copy(directory, place):
    """Copy the directory, twice if files go meanwhile."""
    shutil.rmtree(place, ignore_errors=True)
    with contextlib.suppress(shutil.Error):
        shutil.copytree(directory, place)


def look_by_sqlite(directory):
    """Look at each database as any program may that has SQLite."""
    for path in directory.rglob("cache.db"):
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("SELECT count(*) FROM sqlite_schema").fetchall()


WAYS = {
    "read": lambda directory, _: read_files(directory),
    "copied": copy,
    "read by sqlite3": lambda directory, _: look_by_sqlite(directory),
}


@linux
class CopyingContract(StoreContract):
    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("ending", ["set_and_close", "set_and_die"])
    def test_what_is_written_around_a_copy_from_inside_is_all_there(  # noqa: PLR0917
        self, open_store, directory, tmp_path, start, way, ending
    ):
        store = open_store()
        expected = {("here", -1): -1}
        store["here", -1] = -1
        for turn in range(ROUNDS):
            WAYS[way](directory, tmp_path / "copy")
            other = start(ending, self.kind, str(directory), f"other {turn}", 20)
            other.hear()
            other.popen.wait()
            expected |= {(f"other {turn}", number): number for number in range(20)}
            # Into the log that the other one must have left where it is.
            store["here", turn] = turn
            expected["here", turn] = turn
            WAYS[way](directory, tmp_path / "copy")
            found, damage = start("read_all", self.kind, str(directory)).finish()
            assert {tuple(key): value for key, value in found} == expected
            assert damage == "ok"
            assert dict(store.items()) == expected

    def test_a_transaction_keeps_others_out_while_its_files_are_read(self, open_store, directory, start):
        store = open_store()
        store["n"] = 0
        with store.transact("n") if self.kind.startswith("Fanout") else store.transact():
            store["n"] = store["n"] + 1
            read_files(directory)
            assert start("try_to_set", self.kind, str(directory), "n").finish() is False
            store["n"] = store["n"] + 1
        assert store["n"] == 2
        assert start("try_to_set", self.kind, str(directory), "n").finish() is True

    def test_a_lock_stays_held_while_the_files_are_read(self, open_store, directory, start):
        store = open_store()
        with store.lock("lock"):
            read_files(directory)
            assert start("take_lock", self.kind, str(directory), "lock").finish() is False
        assert start("take_lock", self.kind, str(directory), "lock").finish() is True

    def test_who_writes_value_files_counts_as_alive_while_they_are_read(self, open_store, directory, start):
        store = open_store()
        store["large"] = b"x" * 1_000_000
        markers = list(directory.rglob("*.writer"))
        assert markers
        read_files(directory)
        start("set_and_close", self.kind, str(directory), "other", 1).finish()
        assert [marker for marker in markers if marker.exists()] == markers

    def test_a_killed_process_leaves_no_lock_with_a_child_that_c_code_forked(self, open_store, directory, start):
        parent = start("fork_in_c_and_wait", self.kind, str(directory))
        child = parent.hear()
        try:
            os.kill(parent.popen.pid, signal.SIGKILL)
            parent.popen.wait()
            store = open_store(timeout=10)
            assert store["a"] == 1
            store["a"] = 3
            assert store.lock("lock").acquire(timeout=10)
            assert store["a"] == 3
        finally:
            os.kill(child, signal.SIGKILL)

    def test_a_child_that_c_code_forked_takes_none_of_its_parents_locks_away(self, open_store, directory, start):
        parent = start("fork_in_c_and_use", self.kind, str(directory))
        assert parent.hear() == "used"
        start("set_and_close", self.kind, str(directory), "other", 1).finish()
        assert start("take_lock", self.kind, str(directory), "lock").finish() is False
        parent.tell()
        assert parent.hear() == "after"
        assert dict(open_store().items()) == {"a": 1, "child": 1, ("other", 0): 0, "after": 1}
        parent.tell()
        parent.finish()

    def test_sqlite3_may_have_it_open_before_and_after(self, open_store, directory, start):
        open_store().close()
        before = [sqlite3.connect(path, isolation_level=None) for path in sorted(directory.rglob("cache.db"))]
        for database in before:
            database.execute("SELECT count(*) FROM entry").fetchall()
        store = open_store()
        store["a"] = 1
        for database in before:
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE meta SET value = value WHERE name = 'format'")
            database.execute("COMMIT")
            database.close()
        store["b"] = 2
        start("set_and_close", self.kind, str(directory), "other", 1).finish()
        store["c"] = 3
        store.close()
        assert dict(open_store().items()) == {"a": 1, "b": 2, "c": 3, ("other", 0): 0}

    def test_programs_with_locks_of_the_other_kind_keep_each_other_out(self, open_store, directory, start):
        """Those of the process, which every other program has, and those of the description."""
        store = open_store(timeout=0.2)
        store["a"] = 1
        (path, *_) = [place for place in directory.rglob("cache.db") if "locks" not in place.parts]
        with store.transact("a"):
            store["a"] = 2
            assert store["a"] == 2
            found = {
                start("try_sql", str(each.parent), "BEGIN IMMEDIATE", "ROLLBACK").finish()
                for each in directory.rglob("cache.db")
            }
            assert "database is locked" in found
        assert start("try_sql", str(path.parent), "BEGIN IMMEDIATE", "ROLLBACK").finish() == "done"
        assert "locked" in start("try_sql", str(path.parent), "PRAGMA journal_mode = DELETE").finish()

    def test_sqlite3_may_have_had_it_open_before_fastcache_came(self, open_store, directory, start):
        open_store().close()
        databases = [str(path) for path in sorted(directory.rglob("cache.db"))]
        process = start("open_by_sqlite3_first", self.kind, str(directory), databases)
        for state in ("both", "one", "anew"):
            assert process.hear() == state
            start("set_and_close", self.kind, str(directory), state, 1).finish()
            start("set_and_die", self.kind, str(directory), f"{state} killed", 1).popen.wait()
            process.tell()
        process.finish()
        content = dict(zip("abcde", range(1, 6), strict=True))
        for state in ("both", "one", "anew"):
            content |= {(state, 0): 0, (f"{state} killed", 0): 0}
        store = open_store()
        assert dict(store.items()) == content
        assert store.check()

    def test_another_sqlite_in_the_process_takes_none_of_its_locks_away(self, open_store, directory, tmp_path, start):
        process = start("use_another_sqlite", self.kind, str(directory), str(tmp_path / "another.so"))
        if process.hear() == "none":
            pytest.skip("SQLite is no shared library here")
        start("set_and_close", self.kind, str(directory), "other", 1).finish()
        process.tell()
        assert process.hear() == "done"
        process.finish()
        assert dict(open_store().items()) == {"a": 2, ("other", 0): 0, "b": 3}

    def test_a_child_that_multiprocessing_forked_uses_it_too(self, open_store, directory):
        store = open_store()
        store["n"] = 0
        read_files(directory)
        context = multiprocessing.get_context("fork")

        def work():
            for _ in range(50):
                store.incr("n")
            read_files(directory)
            for _ in range(50):
                store.incr("n")

        children = [context.Process(target=work) for _ in range(3)]
        for child in children:
            child.start()
        for _ in range(100):
            store.incr("n")
        for child in children:
            child.join()
            assert child.exitcode == 0
        assert store["n"] == 400
