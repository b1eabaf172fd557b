"""Storages for hishel's HTTP cache: ``pip install fastcache[hishel]``.

::

    from hishel.httpx import AsyncCacheClient, CacheClient
    from fastcache.integrations.hishel import AsyncFastCacheStorage, FastCacheStorage

    client = CacheClient(storage=FastCacheStorage("responses", max_size=1_000_000_000))
    client = AsyncCacheClient(storage=AsyncFastCacheStorage("responses", max_size=1_000_000_000))

A response is an entry under its id: the request, the status, the headers, and the body if that is small. Larger bodies
lie beside it in chunks of some MiB, under tuples of id and number. Under the key of a request are the ids of all
responses to it, and among them may be some that are gone. What is always true:

- **A response is found as a whole or not at all.** Its id is written under the key of the request last, in the
  transaction that makes its chunks stay; until then these expire by themselves, whoever is killed. Whoever finds it has
  mapped all of its chunks, and can read them to the end, whatever is evicted, removed or closed meanwhile.
- **Whatever fails in the cache costs a request, not a response.** It is logged.
- **Nothing in the directory can be more than data**: everything is bytes, read as MessagePack of a fixed shape.

Of a cache with ``compression``, a body that is found is in memory as a whole.
"""

# Whoever checks types needs no hishel:
# mypy: disable-error-code="import-untyped, import-not-found, misc, unused-ignore"

from __future__ import annotations

import logging
import uuid
import weakref
from dataclasses import replace

import msgspec
from hishel import AsyncBaseStorage, BaseStorage, Entry, Headers, Request, Response

from fastcache import FanoutCache
from fastcache.engine.mapping import now_of
from fastcache.errors import ClosedError
from fastcache.integrations.opening import is_inside, open_cache
from fastcache.runtime.imports import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any

    from fastcache import Cache
    from fastcache.integrations.opening import _Source

__all__ = ["AsyncFastCacheStorage", "FastCacheStorage"]

# A body up to this size lies in the row of its response, which the memory tier keeps.
SMALL_BYTES = 48 * 1024
# What a writer holds in memory of a larger one.
CHUNK_BYTES = 4 * 1024 * 1024
# What a reader is given of it at once.
PIECE_BYTES = 128 * 1024
# When chunks expire whose writer has neither finished nor given up.
UNFINISHED_SECONDS = 24 * 3600
ID_BYTES = 16

_UNKNOWN = object()

_logger = logging.getLogger("fastcache")


class _Stored(msgspec.Struct, array_like=True):
    """A response as it is stored; the times are seconds since the epoch."""

    key: str
    method: str
    url: str
    request_headers: dict[str, list[str]]
    status: int
    headers: dict[str, list[str]]
    body: bytes
    chunks: int
    ttl_deadline: float | None
    tti: float | None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Stored).decode


def _listed(headers: Headers) -> dict[str, list[str]]:
    return {name: headers.get_list(name) or [] for name in headers}


class _Found:
    """A response that is stored, with all of its body at hand."""

    __slots__ = ("body", "id", "stored")

    def __init__(self, id: bytes, stored: _Stored, body: list[Any]) -> None:
        self.id = id
        self.stored = stored
        self.body = body

    def entry(self, stream: Any) -> Entry:
        """What hishel works with."""
        stored = self.stored
        return Entry(
            id=uuid.UUID(bytes=self.id),
            request=Request(stored.method, stored.url, Headers(stored.request_headers)),
            response=Response(stored.status, Headers(stored.headers), stream),
        )

    def pieces(self) -> Iterator[bytes]:
        """The body, as it is streamed."""
        for part in self.body:
            for start in range(0, len(part), PIECE_BYTES):
                yield bytes(part[start : start + PIECE_BYTES])


