"""Options that all containers have: their defaults, and what is made of them."""

from __future__ import annotations

import os

from fastcache.errors import DirectoryNameError, OpenError
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from fastcache.serializers.messagepack import Serializer

__all__ = ["CACHE_MEMORY", "IN_MEMORY", "choose_directory", "choose_journal", "choose_place", "choose_serializer"]

IN_MEMORY = ":memory:"
"""In place of a directory: all is in memory, and gone with the process. (A directory of this name is "./:memory:".)"""

CACHE_MEMORY = 32 * 1024 * 1024
"""Bytes of what was read that may stay in a process, if nothing else is asked for."""


def choose_serializer(given: Serializer | None, safe_types: Iterable[type], secret: bytes | str | None) -> Serializer:
    """The serializer that was given, or the default one with these options."""
    if given is None:
        default: Serializer = load("fastcache.serializers.pickling").PickleSerializer(
            safe_types=safe_types, secret=secret
        )
        return default
    if tuple(safe_types) or secret is not None:
        raise TypeError("safe_types and secret belong to the default serializer; give them to PickleSerializer instead")
    return given


def choose_journal(journal: bool, write_behind: float | None) -> bool:
    """Whether there is to be a journal, for who may also say ``write_behind``, which it has replaced.

    Raises:
        TypeError, ValueError: ``write_behind`` is no number of seconds.
        ValueError: it is one, and there is to be no journal.
    """
    if write_behind is None:
        return journal
    if isinstance(write_behind, bool) or not isinstance(write_behind, (int, float)):
        raise TypeError(f"write_behind must be a number of seconds or None, not {type(write_behind).__name__}")
    if not 0 <= write_behind < 1e9:
        raise ValueError(f"write_behind must be between 0 and 1e9 seconds, not {write_behind!r}")
    if write_behind == 0:
        return journal
    if journal is False:
        raise ValueError(
            f"write_behind={write_behind!r} means journal=True now, which contradicts journal=False: leave one out"
        )
    load("warnings").warn(
        f"write_behind={write_behind!r} is deprecated, and means journal=True: the journal does what it did, shows all "
        "processes at once what is set, and keeps it if they are killed. Leave it out: there is a journal by default",
        DeprecationWarning,
        stacklevel=load("fastcache.runtime.callers").level_of_caller(),
    )
    return journal


def choose_place(given: Any) -> str | None:
    """The same for who may also have ":memory:", for no directory at all.

    Raises what ``choose_directory`` raises."""
    return IN_MEMORY if isinstance(given, str) and given == IN_MEMORY else choose_directory(given)


def choose_directory(given: Any) -> str | None:
    """The absolute path of a directory that was named; None, for a temporary one, stays None.

    ``~``, ``~account``, ``$NAME`` and ``${NAME}`` stand for what they stand for in a shell.

    Raises:
        TypeError: it is no path.
        DirectoryNameError: no directory can have this name.
        OpenError: it is relative, and the current directory is gone.
    """
    if given is None:
        return None
    if not isinstance(given, (str, bytes, os.PathLike)):
        raise TypeError(
            "directory must be a path (str, bytes or os.PathLike), or None for a temporary one, "
            f"not {type(given).__name__}"
        )
    path = os.path.expandvars(os.path.expanduser(os.fsdecode(given)))
    if not path:
        raise DirectoryNameError(
            "the name of the directory is empty: give None for a temporary one, '.' for the current one"
            + ("" if not given else f" ({given!r} names a variable that is empty)")
        )
    if "\0" in path:
        raise DirectoryNameError(f"{path!r} cannot be the name of a directory: it has a NUL in it")
    if path.startswith("~"):
        raise DirectoryNameError(f"{path!r}: there is no such account; a directory of this name is './{path}'")
    try:
        return os.path.abspath(path)
    except OSError as error:
        raise OpenError(f"cannot find {path!r}: the current directory is gone; give an absolute path") from error
