"""Workers whose store is closed, used or interrupted in the middle of its own operations."""

import faulthandler
import gc
import random
import sys
import threading
import time
import weakref

import fastcache

from .commands import command, hear, open_store, run_threads, say


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
        if event == "call" and frame.f_code.co_name == "schedule" and self.action is not None:
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
    store = open_store(kind, directory)
    with store.batch(max_seconds=1000) as batch:
        batch["k"] = "small"
        InTheMiddle(raise_interrupt)
        try:
            batch.flush()
        except KeyboardInterrupt:
            say("interrupted")
        hear()
        batch.flush()
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
def run_in_span():
    from fastcache.engine import spans

    spans.run_in_span(lambda: None)
    say("ran")
