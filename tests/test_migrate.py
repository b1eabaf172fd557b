"""What other libraries have stored comes along, whatever happens meanwhile, and nothing in it runs."""

import collections
import contextlib
import dbm
import dbm.dumb
import json
import os
import pickle
import pickletools
import shelve
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zlib

import diskcache
import numpy
import pytest
import sqlitedict
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcache
from fastcache.importers import sciqlop_cache
from fastcache.importers.pickles import Decoder
from fastcache.migrate import migrate
from fastcache.tools import migrating
from fastcache.tools.cli import main

from . import samples
from .samples import same

try:
    import pysciqlop_cache
except ImportError:
    # Its wheels are not for every machine.
    pysciqlop_cache = None

with_sciqlop_cache = pytest.mark.skipif(pysciqlop_cache is None, reason="pysciqlop-cache is not installed")

FILE = 100_000
VALUES = {
    "text": "text",
    "": "",
    "é日😀": "é\r\nb",
    b"bytes": b"\x00\xff",
    b"": b"",
    7: 2**80,
    -(2**63): None,
    2**70: -0.0,
    0.5: [1, {"a": (2, None)}],
    float("inf"): float("nan"),
    None: None,
    ("a", (1, b"b"), None): {1, 2},
    "text in a file": "é\r\n" * FILE,
    b"bytes in a file": b"\r\n" * FILE,
    "list in a file": ["x" * FILE, 1],
    "none": None,
}
# NaN is NULL in SQLite, and None when it comes back.
STORED = VALUES | {float("inf"): None}
FORMS = {"cache": fastcache.Cache, "index": fastcache.Index, "fanout": fastcache.FanoutCache}


