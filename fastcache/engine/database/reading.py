"""How a database is read where nothing can be written, and why nothing can be.

SQLite itself wants to write in order to read: a WAL, and the index of it that all processes share. What lies there
decides on the way to do without:

- *live*: both are there, since another account has the database open, or they were copied with it. SQLite reads them,
  and takes part in the locks of the others. What they write is seen as usual. (So it is with a rollback journal.)
- *alone*: there is a WAL, and no index: the directory was copied while it was in use. SQLite makes an index in its own
  memory.
- *still*: there is no WAL. Nobody has it open, and all is in the database file. SQLite reads it without any lock.
- *fixed*: the same on a file system that nobody can write to (squashfs, an image that is mounted read-only): what was
  read once stays true, so that it may stay in memory.

In *alone* and *still*, whoever may write can begin to do so at any time. That is noticed after each step
(sqlite/stamp.pxd), and then it is opened anew, in whatever way is right by then.
"""

from __future__ import annotations

import errno
import os
import stat

from fastcache.errors import CacheError, NotACacheError, OpenError, ReadOnlyWarning
from fastcache.runtime.imports import load

__all__ = ["choose_way", "is_there", "lacking", "tell"]

_MOUNTS = "/proc/self/mountinfo"


def choose_way(path: str) -> str:
    """How to read this database file: "live", "alone", "still" or "fixed".

    Raises:
        OpenError: there is none, or it cannot be read.
    """
    # Nothing is opened to find out: closing it would drop the locks that this process may have on the file.
    effective = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    try:
        found = os.stat(path)
        if not os.access(path, os.R_OK, **effective):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except FileNotFoundError:
        raise OpenError(
            f"there is no cache in {os.path.dirname(path)!r}, and reading alone makes none; open it once for writing"
        ) from None
    except OSError as error:
        why = lacking(os.path.dirname(path), to_read=True)
        raise OpenError(f"cannot read {path!r}: {error.strerror}; {why}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
        raise NotACacheError(f"{path!r} is not a database; choose another directory")
    wal, index = _size(f"{path}-wal"), _size(f"{path}-shm")
    if wal is not None and index is not None:
        for name in (f"{path}-wal", f"{path}-shm"):
            if not os.access(name, os.R_OK, **effective):
                why = lacking(os.path.dirname(path), to_read=True)
                raise OpenError(f"cannot read {name!r}, which belongs to the database; {why}")
        return "live"
    if wal:
        return "alone"
    if _size(f"{path}-journal"):
        # It has no WAL, where there is no shared memory (a network file system), and locks that SQLite can take.
        return "live"
    return "fixed" if _is_written_by_nobody(found.st_dev) else "still"


def is_there(path: str) -> bool:
    """Whether there is a database file at all.

    Raises:
        OpenError: that cannot be told.
    """
    return _size(path) is not None


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        why = lacking(os.path.dirname(path), to_read=True)
        raise OpenError(f"cannot look at {path!r}: {error.strerror}; {why}") from error


def _is_written_by_nobody(device: int) -> bool:
    """Whether a whole file system is read-only, and not just the way to it that was mounted here."""
    wanted = f"{os.major(device)}:{os.minor(device)}" if hasattr(os, "major") else ""
    try:
        with open(_MOUNTS, "rb") as lines:
            mounts = [line.split(b" ") for line in lines.read().splitlines()]
    except OSError:
        return False
    # At last, behind those of the one mount, stand the options of the file system itself.
    options = [mount[-1].split(b",") for mount in mounts if mount[2:3] == [wanted.encode()]]
    return bool(options) and all(b"ro" in each for each in options)


def lacking(directory: str, *, to_read: bool = False) -> str:
    """Which permission is missing to write to a cache, or to read it, and whose (str); empty if none seems to be."""
    # What there is of the way to it.
    while not os.path.exists(directory) and os.path.dirname(directory) != directory:
        directory = os.path.dirname(directory)
    try:
        if not to_read and os.statvfs(directory).f_flag & os.ST_RDONLY:
            return f"the file system of {directory!r} is read-only"
    except (OSError, AttributeError):
        pass
    effective = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    for path in _needed(directory):
        letters = "r" if to_read else "rw"
        if os.path.isdir(path):
            letters += "x"
        mode = sum(_MODES[letter] for letter in letters)
        if os.path.lexists(path) and not os.access(path, mode, **effective):
            return f"{_account()} needs {letters} for {path!r}, {_described(path)}"
    return ""


_MODES = {"r": os.R_OK, "w": os.W_OK, "x": os.X_OK}


def _needed(directory: str) -> list[str]:
    """What has to be permitted to use a cache."""
    names = ("cache.db", "cache.db-wal", "cache.db-shm", "values", os.path.join("values", "tmp"))
    return [directory, *(os.path.join(directory, name) for name in names)]


def _account() -> str:
    number = os.geteuid() if hasattr(os, "geteuid") else 0
    return f"user {_name_of_user(number)} (uid {number})"


def _described(path: str) -> str:
    """Whose a file is, and what is permitted."""
    try:
        found = os.lstat(path)
    except OSError:
        return "which cannot be looked at"
    owner, group = _name_of_user(found.st_uid), _name_of_group(found.st_gid)
    return f"which is {stat.filemode(found.st_mode)}, of user {owner} and group {group}"


# Who is short of permissions may be short of that to load a module, too; and not each number has a name.


def _name_of_user(number: int) -> str:
    try:
        return str(load("pwd").getpwuid(number).pw_name)
    except (KeyError, ImportError, CacheError):
        return str(number)


def _name_of_group(number: int) -> str:
    try:
        return str(load("grp").getgrgid(number).gr_name)
    except (KeyError, ImportError, CacheError):
        return str(number)


def tell(directory: str, why: str) -> None:
    """Warn that a cache is open for reading alone."""
    load("warnings").warn(
        f"{directory!r} is open for reading alone: {why}; read_only=True says that this is meant, "
        "read_only=False refuses it",
        ReadOnlyWarning,
        stacklevel=3,
    )
