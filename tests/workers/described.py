"""Values that show whether they are whole, and the workers that write and read them."""

import contextlib
import random
import sqlite3
import threading

from .commands import command, hear, open_store, say


def described(key, size):
    """A value that shows whether it is whole: its size, its key, and nothing else."""
    head = f"{size}:{key}:".encode()
    return head + bytes([size % 251]) * size


def is_whole(key, value):
    size, said, body = value.split(b":", 2)
    size = int(size)
    return said == str(key).encode() and body == bytes([size % 251]) * size


SIZES = (0, 10, 1000, 5000, 30_000, 170_000, 200_000, 1_200_000)


def generation(value):
    """The number that a described value carries in the place of its key."""
    number = int(value.split(b":", 2)[1])
    assert is_whole(number, value), "torn value"
    return number


@command
def write_described(kind, directory, seed, times):
    """Replace, delete and pop values of all sizes."""
    chance = random.Random(seed)
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for _ in range(times):
            key = chance.randrange(8)
            act = chance.random()
            if act < 0.85:
                store[key] = described(key, chance.choice(SIZES))
            elif act < 0.92:
                store.delete(key)
            elif (value := store.pop(key, None)) is not None:
                assert is_whole(key, value), "torn value popped"
    say("done")


@command
def start_over(kind, directory, keys, times):
    """Replace values that lie in rows of several pages, each time in a write-ahead log that starts over."""
    chance = random.Random(keys)
    with open_store(kind, directory) as store, contextlib.closing(sqlite3.connect(f"{directory}/cache.db")) as database:
        for number in range(times):
            key = number % keys
            store[key] = described(key, chance.randrange(5000, 40_000))
            database.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()


@command
def read_described(kind, directory, seed):
    """Read until told to stop; say how many values were read, all of them whole."""
    chance = random.Random(seed)
    stop = threading.Event()
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        threading.Thread(target=lambda: (hear(), stop.set()), daemon=True).start()
        seen = 0
        while not stop.is_set():
            key = chance.randrange(8)
            if (value := store.get(key)) is not None:
                assert is_whole(key, value), f"torn value of {len(value)} bytes: {value[:30]}"
                seen += 1
            if chance.random() < 0.05:
                for key, value in store.items():
                    assert is_whole(key, value), "torn value in items()"
        say(seen)
