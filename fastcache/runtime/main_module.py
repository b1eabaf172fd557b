"""What the program's main module is called, where names have to last, and to mean the same in other processes.

Python calls it ``__main__``, whichever program that is (and ``__mp_main__`` in a child of multiprocessing's spawn).
So two scripts would share what is kept under the names of their functions. A module that was started by ``-m`` has a
name, under which it can be imported, too; a script is its file. What was typed in, or comes from a notebook, has
neither: it can only be told by its code.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["MAIN", "is_elsewhere", "main_name", "module_name"]

MAIN = ("__main__", "__mp_main__")
"""What Python calls it."""


def module_name(thing: Any) -> str | None:
    """The module of a function or class, by a name that lasts.

    Returns:
        The name of the module, or the path of the script (str); None if it is told by its code alone.
    """
    module = getattr(thing, "__module__", None)
    if module not in MAIN:
        return module if isinstance(module, str) else None
    innermost = thing
    while hasattr(innermost, "__wrapped__"):
        innermost = innermost.__wrapped__
    code = getattr(innermost, "__code__", None)
    return main_name(_space_of(innermost, module), None if code is None else code.co_filename)


def main_name(space: dict[str, Any], filename: str | None = None) -> str | None:
    """The name that lasts of a main module whose global names these are.

    Args:
        space: the global names.
        filename: of the code that has to be of its file (str); None if that is not known.
    """
    spec = space.get("__spec__")
    named = getattr(spec, "name", None)
    path = space.get("__file__")
    if isinstance(named, str) and named not in MAIN:
        return named if filename is None or _is_of(filename, getattr(spec, "origin", None)) else None
    if not isinstance(path, str) or (filename is not None and not _is_of(filename, path)):
        return None
    if getattr(sys, "frozen", False):
        # It is unpacked somewhere else at each start.
        return os.path.join(os.path.realpath(sys.executable), os.path.basename(path))
    return os.path.realpath(path)


def is_elsewhere(thing: Any) -> bool:
    """Whether a function or class was sent here out of another process's main module, by its value.

    It is not found under its name then, because this process has another main module.
    """
    if thing.__module__ not in MAIN or "<" in thing.__qualname__:
        return False
    ours = vars(sys.modules["__main__"])
    space = _space_of(thing, thing.__module__)
    if space is ours:
        return False
    # A child of multiprocessing's spawn has a copy of its own.
    if ours.get("__name__") == MAIN[1] or "__file__" not in ours:
        return True
    if "__file__" not in space:
        return thing.__qualname__.partition(".")[0] not in ours
    return main_name(space) != main_name(ours)


def _space_of(thing: Any, module: str) -> dict[str, Any]:
    """The global names of the code of a function or class."""
    functions = [thing, *vars(thing).values()] if isinstance(thing, type) else [thing]
    for each in functions:
        found = getattr(each, "__globals__", None)
        if isinstance(found, dict) and found.get("__name__") in MAIN:
            return found
    return vars(sys.modules.get(module, sys.modules["__main__"]))


def _is_of(filename: str, path: Any) -> bool:
    """Whether code that says it is of that file can be of this one; it may say so relative to a former folder."""
    if not isinstance(path, str) or filename.startswith("<"):
        return False
    return os.path.splitext(os.path.basename(filename))[0] == os.path.splitext(os.path.basename(path))[0]
