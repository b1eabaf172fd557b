"""What tests let other processes do: ``python start_worker.py COMMAND ARGUMENTS``, lines of JSON in and out."""

import ast
import atexit
import collections
import contextlib
import ctypes
import faulthandler
import functools
import gc
import itertools
import json
import logging
import mmap
import os
import pickle
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import warnings
import weakref

import fastcache

COMMANDS = {}


def command(function):
    COMMANDS[function.__name__] = function
    return function


def say(message):
    # One write, so that what a killed process had said is whole lines.
    os.write(1, (json.dumps(message) + "\n").encode())


def hear():
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def open_store(kind, directory, **options):
    return getattr(fastcache, kind)(directory, **options)


def run_threads(*functions):
    """Run all at once; whatever fails in one of them fails the process."""
    failures = []

    def run(function):
        try:
            function()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# conversation


@command
def answer(kind, directory):
    """Call a method of a store for each line [name, *arguments] that comes in; say what it returns."""
    with open_store(kind, directory) as store:
        while (question := hear()) is not None:
            name, *arguments = question
            say(getattr(store, name)(*arguments))


@command
def answer_in_lives(kind, directory, closes=True):
    """Call methods of a store for each line [[name, key, *arguments], ...] that comes in, keys as their repr.

    It is opened, and closed, for each line."""
    while (questions := hear()) is not None:
        store = open_store(kind, directory)
        for name, key, *arguments in questions:
            if name == "set_many":
                store.set_many([(ast.literal_eval(one), value) for one, value in key])
            else:
                getattr(store, name)(ast.literal_eval(key), *arguments)
        if closes:
            store.close()
        say("done")


@command
def hold(kind, directory):
    """Hold the write lock until told to let go."""
    with open_store(kind, directory) as store, store.transact("held"):
        store["held"] = 1
        say("holding")
        hear()


@command
def contents(kind, directory):
    with open_store(kind, directory) as store:
        say(list(store.items()))


# from outside


def execute(directory, statements):
    """Run SQL on the database as any other program could; return the rows of the last statement."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        rows = []
        for statement in statements:
            rows = database.execute(statement).fetchall()
        return rows


@command
def sql(directory, *statements):
    """Run SQL on the database as any other program could; say the rows of the last statement."""
    say(execute(directory, statements))


@command
def answer_sql(directory):
    """Run each SQL statement that comes in, as any other program could; say its rows."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        while (statement := hear()) is not None:
            say(database.execute(statement).fetchall())


@command
def blobs(directory):
    """Say every blob in every table of the database, in hexadecimal."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"))) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        found = set()
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                found.update(cell.hex() for cell in row if isinstance(cell, bytes))
        say(sorted(found))


@command
def hold_exclusively(directory):
    """Keep the database to itself, as a foreign program may, until told to let go."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("CREATE TABLE of_another_program (a)")
        database.execute("DROP TABLE of_another_program")
        say("holding")
        hear()


# every use there is

FOUR = b"four" * 100_000

USES = {
    "get": lambda store, key: store.get(key),
    "get with a default": lambda store, key: store.get(key, 1),
    "[]": lambda store, key: store[key],
    "in": lambda store, key: key in store,
    "exists": lambda store, key: store.exists(key),
    "set": lambda store, key: store.set(key, 1),
    "set large": lambda store, key: store.set(key, FOUR),
    "[]=": lambda store, key: store.__setitem__(key, [1]),
    "add": lambda store, key: store.add(key, 1),
    "add large": lambda store, key: store.add(key, FOUR),
    "delete": lambda store, key: store.delete(key),
    "del": lambda store, key: store.__delitem__(key),
    "pop": lambda store, key: store.pop(key),
    "pop with a default": lambda store, key: store.pop(key, None),
    "setdefault": lambda store, key: store.setdefault(key, 1),
    "get_or_set": lambda store, key: store.get_or_set(key, lambda: 1),
    "incr": lambda store, key: store.incr(key),
    "decr": lambda store, key: store.decr(key, 2, 3),
    "update": lambda store, key: store.update([(key, 1), ("new", 2)]),
    "popitem": lambda store, _: store.popitem(),
    "popitem from the front": lambda store, _: store.popitem(last=False),
    "all popped": lambda store, _: [store.popitem() for _ in range(20)],
    "len": lambda store, _: len(store),
    "count": lambda store, _: store.count(),
    "size": lambda store, _: store.size() + 0,
    "volume": lambda store, _: store.volume() + 0,
    "iter": lambda store, _: list(store),
    "reversed": lambda store, _: list(reversed(store)),
    "values": lambda store, _: list(store.values()),
    "items": lambda store, _: list(store.items()),
    "reversed items": lambda store, _: list(reversed(store.items())),
    "==": lambda store, _: store == {"a": 1},
    "clear": lambda store, _: store.clear(),
    "check": lambda store, _: store.check(),
    "check and fix": lambda store, _: store.check(fix=True),
}

USES_OF_A_CACHE = {
    "get with extras": lambda store, key: store.get(key, None, expire_time=True, tag=True),
    "pop with extras": lambda store, key: store.pop(key, None, expire_time=True, tag=True),
    "set with extras": lambda store, key: store.set(key, 1, expire=100, tag="tag"),
    "touch": lambda store, key: store.touch(key, 100),
    "expire": lambda store, _: store.expire(),
    "evict_tag": lambda store, _: store.evict_tag("tag"),
    "max_size": lambda store, _: store.max_size + 0,
    "stats": lambda store, _: store.stats(),
}


@command
def use_in_every_way(kind, directory, keys, *statements):
    """Use a store with these keys in every way, inside and outside of a transaction, each time in a fresh copy.

    Before, run SQL on it as any other program could. Say which uses raised what no such use may raise, or left
    something behind that does.
    """
    execute(directory, statements)
    # What is damaged is also warned of, which is not what is asked about here.
    logging.getLogger("fastcache").setLevel(logging.CRITICAL)
    uses = USES | (USES_OF_A_CACHE if kind == "Cache" else {})
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, key, inside) in enumerate(
            (name, key, inside) for name in uses for key in keys for inside in (False, True)
        ):
            copy = os.path.join(folder, str(number))
            shutil.copytree(directory, copy)
            # Who is caught in a loop is told apart from who is slow, and says where it is.
            faulthandler.dump_traceback_later(60, exit=True)
            try:
                with open_store(kind, copy, timeout=0.2) as store:
                    try:
                        with store.transact() if inside else contextlib.nullcontext():
                            uses[name](store, key)
                    except (fastcache.CacheError, KeyError):
                        pass
                    except TypeError as error:
                        # What is stored there need not be an int, nor all keys fit into a dict.
                        if name not in ("incr", "decr", "=="):
                            wrong.append([name, key, inside, repr(error)])
                    with contextlib.suppress(fastcache.CacheError):
                        store["afterwards"] = 1
                        assert store["afterwards"] == 1
                if not inside:
                    with contextlib.suppress(fastcache.CacheError), open_store(kind, copy, timeout=0.2) as store:
                        store.check(fix=True)
                        left = store.check()
                        assert left or left.untrusted_entries or left.undecodable_entries, "not repaired"
            except fastcache.CacheError:
                # Opening may be refused, but then always.
                with contextlib.suppress(fastcache.CacheError):
                    open_store(kind, copy, timeout=0.2).close()
            except Exception as error:
                wrong.append([name, key, inside, repr(error)])
            faulthandler.cancel_dump_traceback_later()
            shutil.rmtree(copy)
    say(wrong)


