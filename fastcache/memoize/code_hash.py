"""What a function does, as a hash of its code: its instructions with their names and constants, its defaults, and what
it closes over. Line numbers, file names and docstrings do not count, and neither do comments.

It is that of the bytecode, and so another one under another version of Python. What a function refers to by a global
name (or by the name of a module, and one in it) counts if it is a function or class of the same module, or of another
one that is the program's own: not of the standard library, and not installed. It counts as it stands at the time of the
look; ``Reading.seen`` says what that was, so that whoever keeps the hash can tell whether it still stands. Values of
global names do not count.
"""

from __future__ import annotations

import dis
import os
import re
import sys
import types
from contextlib import suppress
from functools import partial
from hashlib import blake2b

from fastcache.memoize.content_hash import NoContentError, digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    _Seen: TypeAlias = tuple[Any, str, object]

__all__ = ["fingerprint", "fingerprint_and_seen"]

_SIZE = 8


def fingerprint(function: Callable[..., Any], *, follow: bool) -> str:
    """The hash of a function's code (16 hexadecimal digits).

    Args:
        function: one that is written in Python; others have no code, and count by their type.
        follow: whether the functions and classes of its module that it refers to count, too, and so on.
    Raises:
        NoContentError: it closes over, or has a default, that has no content.
    """
    return Reading(getattr(function, "__module__", None), follow).of(function).hex()


def fingerprint_and_seen(function: Callable[..., Any]) -> tuple[str, list[_Seen]]:
    """The hash of a function's code and of what that refers to, and what has been looked at; raises as the other."""
    reading = Reading(getattr(function, "__module__", None), True)
    return reading.of(function).hex(), reading.seen


