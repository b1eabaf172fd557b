"""Who may use what is made in a directory: its owner alone, or the group with which its owner shares it.

A directory that we make is its owner's alone (0700), and so is each file in it (0600). One that was made for a group,
whose members may read, write and enter it (``chmod g+rwx``), is followed: what is made in it is the group's as well,
whatever the umask says. That goes only for the directory's own group, which what is made there has to get: by
inheritance (``chmod g+s``), or as the primary group of whoever makes it. Else it stays private. (SQLite does the same
for its WAL, which has the mode of the database.)
"""

from __future__ import annotations

import os
import stat

__all__ = ["file_mode", "folder_mode", "make_folder", "settle_mode"]

_GROUP = 0o070


def _is_shared(folder: str | int) -> bool:
    if os.name != "posix":
        return False
    found = os.stat(folder)
    inherited = found.st_mode & stat.S_ISGID or found.st_gid == os.getegid()
    return found.st_mode & _GROUP == _GROUP and bool(inherited)


def file_mode(folder: str | int) -> int:
    """The mode of a file that is made in a folder (its path, or a descriptor of it)."""
    return 0o660 if _is_shared(folder) else 0o600


def folder_mode(folder: str | int) -> int:
    """The mode of a folder that is made in a folder."""
    return 0o770 if _is_shared(folder) else 0o700


def settle_mode(made: str | int, mode: int) -> None:
    """See to it that what was made has the mode that it was to have, whatever the umask; unless another account's.

    Args:
        made: its path, or a descriptor of it.
        mode: the bits of owner, group and others.
    Raises:
        OSError: it is not there.
    """
    if os.name == "posix":
        found = os.stat(made)
        if found.st_mode & 0o777 != mode and found.st_uid == os.geteuid():
            os.chmod(made, found.st_mode & 0o7000 | mode)


def make_folder(path: str, within: int | None = None) -> None:
    """Make a folder in another one, for all for whom that is.

    Args:
        path: of the folder; a name, if the other one is given by a descriptor.
        within: that descriptor.
    Raises:
        OSError: (FileExistsError) it cannot be made, or there is something.
    """
    mode = folder_mode(os.path.dirname(path) if within is None else within)
    os.mkdir(path, mode, dir_fd=within)
    if mode != 0o700:
        os.chmod(path, os.stat(path, dir_fd=within).st_mode & 0o7000 | mode, dir_fd=within)
