"""How a database is read where nothing can be written, and why nothing can be.

SQLite itself wants to write in order to read: a WAL, and the index of it that all processes share. What lies there decides
on the way to do without:

- *live*: both are there, since another account has the database open, or they were copied with it. SQLite reads them, and
  takes part in the locks of the others. What they write is seen as usual.
- *alone*: there is a WAL, and no index: the directory was copied while it was in use, or those who used it were killed and the
  rest removed. SQLite makes an index in its own memory.
- *still*: there is no WAL. Nobody has it open, and all is in the database file. SQLite reads it without any lock.
- *fixed*: the same on a file system that nobody can write to (squashfs, an image that is mounted read-only): what was read
  once stays true, so that it may stay in memory.

In *alone* and *still*, whoever may write can begin to do so at any time. That is noticed after each step (sqlite/stamp.pxd),
and then it is opened anew, in whatever way is right by then.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from fastcache.errors import NotACacheError, OpenError, ReadOnlyWarning, system_error
from fastcache.runtime.imports import load

__all__ = ["NOTHING", "choose_way", "lacking", "tell"]

NOTHING = "nothing"
"""The way to read a shard that was never written to: an empty database in memory."""

_MOUNTS = "/proc/self/mountinfo"


def choose_way(path: str) -> str:
    """How to read this database file: "live", "alone", "still" or "fixed".

    Raises:
        OpenError: there is none, or it cannot be read.
    """
    try:
        found = os.stat(path)
        # Not by opening it: where locks belong to the process, closing it would drop them.
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        raise OpenError(
            f"there is no cache in {os.path.dirname(path)!r}, and reading alone makes none; open it once for writing"
        ) from None
    except OSError as error:
        raise OpenError(f"cannot read {path!r}: {error.strerror}; {lacking(os.path.dirname(path))}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        raise NotACacheError(f"{path!r} is not a database; choose another directory")
    wal, index = _size(f"{path}-wal"), _size(f"{path}-shm")
    if wal is not None and index is not None:
        for name in (f"{path}-wal", f"{path}-shm"):
            if not os.access(name, os.R_OK):
                raise OpenError(
                    f"cannot read {name!r}, which belongs to the database; {lacking(os.path.dirname(path))}"
                )
        return "live"
    if wal:
        return "alone"
    return "fixed" if _is_written_by_nobody(found.st_dev) else "still"


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        raise system_error(error.errno or 0, f"look at {path!r}", OpenError) from error


def _is_written_by_nobody(device: int) -> bool:
    """Whether a whole file system is read-only, and not just the way to it that was mounted here."""
    wanted = f"{os.major(device)}:{os.minor(device)}" if hasattr(os, "major") else ""
    try:
        with open(_MOUNTS, "rb") as lines:
            mounts = [line.split(b" ") for line in lines.read().splitlines()]
    except OSError:
        return False
    # What follows the options of the one mount, and "-", is the type of the file system, its source and its own options.
    options = [mount[-1].split(b",") for mount in mounts if mount[2:3] == [wanted.encode()]]
    return bool(options) and all(b"ro" in each for each in options)


def lacking(directory: str) -> str:
    """Which permission is missing to write to a cache, whose, and how it is given (str); empty if none seems to be."""
    writable = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    # What there is of the way to it.
    while not os.path.exists(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    try:
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            return f"the file system of {directory!r} is read-only"
    except (OSError, AttributeError):
        pass
    for path, wanted, mode in _needed(directory):
        if os.path.lexists(path) and not os.access(path, mode, **writable):
            return f"{_account()} needs {wanted} for {path!r}, {_described(path)}"
    return ""


def _needed(directory: str) -> list[tuple[str, str, int]]:
    """What has to be permitted: paths, the letters of it, and the same for the system."""
    database = os.path.join(directory, "cache.db")
    values = os.path.join(directory, "values")
    folders = [directory, values, os.path.join(values, "tmp")]
    files = [database, f"{database}-wal", f"{database}-shm"]
    return (
        [(path, "rwx", os.R_OK | os.W_OK | os.X_OK) for path in folders[:1]]
        + [(path, "rw", os.R_OK | os.W_OK) for path in files]
        + [(path, "rwx", os.R_OK | os.W_OK | os.X_OK) for path in folders[1:]]
    )


def _account() -> str:
    number = os.geteuid()
    try:
        return f"user {load('pwd').getpwuid(number).pw_name!r} (uid {number})"
    except (KeyError, ImportError):
        return f"user {number}"


def _described(path: str) -> str:
    """Whose a file is, and what is permitted."""
    try:
        found = os.lstat(path)
    except OSError:
        return "which cannot be looked at"
    owner: object = found.st_uid
    group: object = found.st_gid
    # An account that may not read Python's own files cannot load these.
    with contextlib.suppress(KeyError, ImportError):
        owner = load("pwd").getpwuid(found.st_uid).pw_name
    with contextlib.suppress(KeyError, ImportError):
        group = load("grp").getgrgid(found.st_gid).gr_name
    return f"which is {stat.filemode(found.st_mode)}, of user {owner} and group {group}"


def tell(directory: str, why: str) -> None:
    """Warn that a cache is open for reading alone."""
    load("warnings").warn(
        f"{directory!r} is open for reading alone: {why}; read_only=True says that this is meant, read_only=False refuses it",
        ReadOnlyWarning,
        stacklevel=3,
    )
