"""Values that the engine puts into files, where SQLite alone is no floor."""

from __future__ import annotations

import pytest
from conftest import Measure
from contenders import NO_MEMORY
from entries import KIB, fresh_names, fresh_value
from loops import Loops

MANY, FEW, FEWER = 300, 20, 4


def measure_insert(loops: Loops, measure: Measure, size: int, operations: int) -> None:
    measure(loops.set, operations, setup=lambda: (loops.keys(fresh_names(operations)), fresh_value(size)))


def measure_update(loops: Loops, measure: Measure, size: int, operations: int) -> None:
    keys = loops.keys(fresh_names(operations))
    measure(loops.set, operations, setup=lambda: (keys, fresh_value(size)))


def measure_get(loops: Loops, measure: Measure, size: int, operations: int) -> None:
    names = fresh_names(operations)
    value = fresh_value(size)
    keys = loops.keys(names)
    loops.set(keys, value)
    measure(lambda: loops.get(keys), operations)
    assert loops.holds(names[-1], value)


@pytest.mark.operation("set, insert 64 KiB", reference=None)
def bench_insert_64_kib(loops: Loops, measure: Measure) -> None:
    measure_insert(loops, measure, 64 * KIB, MANY)


@pytest.mark.operation("set, update 64 KiB", reference=None)
def bench_update_64_kib(loops: Loops, measure: Measure) -> None:
    measure_update(loops, measure, 64 * KIB, MANY)


@pytest.mark.operation("get, 64 KiB, asked before", reference=None)
def bench_get_64_kib_again(loops: Loops, measure: Measure) -> None:
    measure_get(loops, measure, 64 * KIB, MANY)


@pytest.mark.operation("get, 64 KiB, memory=0", ours=NO_MEMORY, reference=None)
def bench_get_64_kib(loops: Loops, measure: Measure) -> None:
    measure_get(loops, measure, 64 * KIB, MANY)


@pytest.mark.operation("set, insert 1 MiB", reference=None)
def bench_insert_1_mib(loops: Loops, measure: Measure) -> None:
    measure_insert(loops, measure, KIB * KIB, FEW)


@pytest.mark.operation("get, 1 MiB, memory=0", ours=NO_MEMORY, reference=None)
def bench_get_1_mib(loops: Loops, measure: Measure) -> None:
    measure_get(loops, measure, KIB * KIB, FEW)


@pytest.mark.operation("set, insert 10 MB", "ms", reference=None)
def bench_insert_10_mb(loops: Loops, measure: Measure) -> None:
    measure_insert(loops, measure, 10_000_000, FEWER)


@pytest.mark.operation("get, 10 MB, memory=0", "ms", ours=NO_MEMORY, reference=None)
def bench_get_10_mb(loops: Loops, measure: Measure) -> None:
    measure_get(loops, measure, 10_000_000, FEWER)
