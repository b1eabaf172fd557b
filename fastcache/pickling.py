"""The default serializer: pickle, which is loaded with the first value that needs it.

Every cache is opened with a serializer, and most values are native. So opening one loads no more than this module:
pickle takes many times longer to import than a cache to open.
"""

from __future__ import annotations

from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["PickleSerializer"]


class PickleSerializer:
    """The default: anything that pickle knows, protocol 5.

    Unpickling can run code: open only directories that nobody you distrust can write to.
    """

    name = "pickle"

    def dumps(self, value: Any, /) -> bytes:
        """The bytes of a value."""
        dumps = load("pickle").dumps
        payload: bytes = self._settle("dumps", lambda value: dumps(value, 5))(value)
        return payload

    def loads(self, data: bytes, /) -> Any:
        """The value of such bytes."""
        return self._settle("loads", load("pickle").loads)(data)

    def _settle(self, name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Put the function in the method's place: finding it anew each time would cost as much as a small value."""
        if type(self) is PickleSerializer:
            self.__dict__[name] = function
        return function

    def dumps_key(self, key: Any, /) -> bytes:
        """The bytes of a key: the same for equal keys, however they share parts (pickle's memo would tell)."""
        payload: bytes = load("fastcache.pickled_keys").pickled_key(key)
        return payload

    def __reduce__(self) -> tuple[Any, ...]:
        return (PickleSerializer, ())
