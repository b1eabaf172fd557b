"""With durability="full" all is as ever, and what was acknowledged survives a power cut, too."""

import pickle

import pytest

import fastcache

from ..together import together
from .batch import wait_until
from .bulk import IN_A_FILE, REFUSALS
from .store import StoreContract, in_order
from .values import no_pickle


class DurabilityContract(StoreContract):
    def test_it_is_normal_if_nothing_is_said(self, store):
        assert store.durability == "normal"

    @pytest.mark.parametrize("durability", ["normal", "full"])
    def test_it_can_be_asked_for(self, open_store, durability):
        with open_store(durability=durability) as store:
            assert store.durability == durability
            store["a"] = IN_A_FILE
        assert in_order(open_store()) == [("a", IN_A_FILE)]

    @pytest.mark.parametrize("wrong", ["", "fast", "FULL", "full ", None, 1, True, b"full"])
    def test_anything_else_is_refused(self, open_store, wrong):
        with pytest.raises(ValueError, match="durability"):
            open_store(durability=wrong)

    def test_it_goes_along_when_a_store_is_pickled(self, open_store):
        store = open_store(durability="full")
        store["a"] = 1
        with pickle.loads(pickle.dumps(store)) as other:
            assert other.durability == "full"
            assert other["a"] == 1

    def test_stores_of_both_kinds_share_a_directory(self, open_store):
        one, other = open_store(durability="full"), open_store()
        assert (one.durability, other.durability) == ("full", "normal")
        for number in range(30):
            one[number] = IN_A_FILE if number % 10 == 3 else number
            assert other[number] == one[number]
            other.incr("n")
            assert one["n"] == number + 1
        assert len(one) == len(other) == 31

    def test_what_threads_set_at_once_is_there_for_all_when_set_returns(self, open_store):
        store, other = open_store(durability="full"), open_store()

        def write(name):
            for number in range(40):
                store[name, number] = IN_A_FILE if number % 20 == 7 else number
                assert (name, number) in other
                assert store[name, number] == other[name, number]
                if number % 10 == 9:
                    assert store.delete((name, number - 1)) is True
                    assert (name, number - 1) not in other
                    assert store.delete((name, number - 1)) is False

        together(*[lambda name=name: write(name) for name in range(8)])
        assert len(store) == len(other) == 8 * 36
        for name in range(8):
            assert [key[1] for key in store if key[0] == name] == [n for n in range(40) if n % 10 != 8]
        assert store.check(fix=True)

    def test_of_sets_of_one_key_by_threads_the_last_is_seen_by_all(self, open_store):
        store = open_store(durability="full")

        def write(name):
            for number in range(40):
                store["a"] = [name, number]
                found = store["a"]
                assert found[0] != name or found[1] == number

        together(*[lambda name=name: write(name) for name in range(6)])
        assert store["a"][1] == 39
        assert store["a"] == open_store()["a"]

    def test_a_thread_whose_value_cannot_be_stored_disturbs_no_other(self, open_store):
        store = open_store(durability="full")

        def write(name):
            for number in range(30):
                if name % 2:
                    store[name, number] = number
                else:
                    with pytest.raises(REFUSALS):
                        store[name, number] = no_pickle()

        together(*[lambda name=name: write(name) for name in range(6)])
        assert sorted(store) == [(name, number) for name in (1, 3, 5) for number in range(30)]

    def test_sets_and_transactions_of_threads_do_not_mix(self, open_store):
        store = open_store(durability="full")

        def write(name):
            for number in range(25):
                store[name, number] = number

        def roll_back():
            for number in range(25):
                with pytest.raises(ZeroDivisionError), store.transact():  # noqa: PT012
                    store["half", number] = number
                    store.incr("half")
                    1 // 0  # noqa: B018

        def transact():
            for number in range(25):
                with store.transact():
                    store["whole", number] = number
                    store.incr("whole")

        together(lambda: write("a"), lambda: write("b"), lambda: write("c"), roll_back, transact)
        assert store["whole"] == 25
        assert len(store) == 4 * 25 + 1
        assert not any("half" in key for key in store)

    def test_while_another_process_writes_every_thread_times_out(self, open_store, directory, start):
        store = open_store(durability="full", timeout=0.2)
        holder = start("hold", self.kind, str(directory))
        assert holder.hear() == "holding"

        def write(name):
            with pytest.raises(fastcache.Timeout):
                store[name] = name

        for _ in range(2):
            together(*[lambda name=name: write(name) for name in range(5)])
        assert len(store) == 0
        holder.tell()
        holder.finish()
        patient = open_store(durability="full")
        together(*[lambda name=name: patient.set(name, name) for name in range(5)])
        assert len(store) == len(patient) == 6

    @pytest.mark.parametrize("durability", ["normal", "full"])
    def test_a_killed_process_loses_nothing_its_threads_were_told_is_stored(
        self, open_store, directory, start, durability
    ):
        told = set()
        for run in range(3):
            process = start("acknowledge", self.kind, str(directory), durability, run, 6)
            for _ in range(120):
                told.add(tuple(process.hear()))
            process.popen.kill()
            # What it had said before it died was true, too; but the last line may be half a line.
            process.popen.wait()
        store = open_store()
        assert set(told) <= {tuple(key.split()) for key in store}
        store.check(fix=True)
        assert store.check()

    def test_four_processes_count_together(self, open_store, directory, start):
        store = open_store(durability="full")
        others = [start("answer", self.kind, str(directory)) for _ in range(2)]
        for _ in range(20):
            for other in others:
                other.tell(["incr", "n"])
            store.incr("n")
            store["a"] = 1
            for other in others:
                other.hear()
        assert store["n"] == 60
        for other in others:
            other.tell(None)
            other.finish()

    def test_others_need_not_wait_for_ever(self, open_store):
        """Whoever waits for a commit in a group gets on when it is done, in whatever order the threads end."""
        store = open_store(durability="full")
        for number in range(20):
            together(*[lambda key=key: store.set(key, 1) for key in range(number % 4 + 1)])
        wait_until(lambda: len(store) == 4)
