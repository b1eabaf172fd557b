"""What memoized functions promise, and that of all who miss one key at the same time one computes."""

import asyncio
import contextvars
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import gc
import importlib
import inspect
import logging
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import types
import uuid
import weakref
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcache
from fastcache.memoize.content_hash import digest
from fastcache.sync.single_flight import single_flight_of

from ..together import in_a_thread, together
from .concurrency import all_at_once
from .store import StoreContract

PATIENCE_SECONDS = 60


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.calls = []
        self.function = function

    def __call__(self, *args, **kwargs):
        self.calls.append((args, kwargs))
        return self.function(*args, **kwargs)


@Counted
def add(a, b=2, *, c=3):
    return a + b + c


@Counted
def show(a, b=0):
    return f"{a!r} {b!r}"


@Counted
def collect(first, /, *more, key=None, **named):
    return [first, more, key, named]


def plain(a, b=2):
    return a + b


def nothing():
    return None


async def slowly(a, b=2):
    await asyncio.sleep(0)
    return a + b


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Access(enum.Flag):
    READ = 1
    WRITE = 2


Pair = namedtuple("Pair", "one other")


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True)
class FrozenPoint:
    x: int
    y: int = 0


class Slotted:
    __slots__ = ("__hidden", "a")

    def __init__(self, a):
        self.a = a
        self.__hidden = a

    def __eq__(self, other):
        return self.a == other.a

    __hash__ = None


class Lazy:
    def __init__(self, number):
        self.number = number

    @functools.cached_property
    def square(self):
        return self.number**2


class Multiplier:
    """Whose methods are memoized in the test's store."""

    def __init__(self, factor):
        self.factor = factor

    def times(self, number):
        return self.factor * number

    def ignoring(self, number):
        return self.factor * number

    @classmethod
    def named(cls, number):
        return f"{cls.__name__} {number}"

    @staticmethod
    def double(number):
        return 2 * number


class Tripler(Multiplier):
    pass


def cyclic(ends=False):
    cycle = [1]
    cycle.append({"itself": cycle})
    if ends:
        cycle.append(2)
    return cycle


class Sentinel(int):
    pass


# Each of these differs from all others.
CONTENTS = {
    "list": lambda: [1, "a", None],
    "list of a float": lambda: [1.0, "a", None],
    "list of a bool": lambda: [True, "a", None],
    "nested": lambda: [[1], "a", None],
    "nested otherwise": lambda: [1, ["a"], None],
    "tuple with a list": lambda: ([1], "a", None),
    "empty list": list,
    "empty dict": dict,
    "empty set": set,
    "dict": lambda: {"a": 1, "b": [2]},
    "ordered dict": lambda: OrderedDict(a=1, b=[2]),
    "ordered otherwise": lambda: OrderedDict(b=[2], a=1),
    "counter": lambda: Counter("aab"),
    "defaultdict": lambda: defaultdict(list, a=[1]),
    "deque": lambda: deque([1, 2], maxlen=3),
    "set": lambda: {"a", "b", "c"},
    "frozenset with what is not plain": lambda: frozenset([Colour.RED, "b"]),
    "NaN": lambda: float("nan"),
    "bytearray": lambda: bytearray(b"abc"),
    "memoryview": lambda: memoryview(b"abc"),
    "complex": lambda: 1 + 2j,
    "enum": lambda: Colour.RED,
    "other enum": lambda: Colour.GREEN,
    "flag": lambda: Access.READ,
    "flags": lambda: Access.READ | Access.WRITE,
    "named tuple": lambda: Pair(1, [2]),
    "plain named tuple": lambda: Pair(1, 2),
    "dataclass": lambda: Point(1, 2),
    "frozen dataclass": lambda: FrozenPoint(1, 2),
    "other dataclass": lambda: Point(1),
    "slots": lambda: Slotted(1),
    "other slots": lambda: Slotted(2),
    "instance": lambda: Multiplier(2),
    "other instance": lambda: Multiplier(3),
    "instance of a subclass": lambda: Tripler(2),
    "int of its own": lambda: Sentinel(5),
    "datetime": lambda: datetime.datetime(2024, 1, 2, 3, 4, 5, 6),
    "datetime with a zone": lambda: datetime.datetime(2024, 1, 2, 3, 4, 5, 6, datetime.timezone.utc),
    "date": lambda: datetime.date(2024, 1, 2),
    "time": lambda: datetime.time(3, 4),
    "timedelta": lambda: datetime.timedelta(1, 2, 3),
    "timezone": lambda: datetime.timezone(datetime.timedelta(hours=1)),
    "decimal": lambda: decimal.Decimal("0.1"),
    "other decimal": lambda: decimal.Decimal("0.10"),
    "fraction": lambda: fractions.Fraction(1, 3),
    "uuid": lambda: uuid.UUID(int=5),
    "path": lambda: pathlib.PurePosixPath("a/b"),
    "windows path": lambda: pathlib.PureWindowsPath("a/b"),
    "range": lambda: range(0, 10, 3),
    "slice": lambda: slice(1, None, 2),
    "ellipsis": lambda: ...,
    "function": lambda: plain,
    "built-in function": lambda: len,
    "class": lambda: Point,
    "built-in class": lambda: int,
    "method": lambda: Multiplier(2).times,
    "method of a built-in": lambda: [1].index,
    "partial": lambda: functools.partial(plain, 1),
    "other partial": lambda: functools.partial(plain, b=1),
    "pattern": lambda: re.compile("a+"),
    "other pattern": lambda: re.compile("a+", re.IGNORECASE),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "exception": lambda: ValueError("a"),
    "cycle": cyclic,
    "other cycle": lambda: cyclic(ends=True),
}

# As they were when the format was made: results stored under them must be found for ever.
GOLDEN = {
    "[1]": "d989af8962c55812e9d5e062e2668ce9c05d8c7c",
    "{'a': 1, 'b': [2.5, None, True]}": "534759009d6c2a99a8804ba885aa2938fce4d4c6",
    "{'c', 'a', 'b'}": "1a0a0552d35bbe4e38b0f9f20a05d4887b1f6f8b",
    "frozenset({1, b'x', ('y',)})": "806bb29809076c774d4ab604ef2290c50f19b617",
    "('é', '\\ud800', b'\\x00', -1, 2**70, 1e300, float('nan'), float('-inf'), 1j, ...)": "e9e53e3e72a1dc60f35da6962d76826884b2f82e",  # noqa: E501
    "bytearray(b'abc')": "adfa4debc351078ef9901798336a0b606ecd1bd2",
    "range(0, 10, 3)": "bd5d29de47dbba8aab3f2f2bd137d001dc342fab",
    "slice(1, None, 2)": "86a26fd7a13355992527e9a15665ab69bb64d368",
    "datetime.datetime(2024, 1, 2, 3, 4, 5, 6, datetime.timezone.utc)": "8a6685933b78b6c17ccc157d4642a95469156451",
    "[datetime.date(2024, 1, 2), datetime.time(3, 4), datetime.timedelta(1, 2, 3)]": "531ae6ea111e2fd6b4c61e81c92e2eb6d8824282",  # noqa: E501
    "decimal.Decimal('0.10')": "12e9af81683123e51178bbcd2a9cdd749e2307ad",
    "fractions.Fraction(1, 3)": "638d1a22b5712e4907c3d88e079e44f29a87f2be",
    "uuid.UUID(int=5)": "e7cfee4b934b5bc691b3cb1aedb3695ef684b199",
    "pathlib.PurePosixPath('a/b')": "6b028bac48b24523736869d9c17a423fb0d177e3",
    "collections.OrderedDict(b=1, a=2)": "e872948460cc26bb60021afb5fbe5b221ed5632f",
    "collections.Counter('aab')": "d27c207f53c7e5c7437febbe1d5c9c5312638a5a",
    "collections.deque([1, 2], 3)": "68397ee1d5de7267302273df21f2b843c77f9339",
    "collections.defaultdict(list, a=[1])": "2eae51cd7660fd0f002ec0838cd38a4b9965ea56",
    "re.compile('a+', re.I)": "70dd358a825b6782f75a09eed12f15172e0f97db",
    "functools.partial(int, base=2)": "a59f77198b6b3363af89acad7bc8a23653becc66",
    "[len, int, datetime.date.today]": "8afada348d7c8edee714c7e44b78b58649c69f53",
    "re.IGNORECASE": "0dc36641ad2f9b7c6057813953861bf3d1805285",
    "ValueError('a')": "9f1d55077b71996b94df41a886e28960c09cc3cf",
}

