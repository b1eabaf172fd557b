"""What a Deque promises: to be a collections.deque, on disk, for many processes."""

import collections
import contextlib
import copy
import json
import operator
import os
import pickle
import signal
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import fastcache
from fastcache import Deque

from .contract.store import value_files
from .together import together

VALUES = st.integers(0, 4) | st.sampled_from(["a", 2.0, None, (1, "b"), b"x"])
LISTS = st.lists(VALUES, max_size=7)
INDEXES = st.integers(-9, 9)


def outcome(function, *arguments):
    """What a call returns, or the type of what it raises."""
    try:
        return function(*arguments)
    except (IndexError, ValueError, TypeError) as error:
        return type(error)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "deque"


@pytest.fixture(params=["on disk", "in memory"])
def deque(directory, request):
    if request.param == "in memory" and "start" in request.fixturenames:
        pytest.skip("no other process has it")
    with Deque(directory=directory if request.param == "on disk" else ":memory:") as deque:
        yield deque
        assert_whole(deque)


def assert_whole(deque):
    """There is no damage, and no position is empty."""
    assert deque.check().ok
    assert len(deque) == deque._items.count() == len(list(deque))


def plain_methods():
    return [name for name in dir(collections.deque) if not name.startswith("__")]


# -- a collections.deque ------------------------------------------------------------------------------------------


class DequeMachine(RuleBasedStateMachine):
    """The same is done to both, and shows the same."""

    place = None

    @initialize(values=LISTS, maxlen=st.none() | st.integers(0, 6))
    def begin(self, values, maxlen):
        self.ours = Deque(values, self.place, maxlen)
        self.plain = collections.deque(values, maxlen)

    def teardown(self):
        if hasattr(self, "ours"):
            assert_whole(self.ours)
            self.ours.close()

    def both(self, method, *arguments):
        ours = outcome(getattr(self.ours, method), *arguments)
        assert ours == outcome(getattr(self.plain, method), *arguments)
        return ours

    @rule(method=st.sampled_from(["append", "appendleft", "remove", "count", "__contains__"]), value=VALUES)
    def with_a_value(self, method, value):
        self.both(method, value)

    @rule(method=st.sampled_from(["extend", "extendleft"]), values=LISTS)
    def with_values(self, method, values):
        self.both(method, values)

    @rule(method=st.sampled_from(["pop", "popleft", "reverse", "rotate", "__len__", "__bool__"]))
    def with_nothing(self, method):
        if method == "__bool__":
            assert bool(self.ours) == bool(self.plain)
        else:
            self.both(method)

    @rule(method=st.sampled_from(["__getitem__", "__delitem__", "rotate"]), index=INDEXES)
    def with_an_index(self, method, index):
        self.both(method, index)

    @rule(method=st.sampled_from(["__setitem__", "insert"]), index=INDEXES, value=VALUES)
    def with_an_index_and_a_value(self, method, index, value):
        self.both(method, index, value)

    @rule(value=VALUES, ends=st.lists(INDEXES, max_size=2))
    def index(self, value, ends):
        self.both("index", value, *ends)

    @rule(values=LISTS)
    def add(self, values):
        self.ours += values
        self.plain += values
        with self.ours + collections.deque(values) as joined:
            assert joined == self.plain + collections.deque(values)
            assert joined.maxlen == self.plain.maxlen

    @rule(times=st.integers(-1, 3))
    def multiply(self, times):
        if len(self.plain) < 20:
            with self.ours * times as ours, times * self.ours as again:
                assert list(ours) == list(again) == list(self.plain * times)
            self.ours *= times
            self.plain *= times

    @rule()
    def extend_by_itself(self):
        if len(self.plain) < 20:
            self.ours.extend(self.ours)
            self.plain.extend(self.plain)

    @rule(maxlen=st.none() | st.integers(0, 6))
    def change_maxlen(self, maxlen):
        self.ours.maxlen = maxlen
        self.plain = collections.deque(self.plain, maxlen)

    @rule()
    def clear(self):
        self.both("clear")

    @rule(other=LISTS)
    def compare(self, other):
        for by in (operator.eq, operator.ne):
            assert by(self.ours, other) == by(list(self.plain), other)
            assert by(self.ours, collections.deque(other)) == by(self.plain, collections.deque(other))

    @rule()
    def copy(self):
        with copy.copy(self.ours) as ours:
            assert ours == self.plain
            assert ours.maxlen == self.plain.maxlen
            ours.append(1)
            assert ours._items is not self.ours._items
        assert (ours.directory == ":memory:") is (self.place == ":memory:")

    @invariant()
    def they_show_the_same(self):
        if hasattr(self, "ours"):
            assert list(self.ours) == list(self.plain)
            assert list(reversed(self.ours)) == list(reversed(self.plain))
            assert len(self.ours) == len(self.plain)
            assert self.ours.maxlen == self.plain.maxlen
            if self.plain:
                assert (self.ours.peekleft(), self.ours.peek()) == (self.plain[0], self.plain[-1])


DequeMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)


class MachineInMemory(DequeMachine):
    place = ":memory:"


MachineInMemory.TestCase.settings = DequeMachine.TestCase.settings


@pytest.mark.parametrize("machine", [DequeMachine, MachineInMemory])
def test_it_is_what_collections_deque_is(machine):
    machine.TestCase().runTest()


def test_it_has_all_that_collections_deque_has(deque):
    for name in plain_methods():
        assert hasattr(deque, name), name
    assert Deque.__hash__ is None
    with pytest.raises(TypeError, match="unhashable"):
        hash(deque)
    assert isinstance(deque, collections.abc.MutableSequence)


@given(left=LISTS, right=LISTS, size=st.integers(0, 3))
@settings(max_examples=20)
def test_comparisons_are_those_of_sequences(left, right, size):
    left, right = (
        [1] * size + [each for each in left if isinstance(each, int)],
        [1] * size + [each for each in right if isinstance(each, int)],
    )
    with Deque(left) as ours, Deque(right) as other:
        for by in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
            expected = by(left, right)
            for theirs in (other, right, tuple(right), collections.deque(right)):
                assert by(ours, theirs) == expected
            assert by(collections.deque(left), other) == expected


def test_what_is_no_sequence_is_not_compared(deque):
    assert deque != {1}
    assert (deque == 1) is False
    with pytest.raises(TypeError):
        _ = deque < 1


def test_errors_are_those_of_collections_deque(deque):
    for method in ("pop", "popleft"):
        with pytest.raises(IndexError, match="pop from an empty deque"):
            getattr(deque, method)()
    for method in ("peek", "peekleft"):
        with pytest.raises(IndexError, match="peek from an empty deque"):
            getattr(deque, method)()
    with pytest.raises(IndexError, match="out of range"):
        deque[0]
    for wrong in ("a", slice(1), 1.5, None):
        with pytest.raises(TypeError, match="must be integer"):
            deque[wrong]
    with pytest.raises(ValueError, match="not in the deque"):
        deque.remove(1)
    with pytest.raises(ValueError, match="non-negative"):
        Deque(maxlen=-1)
    with pytest.raises(TypeError, match="maxlen"):
        Deque(maxlen="1")
    with pytest.raises(TypeError):
        operator.add(deque, [1])
    with pytest.raises(TypeError):
        deque.extend(1)
    deque.maxlen = 1
    deque.append(1)
    with pytest.raises(IndexError, match="maximum size"):
        deque.insert(0, 2)
    with pytest.raises(ValueError, match="non-negative"):
        deque.maxlen = -5
    assert list(deque) == [1]
    assert deque.maxlen == 1


def test_what_an_iterable_gave_before_it_failed_is_there(deque):
    def failing(count):
        yield from range(count)
        raise ZeroDivisionError

    for count in (3, 2500):
        deque.clear()
        with pytest.raises(ZeroDivisionError):
            deque.extend(failing(count))
        assert deque == list(range(count))

    def fail_in_a_transaction():
        with deque.transact():
            deque.clear()
            deque.extend(failing(2500))

    with pytest.raises(ZeroDivisionError):
        fail_in_a_transaction()
    assert deque == list(range(2500))


def test_many_items_are_moved_as_few_are(deque):
    plain = collections.deque(range(3000))
    deque.extend(range(3000))
    for method, *arguments in (
        ("rotate", 700),
        ("rotate", -1300),
        ("rotate", 5000),
        ("reverse",),
        ("insert", 1400, "a"),
        ("insert", 1700, "b"),
        ("__delitem__", 1200),
        ("__delitem__", -1100),
        ("remove", 1555),
        ("rotate", -1),
    ):
        getattr(deque, method)(*arguments)
        getattr(plain, method)(*arguments)
        assert list(deque) == list(plain), (method, arguments)


