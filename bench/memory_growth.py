"""How much a process grows by its memory tier, against what it was given: `python bench/memory_growth.py`.

Each kind of entry is set and then read, so many distinct keys that the tier is full nearly all the time, once with
the tier and once with memory=0: SQLite's page caches (of up to 16 MiB for each connection) and what the run itself
needs are in both, and the tier is the difference. Every run is a process of its own. Its growth is the highest of
many looks at it: resident as in /proc/self/statm, private (shared with no other process) as in
/proc/self/smaps_rollup. Linux only.
"""

import argparse
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor

from entries import KIB

import fastcache

MIB = KIB * KIB
PAGE = os.sysconf("SC_PAGE_SIZE")
BATCH = 10_000
# What a run writes, however large its values are.
MOST_BYTES = 1024 * MIB

# From an entry's number to its value; None stands for an entry that is never set.
KINDS: dict[str, tuple[int, Callable[[int], object]]] = {
    "bytes, 20": (20, lambda number: os.urandom(20)),
    "bytes, 256": (256, lambda number: os.urandom(256)),
    "bytes, 4096": (4096, lambda number: os.urandom(4096)),
    "bytes, 16 to 4096": (1000, lambda number: os.urandom(16 << number % 9)),
    "bytes, 20, then 4096": (2000, lambda number: os.urandom(20 if number // 300_000 % 2 == 0 else 4096)),
    "str, 100": (100, lambda number: f"{number:0100d}"),
    "int": (8, lambda number: number + (1 << 40)),
    "float": (8, lambda number: number + 0.5),
    "small dict": (100, lambda number: {"id": number, "name": "Ada Lovelace", "tags": ["a", "b"], "score": 0.5}),
    "absent": (0, lambda number: None),
}


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE


def private() -> int:
    with open("/proc/self/smaps_rollup") as rollup:
        return sum(int(line.split()[1]) * KIB for line in rollup if line.startswith("Private_"))


def batches(entries: int) -> Iterator[range]:
    for first in range(0, entries, BATCH):
        yield range(first, min(first + BATCH, entries))


def grow(kind: str, memory: int, entries: int) -> tuple[int, int]:
    """The growth of this process, resident and private, in bytes."""
    value_of = KINDS[kind][1]
    directory = tempfile.mkdtemp(prefix="fastcache-growth-")
    before = after = (resident(), private())
    with fastcache.Cache(directory, memory=memory) as cache:
        if kind != "absent":
            for batch in batches(entries):
                with cache.transact():
                    for number in batch:
                        cache.set(f"entry-{number:08d}", value_of(number))
                after = max(after[0], resident()), max(after[1], private())
        for batch in batches(entries):
            for number in batch:
                cache.get(f"entry-{number:08d}")
            after = max(after[0], resident()), max(after[1], private())
    shutil.rmtree(directory)
    return after[0] - before[0], after[1] - before[1]


def in_process_of_its_own(kind: str, memory: int, entries: int) -> tuple[int, int]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(grow, kind, memory, entries).result()


def main() -> None:
    parser = argparse.ArgumentParser(description="The growth of a process by its memory tier.")
    parser.add_argument("--memory", type=int, default=64, metavar="MIB", help="what the tier is given (default: 64)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="distinct keys (default: 1,000,000)")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    asked = parser.parse_args()
    memory = asked.memory * MIB
    columns = "    with  without   tier  / memory"
    print(f"{'MiB':20} {'entries':>9}    resident:{columns}    private:{columns}")
    for kind in asked.kind or KINDS:
        size = KINDS[kind][0]
        entries = min(asked.entries, MOST_BYTES // max(size, 1))
        runs = (in_process_of_its_own(kind, given, entries) for given in (memory, 0))
        cells = ""
        for grown, without in zip(*runs, strict=True):
            tier = grown - without
            cells += f"{grown / MIB:21.1f} {without / MIB:8.1f} {tier / MIB:6.1f} {tier / memory:9.2f}"
        print(f"{kind:20} {entries:9,}{cells}", flush=True)


if __name__ == "__main__":
    main()
