"""check() names and repairs what is wrong with a directory; what is damaged reads as missing."""

import contextlib
import itertools
import os
import sys

import pytest

import fastcache

from .batch import wait_until
from .store import StoreContract, in_order, value_files

SECRET = "SECRET"
BIG = SECRET.encode() * 500_000

# What a foreign program can make of a database with the entries "small" and "large".
NOT_UTF8 = "CAST(x'ff' AS TEXT)"
PLANTED = {
    **{
        f"{column} = {value}": [f"UPDATE entry SET {column} = {value}"]
        for column, values in {
            "expire": ["'abc'", "x'00'", "1e300", "-1.5"],
            "codec": ["'abc'", "x'0102'", "1 << 40", "99"],
            "size": ["'abc'", "9223372036854775807"],
            "tag": [NOT_UTF8, "1e300"],
            "file": [NOT_UTF8, "x'ff'", "'/dev/null'"],
            "value": [NOT_UTF8, "NULL"],
        }.items()
        for value in values
    },
    "expire of an int": ["UPDATE entry SET expire = 'abc', value = 7 WHERE key = 'small'"],
    "trash that is not UTF-8": [f"INSERT INTO trash (file) VALUES ({NOT_UTF8})"],
    "trash that is a blob": ["INSERT INTO trash (file) VALUES (x'ff')"],
    "trash that stays": [
        "CREATE TRIGGER planted BEFORE DELETE ON trash BEGIN SELECT RAISE(IGNORE); END",
        "INSERT INTO trash (file) VALUES ('00000000000000000000000000000000')",
    ],
    "entries that stay": ["CREATE TRIGGER planted BEFORE DELETE ON entry BEGIN SELECT RAISE(IGNORE); END"],
    "reserved that is a blob": ["INSERT INTO reserved VALUES (x'ff', 5)"],
    "reserved that is not UTF-8": [f"INSERT INTO reserved VALUES ({NOT_UTF8}, 'abc')"],
    "an eviction in words": ["UPDATE meta SET value = 'abc' WHERE name = 'eviction'"],
    "a limit below all that there is": ["UPDATE meta SET value = 131072 WHERE name = 'max_size'"],
    "a limit that is negative": ["UPDATE meta SET value = -5 WHERE name = 'max_size'"],
    "no count of bytes": ["DELETE FROM meta WHERE name = 'file_bytes'"],
    "a count of bytes in words": ["UPDATE meta SET value = 'abc' WHERE name = 'file_bytes'"],
    "max_size in words": ["UPDATE meta SET value = 'abc' WHERE name = 'max_size'"],
    "max_size that is not UTF-8": [f"UPDATE meta SET value = {NOT_UTF8} WHERE name = 'max_size'"],
    "a setting that is not UTF-8": [f"INSERT INTO meta VALUES ({NOT_UTF8}, 1)"],
    "a format in words": ["UPDATE meta SET value = 'abc' WHERE name = 'format'"],
    "a serializer that is a blob": ["UPDATE meta SET value = x'ff' WHERE name = 'serializer'"],
    "no settings": ["DELETE FROM meta"],
    "the last id": ["UPDATE entry SET id = 9223372036854775807 WHERE key = 'large'"],
    "the first id": ["UPDATE entry SET id = -9223372036854775807 - 1 WHERE key = 'small'"],
}

# Keys that no store writes: they are not what it makes of the key that they say.
PLANTED_KEYS = {
    "text that is not UTF-8": NOT_UTF8,
    "a small int in the long form": "x'fc6663014900000000000000' || x'05'",
    "a float in the long form": "x'fc66630146' || x'3ff0000000000000'",
    "NaN": "x'fc66630146' || x'7ff8000000000000'",
    "a pickled list": "x'fc66630150' || x'00000005' || x'80055d942e'",
    "a pickled int": "x'fc66630150' || x'00000005' || x'80054b052e'",
    "a pickle that is none": "x'fc66630150' || x'00000002' || x'ffff'",
    "a tuple without an end": "x'fc66630154' || x'ffffffff'",
    "a set of the same": "x'fc6663015a' || x'00000002' || x'4e4e'",
    "bytes behind the end": "x'fc6663014e' || x'4e'",
    "nothing": "x'fc666301'",
    "a number": "9.5e300",
}

