"""What is plain: objects that can be built without running anything, and the picklers that know no others.

The rules are those of trust.py. A pickle of plain data names functions of this module alone, and those that are in
BUILDERS may be called by a pickle of unknown origin. Each of them takes plain data and makes one object of it; why that
runs nothing is said beside it. No class but builtin ones, and no function that could be changed, ever lies on the
unpickler's stack: a pickle reaches attributes by BUILD, which is refused (engine/codecs/pickle_scan.pyx), and the
builders are wrapped in objects that have none.
"""

from __future__ import annotations

import copyreg
import io
import math
import operator
import pickle
import re
import sys
from collections import OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import FunctionType
from typing import TYPE_CHECKING, Any
from uuid import UUID, SafeUUID

from fastcache.errors import DecodeError, UntrustedValueError
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    _Reduced = tuple[Any, ...]

__all__ = ["Listed", "PlainPickler", "load_plain", "load_trusted"]

# Arrays of fewer bytes travel inside the pickle.
_BESIDE = 16 * 1024

# What a defaultdict may make its values by.
_FACTORIES = {kind.__name__: kind for kind in (list, dict, set, frozenset, tuple, int, float, str, bytes, bool)}
_SINGLETONS = {"Ellipsis": ..., "NotImplemented": NotImplemented}


# -- what builds plain objects -------------------------------------------------------------------------------
#
# A builder is what a pickle calls; a reducer says which, with what. A reducer that returns None leaves the object to
# pickle's own ways, and so to the signature.


def build_date(state: bytes) -> date:
    """A date of the bytes that it pickles as; made anew of its parts, since the constructor does not check them."""
    found = date(_is(bytes, state))  # type: ignore[call-arg]
    return date(found.year, found.month, found.day)


def build_time(state: bytes, *zone: timezone) -> time:
    """The same with a time zone, which is a timezone or refused, since no other tzinfo can be had here."""
    found = time(_is(bytes, state), *zone)  # type: ignore[arg-type]
    return time(found.hour, found.minute, found.second, found.microsecond, found.tzinfo, fold=found.fold)


def build_datetime(state: bytes, *zone: timezone) -> datetime:
    """The same for both together."""
    found = datetime(_is(bytes, state), *zone)  # type: ignore[arg-type]
    return datetime.combine(
        date(found.year, found.month, found.day),
        time(found.hour, found.minute, found.second, found.microsecond, found.tzinfo, fold=found.fold),
    )


def build_timedelta(days: int, seconds: int, microseconds: int) -> timedelta:
    """Three ints."""
    return timedelta(_is(int, days), _is(int, seconds), _is(int, microseconds))


def build_timezone(offset: timedelta, *name: str) -> timezone:
    """A fixed offset and a text."""
    return timezone(offset, *name)


def build_decimal(text: str) -> Decimal:
    """Parses text, exactly, or raises."""
    return Decimal(_is(str, text))


def build_fraction(numerator: int, denominator: int) -> Fraction:
    """Two ints, reduced to lowest terms."""
    return Fraction(_is(int, numerator), _is(int, denominator))


def build_uuid(number: int, safe: int | None) -> UUID:
    """Two ints, of which the constructor checks the range."""
    return UUID(int=_is(int, number), is_safe=SafeUUID(safe))


def build_complex(real: float, imaginary: float) -> complex:
    """Two floats."""
    return complex(_is(float, real), _is(float, imaginary))


def build_range(start: int, stop: int, step: int) -> range:
    """Three ints; nothing is made of them before somebody iterates."""
    return range(_is(int, start), _is(int, stop), _is(int, step))


def build_slice(start: Any, stop: Any, step: Any) -> slice:
    """Holds what it is given."""
    return slice(start, stop, step)


def build_path(name: str, *parts: str) -> Any:
    """Texts, taken apart and joined: the file system is not looked at."""
    return _PATHS[name](*(_is(str, part) for part in parts))


def build_ordered_dict(items: dict[Any, Any]) -> OrderedDict[Any, Any]:
    """Of a dict, which hashes and compares plain data. Nothing is added to it afterwards, nor to the next two."""
    return OrderedDict(_is(dict, items))


def build_deque(items: list[Any], limit: int | None) -> deque[Any]:
    """The same for a deque."""
    return deque(_is(list, items), limit)


def build_defaultdict(factory: str | None, items: dict[Any, Any]) -> defaultdict[Any, Any]:
    """The same for a defaultdict, by the name of its factory: no class lies in the pickle, which could call it."""
    return defaultdict(None if factory is None else _FACTORIES[factory], _is(dict, items))


