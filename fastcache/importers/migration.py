"""Moving what other libraries have stored into a cache: what is true at every moment, and what an interruption leaves.

- Entries are added a thousand at a time, each thousand in one transaction (of each shard). What the destination has
  already under a key, it keeps: that may be newer, and so the migration can be run again after it was interrupted.
- With ``drop``, entries are deleted from the source when their transaction is committed, and on the disk: each commit
  waits for that. Of what the destination had already, only what is the same there is deleted.
- So an entry is at every moment in the source, in the destination, or in both.
- What cannot be taken along stays in the source, and the result tells where it lies.
"""

from __future__ import annotations

import io
import os
import pickle
import time
from typing import TYPE_CHECKING, Any

from fastcache.cache import Cache
from fastcache.engine.bulk import add_entries
from fastcache.errors import EncodeError, NotACacheError, TooLargeError
from fastcache.fanout import FanoutCache, FanoutIndex
from fastcache.importers import dbm, diskcache, sciqlop_cache, sqlitedict
from fastcache.importers.pickles import Decoder
from fastcache.importers.source import AT_ONCE, EXPIRED, Entry, describe
from fastcache.index import Index
from fastcache.options import choose_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal, TypeAlias

    from fastcache.engine.mapping import StoreMapping
    from fastcache.importers.source import Source

    _StoreType: TypeAlias = Literal["cache", "index", "fanout", "fanoutindex"]
    _Kind: TypeAlias = Literal["diskcache", "diskcache-json", "sciqlop-cache", "shelve", "dbm", "sqlitedict"]

__all__ = ["KINDS", "STORE_TYPES", "migrate"]

KINDS = ("diskcache", "diskcache-json", "sciqlop-cache", "shelve", "dbm", "sqlitedict")
STORE_TYPES: dict[str, Any] = {"cache": Cache, "index": Index, "fanout": FanoutCache, "fanoutindex": FanoutIndex}
_FANOUT = ("fanout", "fanoutindex")
# Bytes of values that wait for a commit at most, but for the last one.
_MOST_BYTES = 16 * 1024 * 1024
_MOST_LISTED = 100
# What is later than this, in seconds, is never; in ms, it would leave 64 bits.
_NEVER = 9e15


def migrate(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    drop: bool = False,
    store_type: _StoreType = "cache",
    shards: int | None = None,
    kind: _Kind | None = None,
    table: str | None = None,
    safe_types: Iterable[type] = (),
    trust_source: bool = False,
    secret: bytes | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, Any]:
    """Copy what diskcache, sciqlop-cache, sqlitedict, shelve or dbm has stored into a cache, with lifetimes and tags.

    The source may be in use, and is not changed without ``drop``. Nothing in it can run code: what is neither plain
    data nor of ``safe_types`` stays there, and is listed. What the destination has already under a key, it keeps. So if
    the migration is interrupted, run it again. Of keys that are one in a dict (1, 1.0 and True) the first one counts.

    Args:
        source: of a directory of diskcache's (Cache, Index, Deque or FanoutCache) or sciqlop-cache's, or of a file.
        destination: of a cache; made if absent.
        drop: whether to delete in the source what is committed in the destination.
        store_type: "cache", "index", "fanout" (FanoutCache) or "fanoutindex". An index keeps no tags, and takes nothing
            that expires.
        shards: of a destination that is made, if it has several (int); 8 by default.
        kind: what the source is ("diskcache", "diskcache-json" for its JSONDisk, "sciqlop-cache", "shelve", "dbm" or
            "sqlitedict"); None to find out.
        table: of a file of sqlitedict's that has several (str).
        safe_types: classes whose instances count as plain data, here and in the destination; see PickleSerializer.
        trust_source: whether to load whatever is there, which may run code: only what nobody you distrust could write.
        secret: what is signed with that is not plain; see PickleSerializer.
        progress: called as ``progress(done, total)`` with numbers of entries.

    Returns:
        A dict of "migrated", "skipped" (expired, or there already), "expired" (of those), "errors" (ints),
        "elapsed_secs" (float), "kind" (str), "undecoded" (the first hundred of the errors, as pairs of where the entry
        lies and why it was left there) and "elsewhere" (directories in the source that are sources of their own).

    Raises:
        NotACacheError: the source is none of these kinds.
        OpenError: source or destination cannot be opened as asked.
        CorruptError, StorageError, Timeout: (of the source, too) it is damaged, cannot be read, is locked.
        FullError, CacheFullError: there is no room in the destination.
        ValueError, TypeError: an argument is none of those that there are.

    >>> import os, shelve, tempfile
    >>> from fastcache import Cache
    >>> from fastcache.migrate import migrate
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     source, destination = os.path.join(folder, "shelf"), os.path.join(folder, "cache")
    ...     with shelve.open(source) as shelf:
    ...         shelf["k"] = {"v": [1, 2]}
    ...     result = migrate(source, destination)
    ...     with Cache(destination) as cache:
    ...         result["migrated"], result["errors"], cache["k"]
    (1, 0, {'v': [1, 2]})
    """
    began = time.monotonic()
    if store_type not in STORE_TYPES:
        raise ValueError(f"store_type must be one of {', '.join(STORE_TYPES)}, not {store_type!r}")
    if shards is not None and store_type not in _FANOUT:
        raise ValueError(f"shards belong to the store types {' and '.join(_FANOUT)}, not to {store_type!r}")
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if table is not None and kind not in (None, "sqlitedict"):
        raise ValueError(f"a table belongs to sqlitedict, not to {kind!r}")
    safe_types = tuple(safe_types)
    where = choose_directory(source) or os.getcwd()
    target = choose_directory(destination) or os.getcwd()
    if os.path.realpath(where) == os.path.realpath(target):
        raise ValueError(f"the destination is the source, {where!r}: give a new directory")
    found = _open_source(where, Decoder(safe_types, trusted=trust_source), kind, table)
    try:
        options: dict[str, Any] = {"safe_types": safe_types, "secret": secret, "memory": 0, "read_only": False}
        if shards is not None:
            options["shards"] = shards
        with STORE_TYPES[store_type](target, durability="full" if drop else "normal", **options) as store:
            migration = _Migration(found, store, drop, progress)
            migration.run()
    finally:
        found.close()
    return {
        "migrated": migration.migrated,
        "skipped": migration.expired + migration.kept,
        "errors": migration.errors,
        "elapsed_secs": time.monotonic() - began,
        "expired": migration.expired,
        "kind": found.kind,
        "undecoded": migration.listed,
        "elsewhere": list(found.elsewhere),
    }


