"""Value files: what is too large for a row.

A file's life, in the order that makes a crash harmless at every point:

1. it is written to ``values/tmp/`` under a random name, its writer holding a lock on it (flock);
2. the writer takes the database's write lock, renames the file to ``values/NAME`` and commits the row naming it.
   So whoever holds the write lock sees no file in ``values/`` that a living writer is about to name;
3. the row goes away (to be replaced, maybe): a trigger puts NAME into the table ``trash`` in the same transaction;
4. after that commit somebody unlinks it, then drops it from the trash. A reader that had read the row before finds
   no file, and reads the row again.

A temporary file whose lock is free was left by a dead process. Names are never used twice. A name read from the
database is only used if it has the form that we give out, so that a planted row reaches no other file.
"""

from __future__ import annotations

import os
import stat
import time

from fastcache.engine.errors import CacheError, FullError, StorageError
from fastcache.engine.lazy import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MissingFileError", "ValueFiles"]

_DIGITS = frozenset("0123456789abcdef")
# NONBLOCK matters for what is no regular file alone: opening a planted FIFO must not hang.
_READ_FLAGS = os.O_RDONLY
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
for _flag in ("O_CLOEXEC", "O_BINARY"):
    _READ_FLAGS |= getattr(os, _flag, 0)
    _WRITE_FLAGS |= getattr(os, _flag, 0)
for _flag in ("O_NOFOLLOW", "O_NONBLOCK"):
    _READ_FLAGS |= getattr(os, _flag, 0)
_LARGEST_WRITE = 1 << 30
# IOV_MAX is at least that on every system that has writev.
_MOST_PARTS = 1024 if os.name != "nt" else 1
# Windows has no flock: there a file that is open cannot be unlinked, which is proof enough that its writer lives.
_HAS_FLOCK = os.name != "nt"


class MissingFileError(CacheError):
    """The file is not there, or has not the size that its row states."""


class ValueFiles:
    """The value files of one cache directory."""

    def __init__(self, directory: str) -> None:
        self.folder = os.path.join(directory, "values")
        self.temporary = os.path.join(self.folder, "tmp")

    def path(self, name: str) -> str:
        """The path of a committed file; raises MissingFileError for a name that we never gave out."""
        if type(name) is not str or len(name) != 32 or not _DIGITS.issuperset(name):
            raise MissingFileError("a row names a file in a form that is not ours")
        return os.path.join(self.folder, name)

    def write(self, parts: list[bytes | memoryview]) -> PendingFile:
        """Write a temporary file of what follows each other; it is in nobody's way until ``commit``."""
        pending = self.begin()
        pending.write(parts)
        return pending

    def begin(self) -> PendingFile:
        """Make an empty temporary file."""
        try:
            return PendingFile(self, *self._create())
        except FileNotFoundError:
            for folder in (self.folder, self.temporary):
                try:
                    os.mkdir(folder, 0o700)
                except FileExistsError:
                    continue
                except OSError as error:
                    raise storage_error(error, "make the folder", folder) from error
            return PendingFile(self, *self._create())

    def _create(self) -> tuple[str, int]:
        while True:
            name = os.urandom(16).hex()
            path = os.path.join(self.temporary, name)
            try:
                fd = os.open(path, _WRITE_FLAGS, 0o600)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise storage_error(error, "create a value file in", self.folder) from error
            # A cleaner may have taken the file for a dead process's before it was locked: then start over.
            if not _HAS_FLOCK or (_lock(fd) is not False and os.fstat(fd).st_nlink == 1):
                return name, fd
            os.close(fd)
            _unlink(path)

    def read(self, name: str, size: int) -> bytes:
        """The bytes of a committed file.

        Raises:
            MissingFileError: it is not there, or is not ``size`` bytes long.
            StorageError: the file system reported an error.
        """
        fd = self._open(name, size)
        try:
            payload = os.read(fd, size)
            if len(payload) < size:
                payload = self._read_on(fd, payload, size)
        except OSError as error:
            raise storage_error(error, "read a value file of", self.folder) from error
        finally:
            os.close(fd)
        return payload

    def map(self, name: str, size: int) -> bytes | memoryview:
        """The same as a view of the file, valid as long as anybody has it; or as bytes where there are no maps."""
        fd = self._open(name, size)
        try:
            mapped: memoryview | None = load("fastcache.engine.maps").map_file(fd, size)
        finally:
            os.close(fd)
        return self.read(name, size) if mapped is None else mapped

    def _open(self, name: str, size: int) -> int:
        """Open a committed file, if it has the size that its row states."""
        try:
            fd = os.open(self.path(name), _READ_FLAGS)
        except FileNotFoundError as error:
            raise MissingFileError("a value file is not there") from error
        except OSError as error:
            raise storage_error(error, "open a value file of", self.folder) from error
        try:
            found = os.fstat(fd)
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                raise MissingFileError("a value file has another size than its row states")
        except BaseException as error:
            os.close(fd)
            if isinstance(error, OSError) and not isinstance(error, CacheError):
                raise storage_error(error, "look at a value file of", self.folder) from error
            raise
        return fd

    @staticmethod
    def _read_on(fd: int, start: bytes, size: int) -> bytes:
        """What is left after one read, which the system limits to 2 GiB."""
        parts = [start]
        left = size - len(start)
        while left:
            part = os.read(fd, left)
            if not part:
                raise MissingFileError("a value file has another size than its row states")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def size(self, name: str) -> int | None:
        """The size in bytes of a committed file; None if it is not there or no plain file."""
        try:
            found = os.lstat(self.path(name))
        except (FileNotFoundError, MissingFileError):
            return None
        except OSError as error:
            raise storage_error(error, "look at a value file of", self.folder) from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def unlink(self, name: str) -> bool:
        """Remove a committed file. Returns whether it is gone; it stays where the system does not let go of it."""
        try:
            return _unlink(self.path(name))
        except MissingFileError:
            return True

    def names(self) -> Iterator[str]:
        """The names of everything in the folder but folders: what rows name, and strangers."""
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry.name
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, "list", self.folder) from error

    def lies_there(self, name: str) -> bool:
        """Whether something of that name is in the folder."""
        return os.path.lexists(os.path.join(self.folder, name))

    def remove_stranger(self, name: str) -> None:
        """Remove what lies in the folder without a row, whatever its name."""
        path = os.path.join(self.folder, name)
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, "remove an orphaned file from", self.folder) from error

    def abandoned(self, *, remove: bool) -> int:
        """Count the temporary files that dead processes left behind, and remove them if asked."""
        try:
            suspects = [name for name in os.listdir(self.temporary) if self._writer_is_dead(name)]
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise storage_error(error, "list", self.temporary) from error
        if suspects:
            # Its writer may be alive, and just about to lock it.
            time.sleep(0.05)
        count = 0
        for name in suspects:
            if self._writer_is_dead(name, remove=remove):
                count += 1
        return count

    def remove_if_dead(self, name: str) -> bool:
        """Remove what a writer that is dead has left under this name, which no row has. False if it lives.

        The caller holds the database's write lock, and the writer had locked the file before it told anybody of it."""
        try:
            path = self.path(name)
        except MissingFileError:
            return True
        temporary = os.path.join(self.temporary, name)
        if os.path.lexists(temporary) and not self._writer_is_dead(name, remove=True):
            return False
        return _unlink(path)

    def _writer_is_dead(self, name: str, *, remove: bool = False) -> bool:
        path = os.path.join(self.temporary, name)
        if not _HAS_FLOCK:
            return not remove or _unlink(path)
        try:
            fd = os.open(path, _READ_FLAGS)
        except OSError:
            return False
        try:
            return bool(_lock(fd)) and (not remove or _unlink(path))
        finally:
            os.close(fd)


