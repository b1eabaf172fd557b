"""Databases of the modules dbm and shelve, which lie in files of many formats: whichever Python can open here.

A shelf is such a database, with pickles as its values and text as its keys; nothing in it says so. It is taken for one
if each of its first values is a pickle.
"""

from __future__ import annotations

import dbm
import os
from itertools import islice
from typing import TYPE_CHECKING, Any

from fastcache.errors import CacheError, DecodeError, OpenError, StorageError
from fastcache.importers.source import Entry, Failure, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastcache.importers.pickles import Decoder
    from fastcache.importers.source import _Found

__all__ = ["detect", "open_source"]

# What is in a folder, and not in a file of this name.
_SUFFIXES = (".dat", ".dir", ".bak", ".db", ".pag")


def detect(path: str) -> bool:
    """Whether there is such a database, of this name, or in this file."""
    return not os.path.isdir(path) and _format_of(path) is not None


def _format_of(path: str) -> str | None:
    """The module that opens it; None if there is none, or none is known."""
    name = _name_of(path)
    try:
        return dbm.whichdb(name) or None
    except (OSError, ValueError):
        return None


def _name_of(path: str) -> str:
    """The name that a database was opened by, of that of one of its files."""
    stem, suffix = os.path.splitext(path)
    if suffix in _SUFFIXES and not dbm.whichdb(path) and dbm.whichdb(stem):
        return stem
    return path


def open_source(path: str, decoder: Decoder, *, shelf: bool | None = None) -> Source:
    """The database of this name; ``shelf`` says whether it is one of shelve's, None finds out.

    Raises:
        OpenError: its format is none that can be opened here.
    """
    return _Database(path, decoder, shelf)


class _Database(Source):
    def __init__(self, path: str, decoder: Decoder, shelf: bool | None) -> None:
        self.path = path
        self._name = _name_of(path)
        self._format = _format_of(path)
        self._decoder = decoder
        self._reader = self._open("r")
        try:
            self._keys = list(self._reader.keys())
            if shelf is None:
                values = [self._reader[key] for key in islice(self._keys, 100)]
                shelf = bool(values) and all(_is_pickle(value) for value in values)
        except Exception as error:
            self._reader.close()
            raise StorageError(f"{path!r} cannot be read: {type(error).__name__}") from error
        except BaseException:
            self._reader.close()
            raise
        self._is_shelf = shelf
        self.kind = "shelve" if shelf else "dbm"

    def _open(self, flag: Any) -> Any:
        try:
            return dbm.open(self._name, flag)
        except Exception as error:
            raise OpenError(
                f"{self.path!r} is a database of {self._format}, and cannot be opened: {type(error).__name__}"
            ) from error

    def close(self) -> None:
        self._reader.close()

    def count(self) -> int:
        return len(self._keys)

    def entries(self, now: float) -> Iterator[_Found]:
        for position, key in enumerate(self._keys):
            try:
                payload = self._reader[key]
            except KeyError:
                # Somebody has deleted it meanwhile.
                continue
            except Exception as error:
                yield Failure(f"entry {position}", f"it cannot be read ({type(error).__name__})")
                continue
            try:
                yield self._decode(position, key, payload)
            except CacheError as error:
                yield Failure(f"entry {position}", f"{type(error).__name__}: {error}")

    def _decode(self, position: int, key: bytes, payload: bytes) -> Entry:
        if not self._is_shelf:
            return Entry(key, payload, None, None, len(payload), (key, payload, position))
        try:
            name = key.decode()
        except UnicodeDecodeError as error:
            raise DecodeError("its key is not UTF-8") from error
        return Entry(name, self._decoder.loads(payload), None, None, len(payload), (key, payload, position))

    def place_of(self, token: Any) -> str:
        return f"entry {token[2]}"

    def drop(self, tokens: Iterable[Any]) -> None:
        # Several formats let one open it to write, or many to read.
        self._reader.close()
        try:
            with self._open("w") as database:
                for key, payload, _ in tokens:
                    if database.get(key) == payload:
                        del database[key]
        except CacheError:
            raise
        except Exception as error:
            raise StorageError(f"{self.path!r} cannot be written: {type(error).__name__}") from error
        finally:
            self._reader = self._open("r")


def _is_pickle(data: bytes) -> bool:
    # Protocols before 2 have no beginning of their own.
    return data.endswith(b".") and (data[:1] == b"\x80" or data[:1] in b"(cINLFVSK]}")
