"""What is opened in a thread of its own, when it is first used, and asked there."""

from __future__ import annotations

from itertools import islice
from time import monotonic
from weakref import finalize

from fastcache.aio.blocks import Transaction
from fastcache.aio.worker import Call, Worker
from fastcache.errors import ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
    from types import TracebackType
    from typing import Any, TypeVar

    from typing_extensions import Self

    _Value = TypeVar("_Value")

__all__ = ["ABSENT", "Opened", "View"]

# Of an iteration, so many entries are read at a time, and for so many seconds.
_PORTION = 256
_PORTION_SECONDS = 0.001

ABSENT: Any = object()


class Opened:
    """What is opened in a thread of its own, when it is first used, and closed there."""

    # What opens it.
    _kind: type[Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._arguments: Any = (arguments, options)
        self._opened: Any = None
        self._closed = False
        self._worker = Worker()
        finalize(self, self._worker.end).atexit = False

    @classmethod
    def of(cls, sync: Any) -> Self:
        """The same over a synchronous cache that is open; closing this one closes that.

        >>> import asyncio
        >>> from fastcache import aio
        >>> with Cache() as cache:
        ...     cache["k"] = "v"
        ...     asyncio.run(aio.Cache.of(cache).get("k"))
        'v'
        """
        made = cls()
        made._opened = sync
        made._was_opened(sync)
        return made

    @property
    def sync(self) -> Any:
        """The synchronous cache, which is opened if it is not yet: that may wait for the disk."""
        return self._open()

    async def __aenter__(self) -> Self:
        opened = await self._run(_identity, (), {}, False)
        if self._closed:
            raise ClosedError(f"the cache in {opened.directory!r} is closed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = Call(self._close, keep=True, block=self._worker.block())
        if kind is not None and issubclass(kind, GeneratorExit):
            # The task is being collected, and must not wait.
            self._worker.post(call)
        else:
            await call.over(self._worker)

    async def close(self) -> None:
        """Close it, when all that was asked for before is done; what was stored stays. May be called again. Every other
        use then raises ClosedError. What it raises is what ``close`` of the synchronous one does."""
        await Call(self._close, keep=True, block=self._worker.block()).over(self._worker)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self._open())

    def __repr__(self) -> str:
        if self._opened is not None:
            return f"aio.{self._opened!r}"
        return f"<aio.{type(self).__name__}, not opened yet>"

    def _run(
        self, method: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any], writes: bool
    ) -> Coroutine[Any, Any, Any]:
        """Call a method of what is opened in the thread, with it as the first argument; a coroutine."""
        worker = self._worker
        return Call(self._carry_out, (method, arguments, options), writes, block=worker.block()).over(worker)

    def _carry_out(self, method: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return method(self._open() if self._opened is None else self._opened, *arguments, **options)

    def _open(self) -> Any:
        if self._opened is None:
            if self._closed:
                raise ClosedError("this cache was closed before it was ever used")
            arguments, options = self._arguments
            opened = self._kind(*arguments, **options)
            # Two threads may come here at once.
            if self._opened is None:
                self._opened = opened
                self._was_opened(opened)
            else:
                opened.close()
        return self._opened

    def _was_opened(self, opened: Any) -> None:
        """It was just opened."""

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
        self._closed = True
        self._worker.end()

    async def _walk(self, make: Callable[[Any], Iterator[_Value]]) -> AsyncGenerator[_Value, None]:
        """Iterate over what an iterator gives that is made, and asked, in the thread."""
        iterator = await self._run(make, (), {}, False)
        end = None
        while end is None:
            found, end = await self._run(_portion_of, (iterator,), {}, False)
            for each in found:
                yield each
        if end is not ABSENT:
            raise end

    def _transact(self, make: Callable[[], Any]) -> Transaction:
        return Transaction(self._worker, make)


def _again(kind: type[Opened], sync: Any) -> Opened:
    """Open again what was pickled."""
    return kind.of(sync)


def _identity(opened: Any) -> Any:
    return opened


def _portion_of(_: Any, iterator: Iterator[Any]) -> tuple[list[Any], Any]:
    """Some of what an iterator gives; and ABSENT if that was all, what it has raised, or None."""
    found: list[Any] = []
    until = monotonic() + _PORTION_SECONDS
    try:
        for each in islice(iterator, _PORTION):
            found.append(each)
            if monotonic() >= until:
                return found, None
    except Exception as error:
        return found, error
    return found, None if len(found) == _PORTION else ABSENT


class View:
    """Keys, values or items of a cache, read when they are iterated over by ``async for``: again for each iteration."""

    def __init__(self, opened: Opened, make: Callable[[Any], Any]) -> None:
        self._opened = opened
        self._make = make

    def __aiter__(self) -> AsyncIterator[Any]:
        make = self._make
        return self._opened._walk(lambda sync: iter(make(sync)))

    def __reversed__(self) -> AsyncIterator[Any]:
        make = self._make
        return self._opened._walk(lambda sync: reversed(make(sync)))
