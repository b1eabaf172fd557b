"""What fastcache.diskcache's DjangoCache promises: the methods of diskcache's, over a FanoutCache of ours.

diskcache's own tests of it run by ``bench/conformance.py``.
"""

import inspect
import os
import pickle
import shutil
import threading

import pytest

import fastcache
from tests.together import in_a_thread, together

pytest.importorskip("django", reason="Django is not installed")

from fastcache import diskcache
from fastcache.diskcache import DjangoCache


@pytest.fixture
def open_backend(tmp_path):
    made = []

    def make(location=tmp_path / "cache", **params):
        made.append(DjangoCache(str(location), params))
        return made[-1]

    yield make
    for backend in made:
        backend._cache.close()


@pytest.fixture
def backend(open_backend):
    return open_backend(SHARDS=2)


def test_its_methods_are_called_as_those_of_diskcache():
    theirs = pytest.importorskip("diskcache", reason="diskcache is not installed").DjangoCache
    if theirs is DjangoCache:
        pytest.skip("another test has put fastcache's face in its place")
    own = [name for name, each in vars(theirs).items() if inspect.isfunction(each)]
    assert {"memoize", "incr", "read", "create_tag_index"} <= set(own)
    for name in own:
        found, asked = (inspect.signature(getattr(each, name)).parameters for each in (DjangoCache, theirs))
        assert [(each.name, each.kind) for each in found.values()] == [
            (each.name, each.kind) for each in asked.values()
        ], name
        for each in asked.values():
            default = found[each.name].default
            assert default == each.default or "object" in repr(each.default), name


def test_entries_have_versions_extras_and_timeouts(backend, open_backend):
    assert backend.set("k", 1, timeout=60, tag="t") is True
    assert backend.add("k", 2) is False
    assert backend.add("k", 2, version=2) is True
    assert backend.get("k") == 1
    assert backend.get("k", version=2) == 2
    assert backend.get("absent", "default") == "default"
    value, expires, tag = backend.get("k", expire_time=True, tag=True)
    assert (value, tag) == (1, "t")
    assert expires > 0
    assert backend.touch("k", timeout=None)
    assert backend.get("k", expire_time=True) == (1, None)
    assert backend.touch("absent") is False
    assert "k" in backend
    assert backend.pop("k", tag=True) == (1, "t")
    assert backend.pop("k", "default") == "default"
    assert backend.delete("k", version=2) is True
    assert backend.delete("k", version=2) is False
    for timeout in (0, -1):
        backend.set("k", 1, timeout)
        assert backend.get("k") is None
    assert open_backend(KEY_PREFIX="p", SHARDS=2).get("k") is None
    assert [backend.get_backend_timeout(each) for each in (None, 0, 5)] == [None, -1, 5]
    assert backend.get_backend_timeout() == 300
    assert open_backend(TIMEOUT=None, SHARDS=2).get_backend_timeout() is None


def test_numbers_are_counted_together(backend):
    with pytest.raises(ValueError, match="'n' not found"):
        backend.incr("n")
    assert backend.incr("n", 2, default=40) == 42
    assert backend.decr("n", 2) == 40
    together(*[lambda: [backend.incr("n") for _ in range(25)] for _ in range(4)])
    assert backend.get("n") == 140


def test_values_are_read_from_files_and_as_files(backend, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"x" * 200_000)
    with large.open("rb") as file:
        assert backend.set("k", file, read=True)
    with backend.read("k") as found:
        assert found.read() == b"x" * 200_000
    with backend.get("k", read=True) as found:
        assert found.read(3) == b"xxx"
    with pytest.raises(KeyError):
        backend.read("absent")


def test_what_is_removed_is_counted(open_backend):
    backend = open_backend(SHARDS=2, OPTIONS={"cull_limit": 0})
    for number in range(10):
        backend.set(str(number), number, tag=number % 2)
    backend.create_tag_index()
    assert backend.evict(0) == 5
    backend.drop_tag_index()
    backend.set("expired", 1, timeout=0)
    assert backend.expire() == 1
    assert backend.cull() == 0
    assert backend.clear() == 5


def test_hits_and_misses_are_told(backend):
    backend.stats(enable=True, reset=True)
    backend.set("k", 1)
    backend.get("k")
    backend.get("absent")
    assert backend.stats(enable=False, reset=True) == (1, 1)
    assert backend.stats() == (0, 0)


def test_what_lies_below_it_has_a_name(backend):
    assert isinstance(backend.cache("c"), diskcache.Cache)
    backend.deque("d", maxlen=2).extend([1, 2, 3])
    assert list(backend.deque("d")) == [2, 3]
    backend.index("i")["k"] = "v"
    assert backend.index("i")["k"] == "v"
    assert backend.cache("c").directory.startswith(backend.directory)


def test_functions_are_memoized_under_keys_that_they_tell(backend):
    calls = []

    @backend.memoize(name="square", timeout=60, tag="squares")
    def square(number):
        calls.append(number)
        return number * number

    @backend.memoize(version=2)
    def none():
        calls.append(None)

    @backend.memoize(timeout=0)
    def never():
        calls.append("never")

    for function in (lambda: square(3), none, never):
        function()
        function()
    assert calls == [3, None, "never", "never"]
    assert backend.get(square.__cache_key__(3), tag=True) == (9, "squares")
    assert none.__cache_key__() in [key for key in [none.__cache_key__()] if backend.has_key(key, version=2)]
    assert square.__wrapped__(2) == 4
    with pytest.raises(TypeError):
        backend.memoize(lambda: None)


def test_the_end_of_a_request_closes_nothing_and_threads_share_what_is_open(backend, open_backend):
    backend.set("k", "v")
    opened = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
    for _ in range(20):
        backend.close()
        assert in_a_thread(lambda: open_backend(SHARDS=2).get("k")) == "v"
    if opened is not None:
        assert len(os.listdir("/proc/self/fd")) == opened
    assert open_backend(SHARDS=2)._cache is backend._cache


def test_a_directory_that_was_removed_is_made_anew_for_the_next_backend(backend, open_backend):
    backend.set("k", "v")
    shutil.rmtree(backend.directory)
    again = open_backend(SHARDS=2)
    assert again.set("k", "w")
    assert again.get("k") == "w"


def test_what_cannot_be_stored_is_an_error_as_django_and_we_know_it(backend):
    for store in (backend.set, backend.add):
        with pytest.raises(pickle.PicklingError) as raised:
            store("k", threading.Lock())
        assert isinstance(raised.value, fastcache.EncodeError)
    assert backend.get("k") is None
