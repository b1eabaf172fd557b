"""Directories of diskcache's: refused with a word on how to go on, or converted when they are opened.

A conversion copies all entries into a new directory beside the old one, and then renames both: the old one keeps its
name with ".diskcache" at its end, the new one gets its name. What is true at every moment: either name has all entries.
A process that dies between the two leaves the directory without a name; whoever opens it next gives it to the new one.
Of several processes that open it at the same time, one converts, and the others wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

from fastcache.diskcache.entries import DEFAULTS, NEW
from fastcache.errors import NotACacheError, OpenError, StorageError, system_error
from fastcache.importers import diskcache
from fastcache.importers.pickles import Decoder
from fastcache.importers.source import EXPIRED, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Literal

__all__ = ["finish_conversion", "refuse_or_convert"]

_OLD = ".diskcache"
_LOCK = ".fastcache-lock"
# In the new directory, once it has all entries.
_DONE = "converted"
_AT_ONCE = 1000


def _chosen(migrate: Literal["on-open"] | None) -> bool:
    if migrate not in (None, "on-open"):
        raise ValueError(f"migrate must be 'on-open' or None, not {migrate!r}")
    return (migrate or DEFAULTS.migrate) == "on-open"


def finish_conversion(directory: str) -> None:
    """Before a directory is made: give its name to what was converted for it by a process that has died since."""
    with _alone(directory):
        if not os.path.lexists(directory):
            _finish(directory)


def refuse_or_convert(
    directory: str,
    migrate: Literal["on-open"] | None,
    unsafe: bool | None,
    make: Callable[[str], Any],
    error: NotACacheError,
) -> None:
    """Convert a directory of diskcache's, if that is wanted.

    Args:
        directory: where it lies.
        make: opens a new cache in an empty directory.
        error: what its opening has raised.
    Raises:
        NotACacheError: it is no directory of diskcache's, or is not to be converted.
        StorageError: an entry cannot be taken along; nothing was changed.
    """
    wanted = _chosen(migrate)
    # Another process may have just done it.
    if not diskcache.detect(directory) and not (wanted and os.path.exists(directory + _LOCK)):
        raise error
    if not wanted:
        raise NotACacheError(
            f"{directory!r} was made by diskcache, and fastcache has files of its own. Convert it with 'python -m "
            f"fastcache.migrate', or when it is opened with migrate='on-open', or choose another directory"
        ) from error
    with _alone(directory):
        if diskcache.detect(directory):
            _convert(directory, make, DEFAULTS.unsafe if unsafe is None else unsafe)
        else:
            # Or is about to end it.
            _finish(directory)


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Keep other processes from converting the same directory."""
    import fcntl

    path = directory + _LOCK
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise system_error(error.errno or 0, f"make the file {path!r}", OpenError) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _convert(directory: str, make: Callable[[str], Any], unsafe: bool) -> None:
    new = directory + NEW
    source = diskcache.open_source(directory, Decoder((), trusted=unsafe))
    try:
        shutil.rmtree(new, ignore_errors=True)
        os.mkdir(new, 0o700)
        cache = make(new)
        try:
            _copy(source, cache)
        finally:
            cache.close()
        nested = list(source.elsewhere)
    finally:
        source.close()
    with open(os.path.join(new, _DONE), "w") as file:
        file.writelines(f"{os.path.relpath(path, directory)}\n" for path in nested)
        file.flush()
        os.fsync(file.fileno())
    _finish(directory)


def _finish(directory: str) -> None:
    """Give the name to the new directory; whatever was done of that already."""
    new, mark = directory + NEW, os.path.join(directory + NEW, _DONE)
    if not os.path.exists(mark):
        return
    old = directory + _OLD
    if os.path.lexists(directory):
        if os.path.lexists(old):
            raise OpenError(
                f"{old!r} is in the way of what was {directory!r}: remove or rename it, and open that again"
            )
        os.rename(directory, old)
    with open(mark) as file:
        nested = file.read().split("\n")[:-1]
    for path in nested:
        # Caches of their own inside of it, which are converted when they are opened.
        source, target = os.path.join(old, path), os.path.join(new, path)
        if os.path.lexists(source) and not os.path.lexists(target):
            os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
            os.rename(source, target)
    os.rename(new, directory)
    os.unlink(os.path.join(directory, _DONE))
    _sync(os.path.dirname(directory))
    logging.getLogger("fastcache").info(
        "%r was converted from diskcache; what it was lies in %r, to be removed", directory, old
    )


def _sync(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _copy(source: Any, cache: Any) -> None:
    """Store all entries of a source, some in each transaction."""
    failures = 0
    waiting: list[Entry] = []
    for found in source.entries(time.time()):
        if isinstance(found, Entry):
            waiting.append(found)
            if len(waiting) >= _AT_ONCE:
                _store(cache, waiting)
        elif found is not EXPIRED:
            failures += 1
    _store(cache, waiting)
    if failures:
        raise StorageError(
            f"{source.path!r} cannot be converted: {failures} entries can be decoded only if they are trusted, or "
            "not at all. Nothing was changed. Open it with unsafe=True if nobody you distrust could write there, or "
            "copy what can be with 'python -m fastcache.migrate'"
        )


def _store(cache: Any, waiting: list[Entry]) -> None:
    with cache.transact(retry=True):
        for key, value, expires, tag, _, _ in waiting:
            expire = None if expires is None else expires - time.time()
            cache.set(key, value, expire, tag=tag, retry=True)
    waiting.clear()
