"""Arrays in every cache, by the best way that each has for them, and in files without any cache.

There are two ways to compare. "Described": whoever asks for an array need not know anything of it, since its dtype and
shape are stored with it, as fastcache does. "Bare": the caller knows both, and the peers are given the bytes alone,
which costs them less than anything that they document for arrays. fastcache takes the array as it is both times.

What was chosen, and why, of what was measured on arrays of 100 KB to 100 MB:

- sciqlop-cache, described: PickleOOBSerializer, which its documentation names for big arrays, with compress=False:
  fastcache does not compress either, and noise does not shrink. Its PickleSerializer copies the array once more each
  way; its MsgspecSerializer several times.
- sciqlop-cache, bare: a serializer of our own, whose buffer the cache writes as it is, and whose loads lays an array
  over the map of the file that the cache hands out.
- diskcache, described: pickle, as it comes; it has no other way.
- diskcache, bare: set(read=True) from a reader that hands out views, and get(read=True) with numpy.memmap over the
  file: no copy in either direction. get() of bytes with numpy.frombuffer reads the whole file.
- diskcache_rs: its ``Cache`` as it comes, but with room for all that is stored; it has no buffers, and get(read=True)
  wraps a copy. Bare: bytes, with numpy.frombuffer.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

import numpy as np
from contenders import DISKCACHE, DISKCACHE_RS, FASTCACHE, FILE, NO_MEMORY, ONE_THREAD, SCIQLOP_CACHE, Contender

# The table's rows store no more than this.
ROOM = 1 << 34


class Arrays:
    """A cache of one-dimensional float64 arrays."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def set(self, key: str, array: Any) -> None:
        self.cache.set(key, array)

    def get(self, key: str) -> Any:
        """The array, which may be read-only."""
        return self.cache.get(key)

    def copy(self, key: str) -> Any:
        """The array in memory of its own."""
        return self.get(key)

    def close(self) -> None:
        self.cache.close()


class FastcacheArrays(Arrays):
    def copy(self, key: str) -> Any:
        return self.cache.get(key).copy()


class FileArrays(Arrays):
    """Bytes in a file of its own: written under another name, and renamed. What it takes the place of is removed.

    Under a name that was not there before: a file system that sees a rename replace a file may begin to write the new
    one to the disk at once (ext4 does, and waits for it), which no cache asks for.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.paths: dict[str, str] = {}
        self.serial = count()

    def set(self, key: str, array: Any) -> None:
        temporary = os.path.join(self.directory, "temporary")
        path = os.path.join(self.directory, str(next(self.serial)))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        view = memoryview(array).cast("B")
        while view:
            view = view[os.write(fd, view) :]
        os.close(fd)
        os.rename(temporary, path)
        if key in self.paths:
            os.unlink(self.paths[key])
        self.paths[key] = path

    def get(self, key: str) -> Any:
        return np.memmap(self.paths[key], np.float64, "r")

    def close(self) -> None:
        self.paths.clear()


class BareSciqlopArrays(Arrays):
    def copy(self, key: str) -> Any:
        return self.get(key).copy()


class BareSerializer:
    """Of sciqlop-cache: the buffer itself, and an array over what the cache hands out."""

    name = "bare-float64"

    def dumps(self, array: Any) -> bytes:
        return bytes(array.tobytes())

    def dumps_chunks(self, array: Any) -> list[Any]:
        return [memoryview(array).cast("B")]

    def loads(self, data: Any) -> Any:
        return np.frombuffer(data)


class Reader:
    """What diskcache reads a value from: pieces of an array, not copied."""

    def __init__(self, array: Any) -> None:
        self.rest = memoryview(array).cast("B")

    def read(self, size: int) -> Any:
        piece, self.rest = self.rest[:size], self.rest[size:]
        return piece


class BareDiskcacheArrays(Arrays):
    def set(self, key: str, array: Any) -> None:
        self.cache.set(key, Reader(array), read=True)

    def get(self, key: str) -> Any:
        with self.cache.get(key, read=True) as file:
            return np.memmap(file, np.float64, "r")

    def copy(self, key: str) -> Any:
        with self.cache.get(key, read=True) as file:
            return np.fromfile(file)


class BareDiskcacheRsArrays(Arrays):
    def set(self, key: str, array: Any) -> None:
        self.cache.set(key, array.tobytes())

    def get(self, key: str) -> Any:
        return np.frombuffer(self.cache.get(key))

    def copy(self, key: str) -> Any:
        return self.get(key).copy()


def open_fastcache(directory: str) -> Arrays:
    import fastcache

    return FastcacheArrays(fastcache.Cache(directory))


def open_fastcache_without_memory(directory: str) -> Arrays:
    import fastcache

    return FastcacheArrays(fastcache.Cache(directory, memory=0))


def open_sciqlop_cache(directory: str) -> Arrays:
    import pysciqlop_cache

    serializer = pysciqlop_cache.PickleOOBSerializer(compress=False)
    return Arrays(pysciqlop_cache.Cache(directory, serializer=serializer))


def open_bare_sciqlop_cache(directory: str) -> Arrays:
    import pysciqlop_cache

    return BareSciqlopArrays(pysciqlop_cache.Cache(directory, serializer=BareSerializer()))


def open_diskcache(directory: str) -> Arrays:
    import diskcache

    return Arrays(diskcache.Cache(directory, size_limit=ROOM))


def open_bare_diskcache(directory: str) -> Arrays:
    import diskcache

    return BareDiskcacheArrays(diskcache.Cache(directory, size_limit=ROOM))


def open_diskcache_rs(directory: str) -> Arrays:
    import diskcache_rs

    return Arrays(diskcache_rs.Cache(directory, size_limit=ROOM))


def open_bare_diskcache_rs(directory: str) -> Arrays:
    import diskcache_rs

    return BareDiskcacheRsArrays(diskcache_rs.Cache(directory, size_limit=ROOM))


DESCRIBED = {
    FASTCACHE: open_fastcache,
    NO_MEMORY: open_fastcache_without_memory,
    ONE_THREAD: open_fastcache_without_memory,
    FILE: FileArrays,
    SCIQLOP_CACHE: open_sciqlop_cache,
    DISKCACHE: open_diskcache,
    DISKCACHE_RS: open_diskcache_rs,
}
BARE = {
    **DESCRIBED,
    SCIQLOP_CACHE: open_bare_sciqlop_cache,
    DISKCACHE: open_bare_diskcache,
    DISKCACHE_RS: open_bare_diskcache_rs,
}


def open_arrays(contender: Contender, directory: str, *, bare: bool) -> Arrays:
    """The contender's arrays in a fresh directory; ``bare`` says whether the peers are told dtype and shape."""
    return (BARE if bare else DESCRIBED)[contender](directory)
