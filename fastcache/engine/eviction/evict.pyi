"""Eviction: removing entries that somebody else chooses, counting them, and telling ``on_evict``."""

from collections.abc import Callable
from typing import Any, final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.eviction.limit import Limit

@final
class Evictor(Participant):
    def __new__(cls, limit: Limit, serializer: Any, on_evict: Callable[[Any, str], object] | None) -> Self: ...