@command
def empty_by_popitem(kind, directory, *statements):
    """Run SQL as any other program could; pop items until there are none, or until an error says why not.

    Say what came out, and how it ended: in a copy from the front, and then from the end.
    """
    faulthandler.dump_traceback_later(60, exit=True)
    execute(directory, statements)
    copy = directory + " to empty from the front"
    shutil.copytree(directory, copy)
    said = []
    for path, last in ((copy, False), (directory, True)):
        popped = []
        with open_store(kind, path, timeout=0.2) as store:
            try:
                while True:
                    popped.append(repr(store.popitem(last=last)))
            except (KeyError, fastcache.CacheError) as error:
                said.append([popped, type(error).__name__])
            store["afterwards"] = 1
    say(said)


# trust


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


# opening


@command
def create(kind, *directories):
    """Open each directory as soon as its name comes back, while others do the same."""
    for directory in directories:
        say("ready")
        hear()
        with open_store(kind, directory) as store:
            store.incr("opened")
            store[f"by {os.getpid()}"] = os.getpid()
    say("done")


@command
def open_as_nobody(kind, directory):
    """Open and use a store without the rights of root; say the error's type and text."""
    # Everything is loaded while the rights are there to read it: root's Python may be nobody's business.
    open_store(kind, None).close()
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        store = open_store(kind, directory)
    except Exception as error:
        say([[kind.__name__ for kind in type(error).__mro__], str(error)])
    else:
        say([[], ""])
        store.close()


@command
def temporary(kind, ending):
    """Make a store in a temporary directory and end in some way; say where it was."""
    store = open_store(kind, None)
    store["a"] = b"x" * 3_000_000
    say(store.directory)
    if ending == "close":
        store.close()
    elif ending == "collect":
        del store
    elif ending == "raise":
        raise SystemExit(0)
    elif ending == "fork":
        child = os.fork()
        if child == 0:
            store.close()
            sys.exit(0)
        os.waitpid(child, 0)
        say(os.path.isdir(store.directory) and store["a"] == b"x" * 3_000_000)


# shards


@command
def hold_open(directory, shards):
    """Have a cache open until told to let go."""
    with open_store("FanoutCache" if shards > 1 else "Cache", directory, **({"shards": shards} if shards > 1 else {})):
        say("open")
        hear()


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
def transact_on(kind, directory, key, times):
    """Count in transactions of one key's shard."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for _ in range(times):
            with store.transact(key):
                store[key] = store.get(key, 0) + 1


@command
def hold_key(kind, directory, key):
    """Hold a transaction of one key's shard until told to let go."""
    with open_store(kind, directory) as store, store.transact(key):
        store[key] = "held"
        say("holding")
        hear()


# closing


@command
def close_under_threads(kind, directory, threads, times):
    """Use a store in so many threads, which close it now and then and make a new one; say which errors came."""
    sys.setswitchinterval(1e-5)
    faulthandler.enable()
    shared = [open_store(kind, directory)]
    errors = set()

    def run(seed):
        chance = random.Random(seed)
        for number in range(times // threads):
            store, key = shared[0], chance.randrange(100)
            try:
                chance.choice(
                    (
                        lambda store=store, key=key: store.get(key),
                        lambda store=store, key=key: store.set(key, "v" * key),
                        lambda store=store, key=key: store.get_or_set(key, lambda: "made"),
                        lambda store=store, key=key: store.get_many(range(key, key + 5)),
                        lambda store=store, key=key: store.set_many((one, "many") for one in range(key, key + 5)),
                        lambda store=store: list(store.items()),
                        lambda store=store: len(store),
                        lambda store=store, key=key: store.incr(f"n{key}"),
                    )
                )()
                if number % 100 == 99:
                    store.close()
                    shared[0] = open_store(kind, directory)
            except fastcache.CacheError as error:
                errors.add(type(error).__name__)

    run_threads(*[lambda seed=seed: run(seed) for seed in range(threads)])
    shared[0].close()
    say(sorted(errors))


@command
def drop_under_threads(kind, directory, threads, times):
    """Make and forget objects in so many threads, without closing them; say which errors came."""
    sys.setswitchinterval(1e-5)
    faulthandler.enable()
    gc.set_threshold(50)
    errors = set()

    def run(seed):
        for number in range(times // threads):
            store = open_store(kind, directory)
            store.itself = store
            try:
                store.set(number, "v" * seed)
                store.get(number)
                store.get(number)
                iterator = iter(store.items())
                next(iterator)
            except fastcache.CacheError as error:
                errors.add(type(error).__name__)
            del store

    run_threads(*[lambda seed=seed: run(seed) for seed in range(threads)])
    say(sorted(errors))


class Busy:
    """A timer that does something once it is armed."""

    def __init__(self):
        self.action = None

    def __call__(self):
        action, self.action = self.action, None
        if action is not None:
            action()
        return 1000.0


@command
def use_in_timer(kind, directory):
    """Have a timer empty the store that looks at its watch."""
    faulthandler.enable()
    timer = Busy()
    store = open_store(kind, directory, max_size=1 << 28, timer=timer)
    store.set_many([(number, "v") for number in range(20_000)], expire=100)
    for number in range(20_000):
        store.get(number)
        store.get(number)
    timer.action = store.clear
    say(store.get(5))
    assert store.get(5) is None


@command
def close_in_timer(kind, directory):
    faulthandler.enable()
    timer = Busy()
    store = open_store(kind, directory, timer=timer)
    store.set("k", "v", expire=100)
    for _ in range(3):
        store.get("k")
    timer.action = store.close
    try:
        say(store.get("k"))
    except fastcache.ClosedError:
        say("ClosedError")


class InTheMiddle:
    """Something that is done once, when maintenance is called for the next time: in the middle of an operation."""

    def __init__(self, action):
        self.action = action
        threading.setprofile(self)
        sys.setprofile(self)

    def __call__(self, frame, event, _):
        if event == "call" and frame.f_code.co_name == "attend" and self.action is not None:
            action, self.action = self.action, None
            threading.setprofile(None)
            sys.setprofile(None)
            action()


def raise_interrupt():
    raise KeyboardInterrupt


@command
def interrupt_a_touch(kind, directory):
    """Touch an entry, in the middle of which a signal handler touches another; say which have what they should."""
    store = open_store(kind, directory)
    store.set_many({"one": 1, "other": 2})
    InTheMiddle(lambda: store.touch("oth" + "er", 2_000_000))
    store.touch("on" + "e", 1000)
    now = time.time()
    say([0 < store.get(key, expire_time=True)[1] - now < most for key, most in (("one", 1001), ("other", 2_000_001))])
    store.close()


@command
def interrupt_a_set(kind, directory):
    """Set an entry, in the middle of which a signal handler sets it again; say what is read, and what is stored."""
    store = open_store(kind, directory)
    store["k"] = 0
    InTheMiddle(lambda: store.set("k", "new"))
    store.set("k", "old", expire=1000)
    with open_store(kind, directory, memory=0) as other:
        say([store.get("k"), other.get("k")])
    store.close()


@command
def set_when_collected(kind, directory):
    """Have the memory let go of a value to which somebody has a weak reference, which then sets what is being read."""
    with open_store(kind, directory) as store:
        store["set"] = frozenset(range(50))
        store.set_many((number, "old") for number in range(1000))
    store = open_store(kind, directory, memory=60_000)
    reading = []

    def dropped(_):
        store.set_many({reading[-1]: "new"})
        reading.append("over")

    # Decoded once, and then the same object for all.
    watched = weakref.ref(store["set"], dropped)
    for number in range(1000):
        reading.append(number)
        store.get(number)
        if reading[-1] == "over":
            break
    gc.collect()
    say([watched() is None, store.get(reading[-2])])
    store.close()


@command
def interrupt_a_flush(kind, directory):
    """Press Ctrl-C just when what waited was committed; then another process sets the same; then flush again."""
    with open_store(kind, directory) as store:
        store["k"] = "large" * 100_000
    # Whoever replaces a file calls for maintenance.
    store = open_store(kind, directory, write_behind=50)
    store["k"] = "small"
    InTheMiddle(raise_interrupt)
    try:
        store.flush()
    except KeyboardInterrupt:
        say("interrupted")
    hear()
    store.flush()
    say(store.get("k"))
    store.close()


@command
def interrupt_a_commit_of_many(kind, directory):
    """Interrupt one of two threads just after both have committed together; say what became of them."""
    with open_store(kind, directory) as store:
        store["1"] = store["2"] = "large" * 100_000
    store = open_store(kind, directory, durability="full")
    outcomes = []

    def write(key):
        try:
            store[key] = "small"
            outcomes.append("stored")
        except KeyboardInterrupt:
            outcomes.append("interrupted")
        except fastcache.CacheError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=write, args=(key,)) for key in "12"]
    with store.transact():
        InTheMiddle(raise_interrupt)
        sys.setprofile(None)
        for thread in threads:
            thread.start()
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    threading.setprofile(None)
    say([sorted(outcomes), [store.get("1"), store.get("2")]])
    store.close()


