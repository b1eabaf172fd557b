"""The table at the end: turns merged to medians, and the ratios between contenders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from contenders import FASTCACHE, FLOOR, PEERS, Contender

LEGEND = (
    "reference: what stands beside the number, see bench/README.md.",
    "x peer: its time over fastcache's, so more than 1 where fastcache is faster.",
)
# What a time in seconds per operation becomes; the first ones are no times but shares. In the last unit more is better.
UNITS: dict[str, Callable[[float], float]] = {
    "of limit": lambda share: share,
    "of all": lambda share: share,
    "of a core": lambda share: share,
    "of fastest": lambda share: share,
    "calls": lambda count: count,
    "us": lambda seconds: seconds * 1e6,
    "ms": lambda seconds: seconds * 1e3,
    "k op/s": lambda seconds: 1e-3 / seconds,
}
AVERAGES: dict[str, Callable[[Sequence[float]], float]] = {"median": median, "mean": fmean}


@dataclass(frozen=True)
class Operation:
    """A row: its name, the unit it is shown in, and who takes part.

    Args:
        ours: the contender that stands in fastcache's column.
        reference: the contender that fastcache is held against.
        without: the peers that do not take part.
        peers: those who would.
        average: of rounds, and then of turns. The median forgets what is slow now and then; the mean does not.
    """

    label: str
    unit: str = "us"
    ours: Contender = FASTCACHE
    reference: Contender | None = FLOOR
    without: tuple[Contender, ...] = ()
    average: str = "median"
    peers: tuple[Contender, ...] = PEERS

    def takes(self, contender: Contender) -> bool:
        if contender.peer:
            return contender in self.peers and contender not in self.without
        return contender in (self.ours, self.reference)

    def averaged(self, times: Sequence[float]) -> float:
        return AVERAGES[self.average](times)


class Table:
    def __init__(self, contenders: list[Contender], notes: list[str]) -> None:
        self.contenders = contenders
        self.notes = [*LEGEND, *notes]
        self.seconds: dict[Operation, dict[Contender, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))

    def record(self, operation: Operation, contender: Contender, turn: int, seconds: float) -> None:
        """Keep one turn's average of seconds per operation."""
        self.seconds[operation][contender][turn] = seconds

    @property
    def peers(self) -> list[Contender]:
        """Who takes part in any row that there is."""
        return [each for each in self.contenders if each.peer and each in self.measured()]

    def measured(self) -> set[Contender]:
        return {contender for row in self.seconds.values() for contender in row}

    def header(self) -> list[str]:
        peers = [peer.name for peer in self.peers]
        ratios = ["fastcache/reference", *(f"x {peer}" for peer in peers)]
        return ["operation", "unit", "fastcache", "reference", *peers, *ratios]

    def rows(self) -> list[list[str]]:
        return [self.row(operation) for operation in self.seconds]

    def row(self, operation: Operation) -> list[str]:
        ours, reference = operation.ours, operation.reference
        compared = self.time(operation, reference) if reference else ""
        return [
            operation.label,
            operation.unit.replace("us", "µs"),
            self.time(operation, ours),
            f"{compared} ({reference.name})" if reference and compared else "",
            *(self.time(operation, peer) for peer in self.peers),
            self.ratio(operation, ours, reference) if reference else "",
            *(self.ratio(operation, peer, ours) for peer in self.peers),
        ]

    def time(self, operation: Operation, contender: Contender) -> str:
        turns = self.seconds[operation].get(contender, {})
        return significant(UNITS[operation.unit](operation.averaged(list(turns.values())))) if turns else ""

    def ratio(self, operation: Operation, slower: Contender, faster: Contender) -> str:
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
        return "\n".join([*map("  ".join, aligned), *self.notes])

    def as_markdown(self) -> str:
        header = self.header()
        lines = [header, ["---", *["---:"] * (len(header) - 1)], *self.rows()]
        rows = [f"| {' | '.join(line)} |" for line in lines]
        return "\n".join([*rows, "", *(f"{note}  " for note in self.notes[:-1]), self.notes[-1]]) + "\n"


def significant(number: float, digits: int = 3) -> str:
    """The number with so many significant digits, never in exponent form."""
    rounded = float(f"{number:.{digits}g}")
    exponent = int(f"{rounded:e}".split("e")[1])
    return f"{rounded:.{max(0, digits - 1 - exponent)}f}"
