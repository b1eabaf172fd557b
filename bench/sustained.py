"""Calls made for some seconds without a pause, so that whatever is put off has to be kept up with."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from time import perf_counter, perf_counter_ns, process_time
from typing import Any

from loops import Loops
from traces import no_collection

# Operations between two looks at the clock. All have one value, unlike that of the chunk before.
CHUNK = 500

# Of a chunk's keys: a loop over them.
Call = Callable[[Any], object]


@dataclass(frozen=True)
class Sustained:
    """What became of it.

    Args:
        operations: how many there were.
        calling: what they took, in seconds.
        flushing: what it took then until nothing was put off any more, in seconds.
        computing: the CPU time of all threads of the process meanwhile, in seconds.
    """

    operations: int
    calling: float
    flushing: float
    computing: float

    @property
    def seconds(self) -> float:
        """An operation's share of all."""
        return (self.calling + self.flushing) / self.operations


def in_chunks(loops: Loops, names: list[str]) -> list[Any]:
    return [loops.keys(names[start : start + CHUNK]) for start in range(0, len(names), CHUNK)]


def sustain(loops: Loops, call: Callable[[], Call], chunks: Iterable[Any], seconds: float) -> Sustained:
    """Call with chunk after chunk for so long, or until there is none left, and flush.

    Args:
        call: makes what is called with one chunk.
    """
    operations, calling = 0, 0.0
    with no_collection():
        computed = process_time()
        for chunk in chunks:
            loops.recycle()
            called = call()
            begun = perf_counter()
            called(chunk)
            calling += perf_counter() - begun
            operations += CHUNK
            if calling >= seconds:
                break
        begun = perf_counter()
        loops.flush()
        flushing = perf_counter() - begun
        computed = process_time() - computed
    return Sustained(operations, calling, flushing, computed)


def time_each(loops: Loops, call: Callable[[], Call], chunks: Iterator[Any], seconds: float) -> list[int]:
    """The same, one key at a time: what each call took, in nanoseconds and in order of size."""
    latencies = array("q")
    with no_collection():
        end = perf_counter() + seconds
        for chunk in chunks:
            called = call()
            for one in [chunk[at : at + 1] for at in range(len(chunk))]:
                begun = perf_counter_ns()
                called(one)
                latencies.append(perf_counter_ns() - begun)
            if perf_counter() >= end:
                break
        loops.flush()
    return sorted(latencies)
