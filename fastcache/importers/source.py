"""The interface of a source, and what its modules share: entries, values decoded under rules of trust, SQLite files.

A module of a source has ``detect(path)``, which says whether that is one of its kind, and ``open_source(path, decoder,
options)``, which gives a Source. Neither changes anything there; ``Source.drop`` alone does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from fastcache.errors import CorruptError, OpenError, StorageError, Timeout
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, TypeAlias

__all__ = ["EXPIRED", "Entry", "Failure", "Source", "connect", "describe", "run", "tables_of"]

# How long to wait for whoever has a source's database locked, in seconds.
PATIENCE_SECONDS = 60.0
AT_ONCE = 1000


class Entry(NamedTuple):
    """One entry of a source. ``expire`` is in seconds since the epoch, ``token`` what ``drop`` knows it by."""

    key: Any
    value: Any
    expire: float | None
    tag: Any
    size: int
    token: Any


class Failure(NamedTuple):
    """An entry that cannot be taken along: where it lies, and why; neither says anything of what it holds."""

    where: str
    why: str


EXPIRED = Failure("", "expired")
"""Stands for an entry that has expired."""

if TYPE_CHECKING:
    _Found: TypeAlias = Entry | Failure


class Source:
    """Something that entries are migrated from."""

    kind: str
    path: str
    elsewhere: Sequence[str] = ()
    """Directories inside of this one that are sources of their own, and are not part of it."""

    def count(self) -> int:
        """How many entries there are."""
        raise NotImplementedError

    def entries(self, now: float) -> Iterator[_Found]:
        """All entries, in the order of insertion; EXPIRED for each that had expired at ``now``."""
        raise NotImplementedError

    def place_of(self, token: Any) -> str:
        """Where an entry lies, as a Failure says it."""
        raise NotImplementedError

    def drop(self, tokens: Iterable[Any]) -> None:
        """Delete these entries, as far as nobody has changed them since they were read."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back."""


class _BadText:
    """Stands for what SQLite takes for text, and is none."""


_BAD_TEXT = _BadText()


def _text(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _BAD_TEXT


def is_text_or_none(value: Any) -> bool:
    """Whether what a column holds can be what it says."""
    return value is not _BAD_TEXT


def _library() -> Any:
    """The module sqlite3, which not every Python has: our engine needs none."""
    try:
        return load("sqlite3")
    except ImportError as error:
        raise OpenError("this Python has no module sqlite3, by which databases of others are read") from error


def connect(path: str, *, write: bool = False) -> sqlite3.Connection:
    """A connection to a database that exists, which nothing stored there can make do more than SQL.

    Raises:
        OpenError: it cannot be opened.
    """
    # A journal that somebody who died has left can only be rolled back by writing. And what nobody can write to, and
    # has no log, is as it is.
    modes = ["mode=rw"] if write else ["mode=ro", "mode=rw"]
    if not write and not any(_has_content(path + suffix) for suffix in ("-wal", "-journal")):
        modes.append("mode=ro&immutable=1")
    library = _library()
    problem: Exception | None = None
    for mode in modes:
        connection = None
        try:
            connection = library.connect(
                f"file:{quote(os.path.abspath(path))}?{mode}", uri=True, timeout=PATIENCE_SECONDS, isolation_level=None
            )
            connection.text_factory = _text
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            opened: sqlite3.Connection = connection
            return opened
        except library.Error as error:
            problem = problem or error
            if connection is not None:
                connection.close()
    raise OpenError(f"the database {path!r} cannot be opened: {problem}") from problem


def _has_content(path: str) -> bool:
    try:
        return os.path.getsize(path) > 0
    except OSError:
        return False


def run(what: Callable[[], Any], path: str) -> Any:
    """Call what asks a source's database, with errors of ours.

    Raises:
        Timeout: somebody else has it locked.
        CorruptError: it is damaged.
        StorageError: anything else that SQLite reports.
    """
    library = _library()
    try:
        return what()
    except library.OperationalError as error:
        if "locked" in str(error):
            raise Timeout(f"{path!r} is locked by another program; close it there, and migrate again") from error
        raise StorageError(f"{path!r} cannot be read or written: {error}; then run the migration again") from error
    except library.DatabaseError as error:
        raise CorruptError(f"{path!r} is damaged: {error}; repair it with the library that has made it") from error


def is_database(path: str) -> bool:
    """Whether a file is an SQLite database."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def tables_of(path: str) -> dict[str, list[tuple[str, str]]]:
    """The tables of an SQLite database: of each its columns (name, declared type); empty if the file is none."""
    if not is_database(path):
        return {}
    library = _library()
    try:
        connection = connect(path)
    except OpenError:
        return {}
    try:
        # No views, and no tables that a module makes up.
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE%'"
        ).fetchall()
        return {
            name: connection.execute("SELECT name, type FROM pragma_table_info(?)", (name,)).fetchall()
            for (name,) in names
            if is_text_or_none(name) and not name.startswith("sqlite_")
        }
    except library.Error:
        return {}
    finally:
        connection.close()


def describe(path: str) -> str:
    """What is at a place, in a few words."""
    if not os.path.lexists(path):
        return "there is nothing"
    if os.path.isdir(path):
        names = sorted(os.listdir(path))
        if not names:
            return "it is an empty folder"
        if "cache.changes" in names:
            return "it is a cache of fastcache's already (see fastcache reshard, and backup)"
        shown = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
        tables = tables_of(os.path.join(path, "cache.db"))
        return f"it is a folder with {shown}" + (f"; its cache.db has the tables {_names(tables)}" if tables else "")
    tables = tables_of(path)
    if tables:
        return f"it is an SQLite database with the tables {_names(tables)}"
    return "it is a file of another kind" if os.path.isfile(path) else "it is no file"


def _names(tables: dict[str, Any]) -> str:
    shown = sorted(map(repr, tables))
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