class _Writing:
    """A response whose body is being read by whoever has asked for it.

    ``add`` takes what is read, and says whether ``flush`` is due; ``finish`` makes the response visible; ``give_up``
    removes the chunks of one that is not. None of them raises.
    """

    def __init__(self, responses: _Responses, limit: int | None, stored: _Stored) -> None:
        self.id = uuid.uuid4()
        self.stored = stored
        # Chunks that are to be removed unless the response becomes visible.
        self.loose = 0
        self.is_removed = False
        self._responses = responses
        self._limit = limit
        # What is not written yet; joined only then, and not at all if it is one.
        self._pieces: list[bytes] = []
        self._held = 0
        self._bytes = 0
        self._goes_on = True

    def add(self, piece: bytes) -> bool:
        if not self._goes_on:
            return False
        self._bytes += len(piece)
        if self._limit is not None and self._bytes > self._limit:
            self._stop()
            return True
        self._pieces.append(piece)
        self._held += len(piece)
        return self._held >= CHUNK_BYTES

    def flush(self) -> None:
        """Write a chunk; after the limit was passed, remove those that were written."""
        if self._goes_on:
            self._write_chunk()
        if not self._goes_on:
            self.give_up()

    def finish(self) -> None:
        if self._goes_on and self._held and (self.loose or self._held > SMALL_BYTES):
            self._write_chunk()
        if self._goes_on:
            self.stored.body = b"".join(self._pieces)
            self.stored.chunks = self.loose
            if self._responses.tried(self._responses.publish, self):
                self.loose = 0

    def give_up(self) -> None:
        self._stop()
        loose, self.loose = self.loose, 0
        if loose:
            self._responses.tried(self._responses.remove_chunks, self.id.bytes, loose)

    def _write_chunk(self) -> None:
        chunk = b"".join(self._pieces)
        self._pieces, self._held = [], 0
        if self._responses.tried(self._responses.set_chunk, (self.id.bytes, self.loose), chunk):
            self.loose += 1
        else:
            self._stop()

    def _stop(self) -> None:
        self._goes_on = False
        self._pieces, self._held = [], 0


