"""Loading modules when they are first needed.

A module that one thread is importing when another one forks is locked for ever in the child. So whatever the package
imports late it loads here, under the guard, which a fork waits for (fork.py).
"""

from __future__ import annotations

import errno
import os
import sys

from fastcache.errors import system_error
from fastcache.runtime import fork, greenlets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["load", "new_lock", "warn"]

# Asking the interpreter takes a microsecond, which is much of what a get takes.
_loaded: dict[str, Any] = {}


def load(name: str) -> Any:
    """Import a module, if that was not done yet, and return it.

    Raises:
        StorageError: the system does not let us read it: there are too many open files, say.
    """
    module = _loaded.get(name)
    if module is None:
        with fork.guard:
            try:
                __import__(name)
            except (OSError, ImportError) as error:
                _refuse_without_descriptors(name, error)
                if isinstance(error, OSError) and error.errno:
                    raise system_error(error.errno, f"load the module {name!r}") from error
                raise
            except RuntimeError as error:
                # So CPython says it, of the lock of a module; of a file's, "can't allocate read lock".
                if not str(error).startswith("can't allocate "):
                    raise
                raise MemoryError(f"there is no memory to load the module {name!r}") from error
            module = _loaded[name] = sys.modules[name]
    return module


def _keep_loaded() -> None:
    """At the exit: know what was imported by anybody, since finalizers of globals cannot import any more.

    Not what is the program's: its globals would live on."""
    ours = {"fastcache", *sys.stdlib_module_names}
    _loaded.update({name: module for name, module in sys.modules.items() if name.partition(".")[0] in ours})


fork.GUARD.at_exit = _keep_loaded


def _refuse_without_descriptors(name: str, error: Exception) -> None:
    """Raise StorageError if it is for lack of descriptors that a module could not be imported, whatever Python says."""
    exhausted = (errno.EMFILE, errno.ENFILE)
    code = error.errno if isinstance(error, OSError) else None
    if code not in exhausted:
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
            return
        except OSError as probe:
            code = probe.errno
            if code not in exhausted:
                return
    # Python takes a folder that it cannot list for an empty one, for as long as that does not change.
    for finder in list(sys.path_importer_cache.values()):
        invalidate = getattr(finder, "invalidate_caches", None)
        if invalidate is not None:
            invalidate()
    raise system_error(code or 0, f"load the module {name!r}") from error


def warn(message: str, *arguments: object) -> None:
    """Log a warning of the package's. What goes wrong with that, as with what logging writes itself, harms nobody.

    Where nobody has loaded logging, nobody has set it up, and what it would do is done here. So it is not loaded where
    nothing can be loaded any more, nor in the thread of maintenance, which threading would take for the main thread.
    """
    try:
        if sys.modules.get("logging") is not None:
            # Another thread may be loading it.
            load("logging").getLogger("fastcache").warning(message, *arguments)
        elif sys.stderr is not None:
            sys.stderr.write(f"{message % arguments}\n")
    except Exception:
        return


def new_lock(make: Any = greenlets.unpatched("_thread", "allocate_lock")) -> Any:  # noqa: B008 - it is always the same
    """A lock of the system's threads, or what ``make`` makes; raises MemoryError where Python says RuntimeError."""
    try:
        return make()
    except RuntimeError as error:
        raise MemoryError("there is no memory for a lock") from error
