"""Deque and Index, as diskcache has them: a sequence and a mapping over a Cache that evicts nothing."""

from __future__ import annotations

import contextlib
import itertools
import operator
from collections import OrderedDict
from collections.abc import ItemsView, KeysView, MutableMapping, Sequence, ValuesView
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.core import ENOVAL, Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Literal

    _Side = Literal["front", "back"]

__all__ = ["Deque", "Index"]

_AT_ONCE = 1000


def _compare(operation: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    """A comparison as sequences have it: by the first elements that differ, else by the lengths."""

    def compare(self: Deque, other: Any) -> Any:
        """Compare with a sequence, element by element."""
        if not isinstance(other, Sequence):
            return NotImplemented
        if operation in (operator.eq, operator.ne) and len(self) != len(other):
            return operation is operator.ne
        for mine, theirs in zip(self, other, strict=False):
            if mine != theirs:
                return operation(mine, theirs)
        return operation(len(self), len(other))

    compare.__name__ = f"__{operation.__name__}__"
    return compare


class Deque(Sequence[Any]):
    """A sequence with two ends, shared by threads and processes; each value is an entry of its cache.

    Args:
        iterable: values to append.
        directory: where it lies, as of Cache.
        maxlen: the most values that it holds, whose other end gives way; None for any number, which ``maxlen`` then
            tells as infinity.

    >>> from fastcache.diskcache import Deque
    >>> deque = Deque("abc")
    >>> deque.rotate(1)
    >>> list(deque), deque.popleft(), deque.pop()
    (['c', 'a', 'b'], 'c', 'b')
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, iterable: Iterable[Any] = (), directory: Any = None, maxlen: float | None = None) -> None:
        self._begin(Cache(directory, eviction_policy="none"), iterable, maxlen)

    @classmethod
    def fromcache(cls, cache: Cache, iterable: Iterable[Any] = (), maxlen: float | None = None) -> Deque:
        """A deque over a cache that exists."""
        self = cls.__new__(cls)
        self._begin(cache, iterable, maxlen)
        return self

    def _begin(self, cache: Cache, iterable: Iterable[Any], maxlen: float | None) -> None:
        self._cache = cache
        self._maxlen = float("inf") if maxlen is None else maxlen
        self.extend(iterable)

    @property
    def cache(self) -> Cache:
        """What holds the values."""
        return self._cache

    @property
    def directory(self) -> str:
        """Where it lies."""
        return self._cache.directory

    @property
    def maxlen(self) -> float:
        """The most values that it holds; can be set."""
        return self._maxlen

    @maxlen.setter
    def maxlen(self, value: float) -> None:
        self._maxlen = value
        with self._cache.transact(retry=True):
            self._shorten("front")

    def _shorten(self, side: _Side) -> None:
        """Inside ``transact``: keep to the greatest length."""
        while len(self._cache) > self._maxlen:
            self._cache.pull(side=side, retry=True)

    def _at(self, index: int, do: Callable[[Any], Any]) -> Any:
        """What is done with the key of a position."""
        if index < -len(self) or index >= len(self):
            raise IndexError("deque index out of range")
        place = index if index >= 0 else -index - 1
        for key in itertools.islice(self._cache.iterkeys(reverse=index < 0), place, None):
            try:
                return do(key)
            except KeyError:
                # Another one has taken it meanwhile; the next one has moved up.
                continue
        raise IndexError("deque index out of range")

    def __getitem__(self, index: int) -> Any:  # type: ignore[override]
        return self._at(index, self._cache.__getitem__)

    def __setitem__(self, index: int, value: Any) -> None:
        self._at(index, lambda key: self._cache.__setitem__(key, value))

    def __delitem__(self, index: int) -> None:
        self._at(index, self._cache.__delitem__)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(directory={self.directory!r})"

    __eq__ = _compare(operator.eq)
    __ne__ = _compare(operator.ne)
    __lt__ = _compare(operator.lt)
    __gt__ = _compare(operator.gt)
    __le__ = _compare(operator.le)
    __ge__ = _compare(operator.ge)

    def __iadd__(self, iterable: Iterable[Any]) -> Deque:
        self.extend(iterable)
        return self

    def __iter__(self) -> Iterator[Any]:
        return self._values(False)

    def __reversed__(self) -> Iterator[Any]:
        return self._values(True)

    def _values(self, reverse: bool) -> Iterator[Any]:
        for key in self._cache.iterkeys(reverse=reverse):
            with contextlib.suppress(KeyError):
                yield self._cache[key]

    def __len__(self) -> int:
        return len(self._cache)

    def __getstate__(self) -> tuple[str, float]:
        return self.directory, self.maxlen

    def __setstate__(self, state: tuple[str, float]) -> None:
        directory, maxlen = state
        self.__init__(directory=directory, maxlen=maxlen)  # type: ignore[misc]

    def append(self, value: Any) -> None:
        """Add a value at the back."""
        with self._cache.transact(retry=True):
            self._cache.push(value, retry=True)
            self._shorten("front")

    def appendleft(self, value: Any) -> None:
        """Add a value at the front."""
        with self._cache.transact(retry=True):
            self._cache.push(value, side="front", retry=True)
            self._shorten("back")

    def extend(self, iterable: Iterable[Any]) -> None:
        """Add values at the back, up to a thousand in each transaction."""
        self._extend(iterable, self.append)

    def extendleft(self, iterable: Iterable[Any]) -> None:
        """Add values at the front one after the other, so that the last one comes first."""
        self._extend(iterable, self.appendleft)

    def _extend(self, iterable: Iterable[Any], add: Callable[[Any], None]) -> None:
        values = iter(iterable)
        # What is not taken from the iterator yet is not part of a transaction.
        while some := list(itertools.islice(values, _AT_ONCE)):
            with self._cache.transact(retry=True):
                for value in some:
                    add(value)

    def clear(self) -> None:
        """Remove all values."""
        self._cache.clear(retry=True)

    def copy(self) -> Deque:
        """Another object over the same directory."""
        return type(self)(directory=self.directory, maxlen=self.maxlen)

    def count(self, value: Any) -> int:
        """How often a value is in it."""
        return sum(value == item for item in self)

    def peek(self) -> Any:
        """The value at the back.

        Raises:
            IndexError: it is empty.
        """
        return self._end(self._cache.peek, "back", "peek from an empty deque")

    def peekleft(self) -> Any:
        """The value at the front; raises as ``peek``."""
        return self._end(self._cache.peek, "front", "peek from an empty deque")

    def pop(self) -> Any:
        """Remove and return the value at the back; raises as ``peek``."""
        return self._end(self._cache.pull, "back", "pop from an empty deque")

    def popleft(self) -> Any:
        """Remove and return the value at the front; raises as ``peek``."""
        return self._end(self._cache.pull, "front", "pop from an empty deque")

    @staticmethod
    def _end(method: Callable[..., Any], side: _Side, empty: str) -> Any:
        _, value = method(default=(None, ENOVAL), side=side, retry=True)
        if value is ENOVAL:
            raise IndexError(empty)
        return value

    def remove(self, value: Any) -> None:
        """Remove the first one that equals a value.

        Raises:
            ValueError: there is none.
        """
        for key in self._cache.iterkeys():
            with contextlib.suppress(KeyError):
                if self._cache[key] == value:
                    del self._cache[key]
                    return
        raise ValueError("deque.remove(value): value not in deque")

    def reverse(self) -> None:
        """Turn it around, in one transaction."""
        with self._cache.transact(retry=True):
            values = list(self)
            for key, value in zip(list(self._cache.iterkeys()), reversed(values), strict=True):
                self._cache[key] = value

    def rotate(self, steps: int = 1) -> None:
        """Move so many values from the back to the front, or the other way for a negative number, in one transaction.

        Raises:
            TypeError: it is no int.
        """
        if not isinstance(steps, int):
            raise TypeError(f"steps must be an int, not {type(steps).__name__}")
        with self._cache.transact(retry=True):
            if not len(self):
                return
            move = self._turn if steps >= 0 else self._turn_back
            with contextlib.suppress(IndexError):
                for _ in range(abs(steps) % len(self)):
                    move()

    def _turn(self) -> None:
        self._cache.push(self.pop(), side="front", retry=True)

    def _turn_back(self) -> None:
        self._cache.push(self.popleft(), retry=True)

    @contextlib.contextmanager
    def transact(self) -> Iterator[None]:
        """A context manager: what is done inside is committed together, or not at all."""
        with self._cache.transact(retry=True):
            yield


class Index(MutableMapping[Any, Any]):
    """A mapping, shared by threads and processes, in order of insertion.

    Args:
        directory: where it lies (str or bytes), or None for a new temporary one; may be left out.
        other: a mapping or pairs, to begin with.
        **items: more of them.

    >>> from fastcache.diskcache import Index
    >>> index = Index({"a": 1}, b=2)
    >>> index == {"b": 2, "a": 1}, index.popitem(), list(index)
    (True, ('b', 2), ['a'])
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        directory = None
        if args and (args[0] is None or isinstance(args[0], (bytes, str))):
            directory, *args = args  # type: ignore[assignment]
        self._cache = Cache(directory, eviction_policy="none")
        self.update(*args, **kwargs)

    @classmethod
    def fromcache(cls, cache: Cache, *args: Any, **kwargs: Any) -> Index:
        """An index over a cache that exists."""
        self = cls.__new__(cls)
        self._cache = cache
        self.update(*args, **kwargs)
        return self

    @property
    def cache(self) -> Cache:
        """What holds the entries."""
        return self._cache

    @property
    def directory(self) -> str:
        """Where it lies."""
        return self._cache.directory

    def __getitem__(self, key: Any) -> Any:
        return self._cache[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._cache[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._cache[key]

    def __contains__(self, key: Any) -> bool:
        return key in self._cache

    def update(self, other: Any = (), /, **kwargs: Any) -> None:
        """Store what a mapping, pairs and keywords have, up to a thousand in each transaction."""
        given = ((key, other[key]) for key in other.keys()) if hasattr(other, "keys") else other  # noqa: SIM118
        pairs = itertools.chain(given, kwargs.items())
        while some := list(itertools.islice(pairs, _AT_ONCE)):
            with self._cache.transact(retry=True):
                for key, value in some:
                    self._cache[key] = value

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The value of a key; if it is absent, the default is stored first."""
        while True:
            try:
                return self._cache[key]
            except KeyError:
                self._cache.add(key, default, retry=True)

    def peekitem(self, last: bool = True) -> tuple[Any, Any]:
        """The newest (key, value) pair, or the oldest.

        Raises:
            KeyError: there is none.
        """
        pair: tuple[Any, Any] = self._cache.peekitem(last, retry=True)
        return pair

    def pop(self, key: Any, default: Any = ENOVAL) -> Any:
        """Remove a key and return its value, or the default.

        Raises:
            KeyError: it is absent, and there is no default.
        """
        value = self._cache.pop(key, default=default, retry=True)
        if value is ENOVAL:
            raise KeyError(key)
        return value

    def popitem(self, last: bool = True) -> tuple[Any, Any]:
        """Remove and return what ``peekitem`` tells; raises as that."""
        with self._cache.transact(retry=True):
            key, value = self._cache.peekitem(last)
            del self._cache[key]
        return key, value

    def push(self, value: Any, prefix: str | None = None, side: _Side = "back") -> Any:
        """As of Cache."""
        return self._cache.push(value, prefix, side, retry=True)

    def pull(self, prefix: str | None = None, default: Any = (None, None), side: _Side = "front") -> Any:
        """As of Cache."""
        return self._cache.pull(prefix, default, side, retry=True)

    def clear(self) -> None:
        """Remove all entries."""
        self._cache.clear(retry=True)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._cache)

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._cache)

    def __len__(self) -> int:
        return len(self._cache)

    def keys(self) -> KeysView[Any]:
        """A view of the keys."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:
        """A view of the values."""
        return ValuesView(self)

    def items(self) -> ItemsView[Any, Any]:
        """A view of the items."""
        return ItemsView(self)

    def __getstate__(self) -> str:
        return self.directory

    def __setstate__(self, state: str) -> None:
        self.__init__(state)  # type: ignore[misc]

    def __eq__(self, other: object) -> bool:
        """Compare with a mapping; with an Index or an OrderedDict in order."""
        if not hasattr(other, "__len__") or not hasattr(other, "__getitem__") or len(self) != len(other):
            return False
        if isinstance(other, (Index, OrderedDict)):
            mine = ((key, self[key]) for key in self)
            theirs = ((key, other[key]) for key in other)
            return all(pair == pair_of_other for pair, pair_of_other in zip(mine, theirs, strict=False))
        return all(self[key] == other.get(key, ENOVAL) for key in self)  # type: ignore[attr-defined]

    def __ne__(self, other: object) -> bool:
        return not self == other

    def memoize(self, name: str | None = None, typed: bool = False, ignore: Iterable[Any] = ()) -> Any:
        """A decorator, as of Cache."""
        return self._cache.memoize(name, typed, ignore=ignore)

    @contextlib.contextmanager
    def transact(self) -> Iterator[None]:
        """A context manager: what is done inside is committed together, or not at all."""
        with self._cache.transact(retry=True):
            yield

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.directory!r})"
