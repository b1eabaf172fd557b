"""Queues in a cache: push, pull, peek; and the first and last entries: peekitem."""

import io
import time

import pytest

from . import LARGE

FIRST = 500_000_000_000_000


@pytest.fixture(params=[None, "jobs"])
def prefix(request):
    return request.param


@pytest.fixture
def key(prefix):
    """The key of the n-th item of a queue."""
    return lambda number: FIRST + number if prefix is None else f"{prefix}-{FIRST + number}"


def test_push_returns_keys_that_follow_each_other(cache, prefix, key):
    assert [cache.push(value, prefix) for value in "abc"] == [key(0), key(1), key(2)]
    assert cache.push("z", prefix, "front") == key(-1)
    assert cache.push("y", prefix, side="front") == key(-2)
    assert [cache[key(number)] for number in range(-2, 3)] == list("yzabc")
    assert list(cache.iterkeys()) == [key(number) for number in range(-2, 3)]


def test_pull_takes_from_the_front(cache, prefix, key):
    for value in "abc":
        cache.push(value, prefix)
    assert [cache.pull(prefix) for _ in range(3)] == [(key(0), "a"), (key(1), "b"), (key(2), "c")]
    assert len(cache) == 0


def test_pull_takes_from_the_back(cache, prefix):
    for value in "abc":
        cache.push(value, prefix)
    assert [cache.pull(prefix, side="back")[1] for _ in range(3)] == ["c", "b", "a"]


def test_an_empty_queue_is_the_default(cache, prefix):
    assert cache.pull(prefix) == (None, None)
    assert cache.peek(prefix) == (None, None)
    assert cache.pull(prefix, "none") == "none"
    assert cache.peek(prefix, default=(1, 2)) == (1, 2)


def test_an_empty_queue_begins_anew(cache, prefix, key):
    cache.push("a", prefix)
    cache.pull(prefix)
    assert cache.push("b", prefix) == key(0)


@pytest.mark.parametrize("method", ["pull", "peek"])
@pytest.mark.parametrize(
    ("expire_time", "tag", "found", "missing"),
    [
        (True, False, (1, None), ("none", None)),
        (False, True, (1, "red"), ("none", None)),
        (True, True, (1, None, "red"), ("none", None, None)),
    ],
)
def test_time_and_tag_can_be_asked_for(cache, method, prefix, key, expire_time, tag, found, missing):  # noqa: PLR0917
    ask = getattr(cache, method)
    assert ask(prefix, "none", expire_time=expire_time, tag=tag) == missing
    cache.push(1, prefix, tag="red")
    value, *more = found
    assert ask(prefix, "none", expire_time=expire_time, tag=tag) == ((key(0), value), *more)


def test_push_by_position(cache, prefix, key):
    assert cache.push(io.BytesIO(b"x"), prefix, "back", 100, True, "red", True) == key(0)
    pair, expire_time, tag = cache.pull(prefix, None, "front", True, True, True)
    assert pair == (key(0), b"x")
    assert 90 < expire_time - time.time() <= 100
    assert tag == "red"


def test_peek_leaves_what_it_sees(cache, prefix, key):
    cache.push("a", prefix)
    cache.push("b", prefix)
    assert cache.peek(prefix) == (key(0), "a")
    assert cache.peek(prefix, None, "back") == (key(1), "b")
    assert len(cache) == 2


@pytest.mark.parametrize("method", ["pull", "peek"])
def test_what_has_expired_is_passed_over_and_removed(cache, method, prefix, key):
    cache.reset("cull_limit", 0)
    for number in range(3):
        cache.push(number, prefix, expire=-1)
    cache.push("here", prefix)
    assert getattr(cache, method)(prefix) == (key(3), "here")
    assert len(cache) == (1 if method == "peek" else 0)


def test_queues_do_not_mix(cache):
    prefixes = [None, "a", "b", "ab", "a-b", "500000000000000"]
    for prefix in prefixes:
        cache.push(prefix, prefix)
        cache.push(prefix, prefix)
    for prefix in prefixes:
        assert [cache.pull(prefix)[1], cache.pull(prefix)[1]] == [prefix, prefix]
        assert cache.pull(prefix) == (None, None)


def test_other_entries_are_no_items(cache):
    cache["jobs"], cache["jobs-x"], cache["other"], cache[-5], cache[None] = range(5)
    assert cache.pull() == (None, None)
    assert cache.pull("jobs") == (None, None)
    assert cache.push("a") == FIRST
    assert len(cache) == 6


@pytest.mark.parametrize("value", [None, True, [1, 2], {"a": 1}, b"x" * LARGE, "x" * LARGE])
def test_any_value_can_be_pushed(cache, value):
    cache.push(value)
    assert cache.peek()[1] == value
    assert cache.pull()[1] == value


@pytest.mark.parametrize("method", ["push", "pull", "peek"])
def test_there_are_two_sides(cache, method):
    arguments = (1,) if method == "push" else ()
    with pytest.raises((KeyError, ValueError)):
        getattr(cache, method)(*arguments, side="middle")


def test_many_items_keep_their_order(cache):
    for number in range(300):
        cache.push(number)
    assert [cache.pull()[1] for _ in range(300)] == list(range(300))


def test_the_first_and_the_last_entry(cache):
    for number, key in enumerate("cab"):
        cache[key] = number
    assert cache.peekitem() == ("b", 2)
    assert cache.peekitem(False) == ("c", 0)
    assert cache.peekitem(last=False) == ("c", 0)
    assert len(cache) == 3


def test_of_an_empty_cache_there_is_no_last_entry(cache):
    with pytest.raises(KeyError, match="empty"):
        cache.peekitem()


def test_time_and_tag_of_the_last_entry(cache):
    cache.set("key", 1, tag="red")
    assert cache.peekitem(True, True, True, True) == (("key", 1), None, "red")
    assert cache.peekitem(expire_time=True) == (("key", 1), None)
    assert cache.peekitem(tag=True) == (("key", 1), "red")


def test_the_last_entry_has_not_expired(cache):
    cache.reset("cull_limit", 0)
    cache["here"] = 1
    cache.set("gone", 2, expire=-1)
    cache.set("gone, too", 3, expire=-1)
    assert cache.peekitem() == ("here", 1)
    assert len(cache) == 1
