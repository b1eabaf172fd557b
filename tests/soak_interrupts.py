"""Do locks and computations leave nothing behind, whatever instruction an interrupt falls on? Interrupt many, count.

    python tests/soak_interrupts.py --rounds 100000 --seed 1

One thread acquires and releases locks, RLocks and semaphores, in blocks and by hand, calls what is behind a barrier,
and computes once, while a timer raises KeyboardInterrupt in it every 20 µs to 2 ms, so that what undoes an interrupted
acquisition is interrupted, too. Another process takes turns at the same locks, so that some have to wait.

What must be true at the end: this process has no byte locked any more, and no more descriptors than at first; no flight
is under way; and another process gets everything at once. A lock that stays held is waited for in vain, so that the
run does not end.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

import fastcache
from fastcache.engine.shm.byte_locks import byte_locks_of
from fastcache.sync import single_flight

SHORTEST, LONGEST = 20e-6, 2e-3
# Rounds that are made before descriptors are counted.
FIRST_ROUNDS = 50
# Descriptors of the connections that a store may have.
CONNECTIONS = 9


class Alarm:
    """A timer that raises KeyboardInterrupt in the main thread, once it is armed."""

    def __init__(self):
        self.armed = False
        signal.signal(signal.SIGALRM, self.ring)

    def ring(self, signum, frame):
        if self.armed:
            raise KeyboardInterrupt

    def interrupt(self, action, delay, period):
        """Carry out an action while the timer rings; returns whether it came to its end."""
        ended = False
        try:
            self.armed = True
            signal.setitimer(signal.ITIMER_REAL, delay, period)
            action()
            ended = True
        except KeyboardInterrupt:
            pass
        finally:
            self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        return ended


class Storm:
    """What is interrupted, on one store."""

    def __init__(self, store, seed):
        self.store = store
        self.alarm = Alarm()
        self.chosen = random.Random(seed)
        self.lock, self.rlock = store.lock("a"), store.rlock("a")
        self.semaphore = store.bounded_semaphore("a", 2)
        self.memoized = store.memoize(name="compute")(self.compute)
        self.guarded = store.barrier(name="guarded")(self.compute)
        self.computed = 0

    def compute(self, number=0):
        self.computed += 1
        return number

    def in_a_block(self):
        with self.lock:
            pass

    def in_blocks(self):
        with self.rlock, self.semaphore, self.store.rlock("a"), self.semaphore:
            pass

    def by_hand(self):
        for lock in (self.lock, self.semaphore):
            if lock.acquire(timeout=0.01):
                lock.release()

    def behind_a_barrier(self):
        self.guarded()

    def compute_once(self):
        key = self.chosen.random()
        self.store.get_or_set(key, lambda: self.store.get_or_set(-key, self.compute))
        self.memoized(key)

    def let_go(self):
        """Release what was acquired by hand, whose caller was interrupted after it."""
        for lock in (self.lock, self.rlock, self.semaphore):
            with contextlib.suppress(fastcache.LockError):
                while True:
                    lock.release()

    def run(self, rounds):
        """Interrupt so many actions; returns how many came to their end all the same."""
        actions = [self.in_a_block, self.in_blocks, self.by_hand, self.behind_a_barrier, self.compute_once]
        ended = 0
        for number in range(rounds):
            delay, period = (SHORTEST * (LONGEST / SHORTEST) ** self.chosen.random() for _ in range(2))
            action = self.chosen.choice(actions)
            ended += self.alarm.interrupt(action, delay, period)
            if action == self.by_hand:
                self.let_go()
            if number % 1000 == 999:
                self.store.clear()
        return ended

    def leftovers(self):
        """What is still locked here, and under way (dict)."""
        byte_locks = byte_locks_of(self.store.directory)
        return {
            "byte locks": len(byte_locks.held),
            "held": sum(self.is_held(lock) for lock in (self.lock, self.rlock, self.semaphore)),
            "flights": len(single_flight.single_flight_of(self.store.store).active),
            "inside": len(single_flight.inside.get()),
        }

    @staticmethod
    def is_held(lock):
        try:
            lock.release()
        except fastcache.LockError:
            return False
        return True


def descriptors():
    """How many this process has open; 0 where the system does not say."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def storm(store, rounds, seed):
    """Interrupt so many actions; returns what is left over, which is nothing but zeros."""
    # What an interrupt hits in a callback of the interpreter's own would be told. Compiled, it is not hit itself.
    sys.unraisablehook = id
    made = Storm(store, seed)
    made.run(FIRST_ROUNDS)
    before = descriptors()
    ended = made.run(rounds)
    store.get("")
    left = made.leftovers()
    # How many connections are open is a matter of chance.
    grown = descriptors() - before
    stores = getattr(store, "shards", 1) + 1
    left["descriptors"] = grown if grown > CONNECTIONS * stores else 0
    if not 0 < ended < rounds:
        raise AssertionError(f"{ended} of {rounds} were not interrupted")
    return left


def take_all(store):
    """Of all that was interrupted, what cannot be had now (list)."""
    locks = [store.lock("a"), store.rlock("a"), store.bounded_semaphore("a", 2), store.lock("guarded")]
    return [repr(lock) for lock in locks if not lock.acquire(blocking=False)]


def take_turns(store):
    """Compete for the locks until standard input ends."""
    store.lock("a").locked()
    print("ready", flush=True)
    os.set_blocking(0, False)
    while sys.stdin.buffer.raw.read(1) is None:
        for lock in (store.lock("a"), store.rlock("a"), store.bounded_semaphore("a", 2)):
            with lock:
                time.sleep(0.0005)
        time.sleep(0.002)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    parser.add_argument("--kind", default="Cache")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work, directory = options.worker
        with getattr(fastcache, options.kind)(directory) as store:
            if work == "take_turns":
                take_turns(store)
            else:
                print(take_all(store))
        return 0
    seed = options.seed or int(time.time()) % 1_000_000
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, __file__, "--kind", options.kind, "--worker"]
        rival = subprocess.Popen(
            [*command, "take_turns", directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            rival.stdout.readline()
            with getattr(fastcache, options.kind)(directory) as store:
                left = storm(store, options.rounds, seed)
                rival.communicate()
                refused = subprocess.run(
                    [*command, "take_all", directory], check=True, capture_output=True, text=True
                ).stdout.strip()
        finally:
            if rival.poll() is None:
                rival.kill()
                rival.wait()
    print(left, "not to be had:", refused, flush=True)
    return 1 if any(left.values()) or refused != "[]" else 0


if __name__ == "__main__":
    sys.exit(main())
