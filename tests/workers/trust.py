"""Workers that sign values, and read those that were signed."""

import collections

import fastcache

from .commands import command, hear, open_store, say


@command
def store_signed(kind, directory, number):
    """Store what has to be signed, as soon as all are ready."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        store[number] = collections.Counter(a=number)


@command
def read_at_all(kind, directory, key):
    """Say which error reading a value raises, or that it is there."""
    with open_store(kind, directory) as store:
        try:
            store[key]
        except fastcache.CacheError as error:
            say(type(error).__name__)
        else:
            say("a value")
