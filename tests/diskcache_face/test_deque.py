"""A Deque is what ``collections.deque`` is, as far as diskcache's goes, on disk."""

import collections
import collections.abc
import os
import pickle
import shutil
import tempfile

import pytest

from ..together import together
from . import LARGE, Point

ITEMS = ["a", 1, None, (2, "b"), "a", b"x" * LARGE, [1], 1.0, True, Point(1, 2)]
ENDLESS = float("inf")


def outcome(function):
    try:
        return function()
    except (IndexError, ValueError, TypeError) as error:
        return type(error)


def test_arguments_by_position(library, directory):
    deque = library.Deque([1, 2, 3], directory, 2)
    assert list(deque) == [2, 3]
    assert deque.directory == directory
    assert deque.maxlen == 2
    deque.cache.close()


def test_without_a_limit(library, deque):
    assert deque.maxlen == ENDLESS
    assert isinstance(deque.cache, library.Cache)
    assert deque.cache.eviction_policy == "none"
    assert deque.cache.directory == deque.directory


def test_without_a_directory_it_is_a_temporary_one(library):
    deque = library.Deque("abc")
    assert os.path.dirname(deque.directory) == tempfile.gettempdir()
    again = library.Deque(directory=deque.directory)
    assert list(again) == ["a", "b", "c"]
    for opened in (deque, again):
        opened.cache.close()
    shutil.rmtree(deque.directory)


def test_it_is_a_sequence(deque):
    assert isinstance(deque, collections.abc.Sequence)
    with pytest.raises(TypeError):
        hash(deque)


def test_it_shows_its_directory(deque, directory):
    assert repr(deque) == f"Deque(directory={directory!r})"


@pytest.mark.parametrize(
    "change",
    [
        lambda deque: deque.append(9),
        lambda deque: deque.appendleft(9),
        lambda deque: deque.extend("xyz"),
        lambda deque: deque.extendleft("xyz"),
        lambda deque: deque.__iadd__("xyz"),
        lambda deque: deque.extend([]),
        lambda deque: deque.pop(),
        lambda deque: deque.popleft(),
        lambda deque: deque.clear(),
        lambda deque: deque.reverse(),
        lambda deque: deque.rotate(),
        lambda deque: deque.rotate(3),
        lambda deque: deque.rotate(-2),
        lambda deque: deque.rotate(0),
        lambda deque: deque.rotate(1234567),
        lambda deque: deque.rotate(-1234567),
        lambda deque: deque.rotate(0.5),
        lambda deque: deque.rotate("1"),
        lambda deque: deque.remove("a"),
        lambda deque: deque.remove(Point(1, 2)),
        lambda deque: deque.remove("absent"),
        lambda deque: deque[0],
        lambda deque: deque[3],
        lambda deque: deque[-1],
        lambda deque: deque[-10],
        lambda deque: deque[10],
        lambda deque: deque[-11],
        lambda deque: deque["0"],
        lambda deque: deque.__setitem__(0, "new"),
        lambda deque: deque.__setitem__(-2, "new"),
        lambda deque: deque.__setitem__(10, "new"),
        lambda deque: deque.__delitem__(0),
        lambda deque: deque.__delitem__(-3),
        lambda deque: deque.__delitem__(5),
        lambda deque: deque.__delitem__(-11),
        lambda deque: deque.count("a"),
        lambda deque: deque.count(1),
        lambda deque: deque.count("absent"),
        lambda deque: deque.index("a"),
        lambda deque: deque.index("a", 1),
        lambda deque: deque.index("a", 1, 3),
        lambda deque: deque.index("absent"),
        lambda deque: "a" in deque,
        lambda deque: "absent" in deque,
        len,
        lambda deque: list(reversed(deque)),
    ],
)
@pytest.mark.parametrize("items", [ITEMS, []], ids=["full", "empty"])
def test_it_does_what_a_deque_in_memory_does(deque, items, change):
    plain = collections.deque(items)
    deque.extend(items)
    ours, theirs = outcome(lambda: change(deque)), outcome(lambda: change(plain))
    if isinstance(theirs, collections.deque):
        assert ours is deque
    else:
        assert ours == theirs
    assert list(deque) == list(plain)
    assert len(deque) == len(plain)


@pytest.mark.parametrize("maxlen", [0, 1, 3, 10])
@pytest.mark.parametrize("method", ["extend", "extendleft"])
def test_what_is_too_much_falls_out_at_the_other_end(library, directory, maxlen, method):
    plain = collections.deque("abc", maxlen)
    deque = library.Deque("abc", directory, maxlen)
    assert list(deque) == list(plain)
    for values in ("defg", "h"):
        getattr(deque, method)(values)
        getattr(plain, method)(values)
        assert list(deque) == list(plain)
    deque.cache.close()


