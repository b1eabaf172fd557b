"""What the store for py-key-value promises beyond what py-key-value's own tests ask.

Those lie in its repository: ``python tests/integrations_conformance.py key_value --source CLONE``.
"""

import asyncio
import collections
import functools
import json

import pytest

import fastcache

pytest.importorskip("key_value.aio", reason="py-key-value-aio is not installed")

from key_value.aio.errors import DeserializationError, InvalidTTLError, SerializationError
from key_value.aio.protocols.key_value import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)

from fastcache.integrations.key_value import FastCacheStore

IN_ANOTHER_PROCESS = """
import asyncio, sys
from fastcache.integrations.key_value import FastCacheStore
async def use():
    async with FastCacheStore(sys.argv[1]) as store:
        assert await store.get("here", collection="c") == {"seen": 1}
        await store.put("there", {"seen": 2}, collection="c")
asyncio.run(use())
"""


def coroutine(test):
    """The test runs in an event loop of its own."""

    @functools.wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "store"


@pytest.fixture(params=["directory", "without memory", "FanoutCache"])
def store(request, directory):
    if request.param == "FanoutCache":
        with fastcache.FanoutCache(directory, shards=3) as cache:
            yield FastCacheStore(cache)
    else:
        store = FastCacheStore(directory, memory=0 if request.param == "without memory" else 1_000_000)
        yield store
        store.cache.close()


@coroutine
async def test_it_has_every_protocol_that_there_is(store):
    for protocol in (
        AsyncKeyValue,
        AsyncCullProtocol,
        AsyncDestroyCollectionProtocol,
        AsyncDestroyStoreProtocol,
        AsyncEnumerateCollectionsProtocol,
        AsyncEnumerateKeysProtocol,
    ):
        assert isinstance(store, protocol)


@coroutine
async def test_collections_and_keys_are_told_apart_wherever_one_ends(store):
    names = [("a", "b::c"), ("a::b", "c"), ("a", "b"), ("é\ud800", ""), ("A", "b")]
    for number, (collection, key) in enumerate(names):
        await store.put(key, {"number": number}, collection=collection)
    found = [await store.get(key, collection=collection) for collection, key in names]
    assert found == [{"number": number} for number in range(len(names))]
    assert sorted(await store.keys("a")) == ["b", "b::c"]
    assert set(await store.collections()) == {collection for collection, _ in names}


@coroutine
async def test_a_key_without_a_collection_is_in_that_of_the_store(directory):
    async with FastCacheStore(directory) as store, FastCacheStore(directory, default_collection="mine") as other:
        await store.put("k", {"v": 1})
        assert await other.get("k") is None
        await other.put("k", {"v": 2})
        assert await store.get("k", collection="mine") == {"v": 2}


@coroutine
async def test_keys_and_collections_are_listed_up_to_a_limit(store):
    for collection in ("a", "b", "c"):
        await store.put_many([f"{number}" for number in range(5)], [{}] * 5, collection=collection)
    assert sorted(await store.keys("b")) == ["0", "1", "2", "3", "4"]
    assert len(await store.keys("b", limit=2)) == 2
    assert sorted(await store.collections()) == ["a", "b", "c"]
    assert len(await store.collections(limit=2)) == 2
    assert await store.keys("absent") == []


@coroutine
async def test_a_collection_is_destroyed_and_the_others_stay(store):
    await store.put_many(["1", "2"], [{}, {}], collection="a")
    await store.put("1", {"v": 1}, collection="b")
    assert await store.destroy_collection("a") is True
    assert await store.destroy_collection("a") is False
    assert await store.get_many(["1", "2"], collection="a") == [None, None]
    assert await store.get("1", collection="b") == {"v": 1}
    assert await store.destroy() is True
    assert await store.collections() == []


