"""What a check has found, as the list of warnings that diskcache returns."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from fastcache.diskcache.errors import EmptyDirWarning, UnknownFileWarning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastcache.check.check import CheckResult

__all__ = ["warnings_of"]

_CATEGORIES = {"orphaned file": UnknownFileWarning, "empty directory": EmptyDirWarning}


def warnings_of(result: CheckResult, missing: Iterable[str]) -> list[warnings.WarningMessage]:
    """A warning for each thing that is wrong: those of a check, and files that a Disk of one's own does not find."""
    return [_warning(text) for text in (*result.details, *(f"file not found: {name}" for name in missing))]


def _warning(text: str) -> warnings.WarningMessage:
    category = next((kind for start, kind in _CATEGORIES.items() if text.startswith(start)), UserWarning)
    return warnings.WarningMessage(category(text), category, __file__, 0)
