"""What ``keys()``, ``values()``, ``items()`` and ``stats()`` return."""

from __future__ import annotations

from _collections_abc import ItemsView, KeysView, Reversible, ValuesView
from heapq import merge

from fastcache.engine.codecs.keys import NeverFoundError
from fastcache.engine.codecs.ranges import place_of, range_of
from fastcache.engine.undecodable import handler_of as check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fastcache.engine.undecodable import _OnError

__all__ = ["InOrder", "ItemsOfStore", "KeysOfStore", "Stats", "ValuesOfStore"]


class KeysOfStore(KeysView):  # type: ignore[type-arg]
    """The keys of a mapping, read when they are asked for."""

    _mapping: Any

    def __reversed__(self) -> Iterator[Any]:
        keys: Iterator[Any] = reversed(self._mapping)
        return keys


class ValuesOfStore(ValuesView):  # type: ignore[type-arg]
    """The values of a mapping, read together with their keys rather than one by one."""

    _mapping: Any

    def __init__(self, mapping: Any, on_error: _OnError = "warn") -> None:
        super().__init__(mapping)
        check(mapping.directory, on_error)
        self._on_error = on_error

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._pairs(False, self._on_error))

    def __reversed__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._pairs(True, self._on_error))

    def __contains__(self, value: object) -> bool:
        return any(found is value or found == value for found in self)


class ItemsOfStore(ItemsView):  # type: ignore[type-arg]
    """The items of a mapping, read in batches rather than one by one."""

    _mapping: Any

    def __init__(self, mapping: Any, on_error: _OnError = "warn") -> None:
        super().__init__(mapping)
        check(mapping.directory, on_error)
        self._on_error = on_error

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        pairs: Iterator[tuple[Any, Any]] = self._mapping._pairs(False, self._on_error)
        return pairs

    def __reversed__(self) -> Iterator[tuple[Any, Any]]:
        pairs: Iterator[tuple[Any, Any]] = self._mapping._pairs(True, self._on_error)
        return pairs

    def __contains__(self, item: object) -> bool:
        try:
            return super().__contains__(item)  # type: ignore[operator]
        except NeverFoundError:
            return False


class InOrder(Reversible):  # type: ignore[type-arg]
    """The keys, values or items of a mapping in the order of keys, read when they are asked for: again for each
    iteration."""

    __slots__ = ("_backward", "_mapping", "_on_error", "_range", "_which")

    def __init__(
        self, mapping: Any, which: str, ends: tuple[Any, Any, Any], reverse: bool | None, on_error: _OnError
    ) -> None:
        check(mapping.directory, on_error)
        self._mapping = mapping
        self._which = which
        self._range = range_of(*ends, mapping.serializer)
        self._backward = bool(reverse)
        self._on_error = on_error

    def __repr__(self) -> str:
        return f"<{self._which} of {self._mapping!r} in order>"

    def __iter__(self) -> Iterator[Any]:
        return self._walk(self._backward)

    def __reversed__(self) -> Iterator[Any]:
        return self._walk(not self._backward)

    def _walk(self, backward: bool) -> Iterator[Any]:
        handler = check(self._mapping.directory, self._on_error)
        # Where each ends is asked before the first begins.
        walks = [
            store.in_order(self._range, self._which != "keys", backward, handler)
            for store in self._mapping.stores.all()
        ]
        found = walks[0] if len(walks) == 1 else merge(*walks, key=lambda entry: place_of(entry[0]), reverse=backward)
        return self._given(found)

    def _given(self, found: Iterator[tuple[Any, Any, Any]]) -> Iterator[Any]:
        # With `self` the mapping lives, and a temporary directory with that.
        if self._which == "keys":
            for _, key, _ in found:
                yield key
        elif self._which == "values":
            for _, _, value in found:
                yield value
        else:
            for _, key, value in found:
                yield key, value


class Stats(dict[str, int]):
    """Counters, as a dict and as attributes."""

    def __getattr__(self, name: str) -> int:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no counter {name!r}") from None
