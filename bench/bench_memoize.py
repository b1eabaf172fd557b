"""Memoized functions: a hit, a miss, and many processes that miss the same call at the same time."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import COMMIT_ROUNDS, COMMITS, Measure
from contenders import LRU_CACHE, SETTING, Contender
from loops import Loops

CALLS = 10_000
SHORT_ROUNDS = 15
PROCESSES = 16
# How long the one call takes that all processes make.
COMPUTING_SECONDS = 0.5
MEMOIZER = str(Path(__file__).with_name("memoizer.py"))


def add(one: int, other: int) -> int:
    return one + other


@pytest.mark.operation("memoize, hit, two small arguments", reference=LRU_CACHE)
def bench_memoize_hit(loops: Loops, measure: Measure) -> None:
    function = loops.memoize(add)
    calls = [(number % 100, number % 7) for number in range(CALLS)]

    def call() -> None:
        for one, other in calls:
            function(one, other)

    measure(call, CALLS, rounds=SHORT_ROUNDS)
    assert function(99, 1) == 100


@pytest.mark.operation("memoize, miss, mean", reference=SETTING, average="mean")
def bench_memoize_miss(loops: Loops, measure: Measure) -> None:
    function = loops.memoize(add)
    fresh = itertools.count()

    def call() -> None:
        for _ in range(COMMITS):
            function(next(fresh), 1)

    measure(call, COMMITS, rounds=COMMIT_ROUNDS)


@pytest.mark.operation(f"memoize, {PROCESSES} processes miss one call: computed", "calls", reference=None)
def bench_memoize_stampede(
    contender: Contender, directory: str, record: Callable[[float], None], tmp_path: Path
) -> None:
    computed = tmp_path / "computed"
    processes = []
    for _ in range(PROCESSES):
        arguments = [contender.name, directory, str(computed), str(COMPUTING_SECONDS)]
        process = subprocess.Popen(
            [sys.executable, MEMOIZER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        # One after the other: diskcache_rs fails now and then when two open one directory at a time.
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        print("go", file=process.stdin, flush=True)
    assert [process.communicate()[0] for process in processes] == ["3\n"] * PROCESSES
    record(computed.stat().st_size)
