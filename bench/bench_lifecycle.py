"""What a program pays before its first entry."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from clocks import ReportedClock
from conftest import Measure
from contenders import Contender
from entries import NAMES, VALUE, fresh_value
from loops import Loops

OPENINGS = 20
IMPORTS = 5
IMPORT = """
from time import perf_counter
start = perf_counter()
from {module} import Cache
print(perf_counter() - start)
"""


reported = ReportedClock()


@pytest.mark.operation("open 10,000 entries, get one", "ms")
def bench_open(contender: Contender, directory: str, measure: Measure) -> None:
    opened: list[Loops] = []

    def open_and_get() -> None:
        loops = contender.open(directory)
        opened.append(loops)
        assert loops.holds(NAMES[0], VALUE)

    measure(open_and_get, 1, teardown=lambda: opened.pop().close(), rounds=OPENINGS)


@pytest.mark.operation("open 10,000 entries", "ms")
def bench_open_only(contender: Contender, directory: str, measure: Measure) -> None:
    opened: list[Loops] = []
    measure(lambda: opened.append(contender.open(directory)), 1, teardown=lambda: opened.pop().close(), rounds=OPENINGS)


@pytest.mark.operation("first set and get of 10,000 entries, opened", "ms")
def bench_first_set_and_get(contender: Contender, directory: str, measure: Measure) -> None:
    def open_first() -> tuple[Loops, Any, bytes]:
        loops = contender.open(directory)
        return loops, loops.keys(NAMES[:1]), fresh_value(len(VALUE))

    def set_and_get(loops: Loops, keys: Any, value: bytes) -> None:
        loops.set(keys, value)
        loops.get(keys)

    def close(loops: Loops, keys: Any, value: bytes) -> None:
        assert loops.holds(NAMES[0], value)
        loops.close()

    measure(set_and_get, 1, setup=open_first, teardown=close, rounds=OPENINGS)


@pytest.mark.operation("import", "ms", reference=None)
@pytest.mark.benchmark(timer=reported)
def bench_import(contender: Contender, measure: Measure) -> None:
    program = IMPORT.format(module=contender.module)

    def import_in_child() -> None:
        child = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        reported.seconds += float(child.stdout)

    measure(import_in_child, 1, rounds=IMPORTS)
