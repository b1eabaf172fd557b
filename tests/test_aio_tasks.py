"""Tasks that share an asynchronous cache: order, cancellation, transactions; and a loop that is never held up."""

import asyncio
import itertools
import os
import sys
import threading
from collections import Counter
from random import Random

import pytest

import fastcache
from fastcache import aio
from fastcache.engine.mapping import StoreMapping

KINDS = ["Cache", "Index", "FanoutCache", "FanoutIndex"]


class Held:
    """What holds up the thread of a cache until it is told to go on: values to be stored, as they are asked for."""

    def __init__(self, items):
        self.items = items
        self.begun = threading.Event()
        self.go = threading.Event()

    def __iter__(self):
        self.begun.set()
        assert self.go.wait(60)
        return iter(self.items)

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.wait, 60)


class Cut:
    """A coroutine whose task is cancelled when it awaits for the nth time; ``was_cut`` if it came to that."""

    def __init__(self, coroutine, at):
        self.coroutine = coroutine
        self.at = at
        self.was_cut = False

    def __await__(self):
        steps = self.coroutine.__await__()
        error = None
        for number in itertools.count():
            try:
                waits_for = steps.send(None) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            if number == self.at:
                self.was_cut = True
                asyncio.current_task().cancel()
            try:
                error = None
                yield waits_for
            except BaseException as given:
                error = given


async def cut_at_each(make, after):
    """Cancel what ``make`` makes at each point where it awaits, and call ``after`` each time, with whether it ended."""
    for at in itertools.count():
        cut = Cut(make(), at)

        async def run(cut=cut):
            await cut

        try:
            await asyncio.create_task(run())
            ended = True
        except asyncio.CancelledError:
            ended = False
        await after(ended)
        if not cut.was_cut:
            return at
    raise AssertionError


# -- order, and what is given up --------------------------------------------------------------------------------------


