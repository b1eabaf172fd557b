"""What the dead have left: temporary files, files without a row, rows without their file, and reservations."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.eviction.evict import Evictor

@final
class Leftovers(Participant):
    def __new__(cls, evictor: Evictor) -> Self: ...
