"""Threads and processes that share a cache see one history; and whoever checks that would see if they did not."""

import math
import random

import pytest

from . import soak_coherence
from .histories import (
    ABSENT,
    INT,
    KEEP,
    KINDS,
    NOTHING,
    OPEN,
    SHARD_OF,
    TEXT,
    TOLERANCE,
    UNDO,
    Act,
    Action,
    Histories,
    Log,
    Transaction,
    add_one,
    clock,
    entry_of,
    found,
    found_no_int,
    found_none,
    found_row,
    found_some,
    make_token,
    put,
    put_if_absent,
    put_over_row,
    remove,
    remove_any,
    remove_expired,
    remove_living,
    remove_row,
    remove_tagged,
    take,
    token_of,
    touch,
    value_of,
    vanish,
    with_evictions,
)
from .linearizability import find_violation, shrink

A, B = 0, 1
ONE, TWO, THREE = (make_token(INT, 0, 1, number) for number in (1, 2, 3))
TAGGED = make_token(TEXT, 1, 1, 4)
WORD = make_token(TEXT, 0, 1, 5)


class Some:
    """Makes operations on one of the two entries, from when they were called to when they returned."""

    def __init__(self, called, returned, place=A, killed=False):
        self.times = place, called, returned
        self.killed = killed

    def act(self, act, token=0, entry=None):
        return Act(act, *self.times, token=token, entry=entry, optional=self.killed)

    def sets(self, token, latest=math.inf):
        return self.act(put, entry=(token, latest, latest))

    def adds(self, token):
        return self.act(put_if_absent, entry=(token, math.inf, math.inf))

    def sees(self, token):
        return self.act(found, token) if token is not None else self.act(found_none)

    def counts(self, total, default=ONE):
        return self.act(add_one, total, (default + 1, math.inf, math.inf))


def together(called, returned, *steps, killed=False):
    return Transaction(list(steps), called, returned, optional=killed)


def steps(*acts):
    """Acts of one transaction, as (name, token) or (name, token, place)."""
    made = []
    for name, token, *place in acts:
        made.append(getattr(Some(0, 0, *place), name)(token))
    return made


EXPLAINED = {
    "nothing": [],
    "one after the other": [
        Some(1, 2).sees(None),
        Some(3, 4).sets(ONE),
        Some(5, 6).sees(ONE),
        Some(7, 8).sets(TWO),
        Some(9, 10).act(take, TWO),
        Some(11, 12).act(found_none),
    ],
    "a write under way is seen, or not yet": [Some(1, 9).sets(ONE), Some(2, 3).sees(None), Some(4, 5).sees(ONE)],
    "two writes at once, in either order": [
        Some(1, 9).sets(ONE),
        Some(1, 9).sets(TWO),
        Some(10, 11).sees(TWO),
        Some(12, 13).sees(TWO),
    ],
    "a write that nobody saw in between": [
        Some(1, 20).sets(ONE),
        Some(2, 3).sets(TWO),
        Some(4, 5).sets(THREE),
        Some(6, 7).sees(THREE),
        Some(8, 30).sees(THREE),
    ],
    "a write that a slow reader saw in between": [
        Some(1, 20).sets(ONE),
        Some(2, 18).sees(ONE),
        Some(1, 10).sets(TWO),
        Some(21, 22).sees(TWO),
    ],
    "the operation of a killed process has taken place": [Some(1, 9, killed=True).sets(ONE), Some(5, 6).sees(ONE)],
    "the operation of a killed process has not": [Some(1, 9, killed=True).sets(ONE), Some(10, 11).sees(None)],
    "the operation of a killed process, seen only later": [
        Some(1, 9, killed=True).sets(ONE),
        Some(10, 11).sees(ONE),
        Some(12, 13).sees(ONE),
    ],
    "the operation of a killed process, whenever it is recovered": [
        Some(1, math.inf, killed=True).sets(ONE),
        Some(10, 11).sees(None),
        Some(12, 13).sees(ONE),
    ],
    "counting": [Some(1, 2).counts(ONE + 1), Some(3, 9).counts(ONE + 3), Some(3, 9).counts(ONE + 2)],
    "a transaction seen as a whole": [
        together(1, 9, *steps(("sets", ONE, A), ("sets", ONE, B))),
        together(2, 8, *steps(("sees", None, A), ("sees", None, B))),
        together(2, 8, *steps(("sees", ONE, A), ("sees", ONE, B))),
    ],
    "a transaction reads its own writes, and rolls them back": [
        Some(1, 2).sets(ONE),
        together(3, 4, OPEN, *steps(("sees", ONE), ("sets", TWO), ("sees", TWO)), UNDO),
        Some(5, 6).sees(ONE),
    ],
    "an inner block is rolled back alone": [
        together(1, 2, OPEN, *steps(("sets", ONE)), OPEN, *steps(("sets", TWO), ("sees", TWO)), UNDO, KEEP),
        Some(3, 4).sees(ONE),
    ],
    "what may have expired, seen or not": [
        Some(1, 2).act(put, entry=(ONE, 5, 9)),
        Some(3, 4).sees(ONE),
        Some(5, 6).sees(None),
        Some(6, 7).sees(ONE),
        Some(9, 10).sees(None),
    ],
    "the tagged are evicted": [
        Some(1, 2).sets(TAGGED),
        Some(1, 2, B).sets(WORD),
        together(3, 4, Some(3, 4).act(remove_tagged, 1), Some(3, 4, B).act(remove_tagged, 1)),
        Some(5, 6).sees(None),
        Some(5, 6, B).sees(WORD),
    ],
}

