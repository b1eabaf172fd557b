"""What is made of a cache: averages, locks, throttles, barriers, memoizing without a stampede."""

import threading
import time

import pytest

from ..together import together


@pytest.fixture(params=["Cache", "FanoutCache"])
def cache(library, directory, request):
    with getattr(library, request.param)(directory) as cache:
        yield cache


class Time:
    """A clock that stands until somebody sleeps."""

    def __init__(self):
        self.now = 1000.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def test_an_average(library, cache):
    average = library.Averager(cache, "latency")
    assert average.get() is None
    assert average.add(1) is None
    average.add(2.0)
    assert average.get() == 1.5
    library.Averager(cache, "latency").add(6)
    assert average.get() == 3
    assert average.pop() == 3
    assert average.get() is None
    assert average.pop() is None


def test_averages_do_not_mix(library, cache):
    one, other = library.Averager(cache, "one"), library.Averager(cache, ("other", 2))
    one.add(1)
    other.add(5)
    assert (one.get(), other.get()) == (1, 5)


def test_an_average_has_a_tag_and_expires(library, cache):
    average = library.Averager(cache, "latency", 100, "red")
    average.add(1)
    _, expire_time, tag = cache.get("latency", expire_time=True, tag=True)
    assert 90 < expire_time - time.time() <= 100
    assert tag == "red"
    assert cache.evict("red") == 1
    assert average.get() is None
    gone = library.Averager(cache, "gone", expire=-1)
    gone.add(1)
    assert gone.get() is None


def test_threads_average_together(library, cache):
    def add():
        average = library.Averager(cache, "latency")
        for number in range(50):
            average.add(number)

    together(add, add, add)
    assert library.Averager(cache, "latency").get() == 24.5


@pytest.mark.parametrize("name", ["Lock", "RLock", "BoundedSemaphore"])
class TestLocks:
    """What all locks are."""

    def test_it_is_acquired_and_released(self, library, cache, name):
        lock = getattr(library, name)(cache, "key")
        for _ in range(3):
            assert lock.acquire() is None
            assert lock.release() is None
        with lock:
            pass
        with pytest.raises(ValueError, match="wrong"), lock:
            raise ValueError("wrong")
        lock.acquire()
        lock.release()

    def test_one_at_a_time_has_it(self, library, cache, name):
        inside = []

        def work():
            lock = getattr(library, name)(cache, "key")
            for _ in range(20):
                with lock:
                    inside.append(1)
                    assert len(inside) == 1
                    time.sleep(0)
                    inside.pop()

        together(work, work, work)

    def test_who_waits_gets_it(self, library, cache, name):
        lock = getattr(library, name)(cache, "key")
        order = []
        acquired = threading.Event()

        def hold():
            with getattr(library, name)(cache, "key"):
                acquired.set()
                time.sleep(0.05)
                order.append("holder")

        thread = threading.Thread(target=hold)
        thread.start()
        assert acquired.wait(60)
        with lock:
            order.append("waiter")
        thread.join()
        assert order == ["holder", "waiter"]

    def test_it_is_free_when_it_has_expired(self, library, cache, name):
        held = threading.Thread(target=getattr(library, name)(cache, "key", expire=0.05).acquire)
        held.start()
        held.join()
        with getattr(library, name)(cache, "key", expire=0.05, tag="red"):
            pass

    def test_two_keys_are_two_locks(self, library, cache, name):
        with getattr(library, name)(cache, "one"), getattr(library, name)(cache, "other"):
            pass


def test_a_lock_tells_whether_it_is_held(library, cache):
    lock = library.Lock(cache, "key", 100, "red")
    assert lock.locked() is False
    with lock:
        assert lock.locked() is True
        assert library.Lock(cache, "key").locked() is True
    assert lock.locked() is False


def test_a_lock_can_be_released_by_another(library, cache):
    library.Lock(cache, "key").acquire()
    library.Lock(cache, "key").release()
    with library.Lock(cache, "key"):
        pass


def test_an_rlock_is_acquired_again_by_its_thread(library, cache):
    lock = library.RLock(cache, "key", 100, "red")
    with lock, lock, library.RLock(cache, "key"):
        pass
    with pytest.raises(AssertionError, match="cannot release un-acquired lock"):
        lock.release()


def test_an_rlock_is_released_by_its_thread_alone(library, cache):
    lock = library.RLock(cache, "key")

    def release():
        with pytest.raises(AssertionError):
            lock.release()

    with lock:
        thread = threading.Thread(target=release)
        thread.start()
        thread.join()


