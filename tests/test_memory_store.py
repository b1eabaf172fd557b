"""What is of caches in memory alone, and what their table promises, seen from inside and outside of transactions."""

import asyncio
import contextlib
import copy
import os
import pathlib
import pickle
import subprocess
import sys
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import fastcache
from fastcache import Cache, Deque, FanoutCache, FanoutIndex, Index, aio

from .clock import Clock
from .together import in_a_thread

KINDS = [Cache, Index, FanoutCache, FanoutIndex]


class Oops(Exception):
    pass


class Mine:
    """What only a signature would let in, on a disk."""

    def __init__(self, number):
        self.number = number

    def __eq__(self, other):
        return type(other) is Mine and other.number == self.number

    __hash__ = None


# -- where it is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_where_it_is(kind):
    with kind(":memory:") as store:
        assert store.directory == ":memory:"
        assert repr(store) == f"{kind.__name__}(':memory:')"


@pytest.mark.parametrize("kind", KINDS)
def test_each_is_another_one(kind):
    with kind(":memory:") as one, kind(":memory:") as other:
        one["a"] = 1
        assert "a" not in other


PROGRAM = """
import os, sys
import fastcache
from tests.test_memory_store import use_all
before = {where: sorted(os.listdir(where)) for where in sys.argv[1:]}
fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
use_all()
assert {where: sorted(os.listdir(where)) for where in sys.argv[1:]} == before
if fds:
    # What imports have opened is closed again.
    assert len(os.listdir("/proc/self/fd")) <= fds, os.listdir("/proc/self/fd")
print("nothing")
"""


def use_all():
    """Use what makes a file on a disk: large values, signatures, locks, computing once, a limit, a deque."""
    cache = Cache(":memory:", max_size=10_000_000)
    cache["large"] = bytes(1_000_000)
    cache["signed"] = Mine(1)
    assert cache["signed"] == Mine(1)
    with cache.lock("a"), cache.rlock("b"), cache.bounded_semaphore("c", 2):
        assert cache.get_or_set("made", lambda: 1) == 1
    assert cache.memoize(len)("abc") == 3
    assert cache.check()
    for _ in range(20):
        cache.set(os.urandom(8), bytes(1_000_000), expire=100, tag="t")
    deque = Deque("abc", ":memory:")
    deque.rotate()
    deque.copy().close()
    deque.close()
    cache.close()


def test_nothing_is_on_disk(tmp_path):
    here, temporary, home = (tmp_path / name for name in ("here", "temporary", "home"))
    for folder in (here, temporary, home):
        folder.mkdir()
    root = pathlib.Path(__file__).parent.parent
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    places = {"TMPDIR": str(temporary), "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home)}
    environment = {**os.environ, **places, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    # There is no secret to sign with, and none is made.
    environment.pop("FASTCACHE_SECRET", None)
    watched = [str(here), str(temporary), str(home)]
    command = [sys.executable, "-c", PROGRAM, *watched]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "nothing"), done.stderr


def test_a_directory_of_this_name_is_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("./:memory:", pathlib.Path(":memory:")):
        with Cache(name) as cache:
            cache["a"] = 1
            assert cache.directory == str(tmp_path / ":memory:")
    with Cache(b"./:memory:") as cache:
        assert cache["a"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_cannot_be_pickled(kind):
    with kind(":memory:") as store:
        for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="memory"):
                attempt(store)
        with pytest.raises(TypeError, match="memory"):
            pickle.dumps(store.lock("a"))


def test_a_deque_cannot_be_pickled_but_copied():
    with Deque("abc", ":memory:", maxlen=3) as deque:
        with pytest.raises(TypeError, match="memory"):
            pickle.dumps(deque)
        with copy.copy(deque) as again:
            again.append("d")
            assert (again.maxlen, again.directory) == (3, ":memory:")
            assert list(again) == ["b", "c", "d"]
        assert list(deque) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"memory": "1"},
        {"write_behind": "1"},
        {"durability": "none"},
        {"compression": "zip"},
        {"max_size": -1},
        {"max_size": "1"},
        {"eviction": "random"},
        {"on_evict": 1},
        {"timer": 1},
        {"read_only": "no"},
        {"serializer": 1},
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused(options):
    with pytest.raises((TypeError, ValueError)):
        Cache(":memory:", **options)


