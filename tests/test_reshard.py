"""A cache gets another number of shards: everything comes along, and nothing that happens meanwhile loses any of it."""

import contextlib
import decimal
import itertools
import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastcache
from fastcache.engine.sqlite import sql
from fastcache.migrate import open_cache, reshard
from fastcache.tools import reshard as reshard_module
from fastcache.tools.cli import main

from . import samples
from .contract.batch import wait_until
from .contract.store import value_files
from .samples import same

COUNTS = (1, 2, 3, 8)
FILE = 100_000
VALUES = {
    "text": "text",
    "é日😀": "",
    b"bytes": b"\x00\xff",
    7: 2**80,
    2**70: -0.0,
    0.5: [1, {"a": (2, None)}],
    None: None,
    ("a", (1, b"b")): frozenset([1]),
    frozenset([1, "a"]): True,
    decimal.Decimal("1.1"): decimal.Decimal("2.2"),
    (decimal.Decimal(3), "in a file"): b"file" * FILE,
    "text in a file": "é" * FILE,
    "list in a file": ["x" * FILE, 1],
    "": 0,
}
TAGS = ("text", b"bytes", 2**62, 0.5, None)


def make(directory, shards, **options):
    """Make a cache of so many shards."""
    return (
        fastcache.Cache(directory, **options)
        if shards == 1
        else fastcache.FanoutCache(directory, shards=shards, **options)
    )


def test_what_somebody_appends_before_the_databases_are_kept_comes_along(start, tmp_path, monkeypatch):
    """Who opens it then, and is killed, has what it has set in the journal alone."""
    directory = tmp_path / "cache"
    make(directory, 4).close()
    kept = reshard_module._Resharding
    expected = {}

    def append_before(*arguments):
        if len(expected) < 80:
            worker = start("set_and_be_killed", str(directory), 4, len(expected), 40)
            assert worker.popen.wait(40) == -signal.SIGKILL
            expected.update((f"key {number}", number) for number in range(len(expected), len(expected) + 40))
        return kept(*arguments)

    monkeypatch.setattr(reshard_module, "_Resharding", append_before)
    reshard(directory, 2)
    with make(directory, 2) as cache:
        assert dict(cache.items()) == expected
        assert cache.check()


def folders(directory):
    """What holds a database of the cache."""
    return sorted(path.parent.name for path in directory.glob("shard-*/cache.db"))


def settle(cache):
    """Have what is in the trash of each shard unlinked: a write wakes who does that."""
    cache.set_many((("to be deleted", number), b"x" * FILE) for number in range(50))
    cache.delete_many(("to be deleted", number) for number in range(50))
    wait_until(lambda: all(store.connect().query(sql.TRASH_BYTES) == [(0,)] for store in cache.stores.all()))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.mark.parametrize(("before", "after"), [*itertools.product(COUNTS, COUNTS)])
def test_everything_comes_along(directory, before, after):
    with make(directory, before) as cache:
        assert cache.set_many(VALUES) == len(VALUES)
        for number in range(2000):
            cache.set(("n", number), number, expire=1000 + number if number % 3 else None, tag=number % 5)
        for tag in TAGS:
            cache.set(("tagged", tag), 1, expire=1000, tag=tag)
            cache.set(("tagged, in a file", tag), b"x" * FILE, expire=1000, tag=tag)
        cache.set("of old", b"x" * FILE, expire=-1)
        extras = {key: cache.get(key, expire_time=True, tag=True) for key in cache}
    moved = reshard(directory, after)
    assert (moved > 0) == (before != after)
    with make(directory, after) as cache:
        assert len(cache) == len(extras) == 2000 + len(VALUES) + 2 * len(TAGS)
        assert cache == {key: value for key, (value, _, _) in extras.items()}
        for key, value in VALUES.items():
            assert same(cache[key], value)
        for key, expected in extras.items():
            assert cache.get(key, expire_time=True, tag=True) == expected
        assert cache.evict_tag(3) == 400
        assert cache.check(), cache.check()
    assert len(folders(directory)) == after - 1


def test_there_and_back_again(directory):
    """A file comes back to where it has gone from, and where its name is still in the trash."""
    with make(directory, 1) as cache:
        cache.set_many((number, b"x" * FILE) for number in range(50))
    for shards in (2, 1, 8, 3, 1, 2, 1):
        assert reshard(directory, shards) > 0
    with make(directory, 1) as cache:
        settle(cache)
        assert cache == dict.fromkeys(range(50), b"x" * FILE)
        assert cache.check(), cache.check()
        assert len(value_files(directory)) == 50


