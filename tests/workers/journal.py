"""Workers that fill the write-ahead log."""

import os

from .commands import command, hear, open_store, say


@command
def write_random(kind, directory, count, size):
    """When told, set so many values of a size."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(count):
            store[os.getpid(), number % 500] = os.urandom(size)
