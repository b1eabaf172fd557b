"""Workers that fill a cache with a limit."""

import itertools
import json
import os
import random
import warnings

from .commands import command, hear, open_store, say


@command
def fill(kind, directory, name, size, times):
    """Set so many keys of its own to values of one size."""
    chance = random.Random(name)
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(times):
            store[f"{name} {number}"] = chance.randbytes(size)


@command
def read_hot(kind, directory, keys):
    """Go through some keys at each message, and say so."""
    with open_store(kind, directory) as store:
        say("ready")
        while hear() is not None:
            for key in range(keys):
                store.get(key)
            say("read")


@command
def write_large_on(kind, directory, size):
    """Write values of this size until killed; say when the first is there."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in itertools.count():
            store[f"large {number}"] = b"x" * size
            if number == 0:
                say("first")


@command
def fork_and_evict(kind, directory, policy, limit):
    """Parent and child flood a cache that was filled before; say what came of it."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    told = []
    store = open_store(kind, directory, max_size=limit, eviction=policy, on_evict=lambda key, reason: told.append(key))

    def flood(name):
        for number in range(1000):
            store[f"{name} {number}"] = b"x" * 1000
            store.get(f"{name} {number - 10}")

    flood("before")
    child = os.fork()
    if child == 0:
        # What the parent had been told by then.
        told.clear()
        flood("child")
        assert store.stats()["evictions"] > 0
        assert store.volume() <= limit * 1.05
        store.close()
        with open(os.path.join(os.path.dirname(directory), "told"), "w") as file:
            json.dump(told, file)
        os._exit(0)
    flood("parent")
    _, status = os.waitpid(child, 0)
    volume, evictions = store.volume(), store.stats()["evictions"]
    store.close()
    with open(os.path.join(os.path.dirname(directory), "told")) as file:
        childs = json.load(file)
    say({"status": status, "volume": volume, "evictions": evictions, "told twice": sorted(set(told) & set(childs))})
