"""Locks across threads and processes: Lock, RLock and BoundedSemaphore.

Who holds and who waits stands in the records (records.py). What is always true, and who keeps it so:

- **A hold belongs to the thread that acquired it**, by a number of the thread that is never used again. A forked child
  has new ones, and nothing that its parent holds. What is released or prolonged is that token, and nothing else. What
  was acquired through a cache is free when that is closed or collected.
- **A notification is a hint**: waiters look now and then all the same, the first of them often, and take over from the
  dead.

Waiting inside ``cache.transact()`` is allowed, since the records are in another database. But if whoever holds the lock
has to write into that cache before it lets go, both wait for each other, until ``timeout``.
"""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import cast

from fastcache.errors import CacheError, ClosedError
from fastcache.sync.holds import Handle
from fastcache.sync.records import (
    LOCK,
    RLOCK,
    SEMAPHORE,
    Holder,
    Record,
    Waiter,
    bit_of,
    deadline_after,
    encode,
    holds_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType
    from typing import Any, TypeAlias

    from fastcache.engine.mapping import StoreMapping
    from fastcache.engine.shm.eventcount import EventCount
    from fastcache.sync.holds import Holds
    from fastcache.sync.records import Records

    _Seconds: TypeAlias = float | timedelta | None

__all__ = ["BoundedSemaphore", "Lock", "RLock", "check_positive", "seconds_of"]

# How long the first waiter sleeps between two looks at whether the holder lives, in seconds; the second twice as long,
# and so on, up to the longest: they have others before them.
_PERIOD = 0.025
_LONGEST_PERIOD = 0.2
# What expires later than that does not, in seconds: a hundred thousand years.
_LONGEST_EXPIRE = 4e12


def seconds_of(expire: _Seconds) -> float | None:
    """An expiry in seconds."""
    if expire is None:
        return None
    if isinstance(expire, timedelta):
        expire = expire.total_seconds()
    if not isinstance(expire, (int, float)) or isinstance(expire, bool):
        raise TypeError(f"expire is a number of seconds, a timedelta or None, not {type(expire).__name__}")
    if not expire > 0:
        raise ValueError(f"expire={expire!r}: a lock expires after more than 0 seconds; None is for never")
    return None if expire > _LONGEST_EXPIRE else float(expire)


def check_patience(timeout: float | None) -> float | None:
    """A number of seconds to wait, or None for however long it takes."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout={timeout!r} is no time to wait; None is for however long it takes")
    return timeout


def check_positive(name: str, number: float, kind: type | tuple[type, ...]) -> None:
    """Refuse what is no positive number of this kind."""
    if not isinstance(number, kind):
        raise TypeError(f"{name} is a number, not {type(number).__name__}")
    if not (0 < number < 1 << 62):
        raise ValueError(f"{name}={number!r} must be more than 0")


class _Handle(Handle):
    """What Lock, RLock and BoundedSemaphore share: how a token comes into the records, and out of them."""

    _kind = LOCK
    _reentrant = False
    _value = 1

    def __init__(
        self, cache: StoreMapping, name: Any, expire: _Seconds = None, *, timeout: float | None = None
    ) -> None:
        self._begin(cache, (self._kind, name), seconds_of(expire), check_patience(timeout), self._reentrant)

    @property
    def name(self) -> Any:
        """What it was made with; locks of one name exclude each other."""
        return self._key[1]

    @property
    def expire(self) -> float | None:
        """After how many seconds (float) it is free even if it was not released; None for never."""
        return self._expire

    @property
    def timeout(self) -> float | None:
        """For how many seconds (float) who acquires it waits, unless told otherwise; None for however long it takes."""
        return self._timeout

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), (self._cache, self.name, self._expire), self._timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._cache!r}, {self.name!r}{self._options()})"

    def _options(self) -> str:
        """How it was made, beside the cache and the name."""
        options = {"expire": self._expire, "timeout": self._timeout}
        return "".join(f", {name}={option:g}" for name, option in options.items() if option is not None)

    def extend(self, expire: _Seconds | EllipsisType = ...) -> bool:
        """Keep what this thread has acquired for longer.

        Args:
            expire: for how many seconds (int, float, timedelta) from now; None for until it is released. By default
                as long as it is acquired for.

        Returns:
            Whether it was still ours, which it is until another one has got it, even if it has expired.

        Raises:
            LockError: this thread has not acquired it.
        """
        seconds = self._expire if isinstance(expire, type(...)) else seconds_of(expire)
        token = self._current().token
        return self._prolong(self._open(), token, seconds)

    def locked(self) -> bool:
        """Whether it cannot be had now (bool): all who may hold it do."""
        records = self._open().records
        return not records.has_room(records.read(self._key), monotonic())

    # what holds.pyx calls

    def _open(self) -> Holds:
        """What is held through our cache."""
        return holds_of(self._cache)

    def _take(self, holds: Holds, token: int, blocking: bool, until: float) -> bool:
        """Have it at once, or join the queue, if blocking; returns whether we have it."""
        records: Records = holds.records
        key, capacity, expire = self._key, self._value, self._expire
        busy_until = self._patience(until if blocking else math.inf)

        def add() -> bool:
            holder = Holder(token, expire, deadline_after(expire, monotonic()))
            return records.index.add(key, encode(Record(capacity, [holder], [])))

        # Atomic, and half the work, where nobody has it.
        if records.write(add, busy_until):
            return True

        def work(record: Record, now: float) -> tuple[bool, int]:
            if record.capacity != capacity:
                records.drop_the_gone(record, now)
                if record.holders or record.queue:
                    raise ValueError(f"the semaphore is in use with value={record.capacity}, not value={capacity}")
                record.capacity = capacity
            handed = record.holder(token)
            if handed is not None:
                handed.deadline = deadline_after(expire, now)
            elif record.position(token) < 0:
                record.queue.append(Waiter(token, expire))
            bits = records.settle(record, now, token)
            taken = record.holder(token) is not None
            if not taken and not blocking:
                record.remove(token)
            return taken, bits

        return records.change(key, work, busy_until)

    def _wait(self, holds: Holds, token: int, until: float) -> bool:
        """Sleep in the queue until it is ours; returns whether it is."""
        event_count = cast("EventCount", holds.records.event_count)
        while True:
            # In this order: what changes after the look is notified after the count was read.
            seen = event_count.read()
            taken, period = self._look(holds, token, until)
            if taken is not None:
                return taken
            event_count.wait(seen, period, bit_of(token))

    def _look(self, holds: Holds, token: int, until: float) -> tuple[bool | None, float]:
        """Whether it is ours by now, or will not be; None with the seconds after which to look again, if nobody
        notifies us before."""
        records: Records = holds.records
        key = self._key
        while True:
            if holds.closed:
                raise ClosedError(
                    f"the cache in {self._cache.directory!r} was closed while a lock of it was waited for"
                )
            record = records.read(key)
            now = monotonic()
            holder = record.holder(token)
            if holder is not None and not holder.has_expired(now):
                return True, 0.0
            if now >= until:
                # It may have been handed to us in this very moment.
                return records.change(key, self._last_look(token), now), 0.0
            position = record.position(token)
            if position < 0:
                # We have slept for longer than what was handed to us lasts, or the records were cleared.
                if self._take(holds, token, True, until):
                    return True, 0.0
            elif records.may_take_over(record, position, now):
                records.change(key, lambda record, now: (None, records.settle(record, now)), self._patience(until))
            else:
                period = min(_PERIOD * (1 + position), _LONGEST_PERIOD)
                if position == 0:
                    deadlines = [holder.deadline for holder in record.holders if holder.deadline is not None]
                    period = min([period, *(max(deadline - now, 0.0) for deadline in deadlines)])
                return None, min(period, until - now)

    def _withdraw(self, holds: Holds, token: int) -> None:
        """Not to be there any more, neither as a waiter nor, handed over in the last moment, as a holder."""
        records: Records = holds.records

        def work(record: Record, now: float) -> tuple[None, int]:
            record.remove(token)
            return None, records.settle(record, now)

        with suppress(CacheError):
            record = records.read(self._key)
            if record.holder(token) is not None or record.position(token) >= 0:
                records.change(self._key, work, monotonic())

    def _pass_on(self, holds: Holds, token: int) -> bool:
        """Remove a holder, and hand what is free to who has waited longest; returns whether it was one."""
        records: Records = holds.records

        def work(record: Record, now: float) -> tuple[bool, int]:
            return record.remove(token), records.settle(record, now)

        return records.change(self._key, work, self._patience())

    def _is_held(self, holds: Holds, token: int) -> bool:
        """Whether it is still ours."""
        records: Records = holds.records
        return records.read(self._key).holder(token) is not None

    def _prolong(self, holds: Holds, token: int, seconds: float | None) -> bool:
        def work(record: Record, now: float) -> tuple[bool, int]:
            holder = record.holder(token)
            if holder is not None:
                holder.expire, holder.deadline = seconds, deadline_after(seconds, now)
            return holder is not None, 0

        records: Records = holds.records
        return records.change(self._key, work, self._patience())

    @staticmethod
    def _last_look(token: int) -> Callable[[Record, float], tuple[bool, int]]:
        def work(record: Record, now: float) -> tuple[bool, int]:
            holder = record.holder(token)
            if holder is not None:
                holder.deadline = deadline_after(holder.expire, now)
            else:
                record.remove(token)
            return holder is not None, 0

        return work

    def _patience(self, until: float = math.inf) -> float:
        """Until when to wait for who writes records."""
        return min(until, monotonic() + self._cache.timeout)


class Lock(_Handle):
    """A lock that one thread of one process holds at a time, first come, first served.

    Threads may share the object, and processes may each make their own: what counts are the cache's directory and the
    name. It is not re-entrant. When the holder's process dies, the lock is free at once; also when the cache is closed,
    or nobody has this object any more.

    Args:
        cache: any cache of this package.
        name: any key that a cache takes. Entries, and locks of other kinds, do not mind.
        expire: after how many seconds (int, float, timedelta) it is free even if it was not released; None for never.
        timeout: for how many seconds (int, float) who acquires it waits. A ``with`` block that has waited for so long
            raises Timeout, and ``acquire`` returns False. None for however long it takes.

    >>> with Cache() as cache:
    ...     with Lock(cache, "report", expire=60) as lock:
    ...         lock.locked(), Lock(cache, "report").acquire(timeout=0.01)
    ...     lock.locked()
    (True, False)
    False
    """


class RLock(_Handle):
    """A lock that the thread which holds it may acquire again, through any RLock of the name.

    It is free when it was released as often as acquired, or when the caches were closed through which it was acquired.
    Acquiring it again prolongs it to ``expire`` from then; it never makes it shorter. Args: as of Lock.

    >>> with Cache() as cache, RLock(cache, "report"):
    ...     with cache.rlock("report") as lock:
    ...         pass
    ...     lock.locked()
    True
    """

    _kind = RLOCK
    _reentrant = True

    def _renew(self, holds: Holds, token: int) -> bool:
        """Have what we hold for no less long than if we acquired it now; returns whether we still hold it."""
        records: Records = holds.records
        holder = records.read(self._key).holder(token)
        if holder is None or holder.deadline is None:
            return holder is not None
        if self._expire is not None and monotonic() + self._expire <= holder.deadline:
            return True
        return self._prolong(holds, token, self._expire)


class BoundedSemaphore(_Handle):
    """A lock with several slots; who acquires has one of them, and cannot release more than it has.

    Args:
        cache, name: as of Lock.
        value: how many slots there are (int). All who use it at a time must agree.
        expire: as of Lock; each slot expires by itself.
        timeout: as of Lock.

    Raises:
        ValueError: (by ``acquire``) it is in use with another ``value``.

    >>> with Cache() as cache:
    ...     slots = BoundedSemaphore(cache, "downloads", value=2)
    ...     slots.acquire(), slots.acquire(), slots.acquire(blocking=False)
    ...     slots.release(), slots.release()
    (True, True, False)
    (True, True)
    """

    _kind = SEMAPHORE

    def __init__(
        self, cache: StoreMapping, name: Any, value: int = 1, expire: _Seconds = None, *, timeout: float | None = None
    ) -> None:
        super().__init__(cache, name, expire, timeout=timeout)
        check_positive("value", value, int)
        self._value = int(value)

    @property
    def value(self) -> int:
        """How many slots there are (int)."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), (self._cache, self.name, self._value, self._expire), self._timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._cache!r}, {self.name!r}, value={self._value}{self._options()})"


def _again(kind: Any, arguments: tuple[Any, ...], timeout: float | None) -> _Handle:
    """The same, of what was pickled."""
    handle: _Handle = kind(*arguments, timeout=timeout)
    return handle
