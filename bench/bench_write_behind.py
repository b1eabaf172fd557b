"""Sets that return at once, against those that wait for their commit. All keys are fresh."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import COMMITS, Measure
from contenders import DICT, FLOOR, WRITE_BEHIND, Contender
from entries import VALUE, fresh_names
from loops import Loops

BURST = 10_000
# Many times what may wait in memory, so that the writer behind has to keep up.
SUSTAINED = 300_000


@pytest.mark.operation(f"set, write-behind, {BURST:,} at once", ours=WRITE_BEHIND, reference=DICT)
def bench_burst(contender: Contender, loops: Loops, measure: Measure) -> None:
    operations = COMMITS if contender.peer else BURST

    def choose() -> tuple[Any, bytes]:
        return loops.keys(fresh_names(operations)), VALUE

    measure(loops.set, operations, setup=choose, teardown=lambda keys, value: loops.flush())


@pytest.mark.operation("set, write-behind, until flushed", "k op/s", ours=WRITE_BEHIND, reference=FLOOR)
def bench_sustained(contender: Contender, loops: Loops, measure: Measure) -> None:
    operations = COMMITS if contender.peer else SUSTAINED
    sets = loops.set_in_transact if contender is FLOOR else loops.set
    names: list[str] = []

    def choose() -> tuple[list[Any], bytes]:
        names[:] = fresh_names(operations)
        loops.recycle()
        # What the floor commits at once; measured, it takes longer with all in one transaction.
        return [loops.keys(names[start : start + BURST]) for start in range(0, operations, BURST)], VALUE

    def call(shares: list[Any], value: bytes) -> None:
        for keys in shares:
            sets(keys, value)
        loops.flush()

    measure(call, operations, setup=choose, rounds=1)
    assert loops.holds(names[-1], VALUE)
