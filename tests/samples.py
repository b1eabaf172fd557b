"""Keys and values of every kind that a store accepts, and how to compare what comes back."""

import dataclasses
import datetime
import decimal
import enum
import math
import typing
import uuid

from hypothesis import strategies as st

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Text(str):
    __slots__ = ()


class Bytes(bytes):
    pass


class Number(int):
    pass


class Measure(float):
    pass


class Mapping(dict):
    pass


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Point(typing.NamedTuple):
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class Place:
    name: str
    number: int


# Integers and floats that meet where one of the two types loses precision or range.
NUMBERS = sorted(
    {
        sign * (2**power + step)
        for power in (0, 1, 7, 8, 15, 16, 24, 31, 32, 47, 48, 52, 53, 54, 62, 63, 64, 65, 70, 127)
        for step in (-1, 0, 1)
        for sign in (1, -1)
    }
    | {0, 10**30, -(10**30)}
)
FLOATS = [
    *{float(number) for number in NUMBERS},
    -0.0, 0.5, -0.5, 1.5, 0.1, 1e-300, 5e-324, 1e22, 1e23, 1e308, -1e308, math.inf, -math.inf,
    math.nextafter(2.0**63, 0), math.nextafter(2.0**63, math.inf), 2.0**1000,
]  # fmt: skip

texts = st.one_of(
    st.text(st.characters(), max_size=20),
    st.text(st.characters(categories=["Cs", "Ll", "Cc"]), max_size=6),
    st.sampled_from(["", "\0", "a\0", "a\0b", "\ud800", "\udfff", "\ud83d\ude00", "😀", "1", "None", "é", "e\u0301"]),
)
raw = st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"\0", b"a\0", b"a", b"\x80\x04N.", b"\xed\xa0\x80"]))
integers = st.one_of(st.integers(), st.sampled_from(NUMBERS), st.integers(-3, 3))
floats = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from(FLOATS),
    integers.filter(lambda n: abs(n) < 2**1000).map(float),
)
scalars = st.one_of(texts, raw, integers, floats, st.booleans(), st.none())
keys = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=3),
    ),
    max_leaves=8,
)

# Few keys, many ways to write each: what finds out whether two keys are one.
crowded_keys = st.recursive(
    st.sampled_from(
        [0, 0.0, -0.0, False, 1, 1.0, True, 2, 2.0, 2**53, 2.0**53, 2**53 + 1, 2**63, 2.0**63, 2**63 - 1,
         2**64, 2.0**64, 2**70, 2.0**70, math.inf, None, "", b"", "1", b"1", "a", b"a"]
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2).map(tuple), st.frozensets(inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip

any_float = st.one_of(st.floats(), floats)
immutable_values = st.recursive(
    st.one_of(texts, raw, integers, any_float, st.booleans(), st.none()),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=6,
)
values = st.recursive(
    st.one_of(
        immutable_values,
        st.frozensets(scalars, max_size=3),
        st.complex_numbers(allow_nan=False),
        st.datetimes(),
        st.decimals(allow_nan=False),
        st.uuids(),
        st.binary(max_size=10).map(bytearray),
        texts.map(Text),
        st.integers().map(Number),
        raw.map(Bytes),
        st.sampled_from([*Level, *Color]),
        st.builds(Place, st.text(max_size=5), st.integers()),
        st.builds(Point, st.floats(allow_nan=False), st.floats(allow_nan=False)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=3).map(Mapping),
        st.tuples(inner, inner),
    ),
    max_leaves=8,
)

OTHER_KEYS = [
    Color.RED,
    Color.GREEN,
    Place("here", 1),
    Place("there", 1),
    datetime.date(2026, 2, 28),
    datetime.datetime(2026, 2, 28, 12, 30, 1, 5),
    datetime.datetime(2026, 2, 28, tzinfo=datetime.timezone.utc),
    datetime.timedelta(days=1, microseconds=1),
    uuid.UUID(int=7),
    decimal.Decimal("1.1"),
    decimal.Decimal("1e-30"),
    1j,
    (Color.RED, 1),
    (1, (Place("nested", 2), None)),
    frozenset([Color.RED, Color.GREEN]),
    (uuid.UUID(int=8), frozenset([datetime.date(2026, 1, 1), "a"])),
    int,
    len,
    ...,
    range(3),
]


def same(one, other):
    """Equal and of the same types all the way down; NaN is the same as NaN, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (
            one == other or (math.isnan(one) and math.isnan(other))
        )
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


def show(value):
    """A short name of a key or value for a test's title."""
    text = ascii(value)
    return f"{type(value).__name__} {text[:30]}"
