"""Loading modules when they are first needed.

A module that one thread is importing when another one forks is locked for ever in the child. So whatever the package
imports late it loads here, under a lock that a fork waits for (process.py).
"""

from __future__ import annotations

import _thread
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["load"]

# Re-entrant: a module that is loaded may load others.
loading = _thread.RLock()


# Asking the interpreter takes a microsecond, which is much of what a get takes.
_loaded: dict[str, Any] = {}


def load(name: str) -> Any:
    """Import a module, if that was not done yet, and return it."""
    module = _loaded.get(name)
    if module is None:
        with loading:
            __import__(name)
            module = _loaded[name] = sys.modules[name]
    return module


def renew() -> None:
    """In a child: whoever holds the parent's lock does not exist there."""
    global loading  # noqa: PLW0603 - it has no method to be set free by others
    loading = _thread.RLock()
