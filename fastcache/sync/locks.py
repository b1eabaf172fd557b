"""Locks across threads and processes, and what is built like them: semaphores, barriers, throttles, averages.

The state is an index of its own in ``<directory of the cache>/locks``: it is never evicted, counts as no entry, and who
waits for a lock does not wait for who writes entries. Under each name stands one small record: how many may hold it,
who does, until when, and who waits, in the order of their coming. What is always true, and who keeps it so:

- **Never more holders than allowed.** A record changes in a transaction of the index alone. Holders are added where
  there is room, and taken away if they have released, have expired, or are known to be dead.
- **Every acquisition has a number that no other ever has**, its token, and keeps that byte locked (byte_locks.pyx) for
  as long as it waits or holds. The system unlocks the bytes of the dead. So anybody can see at once that a holder or a
  waiter is gone, however it went; who gives up waiting, or is interrupted, unlocks its byte, and is gone, too, even if
  it cannot write that down. A byte lock outlives its thread, but not its process.
- **First come, first served.** Who cannot have it at once joins the queue in the same transaction. Whoever makes room
  hands the lock to the first waiter that lives, in one transaction, and notifies that one (eventcount.pyx). A
  notification is a hint: waiters look now and then all the same, the first of them often, and take over from the dead.
- **A hold belongs to the thread that acquired it**, by a number of the thread that is never used again. A forked child
  has new ones, and nothing that its parent holds. What is released or prolonged is that token, and nothing else. What
  was acquired through a cache is free when that is closed or collected.
- **An interrupt leaves nothing half done**: locking the byte of a token, noting it, and unlocking it is compiled
  (holds.pyx). What is here may be interrupted anywhere: a record whose token nobody has locked holds nobody up.
- **Time is the system's monotonic clock**, which is the same for all processes, and which nobody sets. It begins anew
  when the machine does: a deadline that lies further ahead than its own ``expire`` is of another life of the machine,
  and has passed.

A record that is damaged is no record: whoever could write it could have deleted it.

Where there is no fcntl (Windows) nobody is known to be dead, and what the dead hold without ``expire`` stays held.

Waiting inside ``cache.transact()`` is allowed, since the index is another database. But if whoever holds the lock has
to write into that cache before it lets go, both wait for each other, until ``timeout``.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import os
import time
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Annotated, TypeVar, cast
from weakref import ref

import msgspec

from fastcache.engine.mapping import IndexMapping
from fastcache.engine.shm.byte_locks import NUMBERS, byte_locks_of
from fastcache.engine.shm.eventcount import EventCount
from fastcache.errors import CacheError, ClosedError, DecodeError, Timeout, UntrustedValueError
from fastcache.runtime import fork
from fastcache.sync.holds import FIRST_TOKEN, Handle, Holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import EllipsisType
    from typing import Any, Protocol, TypeAlias

    from fastcache.engine.mapping import StoreMapping
    from fastcache.engine.shm.byte_locks import ByteLocks
    from fastcache.sync.holds import Hold

    class _Holding(Protocol):
        """A cache, which keeps what is held through it; its ``close`` looks there, too (recipes.py)."""

        _lock_holds: Holds | None

    _Seconds: TypeAlias = float | timedelta | None
    _Key: TypeAlias = tuple[str, Any]
    _Work: TypeAlias = Callable[["_Record", float], tuple["_Result", int]]

__all__ = ["Averager", "BoundedSemaphore", "Lock", "RLock", "barrier", "throttle"]

_Result = TypeVar("_Result")
_Function = TypeVar("_Function", bound="Callable[..., Any]")

# How long the first waiter sleeps between two looks at whether the holder lives, in seconds; the second twice as long,
# and so on, up to the longest: they have others before them.
_PERIOD = 0.025
_LONGEST_PERIOD = 0.2
# For how long the index waits for another writer before whoever asked looks at its own deadline, in seconds.
_SLICE = 0.02
_MEMORY = 1024 * 1024
# Records that are looked at when the index is opened, for leftovers of the dead.
_SWEPT = 1000
# What expires later than that does not, in seconds: a hundred thousand years.
_LONGEST_EXPIRE = 4e12
# A throttle that promises to start more calls than this in the future has been damaged.
_MOST_RESERVED = 1_000_000


# -- records ---------------------------------------------------------------------------------------------------------

_Token = Annotated[int, msgspec.Meta(ge=FIRST_TOKEN, lt=NUMBERS)]


class _Waiter(msgspec.Struct, array_like=True):
    token: _Token
    expire: float | None


class _Holder(msgspec.Struct, array_like=True):
    token: _Token
    expire: float | None
    deadline: float | None

    def has_expired(self, now: float) -> bool:
        if self.deadline is None:
            return False
        # So that what is no number has passed.
        return not (self.expire is not None and now < self.deadline <= now + self.expire)


class _Record(msgspec.Struct, array_like=True):
    capacity: Annotated[int, msgspec.Meta(ge=1)]
    holders: list[_Holder]
    queue: list[_Waiter]

    def holder(self, token: int) -> _Holder | None:
        for holder in self.holders:
            if holder.token == token:
                return holder
        return None

    def position(self, token: int) -> int:
        """The place in the queue; -1 for none."""
        for position, waiter in enumerate(self.queue):
            if waiter.token == token:
                return position
        return -1

    def remove(self, token: int) -> bool:
        """Have nothing of this token any more; returns whether it was a holder."""
        held = len(self.holders)
        self.holders = [holder for holder in self.holders if holder.token != token]
        self.queue = [waiter for waiter in self.queue if waiter.token != token]
        return len(self.holders) < held


class _Bucket(msgspec.Struct, array_like=True):
    """The tokens of a throttle: when this was written, and when the bucket is full again."""

    written: float
    full: float


_encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(_Record).decode
_decode_bucket = msgspec.msgpack.Decoder(_Bucket).decode


def _deadline(expire: float | None, now: float) -> float | None:
    return None if expire is None else now + expire


def _bit(token: int) -> int:
    """The bit of the event count that wakes this one, as a mask."""
    return 1 << token % 32


class _Records:
    """All records of one directory, as this process sees them: one object, however many caches are open there."""

    # So that they can be asked for before the records are open.
    event_count: EventCount | None = None
    index: IndexMapping

    def __init__(self, folder: str, byte_locks: ByteLocks) -> None:
        self.folder = folder
        self.byte_locks = byte_locks
        self.is_open = False
        # Of the caches that use them.
        self.users: list[ref[Holds]] = []
        # By thread: what it has acquired of RLocks, the last one last (holds.pyx).
        self.reentrant: dict[int, list[Hold]] = {}

    def open(self, serializer: Any, until: float) -> None:
        # Two threads may come here at once. No lock: opening waits for others, and a fork would have to wait for that.
        vars(self).setdefault("event_count", EventCount(os.path.join(self.folder, "bell")))
        opened = self.write(lambda: self.open_index(serializer), until)
        if vars(self).setdefault("index", opened) is not opened:
            opened.close()
        self.is_open = True
        # What cannot be read there harms nobody.
        with suppress(CacheError):
            self.sweep()

    def open_index(self, serializer: Any) -> IndexMapping:
        index = IndexMapping()
        index._open(self.folder, serializer=serializer, timeout=_SLICE, memory=_MEMORY, keeps_limit=False)
        return index

    def join(self) -> Holds:
        """What one cache more is going to hold."""
        holds = Holds(self)
        self.users = [user for user in self.users if self.is_used_by(user)] + [ref(holds)]
        return holds

    @staticmethod
    def is_used_by(user: ref[Holds]) -> bool:
        """Whether a cache is there, and open."""
        holds = user()
        return holds is not None and not holds.closed

    def leave(self) -> None:
        """Called by each cache that was closed. With the last one, the records are."""
        with fork.guard:
            if any(map(self.is_used_by, self.users)):
                return
            _opened.pop(id(self.byte_locks), None)
        if self.is_open:
            # If a thread is inside of it for longer than that, it is closed when it is collected.
            with suppress(Timeout):
                self.write(self.index.close, monotonic() + _LONGEST_PERIOD)

    def notify(self, bits: int) -> None:
        """Wake who waits with these bits."""
        if bits and self.event_count is not None:
            self.event_count.notify(bits)

    def after_fork_in_child(self) -> None:
        """What its parent holds is the parent's."""
        self.reentrant.clear()
        for user in self.users:
            holds = user()
            if holds is not None:
                holds.after_fork_in_child()

    # tokens

    def is_dead(self, token: int) -> bool:
        return not self.byte_locks.is_locked(token)

    # records

    def stored(self, key: _Key) -> object:
        try:
            return self.index.get(key)
        except (DecodeError, UntrustedValueError):
            return False

    def decode(self, key: _Key, stored: object) -> _Record:
        """The record that these bytes are; an empty one if they are none."""
        record = None
        if isinstance(stored, bytes):
            with suppress(msgspec.MsgspecError):
                record = _decode_record(stored)
        if record is None:
            record = _Record(1, [], [])
        elif key[0] != _SEMAPHORE:
            record.capacity = 1
        return record

    def read(self, key: _Key) -> _Record:
        return self.decode(key, self.stored(key))

    def write(self, work: Callable[[], _Result], until: float) -> _Result:
        """Carry out what writes, with patience for other writers until then.

        Raises:
            Timeout: nothing was written.
        """
        while True:
            try:
                return work()
            except Timeout as error:
                if monotonic() >= until:
                    raise Timeout(f"another process kept the locks in {self.folder!r} from being changed") from error

    def change(self, key: _Key, work: _Work[_Result], until: float) -> _Result:
        """Change a record in a transaction: ``work(record, now)`` returns its result, and the bits of whom to wake."""

        def run() -> tuple[_Result, int]:
            with self.index.transact():
                stored = self.stored(key)
                record = self.decode(key, stored)
                done = work(record, monotonic())
                if record.holders or record.queue:
                    fresh = _encode(record)
                    if fresh != stored:
                        self.index[key] = fresh
                elif stored is not None:
                    self.index.delete(key)
                return done

        result, bits = self.write(run, until)
        self.notify(bits)
        return result

    def has_room(self, record: _Record, now: float) -> bool:
        """Whether there is room for one more; makes some by removing a holder that is dead, or expired the longest."""
        while len(record.holders) >= record.capacity:
            gone = next((holder for holder in record.holders if self.is_dead(holder.token)), None)
            if gone is None:
                expired = [holder for holder in record.holders if holder.has_expired(now)]
                if not expired:
                    return False
                gone = min(expired, key=lambda holder: holder.deadline or 0.0)
            record.holders.remove(gone)
        return True

    def settle(self, record: _Record, now: float, mine: int = 0) -> int:
        """Hand what is free to the first waiters that live; returns the bits of those, but for one's own token."""
        bits = 0
        while record.queue and self.has_room(record, now):
            waiter = record.queue.pop(0)
            if waiter.token == mine or not self.is_dead(waiter.token):
                record.holders.append(_Holder(waiter.token, waiter.expire, _deadline(waiter.expire, now)))
                if waiter.token != mine:
                    bits |= _bit(waiter.token)
        return bits

    def drop_the_gone(self, record: _Record, now: float) -> None:
        """Forget who is dead, or has expired."""
        record.holders = [
            holder for holder in record.holders if not (holder.has_expired(now) or self.is_dead(holder.token))
        ]
        record.queue = [waiter for waiter in record.queue if not self.is_dead(waiter.token)]

    def may_take_over(self, record: _Record, position: int, now: float) -> bool:
        """Whether all before this place in the queue are dead, and there is room."""
        return all(self.is_dead(waiter.token) for waiter in record.queue[:position]) and self.has_room(record, now)

    def sweep(self) -> None:
        """Remove what the dead have left behind under names that nobody uses any more, of the oldest records."""
        now = until = monotonic()
        for key in list(itertools.islice(self.index, _SWEPT)):
            if not isinstance(key, tuple) or len(key) != 2:
                continue
            if key[0] == _THROTTLE:
                self.write(functools.partial(self._sweep_bucket, key), until)
            else:
                record = self.read(key)
                self.drop_the_gone(record, now)
                if not (record.holders or record.queue):
                    self.change(key, self._sweep_record, until)

    def _sweep_record(self, record: _Record, now: float) -> tuple[None, int]:
        self.drop_the_gone(record, now)
        return None, 0

    def _sweep_bucket(self, key: _Key) -> None:
        with self.index.transact():
            bucket = self.bucket(key)
            if bucket is None or bucket.full <= monotonic():
                self.index.delete(key)

    # throttles

    def bucket(self, key: _Key) -> _Bucket | None:
        stored = self.stored(key)
        if isinstance(stored, bytes):
            with suppress(msgspec.MsgspecError):
                return _decode_bucket(stored)
        return None

    def reserve(self, key: _Key, count: int, seconds: float, until: float) -> float:
        """Take a token of a bucket; returns when it may be used, on the monotonic clock.

        A bucket is known by when it will be full again: what is missing comes back one by one, evenly.
        (Turner's leaky bucket as a meter, or ATM's virtual scheduling algorithm: ITU-T I.371, annex A.)
        """
        interval = seconds / count

        def run() -> float:
            with self.index.transact():
                now = monotonic()
                bucket = self.bucket(key)
                full = now
                # What was written later than now is of another life of the machine.
                if bucket is not None and bucket.written <= now < bucket.full <= now + _MOST_RESERVED * interval:
                    full = bucket.full
                start = max(now, full + interval - seconds)
                self.index[key] = _encode(_Bucket(now, full + interval))
                return start

        return self.write(run, until)


