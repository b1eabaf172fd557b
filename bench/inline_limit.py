"""From which size on a value is better off in a file of its own: `python bench/inline_limit.py`.

In the row: the floor's set and get. In a file: what the engine does for one (a temporary file, a rename inside a
transaction, a small row), with the floor's row; without the triggers' trash, so slightly in favour of files. Either
way the time of the sets includes the checkpoint that copies from the WAL what they wrote: a value in its row is written
twice. The values of one size add up to more than a connection's page cache holds.
"""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from time import perf_counter

from entries import KIB, fresh_names, fresh_value
from floor import Floor

import fastcache
from fastcache.engine.blobs.files import ValueFiles

SIZES = [size * KIB for size in (4, 8, 16, 32, 64, 128, 256, 512, 1024)]
VOLUME = 32 * KIB * KIB
TURNS = 3


class InRow:
    def __init__(self, directory: str, names: list[str]) -> None:
        self.floor = Floor(directory)
        self.keys = self.floor.keys(names)

    def set(self, value: bytes) -> None:
        self.floor.set(self.keys, value)
        self.floor.recycle()

    def get(self) -> None:
        self.floor.get(self.keys)


class InFile:
    def __init__(self, directory: str, names: list[str]) -> None:
        self.floor = Floor(directory)
        self.keys = [self.floor.keys([name]) for name in names]
        self.files = ValueFiles(directory)
        self.stored: dict[int, str] = {}

    def set(self, value: bytes) -> None:
        for number, key in enumerate(self.keys):
            pending = self.files.write([value])
            self.floor.begin()
            pending.commit()
            self.floor.set(key, pending.name.encode())
            self.floor.commit()
            if number in self.stored:
                self.files.unlink(self.stored[number])
            self.stored[number] = pending.name
        self.floor.recycle()
        self.size = len(value)

    def get(self) -> None:
        for number, key in enumerate(self.keys):
            self.floor.get(key)
            self.files.read(self.stored[number], self.size)


def timed(call: Callable[[], None], operations: int) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) / operations * 1e6


def main() -> None:
    measured: dict[tuple[int, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(TURNS):
        for size in SIZES:
            for way in (InRow, InFile):
                directory = tempfile.mkdtemp(prefix="fastcache-inline-")
                fastcache.Cache(directory).close()
                names = fresh_names(min(1000, VOLUME // size))
                place = way(directory, names)
                results = measured[size, way.__name__]
                results["insert"].append(timed(lambda p=place, s=size: p.set(fresh_value(s)), len(names)))
                results["update"].append(timed(lambda p=place, s=size: p.set(fresh_value(s)), len(names)))
                results["get"].append(timed(place.get, len(names)))
                place.floor.close()
                shutil.rmtree(directory)
    print("µs      insert: row   file   update: row   file      get: row   file")
    for size in SIZES:
        row, file = ({k: median(v) for k, v in measured[size, way].items()} for way in ("InRow", "InFile"))
        cells = "".join(f"{row[name]:14.0f} {file[name]:6.0f}" for name in ("insert", "update", "get"))
        print(f"{size // KIB:5} KiB{cells}")


if __name__ == "__main__":
    main()