NOT_EXPLAINED = {
    "a stale read": [Some(1, 2).sets(ONE), Some(3, 4).sets(TWO), Some(5, 6).sees(ONE)],
    "a stale absence": [Some(1, 2).sets(ONE), Some(3, 4).sees(None)],
    "a value that nobody has written": [Some(1, 2).sets(ONE), Some(3, 4).sees(TWO)],
    "a value before it was written": [Some(1, 2).sees(ONE), Some(3, 4).sets(ONE)],
    "new, then old, while it is written": [
        Some(1, 2).sets(ONE),
        Some(3, 9).sets(TWO),
        Some(4, 5).sees(TWO),
        Some(6, 7).sees(ONE),
    ],
    "two readers disagree about the order": [
        Some(1, 9).sets(ONE),
        Some(1, 9).sets(TWO),
        Some(10, 11).sees(TWO),
        Some(12, 13).sees(ONE),
    ],
    "a lost update": [Some(1, 2).sets(ONE), Some(3, 9).counts(ONE + 1), Some(3, 9).counts(ONE + 1)],
    "a lost write": [Some(1, 2).sets(ONE), Some(3, 4).sets(TWO), Some(5, 6).counts(ONE + 1)],
    "a value handed out twice": [
        Some(1, 2).sets(ONE),
        Some(3, 9).act(take, ONE),
        Some(3, 9).act(take, ONE),
    ],
    "two who have added": [Some(1, 9).adds(ONE), Some(1, 9).adds(TWO)],
    "a deleted value that is back": [Some(1, 2).sets(ONE), Some(3, 4).act(remove), Some(5, 6).sees(ONE)],
    "what was cleared is back": [
        Some(1, 2, B).sets(ONE),
        together(3, 4, Some(3, 4).act(remove_any), Some(3, 4, B).act(remove_any)),
        Some(5, 6, B).sees(ONE),
    ],
    "half of a transaction": [
        together(1, 9, *steps(("sets", ONE, A), ("sets", ONE, B))),
        together(2, 8, *steps(("sees", ONE, A), ("sees", None, B))),
    ],
    "half of a transaction, read one by one": [
        together(1, 9, *steps(("sets", ONE, A), ("sets", ONE, B))),
        Some(2, 3, A).sees(ONE),
        Some(4, 5, B).sees(None),
    ],
    "half of a killed transaction": [
        together(1, math.inf, *steps(("sets", ONE, A), ("sets", ONE, B)), killed=True),
        Some(2, 3, A).sees(ONE),
        Some(4, 5, B).sees(None),
    ],
    "two snapshots in different orders": [
        Some(1, 9, A).sets(ONE),
        Some(1, 9, B).sets(ONE),
        together(2, 8, *steps(("sees", ONE, A), ("sees", None, B))),
        together(2, 8, *steps(("sees", None, A), ("sees", ONE, B))),
    ],
    "what was rolled back": [together(1, 2, OPEN, *steps(("sets", ONE)), UNDO), Some(3, 4).sees(ONE)],
    "what was not committed yet": [Some(1, 2).sees(ONE), together(3, 4, OPEN, *steps(("sets", ONE)), KEEP)],
    "a transaction that does not see its own write": [together(1, 2, *steps(("sets", ONE), ("sees", None)))],
    "what has expired": [Some(1, 2).sets(ONE, latest=5), Some(5, 6).sees(ONE)],
    "what expires too early": [Some(1, 2).sets(ONE, latest=5), Some(3, 4).sees(None)],
    "what has expired is counted on": [Some(1, 2).sets(ONE, latest=5), Some(6, 7).counts(ONE + 1, TWO)],
    "the operation of a killed process takes place twice": [
        Some(1, math.inf, killed=True).sets(ONE),
        Some(2, 3).sees(ONE),
        Some(4, 5).sets(TWO),
        Some(6, 7).sees(ONE),
    ],
    "the operation of a killed process, later than it can be": [
        Some(1, 4, killed=True).sets(ONE),
        Some(5, 6).sees(None),
        Some(7, 8).sees(ONE),
    ],
    "the tagged are not evicted": [
        Some(1, 2).sets(TAGGED),
        together(3, 4, Some(3, 4).act(remove_tagged, 1), Some(3, 4, B).act(remove_tagged, 1)),
        Some(5, 6).sees(TAGGED),
    ],
}