class PendingFile:
    """A temporary file, until its row is about to be committed. Its writer alone holds it."""

    __slots__ = ("_fd", "_files", "_path", "name")

    def __init__(self, files: ValueFiles, name: str, fd: int) -> None:
        self.name = name
        self._files = files
        self._fd = fd
        self._path = os.path.join(files.temporary, name)

    def write(self, parts: list[bytes | memoryview]) -> None:
        """Write what follows each other; on failure there is no file any more."""
        try:
            for group in _writable(parts):
                _write_all(self._fd, group)
        except BaseException as error:
            self.discard()
            if isinstance(error, OSError):
                size = sum(map(len, parts))
                raise storage_error(error, f"write a value of {size} bytes to", self._files.folder) from error
            raise

    def commit(self) -> None:
        """Give the file its final name; the caller holds the database's write lock."""
        try:
            if not _HAS_FLOCK:  # Windows does not rename what is open.
                self._close()
            os.rename(self._path, self._files.path(self.name))
            self._close()
        except OSError as error:
            raise storage_error(error, "finish a value file in", self._files.folder) from error

    def discard(self) -> None:
        """Remove the file, whether it has its final name or not."""
        try:
            if not _HAS_FLOCK:  # Windows does not unlink what is open.
                self._close()
            _unlink(self._path)
        except OSError:
            # Closing failed: it is closed all the same, and what was written goes.
            _unlink(self._path)
        finally:
            self._files.unlink(self.name)
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def _writable(parts: list[bytes | memoryview]) -> Iterator[list[bytes | memoryview]]:
    """Groups of parts that one system call takes: so many, and so many bytes."""
    group: list[bytes | memoryview] = []
    size = 0
    for part in parts:
        for start in range(0, len(part), _LARGEST_WRITE):
            piece = part if len(part) <= _LARGEST_WRITE else memoryview(part)[start : start + _LARGEST_WRITE]
            if group and (len(group) == _MOST_PARTS or size + len(piece) > _LARGEST_WRITE):
                yield group
                group, size = [], 0
            group.append(piece)
            size += len(piece)
    yield group


def _write_all(fd: int, parts: list[bytes | memoryview]) -> None:
    """Write all of them, however little the system takes at once."""
    if len(parts) == 1 or not hasattr(os, "writev"):
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(fd, view) :]
        return
    written = os.writev(fd, parts)
    for part in parts:
        if written < len(part):
            _write_all(fd, [memoryview(part)[written:]])
        written = max(0, written - len(part))


def _unlink(path: str) -> bool:
    """Remove a file; returns whether it is gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _lock(fd: int) -> bool | None:
    """Whether the lock was free; None where the file system has no locks (then no leftover is ever removed)."""
    fcntl = load("fcntl")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def storage_error(error: OSError, doing: str, folder: str) -> CacheError:
    """Our exception for one of the system's."""
    errno = load("errno")
    if error.errno in (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC):
        return FullError(f"cannot {doing} {folder!r}: the disk is full; free some space, nothing was changed")
    return StorageError(f"cannot {doing} {folder!r}: {os.strerror(error.errno or 0)}")
