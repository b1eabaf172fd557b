"""Move a directory to another number of shards, sign what it holds, and look at what it says of itself."""

from fastcache.tools.reshard import open_cache, reshard, sign, stored_settings

__all__ = ["open_cache", "reshard", "sign", "stored_settings"]
