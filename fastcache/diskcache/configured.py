"""What a cache with diskcache's face is opened with: its directory, its settings, and what it counts."""

from __future__ import annotations

import os
import tempfile
from time import monotonic
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.custom import DISK_VALUES, Custom
from fastcache.diskcache.disk import Disk, is_custom
from fastcache.diskcache.entries import NEW, Entries, make_directory, path_of
from fastcache.diskcache.errors import RawSQLError
from fastcache.diskcache.settings import DEFAULT_SETTINGS, ENOVAL, METADATA, check_policy, from_text, to_text
from fastcache.errors import NotACacheError, Timeout
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

__all__ = ["Configured"]

# Keys that the engine has as they are; all others are pickled, and compare by that.
_NATIVE: frozenset[type] = frozenset((str, bytes, int, float))
_NONE: frozenset[type] = frozenset()
_SYNC_EACH = 2
# How long settings wait for another writer, in seconds.
_PATIENCE = 60.0


def _patiently(do: Callable[..., Any], *arguments: Any) -> Any:
    """Call what may raise Timeout again and again for a while: a cache's own timeout is for its entries."""
    latest = monotonic() + _PATIENCE
    while True:
        try:
            return do(*arguments)
        except Timeout:
            if monotonic() > latest:
                raise


class Configured:
    """The settings of a Cache; see there for the arguments."""

    size_limit: int
    cull_limit: int
    eviction_policy: str
    statistics: int
    tag_index: int
    # As ``reset`` has told them last.
    count = size = hits = misses = 0

    def __init__(
        self,
        directory: Any,
        timeout: float,
        disk: type[Disk],
        migrate: Literal["on-open"] | None,
        unsafe: bool | None,
        memory: int | None,
        settings: dict[str, Any],
    ) -> None:
        if not (isinstance(disk, type) and issubclass(disk, Disk)):
            raise ValueError("disk must be Disk, or a class that is derived from it")
        directory = path_of(tempfile.mkdtemp(prefix="fastcache-diskcache-") if directory is None else directory)
        if not os.path.lexists(directory):
            if os.path.exists(directory + NEW):
                load("fastcache.diskcache.migration").finish_conversion(directory)
            make_directory(directory)

        def enter(synchronous: int) -> Entries:
            return Entries(directory, timeout, unsafe=unsafe, memory=memory, synchronous=synchronous)

        def make(path: str) -> Any:
            return type(self)(path, timeout, disk, unsafe=unsafe, **settings)

        synchronous = settings.get("sqlite_synchronous", 1)
        try:
            self._entries: Entries = _patiently(enter, synchronous)
        except NotACacheError as error:
            load("fastcache.diskcache.migration").refuse_or_convert(directory, migrate, unsafe, make, error)
            self._entries = _patiently(enter, synchronous)
        stored = from_text(self._entries.store.settings.get("diskcache"))
        chosen = {**DEFAULT_SETTINGS, **stored, **settings}
        for name in METADATA:
            chosen.pop(name, None)
        if chosen["sqlite_synchronous"] >= _SYNC_EACH > synchronous:
            self._entries.close()
            self._entries = _patiently(enter, _SYNC_EACH)
        self._store = self._entries.store
        self._timeout = timeout
        self._counting = False
        # What the engine had counted when counting began, and what was counted before that.
        self._begun = self._counted = (0, 0)
        # How much the engine has written when the volume is to be looked at again.
        self._look_at = 0
        check_policy(chosen["eviction_policy"])
        options = {name[5:]: value for name, value in chosen.items() if name.startswith("disk_")}
        self._disk = disk(self._entries.directory, **options)
        self._disk._serializer = self._entries.serializer
        by_disk = self._store.settings.get(DISK_VALUES)
        self._custom = Custom(self._entries, self._disk) if is_custom(disk) or by_disk else None
        if self._custom is not None and not by_disk:
            _patiently(self._put_meta, DISK_VALUES, 1)
        self._kept = _NATIVE if self._custom is None else _NONE
        if chosen != stored:
            _patiently(self._put_settings, chosen)
        for name, value in chosen.items():
            self._apply(name, value)

    # -- settings

    @property
    def directory(self) -> str:
        """Where it lies."""
        return self._entries.directory

    @property
    def timeout(self) -> float:
        """How long it waits for another writer, in seconds."""
        return self._timeout

    @property
    def disk(self) -> Disk:
        """What stores keys and values."""
        return self._disk

    @property
    def _sql(self) -> Any:
        raise RawSQLError(
            f"{self.directory!r}: there is no SQL on diskcache's tables in fastcache, whose entries lie in others; use "
            "the methods of the cache"
        )

    _con = _sql_retry = _sql

    def _put_settings(self, settings: dict[str, Any]) -> None:
        self._put_meta("diskcache", to_text(settings))

    def _put_meta(self, name: str, value: Any) -> None:
        with self._entries.transact():
            self._entries.put_setting(name, value)

    def _change_setting(self, name: str, value: Any) -> None:
        with self._entries.transact():
            stored = from_text(self._store.stored_settings().get("diskcache"))
            self._put_settings({**stored, name: value})

    def _apply(self, name: str, value: Any) -> None:
        """Do what a setting says, and show it as an attribute."""
        if name == "eviction_policy":
            _patiently(self._store.adopt_limit, {"max_size": 0, "eviction": check_policy(value)})
        elif name == "statistics":
            self._count(bool(value))
        elif name.startswith("disk_"):
            setattr(self._disk, name[5:], value)
            if name == "disk_min_file_size":
                self._store.inline_limit = value - 1
        self._look_at = 0
        setattr(self, name, value)

    def reset(self, key: str, value: Any = ENOVAL, update: bool = True) -> Any:
        """Set and store a setting; without a value, tell what is stored now. Returns it.

        Args:
            key: of DEFAULT_SETTINGS, or any other; "count", "size", "hits" and "misses" are told, the last two set.
            update: whether it is stored.
        Raises:
            ValueError: there is no such setting, or it cannot have this value.
        """
        if key in METADATA:
            return self._reset_counter(key, value)
        if value is not ENOVAL:
            if update:
                if key == "eviction_policy":
                    check_policy(value)
                _patiently(self._change_setting, key, value)
        else:
            stored = from_text(self._store.stored_settings().get("diskcache"))
            if key not in stored:
                raise ValueError(f"there is no setting {key!r}")
            value = stored[key]
        self._apply(key, value)
        return value

    def _reset_counter(self, key: str, value: Any) -> int:
        if key in ("hits", "misses"):
            place = 0 if key == "hits" else 1
            found = list(self._statistics())
            if value is not ENOVAL:
                found[place] = value
                self._begun = (self._store.hits, self._store.misses)
                self._counted = (found[0], found[1])
            number: int = found[place]
        else:
            number = len(self._entries) if key == "count" else self._store.size()
        setattr(self, key, number)
        return number

    # -- statistics

    def stats(self, enable: bool = True, reset: bool = False) -> tuple[int, int]:
        """The hits and misses of this object while they were counted: (int, int).

        Args:
            enable: whether to count from now on.
            reset: whether to begin at 0.
        """
        found = self._statistics()
        if reset:
            self._begun, self._counted = (self._store.hits, self._store.misses), (0, 0)
        self._count(enable)
        self.statistics = enable
        return found

    def _statistics(self) -> tuple[int, int]:
        hits, misses = self._counted
        if self._counting:
            hits += self._store.hits - self._begun[0]
            misses += self._store.misses - self._begun[1]
        return hits, misses

    def _count(self, enable: bool) -> None:
        self._counted = self._statistics()
        self._begun = (self._store.hits, self._store.misses)
        self._counting = enable

    def _leave_out(self, hits: int, misses: int) -> None:
        """What was read since is not counted."""
        self._store.hits, self._store.misses = hits, misses
