"""Workers that append to the journal: they are killed or stopped there, fork, share it, or find it damaged."""

import contextlib
import itertools
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
import warnings

import fastcache
from fastcache.engine.database import forks
from fastcache.engine.shm import change_log, journal
from fastcache.runtime import background

from .commands import command, hear, open_store, run_threads, say, until_told

KEYS = 40


def change(store, name, number):
    """Do change ``number`` of those that ``name`` does one after the other; what it is depends on these alone."""
    key = f"{name} {number % KEYS}"
    way = number % 11
    if way == 3:
        store.incr(f"{name} counter")
    elif way == 5:
        store.pop(key, None)
    elif way == 7:
        store.add(key, [number, "a" * (number * 37 % 300)])
    else:
        store[key] = [number, "s" * (number * 53 % 400)]


# -- one that does what it is told ---------------------------------------------------------------------------


def fail_at(_, place, name):
    """Have this process get a signal where it is next at a place."""
    journal.fault(place, getattr(signal, name))


def states(store):
    """How the journal of each store stands; None where there is none."""
    return [part.journal and part.journal.state() for part in store.stores.all()]


def transact_and_stop(store, pairs):
    """Set pairs in a transaction, and be stopped before it ends."""
    with store.transact():
        store.update(pairs)
        os.kill(os.getpid(), signal.SIGSTOP)


def transact_and_count(store, key):
    """Count in a transaction."""
    with store.transact():
        return store.incr(key)


def begin_journal(store):
    """Open another object, which makes a journal, and stays open."""
    others.append(type(store)(store.directory, journal=True))


def append(store, name, *arguments):
    """Call a method of that one."""
    return getattr(others[-1], name)(*arguments)


others = []

VERBS = {
    function.__name__: function
    for function in (append, begin_journal, fail_at, states, transact_and_count, transact_and_stop)
}
VERBS["list"] = lambda store: list(store.items())
VERBS["check"] = lambda store: str(store.check())
VERBS["change"] = change


@command
def obey(kind, directory, options, capacity):
    """Do with a store what each line says, as [name, arguments, options]: a method's name, or one of VERBS.

    Say [what it returns, None], or [None, the name of the error]. ``capacity``: of a journal that this makes.
    Among the options, ``logs`` says whether it has a change log."""
    journal.MOST_CAPACITY = capacity or journal.MOST_CAPACITY
    if not options.pop("logs", True):
        change_log.capacity = 0
    with open_store(kind, directory, **options) as store:
        say("ready")
        while (told := hear()) is not None:
            name, arguments, keywords = told
            # What takes longer hangs.
            signal.alarm(20)
            try:
                found = (
                    VERBS[name](store, *arguments) if name in VERBS else getattr(store, name)(*arguments, **keywords)
                )
                say([found, None])
            except (fastcache.CacheError, KeyError) as error:
                say([None, type(error).__name__])
            signal.alarm(0)


@command
def set_and_be_killed(directory, shards, first, count):
    """Set so many keys, and be killed before they are drained."""
    store = fastcache.FanoutCache(directory, shards=shards, journal=True)
    for number in range(first, first + count):
        store[f"key {number}"] = number
    os.kill(os.getpid(), signal.SIGKILL)


@command
def keep_from_writing(directory):
    """Hold the write lock of each database, as any other program may, until told to let go: what is appended stays in
    the journal."""
    with contextlib.ExitStack() as stack:
        databases = []
        for path in sorted(pathlib.Path(directory).rglob("cache.db")):
            database = sqlite3.connect(path, isolation_level=None, timeout=30)
            databases.append(stack.enter_context(contextlib.closing(database)))
            database.execute("BEGIN IMMEDIATE")
        say("holding")
        hear()
        for database in databases:
            database.execute("ROLLBACK")
    say("let go")


# -- those that go on until they are killed ------------------------------------------------------------------


@command
def append_on(kind, directory, options, name, run):
    """Change entries of its own without end, with pauses in which they are drained; say the number of each change."""
    chance = random.Random(f"{name} {run}")
    with open_store(kind, directory, **options) as store:
        for number in itertools.count(run * 1_000_003):
            change(store, name, number)
            os.write(1, b"%d\n" % number)
            if chance.random() < 0.01:
                time.sleep(chance.choice([0.001, 0.02, 0.03]))


