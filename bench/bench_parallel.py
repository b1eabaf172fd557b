"""Several threads, and several processes, on one directory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter

import pytest
from clocks import ReportedClock
from conftest import Measure
from contenders import NO_MEMORY, Contender
from entries import NAMES, fresh_value
from loops import Loops
from workers import Workers

THREADS = 8
PROCESSES = 4
WORK_SECONDS = 0.5
# A thread that has to win back the GIL waits 5 ms: a round lasts many times that.
ROUND_SECONDS = 0.3
MANY_NAMES = NAMES * 100


@pytest.fixture
def busy_thread() -> Iterator[None]:
    """A thread that computes in Python all the time, and so wants the GIL all the time."""
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            for _ in range(1000):
                number = (number * 31 + 7) % 1_000_003

    thread = threading.Thread(target=compute)
    thread.start()
    yield
    stop.set()
    thread.join()


def operations_in(seconds: float, call: Callable[[int], None], most: int) -> int:
    """How many operations take so long: contenders differ a thousandfold."""
    operations, passed = 20, 0.0
    while passed < seconds / 10:
        operations = min(4 * operations, most)
        start = perf_counter()
        call(operations)
        passed = perf_counter() - start
        if operations == most:
            break
    return max(20, min(most, int(operations * seconds / passed)))


def measure_busy_get(loops: Loops, measure: Measure) -> None:
    operations = operations_in(ROUND_SECONDS, lambda count: loops.get(MANY_NAMES[:count]), len(MANY_NAMES))
    names = MANY_NAMES[:operations]
    measure(lambda: loops.get(names), operations)


@pytest.mark.operation("get, one busy thread, mean", reference=None, average="mean")
def bench_get_busy(loops: Loops, measure: Measure, busy_thread: None) -> None:
    measure_busy_get(loops, measure)


@pytest.mark.operation("get, memory=0, one busy thread, mean", ours=NO_MEMORY, reference=None, average="mean")
def bench_get_from_disk_busy(loops: Loops, measure: Measure, busy_thread: None) -> None:
    measure_busy_get(loops, measure)


@pytest.mark.operation("set, one busy thread, mean", reference=None, average="mean")
def bench_set_busy(loops: Loops, measure: Measure, busy_thread: None) -> None:
    value = fresh_value(256)
    operations = operations_in(ROUND_SECONDS, lambda count: loops.set(NAMES[:count], value), len(NAMES))
    names = NAMES[:operations]
    measure(loops.set, operations, setup=lambda: (names, fresh_value(256)))


def measure_threads(loops: Loops, measure: Measure) -> None:
    """Each thread walks over all entries, from a place of its own, as often as it has to."""
    barrier = threading.Barrier(THREADS + 1)
    share = operations_in(ROUND_SECONDS / THREADS, lambda count: loops.get(MANY_NAMES[:count]), len(MANY_NAMES) // 2)
    starts = [len(NAMES) * number // THREADS for number in range(THREADS)]
    shares = [MANY_NAMES[start : start + share] for start in starts]

    def read(names: list[str]) -> None:
        # A contender with a connection for each thread opens it here.
        loops.get(names[:1])
        barrier.wait()
        barrier.wait()
        loops.get(names)

    with ThreadPoolExecutor(THREADS) as pool:

        def start() -> tuple[list[Future[None]]]:
            futures = [pool.submit(read, names) for names in shares]
            barrier.wait()
            return (futures,)

        def finish(futures: list[Future[None]]) -> None:
            barrier.wait()
            for future in futures:
                future.result()

        measure(finish, THREADS * share, setup=start)


@pytest.mark.operation(f"get, {THREADS} threads", "k op/s", reference=None)
def bench_threads(loops: Loops, measure: Measure) -> None:
    measure_threads(loops, measure)


@pytest.mark.operation(f"get, memory=0, {THREADS} threads", "k op/s", ours=NO_MEMORY, reference=None)
def bench_threads_from_disk(loops: Loops, measure: Measure) -> None:
    measure_threads(loops, measure)


reported = ReportedClock()


def measure_processes(contender: Contender, directory: str, measure: Measure, period: int) -> None:
    """Each process opens the cache, asks for every entry, waits for the others, and runs for the same time."""
    companion = contender.companion(directory)
    workers = Workers(contender, directory)

    def start() -> tuple[()]:
        for seed in range(PROCESSES):
            workers.start(seed, period, WORK_SECONDS)
        if companion is not None:
            companion.recycle()
        return ()

    def run() -> None:
        workers.go()
        reported.seconds += 1 / sum(workers.rates())

    with workers:
        measure(run, 1, setup=start, teardown=workers.stop)
    if companion is not None:
        companion.close()


@pytest.mark.operation(f"{PROCESSES} processes, reads", "k op/s")
@pytest.mark.benchmark(timer=reported)
def bench_processes_read(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, period=0)


@pytest.mark.operation(f"{PROCESSES} processes, reads, memory=0", "k op/s", ours=NO_MEMORY)
@pytest.mark.benchmark(timer=reported)
def bench_processes_read_from_disk(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, period=0)


@pytest.mark.operation(f"{PROCESSES} processes, 2 % writes", "k op/s")
@pytest.mark.benchmark(timer=reported)
def bench_processes_read_mostly(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, period=50)


@pytest.mark.operation(f"{PROCESSES} processes, 50 % writes", "k op/s")
@pytest.mark.benchmark(timer=reported)
def bench_processes_write(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, period=2)
