"""The face for programs of diskcache's against diskcache itself, and against the cache that it is a face of."""

from __future__ import annotations

import functools

import pytest
from conftest import COMMITS, Measure
from contenders import DISKCACHE, FACE, FASTCACHE
from entries import ABSENT, NAMES, VALUE, fresh_names, fresh_record, fresh_value
from loops import Loops

SOME = 2_000
ROUNDS = 5

operation = functools.partial(pytest.mark.operation, ours=FACE, reference=FASTCACHE, peers=(DISKCACHE,))


@operation("get, asked before")
def bench_face_get(loops: Loops, measure: Measure) -> None:
    measure(lambda: loops.get(NAMES[:SOME]), SOME, rounds=ROUNDS)
    assert loops.holds(NAMES[0], VALUE)


@operation("get, absent")
def bench_face_get_absent(loops: Loops, measure: Measure) -> None:
    measure(lambda: loops.get(ABSENT[:SOME]), SOME, rounds=ROUNDS)
    assert loops.holds(ABSENT[0], None)


@operation("get, the key a tuple")
def bench_face_get_tuple(loops: Loops, measure: Measure) -> None:
    keys = [(name, 1) for name in fresh_names(SOME)]
    loops.fill(keys, VALUE)  # type: ignore[arg-type]
    measure(lambda: loops.get(keys), SOME, rounds=ROUNDS)  # type: ignore[arg-type]
    assert loops.cache.get(keys[0]) == VALUE


@operation("get, small dict, asked before")
def bench_face_get_record(loops: Loops, measure: Measure) -> None:
    names, record = fresh_names(SOME), fresh_record()
    loops.fill(names, record)
    measure(lambda: loops.get(names), SOME, rounds=ROUNDS)
    assert loops.holds(names[0], record)


@operation("set, update, mean", average="mean")
def bench_face_set(loops: Loops, measure: Measure) -> None:
    names = NAMES[:COMMITS]
    measure(loops.set, COMMITS, setup=lambda: (names, fresh_value(len(VALUE))), rounds=ROUNDS)
    assert not loops.holds(names[0], VALUE)


@operation("set, insert, mean", average="mean")
def bench_face_insert(loops: Loops, measure: Measure) -> None:
    measure(loops.set, COMMITS, setup=lambda: (fresh_names(COMMITS), VALUE), rounds=ROUNDS)


@operation("incr, mean", average="mean")
def bench_face_incr(loops: Loops, measure: Measure) -> None:
    names = fresh_names(COMMITS)
    loops.fill(names, 0)
    measure(lambda: loops.incr(names), COMMITS, rounds=ROUNDS)
    assert not loops.holds(names[0], 0)


@operation("memoized function, a hit")
def bench_face_memoize(loops: Loops, measure: Measure) -> None:
    @loops.cache.memoize()
    def square(number: int) -> int:
        return number * number

    square(3)

    def call() -> None:
        for _ in range(SOME):
            square(3)

    measure(call, SOME, rounds=ROUNDS)
    assert square(3) == 9


@operation("push and pull, mean", average="mean")
def bench_face_queue(loops: Loops, measure: Measure) -> None:
    cache = loops.cache

    def call() -> None:
        for number in range(COMMITS):
            cache.push(number, prefix="queue")
        for _ in range(COMMITS):
            cache.pull(prefix="queue")

    measure(call, COMMITS, rounds=ROUNDS)
    assert cache.pull(prefix="queue") == (None, None)