EVICTED = {
    "gone without anybody's doing": [Some(1, 2).sets(ONE), Some(3, 4).sees(None), Some(5, 6).sees(None)],
    "seen, then gone": [Some(1, 2).sets(ONE), Some(3, 4).sees(ONE), Some(5, 6).sees(None)],
    "gone while somebody looks": [Some(1, 2).sets(ONE), Some(3, 9).sees(ONE), Some(3, 9).sees(None)],
    "added over what is gone": [Some(1, 2).sets(ONE), Some(3, 4).adds(TWO), Some(5, 6).sees(TWO)],
    "counted from the start": [
        Some(1, 2).sets(ONE),
        Some(3, 4).counts(ONE + 1),
        Some(5, 6).counts(TWO + 1, TWO),
        Some(7, 8).counts(TWO + 2),
    ],
    "half of a transaction": [
        together(1, 2, *steps(("sets", ONE, A), ("sets", ONE, B))),
        together(3, 4, *steps(("sees", ONE, A), ("sees", None, B))),
    ],
    "gone inside of a transaction": [together(1, 2, *steps(("sets", ONE), ("sees", ONE), ("sees", None)))],
    "evicted by what was rolled back": [
        Some(1, 2).sets(ONE),
        together(3, 4, OPEN, *steps(("sees", ONE), ("sees", None)), UNDO),
        Some(5, 6).sees(ONE),
    ],
}

