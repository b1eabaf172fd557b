"""Workers that write or read until they are told to stop, or killed."""

import itertools
import random

from .commands import command, hear, open_store, run_threads, say, until_told


@command
def acknowledge(kind, directory, durability, run, threads):
    """Set from several threads without end; say each key when it is stored."""
    store = open_store(kind, directory, durability=durability)

    def write(name):
        for number in itertools.count():
            store[f"{run} {name} {number}"] = b"x" * (140_000 if number % 10 == 3 else 10)
            say([str(run), str(name), str(number)])

    run_threads(*[lambda name=name: write(name) for name in range(threads)])


@command
def write_on(kind, directory, name, how, far):
    """Write until told to stop; say when it was that often, and how often it was in the end."""
    numbers = itertools.count()
    with open_store(kind, directory, timeout=90) as store:
        say("ready")
        hear()

        def write():
            number = next(numbers)
            if how == "set":
                store[name] = number
            elif how == "set_many":
                store.set_many((f"{name} {item}" if item else name, number) for item in range(20))
            else:
                with store.transact():
                    store[name] = number
                    store["last"] = name
            if number == far - 1:
                say("far")

        say(until_told(write))


@command
def read_on(kind, directory):
    """Read until told to stop; say how often."""
    chance = random.Random(1)
    with open_store(kind, directory, memory=0) as store:
        say("ready")
        hear()
        say(until_told(lambda: [store.get(chance.randrange(5000)) for _ in range(100)]))


@command
def read_in_bursts(kind, directory, _):
    """Read a hundred times whenever told to go; told to hold, keep the GIL for ever."""
    import re

    with open_store(kind, directory, memory=0) as store:
        while (told := hear()) == "go":
            for _ in range(100):
                store.get(1)
            say("done")
        if told == "hold":
            re.match("(a*)*b", "a" * 60)
