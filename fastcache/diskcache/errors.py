"""The exceptions and warnings of diskcache's users, and how ours become those of the module sqlite3 that they catch."""

from __future__ import annotations

from fastcache import errors

__all__ = ["EmptyDirWarning", "RawSQLError", "Timeout", "UnknownFileWarning"]

Timeout = errors.Timeout


class UnknownFileWarning(UserWarning):
    """A file in the directory belongs to no entry (of ``Cache.check``)."""


class EmptyDirWarning(UserWarning):
    """A folder in the directory is empty (of ``Cache.check``)."""


class RawSQLError(errors.CacheError, NotImplementedError):
    """SQL on diskcache's own tables was asked for, which are not those of fastcache."""


def _derive_from_sqlite3() -> None:
    """From now on, our errors can be caught as those of sqlite3, too, as whoever uses diskcache does."""
    try:
        import sqlite3
    except ImportError:
        # Nobody can catch them by a name that there is not.
        return
    kinds: dict[type[Exception], tuple[type[Exception], ...]] = {
        sqlite3.OperationalError: (errors.StorageError, errors.FullError, errors.OpenError, errors.ReadOnlyError),
        sqlite3.DatabaseError: (errors.CorruptError,),
        sqlite3.DataError: (errors.TooLargeError,),
    }
    for theirs, ours in kinds.items():
        for kind in ours:
            if not issubclass(kind, theirs):
                kind.__bases__ += (theirs,)


_derive_from_sqlite3()
