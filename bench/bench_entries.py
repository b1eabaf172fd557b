"""One entry at a time: 256-byte values in a cache of 10,000 entries, one thread, one process."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Measure
from entries import ABSENT, NAMES, VALUE, fresh_names, fresh_record, fresh_value
from loops import Loops

MANY = len(NAMES)
# Of what commits each time; enough for several checkpoints.
COMMITS = 3_000


@pytest.mark.operation("get")
def bench_get(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES)
    measure(lambda: loops.get(keys), MANY)
    assert loops.holds(NAMES[-1], VALUE)


@pytest.mark.operation("get, random keys")
def bench_get_random(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    keys = loops.keys(shuffled.choices(NAMES, k=MANY))
    measure(lambda: loops.get(keys), MANY)


@pytest.mark.operation("get, in a transaction")
def bench_get_in_transact(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES)
    measure(lambda: loops.get_in_transact(keys), MANY)


@pytest.mark.operation("get, absent")
def bench_get_absent(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(ABSENT)
    measure(lambda: loops.get(keys), MANY)
    assert loops.holds(ABSENT[-1], None)


@pytest.mark.operation("get, small dict", without=("floor",))
def bench_get_record(loops: Loops, measure: Measure) -> None:
    names, record = fresh_names(MANY), fresh_record()
    loops.fill(names, record)
    keys = loops.keys(names)
    measure(lambda: loops.get(keys), MANY)
    assert loops.holds(names[-1], record)


@pytest.mark.operation("get_or_set hit (peers: memoize)", without=("floor",))
def bench_memoized(loops: Loops, measure: Measure) -> None:
    function = loops.memoized()

    def call() -> None:
        for number in range(MANY):
            function(number)

    measure(call, MANY)
    assert function(MANY - 1) == 2 * (MANY - 1)


@pytest.mark.operation("contains")
def bench_contains(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES)
    measure(lambda: loops.contains(keys), MANY)


@pytest.mark.operation("iterate, per key")
def bench_iterate(loops: Loops, measure: Measure) -> None:
    measure(loops.iterate, MANY)
    assert loops.iterate() == MANY


@pytest.mark.operation("len")
def bench_len(loops: Loops, measure: Measure) -> None:
    times = 100
    measure(lambda: loops.count(times), times)
    assert loops.count(1) == MANY


def measure_inserts(loops: Loops, measure: Measure, call: Callable[..., None], operations: int) -> None:
    inserted: list[str] = []

    def choose() -> tuple[Any, bytes]:
        names = fresh_names(operations)
        inserted.extend(names)
        return loops.keys(names), VALUE

    measure(call, operations, setup=choose)
    assert loops.count(1) == MANY + len(inserted)


@pytest.mark.operation("set, insert")
def bench_set_insert(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set, COMMITS)


@pytest.mark.operation("set, update")
def bench_set_update(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES[:COMMITS])
    measure(loops.set, COMMITS, setup=lambda: (keys, fresh_value(len(VALUE))))
    assert loops.count(1) == MANY


@pytest.mark.operation("set, small dict", without=("floor",))
def bench_set_record(loops: Loops, measure: Measure) -> None:
    names = fresh_names(COMMITS)
    measure(loops.set, COMMITS, setup=lambda: (loops.keys(names), fresh_record()))
    assert loops.count(1) == MANY + COMMITS


@pytest.mark.operation("set, insert in one transaction")
def bench_set_in_transact(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set_in_transact, MANY)


@pytest.mark.operation("add")
def bench_add(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.add, COMMITS)


@pytest.mark.operation("delete")
def bench_delete(loops: Loops, measure: Measure) -> None:
    doomed = NAMES[:COMMITS]

    def refill() -> tuple[Any]:
        loops.fill(doomed, VALUE)
        return (loops.keys(doomed),)

    measure(loops.delete, COMMITS, setup=refill)
    assert loops.count(1) == MANY - COMMITS


@pytest.mark.operation("incr")
def bench_incr(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(fresh_names(COMMITS))
    measure(lambda: loops.incr(keys), COMMITS)
