"""Single flight: of all who miss one key at the same time, in whatever thread or process, one computes its value.

The others wait, and then find the value in the cache, where it was put; it is handed over in no other way. What is
always true, and who keeps it so:

- **In a process, one flight leads for a number** (the hash of a key): the one that stands in ``active``.
  ``dict.setdefault`` decides, which the GIL makes atomic, so that there is no lock that a fork could leave locked; a
  child starts with an empty table. A leader that is done takes itself out, whatever has happened.
- **Among processes, a leader computes only while it has the claim of its number** (claims.pyx), which the system takes
  back from who is killed. It looks into the cache once more when it has got it: who had it before has stored first.
- **A bell is a hint** (bell.pyx). Who has computed stores, gives back the claim, and rings, in this order. Who waits
  reads the bell before it tries, and sleeps for a few milliseconds at most: nobody rings for those who were killed.
- **Nobody waits for what cannot go on before it does itself**: for its own thread, for a computation that it is a part
  of, for one that waits for it in turn (as far as that is inside of one process), or while it holds the write lock. It
  computes at once. So two keys whose numbers are the same only wait for each other.

Where there is no fcntl (Windows), this holds among the threads of a process.

The name is that of Go's package: https://pkg.go.dev/golang.org/x/sync/singleflight.
"""

from __future__ import annotations

import os
from _thread import get_ident
from _weakref import ref
from contextvars import ContextVar

from fastcache.engine import lazy
from fastcache.engine.bell import Bell
from fastcache.engine.calls import ABSENT, is_inside
from fastcache.engine.claims import Claims, claims_beside
from fastcache.engine.errors import DecodeError, UntrustedValueError
from fastcache.engine.keys import hash_of
from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Awaitable, Callable
    from typing import Any

    from fastcache.engine.mapping import StoreMapping

__all__ = ["Flight", "SingleFlight", "compute_once", "compute_once_async", "number_of", "single_flight_of"]

# How long a waiter sleeps before it looks again, in seconds: the first time where nothing can wake it, and at most.
_FIRST_NAP = 0.001
_LONGEST_NAP = 0.01
# Claims from this number on are those of locks.
_BITS = 61

_inside: ContextVar[tuple[Flight, ...]] = ContextVar("fastcache_flights", default=())
"""The flights whose computation this code is a part of: also in the tasks that it starts."""

# By identity of the mapping, for as long as it lives; and by that of the claims, which are one object for each file.
_of_mapping: dict[int, tuple[ref[StoreMapping], SingleFlight]] = {}
_of_claims: dict[int, ref[SingleFlight]] = {}


class Flight:
    """One who has missed a key: it leads, or waits for who does."""

    __slots__ = ("ended", "loop", "number", "sleepers", "thread", "waits_for")

    def __init__(self, number: int, loop: AbstractEventLoop | None = None) -> None:
        self.number = number
        self.thread = get_ident()
        self.loop = loop
        self.ended = False
        # Tasks to be woken at its end; and the flights that what it computes waits for.
        self.sleepers: list[tuple[AbstractEventLoop, Future[None]]] = []
        self.waits_for: list[Flight] = []


class SingleFlight:
    """The flights of one directory in this process; ``single_flight_of`` makes these."""

    __slots__ = ("__weakref__", "active", "bell", "claims")

    def __init__(self, claims: Claims, bell: Bell) -> None:
        self.claims = claims
        self.bell = bell
        self.active: dict[int, Flight] = {}

    def run(self, number: int, look: Callable[[], Any], compute: Callable[[], Any]) -> Any:
        """The value, if ``look`` finds it (before ABSENT); else what ``compute`` returns after it has stored it."""
        flight = Flight(number)
        tone = 1 << (number & 31)
        try:
            while True:
                rung = self.bell.count()
                leader = self.active.setdefault(number, flight)
                if leader is flight:
                    if self.claims.claim(number):
                        found = look()
                        return self.lead(flight, compute) if found is ABSENT else found
                elif leader.thread == flight.thread:
                    return compute()
                found = look()
                if found is not ABSENT:
                    return found
                part_of = _inside.get()
                with _Waiting(part_of, leader):
                    if waits_for_any(leader, part_of):
                        return compute()
                    self.bell.sleep(rung, _LONGEST_NAP, tone)
        finally:
            self.end(flight)

    async def run_async(self, number: int, look: Callable[[], Any], compute: Callable[[], Awaitable[Any]]) -> Any:
        """The same in a task: the event loop goes on meanwhile."""
        asyncio = load("asyncio")
        loop = asyncio.get_running_loop()
        flight = Flight(number, loop)
        nap = _FIRST_NAP
        try:
            while True:
                leader = self.active.setdefault(number, flight)
                part_of = _inside.get()
                if leader is flight:
                    if self.claims.claim(number):
                        found = look()
                        return await self.lead_async(flight, compute) if found is ABSENT else found
                elif leader.thread == flight.thread and leader.loop is not loop:
                    return await compute()
                found = look()
                if found is not ABSENT:
                    return found
                with _Waiting(part_of, leader):
                    if waits_for_any(leader, part_of):
                        return await compute()
                    if leader is flight:
                        await asyncio.sleep(nap)
                        nap = min(2 * nap, _LONGEST_NAP)
                    else:
                        woken = loop.create_future()
                        leader.sleepers.append((loop, woken))
                        # It looks at the list after it has said so.
                        if not leader.ended:
                            await woken
        finally:
            self.end(flight)

    def begin(self, number: int) -> Flight | None:
        """A flight that leads, to be ended by ``end``; None if there is one already, in whatever process."""
        flight = Flight(number)
        try:
            if self.active.setdefault(number, flight) is flight and self.claims.claim(number):
                return flight
        except BaseException:
            self.end(flight)
            raise
        self.end(flight)
        return None

    def lead(self, flight: Flight, compute: Callable[[], Any]) -> Any:
        """Compute, as a part of this flight."""
        part_of = _inside.get()
        _inside.set((*part_of, flight))
        try:
            return compute()
        finally:
            _inside.set(part_of)

    async def lead_async(self, flight: Flight, compute: Callable[[], Awaitable[Any]]) -> Any:
        """The same in a task."""
        part_of = _inside.get()
        _inside.set((*part_of, flight))
        try:
            return await compute()
        finally:
            _inside.set(part_of)

    def end(self, flight: Flight) -> None:
        """Let others lead, if it was this one that did. In a child of the process that it began in, it did not."""
        number = flight.number
        if self.active.get(number) is not flight:
            return
        led = number in self.claims.held
        try:
            self.claims.release(number)
        finally:
            del self.active[number]
            flight.ended = True
            for loop, woken in flight.sleepers:
                try:
                    loop.call_soon_threadsafe(_wake, woken)
                except RuntimeError:
                    # That loop is closed.
                    continue
        if led:
            self.bell.ring(1 << (number & 31))


