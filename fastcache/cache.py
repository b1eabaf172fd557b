"""Cache: a persistent cache with expiry, tags and statistics."""

from __future__ import annotations

from fastcache.engine.cache_mapping import CacheMapping
from fastcache.options import CACHE_MEMORY, choose_journal, choose_place, choose_serializer
from fastcache.queues import CacheQueues
from fastcache.recipes import CacheRecipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from typing import Any, Literal

    from fastcache.serializers.messagepack import Serializer

__all__ = ["Cache"]


class Cache(CacheRecipes, CacheQueues, CacheMapping):
    """A dict on disk, shared by any number of threads and processes, whose entries may expire and carry tags.

    Args:
        directory: where it lives; made (for its owner alone) if absent. ``~`` and ``$NAME`` stand for what they stand
            for in a shell. None makes a private temporary one, which is removed when the cache is closed, or collected,
            or the process that made it exits. ":memory:" keeps all in this process's memory: nothing is on disk, no
            other process sees it (a forked child has a copy of its own), and closing it frees it. ("./:memory:" is a
            directory.)
        max_size: a limit in bytes for what the directory occupies (the write-ahead log aside); in memory, for what the
            entries take, about. It is stored with the
            cache, and kept by every process. 0 for none; None for what is stored.
        eviction: what goes first when the cache is full; stored with it, too. None for what is stored, "lru" at first.

            - "lru": what was used least recently; exactly, whoever used it.
            - "lrs": what was stored longest ago; reading it does not count.
            - "lfu": what was used least often, where use long ago counts less.
            - "sieve": what was not used since a hand last passed it. Much that is asked for once does no harm.
            - "fifo": what is oldest.
            - "ttl": what expires first, and then what is oldest.
            - "none": nothing; a full cache raises CacheFullError.

            What has expired goes before anything else.
        on_evict: called as ``on_evict(key, reason)`` after this object has removed an entry that nobody has told it to
            remove by key. The reason is "evicted" (to make room), "expired", or "tag" (by ``evict_tag``). It is called
            a moment later, in the thread of maintenance, outside of all locks. What it raises is logged.
        serializer: for values that SQLite has no type for; PickleSerializer() by default.
        timeout: how long to wait for another writer, in seconds; and for who computes the same (see ``get_or_set``).
        memory: how many bytes of what was read may stay in this process, where it costs what a dict costs; 0 for none.
        journal: whether what is set (or added, deleted, popped, touched, counted up), and is not large, goes into
            ``cache.journal`` first, a ring of at most 4 MiB that all processes map, which takes a microsecond or less.
            All processes see it at once, and it survives the death of any of them. Maintenance writes it to the
            database within some 50 ms; before that, a program that reads ``cache.db`` by itself does not see it.
            ``flush()`` and ``close()`` wait for it. False for that each write is committed to the database before it
            returns; objects with and without may share a directory. It is off where it
            cannot keep these promises: with durability "full", with a policy that evicts nothing, under a limit of less
            than a MiB, and where the system has no shared memory, or no locks of open files.
        write_behind: deprecated. A number of seconds (int, float) above 0 means ``journal=True``; None and 0 mean
            nothing.
        durability: "normal": nothing acknowledged is lost if any process is killed, but the last moments may be after a
            power cut. "full": not then either, since each commit waits for the disk; threads that set at the same time
            share one.
        compression: "zstd", "lz4" or "blosc2" (which shuffles the bytes of arrays first) for values that shrink by a
            quarter or more; None for not at all. Each needs the extra of its name: ``pip install fastcache[zstd]``.
            What was stored with another setting can be read all the same.
        safe_types: classes whose instances count as plain data; see PickleSerializer.
        secret: what other values are signed with; see PickleSerializer.
        timer: called for the time in seconds since the epoch, instead of the system's clock.
        recreate: whether to begin anew, in a new directory, where this one was removed, renamed or replaced while it
            was open. Else whatever asks the database from then on raises DirectoryGoneError.
        read_only: whether to read alone: whatever would write raises ReadOnlyError, and what is memoized is computed if
            it is not there. None for if nothing can be written there, of which a ReadOnlyWarning tells; False for not
            even then.

    Raises:
        OpenError: (NotACacheError, FormatError, DirectoryNameError) the directory cannot be opened as asked.

    >>> with Cache() as cache:
    ...     cache["answer"] = 42
    ...     _ = cache.set("token", b"secret", expire=3600, tag="session")
    ...     cache["answer"], "token" in cache, len(cache)
    (42, True, 2)
    """

    def __init__(
        self,
        directory: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        *,
        max_size: int | None = None,
        eviction: Literal["lru", "lrs", "lfu", "sieve", "fifo", "ttl", "none"] | None = None,
        on_evict: Callable[[Any, Literal["evicted", "expired", "tag"]], object] | None = None,
        serializer: Serializer | None = None,
        timeout: float = 60.0,
        memory: int = CACHE_MEMORY,
        write_behind: float | None = None,
        journal: bool = True,
        durability: Literal["normal", "full"] = "normal",
        compression: Literal["zstd", "lz4", "blosc2"] | None = None,
        safe_types: Iterable[type] = (),
        secret: bytes | str | None = None,
        recreate: bool = False,
        read_only: bool | None = None,
        timer: Callable[[], float] | None = None,
    ) -> None:
        serializer = choose_serializer(serializer, safe_types, secret)
        self._open(
            choose_place(directory),
            serializer=serializer,
            timeout=timeout,
            timer=timer,
            memory=memory,
            journal=choose_journal(journal, write_behind),
            durability=durability,
            compression=compression,
            recreate=recreate,
            read_only=read_only,
            on_evict=on_evict,
            settings={"max_size": max_size, "eviction": eviction},
        )
