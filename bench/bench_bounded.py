"""Caches under a limit of 16 MiB, each by the option that it has for one; and what the limit costs fastcache.

In the rows with a reference, that is fastcache without a limit. "Evicting steadily" is after more has been set than the
limit has room for.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
from conftest import COMMITS, Measure, measure_writes
from contenders import NO_MEMORY, UNBOUNDED, UNBOUNDED_NO_MEMORY, Contender
from entries import KIB, NAMES, VALUE, fresh_names, fresh_value
from latency import percentile
from loops import Loops
from synthetic import KEYS, zipf
from traces import occupied

LIMIT = 16 * KIB * KIB
# What is set one by one once the limit is reached, before anything is measured.
SETTLING = 2_000
# Requests: those that fill the cache, then those of each round.
FILLING, MIX = 50_000, 10_000
MIX_ROUNDS = 3
# Of 9,000 the nine slowest are beyond the 99.9th percentile.
TIMED_SETS = 9_000


def open_limited(contender: Contender, directory: str) -> Loops:
    """The cache under the limit, which is not for those whose row compares with having none."""
    if contender in (UNBOUNDED, UNBOUNDED_NO_MEMORY):
        return contender.open(directory)
    return contender.open_bounded(directory, LIMIT)


@pytest.fixture
def limited(contender: Contender, directory: str) -> Iterator[Loops]:
    """Over 10,000 entries of 256 bytes, which leave room."""
    opened = open_limited(contender, directory)
    yield opened
    opened.close()


@pytest.fixture
def full(limited: Loops) -> Loops:
    """Evicting steadily, if there is a limit."""
    value = fresh_value(KIB)
    limited.fill(fresh_names(LIMIT // KIB), value)
    limited.set(limited.keys(fresh_names(SETTLING)), value)
    return limited


@pytest.mark.operation(
    f"Zipf mix (get, set on a miss), 16 MiB, {KEYS:,} keys, 1 KiB, mean", reference=None, average="mean"
)
def bench_zipf_mix(limited: Loops, measure: Measure) -> None:
    requests = zipf(FILLING + (1 + MIX_ROUNDS) * MIX, seed=1)
    limited.replay(limited.keys(list(islice(requests, FILLING))), fresh_value(KIB))

    def choose() -> tuple[Any, bytes]:
        return limited.keys(list(islice(requests, MIX))), fresh_value(KIB)

    measure(limited.replay, MIX, setup=choose, rounds=MIX_ROUNDS)


@pytest.mark.operation("get, memory=0, with a limit", ours=NO_MEMORY, reference=UNBOUNDED_NO_MEMORY)
def bench_get_with_limit(limited: Loops, measure: Measure, shuffled: random.Random) -> None:
    keys = limited.keys(shuffled.choices(NAMES, k=len(NAMES)))
    measure(lambda: limited.get(keys), len(NAMES))
    assert limited.holds(NAMES[-1], VALUE)


@pytest.mark.operation("set 1 KiB, evicting steadily, mean", reference=UNBOUNDED, average="mean")
def bench_set_evicting(full: Loops, measure: Measure) -> None:
    measure_writes(full, measure, full.set, COMMITS, lambda: (full.keys(fresh_names(COMMITS)), fresh_value(KIB)))


@pytest.mark.operation("set 1 KiB, evicting steadily, 99.9th percentile", "ms", reference=UNBOUNDED)
def bench_slowest_sets_evicting(full: Loops, record: Callable[[float], None]) -> None:
    latencies = array("q")
    full.mixed_timed(full.keys(fresh_names(TIMED_SETS)), fresh_value(KIB), 1, latencies)
    record(percentile(sorted(latencies), 99.9) / 1e9)


@pytest.mark.operation("on disk, after evicting steadily", "of limit", reference=None)
def bench_volume(full: Loops, directory: str, record: Callable[[float], None]) -> None:
    full.set(full.keys(fresh_names(TIMED_SETS)), fresh_value(KIB))
    record(occupied(directory) / LIMIT)
