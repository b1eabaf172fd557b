"""Whoever dies in the middle of anything leaves a store that opens and is whole."""

from .. import soak_crash
from .store import StoreContract


class CrashContract(StoreContract):
    def test_a_killed_writer_loses_nothing_it_was_told_is_stored(self, directory):
        kills = soak_crash.soak(self.kind, str(directory), kills=30, writers=1, seed=1)
        assert kills.acknowledged > 0

    def test_two_writers_killed_at_once_lose_nothing_they_were_told_is_stored(self, directory):
        kills = soak_crash.soak(self.kind, str(directory), kills=14, writers=2, seed=2)
        assert kills.acknowledged > 0
