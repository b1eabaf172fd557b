"""Workers that compute what they miss."""

import functools
import json
import logging
import os
import threading
import time

import fastcache

from .commands import command, hear, open_store, say


@command
def compute_once(kind, directory, how, calls, seconds):
    """At a message, ask for what takes so many seconds, and notes each computation in a file; say the result."""

    def compute():
        with open(calls, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(seconds)
        return ["result"]

    with open_store(kind, directory) as store:
        memoized = store.memoize(name="compute")(compute)
        say("ready")
        hear()
        say(memoized() if how == "memoize" else store.get_or_set("key", compute))


@command
def compute_along(kind, directory, key, others, calls):
    """Compute a key, which says so, waits for a message, and asks for others; each computation is noted in a file."""

    def note(computed):
        with open(calls, "a") as file:
            file.write(f"{computed}\n")
        return computed

    def compute():
        note(key)
        say("computing")
        hear()
        return " ".join([key, *[store.get_or_set(other, functools.partial(note, other)) for other in others]])

    # None of these ends because it has waited long enough.
    with open_store(kind, directory, timeout=10_000) as store:
        say(store.get_or_set(key, compute))


@command
def compute_each(kind, directory):
    """For each key that comes in, say what is got or set: the number of the process that computed it."""
    with open_store(kind, directory, timeout=10_000) as store:
        while (key := hear()) is not None:
            say(store.get_or_set(key, os.getpid))


@command
def lock_and_compute(kind, directory):
    """Say what comes of locking and computing: a result, or the type and the message of an error."""
    with open_store(kind, directory) as store:
        say(outcomes_of_locking(store))


@command
def lock_and_compute_without_descriptors(kind, directory, how):
    """The same, in this way, with no descriptor to be had, with one, and so on, until all goes well; then once more."""
    import resource

    # It also says that the memory has no change log.
    logging.disable(logging.CRITICAL)
    outcomes = []
    with open_store(kind, directory) as store:
        store["a"] = 1
        limit, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        last = os.open(os.devnull, os.O_RDONLY)
        while not outcomes or outcomes[-1] != "done":
            resource.setrlimit(resource.RLIMIT_NOFILE, (last + 1 + len(outcomes), hard))
            outcomes.append(outcomes_of_locking(store)[how])
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        outcomes.append(outcomes_of_locking(store)[how])
    say(outcomes)


def outcomes_of_locking(store):
    outcomes = {}
    for how in ("lock", "rlock", "bounded_semaphore", "get_or_set"):
        try:
            if how == "get_or_set":
                store.get_or_set(how, lambda: 1)
            else:
                with getattr(store, how)(how):
                    pass
            outcomes[how] = "done"
        except fastcache.CacheError as error:
            outcomes[how] = f"{type(error).__name__}: {error}"
    return outcomes


@command
def fork_while_computing(kind, directory):
    """While a thread computes, fork a child that asks for the same, and again when it is gone; say what it gets."""
    computing, done = threading.Event(), threading.Event()

    def compute():
        computing.set()
        done.wait()
        return "parent"

    with open_store(kind, directory) as store:
        thread = threading.Thread(target=store.get_or_set, args=("key", compute))
        thread.start()
        computing.wait()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            # It waits until the parent has stored; and then for nobody.
            answers = [store.get_or_set("key", lambda: "child")]
            store.delete("key")
            answers.append(store.get_or_set("key", lambda: "child"))
            os.write(writing, json.dumps(answers).encode())
            os._exit(0)
        time.sleep(0.1)
        done.set()
        thread.join()
        os.waitpid(child, 0)
        say(json.loads(os.read(reading, 100)))


@command
def renew_early(kind, directory, calls):
    """At a message, ask for what is always renewed; the second computation and those after it wait for another one."""
    go_on = threading.Event()

    def compute():
        with open(calls, "a") as file:
            file.write(f"{os.getpid()}\n")
        with open(calls) as file:
            if len(file.read().split()) > 1:
                go_on.wait()
        return 1

    with open_store(kind, directory) as store:
        memoized = store.memoize_stampede(100, 1e15, name="early")(compute)
        say("ready")
        hear()
        memoized()
        for _ in range(20):
            memoized()
            time.sleep(0.005)
        say(memoized())
        hear()
        go_on.set()
        while any(thread.name == "fastcache-renewal" for thread in threading.enumerate()):
            time.sleep(0.001)


@command
def fail_together(kind, directory, folder, count):
    """At a message, ask for what fails; the first one says that it computes, and waits for a message, the others wait
    for each other. Say what is raised."""

    def compute():
        try:
            os.close(os.open(os.path.join(folder, "first"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            os.close(os.open(os.path.join(folder, f"other-{os.getpid()}"), os.O_CREAT | os.O_EXCL))
            while sum(name.startswith("other-") for name in os.listdir(folder)) < count - 1:
                time.sleep(0.01)
        else:
            say("computing")
            hear()
        raise ZeroDivisionError

    # None of these ends because it has waited long enough.
    with open_store(kind, directory, timeout=10_000) as store:
        say("ready")
        hear()
        try:
            say(store.get_or_set("key", compute))
        except ZeroDivisionError:
            say("raised")


@command
def compute_along_in_threads(kind, directory, computations, calls):
    """Compute each key in a thread of its own; when all do, say so, wait for a message, ask for the others of each."""
    meeting, going_on = threading.Barrier(len(computations) + 1), threading.Event()
    answers = {}

    def note(computed):
        with open(calls, "a") as file:
            file.write(f"{computed}\n")
        return computed

    def ask(key, others):
        def compute():
            note(key)
            meeting.wait()
            going_on.wait()
            return " ".join([key, *[store.get_or_set(other, functools.partial(note, other)) for other in others]])

        answers[key] = store.get_or_set(key, compute)

    # None of these ends because it has waited long enough.
    with open_store(kind, directory, timeout=10_000) as store:
        threads = [threading.Thread(target=ask, args=computation) for computation in computations]
        for thread in threads:
            thread.start()
        meeting.wait()
        say("computing")
        hear()
        going_on.set()
        for thread in threads:
            thread.join()
        say([answers[key] for key, _ in computations])
