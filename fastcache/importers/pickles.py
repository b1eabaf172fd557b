"""Pickles of others: what plain data they hold is built, and nothing in them runs.

What other libraries store are pickles as pickle writes them, which name the classes of what is in them. Most name
none, and go through pickle.loads once they were examined (engine/codecs/pickle_scan.pyx). The others are loaded by a
machine of our own, on pickle's in Python, that knows each opcode that it carries out:

- A name on its stack never is the class itself, but a Maker, which knows how to build plain data of that kind by the
  builders of plain.py, or an instance of a class in ``safe_types``.
- What gets its content only by BUILD (arrays, dtypes, UUIDs) is Unfinished until then, can be part of nothing before,
  and is replaced on the stack and in the memo. So no __setstate__ is called but those of classes in ``safe_types``.
- Opcodes that are not in the table are refused: registries of extensions, persistent ids, classes of Python 2.
- Tuples are hashed by recursion in C, part by part: how deep they are nested, and how many parts they have, counted as
  often as they occur, is limited, as it is for our own pickles.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict, deque
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import SafeUUID

from fastcache import plain
from fastcache.engine.codecs.pickle_scan import SETS, examine
from fastcache.errors import CacheError, DecodeError, UntrustedValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Decoder"]

# As in pickle_scan.pyx.
DEEPEST = 1000
MOST_PARTS = 64
MANY = 1_000_000
# How often a part may be counted, all in all, in what it is a part of.
MOST_TIMES = 16


class Decoder:
    """Bytes of a pickle to an object.

    Args:
        safe_types: classes whose instances count as plain.
        trusted: load whatever it is.
    """

    def __init__(self, safe_types: Iterable[type] = (), *, trusted: bool = False) -> None:
        self._listed = plain.Listed(safe_types)
        self._trusted = trusted

    def loads(self, payload: bytes, buffers: Iterable[bytes] | None = None) -> Any:
        """The object of a pickle, with the buffers that belong to it.

        Raises:
            UntrustedValueError: it is more than plain data.
            DecodeError: it is damaged, or its class is not to be had here.
        """
        try:
            if self._trusted or not examine(payload) & ~SETS:
                return pickle.loads(payload, buffers=buffers)
            return _Machine(payload, buffers, self._listed).load()
        except (MemoryError, CacheError):
            raise
        except Exception as error:
            raise DecodeError(f"it cannot be unpickled ({type(error).__name__})") from error


class _Inert:
    """What is on the stack only for what comes of it."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a class or function is no plain data")


class _Maker(_Inert):
    """Stands for a class or function that a pickle names: what it makes when it is called, and by __new__."""

    __slots__ = ("calls", "factory", "news")

    def __init__(
        self, calls: Callable[..., Any] | None, news: Callable[..., Any] | None = None, factory: str | None = None
    ) -> None:
        self.calls = calls
        self.news = news
        # As what a defaultdict may have it.
        self.factory = factory


class _Unfinished(_Inert):
    """Stands for what is built of its state."""

    __slots__ = ("finish", "places")

    def __init__(self, finish: Callable[[Any], Any]) -> None:
        self.finish = finish
        self.places: list[int] = []


def _uuid(*arguments: Any) -> Any:
    if arguments:
        raise UntrustedValueError("a UUID is called with arguments")

    def finish(state: Any) -> Any:
        safe = state.get("is_safe")
        return plain.build_uuid(state["int"], safe.value if isinstance(safe, SafeUUID) else safe)

    return _Unfinished(finish)


def _fraction(*arguments: Any) -> Any:
    if len(arguments) == 1 and type(arguments[0]) is str:
        numerator, _, denominator = arguments[0].partition("/")
        return plain.build_fraction(int(numerator), int(denominator or 1))
    return plain.build_fraction(*arguments)


def _path(kind: str) -> _Maker:
    return _Maker(lambda *parts: plain.build_path(kind, *parts))


def _ordered_dict(*items: Any) -> Any:
    # As a list of pairs, in the oldest protocols.
    return OrderedDict((key, value) for key, value in items[0]) if items else OrderedDict()


def _deque(items: Any = (), limit: int | None = None) -> Any:
    return plain.build_deque(list(items), limit)


def _defaultdict(factory: Any = None) -> Any:
    if factory is not None and (type(factory) is not _Maker or factory.factory is None):
        raise UntrustedValueError("a defaultdict has a function of its own")
    return plain.build_defaultdict(None if factory is None else factory.factory, {})


def _encode(text: str, coding: str) -> bytes:
    # As protocols before 3 store bytes.
    if coding != "latin1":
        raise UntrustedValueError("bytes are stored in another way than pickle's")
    return text.encode("latin1")


def _bytearray(*arguments: Any) -> bytearray:
    if arguments and type(arguments[0]) is str:
        return bytearray(_encode(*arguments))
    return bytearray(plain._is(bytes, *arguments) if arguments else b"")


