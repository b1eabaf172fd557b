"""The default serializer: pickle, under the rules of trust.py.

Every cache is opened with a serializer, and most values are native. So opening one loads no more than this module:
pickle and what belongs to it take many times longer to import than a cache to open.
"""

from __future__ import annotations

from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fastcache.serializers.trust import Trust

__all__ = ["PickleSerializer"]


class PickleSerializer:
    """The default: anything that pickle knows, and nothing in the directory can run code.

    Plain data is stored as it is: builtin containers and scalars, datetime's types, Decimal, Fraction, UUID, paths,
    OrderedDict, deque and defaultdict, numpy's scalars, dtypes and arrays (but of objects), and what ``safe_types``
    lists. Everything else is signed, and loaded only if the signature holds.

    Args:
        safe_types: classes (dataclasses, enums, namedtuples, ZoneInfo, say) whose instances count as plain, too:
            whoever can write to the directory may make some, with any arguments and any state. Of an enum nothing but
            its members can be had.
        secret: what is signed with, at least 16 bytes (str counts as UTF-8). By default that of the environment
            variable FASTCACHE_SECRET, or else one of the user's, which is made when it is first needed, in
            ``~/.config/fastcache/secret`` (or below XDG_CONFIG_HOME).
        unsafe: load whatever is there and sign nothing: for directories that nobody you distrust can write to.

    Raises:
        TypeError, ValueError: the secret is too short, or what is listed is no class.

    >>> import dataclasses
    >>> from fastcache import Cache, PickleSerializer
    >>> @dataclasses.dataclass
    ... class Point:
    ...     x: int
    ...     y: int
    >>> with Cache(serializer=PickleSerializer(safe_types=[Point])) as cache:
    ...     cache["p"] = Point(1, 2)
    ...     cache["p"]
    Point(x=1, y=2)
    """

    name = "pickle"

    def __init__(
        self, *, safe_types: Iterable[type] = (), secret: bytes | str | None = None, unsafe: bool = False
    ) -> None:
        self.safe_types = tuple(safe_types)
        for kind in self.safe_types:
            if not isinstance(kind, type):
                raise TypeError(f"safe_types must be classes, not objects of the type {type(kind).__name__}")
        self.unsafe = bool(unsafe)
        # Checked now, not when something is to be signed.
        self._signing_key: bytes | None = (
            None if secret is None else load("fastcache.serializers.signing").derive_key(secret)
        )
        self._trust: Trust | None = None

    @property
    def packs_values(self) -> bool:
        """Whether a cache may ask ``trust`` for its values, instead of what a subclass has made of dumps and loads."""
        kind = type(self)
        return kind.dumps is PickleSerializer.dumps and kind.loads is PickleSerializer.loads

    @classmethod
    def is_checkable(cls) -> bool:
        """Whether ``check()`` may load what is stored: not by what a subclass has made of loads."""
        return cls.loads is PickleSerializer.loads

    @property
    def trust(self) -> Trust:
        """The rules at work."""
        if self._trust is None:
            self._trust = load("fastcache.serializers.trust").Trust(self.safe_types, self._signing_key, self.unsafe)
        return self._trust

    def dumps(self, value: Any, /) -> bytes:
        """The bytes of a value, signed in themselves if need be."""
        return self.trust.dumps(value)

    def loads(self, data: Any, /) -> Any:
        """The value of such bytes; raises UntrustedValueError."""
        return self.trust.loads(data)

    def dumps_key(self, key: Any, /) -> bytes:
        """The bytes of a key: the same for equal keys, however they share parts."""
        return self.trust.dumps_key(key)

    def __repr__(self) -> str:
        names = ", ".join(kind.__qualname__ for kind in self.safe_types)
        return f"PickleSerializer(safe_types=[{names}], unsafe={self.unsafe})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.safe_types, self._signing_key, self.unsafe)


def _again(safe_types: tuple[type, ...], signing_key: bytes | None, unsafe: bool) -> PickleSerializer:
    """The same serializer in another process."""
    serializer = PickleSerializer(safe_types=safe_types, unsafe=unsafe)
    serializer._signing_key = signing_key
    return serializer