class Planted:
    """Leaves a mark where it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "destination"


def everything(directory):
    with fastcache.Cache(directory) as cache:
        assert cache.check().ok
        return list(cache.items(on_error="raise"))


def assert_same_items(found, expected):
    assert [key for key, _ in found] == list(expected)
    for (key, value), wanted in zip(found, expected.values(), strict=True):
        assert same(value, wanted), key


def files(directory):
    return sorted(path.relative_to(directory) for path in directory.rglob("*.val"))


# -- diskcache --------------------------------------------------------------------------------------------------------


def test_what_a_cache_of_diskcache_holds_comes_along_in_its_order(source, destination):
    with diskcache.Cache(source) as cache:
        for key, value in VALUES.items():
            cache[key] = value
    before = {path: path.read_bytes() for path in source.rglob("*.val")}
    result = migrate(source, destination)
    assert result.pop("elapsed_secs") >= 0
    assert result == {
        "migrated": len(VALUES),
        "skipped": 0,
        "errors": 0,
        "expired": 0,
        "kind": "diskcache",
        "undecoded": [],
        "elsewhere": [],
    }
    assert_same_items(everything(destination), STORED)
    assert {path: path.read_bytes() for path in source.rglob("*.val")} == before
    with diskcache.Cache(source) as cache:
        assert len(cache) == len(VALUES)
        assert cache.check() == []


@pytest.mark.parametrize("store_type", [*FORMS, "fanoutindex"])
def test_each_type_of_store_can_be_made(source, destination, store_type):
    with diskcache.Cache(source) as cache:
        for number in range(3000):
            cache[number] = [number]
    options = {"shards": 3} if store_type.startswith("fanout") else {}
    assert migrate(source, destination, store_type=store_type, **options)["migrated"] == 3000
    kind = {**FORMS, "fanoutindex": fastcache.FanoutIndex}[store_type]
    with kind(destination, **options) as store:
        assert dict(store) == {number: [number] for number in range(3000)}


def test_lifetimes_and_tags_survive(source, destination):
    with diskcache.Cache(source) as cache:
        for number, tag in enumerate([None, "text", "", b"bytes", 5, 0.5]):
            cache.set(number, number, expire=1000 * number or None, tag=tag)
        stored = {number: cache.get(number, expire_time=True, tag=True) for number in range(6)}
    assert migrate(source, destination)["migrated"] == 6
    with fastcache.Cache(destination) as cache:
        for number, (value, expire, tag) in stored.items():
            found = cache.get(number, expire_time=True, tag=True)
            assert found == (value, pytest.approx(expire, abs=0.002) if expire else None, tag)
        assert cache.evict_tag("text") == 1


def test_what_has_expired_is_skipped_and_counted(source, destination):
    with diskcache.Cache(source, cull_limit=0) as cache:
        for number in range(10):
            cache.set(number, "x" * FILE, expire=-1 if number % 2 else 1000)
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["skipped"], result["expired"], result["errors"]) == (5, 5, 5, 0)
    assert [key for key, _ in everything(destination)] == [0, 2, 4, 6, 8]


def test_an_index_takes_nothing_that_expires(source, destination):
    with diskcache.Cache(source) as cache:
        cache.set("expires", 1, expire=1000)
        cache.set("stays", 2, tag="t")
    result = migrate(source, destination, store_type="index", drop=True)
    assert (result["migrated"], result["errors"]) == (1, 1)
    assert result["undecoded"] == [("row 1", result["undecoded"][0][1])]
    with diskcache.Cache(source) as cache:
        assert list(cache) == ["expires"]


def test_what_a_fanout_cache_holds_comes_along_and_what_lies_in_it_is_named(source, destination):
    with diskcache.FanoutCache(source, shards=5) as cache:
        for number in range(3000):
            cache.set(number, number, expire=1000, tag="t")
        cache.set("in a file", b"x" * FILE)
        cache.cache("inner")["k"] = 1
        cache.index("a/b")["k"] = 1
        cache.deque("d").append(1)
        cache.cache("inner").close()
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (3001, 0)
    assert result["elsewhere"] == [str(source / "cache/inner"), str(source / "deque/d"), str(source / "index/a/b")]
    with fastcache.Cache(destination) as cache:
        assert len(cache) == 3001
        assert cache[2999] == 2999
        assert list(cache) == [*range(3000), "in a file"]
    with diskcache.FanoutCache(source, shards=5) as cache:
        assert len(cache) == 0
        assert cache.cache("inner")["k"] == 1
    assert migrate(source / "index/a/b", destination)["migrated"] == 1


def test_a_deque_keeps_its_order(source, destination):
    items = diskcache.Deque([1, 2, 3], source)
    items.extendleft(["a", "b"])
    items.append("x" * FILE)
    migrate(source, destination)
    assert [value for _, value in everything(destination)] == ["b", "a", 1, 2, 3, "x" * FILE]


def test_an_index_of_diskcache_comes_along(source, destination):
    items = diskcache.Index(str(source), [(("a", 1), 1), (b"b", [2])])
    items["c"] = 3
    assert migrate(source, destination, store_type="index")["migrated"] == 3
    with fastcache.Index(destination) as index:
        assert list(index.items()) == [(("a", 1), 1), (b"b", [2]), ("c", 3)]


@pytest.mark.parametrize("settings", [{}, {"disk_compress_level": 6}])
def test_what_json_disk_has_stored_comes_along(source, destination, settings):
    values = {"a": [1, None, {"b": 0.5}], 1: "é", None: True, (1, "x"): "x", "incompressible": os.urandom(FILE).hex()}
    with diskcache.Cache(source, disk=diskcache.JSONDisk, **settings) as cache:
        for key, value in values.items():
            cache.set(key, value, tag="t")
        with open(__file__, "rb") as file:
            cache.set("file", file, read=True, expire=1000)
    with open(__file__, "rb") as file:
        values["file"] = file.read()
    result = migrate(source, destination)
    assert (result["kind"], result["errors"]) == ("diskcache-json", 0)
    assert everything(destination) == list(values.items())


def test_bytes_that_only_look_like_json_are_bytes(source, destination):
    payload = zlib.compress(b"[1]")
    with diskcache.Cache(source) as cache:
        cache["key"] = payload
        cache[payload] = 1
    assert migrate(source, destination)["kind"] == "diskcache"
    assert everything(destination) == [("key", payload), (payload, 1)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_all_protocols_come_along(source, destination, protocol):
    with diskcache.Cache(source, disk_pickle_protocol=protocol) as cache:
        for number, value in enumerate(PLAIN):
            cache[("key", number)] = value
    assert migrate(source, destination)["undecoded"] == []
    with fastcache.Cache(destination) as cache:
        for number, value in enumerate(PLAIN):
            # The older ones do not store all of it (fold).
            assert_same_plain(cache[("key", number)], pickle.loads(pickle.dumps(value, protocol)))


def test_keys_that_are_one_in_a_dict_are_one(source, destination):
    with diskcache.Cache(source) as cache:
        cache[1] = "int"
        cache[True] = "bool"
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["skipped"]) == (1, 1)
    assert everything(destination) == [(1, "int")]
    # Nothing was lost: the other one stays where it was.
    with diskcache.Cache(source) as cache:
        assert list(cache) == [True]
        assert cache[True] == "bool"


def _is_storable(key):
    """Whether diskcache finds it again: it compares keys by their pickles, and knows no lone surrogates."""
    if isinstance(key, str):
        return not any("\ud800" <= each <= "\udfff" for each in key)
    if isinstance(key, frozenset) and len(key) > 1:
        # In whichever order they were put in.
        return False
    if isinstance(key, (tuple, frozenset)):
        return all(map(_is_storable, key))
    return True


storable = samples.keys.filter(_is_storable)


@settings(max_examples=40)
@given(st.dictionaries(storable, samples.values, max_size=8), st.booleans())
def test_any_keys_and_values_come_along(tmp_path_factory, items, drop):
    folder = tmp_path_factory.mktemp("any")
    with diskcache.Cache(folder / "source", disk_min_file_size=50) as cache:
        kept = {}
        for key, value in items.items():
            # What it cannot store, nobody can migrate.
            with contextlib.suppress(UnicodeEncodeError):
                cache[key] = value
                kept[key] = value
        stored = [(key, cache[key]) for key in cache]
    result = migrate(folder / "source", folder / "destination", drop=drop)
    assert result["migrated"] + result["errors"] == len(stored)
    left = {where for where, _ in result["undecoded"]}
    found = everything(folder / "destination")
    expected = [pair for row, pair in enumerate(stored, 1) if f"row {row}" not in left]
    assert len(found) == len(expected)
    for (key, value), (other, wanted) in zip(found, expected, strict=True):
        # Large ones may be int or float.
        assert key == other
        assert same(value, wanted)
    if drop:
        with diskcache.Cache(folder / "source") as cache:
            assert len(cache) == len(left)
    shutil.rmtree(folder)


# -- interruptions, and others ----------------------------------------------------------------------------------------


def test_what_is_there_already_is_kept(source, destination):
    with diskcache.Cache(source) as cache:
        for number in range(2500):
            cache[number] = "old"
    with fastcache.Cache(destination) as cache:
        cache["other"] = 1
        cache[7] = "new"
    result = migrate(source, destination)
    assert (result["migrated"], result["skipped"], result["expired"]) == (2499, 1, 0)
    result = migrate(source, destination)
    assert (result["migrated"], result["skipped"]) == (0, 2500)
    found = dict(everything(destination))
    assert (found["other"], found[7], found[8], len(found)) == (1, "new", "old", 2501)


def test_only_what_is_the_same_in_the_destination_is_dropped(source, destination):
    with diskcache.Cache(source) as cache:
        for number in range(100):
            cache[number] = ["value", number]
    with fastcache.Cache(destination) as cache:
        cache[7] = "new"
        cache[8] = ["value", 8]
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["skipped"]) == (98, 2)
    with diskcache.Cache(source) as cache:
        assert list(cache) == [7]


def test_what_is_dropped_leaves_no_files_and_no_folders(source, destination):
    with diskcache.Cache(source) as cache:
        for number in range(50):
            cache[number] = b"x" * FILE
        cache["stays"] = Planted("nowhere"), "x" * FILE
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (50, 1)
    assert len(files(source)) == 1
    with diskcache.Cache(source) as cache:
        assert cache.check() == []
        assert (len(cache), list(cache)) == (1, ["stays"])
        assert cache.volume() < 50 * FILE


@pytest.mark.parametrize(
    ("drop", "where"), [(False, "destination"), (True, "destination"), (True, "rows"), (True, "files")]
)
@pytest.mark.parametrize("commits", [1, 4])
def test_a_migration_that_is_killed_loses_nothing_and_goes_on(tmp_path, start, drop, commits, where):
    source, destination = tmp_path / "source", tmp_path / "destination"
    expected = {number: b"x" * FILE if number % 10 == 0 else ["value", number] for number in range(400)}
    with diskcache.Cache(source) as cache:
        for key, value in expected.items():
            cache.set(key, value, expire=1000, tag="t")
    worker = start("migrate_until_killed", str(source), str(destination), {"drop": drop}, commits, where)
    assert worker.popen.wait() == -signal.SIGKILL
    with diskcache.Cache(source) as cache, fastcache.Cache(destination) as other:
        there, here = {key: cache[key] for key in cache}, dict(other)
    assert here
    assert here | there == expected
    if drop and where != "destination":
        assert len(there) == 400 - 50 * commits
    result = migrate(source, destination, drop=drop)
    assert result["errors"] == 0
    assert dict(everything(destination)) == expected
    if drop:
        with diskcache.Cache(source) as cache:
            assert len(cache) == 0
        # What lies around of a killed one, diskcache's own check removes.
        assert where != "destination" or files(source) == []


def test_a_migration_that_is_killed_anywhere_loses_nothing(source, destination, start):
    expected = {number: b"x" * FILE if number % 50 == 0 else ["value", number] for number in range(20_000)}
    with diskcache.Cache(source, cull_limit=0) as cache, cache.transact():
        for key, value in expected.items():
            cache.set(key, value)
    for run in range(6):
        worker = start("migrate", str(source), str(destination), {"drop": True})
        # It says so after each thousand.
        for _ in range(run):
            worker.hear()
        time.sleep(0.002 * run)
        worker.popen.kill()
        worker.popen.wait()
    with diskcache.Cache(source) as cache, fastcache.Cache(destination) as other:
        assert {**{key: cache[key] for key in cache}, **other} == expected
    migrate(source, destination, drop=True)
    assert dict(everything(destination)) == expected


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_while_others_write_to_the_source_all_is_whole_and_they_lose_nothing(source, destination, start, drop, mode):
    with diskcache.Cache(source, sqlite_journal_mode=mode):
        pass
    worker = start("set_in_source", str(source), 30)
    worker.hear()
    runs = []
    # The other one has to come to something, too.
    while len(runs) < 5 or not any(each["migrated"] for each in runs):
        result = migrate(source, destination, drop=drop)
        assert result["undecoded"] == []
        runs.append(result)
    worker.tell()
    last = worker.finish()
    with diskcache.Cache(source) as cache:
        left = {key: cache[key] for key in cache}
        assert cache.check() == []
    found = dict(everything(destination))
    if drop:
        # What was set in the last round is in one of the two.
        for key in range(30):
            times = 10_000 if key % 3 == 0 else 1
            assert json.dumps([key, last]) * times in (left.get(key), found.get(key))
    else:
        assert set(left) == set(range(30))
    for key, value in found.items():
        text = value[: value.index("]") + 1]
        assert json.loads(text)[0] == key
        assert value == text * (10_000 if key % 3 == 0 else 1)


def test_a_file_that_is_missing_is_told_and_nothing_else_is_lost(source, destination):
    with diskcache.Cache(source) as cache:
        cache["gone"] = b"x" * FILE
        cache["there"] = b"y" * FILE
        (name,) = cache._sql("SELECT filename FROM Cache WHERE key = 'gone'").fetchone()
    (source / name).unlink()
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (1, 1)
    assert result["undecoded"] == [("row 1", "the file of its value is missing")]


def test_a_source_that_nobody_can_write_to_is_read(source, destination, tmp_path):
    with diskcache.Cache(source) as cache:
        cache["k"] = [1]
    for path in (source / "cache.db", source):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert migrate(source, destination)["migrated"] == 1
    finally:
        source.chmod(0o700)


def test_what_another_has_in_its_log_is_read(source, destination):
    cache = diskcache.Cache(source)
    cache["k"] = [1]
    assert (source / "cache.db-wal").stat().st_size
    assert migrate(source, destination)["migrated"] == 1
    cache.close()


def test_a_source_that_is_locked_says_so(source, destination, monkeypatch):
    monkeypatch.setattr("fastcache.importers.source.PATIENCE_SECONDS", 0.1)
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
    with contextlib.closing(sqlite3.connect(source / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(fastcache.Timeout, match="locked"):
            migrate(source, destination, drop=True)
        other.execute("ROLLBACK")
    assert migrate(source, destination, drop=True)["skipped"] == 1
    with diskcache.Cache(source) as cache:
        assert len(cache) == 0


def test_a_damaged_source_is_told(source, destination):
    with diskcache.Cache(source) as cache:
        for number in range(5000):
            cache[number] = str(number) * 10
        cache._sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with open(source / "cache.db", "r+b") as database:
        database.seek(30_000)
        database.write(b"\xff" * 100_000)
    with pytest.raises(fastcache.CacheError):
        migrate(source, destination)


# -- trust ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["row", "file", "key", "shelve", "sqlitedict", "json"])
def planted(request, source, tmp_path):
    """A source with a pickle that makes the folder ``mark``, and one plain entry."""
    bad = Planted(tmp_path / "mark")
    if request.param == "shelve":
        with shelve.open(str(source)) as shelf:
            shelf["bad"], shelf["good"] = bad, 1
    elif request.param == "sqlitedict":
        with sqlitedict.SqliteDict(source, autocommit=True) as items:
            items["bad"], items["good"] = bad, 1
    else:
        with diskcache.Cache(source, disk_min_file_size=1 if request.param == "file" else 10_000) as cache:
            cache["good"] = 1
            if request.param == "key":
                cache[bad] = 1
            else:
                cache["bad"] = bad
    return source


def test_a_planted_pickle_runs_nothing(planted, destination, tmp_path):
    result = migrate(planted, destination)
    assert not (tmp_path / "mark").exists()
    assert (result["migrated"], result["errors"]) == (1, 1)
    assert "Untrusted" in result["undecoded"][0][1]
    assert everything(destination) == [("good", 1)]
    # Trusted, it is loaded as it was there.
    migrate(planted, tmp_path / "trusted", trust_source=True)
    assert (tmp_path / "mark").exists()


def test_what_is_left_in_the_source_can_be_migrated_later(source, destination, monkeypatch):
    with diskcache.Cache(source) as cache:
        cache["place"] = samples.Place("here", 1)
        cache["level"] = samples.Level.HIGH
        cache["counter"] = collections.Counter("aab")
        cache["point"] = samples.Point(1.0, 2.0)
        cache[samples.Place("key", 2)] = 1
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (0, 5)
    listed = [samples.Place, samples.Level, samples.Point]
    result = migrate(source, destination, drop=True, safe_types=listed)
    assert (result["migrated"], result["errors"]) == (4, 1)
    with fastcache.Cache(destination, safe_types=listed) as cache:
        assert cache["place"] == samples.Place("here", 1)
        assert cache["level"] is samples.Level.HIGH
        assert cache["point"] == samples.Point(1.0, 2.0)
        assert cache[samples.Place("key", 2)] == 1
    result = migrate(source, destination, drop=True, trust_source=True)
    assert (result["migrated"], result["errors"]) == (1, 0)
    with fastcache.Cache(destination) as cache:
        # Signed here.
        assert cache["counter"] == collections.Counter("aab")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "link", "folder/../../secret", "pipe", "folder", "", "a\0b"]
)
def test_a_value_file_outside_of_the_directory_is_not_read_or_removed(source, destination, tmp_path, name):
    (tmp_path / "secret").write_bytes(b"secret")
    with diskcache.Cache(source) as cache:
        cache["k"] = b"x" * FILE
        (source / "link").symlink_to(tmp_path / "secret")
        (source / "folder").mkdir()
        os.mkfifo(source / "pipe")
        cache._sql("UPDATE Cache SET filename = ?", (name,))
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (0, 1)
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert everything(destination) == []


@pytest.mark.parametrize("made", ["VIEW Cache AS SELECT * FROM Other", "VIRTUAL TABLE Cache USING fts4({columns})"])
def test_what_is_no_table_is_not_read(source, destination, made):
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
        cache._sql("ALTER TABLE Cache RENAME TO Other")
        columns = ", ".join(name for _, name, *_ in cache._sql("PRAGMA table_info(Other)") if name != "rowid")
        cache._sql(f"CREATE {made.format(columns=columns)}")
    with pytest.raises(fastcache.NotACacheError, match="it is a folder with"):
        migrate(source, destination)


def test_what_triggers_in_a_source_do_runs_nothing(source, destination):
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
        # Allowed in triggers only where the schema is trusted.
        cache._sql("CREATE TRIGGER t AFTER DELETE ON Cache BEGIN SELECT load_extension('/tmp/no'); END")
    with pytest.raises(fastcache.StorageError):
        migrate(source, destination, drop=True)
    with diskcache.Cache(source) as cache:
        assert list(cache) == ["k"]
    assert everything(destination) == [("k", 1)]


COMMANDS = [
    b"cos\nsystem\n(S'mkdir %s'\ntR.",
    b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08mkdir %s\x85R.",
    b"(S'mkdir %s'\nios\nsystem\n.",
    b"(cos\nsystem\nS'mkdir %s'\no.",
    b"cbuiltins\nbytearray\n(cos\nsystem\ntR.",
    b"cuuid\nUUID\n)\x81}S'__class__'\ncos\nsystem\nsb.",
    b"cbuiltins\ngetattr\n(cbuiltins\nset\nS'__init__'\ntR.",
    b"ccollections\ndefaultdict\n(cos\nsystem\ntR.",
    b"ccollections\nOrderedDict\n)R}S'__setstate__'\ncos\nsystem\nsb.",
    b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I9\ntcnumpy\ndtype\n(S'O8'\ntRI00\nS'x'\ntb.",
    b"cnumpy\ndtype\n(S'O8'\nI00\nI01\ntR(I3\nS'|'\nNNNI8\nI8\nI63\ntb.",
    b"\x82\x01.",
    b"\x80\x05\x97.",
    b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
    b"Pabc\n.",
    b"cbuiltins\nbytes\n(I1000000000000\ntR.",
    b"cbuiltins\nbytearray\n(I1000000000000\ntR.",
    b"cbuiltins\nlist\n(cbuiltins\nrange\n(I0\nI100000000000\nI1\ntRtR.",
    b"cbuiltins\nint\n.",
    b"(lcbuiltins\nint\na.",
    b"cbuiltins\nint\n\x85.",
    b"(lcbuiltins\nint\n\x85a.",
    b"cbuiltins\nint\n\x85\x85.",
    b"cuuid\nUUID\n)\x81.",
    b"(lcuuid\nUUID\n)\x81a.",
    b"cuuid\nUUID\n)\x81q\x00]h\x00a}S'int'\nI5\nsb.",
    b"(" + b"(" * 100_000 + b"t" * 100_000 + b"}t.",
    b"}" + b"(" * 100_000 + b"t" * 100_000 + b"Ns.",
    b"}(t" + b"2\x86" * 80 + b"Ns.",
    b"(t" + b"2\x86" * 18 + b"q\x00" + b"}h\x00K\x01s0" * 20_000 + b".",
    b"",
    b".",
    b"0.",
    b"\x80\x04K",
    b"}K\x01b.",
    b"(K\x01K\x02u.",
    b"\x80\x05K\x01K\x01\x87.",
]


@pytest.mark.parametrize("payload", COMMANDS)
def test_hostile_pickles_raise_and_run_nothing(tmp_path, payload, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
        Decoder().loads(payload.replace(b"%s", b"mark"))
    assert not (tmp_path / "mark").exists()


@settings(max_examples=300)
@given(st.data())
def test_mutated_pickles_raise_or_are_data(data):
    value = data.draw(st.sampled_from(PLAIN))
    payload = bytearray(pickle.dumps(value, data.draw(st.integers(0, 5))))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Decoder().loads(bytes(payload))
    except (fastcache.UntrustedValueError, fastcache.DecodeError, MemoryError):
        return
    # It may hold what nobody can store; it can be looked at.
    repr(found)


# -- plain data -------------------------------------------------------------------------------------------------------

PLAIN = [
    {"a": [1, (2.5, None, True)], "b": {b"x", "y"}, "c": frozenset([1]), "d": bytearray(b"z")},
    2**100,
    1 + 2j,
    range(1, 10, 3),
    slice(1, None),
    ...,
    collections.OrderedDict([("a", 1), ("b", [2])]),
    collections.deque([1, (2,)], 5),
    collections.defaultdict(list, {1: [2]}),
    collections.defaultdict(None, {1: 2}),
    pickle.loads(pickle.dumps([[1]] * 3)),
    numpy.arange(6).reshape(2, 3),
    numpy.asfortranarray(numpy.ones((3, 4), "f4")),
    numpy.arange(100)[::3],
    numpy.array(5),
    numpy.empty((0, 3)),
    numpy.array(["a", "bc"]),
    numpy.array([b"a", b"bc"]),
    numpy.array(["2026-11-29", "NaT"], "M8[D]"),
    numpy.array([5], "m8[25s]"),
    numpy.zeros(3, [("a", "i4"), ("b", ">f8", (2,))]),
    numpy.zeros(3, numpy.dtype([("a", "i1"), ("b", "f8")], align=True)),
    numpy.float64(2.5),
    numpy.bool_(True),
    numpy.dtype("f4"),
    [numpy.arange(3), numpy.arange(3)],
    [*[numpy.ones(3)] * 3],
]


def _more_plain():
    import datetime
    import decimal
    import fractions
    import pathlib
    import uuid

    moment = datetime.datetime(2026, 11, 29, 1, 2, 3, 4, fold=1)
    zone = datetime.timezone(datetime.timedelta(hours=2), "name")
    yield from (moment, moment.replace(tzinfo=zone), moment.date(), moment.time(), moment.timetz(), zone)
    yield from (
        datetime.timedelta(-1, 2, 3),
        decimal.Decimal("-1.50"),
        decimal.Decimal("NaN"),
        fractions.Fraction(1, 3),
    )
    yield from (uuid.UUID(int=5), pathlib.Path("/a/b"), pathlib.PurePosixPath("x"), pathlib.PureWindowsPath("c:\\x"))
    yield [moment.date()] * 3000
    yield [datetime.date(2000 + year, 1, 1) for year in range(3000)]


PLAIN += _more_plain()


def assert_same_plain(found, value):
    assert type(found) is type(value)
    if isinstance(value, numpy.ndarray):
        assert found.dtype == value.dtype
        assert found.flags.writeable
        numpy.testing.assert_array_equal(found, value)
    elif isinstance(value, list) and isinstance(value[0], numpy.ndarray):
        for one, other in zip(found, value, strict=True):
            assert_same_plain(one, other)
    else:
        # The order of a set is its own affair; what cannot be told by ==, such as a fold, its repr tells.
        assert repr(found) == repr(value) or ("{" in repr(value) and same(found, value))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("optimized", [False, True])
def test_plain_data_is_decoded_from_others_pickles(protocol, optimized):
    for value in PLAIN:
        payload = pickle.dumps(value, protocol)
        found = Decoder().loads(pickletools.optimize(payload) if optimized else payload)
        assert_same_plain(found, pickle.loads(payload))


def test_what_is_shared_in_a_pickle_stays_shared():
    array, inner = numpy.arange(3), [1]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found = Decoder().loads(pickle.dumps([array, array, inner, inner, collections.deque([inner])], protocol))
        assert found[0] is found[1]
        assert found[2] is found[3] is found[4][0]


# -- sciqlop-cache ----------------------------------------------------------------------------------------------------

ARRAYS = [
    numpy.arange(100_000.0),
    numpy.asfortranarray(numpy.arange(200_000, dtype="i4").reshape(2, -1)),
    numpy.arange(100_000).astype("M8[ns]"),
    numpy.zeros(1_000_000, "u1"),
    numpy.frombuffer(os.urandom(FILE * 8), "u8").copy(),
    numpy.arange(3).astype("m8[s]"),
]


@with_sciqlop_cache
def test_what_sciqlop_cache_holds_comes_along_and_is_dropped(source, destination):
    values = {key: value for key, value in VALUES.items() if key not in (2**70, float("inf"))}
    cache = pysciqlop_cache.Cache(str(source))
    for key, value in values.items():
        cache.set(key, value)
    cache.set("expires", [1], expire=1000, tag="t")
    cache.set("expired", [1], expire=1)
    cache.set("bad", Planted("nowhere"))
    time.sleep(2.1)
    result = migrate(source, destination, drop=True)
    assert (result["kind"], result["migrated"], result["errors"]) == ("sciqlop-cache", len(values) + 1, 1)
    # It may have removed that itself.
    assert result["expired"] <= 1
    found = dict(everything(destination))
    assert found.pop("expires") == [1]
    assert set(found) == set(values)
    for key, value in values.items():
        assert same(found[key], value)
    with fastcache.Cache(destination) as other:
        _, expire, tag = other.get("expires", expire_time=True, tag=True)
        assert tag == "t"
        assert time.time() + 900 < expire < time.time() + 1000
    left = set(cache)
    assert left - {"expired"} == {"bad"}
    del cache
    cache = pysciqlop_cache.Cache(str(source))
    assert set(cache) - {"expired"} == {"bad"}


@with_sciqlop_cache
@pytest.mark.parametrize("kind", ["Index", "FanoutCache", "FanoutIndex"])
def test_each_kind_of_sciqlop_cache_comes_along(source, destination, kind):
    cache = getattr(pysciqlop_cache, kind)(str(source))
    for number in range(3000):
        cache[f"k{number}"] = [number]
    cache["file"] = "x" * FILE
    del cache
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["errors"]) == (3001, 0)
    assert dict(everything(destination)) == {f"k{number}": [number] for number in range(3000)} | {"file": "x" * FILE}
    assert len(getattr(pysciqlop_cache, kind)(str(source))) == 0


@with_sciqlop_cache
@pytest.mark.parametrize("serializer", ["PickleSerializer", "PickleOOBSerializer", "MsgspecSerializer"])
def test_arrays_of_sciqlop_cache_come_along(source, destination, serializer):
    cache = pysciqlop_cache.Cache(str(source), serializer=getattr(pysciqlop_cache, serializer)())
    for number, array in enumerate(ARRAYS):
        cache[f"k{number}"] = {"array": array, "n": number}
    del cache
    result = migrate(source, destination)
    assert result["undecoded"] == []
    with fastcache.Cache(destination) as other:
        for number, array in enumerate(ARRAYS):
            found = other[f"k{number}"]
            assert found["n"] == number
            assert_same_plain(found["array"], array)


@with_sciqlop_cache
def test_objects_in_message_pack_are_left_where_they_are(source, destination):
    cache = pysciqlop_cache.Cache(str(source), serializer=pysciqlop_cache.MsgspecSerializer())
    cache["object"] = Planted("nowhere")
    cache["plain"] = [1, "a", None]
    del cache
    result = migrate(source, destination)
    assert (result["migrated"], result["errors"]) == (1, 1)
    assert "Untrusted" in result["undecoded"][0][1]


@with_sciqlop_cache
@pytest.mark.parametrize("serializer", ["PickleOOBSerializer", "MsgspecSerializer"])
@settings(max_examples=150)
@given(data=st.data())
def test_mutated_arrays_of_sciqlop_cache_raise_or_are_data(tmp_path_factory, serializer, data):
    serializer = getattr(pysciqlop_cache, serializer)()
    folder = tmp_path_factory.getbasetemp() / f"mutated {serializer.name}"
    if not folder.exists():
        pysciqlop_cache.Cache(str(folder), serializer=serializer)["k"] = 1
    payload = bytearray(serializer.dumps(ARRAYS[data.draw(st.integers(0, 3))]))
    for _ in range(data.draw(st.integers(1, 3))):
        payload[data.draw(st.integers(0, min(300, len(payload) - 1)))] = data.draw(st.integers(0, 255))
    allowed = contextlib.suppress(fastcache.UntrustedValueError, fastcache.DecodeError, MemoryError)
    with contextlib.closing(sciqlop_cache.open_source(str(folder), Decoder())) as opened, allowed:
        repr(opened.parts[0]._decode(bytes(payload)))


# -- shelve, dbm, sqlitedict ------------------------------------------------------------------------------------------


def test_a_shelf_comes_along(source, destination):
    values = {"a": 1, "é": None, "": [1, {"b": (2,)}], "large": "x" * FILE, "date": PLAIN[-1][:3]}
    with shelve.open(str(source)) as shelf:
        shelf.update(values)
    result = migrate(source, destination)
    assert (result["kind"], result["migrated"], result["errors"]) == ("shelve", 5, 0)
    assert dict(everything(destination)) == values


@pytest.mark.parametrize("suffix", ["", ".dat", ".dir"])
def test_a_database_of_dbm_comes_along_by_any_of_its_names(source, destination, suffix):
    with dbm.dumb.open(str(source), "c") as database:
        for number in range(20):
            database[b"k%d\xff" % number] = b"\x80v%d" % number
    result = migrate(f"{source}{suffix}", destination)
    assert (result["kind"], result["errors"]) == ("dbm", 0)
    assert everything(destination) == [(b"k%d\xff" % number, b"\x80v%d" % number) for number in range(20)]


def test_bytes_can_be_said_to_be_no_pickles(source, destination):
    with dbm.dumb.open(str(source), "c") as database:
        database["k"] = pickle.dumps(1)
    assert migrate(source, destination, kind="dbm")["migrated"] == 1
    assert everything(destination) == [(b"k", pickle.dumps(1))]


@pytest.mark.parametrize("kind", ["shelve", "sqlitedict"])
def test_of_files_what_is_committed_is_dropped_and_the_rest_stays(source, destination, kind):
    def opened():
        return shelve.open(str(source)) if kind == "shelve" else sqlitedict.SqliteDict(source, autocommit=True)

    with opened() as items:
        for number in range(30):
            items[str(number)] = [number]
        items["bad"] = Planted("nowhere")
    with fastcache.Cache(destination) as cache:
        cache["7"] = "new"
        cache["8"] = [8]
    result = migrate(source, destination, drop=True)
    assert (result["kind"], result["migrated"], result["skipped"], result["errors"]) == (kind, 28, 2, 1)
    with opened() as items:
        assert sorted(items.keys()) == ["7", "bad"]
    result = migrate(source, destination, drop=True)
    assert (result["migrated"], result["skipped"], result["errors"]) == (0, 1, 1)


def test_a_dict_of_sqlitedict_comes_along_in_its_order(source, destination):
    values = {"b": 1, "a": None, "é": [1, {"b": (2,)}], "": "x" * FILE, "array": PLAIN[-1][:3]}
    with sqlitedict.SqliteDict(source, autocommit=True) as items:
        for key, value in values.items():
            items[key] = value
    result = migrate(source, destination)
    assert (result["kind"], result["errors"]) == ("sqlitedict", 0)
    assert everything(destination) == list(values.items())


def test_of_several_tables_one_has_to_be_named(source, destination):
    for table in ("one", 'o"ther'):
        with sqlitedict.SqliteDict(source, tablename=table.replace('"', ""), autocommit=True) as items:
            items[table] = table
    with pytest.raises(fastcache.OpenError, match="'one', 'other'"):
        migrate(source, destination)
    with pytest.raises(fastcache.OpenError, match="no table 'no'"):
        migrate(source, destination, table="no")
    assert not destination.exists()
    assert migrate(source, destination, table="one")["migrated"] == 1
    assert everything(destination) == [("one", "one")]


def test_what_sqlitedict_was_given_an_encoding_for_is_told(source, destination):
    with sqlitedict.SqliteDict(source, autocommit=True, encode=json.dumps, decode=json.loads) as items:
        items["k"] = 1
    result = migrate(source, destination)
    assert (result["errors"], result["undecoded"][0][0]) == (1, "row 1")
    assert "encoding of its own" in result["undecoded"][0][1]


# -- the call and the command -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nothing", "empty", "text", "ours", "database", "folder"])
def test_what_is_no_source_is_named_and_no_destination_is_made(source, destination, kind):
    wanted = {
        "nothing": "there is nothing",
        "empty": "empty folder",
        "text": "file of another kind",
        "ours": "fastcache's already",
        "database": "an SQLite database with the tables 'People'",
        "folder": "folder with 'a.txt'",
    }[kind]
    if kind in ("empty", "folder"):
        source.mkdir()
    if kind == "folder":
        (source / "a.txt").write_text("a")
    if kind == "text":
        source.write_text("text")
    if kind == "ours":
        fastcache.Cache(source).close()
    if kind == "database":
        with contextlib.closing(sqlite3.connect(source)) as connection:
            connection.execute("CREATE TABLE People (name)")
    with pytest.raises(fastcache.NotACacheError, match=wanted):
        migrate(source, destination)
    assert not destination.exists()


def test_another_library_s_directory_is_no_destination(source, tmp_path):
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
    with diskcache.Cache(tmp_path / "other"):
        pass
    with pytest.raises(fastcache.OpenError):
        migrate(source, tmp_path / "other")
    with pytest.raises(ValueError, match="the destination is the source"):
        migrate(source, source)


@pytest.mark.parametrize(
    "options", [{"store_type": "deque"}, {"shards": 2}, {"kind": "other"}, {"kind": "dbm", "table": "t"}]
)
def test_arguments_are_checked(source, destination, options):
    with diskcache.Cache(source):
        pass
    with pytest.raises(ValueError):  # noqa: PT011 - each has a message of its own
        migrate(source, destination, **options)
    assert not destination.exists()


def test_progress_is_told(source, destination):
    with diskcache.Cache(source) as cache:
        for number in range(2500):
            cache[number] = number
    said = []
    migrate(source, destination, progress=lambda *numbers: said.append(numbers))
    assert said == [(1000, 2500), (2000, 2500), (2500, 2500)]
    said.clear()
    migrate(source, destination, progress=lambda *numbers: said.append(numbers))
    assert said[-1] == (2500, 2500)
    assert len(said) == 3


def test_a_python_without_sqlite3_has_all_the_other_commands(source, destination, tmp_path):
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
    fastcache.Cache(tmp_path / "ours").close()
    program = """
