"""Workers that come and go while another process copies the directory that it has open."""

import contextlib
import ctypes
import os
import shutil
import signal
import sqlite3
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


@command
def try_sql(directory, *statements):
    """Say whether SQL statements can be run by another program just now."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), timeout=0.1)) as database:
        try:
            for statement in statements:
                database.execute(statement)
        except sqlite3.OperationalError as error:
            say(str(error))
        else:
            say("done")


@command
def open_by_sqlite3_first(kind, directory, databases):
    """Have the databases open by sqlite3 before fastcache opens anything in this process; use both; go on when told."""
    before = [sqlite3.connect(path, isolation_level=None) for path in databases]
    for database in before:
        database.execute("SELECT count(*) FROM entry").fetchall()
    store = open_store(kind, directory)
    store["a"] = 1
    say("both")
    hear()
    for database in before:
        database.execute("UPDATE meta SET value = value WHERE name = 'format'")
        database.close()
    store["b"] = 2
    say("one")
    hear()
    store["c"] = 3
    store.close()
    with open_store(kind, directory) as store:
        store["d"] = 4
        for path in databases:
            with open(path, "rb") as file:
                file.read()
        say("anew")
        hear()
        store["e"] = 5


@command
def use_another_sqlite(kind, directory, place):
    """Have another copy of SQLite's library open and close the database in this process; go on when told."""
    store = open_store(kind, directory)
    store["a"] = 1
    with open("/proc/self/maps") as maps:
        found = {line.split(maxsplit=5)[5].strip() for line in maps if "libsqlite3.so" in line}
    if not found:
        say("none")
        return
    shutil.copy(found.pop(), place)
    library = ctypes.CDLL(place)
    handle = ctypes.c_void_p()
    database = os.path.join(directory, "cache.db").encode()
    assert library.sqlite3_open(database, ctypes.byref(handle)) == 0
    assert library.sqlite3_exec(handle, b"SELECT count(*) FROM entry", None, None, None) == 0
    # The two keep each other out, as two processes do.
    with store.transact(*(("a",) if kind.startswith("Fanout") else ())):
        store["a"] = 2
        assert store["a"] == 2
        locked = library.sqlite3_exec(handle, b"BEGIN IMMEDIATE", None, None, None)
    if not kind.startswith("Fanout"):
        assert locked == 5
    library.sqlite3_close(handle)
    say("closed")
    hear()
    store["b"] = 3
    say("done")
