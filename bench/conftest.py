"""Options, the order of turns, and the fixtures that every operation is measured with."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from contenders import CONTENDERS, FASTCACHE, Contender
from entries import NAMES, VALUE
from loops import Loops
from table import Operation, Table

TABLE = pytest.StashKey[Table]()
ROUNDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastcache benchmarks")
    group.addoption("--turns", type=int, default=5, help="turns of every contender (default: 5)")
    group.addoption("--bench-dir", metavar="DIR", help="make the caches here (default: with temporary files)")
    group.addoption("--bench-table", metavar="FILE", help="write the table as Markdown to FILE")


def pytest_configure(config: pytest.Config) -> None:
    obstacles = {contender: contender.obstacle() for contender in CONTENDERS}
    config.stash[TABLE] = Table(
        [contender.name for contender, obstacle in obstacles.items() if obstacle is None],
        [contender.name for contender in CONTENDERS if contender.peer],
        [obstacle for obstacle in obstacles.values() if obstacle is not None],
    )


def operation_of(function: Any) -> Operation:
    """The row of the table that a benchmark's `operation` mark describes."""
    for mark in function.pytestmark:
        if mark.name == "operation":
            return Operation(*mark.args, **mark.kwargs)
    raise LookupError(f"{function.__name__} has no operation mark")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    operation = operation_of(metafunc.function)
    present = metafunc.config.stash[TABLE].contenders
    able = [c for c in CONTENDERS if c.name in present and c.name not in operation.without]
    turns = range(1, metafunc.config.getoption("turns") + 1)
    metafunc.parametrize("turn", turns, ids=[f"turn{turn}" for turn in turns])
    metafunc.parametrize("contender", able, ids=[contender.name for contender in able])


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Turn by turn, operation by operation: what slows the machine for a while meets all contenders alike."""
    functions = list(dict.fromkeys(item.function for item in items))
    items.sort(
        key=lambda item: (
            item.callspec.params["turn"],
            functions.index(item.function),
            CONTENDERS.index(item.callspec.params["contender"]),
        )
    )


@pytest.fixture(scope="session")
def workshop(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder that all caches are made in, on one file system."""
    folder = tempfile.mkdtemp(prefix="fastcache-bench-", dir=request.config.getoption("bench_dir"))
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def filled(workshop: Path) -> Callable[[Contender], Path]:
    """Make, once for each contender, a directory with 10,000 entries, closed. The floor's is fastcache's."""
    made: dict[Contender, Path] = {}

    def make(contender: Contender) -> Path:
        if contender.name == "floor":
            return make(FASTCACHE)
        if contender not in made:
            directory = workshop / f"filled-{contender.name}"
            loops = contender.open(str(directory))
            loops.fill(NAMES, VALUE)
            loops.close()
            made[contender] = directory
        return made[contender]

    return make


@pytest.fixture
def directory(contender: Contender, workshop: Path, filled: Callable[[Contender], Path]) -> Iterator[str]:
    """A fresh directory with 10,000 entries, not yet opened."""
    copy = workshop / "fresh"
    shutil.copytree(filled(contender), copy)
    yield str(copy)
    shutil.rmtree(copy)


@pytest.fixture
def loops(contender: Contender, directory: str) -> Iterator[Loops]:
    """The contender's loops over a fresh cache with 10,000 entries."""
    opened = contender.open(directory)
    yield opened
    opened.close()


Measure = Callable[..., None]


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest, contender: Contender, turn: int) -> Measure:
    """Time rounds of one call that carries out a number of operations.

    The call's arguments come from ``setup``, untimed, before each round. One more round goes first, unseen.
    """
    operation = operation_of(request.function)
    table = request.config.stash[TABLE]

    def run(
        call: Callable[..., object],
        operations: int,
        setup: Callable[[], tuple[Any, ...]] = tuple,
        teardown: Callable[..., None] | None = None,
        rounds: int = ROUNDS,
    ) -> None:
        benchmark.group = operation.label
        benchmark.extra_info.update(contender=contender.name, operations=operations)
        benchmark.pedantic(
            call, setup=lambda: (setup(), {}), teardown=teardown, rounds=rounds, warmup_rounds=1, iterations=1
        )
        # Nothing is timed under --benchmark-disable.
        if benchmark.stats is not None:
            table.record(operation, contender.name, turn, benchmark.stats.stats.median / operations)

    return run


@pytest.fixture
def shuffled() -> random.Random:
    """The same order in every turn and for every contender."""
    return random.Random(20)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    table = config.stash[TABLE]
    terminalreporter.section("fastcache benchmarks")
    terminalreporter.write_line(table.as_text())
    file = config.getoption("bench_table")
    if file:
        Path(file).write_text(table.as_markdown(), encoding="utf-8")
