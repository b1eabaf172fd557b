"""What every kind of cache offers beside its entries, built on its public face alone; loaded when it is first used."""

from __future__ import annotations

from fastcache.engine.computing import find_again
from fastcache.engine.mapping import is_inside
from fastcache.errors import DirectoryGoneError
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

    from fastcache.averager import Averager
    from fastcache.check.check import CheckResult
    from fastcache.engine.mapping import StoreMapping as _Mapping
    from fastcache.memoize.decorators import Memoized, _Ignore
    from fastcache.sync.holds import Holds
    from fastcache.sync.locks import BoundedSemaphore, Lock, RLock
    from fastcache.sync.single_flight import SingleFlight

    _Seconds: TypeAlias = float | timedelta | None
    _Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
    _P = ParamSpec("_P")
    _R = TypeVar("_R")
    _Method = TypeVar("_Method", bound="classmethod[Any, ..., Any] | staticmethod[..., Any]")

    class _Memoize(Protocol):
        """What makes a memoized function of a function."""

        @overload
        def __call__(self, function: _Method, /) -> _Method: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...

    class _IndexMemoize(Protocol):
        """The same, with and without parentheses."""

        @overload
        def __call__(self, function: _Method, /) -> _Method: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(
            self,
            *,
            typed: bool = ...,
            name: str | None = ...,
            ignore: _Ignore = ...,
            version_aware: bool = ...,
            timeout: float | None = ...,
            copy: bool = ...,
        ) -> _Memoize: ...

    class _CacheMemoize(Protocol):
        """The same, with expiry and tags."""

        @overload
        def __call__(self, function: _Method, /) -> _Method: ...  # type: ignore[overload-overlap]
        @overload
        def __call__(self, function: Callable[_P, _R], /) -> Memoized[_P, _R]: ...
        @overload
        def __call__(
            self,
            *,
            expire: float | timedelta | None = ...,
            tag: Any = ...,
            typed: bool = ...,
            name: str | None = ...,
            ignore: _Ignore = ...,
            version_aware: bool = ...,
            timeout: float | None = ...,
            copy: bool = ...,
        ) -> _Memoize: ...

else:
    _Mapping = object


__all__ = ["CacheRecipes", "Recipes"]


