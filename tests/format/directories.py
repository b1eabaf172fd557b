"""How each of the stored directories is opened, by whoever wrote it and by whoever reads it."""

import fastcache

from .entries import LIMIT, SAFE_TYPES, SECRET, SHARDS

OF_ENTRIES = {"safe_types": SAFE_TYPES, "secret": SECRET}


def open_store(name, path, **options):
    """Open a store of the kind that is in the directory of this name."""
    kind, own = KINDS[name]
    return kind(path, **own | options)


def open_msgspec(path, type=None, **options):
    return fastcache.Cache(path, serializer=fastcache.MsgspecSerializer(type), **options)


KINDS = {
    "cache": (fastcache.Cache, OF_ENTRIES),
    "arrays": (fastcache.Cache, OF_ENTRIES),
    "frames": (fastcache.Cache, OF_ENTRIES),
    "compressed": (fastcache.Cache, OF_ENTRIES),
    "msgspec": (open_msgspec, {}),
    "msgspec-arrays": (open_msgspec, {}),
    "memoized": (fastcache.Cache, OF_ENTRIES),
    "index": (fastcache.Index, OF_ENTRIES),
    "fanout-cache": (fastcache.FanoutCache, OF_ENTRIES | {"shards": SHARDS}),
    "fanout-index": (fastcache.FanoutIndex, OF_ENTRIES | {"shards": SHARDS}),
    "lru": (fastcache.Cache, {}),
    "lfu": (fastcache.Cache, {}),
    "killed": (fastcache.Cache, OF_ENTRIES),
}
# What a new one is made with, and whoever opens it later finds in it.
SETTINGS = {name: {"max_size": LIMIT, "eviction": name} for name in ("lru", "lfu")}
