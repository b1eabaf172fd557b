"""An Index is an ordered mapping on disk that forgets nothing."""

import collections
import collections.abc
import os
import pickle
import shutil
import tempfile

import pytest

from . import LARGE, Point

FIRST = 500_000_000_000_000


@pytest.fixture
def abc(index):
    index.update([("c", 1), ("a", 2), ("b", 3)])
    return index


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (({"a": 1, "b": 2},), {}),
        (([("a", 1), ("b", 2)],), {}),
        ((), {"a": 1, "b": 2}),
        (({"a": 1},), {"b": 2}),
        ((None, {"a": 1}), {"b": 2}),
        ((None,), {"a": 1, "b": 2}),
    ],
)
def test_it_is_made_like_a_dict(library, args, kwargs):
    index = library.Index(*args, **kwargs)
    assert os.path.dirname(index.directory) == tempfile.gettempdir()
    assert dict(index) == {"a": 1, "b": 2}
    index.cache.close()
    shutil.rmtree(index.directory)


def test_it_is_made_of_a_directory_and_more(library, directory):
    library.Index(directory, {"a": 1, "b": 2}).cache.close()
    index = library.Index(directory, [("b", 3)], c=4)
    assert index.directory == directory
    assert list(index.items()) == [("a", 1), ("b", 3), ("c", 4)]
    index.cache.close()


def test_it_is_made_of_a_cache(library, cache):
    index = library.Index.fromcache(cache, {"a": 1}, b=2)
    assert index.cache is cache
    assert dict(index) == {"a": 1, "b": 2}
    assert cache["a"] == 1


def test_what_it_is(library, index, directory):
    assert isinstance(index, collections.abc.MutableMapping)
    assert isinstance(index.cache, library.Cache)
    assert index.cache.eviction_policy == "none"
    assert repr(index) == f"Index({directory!r})"
    with pytest.raises(TypeError):
        hash(index)


def test_items(abc):
    assert abc["a"] == 2
    abc["a"] = 5
    abc["d"] = Point(1, 2)
    del abc["c"]
    assert list(abc.items()) == [("a", 5), ("b", 3), ("d", Point(1, 2))]
    assert "c" not in abc
    assert len(abc) == 3
    for call in (lambda: abc["c"], lambda: abc.__delitem__("c"), lambda: abc.pop("c")):
        with pytest.raises(KeyError) as caught:
            call()
        assert caught.value.args == ("c",)


def test_order_is_that_of_insertion(abc):
    abc["c"] = 5
    assert list(abc) == ["c", "a", "b"]
    assert list(reversed(abc)) == ["b", "a", "c"]
    abc["c"] = abc.pop("c")
    assert list(abc) == ["a", "b", "c"]


@pytest.mark.parametrize("key", [True, (1, 1.5), None, 2**70, b"b", [1]])
def test_any_key(index, key):
    index[key] = 1
    assert index[key] == 1
    assert list(index) == [key]


def test_get_and_pop_have_defaults(abc):
    assert abc.get("a") == 2
    assert abc.get("x") is None
    assert abc.get("x", 5) == 5
    assert abc.pop("a") == 2
    assert abc.pop("a", None) is None
    assert abc.pop("a", default=5) == 5


def test_setdefault(index):
    assert index.setdefault("a", 0) == 0
    assert index.setdefault("a", 1) == 0
    assert index.setdefault("b") is None
    assert list(index.items()) == [("a", 0), ("b", None)]


def test_update(index):
    index.update({"a": 1}, b=2)
    index.update([("a", 3)])
    assert list(index.items()) == [("a", 3), ("b", 2)]


def test_the_first_and_the_last_item(abc):
    assert abc.peekitem() == ("b", 3)
    assert abc.peekitem(False) == ("c", 1)
    assert abc.popitem() == ("b", 3)
    assert abc.popitem(last=False) == ("c", 1)
    assert abc.popitem(True) == ("a", 2)
    for method in (abc.popitem, abc.peekitem):
        with pytest.raises(KeyError):
            method()


def test_views(abc):
    assert list(abc.keys()) == ["c", "a", "b"]
    assert list(abc.values()) == [1, 2, 3]
    assert list(abc.items()) == [("c", 1), ("a", 2), ("b", 3)]
    assert "a" in abc.keys()  # noqa: SIM118
    assert 2 in abc.values()
    assert ("a", 2) in abc.items()
    assert ("a", 3) not in abc.items()
    assert abc.keys() & {"a", "x"} == {"a"}
    assert abc.keys() | {"x"} == {"a", "b", "c", "x"}
    assert len(abc.values()) == 3
    keys = abc.keys()
    abc["d"] = 4
    assert "d" in keys


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ({"c": 1, "a": 2, "b": 3}, True),
        ({"a": 2, "b": 3, "c": 1}, True),
        ({"a": 2, "b": 3}, False),
        ({"a": 2, "b": 3, "c": 4}, False),
        ({"a": 2, "b": 3, "d": 1}, False),
        (collections.OrderedDict([("c", 1), ("a", 2), ("b", 3)]), True),
        (collections.OrderedDict([("a", 2), ("b", 3), ("c", 1)]), False),
    ],
)
def test_order_counts_beside_what_is_ordered(abc, other, equal):
    assert (abc == other) is equal
    assert (abc != other) is not equal


def test_order_counts_beside_another_index(library, abc):
    for items, equal in (([("c", 1), ("a", 2), ("b", 3)], True), ([("a", 2), ("b", 3), ("c", 1)], False)):
        other = library.Index(items)
        assert (abc == other) is equal
        other.cache.close()
        shutil.rmtree(other.directory)


def test_queues(index):
    assert index.push("a") == FIRST
    assert index.push("b", None, "front") == FIRST - 1
    assert index.push("c", "jobs", side="back") == f"jobs-{FIRST}"
    assert index.pull() == (FIRST - 1, "b")
    assert index.pull(None, (None, None), "back") == (FIRST, "a")
    assert index.pull(default="none") == "none"
    assert index.pull("jobs") == (f"jobs-{FIRST}", "c")
    assert index.pull(prefix="jobs") == (None, None)


def test_clear(abc):
    abc.clear()
    assert len(abc) == 0
    assert dict(abc) == {}


def test_nothing_is_evicted(library, directory):
    index = library.Index(directory)
    index.cache.reset("size_limit", 1_000_000)
    for key in range(20):
        index[key] = bytes([key]) * LARGE
    assert len(index) == 20
    index.cache.close()


def test_it_can_be_pickled(abc):
    other = pickle.loads(pickle.dumps(abc))
    assert other.directory == abc.directory
    assert other == abc
    other["d"] = 4
    assert abc["d"] == 4
    other.cache.close()


def test_a_transaction_is_all_or_nothing(abc):
    with abc.transact():
        abc["a"] += 1
        abc["d"] = 4
    assert (abc["a"], abc["d"]) == (3, 4)

    def fail():
        with abc.transact():
            abc.popitem()
            abc["a"] = 0
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert (abc["a"], abc["d"]) == (3, 4)


def test_memoize_by_position(index):
    calls = []

    def function(*args):
        calls.append(args)
        return args

    memoized = index.memoize("name", True, {1})(function)
    assert memoized(1, 2) == memoized(1, 3) == (1, 2)
    assert memoized.__cache_key__(1, 2) == ("name", 1, None, int)


def test_its_items_are_there_again(library, directory):
    index = library.Index(directory, a=1, b=b"x" * LARGE)
    index.cache.close()
    again = library.Index(directory)
    assert list(again.items()) == [("a", 1), ("b", b"x" * LARGE)]
    again.cache.close()
