"""Caches for event loops: asyncio and uvloop, and the calls under trio (and so under anyio).

The classes have the methods of those of their names in fastcache, as coroutines. What waits for nothing is done at
once, in the loop: hits, reads of small values, and sets of them while nobody else writes. All else is done in a thread
of the cache's own, in the order in which it was called, and the loop goes on. A call that is cancelled is left out, or
done as a whole, and its result dropped.

>>> import asyncio
>>> from fastcache import aio
>>> async def main():
...     async with aio.Cache() as cache:
...         await cache.set("answer", 42, expire=3600, tag="numbers")
...         async with cache.transact():
...             await cache.incr("visits")
...             await cache.incr("visits")
...         async def fetch():
...             await asyncio.sleep(0)
...             return "page"
...         print(await cache["answer"], await cache.get("visits"), await cache.get_or_set("page", fetch))
...         async with cache.lock("report", expire=60):
...             print([key async for key in cache], await cache.count())
>>> asyncio.run(main())
42 2 page
['answer', 'visits', 'page'] 3

Operators that cannot be awaited have names: ``len(cache)`` is ``await cache.count()``, ``key in cache`` is ``await
cache.exists(key)``, ``cache[key] = value`` and ``del cache[key]`` are ``set`` and ``delete``. ``async for`` iterates
over the cache, over ``reversed(cache)``, and over what ``keys``, ``values`` and ``items`` return.

What a call is given (an iterable of pairs, a factory that is no coroutine function, a ``progress``) is called in that
thread, and must not wait for another call of the same cache there. ``cache.sync`` is the synchronous cache itself.
"""

from fastcache.aio.averager import Averager
from fastcache.aio.blocks import Batch, Transaction
from fastcache.aio.caches import Cache, FanoutCache, FanoutIndex, Index
from fastcache.aio.deque import Deque
from fastcache.aio.locks import BoundedSemaphore, Lock, RLock, barrier, throttle

__all__ = [
    "Averager",
    "Batch",
    "BoundedSemaphore",
    "Cache",
    "Deque",
    "FanoutCache",
    "FanoutIndex",
    "Index",
    "Lock",
    "RLock",
    "Transaction",
    "barrier",
    "throttle",
]
