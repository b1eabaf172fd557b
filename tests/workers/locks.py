"""Workers that use locks and what is built on them."""

import contextlib
import json
import os
import signal
import sys
import time

import fastcache

from .commands import command, hear, open_store, say


@command
def use_lock(kind, directory, type_name, name, options):
    """Call a method of a lock for each line [method, *arguments] that comes in; say what it returns or raises.

    SIGINT interrupts the call, and nothing else."""
    calling = False

    def interrupt(signum, frame):
        if calling:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    with open_store(kind, directory) as store:
        lock = getattr(fastcache, type_name)(store, name, **options)
        while (question := hear()) is not None:
            method, *arguments = question
            try:
                calling = True
                returned = getattr(lock, method)(*arguments)
                calling = False
            except (KeyboardInterrupt, fastcache.CacheError, ValueError) as error:
                calling = False
                if method in ("acquire", "release") and isinstance(error, KeyboardInterrupt):
                    # It may have got it, since the handler runs before what it returns has a name; or has it yet.
                    with contextlib.suppress(fastcache.LockError):
                        lock.release()
                returned = type(error).__name__
            say(returned)


@command
def fork_with_locks(kind, directory):
    """Say what a child may do with the locks that its parent holds, and what is left of them for the parent."""
    seen = {}
    with open_store(kind, directory) as store:
        locks = [store.lock("a"), store.rlock("a"), store.bounded_semaphore("a")]
        for lock in locks:
            lock.acquire()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            told = []
            for lock in locks:
                try:
                    told.append(lock.release())
                except fastcache.LockError:
                    told.append("LockError")
                told.append(lock.acquire(blocking=False))
            own = store.lock("own")
            told += [own.acquire(), own.release(), store.lock("kept").acquire()]
            os.write(writing, json.dumps(told).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            seen["child"] = json.load(pipe)
        seen["status"] = os.waitpid(child, 0)[1]
        seen["parent"] = [lock.release() for lock in locks]
        seen["what the child kept"] = store.lock("kept").acquire(timeout=60)
    say(seen)


@command
def leave_a_block_in_a_child(kind, directory):
    """Fork inside a lock's block, and let the child leave it by an exception; say its exit status."""
    with open_store(kind, directory) as store, store.lock("a") as lock:
        child = os.fork()
        if child == 0:
            try:
                with lock.__class__(store, "b"), lock_left_by_exit(lock):
                    pass
            except SystemExit as left:
                os._exit(left.code)
            os._exit(1)
        say([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lock.locked()])


@contextlib.contextmanager
def lock_left_by_exit(lock):
    yield
    try:
        raise SystemExit(7)
    except SystemExit:
        if not lock.__exit__(*sys.exc_info()):
            raise


@command
def call_throttled(kind, directory, count, seconds, calls):
    """Call a throttled function so many times; say when each call started, on the clock of all processes."""
    with open_store(kind, directory) as store:
        started = []

        @store.throttle(count, seconds, name="rate")
        def note():
            started.append(time.monotonic())

        say("ready")
        hear()
        for _ in range(calls):
            note()
        say(started)


@command
def add_to_an_average(kind, directory, numbers):
    with open_store(kind, directory) as store:
        averager = store.averager("average")
        say("ready")
        hear()
        for number in numbers:
            averager.add(number)


@command
def meet_at_a_barrier(kind, directory, calls):
    """Call a function so many times that says whether another one runs at the same time, in any process."""
    with open_store(kind, directory) as store:
        alone = os.path.join(os.path.dirname(directory), "alone")

        @store.barrier(name="meeting")
        def run():
            os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
            time.sleep(0.0002)
            os.unlink(alone)

        say("ready")
        hear()
        for _ in range(calls):
            run()


@command
def storm(kind, directory, rounds, seed):
    """Interrupt what acquires, releases and computes at any instruction; say what is left of it."""
    import soak_interrupts

    with open_store(kind, directory) as store:
        say(soak_interrupts.storm(store, rounds, seed))
        hear()


@command
def take_all(kind, directory):
    """Say which of the locks that were interrupted cannot be had now."""
    import soak_interrupts

    with open_store(kind, directory) as store:
        say(soak_interrupts.take_all(store))
