"""Queues in a Cache or an Index: ``push``, ``pull`` and ``peek``, built on ordered keys and on transactions."""

from __future__ import annotations

from fastcache.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta
    from typing import Any, Literal

    from fastcache.engine.cache_mapping import CacheMapping as _Cache
    from fastcache.engine.index_mapping import IndexMapping as _Index

    _Side = Literal["front", "back"]
else:
    _Cache = _Index = object

__all__ = ["CacheQueues", "IndexQueues"]

# The number of the first value, and those that there can be: as many digits, so that text has their order.
FIRST = 500_000_000_000_000
LAST = 999_999_999_999_999
DIGITS = 15

_MISSING = object()
_AT_ONCE = 16


def _is_text(prefix: str) -> bool:
    try:
        prefix.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Queue:
    """The entries of one queue of a mapping: those whose key is a number, or the prefix, a dash and 15 digits."""

    def __init__(self, mapping: Any, prefix: str | None, side: _Side) -> None:
        if prefix is not None and not isinstance(prefix, str):
            raise TypeError(f"prefix must be a str or None, not {type(prefix).__name__}")
        if prefix is not None and not _is_text(prefix):
            raise ValueError("prefix must be text that has an encoding, without surrogates")
        if side not in ("front", "back"):
            raise ValueError(f"side must be 'front' or 'back', not {side!r}")
        self.mapping = mapping
        self.beginning = None if prefix is None else f"{prefix}-"
        self.at_back = side == "back"

    def number_of(self, key: Any) -> int | None:
        """The number that a key stands for; None if it is of no entry of the queue."""
        if self.beginning is None:
            return int(key) if key == int(key) else None
        digits = key[len(self.beginning) :]
        return int(digits) if len(digits) == DIGITS and digits.isascii() and digits.isdecimal() else None

    def key_of(self, number: int) -> Any:
        """The key of an entry."""
        return number if self.beginning is None else f"{self.beginning}{number:0{DIGITS}}"

    def numbered(self) -> Iterator[tuple[Any, int]]:
        """The keys and their numbers, from the side on."""
        # What comes behind the last one cannot be said of numbers in text: a colon comes behind the digits.
        low, high = (0, LAST + 1) if self.beginning is None else (f"{self.beginning}0", f"{self.beginning}:")
        beyond = False
        limit = 1
        while True:
            keys = self.mapping.store.some_in_order(low, high, self.at_back, beyond, limit)
            for key in keys:
                number = self.number_of(key)
                if number is not None:
                    yield key, number
            if len(keys) < limit:
                return
            if self.at_back:
                high = keys[-1]
            else:
                low, beyond = keys[-1], True
            limit = _AT_ONCE

    def next_key(self) -> Any:
        """The key of what is pushed next."""
        for _, outermost in self.numbered():
            number = outermost + (1 if self.at_back else -1)
            if not 0 <= number <= LAST:
                raise StorageError(
                    "the queue has no number left on this side: its keys are between 0 and 999999999999999"
                )
            return self.key_of(number)
        return self.key_of(FIRST)


def _pull(queue: _Queue, default: Any, **extras: bool) -> Any:
    """Remove and return the entry on the side, or return ``default``."""
    # Who asks an empty queue again and again keeps nobody from writing.
    for _ in queue.numbered():
        with queue.mapping.transact():
            for key, _ in queue.numbered():
                found = queue.mapping.pop(key, _MISSING, **extras)
                if _is_there(found, extras):
                    return _with_key(key, found, extras)
    return _or_default(default, extras)


def _peek(queue: _Queue, default: Any, **extras: bool) -> Any:
    """The entry on the side, or ``default``."""
    for key, _ in queue.numbered():
        found = queue.mapping.get(key, _MISSING, **extras)
        if _is_there(found, extras):
            return _with_key(key, found, extras)
    return _or_default(default, extras)


def _is_there(found: Any, extras: dict[str, bool]) -> bool:
    return (found[0] if any(extras.values()) else found) is not _MISSING


def _with_key(key: Any, found: Any, extras: dict[str, bool]) -> Any:
    return ((key, found[0]), *found[1:]) if any(extras.values()) else (key, found)


def _or_default(default: Any, extras: dict[str, bool]) -> Any:
    asked = sum(extras.values())
    return (default, *[None] * asked) if asked else default


class IndexQueues(_Index):
    """Queues in an Index."""

    __slots__ = ()

    def push(self, value: Any, prefix: str | None = None, side: _Side = "back") -> Any:
        """Store a value at the end of a queue, under the next key there, which is returned; see Cache.push."""
        queue = _Queue(self, prefix, side)
        with self.transact():
            key = queue.next_key()
            self.set(key, value)
        return key

    def pull(self, prefix: str | None = None, default: Any = (None, None), side: _Side = "front") -> Any:
        """Remove and return the (key, value) pair at the front of a queue, or ``default``; see Cache.pull."""
        return _pull(_Queue(self, prefix, side), default)

    def peek(self, prefix: str | None = None, default: Any = (None, None), side: _Side = "front") -> Any:
        """The (key, value) pair at the front of a queue, which stays there, or ``default``; see Cache.pull."""
        return _peek(_Queue(self, prefix, side), default)


class CacheQueues(_Cache):
    """Queues in a Cache, whose entries may expire and carry tags."""

    __slots__ = ()

    def push(
        self,
        value: Any,
        prefix: str | None = None,
        side: _Side = "back",
        expire: float | timedelta | None = None,
        *,
        tag: Any = None,
    ) -> Any:
        """Store a value at the end of a queue, under the next key there, which is returned.

        Any number of threads and processes may push and pull at the same time: each value gets a key of its own, and is
        pulled once.

        Args:
            value: anything that can be stored.
            prefix: which queue (str), whose keys are "prefix-500000000000000" and so on; None for the one whose keys
                are ints, from 500000000000000 on.
            side: "back", or "front" for before all others.
            expire, tag: as in ``set``.
        Raises:
            StorageError: no number is left on this side.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     cache.push("a"), cache.push("b"), cache.push("c", side="front"), cache.push("d", "jobs")
        ...     cache.pull(), cache.pull("jobs"), cache.peek(side="back"), cache.pull("none")
        (500000000000000, 500000000000001, 499999999999999, 'jobs-500000000000000')
        ((499999999999999, 'c'), ('jobs-500000000000000', 'd'), (500000000000001, 'b'), (None, None))
        """
        queue = _Queue(self, prefix, side)
        with self.transact():
            key = queue.next_key()
            self.set(key, value, expire, tag=tag)
        return key

    def pull(
        self,
        prefix: str | None = None,
        default: Any = (None, None),
        side: _Side = "front",
        *,
        expire_time: bool = False,
        tag: bool = False,
    ) -> Any:
        """Remove and return the (key, value) pair at the front of a queue, or ``default`` if it is empty.

        Args:
            prefix: which queue (str), or None; see ``push``.
            side: "front", or "back" for the one that was pushed last.
            expire_time, tag: also what ``get`` returns for them: then a tuple of the pair, or ``default``, and these.
        Raises:
            DecodeError, UntrustedValueError: the value cannot be decoded; it stays.
        """
        return _pull(_Queue(self, prefix, side), default, expire_time=expire_time, tag=tag)

    def peek(
        self,
        prefix: str | None = None,
        default: Any = (None, None),
        side: _Side = "front",
        *,
        expire_time: bool = False,
        tag: bool = False,
    ) -> Any:
        """What ``pull`` would return, which stays in the queue."""
        return _peek(_Queue(self, prefix, side), default, expire_time=expire_time, tag=tag)
