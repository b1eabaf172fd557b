"""What removes entries, and what is known of all of them: expiry, tags, limits, statistics, volume, check."""

import pathlib
import time

import pytest

from . import LARGE


def fill(cache, count=40, size=100_000):
    for key in range(count):
        cache[key] = bytes([key]) * size


def test_expire_removes_and_counts(cache):
    cache.reset("cull_limit", 0)
    for key in range(250):
        cache.set(key, key, expire=-1)
    cache["here"] = 1
    assert cache.expire() == 250
    assert list(cache) == ["here"]
    assert cache.expire() == 0


def test_expire_can_look_ahead(cache):
    for key in range(10):
        cache.set(key, key, expire=100 * (key + 1))
    assert cache.expire(time.time() + 350) == 3
    assert list(cache) == list(range(3, 10))
    assert cache.expire(now=time.time() + 450, retry=True) == 1


@pytest.mark.parametrize("tag_index", [False, True])
def test_evict_removes_what_has_the_tag(library, directory, tag_index):
    with library.Cache(directory, tag_index=tag_index) as cache:
        for key in range(250):
            cache.set(key, key, tag="even" if key % 2 == 0 else "odd")
        cache["none"] = 1
        assert cache.evict("even") == 125
        assert cache.evict("even") == 0
        assert cache.evict("other", True) == 0
        assert list(cache) == [*range(1, 250, 2), "none"]


@pytest.mark.parametrize("tag", ["text", 5, 2.5, b"bytes"])
def test_any_tag_can_be_evicted(cache, tag):
    cache.set("key", 1, tag=tag)
    cache.set("other", 1, tag="another")
    assert cache.evict(tag) == 1
    assert list(cache) == ["other"]


def test_evict_counts_what_has_expired(cache):
    cache.reset("cull_limit", 0)
    cache.set("key", 1, expire=-1, tag="red")
    assert cache.evict("red") == 1
    assert len(cache) == 0


def test_the_tag_index_can_be_made_and_dropped(library, cache, directory):
    cache.create_tag_index()
    assert cache.tag_index == 1
    with library.Cache(directory) as again:
        assert again.tag_index == 1
    cache.drop_tag_index()
    assert cache.tag_index == 0
    cache.set("key", 1, tag="red")
    assert cache.evict("red") == 1


def test_clear_removes_all_and_counts(cache):
    cache.reset("cull_limit", 0)
    fill(cache, 3)
    for key in range(250):
        cache.set(f"gone {key}", 1, expire=-1)
    assert cache.clear() == 253
    assert len(cache) == 0
    assert list(cache) == []
    assert cache.clear(retry=True) == 0


def test_cull_removes_what_has_expired(cache):
    cache.reset("cull_limit", 0)
    cache.set("gone", 1, expire=-1)
    cache["here"] = 1
    assert cache.cull() == 1
    assert list(cache) == ["here"]


def test_cull_keeps_the_limit(cache):
    cache.reset("cull_limit", 0)
    fill(cache)
    cache.reset("size_limit", 2_000_000)
    assert cache.volume() > 2_000_000
    removed = cache.cull()
    assert 0 < removed < 40
    assert len(cache) == 40 - removed
    assert cache.volume() <= 2_000_000
    assert list(cache) == list(range(removed, 40))


def test_nothing_is_evicted_without_a_policy(cache):
    cache.reset("eviction_policy", "none")
    cache.reset("size_limit", 100_000)
    fill(cache)
    assert cache.cull() == 0
    assert len(cache) == 40


def test_a_write_evicts_as_many_as_the_limit_says(cache):
    cache.reset("cull_limit", 0)
    fill(cache)
    cache.reset("size_limit", 1_000_000)
    cache["one"] = 1
    assert len(cache) == 41
    cache.reset("cull_limit", 5)
    cache["two"] = 1
    assert list(cache) == [*range(5, 40), "one", "two"]


@pytest.mark.parametrize("policy", ["least-recently-used", "least-frequently-used"])
def test_what_was_used_stays(cache, policy):
    cache.reset("eviction_policy", policy)
    cache.reset("cull_limit", 0)
    fill(cache)
    for _ in range(2):
        for key in range(10):
            cache[key]
    cache.reset("size_limit", 2_500_000)
    assert cache.cull() > 0
    assert cache.volume() <= 2_500_000
    assert set(cache) >= set(range(10))


def test_what_was_stored_again_stays(cache):
    cache.reset("cull_limit", 0)
    fill(cache)
    for key in range(10):
        cache[key] = cache[key]
    cache.reset("size_limit", 2_500_000)
    assert cache.cull() > 0
    assert set(cache) >= set(range(10))


def test_the_policy_can_be_changed(library, directory):
    with library.Cache(directory, eviction_policy="least-recently-used") as cache:
        fill(cache, 3)
        assert cache.reset("eviction_policy", "least-frequently-used") == "least-frequently-used"
        assert cache[0] == b"\x00" * 100_000
        assert cache.incr("key") == 1


def test_statistics_are_counted_when_they_are_wanted(cache):
    cache["key"] = 1
    assert cache.stats(enable=True) == (0, 0)
    for _ in range(3):
        cache["key"]
    cache.get("key")
    cache.get("absent")
    with pytest.raises(KeyError):
        cache["absent"]
    assert cache.stats() == (4, 2)
    assert cache.stats(True, True) == (4, 2)
    assert cache.stats(enable=False) == (0, 0)
    cache["key"]
    assert cache.stats(False, False) == (0, 0)


def test_what_has_expired_is_a_miss(library, directory):
    with library.Cache(directory, statistics=True) as cache:
        cache.set("key", 1, expire=-1)
        cache.get("key")
        assert cache.stats() == (0, 1)


def test_volume_grows_with_what_is_stored(cache):
    before = cache.volume()
    assert isinstance(before, int)
    cache["key"] = b"x" * 1_000_000
    assert cache.volume() >= before + 1_000_000
    del cache["key"]
    assert cache.volume() < before + 1_000_000


def test_nothing_is_wrong_with_what_was_stored(cache):
    fill(cache, 5)
    cache.set("key", 1, expire=5, tag="red")
    cache.push("item")
    assert cache.check() == []
    assert cache.check(True, True) == []


def test_a_file_that_nobody_knows_is_told(library, cache, directory):
    fill(cache, 3)
    pathlib.Path(directory, "stray").write_text("?")
    (told,) = cache.check()
    assert told.category is library.UnknownFileWarning
    assert "stray" in str(told.message)
    assert len(cache) == 3


def test_an_empty_directory_is_told(library, cache, directory):
    pathlib.Path(directory, "stray").mkdir()
    (told,) = cache.check()
    assert told.category is library.EmptyDirWarning
    assert "stray" in str(told.message)


def test_a_lost_file_is_told_and_its_entry_removed(cache):
    fill(cache, 3)
    with cache.read(1) as reader:
        pathlib.Path(reader.name).unlink()
    assert cache.check()
    assert cache.check(fix=True)
    # The first time may leave the directory of what it has removed.
    cache.check(fix=True)
    assert cache.check() == []
    assert list(cache) == [0, 2]


def test_an_entry_whose_file_is_lost_is_absent(library, directory):
    with library.Cache(directory) as cache:
        cache["key"] = b"x" * LARGE
        with cache.read("key") as reader:
            pathlib.Path(reader.name).unlink()
    with library.Cache(directory) as again:
        assert again.get("key", "none") == "none"
        with pytest.raises(KeyError):
            again["key"]


def test_check_can_be_asked_as_a_question(cache):
    if cache.check():
        pytest.fail("nothing is wrong with an empty cache")
