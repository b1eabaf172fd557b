"""Fail every system call and every allocation of every operation, one at a time, and look at what is left.

    python tests/soak_faults.py --operations set_large transact --kinds Cache FanoutCache --faults calls memory

An operation is first done without a fault, by a process that notes which system calls it makes: a library of our own,
faults.c, is loaded before all others and stands between the process and the system. Then it is done once for each call
and each error that it may meet: that call alone fails, or from it on all that a full disk, a broken one, or a lack of
descriptors would have fail. The same with Python's allocations, with SQLite's, and with the last descriptors of the
process. Each time in a process of its own, a fork of one that has done nothing but import (where memory fails: all that
an operation might import). Then this must be true:

- what was raised is an error of ours, or MemoryError, and it names the true cause;
- each key has its earlier value or its new one, and where an operation is atomic all of them have;
- the object works: for this thread, for another one, and for another process, at once; the same operation succeeds;
- no descriptor is lost, no file is left over, and check() finds nothing wrong.
"""

import argparse
import collections
import contextlib
import contextvars
import ctypes
import dataclasses
import errno
import faulthandler
import gc
import importlib
import io
import itertools
import logging
import os
import pathlib
import pickle
import pkgutil
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing import Pipe

SHIM = pathlib.Path(os.path.abspath(__file__)).with_name("faults.c")
PATIENCE_SECONDS = 40
# The cache's own: whoever finds the lock taken after this time shows that somebody has kept it.
TIMEOUT_SECONDS = 4

SMALL = {"int": 1, "text": "some text", "list": [1, 2, 3]}
LARGE = b"large" * 40_000
OTHER = b"other" * 41_000
CONTENT = {**SMALL, "large": LARGE, "old": OTHER}