class Recipes(_Mapping):
    """For an Index as well as a Cache."""

    __slots__ = ()

    # What threads have acquired through this object (sync/holds.pyx); sync/records.py sets it.
    _lock_holds: Holds | None = None
    # Who computes what is missing in its directory.
    _single_flight: SingleFlight | None = None

    def _compute_once(self, key: Any, compute: Callable[[], Any], timeout: float | None = None) -> Any:
        """The value of a key that was found absent: what ``compute`` returns after it has stored it, or another has."""
        single_flight = load("fastcache.sync.single_flight")
        patience = self.timeout if timeout is None else single_flight.check_timeout(timeout)
        flights = None
        try:
            # Else nobody stores here, or others cannot before this transaction ends.
            if not (self.read_only or is_inside(self, key)):
                flights = self._single_flight
                if flights is None:
                    flights = self._single_flight = single_flight.single_flight_of(self.store)
        except DirectoryGoneError:
            pass
        if flights is None:
            return compute()
        number = single_flight.number_of(key, self.serializer)
        return flights.run(number, lambda absent: find_again(self, key, absent), compute, patience)

    def check(self, fix: bool = False) -> CheckResult:
        """Look for damage, and with ``fix`` repair it; see fastcache.check.check.check."""
        found: CheckResult = load("fastcache.check.check").check_all(self.stores, fix=fix)
        return found

    def backup(self, path: str | os.PathLike[str], *, progress: Callable[[int, int], object] | None = None) -> None:
        """Copy the cache, as it is at one moment, to a directory that is a cache as well; others go on writing.

        Entries, tags, expiries and settings are copied, values in files by sharing their blocks where the file system
        can (Btrfs, XFS). What is in the journal is part of it. Of shards each is of a moment of its
        own. Locks begin free in the copy. Values that are signed can be read there with the same secret, which is the
        user's, and lies in no cache.

        Readers and writers go on meanwhile. Only where value files are replaced faster than they can be copied,
        writers wait in the end for those that have come since the attempt before. As long as the database is copied,
        the WAL grows with what others write.

        Args:
            path: where to; it must not exist, or be an empty directory.
            progress: called now and then with the bytes that are copied, and those that there are to copy (int, int).
                What it raises ends the backup.
        Raises:
            OpenError: there is something at ``path``, or it lies in the cache itself.
            StorageError, FullError: the file system has failed, or is full. There is no backup then, nor a part of one.
            TransactionError: inside ``transact``.

        >>> import os, tempfile
        >>> from fastcache import Cache
        >>> with tempfile.TemporaryDirectory() as folder, Cache() as cache:
        ...     cache["k"] = "v"
        ...     cache.backup(os.path.join(folder, "copy"))
        ...     with Cache(os.path.join(folder, "copy")) as copy:
        ...         copy["k"]
        'v'
        """
        load("fastcache.backup").back_up(self.stores, path, progress)

    def lock(self, name: Any, expire: _Seconds = None, *, timeout: float | None = None) -> Lock:
        """A lock across threads and processes; see fastcache.Lock."""
        lock: Lock = load("fastcache.sync.locks").Lock(self, name, expire, timeout=timeout)
        return lock

    def rlock(self, name: Any, expire: _Seconds = None, *, timeout: float | None = None) -> RLock:
        """A lock that the thread which holds it may acquire again; see fastcache.RLock."""
        lock: RLock = load("fastcache.sync.locks").RLock(self, name, expire, timeout=timeout)
        return lock

    def bounded_semaphore(
        self, name: Any, value: int = 1, *, expire: _Seconds = None, timeout: float | None = None
    ) -> BoundedSemaphore:
        """A lock with several slots; see fastcache.BoundedSemaphore."""
        make = load("fastcache.sync.locks").BoundedSemaphore
        semaphore: BoundedSemaphore = make(self, name, value, expire, timeout=timeout)
        return semaphore

    def barrier(
        self,
        lock_type: Callable[..., Any] | None = None,
        *,
        name: Any = None,
        expire: _Seconds = None,
        timeout: float | None = None,
    ) -> _Decorator:
        """A decorator: of all calls, in all processes, one runs at a time; see fastcache.barrier."""
        if lock_type is None:
            lock_type = load("fastcache.sync.locks").Lock
        decorate = load("fastcache.sync.throttle").barrier
        decorator: _Decorator = decorate(self, lock_type, name=name, expire=expire, timeout=timeout)
        return decorator

    def throttle(self, count: int, seconds: float, *, name: Any = None, timeout: float | None = None) -> _Decorator:
        """A decorator: calls wait so that all processes together keep to a rate; see fastcache.throttle."""
        decorate = load("fastcache.sync.throttle").throttle
        decorator: _Decorator = decorate(self, count, seconds, name=name, timeout=timeout)
        return decorator

    def averager(self, key: Any) -> Averager:
        """The average of numbers that any process adds, kept under the key; see fastcache.Averager."""
        averager: Averager = load("fastcache.averager").Averager(self, key)
        return averager

    def close(self) -> None:
        """Close the cache; what was stored stays. May be called again. Every other use then raises ClosedError.

        The locks that are held through this object are free from then on, and who waits for them gets them at once.
        Leaving the block of one is no error afterwards; ``release`` is.

        Raises:
            TransactionError: this thread is inside a transaction.
            Timeout: another thread is inside one, for longer than ``timeout``.
        """
        try:
            super().close()
        finally:
            # Nothing is called before them, so that no interrupt can come in between.
            if self._lock_holds is not None and self.stores.closed:
                self._lock_holds.close()
        if self._lock_holds is not None:
            self._lock_holds.records.leave()

    if TYPE_CHECKING:
        memoize: _IndexMemoize
    else:

        def memoize(
            self,
            function: Any = None,
            /,
            *,
            typed: bool = False,
            name: str | None = None,
            ignore: _Ignore = (),
            version_aware: bool = False,
            timeout: float | None = None,
            copy: bool = True,
        ) -> Any:
            """Decorate a function, so that its results are kept here; see Cache.memoize, which has ``expire`` and
            ``tag``, too.

            >>> from fastcache import Index
            >>> with Index() as index:
            ...     @index.memoize
            ...     def square(number):
            ...         return number * number
            ...     square(7), square(7), square.cache_info()
            (49, 49, CacheInfo(hits=1, misses=1))
            """
            how = {
                "typed": typed,
                "name": name,
                "ignore": ignore,
                "version_aware": version_aware,
                "timeout": timeout,
                "copy": copy,
            }
            return _decorated("memoize", self, function, how)


