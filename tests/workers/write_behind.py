"""Workers that write behind."""

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
import warnings

import fastcache
from fastcache.engine.database import forks

from .commands import command, hear, open_store, peak_kilobytes, say
from .described import described


@command
def end_behind(kind, directory, seconds, ending):
    """Set, and end in some way without closing or flushing."""
    store = open_store(kind, directory, write_behind=seconds)

    def write(start, stop):
        for number in range(start, stop):
            store[number] = b"file" * 40_000 if number % 10 == 3 else number
            store["deleted"] = 1
        store.delete("deleted")

    if ending == "another at exit":
        # Called after what fastcache has registered, or before it, as it comes.
        atexit.register(write, 50, 100)
        write(0, 50)
    elif ending == "thread":
        thread = threading.Thread(target=write, args=(0, 100))
        thread.start()
        thread.join()
    else:
        write(0, 100)
    if ending == "collect":
        del store, write
        gc.collect()
        # It is stored by now, or will be at the end; there is nobody left to ask.
    elif ending == "exit":
        sys.exit(0)
    else:
        sys.kept = store


@command
def write_behind_to_a_full_disk(kind, directory, size):
    """Set while no file may grow, until that comes up; cure it, and flush; say how many were set."""
    import resource

    # What fails in the background is logged, too.
    logging.getLogger("fastcache").setLevel(logging.CRITICAL)

    value = "x" * size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_store(kind, directory, write_behind=0.02) as store:
        store["before"] = 1
        store.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        stored = 0
        over = time.monotonic() + 60
        try:
            while time.monotonic() < over:
                store[stored] = value
                stored += 1
                time.sleep(0.001)
        except fastcache.CacheError:
            pass
        else:
            raise AssertionError("the failure never came up")
        said = {"stored": stored, "flush": "done"}
        try:
            store.flush()
        except fastcache.CacheError:
            said["flush"] = "failed"
        assert list(store.get_many(range(stored)).values()) == [value] * stored
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        store.flush()
        with open_store(kind, directory) as other:
            assert list(other.get_many(range(stored)).values()) == [value] * stored
        store["afterwards"] = 1
    say(said)


@command
def fork_beside_a_writer(kind, directory):
    """Fork while something waits to be written, and a thread with SQLite's lock opens stores, which a fork holds up."""
    forks._PATIENCE = 0.5
    waiting = open_store(kind, directory, write_behind=1000.0, timeout=1000.0)
    other = open_store(kind, directory)
    inside, forked = threading.Event(), threading.Event()

    def write():
        with other.transact("a"):
            other["a"] = 1
            inside.set()
            while not forked.is_set():
                open_store(kind, directory).close()

    writing = threading.Thread(target=write)
    writing.start()
    inside.wait()
    waiting["k"] = "v"
    child = os.fork()
    if not child:
        os._exit(0)
    forked.set()
    writing.join()
    _, status = os.waitpid(child, 0)
    waiting.flush()
    with open_store(kind, directory) as fresh:
        say([status, waiting["k"], fresh["k"], fresh["a"]])
    waiting.close()
    other.close()


@command
def fork_beside_an_opening(kind, directory):
    """Fork while a thread is about to open a connection; the timer, which is asked before the fork, reads there."""
    forks._PATIENCE = 0.1
    inside, asked = threading.Event(), threading.Event()
    read = []

    def clock():
        if inside.is_set() and not asked.is_set() and threading.current_thread() is threading.main_thread():
            asked.set()
            # By then it waits for the fork.
            time.sleep(0.2)
            read.append(other.get("k"))
        return time.time()

    other = open_store(kind, os.path.join(directory, "other"), memory=0)
    other["k"] = "v"
    waiting = open_store(kind, directory, write_behind=1000.0, timeout=1000.0, timer=clock)
    waiting["a"] = 1

    def write():
        with other.transact("k"):
            inside.set()
            asked.wait()
            other.store.connect()

    writing = threading.Thread(target=write)
    writing.start()
    inside.wait()
    child = os.fork()
    if not child:
        os._exit(0)
    writing.join()
    _, status = os.waitpid(child, 0)
    waiting.close()
    other.close()
    say([status, read])


@command
def fork_behind(kind, directory, seconds):
    """Fork while writes wait; the child ends its own when the parent has stored other ones; say how it ended."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory, write_behind=seconds)
    store["deleted later"] = 1
    store["a"] = "parent first"
    store["b"] = "of the parent"
    go_in, go_out = os.pipe()
    child = os.fork()
    if child == 0:
        store["of the child"] = 1
        assert store["of the child"] == 1
        assert store.get("a") in (None, "parent first", "parent later")
        os.read(go_in, 1)
        assert store["a"] == "parent later"
        store.flush()
        assert store["a"] == "parent later"
        store["of the child, flushed"] = 2
        store.close()
        os._exit(0)
    assert (store["a"], store["b"]) == ("parent first", "of the parent")
    assert "of the child" not in store
    store["a"] = "parent later"
    del store["deleted later"]
    store.flush()
    os.write(go_out, b"x")
    status = os.waitpid(child, 0)[1]
    store["after"] = 3
    assert store["a"] == "parent later"
    store.close()
    say({"status": status})


@command
def fork_behind_a_lock(kind, directory):
    """Fork while writes wait that cannot be stored; the child flushes when the parent has stored them."""
    logging.getLogger("fastcache").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory, write_behind=1000, timeout=0.2)
    say("ready")
    hear()
    store["a"] = "parent first"
    store["b"] = 2
    go_in, go_out = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(go_in, 1)
        store.flush()
        store["child"] = 1
        store.close()
        os._exit(0)
    assert (store["a"], store["b"]) == ("parent first", 2)
    say("forked")
    hear()
    with contextlib.suppress(fastcache.Timeout):
        # What has failed meanwhile comes up once.
        store["a"] = "parent later"
    store["a"] = "parent later"
    store.flush()
    os.write(go_out, b"x")
    status = os.waitpid(child, 0)[1]
    store.close()
    say(status)


@command
def fork_many_behind(kind, directory, children):
    """Several children fork while threads of the parent write behind; say what the threads wrote last."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory, write_behind=0.005)
    stop = threading.Event()
    written = {}

    def write(name):
        number = 0
        while not stop.is_set():
            number += 1
            store[name] = number
            store[f"{name} {number % 100}"] = number
            written[name] = number
            assert store[name] == number

    threads = [threading.Thread(target=write, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    pids = []
    for number in range(children):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            store[f"child {number}"] = number
            store.close()
            os._exit(0)
        pids.append(child)
        time.sleep(0.01)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    stop.set()
    for thread in threads:
        thread.join()
    store.close()
    say([statuses, sorted(written.items())])


@command
def set_behind(kind, directory, seconds, name, entries):
    """Set some entries, and, when told, more; then wait."""
    with open_store(kind, directory, write_behind=seconds) as store:
        for number in range(entries):
            store[f"{name} {number}"] = described(number, 140_000 if number % 10 == 3 else 100)
        say("set")
        hear()
        for number in range(entries, 2 * entries):
            store[f"{name} {number}"] = described(number, 140_000 if number % 10 == 3 else 100)
        say("set more")
        hear()


@command
def fill_behind(kind, directory, seconds, entries, size):
    """Set many entries; say how many are there, and by how many kilobytes the process grew for it."""
    with open_store(kind, directory, memory=0, write_behind=seconds) as store:
        store["before"] = 1
        store.flush()
        del store["before"]
        before = peak_kilobytes()
        for number in range(entries):
            store[number] = f"{number:0{size}}"
        after = peak_kilobytes()
        store.flush()
        say([len(store), after - before])
