"""Workers that store large values, and are stopped, killed or forked meanwhile."""

import collections
import contextlib
import functools
import gc
import os
import random
import signal
import sys
import time
import warnings

import fastcache

from .commands import command, hear, open_store, say


class Stopped(BaseException):
    """What a signal handler raises."""


def is_stopped(seconds, function):
    """Call it, and have a signal handler raise after so many seconds; returns whether that was before its end."""
    armed = [True]

    def stop(*_):
        if armed:
            raise Stopped

    signal.signal(signal.SIGALRM, stop)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            function()
        finally:
            # First: another thread may have got the signal, and this one hears of it later.
            armed.clear()
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Stopped:
        return True
    return False


FILE = 90_000
FILE_KEYS = range(5)
WAYS_TO_STORE = {
    "set": lambda store, values: [store.set(key, value) for key, value in values.items()],
    "set_many": lambda store, values: store.set_many(values.items()),
    "transact": lambda store, values: in_a_transaction(store, values.items()),
}


def in_a_transaction(store, pairs):
    with store.transact():
        for key, value in pairs:
            store[key] = value


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def files_in(directory, folder="values"):
    """The names of what lies in a folder of value files, and in those of other shards."""
    found = []
    for place, _, names in os.walk(directory):
        if place.endswith(folder):
            found += [name for name in names if not name.endswith(".writer")]
    return found


@command
def store_and_be_stopped(kind, directory, options, way, times):
    """Store large values, and be stopped by a signal handler in the middle, again and again. Say how many keys were
    lost, and how many have what was never stored; how often it was stopped; what is left in values/tmp; by how much
    the number of descriptors has grown; and what the check says."""
    chance = random.Random(f"{way} {options}")
    store = open_store(kind, directory, memory=0, **options)
    whole = way != "set" and kind in ("Cache", "Index")
    # Once without: what is imported late is there then. What stops an import in a wrong moment is printed, not raised.
    current = {key: chance.randbytes(FILE) for key in FILE_KEYS}
    WAYS_TO_STORE[way](store, current)
    lost = strange = stopped = 0
    longest = 0.004
    for number in range(times):
        if number == 20:
            before = descriptors()
        keys = FILE_KEYS if way != "set" else [chance.choice(FILE_KEYS)]
        values = {key: chance.randbytes(FILE) for key in keys}
        began = time.perf_counter()
        if is_stopped(chance.random() * longest + 1e-6, functools.partial(WAYS_TO_STORE[way], store, values)):
            stopped += 1
        else:
            # So that most of them are met while they last.
            longest = 0.9 * longest + 0.1 * 2 * (time.perf_counter() - began)
        found = {key: store.get(key) for key in values}
        for key, value in values.items():
            if found[key] not in (value, current.get(key)):
                lost += found[key] is None
                strange += found[key] is not None
        strange += whole and len({found[key] == values[key] for key in values}) > 1
        current.update(found)
    over = time.monotonic() + 20
    while len(files_in(directory)) > len(current) and time.monotonic() < over:
        time.sleep(0.01)
    left = {"tmp": len(files_in(directory, "tmp")), "files": len(files_in(directory)) - len(current)}
    grown = descriptors() - before
    say([lost, strange, stopped, left, grown, str(store.check())])
    store.close()


@command
def flush_and_be_stopped(kind, directory, times):
    """Have a batch stopped in the middle of flush. Say how often it was, and how often what was committed has later
    come over what somebody else has set since."""
    chance = random.Random(1)
    store = open_store(kind, directory, max_size=20_000_000)
    other = open_store(kind, directory, memory=0)
    stopped = overwritten = 0
    longest = 0.001
    with store.batch(max_seconds=1000) as batch:
        for number in range(times):
            values = {key: f"{number} {key} put off".ljust(FILE if key % 2 else 10) for key in range(4)}
            for key, value in values.items():
                batch[key] = value
            began = time.perf_counter()
            if is_stopped(chance.random() * longest + 1e-6, batch.flush):
                stopped += 1
            else:
                longest = 0.9 * longest + 0.1 * (time.perf_counter() - began)
            committed = [key for key in values if other.get(key) == values[key]]
            for key in committed:
                other[key] = f"{number} {key} newer"
            batch.flush()
            overwritten += sum(other[key] != f"{number} {key} newer" for key in committed)
    say([stopped, overwritten])


