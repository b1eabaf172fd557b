"""One of several processes on one directory: opens it, says so, and on "go" runs for a while and says how fast."""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import sys
from array import array
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from contenders import BY_NAME
from entries import NAMES, fresh_value

# Operations between two looks at the clock, and how often the worker walks over all entries before it does so again.
CHUNK, WALKS = 500, 2


def shuffled_chunks(seed: int) -> Iterator[list[str]]:
    """All entries in no order. None comes twice in a chunk: a value set again would change no page."""
    chosen = random.Random(seed)
    for _ in range(WALKS):
        names = chosen.sample(NAMES, k=len(NAMES))
        for start in range(0, len(names), CHUNK):
            yield names[start : start + CHUNK]


def fresh_chunks(seed: int) -> Iterator[list[str]]:
    """Keys that no entry has yet, without end."""
    for start in itertools.count(step=CHUNK):
        yield [f"fresh-{seed:03d}-{number:09d}" for number in range(start, start + CHUNK)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("contender")
    parser.add_argument("directory")
    parser.add_argument("seed", type=int)
    parser.add_argument("period", type=int, help="which operations are writes: every so many, none if 0, all if 1")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--insert", action="store_true", help="keys that have no entry yet")
    parser.add_argument("--latencies", metavar="FILE", help="put there what each write took, as 64-bit ns")
    asked = parser.parse_args()
    loops = BY_NAME[asked.contender].open(asked.directory)
    loops.get(loops.keys(NAMES))
    latencies = array("q")
    chunks: Iterator[Any]
    if asked.insert:
        chunks = map(loops.keys, fresh_chunks(asked.seed))
    else:
        chunks = itertools.cycle([loops.keys(names) for names in shuffled_chunks(asked.seed)])
    gc.disable()
    print("ready", flush=True)
    if sys.stdin.readline().strip() == "go":
        operations = 0
        start = perf_counter()
        for chunk in chunks:
            if asked.latencies:
                loops.mixed_timed(chunk, fresh_value(256), asked.period, latencies)
            else:
                loops.mixed(chunk, fresh_value(256), asked.period)
            operations += CHUNK
            if perf_counter() - start >= asked.seconds:
                break
        loops.flush()
        passed = perf_counter() - start
        if asked.latencies:
            with open(asked.latencies, "wb") as file:
                latencies.tofile(file)
        print(operations / passed, flush=True)
    loops.close()


if __name__ == "__main__":
    main()
