"""A copy of a cache that is in use: each database and its value files as they were at one moment.

What makes it whole, while others write:

- *The rows are those of one snapshot*: a read transaction of SQLite's, held on a connection of its own until all
  pages are copied. In a WAL it keeps nobody waiting; but the WAL cannot start over meanwhile, and grows as long as
  others write.
- *The files are those that these rows name.* A value file never changes, and no name is used twice
  (engine/blobs/files.pyx), so that it does not matter when one is copied, if it is there. What is missing belongs to
  a row that was replaced or deleted after the snapshot was taken. So the files are copied first, most of them without
  a snapshot; then with one, those that have come since; if some are gone by then, with another one. Where that does
  not come to an end, the last attempt keeps writers out, as long as it takes to copy what has come since the attempt
  before. What is missing then is lost in the cache, too, and so are the entries in the copy, which read as absent
  here.
- *It is there as a whole, or not at all.* It is made beside its place under another name, in which each database has
  another one, too; all is synced to the disk; then it gets its name. What is left of a backup that was killed is
  removed by the next one to the same place; a folder of one that is under way is locked (flock).

Not part of it are the locks and what else others hold (a backup begins with all of them free), which entries were
used when, and the secret that values are signed with, which does not lie in the directory: whoever opens a backup
needs the same one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from typing import cast

from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.bulk import add_entries
from fastcache.engine.shards import Shards
from fastcache.engine.sqlite import sql
from fastcache.engine.sqlite.connection import Connection
from fastcache.engine.sqlite.copying import copy_database
from fastcache.errors import CacheError, OpenError, StorageError, TransactionError, system_error
from fastcache.runtime.imports import load, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from fastcache.engine.disk_store import DiskStore
    from fastcache.engine.memory_store import MemoryStore

    _Progress = Callable[[int, int], object]

__all__ = ["back_up"]

# How often the files are compared with a snapshot before writers are kept out for it.
_ATTEMPTS = 4
_CHUNK = 1 << 24
# Have a file share another one's blocks (ioctl_ficlone(2)), of which Python knows nothing.
_FICLONE = 0x40049409
_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT") if hasattr(errno, name)}
_UNFINISHED = ".unfinished"
# After how many seconds a folder that nobody has locked is one that somebody has left.
_ABANDONED = 60.0


def back_up(stores: Shards, path: str | os.PathLike[str], progress: _Progress | None = None) -> None:
    """Copy a cache to a directory that is not there yet, or empty.

    Args:
        stores: of a cache that is open.
        path: where the copy is to be.
        progress: called with the bytes that are copied, and those that there are to copy (int).
    """
    if stores.first.in_memory:
        _write_out(cast("MemoryStore", stores.first), path, progress)
        return
    # A shard that nobody has written to yet is no file.
    copied = [store for store in stores.all() if store is stores.first or os.path.exists(store.path)]
    if any(store.held_by_me() for store in copied):
        raise TransactionError("backup() is not for use inside transact(), whose end nobody knows yet")
    # What is in the journal is copied with the database.
    stores.flush()
    place = os.path.abspath(os.fspath(path))
    meter = _Meter(copied, progress)
    try:
        _refuse_place(place, stores.directory)
        with _Unfinished(place) as folder:
            parts = {
                store: os.path.normpath(os.path.join(folder, os.path.relpath(store.directory, stores.directory)))
                for store in copied
            }
            for store, part in parts.items():
                if part != folder:
                    os.mkdir(part, 0o700)
                _copy_store(store, part, meter)
            # The first one last: without it, there is no cache.
            for store, part in reversed(parts.items()):
                os.rename(os.path.join(part, f"cache.db{_UNFINISHED}"), os.path.join(part, "cache.db"))
                _finish_folder(part, stat.S_IMODE(os.stat(store.directory).st_mode) | 0o700)
            meter.end()
    except CacheError:
        raise
    except OSError as error:
        if error is meter.failure or not error.errno:
            raise
        raise system_error(error.errno, f"make the backup {place!r}") from error


def _write_out(store: MemoryStore, path: str | os.PathLike[str], progress: _Progress | None) -> None:
    """Store the entries of a cache in memory, as they are at one moment, in a directory that becomes a cache."""
    if store.held_by_me():
        raise TransactionError("backup() is not for use inside transact(), whose end nobody knows yet")
    place = os.path.abspath(os.fspath(path))
    meter = _Meter([store], progress)
    entries = store.entries()

    def taken() -> Iterator[tuple[Any, Any, int | None, Any]]:
        for key, value, expire, tag, size in entries:
            meter.add(size)
            yield key, value, expire, tag

    _refuse_place(place, None)
    try:
        with _Unfinished(place) as folder:
            options: dict[str, Any] = {"serializer": store.serializer, "compression": store.compression, "memory": 0}
            # Without the limit, which is one of memory: nothing is to be evicted.
            stores = Shards(folder, 1, {**options, "durability": "full", "settings": {"eviction": store.eviction}})
            try:
                add_entries(stores, taken())
            finally:
                stores.close()
        meter.end()
    except OSError as error:
        if isinstance(error, CacheError) or error is meter.failure or not error.errno:
            raise
        raise system_error(error.errno, f"make the backup {place!r}") from error


def _refuse_place(place: str, directory: str | None) -> None:
    """Raise OpenError where something is that would be lost, or what would be part of itself."""
    if directory is not None:
        real, within = os.path.realpath(place), os.path.realpath(directory)
        if real == within or real.startswith(within + os.sep):
            raise OpenError(f"{place!r} lies in the cache itself; a backup needs a place outside of {directory!r}")
    if os.path.islink(place) or (os.path.lexists(place) and not os.path.isdir(place)):
        raise OpenError(f"{place!r} is a file or a link; a backup needs a directory that is not there yet, or empty")
    if os.path.isdir(place) and os.listdir(place):
        raise OpenError(f"{place!r} is not empty; a backup needs a directory that is not there yet, or empty")


class _Unfinished:
    """The folder that a backup is made in: gets its name at the end, if nothing was raised, and else is removed."""

    def __init__(self, place: str) -> None:
        self._place = place
        parent, name = os.path.split(place)
        self._parent = parent
        self._beginning = f".{name}."
        self._folder = os.path.join(parent, f"{self._beginning}{os.urandom(8).hex()}{_UNFINISHED}")
        self._lock = -1

    def __enter__(self) -> str:
        os.makedirs(self._parent, exist_ok=True)
        self._remove_abandoned()
        os.mkdir(self._folder, 0o700)
        self._lock = _lock_folder(self._folder)
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if os.name == "nt" and os.path.isdir(self._place):
                    os.rmdir(self._place)
                # Over an empty directory, too; not over one that somebody has put something into meanwhile.
                os.rename(self._folder, self._place)
                _sync_folder(self._parent)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._lock >= 0:
                os.close(self._lock)

    def _remove_abandoned(self) -> None:
        """Remove what backups to the same place have left that were killed."""
        for name in os.listdir(self._parent):
            if name.startswith(self._beginning) and name.endswith(_UNFINISHED):
                folder = os.path.join(self._parent, name)
                try:
                    lock = _lock_folder(folder)
                    if lock < 0:
                        continue
                    try:
                        if time.time() - os.stat(folder).st_mtime > _ABANDONED:
                            shutil.rmtree(folder, ignore_errors=True)
                    finally:
                        os.close(lock)
                except OSError:
                    # Another one is at it, or it is nobody's folder.
                    continue


def _lock_folder(folder: str) -> int:
    """Lock a folder while the descriptor is open; -1 where there are no such locks. Raises OSError if it is locked."""
    try:
        fcntl = load("fcntl")
    except ImportError:
        return -1
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


class _Meter:
    """How much is copied, of how much: what the stores say at the beginning, and what is found to be there later."""

    def __init__(self, stores: Sequence[DiskStore | MemoryStore], progress: _Progress | None) -> None:
        self._progress = progress
        self._expected = sum(store.volume() for store in stores)
        self._done = 0
        # What the progress has raised, which is nobody's but its own.
        self.failure: BaseException | None = None

    def add(self, size: int) -> None:
        """So many more bytes are copied."""
        self._done += size
        self._tell(max(self._done, self._expected))

    def end(self) -> None:
        """All is copied that there was."""
        self._tell(self._done)

    def _tell(self, total: int) -> None:
        if self._progress is not None:
            try:
                self._progress(self._done, total)
            except BaseException as error:
                self.failure = error
                raise


def _copy_store(store: DiskStore, folder: str, meter: _Meter) -> None:
    """Copy the database and the value files of one store."""
    files = _Files(store, os.path.join(folder, "values"), meter)
    reader = store.connect()
    for attempt in range(_ATTEMPTS):
        reader.query(sql.BEGIN_SNAPSHOT)
        rows = reader.query(sql.FILE_ROWS, release_gil=True)
        if attempt > 0 and not files.copy(rows):
            break
        # Of most files there are, and nobody is to wait for them, the snapshot would only keep the WAL.
        reader.query(sql.COMMIT)
        if attempt == 0:
            files.copy(rows)
    else:
        # Who may only read keeps nobody out.
        with contextlib.nullcontext() if store.read_only else store.transact():
            reader.query(sql.BEGIN_SNAPSHOT)
            rows = reader.query(sql.FILE_ROWS)
            lost = files.copy(rows)
        if lost:
            warn("%r: %s entries have lost their files, and are not part of the backup", store.directory, len(lost))
    files.keep(rows)
    database = os.path.join(folder, f"cache.db{_UNFINISHED}")
    _copy_database(reader, database, files.lost, meter)
    os.chmod(database, stat.S_IMODE(os.stat(store.path).st_mode) | 0o600)
    _sync_file(database)


def _copy_database(reader: Connection, path: str, lost: list[int], meter: _Meter) -> None:
    """Copy the pages of the snapshot; take out what belongs to the directory that it was taken in."""
    copied = 0

    def follow(done: int, _: int) -> None:
        nonlocal copied
        meter.add(done - copied)
        copied = done

    target = Connection(path)
    copy_database(reader, target, follow)
    # Its journal, which it has by now, it reads when it is opened.
    del target
    target = Connection(path)
    target.query(sql.BEGIN)
    for row in lost:
        target.query(sql.DELETE_ROW, (row,))
    for statement in (sql.FORGET_TRASH, sql.FORGET_RESERVED, sql.RECOUNT_FILE_BYTES, sql.COMMIT):
        target.query(statement)
    # All of it has to be in the one file: closing would say nothing of a disk that is full.
    ((busy, _, _),) = target.query(sql.CHECKPOINT_ALL, release_gil=True)
    if busy:
        raise StorageError(f"cannot complete {path!r}: somebody has it open")
    del target
    for name in (f"{path}-wal", f"{path}-shm"):
        if os.path.lexists(name):
            os.unlink(name)


class _Files:
    """The value files of one store, copied to a folder as often as there are new ones."""

    def __init__(self, store: DiskStore, folder: str, meter: _Meter) -> None:
        self._files = store.files
        self._folder = folder
        self._meter = meter
        self._copied: set[str] = set()
        self.lost: list[int] = []

    def copy(self, rows: list[tuple[Any, ...]]) -> list[int]:
        """Copy those that these rows name, and that are not there yet; returns the rows whose files are missing."""
        self.lost = []
        for row, name, size in rows:
            if name in self._copied:
                continue
            try:
                source = self._files.open_file(name, size)
            except MissingFileError:
                self.lost.append(row)
                continue
            with source:
                if not self._copied:
                    os.makedirs(self._folder, 0o700, exist_ok=True)
                    os.chmod(self._folder, stat.S_IMODE(os.stat(self._files.folder).st_mode) | 0o700)
                self._copied.add(name)
                with open(os.path.join(self._folder, name), "xb", 0) as target:
                    for count in _copy_file(source.fileno(), target.fileno(), size):
                        self._meter.add(count)
                    if hasattr(os, "fchmod"):
                        os.fchmod(target.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode) | 0o600)
                    os.fsync(target.fileno())
        return self.lost

    def keep(self, rows: list[tuple[Any, ...]]) -> None:
        """Remove those that these rows do not name."""
        named = {name for _, name, _ in rows}
        for name in self._copied - named:
            os.unlink(os.path.join(self._folder, name))


def _copy_file(source: int, target: int, size: int) -> Iterator[int]:
    """Copy a file, by sharing its blocks where the file system can; yields how many bytes, piece by piece."""
    if _share_blocks(source, target):
        yield size
        return
    done = 0
    copy = getattr(os, "copy_file_range", None)
    while copy is not None and done < size:
        try:
            count = copy(source, target, min(_CHUNK, size - done), done, done)
        except OSError as error:
            if done or error.errno in _FULL:
                raise
            break
        if count == 0:
            break
        done += count
        yield count
    os.lseek(source, done, os.SEEK_SET)
    os.lseek(target, done, os.SEEK_SET)
    while done < size:
        piece = memoryview(os.read(source, min(_CHUNK, size - done)))
        if not piece:
            raise StorageError("a value file became shorter while it was copied, by some other program")
        count = len(piece)
        while piece:
            piece = piece[os.write(target, piece) :]
        done += count
        yield count


def _share_blocks(source: int, target: int) -> bool:
    """Have a file share the blocks of another one; returns whether that could be done."""
    try:
        load("fcntl").ioctl(target, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True


def _finish_folder(folder: str, mode: int) -> None:
    """Sync a folder, and that of its files; give it its mode."""
    values = os.path.join(folder, "values")
    if os.path.isdir(values):
        _sync_folder(values)
    os.chmod(folder, mode)
    _sync_folder(folder)


def _sync_file(path: str) -> None:
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_folder(folder: str) -> None:
    if os.name != "nt":
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
