"""fastcache: a persistent cache and dict on SQLite's C API, for programs that hit it millions of times."""

from fastcache.cache import Cache
from fastcache.check import CheckResult
from fastcache.engine.connection import sqlite_version
from fastcache.engine.errors import (
    CacheError,
    ClosedError,
    CorruptError,
    DecodeError,
    EncodeError,
    FormatError,
    FullError,
    NotACacheError,
    OpenError,
    StorageError,
    Timeout,
    TooLargeError,
    TransactionError,
)
from fastcache.engine.mapping import Stats
from fastcache.index import Index
from fastcache.serializers import MsgspecSerializer, PickleSerializer, Serializer

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "CacheError",
    "CheckResult",
    "ClosedError",
    "CorruptError",
    "DecodeError",
    "EncodeError",
    "FormatError",
    "FullError",
    "Index",
    "MsgspecSerializer",
    "NotACacheError",
    "OpenError",
    "PickleSerializer",
    "Serializer",
    "Stats",
    "StorageError",
    "Timeout",
    "TooLargeError",
    "TransactionError",
    "__version__",
    "sqlite_version",
]
