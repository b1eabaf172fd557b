# The computations of missing keys under way, and who leads each.

from fastcache.engine.shm.byte_locks cimport ByteLocks
from fastcache.engine.shm.counters cimport Counters
from fastcache.engine.shm.eventcount cimport EventCount
from fastcache.engine.shm.leaders cimport Leaders


cdef class Flight:
    # Where: the directory's flights; the thread (or greenlet), and the event loop of a task, by their numbers. A loop that is
    # left with tasks inside is collected with them, and so are their flights ended.
    cdef Flights flights
    cdef readonly long long number
    # The number, as it stands in `active`.
    cdef object key
    cdef public object thread
    cdef public object loop
    cdef readonly bint ended
    # How it leads, in which life of this process, and whether another one of this process waits for it.
    cdef int claim
    cdef unsigned int life
    cdef bint awaited
    # Whether what it computed has raised an error: set before it ends.
    cdef public bint failed
    # What tasks wait for to be woken at its end: weak, for the same reason. And the flights that what it computes waits for. None before
    # there was one.
    cdef list woken
    cdef list waits_for


cdef class Flights:
    cdef object __weakref__
    cdef readonly ByteLocks byte_locks
    cdef readonly EventCount event_count
    cdef readonly Counters failures
    cdef readonly Leaders leaders
    cdef readonly dict active
    # By what of a number stands in a byte lock: what those flights wait for, and how many of their parts do. All are locked.
    cdef dict waits

    cpdef Flight leader(self, Flight flight)
    cpdef bint claim(self, Flight flight) except -1
    cpdef bint begin(self, Flight flight) except -1
    cpdef object run(self, long long number, object look, object compute, double patience)
    cpdef object lead(self, Flight flight, object compute)
    cpdef end(self, Flight flight)
    cdef bint is_circle(self, Flight leader, tuple part_of) except -1
    cdef list awaited(self, long long number)
    cdef bint publish(self, long long number, long long awaited) except -1
    cdef int withdraw(self, long long number, long long awaited) except -1


cpdef long long number_of(object key, object serializer) except -1
