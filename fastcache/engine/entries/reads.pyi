"""Reading one entry: what the lookup has found becomes a value, and a hit or a miss."""

from typing import final

from typing_extensions import Self

from fastcache.engine.entries.content import Content
from fastcache.engine.entries.lookup import Lookup
from fastcache.engine.eviction.limit import Limit

@final
class Reads:
    def __new__(cls, lookup: Lookup, content: Content, limit: Limit, serializer: object) -> Self: ...
