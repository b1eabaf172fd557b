# cython: nonecheck=True
"""Holds: the locks that threads have acquired or wait for, and how they are given up wherever an interrupt falls.

Ctrl-C, an alarm, or another thread that raises in this one strike between two instructions of Python code, and nowhere else:
never in compiled code, unless it calls Python code itself. So what has to be complete is compiled, and what is written in
Python (locks.py, records.py) is called from here, and may be interrupted anywhere. What is always true, and who keeps it so:

- **A token's byte is locked, noted, and unlocked here alone**, each without Python code in between. That lock (byte_locks.pyx)
  is what makes a hold one: a record whose token nobody has locked holds nobody up. So whatever a call of Python code raises,
  the byte is unlocked first, and what is left to do is for others to see it sooner.
- **A block that was entered is left, and one that is left was entered**: between `__enter__` and the first line of the
  block the interpreter runs no handler, since both are compiled.
- **A hold belongs to a thread**, by a number that is never used again, and to the caches through which it was acquired: a
  Lock to one; an RLock, which a thread may acquire through several objects of one directory, to each of them. When the last
  of these is closed or collected, it is free. What only a handle can release is free when the handle is collected.
"""

import math
import os
from _weakref import ref
from itertools import count
from time import monotonic

from cpython.dict cimport PyDict_Next
from cpython.ref cimport PyObject

from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.mapping cimport StoreMapping
from fastcache.runtime.greenlets cimport current as current_greenlet

from fastcache.engine.shm import byte_locks
from fastcache.runtime import fork, greenlets
from fastcache.errors import ClosedError, LockError, Timeout

# How much earlier than asked for the system may end a wait, in seconds.
cdef double EARLY = 0.001

FIRST_TOKEN = byte_locks.NUMBERS // 2
"""Tokens are the upper half of the byte locks; the lower half is for computing once."""


cdef Py_ssize_t FEW = 64


class Thread(greenlets.unpatched("_thread", "_local")):
    """A number for each thread of the system, which no other ever has."""

    def __init__(self):
        self.number = next(threads)


cdef class Threads:
    """The number of the thread, or greenlet, that runs. To ask for it runs no Python code."""

    cdef object thread
    # By the identity of greenlets: weak references to them, and their numbers.
    cdef dict greenlets
    # At how many it is looked which of them are gone.
    cdef Py_ssize_t forget_from

    def __cinit__(self):
        self.thread = Thread()
        self.greenlets = {}
        self.forget_from = FEW

    @property
    def number(self):
        """It (int); no other ever has it."""
        greenlet = current_greenlet()
        if greenlet is None:
            return self.thread.number
        known = self.greenlets.get(id(greenlet))
        if known is not None and known[0]() is greenlet:
            return known[1]
        if len(self.greenlets) >= self.forget_from:
            self.forget()
        number = next(threads)
        self.greenlets[id(greenlet)] = (ref(greenlet), number)
        return number

    cdef int forget(self) except -1:
        """Forget greenlets that are gone."""
        for identity, known in list(self.greenlets.items()):
            if known[0]() is None:
                self.greenlets.pop(identity, None)
        self.forget_from = max(FEW, 2 * len(self.greenlets))
        return 0


cdef object threads = count(1)
cdef object tokens
cdef Threads current


def begin():
    """Begin to count where no other process does."""
    global tokens, current
    # Consecutive, for the system keeps neighbouring locks as one; and far from where they end.
    tokens = count(FIRST_TOKEN + (int.from_bytes(os.urandom(8), "big") >> 4))
    current = Threads()


begin()
fork.TOKENS.in_child = begin


