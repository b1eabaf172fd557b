"""The short form of soak_locks.py, and its checker."""

import pytest

from . import soak_locks
from .soak_locks import ENTER, KILL, LEAVE, LOST


def checked(*notes):
    """What the checker says of notes (moment, who, kind, event, until)."""
    return soak_locks.check(
        (moment, until, 0, *who, soak_locks.KINDS.index(kind), event) for moment, who, kind, event, until in notes
    )


ONE, TWO = (1, 0), (2, 0)


@pytest.mark.parametrize(
    ("notes", "violations"),
    [
        # One after the other.
        ([(1, ONE, "lock", ENTER, 0), (2, ONE, "lock", LEAVE, 0), (3, TWO, "lock", ENTER, 0)], 0),
        # Both at once.
        ([(1, ONE, "lock", ENTER, 0), (2, TWO, "lock", ENTER, 0)], 1),
        ([(1, ONE, "lock", ENTER, 5), (2, TWO, "lock", ENTER, 0)], 1),
        ([(1, ONE, "lock", ENTER, 0), (2, TWO, "rlock", ENTER, 0)], 0),
        ([(1, (1, number), "semaphore", ENTER, 0) for number in range(3)], 0),
        ([(1, (1, number), "semaphore", ENTER, 0) for number in range(4)], 1),
        # The first one has expired, or was killed.
        ([(1, ONE, "lock", ENTER, 5), (6, TWO, "lock", ENTER, 0)], 0),
        ([(1, ONE, "lock", ENTER, 0), (2, ONE, "lock", KILL, 0), (3, TWO, "lock", ENTER, 0)], 0),
        # Noted after it had expired.
        ([(6, TWO, "lock", ENTER, 0), (1, ONE, "lock", ENTER, 5)], 0),
        # Lost too early, and after it had expired.
        ([(1, ONE, "lock", ENTER, 0), (2, ONE, "lock", LEAVE, 0), (3, ONE, "lock", LOST, 0)], 1),
        ([(1, ONE, "lock", ENTER, 5), (2, ONE, "lock", LEAVE, 0), (3, ONE, "lock", LOST, 0)], 1),
        ([(1, ONE, "lock", ENTER, 5), (2, ONE, "lock", LEAVE, 0), (6, ONE, "lock", LOST, 0)], 0),
    ],
    ids=range(12),
)
def test_the_checker_sees_what_must_not_be(notes, violations):
    assert len(checked(*notes).violations) == violations


@pytest.mark.parametrize("journal", ["off", "on", "mixed"])
def test_threads_and_processes_take_turns_while_some_are_killed(tmp_path, journal):
    outcome = soak_locks.soak(str(tmp_path), turns=5000, seed=1, journal=journal)
    assert not outcome.violations, "\n".join(outcome.violations)
    assert sum(outcome.turns.values()) >= 5000
    assert outcome.kills > 0
    assert outcome.expired > 0
    assert outcome.share >= soak_locks.LEAST_SHARE
