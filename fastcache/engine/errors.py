"""The name under which the exceptions stood before (fastcache/errors.py)."""

from fastcache.errors import *  # noqa: F403
