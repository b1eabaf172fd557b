"""The exit of a worker process that multiprocessing (or its relative billiard, of Celery) has started.

A forked one ends by os._exit, so that exit handlers do not run. The library's own finalizers do
(``multiprocessing.util.Finalize``). A worker begins by forgetting those that it has inherited; what is registered for
that moment (``register_after_fork``) is called then.
"""

from __future__ import annotations

import sys

from fastcache.runtime import fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["watch"]

_LIBRARIES = ("multiprocessing", "billiard")
# After all that others have registered: these may use what is open.
_LAST = -1_000_000
# What is registered is called with this, as long as it lives; and the libraries that know of it, in this process.
_watched: dict[str, _Watch] = {}


class _Watch:
    def __init__(self, library: str) -> None:
        self.library = library


def watch() -> None:
    """Have the phases of the exit run at the end of this process, if it is a worker, and of those that it forks."""
    for library in _LIBRARIES:
        util = sys.modules.get(f"{library}.util")
        if util is not None and library not in _watched and hasattr(util, "_afterfork_registry"):
            watched = _watched[library] = _Watch(library)
            util.register_after_fork(watched, _finish_at_end)
            _finish_at_end(watched)


def _finish_at_end(watched: _Watch) -> None:
    """In a worker, which has just begun to be one, maybe."""
    process: Any = sys.modules.get(f"{watched.library}.process")
    if process is not None and getattr(process.current_process(), "_parent_pid", None) is not None:
        sys.modules[f"{watched.library}.util"].Finalize(None, fork.leave, exitpriority=_LAST)
