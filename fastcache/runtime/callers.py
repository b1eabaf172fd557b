"""Who has called this package: a warning points at the line that can be changed."""

import sys

__all__ = ["level_of_caller"]


def level_of_caller() -> int:
    """The ``stacklevel`` of a warning about what was called from outside: how many frames above the function that asks
    stands the first that is not of this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastcache."):
        level, frame = level + 1, frame.f_back
    return level
