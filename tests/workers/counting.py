"""Workers of which several change the same entries: nothing is counted, added or popped twice, or not at all."""

import contextlib
import os

from .commands import command, hear, open_store, run_threads, say


@command
def count(kind, directory, threads, times):
    """Count up from several threads."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()

        def up():
            for _ in range(times):
                store.incr("n")

        run_threads(*[up] * threads)


@command
def transact_on(kind, directory, key, times):
    """Count in transactions of one key's shard."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for _ in range(times):
            with store.transact(key):
                store[key] = store.get(key, 0) + 1


@command
def add(kind, directory, keys):
    """Say which keys this process was the one to add."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        say([key for key in range(keys) if store.add(key, os.getpid())])


@command
def pop(kind, directory, keys):
    """Say which values this process got."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        say([value for key in range(keys) if (value := store.pop(key, None)) is not None])


@command
def popitem(kind, directory):
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        got = []
        with contextlib.suppress(KeyError):
            while True:
                got.append(store.popitem()[0])
        say(got)


@command
def insert(kind, directory, name, times):
    """Insert keys of its own, in order."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(times):
            store[f"{name} {number}"] = number
