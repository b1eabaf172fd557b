"""Deque: a persistent collections.deque, for any number of producers and consumers.

Each item is an entry under an int, its position, and positions follow one another without a gap: so the length is known
from the first and the last, which the index of keys tells in one look, and an item is found by its index. Whoever
changes either does so in a transaction. The first position of all is one that an Index has by no accident, so that the
two are told apart.

A gap can only come from damage: a value file that is lost, and with it its entry. It is closed when somebody comes upon
it.
"""

from __future__ import annotations

import collections
import contextlib
import operator
import sys
from collections.abc import MutableSequence, Sequence
from itertools import count

from fastcache.engine.index_mapping import IndexMapping
from fastcache.errors import CorruptError, FormatError
from fastcache.options import CACHE_MEMORY, IN_MEMORY, choose_place, choose_serializer
from fastcache.recipes import Recipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Literal, SupportsIndex

    from typing_extensions import Self

    from fastcache.check.check import CheckResult
    from fastcache.engine.database.transaction import Transaction
    from fastcache.serializers.messagepack import Serializer

__all__ = ["Deque"]

# The first position of all, and how far others may be from it.
START = 1 << 62
REACH = 1 << 61
# Items that are written in one transaction, and those that are moved at a time.
EXTEND_CHUNK = 1000
MOVE_CHUNK = 256

_MISSING: Any = object()


class _Gap(Exception):
    """Positions that have no item are its arguments."""


class _Items(Recipes, IndexMapping):
    """The items by their positions."""


