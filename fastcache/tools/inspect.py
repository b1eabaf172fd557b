"""What a cache says of itself, and opening it as it is: nothing here makes one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastcache.cache import Cache
from fastcache.engine.database.opening import look_into
from fastcache.engine.shards import MOST_SHARDS
from fastcache.engine.sqlite import sql
from fastcache.errors import NotACacheError
from fastcache.fanout import FanoutCache
from fastcache.options import choose_directory
from fastcache.serializers.messagepack import MsgspecSerializer
from fastcache.serializers.pickling import PickleSerializer

if TYPE_CHECKING:
    from typing import Any

    from fastcache.engine.sqlite.connection import Connection

__all__ = ["open_as_stored", "open_cache", "open_undecoded", "settings_in", "stored_settings"]


def stored_settings(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """What a cache says of itself: its format, serializer, number of shards and limit. Makes none.

    Raises:
        NotACacheError: there is none.
    """
    directory = choose_directory(directory) or os.getcwd()
    database = os.path.join(directory, "cache.db")
    if not os.path.isfile(database) or os.path.getsize(database) == 0:
        raise NotACacheError(f"{directory} is no cache: it has no database cache.db")
    return settings_in(directory, look_into(database))


def settings_in(directory: str, connection: Connection) -> dict[str, Any]:
    """The same, of a database that is open already."""
    if connection.query(sql.GET_APPLICATION_ID) != [(sql.APPLICATION_ID,)]:
        raise NotACacheError(f"{directory} is no cache: its cache.db is another program's database")
    return dict(connection.query(sql.GET_META))


def open_cache(directory: str | os.PathLike[str], **options: Any) -> Cache | FanoutCache:
    """Open a cache that exists, whatever its number of shards; see Cache for the options.

    Raises:
        OpenError: (NotACacheError, FormatError) there is none, or it cannot be opened.
    """
    shards = stored_settings(directory).get("shards")
    if type(shards) is int and 1 < shards <= MOST_SHARDS:
        return FanoutCache(directory, shards=shards, **options)
    return Cache(directory, **options)


def open_as_stored(directory: str | os.PathLike[str]) -> Cache | FanoutCache:
    """Open a cache with the serializer that it names, if that is one of ours; else its values cannot be decoded."""
    name = stored_settings(directory).get("serializer")
    if name == PickleSerializer.name:
        return open_cache(directory)
    if name == MsgspecSerializer.name:
        return open_cache(directory, serializer=MsgspecSerializer())
    return open_undecoded(directory)


def open_undecoded(directory: str | os.PathLike[str]) -> Cache | FanoutCache:
    """Open a cache whatever its serializer: its values cannot be decoded."""
    return open_cache(directory, serializer=_Undecoded(stored_settings(directory).get("serializer", "unknown")))


class _Undecoded:
    """Stands in for the serializer of a cache, of which the name is enough where no value is decoded."""

    def __init__(self, name: str) -> None:
        self.name = name

    def dumps(self, value: object, /) -> bytes:
        raise NotImplementedError

    def loads(self, data: bytes, /) -> object:
        raise NotImplementedError
