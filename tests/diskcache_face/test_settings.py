"""Opening a cache: arguments, settings, directories, pickles; what it does when it was closed."""

import os
import pathlib
import pickle
import shutil
import sqlite3
import tempfile

import pytest

DEFAULTS = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "least-recently-stored",
    "size_limit": 2**30,
    "cull_limit": 10,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 2**13,
    "sqlite_journal_mode": "wal",
    "sqlite_mmap_size": 2**26,
    "sqlite_synchronous": 1,
    "disk_min_file_size": 2**15,
    "disk_pickle_protocol": pickle.HIGHEST_PROTOCOL,
}
CHOSEN = [
    ("statistics", 1),
    ("tag_index", 1),
    ("eviction_policy", "none"),
    ("eviction_policy", "least-recently-used"),
    ("eviction_policy", "least-frequently-used"),
    ("size_limit", 4_000_000_000),
    ("size_limit", 0),
    ("cull_limit", 0),
    ("cull_limit", 3),
    ("sqlite_cache_size", 100),
    ("sqlite_mmap_size", 0),
    ("sqlite_synchronous", 2),
    ("disk_min_file_size", 0),
    ("disk_pickle_protocol", 2),
]


def test_the_defaults(library):
    assert library.DEFAULT_SETTINGS == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_is_an_attribute(cache, name):
    assert getattr(cache, name) == DEFAULTS[name]


@pytest.mark.parametrize(("name", "value"), CHOSEN)
def test_a_setting_can_be_given_and_is_kept(library, directory, name, value):
    with library.Cache(directory, **{name: value}) as cache:
        assert getattr(cache, name) == value
    with library.Cache(directory) as again:
        assert getattr(again, name) == value


@pytest.mark.parametrize(("name", "value"), CHOSEN)
def test_a_setting_can_be_reset_and_is_kept(library, cache, directory, name, value):
    assert cache.reset(name, value) == value
    assert getattr(cache, name) == value
    with library.Cache(directory) as again:
        assert getattr(again, name) == value


def test_what_is_given_wins_over_what_is_kept(library, directory):
    library.Cache(directory, cull_limit=3).close()
    library.Cache(directory, cull_limit=4).close()
    with library.Cache(directory) as cache:
        assert cache.cull_limit == 4


def test_reset_without_a_value_reads_what_is_kept(library, cache, directory):
    with library.Cache(directory) as other:
        other.reset("cull_limit", 7)
    assert cache.reset("cull_limit") == 7
    assert cache.cull_limit == 7


def test_reset_can_leave_what_is_kept(library, cache, directory):
    assert cache.reset("cull_limit", 7, update=False) == 7
    assert cache.cull_limit == 7
    assert cache.reset("cull_limit") == 10


def test_a_setting_of_the_disk_is_its_attribute(cache):
    assert cache.disk.min_file_size == 2**15
    cache.reset("disk_min_file_size", 17)
    assert cache.disk.min_file_size == 17


def test_an_unknown_setting_is_kept(library, directory):
    with library.Cache(directory, colour="blue") as cache:
        assert cache.colour == "blue"
    with library.Cache(directory) as again:
        assert again.colour == "blue"


def test_an_unknown_setting_of_the_disk_is_an_error(library, directory):
    with pytest.raises(TypeError):
        library.Cache(directory, disk_colour="blue")


def test_an_unknown_policy_is_an_error(library, directory):
    with pytest.raises((KeyError, ValueError)):
        library.Cache(directory, eviction_policy="whatever")


@pytest.mark.parametrize(("name", "value"), [("count", 3), ("hits", 0), ("misses", 0)])
def test_what_is_counted_can_be_read_like_a_setting(cache, name, value):
    for key in range(3):
        cache[key] = key
    assert cache.reset(name) == value
    assert getattr(cache, name) == value


def test_arguments_by_position(library, directory):
    with library.Cache(directory, 7, library.JSONDisk) as cache:
        assert cache.directory == directory
        assert cache.timeout == 7
        assert type(cache.disk) is library.JSONDisk


