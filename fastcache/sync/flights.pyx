# cython: nonecheck=True
"""Flights: the computations of missing keys under way, who leads each, who waits for whom, and how they end.

single_flight.py says what is computed and how one waits. Here is what has to be complete: compiled code calls no Python code
between what it begins and what it notes, so that no interrupt falls in between (see holds.pyx). What is always true:

- **A flight that leads stands in `active`**, and leads among the processes, too (leaders.pyx), or is trying to. `end` gives both up, in
  one step, before it notifies anybody; who calls it in a `finally` is never too late, and never twice.
- **Who waits is noted with whom it waits for**, here by `awaited`, elsewhere by the leader's word, in one step with seeing that there is one. So
  a flight that nobody waits for wakes nobody, which would be a system call.
- **Who waits says so**: in this process by `waits_for`, among flights; to other processes by byte locks, on numbers above those
  of flights, one for each pair "a part of this flight waits for that one". So everybody can walk along them, and whoever
  comes back to a flight that it is a part of itself waits in a circle, and computes at once. Such a lock holds 30 bits of
  either number; that two keys have the same is as good as impossible, and costs a computation.
- **These locks go when the process does**, and by the end of the wait.

Circles through several directories are seen inside of one process alone.
"""

from contextvars import ContextVar

cimport cython
from cpython.contextvars cimport PyContextVar_Set, get_value

from fastcache.engine.codecs.keys cimport hash_key
from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.shm.counters cimport Counters
from fastcache.engine.shm.eventcount cimport EventCount
from fastcache.engine.shm.leaders cimport REFUSED, Leaders

from fastcache.runtime.greenlets cimport identity

from fastcache.engine.shm import byte_locks

cdef object current = ContextVar("fastcache_flights", default=())

inside = current
"""The flights whose computation this code is a part of (tuple): also in the tasks that it starts."""

# In place of a value that is not in the cache.
cdef object ABSENT = object()

# Of a key's hash, what is left out: byte locks from 2**61 on are those of locks.
cdef int LEFT_OUT = 3
# Of a number, what stands in the byte lock of a wait.
cdef long long SHORT = 1 << 30
cdef long long FIRST_WAIT = byte_locks.NUMBERS


@cython.freelist(16)
cdef class Flight:
    """A caller that has missed a key: it leads, or waits for the one that does."""

    def __cinit__(self, Flights flights not None, long long number, loop=None):
        self.flights = flights
        self.number = number
        self.key = number
        self.thread = identity()
        self.loop = loop

    @property
    def sleepers(self):
        """What tasks wait for to be woken at its end (list of weak references to futures)."""
        if self.woken is None:
            self.woken = []
        return self.woken


# Calls of its own methods name the class: no subclass has others, and it need not be looked for.

