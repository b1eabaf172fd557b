"""How a cache turns keys and values into what is stored: Disk, JSONDisk, and disks of one's own."""

import hashlib
import io
import json
import os
import pathlib
import pickle
import time
import zlib

import pytest

from . import LARGE, Point
from .test_keys_and_values import KEYS, assert_same, name

JSON = [None, True, 0, 1.5, "text", "", [], [1, "a"], {}, {"a": [None]}, ["x" * LARGE], "y" * LARGE]


@pytest.fixture
def disk(library, tmp_path):
    return library.Disk(str(tmp_path), min_file_size=1000, pickle_protocol=4)


def reversed_disk(library):
    """A disk that stores texts and bytes the other way around, as the two halves of a pair."""

    class ReversedDisk(library.Disk):
        def put(self, key):
            return super().put(key[::-1])

        def get(self, key, raw):
            return super().get(key, raw)[::-1]

        def store(self, value, read, key=library.UNKNOWN):
            return super().store(value if read else value[::-1], read, key=key)

        def fetch(self, mode, filename, value, read):
            data = super().fetch(mode, filename, value, read)
            return data if read else data[::-1]

    return ReversedDisk


def named_disk(library):
    """A disk that names files after the key, and notes what it has removed."""

    class NamedDisk(library.Disk):
        removed = []  # noqa: RUF012

        def filename(self, key=library.UNKNOWN, value=library.UNKNOWN):
            filename = hashlib.sha256(repr(key).encode()).hexdigest()
            return filename, os.path.join(self._directory, filename)

        def remove(self, file_path):
            self.removed.append(file_path)
            super().remove(file_path)

    return NamedDisk


def test_arguments_by_position(library, tmp_path):
    disk = library.Disk(str(tmp_path), 17, 2)
    assert (disk.min_file_size, disk.pickle_protocol) == (17, 2)
    assert library.JSONDisk(str(tmp_path), 6, min_file_size=17).compress_level == 6
    assert library.JSONDisk(str(tmp_path)).compress_level == 1


@pytest.mark.parametrize("key", KEYS, ids=name)
def test_a_key_there_and_back(disk, key):
    stored, raw = disk.put(key)
    assert raw is (type(key) in (str, bytes, float) or (type(key) is int and -(2**63) <= key < 2**63))
    assert_same(disk.get(stored, raw), key)
    assert disk.hash(key) == disk.hash(key)
    assert 0 <= disk.hash(key) < 2**32


@pytest.mark.parametrize(
    ("value", "mode", "is_file"),
    [
        ("text", "MODE_RAW", False),
        (b"bytes", "MODE_RAW", False),
        (5, "MODE_RAW", False),
        (1.5, "MODE_RAW", False),
        (2**70, "MODE_PICKLE", False),
        (None, "MODE_PICKLE", False),
        (Point(1, 2), "MODE_PICKLE", False),
        ("x" * LARGE, "MODE_TEXT", True),
        (b"x" * LARGE, "MODE_BINARY", True),
        (list(range(LARGE)), "MODE_PICKLE", True),
    ],
)
def test_a_value_there_and_back(library, disk, tmp_path, value, mode, is_file):  # noqa: PLR0917
    size, stored_mode, filename, stored = disk.store(value, False)
    assert stored_mode == getattr(library.core, mode)
    assert_same(disk.fetch(stored_mode, filename, stored, False), value)
    if not is_file:
        assert (size, filename) == (0, None)
        return
    path = tmp_path / filename
    assert stored is None
    assert path.stat().st_size == size
    disk.remove(filename)
    assert not path.exists()
    disk.remove(filename)


def test_a_file_there_and_back(disk):
    size, mode, filename, stored = disk.store(io.BytesIO(b"few"), True)
    assert size == 3
    with disk.fetch(mode, filename, stored, True) as reader:
        assert reader.read() == b"few"


def test_names_of_files_lie_below_the_directory_and_are_new(disk, tmp_path):
    filename, path = disk.filename()
    assert path == os.path.join(str(tmp_path), filename)
    assert disk.filename("key", "value")[0] != filename