NEVER_EXPLAINED = {
    "a stale read": NOT_EXPLAINED["a stale read"],
    "a value that nobody has written": NOT_EXPLAINED["a value that nobody has written"],
    "new, then old, while it is written": NOT_EXPLAINED["new, then old, while it is written"],
    "a lost update": [
        Some(1, 2).sets(ONE),
        Some(3, 9).counts(ONE + 1, THREE),
        Some(3, 9).counts(ONE + 1, THREE),
    ],
    "a value handed out twice": NOT_EXPLAINED["a value handed out twice"],
    "a deleted value that is back": NOT_EXPLAINED["a deleted value that is back"],
    "what was not committed yet": NOT_EXPLAINED["what was not committed yet"],
    "an evicted value that is back": [Some(1, 2).sets(ONE), Some(3, 4).sees(None), Some(5, 6).sees(ONE)],
    "an older value instead of an evicted one": [
        Some(1, 2).sets(ONE),
        Some(3, 4).sets(TWO),
        Some(5, 6).sees(TWO),
        Some(7, 8).sees(ONE),
    ],
    "what was there when it was added over": [Some(1, 2).sets(ONE), Some(3, 4).adds(TWO), Some(5, 6).sees(ONE)],
    "counted on from an older value": [
        Some(1, 2).sets(ONE),
        Some(3, 4).sets(TWO),
        Some(5, 6).counts(ONE + 1, THREE),
    ],
    "counted on from what was seen gone": [
        Some(1, 2).sets(ONE),
        Some(3, 4).sees(None),
        Some(5, 6).counts(ONE + 1, THREE),
    ],
    "deleted after it was seen gone": [Some(1, 2).sets(ONE), Some(3, 4).sees(None), Some(5, 6).act(remove)],
    "half of a transaction, and half of what was there before": [
        together(1, 2, *steps(("sets", ONE, A), ("sets", ONE, B))),
        together(3, 4, *steps(("sets", TWO, A), ("sets", TWO, B))),
        together(5, 6, *steps(("sees", TWO, A), ("sees", ONE, B))),
    ],
    "gone and back inside of a transaction": [
        together(1, 2, *steps(("sets", ONE), ("sees", None), ("sees", ONE))),
    ],
}


@pytest.mark.parametrize("history", EXPLAINED)
def test_what_an_order_explains_is_accepted(history):
    assert find_violation(EXPLAINED[history], [NOTHING]) is None


@pytest.mark.parametrize("history", NOT_EXPLAINED)
def test_what_no_order_explains_is_refused(history):
    assert find_violation(NOT_EXPLAINED[history], [NOTHING]) is not None


@pytest.mark.parametrize("history", EXPLAINED)
def test_what_an_order_explains_is_accepted_where_entries_are_evicted(history):
    assert find_violation(with_evictions(EXPLAINED[history]), [NOTHING]) is None


@pytest.mark.parametrize("history", EVICTED)
def test_what_an_eviction_explains_is_accepted_only_where_entries_are_evicted(history):
    assert find_violation(EVICTED[history], [NOTHING]) is not None
    assert find_violation(with_evictions(EVICTED[history]), [NOTHING]) is None


@pytest.mark.parametrize("history", NEVER_EXPLAINED)
def test_what_no_eviction_explains_is_refused(history):
    assert find_violation(with_evictions(NEVER_EXPLAINED[history]), [NOTHING]) is not None


def test_an_account_leaves_out_the_reads_that_do_not_matter():
    stale = Some(21, 22).sees(ONE)
    reads = [Some(time, time + 1).sees(TWO) for time in range(5, 20)]
    kept, violation = shrink([Some(1, 2).sets(ONE), *reads, stale, Some(3, 4).sets(TWO)], [NOTHING])
    assert violation.operation is stale
    assert [operation for operation in kept if operation.observes] == [stale]


def any_order_explains(operations, state, evicts=False):
    """Whether an order does: by trying all of them; with ``evicts``, with evictions before whatever is done."""
    tried = set()
    if evicts:
        operations = [with_any_eviction(operation) for operation in operations]

    def go_on(state, left):
        if all(operations[index].optional for index in left):
            return True
        if (state, left) in tried:
            return False
        tried.add((state, left))
        for index in left:
            operation = operations[index]
            missed = {other for other in left if operations[other].returned < operation.called}
            if all(operations[other].optional for other in missed):
                for after in operation.outcomes(state):
                    if go_on(after, left - missed - {index}):
                        return True
        return False

    return go_on(state, frozenset(range(len(operations))))


