"""Single flight: of all who miss one key at the same time, in whatever thread or process, one computes its value.

The others wait, and then find the value in the cache, where it was put; it is handed over in no other way. What is
always true, and who keeps it so:

- **In a process, one flight leads for a number** (the hash of a key): the one that stands in ``active`` (flights.pyx).
  ``dict.setdefault`` decides, which the GIL makes atomic, so that there is no lock that a fork could leave locked; a
  child starts with an empty table. A leader that is done takes itself out, whatever has happened.
- **Among processes, a leader computes only while it leads there, too** (leaders.pyx), which ends when it is killed. It
  looks into the cache once more when it does: who has led before has stored first.
- **A notification is a hint** (eventcount.pyx). Who has computed stores, leads no more, and notifies if somebody waits,
  in this order. Who waits reads the event count before it tries, says that it waits, and sleeps for a few milliseconds
  at most: nobody notifies for those who were killed.
- **Nobody waits for what cannot go on before it does itself**: for its own thread, for a computation that it is a part
  of, for one that waits for it in turn, in this process or through others, or while it holds the write lock. It
  computes at once. So two keys whose numbers are the same only wait for each other.
- **Nobody waits for ever.** Of one that was stopped, or hangs, nobody can tell that it does not compute. So who has
  waited for the ``timeout`` computes, too, beside it.
- **Who has waited for a computation that failed computes at once**, beside all others who have. One after the other,
  the last of twenty would wait for twenty failures. That one has failed is counted (counters.pyx), so that all
  processes see it; one that was interrupted, or killed, has not failed, and the next one takes its place.
- **What ends a flight is one call of what is compiled, in a ``finally``**, before which the interpreter lets no handler
  of a signal run; what begins one stands in the ``try``.

Where there is no fcntl (Windows), this holds among the threads of a process.

The name is that of Go's package: https://pkg.go.dev/golang.org/x/sync/singleflight.
"""

from __future__ import annotations

from _weakref import ref
from time import monotonic

from fastcache.engine.shm import counters, leaders
from fastcache.engine.shm.counters import Counters
from fastcache.engine.shm.eventcount import EventCount
from fastcache.engine.shm.leaders import Leaders
from fastcache.runtime import fork
from fastcache.runtime.imports import load
from fastcache.sync.flights import Flight, Flights, Waiting, inside, number_of, wake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable
    from typing import Any, Literal, TypeAlias

    from fastcache.engine.shm.byte_locks import ByteLocks

    _Step: TypeAlias = Literal["take", "lead", "wait", "compute"]

__all__ = ["Flight", "SingleFlight", "check_timeout", "number_of", "single_flight_of"]

# How long a waiter sleeps before it looks again, in seconds: the first time where nothing can wake it, and at most.
_FIRST_NAP = 0.001
_LONGEST_NAP = 0.01
# The same of a task whose leader wakes it, unless that is interrupted.
_LONGEST_LOOP_NAP = 0.2
# In place of a value that is not in the cache.
_ABSENT: Any = object()

# By the identity of the byte locks, which are one object for each file. Who uses flights keeps them: with it they go,
# without a callback that an interrupt could fall into.
_by_byte_locks: dict[int, ref[SingleFlight]] = {}


class _Search:
    """The search of one caller for a value, one step at a time: what waiting in a thread and in a task have in common.

    Attributes:
        found: the value.
        leader: whom to wait for; this caller's own flight, if it is another process that leads.
        left: for how many seconds to wait yet (float).
    """

    __slots__ = ("coming", "failures", "flight", "flights", "found", "leader", "left", "look", "patience", "until")

    def __init__(self, flights: SingleFlight, flight: Flight, look: Callable[[Any], Any], patience: float) -> None:
        self.failures = flights.failures.read(flight.number)
        self.flights = flights
        self.flight = flight
        self.look = look
        self.patience = patience
        self.until: float | None = None

    def step(self) -> _Step:
        """Look for the value, and whether somebody leads. What this begins is ended by ``Flights.end``.

        Returns:
            What to do next: ``take`` what was found, ``lead`` the computation, ``wait`` for who leads, or ``compute``
            beside them.
        """
        if self.begin():
            self.found = self.look(_ABSENT)
        return self.decide()

    async def step_async(self) -> _Step:
        """The same where looking is a coroutine."""
        if self.begin():
            self.found = await self.look(_ABSENT)
        return self.decide()

    def begin(self) -> bool:
        """Whether somebody leads, and whether it is worth while to look for the value (bool)."""
        flight = self.flight
        self.found = _ABSENT
        self.coming: _Step = "compute"
        if self.until is not None and self.flights.failures.read(flight.number) != self.failures:
            return True
        self.leader = leader = self.flights.leader(flight)
        if leader is flight:
            self.coming = "lead" if self.flights.claim(flight) else "wait"
        elif leader.thread == flight.thread and (flight.loop is None or leader.loop != flight.loop):
            # It goes on when this caller returns.
            return False
        else:
            self.coming = "wait"
        return True

    def decide(self) -> _Step:
        """What to do next, after looking."""
        if self.found is not _ABSENT:
            return "take"
        if self.coming != "wait":
            return self.coming
        now = monotonic()
        if self.until is None:
            self.until = now + self.patience
        self.left = self.until - now
        return "wait" if self.left > 0.0 else "compute"


