"""The exceptions of fastcache: ``CacheError`` and its kinds.

Each kind also derives from the built-in exception that Python's customs would lead one to catch. The
message names the thing, what was wrong with it and what to do; the library's raw message is the cause
(``__cause__``). No message contains a key or a value.
"""

import errno
import os

__all__ = [
    "CacheError",
    "CacheFullError",
    "ClosedError",
    "CorruptError",
    "DecodeError",
    "DirectoryGoneError",
    "DirectoryNameError",
    "EncodeError",
    "FormatError",
    "FullError",
    "LimitWarning",
    "LockError",
    "NotACacheError",
    "OpenError",
    "ReadOnlyError",
    "ReadOnlyWarning",
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
    """What was waited for (the write lock, a lock, a turn) was not to be had within ``timeout`` seconds."""


class ClosedError(CacheError, ValueError):
    """The cache was closed before it was used."""


class OpenError(CacheError, OSError):
    """The directory cannot be opened as a cache."""


class DirectoryNameError(OpenError, ValueError):
    """What was given as the directory is no name that one can have: it is empty, say."""


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


class DirectoryGoneError(StorageError):
    """The directory was removed, renamed or replaced while it was open; nothing was written."""


class ReadOnlyError(CacheError, PermissionError):
    """The cache is open for reading alone; nothing was written."""


class LimitWarning(UserWarning):
    """A ``max_size`` is smaller than what can be kept."""


class ReadOnlyWarning(UserWarning):
    """A cache was opened for reading alone, since it cannot be written to; or a result was not stored for that."""


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


# What people read, and catch, is fastcache.TooLargeError and so on.
for _error in (globals()[_name] for _name in __all__ if _name != "SQLiteError"):
    _error.__module__ = "fastcache"

_NO_ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_DESCRIPTORS = {errno.EMFILE, errno.ENFILE}


def system_error(number: int, doing: str, kind: type[CacheError] = StorageError) -> CacheError:
    """The exception for an error of the system's (an errno): what could not be done, why, and what to do."""
    why = os.strerror(number)
    if number in _NO_ROOM:
        return FullError(f"cannot {doing}: the disk is full ({why}); free some space, nothing was changed")
    if number in _NO_DESCRIPTORS:
        why += "; close some, or raise the limit (ulimit -n)"
    elif number in _NOT_ALLOWED:
        why += "; the directory and its files must be writable"
    return kind(f"cannot {doing}: {why}")


class SQLiteError(Exception):
    """SQLite's own message and extended result code, as the cause of one of ours."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(f"{message} (SQLite result code {code})")
        self.code = code
