"""The exceptions of fastcache: ``CacheError`` and its kinds.

Each kind also derives from the built-in exception that Python's customs would lead one to catch. The
message names the thing, what was wrong with it and what to do; the library's raw message is the cause
(``__cause__``). No message contains a key or a value.
"""

__all__ = [
    "CacheError",
    "CacheFullError",
    "ClosedError",
    "CorruptError",
    "DecodeError",
    "EncodeError",
    "FormatError",
    "FullError",
    "LockError",
    "NotACacheError",
    "OpenError",
    "SQLiteError",
    "StorageError",
    "Timeout",
    "TooLargeError",
    "TransactionError",
    "UntrustedValueError",
]


class CacheError(Exception):
    """Anything that goes wrong in a cache."""


class Timeout(CacheError, TimeoutError):
    """The write lock was not free within ``timeout`` seconds; nothing was written."""


class ClosedError(CacheError, ValueError):
    """The cache was closed before it was used."""


class OpenError(CacheError, OSError):
    """The directory cannot be opened as a cache."""


class NotACacheError(OpenError):
    """The file in the cache's place is no database, or another program's database."""


class FormatError(OpenError):
    """The cache was made with another format, serializer or shard count than asked for."""


class CorruptError(CacheError):
    """The database is damaged; ``check(fix=True)`` keeps what can be read."""


class FullError(CacheError, OSError):
    """The disk is full; the operation left nothing behind."""


class CacheFullError(CacheError):
    """The cache has reached its ``max_size``, and may evict nothing; nothing was stored."""


class StorageError(CacheError, OSError):
    """The file system or SQLite reported an error that is none of the others."""


class TooLargeError(CacheError, ValueError):
    """The key or value is larger than SQLite can hold, or than the cache's ``max_size``; nothing was evicted for it."""


class TransactionError(CacheError, RuntimeError):
    """A transaction was used in a way, or ended in a way, that it cannot be."""


class LockError(CacheError, RuntimeError):
    """A lock was released or prolonged by a thread that has not acquired it, or has released it already."""


class EncodeError(CacheError, TypeError):
    """The serializer cannot store this object."""


class DecodeError(CacheError, ValueError):
    """What is stored cannot be decoded by this cache's serializer."""


class UntrustedValueError(CacheError, ValueError):
    """What is stored is no plain data and not signed with the secret of this process, and is not loaded."""


class SQLiteError(Exception):
    """SQLite's own message and extended result code, as the cause of one of ours."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} (SQLite result code {code})")
        self.code = code