KEYLESS = {
    "lambda": lambda: lambda: 0,
    "local class": lambda: type("Local", (), {}),
    "generator": lambda: (number for number in ()),
    "file": lambda: open(os.devnull, "rb"),  # noqa: SIM115
    "lock": threading.Lock,
    "event": threading.Event,
    "module": lambda: os,
    "bare object": object,
    "a dict with a lock": lambda: {"secret": threading.Lock()},
    "weak reference": lambda: weakref.ref(Point),
    "thread": threading.Thread,
    "a partial of a lambda": lambda: functools.partial(lambda: 0),
    "view of a class": lambda: vars(Point),
}


class MemoizeContract(StoreContract):
    """For every store; keyword arguments of its own are those of ``memoize``."""

    # what is kept, and what is the same call

    def test_a_call_is_computed_once(self, store):
        function = Counted(plain)
        memoized = store.memoize(function)
        assert [memoized(1), memoized(1), memoized(2), memoized(2)] == [3, 3, 4, 4]
        assert len(function.calls) == 2

    def test_results_outlive_the_store(self, open_store):
        function = Counted(plain)
        first = open_store()
        assert first.memoize(function)(1) == 3
        first.close()
        assert open_store().memoize(function)(1) == 3
        assert len(function.calls) == 1

    def test_none_is_a_result(self, store):
        function = Counted(nothing)
        memoized = store.memoize(function)
        assert [memoized(), memoized()] == [None, None]
        assert len(function.calls) == 1

    def test_an_exception_is_not_kept(self, store):
        answers = iter([ValueError("first"), 5])

        @store.memoize(name="fails once")
        def fails_once():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        with pytest.raises(ValueError, match="first"):
            fails_once()
        assert [fails_once(), fails_once()] == [5, 5]

    def test_with_and_without_parentheses_are_the_same(self, store):
        assert store.memoize(plain).cache_key(1) == store.memoize()(plain).cache_key(1)

    @pytest.mark.parametrize(
        "call",
        [
            lambda f: f(1),
            lambda f: f(1, 2),
            lambda f: f(a=1),
            lambda f: f(1, b=2),
            lambda f: f(b=2, a=1),
            lambda f: f(1, c=3),
            lambda f: f(c=3, b=2, a=1),
            lambda f: f(1.0, True + 1),
        ],
    )
    def test_all_forms_of_a_call_are_one(self, store, call):
        function = Counted(add.function)
        memoized = store.memoize(function)
        assert memoized(1) == call(memoized) == 6
        assert len(function.calls) == 1
        assert call(memoized.cache_key) == memoized.cache_key(1)

    def test_more_and_named_arguments_are_told_apart(self, store):
        key = store.memoize(collect).cache_key
        keys = [
            key(1),
            key(1, 2),
            key(1, (2,)),
            key(1, 2, 3),
            key(1, key=2),
            key(1, other=2),
            key(1, other=2, another=3),
            key(1, first=1),
            key(1, ("other", 2)),
            key(1, (("other", 2),)),
            key((1, 2)),
            key(1, [2]),
            key([1], 2),
        ]
        assert len(set(keys)) == len(keys)
        assert key(1, b=2, a=1) == key(1, a=1, b=2)

    @pytest.mark.parametrize(
        "call",
        [lambda f: f(), lambda f: f(1, 2, 3), lambda f: f(1, a=1), lambda f: f(1, d=1), lambda f: f(b=1)],
    )
    def test_a_call_that_cannot_be_is_a_type_error(self, store, call):
        memoized = store.memoize(plain)
        for each in (memoized, memoized.cache_key, memoized.invalidate):
            with pytest.raises(TypeError):
                call(each)

    def test_equal_arguments_are_one_unless_typed(self, store):
        key = store.memoize(show).cache_key
        typed = store.memoize(typed=True)(show).cache_key
        assert key(1) == key(1.0) == key(True)
        values = [1, 1.0, True, "1", b"1", None, (1,), (1.0,), (True,), ((1,),), frozenset([1]), frozenset([1.0])]
        assert len({typed(value) for value in values}) == len(values)
        assert typed(1) not in {key(value) for value in values}
        assert typed(1, b=2) == typed(1, 2)

    def test_what_is_ignored_does_not_count(self, store):
        key = store.memoize(ignore=("b",))(plain).cache_key
        assert key(1, 2) == key(1, b=3) == key(1) != key(2)
        assert store.memoize(ignore=[0])(plain).cache_key(1, 2) == store.memoize(ignore={"a"})(plain).cache_key(5, 2)
        assert key(1) != store.memoize(plain).cache_key(1)
        key = store.memoize(ignore=(1, "verbose", "key"))(collect).cache_key
        assert key(1, 2, 3) == key(1, 5, 3) == key(1, 5, 3, verbose=True) == key(1, 5, 3, key=1)
        assert len({key(1), key(1, 2), key(1, 2, 3), key(1, 2, 4), key(1, other=2)}) == 5
        # What counts for nothing may be anything.
        assert store.memoize(ignore="b")(show).cache_key(1, threading.Lock()) == store.memoize(ignore="b")(
            show
        ).cache_key(1)

    @pytest.mark.parametrize(
        ("ignore", "error"),
        [(["c"], ValueError), ([2], ValueError), ([-1], ValueError), ([1.0], TypeError), ([None], TypeError)],
    )
    def test_what_cannot_be_ignored_is_refused_at_once(self, store, ignore, error):
        with pytest.raises(error):
            store.memoize(ignore=ignore)(plain)

    def test_functions_of_other_names_or_signatures_have_other_keys(self, store):
        def made(source):
            module = {"__name__": "of_a_test"}
            exec(source, module)
            return store.memoize(module["f"]).cache_key(1)

        sources = [
            "def f(a): 0",
            "def f(b): 0",
            "def f(a, /): 0",
            "def f(*a): 0",
            "def f(a, *b): 0",
            "def f(a, b=2): 0",
        ]
        keys = [made(source) for source in sources]
        keys += [store.memoize(name=name)(plain).cache_key(1) for name in ("f", "g")]
        keys.append(store.memoize(plain).cache_key(1))
        assert len(set(keys)) == len(keys)
        # Who has moved keeps what it had under its former name.
        assert store.memoize(name="of_a_test:f")(plain).cache_key(1) == made("def f(a, b=2): 0")
        # Neither annotations nor values of defaults make another function.
        assert made("def f(a: int, b=2) -> int: 0") == made("def f(a, b=2): 1")

    def test_lambdas_are_told_by_their_code(self, store):
        def adding(number):
            return lambda a: a + number

        one, same, other = store.memoize(adding(1)), store.memoize(adding(1)), store.memoize(adding(2))
        assert [one(5), other(5)] == [6, 7]
        assert one.cache_key(5) == same.cache_key(5)
        lock = threading.Lock()
        with pytest.raises(TypeError, match=r"'lock', which it closes over, .*lock.* name="):
            store.memoize(lambda: lock)

    def test_a_local_function_may_close_over_modules_classes_functions_and_stores(self, store):
        import math

        def half(number):
            return number / 2

        def build():
            return store.memoize(lambda number: (math.floor(number), Counter("a"), half(number), len(store) >= 0))

        assert build()(5) == (5, {"a": 1}, 2.5, True)
        assert build().cache_key(5) == build().cache_key(5)

    def test_a_local_function_may_refer_to_itself(self, store):
        @store.memoize
        def fibonacci(number):
            return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

        assert fibonacci(60) == 1548008755920
        assert fibonacci.cache_info().misses == 61

    # methods

    def test_methods_count_their_instance_by_its_contents(self, store, monkeypatch):
        memoized = store.memoize(Multiplier.times)
        monkeypatch.setattr(Multiplier, "times", memoized)
        two = Multiplier(2)
        assert [two.times(5), Multiplier(2).times(5), Multiplier(3).times(5)] == [10, 10, 15]
        assert memoized.cache_info() == (1, 2)
        assert two.times.cache_key(5) == Multiplier.times.cache_key(two, 5) == two.times.cache_key(number=5)
        assert store[two.times.cache_key(5)] == 10
        assert two.times.invalidate(5) is True
        assert two.times.invalidate(5) is False
        assert str(inspect.signature(two.times)) == "(number)"
        assert two.times.__name__ == "times"
        assert pickle.loads(pickle.dumps(two.times)).__self__.factor == 2
        assert two.times == two.times != Multiplier(2).times

    def test_an_instance_can_be_ignored(self, store, monkeypatch):
        monkeypatch.setattr(Multiplier, "ignoring", store.memoize(ignore=("self",))(Multiplier.ignoring))
        assert [Multiplier(2).ignoring(5), Multiplier(3).ignoring(5)] == [10, 10]

    @pytest.mark.parametrize("above", [True, False])
    def test_class_and_static_methods_are_memoized_above_and_below_their_decorator(self, store, monkeypatch, above):
        named, double = vars(Multiplier)["named"], vars(Multiplier)["double"]
        if above:
            named, double = store.memoize(named), store.memoize(double)
        else:
            named = classmethod(store.memoize(named.__func__))
            double = staticmethod(store.memoize(double.__func__))
        monkeypatch.setattr(Multiplier, "named", named)
        monkeypatch.setattr(Multiplier, "double", double)
        for _ in range(2):
            assert [Multiplier.named(1), Tripler.named(1), Multiplier(1).named(1)] == [
                *("Multiplier 1", "Tripler 1", "Multiplier 1"),
            ]
            assert [Multiplier.double(4), Multiplier(1).double(4)] == [8, 8]
        assert Multiplier.double.cache_info() == (3, 1)
        assert store[Multiplier.double.cache_key(4)] == 8
        if above:
            assert store[Tripler.named.cache_key(1)] == "Tripler 1"

    # what the memoized function has

    def test_it_looks_like_the_function(self, store):
        memoized = store.memoize(plain)
        assert memoized.__wrapped__ is plain
        assert (memoized.__name__, memoized.__qualname__, memoized.__module__) == ("plain", "plain", __name__)
        assert inspect.signature(memoized) == inspect.signature(plain)
        assert not inspect.iscoroutinefunction(memoized)
        assert callable(memoized)
        assert weakref.ref(memoized)() is memoized

    def test_it_is_pickled_by_its_name(self, store, monkeypatch):
        memoized = store.memoize(plain)
        monkeypatch.setattr(sys.modules[__name__], "plain", memoized)
        assert pickle.loads(pickle.dumps(memoized)) is memoized
        assert copy.deepcopy(memoized) is memoized

    def test_a_wrapper_that_hands_everything_on_has_the_signature_of_what_it_wraps(self, store):
        @functools.wraps(plain)
        def wrapper(*args, **kwargs):
            return plain(*args, **kwargs)

        memoized = store.memoize(name="wrapper")(wrapper)
        assert memoized(1) == memoized(b=2, a=1) == 3
        assert memoized.cache_info() == (1, 1)

    @pytest.mark.parametrize("thing", [5, "name", int, [1]])
    def test_what_is_no_function_is_refused(self, store, thing):
        with pytest.raises(TypeError):
            store.memoize()(thing)

    def test_what_has_no_name_needs_one(self, store):
        partial = functools.partial(plain, b=5)
        with pytest.raises(TypeError, match="name="):
            store.memoize(partial)
        assert store.memoize(name="plain with 5")(partial)(1) == 6

    def test_invalidate_removes_one_result(self, store):
        memoized = store.memoize(plain)
        memoized(1), memoized(2)
        assert memoized.invalidate(b=2, a=1) is True
        assert memoized.invalidate(1) is False
        assert list(store) == [memoized.cache_key(2)]

    def test_cache_clear_removes_the_results_of_one_function(self, store):
        memoized, typed, other = store.memoize(plain), store.memoize(typed=True)(plain), store.memoize(add)
        store["a"] = store["b", 1] = 1
        for number in range(1500):
            memoized(number)
        typed(1), other(1)
        assert memoized.cache_clear() == 1500
        assert set(store) == {"a", ("b", 1), typed.cache_key(1), other.cache_key(1)}
        assert memoized.cache_clear() == 0

    def test_cache_info_counts_hits_and_misses(self, store):
        memoized = store.memoize(plain)
        assert memoized.cache_info() == (0, 0)
        memoized(1), memoized(1), memoized(a=1), memoized(2)
        assert (memoized.cache_info().hits, memoized.cache_info().misses) == (2, 2)

    def test_what_cannot_be_decoded_is_computed_again(self, open_store):
        with open_store(secret="another one than that of the tests") as store:
            memoized = store.memoize(name="f")(plain)
            key = memoized.cache_key(1)
            store[key] = Colour.RED
        memoized = open_store().memoize(name="f")(plain)
        assert [memoized(1), memoized(1)] == [3, 3]

    def test_a_closed_store_says_so(self, store):
        memoized = store.memoize(plain)
        memoized(1)
        store.close()
        with pytest.raises(fastcache.ClosedError):
            memoized(1)

    # versions

    def test_a_change_of_the_code_begins_afresh(self, store):
        source = '''
        FACTOR = 2
        @decorate
        def f(a, b=1):
            """Does it."""
            return helper(a) + Other().method(a)
        def helper(a, depth=2):
            return inner(a) if depth else helper(a)
        def inner(a):
            return [x for x in (a, 2)][0]
        class Other:
            """Documented."""
            def method(self, a):
                return 5
        def unrelated():
            return 1
        '''

        def key(change=lambda text: text, **how):
            module = {"__name__": "of_a_test", "decorate": store.memoize(version_aware=True, **how)}
            exec(change(textwrap.dedent(source)), module)
            memoized = module["f"]
            memoized(1)
            return memoized.cache_key(1)

        base = key()
        for same in (
            lambda text: "# a comment\n\n" + text,
            lambda text: text.replace("Does it.", "Does it well."),
            lambda text: text.replace('"""Does it."""', ""),
            lambda text: text.replace("return 1", "return 7"),
            lambda text: text.replace("Documented.", "Otherwise."),
            lambda text: text.replace("    return helper", "\n    # why\n    return helper"),
        ):
            assert key(same) == base
        changes = [
            *(("b=1", "b=3"), ("helper(a) + O", "helper(a) - O"), ("depth=2", "depth=1"), ("(a, 2)", "(a, 3)")),
            *(("return 5", "return 6"), ("if depth", "if depth > 1"), ("x for x", "+x for x")),
        ]
        keys = {key(lambda text, change=change: text.replace(*change)) for change in changes}
        assert len(keys | {base}) == len(changes) + 1
        plainly = {"__name__": "of_a_test"}
        exec("def f(a, b=1): return 1", plainly)
        memoized = store.memoize(version_aware=True)(plainly["f"])
        # Of all versions.
        assert memoized.cache_clear() == len(changes) + 1
        assert base[0].startswith("of_a_test:f(a, b)@")

    @pytest.fixture
    def modules(self, tmp_path, monkeypatch):
        """Write modules of a program, and import them; they are gone after the test."""
        monkeypatch.syspath_prepend(str(tmp_path / "program"))
        (tmp_path / "program").mkdir()
        written = []

        def write(name, text):
            (tmp_path / "program" / f"{name}.py").write_text(textwrap.dedent(text))
            importlib.invalidate_caches()
            written.append(name)
            # Two versions of one second, and of one length, are one to the cache of bytecode.
            monkeypatch.setattr(sys, "dont_write_bytecode", True)
            module = sys.modules.get(name)
            return importlib.reload(module) if module is not None else importlib.import_module(name)

        yield write
        for name in written:
            sys.modules.pop(name, None)

    @pytest.mark.parametrize(
        "use",
        ["helper(x)", "[helper][0](x)", "Class().method(x)", "Class.static(x)", "memoized(x)"],
    )
    def test_what_is_defined_anew_while_the_program_runs_is_noticed(self, store, use):
        """As in a notebook, where a cell is run again."""
        space = {"__name__": "of_a_test", "store": store}

        def define(number):
            exec(
                f"""
def helper(x): return x + {number}
class Class:
    def method(self, x): return helper(x)
    @staticmethod
    def static(x): return x + {number}
memoized = store.memoize(version_aware=True)(lambda x: helper(x))
""",
                space,
            )

        define(1)
        exec(f"def f(x): return {use}", space)
        memoized = store.memoize(version_aware=True)(space["f"])
        assert [memoized(1), memoized(1), memoized.cache_info()] == [2, 2, (1, 1)]
        define(2)
        assert [memoized(1), memoized(1), memoized.cache_info()] == [3, 3, (2, 2)]
        define(1)
        assert [memoized(1), memoized.cache_info()] == [2, (3, 2)]

    def test_what_is_patched_while_the_program_runs_is_noticed(self, store):
        """As IPython's autoreload does."""
        space = {"__name__": "of_a_test"}
        exec("def helper(): return 1\ndef f(): return helper()\ndef other(): return 2\nclass C: m = helper", space)
        exec("def g(): return C.m()", space)
        called = [store.memoize(version_aware=True)(space[name]) for name in "fg"]
        assert [each() for each in called] == [1, 1]
        space["helper"].__code__ = space["other"].__code__
        assert [each() for each in called] == [2, 2]
        space["C"].m = lambda: 3
        assert [each() for each in called] == [2, 3]

    def test_what_is_closed_over_is_noticed_when_it_changes(self, store):
        def make():
            def helper():
                return 1

            def f():
                return helper()

            def change():
                nonlocal helper

                def helper():
                    return 2

            return f, change

        f, change = make()
        memoized = store.memoize(version_aware=True, name="f")(f)
        assert memoized() == 1
        change()
        assert memoized() == 2

    @pytest.mark.parametrize("how", ["from helpers_of_a_test import help_it", "import helpers_of_a_test"])
    def test_helpers_in_other_modules_of_the_program_count(self, store, modules, how):
        modules("helpers_of_a_test", "def help_it(x): return more(x)\ndef more(x): return x + 1")
        call = "help_it(x)" if how.startswith("from") else "helpers_of_a_test.help_it(x)"
        text = f"import json\n{how}\ndef f(x): return [json.loads('1'), {call}]"
        user = modules("user_of_a_test", text)
        memoized = store.memoize(version_aware=True)(user.f)
        assert memoized(1) == [1, 2]
        modules("helpers_of_a_test", "def help_it(x): return more(x)\ndef more(x): return x + 2")
        # The former helper, too, calls what the module has now.
        assert memoized(1) == [1, 3]
        assert store.memoize(version_aware=True)(modules("user_of_a_test", text).f)(1) == [1, 3]
        assert memoized.cache_info() == (0, 2)

    def test_what_is_installed_does_not_count(self, store, modules, monkeypatch):
        user = modules("user_of_a_test", "import textwrap\ndef f(x): return textwrap.dedent(x)")
        memoized = store.memoize(version_aware=True)(user.f)
        before = memoized.cache_key("a")
        monkeypatch.setattr(textwrap, "dedent", lambda text: text)
        assert memoized.cache_key("a") == before

    # one computation at a time

    def ask_in_threads(self, ask, count=8):
        return together(*[ask] * count)

    @pytest.mark.parametrize("how", ["memoize", "get_or_set"])
    def test_of_threads_that_miss_one_key_one_computes(self, store, how):
        calls = []

        def compute():
            calls.append(1)
            time.sleep(0.05)
            return ["result"]

        memoized = store.memoize(name="compute")(compute)
        ask = memoized if how == "memoize" else lambda: store.get_or_set("key", compute)
        assert self.ask_in_threads(ask) == [["result"]] * 8
        assert len(calls) == 1
        if how == "memoize":
            assert memoized.cache_info() == (7, 1)

    def test_it_holds_between_objects_of_one_directory(self, store, open_store):
        calls = []

        def compute():
            calls.append(1)
            time.sleep(0.05)
            return 5

        others = [open_store() for _ in range(3)]
        assert together(*[lambda each=each: each.get_or_set("key", compute) for each in (store, *others)]) == [5] * 4
        assert len(calls) == 1

    @pytest.mark.parametrize("how", ["memoize", "get_or_set"])
    def test_if_it_raises_all_who_have_waited_compute_at_once(self, open_store, how):
        # None of these ends because it has waited long enough.
        store = open_store(timeout=10_000)
        meeting, calls = threading.Barrier(7), []

        def compute():
            calls.append(1)
            if len(calls) == 1:
                while not self.wait_for_others(7):
                    time.sleep(0.01)
            else:
                # One after the other they would never meet.
                meeting.wait(PATIENCE_SECONDS)
            raise ZeroDivisionError

        memoized = store.memoize(name="compute")(compute)

        def ask():
            try:
                return memoized() if how == "memoize" else store.get_or_set("key", compute)
            except ZeroDivisionError:
                return "raised"

        assert self.ask_in_threads(ask) == ["raised"] * 8
        assert len(calls) == 8
        assert not single_flight_of(store.store).active

    def wait_for_others(self, count):
        """Whether so many threads of this process wait for a computation."""
        tops = [frame.f_code for frame in sys._current_frames().values()]
        return sum(code.co_name == "_wait" and "single_flight" in code.co_filename for code in tops) == count

    def test_if_it_raises_one_who_comes_later_computes_alone(self, store):
        calls = []

        def compute():
            calls.append(1)
            if len(calls) == 1:
                raise ZeroDivisionError
            return 5

        with pytest.raises(ZeroDivisionError):
            store.get_or_set("key", compute)
        assert store.get_or_set("key", compute) == 5
        assert len(calls) == 2

    def test_in_other_processes_too_all_compute_at_once_if_it_raises(self, directory, start, tmp_path):
        processes = [start("fail_together", self.kind, str(directory), str(tmp_path), 4) for _ in range(4)]
        first = None
        for process in processes:
            assert process.hear() == "ready"
            process.tell()
            if first is None:
                first = process
                assert process.hear() == "computing"
        # For the others to be waiting.
        time.sleep(1)
        first.tell()
        assert [process.finish() for process in processes] == ["raised"] * 4

    def test_of_tasks_too_all_compute_at_once_if_it_raises(self, open_store):
        store = open_store(timeout=10_000)
        calls, going_on = [], asyncio.Event()

        @store.memoize(name="compute")
        async def compute():
            calls.append(1)
            if len(calls) == 1:
                await asyncio.sleep(0.05)
            elif len(calls) == 8:
                going_on.set()
            else:
                await asyncio.wait_for(going_on.wait(), PATIENCE_SECONDS)
            raise ZeroDivisionError

        async def run():
            return await asyncio.gather(*[compute() for _ in range(8)], return_exceptions=True)

        assert [type(each) for each in asyncio.run(run())] == [ZeroDivisionError] * 8
        assert len(calls) == 8

    @pytest.mark.parametrize("how", ["memoize", "get_or_set", "task"])
    def test_a_call_has_a_timeout_of_its_own(self, store, how):
        computing, going_on = threading.Event(), threading.Event()

        def hang():
            computing.set()
            going_on.wait(PATIENCE_SECONDS)
            return "late"

        key = store.memoize(name="f")(hang).cache_key()
        hanging = threading.Thread(target=store.get_or_set, args=(key, hang))
        hanging.start()
        assert computing.wait(PATIENCE_SECONDS)

        async def soon():
            return "soon"

        try:
            if how == "memoize":
                assert store.memoize(name="f", timeout=0.05)(lambda: "soon")() == "soon"
            elif how == "get_or_set":
                assert store.get_or_set(key, lambda: "soon", timeout=0) == "soon"
            else:
                assert asyncio.run(store.memoize(name="f", timeout=0.05)(soon)()) == "soon"
        finally:
            going_on.set()
            hanging.join(PATIENCE_SECONDS)

    @pytest.mark.parametrize("timeout", [-1, "1", True, float("nan")])
    def test_a_timeout_that_makes_no_sense_is_refused(self, store, timeout):
        for ask in (
            lambda: store.memoize(timeout=timeout)(plain),
            lambda: store.get_or_set("key", lambda: 1, timeout=timeout),
        ):
            with pytest.raises((TypeError, ValueError), match="timeout"):
                ask()

    def test_a_factory_may_ask_for_its_own_key(self, store):
        def compute(depth=3):
            return depth and 1 + store.get_or_set("key", lambda: compute(depth - 1))

        assert store.get_or_set("key", compute) in (0, 1, 2, 3)

    def test_a_factory_may_ask_for_other_keys(self, store):
        @store.memoize(name="factorial")
        def factorial(number):
            return number * factorial(number - 1) if number else 1

        assert together(*[lambda number=number: factorial(number) for number in range(12)])[5] == 120
        assert factorial.cache_info().misses == 12

    def test_who_waits_for_each_other_does_not_for_ever(self, store):
        meeting = threading.Barrier(2)

        def ask(mine, others):
            def compute():
                meeting.wait(PATIENCE_SECONDS)
                return store.get_or_set(others, lambda: "from " + mine)

            return lambda: store.get_or_set(mine, compute)

        for answer in together(ask("a", "b"), ask("b", "a")):
            assert answer in ("from a", "from b")

    def test_inside_a_transaction_nobody_is_waited_for(self, store):
        computing, done = threading.Event(), threading.Event()

        def compute():
            computing.set()
            assert done.wait(PATIENCE_SECONDS)
            return "theirs"

        thread = threading.Thread(target=store.get_or_set, args=("key", compute), daemon=True)
        thread.start()
        assert computing.wait(PATIENCE_SECONDS)
        with store.transact():
            assert store.get_or_set("key", lambda: "mine") == "mine"
        done.set()
        thread.join(PATIENCE_SECONDS)
        assert store["key"] == "mine"

    @pytest.mark.parametrize("how", ["memoize", "get_or_set"])
    def test_of_processes_that_miss_one_key_one_computes(self, store, directory, start, tmp_path, how):
        calls = tmp_path / "calls"
        others = [start("compute_once", self.kind, str(directory), how, str(calls), 0.3) for _ in range(16)]
        all_at_once(others)
        assert [other.finish() for other in others] == [["result"]] * 16
        assert len(calls.read_text().split()) == 1

    def test_another_process_goes_on_when_the_one_that_computes_is_killed(self, store, directory, start, tmp_path):
        calls = tmp_path / "calls"
        first = start("compute_once", self.kind, str(directory), "memoize", str(calls), 100)
        assert first.hear() == "ready"
        first.tell()
        while not calls.exists() or not calls.read_text():
            time.sleep(0.01)
        others = [start("compute_once", self.kind, str(directory), "memoize", str(calls), 0.2) for _ in range(4)]
        all_at_once(others)
        time.sleep(0.1)
        assert len(calls.read_text().split()) == 1
        first.popen.kill()
        assert [other.finish() for other in others] == [["result"]] * 4
        assert len(calls.read_text().split()) == 2

    @pytest.mark.parametrize("how", ["memoize", "get_or_set", "task"])
    def test_for_one_that_was_stopped_nobody_waits_longer_than_the_timeout(
        self, open_store, directory, start, tmp_path, how
    ):
        calls = tmp_path / "calls"
        first = start(
            "compute_once",
            self.kind,
            str(directory),
            "get_or_set" if how == "get_or_set" else "memoize",
            str(calls),
            90,
        )
        assert first.hear() == "ready"
        first.tell()
        while not calls.exists() or not calls.read_text():
            time.sleep(0.01)
        first.popen.send_signal(signal.SIGSTOP)
        # With the default a test of this would take a minute.
        store = open_store(timeout=0.2)

        async def compute():
            return "mine"

        if how == "task":
            assert asyncio.run(store.memoize(name="compute")(compute)()) == "mine"
        elif how == "memoize":
            assert store.memoize(name="compute")(lambda: "mine")() == "mine"
        else:
            assert store.get_or_set("key", lambda: "mine") == "mine"
        # It is stored, and nobody else waits.
        assert store.get_or_set("key", lambda: "mine") == "mine"
        assert first.popen.poll() is None
        assert not single_flight_of(store.store).active
        assert not single_flight_of(store.store).byte_locks.held

    def test_for_a_thread_that_hangs_nobody_waits_longer_than_the_timeout(self, open_store):
        store, going_on = open_store(timeout=0.1), threading.Event()
        computing = threading.Event()

        def hang():
            computing.set()
            going_on.wait(PATIENCE_SECONDS)
            return "late"

        hanging = threading.Thread(target=store.get_or_set, args=("key", hang))
        hanging.start()
        assert computing.wait(PATIENCE_SECONDS)
        assert self.ask_in_threads(lambda: store.get_or_set("key", lambda: "soon"), 3) == ["soon"] * 3
        going_on.set()
        hanging.join(PATIENCE_SECONDS)
        # Who was first to store it counts.
        assert store["key"] == "soon"

    @pytest.mark.parametrize("count", [2, 3])
    def test_processes_that_wait_for_each_other_in_a_circle_do_not_for_ever(self, directory, start, tmp_path, count):
        calls = str(tmp_path / "calls")
        keys = [f"key {number}" for number in range(count)]
        circle = [
            start("compute_along", self.kind, str(directory), key, [keys[number - 1]], calls)
            for number, key in enumerate(keys)
        ]
        for process in circle:
            assert process.hear() == "computing"
        for process in circle:
            process.tell()
        for number, process in enumerate(circle):
            assert process.finish().startswith(keys[number])

    def test_a_circle_through_threads_of_processes_is_seen(self, directory, start, tmp_path):
        """a (here) waits for b (there), b for c (here, in another thread), and c for a."""
        calls = str(tmp_path / "calls")
        here = start("compute_along_in_threads", self.kind, str(directory), [["a", ["b"]], ["c", ["a"]]], calls)
        there = start("compute_along_in_threads", self.kind, str(directory), [["b", ["c"]]], calls)
        for process in (here, there):
            assert process.hear() == "computing"
        for process in (here, there):
            process.tell()
        assert [each[0] for each in here.finish()] == ["a", "c"]
        assert [each[0] for each in there.finish()] == ["b"]

    def test_who_has_a_lock_that_a_computation_needs_waits_for_it_until_the_timeout(self, open_store):
        store = open_store(timeout=0.2)
        computing = threading.Event()

        def compute():
            computing.set()
            with store.lock("needed"):
                return "there"

        def hold():
            with store.lock("needed"):
                thread = threading.Thread(target=store.get_or_set, args=("key", compute))
                thread.start()
                assert computing.wait(PATIENCE_SECONDS)
                found = store.get_or_set("key", lambda: "here")
            thread.join(PATIENCE_SECONDS)
            return found

        assert in_a_thread(hold) == "here"

    def test_processes_that_wait_for_each_other_in_a_row_compute_once(self, directory, start, tmp_path):
        calls = tmp_path / "calls"
        row = []
        for key, others in (("c", []), ("b", ["c"]), ("a", ["b"])):
            row.append(start("compute_along", self.kind, str(directory), key, others, str(calls)))
            assert row[-1].hear() == "computing"
            if others:
                row[-1].tell()
        time.sleep(0.1)
        row[0].tell()
        assert [process.finish() for process in row] == ["c", "b c", "a b c"]
        assert sorted(calls.read_text().split()) == ["a", "b", "c"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    def test_a_child_does_not_take_its_parents_computation_for_its_own(self, store, directory, start):
        worker = start("fork_while_computing", self.kind, str(directory))
        assert worker.finish() == ["parent", "child"]

    def test_without_its_folder_there_is_an_error_of_ours(self, store, directory):
        (directory / "locks").write_text("in the way")
        with pytest.raises(fastcache.StorageError, match="locks"):
            store.get_or_set("key", lambda: 1)

    def test_its_files_are_for_the_owner_alone(self, store, directory):
        store.get_or_set("key", lambda: 1)
        assert (directory / "locks").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in (directory / "locks").iterdir()} == {0o600}

    def test_nothing_is_left_open(self, open_store, directory):
        if not os.path.isdir("/proc/self/fd"):
            pytest.skip("there is no /proc here")
        for _ in range(3):
            with open_store() as store:
                store.get_or_set("key", lambda: 1)
                store.clear()
        del store
        paths = [os.path.realpath(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")]
        assert len([path for path in paths if path.startswith(str(directory / "locks"))]) <= 2

    # tasks

    def test_a_coroutine_function_is_memoized(self, store):
        memoized = store.memoize(slowly)
        assert inspect.iscoroutinefunction(memoized)
        assert asyncio.iscoroutinefunction(memoized)
        assert inspect.iscoroutine(coroutine := memoized(1))
        assert asyncio.run(coroutine) == 3
        assert asyncio.run(memoized(a=1)) == 3
        assert memoized.cache_info() == (1, 1)
        assert store[memoized.cache_key(1)] == 3

    def test_of_tasks_that_miss_one_key_one_computes_and_the_loop_goes_on(self, store):
        calls = []
        other_tasks = []

        @store.memoize(name="compute")
        async def compute():
            calls.append(1)
            await asyncio.sleep(0.05)
            return "result"

        async def go_on():
            while len(other_tasks) < 5:
                await asyncio.sleep(0)
                other_tasks.append(1)

        async def main():
            return await asyncio.gather(*[compute() for _ in range(50)], go_on())

        assert asyncio.run(main())[:-1] == ["result"] * 50
        assert len(calls) == 1
        assert compute.cache_info() == (49, 1)

    def test_of_loops_in_threads_one_computes(self, store):
        calls = []

        @store.memoize(name="compute")
        async def compute():
            calls.append(1)
            await asyncio.sleep(0.05)
            return "result"

        assert self.ask_in_threads(lambda: asyncio.run(compute()), 4) == ["result"] * 4
        assert len(calls) == 1

    def test_when_the_computing_task_is_cancelled_another_takes_over(self, store):
        calls = []

        @store.memoize(name="compute")
        async def compute():
            calls.append(1)
            if len(calls) == 1:
                await asyncio.sleep(PATIENCE_SECONDS)
            return "result"

        async def main():
            first = asyncio.create_task(compute())
            while not calls:
                await asyncio.sleep(0)
            second = asyncio.create_task(compute())
            await asyncio.sleep(0.01)
            first.cancel()
            assert await second == "result"
            with pytest.raises(asyncio.CancelledError):
                await first

        asyncio.run(main())
        assert len(calls) == 2

    def test_a_task_may_ask_for_its_own_key_also_by_tasks_that_it_starts(self, store):
        depth = []

        @store.memoize(name="compute")
        async def compute():
            depth.append(1)
            return 0 if len(depth) > 2 else (await asyncio.gather(compute()))[0] + 1

        assert asyncio.run(compute()) in (0, 1, 2)

    def test_a_thread_may_ask_for_its_own_key_also_in_another_context(self, open_store):
        depth = []
        # Who waits for its own thread waits for that long.
        store = open_store(timeout=10_000)

        @store.memoize(name="compute")
        def compute():
            depth.append(1)
            return 0 if len(depth) > 2 else contextvars.Context().run(compute) + 1

        assert in_a_thread(compute) == 2

    def test_of_a_loop_that_was_closed_nothing_is_under_way(self, store):
        @store.memoize(name="compute")
        async def compute():
            await asyncio.sleep(PATIENCE_SECONDS)

        async def ask():
            await asyncio.gather(compute(), compute())

        loop = asyncio.new_event_loop()
        task = loop.create_task(ask())
        loop.run_until_complete(asyncio.sleep(0.01))
        flights = single_flight_of(store.store)
        assert flights.active
        loop.close()
        del loop, task
        gc.collect()
        assert not flights.active
        assert not flights.byte_locks.held

    def test_a_task_waits_for_a_thread(self, store):
        computing, done = threading.Event(), threading.Event()

        def compute():
            computing.set()
            assert done.wait(PATIENCE_SECONDS)
            return 5

        memoized = store.memoize(name="compute")(slowly)
        key = memoized.cache_key(1)

        def ask():
            async def main():
                task = asyncio.create_task(memoized(1))
                await asyncio.sleep(0.05)
                done.set()
                return await task

            assert computing.wait(PATIENCE_SECONDS)
            return asyncio.run(main())

        assert together(lambda: store.get_or_set(key, compute), ask) == [5, 5]

    def test_one_whose_loop_is_gone_does_not_keep_others(self, store):
        @store.memoize(name="compute")
        async def compute():
            await asyncio.sleep(PATIENCE_SECONDS)

        async def main():
            task = asyncio.create_task(compute())
            await asyncio.sleep(0.01)
            del task

        asyncio.run(main())
        gc.collect()
        assert in_a_thread(lambda: store.get_or_set(compute.cache_key(), lambda: 5)) == 5


class CallKeyContract(StoreContract):
    """What stands for an argument, and that it does so for ever; whatever the store."""

    # content

    def test_contents_are_all_different(self, store):
        key = store.memoize(show).cache_key
        keys = {name: key(make()) for name, make in CONTENTS.items()}
        assert len(set(keys.values())) == len(keys)
        # A hash in the place of an argument is not that hash as an argument.
        assert key(key([1])[1]) not in keys.values()

    @pytest.mark.parametrize("name", CONTENTS)
    def test_equal_contents_are_one(self, store, name):
        key = store.memoize(show).cache_key
        made = CONTENTS[name]()
        assert key(made) == key(CONTENTS[name]())
        if name not in ("memoryview", "method of a built-in"):
            assert key(copy.deepcopy(made)) == key(made)

    def test_order_counts_where_it_does_for_equality(self, store):
        key = store.memoize(show).cache_key
        assert key({"a": 1, "b": 2}) == key({"b": 2, "a": 1})
        assert key({*"abc"}) == key({*"cba"})
        assert key([1, 2]) != key([2, 1])
        assert key(Counter("ab")) == key(Counter("ba"))
        shared = [1]
        assert key([shared, shared]) == key([[1], [1]])

    def test_what_was_computed_of_an_instance_does_not_count(self, store):
        key = store.memoize(show).cache_key
        used = Lazy(5)
        assert used.square == 25
        assert key(used) == key(Lazy(5)) != key(Lazy(6))

    @pytest.mark.parametrize("name", KEYLESS)
    def test_what_has_no_content_is_refused_without_showing_it(self, store, name):
        memoized = store.memoize(show)
        value = KEYLESS[name]()
        with pytest.raises(TypeError, match=r"argument 'b' of show: .* cannot be part of a key") as error:
            memoized(1, value)
        assert "secret" not in str(error.value)
        assert error.value.__cause__ is None
        with pytest.raises(TypeError, match="argument 'b' of show"):
            memoized(1, [value])
        if name == "file":
            value.close()

    def test_arrays_count_by_dtype_shape_and_elements(self, store):
        numpy = pytest.importorskip("numpy")
        key = store.memoize(show).cache_key
        base = numpy.arange(12.0).reshape(3, 4)
        same = [base.copy(), numpy.asfortranarray(base), numpy.repeat(base, 2, axis=1)[:, ::2], base[::-1][::-1]]
        assert {key(array) for array in same} == {key(base)}
        others = [
            *(base.T, base.reshape(4, 3), base.ravel(), base.astype("f4"), base.astype(">f8"), base + 1, base[:0]),
            *(numpy.float64(1), numpy.float32(1), numpy.array(1.0), numpy.int64(1), base[0, 0], base.tolist()),
            *(
                base.astype("M8[s]"),
                base.astype("M8[ms]"),
                base.astype(object),
                base.astype("U4"),
                numpy.array(["a", "b"]),
            ),
            numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
            numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]),
            *(numpy.array([1], "g"), numpy.dtype("i4"), numpy.dtype("i8"), numpy.sum, base.astype("S4")),
        ]
        keys = [key(base), *map(key, others)]
        assert len(set(keys)) == len(keys)
        padded = [numpy.frombuffer(fill * 32, numpy.dtype("u1,f8", align=True)).copy() for fill in (b"\1", b"\2")]
        for array in padded:
            array["f0"], array["f1"] = 1, 2
        assert key(padded[0]) == key(padded[1])

    def test_frames_count_by_what_is_in_them(self, store):
        pandas = pytest.importorskip("pandas")
        key = store.memoize(show).cache_key
        frame = pandas.DataFrame({"a": [1, 2], "b": [1.5, 2.5], "c": ["x", "y"], "d": [3, 4]})
        in_pieces = pandas.DataFrame({"a": [1, 2]})
        for name in "bcd":
            in_pieces[name] = frame[name]
        dates = pandas.date_range("2024-01-01", periods=2, tz="Europe/Berlin")
        assert key(frame) == key(in_pieces) == key(frame.copy()) == key(pickle.loads(pickle.dumps(frame)))
        others = [
            *(frame[["b", "a", "c", "d"]], frame.rename(columns={"a": "e"}), frame.set_index("a"), frame.iloc[:1]),
            *(frame.astype({"a": "i4"}), frame.astype({"a": "Int64"}), frame.astype({"c": "category"})),
            *(frame["a"], frame["a"].rename("z"), frame["a"] + 1, frame["a"].astype("Int64"), frame["c"]),
            *(pandas.Index([1, 2]), pandas.RangeIndex(2), pandas.Index(["x", "y"]), pandas.Index(["x", "y"], name="n")),
            *(
                pandas.MultiIndex.from_product([[1, 2], ["a", "b"]]),
                dates,
                pandas.Series(dates),
                dates.tz_convert("UTC"),
            ),
            *(pandas.Timestamp("2024-01-01"), pandas.Timedelta(1, "s"), pandas.Interval(0, 1)),
            *(
                pandas.Series([1, None], dtype="Int64"),
                pandas.Categorical(["a"]),
                pandas.Categorical(["a"], ["a", "b"]),
            ),
        ]
        keys = [key(frame), *map(key, others)]
        assert len(set(keys)) == len(keys)
        assert [key(copy.deepcopy(other)) for other in others] == keys[1:]

    def test_structs_count_by_their_fields(self, store):
        msgspec = pytest.importorskip("msgspec")
        kind = msgspec.defstruct("Planet", [("name", str), ("moons", list)], module=__name__)
        sys.modules[__name__].Planet = kind
        key = store.memoize(show).cache_key
        assert key(kind("Mars", [1, 2])) == key(kind("Mars", [1, 2])) != key(kind("Mars", [2, 1]))

    # keys that last

    def test_keys_are_what_they_were(self, store):
        here = __name__
        assert store.memoize(plain).cache_key(1) == (f"{here}:plain(a, b)", 1, 2)
        assert store.memoize(typed=True)(plain).cache_key(1) == (f"{here}:plain(a, b) typed", 1, 2, "ii")
        assert store.memoize(ignore=("b",))(plain).cache_key("a") == (f"{here}:plain(a, b) without b", "a")
        assert store.memoize(name="f")(collect).cache_key(1, 2, c=3, b=(4,)) == (
            *("f(first, /, *more, key, **named)", 1, None, (2,)),
            (("b", (4,)), ("c", 3)),
        )
        assert store.memoize(name="f")(plain).cache_key([1], "x") == (
            "f(a, b)",
            bytes.fromhex(GOLDEN["[1]"]),
            "x",
            (1,),
        )

    def test_hashes_of_contents_are_what_they_were(self):
        assert {name: digest(eval(name, modules())).hex() for name in GOLDEN} == GOLDEN

    @pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
    @pytest.mark.parametrize("seed", ["1", "2"])
    def test_they_are_the_same_in_other_processes_and_versions(self, version, seed):
        interpreter = interpreter_of(version)
        if interpreter is None:
            pytest.skip(f"there is no Python {version}")
        source = f"""\
            import importlib.util, json, {IMPORTS}
            spec = importlib.util.spec_from_file_location("content", {digest.__globals__["__file__"]!r})
            content = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(content)
            print(json.dumps({{name: content.digest(eval(name)).hex() for name in {list(GOLDEN)!r}}}))
        """
        done = subprocess.run(
            [interpreter, "-I", "-c", textwrap.dedent(source)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert eval(done.stdout) == GOLDEN

    @given(
        st.lists(
            st.tuples(
                st.recursive(
                    st.none()
                    | st.booleans()
                    | st.integers(-3, 3)
                    | st.floats(width=16)
                    | st.sampled_from(["", "a", "b", b"", b"a", (), (1,), "(1,)"]),
                    lambda inner: (
                        st.lists(inner, max_size=2)
                        | st.lists(inner, max_size=2).map(tuple)
                        | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
                    ),
                    max_leaves=4,
                ),
                st.lists(st.sampled_from([1, "a", (1,), [1]]), max_size=2),
                st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, "a", [1], (1, 2)]), max_size=2),
            ),
            min_size=2,
            max_size=6,
        )
    )
    def test_equal_calls_and_no_others_have_one_key(self, calls):
        with fastcache.Index() as store:
            key = store.memoize(typed=True)(collect).cache_key
            for one, more, named in calls:
                again = copy.deepcopy((one, more, dict(reversed(named.items()))))
                assert key(one, *more, **named) == key(again[0], *again[1], **again[2])
            spelled = {repr((one, more, sorted(named.items()))): (one, more, named) for one, more, named in calls}
            # Of what has no order, another one; and zero has a sign, which counts nowhere.
            spelled = {
                text: call
                for text, call in spelled.items()
                if not any(text != other and alike(call, spelled[other]) for other in spelled)
            }
            keys = {key(one, *more, **named) for one, more, named in spelled.values()}
            assert len(keys) == len(spelled)


