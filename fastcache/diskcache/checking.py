"""What a check has found, as the list of warnings that diskcache returns."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from fastcache.diskcache.errors import EmptyDirWarning, UnknownFileWarning

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from fastcache.check.check import CheckResult

__all__ = ["strangers", "warnings_of"]

_CATEGORIES = {
    "orphaned file": UnknownFileWarning,
    "unknown file": UnknownFileWarning,
    "empty directory": EmptyDirWarning,
}
# What is ours in a directory: files that begin so, and folders, in which a check looks in ways of its own.
_FILES = "cache."
_FOLDERS = ("values", "locks")


def warnings_of(result: CheckResult, more: Iterable[str]) -> list[warnings.WarningMessage]:
    """A warning for each thing that is wrong: what a check has found, and more."""
    return [_warning(text) for text in (*result.details, *more)]


def strangers(directory: str, named: Container[str]) -> Iterator[str]:
    """What lies in a directory and is neither ours nor the file of an entry: a line for each. It stays there.

    Args:
        directory: of the cache.
        named: the names of files that a Disk of one's own has written for entries.
    """
    for folder, folders, files in os.walk(directory):
        is_top = folder == directory
        if is_top:
            folders[:] = [name for name in folders if name not in _FOLDERS]
        elif not folders and not files:
            yield f"empty directory: {folder}"
        for name in files:
            path = os.path.join(folder, name)
            if not (is_top and name.startswith(_FILES)) and os.path.relpath(path, directory) not in named:
                yield f"unknown file: {path}"


def _warning(text: str) -> warnings.WarningMessage:
    category = next((kind for start, kind in _CATEGORIES.items() if text.startswith(start)), UserWarning)
    return warnings.WarningMessage(category(text), category, __file__, 0)
