"""What a program pays before its first entry."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import Measure
from contenders import Contender
from entries import NAMES, VALUE
from loops import Loops

OPENINGS = 20
IMPORTS = 5
IMPORT = """
from time import perf_counter
start = perf_counter()
from {module} import {kind}
print(perf_counter() - start)
"""


class ReportedClock:
    """Advances by what a child process reports, so that the start of its interpreter is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


reported = ReportedClock()


@pytest.mark.operation("open 10,000 entries, get one", "ms", without=("Index",))
def bench_open(contender: Contender, directory: str, measure: Measure) -> None:
    opened: list[Loops] = []

    def open_and_get() -> None:
        loops = contender.open(directory)
        opened.append(loops)
        assert loops.holds(NAMES[0], VALUE)

    measure(open_and_get, 1, teardown=lambda: opened.pop().close(), rounds=OPENINGS)


@pytest.mark.operation("import", "ms", without=("Index", "floor"))
@pytest.mark.benchmark(timer=reported)
def bench_import(contender: Contender, measure: Measure) -> None:
    program = IMPORT.format(module=contender.module, kind=contender.kind)

    def import_in_child() -> None:
        child = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        reported.seconds += float(child.stdout)

    measure(import_in_child, 1, rounds=IMPORTS)
