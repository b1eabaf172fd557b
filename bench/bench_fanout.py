"""Caches in 8 shards, each by the class that it has for that. The reference is fastcache's Cache, which has one."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_parallel import PROCESSES, measure_processes, reported
from conftest import COMMITS, Filled, Measure, measure_writes
from contenders import FASTCACHE, NO_MEMORY, SHARDED, SHARDED_NO_MEMORY, Contender
from entries import NAMES, fresh_names, fresh_value
from loops import Loops


@pytest.fixture
def opened_as(contender: Contender) -> Contender:
    """The peers come as they are named in the table, which is without shards."""
    return contender.sharded() if contender.peer else contender


@pytest.fixture
def directory(opened_as: Contender, workshop: Path, filled: Filled) -> Iterator[str]:
    copy = workshop / "fresh"
    shutil.copytree(filled(opened_as, NAMES), copy)
    yield str(copy)
    shutil.rmtree(copy)


@pytest.fixture
def loops(opened_as: Contender, directory: str) -> Iterator[Loops]:
    opened = opened_as.open(directory)
    yield opened
    opened.close()


@pytest.mark.operation("8 shards: get", ours=SHARDED, reference=FASTCACHE)
def bench_sharded_get(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    names = loops.keys(shuffled.sample(NAMES, k=len(NAMES)))
    measure(lambda: loops.get(names), len(names))


@pytest.mark.operation("8 shards: get, memory=0", ours=SHARDED_NO_MEMORY, reference=NO_MEMORY)
def bench_sharded_get_from_disk(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    names = loops.keys(shuffled.sample(NAMES, k=len(NAMES)))
    measure(lambda: loops.get(names), len(names))


@pytest.mark.operation("8 shards: set", ours=SHARDED, reference=FASTCACHE)
def bench_sharded_set(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    measure_writes(
        loops, measure, loops.set, COMMITS, lambda: (loops.keys(shuffled.sample(NAMES, k=COMMITS)), fresh_value(256))
    )


@pytest.mark.operation("8 shards: insert", ours=SHARDED, reference=FASTCACHE)
def bench_sharded_insert(loops: Loops, measure: Measure) -> None:
    measure_writes(loops, measure, loops.set, COMMITS, lambda: (loops.keys(fresh_names(COMMITS)), fresh_value(256)))


@pytest.mark.operation(f"8 shards: {PROCESSES} processes, reads", "k op/s", ours=SHARDED, reference=FASTCACHE)
@pytest.mark.benchmark(timer=reported)
def bench_sharded_processes_read(opened_as: Contender, directory: str, measure: Measure) -> None:
    measure_processes(opened_as, directory, measure, period=0)


@pytest.mark.operation(f"8 shards: {PROCESSES} processes, 2 % writes", "k op/s", ours=SHARDED, reference=FASTCACHE)
@pytest.mark.benchmark(timer=reported)
def bench_sharded_processes_read_mostly(opened_as: Contender, directory: str, measure: Measure) -> None:
    measure_processes(opened_as, directory, measure, period=50)


@pytest.mark.operation(f"8 shards: {PROCESSES} processes, 50 % writes", "k op/s", ours=SHARDED, reference=FASTCACHE)
@pytest.mark.benchmark(timer=reported)
def bench_sharded_processes_write(opened_as: Contender, directory: str, measure: Measure) -> None:
    measure_processes(opened_as, directory, measure, period=2)
