"""Workers that write pairs, or make backups, while others do."""

import os

import fastcache

from .commands import command, hear, open_store, say, until_told

LARGE = 100_000


def partners(store, name):
    """Two keys that one transaction may write: of one shard."""
    first = (name, "first")
    for number in range(1000):
        second = (name, "second", number)
        try:
            with store.transact(first):
                store.get(second)
        except fastcache.TransactionError:
            continue
        return first, second
    raise AssertionError("no two keys share a shard")


@command
def write_pairs(kind, directory, name):
    """Write two keys together again and again, each third time in files, until told; say how often."""
    with open_store(kind, directory) as store:
        keys = partners(store, name)
        count = 0

        def write():
            nonlocal count
            count += 1
            with store.transact(keys[0]):
                for key in keys:
                    store[key] = os.urandom(8) + bytes(LARGE if count % 3 == 0 else 8) + b"%d" % count
                store[keys[0]] = store[keys[1]]

        write()
        say([list(key) for key in keys])
        until_told(write)
        say(count)


@command
def back_up_to_the_first_step(kind, directory, path):
    """Begin a backup, say so, and wait."""
    with open_store(kind, directory) as store:
        store.backup(path, progress=lambda done, total: (say("begun"), hear()))


@command
def back_up_and_say(kind, directory, path):
    """Make a backup, and say each step."""
    with open_store(kind, directory) as store:
        say("begins")
        store.backup(path, progress=lambda done, total: say([done, total]))
        say("done")
        hear()