class _Responses:
    """The responses in a cache: what both storages do with it."""

    def __init__(self, source: _Source, options: dict[str, Any]) -> None:
        if isinstance(source, FanoutCache) or "shards" in options:
            raise TypeError("a response is stored in one transaction, which shards do not have: give a Cache")
        cache, self.is_own = open_cache(source, options)
        self.cache: Cache = cache  # type: ignore[assignment]
        # Those that this process is writing, by id.
        self.writings: weakref.WeakValueDictionary[bytes, _Writing] = weakref.WeakValueDictionary()

    def tried(self, method: Callable[..., object], *arguments: Any) -> bool:
        """Whether it was done; what kept it from that is logged."""
        try:
            return method(*arguments) is not False
        except Exception as error:
            self.tell("a response is not stored as it was to be", error)
            return False

    def tell(self, what: str, error: Exception) -> None:
        """Log it, without anything of the request in it."""
        _logger.warning("%r: %s: %s: %s", self.cache.directory, what, type(error).__name__, error)

    def check_open(self) -> None:
        if self.cache.stores.closed:
            raise ClosedError(f"the cache in {self.cache.directory!r} is closed")

    def now(self, key: str) -> float:
        return now_of(self.cache, key)

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, key: str) -> list[_Found]:
        """The responses under a key, whose TTI begins anew."""
        return [found for found in map(self._found, self._ids(self.cache.get(key))) if found is not None]

    def find_known(self, key: str) -> list[_Found] | None:
        """The same, if this process remembers all of it and nothing is to be written; else None."""
        found = []
        ids = self.cache._find_at_once(key, None, _UNKNOWN)
        if ids is _UNKNOWN:
            return None
        for id in self._ids(ids):
            value = self.cache._find_at_once(id, None, _UNKNOWN)
            if value is _UNKNOWN:
                return None
            stored = self._stored(id, value)
            if stored is not None:
                if stored.chunks or stored.tti is not None:
                    return None
                found.append(_Found(id, stored, [stored.body]))
        return found

    def _ids(self, value: Any) -> list[bytes]:
        if not isinstance(value, bytes):
            return []
        return [value[start : start + ID_BYTES] for start in range(0, len(value), ID_BYTES)]

    def _stored(self, id: bytes, value: Any) -> _Stored | None:
        """What is stored under an id, if it can be decoded."""
        if value is None:
            return None
        try:
            return _decode(value)
        except (msgspec.MsgspecError, TypeError) as error:
            self.tell("a response cannot be decoded, and counts as missing", error)
            return None

    def _found(self, id: bytes) -> _Found | None:
        # Without the time, so that the memory tier answers, and learns.
        stored = self._stored(id, self.cache.get(id))
        if stored is None:
            return None
        body = [stored.body] if not stored.chunks else []
        for number in range(stored.chunks):
            chunk = self.cache.get((id, number), buffer=True)
            if chunk is None:
                # Evicted. Nobody else needs to look for the others.
                self.remove(id)
                return None
            body.append(chunk)
        if stored.tti is not None:
            expires, later = self.cache.get(id, expire_time=True)[1], self._expires(stored)
            # Half of it may be missing, so that not every read is a write.
            is_due = expires is not None and later is not None and later - expires >= stored.tti / 2
            if is_due and not self._prolong(id, stored, later):
                return None
        return _Found(id, stored, body)

    def _expires(self, stored: _Stored) -> float | None:
        """When a response that is used now expires, in seconds since the epoch."""
        limits = [] if stored.ttl_deadline is None else [stored.ttl_deadline]
        if stored.tti is not None:
            limits.append(self.now(stored.key) + stored.tti)
        return min(limits, default=None)

    # -- writing -------------------------------------------------------------------------------------------------

    def set_chunk(self, place: tuple[bytes, int], chunk: bytes) -> None:
        self.cache.set(place, chunk, UNFINISHED_SECONDS)

    def publish(self, writing: _Writing) -> bool:
        """Make a response whose chunks are written visible; returns False if it was removed meanwhile."""
        id, stored = writing.id.bytes, writing.stored
        expires = self._expires(stored)
        value = _encode(stored)
        with self.cache.transact():
            if writing.is_removed:
                return False
            self.cache.set(id, value, self._seconds(stored.key, expires))
            self._touch_chunks(id, stored, expires)
            self._list(stored.key, id, expires)
        return True

    def _list(self, key: str, id: bytes, expires: float | None) -> None:
        """Add an id to those under a key, without those that are gone; they expire with the last of them."""
        ids, last = [], expires
        for other in self._ids(self.cache.get(key)):
            value, until = self.cache.get(other, expire_time=True)
            if value is not None and other != id:
                ids.append(other)
                last = None if last is None or until is None else max(last, until)
        self.cache.set(key, b"".join([*ids, id]), self._seconds(key, last))

    def _prolong(self, id: bytes, stored: _Stored, expires: float | None) -> bool:
        """Have a response expire later; returns whether it is still there."""
        try:
            with self.cache.transact():
                if not self.cache.touch(id, self._seconds(stored.key, expires)):
                    return False
                self._touch_chunks(id, stored, expires)
                listed, until = self.cache.get(stored.key, expire_time=True)
                if listed is not None and until is not None and expires is not None and until < expires:
                    self.cache.touch(stored.key, self._seconds(stored.key, expires))
        except Exception as error:
            self.tell("a response expires when it would have, had it not been used", error)
        return True

    def _touch_chunks(self, id: bytes, stored: _Stored, expires: float | None) -> None:
        for number in range(stored.chunks):
            if not self.cache.touch((id, number), self._seconds(stored.key, expires)):
                raise LookupError("a part of it was evicted while it was written")

    def _seconds(self, key: str, expires: float | None) -> float | None:
        return None if expires is None else expires - self.now(key)

    def update(self, id: bytes, headers: Headers) -> None:
        """Replace the headers of a response, if it is there."""
        with self.cache.transact():
            value, expires = self.cache.get(id, expire_time=True)
            stored = self._stored(id, value)
            if stored is not None:
                stored.headers = _listed(headers)
                self.cache.set(id, _encode(stored), self._seconds(stored.key, expires))

    def remove(self, id: bytes) -> None:
        """Remove a response, or keep one that is being written from being found."""
        writing = self.writings.get(id)
        if writing is not None:
            writing.is_removed = True
        # If that came too late, the response is there once its writer's transaction has ended.
        with self.cache.transact():
            stored = self._stored(id, self.cache.get(id))
            self.cache.delete(id)
            if stored is not None:
                self.remove_chunks(id, stored.chunks)

    def remove_chunks(self, id: bytes, chunks: int) -> None:
        if chunks:
            self.cache.delete_many([(id, number) for number in range(chunks)])

    def close(self) -> None:
        if self.is_own:
            self.cache.close()


