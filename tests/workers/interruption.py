"""Workers that a signal handler interrupts."""

import contextlib
import faulthandler
import itertools
import json
import os
import random
import signal
import sys
import threading
import time
import warnings

from .commands import command, hear, open_store, say


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