class _Waiting:
    """For as long as a part of these flights waits for that one."""

    __slots__ = ("leader", "part_of")

    def __init__(self, part_of: tuple[Flight, ...], leader: Flight) -> None:
        self.part_of = part_of
        self.leader = leader

    def __enter__(self) -> None:
        for flight in self.part_of:
            flight.waits_for.append(self.leader)

    def __exit__(self, *_: object) -> None:
        for flight in self.part_of:
            flight.waits_for.remove(self.leader)


def waits_for_any(leader: Flight, flights: tuple[Flight, ...]) -> bool:
    """Whether a flight is one of these, or waits for one, or for one that does."""
    if not flights:
        return False
    seen = {leader}
    ahead = [leader]
    while ahead:
        flight = ahead.pop()
        if flight in flights:
            return True
        new = [other for other in flight.waits_for if other not in seen]
        seen.update(new)
        ahead += new
    return False


def _wake(woken: Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def single_flight_of(mapping: StoreMapping) -> SingleFlight:
    """The flights of a mapping's directory.

    Raises:
        StorageError: its folder ``locks``, or a file in it, cannot be made.
    """
    known = _of_mapping.get(id(mapping))
    if known is not None:
        return known[1]
    claims = claims_beside(mapping.directory)
    # A lock that a fork waits for. Two threads must not make two tables.
    with lazy.loading:
        reference = _of_claims.get(id(claims))
        single_flight = reference() if reference is not None else None
        # Another object may have come to lie where one was.
        if single_flight is None or single_flight.claims is not claims:
            single_flight = SingleFlight(claims, Bell(os.path.join(os.path.dirname(claims.path), "computing")))
            _of_claims[id(claims)] = ref(single_flight)
        for identity, reference in list(_of_claims.items()):
            if reference() is None:
                _of_claims.pop(identity, None)
    identity = id(mapping)
    _of_mapping[identity] = (ref(mapping, lambda _: _of_mapping.pop(identity, None) and None), single_flight)
    return single_flight


def number_of(mapping: StoreMapping, key: Any) -> int:
    """The number of a key's claim."""
    return hash_of(key, mapping.serializer) >> (64 - _BITS)


def _find(mapping: StoreMapping, key: Any) -> Any:
    """The value of a key, or ABSENT; counts no miss, as who comes here has counted one. What cannot be decoded can be
    computed again."""
    try:
        return mapping.get(key, ABSENT) if key in mapping else ABSENT
    except (UntrustedValueError, DecodeError):
        return ABSENT


def compute_once(mapping: StoreMapping, key: Any, compute: Callable[[], Any]) -> Any:
    """The value of a key that was found absent: what ``compute`` returns after it has stored it, or another one has."""
    if is_inside(mapping, key):
        # Others cannot store before this transaction ends.
        return compute()
    return single_flight_of(mapping).run(number_of(mapping, key), lambda: _find(mapping, key), compute)


async def compute_once_async(mapping: StoreMapping, key: Any, compute: Callable[[], Awaitable[Any]]) -> Any:
    """The same in a task."""
    if is_inside(mapping, key):
        return await compute()
    flights = single_flight_of(mapping)
    return await flights.run_async(number_of(mapping, key), lambda: _find(mapping, key), compute)


def _renew() -> None:
    """In a child: what its parent computes is the parent's."""
    for reference in list(_of_claims.values()):
        single_flight = reference()
        if single_flight is not None:
            single_flight.active = {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
