"""From which size on compression pays, and by how much it has to shrink a value: `python bench/compression.py`.

Against values that are stored as they are, for each library: what share of its size is left of a value, and what a set
that replaces a value and a get take with memory=0. What the engine leaves as it is cannot be measured through it: there
the time is that without compression and, added to it, that of compressing or decompressing alone. `--quick` is enough
to see that it runs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from entries import KIB

import fastcache
from fastcache.engine.codecs import compression

SIZES = [256, 512, KIB, 2 * KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, KIB * KIB]
NONE = "none"
LIBRARIES = ("zstd", "lz4", "blosc2")
VOLUME = 4 * KIB * KIB
MOST = 1000
# So few are enough to see that it runs.
QUICK = 256 * KIB
# Of values of one size.
DISTINCT = 16
TURNS = 3
# The engine's limits.
SMALLEST, WORTH_IT = 1024, 0.9

Values = Callable[[int], list[Any]]


def text(size: int) -> list[Any]:
    """Lines of JSON, as logs and answers of services are."""
    chance = random.Random(size)

    def line() -> str:
        place = chance.choice(["north", "south", "attic", "cellar"])
        return json.dumps({"id": chance.randrange(10**6), "sensor": place, "value": chance.random()})

    return ["\n".join(line() for _ in range(size // 60 + 2))[:size] for _ in range(DISTINCT)]


def noise_bytes(size: int) -> list[Any]:
    chance = random.Random(size)
    return [chance.randbytes(size) for _ in range(DISTINCT)]


def ramps(size: int) -> list[Any]:
    """Time axes."""
    return [np.linspace(number, number + 1, size // 8) for number in range(DISTINCT)]


def noise(size: int) -> list[Any]:
    generator = np.random.default_rng(size)
    return [generator.normal(size=size // 8) for _ in range(DISTINCT)]


def counts(size: int) -> list[Any]:
    """Small numbers in wide integers."""
    generator = np.random.default_rng(size)
    return [generator.integers(0, 1000, size // 8) for _ in range(DISTINCT)]


KINDS: dict[str, Values] = {
    "JSON lines": text,
    "random bytes": noise_bytes,
    "float64 ramp": ramps,
    "float64 noise": noise,
    "int64 below 1000": counts,
}


@dataclass
class Measured:
    """Of one kind, size and library: the share of the size that is left, and µs of a set and a get."""

    share: float
    set: float
    get: float
    estimated: bool = False

    def __str__(self) -> str:
        return f"{'~' if self.estimated else ' '}{self.share:4.2f} {self.set:6.0f} {self.get:6.1f}"


def payload_of(value: Any) -> tuple[bytes, int]:
    """The bytes that a value has at least, and the size of its items."""
    if isinstance(value, str):
        return value.encode(), 1
    return (value, 1) if isinstance(value, bytes) else (value.tobytes(), value.itemsize)


def share_left(value: Any, library: str) -> float:
    payload, itemsize = payload_of(value)
    compressed = compression.compressor(library).compress(payload, itemsize)
    assert compressed is not None
    return len(compressed) / len(payload)


def is_refused(size: int, share: float) -> bool:
    """Whether the engine stores such a value as it is."""
    return size < SMALLEST or share > WORTH_IT


def timed(calls: Iterator[Any]) -> float:
    start = perf_counter()
    number = 0
    for number, _ in enumerate(calls, 1):  # noqa: B007 - how many there were
        pass
    return (perf_counter() - start) / number * 1e6


def store_and_load(cache: fastcache.Cache, values: list[Any], count: int) -> tuple[float, float]:
    """µs of a set that replaces a value, and of a get."""
    pairs = [(f"entry-{number}", values[number % len(values)]) for number in range(count)]
    for key, value in pairs:
        cache.set(key, value)
    keys = [key for key, _ in pairs]
    random.Random(1).shuffle(keys)
    sets = timed(cache.set(key, value) for key, (_, value) in zip(keys, pairs, strict=True))
    gets = timed(cache.get(key) for key in keys)
    return sets, gets


def measure(values: list[Any], library: str | None, count: int) -> tuple[float, float]:
    directory = tempfile.mkdtemp(prefix="fastcache-compression-")
    with fastcache.Cache(directory, memory=0, compression=library) as cache:
        measured = store_and_load(cache, values, count)
    shutil.rmtree(directory)
    return measured


def alone(values: list[Any], library: str) -> tuple[float, float]:
    """µs of compressing and decompressing alone."""
    codec = compression.compressor(library)
    plain = [payload_of(value) for value in values]
    plain *= 1 if len(plain[0][0]) > 64 * KIB else 8
    packed = [(codec.compress(payload, itemsize), len(payload)) for payload, itemsize in plain]
    compress = timed(codec.compress(payload, itemsize) for payload, itemsize in plain)
    decompress = timed(codec.decompress(memoryview(payload), size) for payload, size in packed)
    return compress, decompress


Place = tuple[str, int, str]


def collect(sizes: list[int], turns: int, volume: int) -> tuple[dict[Place, Any], dict[Place, Any]]:
    """Pairs of µs, of each turn: of sets and gets, and of compressing and decompressing alone."""
    times: dict[Place, Any] = defaultdict(list)
    codecs: dict[Place, Any] = defaultdict(list)
    for _ in range(turns):
        for kind, values_of in KINDS.items():
            for size in sizes:
                values = values_of(size)
                count = max(DISTINCT, min(MOST, volume // size))
                times[kind, size, NONE].append(measure(values, None, count))
                for library in LIBRARIES:
                    times[kind, size, library].append(measure(values, library, count))
                    if is_refused(size, share_left(values[0], library)):
                        codecs[kind, size, library].append(alone(values, library))
    return times, codecs


def medians(pairs: list[tuple[float, float]]) -> list[float]:
    return [median(each) for each in zip(*pairs, strict=True)]


def judged(place: Place, times: dict[Place, Any], codecs: dict[Place, Any]) -> Measured:
    """What a set and a get take, or would take if the engine had no limits."""
    kind, size, library = place
    share = share_left(KINDS[kind](size)[0], library)
    sets, gets = medians(times[place])
    if not is_refused(size, share):
        return Measured(share, sets, gets)
    plain, codec = medians(times[kind, size, NONE]), medians(codecs[place])
    return Measured(share, plain[0] + codec[0], plain[1] + codec[1], estimated=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Where compression pays.")
    parser.add_argument("--quick", action="store_true", help="one turn, few values")
    quick = parser.parse_args().quick
    times, codecs = collect(SIZES, 1 if quick else TURNS, QUICK if quick else VOLUME)
    print("share of the size that is left; µs of a set and of a get. ~: the engine does not compress these, so this is")
    print("what a set and a get take without compression, and compressing and decompressing besides.")
    print(
        f"{'':16} {'bytes':>8} {'none: set':>10} {'get':>7}",
        *(f"{name:>8}: set   get " for name in LIBRARIES),
        sep="  ",
    )
    for kind in KINDS:
        for size in SIZES:
            plain = medians(times[kind, size, NONE])
            cells = [str(judged((kind, size, library), times, codecs)) for library in LIBRARIES]
            print(f"{kind:16} {size:8} {plain[0]:10.0f} {plain[1]:7.1f}", *cells, sep="  ")


if __name__ == "__main__":
    main()
