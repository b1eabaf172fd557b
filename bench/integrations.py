"""Compare the adapters of fastcache with what users of their libraries have today.

    python bench/integrations.py --turns 5

Each row is one call of the library's own interface, in a directory of its own with 1,000 entries of about 1 KiB. The
contenders take turns, and the medians of all turns are printed. What is not installed is left out.
"""

import argparse
import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

ENTRIES = 1_000
CALLS = 100
BODY = b"x" * 1024
Calls = dict[str, Callable[[int], Any]]


def langchain(directory: Path, ours: bool) -> Calls:
    from langchain_core.messages import AIMessage
    from langchain_core.outputs import ChatGeneration

    if ours:
        from fastcache.integrations.langchain import FastCache

        cache: Any = FastCache(directory)
    else:
        from langchain_community.cache import SQLiteCache

        cache = SQLiteCache(str(directory / "cache.db"))
    answer = [ChatGeneration(message=AIMessage(content=BODY.decode(), response_metadata={"model": "m"}))]
    for number in range(ENTRIES):
        cache.update(f"prompt {number}", "model", answer)
    assert cache.lookup("prompt 1", "model") == answer
    return {
        "lookup": lambda number: cache.lookup(f"prompt {number}", "model"),
        "lookup, absent": lambda number: cache.lookup(f"absent {number}", "model"),
        "update": lambda number: cache.update(f"prompt {number}", "model", answer),
        "alookup": lambda number: cache.alookup(f"prompt {number}", "model"),
    }


def key_value(directory: Path, ours: bool) -> Calls:
    if ours:
        from fastcache.integrations.key_value import FastCacheStore

        store: Any = FastCacheStore(directory)
    else:
        from key_value.aio.stores.disk import DiskStore

        store = DiskStore(directory=directory)
    value = {"text": BODY.decode(), "number": 1}
    names = [str(number) for number in range(ENTRIES)]
    asyncio.run(store.put_many(names, [value] * ENTRIES))
    return {
        "get": lambda number: store.get(str(number)),
        "get, absent": lambda number: store.get(f"absent {number}"),
        "put": lambda number: store.put(str(number), value, ttl=3600),
        "get_many of 100": lambda number: store.get_many(names[number : number + 100]),
        "put_many of 100": lambda number: store.put_many(names[number : number + 100], [value] * 100),
    }


def hishel(directory: Path, ours: bool) -> Calls:
    from hishel import AsyncSqliteStorage, Headers, Request, Response, SqliteStorage

    from fastcache.integrations.hishel import AsyncFastCacheStorage, FastCacheStorage

    large = BODY * 1024
    path = directory / "cache.db"
    storage: Any = FastCacheStorage(directory) if ours else SqliteStorage(database_path=path)
    in_coroutines: Any = AsyncFastCacheStorage(directory) if ours else AsyncSqliteStorage(database_path=path)
    headers = Headers({"cache-control": "max-age=3600", "content-type": "text/plain", "etag": "1"})

    def store(key: str, body: bytes) -> None:
        response = Response(200, headers, iter([body]))
        for _ in storage.create_entry(Request("GET", "https://x.test"), response, key).response.stream:
            pass

    def read(key: str) -> bytes:
        [entry] = storage.get_entries(key)
        return b"".join(entry.response.stream)

    async def read_in_coroutine(key: str) -> bytes:
        [entry] = await in_coroutines.get_entries(key)
        return b"".join([piece async for piece in entry.response.stream])

    for number in range(ENTRIES):
        store(f"key {number}", BODY)
    store("large", large)
    assert read("large") == large
    return {
        "response of 1 KiB, found and read": lambda number: read(f"key {number}"),
        "the same in a coroutine": lambda number: read_in_coroutine(f"key {number}"),
        "response of 1 MiB, found and read": lambda number: read("large"),
        "absent": lambda number: storage.get_entries(f"absent {number}"),
        "response of 1 KiB, stored": lambda number: store(uuid.uuid4().hex, BODY),
        "response of 1 MiB, stored": lambda number: store(uuid.uuid4().hex, large),
    }


def requests_cache(directory: Path, ours: bool) -> Calls:
    import requests
    from requests_cache import CachedResponse, SQLiteCache

    if ours:
        from fastcache.integrations.requests_cache import FastCache

        cache: Any = FastCache(directory)
    else:
        cache = SQLiteCache(directory / "cache.db")
    response = CachedResponse(status_code=200, url="https://x.test/", headers={"etag": "1"})
    response._content = BODY
    response.request.url = "https://x.test/"
    assert isinstance(response, requests.Response)
    for number in range(ENTRIES):
        cache.responses[f"key {number}"] = response
    return {
        "get_response": lambda number: cache.get_response(f"key {number}"),
        "get_response, absent": lambda number: cache.get_response(f"absent {number}"),
        "a response stored": lambda number: cache.responses.__setitem__(f"key {number}", response),
    }