# What each kind of call may say. "short" stands for half of what was asked for.
ERRORS = {
    "create": ("ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EACCES", "EIO", "ENOMEM", "EINTR", "EROFS"),
    "open": ("EMFILE", "ENFILE", "EACCES", "EIO", "ENOMEM", "EINTR"),
    "read": ("EIO", "EINTR", "ENOMEM", "short"),
    "write": ("ENOSPC", "EDQUOT", "EIO", "EINTR", "ENOMEM", "short"),
    "sync": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "truncate": ("EIO", "ENOSPC", "EINTR"),
    "allocate": ("ENOSPC", "EIO", "EINTR", "EOPNOTSUPP"),
    "map": ("ENOMEM", "EACCES", "ENODEV"),
    "rename": ("ENOSPC", "EIO", "EACCES", "EDQUOT", "ENOMEM"),
    "link": ("EPERM", "EMLINK", "ENOSPC", "EIO", "EACCES", "EDQUOT", "ENOMEM"),
    "unlink": ("EACCES", "EIO", "EBUSY", "ENOMEM", "EROFS"),
    "mkdir": ("ENOSPC", "EDQUOT", "EACCES", "EIO", "ENOMEM", "EROFS"),
    "lock": ("ENOLCK", "EINTR", "EIO", "ENOMEM", "EACCES"),
    "flock": ("ENOLCK", "EINTR", "EIO", "ENOMEM"),
    "futex": ("EINVAL", "ENOSYS", "EFAULT", "EINTR", "ENOMEM", "EACCES"),
    "stat": ("EIO", "EACCES", "ENOMEM"),
    "chmod": ("EPERM", "EIO", "EROFS"),
    "list": ("EMFILE", "ENFILE", "EACCES", "EIO", "ENOMEM"),
    "close": ("EIO", "EINTR", "ENOSPC", "EDQUOT"),
    "thread": ("EAGAIN",),
}
# What goes on failing from some call on: the error, and which calls meet it.
LASTING = {
    "full disk": ("ENOSPC", "create write allocate rename link mkdir"),
    "quota": ("EDQUOT", "create write allocate rename link mkdir"),
    "broken disk": ("EIO", "create open read write sync truncate allocate rename link unlink mkdir list"),
    "no descriptors": ("EMFILE", "create open list"),
    "read-only": ("EROFS", "create write rename link unlink mkdir chmod truncate allocate"),
    "no memory for maps": ("ENOMEM", "map"),
    # Of what becomes of SQLite's own locks, it says no more than that somebody has them.
    "no locks": ("ENOLCK", "flock"),
    "short": ("short", "read write"),
    "nothing removed": ("EACCES", "unlink"),
    "no futex": ("ENOSYS", "futex"),
    "no links": ("EPERM", "link"),
    "no threads": ("EAGAIN", "thread"),
}
# The most that there are, and the number of one that never comes.
ALL, NONE = 1 << 40, 1 << 41
# Whose allocations fail, and how many in a row. (CPython's own imports never end where none ever succeeds.)
MEMORY = {
    "sqlite memory": (["memory"], 1),
    "sqlite memory gone": (["memory"], ALL),
    "memory": (["objects"], 1),
    "little memory": (["objects"], 30),
}
FULL = {"ENOSPC", "EDQUOT"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is to fail: how (a family), in which call, with which error."""

    family: str
    number: int = 0
    error: str = ""
    call: str = ""

    def __str__(self):
        return " ".join(part for part in (self.family, self.call, self.error, f"#{self.number}") if part)


# -- operations ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Operation:
    """What is done, to which content, and what may be true afterwards."""

    name: str
    run: object
    content: dict
    options: dict
    prepare: object
    # Whether it is done as a whole or not at all, where there are no shards.
    whole: bool
    # Whether it opens the store itself.
    opens: bool
    # Whether doing it again leaves what doing it once leaves.
    repeatable: bool
    kinds: tuple
    # Whether another process has the store open meanwhile.
    beside: bool


OPERATIONS = {}
ALL_KINDS = ("Cache", "Index", "FanoutCache")


def operation(
    content=CONTENT,
    *,
    options=(),
    prepare=None,
    whole=True,
    opens=False,
    repeatable=True,
    kinds=ALL_KINDS,
    beside=False,
):
    def register(run):
        name = run.__name__.rstrip("_")
        given = dict(content) if content is not None else None
        OPERATIONS[name] = Operation(name, run, given, dict(options), prepare, whole, opens, repeatable, kinds, beside)
        return run

    return register


class Use:
    """A store in use by one attempt."""

    def __init__(self, kind, folder, options):
        self.kind, self.folder, self.options = kind, folder, options
        self.store = None
        self.calls = 0
        self.kept = None

    def open(self):
        import fastcache

        options = {"timeout": TIMEOUT_SECONDS, **self.options}
        if self.kind.startswith("Fanout"):
            options["shards"] = 3
        self.store = getattr(fastcache, self.kind)(self.folder, **options)
        return self.store


@operation(None, opens=True)
def open_new(use):
    use.open()


@operation(opens=True)
def open_existing(use):
    use.open()


def leave_things(use):
    """What a writer that died may leave."""
    folder = pathlib.Path(use.folder) / ("shard-001" if use.kind.startswith("Fanout") else "") / "values" / "tmp"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ("0" * 32)).write_bytes(b"left over")


@operation(opens=True, prepare=leave_things)
def open_after_a_crash(use):
    use.open()


@operation(opens=True, beside=True)
def open_beside(use):
    use.open()


@operation(beside=True)
def set_beside(use):
    use.store["int"] = 2


@operation()
def get_small(use):
    return use.store["list"]


@operation(options={"memory": 0})
def get_again(use):
    return [use.store.get("text") for _ in range(4)]


@operation()
def get_missing(use):
    return use.store.get("nothing")


@operation()
def get_large(use):
    return use.store["large"]


@operation()
def get_buffer(use):
    with use.store.get("large", buffer=True) as view:
        return len(view)


@operation()
def contains(use):
    return "large" in use.store, "text" in use.store, "nothing" in use.store


@operation()
def set_small(use):
    use.store["new"] = "a value"


@operation()
def set_over_a_file(use):
    use.store["large"] = "small now"


@operation()
def set_large(use):
    use.store["new"] = LARGE


@operation()
def set_large_over_a_file(use):
    use.store["large"] = OTHER


@operation({})
def set_first_large(use):
    use.store["new"] = LARGE


@operation(options={"durability": "full"})
def set_durably(use):
    use.store["new"] = "a value"


@operation()
def set_half_a_megabyte_inline(use):
    use.store.update(dict.fromkeys(range(9), "x" * 60000))


@operation()
def set_many(use):
    return use.store.set_many(
        {"int": 2, "new": LARGE, "text": "another", "large": OTHER, **dict.fromkeys(range(50), "x")}
    )


@operation()
def get_many(use):
    return use.store.get_many(["int", "list", "large", "nothing"])


@operation(repeatable=False)
def delete_many(use):
    return use.store.delete_many(["int", "large", "nothing"])


@operation()
def transact(use):
    with use.store.transact(*["int"] * use.kind.startswith("Fanout")):
        use.store["int"] = 2
        found = use.store["int"]
        with contextlib.suppress(ZeroDivisionError), use.store.transact(*["int"] * use.kind.startswith("Fanout")):
            use.store["int"] = LARGE
            raise ZeroDivisionError
        use.store["int"] = OTHER
    return found


@operation(kinds=("Cache", "Index"))
def transact_files(use):
    with use.store.transact():
        use.store["new"] = LARGE
        use.store["large"] = OTHER
        del use.store["old"]
        use.store["old"] = "small"


@operation()
def roll_back(use):
    with contextlib.suppress(ZeroDivisionError), use.store.transact(*["int"] * use.kind.startswith("Fanout")):
        use.store["int"] = LARGE
        use.store.incr("int2") if not use.kind.startswith("Fanout") else None
        raise ZeroDivisionError


@operation(repeatable=False)
def incr(use):
    return use.store.incr("int", 4)


@operation({"int": 1 << 70}, repeatable=False)
def incr_beyond(use):
    return use.store.incr("int", 4)


@operation(repeatable=False)
def add(use):
    return use.store.add("new", LARGE), use.store.add("int", 3)


@operation(repeatable=False)
def pop_small(use):
    return use.store.pop("int")


@operation(repeatable=False)
def pop_large(use):
    return use.store.pop("large")


@operation(repeatable=False)
def popitem(use):
    return use.store.popitem()


@operation(repeatable=False)
def delete(use):
    return use.store.delete("large")


@operation()
def clear(use):
    use.store.clear()


@operation()
def iterate(use):
    return list(use.store), sorted(map(repr, use.store.items())), len(use.store)


@operation()
def measure(use):
    return use.store.count(), use.store.size() > 0, use.store.volume() > 0


# A timer of one's own, so that maintenance does not expire anything by itself.
ahead = [0.0]


def clock():
    return time.time() + ahead[0]


def let_some_expire(use):
    use.store.set("short", LARGE, expire=100)
    use.store.set("brief", 2, expire=100)
    ahead[0] = 200.0


@operation(prepare=let_some_expire, options={"timer": clock}, kinds=("Cache", "FanoutCache"), repeatable=False)
def expire(use):
    return use.store.expire()


def tag_some(use):
    use.store.set("tagged", LARGE, tag="a")
    use.store.set("tagged too", 2, tag="a")


@operation(prepare=tag_some, kinds=("Cache", "FanoutCache"), repeatable=False)
def evict_tag(use):
    return use.store.evict_tag("a")


@operation(kinds=("Cache", "FanoutCache"))
def touch(use):
    return use.store.touch("int", 1000)


@operation(
    dict.fromkeys(range(9), LARGE),
    options={"max_size": 2_200_000},
    kinds=("Cache",),
    whole=False,
    repeatable=False,
)
def evict_for_files(use):
    use.store["new"] = LARGE
    use.store["newer"] = OTHER


@operation(
    dict.fromkeys(range(250), "x" * 2000),
    options={"max_size": 700_000, "eviction": "lru"},
    kinds=("Cache",),
    whole=False,
    repeatable=False,
)
def evict_rows(use):
    use.store.update({("new", number): "y" * 2000 for number in range(50)})


@operation(kinds=("Cache", "FanoutCache"), options={"max_size": 8_000_000})
def set_under_a_limit(use):
    use.store["int"] = 2


@operation(kinds=("Cache", "FanoutCache"), options={"max_size": 8_000_000})
def set_large_under_a_limit(use):
    use.store["new"] = LARGE


@operation(whole=False)
def batch(use):
    with use.store.batch(max_items=3) as found:
        for number in range(8):
            found[number] = number
        found["large"] = OTHER


@operation(whole=False)
def flush(use):
    use.store["new"] = "a"
    use.store["large"] = OTHER
    use.store["int"] = 2
    use.store.flush()


@operation()
def lock(use):
    with use.store.lock("lock"):
        return True


def take_lock(use):
    use.kept = use.store.lock("lock")
    use.kept.acquire()


@operation(prepare=take_lock, repeatable=False)
def release_lock(use):
    return use.kept.release()


@operation(repeatable=False)
def acquire_lock(use):
    use.kept = use.store.lock("lock")
    taken = use.kept.acquire(timeout=0.5)
    use.kept.release()
    return taken


def hold_a_lock(use):
    """Another thread has it for a moment."""
    held = threading.Event()
    # Neither allocates nor breaks when it is let go, as threading's own events do.
    go = threading.Lock()
    go.acquire()

    def hold():
        with use.store.lock("lock"):
            held.set()
            go.acquire(timeout=5)
            time.sleep(0.02)

    use.thread = threading.Thread(target=hold)
    use.thread.start()
    held.wait(5)
    use.go = go


@operation(prepare=hold_a_lock, repeatable=False)
def wait_for_a_lock(use):
    use.go.release()
    try:
        with use.store.lock("lock"):
            return True
    finally:
        use.thread.join()


def memoized(use):
    @use.store.memoize(name="function")
    def function(number):
        use.calls += 1
        return [number, "result"]

    return function


@operation()
def memoize_miss(use):
    return memoized(use)(3)


def remember_one(use):
    memoized(use)(3)


@operation(prepare=remember_one)
def memoize_hit(use):
    return memoized(use)(3)


@operation()
def check(use):
    return str(use.store.check())


def leave_an_orphan(use):
    folder = pathlib.Path(use.folder) / ("shard-001" if use.kind.startswith("Fanout") else "") / "values"
    (folder / ("1" * 32)).write_bytes(b"left over")


@operation(prepare=leave_an_orphan)
def check_and_fix(use):
    use.store.check(fix=True)


@operation()
def close(use):
    use.store["int"] = 2
    use.store.close()


@operation()
def reopen(use):
    use.store["int"] = 2
    use.store.close()
    use.open()
    return use.store["int"]


def make_room(use):
    use.store.update(dict.fromkeys(range(100), "x" * 5000))
    use.store.delete_many(range(100))


@operation(prepare=make_room)
def vacuum(use):
    use.store.vacuum()


@operation()
def pickling(use):
    try:
        pickled = pickle.dumps(use.store)
    except pickle.PicklingError as error:
        # So pickle says it, without its cause, when an import fails.
        if "import of module" not in str(error):
            raise
        raise MemoryError from error
    with pickle.loads(pickled) as other:
        return other["int"]


def write_much(use):
    use.store.update({"int": 2})
    for _ in range(3):
        use.store.update(dict.fromkeys(range(30), "x" * 60000))
        use.store["large"] = OTHER


@operation(whole=False)
def maintenance(use):
    """What others do meanwhile fails: with --faults beside."""
    write_much(use)
    time.sleep(0.15)


# -- the library between us and the system -----------------------------------------------------------------------------


def compile_shim(folder):
    """Compile faults.c; returns the path, or None and the reason."""
    if sys.platform != "linux":
        return None, "the library that lets calls fail is for Linux"
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        return None, "there is no C compiler"
    library = os.path.join(folder, "faults.so")
    done = subprocess.run(
        [compiler, "-O1", "-fPIC", "-shared", "-o", library, str(SHIM), "-ldl", "-pthread"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return None, f"faults.c does not compile here: {done.stderr[:300]}"
    return library, ""


class Shim:
    def __init__(self, folder):
        self.library = ctypes.CDLL(None)
        self.kinds = ctypes.c_char_p.in_dll(self.library, "faults_kinds").value.decode().split()
        self.library.faults_disarm.restype = ctypes.c_long
        self.library.faults_failed.restype = ctypes.c_long
        self.library.faults_watch(os.fsencode(folder))
        # That a lock is given back fails on no system, and SQLite takes no notice.
        self.mask_of_all = self.mask(kind for kind in self.kinds if kind not in ("memory", "objects", "unlock"))
        # SQLite is in the library that the compiled module links, or in the module itself.
        import fastcache.engine.sqlite.connection as module

        address = ctypes.cast(ctypes.CDLL(module.__file__).sqlite3_libversion, ctypes.c_void_p)
        self.library.faults_sqlite(address)
        self.library.faults_hook_python()

    def mask(self, kinds):
        return sum(1 << self.kinds.index(kind) for kind in set(kinds))

    def arm(self, mask, first, error, many=1, beside=False):
        code = -1 if error == "short" else getattr(errno, error or "EIO")
        self.library.faults_arm(ctypes.c_ulong(mask), ctypes.c_long(first), ctypes.c_long(many), code, int(beside))

    def disarm(self):
        return self.library.faults_disarm()

    def calls(self, count):
        return [self.kinds[self.library.faults_call(number)] for number in range(min(count, 65536))]


def arming(shim, fault):
    """Functions that arm and disarm a fault, which allocate nothing by themselves if it is about memory."""
    if fault is None:
        return (lambda: shim.arm(shim.mask_of_all, NONE, "")), shim.disarm
    if fault.family == "call":
        return (lambda: shim.arm(shim.mask_of_all, fault.number, fault.error)), shim.disarm
    if fault.family == "beside":
        return (lambda: shim.arm(shim.mask_of_all, fault.number, fault.error, beside=True)), shim.disarm
    if fault.family in LASTING:
        error, kinds = LASTING[fault.family]
        mask = shim.mask(kinds.split())
        return (lambda: shim.arm(mask, fault.number, error, ALL)), shim.disarm
    if fault.family in MEMORY:
        mask, many = shim.mask(MEMORY[fault.family][0]), MEMORY[fault.family][1]
        return (lambda: shim.arm(mask, fault.number, "ENOMEM", many)), shim.disarm
    held = []

    def use_up():
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(map(int, os.listdir("/proc/self/fd")))
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, limit[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(fault.number):
            os.close(held.pop())
        held.append(limit)

    def give_back():
        resource.setrlimit(resource.RLIMIT_NOFILE, held.pop())
        while held:
            os.close(held.pop())

    return use_up, give_back


# -- one attempt, in a process of its own ------------------------------------------------------------------------------


def content_of(store):
    """What is stored, as iterating tells it."""
    return dict(store.items())


def is_closed(store):
    from fastcache import ClosedError

    try:
        store.__enter__()
    except ClosedError:
        return True
    return False


def settle():
    """Let maintenance come to an end."""
    time.sleep(0.005)


def descriptors(folder):
    """What this process has open, by what it is."""
    found = collections.Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{name}")
            if path.startswith(folder):
                found[path.removeprefix(folder).split(" (deleted)")[0]] += 1
            elif path != "/dev/null" and not path.startswith("/proc"):
                found["others"] += 1
    return found


def leftovers(folder):
    """Temporary files; but not the markers of writers that live."""
    found = pathlib.Path(folder).glob("**/values/tmp/*")
    return [str(path.relative_to(folder)) for path in found if not path.name.endswith(".writer")]


def names_cause(error, fault):
    """Whether the message of an exception says what has gone wrong."""
    said = str(error).lower()
    wanted = fault.error or LASTING.get(fault.family, ("",))[0]
    if fault.family == "descriptors":
        wanted = "EMFILE"
    if wanted in ("", "short") or isinstance(error, MemoryError):
        return True
    if wanted in FULL:
        return "full" in said or "quota" in said
    return os.strerror(getattr(errno, wanted)).lower() in said


def unwind(error):
    """The exception, and what it was raised from, or for."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def place_of(error):
    """Where it was raised."""
    return " < ".join(
        f"{os.path.basename(frame.filename)}:{frame.lineno}"
        for frame in reversed(traceback.extract_tb(error.__traceback__)[-3:])
    )


class Attempt:
    """One operation, with one fault, and what is true afterwards."""

    def __init__(self, what, kind, folder, *, fault, shim, expected, ask):
        self.what, self.kind, self.folder, self.fault, self.shim = what, kind, folder, fault, shim
        self.expected = expected
        self.ask = ask
        self.wrong = []
        self.raised = None
        self.result = None

    def note(self, problem, error=None):
        if error is not None:
            problem += f": {type(error).__module__}.{type(error).__name__}: {str(error)[:200]}"
        self.wrong.append(problem)

    def go(self):
        use = Use(self.kind, self.folder, self.what.options)
        before = descriptors(self.folder)
        if self.what.beside:
            self.ask(self.kind, self.folder, "open")
        if not self.what.opens:
            use.open()
        if self.what.prepare is not None:
            self.what.prepare(use)
        settle()
        if self.fault is not None and self.fault.family == "descriptors":
            forget_what_was_loaded()
        arm, disarm = arming(self.shim, self.fault)
        run = self.what.run
        error = result = None
        arm()
        try:
            result = run(use)
        except BaseException as caught:
            error = caught
        finally:
            count = disarm()
        failed = self.shim.library.faults_failed()
        if self.fault is None:
            return self.learn(use, error, result, count, before)
        self.raised = error and " < ".join(f"{type(one).__name__}: {str(one)[:150]}" for one in unwind(error)[:3])
        if error is not None:
            self.raised += f" at {place_of(error)}"
        if error is not None:
            self.look_at(error)
            # Its traceback holds what the operation held.
            for one in unwind(error):
                one.__traceback__ = None
            del error
            self.look_around(use, True, None)
        else:
            self.look_around(use, False, result)
        self.close(use, before)
        return {"wrong": self.wrong, "raised": self.raised, "failed": failed, "counted": count}

    def learn(self, use, error, result, count, before):
        """What happens without a fault."""
        if error is not None:
            raise error
        calls = self.shim.calls(count)
        content = content_of(use.open() if is_closed(use.store) else use.store)
        use.store.close()
        self.close(use, before)
        if self.wrong:
            raise AssertionError(f"{self.what.name} of {self.kind}, without a fault: {self.wrong}")
        return {"calls": calls, "content": content, "result": result}

    def look_at(self, error):
        from fastcache import CacheError

        if not isinstance(error, (CacheError, MemoryError)):
            self.note("raw error", error)
            self.wrong[-1] += f" at {place_of(error)}"
        elif not names_cause(error, self.fault):
            self.note("the cause is not named", error)

    def possible(self, raised):
        """Whether some content may be there, and why not."""
        before, after = self.expected["before"], self.expected["content"]
        whole = self.what.whole and not self.kind.startswith("Fanout")

        def judge(found):
            found = {key: value for key, value in found.items() if key not in ("probe", "other probe")}
            if not raised:
                if found == after or not self.what.whole:
                    return ""
                return f"it returned, but {differences(found, after)}"
            if found in (before, after):
                return ""
            if whole:
                return f"neither before ({differences(found, before)}) nor after ({differences(found, after)})"
            for key in {*found, *before, *after}:
                if found.get(key) not in (before.get(key), after.get(key)):
                    return f"{key!r} is neither what it was nor what it was to be"
            return ""

        return judge

    def look_around(self, use, raised, result):
        judge = self.possible(raised)
        if raised and self.what.name == "release_lock":
            # What was not released can be released again.
            with contextlib.suppress(Exception):
                use.kept.release()
        if (
            not raised
            and not self.what.opens
            and self.what.name not in ("check",)
            and result != self.expected["result"]
        ):
            self.note(f"it returned {shorten(result)}, not {shorten(self.expected['result'])}")
        if raised and self.what.name == "close":
            # Some shards may be closed already, and the others can be.
            with contextlib.suppress(Exception):
                use.store.close()
        if use.store is None or is_closed(use.store):
            try:
                use.open()
            except BaseException as error:
                self.note("it cannot be opened afterwards", error)
                return
        store = use.store
        self.outcome_of("another thread", lambda: in_thread(lambda: self.write(store, "probe")))
        answer = self.outcome_of("another process", lambda: self.ask(self.kind, self.folder))
        for problem in answer.get("problems", ()) if answer else ():
            self.note(f"another process: {problem}")
        found = self.outcome_of("reading", lambda: content_of(store))
        if found is not None:
            problem = judge(found)
            if problem:
                self.note(problem)
            told = self.outcome_of(
                "getting", lambda: {key: store.get(key) for key in {**found, **self.expected["before"]}}
            )
            if told is not None and {key: value for key, value in told.items() if value is not None} != found:
                self.note(f"get and items differ: {differences(told, found)}")
            if answer and answer.get("content") is not None and "timer" not in self.what.options:
                theirs = answer["content"]
                if theirs != found:
                    self.note(f"another process sees something else: {differences(theirs, found)}")
        self.again(use)
        self.look_for_leftovers(use)

    def write(self, store, key):
        store[key] = 1
        if store.get(key) != 1:
            raise AssertionError("what was set is not there")

    def outcome_of(self, who, work):
        try:
            return work()
        except BaseException as error:
            self.note(f"{who}, afterwards", error)
            return None

    def again(self, use):
        """The same operation, without a fault."""
        if self.what.opens or self.what.name in ("release_lock", "wait_for_a_lock"):
            return
        try:
            self.what.run(use)
        except KeyError:
            if self.what.repeatable:
                self.note("the same again raises KeyError")
        except BaseException as error:
            self.note("the same again", error)
        if is_closed(use.store):
            use.open()
        if self.what.repeatable and self.what.whole:
            found = self.outcome_of("reading again", lambda: content_of(use.store))
            if found is not None:
                found = {key: value for key, value in found.items() if key not in ("probe", "other probe")}
                if found != self.expected["content"]:
                    self.note(f"done again, {differences(found, self.expected['content'])}")

    def look_for_leftovers(self, use):
        """Maintenance has a few seconds for one pass."""
        deadline = time.monotonic() + 8
        while True:
            left = leftovers(self.folder)
            found = None
            if not left:
                try:
                    found = use.store.check()
                except BaseException as error:
                    self.note("check", error)
                    return
                if found:
                    return
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if left:
            self.note(f"left over: {len(left)} of {left[:2]}")
        else:
            self.note(f"check: {str(found)[:300]}")

    def close(self, use, before):
        try:
            use.store.close()
        except BaseException as error:
            self.note("closing", error)
        use.store = use.kept = None
        gc.collect()
        deadline = time.monotonic() + 4
        while True:
            lost = descriptors(self.folder) - before
            # What was imported may keep its own. And CPython loses references where it has no memory for a frame, so
            # that an object stays, closed, with what it has mapped.
            lost.pop("others", None)
            if self.fault is not None and self.fault.family in ("memory", "little memory"):
                lost = {path: count for path, count in lost.items() if "/cache.db" in path or "/values" in path}
            if not lost or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        if lost:
            self.note(f"descriptors lost: {dict(lost)}")


def in_thread(work):
    """Do it in another thread."""
    outcome = []

    def run():
        try:
            outcome.append((work(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def shorten(value):
    text = repr(value)
    return text if len(text) < 100 else f"{text[:90]}... ({len(text)})"


def differences(found, wanted):
    wrong = [
        f"{key!r} is {shorten(found.get(key))}, not {shorten(wanted.get(key))}"
        for key in {**found, **wanted}
        if found.get(key) != wanted.get(key)
    ]
    return "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")


# What a program has loaded that has only imported fastcache.
bare = set()


def learn_bare():
    said = subprocess.run(
        [sys.executable, "-c", "import fastcache, sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    bare.update(said.stdout.split())


def load_all():
    """Load all modules of ours, and with them what they import.

    CPython's compiler, and what Cython does to set up a module, crash by themselves where they find no memory. So does
    CPython where it makes the first context of a thread (context_new_empty gives back what it does not track yet).
    """
    contextvars.ContextVar("of the harness").set(None)
    import fastcache
    from fastcache._compiled import MODULES

    written = {found.name for found in pkgutil.walk_packages(fastcache.__path__, "fastcache.")}
    for name in sorted(written | MODULES):
        # Adapters need what is not ours, and nothing else loads them.
        if not name.endswith("__main__") and not name.startswith(("fastcache.integrations.", "fastcache.django.")):
            importlib.import_module(name)


def forget_what_was_loaded():
    """Be a program that has only imported fastcache, so that what it imports late it has to import now."""
    from fastcache.runtime import imports

    # But what cannot be loaded twice, and threads, which most programs have.
    for name in set(sys.modules) - bare - {"threading", "_testcapi"}:
        if not name.startswith(("fastcache", "msgspec", "__")):
            sys.modules.pop(name)
            imports._loaded.pop(name, None)


# -- the other process, and the one that asks --------------------------------------------------------------------


def answer(pipe):
    """Be another process that uses the same directories, as it is asked to."""
    import fastcache

    kept = None
    while True:
        try:
            kind, folder, what = pipe.recv()
        except EOFError:
            return
        if kept is not None:
            kept.close()
            kept = None
        problems, content = [], None
        options = {"shards": 3} if kind.startswith("Fanout") else {}
        if what == "open":
            kept = getattr(fastcache, kind)(folder, **options)
            pipe.send({"content": content_of(kept)})
            continue
        try:
            with getattr(fastcache, kind)(folder, timeout=TIMEOUT_SECONDS, **options) as store:
                store["other probe"] = 1
                content = content_of(store)
                lock = store.lock("lock")
                if not lock.acquire(timeout=TIMEOUT_SECONDS):
                    problems.append("the lock is held")
                else:
                    lock.release()
        except BaseException as error:
            problems.append(f"{type(error).__name__}: {str(error)[:200]}")
        pipe.send({"problems": problems, "content": content})


class Child:
    """A fork that does one thing and says what came of it."""

    def __init__(self, work):
        self.pipe, theirs = Pipe()
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed at its end
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                self.pipe.close()
                os.dup2(self.errors.fileno(), 2)
                faulthandler.enable(self.errors)
                faulthandler.dump_traceback_later(PATIENCE_SECONDS - 2, exit=False, file=self.errors)
                work(theirs)
                code = 0
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(code)
        theirs.close()

    def hear(self, seconds=PATIENCE_SECONDS):
        """What it sends; None if it has died or hangs, and then what it has written."""
        try:
            if self.pipe.poll(seconds):
                return self.pipe.recv()
        except (EOFError, OSError):
            pass
        return None

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        self.pipe.close()
        self.errors.seek(0)
        said = self.errors.read().decode("utf-8", "replace")
        self.errors.close()
        return status, said


def generalized(wrong):
    """The same text for what is wrong in the same way."""
    return re.sub(r"'/[^']*'|[0-9a-f]{32}|\d+", "...", wrong)[:160]


class Harness:
    def __init__(self, folder, report=None):
        self.folder = os.path.join(folder, "attempts")
        os.makedirs(self.folder, exist_ok=True)
        self.shim = Shim(self.folder)
        self.numbers = itertools.count()
        self.other = None
        self.report = report
        self.table = collections.defaultdict(lambda: [0, 0, 0])
        self.violations = []
        self.seen = set()
        learn_bare()
        logging.disable(logging.CRITICAL)

    def ask(self, kind, folder, what="look"):
        if self.other is None:
            self.other = Child(answer)
        self.other.pipe.send((kind, folder, what))
        said = self.other.hear(20)
        if said is None:
            self.other.end()
            self.other = None
            return {"problems": ["it hangs"], "content": None}
        return said

    def fresh(self, what, kind):
        """A new directory with the operation's content."""
        place = os.path.join(self.folder, f"{next(self.numbers)}")
        if what.content is not None:
            template = os.path.join(self.folder, f"template-{what.name}-{kind}")
            if not os.path.exists(template):
                child = Child(lambda pipe: make_template(pipe, what, kind, template))
                made = child.hear()
                status, said = child.end()
                if made is None:
                    raise AssertionError(f"no template for {what.name} of {kind}: {status} {said}")
            shutil.copytree(template, place)
        return place

    def attempt(self, what, kind, fault, expected):
        folder = self.fresh(what, kind)

        def work(pipe):
            unraised = []
            sys.unraisablehook = lambda found: unraised.append(f"{found.exc_value!r} in {found.object!r}"[:200])

            def ask(*what):
                pipe.send(what)
                return pipe.recv()

            said = Attempt(what, kind, folder, fault=fault, shim=self.shim, expected=expected, ask=ask).go()
            if unraised and fault is not None:
                said["wrong"] += [f"not raised, but printed: {one}" for one in unraised[:3]]
            pipe.send(said)

        child = Child(work)
        while True:
            said = child.hear()
            if type(said) is not tuple:
                break
            child.pipe.send(self.ask(*said))
        status, complaint = child.end()
        shutil.rmtree(folder, ignore_errors=True)
        if said is None:
            dead = "hangs" if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL else f"died ({status})"
            return {"wrong": [f"it {dead}: {complaint[:3000]}"], "raised": None, "failed": 1}
        return said

    def learn(self, what, kind):
        """What the operation does without a fault: its system calls, what it leaves, what it returns."""
        before = {} if what.content is None else dict(what.content)
        found = self.attempt(what, kind, None, {"before": before})
        if "calls" not in found:
            raise AssertionError(f"{what.name} of {kind} without a fault: {found}")
        found["before"] = before
        if what.prepare is tag_some:
            found["before"] = {**what.content, "tagged": LARGE, "tagged too": 2}
        if what.prepare is remember_one:
            found["before"] = found["content"]
        return found

    def faults(self, what, kind, families, expected, *, chance, most, only):
        """The faults to try: all of them, or ``most`` of each family."""
        found = []
        for family in families:
            some = [fault for fault in self.faults_of(family, what, kind, expected) if not only or str(fault) == only]
            if most and len(some) > most:
                some = sorted(chance.sample(some, most), key=lambda fault: fault.number)
            found += some
        return found

    def faults_of(self, family, what, kind, expected):
        calls = expected["calls"]
        if family == "calls":
            for number, call in enumerate(calls):
                for error in ERRORS[call]:
                    yield Fault("call", number, error, call)
        elif family == "lasting":
            for name, (_, kinds) in LASTING.items():
                count = sum(call in kinds.split() for call in calls)
                for number in range(count):
                    yield Fault(name, number)
        elif family == "beside":
            for number in range(0, 120, 1):
                yield Fault("beside", number, ("ENOSPC", "EIO", "EMFILE", "EACCES")[number % 4])
        elif family == "descriptors":
            for number in range(4):
                yield Fault("descriptors", number)
        elif family in MEMORY:
            count = self.attempt(what, kind, Fault(family, NONE), expected)["counted"]
            for number in range(0, count, 1 if MEMORY[family][1] == 1 else 3):
                yield Fault(family, number)

    def soak(self, operations, kinds, families, *, chance, most=0, seconds=0.0, only=""):
        """Try all faults, or a part of them; returns what was wrong."""
        plans = [(OPERATIONS[name], kind) for kind in kinds for name in operations if kind in OPERATIONS[name].kinds]
        if seconds:
            chance.shuffle(plans)
        # First what has to be done where nothing is loaded; last what may only be done where all is.
        parts = [
            (0.2, [family for family in families if family == "descriptors"]),
            (0.5, [family for family in families if family != "descriptors" and family not in MEMORY]),
            (0.3, [family for family in families if family in MEMORY]),
        ]
        for share, part in parts:
            if part and set(part) <= set(MEMORY):
                load_all()
            deadline = time.monotonic() + share * seconds if seconds else None
            if part:
                self.try_all(plans, part, chance=chance, most=most, deadline=deadline, only=only)
        self.stop()
        return self.violations

    def try_all(self, plans, families, *, chance, most, deadline, only):
        for what, kind in plans:
            if deadline and time.monotonic() > deadline:
                break
            expected = self.learn(what, kind)
            tried = [family for family in families if (family == "beside") == (what.name == "maintenance")]
            for fault in self.faults(what, kind, tried, expected, chance=chance, most=most, only=only):
                if deadline and time.monotonic() > deadline:
                    break
                said = self.attempt(what, kind, fault, expected)
                self.count(what, kind, fault, said)

    def count(self, what, kind, fault, said):
        family = fault.family if fault.family != "call" else f"call {fault.call}"
        row = self.table[kind, what.name, family]
        row[0] += 1
        row[1] += said["raised"] is not None
        row[2] += bool(said["wrong"])
        for wrong in said["wrong"]:
            self.violations.append((kind, what.name, str(fault), said["raised"], wrong))
            if self.report and (alike := generalized(wrong)) not in self.seen:
                self.seen.add(alike)
                self.report(f"{kind}.{what.name} [{fault}] raised {said['raised']}\n    {wrong}")

    def stop(self):
        if self.other is not None:
            self.other.end()
            self.other = None

    def summary(self):
        """A table: operations and families, points, how many raised, how many were wrong."""
        by_operation = collections.defaultdict(collections.Counter)
        families = []
        for (_, name, family), (points, _, wrong) in self.table.items():
            group = family.partition(" ")[0] if family.startswith("call") else family
            group = {"call": "calls"}.get(group, "lasting" if group in LASTING else group)
            if group not in families:
                families.append(group)
            by_operation[name][group] += points
            by_operation[name][group, "wrong"] += wrong
        out = io.StringIO()
        print(f"{'':28}", *(f"{family:>18}" for family in families), file=out)
        for name, counts in by_operation.items():
            cells = (f"{counts[family]:>12} {'(' + str(counts[family, 'wrong']) + ')':>5}" for family in families)
            print(f"{name:28}", *cells, file=out)
        kinds = collections.defaultdict(list)
        for kind, name, fault, _, wrong in self.violations:
            kinds[generalized(wrong)].append(f"{kind}.{name} [{fault}]")
        for wrong, where in sorted(kinds.items(), key=lambda item: -len(item[1])):
            print(f"{len(where):6} {wrong}\n         {'; '.join(where[:4])}", file=out)
        points = sum(row[0] for row in self.table.values())
        wrong = sum(row[2] for row in self.table.values())
        print(f"{points} faults, {sum(row[1] for row in self.table.values())} raised, {wrong} wrong", file=out)
        return out.getvalue()


def make_template(pipe, what, kind, template):
    use = Use(kind, template, what.options)
    use.open()
    for key, value in what.content.items():
        use.store[key] = value
    use.store.close()
    pipe.send("made")


FAMILIES = ("calls", "lasting", "descriptors", "beside", *MEMORY)
# What the short form tries. Where Python has no memory for several things in a row, it loses references by itself.
SHORT_FAMILIES = ("calls", "lasting", "descriptors", "sqlite memory", "sqlite memory gone", "memory")


def why_not(family):
    """Why a family of faults cannot be tried here; empty if it can."""
    if family in ("memory", "little memory") and not hasattr(ctypes.pythonapi, "PyMem_SetAllocator"):
        return "this Python has no PyMem_SetAllocator"
    return ""


@dataclasses.dataclass
class Short:
    """What the short form has come to."""

    skipped: str
    code: int = 0
    text: str = ""
    faults: int = 0


def run_short(folder, seconds, seed=1):
    """The short form: as many faults as there is time for."""
    library, reason = compile_shim(folder)
    if library is None:
        return Short(reason)
    place = "/dev/shm" if os.path.isdir("/dev/shm") else folder
    with tempfile.TemporaryDirectory(prefix="fastcache-faults-", dir=place) as attempts:
        arguments = ["--most", "2", "--seconds", str(seconds), "--seed", str(seed), "--faults", *SHORT_FAMILIES]
        done = subprocess.run(
            [sys.executable, str(pathlib.Path(__file__)), *arguments],
            env=environment_with(library, attempts),
            capture_output=True,
            text=True,
            check=False,
        )
    counted = re.search(r"^(\d+) faults,", done.stdout, re.MULTILINE)
    return Short("", done.returncode, done.stdout + done.stderr, int(counted.group(1)) if counted else 0)


def environment_with(library, folder):
    return {
        **os.environ,
        "LD_PRELOAD": f"{os.environ.get('LD_PRELOAD', '')} {library}",
        "FASTCACHE_FAULTS": folder,
        "FASTCACHE_SECRET": "the secret of the tests",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", nargs="*", default=list(OPERATIONS), choices=list(OPERATIONS), metavar="NAME")
    parser.add_argument("--kinds", nargs="*", default=list(ALL_KINDS))
    parser.add_argument("--faults", nargs="*", default=list(FAMILIES), choices=FAMILIES)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    parser.add_argument("--most", type=int, default=0, help="faults of each family for each operation; default: all")
    parser.add_argument(
        "--only", default="", help="the faults that are called so, as in what was printed: 'call stat EIO #3'"
    )
    parser.add_argument("--seconds", type=float, default=0.0, help="end after so many")
    options = parser.parse_args()
    if "FASTCACHE_FAULTS" not in os.environ:
        place = "/dev/shm" if os.path.isdir("/dev/shm") else None
        with tempfile.TemporaryDirectory(prefix="fastcache-faults-", dir=place) as folder:
            library, reason = compile_shim(folder)
            if library is None:
                sys.exit(reason)
            command = [sys.executable, __file__, *sys.argv[1:]]
            sys.exit(subprocess.run(command, env=environment_with(library, folder), check=False).returncode)
    # Ours is the last one. A sanitizer's stays for the processes that are started from here.
    os.environ["LD_PRELOAD"] = " ".join(os.environ["LD_PRELOAD"].split()[:-1])
    seed = options.seed or int(time.time())
    print(f"seed {seed}", flush=True)
    families = []
    for family in options.faults:
        reason = why_not(family)
        if reason:
            print(f"not {family}: {reason}", flush=True)
        else:
            families.append(family)
    harness = Harness(os.environ["FASTCACHE_FAULTS"], lambda line: print(line, flush=True))
    wrong = harness.soak(
        options.operations,
        options.kinds,
        families,
        chance=random.Random(seed),
        most=options.most,
        seconds=options.seconds,
        only=options.only,
    )
    print(harness.summary(), flush=True)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