def test_options_of_a_disk_are_taken_and_mean_nothing():
    with Cache(":memory:", durability="full", memory=0, recreate=True) as cache:
        cache["a"] = 1
        assert cache["a"] == 1
        assert (cache.durability, cache.memory, cache.recreate) == ("full", 0, True)
        cache.flush()
        assert cache.vacuum() == 0


def test_one_that_is_read_alone_is_empty():
    with Cache(":memory:", read_only=True) as cache:
        for attempt in (
            lambda: cache.set("a", 1),
            lambda: cache.set_many({"a": 1}),
            lambda: cache.incr("a"),
            lambda: cache.delete("a"),
            lambda: cache.transact().__enter__(),
        ):
            with pytest.raises(fastcache.ReadOnlyError):
                attempt()
        assert (cache.get("a"), len(cache)) == (None, 0)


def test_a_fanout_has_one_shard_and_takes_a_key_or_none():
    with FanoutCache(":memory:", shards=4) as cache:
        assert cache.shards == 1
        with cache.transact("a"):
            cache["a"], cache["b"] = 1, 2
        with cache.transact():
            cache["c"] = 3
        assert list(cache) == ["a", "b", "c"]
    for wrong in (0, 2000, "4"):
        with pytest.raises((TypeError, ValueError)):
            FanoutCache(":memory:", shards=wrong)


def test_closing_frees_all_and_ends_all():
    cache = Cache(":memory:")
    cache["a"] = 1
    walk, pairs = iter(cache), iter(cache.items())
    cache.close()
    cache.close()
    for attempt in (
        lambda: cache["a"],
        lambda: cache.set("a", 1),
        lambda: cache.get_many(["a"]),
        lambda: cache.set_many({"a": 1}),
        lambda: "a" in cache,
        lambda: cache.pop("a"),
        lambda: cache.incr("a"),
        lambda: cache.touch("a"),
        lambda: list(cache),
        lambda: list(cache.keys(reverse=True)),
        lambda: len(cache),
        cache.size,
        cache.volume,
        cache.clear,
        cache.expire,
        cache.evict,
        cache.flush,
        cache.popitem,
        cache.batch().__enter__,
        cache.transact().__enter__,
        cache.__enter__,
        cache.lock("a").acquire,
        lambda: next(walk),
        lambda: next(pairs),
    ):
        with pytest.raises(fastcache.ClosedError):
            attempt()


# -- what it keeps --------------------------------------------------------------------------------------------------


def test_what_cannot_be_stored_on_a_disk_cannot_be_stored_here():
    with Cache(":memory:") as cache:
        for value in (lambda: 0, threading.Lock()):
            with pytest.raises(fastcache.EncodeError):
                cache["a"] = value
        with pytest.raises(TypeError):
            cache[["no", "key"]] = 1
        with pytest.raises(ValueError, match="NaN"):
            cache[float("nan")] = 1
        assert len(cache) == 0


def test_what_is_changed_outside_is_not_changed_inside():
    with Cache(":memory:") as cache:
        mine = {"a": [1]}
        cache["k"] = mine
        mine["a"].append(2)
        cache["k"]["a"].append(3)
        assert cache["k"] == {"a": [1]}


def test_what_another_serializer_makes_of_a_tuple_it_makes_here():
    with (
        Index(serializer=fastcache.MsgspecSerializer()) as there,
        Index(":memory:", serializer=fastcache.MsgspecSerializer()) as here,
    ):
        there["k"] = here["k"] = (1, (2, 3))
        assert type(here["k"]) is type(there["k"])
        assert here["k"] == there["k"]


def test_as_a_buffer_it_is_what_it_would_be():
    with Cache() as there, Cache(":memory:") as here:
        for value in (b"bytes", "t\u00e9xt", ("a", 1), [1, 2], {"a": 1}):
            there["k"] = here["k"] = value
            assert bytes(here.get("k", buffer=True)) == bytes(there.get("k", buffer=True))
            assert here.size() > 0
        for value in (1, 1.5, None, True):
            here["k"] = value
            with pytest.raises(TypeError):
                here.get("k", buffer=True)