class _Storage:
    """What the storages have in common."""

    default_ttl: float | None
    default_tti: float | None
    max_stream_size: int | None

    def __init__(
        self,
        directory: _Source,
        *,
        default_ttl: float | None = None,
        default_tti: float | None = None,
        max_stream_size: int | None = None,
        **options: Any,
    ) -> None:
        limits = {"default_ttl": default_ttl, "default_tti": default_tti, "max_stream_size": max_stream_size}
        super().__init__(**limits)  # type: ignore[call-arg]  # hishel's class, which stands beside this one
        self._responses = _Responses(directory, options)

    @property
    def cache(self) -> Cache:
        """The Cache in which the responses lie."""
        return self._responses.cache

    def _begin(self, request: Request, response: Response, key: str, ttl: float | None, tti: float | None) -> _Writing:
        responses = self._responses
        responses.check_open()
        ttl = self.default_ttl if ttl is None else ttl
        tti = self.default_tti if tti is None else tti
        stored = _Stored(
            key=key,
            method=request.method,
            url=request.url,
            request_headers=_listed(request.headers),
            status=response.status_code,
            headers=_listed(response.headers),
            body=b"",
            chunks=0,
            ttl_deadline=None if ttl is None else responses.now(key) + ttl,
            tti=tti,
        )
        writing = _Writing(responses, self.max_stream_size, stored)
        responses.writings[writing.id.bytes] = writing
        return writing


class FastCacheStorage(_Storage, BaseStorage):
    """A storage of hishel's in a directory, shared by all threads and processes that name it.

    Args:
        directory: where it lies, None for a temporary one; see Cache. Or a Cache that is open, and has nothing else in
            it; it is not closed with this.
        default_ttl: for how many seconds (int, float) a response is kept; None for ever. A request may say otherwise.
        default_tti: for how many seconds (int, float) one is kept that nobody asks for; None for ever. Likewise.
        max_stream_size: how many bytes of a body are stored at most (int); None for any number.
        options: other arguments of a Cache, if a directory is given: ``max_size`` is what limits the whole.

    Raises:
        OpenError: the directory cannot be opened.
        TypeError: there is no such option, or there are some for a cache that is open already, or shards.

    >>> from hishel import Request, Response
    >>> from fastcache.integrations.hishel import FastCacheStorage
    >>> storage = FastCacheStorage(None, default_ttl=3600)
    >>> entry = storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=iter([b"body"])), "key")
    >>> b"".join(entry.response.stream), [b"".join(found.response.stream) for found in storage.get_entries("key")]
    (b'body', [b'body'])
    >>> storage.close()
    """

    def create_entry(
        self, request: Request, response: Response, key: str, *, ttl: float | None = None, tti: float | None = None
    ) -> Entry:
        """An entry whose response is stored as its stream is read, and found once that has ended."""
        writing = self._begin(request, response, key, ttl, tti)
        stream = self._save(writing, response.stream)
        return Entry(writing.id, request, replace(response, stream=stream))

    def _save(self, writing: _Writing, stream: Any) -> Iterator[bytes]:
        try:
            for piece in stream if stream is not None else ():
                if writing.add(piece):
                    writing.flush()
                yield piece
            writing.finish()
        finally:
            writing.give_up()

    def get_entries(self, key: str) -> list[Entry]:
        """The responses that are stored under a key."""
        try:
            return [found.entry(found.pieces()) for found in self._responses.find(key)]
        except ClosedError:
            raise
        except Exception as error:
            self._responses.tell("responses cannot be read, and count as missing", error)
            return []

    def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        """Replace the headers of a response, if it is there."""
        self._responses.tried(self._responses.update, id.bytes, headers)

    def remove_entry(self, id: uuid.UUID) -> None:
        """Remove a response, if it is there; who reads it goes on."""
        self._responses.tried(self._responses.remove, id.bytes)

    def close(self) -> None:
        """Close the cache if it was opened for this object; what was stored stays."""
        self._responses.close()