class CacheRecipes(Recipes):
    """What knows of expiry and tags."""

    __slots__ = ()

    if TYPE_CHECKING:
        memoize: _CacheMemoize
    else:

        def memoize(
            self,
            function: Any = None,
            /,
            *,
            expire: float | timedelta | None = None,
            tag: Any = None,
            typed: bool = False,
            name: str | None = None,
            ignore: _Ignore = (),
            version_aware: bool = False,
            timeout: float | None = None,
            copy: bool = True,
        ) -> Any:
            """Decorate a function, so that its results are kept in the cache, for all processes and the next run.

            For functions, methods, class and static methods (above or below their decorator), and ``async def``; also
            without parentheses. Of all who miss the same call at the same time, one computes; the others wait for it,
            for ``timeout`` seconds at most, so that this should be longer than it takes, and then compute, too; see
            ``get_or_set``. What it raises is not kept, and all who have waited for it compute at once,
            side by side. None is kept.

            One call is the same whether arguments are given by place or by name, and whether defaults are given.
            Arguments that are str, bytes, int, float, bool, None, or tuples and frozensets of these are compared as
            they are; of all others their contents are, by a hash: lists, dicts, sets, dataclasses, arrays, frames, and
            whatever else pickle could rebuild. ``self`` counts like any other, by its contents: ``ignore=("self",)``
            lets it not count.

            Args:
                expire: seconds (int, float) or a timedelta after which a result is computed again; None for never.
                tag: of all results, for ``evict_tag``.
                typed: tell 1, 1.0 and True apart.
                name: the function's name in the keys (str); its module and qualified name by default. Of a script the
                    path stands for the module; in a notebook, or where else there is no file, the code does. Results
                    stay with the name, so a function that has moved keeps them under its former name "module:qualname".
                ignore: names (str) and positions (int) of parameters that do not count; also names in ``**kwargs``.
                version_aware: begin afresh when the code of the function changes, or that of functions and classes that
                    it refers to: of its module, and of others that are neither installed nor of the standard library;
                    also while the program runs (in a notebook, or after a reload). That is bytecode: another version of
                    Python begins afresh, too.
                timeout: for how many seconds (int, float) to wait for another one that computes the same call; None for
                    the cache's ``timeout``.
                copy: whether arrays in results may be written to, as in ``get``; the first time, too.
            Returns:
                What is called like the function, with ``cache_key(...)``, the key of a call; ``invalidate(...)``, which
                removes one result and returns whether it was there (bool); ``cache_clear()``, which looks at all keys,
                removes all results and returns how many (int); ``cache_info()``, the hits and misses of this process;
                ``explain(...)``, why a call is answered from the cache, or is not; and ``__wrapped__``.
            Raises:
                TypeError: what is decorated is no function, or has no name that tells who it is. In a call: an argument
                    has no content (a lock, a file, a lambda), or the function cannot be called like that.
                ValueError: there is no such parameter to ignore.

            >>> from fastcache import Cache
            >>> with Cache() as cache:
            ...     @cache.memoize(expire=3600, tag="power")
            ...     def power(base, exponent=2):
            ...         return base**exponent
            ...     power(3), power(base=3, exponent=2), power.cache_info()
            ...     cache[power.cache_key(3)], power.invalidate(3), power.cache_clear()
            (9, 9, CacheInfo(hits=1, misses=1))
            (9, True, 0)
            """
            how = {
                "typed": typed,
                "name": name,
                "ignore": ignore,
                "version_aware": version_aware,
                "timeout": timeout,
                "copy": copy,
            }
            return _decorated("memoize", self, function, how | {"expire": expire, "tag": tag})

    def memoize_stampede(
        self,
        expire: float | timedelta,
        beta: float = 1.0,
        *,
        tag: Any = None,
        typed: bool = False,
        name: str | None = None,
        ignore: _Ignore = (),
        version_aware: bool = False,
        timeout: float | None = None,
        copy: bool = True,
    ) -> _Memoize:
        """Decorate a function as ``memoize`` does, and renew results in the background shortly before they expire.

        So nobody has to wait for a result that is asked for often enough. A call may find that it is time to renew: it
        gets the old result, while a thread (for an ``async def`` a task) computes the next one, one for each key at a
        time in all processes. How likely that is grows towards the expiry, and with the time that the computation has
        taken (Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015). A
        renewal that fails is logged. Under ``cache_key`` lies a tuple: the result, how long it took in seconds, and
        when it expires.

        Args:
            expire: seconds (int, float) or a timedelta after which a result is not returned any more.
            beta: more than 1 renews earlier, less later (float); 0 not before it has expired.
            tag, typed, name, ignore, version_aware, timeout, copy: as in ``memoize``.
        Raises:
            ValueError: expire is not positive, or beta is negative.

        >>> from fastcache import Cache
        >>> with Cache() as cache:
        ...     @cache.memoize_stampede(expire=60)
        ...     def report(day):
        ...         return f"all about {day}"
        ...     report("Monday"), report("Monday")
        ('all about Monday', 'all about Monday')
        """
        how = {
            "typed": typed,
            "name": name,
            "ignore": ignore,
            "version_aware": version_aware,
            "timeout": timeout,
            "copy": copy,
        }
        decorate: _Memoize = _decorated(
            "memoize_stampede", self, None, how | {"expire": expire, "beta": beta, "tag": tag}
        )
        return decorate


def _decorated(kind: str, cache: Recipes, function: Any, how: dict[str, Any]) -> Any:
    """What is made of a function; without one, what makes it."""
    decorate = getattr(load("fastcache.memoize.decorators"), kind)
    if function is None:
        return lambda function: decorate(cache, function, **how)
    return decorate(cache, function, **how)