@command
def drain_on(kind, directory, options):
    """Have all drained again and again, in other ways in turn."""
    with open_store(kind, directory, **options) as store:
        say("ready")
        for number in itertools.count():
            (store.flush, store.__len__, lambda: store.set_many([("of the drainer", 1)]), lambda: list(store))[
                number % 4
            ]()


# -- those that share it -------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(kind, directory, options, journals):
    """Objects for one directory, each with the journal or without."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(open_store(kind, directory, **options | {"journal": each})) for each in journals]


@command
def count_by_objects(kind, directory, options, journals, threads, times):  # noqa: PLR0917
    """Count up in several ways, from threads each of which uses one object after the other."""
    with opened(kind, directory, options, journals) as stores:
        say("ready")
        hear()

        def count(first):
            for number in range(times):
                store = stores[(first + number) % len(stores)]
                store.incr("n")
                if number % 4 == 0:
                    with store.transact("in transactions"):
                        store["in transactions"] = store.get("in transactions", 0) + 1
                if number % 8 == 0:
                    store.incr("large", 1 << 40)

        run_threads(*[lambda first=first: count(first) for first in range(threads)])


@command
def win_by_objects(kind, directory, options, journals, threads, keys):  # noqa: PLR0917
    """Say which keys this process was the one to add, and which values it was the one to pop."""
    with opened(kind, directory, options, journals) as stores:
        say("ready")
        hear()
        added, popped = [], []

        def win(first):
            for number in range(keys):
                store = stores[(first + number) % len(stores)]
                if store.add(f"added {number}", os.getpid()):
                    added.append(number)
                if (value := store.pop(f"popped {number}", None)) is not None:
                    popped.append(value)

        run_threads(*[lambda first=first: win(first) for first in range(threads)])
        say([added, popped])


@command
def pair_on(kind, directory, options):
    """Set pairs in transactions, and others one after the other, without end."""
    with open_store(kind, directory, **options) as store:
        say("ready")
        for number in itertools.count(1):
            store["first"] = number
            store["second"] = number
            if number % 3 == 0:
                with store.transact():
                    store["left"] = number
                    store["right"] = number
            if number % 50 == 0:
                time.sleep(0.002)


@command
def lap_on(kind, directory, options, name, keys):
    """Set keys to numbers that grow, and bytes of any length that say whose they are, without end."""
    chance = random.Random(name)
    with open_store(kind, directory, **options) as store:
        say("ready")
        for number in itertools.count(1):
            key = chance.randrange(keys)
            store[f"{name} {key}"] = described(f"{name} {key}", number, chance.randrange(2000))
            if number % 200 == 0:
                time.sleep(0.001)


def described(key, number, size):
    """A value that says whose it is, and that it is whole."""
    return f"{key} {number} {size} " + chr(97 + number % 26) * size


def slowly_read(key, turn):
    """A value that says whose it is, and that it is whole, and takes long to be decoded."""
    return f"{key} {turn} " + chr(0xE0 + turn % 31) * 3000


@command
def read_in_turn(kind, directory, options, keys, many):
    """Read keys, one by one or all at once, which somebody sets in turn, until told to stop; say how often."""
    newest = 0
    with open_store(kind, directory, memory=0, **options) as store:

        def turn_of(key, value):
            turn = int(value.split()[2])
            assert value == slowly_read(key, turn), value[:100]
            return turn

        def read():
            nonlocal newest
            if many:
                turns = [turn_of(key, value) for key, value in store.get_many(keys).items()]
                assert turns == sorted(turns, reverse=True), turns
                assert turns[0] - turns[-1] <= 1, turns
            else:
                # Against the order in which they are set.
                turns = [turn_of(key, store[key]) for key in reversed(keys)]
                assert turns == sorted(turns), turns
            assert min(turns) >= newest - 1, (turns, newest)
            newest = max(turns)

        say("ready")
        say(until_told(read))


@command
def begin_at_once(kind, directory, options, threads, times):
    """Have threads use an object at once that nobody has written with, again and again; say how its journal is left."""
    for _ in range(times):
        with open_store(kind, directory, **options) as store:
            started = threading.Barrier(threads)

            def use(number, store=store, started=started):
                started.wait()
                if number % 2:
                    store.incr("n")
                else:
                    store.set_many([(f"many {number}", 1)])
                store.incr("n")

            run_threads(*[lambda number=number: use(number) for number in range(threads)])
            say([[state["owner"], state["closer"]] for state in states(store)])


# -- those that fork -----------------------------------------------------------------------------------------


def run_child(function):
    """Run a function in a forked child, which does not close anything; returns its number."""
    child = os.fork()
    if child == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return child


def wait_for(*children):
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


@command
def fork_with_pending(kind, directory, options):
    """Parent and child both write after a fork while something is in the journal alone."""
    with open_store(kind, directory, **options) as store:
        for turn in range(6):
            for number in range(100):
                store[f"{turn} before {number}"] = number

            def write(name, turn=turn):
                for number in range(100):
                    assert store[f"{turn} before {number}"] == number
                    store[f"{turn} {name} {number}"] = number
                    store.incr("n")
                assert store.pop(f"{turn} {name} 0") == 0

            child = run_child(lambda: write("child"))
            write("parent")
            wait_for(child)
            for number in range(1, 100):
                assert store[f"{turn} child {number}"] == number
        say(store["n"])


@command
def fork_a_pool(kind, directory, options, tasks):
    """Have a forked pool count, with an object that its parent has written with."""
    global shared
    with open_store(kind, directory, **options) as shared:
        shared["n"] = 0
        with multiprocessing.get_context("fork").Pool(3) as pool:
            results = pool.map(count_one, range(tasks))
        assert sorted(results) == list(range(1, tasks + 1))
        say([shared["n"], [shared.get(f"task {number}") for number in range(tasks)]])


def count_one(number):
    shared[f"task {number}"] = number
    return shared.incr("n")


@command
def fork_beside_an_appending_thread(kind, directory, options, forks):
    """Fork while another thread appends; say how often all have counted, and what the sum is."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    with open_store(kind, directory, **options) as store:
        over = threading.Event()
        counted = 0

        def append():
            nonlocal counted
            while not over.is_set():
                store.incr("n")
                counted += 1
                store[f"thread {counted % 100}"] = counted

        thread = threading.Thread(target=append)
        thread.start()

        def count():
            for _ in range(20):
                store.incr("n")

        for _ in range(forks):
            wait_for(run_child(count))
        over.set()
        thread.join()
        say([counted + 20 * forks, store["n"]])


