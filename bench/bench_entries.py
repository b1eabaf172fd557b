"""One entry at a time: 256-byte values in a cache of 10,000 entries, one thread, one process."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from conftest import COMMIT_ROUNDS, COMMITS, ROUNDS, Measure, measure_writes
from contenders import DECODING, DICT, NO_MEMORY, SNAPSHOT
from entries import ABSENT, NAMES, VALUE, fresh_names, fresh_record, fresh_value
from loops import Loops

MANY = len(NAMES)
# Keys of one get_many.
TOGETHER = 1_000
# Of what lasts only a millisecond: one that is interrupted must not count.
SHORT_ROUNDS = 15


def measure_gets(loops: Loops, measure: Measure, names: list[str], value: bytes | None = VALUE) -> None:
    """The same keys in every round, so the unseen first one has asked for all of them."""
    keys = loops.keys(names)
    measure(lambda: loops.get(keys), len(names), rounds=SHORT_ROUNDS)
    assert loops.holds(names[-1], value)


def measure_contains(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES)
    measure(lambda: loops.contains(keys), MANY, rounds=SHORT_ROUNDS)


def measure_get_record(loops: Loops, measure: Measure) -> None:
    names, record = fresh_names(MANY), fresh_record()
    loops.fill(names, record)
    keys = loops.keys(names)
    measure(lambda: loops.get(keys), MANY, rounds=SHORT_ROUNDS)
    assert loops.holds(names[-1], record)


def measure_get_many(loops: Loops, measure: Measure) -> None:
    shares = [loops.keys(NAMES[start : start + TOGETHER]) for start in range(0, MANY, TOGETHER)]

    def call() -> int:
        return sum(loops.get_many(keys) for keys in shares)

    measure(call, MANY, rounds=SHORT_ROUNDS)
    assert call() == MANY


@pytest.mark.operation("get, asked before", reference=DICT)
def bench_get_again(loops: Loops, measure: Measure) -> None:
    measure_gets(loops, measure, NAMES)


@pytest.mark.operation("get, asked before, random keys", reference=DICT)
def bench_get_random_again(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    measure_gets(loops, measure, shuffled.choices(NAMES, k=MANY))


@pytest.mark.operation("[ ], asked before", reference=DICT)
def bench_getitem_again(loops: Loops, measure: Measure) -> None:
    measure(lambda: loops.getitem(NAMES), MANY, rounds=SHORT_ROUNDS)


@pytest.mark.operation("contains, asked before", reference=DICT)
def bench_contains_again(loops: Loops, measure: Measure) -> None:
    measure_contains(loops, measure)


@pytest.mark.operation("get, small dict, asked before", reference=DECODING)
def bench_get_record_again(loops: Loops, measure: Measure) -> None:
    measure_get_record(loops, measure)


@pytest.mark.operation("get, absent, asked before", reference=DICT)
def bench_get_absent_again(loops: Loops, measure: Measure) -> None:
    measure_gets(loops, measure, ABSENT, None)


@pytest.mark.operation(f"get_many of {TOGETHER:,}, asked before", reference=DICT)
def bench_get_many_again(loops: Loops, measure: Measure) -> None:
    measure_get_many(loops, measure)


@pytest.mark.operation("get_or_set hit (peers: memoize), asked before", reference=None)
def bench_memoized(loops: Loops, measure: Measure) -> None:
    function = loops.memoized()

    def call() -> None:
        for number in range(MANY):
            function(number)

    measure(call, MANY, rounds=SHORT_ROUNDS)
    assert function(MANY - 1) == 2 * (MANY - 1)


@pytest.mark.operation("get, asked first, random keys", reference=SNAPSHOT)
def bench_get_first(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    unasked = shuffled.sample(NAMES, k=MANY)
    share = MANY // (ROUNDS + 1)
    measure(loops.get, share, setup=lambda: (loops.keys([unasked.pop() for _ in range(share)]),))


@pytest.mark.operation("get, absent, asked first", reference=SNAPSHOT)
def bench_get_absent_first(loops: Loops, measure: Measure) -> None:
    measure(loops.get, MANY, setup=lambda: (loops.keys(fresh_names(MANY)),))


@pytest.mark.operation("get, memory=0", ours=NO_MEMORY, reference=SNAPSHOT)
def bench_get(loops: Loops, measure: Measure) -> None:
    measure_gets(loops, measure, NAMES)


@pytest.mark.operation("get, memory=0, random keys", ours=NO_MEMORY, reference=SNAPSHOT)
def bench_get_random(loops: Loops, measure: Measure, shuffled: random.Random) -> None:
    measure_gets(loops, measure, shuffled.choices(NAMES, k=MANY))


@pytest.mark.operation("contains, memory=0", ours=NO_MEMORY, reference=SNAPSHOT)
def bench_contains(loops: Loops, measure: Measure) -> None:
    measure_contains(loops, measure)


@pytest.mark.operation("get, small dict, memory=0", ours=NO_MEMORY, reference=None)
def bench_get_record(loops: Loops, measure: Measure) -> None:
    measure_get_record(loops, measure)


@pytest.mark.operation("get, absent, memory=0", ours=NO_MEMORY, reference=SNAPSHOT)
def bench_get_absent(loops: Loops, measure: Measure) -> None:
    measure_gets(loops, measure, ABSENT, None)


@pytest.mark.operation(f"get_many of {TOGETHER:,}, memory=0", ours=NO_MEMORY, reference=SNAPSHOT)
def bench_get_many(loops: Loops, measure: Measure) -> None:
    measure_get_many(loops, measure)


@pytest.mark.operation("get, in a transaction")
def bench_get_in_transact(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES)
    measure(lambda: loops.get_in_transact(keys), MANY)


@pytest.mark.operation("iterate, per key")
def bench_iterate(loops: Loops, measure: Measure) -> None:
    measure(loops.iterate, MANY)
    assert loops.iterate() == MANY


@pytest.mark.operation("len")
def bench_len(loops: Loops, measure: Measure) -> None:
    times = 100
    measure(lambda: loops.count(times), times)
    assert loops.count(1) == MANY


def measure_inserts(
    loops: Loops,
    measure: Measure,
    call: Callable[..., None],
    operations: int = COMMITS,
    rounds: int = COMMIT_ROUNDS,
) -> None:
    inserted: list[str] = []

    def choose() -> tuple[Any, bytes]:
        names = fresh_names(operations)
        inserted.extend(names)
        return loops.keys(names), VALUE

    measure_writes(loops, measure, call, operations, choose, rounds=rounds)
    assert loops.count(1) == MANY + len(inserted)


@pytest.mark.operation("set, insert, mean", average="mean")
def bench_set_insert(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set)


@pytest.mark.operation("set, update, mean", average="mean")
def bench_set_update(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(NAMES[:COMMITS])
    measure_writes(loops, measure, loops.set, COMMITS, lambda: (keys, fresh_value(len(VALUE))))
    assert loops.count(1) == MANY


@pytest.mark.operation("set, small dict, mean", reference=None, average="mean")
def bench_set_record(loops: Loops, measure: Measure) -> None:
    names = fresh_names(COMMITS)
    measure_writes(loops, measure, loops.set, COMMITS, lambda: (loops.keys(names), fresh_record()))
    assert loops.count(1) == MANY + COMMITS


@pytest.mark.operation("add, mean", average="mean")
def bench_add(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.add)


@pytest.mark.operation("delete, mean", average="mean")
def bench_delete(loops: Loops, measure: Measure) -> None:
    doomed = NAMES[:COMMITS]

    def refill() -> tuple[Any]:
        loops.fill(doomed, VALUE)
        return (loops.keys(doomed),)

    measure_writes(loops, measure, loops.delete, COMMITS, refill)
    assert loops.count(1) == MANY - COMMITS


@pytest.mark.operation("incr, mean", average="mean")
def bench_incr(loops: Loops, measure: Measure) -> None:
    keys = loops.keys(fresh_names(COMMITS))
    measure_writes(loops, measure, loops.incr, COMMITS, lambda: (keys,))


@pytest.mark.operation("set, insert in one transaction")
def bench_set_in_transact(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set_in_transact, MANY, ROUNDS)


@pytest.mark.operation("set_many")
def bench_set_many(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set_many, MANY, ROUNDS)


@pytest.mark.operation("batch")
def bench_set_in_batch(loops: Loops, measure: Measure) -> None:
    measure_inserts(loops, measure, loops.set_in_batch, MANY, ROUNDS)
