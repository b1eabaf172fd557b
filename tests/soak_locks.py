"""Do locks keep their promises when processes are killed? Let many take turns, kill some, and prove it.

    python tests/soak_locks.py --turns 1000000 --seed 1

Threads of several processes take turns at a lock, an RLock and a semaphore of three slots, for as short as they can,
with and without an expiry, which some outstay. Each one notes in a common log that it has entered, after it has
acquired, and that it leaves, before it releases. Appending to a file is atomic, so the order of the log is one in which
these things have happened, and whoever enters between two notes of another holder has been there together with it.
Processes are killed at any instant, and others take their places; a kill is noted before it is done, and from then on
what was held may be free.

What must be true: never more holders than allowed; nobody has lost what had not expired yet; everybody gets on, and all
processes alike. With ``--journal on`` the records go by way of the journal, with ``mixed`` those of every other process
do.
"""

import argparse
import collections
import dataclasses
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

import fastcache

KINDS = ("lock", "rlock", "semaphore")
CAPACITY = {"lock": 1, "rlock": 1, "semaphore": 3}
ENTER, LEAVE, LOST, KILL = range(4)
# When, until when it certainly holds (0 for ever), how long it has waited (all in ns), who, what, and which.
NOTE = struct.Struct("<qqqiHBB")
PROCESSES, THREADS = 3, 2
# Some expire while they are held, in seconds; and how long those who outstay that take.
EXPIRES = (None, 60.0, 0.004)
OUTSTAY, OUTSTAYING = 0.008, 0.02
# Of turns, how many are so long that others queue up; and how long, in seconds.
LONG, LONG_SECONDS = 0.05, 0.002
BETWEEN_KILLS = 0.15
PATIENCE_SECONDS = 60
# The least that a process gets of what would be fair.
LEAST_SHARE = 0.4


# -- the processes -------------------------------------------------------------------------------------------------


def take_turns(store, log, number, seed, over):
    """One thread."""
    chosen = random.Random(seed)
    pid = os.getpid()

    def note(event, kind, until=0, waited=0):
        os.write(log, NOTE.pack(time.monotonic_ns(), until, waited, pid, number, KINDS.index(kind), event))

    while not over.is_set():
        kind = chosen.choice(KINDS)
        expire = chosen.choice(EXPIRES)
        lock = (
            store.bounded_semaphore("s", 3, expire=expire) if kind == "semaphore" else getattr(store, kind)("a", expire)
        )
        asked = time.monotonic_ns()
        if not lock.acquire(timeout=PATIENCE_SECONDS):
            raise AssertionError(f"a {kind} was not to be had")
        waited = time.monotonic_ns() - asked
        # It may have been handed over, and the time begun, as soon as it was asked for.
        note(ENTER, kind, 0 if expire is None else asked + int(expire * 1e9), waited)
        again = kind == "rlock" and expire != min(filter(None, EXPIRES)) and chosen.random() < 0.5
        if again:
            lock.acquire()
        if expire == min(filter(None, EXPIRES)) and chosen.random() < OUTSTAYING:
            time.sleep(OUTSTAY)
        elif chosen.random() < LONG:
            time.sleep(LONG_SECONDS)
        if again:
            lock.release()
        note(LEAVE, kind)
        if not lock.release():
            note(LOST, kind)


def work(directory, log_path, seed, journal):
    """One process, until its standard input ends."""
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    over = threading.Event()
    failures = []

    def run(number):
        try:
            take_turns(store, log, number, seed * THREADS + number, over)
        except BaseException as failure:
            failures.append(failure)
            over.set()

    with fastcache.Cache(directory, journal=journal == "on" or (journal == "mixed" and seed % 2 == 0)) as store:
        threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        over.set()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


# -- the checker ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Outcome:
    """What the log says."""

    turns: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    seconds_of: dict = dataclasses.field(default_factory=dict)
    waits: list = dataclasses.field(default_factory=list)
    violations: list = dataclasses.field(default_factory=list)
    expired: int = 0
    kills: int = 0
    together: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    share: float = 1.0
    seconds: float = 0.0
    cpu_of_waiting: float = 0.0

    def __str__(self):
        waits = sorted(self.waits)
        percentiles = (
            [f"{p} %: {waits[int(len(waits) * p / 100)] / 1e6:.2f} ms" for p in (50, 99, 99.9)] if waits else []
        )
        return "\n".join(
            [
                f"{sum(self.turns.values()):,} turns in {self.seconds:.0f} s",
                f"{self.kills} kills, {self.expired} expired",
                f"least share of a process: {self.share:.0%} of what is fair",
                f"waiting: {', '.join(percentiles)}; its CPU {self.cpu_of_waiting:.2%}",
                *(f"most at once, {kind}: {most}" for kind, most in sorted(self.together.items())),
                *self.violations[:20],
                f"{len(self.violations)} violations",
            ]
        )