# -- those that find it damaged ------------------------------------------------------------------------------

BOOT_WORD = 3 * 8
HEADER_BYTES = 4096


@command
def open_damaged(base, place, expected, where, times):
    """Damage the journal of a copy of a directory at random, open it, and use it; say how many values were there.

    ``expected``: all that any key has ever had, by key."""
    chance = random.Random(where)
    found = 0
    for turn in range(times):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(base, place)
        path = pathlib.Path(place) / "cache.journal"
        content = bytearray(path.read_bytes())
        if chance.random() < 0.3:
            # As if the machine had been off.
            content[BOOT_WORD : BOOT_WORD + 8] = (12345).to_bytes(8, "little")
        damages = [damage(content, where, chance) for _ in range(chance.choice([1, 1, 3, 30]))]
        path.write_bytes(content)
        signal.alarm(20)
        print(f"turn {turn}: {damages}", file=sys.stderr)
        found += use_damaged(place, expected)
        signal.alarm(0)
    say(found)


def damage(content, where, chance):
    """Change some bytes, of the header's words or of the records; returns where, and to what."""
    if where == "header":
        place = 8 * chance.choice([1, 2, 3, 8, 16, 24, 25, 32, 33, chance.randrange(1, 512)])
        value = chance.choice([0, 1, (1 << 64) - 1, 1 << 63, chance.randrange(1 << 64), chance.randrange(1 << 20)])
        part = value.to_bytes(8, "little")
    else:
        place = HEADER_BYTES + chance.randrange(min(1 << 14, len(content) - HEADER_BYTES - 64))
        size = chance.choice([1, 8, 64])
        part = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])
    content[place : place + len(part)] = part
    return f"word {place / 8} = {part.hex()}"


