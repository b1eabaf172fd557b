"""Sources that consist of databases with value files beside them: one directory, or one for each shard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastcache.importers.source import Source, connect, run
from fastcache.importers.value_files import ValueFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Part", "Parts", "parts_of"]


class Part:
    """One database with its files. A token of its entries ends with the name of the file, or None."""

    count_all: str
    """The statement that counts all entries."""
    delete_one: str
    """The statement that deletes the entry of a token, if it is unchanged."""
    count_named: str
    """The statement that tells whether an entry names a file."""

    def __init__(self, directory: str, name: str, database: str) -> None:
        self.directory = directory
        self._name = "" if name == os.curdir else f"{name}, "
        self._path = os.path.join(directory, database)
        self.files = ValueFiles(directory)
        self._reader = connect(self._path)
        self._writer: Any = None

    def close(self) -> None:
        """Give the connections back."""
        self._reader.close()
        if self._writer is not None:
            self._writer.close()

    def ask(self, statement: str, *given: Any) -> list[Any]:
        """The rows that a statement finds."""
        rows: list[Any] = run(lambda: self._reader.execute(statement, given).fetchall(), self._path)
        return rows

    def count(self) -> int:
        """How many entries there are."""
        return int(self.ask(self.count_all)[0][0])

    def place(self, where: str) -> str:
        """How an entry here is called."""
        return f"{self._name}{where}"

    def place_of(self, token: Sequence[Any]) -> str:
        """How that of a token is called."""
        raise NotImplementedError

    def parameters_of(self, token: Sequence[Any]) -> Sequence[Any]:
        """What ``delete_one`` is given."""
        return token

    def drop(self, tokens: Iterable[Sequence[Any]]) -> None:
        """Delete entries, and then their files."""
        if self._writer is None:
            self._writer = connect(self._path, write=True)
        gone = run(lambda: self._delete(tokens), self._path)
        # Only now: if this is interrupted, there are files that nothing names, and no row without its file.
        for filename in gone:
            if not self.ask(self.count_named, filename)[0][0]:
                self.files.remove(filename)

    def _delete(self, tokens: Iterable[Sequence[Any]]) -> list[str]:
        """Delete rows; returns the names of the files that belonged to them."""
        writer = self._writer
        gone = []
        writer.execute("BEGIN IMMEDIATE")
        try:
            for token in tokens:
                if writer.execute(self.delete_one, self.parameters_of(token)).rowcount and token[-1]:
                    gone.append(token[-1])
            writer.execute("COMMIT")
        except BaseException:
            writer.rollback()
            raise
        return gone


class Parts(Source):
    """A source of several parts, whose tokens begin with their part."""

    def __init__(self, path: str, directories: Iterable[str], make: Callable[[str, str], Part]) -> None:
        self.path = path
        self.parts: list[Any] = []
        try:
            for directory in directories:
                self.parts.append(make(directory, os.path.relpath(directory, path)))
        except BaseException:
            self.close()
            raise

    def count(self) -> int:
        """How many entries there are."""
        return sum(part.count() for part in self.parts)

    def place_of(self, token: Any) -> str:
        """Where an entry lies, as a Failure says it."""
        part: Part = token[0]
        return part.place_of(token[1:])

    def drop(self, tokens: Iterable[Any]) -> None:
        """Delete these entries, in each part by itself."""
        by_part: dict[Part, list[Any]] = {}
        for part, *token in tokens:
            by_part.setdefault(part, []).append(token)
        for part, of_part in by_part.items():
            part.drop(of_part)

    def close(self) -> None:
        """Close all parts."""
        for part in self.parts:
            part.close()


def parts_of(path: str, is_part: Callable[[str], bool], name_of: Callable[[int], str]) -> list[str]:
    """The directories of the parts: this one, or those in it that are numbered from 0 on."""
    if is_part(path):
        return [path]
    found: list[str] = []
    while is_part(os.path.join(path, name_of(len(found)))):
        found.append(os.path.join(path, name_of(len(found))))
    return found
