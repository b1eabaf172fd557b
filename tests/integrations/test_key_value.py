"""What the store for py-key-value promises beyond its protocol."""

import asyncio

import pytest

pytest.importorskip("key_value.aio", reason="py-key-value-aio is not installed")

from key_value.aio.errors import SerializationError

from fastcache.integrations.key_value import FastCacheStore


def test_entries_are_put_got_and_deleted_by_collection(tmp_path):
    async def use():
        async with FastCacheStore(tmp_path / "cache") as store:
            await store.put("k", {"v": [1, {"w": None}]})
            await store.put("k", {"v": 2}, collection="other")
            assert await store.get("k") == {"v": [1, {"w": None}]}
            assert await store.get("k", collection="other") == {"v": 2}
            await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=60)
            assert await store.get_many(["b", "absent", "a"]) == [{"n": 2}, None, {"n": 1}]
            value, ttl = await store.ttl("a")
            assert value == {"n": 1}
            assert 0 < ttl <= 60
            assert sorted(await store.keys()) == ["a", "b", "k"]
            assert len(await store.keys(limit=2)) == 2
            assert await store.delete_many(["a", "absent"]) == 1
            assert await store.delete("a") is False
            assert len(await store.collections()) == 2
            assert await store.destroy_collection("other") is True
            assert await store.get("k", collection="other") is None
            assert await store.destroy() is True
            assert await store.keys() == []

    asyncio.run(use())


def test_what_is_stored_is_there_for_the_next_loop_and_expires(tmp_path, clock):
    async def put():
        async with FastCacheStore(tmp_path / "cache", timer=clock) as store:
            await store.put("k", {"v": 1})
            await store.put("l", {"v": 2}, ttl=8)

    async def get(seconds):
        clock.advance(seconds)
        async with FastCacheStore(tmp_path / "cache", timer=clock) as store:
            await store.cull()
            return await store.get_many(["k", "l"]), len(store.cache)

    asyncio.run(put())
    assert asyncio.run(get(4)) == ([{"v": 1}, {"v": 2}], 2)
    assert asyncio.run(get(4)) == ([{"v": 1}, None], 1)


def test_what_is_no_json_is_refused(tmp_path):
    async def use():
        async with FastCacheStore(tmp_path / "cache") as store:
            for put in (store.put("k", {"v": object()}), store.put_many(["k"], [{"v": 1j}])):
                with pytest.raises(SerializationError):
                    await put
            assert await store.get("k") is None

    asyncio.run(use())


def test_what_cannot_be_decoded_is_missing(tmp_path):
    async def use():
        async with FastCacheStore(tmp_path / "cache", secret="a" * 16) as one:
            one.cache["c", "k"] = ValueError("signed")
        async with FastCacheStore(tmp_path / "cache", secret="b" * 16) as other:
            assert await other.get("k", collection="c") is None
            assert await other.get_many(["k"], collection="c") == [None]

    asyncio.run(use())
