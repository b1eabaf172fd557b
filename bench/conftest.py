"""Options, the order of turns, and the fixtures that every operation is measured with."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from contenders import CONTENDERS, FASTCACHE, Contender, FloorContender
from entries import NAMES, VALUE
from loops import Loops
from table import Operation, Table

TABLE = pytest.StashKey[Table]()
ROUNDS = 3
# Of operations that commit each time. Together the rounds are enough for several checkpoints, which a cache makes when
# it likes; one is short enough for a WAL that is not checkpointed meanwhile.
COMMITS, COMMIT_ROUNDS = 1_000, 9

Measure = Callable[..., None]
Filled = Callable[[Contender, Sequence[str]], Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fastcache benchmarks")
    group.addoption("--turns", type=int, default=5, help="turns of every contender (default: 5)")
    group.addoption("--seconds", type=float, default=2.0, help="of what is sustained, at the least (default: 2)")
    group.addoption("--bench-dir", metavar="DIR", help="make the caches here (default: with temporary files)")
    group.addoption("--bench-table", metavar="FILE", help="write the table as Markdown to FILE")


def pytest_configure(config: pytest.Config) -> None:
    obstacles = {contender: contender.obstacle() for contender in CONTENDERS}
    config.stash[TABLE] = Table(
        [contender for contender, obstacle in obstacles.items() if obstacle is None],
        [obstacle for obstacle in dict.fromkeys(obstacles.values()) if obstacle is not None],
    )


def operation_of(function: Any) -> Operation:
    """The row of the table that a benchmark's `operation` mark describes."""
    for mark in function.pytestmark:
        if mark.name == "operation":
            return Operation(*mark.args, **mark.kwargs)
    raise LookupError(f"{function.__name__} has no operation mark")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    operation = operation_of(metafunc.function)
    able = [contender for contender in metafunc.config.stash[TABLE].contenders if operation.takes(contender)]
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
def filled(workshop: Path) -> Filled:
    """Make, once for each peer and for fastcache, a directory with these entries, closed. Floors use fastcache's."""
    made: dict[tuple[Contender, int], Path] = {}

    def make(contender: Contender, names: Sequence[str]) -> Path:
        is_sharded = contender.kind != FASTCACHE.kind and not isinstance(contender, FloorContender)
        maker = contender if contender.peer or is_sharded else FASTCACHE
        if (maker, len(names)) not in made:
            directory = workshop / f"{maker.name}-{len(names)}"
            loops = maker.open(str(directory))
            loops.fill(names, VALUE)
            loops.close()
            # Of a cache in memory there is none.
            directory.mkdir(exist_ok=True)
            made[maker, len(names)] = directory
        return made[maker, len(names)]

    return make


@pytest.fixture
def directory(contender: Contender, workshop: Path, filled: Filled) -> Iterator[str]:
    """A fresh directory with 10,000 entries, not yet opened."""
    copy = workshop / "fresh"
    shutil.copytree(filled(contender, NAMES), copy)
    yield str(copy)
    shutil.rmtree(copy)


@pytest.fixture
def loops(contender: Contender, directory: str) -> Iterator[Loops]:
    """The contender's loops over a fresh cache with 10,000 entries."""
    opened = contender.open(directory)
    yield opened
    opened.close()


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
            seconds = operation.averaged(benchmark.stats.stats.data)
            table.record(operation, contender, turn, seconds / operations)

    return run


@pytest.fixture
def record(request: pytest.FixtureRequest, contender: Contender, turn: int) -> Callable[[float], None]:
    """Put one turn's number into the row by itself: a percentile in seconds, or what is no time at all."""
    operation, table = operation_of(request.function), request.config.stash[TABLE]
    return lambda number: table.record(operation, contender, turn, number)


@dataclass(frozen=True)
class Row:
    """One contender's place in a row in one turn, and in rows that the same run has besides."""

    table: Table
    operation: Operation
    contender: Contender
    turn: int

    def record(self, number: float) -> None:
        self.table.record(self.operation, self.contender, self.turn, number)

    def record_beside(self, what: str, unit: str, number: float) -> None:
        """Put a number into the row whose label says this, too."""
        beside = replace(self.operation, label=f"{self.operation.label}: {what}", unit=unit)
        self.table.record(beside, self.contender, self.turn, number)


@pytest.fixture
def row(request: pytest.FixtureRequest, contender: Contender, turn: int) -> Row:
    return Row(request.config.stash[TABLE], operation_of(request.function), contender, turn)


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long what is sustained lasts."""
    return float(request.config.getoption("seconds"))


def measure_writes(
    loops: Loops,
    measure: Measure,
    call: Callable[..., object],
    operations: int,
    setup: Callable[[], tuple[Any, ...]],
    *,
    rounds: int = COMMIT_ROUNDS,
) -> None:
    """Measure what commits: the floor begins each round with a recycled WAL."""

    def start() -> tuple[Any, ...]:
        arguments = setup()
        loops.recycle()
        return arguments

    measure(call, operations, setup=start, rounds=rounds)


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
