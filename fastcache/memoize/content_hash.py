"""What an object contains, as a hash that is the same in every process, on every machine, and under every Python.

`digest` is a BLAKE2b over an encoding of the object. What is always true:

- **Different types or contents give different encodings.** Each begins with a tag, and says how long it is or has a
  fixed length; what has parts is the digest of its parts' encodings.
- **Equal contents give equal encodings**: what has no order (dicts, sets) is sorted by its parts' encodings. Nothing
  depends on where an object lies in memory, on PYTHONHASHSEED, or on which parts of it are one object.
- **What has no content of its own is refused** (`NoContentError`): locks, files, generators, modules, object(). A
  function or class stands for its name, so that one that cannot be found under its name is refused, too.
- Errors name types, never values.

An instance of an ordinary class is what it would be rebuilt from by pickle, so that its class, which is named, decides;
but what `functools.cached_property` keeps is left out. numpy, pandas and other libraries are looked at only if the
program has imported them: before, there is nothing of theirs to hash.
"""

from __future__ import annotations

import copyreg
import datetime
import enum
import struct
import sys
import types
from hashlib import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["NoContentError", "digest", "reference"]

DIGEST_SIZE = 20
"""In bytes."""

_LONGDOUBLE_KINDS = "fc"
# What Python calls the main module.
_MAIN = ("__main__", "__mp_main__")


class NoContentError(TypeError):
    """The object has no content that could be hashed; the message says what it is."""


def digest(value: object) -> bytes:
    """The hash of what an object contains (bytes, 20).

    Raises:
        NoContentError: it, or a part of it, has none.

    >>> from fastcache.memoize.content_hash import digest
    >>> digest({"a": [1], "b": {2}}) == digest({"b": {2}, "a": [1]}), digest([1]) == digest([1.0])
    (True, False)
    """
    try:
        return _hash(Encoder().encode(value))
    except RecursionError:
        raise NoContentError("something nested too deep") from None


def _hash(*parts: Any) -> bytes:
    hashed = blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        hashed.update(part)
    return hashed.digest()


def _sized(tag: bytes, payload: bytes) -> bytes:
    return tag + len(payload).to_bytes(8, "little") + payload


def _text(tag: bytes, text: str) -> bytes:
    return _sized(tag, text.encode("utf-8", "surrogatepass"))


def _integer(tag: bytes, number: int) -> bytes:
    return _sized(tag, number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True))