def with_any_eviction(operation):
    """The same, with evictions of either entry before each step."""
    steps = []
    for step in getattr(operation, "steps", [operation]):
        steps += [Some(operation.called, operation.returned, place).act(vanish) for place in (A, B)]
        steps.append(step)
    return Transaction(steps, operation.called, operation.returned, optional=operation.optional)


# fmt: off
ACTS = (
    found, found, found, found, found_none, found_none, found_some, found_no_int, found_row, put, put, put,
    put_if_absent, put_over_row, take, remove, remove_any, remove_living, remove_expired, remove_tagged, remove_row,
    touch, add_one,
)
# fmt: on


def some_history(chance, evicts=False):
    """A few operations that overlap. Often there is an order; some have seen what was there at a point within."""
    operations = []
    state = NOTHING
    width = chance.choice((3, 5, 9, 16))
    for point in range(0, 3 * chance.randrange(3, 8), 3):
        if evicts and chance.random() < 0.3:
            state = chance.choice(((None, state[B]), (state[A], None)))
        for _ in range(20):
            called, returned = point - chance.randrange(1, width), point + chance.randrange(1, width)
            if chance.random() < 0.25:
                acts = [some_act(chance, called, returned, state) for _ in range(chance.randrange(1, 4))]
                if chance.random() < 0.4:
                    begin, end = sorted(chance.choices(range(len(acts) + 1), k=2))
                    acts[end:end] = [chance.choice((KEEP, UNDO))]
                    acts[begin:begin] = [OPEN]
                    acts = [OPEN, *acts, chance.choice((KEEP, UNDO))]
                operation = Transaction(acts, called, returned)
            else:
                operation = some_act(chance, called, returned, state)
            outcomes = list(operation.outcomes(state))
            if not operation.observes and chance.random() < 0.15:
                operation.optional = True
                if chance.random() < 0.3:
                    operation.returned = math.inf
                if chance.random() < 0.5:
                    outcomes = [state]
            if outcomes:
                state = chance.choice(outcomes)
                operations.append(operation)
                break
    for operation in operations:
        for step in getattr(operation, "steps", [operation]):
            if chance.random() < 0.1 and getattr(step, "act", None) in (found, take):
                step.token = chance.choice((ONE, TWO, TAGGED))
        if chance.random() < 0.1:
            later = chance.randrange(-12, 13)
            operation.called += later
            operation.returned += later
    return operations


def some_act(chance, called, returned, state):
    act = chance.choice(ACTS)
    place = chance.randrange(2)
    entry = (chance.choice((ONE, TWO, TAGGED)), math.inf, math.inf)
    if chance.random() < 0.2:
        earliest = chance.randrange(24)
        entry = (entry[0], earliest, earliest + chance.randrange(6))
    token = chance.choice((ONE, TWO, TAGGED))
    if act is add_one:
        entry = (chance.choice((ONE, TWO)) + 1, math.inf, math.inf)
        token = chance.choice((None, ONE + 1, TWO + 1))
    elif act is remove_tagged:
        token = 1
    if state[place] is not None and act in (found, take, add_one) and chance.random() < 0.8:
        token = state[place][0] + (act is add_one)
    return Act(act, place, called, returned, token=token, entry=entry)


def test_the_search_agrees_with_trying_every_order():
    explained = 0
    for seed in range(4000):
        history = some_history(random.Random(seed))
        expected = any_order_explains(history, NOTHING)
        assert (find_violation(history, [NOTHING]) is None) == expected, f"of the history with seed {seed}"
        explained += expected
    assert 1000 < explained < 3900


def test_the_search_agrees_with_trying_every_order_where_entries_are_evicted():
    explained = by_eviction = 0
    for seed in range(2000):
        history = some_history(random.Random(seed), evicts=True)
        expected = any_order_explains(history, NOTHING, evicts=True)
        found = find_violation(with_evictions(history), [NOTHING]) is None
        assert found == expected, f"of the history with seed {seed}"
        explained += expected
        by_eviction += expected and find_violation(history, [NOTHING]) is not None
    assert 500 < explained < 1950
    assert by_eviction > 50


