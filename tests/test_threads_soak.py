"""The short form of soak_threads.py, and what it checks with."""

import pytest

from . import soak_threads
from .soak_threads import WrongError, value_of, verify

# Rounds that between them have limits, interrupts, forks, journals, timers and serializers that intrude.
ROUNDS = (1002, 1003, 1006, 1009)


@pytest.mark.parametrize("seed", ROUNDS)
def test_threads_use_close_reopen_fork_and_interrupt_a_store_and_leave_it_whole(seed):
    outcome = soak_threads.play(seed, 2.5)
    assert not outcome.violations, str(outcome)
    assert outcome.told["operations"] > 0
    assert outcome.told["opened"] > 3


def test_a_value_tells_what_key_it_was_made_for():
    chosen = soak_threads.random.Random(1)
    for key in soak_threads.KEYS:
        for _ in range(20):
            value = value_of(key, chosen)
            verify(key, value)
            with pytest.raises(WrongError):
                verify("another", value)
    with pytest.raises(WrongError):
        verify("a", "'a'|1|xxxxx")
