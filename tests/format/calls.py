"""Memoized calls of every kind, whose results are in the stored directories.

The keys of these calls name the functions here, with their module, signatures, and some with their code. So nothing in
this module is renamed, moved or changed, not even what a function does; what else can be a call comes in addition.
"""

import asyncio
import collections
import dataclasses
import datetime
import decimal
import functools
import inspect
import pathlib
import re
import types
import uuid

from tests.format.entries import Color, Place, Unlisted

RAN = []
"""The arguments of every call that a function here was run with."""


def ran(*arguments):
    RAN.append(arguments)


def add(a, b=2):
    ran(a, b)
    return [a, b]


def only(a, /, b, *, c=3, d):
    ran(a, b, c, d)
    return {"a": a, "b": b, "c": c, "d": d}


def collect(first, *more, key=None, **named):
    ran(first, more, key, named)
    return (first, more, key, named)


def tell(a, b=0, *more, key=None, **named):
    ran(a, b, more, key, named)
    return "told"


def nothing():
    ran()


def show(value):
    ran(value)
    return f"what was made of a {type(value).__name__}"


async def later(a, *, b=1):
    ran(a, b)
    await asyncio.sleep(0)
    return a + b


def twice(number):
    ran(number)
    return 2 * helper(number)


def helper(number):
    return number


def made(factor):
    def times(number):
        ran(number)
        return factor * number

    return times


nameless = lambda number: ran(number) or -number  # noqa: E731 - it has no name, which is what is asked for


class Multiplier:
    def __init__(self, factor):
        self.factor = factor

    def times(self, number):
        ran(self.factor, number)
        return self.factor * number

    @classmethod
    def named(cls, number):
        ran(cls, number)
        return f"{cls.__name__} {number}"

    @staticmethod
    def halve(number):
        ran(number)
        return number / 2


class Slotted:
    __slots__ = ("__hidden", "a")

    def __init__(self, a):
        self.a = a
        self.__hidden = a


