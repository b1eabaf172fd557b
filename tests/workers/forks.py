"""Workers that fork while a store is in use."""

import collections
import contextlib
import ctypes
import json
import os
import signal
import sys
import threading
import time
import warnings

import fastcache

from .commands import command, hear, open_store, say


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
