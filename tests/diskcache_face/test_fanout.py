"""A cache of several databases: the same methods, and what swallows that it could not wait."""

import io
import os
import pathlib
import pickle
import shutil
import tempfile
import threading
import time

import pytest

from . import LARGE


@pytest.fixture
def impatient(library, fanout, directory):
    """One that waits for hardly any time, while another thread holds all of the databases."""
    begun, end = threading.Event(), threading.Event()

    def hold():
        with library.FanoutCache(directory, shards=3) as other, other.transact():
            begun.set()
            end.wait()

    fanout["held"] = "old"
    # Opened before anybody holds anything: opening would wait for it.
    with library.FanoutCache(directory, shards=3, timeout=0.01) as impatient:
        thread = threading.Thread(target=hold)
        thread.start()
        assert begun.wait(60)
        yield impatient
        end.set()
        thread.join()


def test_arguments_by_position(library, directory):
    with library.FanoutCache(directory, 2, 5, library.JSONDisk) as cache:
        assert cache.directory == directory
        assert cache.timeout == 5
        assert type(cache.disk) is library.JSONDisk


def test_without_a_directory_it_is_a_temporary_one_that_stays(library):
    cache = library.FanoutCache()
    try:
        assert os.path.dirname(cache.directory) == tempfile.gettempdir()
        cache["key"] = 1
        cache.close()
        with library.FanoutCache(cache.directory) as again:
            assert again["key"] == 1
    finally:
        shutil.rmtree(cache.directory)


def test_it_waits_for_ten_milliseconds(fanout):
    assert fanout.timeout == 0.01


@pytest.mark.parametrize(("shards", "given"), [(8, 2**30), (4, 10**9), (1, 10**6)])
def test_the_limit_is_shared_among_databases(library, directory, shards, given):
    with library.FanoutCache(directory, shards=shards, size_limit=given) as cache:
        assert cache.size_limit == given / shards


@pytest.mark.parametrize(("name", "value"), [("cull_limit", 3), ("eviction_policy", "none"), ("statistics", 1)])
def test_a_setting_can_be_given_and_reset(library, directory, name, value):
    with library.FanoutCache(directory, **{name: value}) as cache:
        assert getattr(cache, name) == value
        default = library.DEFAULT_SETTINGS[name]
        assert cache.reset(name, default) == default
        assert getattr(cache, name) == default
        assert cache.reset(name) == default


def test_all_keys_are_found(fanout):
    for key in range(100):
        fanout[key] = str(key)
    assert [fanout[key] for key in range(100)] == [str(key) for key in range(100)]
    assert len(fanout) == 100
    assert sorted(fanout) == list(range(100))
    assert list(reversed(fanout)) == list(fanout)[::-1]
    for key in range(100):
        assert key in fanout
        del fanout[key]
    assert len(fanout) == 0


@pytest.mark.parametrize("key", ["text", b"bytes", 5, 1.5, 2**70, None, True, ("a", 1), -(2**63)])
def test_any_key_is_found_by_who_opens_the_directory_next(library, directory, key):
    with library.FanoutCache(directory, shards=3) as cache:
        cache[key] = 1
    with library.FanoutCache(directory, shards=3) as again:
        assert again[key] == 1
        assert list(again) == [key]


def test_one_and_true_are_two_keys_and_one_and_one_point_oh_are_one(fanout):
    fanout[1] = "int"
    assert True not in fanout


def test_methods_by_position(fanout):
    assert fanout.set("key", 1, 100, False, "red", True) is True
    assert fanout.add("key", 2, 100, False, "red", True) is False
    value, expire_time, tag = fanout.get("key", None, False, True, True, True)
    assert (value, tag) == (1, "red")
    assert 90 < expire_time - time.time() <= 100
    assert fanout.touch("key", None, True) is True
    assert fanout.incr("key", 2, 0, True) == 3
    assert fanout.decr("key", 1, 0, True) == 2
    assert fanout.pop("key", None, True, True, True) == (2, None, "red")
    assert fanout.delete("key", True) is False


@pytest.mark.parametrize("method", ["incr", "decr"])
def test_without_a_default_counting_needs_the_key(fanout, method):
    with pytest.raises(KeyError):
        getattr(fanout, method)("key", default=None)


def test_what_is_absent_is_a_key_error(fanout):
    for call in (lambda: fanout["absent"], lambda: fanout.__delitem__("absent"), lambda: fanout.read("absent")):
        with pytest.raises(KeyError) as caught:
            call()
        assert caught.value.args == ("absent",)


def test_a_file_can_be_stored_and_read(fanout):
    assert fanout.set("key", io.BytesIO(b"x" * LARGE), read=True)
    with fanout.read("key") as reader:
        assert reader.read() == b"x" * LARGE
    with fanout.get("key", read=True) as reader:
        assert pathlib.Path(reader.name).is_relative_to(fanout.directory)


def test_removals_are_counted_over_all_databases(fanout):
    fanout.reset("cull_limit", 0)
    for key in range(100):
        fanout.set(key, key, expire=-1 if key < 10 else None, tag="red" if key < 30 else None)
    assert len(fanout) == 100
    assert fanout.expire() == 10
    assert fanout.expire(retry=True) == 0
    assert fanout.evict("red") == 20
    assert fanout.evict("red", retry=True) == 0
    assert fanout.cull() == 0
    assert fanout.clear() == 70
    assert fanout.clear(retry=True) == 0


