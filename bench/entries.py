"""The keys and values that every contender is given."""

import functools
import itertools
import os
import random

_serial = itertools.count()

KIB = 1024
NAMES = [f"entry-{number:06d}" for number in range(10_000)]
ABSENT = [f"absent-{number:06d}" for number in range(10_000)]
VALUE = random.Random(10).randbytes(256)


@functools.cache
def million_names() -> list[str]:
    """More entries than SQLite's page cache holds; made only for those who ask."""
    return [f"entry-{number:06d}" for number in range(1_000_000)]


def fresh_names(count: int) -> list[str]:
    """Names that no entry has yet."""
    serial = next(_serial)
    return [f"fresh-{serial:06d}-{number:06d}" for number in range(count)]


def fresh_value(size: int) -> bytes:
    """Unlike the round before and other processes, all along: SQLite writes no page that would not change."""
    return (os.urandom(16) * (size // 16 + 1))[:size]


def fresh_record() -> dict[str, object]:
    """A small dict unlike that of the round before, of the same size when pickled."""
    return {
        "id": 1000 + next(_serial),
        "name": "Ada Lovelace",
        "tags": ["a", "b"],
        "score": 0.5,
        "active": True,
    }