def _of(kind: type, name: str) -> _Maker:
    """A builtin type: of one part that is no number, which could be a size."""

    def make(*parts: Any) -> Any:
        if parts and type(parts[0]) not in (list, tuple, set, frozenset):
            raise UntrustedValueError("a builtin type is called with something else than parts")
        return kind(*parts)

    return _Maker(make if kind in (set, frozenset, list, tuple) else None, None, name)


def _no_bytes(*arguments: Any) -> bytes:
    # As protocols before 3 store none.
    if arguments:
        raise UntrustedValueError("bytes are made of something else than bytes")
    return b""


def _reconstruct(kind: Any, base: Any, state: Any) -> Any:
    """What protocols before 2 have instead of __new__."""
    if type(kind) is not _Maker or kind.news is None or base is not _OBJECT or state is not None:
        raise UntrustedValueError("it is of a class that is not plain data, nor in safe_types")
    return kind.news()


def _safe_uuid(number: Any) -> Any:
    return SafeUUID(number)


# numpy: see plain.py; no __setstate__ of it is ever called.


def _dtype(short: str, *flags: Any) -> Any:
    plain._is(str, short)

    def finish(state: Any) -> Any:
        order, subdtype, names, fields, size = state[1:6]
        if names is not None:
            return plain.build_dtype(
                {
                    "names": list(names),
                    "formats": [_description(fields[name][0]) for name in names],
                    "offsets": [plain._is(int, fields[name][1]) for name in names],
                    "itemsize": plain._is(int, size),
                    "aligned": bool(flags[0]) if state[7:] and plain._is(int, state[7]) & 128 else False,
                }
            )
        if subdtype is not None:
            return plain.build_dtype((_description(subdtype[0]), subdtype[1]))
        unit = ""
        if short in ("M8", "m8") and len(state) > 8:
            name, count = state[8][1][:2]
            name = name.decode() if type(name) is bytes else plain._is(str, name)
            unit = "" if name == "generic" else f"[{'' if count == 1 else plain._is(int, count)}{name}]"
        return plain.build_dtype(f"{'<' if order == '=' else order}{short}{unit}")

    return _Unfinished(finish)


def _description(dtype: Any) -> Any:
    described = plain._describe(dtype) if not isinstance(dtype, _Inert) and hasattr(dtype, "hasobject") else None
    if described is None:
        raise UntrustedValueError("a dtype is more than plain data")
    return described


def _array(*arguments: Any) -> Any:
    def finish(state: Any) -> Any:
        shape, dtype, is_fortran, content = state[-4:]
        order = "F" if is_fortran else "C"
        return plain.build_writable_array(bytes(plain._is(bytes, content)), _description(dtype), shape, order)

    return _Unfinished(finish)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    if type(content) not in (bytes, bytearray):
        raise UntrustedValueError("an array is of something else than bytes")
    return plain.build_writable_array(bytes(content), _description(dtype), shape, plain._is(str, order))


def _moments(numbers: Any, dtype: Any) -> Any:
    """What sciqlop-cache makes of arrays of times."""
    described = _description(dtype)
    if dtype.kind not in "mM" or type(numbers).__name__ != "ndarray" or numbers.dtype.str[1:] != "i8":
        raise UntrustedValueError("an array of times is of something else than numbers")
    order = "F" if numbers.flags.f_contiguous and not numbers.flags.c_contiguous else "C"
    return plain.build_writable_array(numbers.tobytes(order), described, tuple(numbers.shape), order)


def _scalar(dtype: Any, content: Any) -> Any:
    return plain.build_scalar(_description(dtype), plain._is(bytes, content))