# By the identity of the byte locks, which live as long. Plain, because looking it up cannot be interrupted.
_opened: dict[int, ref[_Records]] = {}


def _holds_of(cache: StoreMapping) -> Holds:
    """What is held through a cache, whose records are opened when it first asks for them.

    Raises:
        ClosedError: the cache is closed.
        StorageError: the folder ``locks`` in its directory, or a file in it, cannot be made.
    """
    cache.__enter__()
    holder = cast("_Holding", cache)
    holds = holder._lock_holds
    if holds is None:
        byte_locks = byte_locks_of(cache.directory)
        with fork.guard:
            holds = holder._lock_holds = holder._lock_holds or _records_beside(byte_locks).join()
    if not holds.records.is_open:
        holds.records.open(cache.serializer, monotonic() + cache.timeout)
    return holds


def _records_beside(byte_locks: ByteLocks) -> _Records:
    """The records beside these byte locks: one object, for all caches."""
    for identity, reference in list(_opened.items()):
        if reference() is None:
            _opened.pop(identity, None)
    known = _opened.get(id(byte_locks))
    records = None if known is None else known()
    if records is None:
        records = _Records(os.path.dirname(byte_locks.path), byte_locks)
        _opened[id(byte_locks)] = ref(records)
    return records


def _after_fork_in_child() -> None:
    """What its parent holds is the parent's."""
    for reference in list(_opened.values()):
        records = reference()
        if records is not None:
            records.after_fork_in_child()