def dogpile(directory: Path, ours: bool) -> Calls:
    from dogpile.cache import make_region

    region = make_region()
    if ours:
        import fastcache.integrations.dogpile

        assert fastcache.integrations.dogpile
        region.configure("fastcache", arguments={"directory": str(directory)})
    else:
        region.configure("dogpile.cache.dbm", arguments={"filename": str(directory / "cache.dbm")})
    value = {"text": BODY.decode(), "number": 1}
    for number in range(ENTRIES):
        region.set(str(number), value)
    assert region.get("1") == value
    return {
        "get": lambda number: region.get(str(number)),
        "get, absent": lambda number: region.get(f"absent {number}"),
        "set": lambda number: region.set(str(number), value),
        "get_or_create, there": lambda number: region.get_or_create(str(number), dict),
    }


def cachelib(directory: Path, ours: bool) -> Calls:
    if ours:
        from fastcache.integrations.cachelib import FastCache

        cache: Any = FastCache(directory)
    else:
        from cachelib import FileSystemCache

        cache = FileSystemCache(str(directory), threshold=0)
    value = {"text": BODY.decode(), "number": 1}
    for number in range(ENTRIES):
        cache.set(str(number), value)
    assert cache.get("1") == value
    return {
        "get": lambda number: cache.get(str(number)),
        "get, absent": lambda number: cache.get(f"absent {number}"),
        "set": lambda number: cache.set(str(number), value),
        "inc": lambda number: cache.inc("counted"),
    }


def joblib(directory: Path, ours: bool) -> Calls:
    import joblib

    if ours:
        import fastcache.integrations.joblib

        assert fastcache.integrations.joblib
    memory = joblib.Memory(str(directory), backend="fastcache" if ours else "local", verbose=0)
    cached = memory.cache(double)
    for number in range(CALLS):
        cached(number)
    return {"a result that is there": cached}


def double(number: int) -> int:
    return 2 * number


LIBRARIES: dict[str, tuple[Callable[[Path, bool], Calls], str]] = {
    "dogpile.cache": (dogpile, "dbm"),
    "cachelib": (cachelib, "FileSystemCache"),
    "joblib.Memory": (joblib, "local"),
    "LangChain": (langchain, "SQLiteCache"),
    "py-key-value": (key_value, "DiskStore"),
    "hishel": (hishel, "SqliteStorage"),
    "requests-cache": (requests_cache, "SQLiteCache"),
}


def seconds(call: Callable[[int], Any]) -> float:
    """For one of many calls, after as many that are not counted."""

    async def run_all() -> float:
        for number in range(CALLS):
            await call(number)
        start = time.perf_counter()
        for number in range(CALLS):
            await call(number)
        return time.perf_counter() - start

    probe = call(0)
    if asyncio.iscoroutine(probe):
        probe.close()
        return asyncio.run(run_all()) / CALLS
    for number in range(CALLS):
        call(number)
    start = time.perf_counter()
    for number in range(CALLS):
        call(number)
    return (time.perf_counter() - start) / CALLS


@contextmanager
def opened(make: Callable[[Path, bool], Calls]) -> Iterator[list[Calls]]:
    with tempfile.TemporaryDirectory(prefix="fastcache-bench-", ignore_cleanup_errors=True) as folder:
        directories = [Path(folder, "ours"), Path(folder, "theirs")]
        for directory in directories:
            directory.mkdir()
        yield [make(directories[0], True), make(directories[1], False)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--only", choices=sorted(LIBRARIES))
    options = parser.parse_args()
    print("| µs for a call | | fastcache | theirs | times as fast |\n|---|---|---:|---:|---:|")
    for library, (make, peer) in LIBRARIES.items():
        if options.only not in (None, library):
            continue
        try:
            with opened(make) as contenders:
                for label in contenders[0]:
                    turns = [[seconds(calls[label]) for calls in contenders] for _ in range(options.turns)]
                    ours, theirs = (median(each) * 1e6 for each in zip(*turns, strict=True))
                    print(f"| {library}: {label} | {peer} | {ours:,.1f} | {theirs:,.1f} | {theirs / ours:.1f} |")
        except ImportError as error:
            print(f"| {library} | {error} | | | |")


if __name__ == "__main__":
    main()
