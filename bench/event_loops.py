"""What calls cost in an event loop, and for how long they hold it up: `python bench/event_loops.py [--uvloop]`.

Two tables. In the first, fastcache.aio and what programs use today, each as its documentation starts with it:

- aiohttp-client-cache: its `SQLiteCache`, a key-value table over aiosqlite;
- cashews: its "disk://", which is diskcache in the default executor;
- diskcache: itself, by `asyncio.to_thread`;
- fastcache, by `asyncio.to_thread`: what the thread of its own and the hits in the loop are worth.

The second says for how long fastcache's threads kept the loop from its next step while something long went on: between
two steps of a task that asks to be called again at once, the time in which this thread neither ran nor waited for a
processor, as far as the other threads have computed meanwhile. (That leaves other programs out. Linux alone.)

Contenders take turns, and what is shown is the median of the turns. One that is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import subprocess
import sys
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.util import find_spec
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any

from entries import VALUE
from table import significant

import fastcache
from fastcache import aio

ENTRIES = 2_000
CALLS = 1_000
TOGETHER = 100
# Reading several clocks takes less, if nothing comes in between, in seconds.
SHORT = 100e-6
Call = Callable[..., Awaitable[Any]]


class Face:
    """A cache as it is called in a loop: get, set, and many gets."""

    def __init__(self, get: Call, set_: Call, get_many: Call | None = None) -> None:
        self.get = get
        self.set = set_
        self.get_many = get_many or self.one_by_one

    async def one_by_one(self, keys: list[str]) -> None:
        for key in keys:
            await self.get(key)


@asynccontextmanager
async def ours(directory: str, **options: Any) -> AsyncIterator[Face]:
    async with aio.Cache(directory, **options) as cache:
        yield Face(cache.get, cache.set, cache.get_many)


@asynccontextmanager
async def in_executor(cache: Any) -> AsyncIterator[Face]:
    async def get(key: str) -> Any:
        return await asyncio.to_thread(cache.get, key)

    async def set_(key: str, value: Any) -> Any:
        return await asyncio.to_thread(cache.set, key, value)

    try:
        yield Face(get, set_)
    finally:
        cache.close()


def diskcache(directory: str) -> Any:
    import diskcache

    return in_executor(diskcache.Cache(directory))


@asynccontextmanager
async def cashews(directory: str) -> AsyncIterator[Face]:
    from cashews import Cache

    cache = Cache()
    cache.setup(f"disk://?directory={directory}", shards=0)
    await cache.init()
    yield Face(cache.get, cache.set, lambda keys: cache.get_many(*keys))
    await cache.close()


@asynccontextmanager
async def client_cache(directory: str) -> AsyncIterator[Face]:
    from aiohttp_client_cache.backends.sqlite import SQLiteCache

    cache = SQLiteCache(f"{directory}/cache.sqlite", "entries")
    yield Face(cache.read, cache.write)
    await cache.close()


FACES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "fastcache.aio": ("fastcache", ours),
    "memory=0": ("fastcache", lambda directory: ours(directory, memory=0)),
    "journal=False": ("fastcache", lambda directory: ours(directory, journal=False)),
    "fastcache in to_thread": ("fastcache", lambda directory: in_executor(fastcache.Cache(directory))),
    "aiohttp-client-cache": ("aiohttp_client_cache", client_cache),
    "cashews": ("cashews", cashews),
    "diskcache in to_thread": ("diskcache", diskcache),
}


async def get_each(face: Face, keys: list[str]) -> None:
    get = face.get
    for key in keys:
        await get(key)


async def set_each(face: Face, keys: list[str]) -> None:
    set_ = face.set
    for key in keys:
        await set_(key, VALUE)


async def get_together(face: Face, keys: list[str]) -> None:
    for start in range(0, len(keys), TOGETHER):
        await asyncio.gather(*map(face.get, keys[start : start + TOGETHER]))


async def set_together(face: Face, keys: list[str]) -> None:
    for start in range(0, len(keys), TOGETHER):
        await asyncio.gather(*(face.set(key, VALUE) for key in keys[start : start + TOGETHER]))


async def get_many(face: Face, keys: list[str]) -> None:
    for start in range(0, len(keys), TOGETHER):
        await face.get_many(keys[start : start + TOGETHER])


OPERATIONS: dict[str, tuple[Callable[[Face, list[str]], Coroutine[Any, Any, None]], str]] = {
    "get, asked before": (get_each, "entry"),
    "get, absent": (get_each, "absent"),
    "set, update": (set_each, "entry"),
    "set, insert": (set_each, "new"),
    f"get, {TOGETHER} at a time": (get_together, "entry"),
    f"set, {TOGETHER} at a time": (set_together, "entry"),
    f"get_many of {TOGETHER}": (get_many, "entry"),
}


async def measure(open_face: Callable[[str], Any]) -> dict[str, float]:
    """Seconds for one key of each operation."""
    took = {}
    with tempfile.TemporaryDirectory(prefix="fastcache-bench-") as directory:
        async with open_face(directory) as face:
            await set_together(face, [f"entry-{number}" for number in range(ENTRIES)])
            await get_each(face, [f"entry-{number}" for number in range(CALLS)])
            for label, (operation, names) in OPERATIONS.items():
                keys = [f"{names}-{number}" for number in range(CALLS)]
                begun = perf_counter()
                await operation(face, keys)
                took[label] = (perf_counter() - begun) / CALLS
    return took


# -- how late the loop was --------------------------------------------------------------------------------------------


class Clocks:
    """The time; for how long this thread has run, or waited for a processor; and what the others have computed.

    They are read without giving up the GIL, which would be to wait for whoever has it then.
    """

    def __init__(self) -> None:
        self.known = open("/proc/thread-self/schedstat", "rb")  # noqa: SIM115 - as long as it measures
        self.buffer = ctypes.create_string_buffer(100)
        self.pread = ctypes.PyDLL(None).pread

    def read(self) -> tuple[float, float, float]:
        while True:
            begun = perf_counter()
            own = thread_time()
            self.pread(self.known.fileno(), self.buffer, 100, ctypes.c_long(0))
            theirs = process_time() - own
            # What was read before and after a pause does not belong together.
            if perf_counter() - begun < SHORT:
                return begun, own + int(self.buffer.value.split()[1]) / 1e9, theirs


class Monitor:
    """A task that asks to be called again at once, and notes for how long other threads kept it waiting."""

    async def __aenter__(self) -> Monitor:
        self.pauses: list[float] = []
        self.task = asyncio.create_task(self.watch())
        await asyncio.sleep(0.001)
        self.pauses.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()

    async def watch(self) -> None:
        clocks = Clocks()
        last = clocks.read()
        while True:
            await asyncio.sleep(0)
            now = clocks.read()
            passed, own, theirs = (later - earlier for later, earlier in zip(now, last, strict=True))
            self.pauses.append(max(0.0, min(passed - own, theirs)))
            last = now


HOLDER = """
import sys, time, fastcache
cache = fastcache.Cache(sys.argv[1])
with cache.transact():
    cache["held"] = 1
    print("holding", flush=True)
    time.sleep(2)
