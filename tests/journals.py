"""All tests without a journal: ``FASTCACHE_TEST_JOURNAL=0 python -m pytest tests/test_cache.py``.

What opens a Cache, an Index or one of the fanouts without saying whether it wants a journal gets none, in this process
and in the workers that it starts: each write is a transaction of its own, with which the journal is compared."""

import os

import fastcache

if os.environ.get("FASTCACHE_TEST_JOURNAL") == "0":
    for kind in ("Cache", "Index", "FanoutCache", "FanoutIndex"):
        getattr(fastcache, kind).__init__.__kwdefaults__["journal"] = False