def test_a_backup_is_a_cache_on_a_disk(tmp_path):
    clock = Clock()
    with Cache(":memory:", timer=clock) as cache:
        cache.set("a", 1, expire=100, tag="red")
        cache["gone"] = 2
        cache.set("expired", 2, expire=1)
        cache["b"] = [Mine(1)]
        cache["c", 1] = bytes(200_000)
        cache["gone too"] = 2
        del cache["gone"], cache["gone too"]
        clock.advance(1)
        told = []
        cache.backup(tmp_path / "copy", progress=lambda done, total: told.append((done, total)))
        assert told[-1][0] == told[-1][1] > 200_000
        with pytest.raises(fastcache.OpenError):
            cache.backup(tmp_path / "copy")
        with pytest.raises(fastcache.TransactionError), cache.transact():
            cache.backup(tmp_path / "another")
    with Cache(tmp_path / "copy", timer=clock) as copied:
        assert list(copied.items()) == [("a", 1), ("b", [Mine(1)]), (("c", 1), bytes(200_000))]
        assert copied.get("a", expire_time=True, tag=True) == (1, clock.now + 99, "red")
        assert copied.check()
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_with_the_policy_ttl_goes_what_expires_first_and_then_what_is_oldest():
    told = []
    with Cache(":memory:", max_size=30_000, eviction="ttl", on_evict=lambda key, reason: told.append(key)) as cache:
        cache["never"] = bytes(1000)
        for number in range(10):
            cache.set(number, bytes(1000), expire=1000 - number)
        cache["last"] = bytes(20_000)
        cache["more"] = bytes(20_000)
    assert told == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, "never", "last"]


def test_a_limit_that_is_lowered_evicts_at_once():
    with Cache(":memory:") as cache:
        cache.update((number, bytes(1000)) for number in range(100))
        cache.max_size = 50_000
        assert cache.volume() <= 50_000
        assert list(cache) == list(range(100 - len(cache), 100))
        assert cache.stats().evictions == 100 - len(cache)
        cache.max_size = 0
        cache.update((number, bytes(1000)) for number in range(200))
        assert len(cache) == 200


# -- other threads, tasks and processes -----------------------------------------------------------------------------


def test_a_child_has_a_copy_of_its_own_without_what_is_not_committed():
    cache = Cache(":memory:")
    cache["a"] = 1
    inside, leave = threading.Event(), threading.Event()

    def stay_inside():
        with cache.transact():
            cache["a"], cache["b"] = 2, 3
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=stay_inside)
    thread.start()
    assert inside.wait(30)
    lock = cache.lock("mine")
    assert lock.acquire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = b"failed"
        with contextlib.suppress(BaseException):
            seen = dict(cache.items())
            # Nobody is inside any more, and nothing is held.
            with cache.transact():
                cache["child"] = 1
            free = cache.lock("mine").acquire(blocking=False)
            answer = repr((seen, dict(cache.items()), free, cache.check().ok)).encode()
        os.write(write, answer)
        os._exit(0)
    os.close(write)
    leave.set()
    thread.join()
    with os.fdopen(read, "rb") as pipe:
        answer = pipe.read().decode()
    os.waitpid(child, 0)
    assert answer == repr(({"a": 1}, {"a": 1, "child": 1}, True, True))
    assert dict(cache.items()) == {"a": 2, "b": 3}
    lock.release()
    cache.close()