@dataclasses.dataclass
class Options:
    path: pathlib.PurePosixPath
    sizes: list


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a memoized function.

    Args:
        function: what is memoized, or a name in Multiplier.
        arguments, named: what it is called with; a function makes them anew for each call.
        result: what it returns.
        how: the arguments of ``memoize``.
        stampede: whether it is ``memoize_stampede``.
        same: other calls that are the same one.
        by_code: whether the key tells the code, which is another one under another version of Python.
        needs: the library, "numpy" or "pandas".
    """

    function: object
    arguments: object
    result: object
    named: dict = dataclasses.field(default_factory=dict)
    how: dict = dataclasses.field(default_factory=dict)
    stampede: bool = False
    same: tuple = ()
    by_code: bool = False
    needs: str | None = None

    def memoized(self, cache):
        """The memoized function."""
        decorate = cache.memoize_stampede if self.stampede else cache.memoize
        function = vars(Multiplier)[self.function] if isinstance(self.function, str) else self.function
        memoized = decorate(**self.how)(function)
        # A class method or static method is looked up in its class.
        return memoized.__get__(None, Multiplier) if isinstance(memoized, (classmethod, staticmethod)) else memoized

    def perform(self, memoized, which=None):
        """Call it; returns the result, which a coroutine is run for."""
        arguments, named = (self.arguments, self.named) if which is None else which
        result = memoized(*(arguments() if callable(arguments) else arguments), **named)
        return asyncio.run(awaited(result)) if inspect.isawaitable(result) else result


async def awaited(result):
    return await result


CALLS = {
    "by place": Call(add, (1, 3), [1, 3], same=(((1,), {"b": 3}), ((), {"b": 3, "a": 1}), ((1.0, 3), {}))),
    "with a default": Call(add, (2,), [2, 2], same=(((2, 2), {}), ((), {"a": 2}))),
    "by name": Call(only, (1,), {"a": 1, "b": 2, "c": 3, "d": 4}, {"d": 4, "b": 2}, same=(((1, 2), {"d": 4, "c": 3}),)),
    "without arguments": Call(nothing, (), None),
    "with more": Call(collect, (1, 2, "3"), (1, (2, "3"), None, {})),
    "with more by name": Call(collect, (1,), (1, (), 5, {"y": 7, "x": 6}), {"y": 7, "x": 6, "key": 5}),
    "with all": Call(collect, (1, None), (1, (None,), None, {"z": (b"1", True)}), {"z": (b"1", True)}),
    "plain arguments": Call(
        add, (("a", b"b", (1, 0.5, None)), frozenset([1, 2])), [("a", b"b", (1, 0.5, None)), frozenset([1, 2])]
    ),
    "large and odd numbers": Call(add, (2**80, float("inf")), [2**80, float("inf")]),
    "typed int": Call(add, (10,), [10, 2], how={"typed": True}),
    "typed float": Call(add, (10.0,), [10.0, 2], how={"typed": True}),
    "typed bool and more": Call(
        collect, (True, (1, "a", b"c", None)), (True, ((1, "a", b"c", None),), None, {}), how={"typed": True}
    ),
    "typed list": Call(add, lambda: ([1],), [[1], 2], how={"typed": True}),
    "ignoring by name": Call(tell, lambda: (11, object()), "told", how={"ignore": "b"}),
    "ignoring by place": Call(tell, lambda: (object(), 12), "told", how={"ignore": 0}),
    "ignoring among more": Call(
        tell, lambda: (1, 2, object(), 3), "told", {"x": 4, "y": object()}, how={"ignore": (2, "y", "key")}
    ),
    "under another name": Call(add, (13,), [13, 2], how={"name": "sum"}),
    "with expiry and a tag": Call(add, (14,), [14, 2], how={"expire": 4e9, "tag": "memoized"}),
    "method": Call("times", lambda: (Multiplier(3), 5), 15),
    "method without self": Call("times", lambda: (Multiplier(4), 5), 20, how={"ignore": "self"}),
    "class method": Call("named", (5,), "Multiplier 5"),
    "static method": Call("halve", (5,), 2.5),
    "coroutine": Call(later, (1,), 3, {"b": 2}),
    "stampede": Call(add, (15,), [15, 2], how={"expire": 4e9}, stampede=True),
    "stampede of a coroutine": Call(later, (16,), 17, how={"expire": 4e9, "tag": "t", "typed": True}, stampede=True),
    "large result": Call(add, ("r" * 100, "s" * 300), ["r" * 100, "s" * 300]),
    "by the version": Call(twice, (21,), 42, how={"version_aware": True}, by_code=True),
    "lambda": Call(nameless, (5,), -5, by_code=True),
    "inner function": Call(made(3), (5,), 15, by_code=True),
}

CONTENTS = {
    "list": lambda: [1, "a", None],
    "dict": lambda: {"b": [2], "a": 1},
    "set": lambda: {"a", "b", 3},
    "frozenset with what is not plain": lambda: frozenset([Color.RED, "b"]),
    "tuple with a list": lambda: ([1], "a"),
    "NaN": lambda: float("nan"),
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "complex": lambda: 1 + 2j,
    "enum": lambda: Color.RED,
    "dataclass": lambda: Options(pathlib.PurePosixPath("a"), [1, 2]),
    "frozen dataclass": lambda: Place("here", 1),
    "other dataclass": lambda: Unlisted("here"),
    "instance": lambda: Multiplier(2),
    "slots": lambda: Slotted(1),
    "datetime": lambda: datetime.datetime(2024, 1, 2, 3, 4, 5, 6, datetime.timezone.utc),
    "date": lambda: datetime.date(2024, 1, 2),
    "timedelta": lambda: datetime.timedelta(1, 2, 3),
    "Decimal": lambda: decimal.Decimal("0.10"),
    "UUID": lambda: uuid.UUID(int=5),
    "path": lambda: pathlib.PurePosixPath("a/b"),
    "range": lambda: range(0, 10, 3),
    "slice": lambda: slice(1, None, 2),
    "Ellipsis": lambda: ...,
    "function": lambda: add,
    "built-in function": lambda: len,
    "class": lambda: Options,
    "built-in class": lambda: int,
    "method": lambda: Multiplier(2).times,
    "partial": lambda: functools.partial(add, 1),
    "pattern": lambda: re.compile("a+"),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "exception": lambda: ValueError("a"),
    "OrderedDict": lambda: collections.OrderedDict(b=1, a=2),
    "deque": lambda: collections.deque([1, 2], 3),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
}


def array():
    import numpy

    return numpy.arange(6, dtype="<f8").reshape(2, 3)


def structured_array():
    import numpy

    return numpy.array([(1, 0.5)], [("a", "<i2"), ("b", "<f8")])


def scalar():
    import numpy

    return numpy.datetime64("2026-01-01", "D")


def frame():
    import pandas

    return pandas.DataFrame(array())


CALLS |= {
    f"content: {name}": Call(
        show, lambda content=content: (content(),), f"what was made of a {type(content()).__name__}"
    )
    for name, content in CONTENTS.items()
}
CALLS |= {
    "content: array": Call(show, lambda: (array(),), "what was made of a ndarray", needs="numpy"),
    "content: array with fields": Call(
        show, lambda: (structured_array(),), "what was made of a ndarray", needs="numpy"
    ),
    "content: scalar of numpy": Call(show, lambda: (scalar(),), "what was made of a datetime64", needs="numpy"),
    "content: frame": Call(show, lambda: (frame(),), "what was made of a DataFrame", needs="pandas"),
}
