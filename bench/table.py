"""The table at the end: turns merged to medians, and the ratios between contenders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

OURS, FLOOR = "fastcache", "floor"
LEGEND = f"x peer: its time over {OURS}'s, so more than 1 where {OURS} is faster."
# What a time in seconds per operation becomes. In the last unit more is better.
UNITS: dict[str, Callable[[float], float]] = {
    "us": lambda seconds: seconds * 1e6,
    "ms": lambda seconds: seconds * 1e3,
    "k op/s": lambda seconds: 1e-3 / seconds,
}


@dataclass(frozen=True)
class Operation:
    """A row: its name, the unit it is shown in, and the contenders that have no such operation."""

    label: str
    unit: str = "us"
    without: tuple[str, ...] = ()


class Table:
    def __init__(self, contenders: list[str], peers: list[str], notes: list[str]) -> None:
        self.contenders = contenders
        self.peers = [peer for peer in peers if peer in contenders]
        self.notes = notes
        self.seconds: dict[Operation, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def record(self, operation: Operation, contender: str, turn: int, seconds: float) -> None:
        """Keep one turn's median of seconds per operation."""
        self.seconds[operation][contender][turn] = seconds

    def header(self) -> list[str]:
        ratios = [f"{OURS}/{FLOOR}"] if FLOOR in self.contenders else []
        return ["operation", "unit", *self.contenders, *ratios, *(f"x {peer}" for peer in self.peers)]

    def rows(self) -> list[list[str]]:
        return [self.row(operation) for operation in self.seconds]

    def row(self, operation: Operation) -> list[str]:
        turns = self.seconds[operation]
        unit = UNITS[operation.unit]
        times = [significant(unit(median(turns[c].values()))) if c in turns else "" for c in self.contenders]
        ratios = [self.ratio(operation, OURS, FLOOR)] if FLOOR in self.contenders else []
        ratios += [self.ratio(operation, peer, OURS) for peer in self.peers]
        return [operation.label, operation.unit.replace("us", "µs"), *times, *ratios]

    def ratio(self, operation: Operation, slower: str, faster: str) -> str:
        """Of the times, each pair from one turn: the two were measured right after each other."""
        above, below = (self.seconds[operation].get(contender, {}) for contender in (slower, faster))
        shared = above.keys() & below.keys()
        return significant(median(above[turn] / below[turn] for turn in shared), 2) if shared else ""

    def as_text(self) -> str:
        lines = [self.header(), *self.rows()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = (
            [cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs)]
            for pairs in (zip(line, widths, strict=True) for line in lines)
        )
        return "\n".join([*map("  ".join, aligned), LEGEND, *self.notes])

    def as_markdown(self) -> str:
        header = self.header()
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *self.rows()]
        rows = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([*rows, "", LEGEND, *self.notes]) + "\n"


def significant(number: float, digits: int = 3) -> str:
    """The number with so many significant digits, never in exponent form."""
    rounded = float(f"{number:.{digits}g}")
    exponent = int(f"{rounded:e}".split("e")[1])
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"