def reference(thing: Any) -> str:
    """The name under which a function or class is found in its module ("module:qualname").

    Raises:
        NoContentError: it is not found there.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str):
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is thing or (module in _MAIN and _main_module().is_elsewhere(thing)):
            return f"{_module_of(thing)}:{name}"
    kind = "class" if isinstance(thing, type) else "function"
    raise NoContentError(f"a {kind} that is not found under its name (as a lambda or a local one)")


def _main_module() -> Any:
    # Loaded late, since nothing here needs more than Python's own.
    from fastcache.runtime.imports import load

    return load("fastcache.runtime.main_module")


def _module_of(thing: Any) -> str:
    """The module of a function or class; of a program's main one, by a name that is no other program's, if there is."""
    module: str = thing.__module__
    if module in _MAIN:
        module = _main_module().module_name(thing) or _MAIN[0]
    return module


class Encoder:
    """Encodes one object with all its parts."""

    def __init__(self) -> None:
        # What is being encoded, from the outside to the inside: how deep each of these stands.
        self.path: dict[int, int] = {}
        # What was encoded, by identity; with the object, which must not give its identity to another one meanwhile.
        self.done: dict[int, tuple[object, bytes]] = {}
        # Of what is a part of itself, the encoding depends on where one begins.
        self.cyclic = False

    def encode(self, value: Any) -> bytes:
        """Return the encoding of an object or of a part of it."""
        kind = type(value)
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            encoded: bytes = scalar(value)
            return encoded
        identity = id(value)
        known = self.done.get(identity)
        if known is not None:
            return known[1]
        depth = self.path.get(identity)
        if depth is not None:
            self.cyclic = True
            return _integer(b"^", len(self.path) - depth)
        self.path[identity] = len(self.path)
        try:
            encoded = self.compound(value, kind)
        finally:
            del self.path[identity]
        if not self.cyclic:
            self.done[identity] = (value, encoded)
        return encoded

    def compound(self, value: Any, kind: type) -> bytes:  # noqa: PLR0911 - one for each kind of type
        """Encode what may have parts."""
        if kind is list or kind is tuple:
            return self.ordered(b"L" if kind is list else b"T", value)
        if kind is dict:
            return self.pairs(b"D", value.items())
        if kind is set or kind is frozenset:
            return self.unordered(b"S" if kind is set else b"Z", value)
        special = _SPECIAL.get(kind)
        if special is not None:
            encoded: bytes = special(self, value)
            return encoded
        if isinstance(value, (type, types.FunctionType)):
            return _text(b"&", reference(value))
        if isinstance(value, enum.Enum):
            return self.member(value)
        for library, encode in _LIBRARIES.items():
            module = sys.modules.get(library)
            if module is not None:
                found: bytes | None = encode(self, value, module)
                if found is not None:
                    return found
        return self.instance(value, kind)

    def ordered(self, tag: bytes, parts: Iterable[Any]) -> bytes:
        """Encode parts whose order counts."""
        encoded = [self.encode(part) for part in parts]
        return tag + _hash(len(encoded).to_bytes(8, "little"), *encoded)

    def unordered(self, tag: bytes, parts: Iterable[Any]) -> bytes:
        """Encode parts whose order does not count."""
        return tag + _hash(*sorted(_hash(self.encode(part)) for part in parts))

    def pairs(self, tag: bytes, items: Iterable[tuple[Any, Any]]) -> bytes:
        """Encode the items of a mapping."""
        return tag + _hash(*sorted(_hash(self.encode(key), self.encode(value)) for key, value in items))

    def named(self, name: str, *parts: Any) -> bytes:
        """Encode what has a name of ours for its type, and these parts."""
        return b"N" + _hash(_text(b"", name), self.ordered(b"", parts))

    def member(self, value: enum.Enum) -> bytes:
        """Encode a member of an Enum: its name, which flags that were combined may not have, and its value."""
        try:
            contents = self.encode(value.value)
        except NoContentError:
            contents = b""
        return b"E" + _hash(self.encode(type(value)), self.encode(value.name), contents)

    def instance(self, value: Any, kind: type) -> bytes:
        """Encode what pickle would rebuild an object from."""
        if kind is object or isinstance(value, types.ModuleType):
            raise NoContentError(_described(kind))
        if isinstance(value, (set, frozenset)):
            return b"s" + _hash(self.encode(kind), self.unordered(b"", value), self.encode(_state(value)))
        reductor = copyreg.dispatch_table.get(kind)
        try:
            rebuilt = reductor(value) if reductor is not None else value.__reduce_ex__(4)
        except (RecursionError, MemoryError):
            raise
        except Exception:
            raise NoContentError(_described(kind)) from None
        if isinstance(rebuilt, str):
            return self.by_name(value, kind, rebuilt)
        if not isinstance(rebuilt, tuple) or not 2 <= len(rebuilt) <= 6:
            raise NoContentError(_described(kind))
        function, arguments, state, items, pairs, *_ = (*rebuilt, None, None, None, None)
        if _has_plain_state(kind) and function in _NEW:
            state = _state(value)
        return b"O" + _hash(
            _text(b"", _NEW[function]) if function in _NEW else self.encode(function),
            self.encode(arguments),
            self.encode(state),
            self.ordered(b"l", () if items is None else items),
            (self.pairs if _has_no_order(kind) else self.ordered)(b"d", () if pairs is None else pairs),
        )

    def by_name(self, value: Any, kind: type, name: str) -> bytes:
        """Encode what is found under a name in its module."""
        module = getattr(value, "__module__", None) or kind.__module__
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise NoContentError(_described(kind))
        return _text(b"&", f"{_module_of(value if hasattr(value, '__module__') else kind)}:{name}")


def _described(kind: type) -> str:
    return f"something of type {kind.__qualname__!r}"


# How pickle says that an instance is made of its class, without __init__.
_NEW: dict[Any, str] = {vars(copyreg)["__newobj__"]: "new", vars(copyreg)["__newobj_ex__"]: "new with keywords"}


def _has_no_order(kind: type) -> bool:
    """Whether a mapping is equal to another one in another order."""
    from collections import OrderedDict

    return issubclass(kind, dict) and not issubclass(kind, OrderedDict)


def _has_plain_state(kind: type) -> bool:
    """Whether the state of an instance is that in its __dict__ and slots, which Python's versions say differently."""
    given = getattr(kind, "__getstate__", None)
    return given is None or given is getattr(object, "__getstate__", None) or given.__module__ == "dataclasses"


