"""What a process keeps in memory is never out of date, never shared by accident, and never more than was allowed."""

import contextlib
import decimal
import enum
import errno
import os
import pickle
import random
import sqlite3
import time

import pytest

import fastcache
from fastcache.engine.shm import change_log

from ..together import in_a_thread
from ..workers.described import described, is_whole
from .store import StoreContract, in_order

PATIENCE_SECONDS = 60


class Colour(enum.IntEnum):
    RED = 1


def memory_hits(store):
    return store.store.memory_hits


def asks_sqlite(store, key):
    """Whether reading the key asks SQLite, rather than the process's memory."""
    before = memory_hits(store)
    store.get(key)
    return memory_hits(store) == before


def known(store, *keys):
    """Have the keys in memory."""
    for key in keys:
        store.get(key)
        store.get(key)


IMMUTABLE = {
    "str": "x" * 100,
    "text beyond ASCII": "é€😀",
    "lone surrogate": "\ud800",
    "bytes": b"x" * 100,
    "int": 10**9,
    "int beyond 64 bits": 1 << 200,
    "float": 0.5,
    "tuple": ("a", (1, 2.5, None), frozenset({b"b", True})),
    "value in a file": b"x" * 200_000,
}
MUTABLE = {
    "list": [1, [2]],
    "dict": {"a": [1]},
    "set": {1, 2},
    "tuple with a list in it": (1, [2]),
    "bytearray": bytearray(b"abc"),
    "list in a file": ["x" * 200_000],
}

CHANGES = {
    "set": (lambda store: store.set("k", "new"), "new"),
    "set large": (lambda store: store.set("k", "new" * 150_000), "new" * 150_000),
    "[]=": (lambda store: store.__setitem__("k", ["new"]), ["new"]),
    "delete": (lambda store: store.delete("k"), None),
    "del": (lambda store: store.__delitem__("k"), None),
    "pop": (lambda store: store.pop("k", None), None),
    "popitem": (lambda store: store.popitem(), None),
    "clear": (lambda store: store.clear(), None),
    "update": (lambda store: store.update(k="new"), "new"),
    "long update": (lambda store: store.update([("k", "new"), *((n, n) for n in range(20_000))]), "new"),
}
CHANGES_OF_A_NUMBER = {
    "incr": (lambda store: store.incr("k"), 2),
    "decr": (lambda store: store.decr("k"), 0),
    "incr beyond 64 bits": (lambda store: store.incr("k", 1 << 70), (1 << 70) + 1),
    "pop": (lambda store: store.pop("k", None), None),
}
CHANGES_OF_NOTHING = {
    "add": (lambda store: store.add("k", "new"), "new"),
    "add large": (lambda store: store.add("k", "new" * 150_000), "new" * 150_000),
    "setdefault": (lambda store: store.setdefault("k", "new"), "new"),
    "get_or_set": (lambda store: store.get_or_set("k", lambda: "new"), "new"),
    "incr": (lambda store: store.incr("k"), 1),
}
FOREIGN = {
    "UPDATE": ("UPDATE entry SET value = 'new'", "new"),
    "DELETE": ("DELETE FROM entry", None),
    "REPLACE": ("REPLACE INTO entry (key, codec, size, value) VALUES ('k', 0, 3, 'new')", "new"),
}


