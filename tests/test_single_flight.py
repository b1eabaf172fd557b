"""Who leads for a number, of all processes: by a word of shared memory or a byte lock, whoever is killed, or forks."""

import sys
import time

import pytest

import fastcache
from fastcache.sync.single_flight import Flight, single_flight_of

# The second one has the word of the first, the third one its own.
NUMBER, BESIDE, OTHER = 5, 5 + 2048, 6
# Descriptions have the locks there, so that a process has a number.
linux = pytest.mark.skipif(sys.platform != "linux", reason="processes have numbers on Linux alone")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="one of a process leads there, whatever others do")


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "cache")


@pytest.fixture
def leading(start, directory):
    """Start a process that leads as it is told, from this number on; returns how to tell it."""

    def begin(known_as):
        process = start("lead", "Cache", directory, known_as)

        def ask(*order):
            process.tell(order)
            return process.hear()

        ask.process = process
        return ask

    return begin


def kill(ask):
    ask.process.popen.kill()
    ask.process.popen.wait()


def test_one_process_leads_for_a_number_until_it_ends(leading):
    one, other = leading(100), leading(200)
    for number in (NUMBER, OTHER):
        assert one("begin", number) is True
        assert other("begin", number) is False
        one("end", number)
        assert other("begin", number) is True
        assert one("begin", number) is False


@linux
def test_numbers_of_one_word_are_led_side_by_side(leading):
    one, other = leading(100), leading(200)
    assert one("begin", NUMBER) is True
    assert other("begin", BESIDE) is True
    assert one("state", NUMBER) == [100, False, 1]
    assert [other("begin", NUMBER), one("begin", BESIDE)] == [False, False]
    # As long as one leads without the word, nobody takes it.
    one("end", NUMBER)
    assert one("begin", BESIDE) is False
    assert one("begin", NUMBER) is True
    assert other("begin", NUMBER) is False
    assert one("state", NUMBER)[::2] == [0, 2]
    one("end", NUMBER)
    other("end", BESIDE)
    assert one("state", NUMBER)[::2] == [0, 0]
    assert other("begin", NUMBER) is True
    assert one("state", NUMBER)[::2] == [200, 0]


@pytest.mark.parametrize("number", [NUMBER, BESIDE])
def test_who_is_killed_leads_for_nothing(leading, number):
    one, other, third = leading(100), leading(200), leading(300)
    for each in (NUMBER, BESIDE):
        assert one("begin", each) is True
        assert other("begin", each) is False
    kill(one)
    assert other("begin", number) is True
    assert third("begin", number) is False
    kill(other)
    assert third("begin", number) is True
    assert third("begin", NUMBER + BESIDE - number) is True


@linux
def test_who_gets_the_number_of_one_that_was_killed_leads_for_nothing_that_it_did(leading):
    one = leading(100)
    assert one("begin", NUMBER) is True
    assert one("begin", OTHER) is True
    kill(one)
    other, third = leading(100), leading(100)
    assert other("begin", OTHER) is True
    assert other("state", OTHER)[0] == 100
    assert other("state", NUMBER)[0] == 0
    assert third("begin", NUMBER) is True
    assert third("state", NUMBER)[0] == 101
    assert third("begin", OTHER) is False


@linux
@pytest.mark.parametrize("how", ["python", "c"])
def test_a_child_leads_for_nothing_that_its_parent_does_and_keeps_nothing_of_it(start, leading, directory, how):
    parent, other = start("lead_and_fork", "Cache", directory, how, NUMBER), leading(100)
    # Neither does it lead, nor has it ended what its parent does.
    assert parent.hear() is False
    assert other("begin", NUMBER) is False
    parent.popen.kill()
    parent.popen.wait()
    assert other("begin", NUMBER) is True


def test_who_computes_wakes_others_only_if_they_wait(directory, leading):
    with fastcache.Cache(directory) as store:
        flights = single_flight_of(store.store)
        count = flights.event_count
        before = count.read()
        for number in range(100):
            store.get_or_set(number, lambda: 1)
        assert count.read() == before

        # Of this process, and of another one.
        flight, waiter = Flight(flights, NUMBER), Flight(flights, NUMBER)
        assert flights.begin(flight)
        assert not flights.begin(waiter)
        flights.end(waiter)
        flights.end(flight)
        assert count.read() == before + 1
        assert flights.begin(flight)
        assert leading(100)("begin", NUMBER) is False
        flights.end(flight)
        assert count.read() == before + 2


def test_of_many_processes_one_leads_whoever_is_killed(start, tmp_path, directory):
    numbers = [NUMBER + 2048 * place for place in range(3)] + [OTHER]
    (tmp_path / "led").mkdir()

    def begin(seed, turns=1500):
        process = start("lead_in_turns", "Cache", directory, str(tmp_path / "led"), numbers, [turns, seed])
        assert process.hear() == "ready"
        return process

    lasting = [begin(seed) for seed in range(4)]
    for process in lasting:
        process.tell()
    for seed in range(100, 106):
        doomed = begin(seed, turns=10**9)
        doomed.tell()
        time.sleep(0.05)
        doomed.popen.kill()
    assert [process.finish() for process in lasting] == [[1500, 0]] * 4