def _state(value: Any) -> dict[str, Any]:
    """The attributes of an instance, but those that were computed from the others."""
    from functools import cached_property

    kind = type(value)
    state = dict(getattr(value, "__dict__", ()))
    for name in list(state):
        if isinstance(getattr(kind, name, None), cached_property):
            del state[name]
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot in ("__dict__", "__weakref__"):
                continue
            name = slot
            if slot.startswith("__") and not slot.endswith("__"):
                name = f"_{base.__name__.lstrip('_')}{slot}"
            if hasattr(value, name):
                state[name] = getattr(value, name)
    return state


# -- types of Python's own ------------------------------------------------------------------------------------

_SCALARS: dict[type, Any] = {
    type(None): lambda _: b"n",
    bool: lambda value: b"b1" if value else b"b0",
    int: lambda value: _integer(b"i", value),
    float: lambda value: b"f" + struct.pack("<d", value),
    complex: lambda value: b"c" + struct.pack("<2d", value.real, value.imag),
    str: lambda value: _text(b"s", value),
    bytes: lambda value: _sized(b"y", value),
    bytearray: lambda value: _sized(b"a", bytes(value)),
    type(...): lambda _: b"...",
    type(NotImplemented): lambda _: b"not",
}


def _view(encoder: Encoder, value: memoryview) -> bytes:
    return encoder.named("memoryview", value.format, value.shape, value.tobytes())


def _range(encoder: Encoder, value: range) -> bytes:
    # As they compare: by what comes out of them.
    start = value.start if value else None
    return encoder.named("range", len(value), start, value.step if len(value) > 1 else None)


def _method(encoder: Encoder, value: types.MethodType) -> bytes:
    return encoder.named("method", value.__func__, value.__self__)


def _builtin(encoder: Encoder, value: Any) -> bytes:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        return _text(b"&", reference(value))
    return encoder.named("builtin", owner, value.__name__)


def _datetime(encoder: Encoder, value: Any) -> bytes:
    zone = getattr(value, "tzinfo", None)
    wall = value.replace(tzinfo=None) if zone is not None else value
    return encoder.named(type(value).__name__, wall.isoformat(), getattr(value, "fold", 0), zone)


def _timedelta(encoder: Encoder, value: datetime.timedelta) -> bytes:
    return encoder.named("timedelta", value.days, value.seconds, value.microseconds)


def _timezone(encoder: Encoder, value: datetime.timezone) -> bytes:
    return encoder.named("timezone", value.utcoffset(None), value.tzname(None))


_SPECIAL: dict[type, Any] = {
    memoryview: _view,
    range: _range,
    slice: lambda encoder, value: encoder.named("slice", value.start, value.stop, value.step),
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    datetime.datetime: _datetime,
    datetime.date: _datetime,
    datetime.time: _datetime,
    datetime.timedelta: _timedelta,
    datetime.timezone: _timezone,
}


# -- types of libraries, by the module that must have been imported -------------------------------------------