def use_damaged(place, expected):
    """Read, write, check, and open once more; returns how many values were there."""
    with fastcache.Cache(place, journal=True, timeout=20) as cache:
        others = {repr(value): key for key, values in expected.items() for value in values if value != "again"}
        for key in expected:
            # What pends is looked at when it is drained. Until then it may be damaged; but not another key's.
            with contextlib.suppress(UnicodeError, fastcache.DecodeError):
                assert others.get(repr(cache.get(key)), key) == key
        for key, value in cache.items():
            assert value in expected[key], key
        for number in range(30):
            cache[f"new {number}"] = number
            assert cache.incr("counted anew") == number + 1
        assert cache.pop("new 3") == 3
        assert cache.check(), str(cache.check())
    with fastcache.Cache(place, journal=True, timeout=20) as cache:
        content = dict(cache.items())
        assert cache.check()
        assert content.pop("counted anew") == 30
        assert [content.pop(f"new {number}") for number in range(30) if number != 3] == [n for n in range(30) if n != 3]
        for key, value in content.items():
            assert value in expected[key], key
        return len(content)


# -- those that end ------------------------------------------------------------------------------------------


def begin(work, inside):
    """Start a thread, and wait until it is inside."""
    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    return thread


def fork_to_end():
    """Fork a child that ends at once."""
    child = os.fork()
    if not child:
        os._exit(0)
    return child


@command
def fork_beside_a_writer(kind, directory, options):
    """Fork while something is pending, and a thread with SQLite's lock opens stores, which a fork holds up."""
    forks._PATIENCE = 0.5
    # Or maintenance would be in the way, too.
    background.schedule = lambda store, seconds: True
    store = open_store(kind, directory, **options, timeout=1000.0)
    store["k"] = "v"
    inside, forked = threading.Event(), threading.Event()

    def write():
        connection = sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        inside.set()
        while not forked.is_set():
            open_store(kind, os.path.join(directory, "other"), **options).close()
        connection.execute("ROLLBACK")
        connection.close()

    writing = begin(write, inside)
    child = fork_to_end()
    forked.set()
    writing.join()
    _, status = os.waitpid(child, 0)
    store.flush()
    with open_store(kind, directory, **options) as fresh:
        say([status, store["k"], fresh["k"]])
    store.close()


@command
def fork_beside_an_opening(kind, directory, options):
    """Fork while a thread is about to open a connection; the timer, which is asked before the fork, reads there."""
    forks._PATIENCE = 0.1
    # What is pending is drained before the fork, and not sooner.
    background.schedule = lambda store, seconds: True
    inside, forking = threading.Event(), threading.Event()
    asked = threading.Event()
    read = []

    def clock():
        if forking.is_set() and not asked.is_set() and threading.current_thread() is threading.main_thread():
            asked.set()
            # By then it waits for the fork.
            time.sleep(0.2)
            read.append(other.get("k"))
        return time.time()

    other = open_store(kind, os.path.join(directory, "other"), memory=0)
    other["k"] = "v"
    store = open_store(kind, directory, **options, timeout=1000.0, timer=clock)
    store["a"] = 1

    def write():
        with other.transact("k"):
            inside.set()
            asked.wait()
            other.store.connect()

    writing = begin(write, inside)
    forking.set()
    child = fork_to_end()
    writing.join()
    _, status = os.waitpid(child, 0)
    store.close()
    other.close()
    say([status, read])


@command
def append_and_end(kind, directory, options, ending):
    """Append, and end in some way without closing."""
    sys.kept = store = open_store(kind, directory, **options)
    for number in range(300):
        store[f"key {number}"] = number
    if ending == "daemon":
        started = threading.Event()

        def append():
            for number in itertools.count():
                store["of the daemon"] = number
                started.set()

        threading.Thread(target=append, daemon=True).start()
        started.wait()
    if ending == "transactions":

        def run():
            with contextlib.suppress(fastcache.CacheError):
                for number in itertools.count():
                    with store.transact("inside"):
                        store["inside"] = number
                        time.sleep(0.002)

        for _ in range(3):
            threading.Thread(target=run, daemon=True).start()
        time.sleep(0.05)
        for number in range(300):
            store[f"key {number}"] = number
    if ending == "exit handler":
        import atexit

        atexit.register(lambda: store.set("at exit", 1))
    if ending == "forgotten":
        del sys.kept
    if ending == "exit":
        sys.exit(0)
