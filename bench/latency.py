"""How long single writes take where several processes share a directory: `python bench/latency.py`.

Two tables, for fastcache and its peers. In the first, four processes read and write by turns, as in the row
"4 processes, 50 % writes" of `pytest bench`, for a longer time: how many operations all of them do, how long the
slowest writes wait, and whether the processes get on alike. In the second, one process does nothing but set entries of
256 bytes while others read: what each set takes, and how large the WAL becomes, which nobody leaves alone for a moment.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean, median

from contenders import BY_NAME, DISKCACHE, DISKCACHE_RS, FASTCACHE, NO_MEMORY, SCIQLOP_CACHE, Contender
from entries import NAMES, VALUE
from table import significant
from workers import Workers

# The floor is left out: its loops are in C, and a call for each write would measure the calls.
ABLE = (FASTCACHE, NO_MEMORY, SCIQLOP_CACHE, DISKCACHE, DISKCACHE_RS)
USUAL = (FASTCACHE, SCIQLOP_CACHE, DISKCACHE, DISKCACHE_RS)
PROCESSES = 4
READ_ONLY, HALF_WRITES, ALL_WRITES = 0, 2, 1
LOOK_SECONDS = 0.05


class Watch:
    """The largest of the sizes that are seen, by looking now and then, while this is entered."""

    def __init__(self, size: Callable[[], int]) -> None:
        self.size = size
        self.largest = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        self.largest = max(self.largest, self.size())

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.thread.join()
        self.look()


class WalWatch(Watch):
    """That of the WAL of a directory. A contender may have none, or several."""

    def __init__(self, directory: str) -> None:
        self.files = list(Path(directory).rglob("*-wal"))
        super().__init__(self.size_of_files)

    def size_of_files(self) -> int:
        total = 0
        for file in self.files:
            # It may be removed at any time.
            with contextlib.suppress(FileNotFoundError):
                total += file.stat().st_size
        return total


@contextlib.contextmanager
def filled(contender: Contender, parent: str | None) -> Iterator[Path]:
    """A folder with a closed cache of 10,000 entries in "cache" and room beside it."""
    with tempfile.TemporaryDirectory(prefix="fastcache-latency-", dir=parent) as folder:
        loops = contender.open(str(Path(folder, "cache")))
        loops.fill(NAMES, VALUE)
        loops.close()
        yield Path(folder)


def read_latencies(file: Path) -> array[int]:
    latencies = array("q")
    latencies.frombytes(file.read_bytes())
    return latencies


def percentile(ordered: Sequence[int], percent: float) -> int:
    """The smallest of them that so many percent do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def run_processes(contender: Contender, folder: Path, period: int, seconds: float) -> tuple[list[float], list[int]]:
    """Processes of which each sets in every ``period``-th operation: their rates, and what the sets took, in order."""
    files = [folder / f"latencies-{seed}" for seed in range(PROCESSES)]
    with Workers(contender, str(folder / "cache")) as workers:
        for seed, file in enumerate(files):
            workers.start(seed, period, seconds, "--latencies", str(file))
        workers.go()
        rates = workers.rates()
    return rates, sorted(latency for file in files for latency in read_latencies(file))


def share_between_processes(contender: Contender, folder: Path, seconds: float) -> list[str]:
    rates, ordered = run_processes(contender, folder, HALF_WRITES, seconds)
    return [
        significant(sum(rates) / 1e3),
        significant(percentile(ordered, 99.9) / 1e6),
        significant(min(rates) / max(rates), 2),
    ]


def write_steadily(contender: Contender, folder: Path, seconds: float, readers: int, insert: bool) -> list[str]:
    file = folder / "latencies"
    with Workers(contender, str(folder / "cache")) as workers:
        workers.start(0, ALL_WRITES, seconds, "--latencies", str(file), *(["--insert"] if insert else []))
        for seed in range(1, readers + 1):
            workers.start(seed, READ_ONLY, seconds)
        watch = WalWatch(str(folder / "cache"))
        with watch:
            workers.go()
            rate = workers.rates()[0]
    ordered = sorted(read_latencies(file))
    times = [fmean(ordered), median(ordered), percentile(ordered, 99), percentile(ordered, 99.9), ordered[-1]]
    return [
        *(significant(time / 1e3) for time in times),
        f"{rate:,.0f}",
        f"{watch.largest / 1e6:.1f}" if watch.files else "no WAL",
    ]


def print_table(
    title: str, columns: Sequence[str], contenders: Sequence[Contender], row: Callable[..., list[str]]
) -> None:
    print(f"{title}\n\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}", flush=True)
    for contender in contenders:
        obstacle = contender.obstacle()
        if obstacle is None:
            print(f"| {contender.name} | {' | '.join(row(contender))} |", flush=True)
        else:
            print(f"| {contender.name} | {obstacle} |", flush=True)
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="How long single writes take where several processes share a cache.")
    parser.add_argument("--seconds", type=float, default=60.0, help="of steady writing (default: 60)")
    parser.add_argument("--shared-seconds", type=float, default=5.0, help="of reading and writing (default: 5)")
    parser.add_argument("--readers", type=int, default=2, help="processes beside the steady writer (default: 2)")
    parser.add_argument("--insert", action="store_true", help="write fresh keys steadily, not the same 10,000")
    parser.add_argument("--contender", choices=[each.name for each in ABLE], action="append", help="may be given again")
    parser.add_argument("--only", choices=["shared", "steady"], help="one of the two tables")
    parser.add_argument("--bench-dir", metavar="DIR", help="make the caches here (default: with temporary files)")
    asked = parser.parse_args()
    contenders = [BY_NAME[name] for name in asked.contender] if asked.contender else USUAL

    def shared(contender: Contender) -> list[str]:
        with filled(contender, asked.bench_dir) as folder:
            return share_between_processes(contender, folder, asked.shared_seconds)

    def steady(contender: Contender) -> list[str]:
        with filled(contender, asked.bench_dir) as folder:
            return write_steadily(contender, folder, asked.seconds, asked.readers, asked.insert)

    if asked.only != "steady":
        title = f"{PROCESSES} processes, half writes, {asked.shared_seconds:g} s"
        columns = ["k op/s", "99.9th percentile of a write, ms", "slowest / fastest process"]
        print_table(title, columns, contenders, shared)
    if asked.only != "shared":
        keys = "fresh keys" if asked.insert else f"{len(NAMES):,} keys"
        title = f"Steady writing, {keys}, {asked.readers} readers, {asked.seconds:g} s; µs per set"
        columns = ["mean", "median", "99 %", "99.9 %", "maximum", "sets/s", "largest WAL, MB"]
        print_table(title, columns, contenders, steady)


if __name__ == "__main__":
    main()