cdef class Flights:
    """The flights of one directory in this process. A subclass says in Python how one waits: `_wait`.

    Args:
        byte_locks: those of the directory.
        event_count: notified at the end of each flight that has led.
        failures: how often those of a number have failed.
        leaders: who leads, of all processes.
    """

    def __cinit__(
            self, ByteLocks byte_locks not None, EventCount event_count not None, Counters failures not None,
            Leaders leaders not None):
        self.byte_locks = byte_locks
        self.event_count = event_count
        self.failures = failures
        self.leaders = leaders
        self.active = {}
        self.waits = {}

    cpdef Flight leader(self, Flight flight):
        """The flight that leads for the same number in this process, for this one to wait for: this one, if there was none."""
        cdef Flight leader = self.active.setdefault(flight.key, flight)
        if leader is not flight:
            leader.awaited = True
        return leader

    cpdef bint claim(self, Flight flight) except -1:
        """Have this one lead among the processes, too, if none does there; returns whether it was so (bool)."""
        cdef Leaders leaders = self.leaders
        if flight.claim == REFUSED:
            flight.claim = leaders.claim(flight.number)
            flight.life = self.byte_locks.life()
        return flight.claim != REFUSED

    cpdef bint begin(self, Flight flight) except -1:
        """Whether this flight leads: there is no other one, in whatever process. To be ended by ``end`` in any case."""
        return Flights.leader(self, flight) is flight and Flights.claim(self, flight)

    cpdef object run(self, long long number, object look, object compute, double patience):
        """The value, if ``look`` finds it; else what ``compute`` returns after it has stored it.

        Args:
            number: of the key (int); see ``number_of``.
            look: returns the value, or, if there is none, its argument.
            compute: for who may compute it, or does not wait any more.
            patience: for how many seconds to wait for others (float); then it computes beside them.
        """
        cdef Flight flight = Flight(self, number)
        try:
            if not Flights.begin(self, flight):
                return self._wait(flight, look, compute, patience)
            found = look(ABSENT)
            return Flights.lead(self, flight, compute) if found is ABSENT else found
        finally:
            Flights.end(self, flight)

    cpdef object lead(self, Flight flight, object compute):
        """Compute, as a part of this flight."""
        part_of = get_value(current)
        try:
            PyContextVar_Set(current, (*<tuple>part_of, flight))
            return compute()
        except Exception:
            flight.failed = True
            raise
        finally:
            PyContextVar_Set(current, part_of)

    cpdef end(self, Flight flight):
        """Let others lead, if it was this one that did. In a child of the process that it began in, it did not."""
        cdef Leaders leaders = self.leaders
        cdef int claim = flight.claim
        cdef bint awaited = False
        if self.active.get(flight.key) is not flight:
            return
        flight.claim = REFUSED
        if claim != REFUSED and flight.life == self.byte_locks.life():
            if flight.failed:
                # Before anybody can lead in its place.
                self.failures.advance(flight.key)
            awaited = leaders.release(flight.number, claim)
        del self.active[flight.key]
        flight.ended = True
        if claim != REFUSED and (awaited or flight.awaited):
            self.event_count.notify((<unsigned int>1) << (flight.number & 31))
        if flight.woken is None:
            return
        # A copy: they take themselves out.
        for reference in list(flight.woken):
            woken = reference()
            try:
                if woken is not None:
                    woken.get_loop().call_soon_threadsafe(wake, woken)
            except RuntimeError:
                # That loop is closed.
                continue

    def after_fork_in_child(self):
        """What its parent computes is the parent's."""
        self.active = {}
        self.waits = {}

    cdef bint is_circle(self, Flight leader, tuple part_of) except -1:
        """Whether who leads waits, through flights of other processes, too, for one of these."""
        cdef set ours = set()
        cdef set seen = set()
        cdef list ahead = [leader.number % SHORT]
        cdef Flight flight
        cdef long long number
        for flight in part_of:
            if flight.flights is self and not flight.ended:
                ours.add(flight.number % SHORT)
        if not ours:
            return False
        while ahead:
            number = ahead.pop()
            if number in ours:
                return True
            if number not in seen:
                seen.add(number)
                ahead += self.awaited(number)
        return False

    cdef list awaited(self, long long number):
        """What the flights of a number wait for, in whatever process."""
        cdef list awaited = list(self.waits.get(number, ()))
        awaited += [wait % SHORT for wait in self.byte_locks.locked_within(FIRST_WAIT + number * SHORT, SHORT)]
        return awaited

    cdef bint publish(self, long long number, long long awaited) except -1:
        """Tell other processes that one of these flights waits for one of those; returns whether that was noted: not if
        another process has told it."""
        cdef dict waits = self.waits.setdefault(number, {})
        if awaited not in waits and not self.byte_locks.acquire(FIRST_WAIT + number * SHORT + awaited):
            return False
        waits[awaited] = waits.get(awaited, 0) + 1
        return True

    cdef int withdraw(self, long long number, long long awaited) except -1:
        """One of those that was noted does so no more."""
        cdef dict waits = self.waits.get(number)
        # Forked meanwhile, it is nobody's.
        if waits is None or awaited not in waits:
            return 0
        waits[awaited] -= 1
        if not waits[awaited]:
            self.byte_locks.release(FIRST_WAIT + number * SHORT + awaited)
            del waits[awaited]
        if not waits:
            self.waits.pop(number, None)
        return 0


cdef class Ending:
    """What ends a flight when it is called, or collected: for a task, which may never begin, or never go on."""

    cdef Flight flight

    def __cinit__(self, Flight flight not None):
        self.flight = flight

    def __call__(self, task=None):
        self.flight.flights.end(self.flight)

    def __del__(self):
        self.flight.flights.end(self.flight)


cdef class Waiting:
    """A context: a part of these flights waits for that one. ``in_circle`` is whether it does so for itself in the end, so
    that it must not."""

    cdef Flights flights
    cdef Flight leader
    cdef tuple part_of
    # What was noted so far, and told to other processes.
    cdef Py_ssize_t noted
    cdef list told
    cdef readonly bint in_circle

    def __cinit__(self, Flights flights not None, tuple part_of not None, Flight leader not None):
        self.flights = flights
        self.part_of = part_of
        self.leader = leader
        self.told = []

    def __enter__(self):
        cdef Flight flight
        if not self.part_of:
            return self
        try:
            for flight in self.part_of:
                if flight.waits_for is None:
                    flight.waits_for = []
                flight.waits_for.append(self.leader)
                self.noted += 1
                if flight.flights is self.flights and not flight.ended and self.flights.publish(
                        flight.number % SHORT, self.leader.number % SHORT):
                    self.told.append(flight)
            self.in_circle = waits_for_any(self.leader, self.part_of) or self.flights.is_circle(self.leader, self.part_of)
        except BaseException:
            self.withdraw()
            raise
        return self

    def __exit__(self, kind, error, traceback):
        self.withdraw()

    cdef int withdraw(self) except -1:
        cdef Flight flight
        for flight in self.told:
            self.flights.withdraw(flight.number % SHORT, self.leader.number % SHORT)
        for flight in self.part_of[:self.noted]:
            flight.waits_for.remove(self.leader)
        self.told = []
        self.noted = 0
        return 0


cdef bint waits_for_any(Flight leader, tuple flights) except -1:
    """Whether a flight is one of these, or waits for one, or for one that does."""
    cdef set seen = {leader}
    cdef list ahead = [leader]
    cdef Flight flight
    while ahead:
        flight = ahead.pop()
        if flight in flights:
            return True
        if flight.waits_for is not None:
            new = [other for other in flight.waits_for if other not in seen]
            seen.update(new)
            ahead += new
    return False


def wake(woken):
    """End the sleep of a task, in its loop's thread."""
    if not woken.done():
        woken.set_result(None)


cpdef long long number_of(object key, object serializer) except -1:
    """What the flights know a key by (int)."""
    return <long long>(hash_key(key, serializer) >> LEFT_OUT)
