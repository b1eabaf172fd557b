"""Move a directory to another number of shards, sign what it holds, and look at what it says of itself."""

from fastcache.tools.inspect import open_cache, stored_settings
from fastcache.tools.reshard import reshard
from fastcache.tools.resign import sign

__all__ = ["open_cache", "reshard", "sign", "stored_settings"]