def test_a_semaphore_lets_some_in(library, cache):
    semaphore = library.BoundedSemaphore(cache, "key", 2, 100, "red")
    inside, most = [], []

    def work():
        for _ in range(10):
            with library.BoundedSemaphore(cache, "key", value=2, expire=100, tag="red"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    with semaphore, semaphore:
        pass
    together(work, work, work)
    assert max(most) <= 2


def test_a_semaphore_is_released_as_often_as_it_was_acquired(library, cache):
    semaphore = library.BoundedSemaphore(cache, "key", value=2)
    semaphore.acquire()
    semaphore.acquire()
    semaphore.release()
    semaphore.release()
    with pytest.raises(AssertionError, match="cannot release un-acquired semaphore"):
        semaphore.release()


def test_a_throttle_lets_so_many_through_in_a_time(library, cache):
    clock = Time()
    calls = []

    @library.throttle(cache, 2, 1, time_func=clock, sleep_func=clock.sleep)
    def work(number):
        calls.append(clock.now - 1000)
        return number

    assert [work(number) for number in range(6)] == list(range(6))
    assert calls == pytest.approx([0, 0, 0.5, 1, 1.5, 2], abs=0.01)
    assert work.__name__ == "work"
    clock.now += 100
    begun = clock.now
    work(1)
    work(2)
    assert clock.now == begun


def test_throttles_of_one_name_share_their_calls(library, cache):
    clock = Time()
    works = [library.throttle(cache, 1, 1, "name", None, None, clock, clock.sleep)(lambda: clock.now) for _ in range(2)]
    assert [works[0](), works[1](), works[0]()] == pytest.approx([1000, 1001, 1002], abs=0.01)


@pytest.mark.parametrize("name", ["Lock", "RLock", "BoundedSemaphore"])
def test_a_barrier_lets_one_in_at_a_time(library, cache, name):
    inside = []

    @library.barrier(cache, getattr(library, name), "name", 100, "red")
    def work(number):
        inside.append(1)
        assert len(inside) == 1
        time.sleep(0)
        inside.pop()
        return number

    assert together(lambda: work(1), lambda: work(2), lambda: work(3)) == [1, 2, 3]
    assert work.__name__ == "work"


def test_without_a_name_a_barrier_is_of_its_function(library, cache):
    @library.barrier(cache, library.Lock)
    def one():
        return other()

    @library.barrier(cache, library.Lock)
    def other():
        return 1

    assert one() == 1


def test_memoizing_without_a_stampede(library, cache):
    calls = []

    @library.memoize_stampede(cache, 100)
    def work(*args, **kwargs):
        calls.append(args)
        return args, kwargs

    assert work(1, a=2) == work(1, a=2) == ((1,), {"a": 2})
    assert len(calls) == 1
    key = work.__cache_key__(1, a=2)
    assert key[0] == library.core.full_name(work)
    assert key in cache
    del cache[key]
    work(1, a=2)
    assert len(calls) == 2
    assert work.__wrapped__(1) == ((1,), {})
    assert work.__name__ == "work"


def test_memoizing_without_a_stampede_by_position(library, cache):
    calls = []

    def work(*args):
        calls.append(args)
        return args

    memoized = library.memoize_stampede(cache, 100, "name", True, "red", 1, {1})(work)
    assert memoized(1, 2) == memoized(1, 3) == (1, 2)
    assert memoized.__cache_key__(1, 2) == ("name", 1, None, int)
    _, expire_time, tag = cache.get(memoized.__cache_key__(1, 2), expire_time=True, tag=True)
    assert 90 < expire_time - time.time() <= 100
    assert tag == "red"
    assert cache.evict("red") == 1


def test_what_has_expired_is_computed_again(library, cache):
    calls = []

    @library.memoize_stampede(cache, 0.01)
    def work():
        calls.append(1)
        return len(calls)

    work()
    time.sleep(0.02)
    assert work() == 2


def test_what_expires_soon_is_computed_beforehand(library, cache):
    calls = []

    def work():
        calls.append(1)
        time.sleep(0.01)
        return len(calls)

    # So large a beta that it is always soon.
    memoized = library.memoize_stampede(cache, 100, beta=1e9)(work)
    assert memoized() == 1
    before = cache[memoized.__cache_key__()]
    assert memoized() == 1
    deadline = time.monotonic() + 60
    while cache[memoized.__cache_key__()] == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(calls) == 2
