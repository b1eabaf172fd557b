"""What joblib.Memory does over our store."""

import datetime
import pickle

import pytest

pytest.importorskip("joblib", reason="joblib is not installed")

import joblib

import fastcache
from fastcache.integrations.joblib import FastCacheStore

calls = []


def square(number):
    calls.append(number)
    return {"square": number * number}


@pytest.fixture
def memory(tmp_path):
    calls.clear()
    made = joblib.Memory(tmp_path / "results", backend="fastcache", verbose=0)
    yield made
    made.store_backend.cache.close()


def test_a_result_is_computed_once_and_found_by_the_next_program(memory, tmp_path):
    cached = memory.cache(square)
    assert [cached(3), cached(number=3), cached(4)] == [{"square": 9}, {"square": 9}, {"square": 16}]
    assert cached.check_call_in_cache(3)
    again = joblib.Memory(tmp_path / "results", backend="fastcache", verbose=0)
    assert again.cache(square)(3) == {"square": 9}
    assert calls == [3, 4]
    again.store_backend.cache.close()


def test_results_are_cleared_alone_by_function_or_all(memory):
    cached, other = memory.cache(square), memory.cache(sorted)
    cached(3)
    cached(4)
    other([2, 1])
    assert memory.store_backend.contains_path([cached.func_id])
    cached.call_and_shelve(3).clear()
    assert not cached.check_call_in_cache(3)
    assert cached.check_call_in_cache(4)
    cached.clear(warn=False)
    assert not cached.check_call_in_cache(4)
    assert other.check_call_in_cache([2, 1])
    memory.clear(warn=False)
    assert not other.check_call_in_cache([2, 1])


def test_what_is_shelved_is_got(memory):
    shelved = memory.cache(square).call_and_shelve(5)
    assert shelved.get() == {"square": 25}
    shelved.clear()
    with pytest.raises(KeyError):
        shelved.get()


def test_a_result_that_is_not_valid_any_more_is_computed_again(memory):
    cached = memory.cache(square, cache_validation_callback=lambda metadata: metadata["duration"] < 0)
    cached(3)
    cached(3)
    assert calls == [3, 3]


def test_limits_remove_what_was_computed_first(memory):
    cached = memory.cache(square)
    for number in range(6):
        cached(number)
    items = memory.store_backend.get_items()
    assert len(items) == 6
    assert all(item.size > 0 for item in items)
    memory.reduce_size(items_limit=2)
    assert [number for number in range(6) if cached.check_call_in_cache(number)] == [4, 5]
    memory.reduce_size(age_limit=datetime.timedelta(0))
    assert not memory.store_backend.get_items()


def test_arrays_are_maps_that_are_read_only_if_asked_for(tmp_path):
    numpy = pytest.importorskip("numpy")
    for mode, writable in [("r", False), ("c", True), (None, True)]:
        memory = joblib.Memory(tmp_path / "arrays", backend="fastcache", verbose=0, mmap_mode=mode)
        cached = memory.cache(numpy.zeros)
        cached(100_000)
        assert cached(100_000).flags.writeable is writable
        memory.store_backend.cache.close()


def test_options_are_those_of_a_cache_and_others_are_refused(tmp_path):
    memory = joblib.Memory(tmp_path / "a", backend="fastcache", backend_options={"max_size": 10**9}, verbose=0)
    assert memory.store_backend.cache.max_size == 10**9
    memory.store_backend.cache.close()
    with pytest.raises(ValueError, match="mmap_mode"):
        joblib.Memory(tmp_path / "b", backend="fastcache", mmap_mode="r+")
    with pytest.raises(ValueError, match="compression"):
        joblib.Memory(tmp_path / "b", backend="fastcache", compress=True)


def test_a_store_travels_with_its_functions(memory):
    cached = memory.cache(square)
    cached(3)
    store = pickle.loads(pickle.dumps(memory.store_backend))
    assert isinstance(store, FastCacheStore)
    assert isinstance(store.cache, fastcache.Cache)
    assert store.contains_path([cached.func_id])
    store.cache.close()
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(cached)(3) for _ in range(4)) == [{"square": 9}] * 4
