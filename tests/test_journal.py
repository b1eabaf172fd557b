"""The journal: nothing that was acknowledged is lost, and nobody sees what nobody has set.

Whoever is killed, stopped, forked or late, and whatever becomes of its file."""

import contextlib
import copy
import gc
import itertools
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import fastcache
from fastcache.engine.shm import journal
from fastcache.migrate import reshard

from .soak_crash import Model
from .soak_threads import target_of
from .together import together
from .workers.appending import BOOT_WORD, HEADER_BYTES, KEYS, change, described, slowly_read

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no journal")
pytestmark = linux

KINDS = {"Cache": {"journal": True}, "Index": {"journal": True}, "FanoutCache": {"journal": True, "shards": 2}}
SMALL = 1 << 16
PATIENCE_SECONDS = 40
PAGE = 4096
# Words of the header of a journal's file.
TAIL, HEAD, RESERVED = 8, 16, 25

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def open_store(directory):
    """Open a store in this process; all are closed after the test."""
    with contextlib.ExitStack() as stack:

        def open_store(kind="Cache", path=directory, **options):
            return stack.enter_context(getattr(fastcache, kind)(path, **KINDS[kind] | {"timeout": 20} | options))

        yield open_store


@pytest.fixture
def small_ring(monkeypatch):
    """What this process makes is as small as can be."""
    monkeypatch.setattr(journal, "MOST_CAPACITY", SMALL)


class Obedient:
    """A process that does with a store what it is told, one thing after the other."""

    def __init__(self, process):
        self.process = process
        assert process.hear() == "ready"

    def begin(self, name, *arguments, **options):
        """Tell it to do something, and do not wait."""
        self.process.tell([name, arguments, options])

    def hear(self):
        """What it found, or the error."""
        found, error = self.process.hear()
        if error is not None:
            raise getattr(fastcache, error, KeyError)(error)
        return found

    def __call__(self, name, *arguments, **options):
        self.begin(name, *arguments, **options)
        return self.hear()

    def close(self):
        """Let it close its store, whatever it complains of."""
        self.process.popen.stdin.close()
        assert self.process.popen.wait(PATIENCE_SECONDS) == 0

    def kill(self):
        self.process.popen.kill()
        self.wait_until_killed()

    def wait_until_killed(self):
        assert self.process.popen.wait(PATIENCE_SECONDS) == -signal.SIGKILL

    def wait_until_stopped(self):
        wait_until(lambda: is_stopped(self.process.popen.pid))

    def go_on(self):
        os.kill(self.process.popen.pid, signal.SIGCONT)


def is_stopped(process):
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "T"


def wait_until(condition):
    limit = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < limit, "that never came"
        time.sleep(0.005)


@pytest.fixture
def obey(start, directory):
    """Start a process that does as it is told with a store of the test's directory."""

    def obey(kind="Cache", path=directory, capacity=None, **options):
        options = KINDS[kind] | {"timeout": 20} | options
        return Obedient(start("obey", kind, str(path), options, capacity))

    return obey


@pytest.fixture
def begin(start, directory):
    """Start a command that opens a store of the test's directory."""

    def begin(command, kind, *arguments):
        return start(command, kind, str(directory), KINDS[kind], *arguments)

    return begin


@pytest.fixture
def kept_from_writing(start, directory):
    """Within this block nobody can write to the databases: what is appended is in the journal alone."""

    @contextlib.contextmanager
    def kept_from_writing():
        holder = start("keep_from_writing", str(directory))
        assert holder.hear() == "holding"
        try:
            yield
        finally:
            holder.tell()
            assert holder.hear() == "let go"
            holder.finish()

    return kept_from_writing


def states(store):
    return [part.journal.state() for part in store.stores.all()]


def is_drained(store):
    return all(state["head"] == state["tail"] for state in states(store))


@pytest.fixture
def rows(start, directory):
    """Count the rows of all databases, as another program does."""

    def rows():
        count = "SELECT count(*) FROM entry"
        return sum(start("sql", str(path.parent), count).hear()[0][0] for path in directory.rglob("cache.db"))

    return rows


def uses_journal(store):
    return all(part.uses_journal and part.journal is not None for part in store.stores.all())


def check_whole(store):
    """Once it was drained, nothing is wrong with it."""
    store.flush()
    assert is_drained(store)
    found = store.check()
    assert found, str(found)
    assert len(store) == len(list(store))


# -- killed at a place ---------------------------------------------------------------------------------------

PLACES = ("locked", "reserved", "half", "whole", "published", "shut")
# What has to write to the database itself.
DIRECT = "x" * 30_000


@kinds
@pytest.mark.parametrize("place", PLACES)
def test_who_is_killed_anywhere_holds_up_nobody_and_loses_nothing(open_store, obey, kind, place):
    victim = obey(kind)
    store = open_store(kind)
    expected = {f"key {number}": f"value {number}" for number in range(60)}
    for key, value in expected.items():
        victim("set", key, value)
    store["mine"] = 0
    value = DIRECT if place == "shut" else "u" * 300
    victim("fail_at", place, "SIGKILL")
    # If it is in another shard than the first that shuts a gate, it is that shard's that is left.
    victim.begin("set", "unacknowledged", value)
    victim.wait_until_killed()

    assert store.get_many(expected) == expected
    found = store.get("unacknowledged")
    assert found == value if place == "published" else found is None
    for number in range(20):
        store["mine"] = number
        assert store.incr("counter") == number + 1
        assert store.add(f"added {number}", number)
        assert store.delete(f"key {number}")
        assert store.pop(f"key {number + 20}") == f"value {number + 20}"
    with store.transact("mine"):
        store["mine"] = 20
    assert store.get("unacknowledged") == found
    check_whole(store)
    again = obey(kind)
    content = dict(again("list"))
    assert content.pop("unacknowledged", None) == found
    assert content == {
        **{key: value for key, value in expected.items() if int(key.split()[1]) >= 40},
        **{f"added {number}": number for number in range(20)},
        "mine": 20,
        "counter": 20,
    }


@pytest.mark.parametrize("eviction", ["lru", "fifo"])
def test_who_is_killed_while_it_evicts_holds_up_nobody(open_store, obey, eviction):
    limit = 2_000_000
    victim = obey(max_size=limit, eviction=eviction)
    store = open_store()
    assert uses_journal(store)
    victim("fail_at", "held", "SIGKILL")
    acknowledged = 0
    with contextlib.suppress(AssertionError, OSError):
        for number in range(3000):
            victim("set", f"key {number}", f"{number} " + "v" * 4000)
            acknowledged = number
    victim.wait_until_killed()
    assert acknowledged > 10
    for number in range(acknowledged):
        assert store.get(f"key {number}") in (None, f"{number} " + "v" * 4000)
    assert store.get(f"key {acknowledged}") is not None
    for number in range(1000):
        store[f"mine {number}"] = "m" * 4000
        assert store[f"mine {number}"] == "m" * 4000
    store.evict()
    assert store.volume() <= limit
    check_whole(store)
    assert len(obey()("list")) == len(store)


def test_who_is_killed_where_it_was_stopped_holds_up_nobody(open_store, obey):
    for place in ("locked", "shut"):
        victim = obey()
        store = open_store()
        victim("fail_at", place, "SIGSTOP")
        victim.begin("set", "unacknowledged", DIRECT if place == "shut" else "u")
        victim.wait_until_stopped()
        freed = threading.Timer(0.3, victim.kill)
        freed.start()
        store["after"] = place
        assert store.incr(f"counter {place}") == 1
        freed.join()
        assert store.get("unacknowledged") is None
        check_whole(store)


# -- stopped -------------------------------------------------------------------------------------------------

# What is done while another one is stopped, and what is then: it is done, or raises Timeout.
CHANGES = {
    "set": (lambda store: store.set("a", "changed"), {"a": "changed"}),
    "incr": (lambda store: store.incr("n"), {"n": 1}),
    "add": (lambda store: store.add("new", 1), {"new": 1}),
    "pop": (lambda store: store.pop("b"), {"b": None}),
    "large": (lambda store: store.set("large", DIRECT), {"large": DIRECT}),
    "set_many": (lambda store: store.set_many([("c", "changed"), ("d", "changed")]), {"c": "changed", "d": "changed"}),
}


