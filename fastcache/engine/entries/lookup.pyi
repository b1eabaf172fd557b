"""Looking for an entry: the one order of the places in which it may be, and the memory tier's fill."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.memory.tier import Memory

@final
class Lookup(Participant):
    def __new__(cls, tier: Memory, serializer: object) -> Self: ...