def _open_source(path: str, decoder: Decoder, kind: str | None, table: str | None) -> Source:
    if kind in (None, "diskcache", "diskcache-json") and diskcache.detect(path):
        return diskcache.open_source(path, decoder, json_disk=None if kind is None else kind == "diskcache-json")
    if kind in (None, "sciqlop-cache") and sciqlop_cache.detect(path):
        return sciqlop_cache.open_source(path, decoder)
    if kind in (None, "sqlitedict") and sqlitedict.detect(path):
        return sqlitedict.open_source(path, decoder, table=table)
    if kind in (None, "dbm", "shelve") and dbm.detect(path):
        return dbm.open_source(path, decoder, shelf=None if kind is None else kind == "shelve")
    wanted = kind or "diskcache, sciqlop-cache, sqlitedict, shelve or dbm"
    raise NotACacheError(f"{path!r} is not of {wanted}: {describe(path)}")


class _Migration:
    """One run: what is read and not yet committed, and what has become of the rest."""

    def __init__(
        self, source: Source, store: StoreMapping, drop: bool, progress: Callable[[int, int], object] | None
    ) -> None:
        self._source = source
        self._store = store
        self._drop = drop
        self._progress = progress
        self._keeps_expiry = isinstance(store, (Cache, FanoutCache))
        self._waiting: list[Entry] = []
        self.migrated = self.kept = self.expired = self.errors = 0
        self.listed: list[tuple[str, str]] = []

    def run(self) -> None:
        total = self._source.count()
        waiting = self._waiting
        done = size = told = 0
        for found in self._source.entries(time.time()):
            done += 1
            if isinstance(found, Entry):
                waiting.append(found)
                size += found.size
                if len(waiting) >= AT_ONCE or size >= _MOST_BYTES:
                    self._commit()
                    size = 0
                    told = done
                    self._tell(done, total)
            elif found is EXPIRED:
                self.expired += 1
            else:
                self._fail(found.where, found.why)
        self._commit()
        if told != done or not done:
            self._tell(done, done)

    def _tell(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(done, max(done, total))

    def _fail(self, where: str, why: str) -> None:
        self.errors += 1
        if len(self.listed) < _MOST_LISTED:
            self.listed.append((where, why))

    def _commit(self) -> None:
        """Store what waits, and then delete it in the source."""
        waiting = self._waiting[:]
        self._waiting.clear()
        if not waiting:
            return
        try:
            rows = [self._row(entry) for entry in waiting]
            added = add_entries(self._store.stores, rows)
        except (EncodeError, TooLargeError, TypeError, ValueError):
            # One of them, or several.
            for entry in waiting:
                self._commit_one(entry)
            return
        self.migrated += added
        self.kept += len(waiting) - added
        if self._drop:
            if added != len(waiting):
                waiting = [entry for entry in waiting if self._is_stored(entry)]
            self._source.drop([entry.token for entry in waiting])

    def _commit_one(self, entry: Entry) -> None:
        try:
            added = add_entries(self._store.stores, [self._row(entry)])
        except (EncodeError, TooLargeError, TypeError, ValueError) as error:
            # Whose message may tell of the entry.
            self._fail(self._source.place_of(entry.token), f"it cannot be stored here ({_reason(error)})")
            return
        self.migrated += added
        self.kept += 1 - added
        if self._drop and (added or self._is_stored(entry)):
            self._source.drop([entry.token])

    def _row(self, entry: Entry) -> tuple[Any, Any, int | None, Any]:
        key, value, expire, tag = entry[:4]
        if not self._keeps_expiry:
            if expire is not None:
                raise ValueError("it expires, which an index knows nothing of; migrate to a cache")
            return key, value, None, None
        return key, value, None if expire is None or expire >= _NEVER else int(expire * 1000), tag

    def _is_stored(self, entry: Entry) -> bool:
        """Whether the destination has the same under this key."""
        missing = object()
        try:
            # An index's get has no more arguments.
            stored = self._store.get(entry.key, missing)
        except Exception:
            return False
        return stored is not missing and _is_same(stored, entry.value)


def _reason(error: Exception) -> str:
    return str(error).removeprefix("item 0: ")


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are certainly the same."""
    try:
        return _pickled(one) == _pickled(other)
    except Exception:
        return False


def _pickled(value: Any) -> bytes:
    out = io.BytesIO()
    # Protocol 5 tells whether an array can be written to, and the memo what is shared.
    pickler = pickle.Pickler(out, 4)
    pickler.fast = True
    pickler.dump(value)
    return out.getvalue()