"""


async def nothing(cache: aio.Cache) -> None:
    await asyncio.sleep(1)


async def without_gil(_: aio.Cache) -> None:
    """A thread that has the GIL for moments alone: what the machine, and the hand-over of the GIL, are good for."""
    await asyncio.to_thread(lambda: [zlib.compress(bytes(1 << 20)) for _ in range(200)])


async def with_gil(_: aio.Cache) -> None:
    """A thread of Python, which gives it up when it was asked to for five milliseconds (sys.getswitchinterval)."""

    def compute() -> None:
        total = 0
        for number in range(5_000_000):
            total += number

    await asyncio.to_thread(compute)


async def large_value(cache: aio.Cache) -> None:
    for _ in range(5):
        await cache.set("large", bytes(64 << 20))
        await cache.get("large")


async def large_file(cache: aio.Cache) -> None:
    """The same without a cache, and without the GIL."""
    file = f"{cache.directory}/file"

    def write_and_read() -> None:
        for _ in range(5):
            with open(file, "wb", buffering=0) as opened:
                opened.write(bytes(64 << 20))
            with open(file, "rb", buffering=0) as opened:
                opened.read()

    await asyncio.to_thread(write_and_read)


async def foreign_lock(cache: aio.Cache) -> None:
    holder = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", HOLDER, cache.directory], stdout=subprocess.PIPE
    )
    await asyncio.to_thread(lambda: holder.stdout and holder.stdout.readline())
    await asyncio.gather(cache.set("k", 1), cache.incr("n"), cache.get("absent"))
    await asyncio.to_thread(holder.communicate)


async def checkpoints(cache: aio.Cache) -> None:
    for start in range(0, 40_000, 1000):
        await cache.set_many((f"key-{number}", VALUE) for number in range(start, start + 1000))


async def many_calls(cache: aio.Cache) -> None:
    for _ in range(20):
        await asyncio.gather(*(cache.set(number, VALUE) for number in range(500)))


async def large_get_many(cache: aio.Cache) -> None:
    await cache.set_many((number, VALUE) for number in range(20_000))
    for _ in range(5):
        await cache.get_many(range(20_000))


async def whole_iteration(cache: aio.Cache) -> None:
    await cache.set_many((number, VALUE) for number in range(20_000))
    async for _ in cache.items():
        pass


LONG = {
    "nothing": nothing,
    "control: a thread that compresses": without_gil,
    "control: a thread that computes in Python": with_gil,
    "values of 64 MiB, set and read": large_value,
    "control: files of 64 MiB, in to_thread": large_file,
    "another process holds the write lock for 2 s": foreign_lock,
    "40,000 sets in bulk, with checkpoints": checkpoints,
    "500 sets at a time": many_calls,
    "get_many of 20,000": large_get_many,
    "iterating over 20,000": whole_iteration,
}


async def lateness(work: Callable[[aio.Cache], Awaitable[None]]) -> list[float]:
    """The 99th and the 99.9th percentile, and the largest of the pauses, in seconds."""
    with tempfile.TemporaryDirectory(prefix="fastcache-bench-") as directory:
        async with aio.Cache(directory, memory=0) as cache, Monitor() as monitor:
            await work(cache)
            pauses = sorted(monitor.pauses)
    return [pauses[int(len(pauses) * 0.99)], pauses[int(len(pauses) * 0.999)], pauses[-1]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--uvloop", action="store_true", help="run in uvloop rather than asyncio's own loop")
    parser.add_argument("--only", choices=("calls", "lateness"), help="one of the two tables")
    options = parser.parse_args()
    run: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run
    if options.uvloop:
        import uvloop

        run = uvloop.run
    if options.only != "lateness":
        faces = {name: face for name, (module, face) in FACES.items() if find_spec(module)}
        turns = [{name: run(measure(face)) for name, face in faces.items()} for _ in range(options.turns)]
        print("| µs for a key |", " | ".join(faces), "|")
        print("|---|" + "---:|" * len(faces))
        for label in OPERATIONS:
            times = [significant(median(turn[name][label] for turn in turns) * 1e6) for name in faces]
            print(f"| {label} |", " | ".join(times), "|")
    if options.only != "calls":
        print("\n| ms that the loop was kept from a step | 99 % | 99.9 % | most |\n|---|---:|---:|---:|")
        for label, work in LONG.items():
            found = [run(lateness(work)) for _ in range(options.turns)]
            print(f"| {label} |", " | ".join(significant(median(each) * 1e3) for each in zip(*found, strict=True)), "|")


if __name__ == "__main__":
    main()
