"""Giving a cache another number of shards: what is always true, and what a crash leaves.

- Nobody else has any of the databases open, or can open one: each is kept exclusively.
- From the beginning to the end, the first database says that a conversion is under way, so that nothing but its
  repetition opens the directory afterwards. Repeating it is always right, because
- an entry is copied, and that is committed, before it is deleted where it was. So a crash leaves it in one place, or in
  two, of which the copy is overwritten by the next attempt. Its file has two names (hard links) meanwhile, so that it
  costs nothing.
- The number of shards changes at the very end, in the transaction that takes back the mark.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from typing import TYPE_CHECKING

from fastcache.engine.blobs.files import ValueFiles
from fastcache.engine.codecs.keys import shard_of_stored
from fastcache.engine.codecs.record import Record
from fastcache.engine.database.opening import refuse_link
from fastcache.engine.disk_store import DiskStore
from fastcache.engine.shards import check_shards, path_of
from fastcache.engine.shm.journal import pending_bytes
from fastcache.engine.sqlite import sql
from fastcache.engine.sqlite.connection import Connection
from fastcache.errors import CacheError, FormatError, StorageError, Timeout
from fastcache.options import choose_directory, choose_serializer
from fastcache.tools.inspect import settings_in, stored_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from fastcache.serializers.messagepack import Serializer

__all__ = ["reshard"]

_BATCH = 256
# How often others may come in between who are killed while they write.
_MOST_TRIES = 5


def reshard(
    directory: str | os.PathLike[str],
    shards: int,
    *,
    serializer: Serializer | None = None,
    safe_types: Iterable[type] = (),
    secret: bytes | str | None = None,
    timeout: float = 5.0,
) -> int:
    """Give a cache another number of shards; with 1 it is a Cache (or Index), with more a FanoutCache (or FanoutIndex).

    Nobody else may have it open. Entries keep their expiry and tags; those that move to another shard are its newest.
    If it is interrupted, nothing is lost, and nothing but running it again opens the cache.

    Args:
        directory: of a cache that exists.
        shards: how many there are to be, from 1 to 1000.
        serializer, safe_types, secret: what keys are decoded with; see Cache.
        timeout: how long to wait for others to close it, in seconds.

    Returns:
        How many entries have moved (int).

    Raises:
        OpenError: (NotACacheError, FormatError) there is no cache, or it has another serializer.
        Timeout: somebody has it open.
        ValueError: its ``max_size`` leaves too little for so many shards.
        StorageError, FullError: an entry could not be moved.

    >>> import tempfile
    >>> from fastcache import Cache, FanoutCache
    >>> from fastcache.migrate import reshard
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     with Cache(directory) as cache:
    ...         cache["k"] = "v"
    ...     _ = reshard(directory, 4)
    ...     with FanoutCache(directory, shards=4) as cache:
    ...         cache["k"]
    'v'
    """
    directory = choose_directory(directory) or os.getcwd()
    check_shards(shards)
    stored = stored_settings(directory)
    serializer = choose_serializer(serializer, safe_types, secret)
    with contextlib.ExitStack() as stack:
        resharding = _hold(directory, shards, stored, serializer, timeout)
        stack.callback(resharding.close)
        # As it is now that nobody else has it.
        stored = settings_in(directory, resharding.connections[0])
        resharding.refuse_unless_possible(stored)
        if stored.get("shards") == shards and "resharding" not in stored:
            return 0
        resharding.begin()
        moved = sum(resharding.empty(index) for index in list(resharding.connections))
        resharding.finish()
    return moved


def _hold(directory: str, shards: int, stored: dict[str, Any], serializer: Serializer, timeout: float) -> _Resharding:
    """Keep all databases, into which is written what somebody who was killed has left in their journals."""
    for _ in range(_MOST_TRIES):
        _drain(directory, stored, serializer, timeout)
        resharding = _Resharding(directory, shards, serializer, timeout)
        # Somebody may have come in between, and been killed.
        if "resharding" in stored or not resharding.has_pending(stored["shards"]):
            return resharding
        resharding.close()
    raise StorageError(
        f"what is in the journals of {directory!r} cannot be written to its databases; nothing was moved"
    )


def _drain(directory: str, stored: dict[str, Any], serializer: Serializer, timeout: float) -> None:
    """Have what somebody who was killed has left in the journals of the shards written to their databases."""
    if "resharding" in stored or stored.get("format") != sql.FORMAT or stored.get("serializer") != serializer.name:
        return
    for index in [0, *_shards_in(directory)]:
        path = path_of(directory, index)
        # What is beyond the number was emptied by somebody who was killed then.
        if index < stored["shards"] and os.path.exists(os.path.join(path, "cache.journal")):
            DiskStore(path, serializer=serializer, shards=stored["shards"], timeout=timeout).close()


class _Resharding:
    """The databases of a directory, each kept exclusively, while its entries move."""

    def __init__(self, directory: str, shards: int, serializer: Serializer, timeout: float) -> None:
        self.directory = directory
        self.shards = shards
        self.serializer = serializer
        self.timeout = timeout
        self.connections: dict[int, Connection] = {}
        try:
            for index in [0, *sorted(_shards_in(directory))]:
                # One that has no tables is of an attempt that was interrupted when it made the database.
                if self.open(index).query(sql.COUNT_SCHEMA) == [(0,)]:
                    del self.connections[index]
        except BaseException:
            self.close()
            raise

    def open(self, index: int) -> Connection:
        path = os.path.join(path_of(self.directory, index), "cache.db")
        refuse_link(path)
        try:
            self.connections[index] = connection = Connection(path, False, self.timeout, True)
            # The first look at it takes the lock.
            connection.query(sql.COUNT_SCHEMA)
        except Timeout as error:
            raise Timeout(f"{self.directory!r} is in use; close it in all programs, and try again") from error
        return connection

    def close(self) -> None:
        self.connections.clear()

    def has_pending(self, shards: int) -> bool:
        """Whether something is in the journal of one of so many shards that is not in its database."""
        return any(
            pending_bytes(os.path.join(path_of(self.directory, index), "cache.journal"), identity) > 0
            for index, connection in self.connections.items()
            if index < shards
            for (identity,) in connection.query(sql.GET_JOURNAL)
        )

    def refuse_unless_possible(self, stored: dict[str, Any]) -> None:
        if stored.get("format") != sql.FORMAT:
            raise FormatError(
                f"{self.directory!r} is stored in format {stored.get('format')}, and this is {sql.FORMAT}"
            )
        if stored.get("serializer") != self.serializer.name:
            raise FormatError(
                f"{self.directory!r} is stored with serializer {stored.get('serializer')!r}; call "
                "fastcache.migrate.reshard with that one"
            )

    def begin(self) -> None:
        self.connections[0].query(sql.PUT_META, ("resharding", self.shards))

    def at(self, index: int) -> Connection:
        """The database of a shard that entries move to; made if need be."""
        if index not in self.connections:
            first = dict(self.connections[0].query(sql.GET_META))
            limit = {name: first[name] for name in ("max_size", "eviction")}
            DiskStore(
                path_of(self.directory, index), serializer=self.serializer, shards=self.shards, inherited=limit
            ).close()
            self.open(index)
        return self.connections[index]

    def empty(self, index: int) -> int:
        """Move what does not belong to a shard any more; returns how many entries that were."""
        source = self.connections[index]
        moved = 0
        last = -(1 << 63)
        while rows := source.query(sql.ROWS_TO_MOVE, (last, _BATCH)):
            last = rows[-1][0]
            # By target, and by the row in which it is here.
            parts: dict[int, dict[int, Record]] = {}
            for row, *columns in rows:
                entry = Record._make(columns)
                target = shard_of_stored(entry.key, self.serializer, self.shards)
                if target != index:
                    parts.setdefault(target, {})[row] = entry
            for target, entries in parts.items():
                self.copy(index, target, entries.values())
                with _transaction(source):
                    for row in entries:
                        source.query(sql.DELETE_ROW, (row,))
                moved += len(entries)
        return moved

    def copy(self, source: int, target: int, entries: Iterable[Record]) -> None:
        connection = self.at(target)
        with _transaction(connection):
            for entry in entries:
                if entry.file is not None and not self.link(source, target, entry.file):
                    # The value is lost already.
                    continue
                connection.query(sql.DELETE_KEY, (entry.key,))
                connection.query(sql.INSERT, tuple(entry))
                if entry.file is not None:
                    # Its name may be in the trash here, from when it moved away, or of an attempt that was interrupted.
                    for (dropped,) in connection.query(sql.EMPTY_TRASH, (entry.file,)):
                        connection.query(sql.COUNT_FILE, (-dropped,))
                    connection.query(sql.COUNT_FILE, (entry.size,))

    def link(self, source: int, target: int, name: str) -> bool:
        """Give a value file its name in another shard, too; returns whether there is one."""
        there, here = (ValueFiles(path_of(self.directory, index)) for index in (source, target))
        return here.take_over(there, name)

    def finish(self) -> None:
        """Let the new number hold, and remove what is left of shards that are no more."""
        gone = [index for index in _shards_in(self.directory) if index >= self.shards]
        for index in sorted(self.connections, reverse=True):
            connection = self.connections[index]
            connection.query(sql.VACUUM_ALL)
            if index not in gone:
                with _transaction(connection):
                    connection.query(sql.PUT_META, ("shards", self.shards))
                    connection.query(sql.DROP_META, ("resharding",))
        for index in gone:
            self.connections.pop(index, None)
            path = path_of(self.directory, index)
            # The database last: what is mapped beside it must not outlive it, should it ever be made anew.
            for name in ("cache.changes", "cache.journal", "cache.recency"):
                with contextlib.suppress(OSError):
                    os.unlink(os.path.join(path, name))
            shutil.rmtree(path, ignore_errors=True)


def _shards_in(directory: str) -> Iterator[int]:
    """The shards but the first that there are."""
    for name in os.listdir(directory):
        found = re.fullmatch(r"shard-(\d{3})", name)
        if found:
            refuse_link(os.path.join(directory, name))
        if found and int(found[1]) > 0 and os.path.exists(os.path.join(directory, name, "cache.db")):
            yield int(found[1])


@contextlib.contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    connection.query(sql.BEGIN)
    try:
        yield
        connection.query(sql.COMMIT)
    except BaseException:
        # SQLite has rolled back by itself after some errors.
        with contextlib.suppress(CacheError):
            connection.query(sql.ROLLBACK)
        raise
