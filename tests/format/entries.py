"""What the stored directories hold: keys, values, tags and expiries, as Python builds them.

The names in this module are part of what is stored: signed pickles, and the keys of memoized calls, name
``tests.format.entries``. So nothing here is renamed, moved or changed; what a later format can do comes in addition.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import typing
import uuid

import msgspec

SECRET = "the secret of the stored directories"

# The writers' clock stands still, so that what expires is known to the millisecond.
WRITTEN_AT = 1_700_000_000.0
FAR = 4e9
SOON = 10.0


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(typing.NamedTuple):
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class Place:
    name: str
    number: int


SAFE_TYPES = (Color, Level, Access, Point, Place)


@dataclasses.dataclass(frozen=True)
class Unlisted:
    """Not in safe_types: signed."""

    name: str


UTC = datetime.timezone.utc
NEPAL = datetime.timezone(datetime.timedelta(hours=5, minutes=45), "Nepal")

# The value of each is its name. In this order they are iterated over.
KEYS = {
    "text": "text",
    "empty text": "",
    "text of one byte a character": "grün",
    "text of two": "зелёный",
    "text of four": "🟢",
    "text with a NUL": "a\0b",
    "text with a lone surrogate": "\ud800",
    "bytes": b"bytes",
    "empty bytes": b"",
    "bytes that begin like an encoding": b"\xfcfc\x01N",
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "largest of 64 bits": 2**63 - 1,
    "smallest of 64 bits": -(2**63),
    "beyond 64 bits": 2**63,
    "below 64 bits": -(2**63) - 1,
    "forty digits": 10**40,
    "half": 0.5,
    "tiny": 5e-324,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "float beyond 64 bits": 2.0**80,
    "None": None,
    "empty tuple": (),
    "flat tuple": ("a", b"b", 3, 0.5, None),
    "tuple of True": (True,),
    "tuple of large numbers": (2**64, -(10**30)),
    "nested tuple": (1, (2, (3, ("four",)))),
    "empty frozenset": frozenset(),
    "frozenset": frozenset(["a", b"b", 3, (4,)]),
    "date": datetime.date(2026, 1, 1),
    "time": datetime.time(1, 2, 3, 4, fold=1),
    "datetime": datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
    "datetime of UTC": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "datetime in a zone": datetime.datetime(2026, 1, 2, 3, 4, 6, tzinfo=NEPAL),
    "timedelta": datetime.timedelta(-1, 2, 3),
    "timezone": NEPAL,
    "Decimal": decimal.Decimal("1.10"),
    "Fraction": fractions.Fraction(1, 3),
    "UUID": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "path": pathlib.PurePosixPath("a/../b"),
    "path of Windows": pathlib.PureWindowsPath("c:/a/b.txt"),
    "complex": 1.5 - 2j,
    "range": range(1, 10, 3),
    "Ellipsis": ...,
    "enum": Color.RED,
    "flag": Access.READ,
    "flags": Access.READ | Access.WRITE,
    "dataclass": Place("here", 1),
    "tuple of a date": ("day", datetime.date(2026, 1, 2)),
    "frozenset of one enum": frozenset([Color.GREEN]),
    "signed": Unlisted("key"),
    "tuple of what is signed": (1, Unlisted("part")),
}

# Each under ("value", its name).
VALUES = {
    "None": None,
    "True": True,
    "False": False,
    "int": 42,
    "largest int of 64 bits": 2**63 - 1,
    "int beyond 64 bits": 2**63,
    "negative int beyond 64 bits": -(10**40),
    "float": 0.1,
    "negative zero": -0.0,
    "NaN": math.nan,
    "infinity": math.inf,
    "text": "grün зелёный 🟢",
    "empty text": "",
    "text with a NUL": "a\0b",
    "text with a lone surrogate": "a\ud800b",
    "bytes": bytes(range(256)),
    "empty bytes": b"",
    "bytearray": bytearray(b"abc"),
    "tuple": (1, "a", (None, b"b")),
    "list": [1, [2.5, "a"], None],
    "dict": {"a": 1, 2: [b"c"], None: {}},
    "set": {1, 2, 3},
    "frozenset": frozenset([1, 2, 3]),
    "date": datetime.date(2026, 1, 1),
    "time": datetime.time(1, 2, 3, 4, UTC),
    "datetime": datetime.datetime(2026, 1, 2, 3, 4, 5, 6),
    "datetime in a zone": datetime.datetime(2026, 1, 2, 3, 4, 5, 6, NEPAL, fold=1),
    "timedelta": datetime.timedelta(-1, 2, 3),
    "Decimal": decimal.Decimal("-1.500"),
    "Fraction": fractions.Fraction(-7, 3),
    "UUID": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "path": pathlib.PurePosixPath("/a/b"),
    "path of Windows": pathlib.PureWindowsPath("//host/share/x"),
    "complex": 1.5 - 2j,
    "range": range(1, 10, 3),
    "slice": slice(None, 3, -1),
    "Ellipsis": [..., NotImplemented],
    "OrderedDict": collections.OrderedDict(b=1, a=2),
    "deque": collections.deque([1, [2]], 5),
    "defaultdict": collections.defaultdict(list, {1: [2]}),
    "enum": Color.GREEN,
    "enum of ints": Level.HIGH,
    "flags": Access.READ | Access.WRITE,
    "namedtuple": Point(1.0, 2.5),
    "dataclass": Place("there", 2),
    "of all": {"when": [datetime.date(2026, 1, 1)], "where": (Place("here", 1), Color.RED)},
    "signed": Unlisted("value"),
    "signed among plain": [1, Unlisted("part"), decimal.Decimal("0.1")],
    "signed class": Unlisted,
    "signed exception": KeyError("lost"),
}
SIGNED = [name for name in VALUES if name.startswith("signed")]

# The same in a file each: they were written with a limit for rows of SMALL bytes.
SMALL = 256
FILES = {
    "text": "grün " * 100,
    "text with lone surrogates": "\ud800" * 100,
    "bytes": bytes(range(256)) * 2,
    "list": list(range(300)),
    "dataclass": Place("far away " * 40, 1),
    "signed": Unlisted("long " * 100),
}

TAGGED = {
    "a": ("tag", "first"),
    "b": ("tag", 2),
    "c": ("tag", [3]),
    "text": "",
    "bytes": b"tag",
    "int": 7,
    "float": 0.5,
}
TAGGED = {name: tag if isinstance(tag, tuple) else (tag, name) for name, tag in TAGGED.items()}

# What is in an Index, in this order.
ITEMS = {
    "first": 1,
    2: "second",
    ("third", None): [3],
    datetime.date(2026, 1, 4): decimal.Decimal("4.0"),
    b"fifth": Unlisted("fifth"),
    "large": b"6" * 2 * SMALL,
}

# What is in each kind of Fanout: enough to be in all of its shards.
SHARDS = 2
SPREAD = ITEMS | {("number", number): number for number in range(20)}

# A limited cache: what was used since it was written, and what was not, in the order in which it was written.
LIMIT = 256 * 1024
USED = range(6)
UNUSED = range(6, 24)
PIECE = "x" * 1000


class Group(enum.Enum):
    ADMINS = "admins"


class User(msgspec.Struct):
    name: str
    groups: set[Group] = set()
    born: datetime.date | None = None
    balance: decimal.Decimal = decimal.Decimal(0)
    identity: uuid.UUID | None = None
    friends: list["User"] = []
    picture: bytes = b""


USERS = {
    "small": User("ann"),
    "large": User(
        "bob",
        {Group.ADMINS},
        datetime.date(2000, 1, 2),
        decimal.Decimal("1.50"),
        uuid.UUID(int=7),
        [User("ann")],
        b"\x00\xff",
    ),
    "in a file": User("eve", picture=bytes(2 * SMALL)),
}


def arrays():
    """Values of numpy's types by name."""
    import numpy

    return {
        "small": numpy.arange(6, dtype="<i4").reshape(2, 3),
        "in Fortran's order": numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
        "empty": numpy.empty((0, 3)),
        "big-endian": numpy.array([1, 2], ">u2"),
        "bool": numpy.array([True, False]),
        "complex": numpy.array([1 + 2j]),
        "text": numpy.array(["grün", "🟢"]),
        "bytes": numpy.array([b"a", b"bc"]),
        "datetime64": numpy.array(["2026-01-01", "NaT"], "datetime64[D]"),
        "timedelta64": numpy.array([1, 2], "timedelta64[ms]"),
        "structured": numpy.array([(1, 0.5), (2, 1.5)], [("a", "<i2"), ("b", "<f8", (1,))]),
        "scalar": numpy.float32(1.5),
        "scalar of time": numpy.datetime64("2026-01-01T00:00", "s"),
        "text scalar": numpy.str_("a\0"),
        "dtype": numpy.dtype("<f4"),
        "in a list": [numpy.arange(3), {"a": numpy.ones(2)}],
        "objects, signed": numpy.array([1, "a", None], object),
    }


IN_MESSAGEPACK = ("small", "in Fortran's order", "big-endian", "datetime64", "structured", "scalar")


def array_files():
    """The same in a file each, which is mapped, but for the array among what is signed."""
    import numpy

    return {
        "beside its pickle": numpy.zeros((3, 700)),
        "signed, with an array": [numpy.zeros(2100), Unlisted("part")],
    }


def frames():
    """Values of pandas's types by name."""
    import numpy
    import pandas

    return {
        "frame": pandas.DataFrame(numpy.arange(6.0).reshape(3, 2)),
        "series": pandas.Series(numpy.array([1, 2, 3]), name=7),
    }


COMPRESSED = {
    "text": "grün " * 1000,
    "bytes": bytes(range(256)) * 20,
    "list": list(range(100)) * 20,
    "signed": [Unlisted("part")] * 20 + ["long " * 500],
    "in a file": " ".join(f"number {number}" for number in range(300)),
}
