"""Several threads, and several processes, on one directory."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from conftest import Measure
from contenders import Contender
from entries import NAMES, fresh_value
from loops import Loops

THREADS = 8
READS_PER_THREAD = 2_500
PROCESSES = 4
WORKER = str(Path(__file__).with_name("worker.py"))
BUSY_SECONDS = 0.3


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


def measure_for_a_while(
    measure: Measure,
    loop: Callable[..., None],
    names: list[str],
    setup: Callable[[], tuple[Any, ...]] = tuple,
) -> None:
    """Choose the number of operations by time: contenders differ a thousandfold, and a switch takes 5 ms."""
    sample = names[:20]
    start = perf_counter()
    loop(sample, *setup())
    operations = max(20, min(len(names), int(BUSY_SECONDS * len(sample) / (perf_counter() - start))))
    measure(loop, operations, setup=lambda: (names[:operations], *setup()))


@pytest.mark.operation("get, one busy thread", without=("floor", "Index"))
def bench_get_busy(loops: Loops, measure: Measure, busy_thread: None) -> None:
    measure_for_a_while(measure, loops.get, NAMES * 10)


@pytest.mark.operation("set, one busy thread", without=("floor", "Index"))
def bench_set_busy(loops: Loops, measure: Measure, busy_thread: None) -> None:
    measure_for_a_while(measure, loops.set, NAMES, setup=lambda: (fresh_value(256),))


@pytest.mark.operation(f"get, {THREADS} threads", "k op/s", without=("floor", "Index"))
def bench_threads(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    barrier = threading.Barrier(THREADS + 1)
    shares = [shuffled.choices(NAMES, k=READS_PER_THREAD) for _ in range(THREADS)]

    def read(share: list[str]) -> None:
        # A contender with a connection for each thread opens it here.
        loops.get(share[:1])
        barrier.wait()
        barrier.wait()
        loops.get(share)

    with ThreadPoolExecutor(THREADS) as pool:

        def start() -> tuple[list[Future[None]]]:
            futures = [pool.submit(read, share) for share in shares]
            barrier.wait()
            return (futures,)

        def finish(futures: list[Future[None]]) -> None:
            barrier.wait()
            for future in futures:
                future.result()

        measure(finish, THREADS * READS_PER_THREAD, setup=start)


def measure_processes(contender: Contender, directory: str, measure: Measure, operations: int, period: int) -> None:
    """Each process opens the cache, waits for all others, and runs its operations on random keys."""
    running: list[subprocess.Popen[str]] = []

    def start() -> tuple[()]:
        for seed in range(PROCESSES):
            arguments = [contender.name, directory, str(operations), str(period), str(seed)]
            process = subprocess.Popen(
                [sys.executable, WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            running.append(process)
            # One after the other: diskcache_rs fails now and then when two open one directory at a time.
            expect("ready", process)
        return ()

    def expect(word: str, process: subprocess.Popen[str]) -> None:
        answer = process.stdout.readline().strip() if process.stdout else ""
        if answer != word:
            raise RuntimeError(f"a worker said {answer!r} instead of {word!r}")

    def run() -> None:
        for process in running:
            print("go", file=process.stdin, flush=True)
        for process in running:
            expect("done", process)

    def stop() -> None:
        while running:
            running.pop().communicate()

    try:
        measure(run, PROCESSES * operations, setup=start, teardown=stop)
    finally:
        stop()


@pytest.mark.operation(f"{PROCESSES} processes, reads", "k op/s", without=("Index",))
def bench_processes_read(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, operations=10_000, period=0)


@pytest.mark.operation(f"{PROCESSES} processes, 2 % writes", "k op/s", without=("Index",))
def bench_processes_read_mostly(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, operations=5_000, period=50)


@pytest.mark.operation(f"{PROCESSES} processes, 50 % writes", "k op/s", without=("Index",))
def bench_processes_write(contender: Contender, directory: str, measure: Measure) -> None:
    measure_processes(contender, directory, measure, operations=1_000, period=2)