_PATHS = {kind.__name__: kind for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)}


def _is(kind: type, part: Any) -> Any:
    if type(part) is not kind:
        raise TypeError(f"a {kind.__name__} is needed, not a {type(part).__name__}")
    return part


def _reduce_state(builder: Callable[..., Any]) -> Callable[[Any], _Reduced]:
    """For what pickles as the arguments of its own class."""
    return lambda part: (builder, *part.__reduce_ex__(5)[1:])


def _reduce_timezone(part: timezone) -> _Reduced:
    return build_timezone, part.__getinitargs__()  # type: ignore[attr-defined]


def _reduce_uuid(part: UUID) -> _Reduced:
    return build_uuid, (part.int, part.is_safe.value)


def _reduce_path(part: Any) -> _Reduced:
    # Not as it reduces: Python 3.13 gives the texts that it was made of, others its parts, and equal paths are one key.
    kind = type(part)
    parts = tuple(map(str, part.parts))
    # On Windows a part may look like a drive.
    if not isinstance(part, PurePosixPath) and str(kind(*parts)) != str(part):
        parts = (str(part),)
    return build_path, (kind.__name__, *parts)


def _reduce_ordered_dict(part: OrderedDict[Any, Any]) -> _Reduced | None:
    # One with attributes of its own has a state.
    return None if vars(part) else (build_ordered_dict, (dict(part),))


def _reduce_deque(part: deque[Any]) -> _Reduced | None:
    return build_deque, (list(part), part.maxlen)


def _reduce_defaultdict(part: defaultdict[Any, Any]) -> _Reduced | None:
    factory: Any = part.default_factory
    name: Any = getattr(factory, "__name__", None)
    if factory is not None and _FACTORIES.get(name) is not factory:
        return None
    return build_defaultdict, (name, dict(part))


_REDUCERS: dict[type, Callable[[Any], _Reduced | None]] = {
    date: _reduce_state(build_date),
    time: _reduce_state(build_time),
    datetime: _reduce_state(build_datetime),
    timedelta: lambda part: (build_timedelta, (part.days, part.seconds, part.microseconds)),
    timezone: _reduce_timezone,
    Decimal: lambda part: (build_decimal, (str(part),)),
    Fraction: lambda part: (build_fraction, (part.numerator, part.denominator)),
    UUID: _reduce_uuid,
    complex: lambda part: (build_complex, (part.real, part.imag)),
    range: lambda part: (build_range, (part.start, part.stop, part.step)),
    slice: lambda part: (build_slice, (part.start, part.stop, part.step)),
    **dict.fromkeys(_PATHS.values(), _reduce_path),
    OrderedDict: _reduce_ordered_dict,
    deque: _reduce_deque,
    defaultdict: _reduce_defaultdict,
}


_MAY_HOLD_ITSELF = (OrderedDict, deque, defaultdict, slice)

# numpy: a dtype without objects describes bytes, and any bytes are content of such an array, but of one of text, which
# is looked at. The constructors check offsets and sizes; __setstate__, which does not, cannot be reached without BUILD.
# Importing numpy is all that a pickle can bring about.


def _numpy() -> Any:
    """The module, which need not be installed where an array is read."""
    try:
        return load("numpy")
    except ImportError as error:
        raise DecodeError("a stored value is of numpy's types, and numpy cannot be imported here") from error


def build_dtype(description: Any) -> Any:
    """A dtype of its short name, its base and shape, or its fields; refused if it holds objects."""
    found = _build_dtype(description, [_MOST_FIELDS])
    if found.hasobject:
        raise UntrustedValueError("a stored dtype holds objects")
    return found


def _build_dtype(description: Any, left: list[int]) -> Any:
    # A description may hold the same part many times, and each is looked at as often.
    left[0] -= 1
    if left[0] < 0:
        raise TypeError("a dtype has too many fields")
    numpy = _numpy()
    if type(description) is str:
        if not _DTYPE.fullmatch(description):
            raise TypeError("this is no description of a dtype")
        return numpy.dtype(description)
    if type(description) in (tuple, list):
        base, shape = description
        return numpy.dtype((_build_dtype(base, left), _lengths(shape)))
    fields = dict(_is(dict, description))
    fields["formats"] = [_build_dtype(each, left) for each in fields["formats"]]
    return numpy.dtype(fields)