@pytest.mark.parametrize(
    ("kind", "place"), [("Cache", "locked"), ("Cache", "shut"), ("Cache", "transact"), ("FanoutCache", "locked")]
)
def test_while_one_is_stopped_the_others_go_on_or_time_out(open_store, obey, kind, place):
    victim = obey(kind)
    store = open_store(kind, timeout=1)
    before = {key: f"{key} before" for key in "abcdefgh"} | {"n": 0}
    for key, value in before.items():
        victim("set", key, value)
    if place == "transact":
        victim.begin("transact_and_stop", {"e": "in it", "f": "in it"})
    else:
        victim("fail_at", place, "SIGSTOP")
        victim.begin("set", "e", DIRECT if place == "shut" else "in it")
    victim.wait_until_stopped()
    stopped = time.monotonic()

    def attempt(act):
        try:
            act(store)
        except fastcache.Timeout:
            return False
        finally:
            assert time.monotonic() - stopped < PATIENCE_SECONDS
        return True

    def read():
        # Whoever reads goes on in any case, and sees nothing of what the stopped one has not done yet.
        while time.monotonic() - stopped < 0.8:
            assert store["f"] == before["f"]
            assert store.get_many(["e", "f", "g"]) == {key: before[key] for key in "efg"}

    *done, _ = together(*[lambda act=act: attempt(act) for act, _ in CHANGES.values()], read)
    other = obey(kind, timeout=1)
    assert other("get", "e") == before["e"]
    # To close it may take the lock that the stopped one has.
    other.kill()
    time.sleep(max(0.0, 2.0 - (time.monotonic() - stopped)))
    victim.go_on()
    victim.hear()
    store.set("last", 1)

    expected = before | {"e": DIRECT if place == "shut" else "in it", "last": 1}
    if place == "transact":
        expected["f"] = "in it"
    for name, was_done in zip(CHANGES, done, strict=True):
        if was_done:
            expected |= CHANGES[name][1]
        elif name == "set_many" and kind == "FanoutCache":
            # It is one transaction in each shard.
            expected |= store.get_many(["c", "d"])
    expected = {key: value for key, value in expected.items() if value is not None}
    if kind == "Cache":
        assert not any(done)
    assert dict(store.items()) == expected
    assert dict(victim("list")) == expected
    victim.process.finish()
    check_whole(store)
    assert dict(obey(kind)("list")) == expected


# -- killed at random ----------------------------------------------------------------------------------------


def owner(key):
    return key.split()[0]


class Appender:
    """A process that appends until it is killed, and what it has acknowledged."""

    def __init__(self, begin, kind, name, run):
        self.name, self.first, self.acknowledged = name, run * 1_000_003, 0
        self.process = begin("append_on", kind, name, run)

    def hear(self, times):
        for _ in range(times):
            assert self.process.hear() == self.first + self.acknowledged
            self.acknowledged += 1

    def kill(self):
        self.process.popen.kill()
        self.acknowledged += self.process.popen.stdout.read().count("\n")
        assert self.process.popen.wait(PATIENCE_SECONDS) == -signal.SIGKILL

    def possible(self, before):
        """What may be there of what it has changed, in order: with and without the change that was under way."""
        model = Model(before)
        for number in range(self.acknowledged):
            change(model, self.name, self.first + number)
        without = list(model.items())
        change(model, self.name, self.first + self.acknowledged)
        return without, list(model.items())


@pytest.mark.parametrize("kind", ["Cache", "FanoutCache"])
def test_who_is_killed_at_random_loses_nothing_of_what_was_acknowledged(begin, open_store, small_ring, kind):
    chance = random.Random(f"{kind} killed")
    open_store(kind).close()
    before = []
    survivor = None
    acknowledged = 0
    for run in range(8):
        # In some rounds somebody else has it open, so that nobody recovers anything by opening it.
        if run % 4 == 1:
            survivor = open_store(kind)
        elif run % 4 == 3:
            survivor.close()
            survivor = None
        appenders = [Appender(begin, kind, name, run) for name in ("one", "two")]
        drainer = begin("drain_on", kind)
        assert drainer.hear() == "ready"
        for appender in appenders:
            appender.hear(chance.choice([1, 20, 300]))
        time.sleep(chance.random() * 0.05)
        for killed in chance.sample([*appenders, drainer.popen], 3):
            killed.kill()
        store = survivor or open_store(kind)
        left = list(store.items())
        for appender in appenders:
            mine = [pair for pair in left if owner(pair[0]) == appender.name]
            choices = appender.possible([pair for pair in before if owner(pair[0]) == appender.name])
            if kind == "Cache":
                assert mine in choices
            else:
                assert dict(mine) in [dict(choice) for choice in choices]
            acknowledged += appender.acknowledged
        check_whole(store)
        assert in_order(store, left)
        before = left
        if survivor is None:
            store.close()
    assert acknowledged > 1000


def in_order(store, expected):
    found = list(store.items())
    return found == expected if getattr(store, "shards", 1) == 1 else dict(found) == dict(expected)


@pytest.fixture
def left_pending(obey, kept_from_writing):
    """Have somebody killed who has left something in the journal alone; returns what there is (dict)."""

    def left_pending(kind="Cache", capacity=None):
        victim = obey(kind, capacity=capacity)
        expected = {}
        for number in range(50):
            victim("set", f"key {number}", f"drained {number}")
            expected[f"key {number}"] = f"drained {number}"
        victim("flush")
        with kept_from_writing():
            for number in range(0, 90, 2):
                victim("set", f"key {number}", f"pending {number}")
                expected[f"key {number}"] = f"pending {number}"
            for number in range(0, 20, 5):
                assert victim("delete", f"key {number}")
                del expected[f"key {number}"]
            assert victim("pop", "key 1") == expected.pop("key 1")
            expected["n"] = victim("incr", "n", 5)
            expected["n"] = victim("incr", "n", 5)
            assert victim("add", "key 0", "again")
            expected["key 0"] = "again"
            assert any(state["head"] < state["tail"] for state in victim("states"))
            victim.kill()
        return expected

    return left_pending


LATER = {
    "a reader alone": {"read_only": True},
    "one without a journal": {"journal": False},
    "one with a journal": {"journal": True},
    "one that is durable": {"durability": "full"},
    "one without memory": {"memory": 0},
}


@pytest.mark.parametrize("later", LATER)
@kinds
def test_what_the_last_one_has_left_pending_is_found(rows, open_store, left_pending, kind, later):
    expected = left_pending(kind)
    store = open_store(kind, **LATER[later])
    for key, value in expected.items():
        assert store[key] == value
    assert store.get("key 1") is None
    assert "key 5" not in store
    assert store.get_many([*expected, "key 1", "key 5"]) == expected
    if later == "a reader alone":
        # It writes nothing, and so has what is pending by its key alone (README).
        assert len(store) == len(list(store)) < len(expected)
    else:
        assert in_order(store, list(expected.items()))
        assert len(store) == len(expected)
    assert store.check()
    if later != "a reader alone":
        store["after"] = 1
        check_whole(store)
        store.close()
        assert rows() == len(expected) + 1
    store.close()
    assert in_order(open_store(kind), list((expected | ({"after": 1} if later != "a reader alone" else {})).items()))


def backed_up(store, place):
    store.backup(place)
    with fastcache.Cache(place) as backup:
        return list(backup.items())


def resharded(store, _):
    store.close()
    assert reshard(store.directory, 3) > 0
    with fastcache.FanoutCache(store.directory, shards=3, journal=True) as shards:
        assert shards.check()
        found = dict(shards.items())
    assert reshard(store.directory, 1) > 0
    with fastcache.Cache(store.directory, journal=True) as again:
        assert dict(again.items()) == found
    return found


def copied(store, place):
    """By who copies the directory while nobody has it open."""
    store.close()
    shutil.copytree(store.directory, place)
    with fastcache.Cache(place, journal=True) as copy:
        assert copy.check()
        return list(copy.items())


def fixed(store, _):
    assert store.check(fix=True)
    return list(store.items())


def vacuumed(store, _):
    store.vacuum()
    return list(store.items())


@pytest.mark.parametrize("way", [backed_up, resharded, copied, fixed, vacuumed])
@pytest.mark.parametrize("journal_on", [True, False])
def test_what_is_pending_is_a_part_of_whatever_is_made_of_a_store(open_store, left_pending, tmp_path, way, journal_on):
    expected = left_pending()
    found = way(open_store(journal=journal_on), tmp_path / "place")
    if way is resharded:
        assert found == expected
    else:
        assert found == list(expected.items())


@kinds
def test_what_is_pending_is_drained_by_whoever_has_it_open(rows, open_store, obey, kept_from_writing, kind):
    """Even if it does nothing, but for what anybody does who reads."""
    victim = obey(kind)
    store = open_store(kind)
    store["before"] = 0
    with kept_from_writing():
        for number in range(100):
            victim("set", f"key {number}", number)
        victim.kill()
    # Whoever opens it drains it, a moment later; whoever has it open sees it in any case.
    assert store.get_many([f"key {number}" for number in range(100)]) == {
        f"key {number}": number for number in range(100)
    }
    with open_store(kind):
        wait_until(lambda: is_drained(store))
    assert rows() == 101


# -- forks ---------------------------------------------------------------------------------------------------


@kinds
def test_parent_and_child_write_on_with_what_is_pending(begin, open_store, kind):
    worker = begin("fork_with_pending", kind)
    assert worker.finish() == 6 * 200
    store = open_store(kind)
    expected = {"n": 6 * 200}
    for turn in range(6):
        expected |= {f"{turn} before {number}": number for number in range(100)}
        for name in ("parent", "child"):
            expected |= {f"{turn} {name} {number}": number for number in range(1, 100)}
    assert dict(store.items()) == expected
    check_whole(store)


@kinds
def test_a_forked_pool_counts_each_task_once(begin, open_store, kind):
    count, tasks = begin("fork_a_pool", kind, 300).finish()
    assert count == 300
    assert tasks == list(range(300))
    store = open_store(kind)
    assert store["n"] == 300
    check_whole(store)


@kinds
def test_a_fork_beside_a_thread_that_appends_loses_nothing(begin, open_store, kind):
    counted, found = begin("fork_beside_an_appending_thread", kind, 15).finish()
    assert counted == found
    store = open_store(kind)
    assert store["n"] == found
    check_whole(store)