class Deque(MutableSequence):  # type: ignore[type-arg]
    """A collections.deque on disk, shared by any number of threads and processes.

    What collections.deque does, this does: both ends are fast whatever the length, an index in the middle is found at
    once, and ``insert``, ``remove``, ``rotate`` and ``del`` in the middle move what lies on the shorter side. Each call
    is atomic, and nothing is lost or handed out twice, whoever is killed. Iterating shows each item as it then is, and
    none that were added meanwhile, without an error; for a look or a change of several steps there is ``transact``.
    Comparisons are with any sequence.

    Args:
        iterable: appended at once, as by ``extend``.
        directory: where it lives; made (for its owner alone) if absent. None makes a private temporary one, which is
            removed when the deque is closed, or collected, or the process that made it exits. ":memory:" keeps all in
            memory; see Cache.
        maxlen: how many items (int) there may be; what is too much is dropped at the other end, in the same
            transaction. None for any number. It belongs to this object: whoever opens the directory says what is to
            hold for them.
        serializer, timeout, memory, durability, compression, safe_types, secret, recreate, read_only: as in an Index.

    Raises:
        OpenError: (NotACacheError, FormatError, DirectoryNameError) the directory cannot be opened as asked;
            FormatError also if it is that of a Cache or an Index.
        ValueError, TypeError: ``maxlen`` is negative, or no int.

    >>> from fastcache import Deque
    >>> with Deque("abc", maxlen=3) as deque:
    ...     deque.append("d")
    ...     deque.rotate(1)
    ...     list(deque), deque.popleft(), deque[-1], len(deque), deque == ["b", "c"]
    (['d', 'b', 'c'], 'd', 'c', 2, True)
    """

    def __init__(
        self,
        iterable: Iterable[Any] = (),
        directory: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        maxlen: int | None = None,
        *,
        serializer: Serializer | None = None,
        timeout: float = 60.0,
        memory: int = CACHE_MEMORY,
        durability: Literal["normal", "full"] = "normal",
        compression: Literal["zstd", "lz4", "blosc2"] | None = None,
        safe_types: Iterable[type] = (),
        secret: bytes | str | None = None,
        recreate: bool = False,
        read_only: bool | None = None,
    ) -> None:
        self._maxlen = _check_maxlen(maxlen)
        serializer = choose_serializer(serializer, safe_types, secret)
        self._items = _Items()
        self._items._open(
            choose_place(directory),
            serializer=serializer,
            timeout=timeout,
            memory=memory,
            durability=durability,
            compression=compression,
            recreate=recreate,
            read_only=read_only,
            keeps_limit=False,
        )
        try:
            # What is damaged is opened all the same, for check(fix=True); every other use says so.
            with contextlib.suppress(CorruptError):
                self._ends()
                self._trim()
            self.extend(iterable)
        except BaseException:
            self._items.close()
            raise

    # -- the object ---------------------------------------------------------------------------------------------

    @property
    def directory(self) -> str:
        """The deque's directory (str), an absolute path."""
        return self._items.directory

    @property
    def maxlen(self) -> int | None:
        """How many items there may be (int), or None for any number. Setting it drops what is too much on the left.

        >>> from fastcache import Deque
        >>> with Deque("abcd") as deque:
        ...     deque.maxlen = 2
        ...     list(deque)
        ['c', 'd']
        """
        return self._maxlen

    @maxlen.setter
    def maxlen(self, maxlen: int | None) -> None:
        self._maxlen = _check_maxlen(maxlen)
        self._trim()

    def close(self) -> None:
        """Close it; what was stored stays. Every other use then raises ClosedError. See Index.close."""
        self._items.close()

    def __enter__(self) -> Self:
        self._items.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def transact(self) -> Transaction:
        """A context manager: what is done inside is committed together, or not at all. Others see nothing of it before,
        and change nothing meanwhile. See Index.transact.

        >>> from fastcache import Deque
        >>> with Deque([1, 2]) as jobs, jobs.transact():
        ...     jobs.append(jobs.popleft())
        ...     list(jobs)
        [2, 1]
        """
        return self._items.transact()

    def check(self, fix: bool = False) -> CheckResult:
        """Look for damage, and with ``fix`` repair it, which may cost items; see fastcache.check.check.check."""
        found = self._items.check(fix=fix)
        if fix:
            self._close_up()
        return found

    def backup(self, path: str | os.PathLike[str], *, progress: Callable[[int, int], object] | None = None) -> None:
        """Copy it, as it is at one moment, to a directory that is a deque as well; see Index.backup."""
        self._items.backup(path, progress=progress)

    def size(self) -> int:
        """Bytes of all items (int), as they are stored."""
        return self._items.size()

    def volume(self) -> int:
        """Bytes on disk (int); see Index.volume."""
        return self._items.volume()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._items.store.in_memory:
            return self._items.__reduce__()  # type: ignore[return-value]
        return _reopen, (type(self), self.directory, self._maxlen, self._options())

    def _options(self) -> dict[str, Any]:
        """What it was opened with."""
        options = self._items._options()
        # Who asks for the ends looks at the whole, so that nothing would stay there.
        options.pop("journal", None)
        return options

    def __repr__(self) -> str:
        limit = "" if self._maxlen is None else f", maxlen={self._maxlen}"
        return f"{type(self).__name__}(directory={self.directory!r}{limit})"

    # -- where things are ---------------------------------------------------------------------------------------

    def _ends(self) -> tuple[int, int]:
        """The position of the first item, and that behind the last, of one moment."""
        first, last = self._items.store.key_ends()
        if first is None:
            return START, START
        if not (type(first) is type(last) is int and START - REACH <= first <= last < START + REACH):
            raise FormatError(
                f"{self.directory!r} is the directory of a Cache or an Index, not of a Deque: open it as what it is, or"
                " give another one"
            )
        return first, last + 1

    def _pairs(self, start: int = START - REACH, stop: int = START + REACH, backward: bool = False) -> Iterator[Any]:
        """The positions and items from one position to another."""
        return iter(self._items.items("raise", start=start, stop=stop, reverse=backward))

    def _forget(self, *positions: int) -> None:
        """Drop the items whose files are lost from these positions."""
        with self.transact():
            for position in positions:
                if self._items.get(position, _MISSING) is _MISSING:
                    self._items.delete(position)
            self._close_up()

    def _close_up(self) -> None:
        """Move items so that no position between them is empty."""
        with self.transact():
            moves = [
                (old, new) for new, old in enumerate(self._items.keys(reverse=False), self._ends()[0]) if new != old
            ]
            for begin in range(0, len(moves), MOVE_CHUNK):
                chunk = moves[begin : begin + MOVE_CHUNK]
                found = self._items.get_many([old for old, _ in chunk], on_error="raise")
                self._items.delete_many(found)
                self._items.set_many((new, found[old]) for old, new in chunk if old in found)

    def _found(self, positions: range) -> list[Any]:
        """The items at some positions."""
        found = self._items.get_many(positions, on_error="raise")
        if len(found) != len(positions):
            raise _Gap(*(position for position in positions if position not in found))
        return [found[position] for position in positions]

    def _rearrange(self, work: Callable[[int, int], None]) -> None:
        """Have a function move items, which is given the ends."""
        with self.transact():
            while True:
                try:
                    with self.transact():
                        return work(*self._ends())
                except _Gap as gap:
                    self._forget(*gap.args)

    def _shift(self, begin: int, end: int, by: int) -> None:
        """Move the items between two positions by so many, one chunk after the other."""
        chunks = [range(at, min(at + MOVE_CHUNK, end)) for at in range(begin, end, MOVE_CHUNK)]
        for positions in chunks if by < 0 else reversed(chunks):
            self._items.set_many(zip((position + by for position in positions), self._found(positions), strict=True))

    # -- the ends -----------------------------------------------------------------------------------------------

    def _put(self, values: list[Any], right: bool) -> None:
        """Append values on one side, one after the other, and drop on the other side what is too much."""
        if self._maxlen is not None and len(values) > self._maxlen:
            values = values[len(values) - self._maxlen :]
        with self.transact():
            begin, end = self._ends()
            self._items.set_many(zip(count(end) if right else count(begin - 1, -1), values, strict=False))
            if self._maxlen is not None:
                surplus = min(end - begin, end - begin + len(values) - self._maxlen)
                self._items.delete_many(range(begin, begin + surplus) if right else range(end - surplus, end))

    def _trim(self) -> None:
        """Drop on the left what is more than ``maxlen``."""
        if self._maxlen is not None and len(self) > self._maxlen:
            self._put([], True)

    def append(self, value: Any) -> None:
        """Add an item on the right."""
        self._put([value], True)

    def appendleft(self, value: Any) -> None:
        """Add an item on the left."""
        self._put([value], False)

    def extend(self, values: Iterable[Any]) -> None:
        """Add all items of an iterable on the right.

        They are written in transactions of up to a thousand, so that others get their turn; inside of ``transact``, all
        in one. If the iterable fails, what it has given before is added.

        >>> from fastcache import Deque
        >>> with Deque() as deque:
        ...     deque.extend(range(5000))
        ...     len(deque), deque[4321]
        (5000, 4321)
        """
        self._extend(values, True)

    def extendleft(self, values: Iterable[Any]) -> None:
        """Add all items of an iterable on the left, one after the other, so that they end up in reverse.

        See ``extend``."""
        self._extend(values, False)

    def _extend(self, values: Iterable[Any], right: bool) -> None:
        chunk: list[Any] = []
        try:
            for value in list(self) if values is self else values:
                chunk.append(value)
                if len(chunk) == EXTEND_CHUNK:
                    written, chunk = chunk, []
                    self._put(written, right)
        finally:
            if chunk:
                self._put(chunk, right)

    def _take(self, right: bool) -> Any:
        """Remove and return the item at one end."""
        # Who asks an empty one again and again keeps nobody from writing.
        if self:
            with self.transact():
                begin, end = self._ends()
                while begin < end:
                    position = end - 1 if right else begin
                    value = self._items.pop(position, _MISSING)
                    if value is not _MISSING:
                        return value
                    # Its file is lost.
                    self._items.delete(position)
                    begin, end = self._ends()
        raise IndexError("pop from an empty deque")

    def pop(self) -> Any:  # type: ignore[override]
        """Remove and return the item on the right.

        Raises:
            IndexError: there is none.
            DecodeError, UntrustedValueError: it cannot be decoded. It stays; ``del deque[-1]`` removes it.
        """
        return self._take(True)

    def popleft(self) -> Any:
        """Remove and return the item on the left; see ``pop``.

        >>> from fastcache import Deque
        >>> with Deque("ab") as deque:
        ...     deque.popleft(), deque.popleft(), list(deque)
        ('a', 'b', [])
        """
        return self._take(False)

    def peek(self) -> Any:
        """The item on the right, which stays.

        Raises:
            IndexError: there is none.
        """
        return self._peek(True)

    def peekleft(self) -> Any:
        """The item on the left, which stays; see ``peek``.

        >>> from fastcache import Deque
        >>> with Deque("ab") as deque:
        ...     deque.peekleft(), deque.peek(), len(deque)
        ('a', 'b', 2)
        """
        return self._peek(False)

    def _peek(self, right: bool) -> Any:
        for _, value in self._pairs(backward=right):
            return value
        raise IndexError("peek from an empty deque")

    def clear(self) -> None:
        """Remove all items."""
        self._items.clear()

    # -- a sequence ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        begin, end = self._ends()
        return end - begin

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._pairs())

    def __reversed__(self) -> Iterator[Any]:
        return (value for _, value in self._pairs(backward=True))

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)

    def count(self, value: Any) -> int:
        """How many items are equal to a value (int)."""
        return sum(found is value or found == value for found in self)

    def index(self, value: Any, start: SupportsIndex = 0, stop: SupportsIndex = sys.maxsize) -> int:
        """The index (int) of the first item that is equal to a value, between two indexes.

        Raises:
            ValueError: there is none.
        """
        begin, end = self._ends()
        first, last = (
            begin + min(max(each + (end - begin if each < 0 else 0), 0), end - begin)
            for each in (operator.index(start), operator.index(stop))
        )
        for position, found in self._pairs(first, last):
            if found is value or found == value:
                return int(position - begin)
        raise ValueError("the value is not in the deque")

    def __getitem__(self, index: SupportsIndex) -> Any:  # type: ignore[override]
        place = _check_index(index)
        for _ in count() if self._items.read_only else range(10):
            ends = self._ends()
            position = _position(place, *ends)
            value = self._items.get(position, _MISSING)
            if self._ends() == ends:
                if value is not _MISSING:
                    return value
                self._forget(position)
        # While others change it all the time.
        with self.transact():
            while True:
                position = _position(place, *self._ends())
                value = self._items.get(position, _MISSING)
                if value is not _MISSING:
                    return value
                self._forget(position)

    def __setitem__(self, index: SupportsIndex, value: Any) -> None:  # type: ignore[override]
        place = _check_index(index)
        with self.transact():
            self._items[_position(place, *self._ends())] = value

    def __delitem__(self, index: SupportsIndex) -> None:  # type: ignore[override]
        place = _check_index(index)

        def delete(begin: int, end: int) -> None:
            position = _position(place, begin, end)
            if position - begin < end - position:
                self._shift(begin, position, 1)
                self._items.delete(begin)
            else:
                self._shift(position + 1, end, -1)
                self._items.delete(end - 1)

        self._rearrange(delete)

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """Insert an item before an index.

        Raises:
            IndexError: there are as many as ``maxlen`` already.
        """
        place = _check_index(index)

        def insert(begin: int, end: int) -> None:
            length = end - begin
            if self._maxlen is not None and length >= self._maxlen:
                raise IndexError("deque already at its maximum size")
            position = begin + min(max(place + (length if place < 0 else 0), 0), length)
            if position - begin < end - position:
                self._shift(begin, position, -1)
                self._items[position - 1] = value
            else:
                self._shift(position, end, 1)
                self._items[position] = value

        self._rearrange(insert)

    def remove(self, value: Any) -> None:
        """Remove the first item that is equal to a value.

        Raises:
            ValueError: there is none.
        """
        with self.transact():
            del self[self.index(value)]

    def rotate(self, n: SupportsIndex = 1) -> None:
        """Move so many items (int) from the right to the left, or the other way if it is negative.

        >>> from fastcache import Deque
        >>> with Deque("abcd") as deque:
        ...     deque.rotate(-1)
        ...     list(deque)
        ['b', 'c', 'd', 'a']
        """
        steps = operator.index(n)

        def rotate(begin: int, end: int) -> None:
            length = end - begin
            if length < 2 or steps % length == 0:
                return
            right = steps % length
            if right <= length - right:
                positions, by = range(end - right, end), -length
            else:
                positions, by = range(begin, begin + length - right), length
            for at in range(0, len(positions), MOVE_CHUNK):
                chunk = positions[at : at + MOVE_CHUNK]
                self._items.set_many(zip((position + by for position in chunk), self._found(chunk), strict=True))
                self._items.delete_many(chunk)

        self._rearrange(rotate)

    def reverse(self) -> None:
        """Reverse the order of the items."""

        def reverse(begin: int, end: int) -> None:
            while end - begin > 1:
                size = min(MOVE_CHUNK, (end - begin) // 2)
                left, right = range(begin, begin + size), range(end - size, end)
                to_right, to_left = self._found(left), self._found(right)
                self._items.set_many(zip(reversed(right), to_right, strict=True))
                self._items.set_many(zip(left, reversed(to_left), strict=True))
                begin, end = begin + size, end - size

        self._rearrange(reverse)

    def copy(self) -> Deque:
        """A deque with the same items and ``maxlen``, in a private temporary directory; of one in memory, in memory.

        For a copy in a directory of your own, see ``backup``."""
        options = self._options()
        # Of the directory, both.
        options.pop("read_only", None)
        options.pop("recreate", None)
        return type(self)(self, IN_MEMORY if self._items.store.in_memory else None, self._maxlen, **options)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Deque:
        return self.copy()

    # -- with others --------------------------------------------------------------------------------------------

    def _compare(self, other: object, by: Callable[[Any, Any], Any]) -> Any:
        if not isinstance(other, Sequence):
            return NotImplemented
        if by in (operator.eq, operator.ne) and len(self) != len(other):
            return by is operator.ne
        # The other one may be longer, or both may change meanwhile: what is there is compared.
        others = iter(other)
        for mine in self:
            theirs = next(others, _MISSING)
            if theirs is _MISSING:
                return by(1, 0)
            if not (mine is theirs or mine == theirs):
                return by(mine, theirs)
        return by(0, 0 if next(others, _MISSING) is _MISSING else 1)

    def __eq__(self, other: object) -> Any:
        return self._compare(other, operator.eq)

    def __ne__(self, other: object) -> Any:
        return self._compare(other, operator.ne)

    def __lt__(self, other: object) -> Any:
        return self._compare(other, operator.lt)

    def __le__(self, other: object) -> Any:
        return self._compare(other, operator.le)

    def __gt__(self, other: object) -> Any:
        return self._compare(other, operator.gt)

    def __ge__(self, other: object) -> Any:
        return self._compare(other, operator.ge)

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Deque | collections.deque[Any]) -> Deque:
        if not isinstance(other, (Deque, collections.deque)):
            return NotImplemented
        joined = self.copy()
        joined.extend(other)
        return joined

    def __iadd__(self, other: Iterable[Any]) -> Self:
        self.extend(other)
        return self

    def __mul__(self, times: SupportsIndex) -> Deque:
        multiplied = self.copy()
        multiplied *= times
        return multiplied

    __rmul__ = __mul__

    def __imul__(self, times: SupportsIndex) -> Self:
        number = operator.index(times)
        with self.transact():
            if number <= 0:
                self.clear()
            else:
                values = list(self) if number > 1 else []
                for _ in range(number - 1):
                    self.extend(values)
        return self


def _reopen(kind: type[Deque], directory: str, maxlen: int | None, options: dict[str, Any]) -> Deque:
    """Open again what was pickled."""
    return kind((), directory, maxlen, **options)


def _check_maxlen(maxlen: Any) -> int | None:
    if maxlen is None:
        return None
    if not isinstance(maxlen, int):
        raise TypeError(f"maxlen must be a number (int) or None, not {type(maxlen).__name__}")
    if maxlen < 0:
        raise ValueError("maxlen must be non-negative")
    return int(maxlen)


def _check_index(index: Any) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise TypeError(f"sequence index must be integer, not '{type(index).__name__}'") from None


def _position(index: int, begin: int, end: int) -> int:
    """The position of an index, which may be negative."""
    position = (begin if index >= 0 else end) + index
    if not begin <= position < end:
        raise IndexError("deque index out of range")
    return position
