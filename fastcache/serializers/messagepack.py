"""Serializers: bytes <-> objects, for what SQLite has no value of its own for.

str, bytes, int, float, bool and None never come here. The name of the serializer is stored in the cache, and
another one is refused when it is opened again.
"""

import builtins
import re
import sys
from typing import Any, Protocol, runtime_checkable

from fastcache.errors import CacheError, DecodeError
from fastcache.runtime.imports import load
from fastcache.serializers.pickling import PickleSerializer

__all__ = ["MsgspecSerializer", "PickleSerializer", "Serializer"]


@runtime_checkable
class Serializer(Protocol):
    """What ``serializer=`` takes.

    ``name`` is stored with the cache: it must change when the encoding does. ``loads(dumps(value))`` gives an equal
    value. Both may raise anything; it becomes the cause of an EncodeError or DecodeError. ``check()`` calls neither, so
    it does not tell whether they still understand what is stored; that of a serializer of ours it does.

    >>> import json
    >>> from fastcache import Cache
    >>> class JSONSerializer:
    ...     name = "json"
    ...     def dumps(self, value: object) -> bytes:
    ...         return json.dumps(value).encode()
    ...     def loads(self, data: bytes) -> object:
    ...         return json.loads(data)
    >>> with Cache(serializer=JSONSerializer()) as cache:
    ...     cache["k"] = {"a": [1, 2]}
    ...     cache["k"]
    {'a': [1, 2]}
    """

    @property
    def name(self) -> str:
        """Identifies the encoding, in the cache's directory."""

    def dumps(self, value: Any, /) -> bytes:
        """The bytes of a value."""

    def loads(self, data: bytes, /) -> Any:
        """The value of such bytes."""


class MsgspecSerializer:
    """MessagePack through msgspec: fast, checked against a type if one is given, and nothing in the data can name code.

    What MessagePack has no type for comes back as what it has: tuples and sets as lists, Decimal and UUID as str,
    unless ``type`` says what they were. numpy's arrays and scalars (but of objects) travel as an extension type, and
    come back as copies.

    Args:
        type: what the values are decoded into, and checked against (a Struct, a dataclass, ``dict[str, int]``, ...);
            None for whatever MessagePack holds.
        strict: whether "1" is no int; see msgspec.

    Raises:
        ImportError: msgspec is not installed.

    A value that does not fit is a DecodeError, which names the path to what does not.

    >>> import msgspec
    >>> from fastcache import Cache, MsgspecSerializer
    >>> class User(msgspec.Struct):
    ...     name: str
    ...     groups: set[str] = set()
    >>> with Cache(serializer=MsgspecSerializer(User)) as cache:
    ...     cache[1] = User("ann", {"admin"})
    ...     cache[1]
    User(name='ann', groups={'admin'})
    """

    name = "msgspec"

    def __init__(self, type: Any = None, *, strict: bool = True) -> None:
        msgspec = load("msgspec")
        self.type = type
        self.strict = strict
        self._invalid: builtins.type[Exception] = msgspec.ValidationError
        self._decode = msgspec.msgpack.Decoder(
            Any if type is None else type, strict=strict, dec_hook=_from_extension, ext_hook=_extension
        ).decode
        self.dumps = msgspec.msgpack.Encoder(enc_hook=_to_extension).encode

    def loads(self, data: bytes, /) -> Any:
        """The value of such bytes.

        Raises:
            DecodeError: they do not fit the type, or are damaged, or no MessagePack of ours.
        """
        try:
            return self._decode(data)
        except self._invalid as error:
            # What msgspec says may quote the data.
            where = _PATH.search(str(error))
            raise DecodeError(
                f"a stored value does not fit the type of MsgspecSerializer at {where[1] if where else '$'}; set the "
                "entry anew, or read it with another type"
            ) from error
        except (MemoryError, CacheError):
            raise
        except Exception as error:
            # Of msgspec, of Python (for a text, or the depth), of numpy, or of a class that the type names.
            raise DecodeError(
                "a stored value cannot be decoded by MsgspecSerializer: it is damaged, or no MessagePack; delete the "
                "entry or set it anew"
            ) from error

    @classmethod
    def is_checkable(cls) -> bool:
        """Whether ``check()`` may load what is stored: not by what a subclass has made of loads."""
        return cls.loads is MsgspecSerializer.loads

    def __reduce__(self) -> tuple[Any, ...]:
        return _msgspec_again, (self.type, self.strict)


_PATH = re.compile("at `([^`]*)`$")
# Application-specific extension types of MessagePack: ours.
_ARRAY, _SCALAR = 1, 2


def _msgspec_again(type: Any, strict: bool) -> MsgspecSerializer:
    return MsgspecSerializer(type, strict=strict)


def _to_extension(value: Any) -> Any:
    """An array or scalar of numpy as an extension: a description, in MessagePack itself, and the bytes."""
    numpy = sys.modules.get("numpy")
    described = None
    if numpy is not None and type(value) is numpy.ndarray:
        described = load("fastcache.plain").describe_array(value)
    elif numpy is not None and isinstance(value, (numpy.str_, numpy.bytes_)):
        return str.__str__(value) if isinstance(value, str) else bytes(value)
    elif numpy is not None and isinstance(value, numpy.generic):
        head = load("fastcache.plain").describe_scalar(value)
        described = None if head is None else (head, value)
    if described is None:
        raise NotImplementedError(f"MessagePack has no type for a {type(value).__name__}")
    head, content = described
    msgpack = load("msgspec").msgpack
    code = _SCALAR if content is value else _ARRAY
    return msgpack.Ext(code, msgpack.encode((head, content.tobytes())))


def _extension(code: int, data: memoryview) -> Any:
    if code not in (_ARRAY, _SCALAR):
        raise DecodeError(
            f"a stored value has a MessagePack extension of the unknown type {code}: another program wrote it"
        )
    plain = load("fastcache.plain")
    head, content = load("msgspec").msgpack.decode(data)
    if code == _ARRAY:
        description, shape, order = head
        return plain.build_writable_array(content, description, tuple(shape), order)
    return plain.build_scalar(head, content)


def _from_extension(expected: Any, value: Any) -> Any:
    """For a field that is to be an array: what the extension was."""
    if isinstance(value, expected):
        return value
    raise TypeError(f"{expected.__name__} expected")
