"""What values are made of: arrays, what has to be signed, small dicts, Structs."""

from __future__ import annotations

import enum
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from clocks import ReportedClock
from conftest import COMMIT_ROUNDS, COMMITS, Measure
from contenders import (
    DECODING,
    DISKCACHE,
    DISKCACHE_RS,
    FILE,
    NO_MEMORY,
    ONE_THREAD,
    SCIQLOP_CACHE,
    UNSIGNED,
    Contender,
    FastcacheLoops,
)
from entries import NAMES, fresh_names
from loops import Loops

np = pytest.importorskip("numpy")
msgspec = pytest.importorskip("msgspec")

import arrays  # noqa: E402 - needs numpy

MANY = len(NAMES)
SHORT_ROUNDS = 15
THREADS = 8

HUNDRED_KB, ONE_MB, TEN_MB, HUNDRED_MB = 100_000, 1_000_000, 10_000_000, 100_000_000
# Values of one size take turns under so many keys, and a round uses each of them so often: the disk holds no more.
KEYS = {HUNDRED_KB: 8, ONE_MB: 8, TEN_MB: 4, HUNDRED_MB: 2}
TIMES = {HUNDRED_KB: 8, ONE_MB: 2, TEN_MB: 1, HUNDRED_MB: 1}
SET_ROUNDS = {HUNDRED_KB: 9, ONE_MB: 9, TEN_MB: 5, HUNDRED_MB: 3}
GET_ROUNDS = {HUNDRED_KB: 15, ONE_MB: 15, TEN_MB: 9, HUNDRED_MB: 3}


@pytest.fixture
def place(workshop: Path) -> Iterator[str]:
    """An empty directory."""
    folder = workshop / "values"
    folder.mkdir()
    yield str(folder)
    shutil.rmtree(folder)


# -- arrays --------------------------------------------------------------------------------------------------


@pytest.fixture
def described(contender: Contender, place: str) -> Iterator[arrays.Arrays]:
    opened = arrays.open_arrays(contender, place, bare=False)
    yield opened
    opened.close()


@pytest.fixture
def bare(contender: Contender, place: str) -> Iterator[arrays.Arrays]:
    opened = arrays.open_arrays(contender, place, bare=True)
    yield opened
    opened.close()