@command
def read_while_committing(kind, directory, flag):
    """While maintenance writes, keep the GIL whenever it is to be had, in case another process answers."""
    with open(flag, "r+b") as file:
        answered = mmap.mmap(file.fileno(), 1)
    sys.setswitchinterval(100)
    store = open_store(kind, directory, write_behind=0.02)
    say("ready")
    hear()
    store["k"] = "mine"
    until = time.monotonic() + 20
    while answered[0] == 0 and time.monotonic() < until:
        # Others may run here alone.
        time.sleep(0)
        spin = time.monotonic() + 0.05
        while answered[0] == 0 and time.monotonic() < spin:
            pass
    say([answered[0], store.get("k")])
    sys.setswitchinterval(0.005)
    store.close()


@command
def answer_what_is_committed(kind, directory, flag):
    """As soon as an entry is there, set it anew, and then say so."""
    with open(flag, "r+b") as file:
        answered = mmap.mmap(file.fileno(), 1)
    store = open_store(kind, directory, memory=0)
    say("ready")
    while store.get("k") is None:
        pass
    store["k"] = "newer"
    answered[0] = 1
    say("answered")
    store.close()


def undo_a_block(store):
    with contextlib.suppress(ArithmeticError), store.transact():
        store["b"] = 6
        store.get("b")
        raise ArithmeticError


def undo_an_inner_block(store):
    with store.transact():
        undo_a_block(store)
        store["a"] = 5


def keep_an_inner_block(store):
    with store.transact():
        store["a"] = 5
        with store.transact():
            store["b"] = 6


def write_a_batch(store):
    with store.batch() as batch:
        batch["a"] = 5
        batch["b"] = 6


WITHOUT_MEMORY = {
    "set": lambda store: store.set("a", [5]),
    "incr": lambda store: store.incr("a"),
    "pop": lambda store: store.pop("text"),
    "delete": lambda store: store.delete("a"),
    "set_many": lambda store: store.set_many({"a": 5, "b": 6}),
    "get_many": lambda store: store.get_many(["a", "list", "none"]),
    "delete_many": lambda store: store.delete_many(["a", "b"]),
    "items": lambda store: list(store.items()),
    "undone": undo_a_block,
    "undone inside": undo_an_inner_block,
    "kept inside": keep_an_inner_block,
    "batch": write_a_batch,
}
# Of the two that are set together, both are, or none is.
TOGETHER = ("set_many", "kept inside", "batch")


@command
def fail_for_want_of_memory(kind, directory, name, most):
    """Have each allocation of an operation fail, one after the other; say what was wrong afterwards."""
    import _testcapi

    faulthandler.enable()
    gc.disable()
    operate = WITHOUT_MEMORY[name]
    store, other = (open_store(kind, directory, timeout=2) for _ in range(2))
    before = {"a": 1, "b": 2, "list": [1, 2], "text": "t" * 100}
    wrong, done = [], 0
    for number in range(1, most):
        store.set_many(before)
        _testcapi.set_nomemory(number, number + 1)
        try:
            operate(store)
            failure = None
        except MemoryError as error:
            failure = error
        _testcapi.remove_mem_hooks()
        if failure is not None and name == "pop" and "text" not in other:
            wrong.append([number, "lost"])
        found = other.get_many(["a", "b"])
        if "undone" in name and other.get("b") != 2:
            wrong.append([number, "kept what was undone"])
        if name in TOGETHER and found not in ({"a": 1, "b": 2}, {"a": 5, "b": 6}):
            wrong.append([number, "half"])
        # Nobody is inside of anything.
        run_threads(lambda number=number: store.set("probe", number))
        other["probe"] = number
        if dict(store.items()) != dict(other.items()) or any(store.get(key) != other.get(key) for key in other):
            wrong.append([number, "stale"])
        done = 0 if failure else done + 1
        if done == 5:
            break
    say(wrong)
    store.close()
    other.close()


@command
def read_in_bursts(kind, directory, _):
    """Read a hundred times whenever told to go; told to hold, keep the GIL for ever."""
    import re

    with open_store(kind, directory, memory=0) as store:
        while (told := hear()) == "go":
            for _ in range(100):
                store.get(1)
            say("done")
        if told == "hold":
            re.match("(a*)*b", "a" * 60)


def fork_in_c():
    """Fork as C code does, which runs none of Python's hooks."""
    return ctypes.PyDLL(None).fork()


@command
def fork_without_hooks(kind, directory, how):
    """Fork from C while a snapshot is kept, or another thread is in a transaction; say what either side saw."""
    store = open_store(kind, directory, timeout=20)
    store["k"] = "before"
    for _ in range(5):
        store.get("k")
        time.sleep(0.03)
    inside, leave = threading.Event(), threading.Event()

    def transact():
        with store.transact("k"):
            store["k"] = "half"
            store.count() if how == "transaction" else None
            inside.set()
            leave.wait(60)

    if how != "idle":
        thread = threading.Thread(target=transact)
        thread.start()
        inside.wait()
    to_child, from_child = os.pipe(), os.pipe()
    child = fork_in_c()
    if child == 0:
        signal.alarm(60)
        report = []
        for act in (
            lambda: store.set("child", 1),
            lambda: store.get("k"),
            lambda: os.write(from_child[1], b"x") and os.read(to_child[0], 1) and store.get("k"),
            lambda: store.incr("n"),
        ):
            try:
                report.append(act())
            except Exception as error:
                report.append(type(error).__name__)
        os.write(from_child[1], json.dumps(report).encode())
        os._exit(0)
    seen = {}
    if how != "idle":
        leave.set()
        thread.join()
    assert os.read(from_child[0], 1) == b"x"
    seen["by the parent"] = [store.get("child"), store.incr("n")]
    store["k"] = "after"
    os.write(to_child[1], b"x")
    seen["by the child"] = json.loads(os.read(from_child[0], 1000))
    seen["status"] = os.waitpid(child, 0)[1]
    seen["afterwards"] = [store.get("child"), store.get("k"), store.get("n"), bool(store.check())]
    say(seen)
    store.close()


@command
def run_in_span():
    from fastcache.engine import spans

    spans.run_in_span(lambda: None)
    say("ran")


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


# counting


@command
def count(kind, directory, threads, times):
    """Count up from several threads."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()

        def up():
            for _ in range(times):
                store.incr("n")

        run_threads(*[up] * threads)


@command
def count_in_transactions(kind, directory, times):
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for _ in range(times):
            with store.transact():
                store["n"] = store["n"] + 1


@command
def add(kind, directory, keys):
    """Say which keys this process was the one to add."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        say([key for key in range(keys) if store.add(key, os.getpid())])


