"""Public cache traces, read request by request: a list of keys, or the two formats that most block traces have."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import TextIO

# So many lines are looked at to tell the format.
LOOKED_AT = 100


class TraceError(ValueError):
    """A line that is not of the trace's format."""


def keys_of(lines: Iterable[str]) -> Iterator[str]:
    """Each line is a key. Empty ones are skipped."""
    for line in lines:
        key = line.strip()
        if key:
            yield key


def arc_keys(lines: Iterable[str]) -> Iterator[str]:
    """Four integers to a line: the first block, how many blocks, something else, and the number of the request."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = integers(line)
        if len(fields) != 4 or fields[1] < 0:
            raise TraceError(f"line {number} is {line.strip()!r}, not first block, number of blocks, flags, request")
        start, blocks = fields[:2]
        yield from map(str, range(start, start + blocks))


def lirs_keys(lines: Iterable[str]) -> Iterator[str]:
    """Each line is the number of a block. What has a * in it is skipped."""
    for number, line in enumerate(lines, 1):
        if not line.strip() or "*" in line:
            continue
        fields = integers(line)
        if len(fields) != 1:
            raise TraceError(f"line {number} is {line.strip()!r}, not the number of a block")
        yield str(fields[0])


def integers(line: str) -> list[int]:
    """What the line consists of; nothing if anything in it is no integer."""
    try:
        return [int(field) for field in line.split()]
    except ValueError:
        return []


FORMATS: dict[str, Callable[[Iterable[str]], Iterator[str]]] = {"keys": keys_of, "arc": arc_keys, "lirs": lirs_keys}


def guess(lines: Sequence[str]) -> str:
    """The format of a trace that begins with these lines. A list of integers is read alike as keys and as LIRS."""
    telling = [len(integers(line)) for line in lines if line.strip() and "*" not in line]
    for name, fields in (("arc", 4), ("lirs", 1)):
        if telling and all(found == fields for found in telling):
            return name
    return "keys"


def requests_of(lines: Iterable[str], format_name: str | None = None) -> Iterator[str]:
    """The keys as they are requested. Of the lines no more than the first few are held at a time."""
    lines = iter(lines)
    first = list(islice(lines, LOOKED_AT))
    # One object for all requests of a key.
    return map(sys.intern, FORMATS[format_name or guess(first)](chain(first, lines)))


@contextmanager
def opened(name: str) -> Iterator[TextIO]:
    """The file as text, unpacked if its name ends in .gz; - is the standard input.

    What is not UTF-8 is written as escapes: different keys stay different, and every cache takes them.
    """
    if name == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="backslashreplace")
    elif name.endswith(".gz"):
        with gzip.open(name, "rt", encoding="utf-8", errors="backslashreplace") as file:
            yield file
    else:
        with open(name, encoding="utf-8", errors="backslashreplace") as file:
            yield file


def read(name: str, format_name: str | None = None, limit: int | None = None) -> list[str]:
    """The first ``limit`` requests of the file, or all."""
    with opened(name) as lines:
        try:
            return list(islice(requests_of(lines, format_name), limit))
        except TraceError as error:
            raise TraceError(f"{name}: {error}; --format may help") from error