class CacheMemoizeContract(StoreContract):
    """What takes expiry and tags."""

    def test_results_expire(self, open_store, clock):
        store = open_store(timer=clock)
        function = Counted(plain)
        memoized = store.memoize(expire=10)(function)
        memoized(1)
        clock.advance(8)
        memoized(1)
        assert len(function.calls) == 1
        clock.advance(2)
        memoized(1)
        assert len(function.calls) == 2

    def test_results_carry_a_tag(self, store):
        memoized = store.memoize(expire=60, tag="sums")(plain)
        memoized(1), memoized(2)
        assert store.get(memoized.cache_key(1), tag=True) == (3, "sums")
        assert store.evict_tag("sums") == 2

    def test_who_finds_nothing_after_the_computation_computes_one_at_a_time(self, store):
        calls, now, most = [], [], []

        def compute():
            now.append(1)
            most.append(len(now))
            calls.append(1)
            time.sleep(0.01)
            now.pop()
            return 5

        memoized = store.memoize(expire=0, name="compute")(compute)
        assert together(*[memoized] * 4) == [5] * 4
        assert len(calls) == 4
        assert max(most) == 1

    # early renewal

    def early(self, store, function=plain, beta=1e15, **how):
        return store.memoize_stampede(100, beta, name="early", **how)(function)

    def settle(self, memoized, calls, count):
        """Wait for a renewal in the background."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(calls) < count or any(thread.name == "fastcache-renewal" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def test_a_result_is_renewed_in_the_background_and_the_old_one_returned(self, open_store, clock):
        store = open_store(timer=clock)
        calls = []

        def compute():
            calls.append(threading.current_thread())
            return len(calls)

        memoized = self.early(store, compute)
        assert memoized() == 1
        assert memoized() == 1
        self.settle(memoized, calls, 2)
        assert store[memoized.cache_key()][0] == 2
        assert calls[0] is threading.current_thread() is not calls[1]
        assert memoized.cache_info() == (1, 1)

    def test_without_beta_it_is_not_renewed_before_it_expires(self, open_store, clock):
        store = open_store(timer=clock)
        function = Counted(plain)
        memoized = self.early(store, function, beta=0)
        memoized(1)
        clock.advance(99)
        memoized(1)
        assert len(function.calls) == 1
        clock.advance(1)
        assert memoized(1) == 3
        assert len(function.calls) == 2
        assert memoized.cache_info() == (1, 2)

    def test_what_is_stored_says_for_how_long_it_was_computed_and_when_it_expires(self, open_store, clock):
        store = open_store(timer=clock)
        memoized = self.early(store, beta=0, tag="early")
        assert memoized(1) == 3
        (result, seconds, expires), time_, tag = store.get(memoized.cache_key(1), expire_time=True, tag=True)
        assert (result, expires, time_, tag) == (3, clock.now + 100, clock.now + 100, "early")
        assert 0 <= seconds < PATIENCE_SECONDS
        assert store.memoize(name="early")(plain).cache_key(1) != memoized.cache_key(1)

    def test_the_likelihood_is_that_of_the_paper(self, monkeypatch):
        from fastcache.memoize import decorators

        for random, expected in ((0.0, 0.0), (1 - 1 / 2.718281828459045, 4.0)):
            monkeypatch.setattr(decorators, "random", lambda random=random: random)
            assert decorators.is_due(100.0, 2.0, 2.0, 100.0 - expected + 1e-6)
            assert not decorators.is_due(100.0, 2.0, 2.0, 100.0 - expected - 1e-6)

    def test_one_at_a_time_renews(self, store):
        calls, done = [], threading.Event()

        def compute():
            calls.append(1)
            if len(calls) == 2:
                assert done.wait(PATIENCE_SECONDS)
            return len(calls)

        memoized = self.early(store, compute)
        assert [memoized() for _ in range(20)] == [1] * 20
        done.set()
        self.settle(memoized, calls, 2)
        assert len(calls) == 2

    def test_one_process_at_a_time_renews(self, store, directory, start, tmp_path):
        calls = tmp_path / "calls"
        others = [start("renew_early", self.kind, str(directory), str(calls)) for _ in range(4)]
        all_at_once(others)
        assert [other.hear() for other in others] == [1] * 4
        # One has computed and stored; of the renewals one has begun, and waits.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(calls.read_text().split()) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(calls.read_text().split()) == 2
        for other in others:
            other.tell()
            other.finish()

    def test_a_renewal_that_fails_is_logged_without_what_it_was_about(self, store, caplog):
        calls = []

        def compute(secret):
            calls.append(1)
            if len(calls) == 2:
                raise ValueError(secret)
            return len(calls)

        memoized = self.early(store, compute)
        with caplog.at_level(logging.WARNING, "fastcache"):
            assert [memoized("payload"), memoized("payload")] == [1, 1]
            self.settle(memoized, calls, 2)
        assert "ValueError" in caplog.text
        assert "payload" not in caplog.text
        assert store[memoized.cache_key("payload")][0] == 1
        memoized("payload")
        self.settle(memoized, calls, 3)
        assert store[memoized.cache_key("payload")][0] == 3

    def test_a_task_renews_a_coroutine(self, store):
        calls = []

        async def compute():
            calls.append(1)
            await asyncio.sleep(0.01)
            return len(calls)

        memoized = self.early(store, compute)
        assert inspect.iscoroutinefunction(memoized)

        async def main():
            results = [await memoized() for _ in range(10)]
            while store[memoized.cache_key()][0] != 2:
                await asyncio.sleep(0.001)
            return results

        assert asyncio.run(main()) == [1] * 10
        assert len(calls) == 2

    @pytest.mark.parametrize(("expire", "beta"), [(0, 1), (-1, 1), (1, -1), (1, float("nan")), (1, float("inf"))])
    def test_what_makes_no_sense_is_refused(self, store, expire, beta):
        with pytest.raises(ValueError, match="expire must be"):
            store.memoize_stampede(expire, beta)(plain)


IMPORTS = "collections, datetime, decimal, enum, fractions, functools, pathlib, re, uuid"


def modules():
    return {name: importlib.import_module(name) for name in IMPORTS.split(", ")}


def interpreter_of(version):
    """A Python of this version: this one, or one of pyenv's."""
    if sys.version.startswith(version + "."):
        return sys.executable
    found = sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    return str(found[0]) if found else None


def alike(one, other):
    """Whether two calls are equal but for an order or the sign of a zero."""
    return repr(sorted_out(one)) == repr(sorted_out(other))


def sorted_out(value):
    if isinstance(value, dict):
        return sorted((key, sorted_out(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(map(sorted_out, value))
    return 0.0 if value == 0 and isinstance(value, float) else value