@command
def pop(kind, directory, keys):
    """Say which values this process got."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        say([value for key in range(keys) if (value := store.pop(key, None)) is not None])


@command
def popitem(kind, directory):
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        got = []
        with contextlib.suppress(KeyError):
            while True:
                got.append(store.popitem()[0])
        say(got)


@command
def insert(kind, directory, name, times):
    """Insert keys of its own, in order."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(times):
            store[f"{name} {number}"] = number


@command
def live_shortly(kind, directory, name, times):
    """Open, write one large value, and close, again and again."""
    say("ready")
    hear()
    for number in range(times):
        with open_store(kind, directory) as store:
            store[f"{name} {number}"] = b"large" * 100_000


# values that describe themselves


def described(key, size):
    """A value that shows whether it is whole: its size, its key, and nothing else."""
    head = f"{size}:{key}:".encode()
    return head + bytes([size % 251]) * size


def is_whole(key, value):
    size, said, body = value.split(b":", 2)
    size = int(size)
    return said == str(key).encode() and body == bytes([size % 251]) * size


SIZES = (0, 10, 1000, 5000, 30_000, 170_000, 200_000, 1_200_000)


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


# fork


@command
def write_after_forks(kind, directory):
    """At each message, fork a child that does nothing, and then change the key, as the first thing after it."""
    changes = (
        lambda store, number: store.set("k", number),
        lambda store, number: store.incr("k", number - store["k"]),
        lambda store, number: store.update({"k": number}),
        lambda store, number: store.delete("k") and store.add("k", number),
    )
    with open_store(kind, directory) as store:
        while (number := hear()) is not None:
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            changes[number % len(changes)](store, number)
            say(number)


@command
def fork_with_memory(kind, directory):
    """Fork again and again with a kept snapshot and a full memory; parent and child see what the other has written."""
    warnings.simplefilter("error")
    with open_store(kind, directory) as store:
        store["k"] = 0
        for number in range(0, 40, 2):
            # Absent keys, asked for once: they keep the snapshot in use.
            found = [store["k"], *(store.get((number, times)) for times in range(5)), store["k"]]
            assert found == [number, *[None] * 5, number]
            child = os.fork()
            if child == 0:
                try:
                    assert store["k"] == number
                    store["k"] = number + 1
                    assert [store["k"], store["k"]] == [number + 1] * 2
                    assert store.get((number, 0)) is None
                    os._exit(0)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == 0
            assert store["k"] == number + 1
            store["k"] = number + 2
        say("done")


@command
def fork_beside_a_closed_one(kind, directory):
    """Fork while one store is closed, and not yet collected, and another one is in use."""
    closed = open_store(kind, os.path.join(directory, "closed"))
    closed["k"] = 1
    closed.close()
    with open_store(kind, os.path.join(directory, "open")) as store:
        store["k"] = 1
        child = os.fork()
        if child == 0:
            try:
                store["k"] = 2
                os._exit(0)
            finally:
                os._exit(1)
        say([os.waitpid(child, 0)[1], store["k"], repr(closed).startswith(kind)])


@command
def fork_and_write(kind, directory, how, times):
    """Parent and child both write after a fork while the store is open, and both close it."""
    store = open_store(kind, directory)
    store["before"] = 1
    assert store["before"] == 1

    def write(name):
        for number in range(times):
            store[f"{name} {number}"] = number
            store.incr("n")
        assert store["before"] == 1

    ready_in, ready_out = os.pipe()
    if how == "os":
        child = os.fork()
        if child == 0:
            os.write(ready_out, b"x")
            write("child")
            store.close()
            sys.stdout.flush()
            os._exit(0)
        os.read(ready_in, 1)
        write("parent")
        store.close()
        _, status = os.waitpid(child, 0)
        assert status == 0, status
    else:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        process = context.Process(target=write, args=("child",))
        process.start()
        write("parent")
        process.join()
        assert process.exitcode == 0
        store.close()
    say("done")


@command
def fork_and_close(kind, directory, times):
    """The parent closes while the child writes: nothing may be lost with the parent's locks."""
    store = open_store(kind, directory)
    store["before"] = 1
    down_in, down_out = os.pipe()
    up_in, up_out = os.pipe()
    child = os.fork()
    if child == 0:
        store["child opened"] = 1
        os.write(up_out, b"x")
        os.read(down_in, 1)
        for number in range(times):
            store[f"child {number}"] = number
        os.write(up_out, b"x")
        os.read(down_in, 1)
        for number in range(times):
            assert store[f"child {number}"] == number
        store["child ended"] = 1
        os._exit(0)
    os.read(up_in, 1)
    store["parent"] = 1
    store.close()
    os.write(down_out, b"x")
    assert os.read(up_in, 1)
    with open_store(kind, directory) as again:
        for number in range(times):
            assert again[f"child {number}"] == number
        again["parent again"] = 1
    os.write(down_out, b"x")
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    say("done")


@command
def child_ends_first(kind, directory):
    """The child closes, or merely ends, while the parent is in a transaction, whose lock must survive."""
    for ending in ("close", "exit", "forget"):
        store = open_store(kind, directory)
        store[f"{ending} before"] = 1
        with store.transact():
            store[f"{ending} inside"] = 1
            child = os.fork()
            if child == 0:
                if ending == "close":
                    with contextlib.suppress(fastcache.CacheError):
                        store.close()
                elif ending == "forget":
                    del store
                elif ending == "exit":
                    sys.exit(0)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert status == 0, status
            say(ending)
            hear()
            store[f"{ending} after"] = 1
        assert store[f"{ending} after"] == 1
        store.close()
        say("left")
        hear()
    say("done")


@command
def fork_inside_a_transaction(kind, directory):
    """A child born inside a transaction takes no part in it: it is the parent's."""
    store = open_store(kind, directory, timeout=0.2)
    store["a"] = "old"
    report_in, report_out = os.pipe()
    with store.transact():
        store["a"] = "new"
        child = os.fork()
        if child == 0:
            seen = []
            for act in (
                lambda: store.get("a"),
                lambda: store.set("child inside", 1),
                lambda: store.transact().__enter__(),
            ):
                try:
                    seen.append(act())
                except Exception as error:
                    seen.append(type(error).__name__)
            os.write(report_out, json.dumps(seen).encode())
            os._exit(0)
        seen = json.loads(os.read(report_in, 1000))
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        store["b"] = 1
    assert store["a"] == "new"
    child = os.fork()
    if child == 0:
        store["child after"] = 1
        with store.transact():
            store["child in its own"] = 1
        store.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    store["parent after"] = 1
    store.close()
    say(seen)


@command
def fork_leaves_the_block(kind, directory):
    """A child born inside a transaction runs out of its with block, as any code does that forks in there."""
    store = open_store(kind, directory, timeout=0.2)
    store["a"] = "old"
    parent = os.getpid()
    with contextlib.suppress(fastcache.CacheError), store.transact():
        store["a"] = "new"
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            assert status == 0, status
            store["b"] = 1
    if os.getpid() != parent:
        os._exit(0)
    say(list(store.items()))
    store.close()


@command
def fork_beside_a_writer(kind, directory):
    """Fork while something waits to be written, and a thread with SQLite's lock opens stores, which a fork holds up."""
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
def fork_beside_openings(kind, *directories):
    """Fork again and again while other threads open and close stores; say how the children ended."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    sys.setswitchinterval(1e-5)
    mine, *others = directories
    store = open_store(kind, mine)
    store["k"] = 1
    over = threading.Event()

    def opens(directory):
        while not over.is_set():
            with open_store(kind, directory) as other:
                other["x"] = 1

    threads = [threading.Thread(target=opens, args=(directory,)) for directory in others]
    for thread in threads:
        thread.start()
    ends = collections.Counter()
    for _ in range(60):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            store["k"] += 1
            os._exit(0)
        ends[os.waitpid(child, 0)[1]] += 1
    over.set()
    for thread in threads:
        thread.join()
    say([dict(ends), store["k"]])


@command
def fork_many(kind, directory, children, times):
    """Several children fork while threads of the parent write."""
    # That a child of many threads may find a lock held is what is tried here.
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory)
    stop = threading.Event()
    written = []

    def write():
        while not stop.is_set():
            store.incr("n")
            written.append(1)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    pids = []
    for _ in range(children):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            for _ in range(times):
                store.incr("n")
            os._exit(0)
        pids.append(child)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    stop.set()
    for thread in threads:
        thread.join()
    total = len(written) + children * times
    say([statuses, store["n"], total])
    store.close()


def open_databases():
    """The database files that this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{number}")
            if "cache.db" in path:
                found.append(path)
    return found


