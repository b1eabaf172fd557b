"""dogpile.cache's own tests of a backend, and what FastCacheBackend promises beyond them."""

import tempfile
import threading

import pytest

pytest.importorskip("dogpile.cache", reason="dogpile.cache is not installed")

from dogpile.cache import make_region, register_backend
from dogpile.cache.api import NO_VALUE
from dogpile.testing.fixtures import _GenericBackendTestSuite, _GenericMutexTestSuite, _GenericSerializerTestSuite

from fastcache.integrations.dogpile import FastCacheBackend

NAME = "fastcache.tests"
register_backend(NAME, "fastcache.integrations.dogpile", "FastCacheBackend")


def arguments(**more):
    return {"arguments": {"directory": None, **more}}


class InADirectory:
    """One for each of dogpile's test classes, whose backends are never closed."""

    backend = NAME

    @classmethod
    def setup_class(cls):
        cls.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.config_args["arguments"]["directory"] = cls.folder.name
        super().setup_class()

    @classmethod
    def teardown_class(cls):
        cls.folder.cleanup()


class TestBackend(InADirectory, _GenericBackendTestSuite):
    config_args = arguments()


class TestBackendWithShards(InADirectory, _GenericBackendTestSuite):
    config_args = arguments(shards=2)


class TestMutex(InADirectory, _GenericMutexTestSuite):
    config_args = arguments()


class TestMutexWithTimeout(InADirectory, _GenericMutexTestSuite):
    config_args = arguments(lock_timeout=20)


class TestSerializer(InADirectory, _GenericSerializerTestSuite, _GenericBackendTestSuite):
    config_args = arguments()


@pytest.fixture
def region(tmp_path):
    made = make_region().configure(NAME, arguments={"directory": str(tmp_path / "cache"), "secret": "a" * 16})
    yield made
    made.backend.cache.close()


def test_values_are_stored_under_the_rules_of_trust(region, tmp_path):
    region.set("plain", {"a": [1]})
    region.set("signed", ValueError("x"))
    assert region.get("plain") == {"a": [1]}
    assert repr(region.get("signed")) == "ValueError('x')"
    other = make_region().configure(NAME, arguments={"directory": str(tmp_path / "cache"), "secret": "b" * 16})
    assert other.get("plain") == {"a": [1]}
    assert other.get("signed") is NO_VALUE
    assert other.get_or_create("signed", lambda: "made again") == "made again"
    other.backend.cache.close()


def test_a_runner_in_the_background_releases_what_its_caller_has_acquired(tmp_path):
    threads = []

    def run(cache, key, creator, mutex):
        def work():
            try:
                cache.set(key, creator())
            finally:
                mutex.release()

        threads.append(threading.Thread(target=work))
        threads[-1].start()

    region = make_region(async_creation_runner=run)
    region.configure(NAME, expiration_time=3600, arguments={"directory": str(tmp_path / "cache")})
    for number in range(4):
        # What is there is returned until there is another.
        assert region.get_or_create("k", lambda number=number: number) == max(0, number - 1)
        for thread in threads:
            thread.join()
        assert region.get("k", ignore_expiration=True) == number
        assert not region.key_is_locked("k")
        region.invalidate(hard=False)
    assert len(threads) == 3
    region.backend.cache.close()


def test_what_has_expired_is_removed_and_others_stay(tmp_path):
    now = [1_700_000_000.0]
    backend = FastCacheBackend({"directory": tmp_path / "cache", "expire": 8, "timer": lambda: now[0]})
    backend.set_serialized("one", b"1")
    now[0] += 4
    backend.set_serialized_multi({"two": b"2", "three": b"3"})
    now[0] += 4
    assert backend.get_serialized_multi(["one", "two", "three"]) == [NO_VALUE, b"2", b"3"]
    backend.delete_multi(["two", "absent"])
    assert backend.get_serialized("two") is NO_VALUE
    backend.cache.close()


def test_without_mutexes_among_processes_dogpile_takes_its_own(tmp_path):
    backend = FastCacheBackend({"directory": tmp_path / "cache", "distributed_lock": False})
    assert backend.get_mutex("k") is None
    backend.cache.close()
