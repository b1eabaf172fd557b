"""What is plain: objects that can be built without running anything, and the picklers that know no others.

The rules are those of trust.py. A pickle of plain data names functions of this module alone, and those that are in
BUILDERS may be called by a pickle of unknown origin. Each of them takes plain data and makes one object of it; why that
runs nothing is said beside it. No class but builtin ones, and no function that could be changed, ever lies on the
unpickler's stack: a pickle reaches attributes by BUILD, which is refused (engine/pickles.pyx), and the builders are
wrapped in objects that have none.
"""

from __future__ import annotations

import copyreg
import io
import math
import pickle
import sys
from collections import OrderedDict, defaultdict, deque
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import FunctionType
from typing import TYPE_CHECKING, Any
from uuid import UUID, SafeUUID

from fastcache.engine.errors import UntrustedValueError
from fastcache.engine.lazy import load

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
    """A date of the bytes that it pickles as; the constructor checks them, and calls nothing."""
    return date(_is(bytes, state))  # type: ignore[call-arg]


def build_time(state: bytes, *zone: timezone) -> time:
    """The same with a time zone, which is a timezone or refused, since no other tzinfo can be had here."""
    return time(_is(bytes, state), *zone)  # type: ignore[arg-type]


def build_datetime(state: bytes, *zone: timezone) -> datetime:
    """The same for both together."""
    return datetime(_is(bytes, state), *zone)  # type: ignore[arg-type]


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


def build_ordered_dict() -> OrderedDict[Any, Any]:
    """Empty; the unpickler adds the items, which hashes and compares plain data."""
    return OrderedDict()


def build_deque(items: tuple[Any, ...] = (), limit: int | None = None) -> deque[Any]:
    """The same for a deque."""
    return deque(_is(tuple, items), limit)


def build_defaultdict(factory: str | None) -> defaultdict[Any, Any]:
    """The same for a defaultdict, by the name of its factory: no class lies in the pickle, which could call it."""
    return defaultdict(None if factory is None else _FACTORIES[factory])


_PATHS = {kind.__name__: kind for kind in (PurePosixPath, PureWindowsPath, PosixPath, WindowsPath)}


def _is(kind: type, part: Any) -> Any:
    if type(part) is not kind:
        raise TypeError(f"a {kind.__name__} is needed, not a {type(part).__name__}")
    return part


def _reduce_date(part: Any) -> _Reduced:
    return (build_date, *part.__reduce_ex__(5)[1:])


def _reduce_time(part: Any) -> _Reduced:
    return (build_time, *part.__reduce_ex__(5)[1:])


def _reduce_datetime(part: Any) -> _Reduced:
    return (build_datetime, *part.__reduce_ex__(5)[1:])


def _reduce_timezone(part: timezone) -> _Reduced:
    return build_timezone, part.__getinitargs__()  # type: ignore[attr-defined]


def _reduce_uuid(part: UUID) -> _Reduced:
    return build_uuid, (part.int, part.is_safe.value)


def _reduce_path(part: Any) -> _Reduced:
    return build_path, (type(part).__name__, *map(str, part.__reduce__()[1]))


def _reduce_ordered_dict(part: OrderedDict[Any, Any]) -> _Reduced | None:
    # One with attributes of its own has a state.
    return None if vars(part) else (build_ordered_dict, (), None, None, iter(part.items()))


def _reduce_deque(part: deque[Any]) -> _Reduced | None:
    return build_deque, ((), part.maxlen), None, iter(part)


def _reduce_defaultdict(part: defaultdict[Any, Any]) -> _Reduced | None:
    factory: Any = part.default_factory
    name: Any = getattr(factory, "__name__", None)
    if factory is not None and _FACTORIES.get(name) is not factory:
        return None
    return build_defaultdict, (name,), None, None, iter(part.items())