class AsyncFastCacheStorage(_Storage, AsyncBaseStorage):
    """A FastCacheStorage for coroutines, on asyncio and trio.

    What this process remembers is answered at once; a thread does the rest. The arguments are the same.

    >>> import asyncio
    >>> from hishel import Request, Response
    >>> from fastcache.integrations.hishel import AsyncFastCacheStorage
    >>> async def body():
    ...     yield b"body"
    >>> async def use():
    ...     storage = AsyncFastCacheStorage(None)
    ...     entry = await storage.create_entry(Request("GET", "https://x.test"), Response(200, stream=body()), "key")
    ...     read = [piece async for piece in entry.response.stream]
    ...     found = await storage.get_entries("key")
    ...     await storage.close()
    ...     return read, [piece async for piece in found[0].response.stream]
    >>> asyncio.run(use())
    ([b'body'], [b'body'])
    """

    async def _run(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call what may wait for a disk in a thread, or here inside a transaction of this task."""
        if not self._responses.cache.stores.closed and is_inside(self._responses.cache):
            return method(*arguments)
        # What hishel's own storages, and httpx, wait with: it knows asyncio and trio.
        return await load("anyio").to_thread.run_sync(method, *arguments)

    async def create_entry(
        self, request: Request, response: Response, key: str, *, ttl: float | None = None, tti: float | None = None
    ) -> Entry:
        """An entry whose response is stored as its stream is read, and found once that has ended."""
        writing = self._begin(request, response, key, ttl, tti)
        stream = self._save(writing, response.stream)
        return Entry(writing.id, request, replace(response, stream=stream))

    async def _save(self, writing: _Writing, stream: Any) -> AsyncIterator[bytes]:
        try:
            if stream is not None:
                async for piece in stream:
                    if writing.add(piece):
                        await self._run(writing.flush)
                    yield piece
            await self._run(writing.finish)
        finally:
            if writing.loose:
                with load("anyio").CancelScope(shield=True):
                    await self._run(writing.give_up)

    async def get_entries(self, key: str) -> list[Entry]:
        """The responses that are stored under a key."""
        try:
            found = self._responses.find_known(key)
            if found is None:
                found = await self._run(self._responses.find, key)
        except ClosedError:
            raise
        except Exception as error:
            self._responses.tell("responses cannot be read, and count as missing", error)
            return []
        return [each.entry(self._read(each)) for each in found]

    async def _read(self, found: _Found) -> AsyncIterator[bytes]:
        pieces = found.pieces()
        if not found.stored.chunks:
            for piece in pieces:
                yield piece
            return
        while piece := await self._run(next, pieces, b""):
            yield piece

    async def update_headers(self, id: uuid.UUID, headers: Headers) -> None:
        """Replace the headers of a response, if it is there."""
        await self._run(self._responses.tried, self._responses.update, id.bytes, headers)

    async def remove_entry(self, id: uuid.UUID) -> None:
        """Remove a response, if it is there; who reads it goes on."""
        await self._run(self._responses.tried, self._responses.remove, id.bytes)

    async def close(self) -> None:
        """Close the cache if it was opened for this object; what was stored stays."""
        await self._run(self._responses.close)