cdef class Hold:
    """A token that a thread waits with, or holds by."""

    cdef readonly object token
    cdef readonly object thread
    cdef readonly object key
    # Through which caches it was acquired, once for each time: what is live there. None when it was given back.
    cdef list parts
    # Until it is given back.
    cdef ByteLocks byte_locks
    cdef object records

    @property
    def lives(self):
        """Whether it was not given back (bool)."""
        return bool(self.parts)

    def give_up(self):
        """Give it back, if that was not done, and leave it to others to see that: for who keeps it in Python (aio/locks.py)."""
        self.end()

    cdef void end(self) noexcept:
        """Give it back, if that was not done. Needs no memory."""
        cdef list parts = self.parts
        cdef dict live
        if parts:
            self.parts = None
            self.byte_locks.release(self.token)
            for live in parts:
                live.pop(self.token, None)
            self.records = None

    cdef void leave(self, dict live) noexcept:
        """Be of this cache no more; given back if it is of no other."""
        cdef Py_ssize_t place
        if not self.parts:
            return
        for place in range(len(self.parts) - 1, -1, -1):
            if self.parts[place] is live and len(self.parts) > 1:
                del self.parts[place]
        if self.parts[0] is live:
            self.end()
        else:
            live.pop(self.token, None)

    cdef int add(self, dict live) except -1:
        """Acquired once more."""
        live[self.token] = self
        self.parts.append(live)
        return 0

    cdef void drop(self, dict live) noexcept:
        """Undo one of several: of those through this cache, if there are any."""
        cdef list parts = self.parts
        cdef dict other
        cdef Py_ssize_t place = len(parts) - 1
        while place > 0 and parts[place] is not live:
            place -= 1
        if parts[place] is not live:
            place = len(parts) - 1
        live = parts.pop(place)
        for other in parts:
            if other is live:
                return
        live.pop(self.token, None)


cdef class Holds:
    """What threads wait for and hold through one object of a cache.

    Args:
        records: of the directory (records.py).
    """

    cdef object __weakref__
    cdef readonly object records
    cdef readonly bint closed
    cdef ByteLocks byte_locks
    # By token. What is in there refers to it, but not to this object, so that this one is collected as soon as nobody has it.
    cdef dict live

    def __cinit__(self, records):
        self.records = records
        self.byte_locks = records.byte_locks
        self.live = {}

    @property
    def tokens(self):
        """The tokens of all that is waited for and held (set of int)."""
        return set(self.live)

    def begin(self, key, owner):
        """A hold whose token nobody ever had, locked, for an owner that is no thread: a task (aio/locks.py)."""
        return self.new_hold(key, owner)

    cdef Hold new_hold(self, object key, object thread):
        """A hold whose token nobody ever had, locked."""
        cdef Hold hold = Hold.__new__(Hold)
        hold.key = key
        hold.thread = thread
        hold.parts = [self.live]
        hold.byte_locks = self.byte_locks
        hold.records = self.records
        while True:
            hold.token = next(tokens)
            self.live[hold.token] = hold
            try:
                if self.byte_locks.acquire(hold.token):
                    return hold
            except BaseException:
                self.live.pop(hold.token, None)
                raise
            del self.live[hold.token]

    cdef void free(self) noexcept:
        cdef PyObject* first
        cdef Hold hold = None
        cdef Py_ssize_t place = 0
        # From the beginning each time, since what is left goes from it. Needs no memory.
        while PyDict_Next(self.live, &place, NULL, &first):
            hold = <Hold>first
            hold.leave(self.live)
            self.live.pop(hold.token, None)
            place = 0
        if hold is not None:
            wake(self.records)

    def close(self):
        """Free all that is waited for and held through this cache alone, and wake who waits for it."""
        self.closed = True
        self.free()

    def __del__(self):
        self.free()

    def after_fork_in_child(self):
        """What its parent holds is the parent's."""
        self.live = {}


cdef void remove(list place, Hold hold) noexcept:
    """Remove this very one, if it is there."""
    cdef Py_ssize_t index
    for index in range(len(place) - 1, -1, -1):
        if place[index] is hold:
            del place[index]
            break


cdef void wake(object records) noexcept:
    """Have all who wait in the directory of these records look who lives."""
    event_count = records.event_count
    if event_count is not None:
        event_count.notify()