@pytest.mark.parametrize("kind", ["Cache", "Index"])
def test_a_fork_waits_for_nobody_who_waits_for_it(begin, kind):
    assert begin("fork_beside_a_writer", kind).finish() == [0, "v", "v"]


@pytest.mark.parametrize("kind", ["Cache"])
def test_a_fork_waits_for_no_lock_of_who_waits_for_it(begin, kind):
    assert begin("fork_beside_an_opening", kind).finish() == [0, ["v"]]


# -- the birth of a journal ----------------------------------------------------------------------------------

WITHOUT = {"journal": False}


KEPT = {
    f"{'some' if memory else 'no'} memory, {'a' if logs else 'no'} change log": {"memory": memory, "logs": logs}
    for memory in (0, 1 << 20)
    for logs in (True, False)
}


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (("incr", "n"), 12),
        (("set", "n", 5), 5),
        (("add", "n", 5), 11),
        (("pop", "n"), None),
        (("delete", "n"), None),
        (("update", [("n", 5), ("m", 6)]), 5),
        (("transact_and_count", "n"), 12),
    ],
)
def test_who_is_about_to_write_to_the_database_notices_that_a_journal_is_made(obey, open_store, told, expected, kept):
    writer = obey(**WITHOUT, **KEPT[kept])
    writer("set", "n", 10)
    writer("fail_at", "looked", "SIGSTOP")
    writer.begin(*told)
    writer.wait_until_stopped()
    store = open_store()
    assert store.incr("n") == 11
    assert uses_journal(store)
    writer.go_on()
    writer.hear()
    assert store.get("n") == expected
    assert writer("get", "n") == expected
    store["n"] = 20
    assert writer("get", "n") == 20
    check_whole(store)


@pytest.mark.parametrize("kept", KEPT)
def test_who_reads_while_a_journal_is_made_reads_what_is_appended_after(obey, kept):
    reader = obey(**WITHOUT, **KEPT[kept])
    reader("set", "n", 1)
    maker = obey(**WITHOUT)
    maker("fail_at", "made", "SIGSTOP")
    maker.begin("begin_journal")
    maker.wait_until_stopped()
    assert [reader("get", "n") for _ in range(3)] == [1, 1, 1]
    maker.go_on()
    maker.hear()
    assert reader("get", "n") == 1
    for number in range(3):
        maker("append", "set", "n", number)
        assert reader("get", "n") == number


def test_who_opens_while_a_journal_is_made_finds_it(obey):
    maker = obey(**WITHOUT)
    maker("set", "n", 1)
    maker("fail_at", "made", "SIGSTOP")
    maker.begin("begin_journal")
    maker.wait_until_stopped()
    late = obey(**WITHOUT)
    assert late("get", "n") == 1
    maker.go_on()
    maker.hear()
    assert late("incr", "n") == 2
    assert maker("append", "incr", "n") == 3
    assert late("get", "n") == 3
    assert late("incr", "n") == 4


def test_a_journal_whose_maker_was_killed_is_made_by_the_next(obey, directory):
    first = obey(**WITHOUT)
    first("set", "n", 1)
    maker = obey(**WITHOUT)
    maker("fail_at", "made", "SIGKILL")
    maker.begin("begin_journal")
    maker.wait_until_killed()
    assert (directory / "cache.journal").exists()
    assert first("incr", "n") == 2
    assert first("get", "n") == 2
    assert not (directory / "cache.journal").exists()
    second = obey()
    assert second("incr", "n") == 3
    assert first("get", "n") == 3
    assert first("incr", "n") == 4


# -- several objects, threads and processes ------------------------------------------------------------------

BOTH = [[True, False], [True, True], [False, True]]