def _decimal(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    return encoder.named("Decimal", str(value)) if type(value) is module.Decimal else None


def _fraction(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    return encoder.named("Fraction", value.numerator, value.denominator) if type(value) is module.Fraction else None


def _uuid(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    return encoder.named("UUID", value.int) if type(value) is module.UUID else None


def _path(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    kinds = (module.PosixPath, module.WindowsPath, module.PurePosixPath, module.PureWindowsPath)
    return encoder.named(type(value).__name__, str(value)) if type(value) in kinds else None


def _cache(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    if not isinstance(value, module.StoreMapping):
        return None
    # Of those in memory, none is another one.
    place = value.store.token if value.store.in_memory else value.directory
    return encoder.named("cache", type(value), place)


def _memoized(encoder: Encoder, value: Any, module: Any) -> bytes | None:
    if not isinstance(value, module.Call):
        return None
    return _text(b"&", reference(value))


def _array(encoder: Encoder, value: Any, numpy: Any) -> bytes | None:
    if isinstance(value, numpy.generic):
        return b"1" + _array_content(encoder, numpy.asarray(value), numpy)
    if type(value) is numpy.ndarray:
        return b"A" + _array_content(encoder, value, numpy)
    if type(value) in (numpy.memmap, numpy.matrix, numpy.recarray):
        return b"m" + _hash(encoder.encode(type(value)), _array_content(encoder, value.view(numpy.ndarray), numpy))
    return None


def _array_content(encoder: Encoder, array: Any, numpy: Any) -> bytes:
    """The dtype, the shape and the elements in C order, whatever their order in memory."""
    dtype = array.dtype
    shape = encoder.encode(array.shape)
    if dtype.names is not None:
        # Field by field: between them may lie what is no content.
        fields = [(name, array[name]) for name in dtype.names]
        return b"f" + _hash(_text(b"", str(dtype)), shape, encoder.ordered(b"", fields))
    if dtype.hasobject or dtype.kind == "T":
        return b"o" + _hash(_text(b"", dtype.str), shape, encoder.ordered(b"", array.reshape(-1).tolist()))
    if dtype.kind in _LONGDOUBLE_KINDS and dtype.type in (numpy.longdouble, numpy.clongdouble):
        # Not all of their bytes are content.
        return b"l" + _hash(_text(b"", dtype.str), shape, encoder.ordered(b"", map(repr, array.reshape(-1))))
    flat = numpy.ascontiguousarray(array).reshape(-1)
    contents = flat.view(numpy.uint8) if dtype.itemsize else b""
    return b"b" + _hash(_text(b"", dtype.str), shape, contents)


def _frame(encoder: Encoder, value: Any, pandas: Any) -> bytes | None:
    if isinstance(value, pandas.Index):
        return b"I" + encoder.named("Index", type(value), *_index(value, pandas))
    if isinstance(value, pandas.Series):
        parts = (value.name, value.index, Column(value.array), value.attrs)
        return b"C" + encoder.named("Series", type(value), *parts)
    if isinstance(value, pandas.DataFrame):
        columns = [Column(value.iloc[:, place].array) for place in range(value.shape[1])]
        return b"F" + encoder.named("DataFrame", type(value), value.columns, value.index, columns, value.attrs)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return b"X" + encoder.named("array", type(value), Column(value))
    return None


def _index(value: Any, pandas: Any) -> list[Any]:
    if isinstance(value, pandas.RangeIndex):
        return [value.name, value.start, value.stop, value.step]
    if isinstance(value, pandas.MultiIndex):
        levels = [value.get_level_values(place) for place in range(value.nlevels)]
        return [list(value.names), [Column(level.array) for level in levels]]
    return [value.name, Column(value.array)]


class Column:
    """The elements of one of pandas's arrays; the same however they lie in blocks."""

    def __init__(self, array: Any) -> None:
        self.array = array


def _column(encoder: Encoder, value: Column) -> bytes:
    pandas, array = sys.modules["pandas"], value.array
    dtype = array.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        return encoder.named("categories", pandas.Index(array.categories), array.ordered, array.codes)
    if hasattr(array, "asi8"):
        return encoder.named("times", str(dtype), array.asi8)
    return encoder.named("column", str(dtype), array.to_numpy())


_SPECIAL[Column] = _column

_LIBRARIES: dict[str, Any] = {
    "decimal": _decimal,
    "fractions": _fraction,
    "uuid": _uuid,
    "pathlib": _path,
    "numpy": _array,
    "pandas": _frame,
    "fastcache.engine.mapping": _cache,
    "fastcache.memoize.calls": _memoized,
}
