"""Directories of sciqlop-cache: its Cache, Index, FanoutCache and FanoutIndex.

Each directory has a database with one row for an entry, by its key, and files of larger values. It does not know in
which order they came: they come along in that of the keys as they are stored. What its serializers write, but for a
user's own, is read here: pickles, MessagePack (of which objects of classes stay where they are), and pickles with
arrays beside them.
"""

from __future__ import annotations

import base64
import os
import re
import struct
from typing import TYPE_CHECKING, Any

from fastcache import plain
from fastcache.errors import CacheError, DecodeError, FormatError, UntrustedValueError
from fastcache.importers.parts import Part, Parts, parts_of
from fastcache.importers.source import AT_ONCE, EXPIRED, Entry, Failure, Source, is_text_or_none, tables_of
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastcache.importers.pickles import Decoder
    from fastcache.importers.source import _Found

__all__ = ["detect", "open_source"]

_DATABASE = "sciqlop-cache.db"
_COLUMNS = {"key", "path", "value", "size"}

_FIRST_ROWS = "SELECT key, value, {expire}, {tag}, path FROM cache WHERE key <= ? ORDER BY key LIMIT ?"
_NEXT_ROWS = "SELECT key, value, {expire}, {tag}, path FROM cache WHERE key > ? AND key <= ? ORDER BY key LIMIT ?"
_ONE_ROW = "SELECT key, value, {expire}, {tag}, path FROM cache WHERE key = ?"
_COUNT = "SELECT count(*), max(key) FROM cache"
_META = "SELECT key, value FROM meta"
_DROP = "DELETE FROM cache WHERE key = ? AND value IS ? AND {expire} IS ? AND path IS ?"
_NAMED = "SELECT EXISTS (SELECT 1 FROM cache WHERE path = ?)"

# A pickle with buffers: this, their number and the size of the pickle; of each how it is compressed, and its sizes then
# and before; the pickle; and the buffers.
_MAGIC = b"\0SQCOOB1"
_HEAD = struct.Struct("<IQ")
_BUFFER = struct.Struct("<BQQ")
_AS_IT_IS, _BLOSC2 = 0, 1
# Bytes that may come of compressed ones: arrays of zeros become nothing.
_MOST_BYTES = 1 << 28
_MOST_OF_LZ4 = 255
_HEADER_OF_BLOSC2 = 32
_ARRAY, _OBJECT = 1, 2
_DTYPE = re.compile(r"[<>|=]?[A-Za-z]+[0-9]*(?:\[[0-9]*[A-Za-z]+\])?")


def detect(path: str) -> bool:
    """Whether a directory is one of sciqlop-cache's."""
    return bool(_directories(path))


def _directories(path: str) -> list[str]:
    return parts_of(path, _is_part, "{:02}".format)


def _is_part(path: str) -> bool:
    tables = tables_of(os.path.join(path, _DATABASE))
    return "meta" in tables and {name for name, _ in tables.get("cache", ())} >= _COLUMNS


def open_source(path: str, decoder: Decoder) -> Source:
    """The caches in a directory that was detected.

    Raises:
        FormatError: its serializer is a user's own.
    """
    return _Directory(path, _directories(path), lambda directory, name: _Part(directory, name, decoder))


class _Directory(Parts):
    kind = "sciqlop-cache"

    def entries(self, now: float) -> Iterator[_Found]:
        for part in self.parts:
            yield from part.entries(now)