def test_any_value_that_an_index_takes_comes_back(deque):
    values = [None, 1 << 80, "é\ud800", b"x" * 200_000, [1, [2]], {"a": {1, 2}}, 1.5, float("inf"), ("t",)]
    deque.extend(values)
    deque.rotate(3)
    deque.rotate(-3)
    assert list(deque) == values
    deque.reverse()
    assert deque.popleft() == ("t",)
    assert deque.index([1, [2]]) == 3
    assert b"x" * 200_000 in deque


def test_an_item_is_itself_even_if_it_does_not_equal_itself(directory):
    with Deque([float("nan")], directory) as deque:
        assert len(deque) == 1
        assert deque.count(1) == 0


# -- on disk ------------------------------------------------------------------------------------------------------


def test_it_is_there_when_it_is_opened_again(directory):
    with Deque("abc", directory, 3) as deque:
        deque.append("d")
        assert repr(deque) == f"Deque(directory={str(directory)!r}, maxlen=3)"
    with Deque(directory=directory) as deque:
        assert list(deque) == ["b", "c", "d"]
        assert deque.maxlen is None
        assert deque.directory == str(directory)
    with Deque(["e"], directory, maxlen=2) as deque:
        assert list(deque) == ["d", "e"]
    with pytest.raises(fastcache.ClosedError):
        deque.append(1)
    with pytest.raises(fastcache.ClosedError):
        list(deque)


def test_a_pickle_opens_the_same_directory(directory):
    with Deque("abc", directory, 5, timeout=7.0) as deque, pickle.loads(pickle.dumps(deque)) as again:
        again.append("d")
        assert list(deque) == ["a", "b", "c", "d"]
        assert again.maxlen == 5
        assert again._items.timeout == 7.0


def test_a_copy_is_another_one(directory):
    with Deque([1, [2]], directory, 4) as deque, deque.copy() as other, copy.deepcopy(deque) as third:
        other.append(3)
        third.popleft()
        assert list(deque) == [1, [2]]
        assert (list(other), other.maxlen) == ([1, [2], 3], 4)
        assert list(third) == [[2]]


def test_a_temporary_one_is_removed():
    deque = Deque("abc")
    directory = deque.directory
    assert os.path.isdir(directory)
    deque.close()
    assert not os.path.exists(directory)


def test_other_directories_are_refused(tmp_path):
    with fastcache.Index(tmp_path / "index", {"a": 1}):
        pass
    with fastcache.Cache(tmp_path / "cache") as cache:
        cache[1] = 2
    for name in ("index", "cache"):
        with pytest.raises(fastcache.FormatError, match="not of a Deque"):
            Deque(directory=tmp_path / name)
        with fastcache.Cache(tmp_path / name) as cache:
            assert len(cache) == 1


def test_a_backup_is_a_deque(deque, tmp_path):
    deque.extend("abc")
    deque.backup(tmp_path / "copy")
    deque.clear()
    with Deque(directory=tmp_path / "copy") as other:
        assert list(other) == ["a", "b", "c"]
        assert other.size() == 3
        assert other.volume() > 0


def test_who_may_only_read_reads(directory):
    with Deque("abc", directory):
        pass
    with Deque(directory=directory, read_only=True) as deque:
        assert (list(deque), deque[1], deque.peek(), "c" in deque) == (["a", "b", "c"], "b", "c", True)
        for change in (deque.pop, deque.clear, deque.reverse, lambda: deque.append(1)):
            with pytest.raises(fastcache.ReadOnlyError):
                change()


def test_an_item_whose_file_is_lost_leaves_no_gap(directory):
    lost = b"x" * 200_000
    for use in (
        lambda deque: deque[1],
        lambda deque: deque.rotate(2),
        lambda deque: deque.insert(3, "e"),
        lambda deque: deque.reverse(),
        lambda deque: deque.__delitem__(2),
        lambda deque: deque.check(fix=True),
        lambda deque: (deque.popleft(), deque.popleft()),
    ):
        with Deque(["a", lost, "b", "c"], directory, memory=0) as deque:
            for path in value_files(directory):
                path.unlink()
            use(deque)
            deque.check(fix=True)
            plain = list(deque)
            assert lost not in plain
            assert_whole(deque)
            assert [deque[index] for index in range(len(deque))] == plain
            assert set(plain) <= {"a", "b", "c", "e"}
            assert "c" in plain
            deque.clear()


def test_what_cannot_be_decoded_stays_until_it_is_removed_by_its_index(directory):
    with Deque([1, fastcache.Lock], directory, serializer=fastcache.PickleSerializer(unsafe=True)):
        pass
    with Deque(
        directory=directory, memory=0, serializer=fastcache.PickleSerializer(secret="another secret, which is long")
    ) as deque:
        for take in (deque.pop, deque.peek, lambda: list(deque)):
            with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                take()
        assert len(deque) == 2
        del deque[-1]
        assert list(deque) == [1]


