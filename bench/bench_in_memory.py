"""Caches that are in memory alone: what one thread pays for a get, a set and a call, with 10,000 entries."""

from __future__ import annotations

import functools

import pytest
from conftest import Measure
from contenders import CACHETOOLS, DICT, IN_MEMORY, LRU_CACHE
from entries import NAMES, VALUE, fresh_names, fresh_value
from loops import Loops

SHORT_ROUNDS = 15
SOME = 2_000

operation = functools.partial(pytest.mark.operation, ours=IN_MEMORY)


def add(one: int, other: int) -> int:
    return one + other


@operation("in memory: get", reference=DICT, peers=(CACHETOOLS,))
def bench_get_in_memory(loops: Loops, measure: Measure) -> None:
    measure(lambda: loops.get(NAMES), len(NAMES), rounds=SHORT_ROUNDS)
    assert loops.holds(NAMES[-1], VALUE)


@operation("in memory: [ ]", reference=DICT, peers=(CACHETOOLS,))
def bench_getitem_in_memory(loops: Loops, measure: Measure) -> None:
    measure(lambda: loops.getitem(NAMES), len(NAMES), rounds=SHORT_ROUNDS)


@operation("in memory: [ ]=, over another", reference=DICT, peers=(CACHETOOLS,))
def bench_set_in_memory(loops: Loops, measure: Measure) -> None:
    cache, value = loops.cache, fresh_value(256)

    def call() -> None:
        for name in NAMES:
            cache[name] = value

    measure(call, len(NAMES), rounds=SHORT_ROUNDS)
    assert loops.holds(NAMES[-1], value)


@operation("in memory: [ ]=, new", reference=DICT, peers=(CACHETOOLS,))
def bench_set_new_in_memory(loops: Loops, measure: Measure) -> None:
    cache = loops.cache

    def call(names: list[str]) -> None:
        for name in names:
            cache[name] = VALUE

    measure(call, SOME, setup=lambda: (fresh_names(SOME),), rounds=SHORT_ROUNDS)


@operation("in memory: memoize, hit, two small arguments", reference=LRU_CACHE, peers=())
def bench_memoize_in_memory(loops: Loops, measure: Measure) -> None:
    function = loops.memoize(add)
    calls = [(number % 100, number % 7) for number in range(len(NAMES))]

    def call() -> None:
        for one, other in calls:
            function(one, other)

    measure(call, len(calls), rounds=SHORT_ROUNDS)
    assert function(99, 1) == 100
