"""Workers that write many entries in one call, or in a batch."""

import contextlib
import itertools
import os
import sys
import warnings

import fastcache

from .commands import command, hear, open_store, peak_kilobytes, say, until_told
from .described import described


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
