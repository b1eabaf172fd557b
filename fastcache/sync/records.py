"""The records of locks: under each name who holds it, until when, and who waits.

They are in an index of their own in ``<directory of the cache>/locks``: it is never evicted, counts as no entry, and
who waits for a lock does not wait for who writes entries. What is always true, and who keeps it so:

- **Never more holders than allowed.** A record changes as a whole, if it is still what it was made of: by way of the
  journal (engine/swapping.pyx), or in a transaction of the index. Holders are added where there is room, and taken away
  if they have released, have expired, or are known to be dead.
- **Every acquisition has a number that no other ever has**, its token, and keeps that byte locked (byte_locks.pyx) for
  as long as it waits or holds. The system unlocks the bytes of the dead. So anybody can see at once that a holder or a
  waiter is gone, however it went; who gives up waiting, or is interrupted, unlocks its byte, and is gone, too, even if
  it cannot write that down. A byte lock outlives its thread, but not its process.
- **First come, first served.** Who cannot have it at once joins the queue in the same transaction. Whoever makes room
  hands the lock to the first waiter that lives, in one change, and notifies that one (eventcount.pyx).
- **An interrupt leaves nothing half done**: locking the byte of a token, noting it, and unlocking it is compiled
  (holds.pyx). What is here may be interrupted anywhere: a record whose token nobody has locked holds nobody up.
- **Time is the system's monotonic clock**, which is the same for all processes, and which nobody sets. It begins anew
  when the machine does: a deadline that lies further ahead than its own ``expire`` is of another life of the machine,
  and has passed.

A record that is damaged is no record: whoever could write it could have deleted it. Beside the records of locks lie the
buckets of throttles (throttle.py).

Where there is no fcntl (Windows) nobody is known to be dead, and what the dead hold without ``expire`` stays held.
"""

from __future__ import annotations

import functools
import itertools
import os
from contextlib import suppress
from time import monotonic
from typing import Annotated, TypeVar, cast
from weakref import ref

import msgspec

from fastcache.engine.index_mapping import IndexMapping
from fastcache.engine.shm.byte_locks import NUMBERS
from fastcache.engine.shm.eventcount import EventCount
from fastcache.engine.swapping import swap
from fastcache.errors import (
    CacheError,
    DecodeError,
    DirectoryGoneError,
    ReadOnlyError,
    Timeout,
    UntrustedValueError,
)
from fastcache.runtime import fork
from fastcache.sync.holds import FIRST_TOKEN, Holds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol, TypeAlias

    from fastcache.engine.mapping import StoreMapping
    from fastcache.engine.shm.byte_locks import ByteLocks
    from fastcache.sync.holds import Hold

    class _Holding(Protocol):
        """A cache, which keeps what is held through it; its ``close`` looks there, too (recipes.py)."""

        _lock_holds: Holds | None

    _Key: TypeAlias = tuple[str, Any]
    _Work: TypeAlias = Callable[["Record", float], tuple["_Result", int]]

__all__ = [
    "LOCK",
    "RLOCK",
    "SEMAPHORE",
    "THROTTLE",
    "Bucket",
    "Holder",
    "Record",
    "Records",
    "Waiter",
    "bit_of",
    "deadline_after",
    "encode",
    "holds_of",
]

_Result = TypeVar("_Result")

LOCK, RLOCK, SEMAPHORE, THROTTLE = "lock", "rlock", "semaphore", "throttle"
"""The kinds of keys: a key is a kind and a name."""

# For how long the index waits for another writer before whoever asked looks at its own deadline, in seconds.
_SLICE = 0.02
# For how long closing it waits for a thread that is inside of it, in seconds.
_CLOSING = 0.2
_MEMORY = 1024 * 1024
# What its size is said to be, in bytes: nothing keeps to that, but its journal goes by it.
_SIZE = 1024 * 1024
# Records that are looked at when the index is opened, for leftovers of the dead.
_SWEPT = 1000

_Token = Annotated[int, msgspec.Meta(ge=FIRST_TOKEN, lt=NUMBERS)]


class Waiter(msgspec.Struct, array_like=True):
    """Who waits, and for how many seconds it is to hold; None for ever."""

    token: _Token
    expire: float | None


class Holder(msgspec.Struct, array_like=True):
    """Who holds, for how many seconds, and until when; None for ever."""

    token: _Token
    expire: float | None
    deadline: float | None

    def has_expired(self, now: float) -> bool:
        """Whether its time is over, so that others may hold instead."""
        if self.deadline is None:
            return False
        # So that what is no number has passed.
        return not (self.expire is not None and now < self.deadline <= now + self.expire)


class Record(msgspec.Struct, array_like=True):
    """All about one lock: how many may hold it, who does, and who waits, in the order of their coming."""

    capacity: Annotated[int, msgspec.Meta(ge=1)]
    holders: list[Holder]
    queue: list[Waiter]

    def holder(self, token: int) -> Holder | None:
        """The holder with this token; None if there is none."""
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