# What is recorded


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "1-0.log", 300)


def history_of(log, tmp_path, *, died=None):
    """The operations on the first pair, in the order of the records."""
    histories = Histories()
    histories.read(tmp_path / "1-0.log", died)
    return histories.finish().of_pair[0]


def test_a_record_comes_back_as_what_was_done(log, tmp_path):
    at = log.call(Action.SET, A, WORD, 20)
    log.result(at, clock(), 1)
    log.read(Action.GET, B, 5, 6, ONE)
    stored, seen = history_of(log, tmp_path)
    assert (stored.act, stored.place, stored.entry[0], stored.optional) == (put, A, WORD, False)
    assert stored.entry == entry_of(WORD, 20, stored.called, stored.returned)
    assert stored.entry[2] - stored.entry[1] >= 2 * TOLERANCE
    assert (seen.act, seen.place, seen.token, seen.called, seen.returned) == (found, B, ONE, 5, 6)


def test_what_a_process_was_killed_in_may_have_taken_place(log, tmp_path):
    log.call(Action.SET, A, WORD)
    (stored,) = history_of(log, tmp_path, died=10**18)
    assert stored.optional
    assert stored.returned == math.inf


def test_what_a_process_was_killed_in_is_decided_by_a_later_write(log, tmp_path):
    at = log.call(Action.SET, A, WORD)
    log.result(at, 10**18, 1)
    log.call(Action.SET, A, ONE)
    _, pending = history_of(log, tmp_path, died=0)
    assert pending.returned == 10**18


def test_a_record_that_was_cut_off_is_none(log, tmp_path):
    log.read(Action.GET, A, 1, 2, ONE)
    log.map[log.at - 8] = 0
    assert history_of(log, tmp_path, died=5) == []


def test_an_unfinished_operation_of_a_process_that_was_not_killed_is_refused(log, tmp_path):
    log.call(Action.SET, A, WORD)
    with pytest.raises(AssertionError, match="was not killed"):
        history_of(log, tmp_path)


def test_whoever_was_killed_is_told_apart_from_whoever_goes_on_recording_in_its_place(log, tmp_path):
    log.call(Action.SET, A, WORD)
    log.read(Action.DIED, A, 20, 20, 9)
    log.result(log.call(Action.DELETE, A), 10**18, 1)
    deleted, pending = history_of(log, tmp_path)
    assert (deleted.optional, pending.optional) == (False, True)


def test_what_is_left_undone_in_one_shard_is_decided_by_a_write_in_the_same(log, tmp_path):
    first, other, same = (2 * SHARD_OF.index(shard) for shard in (0, 1, 0))
    log.call(Action.SET, first, WORD)
    for key, returned in ((other, 30), (same, 40)):
        log.result(log.call(Action.SET, key, WORD), returned, 1)
    for sharded, decided in ((False, 30), (True, 40)):
        histories = Histories(sharded=sharded)
        histories.read(tmp_path / "1-0.log", 0)
        histories.finish()
        assert [each.returned for each in histories.of_pair[SHARD_OF.index(0)] if each.optional] == [decided]


@pytest.mark.parametrize(
    ("removed", "there", "explained"),
    [(0, (), True), (0, (A,), False), (1, (A,), True), (2, (A,), False), (2, (A, B), True)],
)
def test_how_many_a_bulk_deletion_has_removed_tells_what_was_there(log, tmp_path, *, removed, there, explained):
    for key in there:
        log.result(log.call(Action.SET, key, ONE), clock(), 1)
    log.result(log.call(Action.DELETE_MANY, A), clock(), removed)
    assert (find_violation(history_of(log, tmp_path), [NOTHING]) is None) == explained