def _lengths(shape: Any) -> tuple[int, ...]:
    """The lengths of an array's dimensions, none of which is negative."""
    if any(_is(int, length) < 0 for length in shape):
        raise ValueError("an array has a negative length")
    return tuple(shape)


# What numpy's dtype.str gives for those that are left: no others are tried.
_DTYPE = re.compile(
    r"[<>|](?:[biufc][0-9]{1,2}|[SUV][0-9]{1,9}|[mM]8(?:\[(?:[1-9][0-9]{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)
_MOST_FIELDS = 10_000


def build_array(content: Any, description: Any, shape: Any, order: str) -> Any:
    """An array over bytes, which it does not copy, and which cannot be written to."""
    found = _array_over(content, description, shape, order)
    found.flags.writeable = False
    return found


def _array_over(content: Any, description: Any, shape: Any, order: str) -> Any:
    numpy = _numpy()
    dtype = build_dtype(description)
    lengths = _lengths(shape)
    # Nothing that could grow, or go: numpy keeps no more than the address.
    if type(content) is memoryview and type(content.obj) is not bytearray:
        size = content.nbytes
    else:
        size = len(_is(bytes, content))
    # All of it is there, so that no memory is given for what is only claimed to be.
    if math.prod(lengths) * dtype.itemsize != size or (size == 0 and dtype.itemsize == 0):
        raise TypeError("an array has another size than its shape says")
    if not size:
        found = numpy.zeros(lengths, dtype)
    elif _has_text(dtype):
        # A copy, since a map may change after it was looked at.
        found = numpy.ndarray(lengths, dtype, bytes(content), order="F" if order == "F" else "C")
        _check_text(found)
    else:
        found = numpy.ndarray(lengths, dtype, content, order="F" if order == "F" else "C")
    return found


def _has_text(dtype: Any) -> bool:
    base = dtype.base
    if base.names is None:
        return bool(base.kind == "U")
    return any(_has_text(base[name]) for name in base.names)


def _check_text(array: Any) -> None:
    """Refuse what are no characters of Unicode: str relies on that."""
    dtype = array.dtype
    for name in dtype.names or ():
        _check_text(array[name])
    if dtype.kind == "U" and array.size:
        points = _numpy().ascontiguousarray(array).view(dtype.byteorder + "u4")
        if points.max() > sys.maxunicode:
            raise ValueError("an array of text holds what is no character")


def build_writable_array(content: Any, description: Any, shape: Any, order: str) -> Any:
    """The same with memory of its own, which can: that of a private map of a file, else a copy."""
    if type(content) is memoryview:
        # Read-only is also what stands for an array that was so when it was stored.
        whole: Any = content.obj
        if getattr(whole, "private", False) is True:
            content = whole.writable(content)
        found = _array_over(content, description, shape, order)
        if found.flags.writeable:
            return found
        return found.copy(order="F" if order == "F" else "C")
    return _array_over(content, description, shape, order).copy(order="F" if order == "F" else "C")


def build_scalar(description: Any, content: bytes) -> Any:
    """A scalar of its bytes."""
    return build_array(content, description, (), "C").copy()[()]


def build_text(content: str) -> Any:
    """A numpy.str_, of which an array would cut off what it takes for padding."""
    numpy = _numpy()
    return numpy.str_(_is(str, content))


def build_binary(content: bytes) -> Any:
    """A numpy.bytes_, likewise."""
    numpy = _numpy()
    return numpy.bytes_(_is(bytes, content))


def _describe(dtype: Any) -> Any:
    """What ``build_dtype`` makes the same dtype of; None if it is none that it makes."""
    is_numpys = type(dtype).__module__ in ("numpy", "numpy.dtypes")
    # Of no bytes, any number of items would fit.
    if dtype.hasobject or dtype.metadata is not None or not dtype.itemsize or not is_numpys:
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        inner = _describe(base)
        return None if inner is None else (inner, tuple(map(int, shape)))
    if dtype.names is None:
        return dtype.str if _DTYPE.fullmatch(dtype.str) and build_dtype(dtype.str) == dtype else None
    return _describe_fields(dtype)


def _describe_fields(dtype: Any) -> Any:
    fields = [dtype.fields[name] for name in dtype.names]
    titles = [field[2] if len(field) > 2 else None for field in fields]
    described = {
        "names": list(dtype.names),
        "formats": [_describe(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
        "aligned": bool(dtype.isalignedstruct),
    }
    if any(title is not None for title in titles):
        described["titles"] = titles
    if None in described["formats"] or not all(title is None or type(title) is str for title in titles):
        return None
    try:
        return described if build_dtype(described) == dtype else None
    except (TypeError, ValueError):
        return None


def describe_array(array: Any) -> tuple[tuple[Any, tuple[int, ...], str], Any] | None:
    """What ``build_array`` takes beside the content of an array, and that, as an array of bytes; None if it is left to
    pickle."""
    described = _describe(array.dtype)
    if described is None:
        return None
    numpy = sys.modules["numpy"]
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    head = (described, tuple(map(int, array.shape)), order)
    if not array.nbytes:
        return head, numpy.empty(0, numpy.uint8)
    # Without a copy, if it is contiguous. As bytes, since some types have no buffers of their own (datetime64).
    contiguous = array if array.flags.forc else numpy.ascontiguousarray(array)
    return head, contiguous.reshape(-1, order=order).view(numpy.uint8)


def describe_scalar(scalar: Any) -> Any:
    """What ``build_scalar`` takes beside the content; None if it is left to pickle."""
    return _describe(scalar.dtype)


class _Builder:
    """A function without attributes that could be set, so that no pickle can change it."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a builder cannot be changed")

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)


_FUNCTIONS = (
    *(build_date, build_time, build_datetime, build_timedelta, build_timezone),
    *(build_decimal, build_fraction, build_complex, build_uuid, build_range, build_slice, build_path),
    *(build_ordered_dict, build_deque, build_defaultdict),
    *(build_dtype, build_array, build_scalar, build_text, build_binary),
)
BUILDERS = {function.__name__: _Builder(function) for function in _FUNCTIONS}


# -- what a user has listed ----------------------------------------------------------------------------------
#
# Of such a class instances are made as pickle would make them, and of no other. One function stands for that in a
# pickle; only that of Listed is ever called, this one says so.


def build_listed(name: str, *how: Any) -> Any:
    """Stands for making an instance of a class in ``safe_types``, with its state and items."""
    raise UntrustedValueError(f"a stored value is of the class {name}, which is not in safe_types")


def build_member(name: str, member: str) -> Any:
    """Stands for a member of an enum in ``safe_types``, by its name, in the same way."""
    raise UntrustedValueError(f"a stored value is of the class {name}, which is not in safe_types")


# What an enum may have as a value that is told by it, not by its name.
_ATOMS = frozenset((str, bytes, int, float, bool, type(None)))
# Python 3.10 takes minutes to find the names of a few thousand, and does not forget them.
_MOST_FLAGS = 1024


def _is_atom(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_atom, value))
    # NaN is found by nobody who has another one.
    return type(value) in _ATOMS and not (type(value) is float and math.isnan(value))


class Listed:
    """The classes in ``safe_types``, by the name that stands for each in a pickle."""

    def __init__(self, classes: Iterable[type]) -> None:
        self.by_name: dict[str, type] = {}
        for kind in classes:
            name = f"{kind.__module__}:{kind.__qualname__}"
            if self.by_name.setdefault(name, kind) is not kind:
                raise ValueError(f"two classes in safe_types have the name {name}")
        self.classes = frozenset(self.by_name.values())
        self._builders = BUILDERS | {
            "build_listed": _Builder(self._build),
            "build_member": _Builder(self._member),
        }
        self._copying_builders = self._builders | {"build_array": _Builder(build_writable_array)}

    def builders(self, *, copy: bool) -> dict[str, _Builder]:
        """What a pickle may call; with ``copy`` arrays can be written to."""
        return self._copying_builders if copy else self._builders

    def reduce(self, part: Any) -> _Reduced | None:
        """How to store an instance; None if its class says how in a way of its own."""
        reduced = part.__reduce_ex__(5)
        if isinstance(part, Enum):
            return _reduce_member(part, reduced)
        if not isinstance(reduced, tuple) or len(reduced) > 5:
            return None
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        kind = type(part)
        name = f"{kind.__module__}:{kind.__qualname__}"
        calls = maker is kind
        if getattr(maker, "__self__", None) is kind and name == "zoneinfo:ZoneInfo" and arguments[1]:
            # One that everybody shares, which its class makes of its key.
            calls, arguments = True, arguments[:1]
        if maker is copyreg.__newobj__ and arguments[0] is kind:  # type: ignore[attr-defined]
            arguments = arguments[1:]
        elif not calls:
            return None
        items = None if items is None else list(items)
        pairs = None if pairs is None else dict(pairs)
        return build_listed, (name, calls, tuple(arguments), state, items, pairs)

    def _kind(self, name: Any) -> type:
        kind = self.by_name.get(_is(str, name))
        if kind is None:
            raise UntrustedValueError(
                "a stored value is of a class that is not in safe_types, and it is not signed; list the class, or set "
                "the entry anew"
            )
        return kind

    def _member(self, name: Any, member: Any) -> Any:
        """A member of an enum by its name; not by getattr, which would find whatever else the class has."""
        kind = self._kind(name)
        found = kind.__members__.get(_is(str, member)) if issubclass(kind, Enum) else None
        if found is None:
            raise UntrustedValueError("a stored value is no member of an enum")
        return found

    def _build(self, name: Any, calls: bool, arguments: Any, *rest: Any) -> Any:
        state, items, pairs = rest
        kind = self._kind(name)
        _is(tuple, arguments)
        if issubclass(kind, Enum) and (not calls or len(arguments) != 1 or any(each is not None for each in rest)):
            # Its members are everybody's, and with more arguments it would make a new class.
            raise UntrustedValueError("a stored value is no member of an enum")
        if issubclass(kind, Flag) and isinstance(arguments[0], int) and arguments[0].bit_length() > _MOST_FLAGS:
            raise ValueError("a stored value has more flags than any enum")
        made = kind(*arguments) if calls else kind.__new__(kind, *arguments)
        if state is not None:
            self._restore(made, state)
        if items is not None:
            made.extend(_is(list, items))
        for key, value in _is(dict, pairs or {}).items():
            made[key] = value
        return made

    @staticmethod
    def _restore(made: Any, state: Any) -> None:
        """Do what BUILD does."""
        restore = getattr(made, "__setstate__", None)
        if restore is not None:
            restore(state)
            return
        attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
        if attributes:
            vars(made).update(_is(dict, attributes))
        for name, value in _is(dict, slots or {}).items():
            setattr(made, _is(str, name), value)


def _reduce_member(part: Any, reduced: Any) -> _Reduced | None:
    """How to store a member of an enum: by its value, or else by its name; None if its class has a way of its own.

    Not as it reduces, which every few releases of Python do in another way: as a call of the class, as getattr (3.11.0
    to 3.11.3, and pickle_by_enum_name), by the name of a global (what was converted from a module's constants), or,
    several flags, as the operator between them. It is one key in all of them.
    """
    kind = type(part)
    if isinstance(reduced, tuple):
        maker, arguments = reduced[:2]
        by_name = maker is getattr and arguments == (kind, part._name_)
        if len(reduced) > 2 or not (maker is kind or by_name or maker is operator.or_):
            return None
    elif reduced != part._name_:
        return None
    name, value = f"{kind.__module__}:{kind.__qualname__}", part._value_
    if _is_atom(value) and (isinstance(part, Flag) or kind._value2member_map_.get(value) is part):
        return build_listed, (name, True, (value,), None, None, None)
    if kind.__members__.get(part._name_) is not part:
        return None
    return build_member, (name, part._name_)


# -- pickling ------------------------------------------------------------------------------------------------


class PlainPickler(pickle.Pickler):
    """Writes what is plain by way of the builders, and notices what is not.

    Args:
        out: where to.
        listed: the classes in ``safe_types``.
        alone: put nothing beside the pickle.
        loops: leave containers and what is listed to pickle, which can store what holds itself.
        alike: write the same bytes for equal objects: without a memo, which would tell what is shared.
    Attributes:
        plain: whether nothing else was met.
        has_set: whether there was a set.
        beside: the buffers that belong to the pickle.
        itemsize: of their items, the bytes; of the largest array, if they differ.
    """

    def __init__(
        self, out: io.BytesIO, listed: Listed, *, alone: bool = False, loops: bool = False, alike: bool = False
    ) -> None:
        super().__init__(out, 5, buffer_callback=None if alone else self._stays_inside)
        self.fast = alike
        self.plain = True
        self.has_set = False
        self.beside: list[pickle.PickleBuffer] = []
        self.itemsize = 1
        self._largest = 0
        self._met: dict[int, Any] = {}
        self._listed = listed
        self._loops = loops
        self._smallest_beside = sys.maxsize if alone else _BESIDE

    def _stays_inside(self, buffer: pickle.PickleBuffer) -> bool:
        """Of whatever is no array of ours, nobody knows what other bytes would do."""
        # One of ours follows the array that it was made for at once.
        return not self.beside or buffer is not self.beside[-1]

    def reducer_override(self, part: Any) -> Any:
        """How to store what is no builtin container or scalar; called by pickle."""
        kind: type = type(part)
        if kind is FunctionType and part in _NAMED:
            return NotImplemented
        reduced: _Reduced | None = None
        if kind in _MAY_HOLD_ITSELF or kind in self._listed.classes:
            self._refuse_loops(part)
        if kind in _REDUCERS and not (self._loops and kind in _MAY_HOLD_ITSELF):
            reduced = _REDUCERS[kind](part)
        elif part is ... or part is NotImplemented:
            return NotImplemented
        elif kind in self._listed.classes and (not self._loops or isinstance(part, Enum)):
            reduced = self._listed.reduce(part)
        elif kind.__module__ in ("numpy", "numpy.dtypes"):
            reduced = self._reduce_of_numpy(part, kind)
        if reduced is not None:
            return reduced
        self.plain = False
        self.has_set = self.has_set or isinstance(part, (set, frozenset))
        return NotImplemented

    def _refuse_loops(self, part: Any) -> None:
        """Pickle remembers what it has stored: what it asks for again is not stored yet, and so holds itself."""
        if self._loops or self.fast:
            return
        if id(part) in self._met:
            raise RecursionError("a container holds itself")
        self._met[id(part)] = part

    def _reduce_of_numpy(self, part: Any, kind: type) -> _Reduced | None:
        numpy = sys.modules["numpy"]
        if kind is numpy.ndarray:
            return self._reduce_array(part)
        if kind is numpy.str_:
            return build_text, (str.__str__(part),)
        if kind is numpy.bytes_:
            return build_binary, (bytes.__getitem__(part, slice(None)),)
        described = None
        if issubclass(kind, numpy.dtype):
            described = _describe(part)
            return None if described is None else (build_dtype, (described,))
        if issubclass(kind, numpy.generic):
            described = describe_scalar(part)
        return None if described is None else (build_scalar, (described, part.tobytes()))

    def _reduce_array(self, array: Any) -> _Reduced | None:
        described = describe_array(array)
        if described is None:
            return None
        head, content = described
        if array.nbytes < self._smallest_beside:
            return build_array, (content.tobytes(), *head)
        if array.nbytes > self._largest:
            self._largest = array.nbytes
            self.itemsize = array.dtype.itemsize
        buffer = pickle.PickleBuffer(content)
        self.beside.append(buffer)
        return build_array, (buffer, *head)


_NAMED = frozenset((*_FUNCTIONS, build_listed, build_member))

# Modules that have another name in another version of Python or numpy, and so in its pickles.
_MOVED = {"pathlib._local": "pathlib", "numpy._core": "numpy.core", "numpy.core": "numpy._core"}


def other_name(module: str) -> str | None:
    """Under which name another version has a module; None if it is the same in all."""
    for old, new in _MOVED.items():
        if module == old or module.startswith(f"{old}."):
            return new + module[len(old) :]
    return None


class _TrustedUnpickler(pickle.Unpickler):
    """Loads any global, but of the builders those that it is given."""

    def __init__(self, data: io.BytesIO, buffers: Any, builders: dict[str, _Builder]) -> None:
        super().__init__(data, buffers=buffers)
        self._builders = builders

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in self._builders:
            return self._builders[name]
        try:
            return super().find_class(module, name)
        except ModuleNotFoundError:
            other = other_name(module)
            if other is None:
                raise
        return super().find_class(other, name)


class _PlainUnpickler(_TrustedUnpickler):
    """Loads the builders, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in self._builders:
            return self._builders[name]
        if module == "builtins" and name in _SINGLETONS:
            return _SINGLETONS[name]
        raise UntrustedValueError(
            "a stored value is not signed, and needs more than plain data to be built; set the entry anew, or list its "
            "class in safe_types"
        )


def load_plain(payload: Any, buffers: Any, listed: Listed, *, copy: bool) -> Any:
    """The value of a pickle of unknown origin that was examined; with ``copy`` its arrays can be written to.

    Raises:
        UntrustedValueError: it names something that is not plain.
    """
    return _PlainUnpickler(io.BytesIO(payload), buffers, listed.builders(copy=copy)).load()


def load_trusted(payload: Any, buffers: Any, listed: Listed, *, copy: bool) -> Any:
    """The value of a pickle that was written by somebody who may run code here."""
    return _TrustedUnpickler(io.BytesIO(payload), buffers, listed.builders(copy=copy)).load()