def test_what_it_is_made_with(library, cache, directory):
    assert cache.directory == directory
    assert cache.timeout == 60
    assert type(cache.disk) is library.Disk


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_directory_is_made_with_its_parents(library, tmp_path, kind):
    path = tmp_path / "one" / "two"
    with library.Cache(kind(path)) as cache:
        assert cache.directory == str(path)
    assert path.is_dir()


def test_home_and_variables_are_expanded(library, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SOMEWHERE", str(tmp_path))
    for given in ("~/cache", "$SOMEWHERE/cache"):
        with library.Cache(given) as cache:
            assert cache.directory == str(tmp_path / "cache")


def test_without_a_directory_it_is_a_temporary_one_that_stays(library):
    cache = library.Cache()
    try:
        assert os.path.dirname(cache.directory) == tempfile.gettempdir()
        cache["key"] = "value"
        cache.close()
        with library.Cache(cache.directory) as again:
            assert again["key"] == "value"
    finally:
        cache.close()
        shutil.rmtree(cache.directory)


def test_two_without_a_directory_are_apart(library):
    one, other = library.Cache(), library.Cache()
    one["key"] = "value"
    assert "key" not in other
    for cache in (one, other):
        cache.close()
        shutil.rmtree(cache.directory)


def test_a_file_in_the_place_of_the_directory_is_an_error(library, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, sqlite3.Error)):
        library.Cache(tmp_path / "file")


@pytest.mark.parametrize("disk", [object, int, None, "Disk"])
def test_a_disk_must_be_a_subclass_of_disk(library, directory, disk):
    with pytest.raises(ValueError, match="Disk"):
        library.Cache(directory, disk=disk)


def test_an_instance_of_disk_is_no_disk(library, directory):
    with pytest.raises(ValueError, match="Disk"):
        library.Cache(directory, disk=library.Disk(directory))


def test_it_can_be_closed_twice_and_used_again(cache):
    cache["key"] = "value"
    cache.close()
    cache.close()
    assert cache["key"] == "value"
    cache.close()
    cache["other"] = 2
    assert len(cache) == 2


def test_as_a_context_it_is_itself(library, directory):
    cache = library.Cache(directory)
    with cache as entered:
        assert entered is cache
        cache["key"] = 1
    with cache:
        assert cache["key"] == 1


def test_it_can_be_pickled(library, directory):
    with library.Cache(directory, timeout=5, disk=library.JSONDisk) as cache:
        cache["key"] = [1, 2]
        with pickle.loads(pickle.dumps(cache)) as other:
            assert other.directory == directory
            assert other.timeout == 5
            assert type(other.disk) is library.JSONDisk
            assert other["key"] == [1, 2]


def test_what_one_writes_another_reads(library, cache, directory):
    with library.Cache(directory) as other:
        cache["key"] = 1
        assert other["key"] == 1
        other["key"] = 2
        assert cache["key"] == 2
        del other["key"]
        assert "key" not in cache


def test_the_directory_can_be_copied_when_it_is_closed(library, directory, tmp_path):
    with library.Cache(directory) as cache:
        cache["small"], cache["large"] = 1, b"x" * 100_000
    shutil.copytree(directory, tmp_path / "copy")
    with library.Cache(tmp_path / "copy") as copy:
        assert copy["small"] == 1
        assert copy["large"] == b"x" * 100_000


def test_constants_show_their_names(library):
    assert repr(library.ENOVAL) == "ENOVAL"
    assert repr(library.UNKNOWN) == "UNKNOWN"
    assert library.ENOVAL != library.UNKNOWN


def test_the_policies(library):
    assert set(library.EVICTION_POLICY) >= {
        "none",
        "least-recently-stored",
        "least-recently-used",
        "least-frequently-used",
    }


def test_the_warnings_are_for_users(library):
    assert issubclass(library.EmptyDirWarning, UserWarning)
    assert issubclass(library.UnknownFileWarning, UserWarning)
    assert issubclass(library.Timeout, Exception)


def test_the_version(library):
    assert library.__version__ == "5.6.3"
    assert library.__title__ == "diskcache"