_REDUCERS: dict[type, Callable[[Any], _Reduced | None]] = {
    date: _reduce_date,
    time: _reduce_time,
    datetime: _reduce_datetime,
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


# numpy: a dtype without objects describes bytes, and any bytes are content of such an array. The constructors check
# shape, offsets and sizes; __setstate__, which does not, cannot be reached without BUILD. Importing numpy is all that a
# pickle can bring about.


def build_dtype(description: Any) -> Any:
    """A dtype of its short name, its base and shape, or its fields; refused if it holds objects."""
    numpy = load("numpy")
    if type(description) is str:
        if len(description) > 40 or description[:1] not in "<>|=" or description[1:2] not in "biufcmMSUV?":
            raise TypeError("this is no description of a dtype")
        found = numpy.dtype(description)
    elif type(description) in (tuple, list):
        base, shape = description
        found = numpy.dtype((build_dtype(base), tuple(_is(int, length) for length in shape)))
    else:
        fields = dict(_is(dict, description))
        fields["formats"] = [build_dtype(each) for each in fields["formats"]]
        found = numpy.dtype(fields)
    if found.hasobject:
        raise UntrustedValueError("a stored dtype holds objects")
    return found


def build_array(content: Any, description: Any, shape: tuple[int, ...], order: str) -> Any:
    """An array over bytes, which it does not copy, and which cannot be written to."""
    numpy = load("numpy")
    dtype = build_dtype(description)
    _is(tuple, shape)
    if not memoryview(content).nbytes:
        # Not before it is certain that it takes no room.
        if math.prod(_is(int, length) for length in shape) * dtype.itemsize:
            raise TypeError("an array has no content")
        found = numpy.zeros(shape, dtype)
    else:
        found = numpy.ndarray(shape, dtype, content, order="F" if order == "F" else "C")
    found.flags.writeable = False
    return found


def build_writable_array(content: Any, description: Any, shape: tuple[int, ...], order: str) -> Any:
    """The same with memory of its own, which can."""
    return build_array(content, description, shape, order).copy(order="F" if order == "F" else "C")


def build_scalar(description: Any, content: bytes) -> Any:
    """A scalar of its bytes."""
    numpy = load("numpy")
    return numpy.ndarray((), build_dtype(description), _is(bytes, content)).copy()[()]


def build_text(content: str) -> Any:
    """A numpy.str_, of which an array would cut off what it takes for padding."""
    numpy = load("numpy")
    return numpy.str_(_is(str, content))


def build_binary(content: bytes) -> Any:
    """A numpy.bytes_, likewise."""
    numpy = load("numpy")
    return numpy.bytes_(_is(bytes, content))


def _describe(dtype: Any) -> Any:
    """What ``build_dtype`` makes the same dtype of; None if it is none that it makes."""
    numpy = load("numpy")
    if dtype.hasobject or dtype.metadata is not None or type(dtype).__module__ not in ("numpy", "numpy.dtypes"):
        return None
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        inner = _describe(base)
        return None if inner is None else (inner, tuple(map(int, shape)))
    if dtype.names is None:
        described = dtype.str
        try:
            same = bool(build_dtype(described) == dtype)
        except TypeError:
            return None
        return described if same else None
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
    return described if numpy.dtype(dtype) == build_dtype(described) else None


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
# Of such a class instances are made as pickle would make them, and of no other. Three functions stand for that in the
# pickle; only those of Listed are ever called, these say so.


def make_listed(name: str, *arguments: Any) -> Any:
    """Stands for ``class.__new__(class, *arguments)``."""
    raise UntrustedValueError(f"a stored value is of the class {name}, which is not in safe_types")


def call_listed(name: str, *arguments: Any) -> Any:
    """Stands for ``class(*arguments)``."""
    raise UntrustedValueError(f"a stored value is of the class {name}, which is not in safe_types")


def restore_listed(part: Any, state: Any) -> None:
    """Stands for giving an instance its state."""
    raise UntrustedValueError("a stored value is of a class that is not in safe_types")


class Listed:
    """The classes in ``safe_types``, by the name that stands for each in a pickle."""

    def __init__(self, classes: Iterable[type]) -> None:
        self.by_name: dict[str, type] = {}
        for kind in classes:
            if not isinstance(kind, type):
                raise TypeError(f"safe_types must be classes, and {type(kind).__name__} is the type of none")
            name = f"{kind.__module__}:{kind.__qualname__}"
            if self.by_name.setdefault(name, kind) is not kind:
                raise ValueError(f"two classes in safe_types have the name {name}")
        self.classes = frozenset(self.by_name.values())

        self._builders = BUILDERS | {
            "make_listed": _Builder(self._make),
            "call_listed": _Builder(self._call),
            "restore_listed": _Builder(self._restore),
        }
        self._copying_builders = self._builders | {"build_array": _Builder(build_writable_array)}

    def builders(self, *, copy: bool) -> dict[str, _Builder]:
        """What a pickle may call; with ``copy`` arrays get memory of their own."""
        return self._copying_builders if copy else self._builders

    def reduce(self, part: Any) -> _Reduced | None:
        """How to store an instance; None if its class says how in a way of its own."""
        reduced = part.__reduce_ex__(5)
        if not isinstance(reduced, tuple) or len(reduced) > 5:
            return None
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        kind = type(part)
        name = f"{kind.__module__}:{kind.__qualname__}"
        if maker is copyreg.__newobj__ and arguments[0] is kind:  # type: ignore[attr-defined]
            made: _Reduced = (make_listed, (name, *arguments[1:]))
        elif maker is kind:
            made = (call_listed, (name, *arguments))
        else:
            return None
        if state is None:
            return (*made, None, items, pairs)
        return (*made, state, items, pairs, restore_listed)

    def _of(self, name: str) -> type:
        kind = self.by_name.get(name)
        if kind is None:
            raise UntrustedValueError(
                "a stored value is of a class that is not in safe_types, and it is not signed; list the class, or set "
                "the entry anew"
            )
        return kind

    def _make(self, name: str, *arguments: Any) -> Any:
        kind = self._of(name)
        return kind.__new__(kind, *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._of(name)(*arguments)

    def _restore(self, part: Any, state: Any) -> None:
        """Do what BUILD does, to instances of listed classes alone."""
        if type(part) not in self.classes:
            raise UntrustedValueError("a stored value gives a state to what is not in safe_types")
        restore = getattr(part, "__setstate__", None)
        if restore is not None:
            restore(state)
            return
        attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
        if attributes:
            vars(part).update(_is(dict, attributes))
        for name, value in _is(dict, slots or {}).items():
            setattr(part, _is(str, name), value)


# -- pickling ------------------------------------------------------------------------------------------------


class PlainPickler(pickle.Pickler):
    """Writes what is plain by way of the builders, and notices what is not.

    Args:
        out: where to.
        listed: the classes in ``safe_types``.
        alone: put nothing beside the pickle.
        alike: write the same bytes for equal objects: without a memo, which would tell what is shared.
    Attributes:
        plain: whether nothing else was met.
        has_set: whether there was a set.
        beside: the buffers that belong to the pickle.
        itemsize: of their items, the bytes; of the largest array, if they differ.
    """

    def __init__(self, out: io.BytesIO, listed: Listed, *, alone: bool = False, alike: bool = False) -> None:
        super().__init__(out, 5, buffer_callback=None if alone else self._stays_inside)
        self.fast = alike
        self.plain = True
        self.has_set = False
        self.beside: list[pickle.PickleBuffer] = []
        self.itemsize = 1
        self._largest = 0
        self._listed = listed
        self._smallest_beside = sys.maxsize if alone else _BESIDE

    def _stays_inside(self, buffer: pickle.PickleBuffer) -> bool:
        """Of whatever is no array of ours, nobody knows what other bytes would do."""
        return not any(buffer is ours for ours in self.beside)

    def reducer_override(self, part: Any) -> Any:
        """How to store what is no builtin container or scalar; called by pickle."""
        kind: type = type(part)
        if kind is FunctionType and part in _NAMED:
            return NotImplemented
        reduced: _Reduced | None = None
        if kind in _REDUCERS:
            reduced = _REDUCERS[kind](part)
        elif part is ... or part is NotImplemented:
            return NotImplemented
        elif kind in self._listed.classes:
            reduced = self._listed.reduce(part)
        elif kind.__module__ in ("numpy", "numpy.dtypes"):
            reduced = self._reduce_of_numpy(part, kind)
        if reduced is not None:
            return reduced
        self.plain = False
        self.has_set = self.has_set or isinstance(part, (set, frozenset))
        return NotImplemented

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


_NAMED = frozenset((*_FUNCTIONS, make_listed, call_listed, restore_listed))


class _TrustedUnpickler(pickle.Unpickler):
    """Loads any global, but of the builders those that it is given."""

    def __init__(self, data: io.BytesIO, buffers: Any, builders: dict[str, _Builder]) -> None:
        super().__init__(data, buffers=buffers)
        self._builders = builders

    def find_class(self, module: str, name: str) -> Any:
        if module == __name__ and name in self._builders:
            return self._builders[name]
        return super().find_class(module, name)


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
    if not copy and not listed.classes:
        return pickle.loads(payload, buffers=buffers)
    return _TrustedUnpickler(io.BytesIO(payload), buffers, listed.builders(copy=copy)).load()
