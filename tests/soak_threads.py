"""Do threads that use, close, reopen, fork and interrupt everything leave it whole? Ten minutes of it, and see.

    python tests/soak_threads.py --minutes 10 --seed 1 [--python ~/python3.13/bin/python]

A round is one process, so that a crash is caught. In it nine threads use a Cache, an Index and a FanoutCache of three
shards at random, each through one object that all of them share. Now and then a thread closes such an object, or drops
it for the garbage collector, and puts a new one of the same directory in its place; or it forks a child, which
uses all three and ends. The main thread does what the others do, while a signal handler raises KeyboardInterrupt in it.
What a round is about depends on its seed: limits, memory, journals, how often threads take turns and garbage is
collected, timers and serializers that use the cache in the middle of its own work, or let others in.

What is always true, and who checks it:

- the interpreter does not crash: who starts the round sees a signal, and prints what faulthandler has written;
- nobody waits for ever: a thread watches since when each of the others does the same, and faulthandler's own watches
  over all, should the GIL be stuck; both print where every thread is;
- a value was stored under its key, and is whole: each says what it was made for (``Values``);
- nothing is raised but what is to be expected (``EXPECTED``);
- ``check()`` finds nothing wrong, both meanwhile and at the end;
- when all have ended: no lock is held, nothing is left in ``values/tmp``, no descriptor is open on anything there.

What is wrong of the last four is a *violation*: the round goes on, and tells all of them.
"""

import argparse
import collections
import contextlib
import dataclasses
import faulthandler
import gc
import json
import logging
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
import weakref

import fastcache

THREADS = 9
ROUND_SECONDS = 12
# Of the stores, in seconds: longer than an act may take, so that whoever is not woken is noticed.
TIMEOUT = 300
# For how long one act may take, in seconds; how long a lock may be held by others; how long a child may live; and how
# much longer than it should a round.
PATIENCE, LOCK_PATIENCE, CHILD_PATIENCE, ROUND_PATIENCE = 60, 10, 40, 120
LIMIT = 4 << 20
TMP = "/dev/shm" if os.path.isdir("/dev/shm") else None

# What comes from closing what others use, and from a limit.
EXPECTED = (fastcache.ClosedError, fastcache.CacheFullError)

# -- values that say what they were made for -----------------------------------------------------------------------

KEYS = (*range(12), "a", "b", "é" * 30, b"bytes", (1, "t"), ("nested", (2, None)), 0.5, None, "", frozenset({1}))
COUNTERS = ("counter 1", "counter 2")
COUNTED_FROM = 1 << 40
ALWAYS = ("get", "set", "close", "drop")
SMALL, LARGE, HUGE = 20, 20_000, 100_000


class WrongError(Exception):
    """What no cache may return."""


def value_of(key, chosen):
    """A fresh value for a key: native, or serialized; in the row, or in a file."""
    size = chosen.choices((SMALL, LARGE, HUGE), (20, 2, 1))[0]
    text = f"{key!r}|{chosen.randrange(1 << 30)}|"
    text += "x" * (size - len(text) % size) + "|end"
    return chosen.choice((str, str.encode, lambda text: [text], lambda text: {"text": text}))(text)


def verify(key, value):
    """Raise WrongError unless the value was made for this key, and is whole."""
    if key in COUNTERS:
        if type(value) is not int or not 0 <= value - COUNTED_FROM < 1 << 30:
            raise WrongError(f"{value!r:.80} was counted at {key!r}")
        return
    text = value
    if type(value) is list and len(value) == 1:
        (text,) = value
    elif type(value) is dict and list(value) == ["text"]:
        text = value["text"]
    elif isinstance(value, (bytes, memoryview)):
        text = bytes(value).decode()
    if type(text) is not str or not text.startswith(f"{key!r}|") or not text.endswith("x|end"):
        raise WrongError(f"{value!r:.80} was read at {key!r:.40}")


def result_of(number):
    """What is memoized."""
    time.sleep(0)
    return f"the result of {number}"


# -- a round -------------------------------------------------------------------------------------------------------


class Injected(KeyboardInterrupt):
    """What the signal handler raises."""