import sys
sys.modules["sqlite3"] = None
from fastcache.tools.cli import main
print(main(sys.argv[1:]))
"""
    for arguments, code, said in (
        (["info", tmp_path / "ours"], "0", ""),
        (["migrate", source, destination], "2", "no module sqlite3"),
    ):
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == code
        assert said in done.stderr


def test_what_cannot_be_migrated_is_listed_up_to_a_limit_and_tells_no_content(source, destination, capsys):
    with diskcache.Cache(source) as cache:
        for number in range(150):
            cache[f"the key {number}"] = Planted("the payload")
        cache["good"] = 1
    assert main(["migrate", str(source), str(destination)]) == 1
    out, complaints = capsys.readouterr()
    assert "1 entries were migrated" in out
    assert "150 could not be" in out
    assert complaints.count("stays in the source") == 100
    assert "and 50 more" in complaints
    assert "payload" not in complaints
    assert "the key" not in complaints


def test_the_command_takes_what_the_call_takes(source, destination, capsys):
    with diskcache.Cache(source) as cache:
        cache["level"] = samples.Level.HIGH
        cache["k"] = 1
    listed = [f"{samples.__name__}:Level", "decimal:Decimal"]
    arguments = [
        "--safe-types",
        ",".join(listed),
        str(source),
        str(destination),
        "--type",
        "fanout",
        "--shards",
        "2",
        "--drop",
        "--progress",
    ]
    assert main(["migrate", *arguments]) == 0
    assert "2 of 2 entries" in capsys.readouterr().err
    with fastcache.FanoutCache(destination, shards=2, safe_types=[samples.Level]) as cache:
        assert dict(cache) == {"level": samples.Level.HIGH, "k": 1}
    with diskcache.Cache(source) as cache:
        assert len(cache) == 0
    for wrong in ("decimal", "decimal:nothing", "no.such.module:x", "os:mkdir"):
        assert main(["migrate", *arguments, "--safe-types", wrong]) == 2
    assert main(["migrate", str(source / "no"), str(destination)]) == 2


def test_the_module_is_a_command_too(source, destination):
    with diskcache.Cache(source) as cache:
        cache["k"] = 1
    command = [sys.executable, "-m", "fastcache.migrate", source, destination]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1 entries were migrated" in done.stdout
    # Runpy has nothing to complain about.
    assert done.stderr == ""


@pytest.mark.parametrize("missing", [(), ("tqdm",), ("tqdm", "rich.progress")])
def test_a_terminal_gets_a_bar_if_there_is_one(monkeypatch, capsys, missing):
    def load(name, given=migrating.load):
        if name in missing:
            raise ImportError(name)
        return given(name)

    monkeypatch.setattr(migrating, "load", load)
    bar = migrating._Bar(True)
    for done in (1, 2, 3):
        bar.show(done, 3)
    bar.close()
    shown = capsys.readouterr().err
    assert any(end in shown for end in ("3/3", "100%", "3 of 3"))
