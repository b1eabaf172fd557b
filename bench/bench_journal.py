"""What the journal is for: single writes that go on and on, in one process and in several; and what it must not cost.

LMDB and RocksDB, which take writes at a similar speed, are peers where they can do the same. So is fastcache without a
journal.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import pytest
from bench_bounded import LIMIT
from bench_entries import measure_gets
from bench_locks import compete
from bench_memoize import add
from conftest import Filled, Measure, Row
from contenders import (
    DICT,
    DIRECT,
    DISKCACHE,
    FLOOR,
    JOURNAL_PEERS,
    JOURNALED,
    ROCKSDB,
    SCIQLOP_CACHE,
    SETTING,
    Contender,
)
from entries import KIB, NAMES, fresh_value, million_names
from latency import HALF_WRITES, Watch, percentile, run_processes
from loops import Loops
from replacement import lru
from sustained import CHUNK, Call, Sustained, in_chunks, sustain, time_each
from synthetic import zipf
from traces import no_collection, occupied

CACHES = (DIRECT, SCIQLOP_CACHE, DISKCACHE)
# How many new entries are made at most, and in a second: more than anyone can.
MOST_NEW, MOST_A_SECOND = 2_000_000, 1_000_000
# What is found out with the first 10,000: how many a contender deletes in a second.
PROBING_SECONDS = 0.5
THREADS = 8
FEW_WRITES = 50
# How often an opening is repeated, each time by a new process.
OPENINGS = 7
# Requests of a mix, and for how many times as long it may last.
REQUESTS, PATIENCE = 200_000, 5
# Of the second mix: almost everything is a miss.
WIDE_KEYS, WIDE_EXPONENT = 1_000_000, 0.5


def operation(
    label: str, unit: str = "us", *, peers: tuple[Contender, ...] = JOURNAL_PEERS, **options: object
) -> pytest.MarkDecorator:
    return pytest.mark.operation(label, unit, ours=JOURNALED, peers=peers, **options)


def new_names(count: int) -> list[str]:
    """Names that are in no fresh directory, all made before anything is timed."""
    return [f"new-{number:08d}" for number in range(count)]


class Sets:
    """Sets of a value of 256 bytes, another one in each chunk."""

    def __init__(self, loop: Callable[..., object]) -> None:
        self.loop = loop

    def __call__(self) -> Call:
        return partial(self.loop, value=fresh_value(256))


def record_sustained(done: Sustained, row: Row) -> None:
    """The share of all that an operation has, and that of the CPU time."""
    row.record(done.seconds)
    if row.contender is not FLOOR:
        row.record_beside("CPU, all threads", "us", done.computing / done.operations)


def measure_sustained(
    contender: Contender,
    loops: Loops,
    call: Callable[[], Call],
    chunks: Iterator[Any],
    *,
    seconds: float,
    row: Row,
    most: int | None = None,
) -> None:
    """The mean over some seconds and the flush at their end, then each call by itself for as long again.

    Args:
        most: how many of the chunks the first part may use, where there is an end to them.
    """
    done = sustain(loops, call, itertools.islice(chunks, most), seconds)
    record_sustained(done, row)
    if contender is JOURNALED:
        row.record_beside("flush at the end", "ms", done.flushing)
    if contender is FLOOR:
        # Each call of its loops goes through ctypes.
        return
    ordered = time_each(loops, call, chunks, seconds)
    row.record_beside("99.9 %", "us", percentile(ordered, 99.9) / 1e9)
    row.record_beside("worst", "ms", ordered[-1] / 1e9)


def measure_new(contender: Contender, loops: Loops, loop: Callable[..., object], *, seconds: float, row: Row) -> None:
    """Of entries that there are not yet."""
    names = new_names(2 * min(MOST_NEW, int(seconds * MOST_A_SECOND)))
    chunks = in_chunks(loops, names)
    measure_sustained(contender, loops, Sets(loop), iter(chunks), seconds=seconds, row=row, most=len(chunks) // 2)


@operation("set, insert", average="mean")
def bench_insert(contender: Contender, loops: Loops, seconds: float, row: Row) -> None:
    measure_new(contender, loops, loops.set, seconds=seconds, row=row)


@operation("set, update", average="mean")
def bench_update(contender: Contender, loops: Loops, seconds: float, shuffled: random.Random, row: Row) -> None:
    chunks = itertools.cycle(in_chunks(loops, shuffled.sample(NAMES, k=len(NAMES))))
    measure_sustained(contender, loops, Sets(loops.set), chunks, seconds=seconds, row=row)


@operation("add", without=(ROCKSDB,), average="mean")
def bench_add(contender: Contender, loops: Loops, seconds: float, row: Row) -> None:
    measure_new(contender, loops, loops.add, seconds=seconds, row=row)


@operation("delete", without=(ROCKSDB,), average="mean")
def bench_delete(contender: Contender, loops: Loops, seconds: float, row: Row) -> None:
    probed = sustain(loops, lambda: loops.delete, in_chunks(loops, NAMES), PROBING_SECONDS)
    # Twice as many as would be enough, and as many again for those that are timed one by one.
    count = max(2 * CHUNK, int(4 * seconds / probed.seconds)) // CHUNK * CHUNK
    doomed = new_names(min(count, MOST_NEW))
    loops.fill(doomed, fresh_value(256))
    loops.flush()
    chunks = in_chunks(loops, doomed)
    most = len(chunks) // 2
    measure_sustained(contender, loops, lambda: loops.delete, iter(chunks), seconds=seconds, row=row, most=most)


@operation("incr", without=(ROCKSDB,), average="mean")
def bench_incr(contender: Contender, loops: Loops, seconds: float, row: Row) -> None:
    chunks = itertools.cycle(in_chunks(loops, new_names(len(NAMES))))
    measure_sustained(contender, loops, lambda: loops.incr, chunks, seconds=seconds, row=row)


@operation("1,000,000 inserts in order", "k op/s", reference=None)
def bench_million_inserts(contender: Contender, tmp_path: Path, seconds: float, row: Row) -> None:
    """All of them, or as many as there is time for; into a directory without entries."""
    loops = contender.open(str(tmp_path / "empty"))
    record_sustained(sustain(loops, Sets(loops.set), in_chunks(loops, million_names()), PATIENCE * seconds), row)
    loops.close()


@operation("random updates over 1,000,000 entries", "k op/s", without=(DISKCACHE,))
def bench_million_updates(
    contender: Contender, filled: Filled, seconds: float, shuffled: random.Random, row: Row
) -> None:
    names = million_names()
    loops = contender.open(str(filled(contender, names)))
    # The last one is not to be changed: see bench_million.py.
    chosen = shuffled.choices(range(len(names) - 1), k=int(seconds * MOST_A_SECOND))
    chunks = in_chunks(loops, [names[number] for number in chosen])
    record_sustained(sustain(loops, Sets(loops.set), chunks, seconds), row)
    loops.close()


def measure_processes(contender: Contender, directory: str, period: int, *, seconds: float, row: Row) -> None:
    rates, ordered = run_processes(contender, Path(directory), period, seconds)
    row.record(1 / sum(rates))
    row.record_beside("99.9 % of a set", "ms", percentile(ordered, 99.9) / 1e9)
    row.record_beside("worst set", "ms", ordered[-1] / 1e9)
    row.record_beside("slowest process", "of fastest", min(rates) / max(rates))


@operation("4 processes, half writes", "k op/s", reference=None, without=(ROCKSDB,))
def bench_processes_write(contender: Contender, directory: str, seconds: float, row: Row) -> None:
    measure_processes(contender, directory, HALF_WRITES, seconds=seconds, row=row)


@operation("4 processes, 2 % writes", "k op/s", reference=None, without=(ROCKSDB,))
def bench_processes_read_mostly(contender: Contender, directory: str, seconds: float, row: Row) -> None:
    measure_processes(contender, directory, FEW_WRITES, seconds=seconds, row=row)


@operation(f"{THREADS} threads, sets", "k op/s", reference=None)
def bench_threads(contender: Contender, loops: Loops, seconds: float, shuffled: random.Random, row: Row) -> None:
    """Each sets all entries again and again, in an order of its own."""
    orders = [in_chunks(loops, shuffled.sample(NAMES, k=len(NAMES))) for _ in range(THREADS)]
    barrier = threading.Barrier(THREADS + 1)

    def work(chunks: list[Any]) -> int:
        # A contender with a connection for each thread opens it here.
        loops.set(chunks[0][:1], fresh_value(256))
        barrier.wait()
        barrier.wait()
        done = 0
        for chunk in itertools.cycle(chunks):
            loops.set(chunk, fresh_value(256))
            done += len(chunk)
            if perf_counter() - begun >= seconds:
                return done
        raise AssertionError

    with ThreadPoolExecutor(THREADS) as pool, no_collection():
        futures = [pool.submit(work, chunks) for chunks in orders]
        barrier.wait()
        begun = perf_counter()
        barrier.wait()
        done = sum(future.result() for future in futures)
        loops.flush()
        row.record((perf_counter() - begun) / done)


@operation("get, hot", reference=DICT)
def bench_get(loops: Loops, measure: Measure) -> None:
    measure_gets(loops, measure, NAMES)


@operation("memoize, miss", reference=SETTING, peers=CACHES, average="mean")
def bench_memoize_miss(loops: Loops, seconds: float, row: Row) -> None:
    function = loops.memoize(add)

    def call(numbers: range) -> None:
        for number in numbers:
            function(number, 1)

    chunks = (range(start, start + CHUNK) for start in itertools.count(step=CHUNK))
    row.record(sustain(loops, lambda: call, chunks, seconds).seconds)


def measure_mix(contender: Contender, directory: Path, requests: list[str], *, seconds: float, row: Row) -> None:
    """Get, and set on a miss, under a limit: how fast, how many hits, and how much is in the directory at worst.

    The models hold as many entries as this cache in the end, or as many as the limit has room for if an entry is
    nothing but a key and a value.
    """
    loops = contender.open_bounded(str(directory), LIMIT)
    played = misses = 0
    passed = 0.0
    with (
        no_collection(),
        Watch(lambda: occupied(str(directory))) as kept,
        Watch(lambda: occupied(str(directory), with_wal=True)) as all_files,
    ):
        for keys in in_chunks(loops, requests):
            value = fresh_value(KIB)
            begun = perf_counter()
            misses += loops.replay(keys, value)
            passed += perf_counter() - begun
            played += len(keys)
            if passed >= PATIENCE * seconds:
                break
        begun = perf_counter()
        loops.flush()
        passed += perf_counter() - begun
    entries = loops.count(1)
    loops.close()
    row.record(passed / (played + misses))
    row.record_beside("most on disk", "of limit", kept.largest / LIMIT)
    row.record_beside("most on disk with the WAL", "of limit", all_files.largest / LIMIT)
    row.record_beside("hits", "of all", (played - misses) / played)
    same_bytes = LIMIT // (KIB + len(requests[0]))
    for label, capacity in ("as many entries", entries), ("16 MiB of entries", same_bytes):
        row.record_beside(f"hits of an LRU of {label}", "of all", sum(lru(requests[:played], capacity)) / played)


@operation("Zipf mix", "k op/s", reference=None, peers=CACHES)
def bench_mix(contender: Contender, tmp_path: Path, seconds: float, row: Row) -> None:
    measure_mix(contender, tmp_path / "mix", list(zipf(REQUESTS, seed=1)), seconds=seconds, row=row)


@operation("Zipf mix, few hits", "k op/s", reference=None, peers=CACHES)
def bench_wide_mix(contender: Contender, tmp_path: Path, seconds: float, row: Row) -> None:
    requests = list(zipf(REQUESTS, seed=1, keys=WIDE_KEYS, exponent=WIDE_EXPONENT))
    measure_mix(contender, tmp_path / "mix", requests, seconds=seconds, row=row)


@operation("lock, 2 processes, hand-off", reference=None, peers=CACHES)
def bench_lock(contender: Contender, directory: str, row: Row) -> None:
    """From where one process begins to release the lock until the other one has it; by the clock that they share."""
    said = compete(contender, directory)
    holds = sorted((*hold, number) for number, each in enumerate(said) for hold in each["holds"])
    pairs = list(itertools.pairwise(holds))
    assert all(later[0] >= earlier[1] for earlier, later in pairs), "two had the lock at the same time"
    handed = sorted(later[0] - earlier[1] for earlier, later in pairs if later[2] != earlier[2])
    if handed:
        row.record(median(handed))
    waits = sorted(wait for each in said for wait in each["waits"])
    row.record_beside("99 % of waits", "ms", waits[int(len(waits) * 0.99)])
    turns = [len(each["waits"]) for each in said]
    row.record_beside("smaller share", "of all", min(turns) / sum(turns))


@operation("new process: open", "ms", reference=None)
def bench_first_calls(contender: Contender, directory: str, row: Row) -> None:
    """A first process, which does not count, has its modules compiled, those that are imported late, too."""
    program = str(Path(__file__).with_name("first_calls.py"))
    command = [sys.executable, program, contender.name, directory]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> list[float]:
        child = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return [float(seconds) for seconds in json.loads(child.stdout)]

    run()
    opening, setting, getting = (median(times) for times in zip(*(run() for _ in range(OPENINGS)), strict=True))
    row.record(opening)
    row.record_beside("first set", "ms", setting)
    row.record_beside("first get", "ms", getting)