def test_one_that_is_empty(directory):
    for before, after in itertools.pairwise((1, 8, 3, 1)):
        make(directory, before).close()
        assert reshard(directory, after) == 0
        with make(directory, after) as cache:
            assert len(cache) == 0
            assert cache.check()


def test_an_index_is_one_afterwards_too(directory):
    with fastcache.Index(directory, VALUES):
        pass
    reshard(directory, 3)
    with fastcache.FanoutIndex(directory, shards=3) as index:
        assert index == VALUES
    reshard(directory, 1)
    with fastcache.Index(directory) as index:
        assert index == VALUES
        assert index.check()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(samples.keys, samples.values, max_size=30), st.lists(st.sampled_from(COUNTS), max_size=3))
def test_any_mapping_stays_the_same(tmp_path_factory, mapping, counts):
    directory = tmp_path_factory.mktemp("any") / "cache"
    with make(directory, 1) as cache:
        cache.update(mapping)
        expected = dict(cache)
    for shards in counts:
        reshard(directory, shards)
        with make(directory, shards) as cache:
            assert cache.keys() == expected.keys()
            assert all(same(cache[key], value) for key, value in expected.items())
            assert cache.check()


def test_what_is_limited_stays_limited(directory):
    with make(directory, 1, max_size=3_000_001, eviction="fifo") as cache:
        cache.set_many((number, bytes(1000)) for number in range(500))
    reshard(directory, 4)
    with make(directory, 4) as cache:
        assert (cache.max_size, cache.eviction) == (3_000_001, "fifo")
        assert len(cache) == 500
        for number in range(500, 6000):
            cache[number] = bytes(1000)
        assert cache.volume() <= 3_000_001
        assert cache.stats().evictions > 0
    reshard(directory, 1)
    with make(directory, 1) as cache:
        assert cache.max_size == 3_000_001
        cache.evict()
        assert cache.volume() <= 3_000_001
        assert cache.check()


def test_a_limit_that_leaves_little_for_each_is_kept_as_well_as_it_can_be(directory):
    with make(directory, 2, max_size=400_000) as cache:
        cache["a"] = 1
    reshard(directory, 8)
    with make(directory, 8) as cache:
        assert cache == {"a": 1}
        assert cache.max_size == 400_000
        cache.set_many((number, bytes(1000)) for number in range(3000))
        assert cache.volume() <= 8 * 131_072


@pytest.mark.parametrize("wrong", [0, -1, 1001])
def test_a_number_that_makes_no_sense_is_refused(directory, wrong, capsys):
    make(directory, 2).close()
    with pytest.raises(ValueError, match="between 1 and 1000"):
        reshard(directory, wrong)
    assert main(["reshard", str(directory), "--", str(wrong)]) == 2
    assert "between 1 and 1000" in capsys.readouterr().err
    for kind in (True, 2.0, "2", None):
        with pytest.raises(TypeError):
            reshard(directory, kind)
    make(directory, 2).close()