def test_the_modes(library):
    names = ["MODE_NONE", "MODE_RAW", "MODE_BINARY", "MODE_TEXT", "MODE_PICKLE"]
    assert [getattr(library.core, name) for name in names] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("value", JSON, ids=name)
def test_json_there_and_back(library, directory, value):
    with library.Cache(directory, disk=library.JSONDisk, disk_compress_level=6) as cache:
        assert cache.disk.compress_level == 6
        cache["key"] = value
        cache[value] = "value"
        assert cache["key"] == value
        assert cache[value] == "value"
        assert value in cache
        assert list(cache) == ["key", value]
        assert cache.peekitem() == (value, "value")


def test_json_knows_no_tuples_and_no_instances(library, directory):
    with library.Cache(directory, disk=library.JSONDisk) as cache:
        cache["a", 1] = (2, 3)
        assert list(cache) == [["a", 1]]
        assert cache["a", 1] == [2, 3]
        with pytest.raises(TypeError):
            cache["key"] = Point(1, 2)
        with pytest.raises(TypeError):
            cache[b"key"] = 1
        assert len(cache) == 1


def test_json_takes_files_as_they_are(library, directory):
    with library.Cache(directory, disk=library.JSONDisk) as cache:
        content = zlib.compress(json.dumps([1, 2]).encode())
        cache.set("key", io.BytesIO(content), read=True)
        with cache.read("key") as reader:
            assert reader.read() == content
        assert cache["key"] == [1, 2]


def test_what_json_has_stored_is_there_again(library, directory):
    with library.FanoutCache(directory, shards=3, disk=library.JSONDisk) as cache:
        for number, value in enumerate(JSON):
            cache[number] = value
    with library.FanoutCache(directory, shards=3, disk=library.JSONDisk) as again:
        assert [again[number] for number in range(len(JSON))] == JSON


@pytest.mark.parametrize("value", ["value", "", "x" * LARGE + "y", b"bytes", b"x" * LARGE + b"y"], ids=name)
@pytest.mark.parametrize("kind", ["Cache", "FanoutCache"])
def test_a_disk_of_ones_own_changes_keys_and_values(library, directory, kind, value):
    with getattr(library, kind)(directory, disk=reversed_disk(library)) as cache:
        cache["key"] = value
        assert cache["key"] == value
        assert cache.add("other", value) is True
        assert cache.pop("other") == value
        assert list(cache) == ["key"]
    with getattr(library, kind)(directory, disk=reversed_disk(library)) as again:
        assert list(again) == ["key"]
        assert again["key"] == value


def test_a_disk_of_ones_own_has_queues_and_counts(library, directory):
    with library.Cache(directory, disk=reversed_disk(library)) as cache:
        cache.push("first", "jobs")
        assert cache.pull("jobs")[1] == "first"
        cache["key"] = "value"
        assert cache.peekitem() == ("key", "value")
        assert cache.get("key", "none", tag=True) == ("value", None)
        assert cache.touch("key", 10) is True
        assert cache.delete("key") is True


def test_a_disk_of_ones_own_can_be_left_to_files(library, directory):
    with library.Cache(directory, disk=reversed_disk(library)) as cache:
        cache.set("key", io.BytesIO(b"abc"), read=True)
        with cache.read("key") as reader:
            assert reader.read() == b"abc"
        assert cache["key"] == b"cba"


def test_a_disk_of_ones_own_names_its_files(library, directory):
    disk = named_disk(library)
    with library.Cache(directory, disk=disk) as cache:
        cache["key"] = "x" * LARGE
        path = pathlib.Path(directory, hashlib.sha256(b"'key'").hexdigest())
        assert path.read_text() == "x" * LARGE
        assert cache["key"] == "x" * LARGE
        cache.set("file", io.BytesIO(b"few"), read=True)
        assert pathlib.Path(directory, hashlib.sha256(b"'file'").hexdigest()).read_bytes() == b"few"
        assert disk.removed == []
        del cache["key"]
        assert disk.removed == [path.name]
        assert not path.exists()
        assert cache.check() == []