def test_a_smaller_limit_drops_from_the_left(deque):
    deque.extend("abcde")
    deque.maxlen = 3
    assert deque.maxlen == 3
    assert list(deque) == ["c", "d", "e"]
    deque.append("f")
    assert list(deque) == ["d", "e", "f"]
    deque.maxlen = 5
    deque.extend("gh")
    assert list(deque) == list("defgh")


@pytest.mark.parametrize("other", [["a", 1], ["a", 0], ["a", 2], ["a"], ["a", 1, 0], [], ("a", 1), ["b"]])
@pytest.mark.parametrize("operator", ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_it_is_compared_as_lists_are(deque, operator, other):
    deque.extend(["a", 1])
    assert getattr(deque, operator)(other) is getattr(["a", 1], operator)(list(other))


def test_it_is_compared_with_another(library, deque):
    deque.extend("abc")
    other = library.Deque("abc")
    assert deque == other
    other.append("d")
    assert deque < other
    other.cache.close()
    shutil.rmtree(other.directory)


@pytest.mark.parametrize("other", [5, None, {"a"}, iter("a")])
def test_what_is_no_sequence_is_another(deque, other):
    deque.append("a")
    assert deque != other
    assert (deque == other) is False
    with pytest.raises(TypeError):
        deque < other  # noqa: B015


@pytest.mark.parametrize(
    ("method", "message"), [("pop", "pop"), ("popleft", "pop"), ("peek", "peek"), ("peekleft", "peek")]
)
def test_an_empty_one_says_so(deque, method, message):
    with pytest.raises(IndexError, match=f"{message} from an empty deque"):
        getattr(deque, method)()


@pytest.mark.parametrize("item", [None, 0, "", b"x" * LARGE])
def test_peek_leaves_what_it_sees(deque, item):
    deque.extend([item, "middle", item])
    assert deque.peek() == item
    assert deque.peekleft() == item
    assert len(deque) == 3


def test_what_is_absent_is_a_value_error(deque):
    with pytest.raises(ValueError, match="not in deque"):
        deque.remove("absent")


def test_it_can_be_pickled(library, directory):
    deque = library.Deque("abc", directory, maxlen=5)
    other = pickle.loads(pickle.dumps(deque))
    assert other.directory == directory
    assert other.maxlen == 5
    assert list(other) == ["a", "b", "c"]
    for opened in (deque, other):
        opened.cache.close()


def test_a_copy_has_the_same_items(deque):
    deque.maxlen = 4
    copy = deque.copy()
    assert copy.directory == deque.directory
    assert copy.maxlen == 4
    copy.extend("abc")
    assert list(deque) == ["a", "b", "c"]
    copy.cache.close()


def test_it_can_be_of_a_cache(library, cache):
    deque = library.Deque.fromcache(cache, "abcd", 3)
    assert deque.cache is cache
    assert list(deque) == ["b", "c", "d"]
    assert deque.maxlen == 3
    assert [cache[key] for key in cache.iterkeys()] == ["b", "c", "d"]
    assert cache.pull()[1] == "b"
    assert library.Deque.fromcache(cache).maxlen == ENDLESS


def test_a_transaction_is_all_or_nothing(deque):
    deque.extend("abc")
    with deque.transact():
        deque.appendleft(deque.pop())
        deque.append("d")
    assert list(deque) == ["c", "a", "b", "d"]

    def fail():
        with deque.transact():
            deque.popleft()
            deque.clear()
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert list(deque) == ["c", "a", "b", "d"]


def test_its_items_are_there_again(library, directory):
    deque = library.Deque(ITEMS, directory)
    deque.cache.close()
    again = library.Deque(directory=directory)
    assert list(again) == ITEMS
    again.append("more")
    assert again.pop() == "more"
    again.cache.close()


def test_threads_share_it(library, deque, directory):
    def consume():
        own = library.Deque(directory=directory)
        taken = []
        while len(taken) < 50:
            try:
                taken.append(own.popleft())
            except IndexError:
                continue
        own.cache.close()
        return taken

    taken = together(consume, consume, lambda: deque.extend(range(100)))
    assert sorted(taken[0] + taken[1]) == list(range(100))
    assert taken[0] == sorted(taken[0])


def test_it_can_be_changed_while_iterating(deque):
    deque.extend(range(300))
    for value in deque:
        deque.remove(value)
        if value == 20:
            break
    assert deque.peekleft() == 21
