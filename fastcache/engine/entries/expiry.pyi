"""When entries expire: seconds from now, as users say it, the absolute time that is stored, and the removal in time."""

from typing import final

from typing_extensions import Self

from fastcache.engine.eviction.evict import Evictor

@final
class Expiry:
    def __new__(cls, evictor: Evictor) -> Self: ...
