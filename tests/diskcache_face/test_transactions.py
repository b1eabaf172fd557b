"""Transactions, and what waits for them; threads and processes that share a directory."""

import contextlib
import itertools
import threading
import time

import pytest

from ..together import together

PROGRAM = """\
import importlib
import json
import sys

library = importlib.import_module(sys.argv[1])
directory, task, number = sys.argv[2], sys.argv[3], int(sys.argv[4])
with library.Cache(directory, timeout=60) as cache:
    if task == "count":
        said = [cache.incr("total", retry=True) for _ in range(number)]
    elif task == "add":
        said = [key for key in range(number) if cache.add(key, 1, retry=True)]
    elif task == "push":
        said = [cache.push(value, retry=True) for value in range(number)]
    elif task == "pull":
        said = []
        while (item := cache.pull(retry=True)) != (None, None):
            said.append(item[0])
    elif task == "read":
        said = [cache.get(key) for key in range(number)]
print(json.dumps(said))
"""


@pytest.fixture
def run(library, directory, start_file):
    """Run a task in two processes at once, and return what they say."""

    def run(task, number):
        processes = [start_file(task, PROGRAM, library.__name__, directory, task, str(number)) for _ in range(2)]
        return [process.finish() for process in processes]

    return run


@pytest.fixture
def impatient(library, cache, directory):
    """Who waits for hardly any time. It is opened before anybody holds a transaction: opening would wait for it."""
    with library.Cache(directory, timeout=0.01) as impatient:
        yield impatient


@pytest.fixture
def held(library, cache, impatient, directory):
    """A transaction that another thread has begun and does not end, until the test does."""
    begun, end = threading.Event(), threading.Event()

    def hold():
        with library.Cache(directory) as other, other.transact():
            other["held"] = "new"
            begun.set()
            end.wait()

    cache["held"] = "old"
    cache.push("item")
    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(60)
    yield end
    end.set()
    thread.join()


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


def test_what_is_done_together_is_there_together(cache):
    with cache.transact():
        cache["one"] = 1
        assert cache["one"] == 1
        assert cache.incr("two") == 1
    assert dict(zip(cache, map(cache.get, cache), strict=True)) == {"one": 1, "two": 1}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_what_raises_leaves_nothing(cache, error):
    cache["old"], cache["count"] = "old", 1

    def fail():
        with cache.transact(True):
            cache["new"] = 1
            cache["old"] = "new"
            cache.incr("count")
            cache.push("item")
            raise error

    with pytest.raises(error):
        fail()
    assert list(cache) == ["old", "count"]
    assert cache["old"] == "old"
    assert cache["count"] == 1


def test_what_was_removed_comes_back(cache):
    for key in range(3):
        cache.set(key, "here", tag="red")
    for remove in (lambda: cache.delete(0), lambda: cache.evict("red"), cache.clear):
        with contextlib.suppress(ValueError), cache.transact():
            remove()
            assert 0 not in cache
            raise ValueError
        assert [cache[key] for key in cache] == ["here"] * 3


def test_transactions_can_be_nested(cache):
    with cache.transact():
        cache["one"] = 1
        with cache.transact():
            cache["two"] = 2
        assert cache["two"] == 2
    assert len(cache) == 2

    def fail():
        with cache.transact():
            with cache.transact():
                cache["three"] = 3
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert len(cache) == 2


def test_after_an_error_the_next_transaction_begins(cache):
    with contextlib.suppress(ValueError), cache.transact():
        raise ValueError
    with cache.transact():
        cache["key"] = 1
    assert cache["key"] == 1


@pytest.mark.usefixtures("held")
def test_readers_do_not_wait(cache, impatient):
    assert cache["held"] == "old"
    assert impatient.get("held") == "old"
    assert "held" in impatient
    assert len(list(impatient)) == len(impatient) == 2


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("set", ("key", 1)),
        ("add", ("key", 1)),
        ("incr", ("key",)),
        ("decr", ("key",)),
        ("touch", ("held", 5)),
        ("pop", ("held",)),
        ("delete", ("held",)),
        ("push", (1,)),
        ("pull", ()),
        ("clear", ()),
        ("evict", ("red",)),
        ("expire", ()),
    ],
)
@pytest.mark.usefixtures("held")
def test_who_cannot_wait_is_told(library, impatient, method, arguments):
    with pytest.raises(library.Timeout):
        getattr(impatient, method)(*arguments)


@pytest.mark.usefixtures("held")
def test_a_transaction_that_cannot_wait_is_told(library, impatient):
    with pytest.raises(library.Timeout), impatient.transact():
        pytest.fail("another transaction is open")


@pytest.mark.parametrize(("method", "arguments"), [("clear", ()), ("evict", ("red",)), ("expire", ())])
@pytest.mark.usefixtures("held")
def test_who_removed_many_is_told_how_many(library, impatient, method, arguments):
    with pytest.raises(library.Timeout) as caught:
        getattr(impatient, method)(*arguments)
    assert caught.value.args[0] == 0


def test_who_retries_waits(impatient, held):
    threading.Timer(0.1, held.set).start()
    assert impatient.set("key", 1, retry=True) is True
    assert impatient["held"] == "new"


def test_an_item_is_set_after_waiting(impatient, held):
    threading.Timer(0.1, held.set).start()
    impatient["held"] = "newer"
    assert impatient["held"] == "newer"


def test_threads_share_a_cache(cache):
    def count():
        return [cache.incr("total", retry=True) for _ in range(100)]

    counts = flat(together(count, count, count))
    assert sorted(counts) == list(range(1, 301))


def test_a_transaction_is_of_its_thread(cache):
    def move():
        for _ in range(50):
            with cache.transact(retry=True):
                total = cache.get("total", 0)
                time.sleep(0)
                cache["total"] = total + 1

    together(move, move, move)
    assert cache["total"] == 150


def test_processes_count_together(run):
    counts = flat(run("count", 300))
    assert sorted(counts) == list(range(1, 601))


def test_of_processes_that_add_a_key_one_succeeds(run):
    added = flat(run("add", 300))
    assert sorted(added) == list(range(300))


def test_processes_push_and_pull_each_item_once(cache, run):
    pushed = flat(run("push", 200))
    assert len(set(pushed)) == len(cache) == 400
    pulled = flat(run("pull", 0))
    assert sorted(pulled) == sorted(pushed)
    assert len(cache) == 0


def test_processes_read_what_was_written(cache, run):
    for key in range(100):
        cache[key] = str(key)
    assert run("read", 100) == [[str(key) for key in range(100)]] * 2


def test_a_cache_can_be_used_in_threads_after_it_was_closed(cache):
    cache["key"] = 1
    cache.close()
    assert together(lambda: cache["key"], lambda: cache["key"]) == [1, 1]