class Undo(Exception):
    """Rolls a transaction back."""


@dataclasses.dataclass
class Plan:
    """What a round is about."""

    seed: int

    def __post_init__(self):
        chosen = random.Random(f"plan {self.seed}")
        self.interval = chosen.choice((1e-6, 1e-5, 1e-4, 0.005))
        self.garbage_after = chosen.choice((1, 10, 100, 700))
        self.limited = chosen.random() < 0.4
        self.journal = chosen.random() < 0.5
        self.memory = chosen.choice((0, 20_000, 1 << 20, 32 << 20))
        self.timer = chosen.choice((None, None, "lets others in", "uses the cache"))
        self.serializer = chosen.choice((None, None, "lets others in", "uses the cache"))
        self.closes = chosen.choice((0.2, 1, 4))
        self.forks = chosen.choice((0, 0.05, 0.2))
        # Seconds between interrupts.
        self.interrupts = chosen.choice((None, None, 0.0005, 0.005, 0.05))
        # The fewer acts there are, the more often these meet.
        self.share = chosen.choice((0.15, 0.4, 0.7, 1))
        self.chosen = chosen

    @property
    def may_lose(self):
        """Whether an entry may go that nobody has removed: evicted, or removed by an intruder."""
        return self.limited or "uses the cache" in (self.timer, self.serializer)

    def some_of(self, acts):
        """The acts of this round with their weights: always what uses and what closes, and some of the others."""
        return {
            act: weight for act, weight in acts.items() if act.__name__ in ALWAYS or self.chosen.random() < self.share
        }

    def __str__(self):
        about = [f"threads take turns every {self.interval:g} s", f"garbage after {self.garbage_after}"]
        about += [f"memory {self.memory}"]
        about += ["a limit"] * self.limited + ["a journal"] * self.journal
        about += [f"a timer that {self.timer}"] * (self.timer is not None)
        about += [f"a serializer that {self.serializer}"] * (self.serializer is not None)
        about += [f"interrupts every {self.interrupts} s"] * (self.interrupts is not None)
        about += [f"{self.share:.0%} of the acts, forks {self.forks} %, closes {self.closes} %"]
        return ", ".join(about)


class Shared:
    """A directory, and the object for it that all threads use now; ``renew`` puts another one in its place."""

    def __init__(self, kind, directory, plan):
        self.kind = kind
        self.directory = directory
        self.plan = plan
        self.opened = 0
        self.renew()

    def renew(self):
        self.cache, self.function = self.open()

    def mend(self):
        """Whoever was to renew it was interrupted."""
        if self.cache.stores.closed:
            self.renew()

    def open(self):
        plan = self.plan
        self.opened += 1
        options = {} if self.kind == "Index" else {"max_size": LIMIT if plan.limited else 0}
        owner = []
        if plan.timer and self.kind != "Index":
            options["timer"] = Intruder(plan.timer, owner).timer
        if plan.serializer:
            options["serializer"] = intruding_serializer(plan.serializer, owner)
        if self.kind == "FanoutCache":
            options["shards"] = 3
        cache = getattr(fastcache, self.kind)(
            self.directory, memory=plan.memory, timeout=TIMEOUT, journal=plan.journal, **options
        )
        owner.append(weakref.ref(cache))
        return cache, cache.memoize(name="result_of")(result_of)


class Intruder:
    """What runs in the middle of a cache's own work, and uses that cache or lets other threads in."""

    def __init__(self, way, owner):
        self.uses = way == "uses the cache"
        self.owner = owner
        self.inside = threading.local()
        self.calls = 0

    def intrude(self):
        if getattr(self.inside, "now", False) or not self.owner:
            return
        self.inside.now = True
        try:
            self.calls += 1
            if self.calls % 7 == 0:
                time.sleep(0)
            if self.uses and self.calls % 3 == 0:
                cache = self.owner[0]()
                if cache is not None:
                    self.use(cache)
        finally:
            self.inside.now = False

    def use(self, cache):
        """Whoever is in the middle of one shard must not wait for another one, which may wait for this one."""
        key = KEYS[self.calls % len(KEYS)]
        # In a transaction, other shards than its own are refused.
        with contextlib.suppress(fastcache.TransactionError, *EXPECTED):
            if type(cache).__name__ == "FanoutCache" or self.calls % 9:
                value = cache.get(key)
                if value is not None:
                    verify(key, value)
            elif self.calls % 2:
                cache.clear()
            else:
                cache.delete(key)

    def timer(self):
        self.intrude()
        return time.time()


