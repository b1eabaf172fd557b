"""How much room there is: counted in O(1), and kept up to date by our own commits."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.eviction.limit import Limit

@final
class Room(Participant):
    def __new__(cls, limit: Limit) -> Self: ...
