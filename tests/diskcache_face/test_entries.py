"""One entry: set, get, add, touch, incr, decr, pop, delete; and all of them: length and order."""

import time

import pytest

GONE = -1


def test_set_and_get(cache):
    assert cache.set("key", "value") is True
    assert cache.get("key") == "value"
    assert cache["key"] == "value"


def test_an_item_can_be_set_and_deleted(cache):
    cache["key"] = 1
    cache["key"] = 2
    assert cache["key"] == 2
    del cache["key"]
    assert "key" not in cache


@pytest.mark.parametrize("key", ["absent", 5, ("a", 1), None])
def test_what_is_absent_is_a_key_error_with_its_key(cache, key):
    with pytest.raises(KeyError) as caught:
        cache[key]
    assert caught.value.args == (key,)
    with pytest.raises(KeyError) as caught:
        del cache[key]
    assert caught.value.args == (key,)


def test_what_is_absent_is_the_default(cache):
    default = object()
    assert cache.get("absent") is None
    assert cache.get("absent", default) is default
    assert cache.get("absent", default=7) == 7


@pytest.mark.parametrize(
    ("expire_time", "tag", "found", "missing"),
    [
        (False, False, 1, "none"),
        (True, False, (1, None), ("none", None)),
        (False, True, (1, "red"), ("none", None)),
        (True, True, (1, None, "red"), ("none", None, None)),
    ],
)
@pytest.mark.parametrize("method", ["get", "pop"])
def test_time_and_tag_can_be_asked_for(cache, method, expire_time, tag, found, missing):  # noqa: PLR0917
    cache.set("key", 1, tag="red")
    assert getattr(cache, method)("key", "none", expire_time=expire_time, tag=tag) == found
    assert getattr(cache, method)("absent", "none", expire_time=expire_time, tag=tag) == missing


def test_get_by_position(cache):
    cache.set("key", 1, tag="red")
    assert cache.get("key", None, False, True, True, True) == (1, None, "red")


def test_pop_by_position(cache):
    cache.set("key", 1, tag="red")
    assert cache.pop("key", None, True, True, True) == (1, None, "red")


@pytest.mark.parametrize("method", ["set", "add"])
def test_set_and_add_by_position(cache, method):
    assert getattr(cache, method)("key", 1, 100, False, "red", True) is True
    value, expire_time, tag = cache.get("key", expire_time=True, tag=True)
    assert (value, tag) == (1, "red")
    assert 90 < expire_time - time.time() <= 100


@pytest.mark.parametrize("expire", [5, 0.5, 1e6, None])
def test_the_time_at_which_an_entry_expires(cache, expire):
    before = time.time()
    cache.set("key", 1, expire=expire)
    after = time.time()
    _, expire_time = cache.get("key", expire_time=True)
    if expire is None:
        assert expire_time is None
    else:
        assert before + expire - 1e-3 <= expire_time <= after + expire + 1e-3


@pytest.mark.parametrize("expire", [0, -1, 1e-9])
def test_an_expired_entry_is_not_found(cache, expire):
    cache.set("key", 1, expire=expire)
    time.sleep(0.001)
    assert cache.get("key", "none") == "none"
    assert "key" not in cache
    assert cache.pop("key") is None
    assert cache.delete("key") is False
    assert cache.touch("key", 10) is False
    with pytest.raises(KeyError):
        cache["key"]
    with pytest.raises(KeyError):
        del cache["key"]


@pytest.mark.parametrize("tag", ["red", "", 5, 2.5, b"red", None])
def test_a_tag(cache, tag):
    cache.set("key", 1, tag=tag)
    assert cache.get("key", tag=True) == (1, tag)


def test_set_replaces_time_and_tag(cache):
    cache.set("key", 1, expire=100, tag="red")
    cache.set("key", 2)
    assert cache.get("key", expire_time=True, tag=True) == (2, None, None)


def test_add_takes_no_place(cache):
    assert cache.add("key", 1) is True
    assert cache.add("key", 2, expire=100, tag="red") is False
    assert cache.get("key", expire_time=True, tag=True) == (1, None, None)


def test_add_takes_the_place_of_what_has_expired(cache):
    cache.set("key", 1, expire=GONE, tag="red")
    assert cache.add("key", 2) is True
    assert cache.get("key", tag=True) == (2, None)


def test_touch_changes_when_it_expires(cache):
    cache.set("key", 1, tag="red")
    assert cache.touch("key", 100) is True
    _, expire_time, tag = cache.get("key", expire_time=True, tag=True)
    assert 90 < expire_time - time.time() <= 100
    assert tag == "red"
    assert cache.touch("key") is True
    assert cache.get("key", expire_time=True) == (1, None)
    assert cache.touch("key", None, True) is True
    assert cache.touch("absent", 100) is False


@pytest.mark.parametrize(
    ("method", "arguments", "expected"),
    [
        ("incr", (), 1),
        ("incr", (5,), 5),
        ("incr", (5, 10), 15),
        ("incr", (-5, 0, True), -5),
        ("incr", (0.5,), 0.5),
        ("incr", (1, 2.5), 3.5),
        ("decr", (), -1),
        ("decr", (5,), -5),
        ("decr", (5, 10), 5),
        ("decr", (0.25, 1, False), 0.75),
    ],
)
def test_counting_begins_at_the_default(cache, method, arguments, expected):
    assert getattr(cache, method)("key", *arguments) == expected
    assert cache["key"] == expected