class Bucket(msgspec.Struct, array_like=True):
    """The tokens of a throttle: when this was written, and when the bucket is full again."""

    written: float
    full: float


encode = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_bucket = msgspec.msgpack.Decoder(Bucket).decode


def deadline_after(expire: float | None, now: float) -> float | None:
    """When so many seconds from now are over; None for never."""
    return None if expire is None else now + expire


def bit_of(token: int) -> int:
    """The bit of the event count that wakes this one, as a mask."""
    return 1 << token % 32


class Records:
    """All records of one directory, as this process sees them: one object, however many caches are open there."""

    # So that they can be asked for before the records are open.
    event_count: EventCount | None = None
    index: IndexMapping
    # Whether the index has a journal.
    is_swapped = False
    # The thread that waits for all tasks (aio/bell.py).
    bell: Any = None

    def __init__(self, folder: str, byte_locks: ByteLocks) -> None:
        self.folder = folder
        self.byte_locks = byte_locks
        self.is_open = False
        # Of the caches that use them.
        self.users: list[ref[Holds]] = []
        # By thread: what it has acquired of RLocks, the last one last (holds.pyx).
        self.reentrant: dict[int, list[Hold]] = {}

    def open(self, serializer: Any, journal: bool, until: float) -> None:
        """Open the index, maybe with a journal, and the event count, with patience for other writers until then."""
        # Two threads may come here at once. No lock: opening waits for others, and a fork would have to wait for that.
        vars(self).setdefault("event_count", EventCount(self.byte_locks.beside("bell")))
        opened = self.write(lambda: self._open_index(serializer, journal), until)
        if vars(self).setdefault("index", opened) is not opened:
            opened.close()
        self.is_swapped = not self.index.store.in_memory and self.index.store.uses_journal
        self.is_open = True
        # What cannot be read there harms nobody.
        with suppress(CacheError):
            self.sweep()

    def _open_index(self, serializer: Any, journal: bool) -> IndexMapping:
        index = IndexMapping()
        size: dict[str, Any] = {} if self.byte_locks.path is None else {"inherited": {"max_size": _SIZE}}
        index._open(
            self.folder,
            serializer=serializer,
            timeout=_SLICE,
            memory=_MEMORY,
            keeps_limit=False,
            journal=journal,
            **size,
        )
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
                self.write(self.index.close, monotonic() + _CLOSING)

    def is_there(self) -> bool:
        """Whether their folder is the one that was opened."""
        return not self.is_open or self.index.store.is_there()

    def notify(self, bits: int) -> None:
        """Wake who waits with these bits."""
        if bits and self.event_count is not None:
            self.event_count.notify(bits)

    def after_fork_in_child(self) -> None:
        """What its parent holds is the parent's."""
        self.reentrant.clear()
        self.bell = None
        for user in self.users:
            holds = user()
            if holds is not None:
                holds.after_fork_in_child()

    # tokens

    def is_dead(self, token: int) -> bool:
        """Whether whoever had this token is gone."""
        return not self.byte_locks.is_locked(token)

    # records

    def stored(self, key: _Key) -> object:
        """What is stored under a key; None for nothing, False for what cannot be decoded."""
        try:
            return self.index.get(key)
        except (DecodeError, UntrustedValueError):
            return False

    def decode(self, key: _Key, stored: object) -> Record:
        """The record that these bytes are; an empty one if they are none."""
        record = None
        if isinstance(stored, bytes):
            with suppress(msgspec.MsgspecError):
                record = _decode_record(stored)
        if record is None:
            record = Record(1, [], [])
        elif key[0] != SEMAPHORE:
            record.capacity = 1
        return record

    def read(self, key: _Key) -> Record:
        """The record under a key; an empty one if there is none."""
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
        """Change a record as a whole: ``work(record, now)`` returns its result, and the bits of whom to wake. It may be
        called more than once, each time with what is there then."""
        done: tuple[_Result, int]

        def renew(stored: Any) -> Any:
            nonlocal done
            record = self.decode(key, stored)
            done = work(record, monotonic())
            if not (record.holders or record.queue):
                return None
            fresh = encode(record)
            return stored if fresh == stored else fresh

        def run() -> tuple[_Result, int]:
            # In a folder that is gone, somebody else may hold the same: it is looked for first, and before the commit.
            if self.is_swapped and self.index.store.is_there() and self._swap(key, renew):
                return done
            with self.index.transact():
                stored = self.stored(key)
                fresh = renew(stored)
                if fresh is None:
                    if stored is not None:
                        self.index.delete(key)
                elif fresh is not stored:
                    self.index[key] = fresh
                return done

        result, bits = self.write(run, until)
        self.notify(bits)
        return result

    def _swap(self, key: _Key, renew: Callable[[Any], bytes | None]) -> bool:
        """Change a record by way of the journal, if that can be. What cannot be decoded, a transaction overwrites."""
        try:
            return swap(self.index, key, renew)
        except (DecodeError, UntrustedValueError):
            return False

    def has_room(self, record: Record, now: float) -> bool:
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

    def settle(self, record: Record, now: float, mine: int = 0) -> int:
        """Hand what is free to the first waiters that live; returns the bits of those, but for one's own token."""
        bits = 0
        while record.queue and self.has_room(record, now):
            waiter = record.queue.pop(0)
            if waiter.token == mine or not self.is_dead(waiter.token):
                record.holders.append(Holder(waiter.token, waiter.expire, deadline_after(waiter.expire, now)))
                if waiter.token != mine:
                    bits |= bit_of(waiter.token)
        return bits

    def drop_the_gone(self, record: Record, now: float) -> None:
        """Forget who is dead, or has expired."""
        record.holders = [
            holder for holder in record.holders if not (holder.has_expired(now) or self.is_dead(holder.token))
        ]
        record.queue = [waiter for waiter in record.queue if not self.is_dead(waiter.token)]

    def may_take_over(self, record: Record, position: int, now: float) -> bool:
        """Whether all before this place in the queue are dead, and there is room."""
        return all(self.is_dead(waiter.token) for waiter in record.queue[:position]) and self.has_room(record, now)

    def sweep(self) -> None:
        """Remove what the dead have left behind under names that nobody uses any more, of the oldest records."""
        now = until = monotonic()
        for key in list(itertools.islice(self.index, _SWEPT)):
            if not isinstance(key, tuple) or len(key) != 2:
                continue
            if key[0] == THROTTLE:
                self.write(functools.partial(self._sweep_bucket, key), until)
            else:
                record = self.read(key)
                self.drop_the_gone(record, now)
                if not (record.holders or record.queue):
                    self.change(key, self._sweep_record, until)

    def _sweep_record(self, record: Record, now: float) -> tuple[None, int]:
        self.drop_the_gone(record, now)
        return None, 0

    def _sweep_bucket(self, key: _Key) -> None:
        with self.index.transact():
            bucket = self.bucket(key)
            if bucket is None or bucket.full <= monotonic():
                self.index.delete(key)

    # throttles

    def bucket(self, key: _Key) -> Bucket | None:
        """The bucket under a key; None if there is none."""
        stored = self.stored(key)
        if isinstance(stored, bytes):
            with suppress(msgspec.MsgspecError):
                return _decode_bucket(stored)
        return None