@command
def fork_while_reading(kind, children, *directories):
    """Fork while other threads read; say which database files the children found open, and how they ended."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    stores = [open_store(kind, directory) for directory in directories]
    for store in stores:
        store["a"] = 1
    stop = threading.Event()

    def read(store):
        while not stop.is_set():
            assert store["a"] == 1
            assert "a" in store

    threads = [threading.Thread(target=read, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    inherited = []
    statuses = []
    report_in, report_out = os.pipe()
    for number in range(children):
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            os.write(report_out, (json.dumps(open_databases()) + "\n").encode())
            for store in stores:
                store[f"child {number}"] = number
            os._exit(0)
        statuses.append(os.waitpid(child, 0)[1])
    os.close(report_out)
    with open(report_in) as reports:
        for line in reports:
            inherited += json.loads(line)
    stop.set()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    say([inherited, statuses])


@command
def interrupt_a_fork(kind, directory):
    """Fork, and be interrupted, while another thread is in a transaction; say what everybody saw."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    # What interrupts a fork's preparation is printed by Python, if it comes out at all.
    sys.unraisablehook = lambda _: None
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seen = {}
    store = open_store(kind, directory, timeout=3)
    store["a"] = 1
    inside, leave = threading.Event(), threading.Event()

    def work():
        with contextlib.suppress(Interruption), store.transact():
            store["half"] = 1
            inside.set()
            leave.wait(60)
            seen["by the worker"] = sorted(store)
            raise Interruption

    def interrupt(*_):
        raise Interruption

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait()
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    report_in, report_out = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        report = []
        for act in (lambda: store.set("child", 1), lambda: sorted(store)):
            try:
                report.append(act())
            except Exception as error:
                report.append(type(error).__name__)
        os.write(report_out, json.dumps(report).encode())
        os._exit(0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    threading.Timer(0.5, leave.set).start()
    store["parent"] = 1
    thread.join()
    seen["by the child"] = json.loads(os.read(report_in, 1000))
    seen["status"] = os.waitpid(child, 0)[1]
    seen["afterwards"] = sorted(store)
    say(seen)
    store.close()


# interruption


class Interruption(KeyboardInterrupt):
    pass


@command
def interrupted(kind, directory, seed, times):
    """Operate while a signal's handler raises at random instants; say how often that stopped something."""
    import soak_crash

    operating = False

    def interrupt(*_):
        # Another thread may be the one that the system tells, so that it comes late.
        if operating:
            raise Interruption

    # What is needed is imported before: Python itself complains of what interrupts the end of an import.
    with open_store(kind, None) as store:
        for number in range(60):
            soak_crash.operate(store, "x", number, seed, True)
        assert store.check(fix=True)
    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(seed)
    count = 0
    before = soak_crash.Model()
    with open_store(kind, directory) as store:
        for number in range(times):
            after = soak_crash.Model(before)
            soak_crash.operate(after, "x", number, seed, True)
            try:
                operating = True
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + chance.random() ** 2 * 0.002)
                soak_crash.operate(store, "x", number, seed, True)
                signal.setitimer(signal.ITIMER_REAL, 0)
                operating = False
            except Interruption:
                operating = False
                count += 1
            left = list(store.items())
            assert left in (list(before.items()), list(after.items())), f"half of operation {number} is there"
            before = soak_crash.Model(left)
        say(count)
        hear()


def transfer(store, name):
    with store.transact():
        store.set(f"{name} in a transaction", name)
        store.set(f"{name} in it, too", name)


# What a name does that may have to wait, and what it finds if nothing got mixed up on the way.
WAITS = {
    "set": lambda store, name: store.set(f"{name} set", f"{name} value") is True,
    "set large": lambda store, name: store.set(f"{name} large", name * 200_000) is True,
    "add": lambda store, name: store.add(f"{name} added", f"{name} value") is True,
    "incr": lambda store, name: store.incr(f"{name} counted", len(name)) == len(name),
    "pop": lambda store, name: store.pop(f"{name} popped", None) == f"{name} old",
    "delete": lambda store, name: store.delete(f"{name} deleted") is True,
    "update": lambda store, name: store.update({f"{name} updated": name, f"{name} updated, too": name}) is None,
    "setdefault": lambda store, name: store.setdefault(f"{name} default", f"{name} value") == f"{name} value",
    "transact": lambda store, name: transfer(store, name) is None,
}


@command
def interrupted_while_waiting(kind, directory, way, what):
    """Wait for a lock that another process holds, and fork or do the like of it in a signal's handler meanwhile."""
    faulthandler.enable()
    store = open_store(kind, directory)
    for name in ("outer", "inner"):
        store[f"{name} popped"] = f"{name} old"
        store[f"{name} deleted"] = f"{name} old"
        store[f"{name} kept"] = f"{name} old"
    say("ready")
    hear()
    handled = []

    def handle(*_):
        if what == "fork":
            child = os.fork()
            if child == 0:
                os._exit(0)
            handled.append(os.waitpid(child, 0)[1] == 0)
            say("handling")
        else:
            assert store["inner kept"] == "inner old"
            say("handling")
            handled.extend(act(store, "inner") for act in WAITS.values())

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    outcome = WAITS[way](store, "outer")
    while not handled:
        time.sleep(0.01)
    assert all(handled), handled
    assert outcome
    say(dict(store.items()))
    store.close()


# ending


@command
def interrupted_among_waiters(kind, directory, times):
    """Be interrupted again and again while threads write by turns, and have all the patience in the world."""
    sys.setswitchinterval(1e-5)
    store = open_store(kind, directory, timeout=10_000)
    interruptions = 0
    over = threading.Event()

    written = threading.Semaphore(0)

    def hold():
        """Hold the write lock for a moment; then let the other one write once."""
        while not over.is_set():
            with store.transact("held"):
                time.sleep(0.0007)
            written.acquire()

    def write():
        for number in itertools.count():
            store["written"] = number
            written.release()
            if over.is_set():
                return

    armed = False

    def interrupt(*_):
        nonlocal armed
        if armed:
            armed = False
            raise Interruption

    threads = [threading.Thread(target=function) for function in (hold, write)]
    for thread in threads:
        thread.start()
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    while interruptions < times:
        try:
            armed = True
            store["mine"] = interruptions
            armed = False
        except Interruption:
            interruptions += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    over.set()
    for thread in threads:
        thread.join()
    say(interruptions)
    store.close()


@command
def end_with_daemons(kind, directory, threads):
    """Leave the interpreter while daemon threads use the store."""
    store = open_store(kind, directory)
    started = threading.Barrier(threads + 1)

    def use(name):
        started.wait()
        number = 0
        while True:
            store[f"{name} {number % 50}"] = b"x" * (number % 7 * 20_000)
            store.get(f"{name} {number % 50}")
            number += 1
            if number % 11 == 0:
                with store.transact():
                    store.incr("n")
            if number % 97 == 0:
                list(store)

    for name in range(threads):
        threading.Thread(target=use, args=(name,), daemon=True).start()
    started.wait()
    for _ in range(100):
        store.get("0 0")
    sys.exit(0)