def test_a_child_that_is_forked_inside_of_a_transaction_is_not_inside():
    cache = Cache(":memory:")
    cache["a"] = 1
    read, write = os.pipe()
    with cache.transact():
        cache["a"] = 2
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.write(write, repr((cache["a"], cache.set("b", 1), len(cache))).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read().decode() == repr((1, True, 2))
    os.waitpid(child, 0)
    assert dict(cache.items()) == {"a": 2}
    cache.close()


def test_who_is_not_inside_waits_to_write():
    with Cache(":memory:", timeout=0.05) as cache:
        cache.update(a=1, n=1)
        writes = {
            "set": lambda: cache.set("b", 1),
            "add": lambda: cache.add("b", 1),
            "set_many": lambda: cache.set_many({"b": 1}),
            "delete": lambda: cache.delete("a"),
            "delete_many": lambda: cache.delete_many(["a"]),
            "pop": lambda: cache.pop("a"),
            "popitem": cache.popitem,
            "touch": lambda: cache.touch("a", 5),
            "incr": lambda: cache.incr("n"),
            "clear": cache.clear,
            "expire": cache.expire,
            "evict_tag": lambda: cache.evict_tag("t"),
            "close": cache.close,
        }
        with cache.transact():
            cache["c"] = 3
            for name, write in writes.items():
                with pytest.raises(fastcache.Timeout):
                    in_a_thread(write)
                assert list(cache) == ["a", "n", "c"], name


@pytest.mark.parametrize("kind", ["lock", "rlock", "bounded_semaphore"])
def test_who_waits_for_a_lock_of_a_cache_that_is_closed_waits_no_longer(kind):
    cache = Cache(":memory:")
    mine, theirs = getattr(cache, kind)("a"), getattr(cache, kind)("a")
    assert mine.acquire()
    records = cache._lock_holds.records

    def close_when_somebody_waits():
        while not any(records.read(key).queue for key in records.index):
            pass
        cache.close()

    thread = threading.Thread(target=close_when_somebody_waits)
    thread.start()

    def wait():
        with pytest.raises(fastcache.ClosedError):
            theirs.acquire()

    in_a_thread(wait)
    thread.join()
    with pytest.raises((fastcache.ClosedError, fastcache.LockError)):
        mine.release()


def test_it_has_an_asyncio_face():
    async def main():
        async with aio.Cache(":memory:") as cache:
            await cache.set("a", [1])
            made = await asyncio.gather(*[cache.get_or_set("made", lambda: 2) for _ in range(3)])
            async with cache.transact():
                await cache.set("b", 3)
            return await cache.get_many(["a", "b", "made"]), made

    assert asyncio.run(main()) == ({"a": [1], "b": 3, "made": 2}, [2, 2, 2])


def test_a_cache_as_an_argument_is_told_apart():
    with Cache() as results, Cache(":memory:") as one, Cache(":memory:") as other:
        one["a"], other["a"] = 1, 2

        @results.memoize
        def look(cache):
            return cache["a"]

        assert (look(one), look(other), look(one)) == (1, 2, 1)


# -- the table ------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", 1, 2.0, b"x", ("t", 1), ("t",), None, 1 << 70, "\ud800"])
VALUES = st.sampled_from([0, "text", b"bytes", [1], (1, 2), None])
TAGS = st.sampled_from([None, "red", 1, b"green"])


def place(key):
    """Where a key of these stands in the order of keys; encoded ones behind all others, in any order."""
    if isinstance(key, (int, float)) and key < 1 << 63:
        return 0, key
    if isinstance(key, str) and key.isascii():
        return 1, key
    return 2, key if isinstance(key, bytes) else b"\xfc"


class TableMachine(RuleBasedStateMachine):
    """A cache and a dict, changed alike; transactions are kept or undone, and another thread sees what is committed."""

    @initialize(limit=st.sampled_from([0, 1 << 40]), eviction=st.sampled_from(["lru", "lfu", "sieve", "fifo", "ttl"]))
    def begin(self, limit, eviction):
        self.clock = Clock()
        self.cache = Cache(":memory:", timer=self.clock, max_size=limit, eviction=eviction)
        # Key -> value, when it expires, tag. The last one is what this thread sees, the first what others do.
        self.models = [{}]
        self.blocks = []

    def teardown(self):
        if hasattr(self, "cache"):
            while self.blocks:
                self.leave(False)
            self.cache.close()

    @property
    def model(self):
        return self.models[-1]

    def live(self, model):
        return {key: entry for key, entry in model.items() if entry[1] is None or entry[1] > self.clock.now}

    @rule(key=NAMES, value=VALUES, expire=st.sampled_from([None, 1, 5]), tag=TAGS, adds=st.booleans())
    def put(self, key, value, expire, tag, adds):
        there = key in self.live(self.model)
        entry = value, None if expire is None else self.clock.now + expire, tag
        if adds:
            assert self.cache.add(key, value, expire, tag=tag) is not there
        else:
            self.cache.set(key, value, expire, tag=tag)
        if not there:
            self.model.pop(key, None)
        if not (adds and there):
            self.model[key] = entry

    @rule(keys=st.lists(NAMES, max_size=4), tag=TAGS)
    def put_many(self, keys, tag):
        self.cache.set_many([(key, number) for number, key in enumerate(keys)], tag=tag)
        for number, key in enumerate(keys):
            if key not in self.live(self.model):
                self.model.pop(key, None)
            self.model[key] = number, None, tag

    @rule(key=NAMES)
    def delete(self, key):
        there = key in self.live(self.model)
        assert self.cache.delete(key) is there
        if there:
            del self.model[key]

    @rule(last=st.booleans())
    def take_end(self, last):
        live = self.live(self.model)
        if live:
            key = list(live)[-1 if last else 0]
            assert self.cache.popitem(last) == (key, live[key][0])
            del self.model[key]

    @rule(key=NAMES, expire=st.sampled_from([None, 3]))
    def touch(self, key, expire):
        there = key in self.live(self.model)
        assert self.cache.touch(key, expire) is there
        if there:
            value, _, tag = self.model[key]
            self.model[key] = value, None if expire is None else self.clock.now + expire, tag

    @rule(tag=TAGS.filter(lambda tag: tag is not None))
    def evict_tag(self, tag):
        going = [key for key, entry in self.live(self.model).items() if entry[2] == tag]
        assert self.cache.evict_tag(tag) == len(going)
        for key in going:
            del self.model[key]

    @rule()
    def expire(self):
        going = set(self.model) - set(self.live(self.model))
        assert self.cache.expire() == len(going)
        for key in going:
            del self.model[key]

    @rule()
    def clear(self):
        assert self.cache.clear() == len(self.live(self.model))
        self.model.clear()

    @rule(seconds=st.integers(1, 3))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @precondition(lambda self: len(self.blocks) < 3)
    @rule()
    def enter(self):
        block = self.cache.transact()
        block.__enter__()
        self.blocks.append(block)
        self.models.append(dict(self.model))

    @precondition(lambda self: self.blocks)
    @rule(keep=st.booleans())
    def leave(self, keep):
        block, model = self.blocks.pop(), self.models.pop()
        if keep:
            block.__exit__(None, None, None)
            self.models[-1] = model
        else:
            block.__exit__(Oops, Oops(), None)

    def look(self, model):
        cache, live = self.cache, self.live(model)
        values = {key: entry[0] for key, entry in live.items()}
        assert list(cache.items()) == list(values.items())
        assert list(reversed(cache)) == list(reversed(values))
        assert (len(cache), bool(cache)) == (len(values), bool(values))
        assert cache.get_many(model) == values
        in_order = list(cache.items(reverse=False))
        assert sorted(map(place, values)) == [place(key) for key, _ in in_order]
        assert dict(in_order) == values
        assert list(cache.items(reverse=True)) == in_order[::-1]
        assert list(cache.keys(prefix=("t",))) == [key for key in (("t",), ("t", 1)) if key in values]
        assert list(cache.keys(start="b", stop=b"")) == [key for key in ("b", "c") if key in values]
        assert cache.size() >= 0

    @invariant()
    def who_is_inside_sees_all(self):
        if hasattr(self, "cache"):
            self.look(self.model)
            assert self.cache.store.problems() == []

    @invariant()
    def who_is_outside_sees_what_is_committed(self):
        if hasattr(self, "cache"):
            in_a_thread(lambda: self.look(self.models[0]))


TableMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)


def test_what_is_inside_and_what_is_outside_is_what_a_dict_says():
    TableMachine.TestCase().runTest()


def test_what_was_used_is_known_however_many_entries_there_are():
    with Cache(":memory:", max_size=2_000_000, eviction="lru") as cache:
        cache.update((number, bytes(500)) for number in range(2000))
        for number in range(0, 2000, 7):
            assert cache[number] is not None
        cache.update((("new", number), bytes(500)) for number in range(1000))
        assert len(cache) < 3000
        assert all(number in cache for number in range(0, 2000, 7))
        assert cache.store.problems() == []


def test_ten_thousand_keys_stay_in_order_as_they_come_and_go():
    with Index(":memory:") as index:
        assert list(index.keys(reverse=False)) == []
        numbers = [number * 7919 % 10_007 for number in range(1, 10_001)]
        index.update((number, 0) for number in numbers)
        assert list(index.keys(reverse=False)) == sorted(numbers)
        for number in numbers[::3]:
            del index[number]
        left = sorted(set(numbers) - set(numbers[::3]))
        assert list(index.keys(reverse=True)) == left[::-1]
        assert list(index.keys(start=1000, stop=2000)) == [number for number in left if 1000 <= number < 2000]
        assert index.store.problems() == []
