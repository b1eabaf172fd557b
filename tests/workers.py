"""What tests let other processes do: ``python workers.py COMMAND ARGUMENTS``, lines of JSON in and out."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import threading
import warnings

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
def hold(kind, directory):
    """Hold the write lock until told to let go."""
    with open_store(kind, directory) as store, store.transact():
        store["held"] = 1
        say("holding")
        hear()


@command
def contents(kind, directory):
    with open_store(kind, directory) as store:
        say(list(store.items()))


# from outside


@command
def sql(directory, *statements):
    """Run SQL on the database as any other program could; say the rows of the last statement."""
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "cache.db"), isolation_level=None)) as database:
        rows = []
        for statement in statements:
            rows = database.execute(statement).fetchall()
        say(rows)


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


# values that describe themselves


def described(key, size):
    """A value that shows whether it is whole: its size, its key, and nothing else."""
    head = f"{size}:{key}:".encode()
    return head + bytes([size % 251]) * size


def is_whole(key, value):
    size, said, body = value.split(b":", 2)
    size = int(size)
    return said == str(key).encode() and body == bytes([size % 251]) * size


SIZES = (0, 10, 1000, 5000, 30_000, 70_000, 200_000, 1_200_000)


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


# interruption


class Interruption(KeyboardInterrupt):
    pass


@command
def interrupted(kind, directory, seed, times):
    """Operate while a signal's handler raises at random instants; say how often that stopped something."""
    import soak_crash

    def interrupt(*_):
        raise Interruption

    signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(seed)
    count = 0
    before = soak_crash.Model()
    with open_store(kind, directory) as store:
        for number in range(times):
            after = soak_crash.Model(before)
            soak_crash.operate(after, "x", number, seed, True)
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 + chance.random() ** 2 * 0.002)
                soak_crash.operate(store, "x", number, seed, True)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except Interruption:
                count += 1
            left = list(store.items())
            assert left in (list(before.items()), list(after.items())), f"half of operation {number} is there"
            before = soak_crash.Model(left)
        say(count)
        hear()


# ending


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
def end_without_closing(kind, directory):
    globals()["kept"] = store = open_store(kind, directory)
    store["a"] = 1
    sys.kept = iter(store.items())
    next(sys.kept)


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*json.loads(sys.argv[2]))