@command
def end_with_waiting(directory, threads):
    """End normally while daemon threads are inside of operations and something waits to be written."""
    store = open_store("Cache", directory, write_behind=30)

    def run():
        with contextlib.suppress(fastcache.CacheError):
            for number in itertools.count():
                with store.transact():
                    store["inside"] = number
                    time.sleep(0.002)

    for _ in range(threads):
        threading.Thread(target=run, daemon=True).start()
    time.sleep(0.05)
    for number in range(100):
        store[f"waits {number}"] = number


@command
def end_without_closing(kind, directory):
    globals()["kept"] = store = open_store(kind, directory)
    store["a"] = 1
    sys.kept = iter(store.items())
    next(sys.kept)


# many at once


def generation(value):
    """The number that a described value carries in the place of its key."""
    number = int(value.split(b":", 2)[1])
    assert is_whole(number, value), "torn value"
    return number


def until_told(function):
    """Call the function again and again until a line comes in; return how often it was called."""
    stop = threading.Event()
    threading.Thread(target=lambda: (hear(), stop.set()), daemon=True).start()
    times = 0
    while not stop.is_set():
        function()
        times += 1
    return times


@command
def write_generations(kind, directory, how, keys, size):
    """Give all keys the same new number at once, again and again until told to stop; say how often."""
    numbers = itertools.count(1)
    with open_store(kind, directory) as store:
        say("ready")
        hear()

        def pairs():
            number = next(numbers)
            return ((key, described(number, size if key % 10 == 7 else 10)) for key in range(keys))

        def write():
            if how == "set_many":
                store.set_many(pairs())
            elif how == "batch":
                with store.batch(max_items=keys, max_seconds=100) as batch:
                    for _ in range(5):
                        for key, value in pairs():
                            batch[key] = value
            else:
                with store.transact():
                    for key, value in pairs():
                        store[key] = value

        say(until_told(write))


@command
def set_lots(kind, directory, name, lots, size):
    """Store lots of new keys, each at once."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for lot in range(lots):
            store.set_many((f"{name} {lot} {number}", number) for number in range(size))


@command
def stop_in_set_many(kind, directory, size):
    """Say when half of the items were given, and wait."""
    with open_store(kind, directory) as store:

        def pairs():
            for number in range(size):
                yield number, b"x" * (160_000 if number % 100 == 3 else 10)
                if number == size // 2:
                    say("middle")
                    hear()

        store.set_many(pairs())


def peak_kilobytes():
    """The most memory that this process has occupied until now."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


@command
def fill_many(kind, directory, method, items, size):
    """Store or delete many from a generator; say how many, and by how many kilobytes the process grew for it."""
    with open_store(kind, directory, memory=0) as store:
        if method == "delete_many":
            # Large keys, here: what is deleted has no value.
            things = (f"{number:0{size}}" for number in range(items))
            store.set_many((f"{number:0{size}}", number) for number in range(0, items, 100))
            before = peak_kilobytes()
            deleted = store.delete_many(things)
            assert deleted == items // 100, deleted
            say([deleted * 100, peak_kilobytes() - before])
        else:
            before = peak_kilobytes()
            stored = getattr(store, method)((number, f"{number:0{size}}") for number in range(items))
            say([stored, peak_kilobytes() - before])


@command
def fill_with_few_files(kind, directory, items, size, files):
    """Store many values in files in one call, and be allowed to have only a few open."""
    import resource

    with open_store(kind, directory) as store:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
        say(store.set_many((number, bytes(size)) for number in range(items)))


# batches


@command
def stop_in_batch(kind, directory, max_items, operations):
    """Say how many operations of a batch were committed, and wait in it."""
    with open_store(kind, directory) as store, store.batch(max_items=max_items, max_seconds=1000) as batch:
        for number in range(operations):
            batch[number] = b"x" * (160_000 if number % 10 == 3 else 10)
        say(batch.committed)
        hear()