_NUMPY = {
    ("numpy", "dtype"): _Maker(_dtype),
    ("numpy", "ndarray"): _Maker(None),
    ("pysciqlop_cache.serializers", "_datetime_from_int64"): _Maker(_moments),
    **{
        (f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module, name, maker in (
            ("multiarray", "_reconstruct", _Maker(_array)),
            ("multiarray", "scalar", _Maker(_scalar)),
            ("numeric", "_frombuffer", _Maker(_from_buffer)),
        )
    },
}
_OBJECT = _Maker(None)
_BUILTINS: dict[str, Any] = {
    **{kind.__name__: _of(kind, kind.__name__) for kind in (list, dict, set, frozenset, tuple)},
    **{kind.__name__: _Maker(None, None, kind.__name__) for kind in (int, float, str, bool)},
    "bytes": _Maker(_no_bytes, None, "bytes"),
    "object": _OBJECT,
    "complex": _Maker(plain.build_complex),
    "range": _Maker(plain.build_range),
    "xrange": _Maker(plain.build_range),
    "slice": _Maker(plain.build_slice),
    "bytearray": _Maker(_bytearray),
    **plain._SINGLETONS,
}
_KNOWN: dict[tuple[str, str], Any] = {
    **{
        ("datetime", kind): _Maker(getattr(plain, f"build_{kind}"))
        for kind in ("date", "time", "datetime", "timedelta", "timezone")
    },
    ("decimal", "Decimal"): _Maker(plain.build_decimal),
    ("fractions", "Fraction"): _Maker(_fraction),
    ("uuid", "UUID"): _Maker(None, _uuid),
    ("uuid", "SafeUUID"): _Maker(_safe_uuid),
    ("collections", "OrderedDict"): _Maker(_ordered_dict),
    ("collections", "deque"): _Maker(_deque),
    ("collections", "defaultdict"): _Maker(_defaultdict),
    ("_codecs", "encode"): _Maker(_encode),
    ("copyreg", "_reconstructor"): _Maker(_reconstruct),
    ("copy_reg", "_reconstructor"): _Maker(_reconstruct),
    **{(module, kind): _path(kind) for module in ("pathlib", "pathlib._local") for kind in plain._PATHS},
    **{(module, name): made for module in ("builtins", "__builtin__") for name, made in _BUILTINS.items()},
    **_NUMPY,
}


_PICKLES: Any = pickle._Unpickler


class _Machine(_PICKLES):  # type: ignore[misc]
    """Pickle's stack machine in Python, with each opcode that could do harm replaced."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {}

    def __init__(self, payload: bytes, buffers: Iterable[bytes] | None, listed: plain.Listed) -> None:
        super().__init__(io.BytesIO(payload))
        self._buffers_left = iter(buffers or ())
        self._size = len(payload)
        self._listed = listed
        # Of each tuple, frozenset and result how deep it is and how many parts it has; and all of them, so that no
        # number is given twice.
        self._weights: dict[int, tuple[int, int]] = {}
        self._alive: list[Any] = []
        self._given = 0
        # Tuples that hold makers, and so are good for nothing but as arguments.
        self._with_makers: set[int] = set()

    def load(self) -> Any:
        found = super().load()
        self._refuse_inert(found)
        return found

    def _refuse_inert(self, part: Any) -> None:
        if type(part) is _Unfinished:
            raise UntrustedValueError("it has a part that is never built")
        if type(part) is _Maker or id(part) in self._with_makers:
            raise UntrustedValueError("it holds a class or function, and not plain data alone")

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is not None:
            return known
        kind = self._listed.by_name.get(f"{module}:{name}")
        if kind is None:
            raise UntrustedValueError("it is of a class that is not plain data, nor in safe_types")
        if issubclass(kind, Enum):
            return _Maker(lambda *arguments: self._listed._build(f"{module}:{name}", True, arguments, None, None, None))
        return _Maker(kind, lambda *arguments: kind.__new__(kind, *arguments))

    def _weigh(self, made: Any, parts: Iterable[Any], *, holds_makers: bool = False) -> Any:
        """Refuse what is nested too deep, or has too many parts, or one that is no object by itself."""
        depth, count = 0, 1
        for part in parts:
            if not (holds_makers and type(part) is _Maker):
                self._refuse_inert(part)
            deep, many = self._weights.get(id(part), (0, 1))
            depth = max(depth, deep + 1)
            count += many
        self._given += count
        most = MANY + MOST_PARTS * self._size
        if depth > DEEPEST or count > most or self._given > MOST_TIMES * most:
            raise UntrustedValueError("it is nested too deep, or holds the same parts too often")
        self._weights[id(made)] = depth, count
        self._alive.append(made)
        return made

    def _grow(self, target: Any, parts: list[Any], kinds: tuple[type, ...]) -> Any:
        if not isinstance(target, kinds) and type(target) not in self._listed.classes:
            raise UntrustedValueError("something is added to what is no container")
        deep, many = self._weights.get(id(target), (0, 1))
        self._weigh(target, parts)
        deeper, more = self._weights[id(target)]
        self._weights[id(target)] = max(deep, deeper), many + more
        return target

    def _load_tuple(self) -> None:
        items = self.pop_mark()
        self.append(self._tuple(items))

    def _tuple(self, items: list[Any]) -> tuple[Any, ...]:
        made = tuple(items)
        if items:
            self._weigh(made, items, holds_makers=True)
        if any(type(item) is _Maker for item in items):
            self._with_makers.add(id(made))
        return made

    def _load_tuple_of(self, size: int) -> None:
        parts = self.stack[-size:]
        if len(parts) != size:
            raise DecodeError("it is damaged")
        self.stack[-size:] = [self._tuple(parts)]

    def _load_frozenset(self) -> None:
        items = self.pop_mark()
        self._weigh(tuple(items), items)
        self.append(self._weigh(frozenset(items), items))

    def _load_append(self) -> None:
        part = self.stack.pop()
        self._grow(self.stack[-1], [part], (list, deque)).append(part)

    def _load_appends(self) -> None:
        items = self.pop_mark()
        self._grow(self.stack[-1], items, (list, deque)).extend(items)

    def _load_additems(self) -> None:
        items = self.pop_mark()
        self._grow(self.stack[-1], items, (set,)).update(items)

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._grow(self.stack[-1], [key, value], (dict,))[key] = value

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        target = self._grow(self.stack[-1], items, (dict,))
        for index in range(0, len(items), 2):
            target[items[index]] = items[index + 1]

    def _load_list(self) -> None:
        items = self.pop_mark()
        self.append(self._weigh(list(items), items))

    def _load_dict(self) -> None:
        items = self.pop_mark()
        self.append(self._weigh({items[index]: items[index + 1] for index in range(0, len(items), 2)}, items))

    def _make(self, maker: Any, how: str, arguments: Any) -> None:
        make = getattr(maker, how) if type(maker) is _Maker else None
        if make is None or type(arguments) is not tuple:
            raise UntrustedValueError("it calls what is no class of plain data")
        made = make(*arguments)
        self.append(made if type(made) is _Unfinished else self._weigh(made, arguments, holds_makers=True))

    def _load_reduce(self) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self._make(maker, "calls", arguments)

    def _load_newobj(self) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self._make(maker, "news", arguments)

    def _load_build(self) -> None:
        state, target = self.stack.pop(), self.stack.pop()
        if type(target) is _Unfinished:
            self._weigh([], [state])
            made = target.finish(state)
            for place in target.places:
                self.memo[place] = made
            self._alive.append(made)
        elif type(target) in self._listed.classes and not isinstance(target, Enum):
            self._weigh(target, [state])
            self._listed._restore(target, state)
            made = target
        else:
            raise UntrustedValueError("it changes what is no instance of a class in safe_types")
        self.append(made)

    def _remember(self, place: int) -> None:
        top = self.stack[-1]
        if type(top) is _Unfinished:
            top.places.append(place)
        self.memo[place] = top

    def _load_put(self) -> None:
        self._remember(int(self.readline()[:-1]))

    def _load_binput(self) -> None:
        self._remember(self.read(1)[0])

    def _load_long_binput(self) -> None:
        self._remember(*struct.unpack("<I", self.read(4)))

    def _load_memoize(self) -> None:
        self._remember(len(self.memo))

    def _load_bytearray(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        # Nothing is allocated for what is only claimed to be there.
        if size > self._size:
            raise DecodeError("it is cut off")
        self.append(bytearray(self.read(size)))

    def _load_buffer(self) -> None:
        content = next(self._buffers_left, None)
        if type(content) is not bytes:
            raise DecodeError("it has lost a part of it")
        self.append(content)

    def _load_readonly_buffer(self) -> None:
        """What it is made of is read-only in any case."""


# What pickle's own does is harmless: it reads atoms, makes empty containers, moves what is on the stack.
_KEPT = (
    *("PROTO", "FRAME", "STOP", "POP", "POP_MARK", "DUP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "FLOAT", "BINFLOAT"),
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_SET", "GET", "BINGET", "LONG_BINGET", "GLOBAL", "STACK_GLOBAL"),
)
_OURS: dict[str, Any] = {
    "TUPLE": _Machine._load_tuple,
    "TUPLE1": lambda machine: machine._load_tuple_of(1),
    "TUPLE2": lambda machine: machine._load_tuple_of(2),
    "TUPLE3": lambda machine: machine._load_tuple_of(3),
    "FROZENSET": _Machine._load_frozenset,
    "APPEND": _Machine._load_append,
    "APPENDS": _Machine._load_appends,
    "ADDITEMS": _Machine._load_additems,
    "SETITEM": _Machine._load_setitem,
    "SETITEMS": _Machine._load_setitems,
    "LIST": _Machine._load_list,
    "DICT": _Machine._load_dict,
    "REDUCE": _Machine._load_reduce,
    "NEWOBJ": _Machine._load_newobj,
    "BUILD": _Machine._load_build,
    "PUT": _Machine._load_put,
    "BINPUT": _Machine._load_binput,
    "LONG_BINPUT": _Machine._load_long_binput,
    "MEMOIZE": _Machine._load_memoize,
    "BYTEARRAY8": _Machine._load_bytearray,
    "NEXT_BUFFER": _Machine._load_buffer,
    "READONLY_BUFFER": _Machine._load_readonly_buffer,
}
_Machine.dispatch = {getattr(pickle, name)[0]: _PICKLES.dispatch[getattr(pickle, name)[0]] for name in _KEPT} | {
    getattr(pickle, name)[0]: function for name, function in _OURS.items()
}
