"""Look for damage in a cache, and repair it.

What can be wrong, and what a repair does:

- *orphaned files*: a process died between renaming a value file and committing its row, and nobody has noticed yet
  (engine/blobs/files.pyx), or somebody put a file there. They are removed if they are plain files with a name of our
  form; what else lies there is not ours, and left alone.
- *dangling rows*, *size mismatches*: a value file was removed or changed from outside. The value is lost; the row is
  removed (until then the entry reads as missing). If all of the folder is gone, reading raises StorageError, since it
  may come back, and it is this repair alone that gives its entries up.
- *counters*: the bytes in files, which ``volume`` reads, are counted anew.
- *untrusted*, *undecodable entries*: their values (or keys) are neither plain data nor signed with this process's
  secret (trust.py), or cannot be decoded at all. They are counted, and stay: another process may have the secret, or
  be of a newer version. Who wants them gone deletes them, or sets them anew. What a user's own serializer has made is
  not decoded here: what its ``loads`` does is not ours to bring about in a look at a directory, and a check has to have
  an end. All else in such a cache is looked at in the same way.
- *SQLite's integrity*: indexes are rebuilt; if the tables are damaged, what can still be read is salvaged (salvage.py).

Files are compared with rows without stopping anybody; only what then looks wrong is looked at again while other
writers wait. A value file gets its final name under the database's write lock (engine/blobs/files.pyx), so under that
lock a file without a row is an orphan for certain.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import cast

from fastcache.check.salvage import salvage
from fastcache.engine.blobs.files import MissingFileError
from fastcache.engine.disk_store import DiskStore
from fastcache.engine.shards import Shards
from fastcache.engine.sqlite import sql
from fastcache.errors import CacheError, CorruptError, StorageError, UntrustedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from fastcache.engine.memory_store import MemoryStore

__all__ = ["CheckResult", "check", "check_all", "journal_mode_of"]

_COUNTERS = ("orphaned_files", "dangling_rows", "size_mismatches", "untrusted_entries", "undecodable_entries")
_BATCH = 256
# The codec of what went through the serializer, flags aside (engine/codecs/values.pyx).
_SERIALIZED = 16


@dataclass
class CheckResult:
    """What a check found, before any repair. True if nothing was wrong.

    Attributes:
        orphaned_files: files that no entry names, leftovers of dead writers included (a count).
        dangling_rows: entries whose file is missing (a count).
        size_mismatches: entries whose file has another size than stored (a count).
        counters_consistent: whether the stored bytes in files agree with the entries.
        untrusted_entries: entries that are not loaded here, since nothing says who wrote them (a count).
        undecodable_entries: entries that cannot be decoded (a count); those of a user's own serializer are not tried.
        sqlite_integrity_ok: whether SQLite's own integrity check passed.
        journal_mode: SQLite's (str): "wal", or else each write is slow, though nothing is wrong with what is stored.
        fixed: whether a repair was asked for, and done (of all but entries that are not trusted, or not decodable).
        details: a line for each thing that is wrong: file names and row ids, never keys or values.
    """

    orphaned_files: int = 0
    dangling_rows: int = 0
    size_mismatches: int = 0
    counters_consistent: bool = True
    untrusted_entries: int = 0
    undecodable_entries: int = 0
    sqlite_integrity_ok: bool = True
    journal_mode: str = "wal"
    fixed: bool = False
    details: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return (
            not (self.orphaned_files or self.dangling_rows or self.size_mismatches)
            and not (self.untrusted_entries or self.undecodable_entries)
            and self.counters_consistent
            and self.sqlite_integrity_ok
        )

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        if self.ok:
            if self.journal_mode == "wal":
                return "ok"
            return f"ok, but slow: journal mode {self.journal_mode!r} instead of 'wal'; open it while nobody uses it"
        left = self.untrusted_entries + self.undecodable_entries
        repaired = ", repaired" + (f" but {left} of them" if left else "") if self.fixed else ""
        lines = [f"{len(self.details)} problem(s){repaired}"]
        lines += [f"  {line}" for line in self.details]
        return "\n".join(lines)


def check(store: DiskStore, *, fix: bool = False) -> CheckResult:
    """Check a store, and with ``fix`` repair what is wrong.

    Args:
        store: an open store.
        fix: whether to repair.

    Returns:
        What was found, before the repair.

    >>> from fastcache import Cache
    >>> with Cache() as cache:
    ...     print(cache.check())
    ok
    """
    result = CheckResult()
    _check_integrity(store, result, fix)
    if result.sqlite_integrity_ok or fix:
        result.journal_mode = journal_mode_of(store)
        _check_files(store, result, fix)
        _check_counter(store, result, fix)
        _check_values(store, result)
    result.fixed = fix and not result.ok
    return result


def check_all(stores: Shards, *, fix: bool = False) -> CheckResult:
    """Check all shards, the first one first, since the others follow it; returns what was found in any of them."""
    if stores.first.in_memory:
        return _check_memory(cast("MemoryStore", stores.first))
    result = check(stores.first, fix=fix)
    if stores.count == 1:
        return result
    for store in stores.all()[1:]:
        found = check(store, fix=fix)
        for counter in _COUNTERS:
            setattr(result, counter, getattr(result, counter) + getattr(found, counter))
        result.counters_consistent &= found.counters_consistent
        result.sqlite_integrity_ok &= found.sqlite_integrity_ok
        if found.journal_mode != "wal":
            result.journal_mode = found.journal_mode
        result.details += tuple(f"{os.path.basename(store.directory)}: {line}" for line in found.details)
    result.fixed = fix and not result.ok
    return result


def _check_memory(store: MemoryStore) -> CheckResult:
    """Look whether what is in memory fits together, and can be decoded."""
    result = CheckResult()
    result.details = tuple(store.problems())
    result.counters_consistent = not result.details

    def note(key: object, error: Exception) -> None:
        result.undecodable_entries += 1
        result.details += (f"undecodable entry: {error}",)

    if _is_checkable(store.serializer):
        for _ in store.items(False, note):
            pass
    return result


def _is_checkable(serializer: object) -> bool:
    """Whether what it has made may be decoded here: it is one of ours."""
    # The class is asked, since an object may have its attributes from another one.
    is_checkable = getattr(type(serializer), "is_checkable", None)
    return is_checkable is not None and bool(is_checkable())


def journal_mode_of(store: DiskStore) -> str:
    """SQLite's journal mode of a store (str); where nothing is written, it does not matter, and is as it should be."""
    if store.read_only:
        return "wal"
    ((mode,),) = store.connect().query(sql.GET_JOURNAL_MODE)
    return str(mode)


