"""Write the stored directories of this version's format.

    python tests/format/write.py [FOLDER]

They go into a folder that is named by the number of the format, beside this file or in FOLDER. What is there stays as
it is, for every later version to read: only directories that are missing are written.

It needs every library that the package can use. The directories are as small as they can be: change logs of some words,
value files of some hundred bytes, no WAL.
"""

import contextlib
import importlib
import json
import os
import pathlib
import platform
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import fastcache  # noqa: E402
from fastcache.engine.shm import change_log  # noqa: E402
from fastcache.engine.sqlite import sql  # noqa: E402
from tests.format import calls, entries  # noqa: E402
from tests.format.directories import SETTINGS, open_store  # noqa: E402

# What a killed process leaves behind is what maintenance has not come to.
ATTEMPTS = 20
# Says which versions of what have written each directory.
WRITTEN_BY = "written_by.json"


def main(folder):
    change_log.capacity = 64
    generation = folder / str(sql.FORMAT)
    generation.mkdir(parents=True, exist_ok=True)
    record = generation / WRITTEN_BY
    writers = json.loads(record.read_text("utf-8")) if record.exists() else {}
    for name in WRITERS:
        if name not in writers:
            write(name, generation / name)
            writers[name] = versions()
    record.write_text(json.dumps(writers, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def versions():
    """What decides, beside the format, what is written."""
    found = {"fastcache": fastcache.__version__, "python": platform.python_version(), "byteorder": sys.byteorder}
    return found | {library: importlib.import_module(library).__version__ for library in ("numpy", "pandas")}


def write(name, path):
    """Write one of the directories."""
    WRITERS[name](name, path)
    for found in sorted(path.rglob("*")):
        if found.is_dir() and not any(found.iterdir()):
            # As git does.
            found.rmdir()
    left = [found for found in path.rglob("*") if found.name.endswith(("-wal", "-shm"))]
    assert not left, left


@contextlib.contextmanager
def opened(name, path, **options):
    settings = SETTINGS.get(name, {})
    if not name.endswith("index"):
        options = {"timer": lambda: entries.WRITTEN_AT} | options
    with open_store(name, path, **settings | options) as store:
        yield store


@contextlib.contextmanager
def small_files(store):
    """Have values of some hundred bytes go into files."""
    shards = store.stores.all()
    before = [each.inline_limit for each in shards]
    for each in shards:
        each.inline_limit = entries.SMALL
    yield
    for each, limit in zip(shards, before, strict=True):
        each.inline_limit = limit


def write_cache(name, path):
    with opened(name, path) as cache:
        for named, key in entries.KEYS.items():
            cache[key] = named
        for named, value in entries.VALUES.items():
            cache["value", named] = value
        with small_files(cache):
            for named, value in entries.FILES.items():
                cache["file", named] = value
        for named, (tag, value) in entries.TAGGED.items():
            cache.set(("tagged", named), value, tag=tag)
        cache.set("expires", "late", expire=entries.FAR)
        cache.set("expired", "early", expire=entries.SOON)
        cache.set("both", "late and tagged", expire=entries.FAR, tag="both")
        average = fastcache.Averager(cache, "average")
        average.add(1)
        average.add(2.5)
        cache.incr("count", 3)


def write_arrays(name, path):
    with opened(name, path) as cache:
        for named, value in entries.arrays().items():
            cache[named] = value
        with small_files(cache):
            for named, value in entries.array_files().items():
                cache["file", named] = value


def write_frames(name, path):
    with opened(name, path) as cache, small_files(cache):
        for named, value in entries.frames().items():
            cache[named] = value


def write_compressed(name, path):
    for library in ("zstd", "lz4", "blosc2"):
        with opened(name, path, compression=library) as cache:
            for named, value in entries.COMPRESSED.items():
                with small_files(cache) if named == "in a file" else contextlib.nullcontext():
                    cache[library, named] = value


def write_msgspec(name, path):
    with opened(name, path, type=entries.User) as cache, small_files(cache):
        for named, value in entries.USERS.items():
            cache[named] = value


def write_msgspec_arrays(name, path):
    with opened(name, path) as cache:
        for named, value in entries.arrays().items():
            if named in entries.IN_MESSAGEPACK:
                cache[named] = value


def write_memoized(name, path):
    with opened(name, path) as cache, small_files(cache):
        for call in calls.CALLS.values():
            call.perform(call.memoized(cache))
            assert calls.RAN
            calls.RAN.clear()


def write_index(name, path):
    with opened(name, path) as index:
        with small_files(index):
            index.update(entries.SPREAD if index.stores.count > 1 else entries.ITEMS)
        index.memoize(calls.add)(1)


def write_fanout_cache(name, path):
    with opened(name, path) as cache, small_files(cache):
        for place, (key, value) in enumerate(entries.SPREAD.items()):
            cache.set(key, value, tag=place % 2, expire=entries.FAR)
        cache.memoize(calls.add)(1)


def write_limited(name, path):
    with opened(name, path) as cache:
        for number in (*entries.USED, *entries.UNUSED):
            cache[number] = entries.PIECE
        for _ in range(3):
            for number in entries.USED:
                assert cache[number] == entries.PIECE


# What a process leaves behind that is killed: locks, files, trash, and a marker.


def write_killed(name, path):
    for _ in range(ATTEMPTS):
        subprocess.run([sys.executable, __file__, "be killed", name, str(path)], check=True, cwd=ROOT)
        with contextlib.closing(sqlite3.connect(path / "cache.db")) as database:
            (trash,) = database.execute("SELECT count(*) FROM trash").fetchone()
            (reserved,) = database.execute("SELECT count(*) FROM reserved").fetchone()
        # Closing has copied the WAL, and removed it; the same for the locks.
        sqlite3.connect(path / "locks" / "cache.db").execute("SELECT count(*) FROM entry").connection.close()
        if trash and not reserved:
            return
        shutil.rmtree(path)
    raise AssertionError("maintenance was faster each time")


def be_killed(name, path):
    change_log.capacity = 64
    with opened(name, path) as cache, small_files(cache):
        cache["kept"] = "kept " * 100
        cache["replaced"] = "before " * 100
        waiting = threading.Thread(target=fastcache.Lock(cache, "held").acquire, daemon=True)
        holders = [
            fastcache.Lock(cache, "held"),
            fastcache.Lock(cache, ("expires", 1), expire=1000),
            fastcache.RLock(cache, "again"),
            fastcache.RLock(cache, "again"),
            fastcache.BoundedSemaphore(cache, "slots", 3),
            fastcache.BoundedSemaphore(cache, "slots", 3),
        ]
        for holder in holders:
            holder.acquire()
        waiting.start()
        fastcache.throttle(cache, 10, 1000, name="requests")(calls.nothing)()
        time.sleep(0.2)

        @fastcache.barrier(cache, name="barrier")
        def end():
            cache["replaced"] = "after " * 100
            with cache.transact():
                cache["never"] = "never " * 100
                os._exit(0)

        end()


WRITERS = {
    "cache": write_cache,
    "arrays": write_arrays,
    "frames": write_frames,
    "compressed": write_compressed,
    "msgspec": write_msgspec,
    "msgspec-arrays": write_msgspec_arrays,
    "memoized": write_memoized,
    "index": write_index,
    "fanout-cache": write_fanout_cache,
    "fanout-index": write_index,
    "lru": write_limited,
    "lfu": write_limited,
    "killed": write_killed,
}

if __name__ == "__main__":
    if sys.argv[1:2] == ["be killed"]:
        be_killed(*sys.argv[2:])
    else:
        main(pathlib.Path(sys.argv[1]) if sys.argv[1:] else pathlib.Path(__file__).parent)
