"""A million entries, of which neither SQLite's page cache nor a small tier holds many, read in no order.

The directories are filled once and only read: they are opened themselves, not copies of them.
"""

from __future__ import annotations

import random

import pytest
from conftest import Filled, Measure
from contenders import DISKCACHE, DISKCACHE_RS, LITTLE_MEMORY, NO_MEMORY, SNAPSHOT, Contender
from entries import VALUE, million_names

READS = 50_000
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
