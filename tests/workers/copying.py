"""Workers that come and go while another process copies the directory that it has open."""

import ctypes
import os
import signal
import time

import fastcache

from .commands import command, hear, open_store, say


@command
def set_and_close(kind, directory, name, count):
    """Set some entries, one after the other, close, and end."""
    with open_store(kind, directory) as store:
        for number in range(count):
            store[name, number] = number
    say("closed")


@command
def set_and_die(kind, directory, name, count):
    """Set some entries, say so, and be killed."""
    store = open_store(kind, directory)
    for number in range(count):
        store[name, number] = number
    say("set")
    os.kill(os.getpid(), signal.SIGKILL)


@command
def read_all(kind, directory):
    """Say all entries, and what a check finds."""
    with open_store(kind, directory) as store:
        say([sorted([list(key), value] for key, value in store.items()), str(store.check())])


@command
def take_lock(kind, directory, name):
    """Say whether a lock is free."""
    with open_store(kind, directory) as store:
        say(store.lock(name).acquire(timeout=0))


@command
def try_to_set(kind, directory, key):
    """Say whether a key can be set now."""
    with open_store(kind, directory, timeout=0.3) as store:
        try:
            store[key] = "set elsewhere"
        except fastcache.Timeout:
            say(False)
        else:
            say(True)


@command
def fork_in_c_and_wait(kind, directory):
    """Fork behind Python's back, in a transaction and with a lock; say the child, and do nothing more."""
    store = open_store(kind, directory, timeout=5)
    store["a"] = 1
    store.lock("lock").acquire()
    with store.transact(*(("a",) if kind.startswith("Fanout") else ())):
        store["a"] = 2
        # Written, and not committed.
        assert store["a"] == 2
        child = ctypes.CDLL(None).fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        say(child)
        time.sleep(60)


@command
def fork_in_c_and_use(kind, directory):
    """Fork behind Python's back, with a lock held, and have the child use what it has inherited; go on when told."""
    store = open_store(kind, directory, timeout=5)
    store["a"] = 1
    lock = store.lock("lock")
    lock.acquire()
    child = ctypes.CDLL(None).fork()
    if child == 0:
        # Closes what it came with.
        store["child"] = 1
        free = store.lock("lock").acquire(timeout=0)
        os._exit(0 if store["a"] == 1 and not free else 1)
    assert os.waitpid(child, 0)[1] == 0
    say("used")
    hear()
    store["after"] = 1
    say("after")
    hear()
