"""Private temporary directories: each is made for one mapping, and removed with it, or when the interpreter is gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref

from fastcache.runtime import afterwards, fork
from fastcache.runtime.imports import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["make", "remove", "remove_with"]

# What is open in each of them, by its path, and the process that made it.
_made: dict[str, tuple[weakref.ref[Any], int]] = {}
# Those that only Python code can remove, at the exit.
_ours: set[str] = set()


def make() -> str:
    """Make a directory, and return its path."""
    return tempfile.mkdtemp(prefix="fastcache-")


def remove_with(opened: Any, directory: str) -> None:
    """Have a directory removed when the store or the shards in it are collected, at the latest after the exit."""
    _made[directory] = (weakref.ref(opened, lambda _: remove(directory)), os.getpid())
    if not afterwards.remove_afterwards(os.fsencode(directory)):
        _ours.add(directory)


def remove(directory: str) -> None:
    """Remove a directory, unless that was done, or is another process's to do."""
    reference, owner = _made.pop(directory, (None, None))
    if reference is None or owner != os.getpid():
        return
    opened = reference()
    if opened is not None:
        opened.close_if_idle()
    shutil.rmtree(directory, ignore_errors=True)
    afterwards.forget(os.fsencode(directory))


def _leave() -> None:
    """At the exit: leave to what comes after it what finalizers may still use; remove the rest, the newest first."""
    for directory in reversed(list(_made)):
        if directory not in _ours:
            _made.pop(directory, None)
            continue
        try:
            remove(directory)
        except Exception as error:
            warn("the temporary directory %r stays: %s", directory, error)


fork.TEMPORARY.at_exit = _leave
