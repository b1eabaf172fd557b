"""Serializers: bytes <-> objects, for what SQLite has no value of its own for.

str, bytes, int, float, bool and None never come here. The name of the serializer is stored in the cache, and
another one is refused when it is opened again.
"""

from typing import Any, Protocol, runtime_checkable

from fastcache.engine.lazy import load
from fastcache.pickling import PickleSerializer

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


class MsgspecSerializer:
    """MessagePack through msgspec: fast, and nothing in the data can name code to import.

    What MessagePack has no type for comes back as what it has: tuples and sets as lists. With ``type`` the values
    are decoded into, and checked against, that type (a Struct, a dataclass, ``dict[str, int]``, ...).

    Args:
        type: what the values are decoded as; anything MessagePack holds by default.
    """

    name = "msgspec"

    def __init__(self, type: Any = Any) -> None:
        msgspec = load("msgspec")
        self.type = type
        self.dumps = msgspec.msgpack.Encoder().encode
        self.loads = msgspec.msgpack.Decoder(type).decode

    def __reduce__(self) -> tuple[Any, ...]:
        return (MsgspecSerializer, (self.type,))