class Reading:
    """One look at a function and what it refers to.

    Attributes:
        seen: under which names of which functions and cells (attributes), or dicts and classes (items), which objects
            were found.
    """

    def __init__(self, module: str | None, follow: bool) -> None:
        self.module = module
        self.follow = follow
        self.seen: list[_Seen] = []
        # In the order in which they were met: what refers to itself ends there.
        self.met: dict[int, int] = {}

    def of(self, thing: Any) -> bytes:  # noqa: PLR0911 - one for each kind of type
        """Hash what can be called, or is a part of it."""
        if id(thing) in self.met:
            return b"met before:%d" % self.met[id(thing)]
        self.met[id(thing)] = len(self.met)
        if isinstance(thing, (staticmethod, classmethod)):
            return _hash(b"in a descriptor", type(thing).__name__, self.of(thing.__func__))
        if isinstance(thing, property):
            accessors = (thing.fget, thing.fset, thing.fdel)
            return _hash(b"property", *(self.of(each) for each in accessors if each is not None))
        if isinstance(thing, partial):
            return _hash(b"partial", self.of(thing.func), digest((thing.args, thing.keywords)))
        if isinstance(thing, types.FunctionType):
            return self.function(thing)
        if isinstance(thing, type):
            return self.of_class(thing)
        if hasattr(thing, "__wrapped__"):
            return self.of(thing.__wrapped__)
        return _hash(b"without code", type(thing).__qualname__, getattr(thing, "__qualname__", ""))

    def function(self, function: types.FunctionType) -> bytes:
        """Hash a function of Python."""
        self.seen += [(function, name, getattr(function, name)) for name in _REPLACEABLE]
        parts: list[bytes | str] = [self.code(function.__code__)]
        parts += [self.value(each) for each in function.__defaults__ or ()]
        for name, value in sorted((function.__kwdefaults__ or {}).items()):
            parts += [name, self.value(value)]
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:
                # Not filled yet: it is the function itself, or comes after it.
                continue
            self.seen.append((cell, "cell_contents", value))
            try:
                parts += [name, self.value(value)]
            except NoContentError as error:
                raise NoContentError(f"{name!r}, which it closes over, is {error}") from None
        if hasattr(function, "__wrapped__"):
            parts.append(self.of(function.__wrapped__))
        if self.follow:
            names = sorted(set(_names(function.__code__)))
            for name in names:
                found = function.__globals__.get(name)
                if _has_code(found) and self.counts(found, function.__module__):
                    self.seen.append((function.__globals__, name, found))
                    parts += [name, self.of(found)]
                elif isinstance(found, types.ModuleType) and is_own(found):
                    self.seen.append((function.__globals__, name, found))
                    parts += self.of_module(found, names)
        return _hash(b"function", *parts)

    def of_module(self, module: types.ModuleType, names: Iterable[str]) -> list[bytes | str]:
        """Hash what is in a module under some names: those that stand behind its own name, maybe."""
        parts: list[bytes | str] = []
        for name in names:
            found = vars(module).get(name)
            if _has_code(found) and self.counts(found, module.__name__):
                self.seen.append((vars(module), name, found))
                parts += [f"{module.__name__}.{name}", self.of(found)]
        return parts

    @staticmethod
    def counts(found: Any, module: str) -> bool:
        """Whether a function or class counts by its code where this module refers to it."""
        home = getattr(found, "__module__", None)
        return home == module or is_own(sys.modules.get(home or ""))

    def of_class(self, kind: type) -> bytes:
        """Hash what a class defines: its methods in order of their names, and those of bases in its module."""
        parts: list[bytes | str] = [kind.__qualname__]
        for name, value in sorted(vars(kind).items()):
            if _has_code(value) or isinstance(value, (staticmethod, classmethod, property)):
                self.seen.append((vars(kind), name, value))
                parts += [name, self.of(value)]
        parts += [self.of(base) for base in kind.__bases__ if base.__module__ == kind.__module__]
        return _hash(b"class", *parts)

    def value(self, value: Any) -> bytes:
        """Hash a default, or what is closed over: what other modules have by its name, what has code by that."""
        if isinstance(value, types.ModuleType):
            return _hash(b"module", value.__name__)
        elsewhere = isinstance(value, (types.FunctionType, type)) and value.__module__ != self.module
        if elsewhere and not (self.follow and self.counts(value, self.module or "")):
            with suppress(NoContentError):
                return digest(value)
        if _has_code(value) or isinstance(value, partial):
            return self.of(value)
        return digest(value)

    def code(self, code: types.CodeType) -> bytes:
        """Hash instructions with the names and constants that they use; a docstring is used by none."""
        parts: list[bytes | str] = [
            repr((code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & ~_DOCUMENTED)),
            repr(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
            getattr(code, "co_exceptiontable", b""),
        ]
        for instruction in dis.get_instructions(code):
            value = instruction.argval
            if isinstance(value, types.CodeType):
                value = self.code(value)
            elif instruction.opcode in dis.hasconst:
                value = digest(value)
            else:
                value = repr(value)
            parts += [instruction.opname, value]
        return _hash(b"code", *parts)


# CO_HAS_DOCSTRING, since Python 3.13.
_DOCUMENTED = 0x4000000


def is_own(module: types.ModuleType | None) -> bool:
    """Whether a module is the program's: neither of the standard library, nor installed, nor compiled."""
    path = getattr(module, "__file__", None)
    if not isinstance(path, str) or not path.endswith(".py"):
        return False
    return not (_INSTALLED & set(re.split(r"[\\/]", path)) or path.startswith(_STANDARD))


_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = os.path.dirname(os.__file__) + os.sep
# What of a function may be replaced, so that it does something else.
_REPLACEABLE = ("__code__", "__defaults__", "__kwdefaults__")


def _hash(*parts: bytes | str) -> bytes:
    hashed = blake2b(digest_size=_SIZE)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        hashed.update(len(encoded).to_bytes(8, "little") + encoded)
    return hashed.digest()


def _has_code(thing: Any) -> bool:
    if isinstance(thing, (types.FunctionType, type)):
        return True
    return callable(thing) and isinstance(getattr(thing, "__wrapped__", None), types.FunctionType)


def _names(code: types.CodeType) -> Iterable[str]:
    """The names that code refers to, as global names or attributes; also in the functions that are defined in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