def noise(size: int) -> Any:
    return np.random.default_rng(size).normal(size=size // 8)


def keys_of(size: int) -> list[str]:
    return [f"array-{number}" for number in range(KEYS[size])] * TIMES[size]


def measure_set(opened: arrays.Arrays, measure: Measure, size: int) -> None:
    array, keys = noise(size), keys_of(size)

    def call() -> None:
        for key in keys:
            opened.set(key, array)

    measure(call, len(keys), rounds=SET_ROUNDS[size])
    assert np.array_equal(opened.get(keys[-1]), array)


def measure_get(opened: arrays.Arrays, measure: Measure, size: int, use: Callable[[Any], float]) -> None:
    array, keys = noise(size), keys_of(size)
    for key in keys[: KEYS[size]]:
        opened.set(key, array)

    def call() -> float:
        total = 0.0
        for key in keys:
            total += use(opened.get(key))
        return total

    measure(call, len(keys), rounds=GET_ROUNDS[size])
    assert call() == pytest.approx(len(keys) * use(array))


def touch(array: Any) -> float:
    return float(array[0] + array[-1])


def add_up(array: Any) -> float:
    return float(array.sum())


@pytest.mark.operation("set array, 100 KB", "ms", reference=FILE)
def bench_set_100_kb(described: arrays.Arrays, measure: Measure) -> None:
    measure_set(described, measure, HUNDRED_KB)


@pytest.mark.operation("set array, 1 MB", "ms", reference=FILE)
def bench_set_1_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_set(described, measure, ONE_MB)


@pytest.mark.operation("set array, 10 MB", "ms", reference=FILE)
def bench_set_10_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_set(described, measure, TEN_MB)


@pytest.mark.operation("set array, 100 MB", "ms", reference=FILE)
def bench_set_100_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_set(described, measure, HUNDRED_MB)


@pytest.mark.operation("get array and touch both ends, 100 KB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_touch_100_kb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, HUNDRED_KB, touch)


@pytest.mark.operation("get array and touch both ends, 1 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_touch_1_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, ONE_MB, touch)


@pytest.mark.operation("get array and touch both ends, 10 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_touch_10_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, TEN_MB, touch)


@pytest.mark.operation("get array and touch both ends, 100 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_touch_100_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, HUNDRED_MB, touch)


@pytest.mark.operation("get array and sum, 100 KB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_sum_100_kb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, HUNDRED_KB, add_up)


@pytest.mark.operation("get array and sum, 1 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_sum_1_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, ONE_MB, add_up)


@pytest.mark.operation("get array and sum, 10 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_sum_10_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, TEN_MB, add_up)


@pytest.mark.operation("get array and sum, 100 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_sum_100_mb(described: arrays.Arrays, measure: Measure) -> None:
    measure_get(described, measure, HUNDRED_MB, add_up)


@pytest.mark.operation("set array (peers: bare bytes), 100 KB", "ms", reference=FILE)
def bench_bare_set_100_kb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_set(bare, measure, HUNDRED_KB)


@pytest.mark.operation("set array (peers: bare bytes), 1 MB", "ms", reference=FILE)
def bench_bare_set_1_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_set(bare, measure, ONE_MB)


@pytest.mark.operation("set array (peers: bare bytes), 10 MB", "ms", reference=FILE)
def bench_bare_set_10_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_set(bare, measure, TEN_MB)


@pytest.mark.operation("set array (peers: bare bytes), 100 MB", "ms", reference=FILE)
def bench_bare_set_100_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_set(bare, measure, HUNDRED_MB)


@pytest.mark.operation("get array (peers: bare bytes) and touch, 1 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_bare_touch_1_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_get(bare, measure, ONE_MB, touch)


@pytest.mark.operation("get array (peers: bare bytes) and sum, 1 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_bare_sum_1_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_get(bare, measure, ONE_MB, add_up)


@pytest.mark.operation("get array (peers: bare bytes) and sum, 100 MB, memory=0", "ms", ours=NO_MEMORY, reference=FILE)
def bench_bare_sum_100_mb(bare: arrays.Arrays, measure: Measure) -> None:
    measure_get(bare, measure, HUNDRED_MB, add_up)


def measure_loading(opened: arrays.Arrays, measure: Measure, contender: Contender) -> None:
    """As many arrays in all, whether one thread loads them or eight."""
    array, share = noise(TEN_MB), 3
    keys = keys_of(TEN_MB)
    for key in keys:
        opened.set(key, array)

    def load(first: int) -> float:
        return sum(add_up(opened.copy(keys[(first + number) % len(keys)])) for number in range(share))

    threads = 1 if contender is ONE_THREAD else THREADS
    with ThreadPoolExecutor(threads) as pool:

        def call() -> float:
            return sum(pool.map(load, range(THREADS)))

        measure(call, THREADS * share, rounds=7)
        assert call() == pytest.approx(THREADS * share * add_up(array))


@pytest.mark.operation(
    f"get of 10 MB, copied, and sum, {THREADS} threads, per array", "ms", ours=NO_MEMORY, reference=ONE_THREAD
)
def bench_load_in_threads(described: arrays.Arrays, measure: Measure, contender: Contender) -> None:
    measure_loading(described, measure, contender)


@pytest.mark.operation(
    f"the same (peers: bare bytes), {THREADS} threads, per array", "ms", ours=NO_MEMORY, reference=ONE_THREAD
)
def bench_bare_load_in_threads(bare: arrays.Arrays, measure: Measure, contender: Contender) -> None:
    measure_loading(bare, measure, contender)


# -- what has to be signed -----------------------------------------------------------------------------------


class Unit(enum.Enum):
    KELVIN = "K"


class Reading:
    """Not in safe_types."""

    def __init__(self, sensor: str, value: float) -> None:
        self.sensor = sensor
        self.value = value


reported = ReportedClock()


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment, so that none is made in the user's home."""
    monkeypatch.setenv("FASTCACHE_SECRET", "only for benchmarks")


def measure_signed(loops: Loops, measure: Measure, value: object) -> None:
    names = fresh_names(MANY)
    loops.fill(names, value)
    measure(lambda: loops.get(names), MANY, rounds=SHORT_ROUNDS)


def measure_difference(loops: Loops, measure: Measure, value: object, plain: object) -> None:
    """Of two loops that follow each other in every round."""
    signed_names, plain_names = fresh_names(MANY), fresh_names(MANY)
    loops.fill(signed_names, value)
    loops.fill(plain_names, plain)

    def call() -> None:
        start = perf_counter()
        loops.get(plain_names)
        middle = perf_counter()
        loops.get(signed_names)
        reported.seconds += (perf_counter() - middle) - (middle - start)

    measure(call, MANY, rounds=SHORT_ROUNDS)


def reading() -> Reading:
    return Reading("north", 271.5)


def plain_reading() -> dict[str, object]:
    return {"sensor": "north", "value": 271.5}


@pytest.mark.operation("get, instance (fastcache: signed), memory=0", ours=NO_MEMORY, reference=UNSIGNED)
def bench_signed_instance(loops: Loops, measure: Measure, contender: Contender, secret: None) -> None:
    measure_signed(loops, measure, plain_reading() if contender is UNSIGNED else reading())


@pytest.mark.operation("get, enum member (fastcache: signed), memory=0", ours=NO_MEMORY, reference=UNSIGNED)
def bench_signed_member(loops: Loops, measure: Measure, contender: Contender, secret: None) -> None:
    measure_signed(loops, measure, {"unit": "KELVIN"} if contender is UNSIGNED else Unit.KELVIN)


@pytest.mark.operation("get, instance less its plain dict, memory=0", ours=NO_MEMORY, reference=None)
@pytest.mark.benchmark(timer=reported)
def bench_instance_difference(loops: Loops, measure: Measure, secret: None) -> None:
    measure_difference(loops, measure, reading(), plain_reading())


@pytest.mark.operation("get, enum member less its plain dict, memory=0", ours=NO_MEMORY, reference=None)
@pytest.mark.benchmark(timer=reported)
def bench_member_difference(loops: Loops, measure: Measure, secret: None) -> None:
    measure_difference(loops, measure, Unit.KELVIN, {"unit": "KELVIN"})


# -- small dicts ---------------------------------------------------------------------------------------------


@pytest.mark.operation("get, dict of 4 entries, memory=0", ours=NO_MEMORY, reference=DECODING)
def bench_small_dict(loops: Loops, measure: Measure) -> None:
    value = {"id": 1234, "name": "Ada Lovelace", "score": 0.5, "active": True}
    names = fresh_names(MANY)
    loops.fill(names, value)
    keys = loops.keys(names)
    measure(lambda: loops.get(keys), MANY, rounds=SHORT_ROUNDS)
    assert loops.holds(names[-1], value)


# -- Structs -------------------------------------------------------------------------------------------------


class Sample(msgspec.Struct):  # type: ignore[misc]
    serial: int
    name: str
    score: float
    tags: list[str]


def fresh_sample() -> Sample:
    return Sample(random.randrange(1000, 2000), "Ada Lovelace", 0.5, ["a", "b"])


@pytest.fixture
def structs(contender: Contender, place: str) -> Iterator[Loops]:
    """Each with its own msgspec serializer. That of sciqlop-cache takes no type, and gives a dict back."""
    opened = STRUCTS[contender](place)
    opened.fill(NAMES, fresh_sample())
    yield opened
    opened.close()


def open_fastcache_structs(directory: str) -> Loops:
    import fastcache

    serializer = fastcache.MsgspecSerializer(type=Sample)
    return FastcacheLoops(fastcache.Cache(directory, memory=0, serializer=serializer))


def open_sciqlop_structs(directory: str) -> Loops:
    import pysciqlop_cache

    return Loops(pysciqlop_cache.Cache(directory, serializer=pysciqlop_cache.MsgspecSerializer()))


STRUCTS = {NO_MEMORY: open_fastcache_structs, SCIQLOP_CACHE: open_sciqlop_structs}
WITHOUT = (DISKCACHE, DISKCACHE_RS)


@pytest.mark.operation("get, Struct by msgspec, memory=0", ours=NO_MEMORY, reference=None, without=WITHOUT)
def bench_get_struct(structs: Loops, measure: Measure) -> None:
    measure(lambda: structs.get(NAMES), MANY, rounds=SHORT_ROUNDS)


@pytest.mark.operation(
    "set, Struct by msgspec, memory=0, mean", ours=NO_MEMORY, reference=None, without=WITHOUT, average="mean"
)
def bench_set_struct(structs: Loops, measure: Measure, shuffled: random.Random) -> None:
    def choose() -> tuple[Sequence[str], Sample]:
        return shuffled.sample(NAMES, k=COMMITS), fresh_sample()

    measure(structs.set, COMMITS, setup=choose, rounds=COMMIT_ROUNDS)