@command
def fork_in_a_batch(kind, directory):
    """Fork while operations wait in a batch; the child runs out of its block when the parent has committed them."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory)
    parent = os.getpid()
    go_in, go_out = os.pipe()
    with contextlib.suppress(fastcache.CacheError), store.batch(max_seconds=1000) as batch:
        batch["a"] = 1
        child = os.fork()
        if child:
            batch["b"] = 2
            batch.flush()
            del store["a"]
            os.write(go_out, b"x")
            status = os.waitpid(child, 0)[1]
            batch["c"] = 3
        else:
            os.read(go_in, 1)
    if os.getpid() != parent:
        store["child"] = 1
        store.close()
        os._exit(0)
    store.close()
    say(status)


@command
def end_in_a_batch(kind, directory):
    """Leave the interpreter from inside a batch, and with another one that nobody will ever leave."""
    store = open_store(kind, directory)
    batch = store.batch(max_items=4, max_seconds=0.01)
    sys.kept = [store, batch, batch.__enter__()]
    for number in range(4):
        batch[number] = number
    batch["waits"] = 1
    with store.batch(max_items=4) as inner:
        inner["waits, too"] = 1
        sys.exit(0)


# writing behind


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


# The exit code of a child that must not use the store.
REFUSED = 3


@command
def fork_while_loading(kind, directory):
    """Fork whenever a thread begins to import something that a store needs; the children need the same."""
    import decimal

    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    store = open_store(kind, directory)
    loading, done = threading.Semaphore(0), threading.Event()
    loaded = []

    class Slow:
        def find_spec(self, name, path, target=None):
            loaded.append(name)
            loading.release()
            time.sleep(0.05)

    def use(name):
        store[name] = 1
        with store.batch() as batch:
            batch[name, 2] = 2
        store[decimal.Decimal(len(name))] = {name: float("nan")}
        assert store.check()

    def first():
        use("parent")
        done.set()
        loading.release()

    thread = threading.Thread(target=first)
    sys.meta_path.insert(0, Slow())
    thread.start()
    statuses = []
    while loading.acquire() and not done.is_set():
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            # What it waits for would be in its own time.
            del sys.meta_path[0]
            try:
                use(f"child {len(statuses)}")
            except fastcache.TransactionError:
                # On a busy machine, the thread was inside the check by the time of the fork.
                os._exit(REFUSED)
            store.close()
            os._exit(0)
        statuses.append(os.waitpid(child, 0)[1])
    thread.join()
    say([loaded, statuses, [key for key in store if isinstance(key, str)]])


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


# durability


@command
def acknowledge(kind, directory, durability, run, threads):
    """Set from several threads without end; say each key when it is stored."""
    store = open_store(kind, directory, durability=durability)

    def write(name):
        for number in itertools.count():
            store[f"{run} {name} {number}"] = b"x" * (140_000 if number % 10 == 3 else 10)
            say([str(run), str(name), str(number)])

    run_threads(*[lambda name=name: write(name) for name in range(threads)])


# waiting


@command
def write_on(kind, directory, name, how, far):
    """Write until told to stop; say when it was that often, and how often it was in the end."""
    numbers = itertools.count()
    with open_store(kind, directory, timeout=90) as store:
        say("ready")
        hear()

        def write():
            number = next(numbers)
            if how == "set":
                store[name] = number
            elif how == "set_many":
                store.set_many((f"{name} {item}" if item else name, number) for item in range(20))
            else:
                with store.transact():
                    store[name] = number
                    store["last"] = name
            if number == far - 1:
                say("far")

        say(until_told(write))


@command
def read_on(kind, directory):
    """Read until told to stop; say how often."""
    chance = random.Random(1)
    with open_store(kind, directory, memory=0) as store:
        say("ready")
        hear()
        say(until_told(lambda: [store.get(chance.randrange(5000)) for _ in range(100)]))


# maintenance


def threads_of_this_process():
    return set(os.listdir("/proc/self/task"))


def wakes(threads):
    """How often these threads have waited for something until now."""
    count = 0
    for thread in threads:
        with open(f"/proc/self/task/{thread}/status") as status:
            count += next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches:"))
    return count


@command
def idle(kind, directory):
    """Use stores, then do nothing; say how often the other threads woke in the quietest of some whiles."""
    with open_store(kind, directory) as store, open_store(kind, directory + " too") as other:
        for number in range(3000):
            store[number] = other[number] = b"x" * (140_000 if number % 1000 == 3 else 100)
        for number in range(100):
            assert store[number] == other[number]
            assert store.get(("absent", number)) is None
        for number in range(0, 3000, 1000):
            store[number + 3] = 1
        if kind == "Cache":
            store.set("expires", 1, expire=3600)
        fewest = None
        for _ in range(8):
            time.sleep(0.3)
            # This thread wakes from its sleep; it does not count.
            threads = threads_of_this_process() - {str(os.getpid())}
            before = wakes(threads)
            time.sleep(1.5)
            after = wakes(threads)
            fewest = after - before if fewest is None else min(fewest, after - before)
            if not fewest:
                break
        say(fewest)


@command
def open_and_close(kind, *directories):
    """Open, use and close stores, the last one too; say how many threads there were."""

    def count():
        return len(threads_of_this_process())

    said = {"before": count(), "while one is open": [], "after each close of the last": []}
    for number in range(3):
        stores = [open_store(kind, directory) for directory in (*directories, None)]
        for store in stores:
            store["a"] = number
            assert store["a"] == number
            store["file"] = b"x" * 160_000
        for store in stores[1:]:
            store.close()
        for entry in range(3000):
            stores[0][entry] = b"x" * 1000
        most = count()
        over = time.monotonic() + 20
        while most <= said["before"] and time.monotonic() < over:
            stores[0][0] = b"x" * 1000
            most = max(most, count())
        said["while one is open"].append(most)
        stores[0].close()
        over = time.monotonic() + 20
        while count() > said["before"] and time.monotonic() < over:
            time.sleep(0.01)
        said["after each close of the last"].append(count())
    say(said)


@command
def end_busy(kind, directory, ending):
    """Leave the interpreter in the middle of everything that happens in the background."""
    from fastcache.runtime import background

    # While daemons go on writing, the exit waits for maintenance for as long as it is ready to.
    background._PATIENCE = 0.5
    options = {"write_behind": 0.02} if kind == "Cache" else {}
    # A temporary one is removed at exit, whoever still uses it.
    others = (directory, directory) if ending == "daemons" else (None, None)
    sys.kept = [open_store(kind, path, **options) for path in (directory, *others)]
    started = threading.Barrier(4)

    def use(store, times):
        # It may be closed before the thread is stopped.
        with contextlib.suppress(fastcache.ClosedError):
            use_on(store, times)

    def use_on(store, times):
        for number in itertools.count():
            store[number % 50] = b"x" * (140_000 if number % 10 == 3 else 500)
            store.get(number % 50)
            if number % 10 == 5:
                store.set_many({number % 7: 1, number % 11: b"x" * 150_000})
            if kind == "Cache":
                store.set(f"soon {number % 20}", number, expire=0.005)
            if number == 100 and times is None:
                started.wait()
            if times is not None and number >= times:
                return

    if ending in ("threads", "daemons"):
        for store in sys.kept:
            times = 400 if ending == "threads" else None
            threading.Thread(target=use, args=(store, times), daemon=ending == "daemons").start()
        if ending == "daemons":
            started.wait()
    else:
        for store in sys.kept:
            use(store, 300)
    if ending != "return":
        sys.exit(0)


@command
def fork_and_replace(kind, directory):
    """Parent and child replace values in files; say how many files are left when both have waited for them to go."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)

    def files():
        folder = os.path.join(directory, "values")
        over = time.monotonic() + 20
        while True:
            count = len([name for name in os.listdir(folder) if os.path.isfile(os.path.join(folder, name))])
            if not count or time.monotonic() > over:
                return count
            time.sleep(0.01)

    def replace(name):
        for _ in range(10):
            store[name] = b"x" * 160_000
        store[name] = 1

    store = open_store(kind, directory)
    replace("parent")
    child = os.fork()
    if child == 0:
        replace("child")
        left = files()
        store.close()
        os._exit(left)
    replace("parent")
    left = files()
    status = os.waitpid(child, 0)[1]
    store.close()
    say([left, os.waitstatus_to_exitcode(status)])


# caches under a limit


@command
def answer_with(kind, directory, options):
    """The same as ``answer``, of a store with options."""
    with open_store(kind, directory, **options) as store:
        while (question := hear()) is not None:
            name, *arguments = question
            say(getattr(store, name)(*arguments))


@command
def fill(kind, directory, name, size, times):
    """Set so many keys of its own to values of one size."""
    chance = random.Random(name)
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in range(times):
            store[f"{name} {number}"] = chance.randbytes(size)


@command
def read_hot(kind, directory, keys):
    """Go through some keys at each message, and say so."""
    with open_store(kind, directory) as store:
        say("ready")
        while hear() is not None:
            for key in range(keys):
                store.get(key)
            say("read")


@command
def write_large_on(kind, directory, size):
    """Write values of this size until killed; say when the first is there."""
    with open_store(kind, directory) as store:
        say("ready")
        hear()
        for number in itertools.count():
            store[f"large {number}"] = b"x" * size
            if number == 0:
                say("first")


@command
def fork_and_evict(kind, directory, policy, limit):
    """Parent and child flood a cache that was filled before; say what came of it."""
    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)
    told = []
    store = open_store(kind, directory, max_size=limit, eviction=policy, on_evict=lambda key, reason: told.append(key))

    def flood(name):
        for number in range(1000):
            store[f"{name} {number}"] = b"x" * 1000
            store.get(f"{name} {number - 10}")

    flood("before")
    child = os.fork()
    if child == 0:
        # What the parent had been told by then.
        told.clear()
        flood("child")
        assert store.stats()["evictions"] > 0
        assert store.volume() <= limit * 1.05
        store.close()
        with open(os.path.join(os.path.dirname(directory), "told"), "w") as file:
            json.dump(told, file)
        os._exit(0)
    flood("parent")
    _, status = os.waitpid(child, 0)
    volume, evictions = store.volume(), store.stats()["evictions"]
    store.close()
    with open(os.path.join(os.path.dirname(directory), "told")) as file:
        childs = json.load(file)
    say({"status": status, "volume": volume, "evictions": evictions, "told twice": sorted(set(told) & set(childs))})


# locks


@command
def use_lock(kind, directory, type_name, name, options):
    """Call a method of a lock for each line [method, *arguments] that comes in; say what it returns or raises.

    SIGINT interrupts the call, and nothing else."""
    calling = False

    def interrupt(signum, frame):
        if calling:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    with open_store(kind, directory) as store:
        lock = getattr(fastcache, type_name)(store, name, **options)
        while (question := hear()) is not None:
            method, *arguments = question
            returned = None
            try:
                calling = True
                returned = getattr(lock, method)(*arguments)
                calling = False
            except (KeyboardInterrupt, fastcache.CacheError, ValueError) as error:
                calling = False
                if method == "acquire" and returned:
                    # Interrupted after it.
                    lock.release()
                returned = type(error).__name__
            say(returned)


