"""The reserve: a file that holds nothing, and is removed where the disk is full and what gives room needs some.

It is no part of a limit, as the write-ahead log is not; nothing depends on its being there.
"""

from __future__ import annotations

import os

from fastcache.engine.shm.sharing import file_mode, settle_mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["SIZE", "give_up", "keep", "room"]

SIZE = 256 << 10
"""In bytes. The index of the log takes 32 KiB, and to delete an entry takes about ten pages."""
# Under a smaller limit there is none; nor while there is less room on the disk than so many of them.
_LEAST_LIMIT = 32 << 20
_LEAST = 32 << 10
_ROOM_FOR = 8


def _path(directory: str) -> str:
    return os.path.join(directory, "cache.reserve")


def room(directory: str) -> int:
    """How much can be written on the disk of a directory, in bytes (int); more than anybody needs where nobody says."""
    if not hasattr(os, "statvfs"):
        return 1 << 62
    system = os.statvfs(directory)
    return system.f_bavail * system.f_frsize


def keep(directory: str, settings: dict[str, Any], *, share: int = 0) -> bool:
    """Make the reserve of a directory, if it is not there; returns whether more of it is to be made later (bool).

    With a ``share``, where it was given up: what is left, or the so manieth part of it, is kept for the next time.
    """
    path = _path(directory)
    limit = settings.get("max_size")
    if type(limit) is int and 0 < limit < _LEAST_LIMIT * settings["shards"]:
        return False
    try:
        found = os.lstat(path).st_size if os.path.lexists(path) else 0
        if found >= SIZE:
            return False
        left = room(directory)
        wanted = SIZE if left >= _ROOM_FOR * SIZE else 0
        if share and not found:
            wanted = min(SIZE, max(wanted, left // share))
        if wanted < _LEAST:
            return True
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        mode = file_mode(directory)
        fd = os.open(path, flags, mode)
        try:
            settle_mode(fd, mode)
            _occupy(fd, wanted)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
    except OSError:
        return True
    return wanted < SIZE


def _occupy(fd: int, size: int) -> None:
    """Have it take its room on the disk."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    while size:
        size -= os.write(fd, bytes(size))


def give_up(directory: str) -> bool:
    """Have its room free; returns whether there was one (bool)."""
    try:
        os.unlink(_path(directory))
    except OSError:
        return False
    return True
