"""Backends of Django's cache: what a view pays for a get, a set and a count."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Filled, Measure
from contenders import DJANGO_PEERS, FASTCACHE_IN_DJANGO, LOCMEM, Contender, DjangoLoops
from entries import ABSENT, NAMES, VALUE, fresh_names, fresh_record, fresh_value

SOME = 2_000
# FileBasedCache takes many milliseconds for each.
WRITES = 200
AT_ONCE = 100
ROUNDS = 3

operation = functools.partial(pytest.mark.operation, ours=FASTCACHE_IN_DJANGO, reference=LOCMEM, peers=DJANGO_PEERS)


@pytest.fixture
def directory(contender: Contender, workshop: Path, filled: Filled) -> Iterator[str]:
    """A fresh directory with fewer entries: each is a file of FileBasedCache's."""
    copy = workshop / "fresh"
    shutil.copytree(filled(contender, NAMES[:SOME]), copy)
    yield str(copy)
    shutil.rmtree(copy)


def measure_gets(loops: DjangoLoops, measure: Measure, names: list[str], value: object) -> None:
    measure(lambda: loops.get(names), len(names), rounds=ROUNDS)
    assert loops.holds(names[-1], value)


@operation("get, asked before")
def bench_django_get(loops: DjangoLoops, measure: Measure) -> None:
    measure_gets(loops, measure, NAMES[:SOME], VALUE)


@operation("get, small dict, asked before")
def bench_django_get_record(loops: DjangoLoops, measure: Measure) -> None:
    names, record = fresh_names(SOME), fresh_record()
    loops.fill(names, record)
    measure_gets(loops, measure, names, record)


@operation("get, absent")
def bench_django_get_absent(loops: DjangoLoops, measure: Measure) -> None:
    measure_gets(loops, measure, ABSENT[:SOME], None)


@operation("get in a coroutine, asked before")
def bench_django_get_in_coroutine(loops: DjangoLoops, measure: Measure) -> None:
    measure(lambda: loops.get_in_coroutine(NAMES[:SOME]), SOME, rounds=ROUNDS)


@operation(f"get_many of {AT_ONCE}, asked before, per key")
def bench_django_get_many(loops: DjangoLoops, measure: Measure) -> None:
    shares = [NAMES[start : start + AT_ONCE] for start in range(0, SOME, AT_ONCE)]
    measure(lambda: [loops.get_many(keys) for keys in shares], SOME, rounds=ROUNDS)
    assert loops.get_many(shares[-1]) == AT_ONCE


@operation("set, update, mean", average="mean")
def bench_django_set(loops: DjangoLoops, measure: Measure) -> None:
    names = NAMES[:WRITES]
    measure(loops.set, WRITES, setup=lambda: (names, fresh_value(len(VALUE))), rounds=ROUNDS)
    assert not loops.holds(names[0], VALUE)


@operation("set, small dict, mean", average="mean")
def bench_django_set_record(loops: DjangoLoops, measure: Measure) -> None:
    names = fresh_names(WRITES)
    measure(loops.set, WRITES, setup=lambda: (names, fresh_record()), rounds=ROUNDS)


@operation(f"set_many of {AT_ONCE}, per key, mean", average="mean")
def bench_django_set_many(loops: DjangoLoops, measure: Measure) -> None:
    measure(loops.set_many, AT_ONCE, setup=lambda: (NAMES[:AT_ONCE], fresh_value(len(VALUE))), rounds=ROUNDS)
    assert not loops.holds(NAMES[0], VALUE)


@operation("incr, mean", average="mean")
def bench_django_incr(loops: DjangoLoops, measure: Measure) -> None:
    names = fresh_names(WRITES)
    loops.fill(names, 0)
    measure(lambda: loops.incr(names), WRITES, rounds=ROUNDS)
    assert loops.holds(names[0], 0) is False


@operation("delete and set, mean", average="mean")
def bench_django_delete(loops: DjangoLoops, measure: Measure) -> None:
    names = NAMES[:WRITES]

    def call() -> None:
        loops.delete(names)
        loops.set(names, VALUE)

    measure(call, WRITES, rounds=ROUNDS)
    assert loops.holds(names[0], VALUE)
