"""Bring what other libraries have stored, give a directory another number of shards, sign or look at what it holds.

``python -m fastcache.migrate SOURCE DESTINATION`` is the command ``fastcache migrate``.
"""

from fastcache.importers.migration import migrate
from fastcache.tools.inspect import open_cache, stored_settings
from fastcache.tools.reshard import reshard
from fastcache.tools.resign import sign

__all__ = ["migrate", "open_cache", "reshard", "sign", "stored_settings"]

if __name__ == "__main__":
    import sys

    from fastcache.tools.cli import main

    sys.exit(main(["migrate", *sys.argv[1:]]))
