"""What can be a key, which keys are the same, and what comes back of a value."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import pathlib
import pickle
import uuid

import pytest

from . import LARGE, Point

Pair = collections.namedtuple("Pair", "left right")


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Card:
    suit: str
    rank: int


KEYS = [
    "text",
    "",
    "ünïcödé \N{SNOWMAN}",
    b"bytes",
    b"",
    b"\x00\xff",
    0,
    -1,
    2**63 - 1,
    -(2**63),
    2**63,
    2**100,
    1.5,
    -2.5e-300,
    float("inf"),
    None,
    True,
    False,
    (),
    ("a", 1),
    (("nested", 1.5), None),
    [1, "a"],
    {"a": 1},
    frozenset({1}),
    Pair(1, 2),
    Colour.RED,
    Text("text"),
    1j,
    datetime.date(2026, 1, 2),
    decimal.Decimal("1.5"),
    uuid.UUID(int=5),
    Point(1, 2),
    Card("hearts", 7),
    "x" * 10_000,
    int,
    len,
]
VALUES = [
    *KEYS,
    bytearray(b"array"),
    {1, 2},
    {"a": [1, {"b": (2, None)}]},
    [],
    {},
    collections.OrderedDict([("b", 1), ("a", 2)]),
    collections.Counter("aab"),
    collections.defaultdict(list, a=[1]),
    collections.deque([1, 2], 5),
    array.array("d", [1, 2]),
    range(5),
    slice(1, 2),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
    datetime.timedelta(seconds=1),
    fractions.Fraction(1, 3),
    pathlib.PurePosixPath("/a/b"),
    ValueError("wrong"),
    Ellipsis,
    "x" * LARGE,
    "ünïcödé\n" * LARGE,
    b"x" * LARGE,
    bytes(range(256)) * 1000,
    list(range(LARGE)),
    ("x" * LARGE, Point(1, 2)),
    (None,) * LARGE,
]
SAME = [
    (1, 1.0),
    (2**53, float(2**53)),
    ("a", "".join(["", "a"])),
    (("a", 1), ("".join(["", "a"]), 1)),
    ([1, 2], [1, 2]),
    (Card("hearts", 7), Card("hearts", 7)),
]
DIFFERENT = [
    (1, True),
    (0, False),
    (1, "1"),
    (1, 1j),
    (1, Colour.RED),
    ("a", b"a"),
    ("text", Text("text")),
    (None, "None"),
    ((1,), (1.0,)),
    ((1,), (True,)),
    ((1, 2), [1, 2]),
    ((1, 2), Pair(1, 2)),
    (("a",), (b"a",)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    (decimal.Decimal("1"), 1),
    (decimal.Decimal("1.0"), decimal.Decimal("1")),
    (b"a", bytearray(b"a")),
]


def name(value):
    return f"{type(value).__name__}-{str(value)[:12]!a}"


def assert_same(left, right):
    assert type(left) is type(right)
    if isinstance(left, Exception):
        left, right = left.args, right.args
    assert left == right


@pytest.mark.parametrize("key", KEYS, ids=name)
def test_a_key(cache, key):
    cache[key] = "value"
    assert cache[key] == "value"
    assert key in cache
    (found,) = cache
    assert_same(found, key)
    assert cache[found] == "value"
    assert list(cache.iterkeys()) == [key]
    assert cache.peekitem() == (key, "value")
    assert cache.pop(key) == "value"
    assert key not in cache


@pytest.mark.parametrize(("one", "other"), SAME, ids=name)
def test_what_is_one_key(cache, one, other):
    cache[one] = 1
    assert other in cache
    cache[other] = 2
    assert cache[one] == 2
    assert len(cache) == 1


@pytest.mark.parametrize(("one", "other"), DIFFERENT, ids=name)
def test_what_are_two_keys(cache, one, other):
    cache[one] = 1
    assert other not in cache
    cache[other] = 2
    assert (cache[one], cache[other]) == (1, 2)
    assert len(cache) == 2


def test_all_keys_together(cache):
    for number, key in enumerate(KEYS):
        cache[key] = number
    assert [cache[key] for key in KEYS] == list(range(len(KEYS)))
    assert list(cache) == KEYS
    assert list(reversed(cache)) == KEYS[::-1]


def test_the_first_key_stays_when_an_equal_one_is_set(cache):
    cache[1] = "a"
    cache[1.0] = "b"
    (key,) = cache
    assert type(key) is int


@pytest.mark.parametrize("key", [lambda: None, (number for number in ())], ids=["lambda", "generator"])
def test_what_cannot_be_pickled_is_no_key(cache, key):
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        cache[key] = 1
    assert len(cache) == 0


@pytest.mark.parametrize("value", VALUES, ids=name)
def test_a_value(cache, value):
    cache["key"] = value
    assert_same(cache["key"], value)
    assert_same(cache.get("key"), value)
    assert_same(cache.pop("key"), value)


@pytest.mark.parametrize("limit", [0, 100, 10_000_000])
def test_values_are_the_same_wherever_they_lie(library, directory, limit):
    with library.Cache(directory, disk_min_file_size=limit) as cache:
        for number, value in enumerate(VALUES):
            cache[number] = value
    with library.Cache(directory) as again:
        for number, value in enumerate(VALUES):
            assert_same(again[number], value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_any_protocol_of_pickle(library, directory, protocol):
    with library.Cache(directory, disk_pickle_protocol=protocol) as cache:
        cache[("a", 1)] = Point(1, 2)
        assert cache[("a", 1)] == Point(1, 2)
        assert list(cache) == [("a", 1)]


def test_what_is_read_is_a_copy(cache):
    value = [1, [2]]
    cache["key"] = value
    value[1].append(3)
    assert cache["key"] == [1, [2]]
    cache["key"][1].append(4)
    assert cache["key"] == [1, [2]]
    assert cache["key"] is not cache["key"]


@pytest.mark.parametrize("value", [lambda: None, (number for number in ())], ids=["lambda", "generator"])
def test_what_cannot_be_pickled_is_no_value(cache, value):
    cache["key"] = 1
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        cache["key"] = value
    assert cache["key"] == 1


@pytest.mark.parametrize("content", [b"", b"few", b"many" * LARGE])
def test_a_file_can_be_stored(cache, content):
    assert cache.set("key", io.BytesIO(content), read=True) is True
    assert cache["key"] == content
    with cache.read("key") as reader:
        assert reader.read() == content


@pytest.mark.parametrize("method", ["set", "add"])
def test_an_open_file_is_stored_from_where_it_stands(cache, tmp_path, method):
    path = tmp_path / "file"
    path.write_bytes(b"head" + b"x" * LARGE)
    with path.open("rb") as file:
        file.read(4)
        getattr(cache, method)("key", file, 100, True, "tag")
    assert cache.get("key", tag=True) == (b"x" * LARGE, "tag")


def test_a_large_value_can_be_read_as_a_file(cache):
    cache.set("key", b"x" * LARGE, tag="tag")
    with cache.get("key", read=True) as reader:
        assert reader.read(5) == b"xxxxx"
        assert len(reader.read()) == LARGE - 5
    reader, expire_time, tag = cache.get("key", None, True, True, True)
    with reader:
        assert reader.read() == b"x" * LARGE
    assert (expire_time, tag) == (None, "tag")
    with cache.read("key", True) as reader:
        assert reader.read() == b"x" * LARGE


def test_a_reader_has_the_name_of_its_file(cache, directory):
    cache["key"] = b"x" * LARGE
    with cache.read("key") as reader:
        path = pathlib.Path(reader.name)
    assert path.is_relative_to(directory)
    assert path.read_bytes() == b"x" * LARGE


def test_a_reader_goes_on_when_its_entry_is_replaced(cache):
    cache["key"] = b"x" * LARGE
    with cache.read("key") as reader:
        cache["key"] = b"y" * LARGE
        assert reader.read() == b"x" * LARGE


@pytest.mark.parametrize("value", ["text", b"bytes", 5, None, [1]])
def test_a_small_value_is_itself_where_a_file_was_asked_for(cache, value):
    cache["key"] = value
    assert cache.get("key", read=True) == value
    assert cache.read("key") == value


def test_there_is_no_file_of_what_is_absent(cache):
    with pytest.raises(KeyError):
        cache.read("absent")
    assert cache.get("absent", "none", read=True) == "none"
