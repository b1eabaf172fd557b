"""The entries of a cache with diskcache's face: a Cache of ours that removes nothing until it is asked to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastcache.engine.cache_mapping import CacheMapping
from fastcache.engine.sqlite import sql
from fastcache.errors import OpenError, system_error
from fastcache.options import CACHE_MEMORY, choose_directory
from fastcache.queues import CacheQueues
from fastcache.recipes import CacheRecipes
from fastcache.serializers.pickling import PickleSerializer

if TYPE_CHECKING:
    from typing import Literal

__all__ = ["DEFAULTS", "NEW", "Entries", "make_directory", "path_of"]


class Defaults:
    """What holds where a constructor is not told: see ``install``."""

    def __init__(self) -> None:
        self.migrate: Literal["on-open"] | None = None
        self.unsafe = False


DEFAULTS = Defaults()

_FULL = 2

NEW = ".fastcache-new"
"""What a directory is converted to has this at the end of its name, until it is done (migration.py)."""


def path_of(given: Any) -> str:
    """The absolute path of a directory; anything but bytes and str is turned into a str."""
    path = choose_directory(given if isinstance(given, bytes) else str(given))
    assert path is not None
    return path


def make_directory(path: str) -> None:
    """Make a directory, if it is not there.

    Raises:
        OpenError: it cannot be.
    """
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as error:
        raise system_error(error.errno or 0, f"make the directory {path!r}", OpenError) from error


class Entries(CacheRecipes, CacheQueues, CacheMapping):
    """The entries of one directory.

    What has expired counts until it is removed, and nothing is removed for its size (Store.cull).

    Args:
        directory: where they lie.
        timeout: how long to wait for another writer, in seconds.
        unsafe: whether to load whatever is there, and sign nothing.
        memory: bytes of what was read that may stay in this process; None for as many as usual.
        synchronous: of 2 and more, each commit waits for the disk.
    """

    def __init__(
        self, directory: str, timeout: float, *, unsafe: bool | None, memory: int | None, synchronous: int
    ) -> None:
        self._open(
            directory,
            serializer=PickleSerializer(unsafe=DEFAULTS.unsafe if unsafe is None else unsafe),
            timeout=timeout,
            memory=CACHE_MEMORY if memory is None else memory,
            durability="full" if synchronous >= _FULL else "normal",
            keeps_limit=False,
            culls=True,
        )

    def put_setting(self, name: str, value: Any) -> None:
        """Inside ``transact``: store something beside the entries."""
        self.store.query(sql.PUT_META, (name, value))
