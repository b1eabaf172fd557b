"""Asynchronous caches: each method does what the synchronous one does; loops, threads, processes and their ends."""

import asyncio
import inspect
import os
import pickle
import threading
import warnings

import pytest

import fastcache
from fastcache import aio

KINDS = ["Cache", "Index", "FanoutCache", "FanoutIndex"]


def runners():
    yield pytest.param(asyncio.run, id="asyncio")
    try:
        import uvloop
    except ImportError:
        yield pytest.param(None, id="uvloop", marks=pytest.mark.skip(reason="uvloop is not installed"))
    else:
        yield pytest.param(uvloop.run, id="uvloop")


@pytest.fixture(params=runners())
def run(request):
    return request.param


# -- the methods ------------------------------------------------------------------------------------------------------

# What a Cache and an Index have: a method, its arguments and options.
BOTH = [
    ("set", ("a", 1), {}),
    ("set", (("b", 2), [1, {"x": b"y"}]), {}),
    ("set", ("c", 3.5), {}),
    ("set", (object, 1), {}),
    ("set", ("d", lambda: 0), {}),
    ("get", ("a",), {}),
    ("get", ("absent",), {}),
    ("get", ("absent", 7), {}),
    ("get", ("a", 7, 8), {}),
    ("get", (("b", 2),), {"copy": False}),
    ("get", ("a",), {"buffer": True}),
    ("get", ([],), {}),
    ("__getitem__", ("a",), {}),
    ("__getitem__", ("absent",), {}),
    ("exists", ("a",), {}),
    ("exists", ("absent",), {}),
    ("add", ("a", 2), {}),
    ("add", ("e", 2), {}),
    ("setdefault", ("a", 9), {}),
    ("setdefault", ("f", 9), {}),
    ("incr", ("n",), {}),
    ("incr", ("n", 10), {}),
    ("incr", (("b", 2),), {}),
    ("incr", ("absent",), {"default": None}),
    ("decr", ("n", 3), {}),
    ("set_many", ({"x": 1, "y": 2},), {}),
    ("set_many", ([("z", 1), ("z", 2)],), {}),
    ("set_many", ([("z", 1), 5],), {}),
    ("add_many", ({"x": 5, "w": 6},), {}),
    ("get_many", (["x", "y", "none"],), {}),
    ("get_many", (["x", {}],), {}),
    ("delete", ("x",), {}),
    ("delete", ("x",), {}),
    ("delete_many", (["y", "z", "none"],), {}),
    ("update", ({"u": 1},), {"v": 2}),
    ("update", ([("t", 1)],), {}),
    ("count", (), {}),
    ("size", (), {}),
    ("pop", ("u",), {}),
    ("pop", ("u", 5), {}),
    ("peekitem", (), {}),
    ("peekitem", (False,), {}),
    ("popitem", (), {}),
    ("popitem", (), {"last": False}),
    ("get_or_set", ("g", lambda: 4), {}),
    ("get_or_set", ("g", lambda: 5), {}),
    ("get_or_set", ("g", lambda: 5), {"timeout": "soon"}),
    ("get_or_set", ("h", lambda: 1 // 0), {}),
    ("flush", (), {}),
    ("vacuum", (), {}),
    ("check", (), {}),
    ("clear", (), {}),
    ("popitem", (), {}),
    ("peekitem", (), {}),
    ("count", (), {}),
]
CACHE = [
    ("set", ("a", 1), {"expire": 1000, "tag": "t"}),
    ("set", ("c", 2), {"expire": "soon"}),
    ("set", ("c", 2), {"tag": ()}),
    ("get", ("a",), {"tag": True}),
    ("get", ("b",), {}),
    ("exists", ("b",), {}),
    ("add", ("c", 2), {"tag": "t"}),
    ("touch", ("a",), {}),
    ("touch", ("absent", 5), {}),
    ("get", ("a",), {"expire_time": True, "tag": True}),
    ("pop", ("a",), {"tag": True}),
    ("peekitem", (), {"tag": True}),
    ("set_many", ({"x": 1, "y": 2}, 1000), {}),
    ("expire", (), {}),
    ("evict", (), {}),
    ("evict_tag", ("t",), {}),
    ("evict_tag", (None,), {}),
    ("stats", (), {}),
    ("reset_stats", (), {}),
    ("stats", (), {}),
    ("setdefault", ("s", 1, 1000), {"tag": "t"}),
    ("get_or_set", ("o", lambda: 1, 1000), {"tag": "t"}),
    ("evict_tag", ("t",), {}),
]
QUEUE = [
    ("push", ("a",), {}),
    ("push", ("b", "jobs"), {}),
    ("push", ("c",), {"side": "front"}),
    ("push", ("c", 5), {}),
    ("peek", (), {}),
    ("pull", ("jobs",), {}),
    ("pull", ("jobs",), {"default": 5}),
    ("pull", (), {"side": "back"}),
    ("pull", (), {}),
]
DEQUE = [
    ("append", ("a",), {}),
    ("appendleft", ("b",), {}),
    ("extend", ("cdefg",), {}),
    ("extend", (5,), {}),
    ("extendleft", ("xy",), {}),
    ("pop", (), {}),
    ("popleft", (), {}),
    ("peek", (), {}),
    ("peekleft", (), {}),
    ("__getitem__", (1,), {}),
    ("__getitem__", (100,), {}),
    ("__getitem__", ("a",), {}),
    ("insert", (1, "i"), {}),
    ("remove", ("c",), {}),
    ("remove", ("never",), {}),
    ("rotate", (2,), {}),
    ("reverse", (), {}),
    ("count", ("a",), {}),
    ("index", ("a",), {}),
    ("index", ("never",), {}),
    ("size", (), {}),
    ("check", (), {}),
    ("clear", (), {}),
    ("pop", (), {}),
    ("peek", (), {}),
]


def outcome(work):
    try:
        return work()
    except Exception as error:
        return type(error), str(error)


async def outcome_of(work):
    try:
        return await work()
    except Exception as error:
        return type(error), str(error)


def comparable(found, directory):
    """What is the same of two caches."""
    if isinstance(found, fastcache.CheckResult):
        return str(found)
    if isinstance(found, tuple) and found[:1] == (TypeError,) and "argument" in found[1]:
        return TypeError
    if isinstance(found, memoryview):
        return bytes(found)
    return (
        tuple(part.replace(str(directory), "...") if isinstance(part, str) else part for part in found)
        if (isinstance(found, tuple))
        else found
    )


@pytest.mark.parametrize(
    ("kind", "calls"),
    [(kind, BOTH + (CACHE if "Cache" in kind else [])) for kind in KINDS]
    + [(kind, QUEUE) for kind in ("Cache", "Index")]
    + [("Deque", DEQUE)],
)
def test_each_method_does_what_the_synchronous_one_does(kind, calls, tmp_path, run):
    options = {} if kind == "Deque" else {"serializer": fastcache.PickleSerializer()}
    first = () if kind == "Deque" else None

    def arguments(name):
        return ((), tmp_path / name) if first == () else (tmp_path / name,)

    async def main():
        with getattr(fastcache, kind)(*arguments("sync"), **options) as sync:
            async with getattr(aio, kind)(*arguments("aio"), **options) as cache:
                for name, given, named in calls:
                    if (name, "expire_time" in named) == ("get", True):
                        # Each has its own.
                        continue
                    expected = outcome(lambda: getattr(sync, name)(*given, **named))  # noqa: B023
                    found = await outcome_of(lambda: getattr(cache, name)(*given, **named))  # noqa: B023
                    assert comparable(found, tmp_path / "aio") == comparable(expected, tmp_path / "sync"), name
                assert [each async for each in cache] == list(sync)

    run(main())


# What has another name, or form, where it is awaited.
OTHERWISE = {"shard_count", "store", "stores"}


@pytest.mark.parametrize("kind", [*KINDS, "Deque"])
def test_it_has_every_public_method_with_its_parameters(kind):
    sync, asynchronous = getattr(fastcache, kind), getattr(aio, kind)
    names = {name for name in dir(sync) if not name.startswith("_")}
    assert names - set(dir(asynchronous)) - OTHERWISE == set()

    for name in names - OTHERWISE:
        method = getattr(sync, name)
        if not callable(method):
            continue
        try:
            expected = list(inspect.signature(method).parameters)
        except ValueError:
            continue
        found = list(inspect.signature(getattr(asynchronous, name)).parameters)
        assert found == expected, name


@pytest.mark.parametrize("kind", [*KINDS, "Deque"])
def test_everything_public_is_documented(kind):
    public = getattr(aio, kind)
    assert inspect.getdoc(public)
    assert [
        name for name in dir(public) if not name.startswith("_") and not inspect.getdoc(getattr(public, name))
    ] == []


# An Index takes any: they are items.
@pytest.mark.parametrize("kind", ["Cache", "FanoutCache", "Deque"])
def test_an_option_that_there_is_not_is_refused(kind):
    with pytest.raises(TypeError, match="safe_typos"):
        getattr(aio, kind)(safe_typos=())


def test_options_are_handed_on(tmp_path):
    async def main():
        async with aio.Cache(tmp_path, max_size=10_000_000, eviction="fifo", timeout=3.0, durability="full") as cache:
            assert (cache.max_size, cache.eviction, cache.timeout, cache.durability) == (
                10_000_000,
                "fifo",
                3.0,
                "full",
            )
            assert (cache.directory, cache.read_only, cache.recreate) == (str(tmp_path), False, False)
            assert (cache.compression, cache.memory > 0) == (None, True)
            assert cache.serializer is cache.sync.serializer
            await cache.set_max_size(20_000_000)
            assert cache.max_size == 20_000_000
        async with aio.FanoutCache(None, shards=3) as fanout:
            assert fanout.shards == 3
        async with aio.Deque("abcd", maxlen=3) as deque:
            assert deque.maxlen == 3
            await deque.set_maxlen(2)
            assert [each async for each in deque] == ["c", "d"]

    asyncio.run(main())


def test_a_deque_has_names_for_its_operators():
    async def main():
        async with aio.Deque("abc") as deque:
            await deque.set(1, "B")
            await deque.delete(0)
            assert await deque.length() == 2
            assert await deque.contains("B")
            assert not await deque.contains("a")
            assert [each async for each in reversed(deque)] == ["c", "B"]
            async with deque.transact():
                await deque.append(await deque.popleft())
            assert [each async for each in deque] == ["c", "B"]

    asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_many_keys_are_read_in_portions(kind, tmp_path):
    async def main():
        async with getattr(aio, kind)(tmp_path) as cache:
            await cache.set_many((number, -number) for number in range(1000))
            for asked in (0, 1, 99, 100, 101, 1000, 1200):
                found = await cache.get_many(iter(range(asked)))
                assert list(found.items()) == [(number, -number) for number in range(min(asked, 1000))]
            with pytest.raises(TypeError, match=r"^item 700: "):
                await cache.get_many([*range(700), {}])

    asyncio.run(main())


def test_a_deque_is_copied_and_caches_are_pickled(tmp_path):
    async def main():
        async with aio.Deque("abc", tmp_path / "deque", 3) as deque:
            async with await deque.copy() as copy:
                assert [each async for each in copy] == ["a", "b", "c"]
                assert copy.directory != deque.directory
            async with pickle.loads(pickle.dumps(deque)) as again:
                assert (await again.length(), again.maxlen, again.directory) == (3, 3, deque.directory)
        async with aio.Cache(tmp_path / "cache", timeout=5.0) as cache:
            await cache.set("k", 1)
            async with pickle.loads(pickle.dumps(cache)) as again:
                assert (await again["k"], again.timeout) == (1, 5.0)
                assert await again.lock("lock").acquire()

    asyncio.run(main())


# -- iteration --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_iterating_shows_what_there_is_in_order(kind, tmp_path):
    async def main():
        async with getattr(aio, kind)(tmp_path) as cache:
            await cache.set_many((f"key-{number:04}", number) for number in range(1000))
            sync = cache.sync
            assert [key async for key in cache] == list(sync)
            assert [key async for key in reversed(cache)] == list(reversed(sync))
            assert [item async for item in cache.items()] == list(sync.items())
            assert [item async for item in reversed(cache.items())] == list(reversed(sync.items()))
            assert [value async for value in cache.values(prefix="key-01")] == list(range(100, 200))
            keys = cache.keys(start="key-0998", reverse=True)
            assert [key async for key in keys] == ["key-0999", "key-0998"]
            assert [key async for key in keys] == ["key-0999", "key-0998"]

    asyncio.run(main())


def test_what_cannot_be_decoded_comes_up_where_it_lies(tmp_path):
    async def main():
        with fastcache.Cache(tmp_path, secret=b"another" * 8) as cache:
            cache["a"] = 1
            cache["b"] = threading.Event
            cache["c"] = 3
        async with aio.Cache(tmp_path) as cache:
            seen = []
            with pytest.raises(fastcache.UntrustedValueError):  # noqa: PT012
                async for pair in cache.items("raise"):
                    seen.append(pair)
            assert seen == [("a", 1)]
            assert [pair async for pair in cache.items("skip")] == [("a", 1), ("c", 3)]

    asyncio.run(main())


def test_an_iteration_that_is_left_lets_others_go_on(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            await cache.set_many((number, number) for number in range(5000))
            async for _ in cache:
                break
            await cache.clear()
            assert await cache.count() == 0

    asyncio.run(main())


# -- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_stores_everything_in_order(kind, tmp_path, run):
    async def main():
        async with getattr(aio, kind)(tmp_path) as cache:
            async with cache.batch(max_items=700) as batch:
                for number in range(2500):
                    await batch.set(number, number)
                    if number % 2:
                        await batch.delete(number - 1)
                changing = [1]
                await batch.set("list", changing)
                changing.append(2)
                await batch.flush()
                assert batch.committed == 3751
                await batch.set(("last", 1), None)
            assert batch.committed == 3752
            assert await cache.count() == 1252
            assert await cache["list"] == [1]
            for late in (batch.set("late", 1), batch.delete("late"), batch.flush(), batch.__aenter__()):
                with pytest.raises(fastcache.TransactionError):
                    await late

    run(main())


def test_a_batch_that_fails_keeps_what_was_committed(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with cache.batch(max_items=10) as batch:
                    for number in range(25):
                        await batch.set(number, number)
                    raise ZeroDivisionError
            assert (await cache.count(), batch.committed) == (20, 20)

    asyncio.run(main())


def test_what_a_batch_cannot_store_is_raised_in_its_block(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            with pytest.raises(TypeError):  # noqa: PT012
                async with cache.batch() as batch:
                    await batch.set("a", 1)
                    await batch.set("b", 2, tag=())
            assert await cache.count() == 0
            with pytest.raises(TypeError):
                async with cache.batch() as batch:
                    await batch.set("c", lambda: 0)
            with pytest.raises(TypeError):
                await cache.batch(max_items="many").__aenter__()

    asyncio.run(main())


# -- computing once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_of_tasks_that_miss_a_key_one_computes(kind, tmp_path, run):
    async def main():
        async with getattr(aio, kind)(tmp_path) as cache:
            calls = []

            async def make():
                calls.append(1)
                await asyncio.sleep(0)
                # What it computes needs other keys of the same cache.
                return await cache.get_or_set("other", lambda: 6) * 7

            assert await asyncio.gather(*(cache.get_or_set("k", make) for _ in range(20))) == [42] * 20
            assert calls == [1]
            assert await cache["other"] == 6

    run(main())


def test_if_a_factory_raises_who_has_waited_calls_its_own(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            calls = []

            async def fail():
                calls.append(1)
                await asyncio.sleep(0.01)
                raise ValueError(len(calls))

            found = await asyncio.gather(*(cache.get_or_set("k", fail) for _ in range(5)), return_exceptions=True)
            assert [type(each) for each in found] == [ValueError] * 5
            assert len(calls) == 5
            assert await cache.get_or_set("k", lambda: 1) == 1

    asyncio.run(main())


def test_who_is_cancelled_while_it_computes_leaves_it_to_the_next(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            begun = asyncio.Event()

            async def hang():
                begun.set()
                await asyncio.Event().wait()

            first = asyncio.create_task(cache.get_or_set("k", hang))
            await begun.wait()
            second = asyncio.create_task(cache.get_or_set("k", lambda: 2))
            await asyncio.sleep(0)
            first.cancel()
            assert await second == 2
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_a_task_waits_for_a_thread_that_computes_and_the_other_way_round(tmp_path):
    async def main():
        with fastcache.Cache(tmp_path) as sync:
            async with aio.Cache(tmp_path) as cache:
                begun, go = threading.Event(), threading.Event()

                def make():
                    begun.set()
                    assert go.wait(60)
                    return "thread"

                thread = asyncio.create_task(asyncio.to_thread(sync.get_or_set, "k", make))
                assert await asyncio.to_thread(begun.wait, 60)
                waiting = asyncio.create_task(cache.get_or_set("k", lambda: "task"))
                for _ in range(20):
                    # The thread of the cache is free meanwhile.
                    await cache.count()
                assert not waiting.done()
                go.set()
                assert (await waiting, await thread) == ("thread", "thread")

                computing, done = asyncio.Event(), asyncio.Event()

                async def make_here():
                    computing.set()
                    await done.wait()
                    return "task"

                task = asyncio.create_task(cache.get_or_set("l", make_here))
                await computing.wait()
                thread = asyncio.create_task(asyncio.to_thread(sync.get_or_set, "l", lambda: "thread"))
                await cache.count()
                done.set()
                assert (await task, await thread) == ("task", "task")

    asyncio.run(main())


def test_of_processes_that_miss_a_key_one_computes(tmp_path, start_file):
    program = """
        import asyncio, json, sys
        from fastcache import aio

        async def main():
            async with aio.Cache(sys.argv[1]) as cache:
                async def make():
                    await cache.incr("calls")
                    await asyncio.sleep(0.05)
                    return "made"
                print(json.dumps("ready"), flush=True)
                sys.stdin.readline()
                assert await asyncio.gather(*(cache.get_or_set("k", make) for _ in range(10))) == ["made"] * 10

        asyncio.run(main())
    """
    directory = str(tmp_path / "cache")
    others = [start_file(f"computes{number}", program, directory) for number in range(3)]
    assert [other.hear() for other in others] == ["ready"] * 3
    for other in others:
        other.tell()
    for other in others:
        other.finish()
    with fastcache.Cache(directory) as cache:
        assert cache["calls"] == 1


# -- memoizing --------------------------------------------------------------------------------------------------------


def test_a_coroutine_function_is_memoized(tmp_path, run):
    async def main():
        async with aio.Cache(tmp_path) as cache:
            calls = []

            @cache.memoize(expire=1000, tag="squares")
            async def square(number, *, exponent=2):
                """Its square."""
                calls.append(number)
                await asyncio.sleep(0)
                return number**exponent

            assert await asyncio.gather(*(square(7) for _ in range(5))) == [49] * 5
            assert (await square(number=7), await square([7][0], exponent=2), calls) == (49, 49, [7])
            assert (square.__doc__, square.cache_info().misses) == ("Its square.", 1)
            assert await cache[await square.cache_key(7)] == 49
            assert (await square.explain(7)).reason == "cached"
            assert await square.invalidate(7)
            assert not await square.invalidate(7)
            assert await square(7) == 49
            assert (calls, await square.cache_clear()) == ([7, 7], 1)

            @cache.memoize
            def plain(numbers):
                return threading.get_ident(), sum(numbers)

            thread, total = await plain([1, 2, 3])
            assert (total, await plain([1, 2, 3])) == (6, (thread, 6))
            assert thread != threading.get_ident()

    run(main())


def test_methods_are_memoized(tmp_path):
    async def main():
        async with aio.Index(tmp_path) as index:

            class Shop:
                calls = 0

                @index.memoize(ignore="self")
                async def price(self, of):
                    Shop.calls += 1
                    return len(of)

            shop = Shop()
            assert (await shop.price("pear"), await shop.price("pear"), Shop.calls) == (4, 4, 1)
            assert await shop.price.invalidate("pear")

    asyncio.run(main())


def test_both_faces_find_what_the_other_has_computed(tmp_path):
    async def main():
        async with aio.Cache(tmp_path) as cache:

            async def answer():
                return 42

            here = cache.memoize(name="answer")(answer)
            there = cache.sync.memoize(name="answer")(answer)
            assert (await here(), await there()) == (42, 42)
            assert (there.cache_info().hits, there.cache_info().misses) == (1, 0)

    asyncio.run(main())


def test_a_result_is_renewed_in_a_task_before_it_expires(tmp_path, clock):
    async def main():
        async with aio.Cache(tmp_path, timer=clock) as cache:
            calls = []
            renewed = asyncio.Event()

            @cache.memoize_stampede(expire=100, beta=1e12)
            async def report():
                calls.append(1)
                if len(calls) > 1:
                    renewed.set()
                await asyncio.sleep(0)
                return len(calls)

            assert await report() == 1
            # Due at once, with such a beta.
            assert await report() in (1, 2)
            await renewed.wait()
            while (await report()) == 1:
                await asyncio.sleep(0)

            with pytest.raises(TypeError):
                cache.memoize_stampede(expire=1)(len)

    asyncio.run(main())


# -- averages, backups ------------------------------------------------------------------------------------------------


def test_averages_and_backups(tmp_path):
    async def main():
        async with aio.Cache(tmp_path / "cache") as cache:
            average = cache.averager("a")
            await asyncio.gather(average.add(1), average.add(2), average.add(6))
            assert (await average.get(), await average.pop(), await average.get()) == (3.0, 3.0, None)
            await cache.set("k", "v")
            seen = []
            await cache.backup(tmp_path / "copy", progress=lambda done, of: seen.append(done <= of))
            assert all(seen)
        async with aio.Cache(tmp_path / "copy") as copy:
            assert await copy["k"] == "v"

    asyncio.run(main())


# -- its life ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, "Deque"])
def test_it_is_opened_when_it_is_used_and_closed_in_the_end(kind, tmp_path, run):
    given = ((), tmp_path / "cache") if kind == "Deque" else (tmp_path / "cache",)

    async def main():
        cache = getattr(aio, kind)(*given)
        assert not (tmp_path / "cache").exists()
        assert "not opened" in repr(cache)
        async with cache:
            assert (tmp_path / "cache").exists()
            assert str(tmp_path) in repr(cache)
        for _ in range(2):
            with pytest.raises(fastcache.ClosedError):
                await cache.size()
        with pytest.raises(fastcache.ClosedError):
            async with cache:
                pass
        await cache.close()
        unused = getattr(aio, kind)()
        await unused.close()
        with pytest.raises(fastcache.ClosedError):
            await unused.size()

    run(main())


def test_what_cannot_be_opened_says_so_when_it_is_used(tmp_path):
    async def main():
        (tmp_path / "file").write_text("no directory")
        with pytest.raises(fastcache.OpenError):
            async with aio.Cache(tmp_path / "file"):
                pass
        with pytest.raises(TypeError):
            await aio.Cache(5).count()

    asyncio.run(main())


def test_where_no_loop_runs_there_is_nothing_to_await_in(tmp_path):
    cache = aio.Cache(tmp_path)
    waiting = cache.count()
    with pytest.raises(RuntimeError):
        waiting.send(None)
    assert cache.sync.count() == 0
    cache.sync.close()


def test_a_cache_outlives_its_loop(tmp_path, run):
    cache = aio.Cache(tmp_path)
    run(cache.set("k", 1))
    assert run(cache.get("k")) == 1
    run(cache.close())


def test_loops_of_several_threads_share_one(tmp_path, short_turns):
    cache = aio.Cache(tmp_path)
    failures = []

    async def count(number):
        for _ in range(50):
            await cache.incr("shared")
            await cache.set(("own", number), number)
            assert await cache[("own", number)] == number
            async with cache.transact():
                seen = await cache.get("pair", (0, 0))
                await cache.set("pair", (seen[0] + 1, seen[1] + 1))

    async def main(number):
        await asyncio.gather(*(count((number, task)) for task in range(3)))

    def work(number):
        try:
            asyncio.run(main(number))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert asyncio.run(cache.get_many(["shared", "pair"])) == {"shared": 600, "pair": (600, 600)}
    asyncio.run(cache.close())


def test_its_thread_ends_when_it_is_closed_or_collected(tmp_path):
    async def main(closes):
        before = threads()
        cache = aio.Cache(tmp_path / "cache")
        await cache.set("k", 1)
        assert threads() > before
        if closes:
            await cache.close()
        del cache
        # Nobody else waits for it.
        while threads() > before:
            await asyncio.sleep(0.001)

    def threads():
        # Not of threading: all that there are.
        return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

    if not threads():
        pytest.skip("counts threads in /proc")
    with fastcache.Cache(tmp_path / "cache") as held:
        # Maintenance goes on.
        held["k"] = 0
        held.expire()
        for closes in (True, False):
            asyncio.run(main(closes))


ENDS = """
    import asyncio, sys
    from fastcache import aio

    async def main():
        cache = aio.Cache(sys.argv[1], journal=sys.argv[2] == "True")
        await cache.set_many({number: number for number in range(100)})
        for number in range(100, 200):
            await cache.set(number, number)
        tasks = [asyncio.create_task(cache.set(number, number)) for number in range(200, 300)]
        if sys.argv[3] == "waits":
            await asyncio.gather(*tasks)
        if sys.argv[3] == "inside":
            async with cache.transact():
                await cache.set("never", 1)
                sys.exit(0)

    asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["waits", "leaves", "inside"])
@pytest.mark.parametrize("journal", [True, False])
def test_what_was_acknowledged_is_there_if_a_process_ends_without_closing(tmp_path, start_file, how, journal):
    start_file("ends", ENDS, str(tmp_path / "cache"), str(journal), how).finish()
    with fastcache.Cache(tmp_path / "cache") as cache:
        assert set(range(300 if how == "waits" else 200)) <= set(cache)
        assert "never" not in cache
        assert cache.check()


FORKS = """
    import asyncio, os, sys, threading, warnings
    warnings.simplefilter("ignore")
    from fastcache import aio

    cache = aio.Cache(sys.argv[1])

    async def work(name):
        for number in range(20):
            await cache.set((name, number), number)
            await cache.incr("sum")
        async with cache.transact():
            await cache.set(name, await cache.get(name, 0) + 1)
        async with cache.lock("lock"):
            pass
        assert await cache.get((name, 19)) == 19

    async def five(name):
        await asyncio.gather(*(work(name) for _ in range(5)))

    async def main():
        tasks = asyncio.create_task(five("parent"))
        await cache.count()
        child = os.fork()
        if not child:
            # Its loop is the parent's, and goes on nowhere: it runs one of its own.
            thread = threading.Thread(target=lambda: asyncio.run(five("child")))
            thread.start()
            thread.join()
            os._exit(0)
        await tasks
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_has_a_thread_of_its_own(tmp_path, start_file):
    start_file("forks", FORKS, str(tmp_path / "cache")).finish()
    with fastcache.Cache(tmp_path / "cache") as cache:
        assert (cache["sum"], cache["parent"], cache["child"]) == (200, 5, 5)


def test_importing_fastcache_loads_nothing_of_it(start_program):
    start_program(
        "imports", "import fastcache; assert not [m for m in sys.modules if 'aio' in m or 'asyncio' in m]"
    ).finish()


# -- trio -------------------------------------------------------------------------------------------------------------


async def all_calls(cache, gather):
    assert await cache.set("a", 1)
    assert (await cache["a"], await cache.get("b"), await cache.exists("a")) == (1, None, True)
    async with cache.transact():
        await cache.incr("n")
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        async with cache.transact():
            await cache.incr("n")
            raise ZeroDivisionError
    assert [item async for item in cache.items()] == [("a", 1), ("n", 1)]
    async with cache.batch() as batch:
        for number in range(3000):
            await batch.set(number, number)
    assert await cache.count() == 3002
    calls = []

    async def make():
        calls.append(1)
        await cache.count()
        return 5

    await gather(*(lambda: cache.get_or_set("made", make) for _ in range(5)))
    assert (await cache["made"], calls) == (5, [1])
    most = []
    inside = []

    async def hold():
        async with cache.lock("lock"):
            inside.append(1)
            most.append(len(inside))
            await cache.count()
            inside.pop()

    await gather(*(hold for _ in range(10)))
    assert most == [1] * 10

    @cache.memoize
    async def double(number):
        return 2 * number

    assert (await double(4), await double(4)) == (8, 8)
    limited = cache.throttle(100, 0.01)(make)
    assert await limited() == 5


def test_calls_run_in_trio(tmp_path):
    trio = pytest.importorskip("trio")

    async def gather(*functions):
        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)

    async def main():
        async with aio.Cache(tmp_path) as cache:
            await all_calls(cache, gather)
            with trio.move_on_after(0):
                await cache.set("cancelled", 1)
            assert await cache.get("cancelled") is None

    trio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_calls_run_in_anyio(tmp_path, backend):
    anyio = pytest.importorskip("anyio")
    pytest.importorskip(backend)

    async def gather(*functions):
        async with anyio.create_task_group() as group:
            for function in functions:
                group.start_soon(function)

    async def main():
        async with aio.Cache(tmp_path) as cache:
            await all_calls(cache, gather)

    with warnings.catch_warnings():
        anyio.run(main, backend=backend)
