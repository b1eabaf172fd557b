"""Greenlets of gevent and eventlet: whoever waits lets the others of its thread go on, and each is one of its own."""

import importlib.util
import textwrap

import pytest

GEVENT = "from gevent import monkey; monkey.patch_all()"
# Without its own resolver, which imports what trio cannot be imported under.
EVENTLET = """\
import os, warnings; os.environ["EVENTLET_NO_GREENDNS"] = "yes"; warnings.simplefilter("ignore")
import eventlet; eventlet.monkey_patch()
"""
EARLY = "import fastcache; early = fastcache.Cache(); early['a'] = 1; early.get_or_set('b', int)"
PATCHES = {
    "gevent": GEVENT,
    "eventlet": EVENTLET,
    # After the import, with a cache open.
    "gevent, late": f"{EARLY}\n{GEVENT}",
}

BEGINNING = """\
import faulthandler, json, os, sys, threading, time
faulthandler.dump_traceback_later(60, exit=True)
import fastcache

def together(*functions):
    results = [None] * len(functions)
    def run(place, function):
        results[place] = function()
    threads = [threading.Thread(target=run, args=each) for each in enumerate(functions)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return results

# None of these ends because it has waited long enough.
cache = fastcache.Cache(sys.argv[1], timeout=10_000)
"""
END = """
cache.close()
"""


@pytest.fixture(params=list(PATCHES))
def run(request, start_file, tmp_path):
    """Run a program in which threads are greenlets; returns what it prints last, as JSON."""
    library = request.param.partition(",")[0]
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")

    def run(program):
        text = "\n".join([PATCHES[request.param], BEGINNING, textwrap.dedent(program), END])
        return start_file(f"with_{library}", text, str(tmp_path / "store")).finish()

    return run


def test_one_computes_and_the_others_wait(run):
    program = """
    calls = []
    def compute():
        calls.append(1)
        time.sleep(0.05)
        return 5
    memoized = cache.memoize(name="compute")(compute)
    found = together(*[memoized] * 8), together(*[lambda: cache.get_or_set("key", compute)] * 8)
    print(json.dumps([found, len(calls)]))
    """
    assert run(program) == [[[5] * 8, [5] * 8], 2]


def test_a_computation_may_ask_for_its_own_key(run):
    program = """
    print(json.dumps(cache.get_or_set("key", lambda: cache.get_or_set("key", lambda: 1) + 1)))
    """
    assert run(program) in (1, 2)


def test_in_a_circle_nobody_waits_for_ever(run):
    program = """
    def ask(mine, other):
        def compute():
            time.sleep(0.05)
            return mine + cache.get_or_set(other, lambda: other)
        return lambda: cache.get_or_set(mine, compute)
    print(json.dumps(together(ask("a", "b"), ask("b", "a"))))
    """
    assert sorted(each[0] for each in run(program)) in (["a", "b"], ["a", "a"], ["b", "b"])


@pytest.mark.parametrize("kind", ["lock", "rlock", "bounded_semaphore", "barrier"])
def test_a_lock_keeps_other_greenlets_out(run, kind):
    program = f"""
    inside, most = [], []
    def work():
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.002)
        inside.pop()
    if {kind!r} == "barrier":
        guarded = cache.barrier(name="a")(work)
    else:
        def guarded():
            with cache.{kind}("a"):
                work()
    def run():
        for _ in range(5):
            guarded()
    together(*[run] * 4)
    print(json.dumps([max(most), len(most)]))
    """
    assert run(program) == [1, 20]


def test_an_rlock_is_that_of_its_greenlet(run):
    program = """
    def hold():
        with cache.rlock("a"), cache.rlock("a"):
            time.sleep(0.1)
            return True
    def try_it():
        time.sleep(0.02)
        return cache.rlock("a").acquire(blocking=False)
    print(json.dumps(together(hold, try_it)))
    """
    assert run(program) == [True, False]


def test_a_throttle_lets_others_go_on(run):
    program = """
    seen = []
    wait = cache.throttle(1, 0.2, name="rate")(lambda: seen.append("throttled"))
    wait()
    together(wait, lambda: seen.append("another"))
    print(json.dumps(seen))
    """
    assert run(program) == ["throttled", "another", "throttled"]


def test_a_transaction_is_that_of_its_greenlet(run):
    program = """
    def transact():
        try:
            with cache.transact():
                cache["a"] = 1
                time.sleep(0.1)
                seen.append("leaves")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    def write():
        time.sleep(0.02)
        seen.append(cache.get("a"))
        cache["b"] = 2
        seen.append("has written")
    seen = []
    together(transact, write)
    print(json.dumps([seen, dict(cache)]))
    """
    assert run(program) == [[None, "leaves", "has written"], {"b": 2}]


def test_who_waits_for_a_transaction_is_told_after_its_timeout(run):
    program = """
    patient = fastcache.Cache(sys.argv[1], timeout=0.05)
    done = []
    def transact(store):
        with store.transact():
            store["a"] = 1
            while not done:
                time.sleep(0.01)
        return "left"
    def write(store):
        time.sleep(0.02)
        try:
            store["b"] = 2
        except fastcache.Timeout as error:
            return "timeout"
        finally:
            done.append(1)
    print(json.dumps([together(lambda: transact(holder), lambda: write(patient)) for holder in (patient, cache)]))
    """
    assert run(program)[0] == ["left", "timeout"]


def test_greenlets_that_only_call_one_another_are_one_with_their_thread(start_file, tmp_path):
    """As SQLAlchemy's, by which a coroutine calls what is none."""
    pytest.importorskip("greenlet")
    program = """
    import greenlet
    def inside():
        cache["a"] = 1
        with cache.rlock("a"):
            return dict(cache)
    with cache.transact(), cache.rlock("a"):
        called = greenlet.greenlet(inside)
        called.gr_context = greenlet.getcurrent().gr_context
        print(json.dumps(called.switch()))
    """
    text = "\n".join([BEGINNING, textwrap.dedent(program), END])
    assert start_file("with_greenlets", text, str(tmp_path / "store")).finish() == {"a": 1}


def test_maintenance_works_and_the_program_ends(run):
    program = """
    with fastcache.Cache(sys.argv[1] + "-2", journal=True) as drained:
        drained["a"] = 1
        while (state := drained.store.journal.state())["head"] < state["tail"]:
            time.sleep(0.01)
        drained["b"] = 2
    for number in range(3000):
        cache[number] = b"x" * 1000
    left = fastcache.Cache(sys.argv[1] + "-3")
    left["not closed"] = 1
    print(json.dumps(len(cache)))
    """
    assert run(program) == 3000


def test_greenlets_and_threads_of_the_system_wait_for_each_other(run):
    program = """
    from fastcache.runtime.greenlets import unpatched
    done = []
    def in_a_thread():
        done.append(cache.get_or_set("key", lambda: [unpatched("time", "sleep")(0.1), 1][1]))
        with cache.lock("a"):
            cache["thread"] = 1
        done.append(1)
    unpatched("_thread", "start_new_thread")(in_a_thread, ())
    unpatched("time", "sleep")(0.03)
    found = together(*[lambda: cache.get_or_set("key", lambda: 2)] * 3)
    with cache.lock("a"):
        cache["main"] = 1
    while len(done) < 2:
        time.sleep(0.01)
    print(json.dumps([found, sorted(cache)]))
    """
    assert run(program) == [[1, 1, 1], ["key", "main", "thread"]]
