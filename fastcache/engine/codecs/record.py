"""A record: an entry by itself, as a tuple of its row's columns, and as bytes.

As bytes, with all numbers little-endian:

    version     1 byte
    kinds       7 bytes, one for each column, as SQLite numbers them
    columns     integer, float: 8 bytes; blob, text: length in 8 bytes, and the bytes (of text: UTF-8, lone surrogates
                let through); NULL: nothing
    checksum    4 bytes, the CRC-32 of all that is before

Kinds and lengths say where a record ends. So a part of one is none, nor is one with something after it, whatever the
checksum says: it is there for what was damaged, and no protection from who makes one up.

A value in a file is not in the record of its entry, which has the file's name alone.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple, TypeAlias

from fastcache.errors import DecodeError, EncodeError

__all__ = ["VERSION", "Cell", "Record", "pack", "unpack"]

VERSION = 1
"""The version of the bytes; one that has been used never means anything else."""

Cell: TypeAlias = int | float | str | bytes | None
"""What SQLite has in one column of one row."""


class Record(NamedTuple):
    """An entry, in the order of its row's columns: what INSERT (``engine/sqlite/sql.py``) takes as parameters.

    Attributes:
        key: as it is stored.
        codec: how the value is stored; see ``values.pyx``.
        size: of the value, in bytes.
        expire: when, in milliseconds since the epoch; None for never.
        tag: as it is stored.
        file: the name of the value's file; None if the value is in the row.
        stored: the value as it is in the row.
    """

    key: int | float | str | bytes
    codec: int
    size: int
    expire: int | None
    tag: Cell
    file: str | None
    stored: Cell


_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL = range(1, 6)

# The kinds that each column may hold.
_KINDS = (
    {_INTEGER, _FLOAT, _TEXT, _BLOB},
    {_INTEGER},
    {_INTEGER},
    {_INTEGER, _NULL},
    {_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL},
    {_TEXT, _NULL},
    {_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL},
)

_HEADER = struct.Struct(f"<B{len(_KINDS)}s")
_NUMBERS = {_INTEGER: struct.Struct("<q"), _FLOAT: struct.Struct("<d")}
_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")


def pack(record: Record) -> bytes:
    """A record as bytes.

    Raises:
        EncodeError: a column has what no row holds there.
    """
    kinds = bytes(map(_kind_of, record))
    parts = [_HEADER.pack(VERSION, kinds)]
    for name, value, kind, allowed in zip(Record._fields, record, kinds, _KINDS, strict=True):
        if kind not in allowed:
            raise EncodeError(f"the {name} of a record cannot be of type {type(value).__name__}")
        if isinstance(value, (str, bytes)):
            content = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            parts += _LENGTH.pack(len(content)), content
        elif value is not None:
            try:
                parts.append(_NUMBERS[kind].pack(value))
            except struct.error:
                raise EncodeError(f"the {name} of a record has more than 64 bits") from None
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    parts.append(_CHECKSUM.pack(checksum))
    return b"".join(parts)


def unpack(data: bytes) -> Record:
    """The record that was packed.

    Raises:
        DecodeError: the bytes are not one whole record of this version, or were changed.
    """
    if data and data[0] != VERSION:
        raise DecodeError(f"a record has version {data[0]}, and this program reads {VERSION}")
    if len(data) < _HEADER.size + _CHECKSUM.size:
        raise DecodeError("a record is shorter than it states")
    body = memoryview(data)[: -_CHECKSUM.size]
    (checksum,) = _CHECKSUM.unpack_from(data, len(body))
    if zlib.crc32(body) != checksum:
        raise DecodeError("a record is damaged: its checksum is wrong")
    _, kinds = _HEADER.unpack_from(body)
    values = []
    rest = body[_HEADER.size :]
    for name, kind, allowed in zip(Record._fields, kinds, _KINDS, strict=True):
        if kind not in allowed:
            raise DecodeError(f"the {name} of a record is of a kind that it cannot be of ({kind})")
        value, rest = _first(rest, kind)
        values.append(value)
    if rest:
        raise DecodeError("a record is longer than it states")
    return Record._make(values)


def _kind_of(value: Cell) -> int:
    """The kind of a value; 0 if SQLite has none of its type."""
    if value is None:
        return _NULL
    for kind, accepted in ((_INTEGER, int), (_FLOAT, float), (_TEXT, str), (_BLOB, bytes)):
        if isinstance(value, accepted):
            return kind
    return 0


def _first(rest: memoryview, kind: int) -> tuple[Cell, memoryview]:
    """The value of that kind with which the bytes begin, and what comes after it."""
    if kind == _NULL:
        return None, rest
    form = _NUMBERS.get(kind, _LENGTH)
    content, rest = _split(rest, form.size)
    (number,) = form.unpack(content)
    if form is not _LENGTH:
        return number, rest
    content, rest = _split(rest, number)
    if kind == _BLOB:
        return bytes(content), rest
    try:
        return str(content, "utf-8", "surrogatepass"), rest
    except UnicodeDecodeError:
        raise DecodeError("a record has text that is not UTF-8") from None


def _split(rest: memoryview, size: int) -> tuple[memoryview, memoryview]:
    if size > len(rest):
        raise DecodeError("a record is shorter than it states")
    return rest[:size], rest[size:]