def test_where_there_is_no_cache_it_makes_none(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(fastcache.NotACacheError):
            reshard(path, 2)
        assert main(["reshard", str(path), "2"]) == 2
    assert list(tmp_path.iterdir()) == []


def test_another_serializer_is_refused(directory):
    with make(directory, 1, serializer=fastcache.MsgspecSerializer()) as cache:
        cache.update({"a": [1], ("t", 1): {"b": 2}})
    with pytest.raises(fastcache.FormatError, match="msgspec"):
        reshard(directory, 3)
    assert main(["reshard", str(directory), "3"]) == 2
    assert reshard(directory, 3, serializer=fastcache.MsgspecSerializer()) > 0
    with make(directory, 3, serializer=fastcache.MsgspecSerializer()) as cache:
        assert cache == {"a": [1], ("t", 1): {"b": 2}}


@pytest.mark.parametrize("before", [1, 3])
def test_while_somebody_has_it_open_it_is_refused(directory, start, before, capsys):
    with make(directory, before) as cache:
        cache.set_many((number, number) for number in range(100))
        with pytest.raises(fastcache.Timeout, match="close it in all programs"):
            reshard(directory, 2, timeout=0.1)
        assert cache[1] == 1
    other = start("hold_open", str(directory), before)
    assert other.hear() == "open"
    with pytest.raises(fastcache.Timeout, match="close it in all programs"):
        reshard(directory, 2, timeout=0.1)
    assert main(["reshard", str(directory), "2", "--timeout", "0.1"]) == 1
    assert "close it in all programs" in capsys.readouterr().err
    other.tell()
    other.finish()
    with make(directory, before) as cache:
        assert len(cache) == 100
    assert reshard(directory, 2) > 0


def test_the_command_says_what_it_did(directory, capsys):
    with make(directory, 1) as cache:
        cache.set_many((number, number) for number in range(100))
    assert main(["reshard", str(directory), "4"]) == 0
    assert "entries were moved; there are 4 shards" in capsys.readouterr().out
    assert main(["reshard", str(directory), "4"]) == 0
    assert "0 entries were moved" in capsys.readouterr().out
    with open_cache(directory) as cache:
        assert type(cache) is fastcache.FanoutCache
        assert cache.shards == 4
        assert len(cache) == 100


def test_the_other_commands_know_shards(directory, capsys):
    with make(directory, 4) as cache:
        cache.set_many((number, number) for number in range(100))
        cache["file"] = b"x" * FILE
    assert main(["info", str(directory)]) == 0
    shown = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (shown["shards"], shown["entries"]) == ("4", "101")
    assert main(["check", str(directory)]) == 0
    (file,) = (path for folder in (directory, *directory.glob("shard-*")) for path in value_files(folder))
    file.unlink()
    assert main(["check", str(directory)]) == 1
    assert "dangling row" in capsys.readouterr().out
    assert main(["check", str(directory), "--fix"]) == 1
    assert main(["check", str(directory)]) == 0
    unsafe = fastcache.PickleSerializer(unsafe=True)
    with make(directory, 4, serializer=unsafe) as cache:
        cache.set_many((("unsigned", number), samples.Place("here", number)) for number in range(50))
        cache.set_many((("large", number), [samples.Place("here", number), "x" * FILE]) for number in range(20))
    assert main(["sign", str(directory)]) == 0
    assert "70 entries were signed" in capsys.readouterr().out
    with make(directory, 4) as cache:
        assert cache["unsigned", 7] == samples.Place("here", 7)
        assert all(cache["large", number][0] == samples.Place("here", number) for number in range(20))
        assert len(cache) == 170


# killed


def start_command(directory, shards):
    """Start the command, and wait until it has written to the first database, or is over."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcache", "reshard", str(directory), str(shards)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            if (directory / "cache.db-wal").stat().st_size:
                break
        time.sleep(0.001)
    return process


def test_killed_at_any_moment_it_goes_on_where_it_was(directory):
    chance = random.Random(3)
    expected = {number: number * number for number in range(4000)}
    expected.update({("file", number): bytes([number]) * FILE for number in range(120)})
    with make(directory, 1) as cache:
        cache.set_many(expected)
    stored, refused, kills = 1, 0, 0
    targets = itertools.cycle((8, 3, 1, 2))
    while kills < 14 or refused < 5:
        shards = next(targets)
        for _ in range(3):
            process = start_command(directory, shards)
            time.sleep(chance.random() ** 2 * 0.3)
            process.send_signal(signal.SIGKILL)
            _, complaint = process.communicate()
            assert process.returncode in (0, -signal.SIGKILL), complaint
            kills += process.returncode != 0
            complaint = None
            try:
                with open_cache(directory) as cache:
                    assert len(cache) == len(expected)
                    stored = cache.stores.count
                    assert stored in (1, 8, 3, 2)
            except fastcache.FormatError as error:
                refused += 1
                complaint = str(error)
            if complaint is not None:
                assert f"fastcache reshard {directory} {shards}" in complaint
                for count in (stored, shards):
                    with pytest.raises(fastcache.FormatError, match=f"fastcache reshard .* {shards}"):
                        make(directory, count)
        assert main(["reshard", str(directory), str(shards)]) == 0
        with make(directory, shards) as cache:
            assert sorted(map(repr, cache)) == sorted(map(repr, expected))
            settle(cache)
            assert cache == expected
            found = cache.check(fix=True)
            # A file that had been linked before its row was there may be left.
            assert found.dangling_rows == found.size_mismatches == 0, found
            assert found.counters_consistent, found
            assert cache.check(), cache.check()
        assert kills < 200


def test_another_number_may_be_asked_for_after_an_interruption(directory):
    expected = {number: bytes([number % 256]) * (FILE if number % 20 == 0 else 10) for number in range(3000)}
    with make(directory, 2) as cache:
        cache.set_many(expected)
    for shards in (8, 3, 1, 5):
        process = start_command(directory, shards)
        time.sleep(0.02)
        process.kill()
        process.communicate()
    assert main(["reshard", str(directory), "3"]) == 0
    with make(directory, 3) as cache:
        settle(cache)
        assert cache == expected
        assert len(list(cache)) == len(expected)
        cache.check(fix=True)
        assert cache.check()
    assert len(folders(directory)) == 2
