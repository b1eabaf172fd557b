"""fastcache: a persistent cache and dict on SQLite's C API, for programs that hit it millions of times."""

from fastcache.cache import Cache
from fastcache.engine.connection import sqlite_version
from fastcache.engine.errors import (
    CacheError,
    CacheFullError,
    ClosedError,
    CorruptError,
    DecodeError,
    EncodeError,
    FormatError,
    FullError,
    LockError,
    NotACacheError,
    OpenError,
    StorageError,
    Timeout,
    TooLargeError,
    TransactionError,
    UntrustedValueError,
)
from fastcache.engine.lazy import load
from fastcache.engine.mapping import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.check import CheckResult
    from fastcache.fanout import FanoutCache, FanoutIndex
    from fastcache.index import Index
    from fastcache.locks import Averager, BoundedSemaphore, Lock, RLock, barrier, throttle
    from fastcache.pickling import PickleSerializer
    from fastcache.serializers import MsgspecSerializer, Serializer

__version__ = "0.1.0"

__all__ = [
    "Averager",
    "BoundedSemaphore",
    "Cache",
    "CacheError",
    "CacheFullError",
    "CheckResult",
    "ClosedError",
    "CorruptError",
    "DecodeError",
    "EncodeError",
    "FanoutCache",
    "FanoutIndex",
    "FormatError",
    "FullError",
    "Index",
    "Lock",
    "LockError",
    "MsgspecSerializer",
    "NotACacheError",
    "OpenError",
    "PickleSerializer",
    "RLock",
    "Serializer",
    "Stats",
    "StorageError",
    "Timeout",
    "TooLargeError",
    "TransactionError",
    "UntrustedValueError",
    "__version__",
    "barrier",
    "sqlite_version",
    "throttle",
]

# Loaded on first use: most programs use none of them, or one.
_LAZY = {
    "Averager": "fastcache.locks",
    "BoundedSemaphore": "fastcache.locks",
    "CheckResult": "fastcache.check",
    "FanoutCache": "fastcache.fanout",
    "FanoutIndex": "fastcache.fanout",
    "Index": "fastcache.index",
    "Lock": "fastcache.locks",
    "MsgspecSerializer": "fastcache.serializers",
    "PickleSerializer": "fastcache.pickling",
    "RLock": "fastcache.locks",
    "Serializer": "fastcache.serializers",
    "barrier": "fastcache.locks",
    "throttle": "fastcache.locks",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(load(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
