"""Group commit: threads that wait for one another's commit store together, where each commit waits for the disk."""

from typing import final

from typing_extensions import Self

from fastcache.engine.database.database import Participant
from fastcache.engine.entries.flusher import Flusher

@final
class GroupCommit(Participant):
    def __new__(cls, flusher: Flusher) -> Self: ...
