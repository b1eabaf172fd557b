"""Workers that end while their store is in use."""

import contextlib
import itertools
import sys
import threading

import fastcache

from .commands import command, open_store


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


@command
def end_busy(kind, directory, ending):
    """Leave the interpreter in the middle of everything that happens in the background."""
    from fastcache.runtime import background

    # While daemons go on writing, the exit waits for maintenance for as long as it is ready to.
    background._PATIENCE = 0.5
    # A temporary one is removed at exit, whoever still uses it.
    others = (directory, directory) if ending == "daemons" else (None, None)
    sys.kept = [open_store(kind, path) for path in (directory, *others)]
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
