"""What the storages for hishel promise beyond what hishel's own tests ask.

Those lie in its source distribution: ``python tests/integrations_conformance.py hishel --source FOLDER``.
"""

import asyncio
import collections
import functools
import logging
import sqlite3
import uuid

import pytest

import fastcache
from tests.together import together

pytest.importorskip("hishel", reason="hishel is not installed")
pytest.importorskip("anyio", reason="anyio is not installed")

from hishel import Headers, Request, Response

from fastcache.integrations import hishel as ours
from fastcache.integrations.hishel import AsyncFastCacheStorage, FastCacheStorage

LARGE = bytes(range(256)) * 4096 * 9 + b"the end"
IN_ANOTHER_PROCESS = """
import sys
from hishel import Request, Response
from fastcache.integrations.hishel import FastCacheStorage
storage = FastCacheStorage(sys.argv[1])
[found] = storage.get_entries("here")
assert b"".join(found.response.stream) == b"seen"
body = iter([b"large"] * 500_000)
entry = storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=body), "there")
for piece in entry.response.stream:
    pass
storage.close()
"""
KILLED_WHILE_IT_WRITES = """
import os, sys, signal
from hishel import Request, Response
from fastcache.integrations.hishel import FastCacheStorage
storage = FastCacheStorage(sys.argv[1])
entry = storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=iter([b"x" * 1_000_000] * 50)), "k")
for number, piece in enumerate(entry.response.stream):
    if number == 20:
        print(1, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


class InCoroutines:
    """An AsyncFastCacheStorage behind the methods of a FastCacheStorage, each call in an event loop of its own."""

    def __init__(self, *arguments, **named):
        self.inner = AsyncFastCacheStorage(*arguments, **named)
        self.cache = self.inner.cache
        self.loop = asyncio.new_event_loop()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def create_entry(self, request, response, key, **limits):
        stream = response.stream

        async def streamed():
            for piece in stream:
                yield piece

        entry = self.run(
            self.inner.create_entry(
                request, Response(response.status_code, response.headers, streamed()), key, **limits
            )
        )
        return self.with_stream(entry)

    def with_stream(self, entry):
        stream = entry.response.stream

        def streamed():
            try:
                while True:
                    try:
                        yield self.run(anext(stream))
                    except StopAsyncIteration:
                        return
            finally:
                self.run(stream.aclose())

        entry.response.stream = streamed()
        return entry

    def get_entries(self, key):
        return [self.with_stream(entry) for entry in self.run(self.inner.get_entries(key))]

    def __getattr__(self, name):
        method = getattr(self.inner, name)
        return lambda *arguments: self.run(method(*arguments))


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "responses"


@pytest.fixture(params=[FastCacheStorage, InCoroutines], ids=["sync", "async"])
def open_storage(request, directory):
    opened = []

    def open_one(where=directory, **options):
        opened.append(request.param(where, **options))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()


@pytest.fixture
def storage(open_storage):
    return open_storage()


def create(storage, key="k", body=(b"body",), url="https://x.test/", headers=(), **limits):
    request = Request("GET", url, Headers({"accept": ["a", "b"]}))
    response = Response(200, Headers(dict(headers)), iter(body))
    return storage.create_entry(request, response, key, **limits)


def read(entry):
    return b"".join(entry.response.stream)


def store(storage, *arguments, **named):
    entry = create(storage, *arguments, **named)
    read(entry)
    return entry


def in_pieces(body, size=100_000):
    return [body[start : start + size] for start in range(0, len(body), size)]


SIZES = [0, 1, ours.SMALL_BYTES, ours.SMALL_BYTES + 1, ours.CHUNK_BYTES, ours.CHUNK_BYTES + 1, 2 * ours.CHUNK_BYTES]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_of_any_size_comes_back(storage, size):
    body = (LARGE * 2)[:size]
    entry = create(storage, body=in_pieces(body), headers={"etag": "1", "set-cookie": ["a", "b"]}.items())
    assert storage.get_entries("k") == []
    assert read(entry) == body
    for _ in range(2):
        [found] = storage.get_entries("k")
        assert (found.id, found.request.method, found.request.url) == (entry.id, "GET", "https://x.test/")
        assert found.request.headers.get_list("accept") == ["a", "b"]
        assert found.response.headers.get_list("set-cookie") == ["a", "b"]
        assert (found.response.status_code, read(found)) == (200, body)


def test_one_key_has_many_responses_and_each_its_own(storage):
    stored = [store(storage, body=[str(number).encode()]) for number in range(5)]
    other = store(storage, key="other")
    storage.remove_entry(stored[2].id)
    assert [read(found) for found in storage.get_entries("k")] == [b"0", b"1", b"3", b"4"]
    assert [found.id for found in storage.get_entries("other")] == [other.id]
    store(storage, body=[b"5"])
    # What is gone is named no more.
    assert len(storage.cache["k"]) == 5 * ours.ID_BYTES


def test_headers_are_replaced_and_the_rest_stays(storage):
    for body in (b"small", LARGE):
        entry = store(storage, key=str(len(body)), body=in_pieces(body), ttl=100)
        storage.update_headers(entry.id, Headers({"etag": "new"}))
        [found] = storage.get_entries(str(len(body)))
        assert (found.response.headers["etag"], read(found)) == ("new", body)
    storage.update_headers(uuid.uuid4(), Headers({}))
    storage.remove_entry(uuid.uuid4())


def test_nothing_of_a_response_is_left_once_it_is_removed(storage):
    entries = [store(storage, body=in_pieces(body)) for body in (b"small", LARGE)]
    for entry in entries:
        storage.remove_entry(entry.id)
    assert storage.get_entries("k") == []
    assert list(storage.cache) == ["k"]


def test_all_of_a_response_expires(open_storage, clock):
    storage = open_storage(timer=clock, default_ttl=1000)
    store(storage, body=in_pieces(LARGE), ttl=100)
    store(storage, key="ever", ttl=None)
    clock.advance(99)
    assert len(storage.get_entries("k")) == 1
    clock.advance(2)
    assert storage.get_entries("k") == []
    storage.cache.expire()
    assert [key for key in storage.cache if not isinstance(key, bytes)] == ["ever"]
    clock.advance(1000)
    storage.cache.expire()
    assert len(storage.cache) == 0


def test_all_of_a_response_stays_while_it_is_used(open_storage, clock):
    storage = open_storage(timer=clock, default_tti=100, default_ttl=1000)
    store(storage, body=in_pieces(LARGE))
    for _ in range(12):
        clock.advance(80)
        storage.cache.expire()
        [found] = storage.get_entries("k")
        assert read(found) == LARGE
    clock.advance(80)
    assert storage.get_entries("k") == []


def test_what_is_unlimited_keeps_what_expires_beside_it_company(open_storage, clock):
    storage = open_storage(timer=clock)
    ever = store(storage)
    store(storage, ttl=10)
    clock.advance(11)
    storage.cache.expire()
    assert [found.id for found in storage.get_entries("k")] == [ever.id]


def test_whoever_reads_goes_on_whatever_becomes_of_the_response(open_storage):
    storage = open_storage()
    entry = store(storage, body=in_pieces(LARGE))
    [one], [other] = storage.get_entries("k"), storage.get_entries("k")
    first = next(one.response.stream)
    storage.remove_entry(entry.id)
    storage.cache.clear()
    assert first + read(one) == LARGE
    storage.cache.close()
    assert read(other) == LARGE


def test_a_response_of_which_a_part_was_evicted_is_missing(storage):
    entry = store(storage, body=in_pieces(LARGE))
    del storage.cache[entry.id.bytes, 1]
    assert storage.get_entries("k") == []


def test_within_a_limit_what_is_found_is_whole(open_storage):
    storage = open_storage(max_size=30_000_000)
    found = 0
    for number in range(12):
        store(storage, key=str(number), body=in_pieces(LARGE))
        for earlier in range(number + 1):
            for entry in storage.get_entries(str(earlier)):
                found += 1
                assert read(entry) == LARGE
    assert found


def test_what_is_given_up_or_too_large_leaves_nothing(open_storage):
    def broken():
        yield from in_pieces(LARGE)
        raise ConnectionError("the server is gone")

    storage = open_storage(max_stream_size=ours.CHUNK_BYTES * 2 + 10)
    abandoned = create(storage, body=in_pieces(LARGE[: ours.CHUNK_BYTES + 200_000]))
    next(abandoned.response.stream)
    abandoned.response.stream.close()
    assert read(create(storage, body=in_pieces(LARGE))) == LARGE
    with pytest.raises(ConnectionError):
        read(create(storage, body=broken()))
    assert len(storage.cache) == 0


def test_what_is_removed_while_it_is_written_is_not_found(storage):
    entry = create(storage, body=in_pieces(LARGE))
    next(entry.response.stream)
    storage.remove_entry(entry.id)
    read(entry)
    assert len(storage.cache) == 0


def test_a_cache_that_cannot_be_written_costs_no_response_and_is_told_without_the_url(open_storage, caplog):
    storage = open_storage(timeout=0.05)
    stored = store(storage, key="before")
    entries = [create(storage, key="after", body=in_pieces(body), url="https://secret.test") for body in (b"1", LARGE)]
    blocker = sqlite3.connect(f"{storage.cache.directory}/cache.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING):
        assert [read(entry) for entry in entries] == [b"1", LARGE]
        storage.remove_entry(stored.id)
        storage.update_headers(stored.id, Headers({"etag": "new"}))
    blocker.close()
    assert caplog.text.count("is not stored as it was to be") == 4
    assert "secret.test" not in caplog.text
    assert storage.get_entries("after") == []
    assert len(storage.get_entries("before")) == 1


def test_what_was_planted_is_data_or_missing(storage, caplog):
    entry = store(storage)
    other = store(storage)
    for planted in (collections.Counter(a=1), b"\xc1", b"\x90", 7, "text"):
        storage.cache[entry.id.bytes] = planted
        with caplog.at_level(logging.WARNING):
            assert [found.id for found in storage.get_entries("k")] == [other.id]
        caplog.clear()
    storage.cache["k"] = "text"
    assert storage.get_entries("k") == []


def test_it_is_there_when_the_directory_is_opened_again(open_storage):
    storage = open_storage()
    store(storage, body=in_pieces(LARGE))
    storage.close()
    storage.close()
    for use in (lambda: storage.get_entries("k"), lambda: create(storage)):
        with pytest.raises(fastcache.ClosedError):
            use()
    [found] = open_storage().get_entries("k")
    assert read(found) == LARGE


def test_processes_share_it(storage, directory, start_file):
    store(storage, key="here", body=[b"seen"])
    start_file("another", IN_ANOTHER_PROCESS, str(directory)).finish()
    [found] = storage.get_entries("there")
    assert read(found) == b"large" * 500_000


def test_of_a_writer_that_was_killed_nothing_is_found_and_nothing_stays(directory, start_file):
    process = start_file("killed", KILLED_WHILE_IT_WRITES, str(directory))
    assert process.hear() == 1
    process.popen.wait()
    with fastcache.Cache(directory) as cache:
        assert len(cache) > 0
        assert all(isinstance(key, tuple) for key in cache)
        assert FastCacheStorage(cache).get_entries("k") == []
        assert all(cache.get(key, buffer=True, expire_time=True)[1] is not None for key in cache)


def test_threads_share_it(directory):
    def use(name):
        for number in range(10):
            body = in_pieces(LARGE[: 60_000 * number])
            store(storage, key="k", body=[*body, name.encode()])
            for found in storage.get_entries("k"):
                assert read(found)
        return name

    storage = FastCacheStorage(directory)
    together(*(functools.partial(use, name) for name in "abcd"))
    assert collections.Counter(read(found)[-1:] for found in storage.get_entries("k")) == dict.fromkeys(
        [b"a", b"b", b"c", b"d"], 10
    )
    storage.close()


def test_coroutines_share_it_and_the_loop_goes_on(directory):
    async def use(storage, number):
        async def body():
            for piece in in_pieces(LARGE):
                yield piece

        entry = await storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=body()), "k")
        return b"".join([piece async for piece in entry.response.stream]) == LARGE

    async def use_all():
        storage = AsyncFastCacheStorage(directory)
        assert all(await asyncio.gather(*(use(storage, number) for number in range(5))))
        assert len(await storage.get_entries("k")) == 5
        await storage.close()

    asyncio.run(use_all())


def test_a_task_that_is_cancelled_while_it_reads_leaves_nothing(directory):
    async def use():
        async def body():
            for piece in in_pieces(LARGE):
                yield piece
            reached.set()
            await asyncio.Event().wait()

        async def read_all():
            entry = await storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=body()), "k")
            async for _ in entry.response.stream:
                pass

        storage, reached = AsyncFastCacheStorage(directory), asyncio.Event()
        task = asyncio.create_task(read_all())
        await reached.wait()
        assert len(storage.cache) == 2
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(storage.cache) == 0
        await storage.close()

    asyncio.run(use())


def test_closing_leaves_open_what_was_open(directory):
    with fastcache.Cache(directory) as cache:
        storage = FastCacheStorage(cache)
        store(storage)
        storage.close()
        assert len(storage.get_entries("k")) == 1


def test_bad_options_are_refused(directory):
    with pytest.raises(TypeError, match="no_such"):
        FastCacheStorage(directory, no_such=1)
    with fastcache.Cache(directory) as cache, pytest.raises(TypeError, match="max_size"):
        FastCacheStorage(cache, max_size=1)
    with fastcache.FanoutCache(directory / "shards") as cache, pytest.raises(TypeError, match="give a Cache"):
        FastCacheStorage(cache)
    with pytest.raises(TypeError, match="give a Cache"):
        AsyncFastCacheStorage(directory, shards=2)