class SingleFlight(Flights):
    """The flights of one directory in this process, and how one waits; ``single_flight_of`` makes these."""

    __slots__ = ()

    def _wait(self, flight: Flight, look: Callable[[Any], Any], compute: Callable[[], Any], patience: float) -> Any:
        """What ``run`` does for a flight that another one leads for; who calls it ends the flight."""
        search = _Search(self, flight, look, patience)
        bit = 1 << (flight.number & 31)
        while True:
            seen = self.event_count.read()
            step = search.step()
            if step == "take":
                return search.found
            if step == "lead":
                return self.lead(flight, compute)
            if step == "compute":
                break
            with Waiting(self, inside.get(), search.leader) as waiting:
                if waiting.in_circle:
                    break
                self.event_count.wait(seen, min(search.left, _LONGEST_NAP), bit)
        # Beside whoever leads: others are not to wait for this one.
        self.end(flight)
        return compute()

    async def run_async(
        self, number: int, look: Callable[[Any], Awaitable[Any]], compute: Callable[[], Awaitable[Any]], patience: float
    ) -> Any:
        """What ``run`` does, in a task, with coroutines: the event loop goes on meanwhile."""
        loops = load("fastcache.runtime.loops")
        loop = loops.running_loop()
        flight = Flight(self, number, id(loop))
        search = _Search(self, flight, look, patience)
        nap = _FIRST_NAP
        try:
            while True:
                step = await search.step_async()
                if step == "take":
                    return search.found
                if step == "lead":
                    return await self.lead_async(flight, compute)
                if step == "compute":
                    break
                with Waiting(self, inside.get(), search.leader) as waiting:
                    if waiting.in_circle:
                        break
                    # What wakes tasks of asyncio wakes none of trio.
                    if search.leader is flight or not hasattr(loop, "create_future"):
                        await loops.sleep(min(search.left, nap))
                        nap = min(2 * nap, _LONGEST_NAP)
                    else:
                        await self.sleep_until_ended(search.leader, loop, min(search.left, _LONGEST_LOOP_NAP))
        finally:
            self.end(flight)
        return await compute()

    async def sleep_until_ended(self, leader: Flight, loop: AbstractEventLoop, seconds: float) -> None:
        """Sleep in a task until another flight has ended, for so many seconds at most."""
        woken = loop.create_future()
        alarm = loop.call_later(seconds, wake, woken)
        sleeper = ref(woken)
        leader.sleepers.append(sleeper)
        try:
            # It looks at the list after it has said so.
            if not leader.ended:
                await woken
        finally:
            alarm.cancel()
            if sleeper in leader.sleepers:
                leader.sleepers.remove(sleeper)

    async def lead_async(self, flight: Flight, compute: Callable[[], Awaitable[Any]]) -> Any:
        """What ``lead`` does, in a task."""
        part_of = inside.get()
        try:
            inside.set((*part_of, flight))
            return await compute()
        except Exception:
            flight.failed = True
            raise
        finally:
            inside.set(part_of)


def single_flight_of(store: Any) -> SingleFlight:
    """The flights of a store's directory: one object for all of the process, for as long as somebody keeps it.

    Raises:
        StorageError: its folder ``locks``, or a file in it, cannot be made.
    """
    byte_locks: ByteLocks = store.byte_locks()
    # Two threads must not make two tables.
    with fork.guard:
        reference = _by_byte_locks.get(id(byte_locks))
        single_flight = reference() if reference is not None else None
        # The same.
        if single_flight is None or single_flight.byte_locks is not byte_locks:
            event_count = EventCount(byte_locks.beside("computing"), counters.ROOM + leaders.ROOM)
            single_flight = SingleFlight(
                byte_locks, event_count, Counters(event_count), Leaders(byte_locks, event_count)
            )
            _by_byte_locks[id(byte_locks)] = ref(single_flight)
        for identity, reference in list(_by_byte_locks.items()):
            if reference() is None:
                _by_byte_locks.pop(identity, None)
    return single_flight


def check_timeout(timeout: Any) -> float:
    """A number of seconds to wait for others, if it can be one."""
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout={timeout!r} is no time to wait: at least 0 seconds, or None for the cache's")
    return timeout


def _after_fork_in_child() -> None:
    """What its parent computes is the parent's."""
    for reference in list(_by_byte_locks.values()):
        single_flight = reference()
        if single_flight is not None:
            single_flight.after_fork_in_child()


fork.FLIGHTS.in_child = _after_fork_in_child
