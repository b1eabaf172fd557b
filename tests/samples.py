"""Keys and values of every kind that a store accepts, and how to compare what comes back."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import http
import importlib.util
import math
import pathlib
import re
import signal
import socket
import typing
import uuid
import zoneinfo

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


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


class Style(enum.IntFlag):
    BOLD = 1
    WIDE = 2


class Code(str, enum.Enum):
    FOUND = "found"


class Holiday(datetime.date, enum.Enum):
    NEW_YEAR = 2026, 1, 1


class Odd(enum.Enum):
    """Values that nobody finds a member by, or that are no plain data."""

    NAN = math.nan
    LIST = [1]  # noqa: RUF012 - nobody can hash it
    CLASS = int
    PAIR = (1, ("a", None))


class Planet(enum.Enum):
    EARTH = (5.97, 6.37)

    def __new__(cls, mass, radius):
        made = object.__new__(cls)
        made._value_ = mass
        made.radius = radius
        return made


class ByGlobalName(enum.Enum):
    """Reduces as what is converted from the constants of a module."""

    ABOVE = 1

    def __reduce_ex__(self, protocol):
        return self._name_


ABOVE = ByGlobalName.ABOVE


class ByEnumName(enum.Enum):
    """Reduces as every enum does in Python 3.11.2, and with enum.pickle_by_enum_name."""

    LEFT = 1

    def __reduce_ex__(self, protocol):
        return getattr, (type(self), self._name_)


@dataclasses.dataclass(frozen=True, slots=True)
class Slim:
    name: str
    access: Access = Access.READ


@dataclasses.dataclass
class Plan:
    steps: list
    note: object = None


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
    """Equal and of the same types all the way down, also those of numpy and pandas; NaN is NaN, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (
            one == other or (math.isnan(one) and math.isnan(other))
        )
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return one == other and {type(part) for part in one} == {type(part) for part in other}
    if isinstance(one, dict):
        return same(list(one), list(other)) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, BaseException):
        return same(one.args, other.args)
    if type(one).__module__.partition(".")[0] == "pandas":
        return same(one.to_dict(), other.to_dict())
    if type(one).__module__ == "numpy" and type(one).__name__ == "ndarray":
        is_alike = one.dtype == other.dtype and one.shape == other.shape
        return is_alike and one.flags.f_contiguous == other.flags.f_contiguous and same(one.tolist(), other.tolist())
    return bool(one == other)


def show(value):
    """A short name of a key or value for a test's title."""
    text = ascii(value)
    return f"{type(value).__name__} {text[:30]}"


# What reduces in another way in another version of Python, of its library, or of numpy, or might; by a name. The
# classes are in safe_types.
REDUCED = {
    "enum": Color.RED,
    "enum of ints": Level.HIGH,
    "flag": Access.WRITE,
    "flags": Access.READ | Access.RUN,
    "no flag": Access(0),
    "int flag": Style.BOLD,
    "int flags": Style.BOLD | Style.WIDE,
    "int flag without a name": Style(9),
    "enum of texts": Code.FOUND,
    "enum of dates": Holiday.NEW_YEAR,
    "enum with a NaN": Odd.NAN,
    "enum with a list": Odd.LIST,
    "enum with a class": Odd.CLASS,
    "enum with a tuple": Odd.PAIR,
    "enum with a constructor": Planet.EARTH,
    "enum by a global's name": ByGlobalName.ABOVE,
    "enum by its own name": ByEnumName.LEFT,
    "enum of a module's constants": socket.AddressFamily.AF_INET,
    "signal": signal.Signals.SIGINT,
    "flag of re": re.RegexFlag.IGNORECASE,
    "flags of re": re.RegexFlag.IGNORECASE | re.RegexFlag.MULTILINE,
    "HTTP status": http.HTTPStatus.NOT_FOUND,
    "frozen dataclass": Place("here", 1),
    "slim dataclass": Slim("a", Access.READ | Access.WRITE),
    "dataclass": Plan([Color.GREEN, (Level.LOW,)], {"a": Access.RUN}),
    "namedtuple": Point(1.0, 2.5),
    "path": pathlib.PurePosixPath("a/../b"),
    "path of parts": pathlib.PurePosixPath("/", "a", "b"),
    "empty path": pathlib.PurePosixPath(),
    "path of Windows": pathlib.PureWindowsPath("c:/a/b.txt"),
    "path on a drive": pathlib.PureWindowsPath("c:x"),
    "path on a share": pathlib.PureWindowsPath("//host/share/x"),
    "date": datetime.date(2026, 2, 28),
    "time": datetime.time(1, 2, 3, 4, fold=1),
    "datetime": datetime.datetime(2026, 2, 28, 12, 30, 1, 5),
    "datetime in a zone": datetime.datetime(2026, 2, 28, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "one")),
    "datetime of UTC": datetime.datetime(2026, 2, 28, tzinfo=datetime.timezone.utc),
    "timedelta": datetime.timedelta(-1, 2, 3),
    "decimal": decimal.Decimal("-1.500"),
    "fraction": fractions.Fraction(-7, 3),
    "UUID": uuid.UUID(int=7),
    "range": range(1, 10, 3),
    "slice": slice(None, 3, -1),
    "complex": 1.5 - 2j,
    "ellipsis": [..., NotImplemented],
    "deque": collections.deque([1, [2]], 5),
    "defaultdict": collections.defaultdict(list, {1: [2]}),
    "ordered dict": collections.OrderedDict(b=1, a=[Color.RED]),
}
REDUCED_TYPES = [
    *(Color, Level, Access, Style, Code, Holiday, Odd, Planet, ByGlobalName, ByEnumName, Place, Slim, Plan, Point),
    *(socket.AddressFamily, signal.Signals, re.RegexFlag, http.HTTPStatus, zoneinfo.ZoneInfo),
]
with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError):
    REDUCED |= {
        "zone": zoneinfo.ZoneInfo("UTC"),
        "datetime in a named zone": datetime.datetime(2026, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("UTC")),
    }
if importlib.util.find_spec("numpy"):
    import numpy

    REDUCED |= {
        "numpy's float": numpy.float32(1.5),
        "numpy's int": numpy.int64(-7),
        "numpy's bool": numpy.bool_(True),
        "numpy's complex": numpy.complex128(1 - 2j),
        "numpy's text": numpy.str_("a"),
        "numpy's bytes": numpy.bytes_(b"a"),
        "numpy's datetime": numpy.datetime64("2026-02-28", "D"),
        "numpy's timedelta": numpy.timedelta64(5, "s"),
        "dtype": numpy.dtype([("a", "<i4"), ("b", "<f8", (2, 3))]),
        "array": numpy.arange(6.0).reshape(2, 3),
        "array of text": numpy.array(["ab", "c"]),
    }


def same_reduced(one, other):
    """Equal and of one type; members of enums are the same object, but for flags: Python 3.11.2 makes some anew."""
    if isinstance(other, enum.Enum) and not isinstance(other, enum.Flag):
        return one is other
    equal = one == other
    return type(one) is type(other) and bool(equal if isinstance(equal, bool) else equal.all())