UNHARMED = {
    "orphaned_files": 0,
    "dangling_rows": 0,
    "size_mismatches": 0,
    "counters_consistent": True,
    "sqlite_integrity_ok": True,
}


def assert_found(result, **harm):
    """The result names this harm and nothing else, in words too, and gives away nothing that was stored."""
    assert {name: getattr(result, name) for name in UNHARMED} == UNHARMED | harm
    assert result.ok is (not harm)
    assert bool(result) is result.ok
    assert bool(result.details) is bool(harm)
    assert all(isinstance(detail, str) and detail for detail in result.details)
    assert str(result)
    for text in (str(result), repr(result), *result.details):
        assert SECRET not in text
        assert SECRET.encode().hex() not in text
        assert "<" not in str(result), "not meant for people"


class CheckContract(StoreContract):
    @pytest.fixture
    def filled(self, store):
        """Small and large values, keys of all kinds."""
        store[SECRET, 1] = "small"
        store[f"{SECRET} first"] = BIG
        store[SECRET.encode()] = [SECRET]
        store[f"{SECRET} second"] = BIG + b"!"
        store[7] = 7
        return store

    def file_of(self, directory, size):
        (path,) = (path for path in value_files(directory) if path.stat().st_size == size)
        return path

    def test_a_store_that_is_well_says_so(self, filled):
        assert_found(filled.check())
        assert_found(filled.check(fix=True))
        assert isinstance(filled.check(), fastcache.CheckResult)
        assert filled.check().details == ()
        filled.clear()
        assert_found(filled.check())

    def test_a_new_store_is_well(self, store):
        assert_found(store.check())

    def test_what_was_replaced_or_rolled_back_is_no_damage(self, filled):
        for _ in range(3):
            filled[f"{SECRET} first"] = BIG * 2
            with contextlib.suppress(ZeroDivisionError), filled.transact("a"):
                filled[f"{SECRET} second"] = BIG * 3
                1 // 0  # noqa: B018
            filled.pop(f"{SECRET} first", None)
            assert_found(filled.check())

    # files without a row

    @pytest.mark.parametrize("name", ["0123456789abcdef" * 2, "f" * 32])
    def test_an_orphaned_file_is_named_and_removed(self, filled, directory, name):
        expected = in_order(filled)
        orphan = directory / "values" / name
        orphan.write_bytes(BIG)
        assert_found(filled.check(), orphaned_files=1)
        assert orphan.exists()
        assert_found(filled.check(), orphaned_files=1)
        assert_found(filled.check(fix=True), orphaned_files=1)
        assert not orphan.exists()
        assert_found(filled.check())
        assert in_order(filled) == expected

    def test_orphaned_files_do_not_disturb(self, filled, directory, open_store):
        expected = in_order(filled)
        for number in range(5):
            (directory / "values" / f"{number:032x}").write_bytes(b"")
        assert in_order(filled) == expected
        assert in_order(open_store()) == expected
        assert_found(filled.check(fix=True), orphaned_files=5)

    def test_a_temporary_file_that_was_left_behind_is_gone_after_opening(self, open_store, directory):
        with open_store() as store:
            store["a"] = BIG
        before = value_files(directory)
        folder = directory / "values" / "tmp"
        folder.mkdir(exist_ok=True)
        for number in range(3):
            (folder / f"{number:032x}").write_bytes(BIG)
        with open_store() as store:
            assert store["a"] == BIG
            store["b"] = 1
        assert value_files(directory) == before

    # rows without their file

    def damaged_file_reads_as_missing(self, store, key, others):
        assert store.get(key) is None
        assert store.get(key, "instead") == "instead"
        with pytest.raises(KeyError):
            store[key]
        assert [pair for pair in store.items() if pair[0] != key] == others
        assert len(list(store.values())) == len(others)
        for other, value in others:
            assert store[other] == value

    def damage(self, directory, how):
        path = self.file_of(directory, len(BIG))
        if how == "removed":
            path.unlink()
            return {"dangling_rows": 1}
        if how == "replaced by a directory":
            path.unlink()
            path.mkdir()
            return {"dangling_rows": 1, "orphaned_files": 1}
        with open(path, "r+b") as file:
            file.truncate({"truncated": len(BIG) - 1, "emptied": 0, "grown": len(BIG) + 1}[how])
        return {"size_mismatches": 1}

    @pytest.mark.parametrize("how", ["removed", "truncated", "emptied", "grown"])
    def test_a_row_whose_file_is_damaged_is_named_and_removed(self, filled, directory, how):
        key = f"{SECRET} first"
        others = [pair for pair in in_order(filled) if pair[0] != key]
        harm = self.damage(directory, how)
        assert_found(filled.check(), **harm)
        assert_found(filled.check(fix=True), **harm)
        assert_found(filled.check())
        assert in_order(filled) == others
        assert key not in filled
        assert len(filled) == len(others)
        assert len(value_files(directory)) == 1

    @pytest.mark.parametrize("how", ["removed", "truncated", "emptied", "grown"])
    def test_a_row_whose_file_is_damaged_reads_as_missing(self, filled, directory, open_store, how):
        key = f"{SECRET} first"
        others = [pair for pair in in_order(filled) if pair[0] != key]
        filled.close()
        self.damage(directory, how)
        store = open_store()
        self.damaged_file_reads_as_missing(store, key, others)
        assert store.get_or_set(key, lambda: "new") == "new"
        assert store[key] == "new"
        assert store.check(fix=True).ok in (True, False)
        assert_found(store.check())
        assert store[key] == "new"

    @pytest.mark.parametrize("how", ["removed", "truncated"])
    @pytest.mark.parametrize(
        "write",
        [
            lambda store, key: store.set(key, 1),
            lambda store, key: store.add(key, 1),
            lambda store, key: store.setdefault(key, 1),
            lambda store, key: store.incr(key),
            lambda store, key: store.get_or_set(key, lambda: 1),
            lambda store, key: store.update([(key, 1)]),
        ],
        ids=["set", "add", "setdefault", "incr", "get_or_set", "update"],
    )
    def test_a_row_whose_file_is_damaged_can_be_written_again(self, filled, directory, open_store, how, write):
        key = f"{SECRET} first"
        self.damage(directory, how)
        # What was in memory is none the worse for the damage: begin without.
        filled = open_store()
        write(filled, key)
        assert filled[key] == 1
        filled.check(fix=True)
        assert_found(filled.check())
        assert filled[key] == 1

    @pytest.mark.parametrize("how", ["removed", "truncated"])
    def test_a_row_whose_file_is_damaged_is_popped_as_missing(self, filled, directory, how):
        key = f"{SECRET} first"
        self.damage(directory, how)
        assert filled.pop(key, "instead") == "instead"
        assert len(list(filled.items())) == 4
        while list(filled.items()):
            filled.popitem(last=False)

    def test_a_row_that_names_a_file_elsewhere_reads_as_missing(self, filled, directory, open_store, start, tmp_path):
        filled.close()
        secret = tmp_path / "secret"
        secret.write_bytes(BIG)
        for name in (str(secret), "../../secret", "../cache.db", "", "tmp", "."):
            with open_store() as store:
                store["planted"] = BIG
            start("sql", str(directory), f"UPDATE entry SET file = '{name}' WHERE key = 'planted'").finish()
            with open_store() as store:
                assert not store.check()
                assert store.get("planted") is None
                store.check(fix=True)
                assert_found(store.check())
                assert "planted" not in store
                assert len(store) == 5
        assert secret.read_bytes() == BIG

    # what a foreign program planted

    @pytest.fixture
    def small_and_large(self, open_store):
        """What a foreign program plants something into."""
        with open_store() as store:
            store["small"] = "small"
            store["large"] = b"x" * 150_000

    @pytest.mark.parametrize("how", PLANTED)
    @pytest.mark.usefixtures("small_and_large")
    def test_what_was_planted_does_nothing_worse_than_an_error_of_ours(self, directory, start, how):
        keys = ["large"] if how.startswith("file") else ["small"]
        assert start("use_in_every_way", self.kind, str(directory), keys, *PLANTED[how]).finish() == []

    def planting_a_key(self, how):
        stored = PLANTED_KEYS[how]
        kind = "BLOB" if stored.startswith("x") else "TEXT" if how.startswith("text") else "REAL"
        return f"INSERT INTO entry (key, codec, size, value) VALUES (CAST({stored} AS {kind}), 0, 1, 1)"

    @pytest.mark.parametrize("how", PLANTED_KEYS)
    @pytest.mark.usefixtures("small_and_large")
    def test_a_key_that_was_planted_does_nothing_worse_than_an_error_of_ours(self, directory, start, how):
        statement = self.planting_a_key(how)
        assert start("use_in_every_way", self.kind, str(directory), ["small"], statement).finish() == []

    @pytest.mark.parametrize("how", PLANTED_KEYS)
    @pytest.mark.usefixtures("small_and_large")
    @pytest.mark.leaves_damage
    def test_popping_items_ends_whatever_was_planted(self, open_store, directory, start, how):
        said = start("empty_by_popitem", self.kind, str(directory), self.planting_a_key(how)).finish()
        assert len(said) == 2
        for popped, ended in said:
            assert len(popped) == len(set(popped))
            assert (len(popped) == 3) == (ended == "KeyError")
        assert open_store(timeout=0.2)["afterwards"] == 1

    def test_a_lost_count_of_bytes_is_counted_anew(self, filled, directory, open_store, start):
        volume = filled.volume()
        filled.close()
        start("sql", str(directory), "DELETE FROM meta WHERE name = 'file_bytes'").finish()
        store = open_store()
        assert store.volume() >= 0
        assert_found(store.check(fix=True), counters_consistent=False)
        assert_found(store.check())
        assert abs(store.volume() - volume) < 1_000_000

    # counters

    @pytest.mark.parametrize("difference", [1, -1, 10**9, -(10**9)])
    def test_a_wrong_counter_is_named_and_corrected(self, filled, directory, open_store, start, difference):
        expected = in_order(filled)
        volume = filled.volume()
        filled.close()
        start("sql", str(directory), f"UPDATE meta SET value = value + {difference} WHERE name = 'file_bytes'").finish()
        store = open_store()
        assert_found(store.check(), counters_consistent=False)
        assert_found(store.check(fix=True), counters_consistent=False)
        assert_found(store.check())
        assert in_order(store) == expected
        assert abs(store.volume() - volume) < 1_000_000

    # SQLite

    NUMBER = 3000

    def fill_and_close(self, open_store, directory, start):
        """Many rows, on many pages, all of them in cache.db; return the page size."""
        with open_store() as store:
            store.update((f"{SECRET} {number}", f"<{number}>" + "x" * 200) for number in range(self.NUMBER))
            store["large"] = BIG
        start("sql", str(directory), "PRAGMA wal_checkpoint(TRUNCATE)").finish()
        return start("sql", str(directory), "PRAGMA page_size").finish()[0][0]

    def overwrite(self, directory, page_size, page, content):
        with open(directory / "cache.db", "r+b") as file:
            file.seek((page - 1) * page_size)
            file.write(content)

    def undamaged(self, store):
        found = dict(store.items())
        for key, value in found.items():
            number = key.removeprefix(SECRET + " ")
            assert value == (BIG if key == "large" else f"<{number}>" + "x" * 200)
            assert store[key] == value
        return len(found)

    @pytest.mark.parametrize("what", ["root", "leaf"])
    @pytest.mark.parametrize("content", ["zeros", "garbage"])
    def test_a_damaged_index_is_named_and_rebuilt(self, open_store, directory, start, what, content):
        page_size = self.fill_and_close(open_store, directory, start)
        which = "rootpage FROM sqlite_schema" if what == "root" else "max(pageno) FROM dbstat"
        ((page,),) = start("sql", str(directory), f"SELECT {which} WHERE name = 'entry_key'").finish()
        self.overwrite(
            directory,
            page_size,
            page,
            bytes(page_size) if content == "zeros" else b"\xa5\x5a" * (page_size // 2),
        )
        store = open_store()
        result = store.check()
        assert not result
        assert result.sqlite_integrity_ok is False
        assert SECRET not in str(result)
        assert not store.check(fix=True).sqlite_integrity_ok
        assert_found(store.check())
        assert self.undamaged(store) == self.NUMBER + 1
        store["new"] = 1
        assert store["new"] == 1
        store.close()
        with open_store() as store:
            assert_found(store.check())

    def test_an_index_that_lacks_a_key_is_named_and_rebuilt(self, open_store, directory, start):
        self.fill_and_close(open_store, directory, start)
        start(
            "sql", str(directory),
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = sql || ' WHERE id % 2' WHERE name = 'entry_key'",
            "PRAGMA writable_schema = RESET",
            "REINDEX entry_key",
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = replace(sql, ' WHERE id % 2', '') WHERE name = 'entry_key'",
            "PRAGMA writable_schema = RESET",
        ).finish()  # fmt: skip
        store = open_store()
        assert store.check().sqlite_integrity_ok is False
        store.check(fix=True)
        assert_found(store.check())
        assert self.undamaged(store) == self.NUMBER + 1

    @pytest.mark.parametrize("content", ["zeros", "garbage", "half a page"])
    def test_a_damaged_table_is_named_and_what_is_whole_is_kept(self, open_store, directory, start, content):
        page_size = self.fill_and_close(open_store, directory, start)
        database = (directory / "cache.db").read_bytes()
        page = database.index(b"<1500>xxx") // page_size + 1
        lost = database[(page - 1) * page_size : page * page_size].count(b">xxx")
        assert lost > 1
        garbage = {
            "zeros": bytes(page_size),
            "garbage": b"\xa5\x5a" * (page_size // 2),
            "half a page": b"\xff" * (page_size // 2),
        }
        self.overwrite(directory, page_size, page, garbage[content])
        store = open_store()
        result = store.check()
        assert not result
        assert result.sqlite_integrity_ok is False
        assert SECRET not in str(result)
        result = store.check(fix=True)
        assert result.sqlite_integrity_ok is False
        assert SECRET not in str(result)
        assert_found(store.check())
        assert self.undamaged(store) >= self.NUMBER + 1 - lost
        assert store[f"{SECRET} 0"]
        assert store[f"{SECRET} {self.NUMBER - 1}"]
        assert store["large"] == BIG
        store["new"] = 1
        store.close()
        with open_store() as store:
            assert_found(store.check())
            assert store["new"] == 1

    def test_text_that_is_not_utf8_does_not_keep_the_rest_from_being_saved(self, open_store, directory, start):
        page_size = self.fill_and_close(open_store, directory, start)
        start(
            "sql", str(directory),
            f"UPDATE entry SET value = {NOT_UTF8} WHERE key = '{SECRET} 7'",
            f"UPDATE entry SET tag = {NOT_UTF8} WHERE key = '{SECRET} 8'",
            f"UPDATE entry SET key = {NOT_UTF8} WHERE key = '{SECRET} 9'",
            "PRAGMA wal_checkpoint(TRUNCATE)",
        ).finish()  # fmt: skip
        database = (directory / "cache.db").read_bytes()
        page = database.index(b"<1500>xxx") // page_size + 1
        lost = database[(page - 1) * page_size : page * page_size].count(b">xxx")
        self.overwrite(directory, page_size, page, b"\xa5\x5a" * (page_size // 2))
        store = open_store()
        assert store.check(fix=True).sqlite_integrity_ok is False
        assert_found(store.check())
        for number in (0, 8, 10, self.NUMBER - 1):
            assert store[f"{SECRET} {number}"] == f"<{number}>" + "x" * 200
        assert store["large"] == BIG
        assert len(store) >= self.NUMBER + 1 - lost

    @pytest.mark.parametrize("damaged", [{0}, {0, 2}, {0, 1, 2}, {1, 2, 3, 4, 5, 6}], ids=str)
    def test_what_is_whole_between_damaged_places_is_kept(self, open_store, directory, start, damaged):
        page_size = self.fill_and_close(open_store, directory, start)
        leaves = start(
            "sql", str(directory),
            "SELECT pageno FROM dbstat WHERE name = 'entry' AND pagetype = 'leaf' ORDER BY path",
        ).finish()  # fmt: skip
        database = (directory / "cache.db").read_bytes()
        lost = 0
        for position, (page,) in enumerate(leaves[5:-5]):
            if position % 7 in damaged:
                lost += database[(page - 1) * page_size : page * page_size].count(b">xxx")
                self.overwrite(directory, page_size, page, b"\xa5\x5a" * (page_size // 2))
        assert lost > 0
        store = open_store()
        assert store.check(fix=True).sqlite_integrity_ok is False
        assert_found(store.check())
        assert self.undamaged(store) == self.NUMBER + 1 - lost

    @pytest.mark.leaves_damage
    def test_reading_what_is_damaged_raises_an_error_of_ours_that_gives_nothing_away(
        self, open_store, directory, start
    ):
        page_size = self.fill_and_close(open_store, directory, start)
        page = (directory / "cache.db").read_bytes().index(b"<1500>xxx") // page_size + 1
        self.overwrite(directory, page_size, page, b"\xa5\x5a" * (page_size // 2))
        store = open_store()
        with pytest.raises(fastcache.CorruptError) as error:
            list(store.items())
        assert SECRET not in str(error.value)
        assert str(directory) in str(error.value)
        assert store.get(f"{SECRET} 0").startswith("<0>")

    @pytest.mark.parametrize("how", ["cut to a half", "cut to a page", "schema overwritten"])
    def test_a_database_that_cannot_even_be_opened_is_named_and_repaired(
        self, open_store, directory, start, caplog, how
    ):
        page_size = self.fill_and_close(open_store, directory, start)
        pages = os.path.getsize(directory / "cache.db") // page_size
        if how == "schema overwritten":
            with open(directory / "cache.db", "r+b") as file:
                file.seek(100)
                file.write(b"\xa5" * (page_size - 100))
        else:
            os.truncate(directory / "cache.db", (pages // 2 if how == "cut to a half" else 1) * page_size)
        content = (directory / "cache.db").read_bytes()
        store = open_store()
        assert str(directory) in caplog.text
        assert SECRET not in caplog.text
        for use in (
            lambda: store.get("a"),
            lambda: store["a"],
            lambda: "a" in store,
            lambda: len(store),
            lambda: list(store),
            lambda: store.set("a", 1),
            lambda: store.add("a", 1),
            lambda: store.incr("a"),
            store.clear,
        ):
            with pytest.raises(fastcache.CorruptError) as error:
                use()
            assert str(directory) in str(error.value)
        result = store.check()
        assert result.sqlite_integrity_ok is False
        assert not result
        assert (directory / "cache.db").read_bytes() == content
        assert store.check(fix=True).sqlite_integrity_ok is False
        assert_found(store.check())
        kept = self.undamaged(store)
        assert kept > 100 or how != "cut to a half"
        store["new"] = 1
        store.close()
        with open_store() as store:
            assert_found(store.check())
            assert store["new"] == 1
            assert len(store) == kept + 1

    # together

    def test_several_kinds_of_damage_are_named_and_repaired_at_once(self, filled, directory, open_store, start):
        filled.close()
        (directory / "values" / ("a" * 32)).write_bytes(b"orphan")
        self.file_of(directory, len(BIG)).unlink()
        with open(self.file_of(directory, len(BIG) + 1), "ab") as file:
            file.write(b"more")
        start("sql", str(directory), "UPDATE meta SET value = value + 5 WHERE name = 'file_bytes'").finish()
        store = open_store()
        harm = {"orphaned_files": 1, "dangling_rows": 1, "size_mismatches": 1, "counters_consistent": False}
        assert_found(store.check(), **harm)
        assert_found(store.check(fix=True), **harm)
        assert_found(store.check())
        assert in_order(store) == [((SECRET, 1), "small"), (SECRET.encode(), [SECRET]), (7, 7)]
        assert value_files(directory) == set()

    def test_checking_and_fixing_harms_nobody_who_is_writing(self, store, directory, start):
        writers = [start("write_described", self.kind, str(directory), seed, 300) for seed in range(2)]
        inserter = start("insert", self.kind, str(directory), "x", 300)
        for process in (*writers, inserter):
            assert process.hear() == "ready"
        for process in (*writers, inserter):
            process.tell()
        while inserter.popen.poll() is None:
            assert_found(store.check())
            assert_found(store.check(fix=True))
        for process in (*writers, inserter):
            process.finish()
        assert_found(store.check())
        assert all(store[f"x {number}"] == number for number in range(300))

    def test_checking_counts_no_file_of_a_writer_that_has_just_closed(self, store, directory, start):
        writers = [start("live_shortly", self.kind, str(directory), name, 150) for name in range(2)]
        for process in writers:
            assert process.hear() == "ready"
        for process in writers:
            process.tell()
        while any(process.popen.poll() is None for process in writers):
            assert_found(store.check())
        for process in writers:
            process.finish()
        assert_found(store.check())

    def test_the_first_large_value_is_no_damage_wherever_a_check_is(self, open_store, directory, tmp_path):
        """The value is written before the nth line of the check's look at files, for every n."""

        def look(frame, event, argument):
            nonlocal left
            if frame.f_code.co_name != "_check_files":
                return None
            if event == "line":
                left -= 1
                if not left:
                    sys.settrace(None)
                    store["first"] = BIG
            return look

        for line in itertools.count():
            store = open_store(tmp_path / str(line))
            left = line + 1
            earlier = sys.gettrace()
            sys.settrace(look)
            try:
                result = store.check()
            finally:
                sys.settrace(earlier)
            assert_found(result)
            if left > 0:
                break
            assert store["first"] == BIG
        assert line > 5

    def test_checking_inside_a_transaction_is_refused_or_right(self, filled):
        expected = in_order(filled)
        with filled.transact("a"):
            filled["new"] = BIG
            with contextlib.suppress(fastcache.TransactionError):
                assert_found(filled.check())
            with contextlib.suppress(fastcache.TransactionError):
                assert_found(filled.check(fix=True))
        assert in_order(filled) == [*expected, ("new", BIG)]
        assert_found(filled.check())

    @pytest.mark.parametrize("undo", [True, False])
    def test_fixing_inside_a_transaction_loses_nothing_that_it_may_yet_undo(self, filled, directory, undo):
        expected = dict(filled.items())
        with contextlib.suppress(ZeroDivisionError), filled.transact("a"):
            filled[f"{SECRET} first"] = BIG + b"changed"
            del filled[f"{SECRET} second"]
            with contextlib.suppress(fastcache.TransactionError):
                filled.check(fix=True)
            if undo:
                1 // 0  # noqa: B018
        if not undo:
            expected[f"{SECRET} first"] = BIG + b"changed"
            del expected[f"{SECRET} second"]
        assert filled == expected
        assert_found(filled.check())
        # Maintenance unlinks them.
        wait_until(lambda: len(value_files(directory)) == (2 if undo else 1))

    def test_fixing_inside_an_inner_block_that_is_undone_loses_nothing(self, filled):
        expected = in_order(filled)
        with filled.transact("a"):
            filled["outer"] = BIG + b"outer"
            with contextlib.suppress(ZeroDivisionError), filled.transact("a"):
                filled["outer"] = BIG + b"inner"
                filled[f"{SECRET} first"] = 1
                with contextlib.suppress(fastcache.TransactionError):
                    filled.check(fix=True)
                1 // 0  # noqa: B018
            assert filled["outer"] == BIG + b"outer"
        assert in_order(filled) == [*expected, ("outer", BIG + b"outer")]
        assert_found(filled.check())
