"""The Python face of floor.c: compile it, open a directory that fastcache made, and call its loops."""

from __future__ import annotations

import atexit
import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loops import Loops, WrongAnswerError

STATEMENTS = ("begin", "commit", "get", "exists", "set", "add", "delete", "incr", "scan_keys", "count")
SCAN_BATCH = 256
COMPILED = "FASTCACHE_BENCH_FLOOR"


class FloorError(Exception):
    """SQLite, or a check of the floor's own, reported a failure."""


class FloorSQL(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in STATEMENTS]


class FloorKeys(ctypes.Structure):
    _fields_ = [
        ("texts", ctypes.POINTER(ctypes.c_char_p)),
        ("sizes", ctypes.POINTER(ctypes.c_int)),
        ("count", ctypes.c_int),
    ]


def obstacle() -> str | None:
    """Why there is no floor here; None if there is."""
    try:
        library()
    except (OSError, subprocess.CalledProcessError) as error:
        reason = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        return f"floor cannot be compiled, it needs a C compiler (cc) and SQLite's header: {reason}"
    return None


@functools.cache
def library() -> ctypes.CDLL:
    """The compiled loops; child processes find them through the environment."""
    if COMPILED not in os.environ:
        os.environ[COMPILED] = compiled()
    loaded = ctypes.CDLL(os.environ[COMPILED])
    loaded.floor_message.restype = ctypes.c_char_p
    return loaded


def compiled() -> str:
    folder = tempfile.mkdtemp(prefix="fastcache-floor-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    binary = os.path.join(folder, "floor.so")
    source = str(Path(__file__).with_name("floor.c"))
    command = ["cc", "-O2", "-shared", "-fPIC", source, "-lsqlite3", "-o", binary]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return binary


class Floor(Loops):
    def __init__(self, directory: str) -> None:
        from fastcache.engine.sqlite import sql

        self.library = library()
        self.handle = ctypes.c_void_p()
        self.statements = FloorSQL(*(getattr(sql, name.upper()).encode() for name in STATEMENTS))
        self.check(
            self.library.floor_open(
                os.fsencode(os.path.join(directory, "cache.db")),
                ";".join(sql.PRAGMAS).encode(),
                ctypes.byref(self.statements),
                ctypes.byref(self.handle),
            )
        )

    def check(self, code: int) -> None:
        if code != 0:
            message = self.library.floor_message(self.handle) if self.handle else b"out of memory"
            raise FloorError(f"{message.decode()} (code {code})")

    def close(self) -> None:
        self.check(self.library.floor_close(self.handle))

    def keys(self, names: Sequence[str]) -> Any:
        encoded = [name.encode() for name in names]
        texts = (ctypes.c_char_p * len(encoded))(*encoded)
        sizes = (ctypes.c_int * len(encoded))(*map(len, encoded))
        return FloorKeys(texts, sizes, len(encoded))

    def fill(self, names: Sequence[str], value: bytes) -> None:
        self.set_in_transact(self.keys(names), value)

    def recycle(self) -> None:
        self.check(self.library.floor_recycle(self.handle))

    def begin(self) -> None:
        self.check(self.library.floor_begin(self.handle))

    def commit(self) -> None:
        self.check(self.library.floor_commit(self.handle))

    def holds(self, name: str, value: object) -> bool:
        return self.get_many(self.keys([name])) == (value is not None)

    def get(self, keys: FloorKeys) -> None:
        self.get_many(keys)

    def get_many(self, keys: FloorKeys) -> int:
        found = ctypes.c_int()
        self.check(self.library.floor_get(self.handle, ctypes.byref(keys), ctypes.byref(found)))
        return found.value

    def get_in_transact(self, keys: FloorKeys) -> None:
        self.begin()
        self.get(keys)
        self.commit()

    def contains(self, keys: FloorKeys) -> None:
        found = ctypes.c_int()
        self.check(self.library.floor_contains(self.handle, ctypes.byref(keys), ctypes.byref(found)))
        if found.value != keys.count:
            raise WrongAnswerError(f"{found.value} of {keys.count} keys found")

    def set(self, keys: FloorKeys, value: bytes) -> None:
        self.check(self.library.floor_set(self.handle, ctypes.byref(keys), value, len(value)))

    def set_in_transact(self, keys: FloorKeys, value: bytes) -> None:
        self.begin()
        self.set(keys, value)
        self.commit()

    def add(self, keys: FloorKeys, value: bytes) -> None:
        self.check(self.library.floor_add(self.handle, ctypes.byref(keys), value, len(value)))

    def delete(self, keys: FloorKeys) -> None:
        self.check(self.library.floor_delete(self.handle, ctypes.byref(keys)))

    def incr(self, keys: FloorKeys) -> None:
        self.check(self.library.floor_incr(self.handle, ctypes.byref(keys)))

    def iterate(self) -> int:
        found = ctypes.c_int()
        self.check(self.library.floor_iterate(self.handle, SCAN_BATCH, ctypes.byref(found)))
        return found.value

    def count(self, times: int) -> int:
        found = ctypes.c_int()
        self.check(self.library.floor_count(self.handle, times, ctypes.byref(found)))
        return found.value

    def mixed(self, keys: FloorKeys, value: bytes, period: int) -> None:
        self.check(self.library.floor_mixed(self.handle, ctypes.byref(keys), value, len(value), period))


class FloorInSnapshot(Floor):
    """Each loop of reads takes one snapshot and keeps it: the floor of what reads while nobody writes."""

    def get_many(self, keys: FloorKeys) -> int:
        self.check(self.library.floor_begin_read(self.handle))
        found = super().get_many(keys)
        self.commit()
        return found

    def contains(self, keys: FloorKeys) -> None:
        self.check(self.library.floor_begin_read(self.handle))
        super().contains(keys)
        self.commit()