# By the identity of the byte locks, which live as long. Plain, because looking it up cannot be interrupted.
_opened: dict[int, ref[Records]] = {}


def holds_of(cache: StoreMapping) -> Holds:
    """What is held through a cache, whose records are opened when it first asks for them.

    Raises:
        ClosedError: the cache is closed.
        StorageError: the folder ``locks`` in its directory, or a file in it, cannot be made.
        ReadOnlyError: the cache is open for reading alone.
        DirectoryGoneError: its directory was removed, or replaced. What was held there may be held by others, too.
    """
    cache.__enter__()
    if cache.read_only:
        raise ReadOnlyError(f"{cache.directory!r} is open for reading alone, and to lock is to write")
    holder = cast("_Holding", cache)
    holds = holder._lock_holds
    is_gone = holds is not None and not holds.records.is_there()
    if holds is None or is_gone:
        # Where the records are still there, so is the directory that they lie in.
        cache.store.look()
    if holds is not None and is_gone:
        if not cache.recreate:
            raise DirectoryGoneError(
                f"{holds.records.folder!r} was removed or replaced while it was open; what was held there is free for "
                "others; open the cache anew"
            )
        # What is held there says so when it is released.
        holds = holder._lock_holds = None
    if holds is None:
        byte_locks: ByteLocks = cache.store.byte_locks()
        with fork.guard:
            holds = holder._lock_holds = holder._lock_holds or _records_beside(byte_locks).join()
    if not holds.records.is_open:
        journal = not cache.store.in_memory and cache.store.asked_journal
        holds.records.open(cache.serializer, journal, monotonic() + cache.timeout)
    return holds


def _records_beside(byte_locks: ByteLocks) -> Records:
    """The records beside these byte locks: one object, for all caches."""
    for identity, reference in list(_opened.items()):
        if reference() is None:
            _opened.pop(identity, None)
    known = _opened.get(id(byte_locks))
    records = None if known is None else known()
    if records is None:
        records = Records(os.path.dirname(byte_locks.path) if byte_locks.path else ":memory:", byte_locks)
        _opened[id(byte_locks)] = ref(records)
    return records


def _after_fork_in_child() -> None:
    """What its parent holds is the parent's."""
    for reference in list(_opened.values()):
        records = reference()
        if records is not None:
            records.after_fork_in_child()


fork.LOCKS.in_child = _after_fork_in_child