fork.LOCKS.in_child = _after_fork_in_child

_LOCK, _RLOCK, _SEMAPHORE, _THROTTLE = "lock", "rlock", "semaphore", "throttle"


# -- what people pass ------------------------------------------------------------------------------------------------


def _seconds(expire: _Seconds) -> float | None:
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


def _positive(name: str, number: float, kind: type | tuple[type, ...]) -> None:
    if not isinstance(number, kind):
        raise TypeError(f"{name} is a number, not {type(number).__name__}")
    if not (0 < number < 1 << 62):
        raise ValueError(f"{name}={number!r} must be more than 0")


# -- locks -----------------------------------------------------------------------------------------------------------


class _Handle(Handle):
    """What Lock, RLock and BoundedSemaphore share: how a token comes into the records, and out of them."""

    _kind = _LOCK
    _reentrant = False
    _value = 1

    def __init__(self, cache: StoreMapping, name: Any, expire: _Seconds = None) -> None:
        self._begin(cache, (self._kind, name), _seconds(expire), self._reentrant)

    @property
    def name(self) -> Any:
        """What it was made with; locks of one name exclude each other."""
        return self._key[1]

    @property
    def expire(self) -> float | None:
        """After how many seconds (float) it is free even if it was not released; None for never."""
        return self._expire

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cache, self.name, self._expire)

    def __repr__(self) -> str:
        options = "" if self._expire is None else f", expire={self._expire:g}"
        return f"{type(self).__name__}({self._cache!r}, {self.name!r}{options})"

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
        seconds = self._expire if isinstance(expire, type(...)) else _seconds(expire)
        token = self._current().token
        return self._prolong(self._open(), token, seconds)

    def locked(self) -> bool:
        """Whether it cannot be had now (bool): all who may hold it do."""
        records = self._open().records
        return not records.has_room(records.read(self._key), monotonic())

    # what engine/holds.pyx calls

    def _open(self) -> Holds:
        """What is held through our cache."""
        return _holds_of(self._cache)

    def _take(self, holds: Holds, token: int, blocking: bool, until: float) -> bool:
        """Have it at once, or join the queue, if blocking; returns whether we have it."""
        records: _Records = holds.records
        key, capacity, expire = self._key, self._value, self._expire
        busy_until = self._patience(until if blocking else math.inf)

        def add() -> bool:
            holder = _Holder(token, expire, _deadline(expire, monotonic()))
            return records.index.add(key, _encode(_Record(capacity, [holder], [])))

        # Atomic, and half the work, where nobody has it.
        if records.write(add, busy_until):
            return True

        def work(record: _Record, now: float) -> tuple[bool, int]:
            if record.capacity != capacity:
                records.drop_the_gone(record, now)
                if record.holders or record.queue:
                    raise ValueError(f"the semaphore is in use with value={record.capacity}, not value={capacity}")
                record.capacity = capacity
            handed = record.holder(token)
            if handed is not None:
                handed.deadline = _deadline(expire, now)
            elif record.position(token) < 0:
                record.queue.append(_Waiter(token, expire))
            bits = records.settle(record, now, token)
            taken = record.holder(token) is not None
            if not taken and not blocking:
                record.remove(token)
            return taken, bits

        return records.change(key, work, busy_until)

    def _wait(self, holds: Holds, token: int, until: float) -> bool:
        """Sleep in the queue until it is ours; returns whether it is."""
        records: _Records = holds.records
        key, bit = self._key, _bit(token)
        event_count = cast("EventCount", records.event_count)
        while True:
            if holds.closed:
                raise ClosedError(
                    f"the cache in {self._cache.directory!r} was closed while a lock of it was waited for"
                )
            # In this order: what changes after the look is notified after the count was read.
            seen = event_count.read()
            record = records.read(key)
            now = monotonic()
            holder = record.holder(token)
            if holder is not None and not holder.has_expired(now):
                return True
            if now >= until:
                # It may have been handed to us in this very moment.
                return records.change(key, self._last_look(token), now)
            position = record.position(token)
            if position < 0:
                # We have slept for longer than what was handed to us lasts, or the records were cleared.
                if self._take(holds, token, True, until):
                    return True
            elif records.may_take_over(record, position, now):
                records.change(key, lambda record, now: (None, records.settle(record, now)), self._patience(until))
            else:
                period = min(_PERIOD * (1 + position), _LONGEST_PERIOD)
                if position == 0:
                    deadlines = [holder.deadline for holder in record.holders if holder.deadline is not None]
                    period = min([period, *(max(deadline - now, 0.0) for deadline in deadlines)])
                event_count.wait(seen, min(period, until - now), bit)

    def _withdraw(self, holds: Holds, token: int) -> None:
        """Not to be there any more, neither as a waiter nor, handed over in the last moment, as a holder."""
        records: _Records = holds.records

        def work(record: _Record, now: float) -> tuple[None, int]:
            record.remove(token)
            return None, records.settle(record, now)

        with suppress(CacheError):
            record = records.read(self._key)
            if record.holder(token) is not None or record.position(token) >= 0:
                records.change(self._key, work, monotonic())

    def _pass_on(self, holds: Holds, token: int) -> bool:
        """Remove a holder, and hand what is free to who has waited longest; returns whether it was one."""
        records: _Records = holds.records

        def work(record: _Record, now: float) -> tuple[bool, int]:
            return record.remove(token), records.settle(record, now)

        return records.change(self._key, work, self._patience())

    def _is_held(self, holds: Holds, token: int) -> bool:
        """Whether it is still ours."""
        records: _Records = holds.records
        return records.read(self._key).holder(token) is not None

    def _prolong(self, holds: Holds, token: int, seconds: float | None) -> bool:
        def work(record: _Record, now: float) -> tuple[bool, int]:
            holder = record.holder(token)
            if holder is not None:
                holder.expire, holder.deadline = seconds, _deadline(seconds, now)
            return holder is not None, 0

        records: _Records = holds.records
        return records.change(self._key, work, self._patience())

    @staticmethod
    def _last_look(token: int) -> Callable[[_Record, float], tuple[bool, int]]:
        def work(record: _Record, now: float) -> tuple[bool, int]:
            holder = record.holder(token)
            if holder is not None:
                holder.deadline = _deadline(holder.expire, now)
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

    _kind = _RLOCK
    _reentrant = True

    def _renew(self, holds: Holds, token: int) -> bool:
        """Have what we hold for no less long than if we acquired it now; returns whether we still hold it."""
        records: _Records = holds.records
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

    Raises:
        ValueError: (by ``acquire``) it is in use with another ``value``.

    >>> with Cache() as cache:
    ...     slots = BoundedSemaphore(cache, "downloads", value=2)
    ...     slots.acquire(), slots.acquire(), slots.acquire(blocking=False)
    ...     slots.release(), slots.release()
    (True, True, False)
    (True, True)
    """

    _kind = _SEMAPHORE

    def __init__(self, cache: StoreMapping, name: Any, value: int = 1, expire: _Seconds = None) -> None:
        super().__init__(cache, name, expire)
        _positive("value", value, int)
        self._value = int(value)

    @property
    def value(self) -> int:
        """How many slots there are (int)."""
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cache, self.name, self._value, self._expire)

    def __repr__(self) -> str:
        options = "" if self._expire is None else f", expire={self._expire:g}"
        return f"{type(self).__name__}({self._cache!r}, {self.name!r}, value={self._value}{options})"


# -- decorators ------------------------------------------------------------------------------------------------------


def _name_of(function: Callable[..., Any], name: Any) -> Any:
    if name is not None:
        return name
    try:
        return f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        raise TypeError(f"{function!r} has no name of its own: give one with name=") from None


def barrier(
    cache: StoreMapping, lock_type: Callable[..., Any] = Lock, *, name: Any = None, expire: _Seconds = None
) -> Callable[[_Function], _Function]:
    """A decorator: of all calls, in all threads and processes, one runs at a time.

    Args:
        cache: any cache of this package.
        lock_type: Lock, or RLock for a function that calls itself; called as ``lock_type(cache, name, expire=expire)``.
        name: of the lock; by default the function's module and qualified name.
        expire: as of Lock.

    Raises:
        TypeError: the function is a coroutine function or a generator, which returns before it runs.

    >>> with Cache() as cache:
    ...     @barrier(cache, Lock)
    ...     def rebuild():
    ...         return "done"
    ...     rebuild()
    'done'
    """
    _seconds(expire)

    def decorate(function: _Function) -> _Function:
        if (
            inspect.iscoroutinefunction(function)
            or inspect.isgeneratorfunction(function)
            or inspect.isasyncgenfunction(function)
        ):
            raise TypeError(f"barrier is for functions that return when they are done, which {function!r} is not")
        lock = lock_type(cache, _name_of(function, name), expire=expire)

        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:
            with lock:
                return function(*arguments, **options)

        return cast("_Function", guarded)

    return decorate


def throttle(cache: StoreMapping, count: int, seconds: float, *, name: Any = None) -> Callable[[_Function], _Function]:
    """A decorator: calls wait until they may start, so that all threads and processes together keep to a rate.

    It is a token bucket. It holds ``count`` tokens, each call takes one, and one comes back every ``seconds / count``.
    So ``count`` calls may start at once after a pause, and from then on ``count`` in ``seconds``. They start in the
    order in which they came. A call that is interrupted while it waits has used its token. Coroutine functions sleep
    in asyncio.

    Args:
        cache: any cache of this package.
        count: how many calls (int).
        seconds: in how many seconds (int, float).
        name: what is counted together; by default the function's module and qualified name.

    >>> with Cache() as cache:
    ...     @throttle(cache, 10, 1)
    ...     def ask(question):
    ...         return f"{question}?"
    ...     ask("who")
    'who?'
    """
    _positive("count", count, int)
    _positive("seconds", seconds, (int, float))

    def decorate(function: _Function) -> _Function:
        key = (_THROTTLE, _name_of(function, name))

        def left(start: float) -> float:
            return max(0.0, start - monotonic())

        if inspect.iscoroutinefunction(function):
            import asyncio

            @functools.wraps(function)
            async def later(*arguments: Any, **options: Any) -> Any:
                start = _holds_of(cache).records.reserve(key, count, seconds, monotonic() + cache.timeout)
                while (pause := left(start)) > 0.0:
                    await asyncio.sleep(pause)
                return await function(*arguments, **options)

            return cast("_Function", later)

        @functools.wraps(function)
        def throttled(*arguments: Any, **options: Any) -> Any:
            start = _holds_of(cache).records.reserve(key, count, seconds, monotonic() + cache.timeout)
            while (pause := left(start)) > 0.0:
                time.sleep(pause)
            return function(*arguments, **options)

        return cast("_Function", throttled)

    return decorate


# -- averages --------------------------------------------------------------------------------------------------------


class Averager:
    """The average of numbers that any number of threads and processes add.

    It is an entry of the cache like any other: a tuple of the total and the count.

    Args:
        cache: any cache of this package.
        key: of the entry.
        expire, tag: of the entry, as in ``Cache.set``, counted from the last ``add``; not for an Index.

    >>> with Cache() as cache:
    ...     latency = Averager(cache, "latency")
    ...     latency.add(0.080)
    ...     latency.add(0.120)
    ...     round(latency.get(), 3), round(latency.pop(), 3), latency.get()
    (0.1, 0.1, None)
    """

    def __init__(self, cache: StoreMapping, key: Any, expire: _Seconds = None, tag: Any = None) -> None:
        self._cache: Any = cache
        self._key = key
        given = {"expire": expire, "tag": tag}
        self._options = {name: option for name, option in given.items() if option is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._cache, self._key, self._options.get("expire"), self._options.get("tag"))

    def __repr__(self) -> str:
        options = "".join(f", {name}={option!r}" for name, option in self._options.items())
        return f"Averager({self._cache!r}, {self._key!r}{options})"

    def add(self, value: float) -> None:
        """Add a number (int, float), atomically.

        Raises:
            TypeError: it is no number, or what is stored under the key is no average.
        """
        if not isinstance(value, (int, float)):
            raise TypeError(f"the average is of numbers, not {type(value).__name__}")
        with _transact(self._cache, self._key):
            total, count = self._pair(self._cache.get(self._key))
            self._cache.set(self._key, (total + value, count + 1), **self._options)

    def get(self) -> float | None:
        """The average (float); None if nothing was added."""
        return self._average(self._cache.get(self._key))

    def pop(self) -> float | None:
        """Begin anew; returns what the average was (float), or None."""
        return self._average(self._cache.pop(self._key, None))

    def _average(self, stored: Any) -> float | None:
        total, count = self._pair(stored)
        return total / count if count else None

    def _pair(self, stored: Any) -> tuple[float, int]:
        if stored is None:
            return 0.0, 0
        # Some serializers make lists of tuples.
        if isinstance(stored, (tuple, list)) and len(stored) == 2:
            total, count = stored
            if isinstance(total, (int, float)) and isinstance(count, int) and count > 0:
                return total, count
        raise TypeError(f"what is stored under the key is no average but of the type {type(stored).__name__}")


def _transact(cache: Any, key: Any) -> Any:
    """What makes reading and writing an entry one step."""
    return cache.transact(key)
