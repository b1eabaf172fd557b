"""Locks between processes, against those of the peers. diskcache_rs has none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Measure
from contenders import DISKCACHE_RS, Contender
from lock_worker import lock_of
from loops import Loops

TURNS_ALONE = 1_000
PROCESSES = 2
SECONDS = 2.0


@pytest.mark.operation("lock, acquire and release", reference=None, without=(DISKCACHE_RS,), average="mean")
def bench_alone(contender: Contender, loops: Loops, measure: Measure) -> None:
    lock = lock_of(contender, loops.cache)

    def take_turns() -> None:
        for _ in range(TURNS_ALONE):
            lock.acquire()
            lock.release()

    measure(take_turns, TURNS_ALONE)


def compete(contender: Contender, directory: str, waiter: bool = False) -> list[dict[str, Any]]:
    """What each of the processes says that share a lock for a while."""
    modes = ["hold", "wait"] if waiter else ["turns"] * PROCESSES
    worker = str(Path(__file__).with_name("lock_worker.py"))
    running = []
    for mode in modes:
        process = subprocess.Popen(
            [sys.executable, worker, contender.name, directory, mode, str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"a worker could not open the cache: {contender.name}")
    for process in running:
        print("go", file=process.stdin, flush=True)
    return [json.loads(process.communicate()[0]) for process in running]


@pytest.mark.operation("lock, 2 processes, 99 % of waits", "ms", reference=None, without=(DISKCACHE_RS,))
def bench_waiting(contender: Contender, directory: str, record: Callable[[float], None]) -> None:
    said = compete(contender, directory)
    waits = sorted(wait for each in said for wait in each["waits"])
    record(waits[int(len(waits) * 0.99)])


@pytest.mark.operation("lock, 2 processes", "k op/s", reference=None, without=(DISKCACHE_RS,))
def bench_turns(contender: Contender, directory: str, record: Callable[[float], None]) -> None:
    said = compete(contender, directory)
    record(SECONDS / sum(len(each["waits"]) for each in said))


@pytest.mark.operation("lock, 2 processes, smaller share", "of all", reference=None, without=(DISKCACHE_RS,))
def bench_share(contender: Contender, directory: str, record: Callable[[float], None]) -> None:
    turns = [len(each["waits"]) for each in compete(contender, directory)]
    record(min(turns) / sum(turns))


@pytest.mark.operation("lock, CPU of who waits", "of a core", reference=None, without=(DISKCACHE_RS,))
def bench_idle(contender: Contender, directory: str, record: Callable[[float], None]) -> None:
    said = compete(contender, directory, waiter=True)
    record(said[1]["cpu"])