@command
def fork_with_locks(kind, directory):
    """Say what a child may do with the locks that its parent holds, and what is left of them for the parent."""
    seen = {}
    with open_store(kind, directory) as store:
        locks = [store.lock("a"), store.rlock("a"), store.bounded_semaphore("a")]
        for lock in locks:
            lock.acquire()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            told = []
            for lock in locks:
                try:
                    told.append(lock.release())
                except fastcache.LockError:
                    told.append("LockError")
                told.append(lock.acquire(blocking=False))
            own = store.lock("own")
            told += [own.acquire(), own.release(), store.lock("kept").acquire()]
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            seen["child"] = json.load(pipe)
        seen["status"] = os.waitpid(child, 0)[1]
        seen["parent"] = [lock.release() for lock in locks]
        seen["what the child kept"] = store.lock("kept").acquire(timeout=60)
    say(seen)


@command
def leave_a_block_in_a_child(kind, directory):
    """Fork inside a lock's block, and let the child leave it by an exception; say its exit status."""
    with open_store(kind, directory) as store, store.lock("a") as lock:
        child = os.fork()
        if child == 0:
            try:
                with lock.__class__(store, "b"), lock_left_by_exit(lock):
                    pass
            except SystemExit as left:
                os._exit(left.code)
            os._exit(1)
        say([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lock.locked()])


@contextlib.contextmanager
def lock_left_by_exit(lock):
    yield
    try:
        raise SystemExit(7)
    except SystemExit:
        if not lock.__exit__(*sys.exc_info()):
            raise


@command
def call_throttled(kind, directory, count, seconds, calls):
    """Call a throttled function so many times; say when each call started, on the clock of all processes."""
    with open_store(kind, directory) as store:
        started = []

        @store.throttle(count, seconds, name="rate")
        def note():
            started.append(time.monotonic())

        say("ready")
        hear()
        for _ in range(calls):
            note()
        say(started)


@command
def add_to_an_average(kind, directory, numbers):
    with open_store(kind, directory) as store:
        averager = store.averager("average")
        say("ready")
        hear()
        for number in numbers:
            averager.add(number)


@command
def meet_at_a_barrier(kind, directory, calls):
    """Call a function so many times that says whether another one runs at the same time, in any process."""
    with open_store(kind, directory) as store:
        alone = os.path.join(os.path.dirname(directory), "alone")

        @store.barrier(name="meeting")
        def run():
            os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
            time.sleep(0.0002)
            os.unlink(alone)

        say("ready")
        hear()
        for _ in range(calls):
            run()


@command
def storm(kind, directory, rounds, seed):
    """Interrupt what acquires, releases and computes at any instruction; say what is left of it."""
    import soak_interrupts

    with open_store(kind, directory) as store:
        say(soak_interrupts.storm(store, rounds, seed))
        hear()


@command
def take_all(kind, directory):
    """Say which of the locks that were interrupted cannot be had now."""
    import soak_interrupts

    with open_store(kind, directory) as store:
        say(soak_interrupts.take_all(store))


# memoizing


@command
def compute_once(kind, directory, how, calls, seconds):
    """At a message, ask for what takes so many seconds, and notes each computation in a file; say the result."""

    def compute():
        with open(calls, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return ["result"]

    with open_store(kind, directory) as store:
        memoized = store.memoize(name="compute")(compute)
        say("ready")
        hear()
        say(memoized() if how == "memoize" else store.get_or_set("key", compute))


@command
def compute_along(kind, directory, key, others, calls):
    """Compute a key, which says so, waits for a message, and asks for others; each computation is noted in a file."""

    def note(computed):
        with open(calls, "a") as file:
            file.write(f"{computed}\n")
        return computed

    def compute():
        note(key)
        say("computing")
        hear()
        return " ".join([key, *[store.get_or_set(other, functools.partial(note, other)) for other in others]])

    # None of these ends because it has waited long enough.
    with open_store(kind, directory, timeout=10_000) as store:
        say(store.get_or_set(key, compute))


@command
def compute_each(kind, directory):
    """For each key that comes in, say what is got or set: the number of the process that computed it."""
    with open_store(kind, directory, timeout=10_000) as store:
        while (key := hear()) is not None:
            say(store.get_or_set(key, os.getpid))


@command
def lock_and_compute(kind, directory):
    """Say what comes of locking and computing: a result, or the type and the message of an error."""
    with open_store(kind, directory) as store:
        say(outcomes_of_locking(store))


@command
def lock_and_compute_without_descriptors(kind, directory, how):
    """The same, in this way, with no descriptor to be had, with one, and so on, until all goes well; then once more."""
    import resource

    # It also says that the memory has no change log.
    logging.disable(logging.CRITICAL)
    outcomes = []
    with open_store(kind, directory) as store:
        store["a"] = 1
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        last = os.open(os.devnull, os.O_RDONLY)
        while not outcomes or outcomes[-1] != "done":
            resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + len(outcomes), hard))
            outcomes.append(outcomes_of_locking(store)[how])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        outcomes.append(outcomes_of_locking(store)[how])
    say(outcomes)


def outcomes_of_locking(store):
    outcomes = {}
    for how in ("lock", "rlock", "bounded_semaphore", "get_or_set"):
        try:
            if how == "get_or_set":
                store.get_or_set(how, lambda: 1)
            else:
                with getattr(store, how)(how):
                    pass
            outcomes[how] = "done"
        except fastcache.CacheError as error:
            outcomes[how] = f"{type(error).__name__}: {error}"
    return outcomes


@command
def fork_while_computing(kind, directory):
    """While a thread computes, fork a child that asks for the same, and again when it is gone; say what it gets."""
    computing, done = threading.Event(), threading.Event()

    def compute():
        computing.set()
        done.wait()
        return "parent"

    with open_store(kind, directory) as store:
        thread = threading.Thread(target=store.get_or_set, args=("key", compute))
        thread.start()
        computing.wait()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            # It waits until the parent has stored; and then for nobody.
            answers = [store.get_or_set("key", lambda: "child")]
            store.delete("key")
            answers.append(store.get_or_set("key", lambda: "child"))
            os.write(writing, json.dumps(answers).encode())
            os._exit(0)
        time.sleep(0.1)
        done.set()
        thread.join()
        os.waitpid(child, 0)
        say(json.loads(os.read(reading, 100)))


@command
def renew_early(kind, directory, calls):
    """At a message, ask for what is always renewed; the second computation and those after it wait for another one."""
    go_on = threading.Event()

    def compute():
        with open(calls, "a") as file:
            file.write(f"{os.getpid()}\n")
        with open(calls) as file:
            if len(file.read().split()) > 1:
                go_on.wait()
        return 1

    with open_store(kind, directory) as store:
        memoized = store.memoize_stampede(100, 1e15, name="early")(compute)
        say("ready")
        hear()
        memoized()
        for _ in range(20):
            memoized()
            time.sleep(0.005)
        say(memoized())
        hear()
        go_on.set()
        while any(thread.name == "fastcache-renewal" for thread in threading.enumerate()):
            time.sleep(0.001)


# value files


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
    current = {}
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
    """Write behind, and be stopped in the middle of flush. Say how often it was, and how often what was committed has
    later come over what somebody else has set since."""
    chance = random.Random(1)
    behind = open_store(kind, directory, write_behind=1000.0, max_size=20_000_000)
    other = open_store(kind, directory, memory=0)
    stopped = overwritten = 0
    longest = 0.001
    for number in range(times):
        values = {key: f"{number} {key} behind".ljust(FILE if key % 2 else 10) for key in range(4)}
        for key, value in values.items():
            behind[key] = value
        began = time.perf_counter()
        if is_stopped(chance.random() * longest + 1e-6, behind.flush):
            stopped += 1
        else:
            longest = 0.9 * longest + 0.1 * (time.perf_counter() - began)
        committed = [key for key in values if other.get(key) == values[key]]
        for key in committed:
            other[key] = f"{number} {key} newer"
        behind.flush()
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


@command
def lock_a_file(path):
    """Create a file and keep it locked, as a writer of the version before did, until told to end."""
    import fcntl

    with open(path, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"x" * FILE)
        file.flush()
        say("locked")
        hear()
