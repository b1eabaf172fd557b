"""Ranges of keys, in the order in which they are stored.

SQLite orders the keys of a table as numbers, then texts, then bytes: ints and floats together by value, str by their
code points (which is also the order of their UTF-8), bytes byte by byte. What is encoded (keys.pyx: None, tuples,
frozensets, ints beyond 64 bits, str with lone surrogates and all else) is bytes that begin with KEY_MARK, and lies
where such bytes lie. So a str prefix is one range, a bytes prefix, too; and a tuple prefix is one range for each length
of tuple, since an encoding begins with that.
"""

from __future__ import annotations

from fastcache.engine.codecs.keys import stored_form

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["KeyRange", "place_of", "range_of"]

# None is encoded as the mark and one letter.
KEY_MARK: bytes = stored_form(None, None)[:-1]
# The letters that an encoding of bytes, and of a tuple, goes on with.
BYTES = KEY_MARK + b"B"
TUPLE = KEY_MARK + b"T"
# The number behind them: how many bytes, or parts, there are.
COUNT_SIZE = 4
LARGEST_COUNT = 0xFFFF_FFFF
LAST_CODE_POINT = 0x10FFFF


class KeyRange:
    """Keys from ``low`` (inclusive) to ``high`` (exclusive), as they are stored; None for no end.

    ``keeps`` says of what lies there whether it belongs to it; None for all. With ``parts``, the encodings of the first
    ``size`` elements, it is the tuples that begin with these.
    """

    __slots__ = ("high", "keeps", "low", "parts", "size")

    def __init__(self, low: Any = None, high: Any = None) -> None:
        self.low = low
        self.high = high
        self.keeps: Callable[[Any], bool] | None = None
        self.parts: bytes | None = None
        self.size = 0


def place_of(stored: Any) -> tuple[int, Any]:
    """What a stored key is sorted by."""
    if isinstance(stored, str):
        return 1, stored
    if isinstance(stored, bytes):
        return 2, stored
    return 0, stored


def range_of(prefix: Any, start: Any, stop: Any, serializer: Any) -> KeyRange:
    """The keys that begin with ``prefix``, from ``start`` on, and before ``stop``; None for what is not asked for.

    Raises:
        TypeError: the prefix is no str, bytes or tuple, or an end is none that has an order.
    """
    found = of_prefix(prefix, serializer)
    if start is None and stop is None:
        return found
    if found.parts is not None:
        raise TypeError("a tuple as prefix takes no start and no stop: tuples have no order of their own here")
    if start is not None:
        low = end_of("start", start, serializer)
        if found.low is None or place_of(low) > place_of(found.low):
            found.low = low
    if stop is not None:
        high = end_of("stop", stop, serializer)
        if found.high is None or place_of(high) < place_of(found.high):
            found.high = high
    return found


def end_of(name: str, key: Any, serializer: Any) -> Any:
    """A start or stop as it is stored."""
    stored = None
    if not isinstance(key, (tuple, frozenset)):
        stored = stored_form(key, serializer)
    if stored is None or (isinstance(stored, bytes) and stored.startswith(KEY_MARK)):
        raise TypeError(
            f"{name} must be a key that has an order: an int of 64 bits, a float, a str or bytes; "
            f"this {type(key).__name__} has none"
        )
    return stored


def of_prefix(prefix: Any, serializer: Any) -> KeyRange:
    """All keys that begin so."""
    if prefix is None:
        return KeyRange()
    if isinstance(prefix, tuple):
        found = KeyRange()
        found.size = len(prefix)
        found.parts = stored_form(prefix, serializer)[len(TUPLE) + COUNT_SIZE :]
        return found
    if isinstance(prefix, str):
        text = str(prefix)
        if not isinstance(stored_form(text, serializer), str):
            raise TypeError("prefix must be a str without lone surrogates: keys with these have no order")
        # All texts come before the first bytes.
        return KeyRange(text, after_text(text) or b"")
    if isinstance(prefix, bytes):
        return of_bytes(bytes(prefix))
    raise TypeError(f"prefix must be a str, bytes or a tuple, not {type(prefix).__name__}")


def of_bytes(prefix: bytes) -> KeyRange:
    """All bytes that begin so: those that begin with the mark are encoded."""
    if prefix.startswith(KEY_MARK):
        found = KeyRange(BYTES, after_bytes(BYTES))
    else:
        found = KeyRange(prefix, after_bytes(prefix))
        if not KEY_MARK.startswith(prefix):
            return found

    def keeps(stored: bytes) -> bool:
        if not stored.startswith(KEY_MARK):
            return True
        return stored.startswith(BYTES) and stored.startswith(prefix, len(BYTES) + COUNT_SIZE)

    found.keeps = keeps
    return found


def after_text(prefix: str) -> str | None:
    """The first text after all that begin so; None if there is none."""
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1])
        if point < LAST_CODE_POINT:
            # What lies between stands for no character.
            return prefix[: end - 1] + chr(0xE000 if point == 0xD7FF else point + 1)
    return None


def after_bytes(prefix: bytes) -> bytes | None:
    """The first bytes after all that begin so; None if there are none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None


def tuples_of(size: int) -> bytes:
    """What the encodings of all tuples of so many elements begin with, and those of longer ones come after."""
    return TUPLE + size.to_bytes(COUNT_SIZE, "big")


def tuples_from(size: int) -> tuple[bytes, bytes | None]:
    """The ends of the range in which all tuples of so many elements and more lie."""
    return tuples_of(size), after_bytes(TUPLE)


def tuples_after(size: int) -> bytes | None:
    """Where the tuples begin that have more elements; None if there can be none."""
    return tuples_of(size + 1) if size < LARGEST_COUNT else None


def size_of(stored: bytes) -> int:
    """How many elements an encoded tuple has."""
    return int.from_bytes(stored[len(TUPLE) : len(TUPLE) + COUNT_SIZE].ljust(COUNT_SIZE, b"\0"), "big")