def test_cull_keeps_the_limit_of_each_database(fanout):
    fanout.reset("cull_limit", 0)
    for key in range(60):
        fanout[key] = bytes([key]) * 100_000
    fanout.reset("size_limit", 1_500_000)
    removed = fanout.cull()
    assert 0 < removed < 60
    assert len(fanout) == 60 - removed
    assert fanout.volume() <= 3 * 1_500_000


def test_statistics_are_added_up(fanout):
    for key in range(20):
        fanout[key] = key
    assert fanout.stats(enable=True) == (0, 0)
    for key in range(30):
        fanout.get(key)
    assert fanout.stats(True, True) == (20, 10)
    assert fanout.stats(enable=False) == (0, 0)


def test_volume_grows_with_what_is_stored(fanout):
    before = fanout.volume()
    fanout["key"] = b"x" * 1_000_000
    assert fanout.volume() >= before + 1_000_000


def test_nothing_is_wrong_with_what_was_stored(fanout):
    for key in range(20):
        fanout[key] = b"x" * 40_000
    assert fanout.check() == []
    assert fanout.check(True, True) == []


def test_the_tag_index_can_be_made_and_dropped(fanout):
    fanout.create_tag_index()
    assert fanout.tag_index == 1
    fanout.drop_tag_index()
    assert fanout.tag_index == 0


def test_it_can_be_closed_twice_and_used_again(fanout):
    fanout["key"] = 1
    fanout.close()
    fanout.close()
    assert fanout["key"] == 1


def test_it_can_be_pickled(library, fanout):
    fanout["key"] = 1
    with pickle.loads(pickle.dumps(fanout)) as other:
        assert other.directory == fanout.directory
        assert other["key"] == 1
        other["other"] = 2
    assert fanout["other"] == 2


def test_a_transaction_is_one_over_all_databases(fanout):
    with fanout.transact():
        for key in range(20):
            fanout[key] = key
        with fanout.transact(retry=True):
            fanout.incr(0)
    assert fanout[0] == 1

    def fail():
        with fanout.transact():
            for key in range(20, 40):
                fanout[key] = key
            fanout.clear()
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert sorted(fanout) == list(range(20))


@pytest.mark.parametrize(
    ("method", "arguments", "failed"),
    [
        ("set", ("key", 1), False),
        ("add", ("key", 1), False),
        ("touch", ("held", 5), False),
        ("incr", ("key",), None),
        ("decr", ("key",), None),
        ("pop", ("held", "none"), "none"),
        ("delete", ("held",), False),
    ],
)
def test_who_cannot_wait_is_not_told(impatient, method, arguments, failed):
    assert getattr(impatient, method)(*arguments) is failed
    assert impatient.get("held") == "old"


def test_a_cache_within_it(library, fanout, directory):
    cache = fanout.cache("name")
    assert isinstance(cache, library.Cache)
    assert fanout.cache("name") is cache
    assert cache.directory == os.path.join(directory, "cache", "name")
    cache["key"] = 1
    assert len(fanout) == 0
    assert fanout.cache("a/b").directory == os.path.join(directory, "cache", "a", "b")


def test_a_cache_within_it_has_settings_of_its_own(library, fanout):
    cache = fanout.cache("name", 7, None, size_limit=1000)
    assert cache.timeout == 7
    assert cache.size_limit == 1000
    assert fanout.cache("other").timeout == 60
    assert fanout.cache("other").size_limit == library.DEFAULT_SETTINGS["size_limit"]


def test_a_deque_within_it(library, fanout, directory):
    deque = fanout.deque("name", 2)
    assert isinstance(deque, library.Deque)
    assert fanout.deque("name") is deque
    assert deque.maxlen == 2
    assert deque.directory == os.path.join(directory, "deque", "name")
    deque.extend("abc")
    assert list(deque) == ["b", "c"]


def test_an_index_within_it(library, fanout, directory):
    index = fanout.index("name")
    assert isinstance(index, library.Index)
    assert fanout.index("name") is index
    assert index.directory == os.path.join(directory, "index", "name")
    index["key"] = 1
    assert index.popitem() == ("key", 1)


def test_what_is_within_it_is_there_again(library, fanout, directory):
    fanout.cache("name")["key"] = 1
    fanout.deque("name").append(2)
    fanout.index("name")["key"] = 3
    fanout.close()
    with library.FanoutCache(directory, shards=3) as again:
        assert again.cache("name")["key"] == 1
        assert list(again.deque("name")) == [2]
        assert dict(again.index("name")) == {"key": 3}


def test_what_is_within_it_has_its_disk(library, directory):
    with library.FanoutCache(directory, disk=library.JSONDisk) as fanout:
        assert type(fanout.cache("name").disk) is library.JSONDisk
        assert type(fanout.index("name").cache.disk) is library.JSONDisk
        assert type(fanout.deque("name").cache.disk) is library.JSONDisk
