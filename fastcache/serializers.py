"""Serializers: bytes <-> objects, for what SQLite has no value of its own for.

str, bytes, int, float, bool and None never come here. The name of the serializer is stored in the cache, and
another one is refused when it is opened again.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

__all__ = ["MsgspecSerializer", "PickleSerializer", "Serializer"]


@runtime_checkable
class Serializer(Protocol):
    """What ``serializer=`` takes.

    ``name`` is stored with the cache: it must change when the encoding does. ``loads(dumps(value))`` gives an equal
    value. Both may raise anything; it becomes the cause of an EncodeError or DecodeError.

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


class PickleSerializer:
    """The default: anything that pickle knows, protocol 5.

    Unpickling can run code: open only directories that nobody you distrust can write to.
    """

    name = "pickle"

    def __init__(self) -> None:
        # Not a method: a frame of Python would cost as much as a small value takes to decode.
        self.loads: Callable[[bytes], Any] = pickle.loads

    def dumps(self, value: Any, /) -> bytes:
        """The bytes of a value."""
        return pickle.dumps(value, 5)

    def dumps_key(self, key: Any, /) -> bytes:
        """The bytes of a key: the same for equal keys, however they share parts (pickle's memo would tell)."""
        import pickletools

        out = io.BytesIO()
        pickler = _KeyPickler(out, 5)
        pickler.fast = True
        pickler.dump(key)
        payload = out.getvalue()
        if any(opcode.name in ("FROZENSET", "EMPTY_SET") for opcode, _, _ in pickletools.genops(payload)):
            raise TypeError(_HAS_A_SET)
        return payload

    def __reduce__(self) -> tuple[Any, ...]:
        return (PickleSerializer, ())


_HAS_A_SET = "it holds a set, whose order is another one in each process"


class _KeyPickler(pickle.Pickler):
    """Refuses subclasses of sets; sets themselves never come here, but show in the opcodes."""

    def reducer_override(self, part: Any) -> Any:
        if isinstance(part, (set, frozenset)):
            raise TypeError(_HAS_A_SET)
        return NotImplemented


class MsgspecSerializer:
    """MessagePack through msgspec: fast, and nothing in the data can name code to import.

    What MessagePack has no type for comes back as what it has: tuples and sets as lists. With ``type`` the values
    are decoded into, and checked against, that type (a Struct, a dataclass, ``dict[str, int]``, ...).

    Args:
        type: what the values are decoded as; anything MessagePack holds by default.
    """

    name = "msgspec"

    def __init__(self, type: Any = Any) -> None:
        import msgspec

        self.type = type
        self.dumps = msgspec.msgpack.Encoder().encode
        self.loads = msgspec.msgpack.Decoder(type).decode

    def __reduce__(self) -> tuple[Any, ...]:
        return (MsgspecSerializer, (self.type,))