def test_calls_are_carried_out_in_the_order_in_which_they_were_made(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            await asyncio.gather(*(cache.push(number) for number in range(300)))
            assert [value async for value in cache.values()] == list(range(300))
            held = Held([("k", 0)])
            calls = [asyncio.create_task(cache.set_many(held))]
            calls += [asyncio.create_task(cache.set("k", number)) for number in range(1, 10)]
            await held.has_begun()
            held.go.set()
            await asyncio.gather(*calls)
            assert await cache["k"] == 9

    asyncio.run(main())


def test_what_has_not_begun_is_left_out_and_what_has_begun_is_done_as_a_whole(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            held = Held([("a", 1), ("b", 2)])
            begun = asyncio.create_task(cache.set_many(held))
            waiting = asyncio.create_task(cache.set("c", 3))
            await held.has_begun()
            begun.cancel()
            waiting.cancel()
            for call in (begun, waiting):
                # At once, not when the thread is done.
                with pytest.raises(asyncio.CancelledError):
                    await call
            held.go.set()
            assert [item async for item in cache.items()] == [("a", 1), ("b", 2)]
            assert cache._worker.writing == set()

    asyncio.run(main())


def test_a_set_does_not_overtake_one_that_was_given_up(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            await cache.set("k", "first")
            held = Held([("k", "old")])
            given_up = asyncio.create_task(cache.set_many(held))
            await held.has_begun()
            given_up.cancel()
            newer = asyncio.create_task(cache.set("k", "new"))
            await asyncio.sleep(0)
            assert not newer.done()
            held.go.set()
            await newer
            assert await cache["k"] == "new"
            await cache.flush()
            assert await cache["k"] == "new"

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_what_sqlite_is_asked_for_comes_after_the_writes_that_wait(kind, tmp_path):
    async def main():
        async with getattr(aio, kind)(tmp_path, memory=0) as cache:
            await cache.set("k", "old")
            held = Held([("k", "new"), ("l", "new")])
            calls = [asyncio.create_task(cache.set_many(held))]
            await held.has_begun()
            calls += [asyncio.create_task(call) for call in (cache.get("k"), cache["k"], cache.exists("l"))]
            calls.append(asyncio.create_task(cache.set("l", "newer")))
            calls.append(asyncio.create_task(cache.get("l")))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not any(call.done() for call in calls)
            held.go.set()
            assert await asyncio.gather(*calls) == [2, "new", "new", True, True, "newer"]

    asyncio.run(main())


def test_a_deletion_that_waits_is_not_overtaken(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            for number in range(50):
                calls = (cache.set("k", number), cache.delete("k"), cache.set("l", number), cache.incr("l"))
                assert await asyncio.gather(*calls) == [True, True, True, number + 1]
                assert (await cache.get("k"), await cache.get("l")) == (None, number + 1)

    asyncio.run(main())


def test_the_error_of_a_call_that_was_given_up_troubles_nobody(tmp_path):
    async def main():
        complaints = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with aio.Cache(tmp_path) as cache:
            held = Held([5])
            call = asyncio.create_task(cache.set_many(held))
            await held.has_begun()
            call.cancel()
            held.go.set()
            assert await cache.count() == 0
        assert complaints == []

    asyncio.run(main())


def test_what_it_raises_is_that_of_the_call(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:

            def stop():
                raise StopIteration

            # As from any coroutine.
            with pytest.raises(RuntimeError, match="StopIteration"):
                await cache.get_or_set("k", stop)
            with pytest.raises(TypeError, match="cannot store a function"):
                await cache.set("k", lambda: 0)

    asyncio.run(main())


@pytest.mark.parametrize(
    "call",
    [
        lambda cache: cache.set("k", "new"),
        lambda cache: cache.get("k", copy=False),
        lambda cache: cache.incr("n"),
        lambda cache: cache.set_many({"k": "new", "l": 1}),
        lambda cache: cache.get_or_set("absent", lambda: 1),
        lambda cache: cache.averager("average").add(1),
    ],
)
def test_a_call_can_be_cancelled_wherever_it_awaits(tmp_path, call):
    async def main():
        # Nothing is done in the loop.
        async with aio.Cache(tmp_path, memory=0, durability="full") as cache:
            await cache.set("k", "old")

            async def after(ended):
                assert await cache["k"] in ("old", "new")
                assert (await cache.get_many(["k", "l"])) in ({"k": "old"}, {"k": "new"}, {"k": "new", "l": 1})
                assert (cache._worker.holder, cache._worker.writing) == (None, set())

            assert await cut_at_each(lambda: call(cache), after) >= 1
            assert await cache.get_or_set("absent", lambda: 2) in (1, 2)

    asyncio.run(main())


# -- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"memory": 0}])
@pytest.mark.parametrize("kind", KINDS)
def test_others_see_a_transaction_as_a_whole_and_write_when_it_is_over(kind, options, tmp_path):
    async def main():
        async with getattr(aio, kind)(tmp_path, **options) as cache:
            await cache.set("k", 0)
            inside, go_on = asyncio.Event(), asyncio.Event()

            async def change():
                async with cache.transact("k"):
                    await cache.set("k", 1)
                    assert await cache["k"] == 1
                    inside.set()
                    await go_on.wait()
                    await cache.incr("k")
                    assert await cache.exists("k")

            changing = asyncio.create_task(change())
            await inside.wait()
            # Reads go on meanwhile, and see what is committed.
            for _ in range(10):
                assert (await cache["k"], await cache.exists("k"), await cache.get("absent")) == (0, True, None)
            writing = [asyncio.create_task(cache.set("k", 2))]
            writing += [asyncio.create_task(cache.incr("k")) for _ in range(5)]
            for _ in range(10):
                assert (await cache["k"], await cache.get_many(["k"])) == (0, {"k": 0})
                assert await cache.get("k", buffer=False, copy=False) == 0
            assert not any(call.done() for call in writing)
            go_on.set()
            await changing
            assert await asyncio.gather(*writing) == [True, 3, 4, 5, 6, 7]

    asyncio.run(main())


@pytest.mark.parametrize("options", [{}, {"memory": 0}])
@pytest.mark.parametrize("kind", ["Cache", "Index"])
def test_a_transaction_reads_what_it_has_written_whatever_is_in_memory(kind, options, tmp_path):
    async def main():
        async with getattr(aio, kind)(tmp_path, **options) as cache:
            await cache.set("k", 0)
            assert (await cache.get("k"), await cache["k"], await cache.exists("k")) == (0, 0, True)
            async with cache.transact():
                await cache.set("k", 1)
                assert (await cache.get("k"), await cache["k"]) == (1, 1)
                await cache.delete("k")
                assert (await cache.get("k"), await cache.exists("k")) == (None, False)
                with pytest.raises(KeyError):
                    await cache["k"]
                assert await cache.get_or_set("k", lambda: 2) == 2
            assert await cache.get("k") == 2

    asyncio.run(main())


def test_what_waits_for_a_transaction_is_done_in_order_and_can_be_given_up(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            async with cache.transact():
                tasks = await spawn(cache)
                await cache.set("k", "inside")
                tasks[2].cancel()
                with pytest.raises(asyncio.CancelledError):
                    await tasks[2]
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in done].count(asyncio.CancelledError) == 1
            assert [value async for value in cache.values()] == ["inside", 0, 1, 3, 4]

    async def spawn(cache):
        # Not inside of it, as what it starts itself would be.
        tasks = []
        started = asyncio.Event()

        def start():
            tasks.extend(asyncio.create_task(cache.push(number)) for number in range(5))
            started.set()

        asyncio.get_running_loop().call_soon(start, context=outside)
        await started.wait()
        # They have come to the thread, and wait there.
        await asyncio.sleep(0)
        return tasks

    import contextvars

    outside = contextvars.Context()
    asyncio.run(main())


def test_what_a_task_starts_inside_is_inside(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with cache.transact():
                    await asyncio.gather(*(cache.incr("n") for _ in range(10)))
                    assert await cache["n"] == 10
                    raise ZeroDivisionError
            assert await cache.get("n") is None

    asyncio.run(main())


def test_transactions_nest_and_each_keeps_or_loses_its_own(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            async with cache.transact():
                await cache.set("a", 1)
                with pytest.raises(ZeroDivisionError):  # noqa: PT012
                    async with cache.transact():
                        await cache.set("b", 1)
                        raise ZeroDivisionError
                async with cache.transact():
                    await cache.set("c", 1)
            assert [key async for key in cache] == ["a", "c"]
            block = cache.transact()
            async with block:
                pass
            with pytest.raises(fastcache.TransactionError):
                async with block:
                    pass
            with pytest.raises(fastcache.TransactionError):
                async with cache.transact():
                    await cache.close()
            assert await cache.count() == 2

    asyncio.run(main())


def test_a_transaction_needs_a_key_where_there_are_shards(tmp_path):
    async def main():
        async with aio.FanoutCache(tmp_path) as cache:
            with pytest.raises(TypeError):
                async with cache.transact():
                    pass
            async with cache.transact("k"):
                await cache.set("k", 1)
                with pytest.raises(fastcache.TransactionError):
                    await cache.clear()
            assert await cache["k"] == 1

    asyncio.run(main())


def test_a_transaction_of_one_shard_refuses_keys_of_others(tmp_path):
    async def main():
        async with aio.FanoutCache(tmp_path) as cache:
            refused = 0
            await cache.set_many(dict.fromkeys(range(30), 0))
            for number in range(30):
                try:
                    async with cache.transact("k"):
                        await cache.set(number, 1)
                except fastcache.TransactionError:
                    refused += 1
                    assert await cache[number] == 0
            assert 0 < refused < 30
            assert sum([value async for value in cache.values()]) == 30 - refused

    asyncio.run(main())


def test_two_caches_have_a_transaction_each(tmp_path):
    async def main():
        async with aio.Cache(tmp_path / "a") as first, aio.Cache(tmp_path / "b") as second:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with first.transact(), second.transact():
                    await first.set("k", 1)
                    await second.set("k", 2)
                    assert (await first["k"], await second["k"]) == (1, 2)
                    raise ZeroDivisionError
            assert (await first.count(), await second.count()) == (0, 0)

    asyncio.run(main())


def test_a_transaction_that_is_cancelled_anywhere_is_undone(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:

            async def change():
                async with cache.transact():
                    await cache.incr("a")
                    async with cache.transact():
                        await cache.incr("b")
                    await asyncio.sleep(0)
                    await cache.incr("c")

            async def after(ended):
                found = await cache.get_many("abc")
                assert len(set(found.values())) <= 1
                assert len(found) in (0, 3)
                seen.append(found.get("a", 0))
                # Cancelled while it was committed, it may be there.
                assert not ended or seen[-1] == seen[-2] + 1
                assert (cache._worker.holder, cache._worker.writing) == (None, set())
                async with cache.transact():
                    pass

            seen = [0]
            assert await cut_at_each(change, after) >= 6

    asyncio.run(main())


def test_a_batch_that_is_cancelled_anywhere_keeps_what_it_has_committed(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:

            async def store():
                async with cache.batch(max_items=2) as batch:
                    for number in range(4):
                        await batch.set(number, [number])

            async def after(ended):
                assert await cache.count() in ((4,) if ended else (0, 2, 4))
                await cache.clear()
                assert (cache._worker.holder, cache._worker.writing) == (None, set())

            assert await cut_at_each(store, after) >= 6

    asyncio.run(main())


def test_who_has_waited_for_a_transaction_for_its_timeout_is_told(tmp_path):
    async def main():
        async with aio.Cache(tmp_path, timeout=0.05) as cache:
            go_on = asyncio.Event()
            inside = asyncio.Event()

            async def stay():
                async with cache.transact():
                    inside.set()
                    await go_on.wait()

            staying = asyncio.create_task(stay())
            await inside.wait()
            with pytest.raises(fastcache.Timeout):
                await cache.set("k", 1)
            with pytest.raises(fastcache.Timeout):
                async with cache.transact():
                    pass
            assert await cache.get("k") is None
            go_on.set()
            await staying
            await cache.set("k", 1)

    asyncio.run(main())


def test_a_transaction_whose_task_is_thrown_away_is_undone(tmp_path):
    cache = aio.Cache(tmp_path)

    async def stay():
        async with cache.transact():
            await cache.set("k", 1)
            await asyncio.Event().wait()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    task = loop.create_task(stay())
    while cache._worker.holder is None or not task.get_coro().cr_await:
        loop.run_until_complete(asyncio.sleep(0.001))
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    task.get_coro().close()
    del task

    async def look():
        await cache.set("l", 2)
        assert await cache.get_many("kl") == {"l": 2}
        await cache.close()

    asyncio.run(look())


def test_a_batch_belongs_to_the_transaction_that_it_is_used_in(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with cache.transact(), cache.batch(max_items=10) as batch:
                    for number in range(25):
                        await batch.set(number, number)
                    raise ZeroDivisionError
            assert await cache.count() == 0
            async with cache.batch(max_items=10) as batch:
                for number in range(25):
                    await batch.set(number, number)
                async with cache.transact():
                    await batch.set("list", [])
                    await batch.set("k", 1)
            assert await cache.count() == 27

    asyncio.run(main())


# -- the loop is never held up ----------------------------------------------------------------------------------------


class Ticks:
    """A task that counts how often the loop came round while it ran."""

    def __init__(self):
        self.count = 0

    async def _tick(self):
        while True:
            self.count += 1
            await asyncio.sleep(0)

    async def __aenter__(self):
        self.task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()

    async def go_on(self, until, waiting=()):
        """Let the loop come round so many times more, while the calls wait."""
        end = self.count + until
        while self.count < end:
            assert not any(call.done() for call in waiting)
            await asyncio.sleep(0)


@pytest.mark.parametrize("options", [{}, {"memory": 0}, {"max_size": 10_000_000}])
def test_the_loop_goes_on_while_another_process_holds_the_write_lock(tmp_path, start, options):
    async def main():
        async with aio.Cache(tmp_path / "cache", timeout=60.0, **options) as cache, Ticks() as ticks:
            await cache.set("k", 1)
            assert await cache["k"] == 1
            holder = start("hold", "Cache", str(tmp_path / "cache"))
            assert await asyncio.to_thread(holder.hear) == "holding"
            # Reads wait for nobody.
            for _ in range(10):
                assert (await cache.get("k"), await cache.exists("absent")) == (1, False)
            calls = [
                asyncio.create_task(call)
                for call in (cache.set("k", 2), cache.incr("n"), cache.set_many({"a": 1}), cache.get("other"))
            ]
            # If one of them waited in the loop, this would not come to an end before its timeout.
            await ticks.go_on(2000, calls)
            if "memory" not in options:
                assert await cache["k"] == 1
            holder.tell()
            assert await asyncio.gather(*calls) == [True, 1, 1, None]
            assert await cache["k"] == 2
            holder.finish()

    asyncio.run(main())


class Waits:
    """A serializer that takes until it is told to go on, wherever it is called."""

    name = "waits"

    def __init__(self):
        self.go = threading.Event()
        self.begun = threading.Event()
        self.threads = set()

    def dumps(self, value):
        return self._wait(repr(value).encode())

    def loads(self, payload):
        return self._wait(eval(payload))

    def _wait(self, given):
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.go.wait(60)
        return given


def test_the_loop_goes_on_while_a_large_value_is_encoded_and_decoded(tmp_path):
    async def main():
        waits = Waits()
        large = list(range(10000))
        async with aio.Cache(tmp_path, serializer=waits) as cache, Ticks() as ticks:
            for call in (cache.set("k", large), cache.get("k"), cache["k"], cache.exists("k")):
                task = asyncio.create_task(call)
                if call is not None and not task.done():
                    await asyncio.sleep(0)
                if not task.done() and await asyncio.to_thread(waits.begun.wait, 0.2):
                    await ticks.go_on(500, [task])
                waits.go.set()
                assert await task in (True, large)
                waits.go.clear()
                waits.begun.clear()
            waits.go.set()
        assert threading.get_ident() not in waits.threads

    asyncio.run(main())


AT_ONCE = {"_find_at_once", "_has_at_once", "_find_stored_at_once", "_has_stored_at_once", "_set_at_once"}


@pytest.mark.parametrize("options", [{}, {"journal": False}, {"max_size": 1_000_000}])
def test_the_thread_of_the_loop_calls_nothing_that_may_wait(tmp_path, options):
    """Whatever is done: large values, checkpoints, evictions, transactions, locks."""
    called = set()

    def note(frame, event, argument):
        if event == "c_call":
            owner = getattr(argument, "__self__", None)
            if isinstance(owner, StoreMapping) or type(owner).__module__.startswith("fastcache.engine.database"):
                called.add(argument.__name__)

    async def work(cache):
        for number in range(1500):
            await cache.set(number, b"x" * 1000)
            assert await cache.get(number) in (None, b"x" * 1000)
        await cache.set("large", b"x" * 300_000)
        await cache.get("large")
        await cache.get("absent")
        await cache.exists("absent")
        async with cache.transact():
            await cache.incr("n")
            await cache.get("n")
        async with cache.batch() as batch:
            for number in range(3000):
                await batch.set(number, "x")
        async for _ in cache.items():
            pass
        await cache.set_many((number, number) for number in range(5000))
        await cache.get_many(range(1000))
        await cache.get_or_set("made", lambda: 1)
        async with cache.lock("lock"):
            await cache.lock("lock").acquire(timeout=0.01)

        @cache.memoize
        async def double(number):
            return number * 2

        assert (await double(2), await double(2)) == (4, 4)
        await cache.clear()

    async def main():
        cache = aio.Cache(tmp_path, **options)
        sys.setprofile(note)
        try:
            await work(cache)
        finally:
            sys.setprofile(None)
            await cache.close()

    asyncio.run(main())
    assert called <= AT_ONCE
    assert called


def test_hits_and_what_goes_into_the_journal_do_not_leave_the_loop(tmp_path):
    async def main():
        async with aio.Cache(tmp_path, journal=True) as cache:
            # The thread is held up all the time.
            held = Held([])
            holding = asyncio.create_task(cache.get_many(held))
            await held.has_begun()
            for value in (1, "text", b"bytes", None, [1, {"a": (2.5, True)}], ("t",)):
                # It has not been busy for long.
                await asyncio.sleep(0.001)
                await cache.set("k", value, expire=1000, tag="t")
                assert (await cache.get("k"), await cache["k"]) == (value, value)
            held.go.set()
            await holding
            await cache.flush()
            await cache.get("k")
            await cache.get("absent")

            held = Held([])
            holding = asyncio.create_task(cache.get_many(held))
            await held.has_begun()
            assert (await cache.get("k"), await cache.get("absent", 5), await cache.exists("k")) == (("t",), 5, True)
            with pytest.raises(KeyError):
                await cache["absent"]
            held.go.set()
            await holding

    asyncio.run(main())


def posted(cache):
    """Counts the calls that are handed over to the thread: a list of them."""
    calls = []
    post = cache._worker.post

    def note(call):
        calls.append(call)
        post(call)

    cache._worker.post = note
    return calls


@pytest.fixture
def unhurried(monkeypatch):
    """The loop does itself what it can, for however long."""
    monkeypatch.setattr(aio.worker, "_WORK", 60.0)


VALUES = (1, "text", b"bytes", None, 2.5, True, [1, {"a": (2.5, True)}], ("t",), "x" * 3000)


@pytest.mark.parametrize("options", [{}, {"memory": 0}])
@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_nothing_never_leaves_the_loop(kind, options, tmp_path, unhurried, monkeypatch):
    # Nor does anybody drain just now, whom a set may meet.
    monkeypatch.setattr("fastcache.runtime.background.schedule", lambda store, seconds: True)

    async def main():
        async with getattr(aio, kind)(tmp_path, **options) as cache:
            # The first commit makes the WAL; and shards are opened.
            for key in range(40):
                await cache.set(key, 0)
            # The thread is held up all the time.
            held = Held([])
            holding = asyncio.create_task(cache.get_many(held))
            await held.has_begun()
            for key, value in enumerate(VALUES):
                with pytest.raises(KeyError):
                    await cache[key, "absent"]
                assert (await cache.get((key, "absent"), 5), await cache.exists((key, "absent"))) == (5, False)
                await cache.set(key, value)
                assert (await cache.get(key), await cache[key], await cache.exists(key)) == (value, value, True)
                assert type(await cache.get(key)) is type(value)
            assert not holding.done()
            held.go.set()
            await holding
            found = await cache.get_many(range(len(VALUES)))
            assert found == dict(enumerate(VALUES))
            assert await cache.check()

    asyncio.run(main())


@pytest.mark.parametrize("journal", [True, False])
def test_what_would_wait_is_handed_over(tmp_path, unhurried, journal):
    async def main():
        pickles = fastcache.PickleSerializer()
        options = {"serializer": pickles, "journal": journal}
        async with aio.Cache(tmp_path, memory=0, compression="zstd", **options) as cache:
            await cache.set("k", 1)
            calls = posted(cache)

            async def count(call):
                before = len(calls)
                await call
                return len(calls) - before

            assert await count(cache.set("k", 2)) == 0
            assert await count(cache.set("k", 3, expire=1000, tag="t")) == 0
            # Large, compressed, in a file, or of a type whose encoding is anybody's guess.
            for key, value in (("large", b"x" * 20_000), ("file", os.urandom(100_000)), ("set", {1, 2})):
                assert await count(cache.set(key, value)) == 1
                assert await count(cache.get(key)) == (key != "set")
                assert await cache.get(key) == value
            await cache.set("small", "y" * 10_000)
            assert await count(cache.get("small")) == 1
            # Whether a file is there is for the thread to see; what lies in one is replaced there, or by who drains.
            assert await count(cache.exists("file")) == 1
            assert await count(cache.set("file", 1)) == (not journal)
            assert await cache.get_many(["large", "file", "small"]) == {
                "large": b"x" * 20_000,
                "file": 1,
                "small": "y" * 10_000,
            }
        now = [1000.0]
        async with aio.Cache(tmp_path / "timed", timer=lambda: now[0], journal=journal) as cache:
            await cache.set("k", 1, expire=10)
            await cache.set("l", 1)
            calls = posted(cache)
            now[0] += 20
            assert await cache.get("k") is None
            # It is no entry any more, and gets another place.
            assert await count(cache.set("k", 2)) == (not journal)
            assert [item async for item in cache.items()] == [("l", 1), ("k", 2)]
        async with aio.Cache(tmp_path, durability="full", **options) as cache:
            calls = posted(cache)
            assert await count(cache.set("k", 4)) == 1
            assert await count(cache.get("k")) == 0
        async with aio.Cache(tmp_path, read_only=True, serializer=pickles) as cache:
            calls = posted(cache)
            with pytest.raises(fastcache.ReadOnlyError):
                await cache.set("k", 5)
            assert (await cache["k"], await cache.get("absent")) == (4, None)

    asyncio.run(main())


def test_what_is_set_in_the_loop_keeps_within_the_limit_and_the_log_short(tmp_path):
    async def main():
        async with aio.Cache(tmp_path / "limited", max_size=1_000_000) as cache:
            for number in range(3000):
                await cache.set(number, b"x" * 1000, expire=1000)
                assert number % 100 or await cache.volume() <= 1_000_000
            assert (await cache.stats()).evictions > 1000
            assert await cache.check()
        async with aio.Cache(tmp_path / "unlimited", memory=0) as cache:
            calls = posted(cache)
            longest = 0
            for number in range(10_000):
                await cache.set(number % 100, number)
                assert await cache[number % 100] == number
                if number % 100 == 0:
                    longest = max(longest, os.path.getsize(tmp_path / "unlimited" / "cache.db-wal"))
            assert longest < 40_000_000
            assert len(calls) < 10_000
            assert await cache.check()

    asyncio.run(main())


@pytest.mark.parametrize("work", ["set", "get", "exists", "__getitem__"])
def test_a_task_that_never_waits_does_not_keep_the_others_from_the_loop(tmp_path, work):
    async def main():
        async with aio.Cache(tmp_path, memory=0) as cache, Ticks() as ticks:
            await cache.set("k", 1)
            count = ticks.count
            for _ in range(5000):
                await getattr(cache, work)(*(("k", 1) if work == "set" else ("k",)))
            assert ticks.count > count + 3

    asyncio.run(main())


@pytest.mark.parametrize("recreate", [False, True])
def test_who_reads_or_sets_in_a_directory_that_is_gone_is_told(tmp_path, recreate):
    async def main():
        async with aio.Cache(tmp_path / "cache", memory=0, recreate=recreate) as cache:
            for _ in range(2):
                await cache.set("k", 1)
                assert await cache["k"] == 1
            os.rename(tmp_path / "cache", tmp_path / "other")
            await asyncio.sleep(0.05)
            for call in (cache.get("k"), cache.set("k", 2)):
                if recreate:
                    assert await call in (None, True)
                else:
                    with pytest.raises(fastcache.DirectoryGoneError):
                        await call
            if recreate:
                assert await cache["k"] == 2
        with fastcache.Cache(tmp_path / "other") as other:
            assert dict(other) == {"k": 1}

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_called_while_it_is_closed_is_done_before_or_refused(kind, tmp_path):
    async def main():
        cache = getattr(aio, kind)(tmp_path, memory=0)
        await cache.set("k", 1)
        calls = [cache.set("k", 2), cache.close(), cache.set("k", 3), cache.get("k"), cache.exists("k")]
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert done[:2] == [True, None]
        assert [type(each) for each in done[2:]] == [fastcache.ClosedError] * 3
        for call in (cache.set("k", 4), cache.get("k"), cache["k"], cache.exists("k")):
            with pytest.raises(fastcache.ClosedError):
                await call
        with getattr(fastcache, kind)(tmp_path) as sync:
            assert sync["k"] == 2

    asyncio.run(main())


def test_who_is_inside_of_a_transaction_of_the_synchronous_cache_reads_what_it_has_set(tmp_path):
    async def main():
        with fastcache.Cache(tmp_path, memory=0) as sync:
            sync["k"] = 1
            cache = aio.Cache.of(sync)
            assert await cache["k"] == 1
            with sync.transact():
                sync["k"] = 2
                # The thread is outside.
                assert await cache["k"] == 1
                assert sync["k"] == 2
            assert await cache["k"] == 2
            await cache.close()

    asyncio.run(main())


@pytest.mark.parametrize("options", [{}, {"memory": 0}])
def test_what_others_write_is_seen_at_once(tmp_path, options):
    async def main():
        with fastcache.Cache(tmp_path) as other:
            async with aio.Cache(tmp_path, **options) as cache:
                for number in range(300):
                    other["k"] = number
                    assert (await cache["k"], await cache.exists("k")) == (number, True)
                    await cache.set("k", -number)
                    assert other["k"] == -number
                    del other["k"]
                    assert (await cache.get("k"), await cache.exists("k")) == (None, False)

    asyncio.run(main())


def test_hits_are_current_whoever_writes(tmp_path):
    async def main():
        with fastcache.Cache(tmp_path) as other:
            async with aio.Cache(tmp_path) as cache:
                for number in range(200):
                    other["k"] = number
                    assert await cache["k"] == number
                    await cache.set("l", number)
                    assert other["l"] == number
                    assert await cache["l"] == number
                    del other["l"]
                    assert await cache.get("l") is None
                assert (await cache.stats()).memory_hits > 0

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_tasks_that_are_cancelled_at_random_leave_everything_whole(tmp_path, seed, start_file):
    """Beside another process that does the same: pairs are equal, what was acknowledged is there, nothing is locked."""
    random = Random(seed)

    async def move(cache, name, counted):
        async with cache.transact():
            left = await cache.get((name, "left"), 0)
            await cache.set((name, "left"), left + 1)
            if random.random() < 0.3:
                await asyncio.sleep(0)
            await cache.set((name, "right"), left + 1)
        counted[name] += 1

    async def count(cache, name, counted):
        await cache.incr(("count", name))
        counted["count", name] += 1

    async def hold(cache, name, counted):
        async with cache.lock(name):
            counted["inside", name] += 1
            assert counted["inside", name] == 1
            try:
                await asyncio.sleep(0)
            finally:
                counted["inside", name] -= 1

    async def make(cache, name, counted):
        assert await cache.get_or_set(("made", name), lambda: name) == name

    async def main():
        other = start_file("moves", MOVES, str(tmp_path / "cache"))
        counted = Counter()
        async with aio.Cache(tmp_path / "cache") as cache:
            running = set()
            for _ in range(600):
                name = random.choice("abc")
                task = asyncio.create_task(random.choice([move, count, hold, make])(cache, name, counted))
                running.add(task)
                if random.random() < 0.5:
                    await asyncio.sleep(random.random() * 0.002)
                if random.random() < 0.4:
                    random.choice(sorted(running, key=id)).cancel()
                for task in [task for task in running if task.done()]:
                    running.discard(task)
                    assert task.cancelled() or task.result() is None
            for ended in await asyncio.gather(*running, return_exceptions=True):
                assert ended is None or isinstance(ended, asyncio.CancelledError)
            assert await asyncio.to_thread(other.hear) == "moved"
            for name in "abc":
                pair = await cache.get_many([(name, "left"), (name, "right")])
                assert len(set(pair.values())) <= 1
                assert pair.get((name, "left"), 0) >= counted[name]
                assert await cache.get(("count", name), 0) >= counted["count", name]
                async with cache.lock(name):
                    pass
            assert (cache._worker.holder, cache._worker.writing) == (None, set())
            assert cache.sync._lock_holds.tokens == set()
            assert await cache.check()
        other.finish()

    asyncio.run(main())


MOVES = """
    import json, sys, fastcache

    with fastcache.Cache(sys.argv[1]) as cache:
        for number in range(300):
            name = "abc"[number % 3]
            with cache.lock(name), cache.transact():
                left = cache.get((name, "left"), 0)
                assert left == cache.get((name, "right"), 0)
                cache[name, "left"] = cache[name, "right"] = left + 1
        print(json.dumps("moved"), flush=True)
"""