def test_what_was_put_back_is_there_and_nothing_else(log, tmp_path):
    log.result(log.call(Action.SET, A, WORD), clock(), 1)
    for key, token in ((A, ONE), (B, ABSENT)):
        log.result(log.call(Action.RESTORE, key), clock(), token)
    log.read(Action.GET, A, clock(), clock(), ONE)
    assert find_violation(history_of(log, tmp_path), [NOTHING]) is None
    log.read(Action.GET, A, clock(), clock(), WORD)
    assert find_violation(history_of(log, tmp_path), [NOTHING]) is not None


@pytest.mark.parametrize("end", [None, Action.COMMIT, Action.ROLLBACK])
def test_a_killed_transaction_may_have_been_committed_only_if_it_was_about_to(log, tmp_path, end):
    log.result(log.call(Action.BEGIN), 10, 1)
    log.result(log.call(Action.SET, A, WORD), 20, 1)
    if end is not None:
        log.call(end)
    operations = history_of(log, tmp_path, died=10**18)
    assert [operation.optional for operation in operations] == ([True] if end == Action.COMMIT else [])


def test_a_recorded_absence_is_an_eviction_only_in_a_history_with_evictions(log, tmp_path):
    log.result(log.call(Action.SET, A, WORD), clock(), 1)
    log.read(Action.GET, A, clock(), clock(), ABSENT)
    for evicts in (False, True):
        histories = Histories(evicts=evicts)
        histories.read(tmp_path / "1-0.log")
        assert (find_violation(histories.finish().of(0), [NOTHING]) is None) == evicts


def test_what_happens_elsewhere_is_no_part_of_a_history(log, tmp_path):
    log.result(log.call(Action.BEGIN), 10, 1)
    log.result(log.call(Action.FILL), 20, 1)
    log.result(log.call(Action.COMMIT), 30, 1)
    log.read(Action.PEEK, A, 40, 50, 1)
    assert history_of(log, tmp_path) == []


def test_each_kind_of_value_is_known_again():
    for kind in KINDS:
        token = make_token(kind, 2, 77, 123_456)
        assert token_of(value_of(token)) == token


# What a cache does


@pytest.mark.parametrize(
    ("mode", "store"),
    [
        ("off", "FanoutIndex"),
        ("whole", "Index"),
        ("log", "Cache"),
        ("log", "FanoutIndex"),
        ("overrun", "FanoutCache"),
        ("bounded", "Cache"),
    ],
)
def test_threads_processes_kills_lives_and_foreign_writes_leave_one_history(tmp_path, mode, store):
    outcome = soak_coherence.soak(mode, str(tmp_path), operations=12_000, seed=1, store=store)
    assert not outcome.violations, "\n".join(outcome.violations)
    assert outcome.operations >= 12_000
    assert outcome.kills > 0
    assert outcome.lives > 1
    assert outcome.opened > outcome.lives
    assert outcome.counts[Action.SQL_UPDATE] > 0
    assert outcome.committed > 0
    assert outcome.rolled_back > 0
    assert (outcome.memory_hits > 0) == (mode != "off")
    if mode == "bounded":
        assert outcome.samples > 0
        assert outcome.occupied > 0.5


@pytest.mark.parametrize(
    ("mode", "store", "journal"),
    [
        ("off", "Cache", "on"),
        ("log", "FanoutIndex", "mixed"),
        ("overrun", "Index", "on"),
        ("bounded", "Cache", "mixed"),
    ],
)
def test_with_a_journal_threads_processes_kills_and_lives_leave_one_history(tmp_path, mode, store, journal):
    outcome = soak_coherence.soak(mode, str(tmp_path), operations=12_000, seed=2, store=store, journal=journal)
    assert not outcome.violations, "\n".join(outcome.violations)
    assert outcome.operations >= 12_000
    assert outcome.kills > 0
    assert outcome.opened > outcome.lives > 1
    # Nobody writes past the journal.
    assert outcome.counts[Action.SQL_UPDATE] == 0
    assert outcome.committed > 0
    assert (outcome.memory_hits > 0) == (mode != "off")