def _check_integrity(store: DiskStore, result: CheckResult, fix: bool) -> None:
    problems = _integrity_problems(store)
    if not problems:
        return
    result.sqlite_integrity_ok = False
    result.details += tuple(f"database: {problem}" for problem in problems)
    if not fix:
        return
    try:
        with store.transact():
            store.query(sql.REINDEX)
    except CorruptError:
        salvage(store)
    else:
        if _integrity_problems(store):
            salvage(store)


def _integrity_problems(store: DiskStore) -> list[str]:
    # A connection of its own: the check may take long, and must keep nobody waiting.
    try:
        rows = store.connect().query(sql.INTEGRITY, release_gil=True)
    except CorruptError as error:
        return [str(error.__cause__)]
    return [] if rows == [("ok",)] else [str(problem) for (problem,) in rows]


def _check_files(store: DiskStore, result: CheckResult, fix: bool) -> None:
    files = store.files
    there = files.is_there()
    if fix and there:
        store.tidy()
    leftovers = files.abandoned(remove=fix)
    result.orphaned_files += leftovers
    if leftovers:
        result.details += (f"orphaned file(s): {leftovers} left in values/tmp by writers that died",)
    # First what is there, then what should be: a file that is written meanwhile is no suspect.
    on_disk = set(files.names())
    reader = store.connect()
    rows = reader.query(sql.FILE_ROWS, release_gil=True)
    named = {name for _, name, _ in rows}
    strangers = on_disk - named - {name for (name,) in reader.query(sql.ALL_TRASH)}
    # Looked for again: somebody may have made it since, for the first file of all.
    there = files.is_there()
    suspects = {name for _, name, size in rows if not there or files.size(name) != size}
    if not strangers and not suspects:
        return
    with store.transact():
        rows = store.query(sql.FILE_ROWS)
        named = {name for _, name, _ in rows}
        kept = named | {name for (name,) in store.query(sql.ALL_TRASH)}
        # What is no plain file is not ours.
        for name in sorted(name for name in strangers - kept if files.size(name) is not None):
            result.orphaned_files += 1
            result.details += (f"orphaned file: values/{name}",)
            if fix and not files.unlink(name):
                raise StorageError(f"cannot remove an orphaned file from {files.folder!r}")
        there = files.is_there()
        if rows and not there:
            lost = f"{len(rows)} entries have their values in {files.folder!r}"
            result.details += (f"no folder: {lost}, which is not there",)
        for row, name, size in rows:
            found = files.size(name) if there else None
            if name not in suspects or found == size:
                continue
            if found is None:
                result.dangling_rows += 1
                result.details += (f"dangling row: {row}, its file values/{name} is missing",)
            else:
                result.size_mismatches += 1
                result.details += (f"size mismatch: row {row} states {size} bytes, values/{name} has others",)
            if fix:
                store.query(sql.DELETE_ROW, (row,))
    if fix:
        store.tidy()


def _check_values(store: DiskStore, result: CheckResult) -> None:
    """Decode all that has an encoding, but for what a serializer of the user's has made."""
    checkable = _is_checkable(store.serializer)
    reader = store.connect()
    last = -(1 << 63)
    while rows := reader.query(sql.ENCODED_ROWS, (last, _BATCH), release_gil=True):
        for row, key, codec, file, size, value in rows:
            try:
                if checkable:
                    store.decode_row(key, codec, file, size, value)
                elif not (type(codec) is int and codec & 0xFF == _SERIALIZED):
                    # Its key may be the user's, too, and is not needed where nothing is signed.
                    store.decode_row(0, codec, file, size, value)
            except UntrustedValueError:
                result.untrusted_entries += 1
                result.details += (f"untrusted entry: row {row} is neither plain data nor signed with our secret",)
            except MissingFileError:
                # Replaced meanwhile, or counted already.
                pass
            except CacheError as error:
                result.undecodable_entries += 1
                result.details += (f"undecodable entry: row {row}: {error}",)
        last = rows[-1][0]


def _check_counter(store: DiskStore, result: CheckResult, fix: bool) -> None:
    ((counted, actual),) = store.connect().query(sql.FILE_BYTES, release_gil=True)
    if counted == actual:
        return
    result.counters_consistent = False
    result.details += (f"counter: {counted} bytes in files are stored, the entries add up to {actual}",)
    if fix:
        with store.transact():
            store.query(sql.RECOUNT_FILE_BYTES)