@pytest.mark.parametrize(
    "remove",
    [
        lambda cache: cache.clear(),
        lambda cache: cache.pop("key"),
        lambda cache: cache.evict("red"),
        lambda cache: cache.delete("key"),
        lambda cache: cache.set("key", 1),
        lambda cache: cache.expire(time.time() + 1000),
        lambda cache: cache.reset("size_limit", 0) or cache.cull(),
    ],
)
def test_a_disk_of_ones_own_removes_its_files(library, directory, remove):
    disk = named_disk(library)
    with library.Cache(directory, disk=disk) as cache:
        cache.set("key", b"x" * LARGE, expire=100, tag="red")
        remove(cache)
        assert len(disk.removed) == 1
        assert not pathlib.Path(directory, disk.removed[0]).exists()


@pytest.mark.parametrize("value", [{"a": [1]}, Point(1, 2), list(range(LARGE))], ids=["plain", "instance", "large"])
def test_what_is_pickled_can_be_loaded_by_any_unpickler(library, directory, value):
    class PickleDisk(library.Disk):
        def fetch(self, mode, filename, value, read):
            if mode != library.core.MODE_PICKLE:
                return super().fetch(mode, filename, value, read)
            if value is None:
                with open(os.path.join(self._directory, filename), "rb") as file:
                    return "loaded", pickle.load(file)
            return "loaded", pickle.load(io.BytesIO(value))

    with library.Cache(directory, disk=PickleDisk) as cache:
        cache["key"] = value
        assert cache["key"] == ("loaded", value)


@pytest.mark.parametrize("value", [5, "text", b"x" * LARGE, None, {"a": [1]}, Point(1, 2)], ids=name)
def test_disks_that_store_alike_share_what_they_store(library, directory, value):
    class OtherDisk(library.Disk):
        def fetch(self, mode, filename, value, read):
            return super().fetch(mode, filename, value, read)

    with library.Cache(directory) as cache:
        cache["one"] = cache["one", 1] = value
    with library.Cache(directory, disk=OtherDisk) as cache:
        assert cache["one"] == cache["one", 1] == value
        cache["other"] = cache["other", 1] = value
    with library.Cache(directory) as cache:
        assert [cache[key] for key in cache] == [value] * 4
        assert list(cache) == ["one", ("one", 1), "other", ("other", 1)]
        assert cache.pop("other") == value
        assert cache.delete(("one", 1)) is True
        assert len(cache) == 2


def test_a_lost_file_of_a_disk_of_ones_own_is_told_and_its_entry_removed(library, directory):
    with library.Cache(directory, disk=library.JSONDisk) as cache:
        cache["key"], cache["other"] = list(range(LARGE)), 1
        with cache.read("key") as reader:
            pathlib.Path(reader.name).unlink()
        assert "key" in cache
        assert cache.get("key") is None
        assert cache.check()
        cache.check(fix=True)
        cache.check(fix=True)
        assert cache.check() == []
        assert list(cache) == ["other"]


def test_a_disk_of_ones_own_has_settings(library, directory):
    class SaltedDisk(library.Disk):
        def __init__(self, directory, salt="", **kwargs):
            self.salt = salt
            super().__init__(directory, **kwargs)

        def put(self, key):
            return super().put(self.salt + key)

        def get(self, key, raw):
            return super().get(key, raw).removeprefix(self.salt)

    with library.Cache(directory, disk=SaltedDisk, disk_salt="salt ") as cache:
        cache["key"] = 1
        assert list(cache) == ["key"]
        assert cache.disk.salt == "salt "
    with library.Cache(directory, disk=SaltedDisk) as again:
        assert again.disk.salt == "salt "
        assert again["key"] == 1


def test_what_a_disk_of_ones_own_raises_comes_through(library, directory):
    class WrongError(Exception):
        pass

    class WrongDisk(library.Disk):
        def fetch(self, mode, filename, value, read):
            raise WrongError

        def store(self, value, read, key=library.UNKNOWN):
            if key == "refused":
                raise WrongError
            return super().store(value, read, key)

    with library.Cache(directory, disk=WrongDisk) as cache:
        cache["key"] = 1
        for call in (lambda: cache["key"], lambda: cache.get("key"), lambda: cache.set("refused", 1)):
            with pytest.raises(WrongError):
                call()
        assert list(cache) == ["key"]