@coroutine
async def test_what_has_expired_is_gone_and_culled(directory, clock):
    with fastcache.Cache(directory, timer=clock) as cache:
        store = FastCacheStore(cache)
        await store.put("short", {"v": 1}, ttl=10)
        await store.put_many(["long", "longer"], [{"v": 2}, {"v": 3}], ttl=100.5)
        await store.put("ever", {"v": 4})
        value, ttl = await store.ttl("short")
        assert value == {"v": 1}
        assert 0 < ttl <= 10
        assert await store.ttl("ever") == ({"v": 4}, None)
        clock.advance(11)
        assert await store.get_many(["short", "long", "ever"]) == [None, {"v": 2}, {"v": 4}]
        assert await store.ttl("short") == (None, None)
        await store.cull()
        assert sorted(cache) == [("default_collection", key) for key in ("ever", "long", "longer")]


@coroutine
async def test_put_many_is_one_transaction(directory):
    committed = []
    with fastcache.Cache(directory) as cache, fastcache.Cache(directory) as other:
        store = FastCacheStore(cache)

        async def watch():
            while not committed or committed[-1] < 100:
                committed.append(len(other))
                await asyncio.sleep(0)

        names = [str(number) for number in range(100)]
        await asyncio.gather(watch(), store.put_many(names, [{}] * 100))
    assert set(committed) <= {0, 100}


@coroutine
async def test_a_value_that_is_no_json_is_refused_and_what_was_there_stays(store):
    await store.put("k", {"v": 1})
    for value in ({"v": object()}, {"v": {1, 2}}):
        with pytest.raises(SerializationError):
            await store.put("k", value)
        with pytest.raises(SerializationError):
            await store.put_many(["other", "k"], [{}, value])
    with pytest.raises(InvalidTTLError):
        await store.put("k", {}, ttl=0)
    assert await store.get("k") == {"v": 1}
    assert await store.get("other") is None


@coroutine
async def test_what_was_planted_is_data_or_nothing(directory):
    async with FastCacheStore(directory) as store:
        store.cache["default_collection", "object"] = collections.Counter(a=1)
        store.cache["default_collection", "text"] = "no JSON"
        store.cache["default_collection", "number"] = 7
        assert await store.get("number") is None
        assert await store.get("object") is None
        assert await store.get_many(["object", "number"]) == [None, None]
        with pytest.raises(DeserializationError):
            await store.get("text")


@coroutine
async def test_what_was_signed_with_another_secret_is_missing(directory):
    async with FastCacheStore(directory, secret="one secret of someone's") as store:
        store.cache["default_collection", "k"] = collections.Counter(a=1)
    async with FastCacheStore(directory, secret="the secret of another") as store:
        assert await store.get("k") is None
        assert await store.get_many(["k"]) == [None]
        assert await store.ttl("k") == (None, None)


@coroutine
async def test_it_is_there_when_the_directory_is_opened_again(directory):
    async with FastCacheStore(directory) as store:
        await store.put("k", {"v": [1, 2.5, None, "é"]}, ttl=1000)
    with pytest.raises(fastcache.ClosedError):
        await store.get("k")
    async with FastCacheStore(directory) as store:
        value, ttl = await store.ttl("k")
        assert value == {"v": [1, 2.5, None, "é"]}
        assert 900 < ttl <= 1000


@coroutine
async def test_closing_leaves_open_what_was_open(directory):
    with fastcache.Cache(directory) as cache:
        async with FastCacheStore(cache) as store:
            await store.put("k", {"v": 1})
        assert json.loads(cache["default_collection", "k"])["value"] == {"v": 1}


@coroutine
async def test_processes_share_it(directory, start_file):
    async with FastCacheStore(directory) as store:
        await store.put("here", {"seen": 1}, collection="c")
        await asyncio.to_thread(start_file("another", IN_ANOTHER_PROCESS, str(directory)).finish)
        assert await store.get("there", collection="c") == {"seen": 2}


@coroutine
async def test_it_works_inside_a_transaction_of_the_task(directory):
    with fastcache.Cache(directory) as cache:
        store = FastCacheStore(cache)
        with cache.transact():
            await store.put("k", {"v": 1})
            assert await store.get_many(["k", "other"]) == [{"v": 1}, None]
        assert await store.get("k") == {"v": 1}


@coroutine
async def test_bad_options_are_refused(directory):
    with pytest.raises(TypeError, match="no_such"):
        FastCacheStore(directory, no_such=1)
    with fastcache.Cache(directory) as cache, pytest.raises(TypeError, match="max_size"):
        FastCacheStore(cache, max_size=1)
