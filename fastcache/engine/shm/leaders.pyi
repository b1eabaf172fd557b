from typing import Final, final

from fastcache.engine.shm.byte_locks import ByteLocks
from fastcache.engine.shm.eventcount import EventCount

ROOM: Final[int]

@final
class Leaders:
    def __new__(cls, byte_locks: ByteLocks, event_count: EventCount) -> Leaders: ...
    def state(self, number: int) -> tuple[int, bool, int]: ...
