"""The default serializer: pickle, which is loaded with the first value that needs it.

Every cache is opened with a serializer, and most values are native. So opening one loads no more than this module:
pickle takes many times longer to import than a cache to open.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["PickleSerializer"]


class PickleSerializer:
    """The default: anything that pickle knows, protocol 5.

    Unpickling can run code: open only directories that nobody you distrust can write to.
    """

    name = "pickle"

    def dumps(self, value: Any, /) -> bytes:
        """The bytes of a value."""
        import pickle

        return pickle.dumps(value, 5)

    def loads(self, data: bytes, /) -> Any:
        """The value of such bytes."""
        import pickle

        if type(self) is PickleSerializer:
            # No method from now on: a frame of Python would cost as much as a small value takes to decode.
            self.__dict__["loads"] = pickle.loads
        return pickle.loads(data)

    def dumps_key(self, key: Any, /) -> bytes:
        """The bytes of a key: the same for equal keys, however they share parts (pickle's memo would tell)."""
        from fastcache.pickled_keys import pickled_key

        return pickled_key(key)

    def __reduce__(self) -> tuple[Any, ...]:
        return (PickleSerializer, ())
