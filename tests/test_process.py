"""What a process does once, whatever it imports and in which order: its background thread, forks, and the exit."""

import os
import pathlib

import msgspec
import pytest

import fastcache

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")

# Each ends by itself, and leaves its cache open; none imports threading in its main thread before maintenance does.
PROGRAMS = {
    "on_evict": """
        import time
        from fastcache import Cache

        def note(key, reason):
            import logging
            noted.append(reason)

        noted = []
        cache = Cache(sys.argv[1], on_evict=note)
        cache.set("a", 1, expire=0.01)
        while not noted:
            time.sleep(0.01)
        import threading
        assert threading.current_thread() is threading.main_thread()
    """,
    "timer": """
        import time, _thread
        from fastcache import Cache

        def now():
            if _thread.get_ident() != main:
                import threading
                asked.append(1)
            return time.time()

        main = _thread.get_ident()
        asked = []
        cache = Cache(sys.argv[1], timer=now, journal=True)
        while not asked:
            cache["a"] = 1
            time.sleep(0.01)
        import threading
        assert threading.current_thread() is threading.main_thread()
    """,
    # Nobody knows the main thread when it is made.
    "on_evict of a cache that another thread has made": """
        import time, _thread
        from fastcache import Cache

        def note(key, reason):
            import threading
            noted.append(reason)

        def use(directory):
            sys.cache = Cache(directory, on_evict=note)
            sys.cache.set("a", 1, expire=0.01)
            sys.cache.set("b", 1, expire=0.2)

        noted = []
        _thread.start_new_thread(use, (sys.argv[1],))
        while len(noted) < 2:
            time.sleep(0.01)
    """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_that_leaves_importing_threading_to_maintenance(start_program, tmp_path, name):
    start_program(name, PROGRAMS[name], str(tmp_path / "cache")).finish()


# Says so when its cache is open, goes on when told, and ends when maintenance has complained.
COMPLAINS = """
    import time
    from fastcache import Cache

    class Complaints:
        def write(self, text):
            complaints.append(text)

        def flush(self):
            pass

    complaints = []
    cache = Cache(sys.argv[1])
    sys.stderr = Complaints()
    cache["a"] = 1
    print('"open"', flush=True)
    sys.stdin.readline()
    cache.set("b", bytes(200_000), expire=0.01)
    while not any("maintenance" in text for text in complaints):
        time.sleep(0.01)
"""


def test_a_program_ends_whose_maintenance_complains(start_program, start, tmp_path):
    """It does so in the words of ``logging``, which would be the first to import threading."""
    directory = str(tmp_path / "cache")
    program = start_program("complaints", COMPLAINS, directory)
    assert program.hear() == "open"
    start("sql", directory, "DROP TABLE trash").finish()
    program.tell()
    program.finish()


# Forks and ends with a cache open, after it has imported modules in the order that it is told; says what each phase has
# done: in the parent and at the exit, in a child, and in one that C code has forked.
PHASES = """
    import atexit, ctypes, importlib, json, os
    done = []
    # Registered first, it is called last.
    atexit.register(lambda: print(json.dumps([done, *children])))
    sys.path.append(sys.argv[2])
    for name in sys.argv[3:]:
        importlib.import_module(name)
    from fastcache.runtime import fork

    def record(phase, event):
        function = getattr(phase, event)
        if function is not fork._nothing:
            setattr(phase, event, lambda: (done.append(f"{event} {phase.name}"), function()))

    for phase in fork.PHASES:
        for event in ("before", "in_parent", "unnoticed", "in_child", "at_exit"):
            record(phase, event)

    import fastcache
    cache = fastcache.Cache(sys.argv[1])
    cache["a"] = 1
    children = []
    for make in (os.fork, ctypes.PyDLL(None).fork):
        reading, writing = os.pipe()
        child = make()
        if child == 0:
            cache["a"] = 2
            os.write(writing, json.dumps([what for what in done if "child" in what or "unnoticed" in what]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        children.append(json.loads(os.read(reading, 10_000)))
    assert cache["a"] == 2
"""
# All that take part in them.
TAKING_PART = [
    "fastcache.runtime.background",
    "fastcache.sync.records",
    "fastcache.sync.single_flight",
    "fastcache.engine.temporary",
    "fastcache.engine.database.database",
    "fastcache.engine.sqlite.connection",
    "fastcache.engine.shm.byte_locks",
]
HELD = ["background", "stores", "calls", "connections", "guard"]
BEGUN_ANEW = ["guard", "calls", "stores", "byte locks", "tokens", "locks", "flights", "background"]


@forks
@pytest.mark.parametrize("modules", [TAKING_PART, TAKING_PART[::-1]], ids=["from above", "from below"])
def test_the_phases_of_a_fork_and_the_exit_have_one_order(start_program, tmp_path, modules):
    """Whatever is imported first."""
    third_party = str(pathlib.Path(msgspec.__file__).parents[1])
    parent, child, unnoticed = start_program("phases", PHASES, str(tmp_path / "cache"), third_party, *modules).finish()
    assert parent == [
        *(f"before {phase}" for phase in HELD),
        *(f"in_parent {phase}" for phase in reversed(HELD) if phase != "connections"),
        "at_exit background",
        "at_exit temporary",
        "at_exit stores",
        "at_exit guard",
    ]
    begun_anew = [f"in_child {phase}" for phase in BEGUN_ANEW]
    assert child == begun_anew
    assert unnoticed == ["unnoticed guard", "unnoticed calls", "unnoticed stores", *begun_anew]


# Forks while each phase is interrupted, and says so when that has come out in the parent.
INTERRUPTED = """
    import os, signal, time, warnings
    import fastcache
    from fastcache.runtime import fork

    # Whoever was started in the background may have inherited that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    warnings.filterwarnings("ignore", "This process .*is multi-threaded", DeprecationWarning)

    def interrupt(phase):
        before = phase.before

        def interrupted():
            before()
            raise KeyboardInterrupt

        phase.before = interrupted

    cache = fastcache.Cache(sys.argv[1])
    cache["a"] = 1
    for phase in fork.PHASES:
        interrupt(phase)
    try:
        if os.fork() == 0:
            cache["a"] = 2
            os._exit(0)
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        assert os.wait()[1] == 0
        assert cache["a"] == 2
        cache["a"] = 3
        print('"interrupted"')
"""


@forks
def test_an_interrupt_keeps_no_phase_from_being_carried_out_and_undone(start_program, tmp_path):
    assert start_program("interrupted", INTERRUPTED, str(tmp_path / "cache")).finish() == "interrupted"


# Uses a cache, and a temporary one, when all exit handlers have run that were registered after its own, and when the
# interpreter lets go of the program's globals.
LATE = """
    import atexit, json, sys

    def save():
        temporary["handler"] = stored["handler"] = {"a": [1]}
        stored.set("expires", 1, expire=100)

    atexit.register(save)

    import fastcache

    class Saver:
        def __init__(self, *caches):
            self.caches = caches

        def __del__(self):
            for cache in self.caches:
                cache["finalizer"] = ("b", 2.5)
                assert cache["early"] == cache["handler"] == {"a": [1]}, dict(cache)
                assert len(cache) == len(list(cache)) > 2
            print(json.dumps(temporary_directory), flush=True)

    stored, temporary = fastcache.Cache(sys.argv[1]), fastcache.Cache()
    temporary_directory = temporary.directory
    stored["early"] = temporary["early"] = {"a": [1]}
    saver = Saver(stored, temporary)
    if sys.argv[2] == "cycle":
        saver.itself = saver
"""


@pytest.mark.parametrize("how", ["count", "cycle"])
def test_a_cache_can_be_used_until_the_interpreter_is_gone(start_program, tmp_path, how):
    directory = start_program("late", LATE, str(tmp_path / "cache"), how).finish()
    with fastcache.Cache(tmp_path / "cache") as cache:
        assert dict(cache) == {
            "early": {"a": [1]},
            "handler": {"a": [1]},
            "expires": 1,
            "finalizer": ("b", 2.5),
        }
        assert cache.check()
    assert not os.path.exists(directory)


# Workers write, and end as their library lets them: into a cache that was open before, into one that they open, and at
# their end.
WORKERS = """
    import atexit, multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor

    import fastcache

    def work(number, before=None):
        global opened
        cache = before or cached
        if cache is not None:
            cache[f"before {number}"] = "acknowledged"
        opened = fastcache.Cache(sys.argv[1])
        opened[f"opened {number}"] = "acknowledged"
        multiprocessing.util.Finalize(None, finish, (number,), exitpriority=0)

    def finish(number):
        opened[f"finished {number}"] = "acknowledged"

    cached = None
    if __name__ == "__main__":
        cached = fastcache.Cache(sys.argv[1])
        cached["parent"] = 1
        context = multiprocessing.get_context(sys.argv[2])
        if sys.argv[3] == "Process":
            workers = [context.Process(target=work, args=(number,)) for number in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
        elif sys.argv[3] == "Pool":
            pool = context.Pool(2)
            pool.map(work, range(3))
            pool.close()
            pool.join()
        else:
            with ProcessPoolExecutor(2, mp_context=context) as executor:
                list(executor.map(work, range(3)))
"""


@forks
@pytest.mark.parametrize("kind", ["Process", "Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_what_a_worker_has_set_last_is_there_when_it_has_ended(start_file, tmp_path, method, kind):
    start_file("workers", WORKERS, str(tmp_path / "cache"), method, kind).finish()
    with fastcache.Cache(tmp_path / "cache") as cache:
        told = {"opened", "finished"} | ({"before"} if method == "fork" else set())
        assert dict(cache) == {"parent": 1} | {
            f"{what} {number}": "acknowledged" for what in told for number in range(3)
        }
        assert cache.check()
