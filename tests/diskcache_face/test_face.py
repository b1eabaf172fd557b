"""What is the face's alone: to be found as diskcache, to trust only what it has signed, and to say what it is not."""

import json
import sqlite3

import pytest

import fastcache
from fastcache import diskcache

from . import ORIGINAL

MODULES = ["", ".core", ".fanout", ".persistent", ".recipes", ".djangocache"]

INSTALLS = """\
import importlib.util
import json
import sys
import fastcache.diskcache
fastcache.diskcache.install()
found = {}
for name in json.loads(sys.argv[1]):
    found[name] = importlib.util.find_spec("diskcache" + name) is not None
import diskcache
from diskcache import Cache, core
from diskcache.core import ENOVAL
from diskcache.persistent import Deque
from diskcache.recipes import Lock
import diskcache.fanout
assert diskcache.fanout.FanoutCache is diskcache.FanoutCache is fastcache.diskcache.FanoutCache
assert Cache is core.Cache is fastcache.diskcache.Cache
assert ENOVAL is diskcache.ENOVAL
assert Deque is diskcache.Deque
assert Lock is diskcache.Lock
assert sys.modules["diskcache"].__spec__ is not None
fastcache.diskcache.install()
import diskcache as again
assert again is diskcache
print(json.dumps(found))
"""
WRITES = """\
import os
import pathlib
import sys
os.environ["FASTCACHE_SECRET"] = "the secret of somebody else"
from fastcache import diskcache


class Planted:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(sys.argv[2]),)


with diskcache.Cache(sys.argv[1]) as cache:
    cache["key"] = Planted()
    cache["plain"] = [1, "a"]
print("0")
"""


@pytest.fixture
def cache(directory):
    with diskcache.Cache(directory) as cache:
        yield cache


@pytest.fixture
def theirs(directory):
    """A directory of diskcache's."""
    original = pytest.importorskip(ORIGINAL)
    with original.Cache(directory) as cache:
        cache["key"] = "value"
        cache["large"] = b"x" * 200_000
        cache.set("tagged", (1, 2), tag="red", expire=1000)
    return directory


def test_it_is_found_as_diskcache(start_file):
    found = start_file("installs", INSTALLS, json.dumps(MODULES)).finish()
    assert found == dict.fromkeys(MODULES, True)


def test_it_runs_no_sql(cache):
    for name in ("_sql", "_con"):
        with pytest.raises(Exception, match=r"(?i)sql"):
            getattr(cache, name)
    with pytest.raises(Exception, match=r"(?i)sql"):
        cache._sql("SELECT 1")


def test_what_another_has_signed_is_not_loaded(directory, tmp_path, start_file):
    planted = tmp_path / "planted"
    start_file("writes", WRITES, directory, str(planted)).finish()
    with diskcache.Cache(directory) as cache:
        with pytest.raises(fastcache.UntrustedValueError):
            cache["key"]
        with pytest.raises(fastcache.UntrustedValueError):
            cache.pop("key")
        assert cache["plain"] == [1, "a"]
    assert not planted.exists()


def test_a_directory_of_diskcache_says_how_to_migrate(theirs):
    with pytest.raises(Exception, match="migrate"):
        diskcache.Cache(theirs)
    with pytest.importorskip(ORIGINAL).Cache(theirs) as cache:
        assert cache["key"] == "value"


def test_a_directory_of_diskcache_is_migrated_when_that_is_wanted(theirs):
    with diskcache.Cache(theirs, migrate="on-open") as cache:
        assert cache["key"] == "value"
        assert cache["large"] == b"x" * 200_000
        assert cache.get("tagged", tag=True) == ((1, 2), "red")
        assert list(cache) == ["key", "large", "tagged"]
    with diskcache.Cache(theirs) as again:
        assert again["key"] == "value"


def test_errors_are_those_that_programs_catch(theirs):
    assert issubclass(diskcache.Timeout, fastcache.Timeout)
    for error in (fastcache.OpenError, fastcache.StorageError, fastcache.ReadOnlyError):
        assert issubclass(error, sqlite3.OperationalError)
    with pytest.raises(sqlite3.OperationalError):
        diskcache.Cache(theirs)
    assert issubclass(fastcache.CorruptError, sqlite3.DatabaseError)


def test_what_is_there_can_be_loaded_whatever_it_is(directory, tmp_path, start_file):
    planted = tmp_path / "planted"
    start_file("writes", WRITES, directory, str(planted)).finish()
    with diskcache.Cache(directory, unsafe=True) as cache:
        assert cache["key"] is None
    assert planted.exists()
