"""Keeping within the limit: who makes room, and when."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.checkpoints import Checkpoints
from fastcache.engine.database.database import Participant
from fastcache.engine.eviction.evict import Evictor
from fastcache.engine.eviction.leftovers import Leftovers
from fastcache.engine.eviction.limit import Limit
from fastcache.engine.eviction.room import Room

@final
class Space(Participant):
    def __new__(
        cls, limit: Limit, room: Room, evictor: Evictor, leftovers: Leftovers, checkpoints: Checkpoints
    ) -> Self: ...
