"""The write-ahead log: it comes back where another program has taken it away, and is in proportion to a limit."""

import contextlib
import logging
import os
import sqlite3

import pytest

from .batch import wait_until
from .store import StoreContract

LIMIT = 16_000_000


def databases(directory):
    return sorted(directory.rglob("cache.db"))


def journal_modes(directory):
    """The journal mode of each database, as another program sees it."""
    modes = set()
    for path in databases(directory):
        with contextlib.closing(sqlite3.connect(path)) as database:
            modes.add(database.execute("PRAGMA journal_mode").fetchone()[0])
    return modes


def set_journal_mode(directory, mode):
    for path in databases(directory):
        with contextlib.closing(sqlite3.connect(path)) as database:
            assert database.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0] == mode


class JournalContract(StoreContract):
    @pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
    def test_the_log_comes_back_that_another_program_has_taken_away(self, open_store, directory, mode):
        with open_store() as store:
            store["a"] = 1
        set_journal_mode(directory, mode)
        # Of the others it keeps no more than that there is no log.
        assert journal_modes(directory) == {"delete"}
        with open_store() as store:
            assert dict(store.items()) == {"a": 1}
            store["b"] = 2
            assert store.check()
            assert store.check().journal_mode == "wal"
            assert str(store.check()) == "ok"
        assert journal_modes(directory) == {"wal"}
        assert dict(open_store().items()) == {"a": 1, "b": 2}

    def test_reading_alone_leaves_it_as_it_is(self, open_store, directory):
        with open_store() as store:
            store["a"] = 1
        for mode in ("wal", "delete"):
            set_journal_mode(directory, mode)
            with open_store(read_only=True) as store:
                assert store["a"] == 1
                assert str(store.check()) == "ok"
            assert journal_modes(directory) == {mode}

    def test_where_it_cannot_come_back_that_is_said_once_and_by_check(self, open_store, directory, caplog, tmp_path):
        with open_store() as store:
            store["a"] = 1
        set_journal_mode(directory, "delete")
        readers = [sqlite3.connect(path, isolation_level=None) for path in databases(directory)]
        with caplog.at_level(logging.WARNING, "fastcache"):
            for reader in readers:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM entry").fetchall()
            for _ in range(2):
                with open_store() as store:
                    assert store["a"] == 1
                    found = store.check()
                    assert found.ok
                    assert found.journal_mode == "delete"
                    assert "journal mode 'delete'" in str(found)
            for reader in readers:
                reader.close()
        said = [record for record in caplog.records if "journal mode" in record.getMessage()]
        assert len(said) == len(readers)
        with open_store() as store:
            store["b"] = 2
        assert journal_modes(directory) == {"wal"}


class SmallLogContract(StoreContract):
    """Under a limit, the log takes a quarter of it."""

    def sizes(self, directory):
        return sum(os.path.getsize(path) for path in directory.rglob("cache.db-wal") if path.exists())

    def test_the_log_keeps_to_a_quarter_of_a_limit(self, open_store, directory):
        store = open_store(max_size=LIMIT)
        longest = 0
        for number in range(8000):
            store[number % 3000] = os.urandom(3000)
            if number % 20 == 0:
                longest = max(longest, self.sizes(directory))
        assert 0 < longest <= LIMIT // 4
        # Nor when it is open anew, or the limit is another one.
        store.close()
        store = open_store(max_size=4 * LIMIT)
        store.max_size = LIMIT
        longest = 0
        for number in range(4000):
            store[number % 3000] = os.urandom(3000)
            if number % 20 == 0:
                longest = max(longest, self.sizes(directory))
        assert 0 < longest <= LIMIT // 4

    def test_it_does_while_processes_write(self, open_store, directory, start):
        store = open_store(max_size=LIMIT)
        writers = [start("write_random", self.kind, str(directory), 3000, 3000) for _ in range(3)]
        longest = 0
        for writer in writers:
            assert writer.hear() == "ready"
        for writer in writers:
            writer.tell()
        while any(writer.popen.poll() is None for writer in writers):
            store["here"] = os.urandom(3000)
            longest = max(longest, self.sizes(directory))
        for writer in writers:
            writer.finish()
        assert 0 < longest <= LIMIT // 4
        assert store.check()

    def test_it_gets_short_again_after_a_large_transaction(self, open_store, directory):
        store = open_store(max_size=LIMIT)
        with store.transact():
            for number in range(3000):
                store[number] = os.urandom(3000)
        wait_until(lambda: self.sizes(directory) <= LIMIT // 4)
        assert len(store) == 3000
