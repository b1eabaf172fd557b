"""Locks, semaphores, barriers, throttles and averages: what they promise to threads, processes, and survivors."""

import asyncio
import contextlib
import copy
import itertools
import os
import pickle
import signal
import threading
import time
from datetime import timedelta

import msgspec
import pytest

import fastcache
from fastcache import Averager, BoundedSemaphore, Lock, RLock, barrier, throttle

from ..together import in_a_thread, together
from .concurrency import all_at_once
from .store import StoreContract

PATIENCE_SECONDS = 60
# Long enough to be waited for, short enough to wait for it.
MOMENT = 0.05
KINDS = {"Lock": "lock", "RLock": "rlock", "BoundedSemaphore": "semaphore"}
TYPES = [Lock, RLock, BoundedSemaphore]
# A number that nobody has, or ever will.
DEAD = (1 << 62) - 1


def eventually(question):
    """Ask until the answer is yes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not question():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.001)


class LocksContract(StoreContract):
    @pytest.fixture
    def records(self, store):
        """The index beside the cache, in which the locks are."""
        store.lock("made").locked()
        with fastcache.Index(os.path.join(store.directory, "locks")) as index:
            yield index

    @pytest.fixture(params=TYPES, ids=lambda kind: kind.__name__)
    def lock_type(self, request):
        return request.param

    @pytest.fixture
    def elsewhere(self, start, directory):
        """Another process that uses a lock."""

        def elsewhere(lock_type=Lock, name="a", **options):
            return start("use_lock", self.kind, str(directory), lock_type.__name__, name, options)

        return elsewhere

    def waiting(self, records, lock):
        """How many wait for it."""
        stored = records.get((KINDS[type(lock).__name__], lock.name))
        return 0 if stored is None else len(msgspec.msgpack.decode(stored)[2])

    @contextlib.contextmanager
    def held_elsewhere(self, process):
        process.tell(["acquire"])
        assert process.hear() is True
        yield process
        process.tell(["release"])
        assert process.hear() is True

    # acquire and release

    def test_who_has_it_keeps_others_out(self, store, lock_type):
        lock = lock_type(store, "a")
        assert lock.acquire() is True
        assert lock.locked() is True
        assert in_a_thread(lambda: lock_type(store, "a").acquire(blocking=False)) is False
        assert in_a_thread(lambda: lock.acquire(False)) is False
        assert in_a_thread(lambda: lock.acquire(timeout=MOMENT)) is False
        assert lock.release() is True
        assert lock.locked() is False
        assert in_a_thread(lambda: (lock.acquire(True, 1), lock.release())) == (True, True)

    def test_the_block_of_a_lock_holds_it(self, store, lock_type):
        lock = lock_type(store, "a")
        with lock as entered:
            assert entered is lock
            assert lock.locked()
        assert not lock.locked()
        with pytest.raises(ZeroDivisionError), lock:
            1 // 0  # noqa: B018
        assert not lock.locked()

    def test_a_lock_is_not_reentrant(self, store):
        with store.lock("a") as lock:
            assert lock.acquire(blocking=False) is False
            assert lock.acquire(timeout=MOMENT) is False

    def test_of_those_who_wait_none_waits_in_vain(self, store, lock_type, records):
        lock = lock_type(store, "a")
        lock.acquire()
        turns = []

        def take():
            with lock_type(store, "a"):
                turns.append(1)

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        eventually(lambda: self.waiting(records, lock) == 6)
        lock.release()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert turns == [1] * 6

    def test_first_come_first_served(self, store, lock_type, records):
        lock, order = lock_type(store, "a"), []
        lock.acquire()

        def take(number):
            with lock_type(store, "a"):
                order.append(number)

        threads = []
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            eventually(lambda: self.waiting(records, lock) == len(threads))
        # Who does not wait does not overtake.
        lock.release()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert order == [0, 1, 2, 3, 4]

    def test_counting_under_a_lock_loses_nothing(self, store, lock_type):
        store["n"] = 0

        def count():
            for _ in range(40):
                with lock_type(store, "a"):
                    store["n"] = store["n"] + 1

        together(*[count] * 4)
        assert store["n"] == 160

    def test_releasing_what_was_not_acquired_is_an_error(self, store, lock_type):
        lock = lock_type(store, "a")
        for wrong in (lock.release, lock.extend):
            with pytest.raises(fastcache.LockError):
                wrong()
        with lock:
            with pytest.raises(RuntimeError):
                in_a_thread(lock.release)
            with pytest.raises(fastcache.LockError):
                in_a_thread(lock.extend)
        with pytest.raises(fastcache.CacheError):
            lock.release()

    def test_a_lock_and_a_semaphore_belong_to_the_object_that_acquired_them(self, store):
        for lock_type in (Lock, BoundedSemaphore):
            with lock_type(store, "a") as lock, pytest.raises(fastcache.LockError):
                lock_type(store, "a").release()
            assert not lock.locked()

    def test_names_are_keys(self, store, lock_type):
        names = ["a", b"a", 1, 1.5, ("a", 1, None), "", "\0", 2**70, "x" * 10_000]
        locks = [lock_type(store, name) for name in names]
        assert [lock.acquire(blocking=False) for lock in locks] == [True] * len(names)
        assert [lock.name for lock in locks] == names
        assert in_a_thread(lambda: [lock.acquire(blocking=False) for lock in locks]) == [False] * len(names)
        assert in_a_thread(lambda: lock_type(store, 1.0).acquire(blocking=False)) is False
        assert [lock.release() for lock in locks] == [True] * len(names)

    @pytest.mark.parametrize("name", [[], {}, float("nan"), ([],)], ids=repr)
    def test_what_is_no_key_is_no_name(self, store, lock_type, name):
        with pytest.raises((TypeError, ValueError)):
            lock_type(store, name).acquire()

    def test_a_lock_an_rlock_and_a_semaphore_of_one_name_are_different_things(self, store):
        with store.lock("a"), store.rlock("a"), store.bounded_semaphore("a"):
            pass

    def test_it_is_no_entry(self, store, lock_type):
        store["b"] = 1
        with lock_type(store, "a") as lock:
            assert list(store) == ["b"]
            assert len(store) == 1
            store.clear()
            assert lock.locked()
        assert store.check()

    def test_nothing_is_left_of_a_lock_that_nobody_has(self, store, lock_type, records):
        with lock_type(store, "a"):
            assert len(records) == 1
            in_a_thread(lambda: lock_type(store, "a").acquire(timeout=MOMENT))
        assert len(records) == 0

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((True, -2), ValueError),
            ((True, -0.5), ValueError),
            ((True, float("nan")), ValueError),
            ((False, 1), ValueError),
            ((False, 0), ValueError),
            ((True, "1"), TypeError),
            ((True, timedelta(1)), TypeError),
        ],
        ids=str,
    )
    def test_a_timeout_that_makes_no_sense_is_refused(self, store, lock_type, arguments, error):
        lock = lock_type(store, "a")
        with pytest.raises(error):
            lock.acquire(*arguments)
        assert not lock.locked()

    def test_a_timeout_of_minus_one_is_none(self, store, lock_type):
        lock = lock_type(store, "a")
        assert lock.acquire(True, -1)
        lock.release()
        assert lock.acquire(False, -1)
        lock.release()
        assert lock.acquire(timeout=0)
        assert in_a_thread(lambda: lock.acquire(timeout=0)) is False

    @pytest.mark.parametrize(
        ("expire", "error"),
        [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError), (True, TypeError)],
    )
    def test_an_expiry_that_makes_no_sense_is_refused(self, store, lock_type, expire, error):
        with pytest.raises(error):
            lock_type(store, "a", expire=expire)
        with lock_type(store, "a") as lock, pytest.raises(error):
            lock.extend(expire)

    def test_a_block_waits_for_as_long_as_the_lock_was_made_for(self, store, lock_type, elsewhere):
        impatient = lock_type(store, "a", timeout=MOMENT)
        assert impatient.timeout == MOMENT
        with self.held_elsewhere(elsewhere(lock_type)):
            before = time.monotonic()
            with pytest.raises(fastcache.Timeout, match=KINDS[lock_type.__name__]), impatient:
                pass
            assert impatient.acquire() is False
            assert time.monotonic() - before >= 2 * MOMENT
            assert impatient.acquire(blocking=False) is False
            assert impatient.acquire(timeout=0) is False
            assert pickle.loads(pickle.dumps(impatient)).timeout == MOMENT
            assert f"timeout={MOMENT}" in repr(impatient)
        with impatient:
            assert impatient.locked()

    def test_the_methods_of_a_cache_take_a_timeout(self, store):
        assert store.lock("a", timeout=1).timeout == store.rlock("a", timeout=1).timeout == 1
        assert store.bounded_semaphore("a", 2, timeout=1).timeout == 1
        assert store.lock("a").timeout is None
        for make in (store.lock, store.rlock, store.bounded_semaphore):
            for wrong in (-1, "1", True, float("nan")):
                with pytest.raises((TypeError, ValueError), match="timeout"):
                    make("a", timeout=wrong)

    def test_the_forms_that_other_caches_have(self, store):
        with Lock(store, "k", expire=10), store.rlock("k", expire=timedelta(seconds=10)):
            assert not in_a_thread(lambda: store.lock("k", 10).acquire(False))
            assert not in_a_thread(lambda: store.rlock("k", 10).acquire(False))
        assert RLock(store, "k", 2).expire == 2.0
        assert BoundedSemaphore(store, "k", 2, expire=3).value == 2
        assert store.bounded_semaphore("k", value=3, expire=4).value == 3
        assert store.lock("k", float("inf")).expire is None

    def test_it_says_what_it_is(self, store):
        assert repr(store.lock("a")) == f"Lock({store!r}, 'a')"
        assert repr(store.rlock("a", expire=2)) == f"RLock({store!r}, 'a', expire=2)"
        assert repr(store.bounded_semaphore("a", 3)) == f"BoundedSemaphore({store!r}, 'a', value=3)"

    def test_it_can_be_pickled_without_what_it_holds(self, store):
        for lock in (store.lock("a", 60), store.rlock("a", 60), store.bounded_semaphore("a", 2, expire=60)):
            with lock:
                loaded = pickle.loads(pickle.dumps(lock))
                assert type(loaded) is type(lock)
                assert (loaded.name, loaded.expire) == ("a", 60.0)
                assert getattr(loaded, "value", None) == getattr(lock, "value", None)
                assert copy.copy(lock).expire == 60.0
                if not isinstance(lock, RLock):
                    with pytest.raises(fastcache.LockError):
                        loaded.release()
                assert in_a_thread(lambda: loaded.acquire(False)) is (lock.__class__ is BoundedSemaphore)  # noqa: B023
            loaded._cache.close()

    def test_a_closed_cache_has_no_locks(self, open_store, lock_type):
        store = open_store()
        lock, other = lock_type(store, "a"), lock_type(open_store(), "b")
        lock.acquire()
        other.acquire()
        store.close()
        for use in (lock.acquire, lock.release, lock.locked, lambda: lock_type(store, "c").acquire()):
            with pytest.raises(fastcache.ClosedError):
                use()
        assert other.release()

    def test_what_a_cache_held_when_it_was_closed_is_free(self, open_store, lock_type):
        store = open_store()
        lock_type(store, "a").acquire()
        store.close()
        store.close()
        assert in_a_thread(lambda: lock_type(open_store(), "a").acquire(timeout=PATIENCE_SECONDS))

    def test_closing_the_cache_inside_the_block_of_a_lock_frees_it(self, open_store, lock_type, elsewhere):
        store = open_store()
        process = elsewhere(lock_type)
        with lock_type(store, "a"):
            process.tell(["acquire", False])
            assert process.hear() is False
            store.close()
            process.tell(["acquire", False])
            assert process.hear() is True
        # The block's own exception is what leaves it.
        with open_store() as other, pytest.raises(ZeroDivisionError), lock_type(other, "b"):
            self.close_and_fail(other)
        process.tell(["release"])
        assert process.hear() is True

    @staticmethod
    def close_and_fail(store):
        store.close()
        raise ZeroDivisionError

    def test_closing_the_cache_hands_its_locks_to_who_waits(self, store, open_store, lock_type, elsewhere, records):
        closed, process = open_store(), elsewhere(lock_type)
        kept, lock = lock_type(store, "kept"), lock_type(closed, "a")
        kept.acquire()
        with lock:
            process.tell(["acquire"])
            eventually(lambda: self.waiting(records, lock) == 1)
            closed.close()
            assert process.hear() is True
        # What another object of the directory holds stays held.
        assert in_a_thread(lambda: lock_type(store, "kept").acquire(False)) is False
        assert kept.release() is True
        process.tell(["release"])
        assert process.hear() is True

    def test_who_waits_through_a_cache_that_is_closed_waits_no_longer(self, store, open_store, lock_type, records):
        closed, outcome = open_store(), []
        lock = lock_type(store, "a")

        def wait():
            with pytest.raises(fastcache.ClosedError):
                lock_type(closed, "a").acquire()
            outcome.append("closed")

        with lock:
            waiter = threading.Thread(target=wait)
            waiter.start()
            eventually(lambda: self.waiting(records, lock) == 1)
            closed.close()
            waiter.join(PATIENCE_SECONDS)
            assert outcome == ["closed"]
            assert lock.locked()

    def test_what_is_held_through_a_cache_that_is_collected_is_free(self, directory, lock_type, elsewhere):
        process = elsewhere(lock_type)
        lock = lock_type(self.store_type(directory), "a")
        lock.acquire()
        process.tell(["acquire", False])
        assert process.hear() is False
        del lock
        process.tell(["acquire", False])
        assert process.hear() is True

    def test_what_only_a_handle_can_release_is_free_when_that_is_collected(self, store, lock_type):
        lock = lock_type(store, "a")
        lock.acquire()
        del lock
        # Of an RLock the thread can have another handle.
        is_free = lock_type is not RLock
        assert in_a_thread(lambda: lock_type(store, "a").acquire(False)) is is_free
        if not is_free:
            assert lock_type(store, "a").release() is True

    def test_what_cannot_be_written_when_it_is_released_is_free_all_the_same(
        self, open_store, lock_type, start, elsewhere, records
    ):
        lock, process = lock_type(open_store(timeout=MOMENT), "a"), elsewhere(lock_type)
        lock.acquire()
        writer = start("hold", "Index", records.directory)
        assert writer.hear() == "holding"
        with pytest.raises(fastcache.Timeout):
            lock.release()
        writer.tell()
        writer.finish()
        process.tell(["acquire", False])
        assert process.hear() is True
        with pytest.raises(fastcache.LockError):
            lock.release()

    def test_a_temporary_cache_leaves_nothing_behind(self, lock_type):
        for end in ("close", "collect"):
            store = self.store_type()
            directory = store.directory
            lock_type(store, "a").acquire()
            assert os.path.isdir(os.path.join(directory, "locks"))
            if end == "close":
                store.close()
            del store
            assert not os.path.exists(directory)

    def test_it_lives_in_a_place_for_its_owner_alone(self, store):
        store.lock("a").locked()
        folder = os.path.join(store.directory, "locks")
        assert os.stat(folder).st_mode & 0o077 == 0
        assert all(os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0 for name in os.listdir(folder))

    def test_it_can_be_waited_for_inside_a_transaction(self, store, lock_type):
        lock = lock_type(store, "a")
        entered = threading.Event()

        def hold():
            with lock:
                entered.set()
                time.sleep(MOMENT)

        holder = threading.Thread(target=hold)
        holder.start()
        entered.wait(PATIENCE_SECONDS)
        with store.transact(), lock:
            store["a"] = 1
        holder.join()
        assert store["a"] == 1

    # expiry

    def test_what_expires_is_free(self, store, lock_type):
        lock, other = lock_type(store, "a", expire=MOMENT), lock_type(store, "a")
        lock.acquire()
        assert in_a_thread(lambda: other.acquire(timeout=PATIENCE_SECONDS)) is True
        assert lock.locked()
        assert lock.extend() is False
        assert lock.release() is False
        # Whose it is now was left alone.
        assert lock.locked()
        with pytest.raises(fastcache.LockError):
            lock.release()

    def test_what_has_expired_is_still_ours_until_another_one_takes_it(self, store, lock_type):
        lock = lock_type(store, "a", expire=0.001)
        lock.acquire()
        eventually(lambda: not lock.locked())
        assert lock.extend(60) is True
        assert lock.locked()
        assert in_a_thread(lambda: lock.acquire(False)) is False
        assert lock.extend(0.001) is True
        eventually(lambda: not lock.locked())
        assert lock.release() is True

    def test_what_was_prolonged_does_not_expire(self, store, lock_type):
        lock = lock_type(store, "a", expire=60)
        lock.acquire()
        assert lock.extend(None)
        assert lock.extend(timedelta(milliseconds=1))
        assert in_a_thread(lambda: lock_type(store, "a").acquire(timeout=PATIENCE_SECONDS)) is True

    def test_an_expiry_is_counted_from_when_it_is_acquired(self, store, lock_type, records):
        lock = lock_type(store, "a")
        lock.acquire()
        before = time.monotonic()

        def wait():
            with lock_type(store, "a", expire=500):
                return msgspec.msgpack.decode(records[KINDS[lock_type.__name__], "a"])[1][0][2]

        def let_go():
            eventually(lambda: self.waiting(records, lock) == 1)
            time.sleep(MOMENT)

        waiter = threading.Thread(target=lambda: deadlines.append(wait()))
        deadlines = []
        waiter.start()
        let_go()
        lock.release()
        waiter.join(PATIENCE_SECONDS)
        assert deadlines[0] >= before + MOMENT + 500

    def test_a_lock_that_was_lost_can_be_acquired_anew(self, store, lock_type):
        lock, other = lock_type(store, "a", expire=0.001), lock_type(store, "a")
        lock.acquire()
        with store.lock("other"):
            eventually(lambda: not lock.locked())
            assert in_a_thread(other.acquire) is True
        # The thread that took it has ended, and holds it still; nobody else can.
        assert lock.acquire(blocking=False) is False
        assert lock.release() is False

    # RLock

    def test_an_rlock_is_released_as_often_as_acquired_through_whatever_object(self, store, open_store):
        first, second, third = store.rlock("a"), store.rlock("a"), open_store().rlock("a")
        assert [first.acquire(), second.acquire(False), third.acquire(timeout=0)] == [True] * 3
        assert in_a_thread(lambda: second.acquire(False)) is False
        assert [third.release(), third.release()] == [True] * 2
        assert in_a_thread(lambda: second.acquire(False)) is False
        assert second.release() is True
        assert in_a_thread(lambda: (second.acquire(False), second.release())) == (True, True)
        with pytest.raises(fastcache.LockError):
            first.release()

    def test_what_several_objects_hold_together_is_free_with_the_last_of_them(self, store, open_store):
        first, second = open_store(), open_store()
        with first.rlock("a"), second.rlock("a"):
            first.close()
            assert in_a_thread(lambda: store.rlock("a").acquire(False)) is False
            assert second.rlock("a").locked()
        assert in_a_thread(lambda: store.rlock("a").acquire(False)) is True

    def test_an_rlock_is_not_prolonged_or_shortened_by_less(self, store):
        outer, inner, none = store.rlock("a", 60), store.rlock("a", 0.001), store.rlock("a")
        with outer:
            with inner:
                time.sleep(MOMENT)
                assert outer.locked()
            with none:
                assert in_a_thread(lambda: outer.acquire(False)) is False

    def test_an_rlock_that_expires_is_prolonged_when_it_is_acquired_again(self, store):
        lock = store.rlock("a", 0.001)
        lock.acquire()
        eventually(lambda: not lock.locked())
        with store.rlock("a", 60):
            assert lock.locked()
            assert in_a_thread(lambda: lock.acquire(False)) is False
        assert lock.release() is True

    def test_an_rlock_that_was_taken_has_to_be_waited_for(self, store, start, directory):
        lock = store.rlock("a", 0.001)
        lock.acquire()
        lock.acquire()
        eventually(lambda: not lock.locked())
        process = start("use_lock", self.kind, str(directory), "RLock", "a", {})
        with self.held_elsewhere(process):
            assert lock.acquire(blocking=False) is False
            # The inner one was lost, too.
            assert lock.release() is False
        assert lock.acquire()
        assert lock.release() is True
        assert lock.release() is False
        with pytest.raises(fastcache.LockError):
            lock.release()

    # BoundedSemaphore

    def test_a_semaphore_has_so_many_slots(self, store):
        slots = store.bounded_semaphore("a", 3)
        assert [slots.acquire(), slots.acquire(False), slots.locked(), slots.acquire()] == [True, True, False, True]
        assert slots.locked()
        assert in_a_thread(lambda: store.bounded_semaphore("a", 3).acquire(timeout=MOMENT)) is False
        assert slots.release()
        assert in_a_thread(lambda: store.bounded_semaphore("a", 3).acquire(timeout=MOMENT)) is True
        assert [slots.release(), slots.release()] == [True, True]
        with pytest.raises(fastcache.LockError):
            slots.release()

    def test_all_slots_that_become_free_are_handed_on(self, store, records):
        slots = store.bounded_semaphore("a", 2)
        slots.acquire()
        slots.acquire()
        inside, leave = threading.Semaphore(0), threading.Event()

        def take():
            with store.bounded_semaphore("a", 2):
                inside.release()
                leave.wait(PATIENCE_SECONDS)

        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: self.waiting(records, slots) == 2)
        slots.release()
        assert inside.acquire(timeout=PATIENCE_SECONDS)
        slots.release()
        assert inside.acquire(timeout=PATIENCE_SECONDS)
        leave.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)

    def test_each_slot_expires_by_itself(self, store):
        lasting, brief = store.bounded_semaphore("a", 2), store.bounded_semaphore("a", 2, expire=0.001)
        lasting.acquire()
        brief.acquire()
        slots = store.bounded_semaphore("a", 2)
        assert in_a_thread(lambda: slots.acquire(timeout=PATIENCE_SECONDS)) is True
        assert in_a_thread(lambda: slots.acquire(timeout=MOMENT)) is False
        assert [lasting.release(), brief.release()] == [True, False]

    def test_all_have_to_agree_on_how_many_slots_there_are(self, store):
        with store.bounded_semaphore("a", 2), pytest.raises(ValueError, match=r"value=2.* value=3"):
            store.bounded_semaphore("a", 3).acquire()
        with store.bounded_semaphore("a", 3, expire=0.001):
            eventually(lambda: self.can_have(store, 5))

    def can_have(self, store, value):
        slots = store.bounded_semaphore("a", value)
        with contextlib.suppress(ValueError):
            return slots.acquire() and slots.release()
        return False

    @pytest.mark.parametrize(
        ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)]
    )
    def test_a_number_of_slots_that_makes_no_sense_is_refused(self, store, value, error):
        with pytest.raises(error):
            store.bounded_semaphore("a", value)

    # processes

    def test_processes_keep_each_other_out(self, store, lock_type, elsewhere):
        lock = lock_type(store, "a")
        with self.held_elsewhere(elsewhere(lock_type)) as process:
            assert lock.locked()
            assert lock.acquire(blocking=False) is False
            assert lock.acquire(timeout=MOMENT) is False
            with pytest.raises(fastcache.LockError):
                lock.release()
        with lock:
            process.tell(["acquire", False])
            assert process.hear() is False
            process.tell(["release"])
            assert process.hear() == "LockError"
        process.finish()

    def test_a_lock_is_handed_to_the_process_that_waits(self, store, lock_type, elsewhere, records):
        lock = lock_type(store, "a")
        process = elsewhere(lock_type)
        lock.acquire()
        for _ in range(20):
            process.tell(["acquire"])
            eventually(lambda: self.waiting(records, lock) == 1)
            lock.release()
            assert process.hear() is True
            process.tell(["release"])
            assert lock.acquire(timeout=PATIENCE_SECONDS)
            assert process.hear() is True
        process.finish()

    @pytest.mark.parametrize("expire", [None, 1000])
    def test_what_a_killed_process_held_is_free(self, store, lock_type, elsewhere, expire):
        lock, process = lock_type(store, "a"), elsewhere(lock_type, expire=expire)
        process.tell(["acquire"])
        assert process.hear() is True
        assert not lock.acquire(False)
        threading.Timer(MOMENT, process.popen.kill).start()
        assert lock.acquire(timeout=PATIENCE_SECONDS) is True
        assert process.popen.wait() == -signal.SIGKILL
        assert lock.release() is True

    def test_who_was_killed_waiting_is_passed_over(self, store, lock_type, elsewhere, records):
        lock = lock_type(store, "a")
        dead, stopped, last = (elsewhere(lock_type) for _ in range(3))
        lock.acquire()
        for number, process in enumerate((dead, stopped, last)):
            process.tell(["acquire"])
            eventually(lambda: self.waiting(records, lock) == number + 1)  # noqa: B023
        dead.popen.kill()
        dead.popen.wait()
        # Handed a lock that it never gets to know about.
        stopped.popen.send_signal(signal.SIGSTOP)
        lock.release()
        eventually(lambda: self.waiting(records, lock) == 1)
        stopped.popen.kill()
        assert last.hear() is True
        last.tell(["release"])
        assert last.hear() is True
        last.finish()
        assert len(records) == 0

    def test_what_the_dead_leave_behind_is_swept_up(self, open_store, directory, elsewhere):
        process = elsewhere()
        process.tell(["acquire"])
        assert process.hear() is True
        process.popen.kill()
        process.popen.wait()
        store = open_store()
        with store.lock("another"), fastcache.Index(directory / "locks") as records:
            assert list(records) == [("lock", "another")]

    def test_an_interrupted_waiter_leaves_no_trace(self, store, lock_type, elsewhere, records):
        lock, process = lock_type(store, "a"), elsewhere(lock_type)
        lock.acquire()
        process.tell(["acquire"])
        eventually(lambda: self.waiting(records, lock) == 1)
        process.popen.send_signal(signal.SIGINT)
        assert process.hear() == "KeyboardInterrupt"
        assert self.waiting(records, lock) == 0
        lock.release()
        assert len(records) == 0
        process.tell(["acquire", False])
        assert process.hear() is True
        process.finish()

    def test_a_hand_off_is_not_lost_to_an_interruption(self, store, elsewhere, records):
        lock, process = store.lock("a"), elsewhere()
        for number in range(20):
            lock.acquire()
            process.tell(["acquire"])
            eventually(lambda: self.waiting(records, lock) == 1)
            if number % 2:
                process.popen.send_signal(signal.SIGINT)
            lock.release()
            if number % 2 == 0:
                process.popen.send_signal(signal.SIGINT)
            told = process.hear()
            assert told in ("KeyboardInterrupt", True)
            if told is True:
                process.tell(["release"])
                assert process.hear() in (True, "KeyboardInterrupt")
            assert lock.acquire(timeout=PATIENCE_SECONDS)
            lock.release()
        process.finish()
        assert len(records) == 0

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there are no timers that interrupt")
    def test_wherever_an_interrupt_falls_nothing_is_left_of_it(self, start, directory):
        process = start("storm", self.kind, str(directory), 1500, 1)
        left = process.hear()
        assert left == dict.fromkeys(left, 0)
        assert start("take_all", self.kind, str(directory)).finish() == []
        process.finish()

    def test_who_gives_up_in_the_moment_of_a_hand_off_loses_nothing(self, store, lock_type):
        def pass_on():
            lock, had = lock_type(store, "a"), 0
            for _ in range(60):
                if lock.acquire(timeout=0.0005):
                    had += 1
                    lock.release()
            return had

        together(*[pass_on] * 4)
        assert in_a_thread(lambda: lock_type(store, "a").acquire(blocking=False)) is True

    def test_a_timeout_holds_while_the_records_are_locked(self, open_store, lock_type, records):
        store = open_store(timeout=MOMENT)
        lock = lock_type(store, "a")
        waiter = []

        def wait():
            waiter.append(lock.acquire(timeout=MOMENT / 2))
            try:
                lock.acquire(blocking=False)
            except fastcache.Timeout:
                waiter.append("Timeout")

        with records.transact():
            records["x"] = 1
            in_a_thread(wait)
        assert waiter == [False, "Timeout"]
        with lock:
            pass

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
    def test_a_child_has_nothing_that_its_parent_holds(self, start, directory):
        seen = start("fork_with_locks", self.kind, str(directory)).finish()
        assert seen == {
            "child": ["LockError", False] * 3 + [True, True, True],
            "status": 0,
            "parent": [True, True, True],
            "what the child kept": True,
        }

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
    def test_a_child_leaves_its_parents_block_by_its_own_exception(self, start, directory):
        assert start("leave_a_block_in_a_child", self.kind, str(directory)).finish() == [7, True]

    # damage

    @pytest.mark.parametrize(
        "planted",
        [
            b"",
            b"\xc1",
            "text",
            7,
            None,
            [1, [], []],
            msgspec.msgpack.encode([0, [], []]),
            msgspec.msgpack.encode([1, [[1, None, None]], []]),
            msgspec.msgpack.encode([1, [[DEAD, 1.0, float("nan")]], [[DEAD, None]]]),
            msgspec.msgpack.encode([5, [[DEAD, None, None]] * 7, [[DEAD, None]] * 200]),
            msgspec.msgpack.encode([1, [[2**64 - 1, None, None]], []]),
            msgspec.msgpack.encode([2**63, [], []]),
            msgspec.msgpack.encode([1, [], [], 1, {}]),
        ],
        ids=range(13),
    )
    def test_a_planted_record_holds_nobody_up(self, store, lock_type, records, planted):
        key = (KINDS[lock_type.__name__], "a")
        records[key] = planted
        lock = lock_type(store, "a")
        assert lock.locked() is False
        assert lock.acquire(timeout=PATIENCE_SECONDS)
        assert in_a_thread(lambda: lock.acquire(False)) is False
        records[key] = planted
        assert lock.release() is False
        with lock_type(store, "a"):
            pass

    def test_a_planted_value_that_is_not_trusted_is_not_loaded(self, store, lock_type, records, start):
        lock, key = lock_type(store, "a"), (KINDS[lock_type.__name__], "a")
        records[key] = lock_type  # signed, as the tests' own
        start("sql", os.path.join(store.directory, "locks"), "UPDATE entry SET value = x'00' || value").finish()
        assert lock.acquire(timeout=PATIENCE_SECONDS)
        assert lock.release()

    def test_a_planted_capacity_lets_nobody_else_in(self, store, records):
        for lock_type in (Lock, RLock):
            key = (KINDS[lock_type.__name__], "a")
            with lock_type(store, "a") as lock:
                record = msgspec.msgpack.decode(records[key])
                records[key] = msgspec.msgpack.encode([9, *record[1:]])
                assert in_a_thread(lambda: lock.acquire(timeout=MOMENT)) is False

    def test_a_deadline_of_another_life_of_the_machine_has_passed(self, store, lock_type, records):
        lock, key = lock_type(store, "a", expire=5), (KINDS[lock_type.__name__], "a")
        lock.acquire()
        capacity, [[token, expire, deadline]], queue = msgspec.msgpack.decode(records[key])
        records[key] = msgspec.msgpack.encode([capacity, [[token, expire, deadline + 1000]], queue])
        assert in_a_thread(lambda: lock_type(store, "a").acquire(timeout=PATIENCE_SECONDS)) is True
        assert lock.release() is False

    def test_who_waits_is_not_forgotten_when_the_records_are_cleared(self, store, lock_type, records):
        lock = lock_type(store, "a")
        lock.acquire()
        acquired = []
        waiter = threading.Thread(target=lambda: acquired.append(lock_type(store, "a").acquire()))
        waiter.start()
        eventually(lambda: self.waiting(records, lock) == 1)
        records.clear()
        waiter.join(PATIENCE_SECONDS)
        assert acquired == [True]
        assert lock.release() is False

    # barrier

    def test_of_the_calls_behind_a_barrier_one_runs_at_a_time(self, store, start, directory):
        processes = [start("meet_at_a_barrier", self.kind, str(directory), 30) for _ in range(2)]
        all_at_once(processes)
        for process in processes:
            process.finish()

    def test_a_call_behind_a_barrier_waits_for_no_longer_than_its_timeout(self, store):
        calls = []
        guarded = store.barrier(name="a", timeout=MOMENT)(lambda: calls.append(1))
        with store.lock("a"):
            with pytest.raises(fastcache.Timeout):
                in_a_thread(guarded)
            assert not calls
        guarded()
        assert calls == [1]
        with pytest.raises(ValueError, match="timeout"):
            store.barrier(timeout=-1)

    def test_a_barrier_keeps_the_function_as_it_is(self, store):
        @barrier(store, Lock)
        def double(number, *, plus=0):
            """Twice as much."""
            return 2 * number + plus

        assert double(3, plus=1) == 7
        assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
        with store.lock(f"{__name__}.{double.__qualname__}"):
            with pytest.raises(fastcache.LockError):
                store.lock(f"{__name__}.{double.__qualname__}").release()
            running = threading.Thread(target=double, args=(1,))
            running.start()
            running.join(MOMENT)
            assert running.is_alive()
        running.join(PATIENCE_SECONDS)
        assert not running.is_alive()

    def test_a_barrier_of_an_rlock_may_call_itself(self, store):
        @store.barrier(RLock, expire=60)
        def factorial(number):
            return number * factorial(number - 1) if number else 1

        assert factorial(5) == 120

    def test_a_barrier_is_not_for_what_returns_before_it_runs(self, store):
        async def later():
            pass

        def generate():
            yield

        for wrong in (later, generate):
            with pytest.raises(TypeError):
                store.barrier()(wrong)
        with pytest.raises(TypeError, match="name"):
            store.barrier()(itertools.count(1).__next__.__self__)
        with pytest.raises(ValueError, match="expire"):
            store.barrier(expire=-1)

    # throttle

    def test_all_processes_together_keep_to_a_rate(self, store, start, directory):
        count, seconds, calls = 5, 0.1, 15
        processes = [start("call_throttled", self.kind, str(directory), count, seconds, calls) for _ in range(2)]
        before = time.monotonic()
        all_at_once(processes)
        starts = sorted(moment for process in processes for moment in process.finish())
        assert len(starts) == 2 * calls
        # After the first five, one token comes back every 20 ms; no call starts before its own.
        assert all(moment - before >= number * seconds / count for number, moment in enumerate(starts[count:], 1))

    def test_a_burst_waits_for_nothing(self, store):
        calls = throttle(store, 3, 3600)(lambda: 1)
        assert [calls(), calls(), calls()] == [1, 1, 1]

    def test_a_call_that_would_wait_for_longer_than_its_timeout_is_told_at_once_and_takes_no_turn(self, store):
        calls = []
        note = store.throttle(1, 3600, name="rate", timeout=60)(lambda: calls.append(1))

        async def note_later():
            calls.append(2)

        note()
        for late in (note, lambda: asyncio.run(store.throttle(1, 3600, name="rate", timeout=0)(note_later)())):
            with pytest.raises(fastcache.Timeout, match="wait for"):
                late()
        assert calls == [1]
        patient = store.throttle(1, MOMENT, name="other", timeout=60)(lambda: calls.append(3))
        patient()
        patient()
        assert calls == [1, 3, 3]
        with pytest.raises(ValueError, match="timeout"):
            store.throttle(1, 1, timeout=-1)

    def test_a_coroutine_function_is_throttled_in_its_loop(self, store):
        @store.throttle(1, 0.02)
        async def double(number):
            return 2 * number

        async def run():
            return await asyncio.gather(*map(double, range(4)))

        before = time.monotonic()
        assert asyncio.run(run()) == [0, 2, 4, 6]
        assert time.monotonic() - before >= 0.06

    @pytest.mark.parametrize(
        "planted",
        [b"", "x", 7, [1], *(msgspec.msgpack.encode([a, b]) for a, b in [(1e300, 1e301), (0.0, 1e300), (0.0, 1e9)])],
        ids=range(7),
    )
    def test_a_planted_bucket_holds_nobody_up(self, store, records, planted):
        records["throttle", "rate"] = planted
        assert throttle(store, 5, 0.001, name="rate")(lambda: 1)() == 1

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ((0, 1), ValueError),
            ((1, 0), ValueError),
            ((-1, 1), ValueError),
            ((1.5, 1), TypeError),
            ((1, "1"), TypeError),
        ],
    )
    def test_a_rate_that_makes_no_sense_is_refused(self, store, arguments, error):
        with pytest.raises(error):
            store.throttle(*arguments)

    # Averager

    def test_an_average_is_of_all_that_was_added(self, store):
        averager = Averager(store, "k")
        assert averager.get() is None
        averager.add(1.0)
        averager.add(2)
        assert averager.get() == 1.5
        assert store.averager("k").get() == 1.5
        assert store["k"] == (3.0, 2)
        assert averager.pop() == 1.5
        assert averager.pop() is None
        assert averager.get() is None
        assert "k" not in store

    def test_processes_and_threads_add_to_one_average(self, store, start, directory):
        numbers = list(range(100))
        processes = [start("add_to_an_average", self.kind, str(directory), numbers) for _ in range(2)]
        all_at_once(processes)
        together(*[lambda: [store.averager("average").add(number) for number in numbers]] * 2)
        for process in processes:
            process.finish()
        assert store["average"] == (4 * sum(numbers), 400)

    def test_what_is_no_average_is_left_alone(self, store):
        for wrong in ("text", (1, 2, 3), (1, "2"), (1.0, 0), 5):
            store["k"] = wrong
            averager = store.averager("k")
            for use in (averager.get, lambda: averager.add(1)):  # noqa: B023
                with pytest.raises(TypeError):
                    use()
            assert store["k"] == wrong
        with pytest.raises(TypeError):
            store.averager("n").add("1")
        assert pickle.loads(pickle.dumps(store.averager("n"))).get() is None