@pytest.mark.parametrize("ring", ["small", "usual"])
@kinds
def test_nothing_is_counted_twice_or_not_at_all(begin, open_store, monkeypatch, kind, ring):
    if ring == "small":
        monkeypatch.setattr(journal, "MOST_CAPACITY", SMALL)
    store = open_store(kind)
    threads, times = 8, 60
    workers = [begin("count_by_objects", kind, journals, threads, times) for journals in BOTH]
    for worker in workers:
        assert worker.hear() == "ready"
    for worker in workers:
        worker.tell()
    for worker in workers:
        worker.finish()
    total = len(BOTH) * threads * times
    assert store["n"] == total
    assert store["in transactions"] == total / 4
    assert store["large"] == len(BOTH) * threads * -(-times // 8) * (1 << 40)
    check_whole(store)


@kinds
def test_each_key_is_added_by_one_and_popped_by_one(begin, open_store, kind):
    keys = 150
    store = open_store(kind)
    store.set_many([(f"popped {number}", number) for number in range(0, keys, 2)])
    for number in range(1, keys, 2):
        store[f"popped {number}"] = number
    workers = [begin("win_by_objects", kind, journals, 4, keys) for journals in BOTH]
    for worker in workers:
        assert worker.hear() == "ready"
    for worker in workers:
        worker.tell()
    won = [worker.finish() for worker in workers]
    assert sorted(key for added, _ in won for key in added) == list(range(keys))
    assert sorted(value for _, popped in won for value in popped) == list(range(keys))
    assert len(store) == keys
    check_whole(store)


def test_two_objects_in_one_process_see_each_others_changes_at_once(open_store):
    with_journal, without = open_store(), open_store(journal=False)
    assert with_journal.store.uses_journal
    assert not without.store.uses_journal
    stores = [with_journal, without, open_store(memory=0), open_store(memory=0, journal=False)]
    chance = random.Random(5)
    expected = {}
    for number in range(2000):
        key = f"key {chance.randrange(20)}"
        store = chance.choice(stores)
        way = chance.randrange(4)
        if way == 0:
            store[key] = expected[key] = number
        elif way == 1:
            assert store.pop(key, None) == expected.pop(key, None)
        elif way == 2:
            assert store.incr(key) == expected.get(key, 0) + 1
            expected[key] = expected.get(key, 0) + 1
        else:
            assert store.add(key, number) is (key not in expected)
            expected.setdefault(key, number)
        other = chance.choice(stores)
        assert other.get(key) == expected.get(key)
        if number % 50 == 0:
            assert [list(each.items()) for each in stores] == [list(expected.items())] * 4
    check_whole(with_journal)


def test_threads_of_one_object_lose_nothing(open_store, small_ring, short_turns):
    store = open_store()

    def use(name):
        for number in range(300):
            change(store, name, number)
            store.incr("n")
            if number % 50 == 0:
                assert store.get(f"{name} {number % KEYS}", [number])[0] <= number
                len(store)

    names = [f"thread{number}" for number in range(8)]
    together(*[lambda name=name: use(name) for name in names])
    assert store["n"] == 8 * 300
    for name in names:
        model = Model()
        for number in range(300):
            change(model, name, number)
        assert [pair for pair in store.items() if owner(pair[0]) == name] == list(model.items())
    check_whole(store)


LOOKS = {
    "get": lambda store, key: store.get(key) == key,
    "in": lambda store, key: key in store,
    "len": lambda store, key: len(store) > key,
    "get_many": lambda store, key: store.get_many([key, 0]) == {key: key, 0: 0},
    "iter": lambda store, key: list(store)[: key + 1] == list(range(key + 1)),
    "reversed": lambda store, key: list(reversed(store))[-1 - key :] == list(range(key, -1, -1)),
    "values": lambda store, key: list(store.values())[: key + 1] == list(range(key + 1)),
    "add": lambda store, key: store.add(key, -1) is False,
    "touch": lambda store, key: store.touch(key) is True,
    "incr": lambda store, key: store.incr(key, 0) == key,
    "transact": lambda store, key: seen_inside(store, key) == key,
}


def seen_inside(store, key):
    with store.transact():
        return store[key]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.usefixtures("short_turns")
def test_nothing_is_missed_by_another_thread_while_it_is_drained(open_store, look):
    store = open_store()
    latest = -1
    done = threading.Event()

    def write():
        nonlocal latest
        try:
            for number in range(800):
                store[number] = number
                latest = number
                if number % 10 == 0:
                    store.flush()
        finally:
            done.set()

    def read():
        while not done.is_set():
            if (number := latest) >= 0:
                assert LOOKS[look](store, number)

    together(write, read)
    check_whole(store)


@kinds
@pytest.mark.usefixtures("short_turns")
def test_a_key_never_goes_back_while_it_is_drained(open_store, kind):
    store = open_store(kind)
    done = threading.Event()

    def write():
        try:
            for number in range(1, 3000):
                store["a"] = number
                assert store["a"] == number
                if number % 50 == 0:
                    store.flush()
        finally:
            done.set()

    def read():
        last = 0
        while not done.is_set():
            for number in (store.get("a", 0), store.get_many("a").get("a", 0), dict(store.items()).get("a", 0)):
                assert number >= last
                last = number

    together(write, read, read)
    assert store["a"] == 2999
    check_whole(store)


@pytest.mark.usefixtures("short_turns")
def test_a_transaction_sees_nothing_that_other_threads_set_meanwhile(open_store):
    store = open_store()
    ended = threading.Event()

    def set_on():
        while not ended.is_set():
            store["k"] = "of others"
            time.sleep(0.0001)

    def use():
        try:
            for _ in range(200):
                with store.transact():
                    before = store.get("k")
                    store["k"] = "mine"
                    assert (store.get("k"), store.get("k")) == ("mine", "mine")
                    store["k"] = before
        finally:
            ended.set()

    together(use, set_on, set_on, set_on)
    check_whole(store)


@kinds
def test_closing_while_other_threads_set_keeps_what_they_were_told_is_set(open_store, kind):
    for turn in range(10):
        said = {}
        store = open_store(kind)

        def write(name, store=store, said=said, turn=turn):
            with pytest.raises(fastcache.ClosedError):  # noqa: PT012
                for number in itertools.count():
                    store[turn, name, number] = number
                    said[turn, name, number] = number

        def close(store=store, said=said):
            wait_until(lambda: len(said) > 50)
            store.close()

        together(lambda: write("a"), lambda: write("b"), close)
        with open_store(kind) as other:
            assert other.get_many(said) == said


@pytest.mark.parametrize("kind", ["Cache", "Index"])
def test_threads_that_begin_at_once_leave_nothing_locked(begin, open_store, kind):
    worker = begin("begin_at_once", kind, 8, 25)
    for _ in range(25):
        assert worker.hear() == [[0, 0]]
    worker.finish()
    assert open_store(kind)["n"] == 8 * 25 * 3 // 2


def test_what_is_rolled_back_takes_nothing_with_it_that_was_pending(open_store, obey):
    store = open_store()
    other = obey()
    for number in range(20):
        other("set", f"key {number}", number)
        store[f"mine {number}"] = number
        with contextlib.suppress(ZeroDivisionError), store.transact():
            assert store[f"key {number}"] == number
            store[f"key {number}"] = "undone"
            del store[f"mine {number}"]
            raise ZeroDivisionError
        assert other("get", f"key {number}") == number
        assert other("get", f"mine {number}") == number
    check_whole(store)
    assert dict(other("list")) == {f"{who} {number}": number for who in ("key", "mine") for number in range(20)}


def test_what_is_changed_after_it_was_set_is_not_what_was_set(open_store):
    store, other = open_store(), open_store(memory=0)
    value = [1, {"a": [2]}]
    store["list"] = value
    value.append(3)
    value[1]["a"].append(4)
    for each in (store, other):
        found = each["list"]
        assert found == [1, {"a": [2]}]
        found.append(5)
        assert each["list"] == [1, {"a": [2]}]
    store.flush()
    assert store["list"] == [1, {"a": [2]}]


class Meanwhile:
    """A timer during which something else is done, once: where it is asked for the time again, so many times later."""

    def __init__(self):
        self.act, self.later, self.thread = None, 0, threading.get_ident()

    def __call__(self):
        # Not in the background, where it is not known what that is.
        if self.act is not None and threading.get_ident() == self.thread:
            self.later -= 1
            if self.later == 0:
                act, self.act = self.act, None
                act()
        return time.time()


def set_in_a_transaction(store, key, value):
    with store.transact():
        store[key] = value


SETS = {
    "appended": lambda store, key: store.set(key, 70),
    "in a transaction": lambda store, key: set_in_a_transaction(store, key, 70),
    "with others": lambda store, key: store.set_many([(key, 70), ("other", 1)]),
}

# What is done, and what it may find and leave if 5 is there and somebody sets 70: before it, or after.
BUILDS = {
    "incr": (lambda store, key: store.incr(key), (71, 71), (6, 70)),
    "add": (lambda store, key: store.add(f"{key}, new", 6), (False, 70), (True, 70)),
    "pop": (lambda store, key: store.pop(key), (70, None), (5, 70)),
    "touch": (lambda store, key: store.touch(key, 1000), (True, 70), (True, 70)),
}


@pytest.mark.parametrize("way", SETS)
@pytest.mark.parametrize("build", BUILDS)
def test_what_is_set_after_it_was_read_is_not_overwritten_by_what_builds_on_it(open_store, build, way):
    timer = Meanwhile()
    store, other = open_store(timer=timer), open_store(memory=0)
    act, *outcomes = BUILDS[build]
    times = 0
    for later in range(1, 20):
        key = f"key {later}"
        changed = f"{key}, new" if build == "add" else key
        store[key] = 5
        timer.act, timer.later = (lambda changed=changed: SETS[way](other, changed)), later
        found = act(store, key)
        if timer.act is not None:
            break
        times += 1
        assert (found, other.get(changed)) in outcomes, later
        assert store.get(changed) == other.get(changed)
    timer.act = None
    assert times > 0
    check_whole(store)


@pytest.mark.parametrize("way", ["appended", "in a transaction"])
def test_what_somebody_has_deleted_nobody_else_deletes(open_store, way):
    timer = Meanwhile()
    store, other = open_store(timer=timer), open_store(memory=0)
    popped = []

    def take(key):
        if way == "appended":
            popped.append(other.pop(key, None))
        else:
            with other.transact():
                popped.append(other.pop(key, None))

    for later in range(1, 20):
        key = f"key {later}"
        store[key] = 5
        timer.act, timer.later = (lambda key=key: take(key)), later
        deleted = store.delete(key)
        if timer.act is not None:
            break
        assert deleted is (popped[-1] is None), later
        assert other.get(key) is None
    timer.act = None
    assert popped
    check_whole(store)


@pytest.mark.parametrize("later", [1, 2])
@pytest.mark.parametrize("build", BUILDS)
def test_what_builds_on_what_a_transaction_is_about_to_change_waits_for_it(open_store, build, later):
    timer = Meanwhile()
    store, other = open_store(timer=timer), open_store(memory=0)
    act, after, _ = BUILDS[build]
    changed = "key, new" if build == "add" else "key"
    store["key"] = 5
    begun, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def change():
        with other.transact():
            other[changed] = 70
            begun.set()
            # Who waits for its turn says so to nobody.
            go_on.wait(0.2)
        over.set()

    def end_it():
        go_on.set()
        assert over.wait(PATIENCE_SECONDS)

    def build_on():
        assert begun.wait(PATIENCE_SECONDS)
        timer.act, timer.later, timer.thread = end_it, later, threading.get_ident()
        return act(store, "key")

    _, found = together(change, build_on)
    timer.act = None
    assert (found, other.get(changed)) == after
    check_whole(store)


def test_what_was_evicted_after_it_was_read_is_not_counted_on(open_store, monkeypatch):
    """By who drains, with the gate open: that moves no tail."""
    # Nothing is drained but in the middle of the sum: not in maintenance, and what comes between fits into the ring.
    monkeypatch.setattr("fastcache.runtime.background.schedule", lambda store, seconds: True)
    timer = Meanwhile()
    options = {"max_size": 2_000_000, "eviction": "fifo"}
    store, other = open_store(timer=timer, **options), open_store(memory=0, **options)
    gone = False

    def drain():
        nonlocal gone
        if other.get("key") is not None:
            other.flush()
            gone = other.get("key") is None

    for number in range(1000):
        other.flush()
        for part in range(4):
            other[f"filler {number} {part}"] = "f" * 4000
        before = store.get("key", 0)
        timer.act, timer.later = drain, 1
        found = store.incr("key")
        timer.act = None
        if gone:
            break
        assert found == before + 1
    assert gone
    assert found == 1 < before
    check_whole(store)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what /proc lists")
def test_a_store_that_is_closed_in_the_middle_of_a_set_is_let_go_of(directory):
    """By a finalizer, or another thread, when the change was appended already."""

    def close(phase, information):
        # Counting what this key takes makes an iterator, with which garbage is collected (before Python 3.12).
        if phase == "stop" and not closed and stores[1].get(key) == "there":
            closed.append(True)
            stores[0].close()

    key, closed = frozenset({1}), []
    stores = [fastcache.Cache(directory, journal=True) for _ in range(2)]
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    gc.callbacks.append(close)
    try:
        stores[0][key] = "there"
    finally:
        gc.callbacks.remove(close)
        gc.set_threshold(*threshold)
    assert stores[1][key] == "there"
    assert closed or sys.version_info >= (3, 12)
    for number in range(2):
        stores[number].close()
    stores.clear()
    gc.collect()
    wait_until(lambda: not open_files(directory))


def open_files(directory):
    """What this process has open there."""
    return [path for path in map(target_of, os.listdir("/proc/self/fd")) if path.startswith(f"{directory}{os.sep}")]


class Interrupting:
    """A value during whose decoding something else is done, once."""

    act = None

    def __init__(self, number):
        self.number = number

    def __setstate__(self, state):
        self.__dict__ = state
        if Interrupting.act is not None:
            act, Interrupting.act = Interrupting.act, None
            act()


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("drained", [False, True])
@pytest.mark.parametrize("way", ["appended", "in a transaction"])
def test_what_was_set_while_it_was_decoded_is_read_next(open_store, way, drained, many):
    store, other = open_store(), open_store(memory=0)
    sets = other.set if way == "appended" else lambda key, value: set_in_a_transaction(other, key, value)

    def act():
        sets("key", Interrupting(2))
        # By this all is known of what was changed.
        assert store.get("nothing") is None

    other["key"] = Interrupting(1)
    if drained:
        other.flush()
    Interrupting.act = act
    found = store.get_many(["key"])["key"] if many else store["key"]
    assert Interrupting.act is None
    assert found.number in (1, 2)
    assert store["key"].number == store["key"].number == 2
    check_whole(store)


# -- readers that are late -----------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [0, 1 << 20])
@kinds
def test_a_reader_that_was_overrun_reads_all_rightly(open_store, obey, kind, memory):
    writer = obey(kind, capacity=SMALL)
    writer("set", "key 0", "first")
    store = open_store(kind, memory=memory)
    assert store["key 0"] == "first"
    assert store.get("key 7") is None
    for turn in range(4):
        for number in range(300):
            writer("set", f"key {number}", f"{turn} {number} " + "v" * 600)
        for number in range(0, 300, 7):
            writer("delete", f"key {number}")
        expected = {f"key {number}": f"{turn} {number} " + "v" * 600 for number in range(300) if number % 7}
        if turn % 2:
            assert store.get_many(f"key {number}" for number in range(300)) == expected
        for number in range(300):
            assert store.get(f"key {number}") == expected.get(f"key {number}")
    assert all(state["tail"] > 4 * SMALL for state in states(store))
    check_whole(store)


def word(directory, place):
    return int.from_bytes(copy_journal(directory)[8 * place : 8 * place + 8], "little")


@pytest.mark.parametrize("place", ["reserved", "half", "whole"])
def test_who_appends_says_first_what_it_is_about_to_overwrite(obey, directory, place):
    writer = obey()
    writer("set", "key", 1)
    writer("fail_at", place, "SIGSTOP")
    writer.begin("set", "key", "v" * 1000)
    writer.wait_until_stopped()
    assert word(directory, RESERVED) - word(directory, TAIL) > 1000
    writer.go_on()
    writer.hear()


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_what_is_just_being_overwritten_is_not_believed(open_store, obey, directory, memory):
    """By whoever follows late, to whom the oldest record that it has not seen yet looks like one. It is drained."""
    writer = obey(capacity=SMALL)
    writer("set", "key", "old")
    store = open_store(memory=memory)
    assert store["key"] == store["key"] == "old"
    seen = word(directory, TAIL)
    writer("set", "key", "new")
    while word(directory, TAIL) - seen < SMALL - 2000:
        writer("set", "another key", "v" * 500)
    writer("flush")
    assert SMALL - 2000 <= word(directory, TAIL) - seen <= SMALL
    # As by a thread that copies a record of the largest size there, and has come as far as the key's hash.
    with (directory / "cache.journal").open("r+b") as file:
        file.seek(8 * RESERVED)
        file.write((word(directory, TAIL) + SMALL // 8).to_bytes(8, "little"))
        file.seek(HEADER_BYTES + seen % SMALL + 3 * 8)
        file.write(bytes(8))
    assert store["key"] == "new"
    assert store.get_many(["key"]) == {"key": "new"}
    for number in range(300):
        writer("set", f"key {number}", "w" * 500)
        assert store[f"key {number}"] == "w" * 500
    check_whole(store)


@pytest.mark.parametrize("ring", ["small", "usual"])
def test_records_of_any_size_go_round(open_store, obey, monkeypatch, ring):
    if ring == "small":
        monkeypatch.setattr(journal, "MOST_CAPACITY", SMALL)
    chance = random.Random(ring)
    store, follower = open_store(), open_store(memory=0)
    other = obey()
    border = SMALL // 8 if ring == "small" else 16 * 1024
    expected = {}
    for number in range(2500 if ring == "small" else 700):
        key = "k" * chance.choice([1, 5, 8, 40, chance.randrange(300)]) + f" {chance.randrange(12)}"
        size = chance.choice(
            [chance.randrange(40), chance.randrange(1000), border - chance.randrange(300), chance.randrange(70_000)]
        )
        if chance.random() < 0.7:
            size %= 1000
        store[key] = expected[key] = described(key, number, size)
        if number % 7 == 0:
            assert follower[key] == expected[key]
        if number % 50 == 0:
            key = chance.choice(list(expected))
            assert other("get", key) == expected[key]
            assert follower.get_many(expected) == expected
    assert states(store)[0]["tail"] > SMALL * 3
    assert dict(other("list")) == expected
    check_whole(store)


@pytest.mark.parametrize("memory", [0, 1 << 20])
@pytest.mark.parametrize("kind", ["Cache", "FanoutCache"])
def test_readers_beside_writers_that_overrun_them_see_whole_values_that_grow(
    begin, open_store, small_ring, kind, memory
):
    store = open_store(kind, memory=memory)
    keys = 25
    writers = [begin("lap_on", kind, name, keys) for name in ("one", "two")]
    for writer in writers:
        assert writer.hear() == "ready"
    newest = dict.fromkeys([f"{name} {key}" for name in ("one", "two") for key in range(keys)], 0)
    limit = time.monotonic() + 0.8
    reads = 0

    def see(key, value):
        number, size = (int(part) for part in value[len(key) :].split()[:2])
        assert value == described(key, number, size)
        assert number >= newest[key]
        newest[key] = number

    while time.monotonic() < limit:
        for key in newest:
            if (value := store.get(key)) is not None:
                see(key, value)
                reads += 1
        for key, value in store.get_many(newest).items():
            see(key, value)
    assert reads > 100
    for writer in writers:
        writer.popen.kill()
    for key, value in store.items():
        see(key, value)
    assert all(state["tail"] > SMALL for state in states(store))
    check_whole(store)


@pytest.mark.parametrize("options", [{}, {"memory": 0}, {"journal": False}], ids=str)
@pytest.mark.parametrize("kind", ["Cache", "Index"])
def test_many_keys_are_read_of_one_moment(begin, open_store, small_ring, kind, options):
    store = open_store(kind, **options)
    other = open_store(kind)
    writers = [begin("pair_on", kind)]
    for writer in writers:
        assert writer.hear() == "ready"
    wait_until(lambda: "left" in store)
    fillers = [f"key {number}" for number in range(30)]
    seen = set()
    enough, limit = time.monotonic() + 1.0, time.monotonic() + 60.0
    for number in itertools.count():
        if time.monotonic() > (enough if len(seen) > 10 else limit):
            break
        keys = ["second", *fillers[: number % 30], "left", "first", "right"]
        found = store.get_many(keys if number % 2 else keys[::-1])
        assert found["left"] == found["right"]
        assert found["first"] - found["second"] in (0, 1)
        # The pair is set after each third of the others, and in SQLite, where they are in the journal.
        assert found["second"] - found["left"] in ((0, 3) if found["second"] % 3 == 0 else (found["second"] % 3,))
        # One after the other, in the order in which they are set, and against it.
        before = store["second"]
        assert store["first"] >= before
        seen.add(found["first"])
        if number % 5 == 0:
            other[fillers[number % 30]] = number
    assert len(seen) > 10
    for writer in writers:
        writer.popen.kill()
    check_whole(other)


def test_a_directory_that_is_gone_is_noticed_by_who_reads_from_the_journal(open_store, directory, monkeypatch):
    # Draining would notice it, too.
    monkeypatch.setattr("fastcache.runtime.background.schedule", lambda store, seconds: True)
    store = open_store(memory=0)
    store["pending"] = 2
    assert store["pending"] == 2
    directory.rename(directory.with_name("elsewhere"))
    # Reads look every 10 ms.
    time.sleep(0.05)
    with pytest.raises(fastcache.DirectoryGoneError):
        store["pending"]


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.usefixtures("small_ring")
def test_a_reader_that_is_stopped_anywhere_and_overrun_meanwhile_reads_all_rightly(begin, open_store, many):
    chance = random.Random(5)
    store = open_store(memory=0)
    keys = [f"key {number}" for number in range(6)]
    turns = itertools.count(1)

    def set_all(times):
        for turn in itertools.islice(turns, times):
            for key in keys:
                store[key] = slowly_read(key, turn)

    set_all(1)
    reader = begin("read_in_turn", "Cache", keys, many)
    assert reader.hear() == "ready"
    for _ in range(80):
        # What it reads is pending for some time.
        set_all(1)
        time.sleep(chance.random() * 0.002)
        reader.popen.send_signal(signal.SIGSTOP)
        wait_until(lambda: reader.popen.poll() is not None or is_stopped(reader.popen.pid))
        set_all(3)
        reader.popen.send_signal(signal.SIGCONT)
    assert reader.finish() > 80
    assert states(store)[0]["tail"] > 80 * SMALL
    check_whole(store)


# -- the same as without -------------------------------------------------------------------------------------

SOME_KEYS = ["a", "b", "c", "d", 1, 2.5, b"e", None, "long " * 30]
SOME_VALUES = [
    0,
    1,
    -7,
    2**62,
    2**70,
    1.5,
    "text",
    b"bytes",
    "",
    None,
    True,
    [1, ["two"]],
    "medium " * 60,
    "large " * 4000,
    b"file" * 30_000,
]


def outcome(function, *arguments, **keywords):
    try:
        return function(*arguments, **keywords)
    except (KeyError, TypeError, OverflowError) as error:
        return type(error).__name__


def counts(store):
    """How often something was asked for, and was there or not."""
    return 0 if isinstance(store, fastcache.Index) else store.stats().hits + 1j * store.stats().misses


def choose_operation(chance, kind):
    """Something that can be done to any store (str, tuple, dict)."""
    key, value = chance.choice(SOME_KEYS), chance.choice(SOME_VALUES)
    pairs = [(chance.choice(SOME_KEYS), chance.choice(SOME_VALUES)) for _ in range(chance.randrange(5))]
    extras = {}
    if kind == "Cache":
        extras = {
            "expire": chance.choice([None, None, None, 0.5, 2, 10, -1]),
            "tag": chance.choice([None, "red", "green", 7]),
        }
    operations = [
        ("set", (key, value), extras),
        ("set", (key, value), extras),
        ("set", (key, value), {}),
        ("__setitem__", (key, value), {}),
        ("add", (key, value), extras),
        ("get", (key, "absent"), {}),
        ("__getitem__", (key,), {}),
        ("__contains__", (key,), {}),
        ("delete", (key,), {}),
        ("pop", (key, "absent"), {}),
        ("incr", (key, chance.choice([1, -1, 5, 2**40])), {}),
        ("incr", (key,), {"default": None}),
        ("decr", (key,), {}),
        ("setdefault", (key, value), {}),
        ("get_many", ([key for key, _ in pairs],), {}),
        ("set_many", (pairs,), extras),
        ("delete_many", ([key for key, _ in pairs],), {}),
        ("popitem", (), {"last": chance.random() < 0.5}),
        ("__len__", (), {}),
        ("flush", (), {}),
    ]
    if kind == "Cache":
        operations += [
            ("touch", (key, chance.choice([None, 0.5, 5])), {}),
            ("get", (key, "absent"), {"expire_time": True, "tag": True}),
            ("pop", (key, "absent"), {"expire_time": True, "tag": True}),
            ("peekitem", (), {"last": chance.random() < 0.5, "expire_time": True, "tag": True}),
        ]
        if chance.random() < 0.2:
            operations += [("evict_tag", (chance.choice(["red", "green", 7]),), {}), ("expire", (), {})] * 3
    if chance.random() < 0.01:
        operations = [("clear", (), {})]
    return chance.choice(operations)


@pytest.mark.usefixtures("small_ring")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["Cache", "Index"])
def test_each_operation_does_what_it_does_without_a_journal(open_store, tmp_path, clock, kind, seed):
    chance = random.Random(f"{kind} {seed}")
    options = {"timer": clock} if kind == "Cache" else {}

    def open_pair():
        # Among two objects for each directory, one of them with a memory of its own.
        return [
            (open_store(kind, tmp_path / "with", journal=True, memory=memory, **options),
             open_store(kind, tmp_path / "without", journal=False, memory=memory, **options))
            for memory in (1 << 20, 0)
        ]  # fmt: skip

    pairs = open_pair()
    history = []
    appended = 0
    for _ in range(700):
        name, arguments, keywords = choose_operation(chance, kind)
        history.append((name, arguments, keywords))
        with_journal, without = chance.choice(pairs)
        before = [counts(store) for store in (with_journal, without)]
        found = [outcome(getattr(store, name), *arguments, **keywords) for store in (with_journal, without)]
        if name != "expire":
            # Which counts what has expired, and was not removed by chance.
            assert found[0] == found[1], history[-10:]
            assert type(found[0]) is type(found[1])
        if name not in ("incr", "decr"):
            # Which count as reads, or not, by the way in which it is done.
            after = [counts(store) for store in (with_journal, without)]
            assert after[0] - before[0] == after[1] - before[1], history[-10:]
        if kind == "Cache" and chance.random() < 0.2:
            clock.advance(chance.choice([0.125, 0.5, 1]))
        if chance.random() < 0.1:
            one, other = chance.choice(pairs)
            assert list(one.items()) == list(other.items()), history[-10:]
            assert list(reversed(one)) == list(reversed(other))
            assert len(one) == len(other)
            assert one.count() == other.count()
        if chance.random() < 0.01:
            appended += states(pairs[0][0])[0]["tail"]
            for store in [store for pair in pairs for store in pair]:
                store.close()
            pairs = open_pair()
    assert appended + states(pairs[0][0])[0]["tail"] > SMALL / 2
    assert [store.check().ok for pair in pairs for store in pair] == [True] * 4


@pytest.mark.parametrize("journal_on", [True, False])
def test_entries_are_in_the_order_in_which_they_were_inserted(open_store, clock, kept_from_writing, journal_on):
    store = open_store(journal=journal_on, timer=clock)
    for key in "abcdef":
        store[key] = 1
    store["a"] = 2
    assert list(store) == list("abcdef")
    store.delete("b")
    store["b"] = 3
    assert list(store) == list("acdefb")
    store.set("c", 4, expire=1)
    store.touch("d", 1)
    store.incr("e")
    clock.advance(2)
    assert list(store) == list("aefb")
    store["c"] = 5
    assert store.add("d", 6)
    store["e"] = 7
    assert store.pop("f") == 1
    store["f"] = 8
    assert list(store.items()) == [("a", 2), ("e", 7), ("b", 3), ("c", 5), ("d", 6), ("f", 8)]


@kinds
def test_what_an_entry_carries_is_kept_by_what_changes_its_value_alone(open_store, kind):
    if kind == "Index":
        pytest.skip("an Index has neither tags nor expiry")
    store = open_store(kind)
    store.set("n", 1, expire=1000, tag="red")
    _, expire, tag = store.get("n", expire_time=True, tag=True)
    store.incr("n", 5)
    assert store.get("n", expire_time=True, tag=True) == (6, expire, "red")
    assert store.touch("n", 2000)
    value, later, tag = store.get("n", expire_time=True, tag=True)
    assert (value, tag) == (6, "red")
    assert later > expire + 900
    store.flush()
    assert store.get("n", expire_time=True, tag=True) == (6, later, "red")
    store.set("m", 1, tag="red")
    assert store.evict_tag("red") == 2
    assert store.get("n") is None


def test_what_is_set_over_what_has_expired_is_an_insertion_though_nobody_has_drained_it_between(
    open_store, clock, kept_from_writing
):
    store = open_store(timer=clock)
    for key in "abc":
        store[key] = 1
    store.flush()
    with kept_from_writing():
        store.set("a", 2, expire=1)
        store.set("d", 2, expire=1)
        store.set("e", 2)
        clock.advance(2)
        store["a"] = 3
        store["d"] = 3
        assert not is_drained(store)
    assert list(store.items()) == [("b", 1), ("c", 1), ("e", 2), ("a", 3), ("d", 3)]
    check_whole(store)


# -- after a power cut ---------------------------------------------------------------------------------------


def copy_journal(directory):
    return (directory / "cache.journal").read_bytes()


def write_journal(directory, content):
    """As after a boot."""
    content = bytearray(content)
    if len(content) > HEADER_BYTES:
        content[BOOT_WORD : BOOT_WORD + 8] = random.Random(len(content)).randbytes(8)
    (directory / "cache.journal").write_bytes(content)


def model_after(count):
    model = Model()
    for number in range(count):
        change(model, "one", number)
    return list(model.items())


# The last change is one that changes something.
DRAINED, PENDING = 300, 91


@pytest.fixture
def cut_off(directory, open_store, obey, kept_from_writing, tmp_path):
    """What may be on the disk after a power cut: directories by how many changes were drained in them, and journals as
    they were at one time or another."""
    journals = []
    disks = {}
    for drained in (DRAINED, 2 * DRAINED):
        with open_store() as store:
            for number in range(drained - DRAINED, drained):
                change(store, "one", number)
        journals.append(copy_journal(directory))
        disks[drained] = tmp_path / f"disk {drained}"
        shutil.copytree(directory, disks[drained])
    victim = obey()
    with kept_from_writing():
        for number in range(2 * DRAINED, 2 * DRAINED + PENDING):
            victim("change", "one", number)
            if number % 30 == 0:
                journals.append(copy_journal(directory))
        victim.kill()
        journals.append(copy_journal(directory))
    return disks, journals


@pytest.mark.usefixtures("small_ring")
@pytest.mark.parametrize("seed", range(2))
def test_after_a_power_cut_there_is_what_was_first_and_nothing_is_torn(open_store, cut_off, tmp_path, seed):
    disks, journals = cut_off
    chance = random.Random(seed)
    models = [model_after(count) for count in range(2 * DRAINED + PENDING + 1)]
    pages = range(0, len(journals[-1]), PAGE)
    kept = set()
    for turn in range(40):
        place = tmp_path / f"cut {turn}"
        drained = chance.choice([DRAINED, 2 * DRAINED, 2 * DRAINED, 2 * DRAINED])
        shutil.copytree(disks[drained], place)
        lost = chance.choice([0, 0.02, 0.1, 0.5, 1])
        sources = [journals[-1], *(chance.sample([*journals, bytes(len(journals[-1]))], 2))]
        content = bytearray()
        for page in pages:
            source = chance.choice(sources) if chance.random() < lost else journals[-1]
            content += source[page : page + PAGE]
        if turn % 7 == 6:
            # The header, too, but for what says what this is.
            content[64:PAGE] = chance.choice(journals)[64:PAGE]
        write_journal(place, content)
        with open_store(path=place, timeout=10) as store:
            found = list(store.items())
            assert found in models[drained:], f"turn {turn}"
            kept.add(models.index(found, drained) - drained)
            assert store.get_many(dict(found)) == dict(found)
            assert store.check(), str(store.check())
            for number in range(150):
                change(store, "two", number)
            check_whole(store)
        with open_store(path=place) as store:
            assert [pair for pair in store.items() if owner(pair[0]) == "one"] == found
            assert store.check()
            again = list(store.items())
        # Another boot brings nothing back.
        write_journal(place, copy_journal(place))
        with open_store(path=place) as store:
            assert list(store.items()) == again
            store["after"] = 1
            check_whole(store)
        shutil.rmtree(place)
    assert {0, PENDING} <= kept
    assert len(kept) > 3


@pytest.mark.parametrize("torn", ["at boot", "while it drains"])
def test_what_was_lost_behind_a_torn_record_never_comes_back(open_store, obey, kept_from_writing, directory, torn):
    """Not even where new records of the same size make the chain whole again."""
    victim = obey()
    victim("set", "first", 1)
    victim("flush")
    with kept_from_writing():
        places = []
        for number in range(10):
            places.append(victim("states")[0]["tail"])
            victim("set", f"key {number}", f"old {number}")
        victim.kill()
    content = bytearray(copy_journal(directory))
    content[HEADER_BYTES + places[3] + 40] ^= 0xFF
    if torn == "at boot":
        write_journal(directory, content)
    else:
        (directory / "cache.journal").write_bytes(content)
    expected = {"first": 1} | {f"key {number}": f"old {number}" for number in range(3)}
    finder = obey()
    assert dict(finder("list")) == expected
    # Over what is lost; of the size of the one that was torn.
    finder("set", "key 9", "new 3")
    expected["key 9"] = "new 3"
    assert dict(finder("list")) == expected
    assert finder("check") == "ok"
    finder.close()
    write_journal(directory, copy_journal(directory))
    with open_store() as store:
        assert dict(store.items()) == expected
        check_whole(store)


@pytest.mark.parametrize("found", ["at boot", "while it drains"])
def test_what_another_journal_has_left_on_the_disk_is_no_record_of_this_one(
    open_store, obey, kept_from_writing, directory, found
):
    """Though it is whole, and of the same position."""
    contents, places = [], []
    for name in ("this", "that"):
        victim = obey(path=directory / name)
        victim("set", "first", 1)
        victim("flush")
        with kept_from_writing():
            for number in range(10):
                places.append(victim("states")[0]["tail"])
                victim("set", f"key {number}", f"{name} {number}")
            victim.kill()
        contents.append(copy_journal(directory / name))
    assert places[:10] == places[10:]
    end = HEADER_BYTES + places[4]
    content = contents[0][:end] + contents[1][end:]
    if found == "at boot":
        write_journal(directory / "this", content)
    else:
        (directory / "this" / "cache.journal").write_bytes(content)
    with open_store(path=directory / "this") as store:
        assert dict(store.items()) == {"first": 1} | {f"key {number}": f"this {number}" for number in range(4)}
        check_whole(store)


def test_what_was_drained_by_who_was_killed_before_it_said_so_is_not_drained_again(
    open_store, obey, kept_from_writing, directory
):
    writer = obey()
    for key in "abc":
        writer("set", key, 1)
    writer("flush")
    head = word(directory, HEAD)
    with kept_from_writing():
        assert writer("delete", "a")
        writer("set", "a", 2)
        writer("set", "d", 2)
    writer("flush")
    writer.kill()
    assert word(directory, HEAD) == word(directory, TAIL) > head
    # As if it had died after its commit.
    with (directory / "cache.journal").open("r+b") as file:
        file.seek(8 * HEAD)
        file.write(head.to_bytes(8, "little"))
    store = open_store()
    expected = [("b", 1), ("c", 1), ("a", 2), ("d", 2)]
    assert store.get_many("abcd") == dict(expected)
    assert list(store.items()) == expected
    check_whole(store)


def test_what_is_damaged_is_dropped_while_nobody_appends(open_store, obey, kept_from_writing, directory):
    """So that what is set next is not lost, too."""
    victim, appender, drainer = obey(), obey(), obey()
    appender("set", "first", 1)
    drainer("flush")
    with kept_from_writing():
        damaged = word(directory, TAIL)
        for number in range(5):
            victim("set", f"key {number}", number)
        victim.kill()
        with (directory / "cache.journal").open("r+b") as file:
            file.seek(HEADER_BYTES + damaged + 40)
            file.write(b"damaged!")
        appender("fail_at", "reserved", "SIGSTOP")
        appender.begin("set", "under way", 1)
        appender.wait_until_stopped()
    drainer.begin("flush")
    # It waits for the one that is stopped, and says so to nobody.
    time.sleep(0.2)
    appender.go_on()
    appender.hear()
    drainer.hear()
    appender("set", "after", 1)
    store = open_store()
    assert store["first"] == store["after"] == 1
    assert set(store) <= {"first", "under way", "after"}
    check_whole(store)


# -- a full disk ---------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path, directory):
    """A file system of 24 MB on which the test's directory lies; it is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "fastcache-tests", place]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    (place / "cache").mkdir()
    directory.symlink_to(place / "cache")
    yield place
    subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.parametrize("ending", ["goes on", "killed", "closed"])
def test_what_a_full_disk_has_no_room_for_waits_in_the_journal(disk, open_store, obey, kept_from_writing, ending):
    writer = obey(timeout=5)
    expected = {f"before {number}": "x" * 500 for number in range(200)}
    writer("set_many", list(expected.items()))
    store = open_store(timeout=5)
    with kept_from_writing():
        for number in range(600):
            writer("set", f"new {number}", "y" * 1000)
            expected[f"new {number}"] = "y" * 1000
        fill(disk)
    with pytest.raises(fastcache.FullError):
        writer("set", "too much", "z" * 1000)
    with pytest.raises(fastcache.FullError):
        writer("flush")
    # Who reads a key goes on, and so does who deletes.
    assert writer("get", "new 7") == "y" * 1000
    assert store.get_many(expected) == expected
    assert all(store[key] == value for key, value in expected.items())
    assert store.get("absent") is None
    del store["new 8"], expected["new 8"]
    assert writer("delete", "new 9")
    del expected["new 9"]
    if ending == "killed":
        writer.kill()
    elif ending == "closed":
        # It says that something is left; nobody waits for room.
        writer.close()
    (disk / "ballast").unlink()
    store["after"] = expected["after"] = 1
    assert dict(store.items()) == expected
    check_whole(store)
    if ending == "goes on":
        writer("set", "by the writer", 1)
        expected["by the writer"] = 1
    assert dict(obey()("list")) == expected


def fill(disk):
    """Have nothing left on it."""
    with open(disk / "ballast", "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("pending", [0, 40])
def test_on_a_full_disk_nothing_is_acknowledged_that_has_no_room(disk, open_store, obey, kept_from_writing, pending):
    """What is pending then goes into what was kept in reserve, so that who looks at the whole goes on."""
    store = open_store(timeout=5)
    expected = {f"new {number}": "y" * 1000 for number in range(pending)}
    with kept_from_writing():
        for key, value in expected.items():
            store[key] = value
        fill(disk)
    with pytest.raises(fastcache.FullError):  # noqa: PT012
        for number in range(20_000):
            store[f"more {number}"] = "y" * 1000
            expected[f"more {number}"] = "y" * 1000
    assert dict(store.items()) == expected
    assert len(store) == len(expected)
    assert dict(obey()("list")) == expected
    # And it can be emptied.
    assert store.clear() == len(expected)
    (disk / "ballast").unlink()
    check_whole(store)


def test_a_disk_that_is_filled_slowly_by_sets_loses_none(disk, open_store):
    expected = {}
    store = open_store(timeout=5)
    with pytest.raises(fastcache.FullError):  # noqa: PT012
        for number in range(200_000):
            store[f"key {number}"] = "y" * 1000
            expected[f"key {number}"] = "y" * 1000
    assert len(expected) > 1000
    assert len(store) == len(expected)
    assert dict(store.items()) == expected
    store.clear()
    check_whole(store)


# -- damage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["records", "header"])
def test_whatever_is_in_its_file_nobody_gets_what_is_anothers(start, left_pending, directory, tmp_path, where):
    expected = left_pending(capacity=SMALL)
    values = {f"key {number}": [f"drained {number}", f"pending {number}", "again"] for number in range(90)} | {
        "n": [5, 10]
    }
    worker = start("open_damaged", str(directory), str(tmp_path / "damaged"), values, where, 60)
    found = worker.hear()
    # What is not damaged is there.
    assert 60 * 40 < found <= 60 * len(expected | values)
    worker.end()


def put(path, what):
    """Put something in the place of the journal."""
    content = path.read_bytes()
    path.unlink()
    if what == "nothing":
        return
    if what == "directory":
        path.mkdir()
        (path / "inside").write_text("x")
    elif what == "link":
        elsewhere = path.with_name("elsewhere")
        elsewhere.write_bytes(content)
        path.symlink_to(elsewhere)
    elif what == "dangling link":
        path.symlink_to(path.with_name("nowhere"))
    elif what == "pipe":
        os.mkfifo(path)
    else:
        size = {"empty": 0, "the header": HEADER_BYTES, "half": len(content) // 2, "almost all": len(content) - PAGE}[
            what
        ]
        path.write_bytes(content[:size])


@pytest.mark.parametrize(
    "what", ["nothing", "empty", "the header", "half", "almost all", "directory", "link", "dangling link", "pipe"]
)
@pytest.mark.parametrize("pending", [True, False])
def test_whatever_is_in_its_place_the_store_opens(open_store, left_pending, directory, what, pending):
    expected = left_pending()
    if not pending:
        with open_store() as store:
            check_whole(store)
    path = directory / "cache.journal"
    put(path, what)
    for options in ({"read_only": True}, {"journal": False}):
        with open_store(**options) as store:
            if not pending:
                assert dict(store.items()) == expected
    elsewhere = directory / "elsewhere"
    before = elsewhere.read_bytes() if elsewhere.exists() else None
    try:
        store = open_store()
    except fastcache.OpenError:
        # What could have us write elsewhere is refused, as in the place of any other file of ours.
        if "link" not in what:
            raise
    else:
        content = dict(store.items())
        if pending:
            assert len(content) >= 50 - 2
            assert all(
                value in (f"drained {key[4:]}", f"pending {key[4:]}", "again", 10) for key, value in content.items()
            )
        else:
            assert content == expected
        for number in range(100):
            store[f"new {number}"] = number
        assert store.incr("counter") == 1
        store.flush()
        assert store.check()
        store.close()
        assert len(open_store()) == len(content) + 101
    assert not (directory / "nowhere").exists()
    assert before is None or elsewhere.read_bytes() == before


@pytest.mark.parametrize("others", ["another process", "another object"])
def test_where_its_file_is_removed_while_it_is_in_use_nothing_is_lost(open_store, obey, directory, others):
    store = open_store()
    store["before"] = 1
    (directory / "cache.journal").unlink()
    for number in range(100):
        store[f"mine {number}"] = number
    if others == "another process":
        other = obey()
        for number in range(100):
            other("set", f"other {number}", number)
        other("flush")
    else:
        other = open_store()
        for number in range(100):
            other[f"other {number}"] = number
        other.flush()
    for number in range(100, 200):
        store[f"mine {number}"] = number
    store.flush()
    expected = {"before": 1} | {f"mine {n}": n for n in range(200)} | {f"other {n}": n for n in range(100)}
    assert dict(store.items()) == expected
    assert dict(obey()("list")) == expected
    assert store.check()


# -- the end -------------------------------------------------------------------------------------------------


@kinds
def test_another_program_sees_all_soon_and_after_flush_and_close_at_once(rows, open_store, kind):
    store = open_store(kind)
    for number in range(500):
        store[f"key {number}"] = number
    store.flush()
    assert rows() == 500
    store["later"] = 1
    store.delete("key 0")
    store.delete("key 1")
    wait_until(lambda: is_drained(store))
    assert rows() == 499
    for number in range(500, 600):
        store[f"key {number}"] = number
    store.close()
    assert rows() == 599


def test_another_program_that_waits_sees_what_was_set_without_anybody_doing_anything(open_store, start, directory):
    store = open_store()
    store.flush()
    program = start("answer_sql", str(directory))
    for number in range(5):
        store[f"key {number}"] = number

        def is_there(number=number):
            program.tell("SELECT count(*) FROM entry")
            return program.hear() == [[number + 1]]

        wait_until(is_there)


@pytest.mark.parametrize("kind", ["Cache", "FanoutCache"])
@pytest.mark.parametrize("ending", ["end", "exit", "daemon", "transactions", "exit handler", "forgotten"])
def test_the_exit_of_the_interpreter_drains(rows, begin, open_store, kind, ending):
    begin("append_and_end", kind, ending).finish()
    count = rows()
    assert count == 300 + (ending in ("daemon", "transactions", "exit handler"))
    store = open_store(kind)
    assert len(store) == count
    assert [store[f"key {number}"] for number in range(300)] == list(range(300))
    assert ending != "exit handler" or store["at exit"] == 1
    assert store.check()


def test_an_object_that_nobody_has_any_more_is_drained(start, directory):
    store = fastcache.Cache(directory, journal=True)
    for number in range(100):
        store[f"key {number}"] = number
    del store
    program = start("answer_sql", str(directory))

    def is_there():
        program.tell("SELECT count(*) FROM entry")
        return program.hear() == [[100]]

    wait_until(is_there)


# -- where there is none, and what it is asked with ----------------------------------------------------------


def use(store):
    """A little of everything."""
    for number in range(50):
        store[f"key {number}"] = number
    assert store.incr("key 1") == 2
    assert store.pop("key 2") == 2
    assert store.delete("key 3")
    assert not store.add("key 4", 0)
    assert store.add("key 2", "again")
    assert list(store)[-1] == "key 2"
    assert len(store) == 49
    assert store.get_many(["key 2", "key 3", "key 5"]) == {"key 2": "again", "key 5": 5}
    store.clear()


@pytest.mark.parametrize(
    "options",
    [{"durability": "full"}, {"max_size": 500_000}, {"journal": False}],
    ids=str,
)  # fmt: skip
def test_what_has_none_works_beside_what_has_one(open_store, obey, options):
    store = open_store(**options)
    assert not all(part.uses_journal and part.journal is not None for part in store.stores.all())
    use(store)
    other = open_store()
    third = obey()
    for number in range(200):
        other[f"key {number}"] = number
        assert store[f"key {number}"] == number
        store[f"key {number}"] = -number
        assert other[f"key {number}"] == -number
        assert third("incr", f"key {number}") == 1 - number
        assert store[f"key {number}"] == 1 - number
    assert list(store.items()) == list(other.items())
    assert store.check()


@pytest.mark.parametrize(
    "options", [{"timer": time.time}, {"memory": 0}, {"compression": "zstd"}, {"max_size": 64_000_000}], ids=str
)
def test_what_has_one_works(open_store, options):
    try:
        store = open_store(**options)
    except (ImportError, fastcache.CacheError):
        pytest.skip("not here")
    assert uses_journal(store)
    use(store)
    assert states(store)[0]["tail"] > 0
    check_whole(store)


def test_one_that_evicts_nothing_says_at_once_that_it_is_full(open_store, obey):
    store = open_store(max_size=2_000_000, eviction="none")
    other = obey()
    count = 0
    with pytest.raises(fastcache.CacheFullError):  # noqa: PT012
        for number in range(10_000):
            (store.set if number % 2 else lambda key, value: other("set", key, value))(f"key {number}", "x" * 1000)
            count += 1
    assert count > 300
    assert store.volume() <= 2_000_000
    assert store.get_many(f"key {number}" for number in range(count)) == {f"key {n}": "x" * 1000 for n in range(count)}
    assert len(store) == count
    assert store.check()


def test_who_appends_notices_at_once_that_there_is_a_limit_now(open_store):
    store = open_store()
    store["before"] = 1
    store.flush()
    other = open_store(max_size=2_000_000, eviction="none")
    with pytest.raises(fastcache.CacheFullError):  # noqa: PT012
        for number in range(10_000):
            other[f"key {number}"] = "x" * 1000
    # Who has just heard of it may find that there is no room when it sets the next one.
    with contextlib.suppress(fastcache.CacheFullError):
        store["one more"] = "x" * 4000
    for _ in range(3):
        with pytest.raises(fastcache.CacheFullError):
            store["another"] = "x" * 4000
    assert store.get("another") is other.get("another") is None
    check_whole(store)


def test_what_is_pending_counts_towards_a_limit(open_store):
    limit = 4_000_000
    store = open_store(max_size=limit)
    for number in range(5000):
        store[f"key {number}"] = os.urandom(2000)
        if number % 100 == 0:
            assert store.volume() <= limit
            # What was set last is there.
            assert len(store[f"key {number}"]) == 2000
    check_whole(store)
    assert store.volume() <= limit


def test_one_in_memory_takes_it_and_has_none():
    for asked in (True, False):
        with fastcache.Cache(":memory:", journal=asked) as cache:
            use(cache)


def test_a_reader_alone_sees_at_once_what_others_append(open_store, obey):
    writer = obey()
    writer("set", "key", 0)
    reader = open_store(read_only=True)
    for number in range(200):
        writer("set", "key", number)
        writer("set", f"key {number}", number)
        assert reader["key"] == number
        assert reader.get_many([f"key {number}", "key"]) == {"key": number, f"key {number}": number}
    with pytest.raises(fastcache.ReadOnlyError):
        reader["key"] = 1
    writer("flush")
    assert len(reader) == 201


@pytest.mark.parametrize("kind", ["Cache", "Index", "FanoutCache", "FanoutIndex"])
def test_a_copy_has_one_if_its_original_has(directory, kind):
    store_type = getattr(fastcache, kind)
    for asked in (True, False):
        with store_type(directory, journal=asked) as store:
            assert all(part.uses_journal is asked for part in store.stores.all())
            with pickle.loads(pickle.dumps(store)) as copied, copy.copy(store) as other:
                for number, each in enumerate((copied, other)):
                    assert all(part.uses_journal is asked for part in each.stores.all())
                    each["a"] = number
                    assert store["a"] == number


@pytest.mark.parametrize("kind", ["Cache", "Index", "FanoutCache", "FanoutIndex"])
@pytest.mark.parametrize("asked", [None, 1, 0, "yes", "off"])
def test_it_is_asked_for_by_a_bool(directory, kind, asked):
    with pytest.raises(TypeError, match="journal must be True or False"):
        getattr(fastcache, kind)(directory, journal=asked)
    assert not directory.exists()