def intruding_serializer(way, owner):
    intruder = Intruder(way, owner)

    class Serializer(fastcache.PickleSerializer):
        def dumps(self, value, /):
            intruder.intrude()
            return super().dumps(value)

        def loads(self, data, /):
            intruder.intrude()
            return super().loads(data)

    return Serializer()


class Round:
    """One process: its threads, what they do, and what was wrong."""

    def __init__(self, seed, seconds, folder):
        self.plan = Plan(seed)
        self.seed = seed
        self.seconds = seconds
        self.folder = folder
        self.over = threading.Event()
        self.counts = collections.Counter()
        self.raised = collections.Counter()
        self.violations = {}
        # For each thread what it does, and since when.
        self.doing = {}
        self.children = self.refused = self.swallowed = 0
        self.logged = collections.Counter()
        self.slowest = (0,)
        self.lost_a_lock = False
        self.acts = self.plan.some_of(self.every_act())
        self.interruptible = False
        self.stores = [
            Shared(kind, os.path.join(folder, kind), self.plan) for kind in ("Cache", "Index", "FanoutCache")
        ]
        # Where it has a directory: the one that threads fork with is the process's only one.
        self.forking = threading.Lock()
        # Adding up counters is more than one step.
        self.counting = threading.Lock()

    def wrong(self, what):
        """Something is not as it must be; of what begins alike, the first is told."""
        self.violations.setdefault(what.partition("\n")[0], []).append(what)

    # What threads do, each with its weight. `shared` is whose object it is.

    def every_act(self):
        plan = self.plan
        return {
            self.get: 40, self.set: 20, self.get_or_set: 8, self.delete: 3, self.pop: 3, self.incr: 5, self.add: 2,
            self.items: 1, self.keys: 1, self.length: 2, self.contains: 2, self.get_buffer: 2,
            self.set_many: 3, self.get_many: 4, self.delete_many: 1, self.batch: 2,
            self.transact: 4, self.undo: 2, self.expiry: 6, self.tags: 1,
            self.lock: 2, self.rlock: 1, self.semaphore: 1, self.memoize: 4,
            self.check: 0.1, self.evict: 0.3, self.look: 1, self.clear: 0.1, self.flush: 0.3, self.vacuum: 0.05,
            self.close: plan.closes / 2, self.drop: plan.closes / 2, self.fork: plan.forks, self.collect: 0.5,
        }  # fmt: skip

    def get(self, cache, key, chosen):
        value = cache.get(key)
        if value is not None:
            verify(key, value)

    def get_buffer(self, cache, key, chosen):
        value = cache.get(key, buffer=True)
        if value is not None:
            # Meanwhile others replace it, and its file goes; the view stays what it was.
            time.sleep(0)
            stored = bytes(value)
            if f"{key!r}|".encode() not in stored or b"x|end" not in stored:
                raise WrongError(f"{stored!r:.80} was read at {key!r:.40}")

    def set(self, cache, key, chosen):
        cache[key] = value_of(key, chosen)

    def add(self, cache, key, chosen):
        cache.add(key, value_of(key, chosen))

    def get_or_set(self, cache, key, chosen):
        def factory():
            time.sleep(0)
            return value_of(key, chosen)

        verify(key, cache.get_or_set(key, factory))

    def delete(self, cache, key, chosen):
        cache.delete(key)

    def pop(self, cache, key, chosen):
        value = cache.pop(key, None)
        if value is not None:
            verify(key, value)

    def incr(self, cache, key, chosen):
        counter = chosen.choice(COUNTERS)
        verify(counter, cache.incr(counter, 1, COUNTED_FROM))
        value = cache.get(counter)
        if value is not None:
            verify(counter, value)

    def items(self, cache, key, chosen):
        for one, value in cache.items():
            if one in KEYS or one in COUNTERS:
                verify(one, value)

    def keys(self, cache, key, chosen):
        for one in reversed(cache) if chosen.random() < 0.5 else cache:
            if chosen.random() < 0.05:
                cache.get(one)
                break

    def length(self, cache, key, chosen):
        if len(cache) > 2 * len(KEYS) + 100:
            raise WrongError(f"there are {len(cache)} entries")

    def contains(self, cache, key, chosen):
        key in cache  # noqa: B015
        cache.exists(key)

    def some(self, chosen):
        return chosen.sample(KEYS, 4)

    def set_many(self, cache, key, chosen):
        cache.set_many({one: value_of(one, chosen) for one in self.some(chosen)})

    def get_many(self, cache, key, chosen):
        for one, value in cache.get_many(self.some(chosen)).items():
            verify(one, value)

    def delete_many(self, cache, key, chosen):
        cache.delete_many(self.some(chosen))

    def batch(self, cache, key, chosen):
        with cache.batch(max_items=chosen.choice((2, 100)), max_seconds=chosen.choice((0.001, 1.0))) as batch:
            for one in self.some(chosen):
                batch[one] = value_of(one, chosen)
            batch.delete(key)

    def transact(self, cache, key, chosen):
        with cache.transact(key):
            value = cache.get(key)
            if value is not None:
                verify(key, value)
            cache[key] = value = value_of(key, chosen)
            seen = cache.get(key)
            if seen != value and not (seen is None and self.plan.may_lose):
                raise WrongError(f"a transaction has set {value!r:.80}, but sees {seen!r:.80}")

    def undo(self, cache, key, chosen):
        with contextlib.suppress(Undo), cache.transact(key):
            cache[key] = value_of(key, chosen)
            if chosen.random() < 0.3:
                with cache.transact(key):
                    cache.delete(key)
            raise Undo

    def expiry(self, cache, key, chosen):
        if hasattr(cache, "touch"):
            cache.set(key, value_of(key, chosen), expire=chosen.choice((0.0005, 0.003, 1, 100)))
            self.get(cache, key, chosen)
            if chosen.random() < 0.2:
                cache.touch(key, 5)
            if chosen.random() < 0.1:
                cache.expire()

    def tags(self, cache, key, chosen):
        if hasattr(cache, "evict_tag"):
            cache.set(key, value_of(key, chosen), tag="tag")
            if chosen.random() < 0.2:
                cache.evict_tag("tag")

    def lock(self, cache, key, chosen):
        self.hold(cache.lock(chosen.choice("lm"), chosen.choice((None, 30))), chosen)

    def rlock(self, cache, key, chosen):
        lock = cache.rlock("r")
        self.hold(lock, chosen, lambda: self.hold(lock, chosen))

    def semaphore(self, cache, key, chosen):
        self.hold(cache.bounded_semaphore("s", 2), chosen)

    def hold(self, lock, chosen, inside=lambda: time.sleep(0)):
        if self.plan.interrupts and threading.current_thread() is threading.main_thread():
            # Between what acquires and a `try` an interrupt may fall, but not between it and a block.
            with lock:
                inside()
            return
        waits = chosen.random() < 0.7 and not self.lost_a_lock
        if lock.acquire(timeout=LOCK_PATIENCE if waits else 0):
            try:
                inside()
            finally:
                lock.release()
        elif waits:
            # Said once: nobody waits for it again.
            self.lost_a_lock = True
            raise WrongError(f"a {type(lock).__name__} was not to be had, which others hold for a moment")

    def memoize(self, cache, key, chosen):
        number = chosen.randrange(20)
        for shared in self.stores:
            if shared.cache is cache:
                value = shared.function(number)
                if value != f"the result of {number}":
                    raise WrongError(f"{value!r:.80} is the result of {number}")

    def check(self, cache, key, chosen):
        found = cache.check()
        if not found:
            raise WrongError(f"check() while others write: {found}")

    def evict(self, cache, key, chosen):
        if hasattr(cache, "evict"):
            cache.evict()

    def look(self, cache, key, chosen):
        cache.volume()
        cache.size()
        if hasattr(cache, "stats"):
            cache.stats()

    def clear(self, cache, key, chosen):
        cache.clear()

    def flush(self, cache, key, chosen):
        cache.flush()

    def vacuum(self, cache, key, chosen):
        cache.vacuum()

    def close(self, cache, key, chosen):
        for shared in self.stores:
            if shared.cache is cache:
                if chosen.random() < 0.5:
                    shared.renew()
                    cache.close()
                else:
                    try:
                        cache.close()
                    finally:
                        shared.renew()

    def drop(self, cache, key, chosen):
        for shared in self.stores:
            if shared.cache is cache:
                shared.renew()

    def collect(self, cache, key, chosen):
        gc.collect(chosen.randrange(3))

    # Forks.

    def fork(self, cache, key, chosen):
        with self.forking:
            child = os.fork()
            if child == 0:
                self.be_a_child(chosen)
        deadline = time.monotonic() + CHILD_PATIENCE + 10
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise WrongError("a child had to be killed")
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        self.children += 1
        self.refused += code == REFUSED
        if code not in (0, REFUSED):
            raise WrongError(f"a child ended with {code}: see above")

    def be_a_child(self, chosen):
        """Use everything, through the objects of the parent, and end: at any rate without returning."""
        code = 1
        try:
            self.interruptible = False
            # faulthandler's own watchdog would wait for the parent's thread, which is not here.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            faulthandler.register(signal.SIGALRM, chain=True)
            signal.alarm(CHILD_PATIENCE)
            for shared in self.stores:
                cache = shared.cache
                for act in (self.get, self.set, self.get_many, self.transact, self.items, self.lock, self.incr):
                    with contextlib.suppress(*EXPECTED):
                        act(cache, chosen.choice(KEYS), chosen)
            # What it was about to write is written: a process that ends in the middle of that leaves a file behind.
            for shared in self.stores:
                shared.cache.close()
            code = 0
        except fastcache.TransactionError:
            # Another thread was in the middle of what cannot be carried over, and the child is told so.
            code = REFUSED
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)

    # The threads.

    def run(self, number):
        """One thread."""
        chosen = random.Random(f"thread {number} of {self.seed}")
        main = number == 0
        acts = dict(self.acts)
        if main:
            # A child must not be interrupted.
            acts.pop(self.fork, None)
        counts = collections.Counter()
        weights = list(acts.values())
        while not self.over.is_set():
            for act in chosen.choices(list(acts), weights, k=50):
                shared = chosen.choice(self.stores)
                self.doing[number] = (act.__name__, shared.kind, time.monotonic())
                try:
                    try:
                        self.interruptible = self.interruptible or main
                        act(shared.cache, chosen.choice(KEYS), chosen)
                    finally:
                        if main:
                            self.interruptible = False
                except Injected:
                    counts["interrupted"] += 1
                    shared.mend()
                except EXPECTED as error:
                    self.raised[type(error).__name__] += 1
                except BaseException as error:
                    self.wrong(
                        f"{act.__name__} of a {shared.kind}: {type(error).__name__}: {error}"
                        f"\n{''.join(traceback.format_exception(error)[-12:])}"
                    )
                counts[act.__name__] += 1
                took = time.monotonic() - self.doing[number][2]
                if took > self.slowest[0]:
                    self.slowest = (round(took, 2), act.__name__, shared.kind)
                if self.over.is_set():
                    break
        self.doing.pop(number, None)
        with self.counting:
            self.counts += counts

    def interrupt(self, *_):
        """The signal handler."""
        if self.interruptible:
            # Once for each act: who is interrupted again while it cleans up has been told twice.
            self.interruptible = False
            raise Injected

    def not_raised(self, unraisable):
        """What Python can only tell of: raised in a callback, or while something was collected."""
        if isinstance(unraisable.exc_value, Injected):
            self.swallowed += 1
        else:
            what = "".join(traceback.format_exception(unraisable.exc_value)[-12:])
            self.wrong(f"{unraisable.err_msg or 'ignored in'} {unraisable.object!r:.80}: {what}")

    def watch(self):
        """See that everybody gets on."""
        while self.doing or not self.over.is_set():
            time.sleep(0.5)
            now = time.monotonic()
            for number, (act, kind, since) in list(self.doing.items()):
                if now - since > PATIENCE:
                    print(f"HANG: thread {number} is in {act} of a {kind} for {now - since:.0f} s", file=sys.stderr)
                    faulthandler.dump_traceback(all_threads=True)
                    os._exit(HUNG)

    def go(self):
        sys.setswitchinterval(self.plan.interval)
        gc.set_threshold(self.plan.garbage_after)
        self.doing[0] = ("start", "round", time.monotonic())
        threading.Thread(target=self.watch, daemon=True).start()
        threads = [threading.Thread(target=self.run, args=(number,)) for number in range(1, THREADS)]
        for thread in threads:
            thread.start()
        timer = threading.Timer(self.seconds, self.over.set)
        timer.start()
        if self.plan.interrupts:
            signal.signal(signal.SIGALRM, self.interrupt)
            signal.setitimer(signal.ITIMER_REAL, self.plan.interrupts, self.plan.interrupts)
        try:
            self.run(0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for thread in (timer, *threads):
            thread.join()
        sys.setswitchinterval(0.005)
        gc.set_threshold(700)

    def end(self):
        """See what is left when all have ended."""
        for shared in self.stores:
            cache = shared.cache
            self.doing[0] = ("end", shared.kind, time.monotonic())
            gc.collect()
            try:
                # What was interrupted or closed while it held them has given them back.
                for lock in (
                    cache.lock("l"),
                    cache.lock("m"),
                    cache.rlock("r"),
                    *[cache.bounded_semaphore("s", 2)] * 2,
                ):
                    if not lock.acquire(timeout=5):
                        self.wrong(f"a {type(lock).__name__} of the {shared.kind} is held when all have ended")
                cache.flush()
                for one, value in cache.items():
                    if one in KEYS or one in COUNTERS:
                        verify(one, value)
                found = cache.check()
                if not found:
                    self.wrong(f"check() of the {shared.kind} at the end: {found}")
                cache.close()
            except Exception:
                self.wrong(f"at the end of the {shared.kind}: {traceback.format_exc()}")
            shared.cache = shared.function = cache = lock = None
            gc.collect()
        # What was dropped while something waited to be written lives until that is done.
        deadline = time.monotonic() + 5
        while (left := self.left_behind()) and time.monotonic() < deadline:
            time.sleep(0.05)
            gc.collect()
        for what in left:
            self.wrong(what)
        self.doing.clear()

    def left_behind(self):
        """What is left of the stores: temporary files, and descriptors."""
        found = []
        for shared in self.stores:
            files = [*pathlib.Path(shared.directory).glob("**/values/tmp/*")]
            if files:
                found.append(f"{len(files)} files are left in values/tmp of the {shared.kind}")
        open_files = [target for target in map(target_of, os.listdir("/proc/self/fd")) if self.folder in target]
        if open_files:
            found.append(f"{len(open_files)} descriptors are open: {sorted(open_files)[:6]}")
        return found

    def told(self):
        return {
            "operations": sum(self.counts.values()) - self.counts["interrupted"],
            "opened": sum(shared.opened for shared in self.stores),
            "interrupted": self.counts["interrupted"],
            "swallowed": self.swallowed,
            "children": self.children,
            "refused": self.refused,
            "logged": dict(self.logged),
            "slowest": self.slowest,
            "raised": dict(self.raised),
            "violations": [f"({len(alike)} times) {alike[0]}" for alike in self.violations.values()],
        }


def target_of(fd):
    """What a descriptor is open on."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


# What a process ends with.
HUNG, REFUSED = 3, 4


class Collects(logging.Handler):
    """Counts what is logged, without the names of directories."""

    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    def emit(self, record):
        self.counter[record.getMessage().rpartition(": ")[2].rpartition("/")[2][-80:]] += 1


def be_a_round(seed, seconds):
    faulthandler.enable()
    faulthandler.dump_traceback_later(seconds + ROUND_PATIENCE - 10, exit=True)
    os.environ.setdefault("FASTCACHE_SECRET", "the secret of the tests")
    # That threads and forks meet is the point. For all threads: what one of them sets for a while, others undo.
    warnings.simplefilter("ignore", DeprecationWarning)
    with tempfile.TemporaryDirectory(dir=TMP) as folder:
        a_round = Round(seed, seconds, folder)
        logging.getLogger("fastcache").addHandler(Collects(a_round.logged))
        sys.unraisablehook = a_round.not_raised
        a_round.go()
        a_round.end()
        print(json.dumps(a_round.told()), flush=True)


# -- the run -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What a round has come to."""

    seed: int
    seconds: float
    told: dict
    failure: str = ""

    @property
    def violations(self):
        return [*([self.failure] if self.failure else []), *self.told.get("violations", ())]

    def __str__(self):
        told = self.told
        lines = [f"round {self.seed}, {self.seconds:.1f} s: {Plan(self.seed)}"]
        if told:
            raised = ", ".join(f"{name} {count:,}" for name, count in sorted(told["raised"].items()))
            lines += [
                f"  {told['operations']:,} operations, {told['opened']:,} objects opened; {told['interrupted']:,} "
                f"interrupts, {told['swallowed']:,} more lost in callbacks; {told['children']:,} children, "
                f"{told['refused']:,} of which were refused",
                f"  the slowest act: {told['slowest']}; raised: {raised or 'nothing'}",
                *(f"  logged {count:,} times: {message}" for message, count in told["logged"].items()),
            ]
        return "\n".join([*lines, *(f"  VIOLATION: {violation}" for violation in self.violations)])


def cut(complaint, most=12_000):
    """Its beginning, where a crash is told, and its end."""
    return complaint if len(complaint) <= most else f"{complaint[: most // 2]}\n...\n{complaint[-most // 2 :]}"


def play(seed, seconds, python=sys.executable):
    """Run one round in a process of its own; returns what it has come to."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as complaints:
        popen = subprocess.Popen(
            [python, "-X", "faulthandler", __file__, "--round", str(seed), str(seconds)],
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = popen.communicate(timeout=seconds + ROUND_PATIENCE)
        except subprocess.TimeoutExpired:
            said = ""
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
        complaints.seek(0)
        complaint = complaints.read()
    took = time.monotonic() - began
    failure = ""
    if popen.returncode < 0:
        failure = f"CRASH: {signal.Signals(-popen.returncode).name} after {took:.1f} s\n{cut(complaint)}"
    elif popen.returncode:
        failure = f"it ended with {popen.returncode} after {took:.1f} s\n{cut(complaint)}"
    elif complaint:
        failure = f"it complains: {cut(complaint)}"
    told = json.loads(said.splitlines()[-1]) if said and not popen.returncode else {}
    return Outcome(seed, took, told, failure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=ROUND_SECONDS, help="of a round")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; default: from the clock")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has fastcache")
    parser.add_argument("--stop", action="store_true", help="after the first round with a violation")
    parser.add_argument("--round", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        be_a_round(int(options.round[0]), float(options.round[1]))
        return 0
    python = os.path.expanduser(options.python)
    subprocess.run([python, "-c", "import fastcache"], check=True, cwd=pathlib.Path(__file__).parent)
    first = options.seed or int(time.time()) % 1_000_000
    began = time.monotonic()
    outcomes = []
    while time.monotonic() - began < options.minutes * 60:
        outcomes.append(play(first + len(outcomes), options.seconds, python))
        print(outcomes[-1], flush=True)
        if options.stop and outcomes[-1].violations:
            break
    sums = collections.Counter()
    for outcome in outcomes:
        sums.update({name: count for name, count in outcome.told.items() if type(count) is int})
    failures = sum(bool(outcome.failure) for outcome in outcomes)
    violations = sum(len(outcome.violations) for outcome in outcomes)
    print(
        f"{len(outcomes)} rounds, {sums['operations']:,} operations, {sums['opened']:,} objects opened, "
        f"{sums['interrupted']:,} interrupts, {sums['children']:,} children; {failures} rounds that did not end well, "
        f"{violations} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
