from typing import Final, final

from fastcache.engine.shm.eventcount import EventCount

ROOM: Final[int]

@final
class Counters:
    def __new__(cls, event_count: EventCount) -> Counters: ...
    def read(self, number: int) -> int: ...
    def advance(self, number: int) -> None: ...
