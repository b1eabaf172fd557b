"""fastcache: a persistent cache and dict on SQLite's C API, for programs that hit it millions of times."""

# First, because it finds what is compiled.
from fastcache import _compiled as _compiled  # isort: split

from fastcache.cache import Cache
from fastcache.engine.sqlite.connection import sqlite_version
from fastcache.errors import (
    CacheError,
    CacheFullError,
    ClosedError,
    CorruptError,
    DecodeError,
    DirectoryGoneError,
    DirectoryNameError,
    EncodeError,
    FormatError,
    FullError,
    LimitWarning,
    LockError,
    NotACacheError,
    OpenError,
    ReadOnlyError,
    ReadOnlyWarning,
    StorageError,
    Timeout,
    TooLargeError,
    TransactionError,
    UntrustedValueError,
)
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.averager import Averager
    from fastcache.check.check import CheckResult
    from fastcache.deque import Deque
    from fastcache.engine.views import Stats
    from fastcache.fanout import FanoutCache, FanoutIndex
    from fastcache.index import Index
    from fastcache.serializers.messagepack import MsgspecSerializer, Serializer
    from fastcache.serializers.pickling import PickleSerializer
    from fastcache.sync.locks import BoundedSemaphore, Lock, RLock
    from fastcache.sync.throttle import barrier, throttle

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
    "Deque",
    "DirectoryGoneError",
    "DirectoryNameError",
    "EncodeError",
    "FanoutCache",
    "FanoutIndex",
    "FormatError",
    "FullError",
    "Index",
    "LimitWarning",
    "Lock",
    "LockError",
    "MsgspecSerializer",
    "NotACacheError",
    "OpenError",
    "PickleSerializer",
    "RLock",
    "ReadOnlyError",
    "ReadOnlyWarning",
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
    "Averager": "fastcache.averager",
    "BoundedSemaphore": "fastcache.sync.locks",
    "CheckResult": "fastcache.check.check",
    "Deque": "fastcache.deque",
    "FanoutCache": "fastcache.fanout",
    "FanoutIndex": "fastcache.fanout",
    "Index": "fastcache.index",
    "Lock": "fastcache.sync.locks",
    "MsgspecSerializer": "fastcache.serializers.messagepack",
    "PickleSerializer": "fastcache.serializers.pickling",
    "RLock": "fastcache.sync.locks",
    "Serializer": "fastcache.serializers.messagepack",
    "Stats": "fastcache.engine.views",
    "barrier": "fastcache.sync.throttle",
    "throttle": "fastcache.sync.throttle",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(load(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
