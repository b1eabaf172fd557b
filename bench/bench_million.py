"""A million entries, of which neither SQLite's page cache nor a small tier holds many, in no order.

The directories are filled once and opened themselves, not copies of them, each by one contender at a time. So a write
may change values only, and not that of the last entry, by which the reads are checked.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from conftest import COMMITS, Filled, Measure, measure_writes
from contenders import DISKCACHE, DISKCACHE_RS, LITTLE_MEMORY, NO_MEMORY, SNAPSHOT, Contender
from entries import VALUE, fresh_value, million_names

READS = 50_000
COUNTS = 100
# To fill them would take minutes.
SLOW = (DISKCACHE, DISKCACHE_RS)


def measure_gets(contender: Contender, filled: Filled, measure: Measure, shuffled: random.Random) -> None:
    names = million_names()
    loops = contender.open(str(filled(contender, names)))
    measure(loops.get, READS, setup=lambda: (loops.keys(shuffled.choices(names, k=READS)),))
    assert loops.holds(names[-1], VALUE)
    loops.close()


@pytest.mark.operation("get, 1,000,000 entries, memory=1 MiB", ours=LITTLE_MEMORY, reference=SNAPSHOT, without=SLOW)
def bench_get_with_little_memory(
    contender: Contender, filled: Filled, measure: Measure, shuffled: random.Random
) -> None:
    measure_gets(contender, filled, measure, shuffled)


@pytest.mark.operation("get, 1,000,000 entries, memory=0", ours=NO_MEMORY, reference=SNAPSHOT, without=SLOW)
def bench_get_without_memory(contender: Contender, filled: Filled, measure: Measure, shuffled: random.Random) -> None:
    measure_gets(contender, filled, measure, shuffled)


@pytest.mark.operation("set, update, 1,000,000 entries, mean", without=SLOW, average="mean")
def bench_set(contender: Contender, filled: Filled, measure: Measure, shuffled: random.Random) -> None:
    names = million_names()
    loops = contender.open(str(filled(contender, names)))

    def choose() -> tuple[Any, bytes]:
        chosen = [names[number] for number in shuffled.sample(range(len(names) - 1), k=COMMITS)]
        return loops.keys(chosen), fresh_value(len(VALUE))

    measure_writes(loops, measure, loops.set, COMMITS, choose)
    assert loops.count(1) == len(names)
    loops.close()


@pytest.mark.operation("len, 1,000,000 entries, nothing changed", reference=None, without=SLOW)
def bench_len(contender: Contender, filled: Filled, measure: Measure) -> None:
    names = million_names()
    loops = contender.open(str(filled(contender, names)))
    assert loops.count(1) == len(names)
    measure(lambda: loops.count(COUNTS), COUNTS)
    loops.close()