def check(notes, outcome=None):
    """Look for what must not be in a log: an iterable of notes in their order."""
    outcome = outcome or Outcome()
    # By kind: until when each holder certainly holds.
    holders = {kind: {} for kind in KINDS}
    doomed = set()
    left = {}
    began, ended = {}, {}
    latest = 0
    for moment, until, waited, pid, number, which, event in notes:
        who, kind = (pid, number), KINDS[which]
        inside = holders[kind]
        if event == KILL:
            outcome.kills += 1
            doomed.add(pid)
            ended[pid] = moment
            for held in holders.values():
                for other in [other for other in held if other[0] == pid]:
                    del held[other]
        elif event == ENTER:
            # A note may be written long after its moment. When it was, it was as late as this at least.
            latest = max(latest, moment)
            for other in [other for other, end in inside.items() if end and end <= latest]:
                del inside[other]
            # Who noticed too late that it was handed over may have lost it again.
            if pid not in doomed and not 0 < until <= latest:
                inside[who] = until
            left[who] = until
            outcome.turns[pid] += 1
            began.setdefault(pid, moment)
            outcome.waits.append(waited)
            outcome.together[kind] = max(outcome.together[kind], len(inside))
            if len(inside) > CAPACITY[kind]:
                outcome.violations.append(f"  {moment}: {len(inside)} hold the {kind}: {sorted(inside)}")
        elif event == LEAVE:
            inside.pop(who, None)
        elif not left.get(who) or moment < left[who]:
            outcome.violations.append(f"  {moment}: {who} has lost the {kind}, which had not expired")
        else:
            outcome.expired += 1
    outcome.seconds_of = {pid: (ended.get(pid, moment) - start) / 1e9 for pid, start in began.items()}
    return outcome


def notes_in(path):
    with open(path, "rb") as file:
        while len(note := file.read(NOTE.size)) == NOTE.size:
            yield NOTE.unpack(note)


# -- the run -------------------------------------------------------------------------------------------------------


def soak(folder, turns, seed, journal="off"):
    """Let processes take so many turns; returns what came of it."""
    directory, path = os.path.join(folder, "cache"), os.path.join(folder, "log")
    chosen = random.Random(seed)
    log = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    slots = {}
    seeds = iter(range(seed, 1 << 30))
    began = time.monotonic()

    def start():
        process = subprocess.Popen(
            [sys.executable, __file__, "--journal", journal, "--worker", directory, path, str(next(seeds))],
            stdin=subprocess.PIPE,
        )
        slots[process.pid] = len(running)
        return process

    running = []
    try:
        for _ in range(PROCESSES):
            running.append(None)
            running[-1] = start()
            slots[running[-1].pid] = len(running) - 1
        last_size, progress = 0, time.monotonic()
        while os.path.getsize(path) < turns * 2 * NOTE.size:
            time.sleep(chosen.uniform(0.5, 1.5) * BETWEEN_KILLS)
            size = os.path.getsize(path)
            if size > last_size:
                last_size, progress = size, time.monotonic()
            elif time.monotonic() - progress > PATIENCE_SECONDS:
                raise AssertionError("nobody gets on")
            slot = chosen.randrange(PROCESSES)
            process = running[slot]
            if process.poll() is not None:
                raise AssertionError(f"a process ended with {process.returncode}")
            # Not while it still imports.
            if chosen.random() < 0.3:
                os.write(log, NOTE.pack(time.monotonic_ns(), 0, 0, process.pid, 0, 0, KILL))
                process.send_signal(signal.SIGKILL)
                process.wait()
                running[slot] = start()
                slots[running[slot].pid] = slot
        for process in running:
            process.stdin.close()
            if process.wait(PATIENCE_SECONDS) != 0:
                raise AssertionError(f"a process ended with {process.returncode}")
    finally:
        for process in running:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        os.close(log)
    outcome = check(notes_in(path))
    outcome.seconds = time.monotonic() - began
    turns, seconds = collections.Counter(), collections.Counter()
    for pid, slot in slots.items():
        turns[slot] += outcome.turns[pid]
        seconds[slot] += outcome.seconds_of.get(pid, 0.0)
    rates = [turns[slot] / seconds[slot] for slot in range(PROCESSES)]
    outcome.share = min(rates) * PROCESSES / sum(rates)
    outcome.cpu_of_waiting = cpu_of_waiting(directory)
    return outcome


def cpu_of_waiting(directory, seconds=0.5):
    """The share of a core that a thread takes that waits, while others write."""
    burnt = []

    def wait():
        before = time.thread_time()
        store.lock("kept").acquire(timeout=seconds)
        burnt.append(time.thread_time() - before)

    with fastcache.Cache(directory) as store, store.lock("kept"):
        waiter = threading.Thread(target=wait)
        waiter.start()
        while waiter.is_alive():
            with store.lock("other"):
                time.sleep(0.001)
        waiter.join()
    return burnt[0] / seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    parser.add_argument("--journal", choices=("off", "on", "mixed"), default="off")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        directory, log, seed = options.worker
        work(directory, log, int(seed), options.journal)
        return 0
    seed = options.seed or int(time.time()) % 1_000_000
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(folder, options.turns, seed, options.journal)
    print(outcome, flush=True)
    return 1 if outcome.violations or outcome.share < LEAST_SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
