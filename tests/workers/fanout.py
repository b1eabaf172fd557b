"""Workers that use shards."""

import contextlib
import os
import pickle

import fastcache

from .commands import command, hear, open_store, say


@command
def create_shards(kind, shards, *directories):
    """Open each directory with so many shards, while others do the same; say which errors that has raised."""
    errors = []
    for directory in directories:
        say("ready")
        hear()
        try:
            with open_store(kind, directory, shards=shards) as store:
                store.incr(f"opened with {shards}")
                store[f"by {os.getpid()}"] = os.getpid()
        except fastcache.FormatError:
            errors.append(directory)
    say(errors)


@command
def set_pickled(kind, directory, shards, path):
    """Store the position of each of the keys in a file."""
    with open(path, "rb") as file:
        keys = pickle.load(file)
    with open_store(kind, directory, shards=shards) as store:
        for position, key in enumerate(keys):
            store[key] = position


@command
def set_streams(kind, directory, name, items, backward):
    """Store many entries of all shards in each call, from a generator; the first ones are the last ones of others."""
    numbers = range(items)
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for _ in range(3):
            store.set_many((number, name) for number in (reversed(numbers) if backward else numbers))


@command
def set_generations(kind, directory, items):
    """Give all keys a new number, with one call of a generator, until it is killed; say which are stored."""
    with open_store(kind, directory) as store:
        generation = store.get(0, 0)
        while True:
            generation += 1
            store.set_many((number, generation) for number in range(items))
            say(generation)


@command
def hold_key(kind, directory, key):
    """Hold a transaction of one key's shard until told to let go."""
    with open_store(kind, directory) as store, store.transact(key):
        store[key] = "held"
        say("holding")
        hear()


@command
def fork_shards(kind, directory):
    """Fork while all shards are in use, once inside a transaction; say how the children have ended."""
    with open_store(kind, directory) as store:
        store.set_many((number, 0) for number in range(100))
        ends = []
        for inside in (False, True):
            with store.transact(1) if inside else contextlib.nullcontext():
                child = os.fork()
                if child == 0:
                    # What was in use when it was forked, and nothing else, cannot be used by the child.
                    refused = []
                    for number in range(100):
                        try:
                            store.incr(number)
                        except fastcache.TransactionError:
                            refused.append(number)
                    os._exit(0 if (1 in refused and len(refused) < 30 if inside else not refused) else 1)
                ends.append(os.waitpid(child, 0)[1])
        say([ends, [store[number] for number in range(100)]])