cdef class Handle:
    """What Lock, RLock and BoundedSemaphore share (locks.py): acquire, release, and blocks.

    A subclass says in Python how a token comes into the records, and out of them: `_open`, `_take`, `_wait`, `_withdraw`,
    `_pass_on`, and where threads may acquire again `_renew` and `_is_held`.
    """

    cdef object __weakref__
    cdef readonly StoreMapping _cache
    cdef readonly object _expire
    cdef readonly object _timeout
    cdef readonly object _key
    # Whether a thread that holds it may acquire it again, through any handle of the name.
    cdef bint reentrant
    # What was acquired through this handle; and by blocks, which have not been left yet, with its cache's holds.
    cdef list own
    cdef list entered

    def __cinit__(self, *arguments, **options):
        self.own = []
        self.entered = []

    def _begin(self, StoreMapping cache not None, key, expire, timeout, bint reentrant):
        """Called once, by the subclass's ``__init__``."""
        self._timeout = timeout
        self._cache = cache
        self._key = key
        self._expire = expire
        self.reentrant = reentrant

    def __del__(self):
        cdef Hold hold
        for hold in self.own:
            if hold.parts:
                records = hold.records
                hold.end()
                wake(records)

    # -- what this thread has acquired ----------------------------------------------------------------------------

    cdef list noted(self, object records, object thread):
        """What was noted of this thread, the last one last; of all threads, where a handle keeps its own. None for nothing."""
        return (<dict>records.reentrant).get(thread) if self.reentrant else self.own

    cdef int note(self, object records, Hold hold) except -1:
        """This thread holds it from now on."""
        (records.reentrant.setdefault(hold.thread, []) if self.reentrant else self.own).append(hold)
        return 0

    cdef void forget(self, object records, Hold hold) noexcept:
        """Note a hold no more."""
        cdef list place = self.noted(records, hold.thread)
        if place is not None:
            remove(place, hold)
        if self.reentrant and not place:
            (<dict>records.reentrant).pop(hold.thread, None)

    cdef Hold last(self, list place, object thread):
        """What this thread has acquired last and holds; None for nothing."""
        cdef Hold hold
        cdef Py_ssize_t index = 0 if place is None else len(place)
        while index > 0:
            index -= 1
            # Comparing names may run Python code, which releases another one.
            if index >= len(place):
                continue
            hold = place[index]
            if not hold.parts:
                # Its cache was closed.
                remove(place, hold)
            elif hold.thread == thread and (not self.reentrant or hold.key == self._key):
                return hold
        return None

    cdef Hold find(self):
        """What this thread has acquired last.

        Raises:
            LockError: nothing, or it has released it already.
            ClosedError: the cache is closed.
        """
        cdef Holds holds = holds_of(self._cache)
        cdef Hold hold = None
        if holds is not None:
            hold = self.last(self.noted(holds.records, current.number), current.number)
        if hold is None:
            self._cache.__enter__()
            raise LockError(f"this thread has not acquired the {self._key[0]}, or has released it already")
        return hold

    def _current(self):
        """What this thread has acquired last (Hold); raises as `release`."""
        return self.find()

    # -- acquiring --------------------------------------------------------------------------------------------------

    def acquire(self, bint blocking=True, timeout=None):
        """Have it, after all who have asked before.

        Args:
            blocking: whether to wait for it.
            timeout: for how many seconds (int, float) at most; -1 for however long it takes, None for as long as it was made
                for.

        Returns:
            Whether it was acquired; without a timeout, waiting ends in no other way.

        Raises:
            ValueError: a negative timeout, or one for who does not wait.
            Timeout: the lock may be free, but another process kept its records locked for the cache's ``timeout``.
            ClosedError: the cache is closed, or was closed meanwhile.
        """
        cdef double patience = seconds_to_wait(blocking, self._timeout if timeout is None and blocking else timeout)
        return self.take(self._open(), blocking, monotonic() + patience) is not None

    cdef Hold take(self, Holds holds, bint blocking, double until):
        """What this thread holds now; None if it was not to be had in time."""
        cdef object records = holds.records
        cdef object thread = current.number
        cdef Hold hold
        cdef bint acquired
        if self.reentrant:
            hold = self.last(self.noted(records, thread), thread)
            # One that has expired, and was taken by another, is no hold any more; releasing it will say so.
            if hold is not None and self._renew(holds, hold.token) and hold.parts:
                self.refuse_if_closed(holds)
                hold.add(holds.live)
                return hold
        hold = holds.new_hold(self._key, thread)
        try:
            acquired = self._take(holds, hold.token, blocking, until) or (
                blocking and self._wait(holds, hold.token, until))
            if acquired:
                self.refuse_if_closed(holds)
                self.note(records, hold)
                return hold
        except BaseException as error:
            # This is enough. What follows is for others to see it sooner.
            hold.end()
            self._withdraw(holds, hold.token)
            # Waiting for the records was part of waiting for the lock, and may end a moment early.
            if isinstance(error, Timeout) and blocking and monotonic() >= until - EARLY:
                return None
            raise
        hold.end()
        self._withdraw(holds, hold.token)
        return None

    cdef int refuse_if_closed(self, Holds holds) except -1:
        if holds.closed or self._cache.store.closed:
            raise ClosedError(f"the cache in {self._cache.store.directory!r} is closed")
        return 0

    # -- releasing --------------------------------------------------------------------------------------------------

    def release(self):
        """Let go of what this thread has acquired last, and hand it to who has waited longest; of an RLock that was
        acquired several times, undo one.

        Returns:
            True; False if it was no longer ours: it had expired, and another one has got it, who keeps it.

        Raises:
            LockError: this thread has not acquired it, or has released it already.
            ClosedError: the cache was closed, and with that it was released.
            Timeout, StorageError: the records could not be changed, or not within the cache's ``timeout``. It is free
                all the same.
        """
        cdef Hold hold = self.find()
        return self.give_back(holds_of(self._cache), hold)

    cdef object give_back(self, Holds holds, Hold hold):
        """Undo one acquisition through these holds; returns whether it was still ours."""
        if len(hold.parts) > 1:
            hold.drop(holds.live)
            return self._is_held(holds, hold.token)
        try:
            still = self._pass_on(holds, hold.token)
        except BaseException:
            # Whatever has interrupted us: who waits sees a holder that is gone.
            hold.end()
            self.forget(holds.records, hold)
            wake(holds.records)
            raise
        hold.end()
        self.forget(holds.records, hold)
        return still

    # -- blocks -----------------------------------------------------------------------------------------------------

    def __enter__(self):
        cdef Holds holds = self._open()
        cdef Hold hold = self.take(
            holds, True, math.inf if self._timeout is None else monotonic() + <double>self._timeout)
        if hold is None:
            raise Timeout(f"the {self._key[0]} was not free within the {self._timeout:g} s that it was waited for")
        try:
            self.entered.append((hold, holds))
        except MemoryError:
            self.give_back(holds, hold)
            raise
        return self

    def __exit__(self, kind, error, traceback):
        cdef Py_ssize_t index = len(self.entered) - 1
        cdef object thread = current.number
        cdef Hold hold = None
        cdef Holds holds = None
        while index >= 0 and hold is None:
            if (<Hold>self.entered[index][0]).thread == thread:
                hold, holds = self.entered.pop(index)
            index -= 1
        if holds is not None and holds.closed:
            # It was released then.
            return
        try:
            if hold is not None and hold.parts:
                self.give_back(holds, hold)
            else:
                # It was released inside of the block, where it may have been acquired again.
                self.release()
        except (LockError, ClosedError):
            # A child that was forked inside the block leaves it by an exception: let that pass. And so what was closed
            # while it was released.
            if kind is None and (holds is None or not holds.closed):
                raise


cdef Holds holds_of(StoreMapping cache):
    """What was acquired through this cache; None if nothing ever was."""
    return getattr(cache, "_lock_holds", None)


cpdef double seconds_to_wait(bint blocking, object timeout) except -1.0:
    """For how long to wait for a lock, as ``acquire`` is told."""
    if timeout is not None and not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout is a number of seconds or None, not {type(timeout).__name__}")
    if timeout is None or timeout == -1:
        return math.inf if blocking else 0.0
    if not blocking:
        raise ValueError(f"timeout={timeout!r} is for who waits; with blocking=False there is none")
    if not timeout >= 0:
        raise ValueError(f"timeout={timeout!r} is no time to wait; None is for however long it takes")
    return timeout