@command
def recurse_and_set(kind, directory, depth):
    """Set large values ever deeper in the stack, until there is no more; say what that leaves."""
    sys.setrecursionlimit(depth)
    store = open_store(kind, directory, memory=0)
    store["k"] = b"x" * FILE
    before = descriptors()
    seen = set()

    def deeper(number):
        try:
            store["k"] = b"%d" % number * FILE
        except RecursionError:
            seen.add("set")
        deeper(number + 1)

    for _ in range(5):
        with contextlib.suppress(RecursionError):
            deeper(0)
    sys.setrecursionlimit(1000)
    over = time.monotonic() + 20
    while len(files_in(directory)) > 1 and time.monotonic() < over:
        time.sleep(0.01)
    say([len(files_in(directory, "tmp")), len(files_in(directory)), descriptors() - before, str(store.check())])
    store.close()


@command
def store_on(kind, directory, options, way, seed):
    """Store large values until killed; say when it begins."""
    chance = random.Random(seed)
    with open_store(kind, directory, **options) as store:
        say("ready")
        while True:
            WAYS_TO_STORE[way](store, {chance.randrange(80): chance.randbytes(FILE) for _ in range(8)})


@command
def store_for_a_while(kind, directory, what, seconds, seed):
    """Store values in a cache with a limit in transactions; say what has failed."""
    chance = random.Random(seed)
    failed = collections.Counter()

    def values(count, sizes):
        return {chance.randrange(1000): chance.randbytes(chance.choice(sizes)) for _ in range(count)}

    def undo(pairs):
        with contextlib.suppress(ZeroDivisionError), store.transact():
            in_a_transaction(store, pairs)
            1 // 0  # noqa: B018

    def undo_parts():
        with store.transact():
            for number in range(3):
                (undo if number % 2 else lambda pairs: in_a_transaction(store, pairs))(values(20, [FILE]).items())

    with open_store(kind, directory) as store:
        say("ready")
        hear()
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            try:
                {
                    "transact": lambda: in_a_transaction(store, values(60, [FILE]).items()),
                    "set_many": lambda: store.set_many(values(60, [FILE]).items()),
                    "mixed": lambda: in_a_transaction(store, values(20, [100, 10_000, 60_000, FILE, 300_000]).items()),
                    "undone": undo_parts,
                }[what]()
            except fastcache.CacheError as error:
                failed[type(error).__name__] += 1
        say(failed)


@command
def fork_in_the_middle(kind, directory):
    """Fork inside a transaction that has stored large values, and outside of one; say what can be read then."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory, memory=0)
    store["before"] = b"b" * FILE
    with store.transact():
        store["inside"] = b"i" * FILE
        child = os.fork()
        if child == 0:
            del store
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        store["child"] = b"c" * FILE
        os.write(writing, b"written")
        # Until it is killed.
        while True:
            store["child"] = b"c" * (FILE + 1)
    os.read(reading, 10)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    store["after"] = b"a" * FILE
    over = time.monotonic() + 20
    while True:
        store["small"] = 1
        markers = [name for name in os.listdir(os.path.join(directory, "values", "tmp")) if name.endswith(".writer")]
        if (len(files_in(directory)) == 4 and len(markers) == 1) or time.monotonic() > over:
            break
        time.sleep(0.05)
    found = sorted((key, len(value)) for key, value in store.items() if key not in ("child", "small"))
    say([found, "child" in store, len(files_in(directory)), len(files_in(directory, "tmp")), str(store.check())])
    store.close()
    say(os.listdir(os.path.join(directory, "values", "tmp")))
