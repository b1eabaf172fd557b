"""What ``keys()``, ``values()``, ``items()`` and ``stats()`` return."""

from __future__ import annotations

from _collections_abc import ItemsView, KeysView, ValuesView

from fastcache.engine.undecodable import handler_of as check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from fastcache.engine.undecodable import _OnError

__all__ = ["ItemsOfStore", "KeysOfStore", "Stats", "ValuesOfStore"]


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


class Stats(dict[str, int]):
    """Counters, as a dict and as attributes."""

    def __getattr__(self, name: str) -> int:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no counter {name!r}") from None
