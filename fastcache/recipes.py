"""What every kind of cache offers beside its entries, built on its public face alone; loaded when it is first used."""

from __future__ import annotations

from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any, TypeAlias

    from fastcache.check import CheckResult
    from fastcache.engine.mapping import StoreMapping as _Mapping
    from fastcache.locks import Averager, BoundedSemaphore, Lock, RLock

    _Seconds: TypeAlias = float | timedelta | None
    _Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
else:
    _Mapping = object

__all__ = ["CacheRecipes", "Recipes"]


class Recipes(_Mapping):
    """For an Index as well as a Cache."""

    __slots__ = ()

    def check(self, fix: bool = False) -> CheckResult:
        """Look for damage, and with ``fix`` repair it; see fastcache.check.check."""
        found: CheckResult = load("fastcache.check").check_all(self.stores, fix=fix)
        return found

    def lock(self, name: Any, expire: _Seconds = None) -> Lock:
        """A lock across threads and processes; see fastcache.Lock."""
        lock: Lock = load("fastcache.locks").Lock(self, name, expire)
        return lock

    def rlock(self, name: Any, expire: _Seconds = None) -> RLock:
        """A lock that the thread which holds it may acquire again; see fastcache.RLock."""
        lock: RLock = load("fastcache.locks").RLock(self, name, expire)
        return lock

    def bounded_semaphore(self, name: Any, value: int = 1, *, expire: _Seconds = None) -> BoundedSemaphore:
        """A lock with several slots; see fastcache.BoundedSemaphore."""
        semaphore: BoundedSemaphore = load("fastcache.locks").BoundedSemaphore(self, name, value, expire)
        return semaphore

    def barrier(
        self, lock_type: Callable[..., Any] | None = None, *, name: Any = None, expire: _Seconds = None
    ) -> _Decorator:
        """A decorator: of all calls, in all processes, one runs at a time; see fastcache.barrier."""
        locks = load("fastcache.locks")
        decorator: _Decorator = locks.barrier(self, lock_type or locks.Lock, name=name, expire=expire)
        return decorator

    def throttle(self, count: int, seconds: float, *, name: Any = None) -> _Decorator:
        """A decorator: calls wait so that all processes together keep to a rate; see fastcache.throttle."""
        decorator: _Decorator = load("fastcache.locks").throttle(self, count, seconds, name=name)
        return decorator

    def averager(self, key: Any) -> Averager:
        """The average of numbers that any process adds, kept under the key; see fastcache.Averager."""
        averager: Averager = load("fastcache.locks").Averager(self, key)
        return averager

    def close(self) -> None:
        """Close the cache; what was stored stays. May be called again. Every other use then raises ClosedError.

        The locks that are held through this object are free once no other one of the process has the directory open.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
            StorageError, FullError, Timeout: what ``write_behind`` has put off could not be written. It waits on, and
                the cache stays open.
        """
        super().close()
        # Where locks.py keeps them.
        records = vars(self).pop("_lock_records", None)
        if records is not None:
            records.leave()


class CacheRecipes(Recipes):
    """What knows of expiry and tags."""

    __slots__ = ()
