"""Locks, semaphores, barriers and throttles for tasks, which threads and processes have part in."""

import asyncio
import threading

import pytest

import fastcache
from fastcache import aio

from .test_aio_tasks import cut_at_each

TYPES = [aio.Lock, aio.RLock, aio.BoundedSemaphore]


@pytest.fixture(params=TYPES, ids=lambda kind: kind.__name__)
def lock_type(request):
    return request.param


def sync_type(kind):
    return getattr(fastcache, kind.__name__)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


def in_cache(directory, work, **options):
    async def main():
        async with aio.Cache(directory, **options) as cache:
            await work(cache)

    asyncio.run(main())


def test_one_task_is_inside_at_a_time_in_the_order_of_their_coming(directory, lock_type):
    async def work(cache):
        order, inside = [], []

        async def enter(number):
            async with lock_type(cache, "lock"):
                inside.append(number)
                await asyncio.sleep(0)
                assert inside == [number]
                order.append(inside.pop())

        await asyncio.gather(*(enter(number) for number in range(30)))
        assert order == list(range(30))
        assert not await lock_type(cache, "lock").locked()

    in_cache(directory, work)


def test_tasks_wait_without_a_thread_each(directory):
    async def work(cache):
        before = threading.active_count()
        first = cache.lock("lock")
        await first.acquire()
        waiting = [asyncio.create_task(cache.lock("lock").acquire()) for _ in range(200)]
        while len(cache.sync._lock_holds.tokens) < 201:
            await asyncio.sleep(0.001)
        assert threading.active_count() == before
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await first.release()
        async with cache.lock("lock"):
            pass

    in_cache(directory, work)


def test_a_lock_belongs_to_the_task_that_acquired_it(directory, lock_type):
    async def work(cache):
        lock = lock_type(cache, "lock")
        assert await lock.acquire()
        assert await lock.locked()

        async def other():
            with pytest.raises(fastcache.LockError):
                await lock.release()
            assert not await lock.acquire(blocking=False)
            assert not await lock.acquire(timeout=0.01)
            assert not await lock_type(cache, "lock").acquire(timeout=0.01)

        await asyncio.create_task(other())
        assert await lock.release()
        with pytest.raises(fastcache.LockError):
            await lock.release()

    in_cache(directory, work)


def test_it_takes_and_refuses_what_the_synchronous_one_does(directory, lock_type):
    async def work(cache):
        lock = lock_type(cache, ("name", 1), expire=1000, timeout=5)
        assert (lock.name, lock.expire, lock.timeout) == (("name", 1), 1000.0, 5)
        assert "name" in repr(lock)
        for options in ({"expire": 0}, {"expire": -1}, {"timeout": -1}):
            with pytest.raises(ValueError, match=next(iter(options))):
                lock_type(cache, "lock", **options)
        with pytest.raises(TypeError):
            lock_type(cache, "lock", expire="soon")
        with pytest.raises(ValueError, match="blocking"):
            await lock.acquire(blocking=False, timeout=1)
        with pytest.raises(ValueError, match="timeout"):
            await lock.acquire(timeout=-2)

    in_cache(directory, work)


def test_a_block_that_has_waited_for_its_timeout_raises(directory, lock_type):
    async def work(cache):
        async with lock_type(cache, "lock"):

            async def other():
                with pytest.raises(fastcache.Timeout, match="was not free"):
                    async with lock_type(cache, "lock", timeout=0.02):
                        pass

            await asyncio.create_task(other())

    in_cache(directory, work)


def test_a_task_may_acquire_an_rlock_again(directory):
    async def work(cache):
        async with cache.rlock("lock"), cache.rlock("lock") as lock:
            await lock.acquire()

            async def other():
                return await cache.rlock("lock").acquire(blocking=False)

            assert not await asyncio.create_task(other())
            await lock.release()
            assert not await asyncio.create_task(other())
        assert await asyncio.create_task(other())
        assert not await cache.lock("lock").locked()

    in_cache(directory, work)


def test_a_semaphore_has_slots(directory):
    async def work(cache):
        slots = cache.bounded_semaphore("slots", value=2)
        assert slots.value == 2
        assert [await slots.acquire(blocking=False) for _ in range(3)] == [True, True, False]
        with pytest.raises(ValueError, match="value=2"):
            await cache.bounded_semaphore("slots", value=3).acquire()
        assert [await slots.release() for _ in range(2)] == [True, True]
        with pytest.raises(ValueError, match="value=0"):
            cache.bounded_semaphore("slots", value=0)

    in_cache(directory, work)


