"""Index: a persistent dict, without expiry, tags or statistics."""

from __future__ import annotations

from fastcache.engine.index_mapping import IndexMapping
from fastcache.options import CACHE_MEMORY, choose_place, choose_serializer
from fastcache.queues import IndexQueues
from fastcache.recipes import Recipes

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal

    from fastcache.serializers.messagepack import Serializer

__all__ = ["Index"]


class Index(Recipes, IndexQueues, IndexMapping):
    """A dict on disk, shared by any number of threads and processes. Nothing in it ever goes away by itself.

    Args:
        directory: where it lives; made (for its owner alone) if absent. None makes a private temporary one, which
            is removed when the index is closed, or collected, or the process that made it exits. ":memory:" keeps all
            in memory; see Cache.
        mapping_or_pairs: stored at once, as by ``update``.
        serializer: for values that SQLite has no type for; PickleSerializer() by default.
        timeout: how long to wait for another writer, in seconds; and for who computes the same (see ``get_or_set``).
        memory: how many bytes of what was read may stay in this process, where it costs what a dict costs; 0 for none.
        journal: whether what is set goes into a ring in memory first that all processes share (True), or each write is
            committed before it returns (False); see Cache.
        durability: "normal", or "full" to have each commit wait for the disk; see Cache.
        compression: "zstd", "lz4", "blosc2" or None; see Cache.
        safe_types: classes whose instances count as plain data; see PickleSerializer.
        secret: what other values are signed with; see PickleSerializer.
        recreate: whether to begin anew where the directory was removed while it was open; see Cache.
        read_only: whether to read alone; None for if nothing can be written. See Cache.
        **items: stored at once, too.

    Raises:
        OpenError: (NotACacheError, FormatError, DirectoryNameError) the directory cannot be opened as asked.

    >>> with Index(None, {"a": 1}, b=2) as index:
    ...     index == {"a": 1, "b": 2}, index.pop("a"), list(index)
    (True, 1, ['b'])
    """

    def __init__(
        self,
        directory: str | bytes | os.PathLike[str] | os.PathLike[bytes] | None = None,
        mapping_or_pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
        *,
        serializer: Serializer | None = None,
        timeout: float = 60.0,
        memory: int = CACHE_MEMORY,
        journal: bool = True,
        durability: Literal["normal", "full"] = "normal",
        compression: Literal["zstd", "lz4", "blosc2"] | None = None,
        safe_types: Iterable[type] = (),
        secret: bytes | str | None = None,
        recreate: bool = False,
        read_only: bool | None = None,
        **items: Any,
    ) -> None:
        serializer = choose_serializer(serializer, safe_types, secret)
        self._open(
            choose_place(directory),
            serializer=serializer,
            timeout=timeout,
            memory=memory,
            journal=journal,
            durability=durability,
            compression=compression,
            recreate=recreate,
            read_only=read_only,
            keeps_limit=False,
        )
        if mapping_or_pairs or items:
            self.update(mapping_or_pairs, **items)
