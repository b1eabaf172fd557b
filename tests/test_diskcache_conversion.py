"""A directory of diskcache's is refused, or converted when it is opened; nothing is lost, whoever dies meanwhile."""

import logging
import os
import shutil
import signal

import diskcache as theirs
import pytest

import fastcache
from fastcache import diskcache as ours

KINDS = ("Cache", "FanoutCache")


class Stranger:
    """What is neither plain data nor signed."""


def fill(kind, directory, more=()):
    """Make a directory of diskcache's; returns what is in it."""
    entries = {
        "text": 1,
        b"bytes": "é",
        7: None,
        0.5: [1, {"a": (2,)}],
        ("a", 1, None): b"x" * 100_000,
        None: 2**80,
        True: "yes",
    }
    entries.update(more)
    with getattr(theirs, kind)(str(directory)) as cache:
        for key, value in entries.items():
            cache[key] = value
    return sorted([repr(key), repr(value)] for key, value in entries.items())


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_with_a_word_on_how_to_go_on(tmp_path, kind):
    expected = fill(kind, tmp_path / "c")
    with pytest.raises(fastcache.NotACacheError, match="migrate='on-open'"):
        getattr(ours, kind)(tmp_path / "c")
    with getattr(theirs, kind)(str(tmp_path / "c")) as cache:
        assert sorted([repr(key), repr(cache[key])] for key in cache) == expected


def test_another_program_s_database_is_refused_whatever_is_asked_for(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cache.db").write_bytes(b"no database" * 1000)
    with pytest.raises(fastcache.NotACacheError):
        ours.Cache(tmp_path / "c", migrate="on-open")
    assert os.listdir(tmp_path) == ["c"]


@pytest.mark.parametrize("kind", KINDS)
def test_on_open_it_is_converted_and_what_was_there_is_kept(tmp_path, kind):
    expected = fill(kind, tmp_path / "c")
    with getattr(ours, kind)(tmp_path / "c", migrate="on-open") as cache:
        assert sorted([repr(key), repr(cache[key])] for key in cache) == expected
        assert cache.check() == []
        cache["new"] = 1
    with getattr(ours, kind)(tmp_path / "c") as cache:
        assert cache["new"] == 1
    with getattr(theirs, kind)(str(tmp_path / "c.diskcache")) as cache:
        assert sorted([repr(key), repr(cache[key])] for key in cache) == expected


def test_lifetimes_and_tags_and_the_order_come_along(tmp_path):
    with theirs.Cache(str(tmp_path / "c")) as cache:
        cache.set("b", 1, expire=1000, tag="t")
        cache.set("a", 2)
        cache.set("gone", 3, expire=1e-9)
        _, expires = cache.get("b", expire_time=True)
    with ours.Cache(tmp_path / "c", migrate="on-open") as cache:
        value, found, tag = cache.get("b", expire_time=True, tag=True)
        assert (value, tag) == (1, "t")
        assert abs(found - expires) < 60
        assert list(cache) == ["b", "a"]


def test_what_lies_inside_of_a_fanout_cache_comes_along_and_is_converted_in_its_turn(tmp_path):
    with theirs.FanoutCache(str(tmp_path / "c")) as cache:
        cache["k"] = 1
        cache.cache("some/where")["x"] = 1
        cache.deque("q").extend("abc")
        cache.index("i").update(y=2)
    with ours.FanoutCache(tmp_path / "c", migrate="on-open") as cache:
        assert cache["k"] == 1
        assert cache.cache("some/where")["x"] == 1
        assert list(cache.deque("q")) == ["a", "b", "c"]
        assert dict(cache.index("i")) == {"y": 2}


def test_a_json_disk_stays_one(tmp_path):
    with theirs.Cache(str(tmp_path / "c"), disk=theirs.JSONDisk) as cache:
        cache["k"] = {"v": [1, 2]}
    with ours.Cache(tmp_path / "c", disk=ours.JSONDisk, migrate="on-open") as cache:
        assert (list(cache), cache["k"]) == (["k"], {"v": [1, 2]})


def test_what_is_not_trusted_is_not_converted_and_nothing_is_changed(tmp_path):
    expected = fill("Cache", tmp_path / "c", {"strange": Stranger})
    with pytest.raises(fastcache.StorageError, match="1 entries can be decoded only if they are trusted"):
        ours.Cache(tmp_path / "c", migrate="on-open")
    with theirs.Cache(str(tmp_path / "c")) as cache:
        assert sorted([repr(key), repr(cache[key])] for key in cache) == expected
    with ours.Cache(tmp_path / "c", migrate="on-open", unsafe=True) as cache:
        assert cache["strange"] is Stranger


def test_an_older_copy_in_the_way_is_not_overwritten(tmp_path):
    fill("Cache", tmp_path / "c")
    (tmp_path / "c.diskcache").mkdir()
    with pytest.raises(fastcache.OpenError, match="in the way"):
        ours.Cache(tmp_path / "c", migrate="on-open")
    assert theirs.Cache(str(tmp_path / "c"))["text"] == 1
    (tmp_path / "c.diskcache").rmdir()
    assert ours.Cache(tmp_path / "c", migrate="on-open")["text"] == 1


def test_a_word_other_than_on_open_is_refused(tmp_path):
    fill("Cache", tmp_path / "c")
    with pytest.raises(ValueError, match="on-open"):
        ours.Cache(tmp_path / "c", migrate="yes")
    with pytest.raises(ValueError, match="on-open"):
        ours.install(migrate="yes")


def test_it_is_told_what_was_converted(tmp_path, caplog):
    fill("Cache", tmp_path / "c")
    with caplog.at_level(logging.INFO, "fastcache"):
        ours.Cache(tmp_path / "c", migrate="on-open").close()
    assert "c.diskcache" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_of_several_processes_that_open_it_one_converts(tmp_path, start, kind):
    expected = fill(kind, tmp_path / "c", {("number", number): number for number in range(300)})
    others = [start("convert", kind, str(tmp_path / "c")) for _ in range(4)]
    assert [other.finish() for other in others] == [expected] * 4
    assert sorted(os.listdir(tmp_path)) == ["c", "c.diskcache", "c.fastcache-lock"]


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_killed_leaves_it_to_the_next_one(tmp_path, start, kind):
    expected = fill(kind, tmp_path / "original")
    killed = 0
    while True:
        shutil.copytree(tmp_path / "original", tmp_path / "c")
        process = start("convert_until_killed", kind, str(tmp_path / "c"), killed + 1)
        process.popen.communicate()
        if process.popen.returncode != -signal.SIGKILL:
            assert process.popen.returncode == 0
            break
        killed += 1
        assert start("convert", kind, str(tmp_path / "c")).finish() == expected
        for name in os.listdir(tmp_path):
            if name.startswith("c"):
                found = tmp_path / name
                shutil.rmtree(found) if found.is_dir() else found.unlink()
    # Making the new one, both renames, and the mark between.
    assert killed >= 4
