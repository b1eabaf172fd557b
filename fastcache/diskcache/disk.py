"""Disk and JSONDisk: how keys and values are stored, for those who want to store them in a way of their own.

A cache with Disk itself leaves keys and values to the engine, and asks it for nothing but `hash`. One with a subclass
that redefines a step asks it for each key and value (custom.py), and is slower.

What is pickled here is a pickle for everybody, so that a subclass can load it in a way of its own. What names anything
is signed, and its signature stands behind the pickle, where unpicklers do not look; Disk itself loads nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zlib
from pickle import Pickler
from pickle import dumps as pickled
from struct import pack
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.settings import MODE_BINARY, MODE_PICKLE, MODE_RAW, MODE_TEXT, UNKNOWN
from fastcache.engine.codecs.pickle_scan import SETS, examine
from fastcache.errors import StorageError
from fastcache.serializers.pickling import PickleSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Disk", "JSONDisk", "chunks", "dump_value", "is_custom", "pickled_key"]

_CHUNK = 4 << 20
_STEPS = ("put", "get", "store", "fetch", "filename", "remove")
# What fits into a column of SQLite.
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
# What stands behind the signature of a pickle, and its size with that.
_SIGNED = b" signed\x00"
_SIGNATURE_SIZE = 32

_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))


def pickled_key(serializer: PickleSerializer, key: Any) -> bytes:
    """The bytes of a key that SQLite has no type for: two are one key if these are the same."""
    if type(key) is tuple and _PLAIN.issuperset(map(type, key)):
        # Without a memo, which would tell whether equal parts are one object.
        out = io.BytesIO()
        pickler = Pickler(out, 5)
        pickler.fast = True
        pickler.dump(key)
        return out.getvalue()
    try:
        return serializer.dumps_key(key)
    except TypeError:
        # It holds a set, whose order is another one in each process. In this one, it is found again.
        return serializer.dumps(key)


def dump_value(serializer: PickleSerializer, value: Any, protocol: int) -> bytes:
    """The pickle of a value, and what signs it if need be."""
    payload = pickled(value, protocol)
    if serializer.unsafe or not examine(payload) & ~SETS:
        return payload
    return payload + serializer.trust.sign(b"", 0, payload) + _SIGNED


def load_value(serializer: PickleSerializer, stored: Any) -> Any:
    """The value of what ``dump_value`` has returned.

    Raises:
        UntrustedValueError: it is not plain, and not signed by one who has the secret.
    """
    if not stored.endswith(_SIGNED):
        return serializer.loads(stored)
    end = len(stored) - len(_SIGNED) - _SIGNATURE_SIZE
    payload = stored[:end]
    serializer.trust.verify(stored[end : -len(_SIGNED)], b"", 0, payload)
    return serializer.trust.unpack(payload, None, True, False)


def is_custom(kind: type[Disk]) -> bool:
    """Whether a Disk does anything in a way of its own."""
    return any(getattr(kind, step) is not getattr(Disk, step) for step in _STEPS)


def chunks(reader: Any) -> Iterator[bytes]:
    """What a file that is open for reading has, a piece at a time."""
    while chunk := reader.read(_CHUNK):
        yield chunk


class Disk:
    """Keys and values as SQLite and files hold them; to be derived from.

    Args:
        directory: where files go (str).
        min_file_size: a value of so many bytes and more goes into a file.
        pickle_protocol: that of values (int). Keys have a form that is the same in every Python.
    """

    def __init__(self, directory: str, min_file_size: int = 0, pickle_protocol: int = 0) -> None:
        self._directory = directory
        self.min_file_size = min_file_size
        self.pickle_protocol = pickle_protocol
        self._serializer = PickleSerializer()

    def hash(self, key: Any) -> int:
        """A number for a key (int), the same in every process: which shard it belongs to."""
        stored, _ = self.put(key)
        if isinstance(stored, int):
            return stored % 0xFFFFFFFF
        if isinstance(stored, str):
            stored = stored.encode("utf-8", "surrogatepass")
        elif isinstance(stored, float):
            if stored.is_integer() and _LEAST <= stored <= _MOST:
                # 1.0 is the key 1.
                return int(stored) % 0xFFFFFFFF
            stored = pack("!d", stored)
        return zlib.adler32(stored)

    def put(self, key: Any) -> tuple[Any, bool]:
        """A key as it is stored: (str, bytes, int or float; whether that is the key itself)."""
        kind = type(key)
        if kind is str or kind is bytes or kind is float or (kind is int and _LEAST <= key <= _MOST):
            return key, True
        return pickled_key(self._serializer, key), False

    def get(self, key: Any, raw: bool) -> Any:
        """The key of what ``put`` has returned."""
        if raw:
            return bytes(key) if isinstance(key, (bytearray, memoryview)) else key
        return self._serializer.loads(key)

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, str | None, Any]:
        """A value as it is stored; with ``read`` what a file, open for reading, has.

        Returns:
            Its size in bytes if it lies in a file, else 0; the mode, one of the MODE_ constants; the name of the file
            in the directory, or None; what is kept in the database, None for what is in a file.
        """
        kind = type(value)
        if kind is float or (kind is int and _LEAST <= value <= _MOST):
            return 0, MODE_RAW, None, value
        parts: Iterable[bytes]
        if kind is str or kind is bytes:
            if len(value) < self.min_file_size:
                return 0, MODE_RAW, None, value
            mode = MODE_TEXT if kind is str else MODE_BINARY
            parts = [value.encode("utf-8", "surrogatepass") if kind is str else value]
        elif read:
            mode, parts = MODE_BINARY, chunks(value)
        else:
            payload = dump_value(self._serializer, value, self.pickle_protocol)
            if len(payload) < self.min_file_size:
                return 0, MODE_PICKLE, None, payload
            mode, parts = MODE_PICKLE, [payload]
        size, name = self._write_new(key, value, parts)
        return size, mode, name, None

    def _write_new(self, key: Any, value: Any, parts: Iterable[bytes]) -> tuple[int, str]:
        name, path = self.filename(key, value)
        size = 0
        try:
            for tries in range(10):
                with contextlib.suppress(FileExistsError):
                    os.makedirs(os.path.dirname(path), 0o700)
                try:
                    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                    break
                except FileNotFoundError:
                    # Somebody who removes what is empty was there between.
                    if tries == 9:
                        raise
            with open(fd, "wb") as file:
                for part in parts:
                    file.write(part)
                    size += len(part)
        except FileExistsError as error:
            raise StorageError(f"cannot write a value file in {self._directory!r}: its name is taken") from error
        return size, name

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        """The value of what ``store`` has returned; with ``read``, what was stored as bytes in a file comes as that
        file."""
        if mode == MODE_RAW:
            return bytes(value) if isinstance(value, (bytearray, memoryview)) else value
        if filename is None:
            return load_value(self._serializer, bytes(value))
        path = os.path.join(self._directory, filename)
        if mode == MODE_BINARY and read:
            return open(path, "rb")
        with open(path, "rb") as file:
            content = file.read()
        if mode == MODE_TEXT:
            return content.decode("utf-8", "surrogatepass")
        return content if mode == MODE_BINARY else load_value(self._serializer, content)

    def filename(self, key: Any = UNKNOWN, value: Any = UNKNOWN) -> tuple[str, str]:
        """A name for a new file, with up to two folders, and its whole path (str, str); of a key and value if known."""
        digits = os.urandom(16).hex()
        name = os.path.join(digits[:2], digits[2:4], f"{digits[4:]}.val")
        return name, os.path.join(self._directory, name)

    def remove(self, file_path: str) -> None:
        """Remove a file of this name, and the folders that are empty then. It may be gone already."""
        path = os.path.join(self._directory, file_path)
        with contextlib.suppress(OSError):
            os.remove(path)
        folder = os.path.dirname(file_path)
        while folder:
            try:
                os.rmdir(os.path.join(self._directory, folder))
            except OSError:
                return
            folder = os.path.dirname(folder)


class JSONDisk(Disk):
    """Keys and values as JSON, compressed by zlib: both are what JSON makes of them.

    Args:
        directory, **options: as of Disk.
        compress_level: from 0 (not at all) to 9 (int).
    """

    def __init__(self, directory: str, compress_level: int = 1, **options: Any) -> None:
        self.compress_level = compress_level
        super().__init__(directory, **options)

    def put(self, key: Any) -> tuple[Any, bool]:
        """A key as it is stored."""
        return super().put(self._pack(key))

    def get(self, key: Any, raw: bool) -> Any:
        """The key of that."""
        return self._unpack(super().get(key, raw))

    def store(self, value: Any, read: bool, key: Any = UNKNOWN) -> tuple[int, int, str | None, Any]:
        """A value as it is stored."""
        return super().store(value if read else self._pack(value), read, key=key)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> Any:
        """The value of that."""
        content = super().fetch(mode, filename, value, read)
        return content if read else self._unpack(content)

    def _pack(self, thing: Any) -> bytes:
        return zlib.compress(json.dumps(thing).encode(), self.compress_level)

    @staticmethod
    def _unpack(packed: bytes) -> Any:
        return json.loads(zlib.decompress(packed))