def test_what_has_expired_is_free_and_can_be_kept_for_longer(directory, lock_type):
    async def work(cache):
        lock = lock_type(cache, "lock", expire=1000)
        await lock.acquire()
        assert await lock.extend(0.001)

        async def other():
            return await lock_type(cache, "lock").acquire()

        # It wakes by itself when that is over.
        assert await asyncio.create_task(other())
        assert not await lock.release()
        with pytest.raises(fastcache.LockError):
            await lock.extend()

    in_cache(directory, work)


def test_who_is_cancelled_anywhere_leaves_nothing_behind(directory, lock_type):
    async def work(cache):
        async def enter():
            async with lock_type(cache, "lock"):
                await asyncio.sleep(0)

        async def after(ended):
            assert await asyncio.create_task(lock_type(cache, "lock").acquire(timeout=60))
            assert cache.sync._lock_holds.tokens == set() or not ended

        async def after_each(ended):
            lock = lock_type(cache, "lock")
            assert await lock.acquire(timeout=60)
            assert await lock.release()
            assert cache.sync._lock_holds.tokens == set()

        assert await cut_at_each(enter, after_each) >= 2

        # And who waits.
        held = lock_type(cache, "lock")

        async def hold():
            await held.acquire()
            await asyncio.sleep(0)
            ready.set()
            await go.wait()
            await held.release()

        async def wait():
            assert await lock_type(cache, "lock").acquire(timeout=0.05) is False

        async def after_waiting(ended):
            await cache.count()
            assert len(cache.sync._lock_holds.tokens) == 1

        ready, go = asyncio.Event(), asyncio.Event()
        holding = asyncio.create_task(hold())
        await ready.wait()
        assert await cut_at_each(wait, after_waiting) >= 2
        go.set()
        await holding
        assert cache.sync._lock_holds.tokens == set()

    in_cache(directory, work)


def test_who_is_cancelled_while_it_is_given_a_lock_gives_it_back(directory, lock_type, monkeypatch):
    async def work(cache):
        kind = sync_type(lock_type)
        take = kind._take
        begun, go_on = threading.Event(), threading.Event()

        def slowly(*arguments):
            begun.set()
            assert go_on.wait(60)
            return take(*arguments)

        monkeypatch.setattr(kind, "_take", slowly)
        taking = asyncio.create_task(lock_type(cache, "lock").acquire())
        assert await asyncio.to_thread(begun.wait, 60)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        monkeypatch.undo()
        go_on.set()
        assert not await lock_type(cache, "lock").locked()
        assert cache.sync._lock_holds.tokens == set()
        record = cache.sync._lock_holds.records.read((kind._kind, "lock"))
        assert (record.holders, record.queue) == ([], [])

    in_cache(directory, work)


def test_what_a_lock_that_is_collected_has_acquired_is_free(directory):
    async def work(cache):
        lock = cache.lock("lock")
        await lock.acquire()
        waiting = asyncio.create_task(cache.lock("lock").acquire())
        await asyncio.sleep(0.01)
        del lock
        assert await waiting

    in_cache(directory, work)


def test_what_a_task_held_that_is_thrown_away_is_free(directory, lock_type):
    cache = aio.Cache(directory)
    inside = []

    async def stay():
        async with lock_type(cache, "lock"):
            inside.append(1)
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(stay())
    while not inside:
        loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    task.get_coro().close()

    async def look():
        assert await lock_type(cache, "lock").acquire(timeout=60)
        await cache.close()

    asyncio.run(look())


def test_closing_the_cache_frees_its_locks_and_tells_who_waits(directory, lock_type):
    async def main():
        other = aio.Cache(directory)
        cache = aio.Cache(directory)
        async with other:
            lock = lock_type(cache, "lock")
            async with lock:
                waiting = asyncio.create_task(lock_type(other, "lock").acquire())
                lost = asyncio.create_task(lock_type(cache, "lock").acquire())
                while len(cache.sync._lock_holds.tokens) < 2:
                    await asyncio.sleep(0.001)
                await cache.close()
                assert await waiting
                with pytest.raises(fastcache.ClosedError):
                    await lost
                with pytest.raises(fastcache.ClosedError):
                    await lock.release()

    asyncio.run(main())


