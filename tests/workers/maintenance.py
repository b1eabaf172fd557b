"""Workers that look at what maintenance does: threads, wakes, files."""

import os
import time
import warnings

from .commands import command, open_store, say


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