# -- with others --------------------------------------------------------------------------------------------------


def test_a_transaction_is_all_or_nothing(deque):
    deque.extend("abc")

    def fail():
        with deque.transact():
            deque.append(deque.popleft())
            deque.rotate(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(deque) == ["a", "b", "c"]
    with deque.transact():
        deque.append(deque.popleft())
    assert list(deque) == ["b", "c", "a"]


def test_what_is_added_while_iterating_is_not_met(deque):
    deque.extend(range(1000))
    seen = []
    for value in deque:
        seen.append(value)
        deque.append(value)
        deque.appendleft(value)
    assert seen == list(range(1000))


def test_threads_produce_and_consume_each_item_once(deque):
    def produce(name):
        for number in range(150):
            (deque.append if number % 2 else deque.appendleft)((name, number))

    def consume(take):
        found = []
        while len(found) < 100:
            with contextlib.suppress(IndexError):
                found.append(take())
        return found

    *_, one, two, three = together(
        lambda: produce("a"),
        lambda: produce("b"),
        lambda: consume(deque.pop),
        lambda: consume(deque.popleft),
        lambda: consume(deque.pop),
    )
    assert sorted(one + two + three) == sorted((name, number) for name in "ab" for number in range(150))
    assert not deque


def test_an_index_means_what_it_meant_at_one_moment(deque):
    deque.extend(range(100))
    rounds = 300

    def turn():
        for number in range(rounds):
            with deque.transact():
                deque.append(100 + number)
                deque.popleft()

    def look():
        found = []
        while len(found) < rounds:
            first, middle = deque[0], deque[50]
            assert len(deque) == 100
            found.append((first, middle))
        return found

    _, found = together(turn, look)
    for first, middle in found:
        # The second was asked for later.
        assert middle - 50 >= first
    assert found == sorted(found)


def test_a_maxlen_is_never_exceeded(directory):
    with Deque(range(10), directory, maxlen=10) as deque, Deque(directory=directory) as other:

        def append():
            for number in range(200):
                deque.append(number)

        def look():
            for _ in range(200):
                assert len(other) == 10

        together(append, append, look)
        assert_whole(deque)


def test_nothing_is_lost_or_handed_out_twice_when_consumers_are_killed(directory, start):
    items, kills = 300, 4
    with Deque(directory=directory) as deque:
        producers = [start("append_to_deque", str(directory), name, items) for name in "ab"]
        consumers = [start("consume_deque", str(directory)) for _ in range(kills + 1)]
        for process in producers + consumers:
            assert process.hear() == "ready"
        for process in producers + consumers:
            process.tell()
        found = []
        for killed in consumers[1:]:
            of_killed = [killed.hear() for _ in range(10)]
            os.kill(killed.popen.pid, signal.SIGKILL)
            found += of_killed + [json.loads(line) for line in killed.popen.stdout]
        for producer in producers:
            producer.finish()
        while deque:
            time.sleep(0.01)
        consumers[0].tell("stop")
        while (said := consumers[0].hear()) != "end":
            found.append(said)
        consumers[0].finish()
        found = [tuple(item) for item in found]
        assert len(found) == len(set(found))
        # What a consumer had taken, and had not told when it was killed, it took with it: one each, at most.
        missing = {(name, number) for name in "ab" for number in range(items)} - set(found)
        assert len(missing) <= kills
        assert_whole(deque)


def test_whoever_is_killed_while_moving_items_leaves_all_of_them_once(directory, start):
    with Deque(range(700), directory) as deque:
        for round_ in range(4):
            movers = [start("move_until_killed", str(directory)) for _ in range(2)]
            for process in movers:
                assert process.hear() == "ready"
                process.tell()
            time.sleep(0.05 * (round_ + 1))
            for process in movers:
                os.kill(process.popen.pid, signal.SIGKILL)
                process.popen.wait()
            assert sorted(deque) == list(range(700))
            assert_whole(deque)


def test_another_process_takes_what_this_one_adds(deque, directory, start):
    process = start("consume_deque", str(directory))
    assert process.hear() == "ready"
    process.tell()
    for number in range(50):
        deque.append(number)
    assert [process.hear() for _ in range(50)] == list(range(50))
    process.tell("stop")
    assert process.hear() == "end"
    process.finish()
    assert sys.maxsize not in deque
    assert list(deque) == []