class _Part(Part):
    count_all, count_named = _COUNT, _NAMED

    def __init__(self, directory: str, name: str, decoder: Decoder) -> None:
        super().__init__(directory, name, _DATABASE)
        self._pickles = decoder
        try:
            meta = dict(self.ask(_META))
            self._decode = self._decoder_of(meta.get("serializer"))
        except BaseException:
            self.close()
            raise
        self._keys_are_encoded = "encoded_keys" in meta
        columns = {column for column, _ in tables_of(os.path.join(directory, _DATABASE))["cache"]}
        # An index has neither.
        self._optional = {each: each if each in columns else "NULL" for each in ("expire", "tag")}
        self.delete_one = self._statement(_DROP)

    def _statement(self, text: str) -> str:
        return text.format(**self._optional)

    def _decoder_of(self, name: Any) -> Callable[[bytes], Any]:
        decoders = {None: self._from_pickle, "pickle": self._from_pickle, "pickle-oob": self._from_pickle}
        found = (decoders | {"msgspec": _from_messagepack}).get(name)
        if found is None:
            raise FormatError(f"{self.directory!r} was written by another serializer than sciqlop-cache's own")
        return found

    def place_of(self, token: Any) -> str:
        return self.place(f"entry {token[0]} in the order of keys")

    def parameters_of(self, token: Any) -> Any:
        return token[1:]

    def entries(self, now: float) -> Iterator[_Found]:
        """All entries."""
        for number, row in enumerate(self._rows()):
            found: _Found | None
            try:
                found = self._read(number, row, now)
            except FileNotFoundError:
                found = Failure(self.place_of((number,)), "the file of its value is missing")
            except CacheError as error:
                found = Failure(self.place_of((number,)), f"{type(error).__name__}: {error}")
            if found is not None:
                yield found

    def _rows(self) -> Iterator[Any]:
        last = self.ask(_COUNT)[0][1]
        rows = self.ask(self._statement(_FIRST_ROWS), last, AT_ONCE)
        while rows:
            yield from rows
            at = rows[-1][0]
            if not is_text_or_none(at):
                raise FormatError(f"{self.directory!r} has a key that is not UTF-8")
            rows = self.ask(self._statement(_NEXT_ROWS), at, last, AT_ONCE)

    def _read(self, number: int, row: Any, now: float) -> _Found | None:
        """The entry of a row; None if it is gone by now."""
        while True:
            try:
                return self._entry(number, row, now)
            except FileNotFoundError:
                again = self.ask(self._statement(_ONE_ROW), row[0])
                if not again:
                    return None
                if again[0] == row:
                    raise
                row = again[0]

    def _entry(self, number: int, row: Any, now: float) -> _Found:
        key, value, expire, tag, path = row
        if expire is not None and type(expire) not in (int, float):
            raise DecodeError("its expiry is no time")
        if expire is not None and expire <= now:
            return EXPIRED
        if type(key) is not str or not is_text_or_none(tag):
            raise DecodeError("it has a text that is not UTF-8")
        token = (self, number, key, value, expire, path)
        if path:
            value = self.files.read(path)
        if type(value) is not bytes:
            raise DecodeError("it has no value")
        if self._keys_are_encoded and key.startswith("\0"):
            key = self._key(key[1:2], key[2:])
        return Entry(key, self._decode(value), expire, tag, len(value), token)

    def _key(self, kind: str, text: str) -> Any:
        try:
            if kind == "i":
                return int(text)
            if kind == "f":
                return float(text)
            if kind == "b":
                return text.encode("latin-1")
            if kind == "p":
                return self._pickles.loads(base64.b64decode(text, validate=True))
        except ValueError as error:
            if isinstance(error, CacheError):
                raise
            raise DecodeError("its key is damaged") from error
        raise DecodeError("its key is of a kind that is not known")

    def _from_pickle(self, data: bytes) -> Any:
        if not data.startswith(_MAGIC):
            return self._pickles.loads(data)
        try:
            count, size = _HEAD.unpack_from(data, len(_MAGIC))
            begin = len(_MAGIC) + _HEAD.size
            end = begin + count * _BUFFER.size
            sizes = list(_BUFFER.iter_unpack(data[begin:end]))
        except struct.error as error:
            raise DecodeError("it is cut off") from error
        if len(sizes) != count or sum(each[2] for each in sizes) > _MOST_BYTES + _MOST_OF_LZ4 * len(data):
            raise DecodeError("its parts have other sizes than it states")
        at = end + size
        buffers = []
        for codec, stored, whole in sizes:
            buffers.append(_decompress(codec, data[at : at + stored], stored, whole))
            at += stored
        return self._pickles.loads(data[end : end + size], buffers)


def _decompress(codec: int, chunk: bytes, stored: int, size: int) -> bytes:
    if len(chunk) != stored:
        raise DecodeError("it is cut off")
    if codec == _AS_IT_IS and stored == size:
        return chunk
    if codec != _BLOSC2 or not _is_harmless(chunk, size):
        raise DecodeError("a part of it is compressed in a way that is not known")
    try:
        whole: bytes = load("blosc2").decompress2(chunk, nthreads=1)
    except ImportError as error:
        raise DecodeError(
            "a library is needed to read it that is not installed: pip install fastcache[blosc2]"
        ) from error
    except Exception as error:
        raise DecodeError("a part of it cannot be decompressed") from error
    if len(whole) != size:
        raise DecodeError("a part of it has another size than it states")
    return whole


def _is_harmless(chunk: bytes, size: int) -> bool:
    """Whether a chunk of blosc2's asks for LZ4 alone, since others can name plugins; see compression.py."""
    if len(chunk) < _HEADER_OF_BLOSC2 or [int.from_bytes(chunk[at : at + 4], "little") for at in (4, 12)] != [
        size,
        len(chunk),
    ]:
        return False
    flags, filters, codec, rest = chunk[2], chunk[16:22], chunk[22], chunk[23:32]
    # The last byte says that it is a run of zeros.
    return (
        flags & ~0x12 == 0x25
        and filters in (b"\0\0\0\0\0\0", b"\0\0\0\0\0\1", b"\1\0\0\0\0\0")
        and codec in (0, 1)
        and not any(rest[:-1])
        and rest[-1] in (0, 0x10)
    )


def _from_messagepack(data: bytes) -> Any:
    try:
        return load("msgspec").msgpack.decode(data, ext_hook=_extension)
    except CacheError:
        raise
    except Exception as error:
        raise DecodeError(f"it is no MessagePack of plain data ({type(error).__name__})") from error


def _extension(code: int, data: memoryview) -> Any:
    if code == _OBJECT:
        raise UntrustedValueError("it is an object of a class, which MessagePack of sciqlop-cache's names")
    if code != _ARRAY:
        raise DecodeError("it is of a kind that is not known")
    end = 4 + int.from_bytes(data[:4], "little")
    head = load("msgspec").msgpack.decode(bytes(data[4:end]))
    name = head["dtype"]
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise DecodeError("an array is of a type that is not known")
    described = plain._describe(load("numpy").dtype(name))
    return plain.build_writable_array(bytes(data[end:]), described, head["shape"], head.get("order", "C"))
