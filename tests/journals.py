"""All tests with a journal: ``FASTCACHE_TEST_JOURNAL=1 python -m pytest tests/test_cache.py``.

What opens a Cache, an Index or one of the fanouts without saying whether it wants a journal gets one, in this process
and in the workers that it starts."""

import fastcache


def use():
    """Have a journal where nothing else is said."""
    for kind in ("Cache", "Index", "FanoutCache", "FanoutIndex"):
        getattr(fastcache, kind).__init__.__kwdefaults__["journal"] = True