def test_counting_goes_on(cache):
    assert [cache.incr("key") for _ in range(3)] == [1, 2, 3]
    assert cache.decr("key", 2) == 1
    assert cache.incr("key", 0.5) == 1.5
    cache["other"] = 2**40
    assert cache.incr("other") == 2**40 + 1


@pytest.mark.parametrize("method", ["incr", "decr"])
def test_without_a_default_counting_needs_the_key(cache, method):
    with pytest.raises(KeyError):
        getattr(cache, method)("key", default=None)
    cache.set("key", 5, expire=GONE)
    with pytest.raises(KeyError):
        getattr(cache, method)("key", default=None)


def test_counting_leaves_time_and_tag(cache):
    cache.set("key", 1, expire=100, tag="red")
    before = cache.get("key", expire_time=True, tag=True)
    cache.incr("key")
    assert cache.get("key", expire_time=True, tag=True) == (2, *before[1:])


def test_counting_begins_again_where_an_entry_has_expired(cache):
    cache.set("key", 100, expire=GONE, tag="red")
    assert cache.incr("key", 2) == 2
    assert cache.get("key", expire_time=True, tag=True) == (2, None, None)


@pytest.mark.parametrize("value", ["text", b"bytes", None, [1]])
def test_what_is_no_number_cannot_be_counted(cache, value):
    cache["key"] = value
    with pytest.raises(TypeError):
        cache.incr("key")
    assert cache["key"] == value


def test_pop_removes(cache):
    cache["key"] = 1
    assert cache.pop("key") == 1
    assert "key" not in cache
    assert cache.pop("key") is None
    assert cache.pop("key", "none") == "none"


def test_delete_tells_whether_there_was_one(cache):
    cache["key"] = 1
    assert cache.delete("key") is True
    assert cache.delete("key") is False
    assert cache.delete("absent", True) is False


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set", ("key", 1)),
        ("add", ("new", 1)),
        ("get", ("key",)),
        ("pop", ("key",)),
        ("incr", ("key",)),
        ("decr", ("key",)),
        ("touch", ("key", 5)),
        ("delete", ("key",)),
        ("push", (1,)),
        ("pull", ()),
        ("peek", ()),
        ("peekitem", ()),
        ("clear", ()),
        ("evict", ("tag",)),
        ("expire", ()),
        ("cull", ()),
        ("check", ()),
        ("transact", ()),
    ],
)
@pytest.mark.parametrize("retry", [True, False])
def test_retry_can_be_given(cache, method, arguments, retry):
    cache["key"] = 1
    getattr(cache, method)(*arguments, retry=retry)


def test_length_and_truth(cache):
    assert len(cache) == 0
    assert not cache
    for number in range(5):
        cache[number] = number
    assert len(cache) == 5
    assert cache


def test_order_is_that_of_insertion(cache):
    for key in "cab":
        cache[key] = 0
    cache["c"] = 1
    cache.incr("a")
    cache.touch("b", 100)
    assert list(cache) == ["c", "a", "b"]
    assert list(reversed(cache)) == ["b", "a", "c"]
    del cache["a"]
    cache["a"] = 1
    assert list(cache) == ["c", "b", "a"]


def test_iteration_does_not_meet_what_is_added_after_it_began(cache):
    for key in range(300):
        cache[key] = 0
    met = []
    for key in cache:
        met.append(key)
        cache[key + 1000] = 0
    assert met == list(range(300))


def test_entries_can_be_deleted_while_iterating(cache):
    for key in range(300):
        cache[key] = 0
    for key in cache:
        del cache[key]
    assert len(cache) == 0


def test_keys_in_order(cache):
    keys = [5, "b", b"b", -3, 2.5, "a", b"a", 10**12, "B", ""]
    for key in keys:
        cache[key] = 0
    ordered = [-3, 2.5, 5, 10**12, "", "B", "a", "b", b"a", b"b"]
    assert list(cache.iterkeys()) == ordered
    assert list(cache.iterkeys(reverse=True)) == ordered[::-1]
    assert list(cache.iterkeys(True)) == ordered[::-1]


def test_what_has_expired_is_counted_until_it_is_removed(cache):
    cache.reset("cull_limit", 0)
    cache.set("gone", 1, expire=GONE)
    cache.set("here", 1)
    assert len(cache) == 2
    assert list(cache) == ["gone", "here"]
    assert list(reversed(cache)) == ["here", "gone"]
    assert cache.expire() == 1
    assert list(cache) == ["here"]


def test_a_write_removes_as_many_expired_entries_as_the_limit_says(cache):
    cache.reset("cull_limit", 0)
    for key in range(15):
        cache.set(key, key, expire=GONE)
    assert len(cache) == 15
    cache.reset("cull_limit", 10)
    cache["here"] = 1
    assert len(cache) == 6