class MemoryContract(StoreContract):
    @pytest.fixture(params=["log", "no log", "overrun log"])
    def log(self, request, monkeypatch):
        """Every way in which the changes of others come to be known."""
        monkeypatch.setattr(change_log, "capacity", {"log": 32768, "no log": 0, "overrun log": 16}[request.param])
        return request.param

    @pytest.fixture
    def other(self, log, store, open_store):
        """The same store, opened once more: to its memory, a process of its own."""
        return open_store()

    @pytest.fixture
    def foreign(self, store, start, directory):
        """Run SQL on the database from a process that knows nothing of fastcache."""
        process = start("answer_sql", str(directory))

        def foreign(statement):
            # What is pending would come over what it changes.
            store.flush()
            process.tell(statement)
            return process.hear()

        return foreign

    # what is kept

    @pytest.mark.parametrize("name", IMMUTABLE)
    def test_a_value_that_cannot_change_is_read_once(self, store, open_store, name):
        store["k"] = IMMUTABLE[name]
        reader = open_store()
        first = reader["k"]
        assert first == IMMUTABLE[name]
        assert memory_hits(reader) == 0
        assert reader["k"] is first
        assert reader.get("k") is first
        assert memory_hits(reader) == 2

    @pytest.mark.parametrize("name", MUTABLE)
    def test_a_value_that_can_change_comes_as_a_copy_of_its_own_each_time(self, store, name):
        store["k"] = value = pickle.loads(pickle.dumps(MUTABLE[name]))
        for _ in range(3):
            found = store["k"]
            assert found == MUTABLE[name]
            assert found is not value
            for part in (found, *(found if isinstance(found, tuple) else ())):
                if hasattr(part, "clear"):
                    part.clear()
        assert memory_hits(store) >= 2

    def test_what_was_set_is_known_without_reading_it(self, store):
        store["k"] = "v"
        assert not asks_sqlite(store, "k")
        assert store["k"] == "v"
        # Nor after it was written to the database, whatever else is set then.
        store.flush()
        store["l"] = "w"
        assert not asks_sqlite(store, "k")
        assert not asks_sqlite(store, "l")

    def test_that_a_key_is_absent_is_known_too(self, store, open_store):
        assert store.get("k") is None

        open_store().set("other", 1)
        assert store.get("k", "absent") == "absent"
        assert "k" not in store
        with pytest.raises(KeyError):
            store["k"]
        open_store().set("k", "v")
        assert "k" in store
        assert store["k"] == "v"

    def test_none_is_a_value(self, store, open_store):
        store["k"] = None
        reader = open_store()
        for _ in range(3):
            assert reader.get("k", "absent") is None
            assert "k" in reader

    def test_all_ways_of_reading_use_it(self, store, open_store):
        store.update(a=1, b=[2])
        reader = open_store()
        known(reader, "a", "b", "absent")
        before = memory_hits(reader)
        assert reader["a"] == reader.get("a") == reader.setdefault("a") == reader.get_or_set("a", dict) == 1
        assert reader.get_many(["b", "a", "absent"]) == {"b": [2], "a": 1}
        assert memory_hits(reader) == before + 6
        assert "a" in reader
        assert reader.exists("b")
        assert not reader.exists("absent")

    def test_that_a_key_exists_is_not_taken_for_its_value(self, store, open_store):
        store["k"] = "v"
        reader = open_store()
        assert "k" in reader
        assert "k" in reader
        assert reader["k"] == "v"

    def test_equal_keys_are_one_in_memory(self, store, open_store):
        other = open_store()
        same = [[1, 1.0, True, Colour.RED], [("a", 1), ("a", 1.0), ("a", True), ("a", Colour.RED)], [2**70, 2.0**70]]
        same += [[frozenset({1, "b"}), frozenset({"b", 1.0})], [0, 0.0, -0.0, False], [b"\xfcfc\x01", b"\xfcfc\x01"]]
        for keys in same:
            for number, key in enumerate(keys):
                for reader in (store, other):
                    known(reader, *keys)
                    reader[key] = number
                    assert [one[each] for each in keys for one in (store, other)] == [number] * 2 * len(keys)

    def test_keys_that_look_alike_are_two(self, store, open_store):
        keys = ["1", 1, b"1", ("1",), (1,), None, (None,), "", b"", (), frozenset(), 0.5, "0.5", b"\xfcfc\x01N", "é"]
        keys += [decimal.Decimal("0.1"), decimal.Decimal("0.10"), (decimal.Decimal("0.1"),), 2**64, -(2**64)]
        store.update((key, [number]) for number, key in enumerate(keys))
        reader = open_store()
        for _ in range(3):
            assert [reader[key] for key in keys] == [[number] for number in range(len(keys))]
        for number, key in enumerate(keys):
            store[key] = -number
            assert reader[key] == -number

    def test_without_memory_nothing_is_kept(self, open_store):
        store = open_store(memory=0)
        store["k"] = "v"
        for _ in range(3):
            assert asks_sqlite(store, "k")
            assert store["k"] == "v"
            assert "k" in store
            assert "absent" not in store
        assert store.memory == 0
        assert store.store.memory_used == 0

    @pytest.mark.parametrize("wrong", [None, "1", 1.5, True])
    def test_memory_is_a_number_of_bytes(self, open_store, wrong):
        with pytest.raises(TypeError, match="memory"):
            open_store(memory=wrong)

    @pytest.mark.parametrize("wrong", [-1, 1 << 63])
    def test_memory_is_no_impossible_number(self, open_store, wrong):
        with pytest.raises(ValueError, match="memory"):
            open_store(memory=wrong)

    def test_memory_goes_along_when_a_store_is_pickled(self, open_store):
        store = open_store(memory=123_456)
        with pickle.loads(pickle.dumps(store)) as copy:
            assert copy.memory == store.memory == 123_456

    # how much is kept

    @pytest.mark.parametrize("limit", [100, 5_000, 300_000])
    def test_it_stays_within_its_limit(self, open_store, limit):
        store = open_store(memory=limit)
        chance = random.Random(3)
        for number in range(3000):
            key = chance.choice([number, str(number), (number, "x")])
            value = chance.choice([number, "x" * chance.randrange(2000), [number] * chance.randrange(100)])
            store[key] = value
            store.get(chance.randrange(number + 1))
            assert store.store.memory_used <= limit
            assert store[key] == value

    def test_what_takes_more_than_a_sixth_passes_by(self, open_store):
        store = open_store(memory=600_000)
        known(store, "small")
        store["small"] = b"x" * 1000
        store["large"] = b"x" * 210_000
        assert store["large"] == store["large"]
        assert asks_sqlite(store, "large")
        assert not asks_sqlite(store, "small")

    def test_what_is_asked_for_again_outlives_what_is_asked_for_once(self, open_store):
        store = open_store(memory=200_000)
        with store.transact("a"):
            store.update((number, b"x" * 200) for number in range(5000))
        often = list(range(100))
        for number in range(5000):
            store.get(number)
            if number % 5 == 0:
                known(store, often[number // 5 % 100])
        assert sum(not asks_sqlite(store, key) for key in often) > 90

    def test_it_is_given_back(self, store):
        store.update((str(number), "x" * 100) for number in range(1000))
        for number in range(1000):
            store.get(str(number))
        assert store.store.memory_used > 100_000
        store.clear()
        store.get("k")
        assert store.store.memory_used < 10_000

    # what others change

    @pytest.mark.parametrize("name", CHANGES)
    def test_what_another_changes_is_seen_at_once(self, store, other, name):
        change, expected = CHANGES[name]
        store["k"] = "old"
        known(store, "k")
        change(other)
        assert store.get("k") == expected
        assert ("k" in store) == (expected is not None)
        assert other.get("k") == expected

    @pytest.mark.parametrize("name", CHANGES_OF_A_NUMBER)
    def test_what_another_counts_is_seen_at_once(self, store, other, name):
        change, expected = CHANGES_OF_A_NUMBER[name]
        store["k"] = 1
        known(store, "k")
        change(other)
        assert store.get("k") == expected
        assert other.get("k") == expected

    @pytest.mark.parametrize("name", CHANGES_OF_NOTHING)
    def test_what_another_adds_is_seen_at_once(self, store, other, name):
        change, expected = CHANGES_OF_NOTHING[name]
        known(store, "k")
        known(other, "k")
        change(other)
        assert store.get("k") == expected
        assert other.get("k") == expected

    @pytest.mark.parametrize("name", FOREIGN)
    def test_what_a_foreign_program_changes_is_seen_at_once(self, store, other, foreign, name):
        statement, expected = FOREIGN[name]
        store["k"] = "old"
        known(store, "k")
        known(other, "k")
        foreign(statement)
        assert store.get("k") == other.get("k") == expected

    def test_what_another_process_changes_is_seen_at_once(self, store, log, start, directory):
        child = start("answer", self.kind, str(directory))
        for number in range(200):
            child.tell(["set", "k", number])
            child.hear()
            assert store["k"] == number
            assert store["k"] == number
            store["k"] = -number
            child.tell(["get", "k"])
            assert child.hear() == -number
        child.finish()

    def test_a_foreign_program_cannot_hide_behind_a_commit_that_changed_nothing(self, store, other, foreign):
        store["k"] = "old"
        known(store, "k")
        # Announced, and not carried out: the next commit has the same number, and is the foreign program's.
        other.delete("absent")
        foreign("UPDATE entry SET value = 'new'")
        assert store["k"] == "new"

    def test_a_foreign_program_cannot_hide_between_two_commits_of_ours(self, store, other, foreign):
        store["k"] = "old"
        known(store, "k")
        other["a"] = 1
        foreign("UPDATE entry SET value = 'new' WHERE key = 'k'")
        other["b"] = 1
        assert store["k"] == "new"

    @pytest.mark.parametrize(
        "statement",
        [
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA wal_checkpoint(RESTART)",
            "PRAGMA wal_checkpoint(PASSIVE)",
            "VACUUM",
        ],
    )
    def test_checkpoints_and_vacuum_leave_it_true(self, store, other, foreign, statement):
        for number in range(5):
            store["k"] = number
            known(store, "k")
            foreign(statement)
            assert store["k"] == other["k"] == number
            known(store, "k")
            assert store["k"] == number
            other["k"] = -number
            assert store["k"] == -number

    def test_memory_comes_back_after_a_checkpoint(self, store, other, foreign):
        store["k"] = "v"
        foreign("PRAGMA wal_checkpoint(TRUNCATE)")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while asks_sqlite(store, "k"):
            assert time.monotonic() < deadline

    def test_a_wal_that_starts_over_leaves_it_true(self, store, other):
        for number in range(3000):
            writer, reader = (store, other) if number % 2 else (other, store)
            writer["k"] = number
            writer[number % 7] = "x" * 3000
            assert reader["k"] == number

    def test_others_commits_cost_only_the_keys_they_change(self, store, open_store):
        other = open_store()
        store.update((key, "old") for key in "abcdefgh")
        known(store, *"abcdefgh")
        other["a"] = "new"
        with other.transact("a"):
            other["b"] = "new"
            del other["c"]
        other.pop("d")
        other.delete("absent")
        changed = [key for key in "abcdefgh" if asks_sqlite(store, key)]
        # That c and d are absent is no hit either way.
        assert changed == ["a", "b", "c", "d"]
        assert store.get_many("abcdefgh") == {"a": "new", "b": "new"} | dict.fromkeys("efgh", "old")

    def test_a_log_that_is_too_short_costs_everything(self, monkeypatch, open_store):
        monkeypatch.setattr(change_log, "capacity", 64)
        # It is of commits that the log tells.
        store, other = open_store(journal=False), open_store(journal=False)
        store["k"] = "v"
        for number in range(100):
            other[number] = number
        assert asks_sqlite(store, "k")
        assert not asks_sqlite(store, "k")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"x",
            b"x" * 300_000,
            b"fclog01" * 1000,
            bytes.fromhex("666163 6c6f67 3032") + b"\xff" * 300_000,
            bytes.fromhex("666163 6c6f67 3032") + bytes(300_000),
            "folder",
            "link",
            "pipe",
        ],
        ids=["empty", "short", "other", "older", "huge capacity", "no capacity", "folder", "link", "pipe"],
    )
    def test_a_log_that_is_none_is_replaced_or_done_without(self, directory, open_store, content, tmp_path):
        open_store().close()
        for log in directory.rglob("cache.changes"):
            log.unlink()
            if content == "folder":
                log.mkdir()
            elif content == "link":
                (tmp_path / "elsewhere").write_bytes(b"not ours")
                log.symlink_to(tmp_path / "elsewhere")
            elif content == "pipe":
                os.mkfifo(log)
            else:
                log.write_bytes(content)
        store, other = open_store(), open_store()
        for number in range(3):
            store["k"] = number
            known(store, "k")
            other["k"] = -number
            assert store["k"] == -number
        if content == "link":
            assert (tmp_path / "elsewhere").read_bytes() == b"not ours"
        known(store, "k")
        other["another"] = 1
        assert asks_sqlite(store, "k") == (content == "folder")

    def test_what_a_process_left_that_died_while_it_made_a_log_is_removed(self, directory, open_store):
        open_store().close()
        left, recent, other = (
            directory / f"cache.{name}" for name in (f"changes.{'0a' * 8}", f"recency.{'0b' * 8}", "changes.of-others")
        )
        for path in (left, recent, other):
            path.write_bytes(b"x")
        for path in (left, other):
            os.utime(path, (time.time() - 3600,) * 2)
        open_store().close()
        assert [path.exists() for path in (left, recent, other)] == [False, True, True]

    def test_a_log_is_made_where_links_are_not_permitted(self, monkeypatch, open_store):
        def link(*arguments, **options):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", link)
        store, other = open_store(), open_store()
        store["k"] = "v"
        known(store, "k")
        other["another"] = 1
        assert not asks_sqlite(store, "k")

    def test_a_log_that_somebody_removes_leaves_it_true(self, directory, store, open_store):
        store["k"] = 0
        known(store, "k")
        os.unlink(directory / "cache.changes")
        other = open_store()
        for number in range(20):
            other["k"] = number
            assert store["k"] == number
            store["k"] = -number
            assert other["k"] == -number

    def test_the_log_is_its_owners_alone(self, store, directory):
        assert (directory / "cache.changes").stat().st_mode & 0o777 == 0o600
        assert not list(directory.glob("cache.changes.*"))

    # transactions

    def test_a_transaction_sees_its_own_writes_and_others_do_not(self, store, other):
        store.update(k="old", gone="old")
        known(store, "k", "gone", "fresh")
        known(other, "k", "gone", "fresh")

        def seen():
            return [(one.get("k"), one.get("gone"), one.get("fresh"), "fresh" in one) for one in (store, other)]

        with store.transact("a"):
            store["k"] = "new"
            store["fresh"] = "new"
            del store["gone"]
            assert (store["k"], store.get("gone"), store["fresh"], "gone" in store) == ("new", None, "new", False)
            assert in_a_thread(seen) == [("old", "old", None, False)] * 2
        assert seen() == in_a_thread(seen) == [("new", None, "new", True)] * 2

    def test_a_rollback_leaves_no_trace(self, store, other):
        store.update(k="old", gone="old")
        known(store, "k", "gone", "fresh")
        with contextlib.suppress(ZeroDivisionError), store.transact("a"):
            store["k"] = store["fresh"] = "new"
            del store["gone"]
            assert store["k"] == "new"
            1 / 0  # noqa: B018
        for one in (store, other):
            assert (one["k"], one["gone"], one.get("fresh")) == ("old", "old", None)

    def test_an_inner_rollback_leaves_no_trace(self, store, other):
        store["k"] = "old"
        known(store, "k", "fresh")
        with store.transact("a"):
            store["outer"] = 1
            with contextlib.suppress(ZeroDivisionError), store.transact("a"):
                store["k"] = store["fresh"] = "new"
                1 / 0  # noqa: B018
            assert (store["k"], store.get("fresh")) == ("old", None)
        for one in (store, other):
            assert (one["k"], one.get("fresh"), one["outer"]) == ("old", None, 1)

    # the snapshot

    def test_an_idle_reader_does_not_keep_the_wal_from_starting_over(self, store, foreign, start, directory):
        reader = start("answer", self.kind, str(directory))
        store["k"] = "v" * 1000
        for key in ("k", "absent", "other", "k") * 3:
            reader.tell(["get", key])
            reader.hear()
        deadline = time.monotonic() + PATIENCE_SECONDS
        # 0 in the first column: nobody was in the way.
        while foreign("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]:
            assert time.monotonic() < deadline
        assert os.path.getsize(directory / "cache.db-wal") == 0
        reader.finish()

    def test_a_kept_snapshot_never_shows_old_data(self, open_store):
        store, other = open_store(memory=0), open_store(memory=0)
        for number in range(300):
            other["k"] = number
            for _ in range(number % 4):
                assert store["k"] == number
                assert "k" in store
                assert "absent" not in store
            assert in_order(store) == [("k", number)]
            assert len(store) == 1

    def test_what_is_read_while_another_process_starts_the_wal_over_is_whole(self, open_store, start, directory):
        """It is read without a lock: what it is read from is written over meanwhile."""
        store = open_store(memory=0)
        keys = range(8)
        store.update((key, described(key, 9000)) for key in keys)
        other = start("start_over", self.kind, str(directory), len(keys), 3000)
        seen = set()
        while other.popen.poll() is None:
            for key in keys:
                for _ in range(4):
                    value = store[key]
                    assert is_whole(key, value)
                    seen.add(value)
            assert all(is_whole(key, value) for key, value in store.get_many(keys).items())
        other.finish()
        assert len(seen) > 20
        assert store.check()

    @pytest.mark.parametrize("name", ["feed", "batch", "fastcache_feed", "fastcache_batch"])
    def test_a_planted_table_does_not_come_in_between(self, open_store, foreign, name):
        foreign(f"CREATE TABLE {name} (key)")
        foreign(f"INSERT INTO {name} VALUES ('planted')")
        store = open_store(memory=0)
        store.update(k="v", planted="p")
        assert store.set_many([("a", 1), ("b", 2)]) == store.delete_many(["a", "b"]) == 2
        for _ in range(5):
            assert (store["k"], store["planted"], store.get("absent"), "k" in store) == ("v", "p", None, True)

    def test_writing_right_after_reading_is_stored(self, open_store, foreign):
        store = open_store(memory=0)
        for number in range(20):
            for _ in range(3):
                store.get("k")
            store["k"] = number
            assert store["k"] == number
            store.flush()
            assert foreign("SELECT key, value FROM entry") == [["k", number]]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_a_fork_shares_neither_memory_nor_snapshot(self, start, directory):
        assert start("fork_with_memory", self.kind, str(directory)).finish() == "done"

    # where there is no clock

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
    def test_the_first_write_after_a_fork_is_seen_elsewhere(self, start, store, directory):
        store["k"] = 0
        forking = start("write_after_forks", self.kind, str(directory))
        for number in range(1, 13):
            known(store, "k")
            forking.tell(number)
            assert forking.hear() == number
            assert store["k"] == number
        forking.finish()

    def test_without_a_wal_nothing_is_kept_and_all_works(self, directory, open_store):
        open_store().close()
        with contextlib.closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as database:
            assert database.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
            # Else it would be set back.
            database.execute("BEGIN")
            database.execute("SELECT count(*) FROM entry").fetchall()
            store, other = open_store(), open_store()
        for number in range(3):
            store["k"] = number
            assert other["k"] == number
            assert asks_sqlite(store, "k")
            other["k"] = [number]
            assert store["k"] == store["k"] == [number]
            with store.transact("a"):
                store.incr("n")
            assert other["n"] == number + 1
            assert other.get("absent") is None
            assert "absent" not in other
        assert store.store.memory_used == 0
        assert store.check()


class CacheMemoryContract(MemoryContract):
    """What only a Cache promises: expiry, tags, statistics."""

    def test_expiry_is_looked_at_each_time(self, open_store, clock):
        store = open_store(timer=clock)
        store.set("k", "v", expire=8)
        store.set("list", [1], expire=8)
        known(store, "k", "list")
        clock.advance(7.5)
        assert (store.get("k"), store.get("list"), "k" in store) == ("v", [1], True)
        assert not asks_sqlite(store, "k")
        clock.advance(0.5)
        assert (store.get("k"), store.get("list"), "k" in store, "list" in store) == (None, None, False, False)
        with pytest.raises(KeyError):
            store["k"]
        clock.advance(-1)
        assert (store.get("k"), "list" in store) == ("v", True)

    def test_expired_entries_that_are_removed_do_not_come_back(self, open_store, clock, log):
        store, other = open_store(timer=clock), open_store(timer=clock)
        store.set("k", "v", expire=8)
        known(store, "k")
        known(other, "k")
        clock.advance(8)
        assert other.expire() == 1
        clock.advance(-8)
        assert (store.get("k"), other.get("k"), "k" in store) == (None, None, False)

    def test_touch_is_seen_at_once(self, open_store, clock, log):
        store, other = open_store(timer=clock), open_store(timer=clock)
        store.set("k", "v", expire=8)
        known(store, "k")
        known(other, "k")
        other.touch("k", 100)
        clock.advance(50)
        assert (store.get("k"), other.get("k")) == ("v", "v")
        other.touch("k", 1)
        clock.advance(1)
        assert (store.get("k"), "k" in store, other.get("k")) == (None, False, None)

    def test_evicting_a_tag_is_seen_at_once(self, store, other):
        store.set("k", "v", tag="red")
        store.set("stays", "v", tag="blue")
        known(store, "k", "stays")
        known(other, "k", "stays")
        assert other.evict_tag("red") == 1
        for one in (store, other):
            assert (one.get("k"), one.get("stays")) == (None, "v")

    def test_evicting_a_tag_costs_only_its_entries(self, store, open_store):
        other = open_store()
        store.set("k", "v", tag="red")
        store.set("stays", "v", tag="blue")
        known(store, "stays")
        other.evict_tag("red")
        assert not asks_sqlite(store, "stays")

    def test_extras_are_true_as_well(self, store, other):
        store.set("k", "v", tag="red")
        known(store, "k")
        assert store.get("k", tag=True) == ("v", "red")
        other.set("k", "w", tag="blue", expire=1000)
        assert store.get("k", tag=True) == ("w", "blue")
        assert store.get("k", expire_time=True)[1] > time.time()

    def test_hits_in_memory_count_as_hits_and_are_told_apart(self, store, open_store):
        store.update(a=1, b=2)
        reader = open_store()
        for key in ("a", "b", "a", "a", "absent", "absent"):
            reader.get(key)
        assert reader.stats() == {"hits": 4, "misses": 2, "memory_hits": 2, "evictions": 0, "expirations": 0}
        assert reader.stats().memory_hits == 2
        reader.reset_stats()
        assert reader.stats() == dict.fromkeys(reader.stats(), 0)

    def test_a_serializers_values_are_decoded_anew(self, open_store):
        store = open_store(serializer=fastcache.MsgspecSerializer())
        store["k"] = (1, [2])
        store["k"][1].append(3)
        assert store["k"] == [1, [2]]
        assert store["k"] is not store["k"]
