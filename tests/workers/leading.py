"""Workers that lead for numbers, as those do that compute for keys."""

import ctypes
import os
import random
import time

from fastcache.sync.single_flight import Flight, single_flight_of

from .commands import command, hear, open_store, say


def lead_and_end(flights, kept, what, number):
    if what == "begin":
        flight = Flight(flights, number)
        begun = flights.begin(flight)
        if begun:
            kept[number] = flight
        else:
            flights.end(flight)
        return begun
    if what == "end":
        return flights.end(kept.pop(number))
    return flights.leaders.state(number)


@command
def lead(kind, directory, known_as):
    """Do to numbers what comes in, and say what comes of it. The process is known by this number, or the next free."""
    os.getpid = lambda: known_as - 1
    with open_store(kind, directory) as store:
        flights, kept = single_flight_of(store.store), {}
        while (order := hear()) is not None:
            say(lead_and_end(flights, kept, *order))


@command
def lead_and_fork(kind, directory, how, number):
    """Lead, and fork a child, which ends what it has come with, asks for the same, says what it gets, and lives on."""
    fork = os.fork if how == "python" else ctypes.PyDLL(None).fork
    with open_store(kind, directory) as store:
        flights = single_flight_of(store.store)
        flight = Flight(flights, number)
        assert flights.begin(flight)
        if fork() == 0:
            flights.end(flight)
            if how == "c":
                # What a child finds out when it first needs a connection.
                store.get("something")
            own = Flight(flights, number)
            say(flights.begin(own))
            time.sleep(1000)
        hear()


@command
def lead_in_turns(kind, directory, folder, numbers, amount):
    """Lead for one number after the other; say how often, and for how many another one did at the same time."""
    import fcntl

    turns, seed = amount
    chosen = random.Random(seed)
    led = twice = 0
    # Opened first, they are closed first when this process is killed: before anybody else can lead.
    marks = {number: os.open(os.path.join(folder, str(number)), os.O_CREAT | os.O_RDWR) for number in numbers}
    with open_store(kind, directory) as store:
        flights = single_flight_of(store.store)
        say("ready")
        hear()
        while led < turns:
            flight = Flight(flights, chosen.choice(numbers))
            try:
                if flights.begin(flight):
                    led += 1
                    try:
                        fcntl.lockf(marks[flight.number], fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        twice += 1
                    if chosen.random() < 0.1:
                        time.sleep(0.0001)
                    fcntl.lockf(marks[flight.number], fcntl.LOCK_UN)
            finally:
                flights.end(flight)
    say([led, twice])