def test_tasks_and_threads_exclude_each_other(directory, lock_type):
    async def work(cache):
        inside = []
        with fastcache.Cache(directory) as sync:

            def in_thread():
                for _ in range(20):
                    with sync_type(lock_type)(sync, "lock"):
                        inside.append(1)
                        assert len(inside) == 1
                        inside.pop()

            async def in_task():
                for _ in range(20):
                    async with lock_type(cache, "lock"):
                        inside.append(1)
                        await asyncio.sleep(0)
                        assert len(inside) == 1
                        inside.pop()

            await asyncio.gather(*(asyncio.to_thread(in_thread) for _ in range(2)), *(in_task() for _ in range(3)))

    in_cache(directory, work)


def test_another_process_hands_over_and_what_the_dead_held_is_free(directory, lock_type, start):
    async def work(cache):
        for ends in ("release", "kill"):
            other = start("use_lock", "Cache", str(directory), lock_type.__name__, "lock", {})
            other.tell(["acquire"])
            assert await asyncio.to_thread(other.hear) is True
            inside, go_on = asyncio.Event(), asyncio.Event()

            async def enter(inside=inside, go_on=go_on):
                async with lock_type(cache, "lock", timeout=60):
                    inside.set()
                    await go_on.wait()

            entering = asyncio.create_task(enter())
            for _ in range(50):
                # The thread of the cache is free meanwhile.
                await cache.incr("n")
            assert not inside.is_set()
            if ends == "release":
                other.tell(["release"])
                assert await asyncio.to_thread(other.hear) is True
            else:
                other.popen.kill()
            await inside.wait()
            if ends == "release":
                other.tell(["acquire", False])
                assert await asyncio.to_thread(other.hear) is False
            go_on.set()
            await entering

    in_cache(directory, work)


def test_a_lock_may_be_waited_for_inside_of_a_transaction(directory):
    async def work(cache):
        async with cache.transact():
            await cache.set("k", 1)
            async with cache.lock("lock"):
                await cache.set("l", 1)
        assert await cache.count() == 2

    in_cache(directory, work)


def test_loops_of_several_threads_exclude_each_other(directory, lock_type, short_turns):
    cache = aio.Cache(directory)
    inside, failures = [], []

    async def enter():
        for _ in range(10):
            async with lock_type(cache, "lock"):
                inside.append(1)
                await asyncio.sleep(0)
                assert len(inside) == 1
                inside.pop()

    async def main():
        await asyncio.gather(enter(), enter())

    def work():
        try:
            asyncio.run(main())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(cache.close())
    assert failures == []


# -- barriers and throttles -------------------------------------------------------------------------------------------


def test_of_all_calls_of_a_barrier_one_runs_at_a_time(directory):
    async def work(cache):
        inside = []

        @cache.barrier(name="one")
        async def enter(number):
            """Go in."""
            inside.append(number)
            await asyncio.sleep(0)
            assert inside == [number]
            return inside.pop()

        assert enter.__doc__ == "Go in."
        assert await asyncio.gather(*map(enter, range(20))) == list(range(20))

        @aio.barrier(cache, aio.RLock, name="again")
        async def again(depth):
            return depth and await again(depth - 1)

        assert await again(3) == 0
        for decorate in (cache.barrier(), cache.throttle(1, 1)):
            with pytest.raises(TypeError, match="async def"):
                decorate(len)

    in_cache(directory, work)


def test_calls_keep_to_a_rate_in_the_order_of_their_coming(directory):
    async def work(cache):
        started = []

        @cache.throttle(2, 0.02, name="rate")
        async def call(number):
            started.append((asyncio.get_running_loop().time(), number))
            return number

        begun = asyncio.get_running_loop().time()
        assert await asyncio.gather(*map(call, range(6))) == list(range(6))
        assert [number for _, number in started] == list(range(6))
        # Never earlier than the bucket allows: two at once, then one in each hundredth of a second.
        for started_at, number in started[2:]:
            assert started_at - begun >= (number - 1) * 0.01 - 0.001

        @cache.throttle(1, 1000, name="slow", timeout=0.01)
        async def slow():
            return 1

        assert await slow() == 1
        with pytest.raises(fastcache.Timeout):
            await slow()

    in_cache(directory, work)


def test_who_is_cancelled_while_a_throttle_holds_it_back_goes(directory):
    async def work(cache):
        @cache.throttle(1, 1000, name="slow")
        async def slow():
            return 1

        assert await slow() == 1
        waiting = asyncio.create_task(slow())
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    in_cache(directory, work)
