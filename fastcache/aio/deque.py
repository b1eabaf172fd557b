"""Deque, asynchronous."""

from __future__ import annotations

from fastcache.aio.methods import constructor, reading, writing
from fastcache.aio.opened import Opened
from fastcache.deque import Deque as SyncDeque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, SupportsIndex

    from fastcache.aio.blocks import Transaction

__all__ = ["Deque"]


class Deque(Opened):
    """A Deque for event loops; its arguments are those of fastcache.Deque.

    What are operators there are coroutines here: ``await deque[index]``, ``set``, ``delete``, ``length`` and
    ``contains``.
    """

    _kind = SyncDeque

    @constructor(SyncDeque)
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)

    def _was_opened(self, opened: Any) -> None:
        self._worker.timeout = opened._items.timeout

    append = writing(SyncDeque.append)
    appendleft = writing(SyncDeque.appendleft)
    extend = writing(SyncDeque.extend)
    extendleft = writing(SyncDeque.extendleft)
    pop = writing(SyncDeque.pop)
    popleft = writing(SyncDeque.popleft)
    peek = reading(SyncDeque.peek)
    peekleft = reading(SyncDeque.peekleft)
    clear = writing(SyncDeque.clear)
    count = reading(SyncDeque.count)
    index = reading(SyncDeque.index)
    insert = writing(SyncDeque.insert)
    remove = writing(SyncDeque.remove)
    rotate = writing(SyncDeque.rotate)
    reverse = writing(SyncDeque.reverse)
    check = writing(SyncDeque.check)
    backup = writing(SyncDeque.backup)
    size = reading(SyncDeque.size)
    volume = reading(SyncDeque.volume)

    async def __getitem__(self, index: SupportsIndex) -> Any:
        """``await deque[index]``: the item there."""
        # It writes where a value file is lost.
        return await self._run(SyncDeque.__getitem__, (index,), {}, True)

    async def set(self, index: SupportsIndex, value: Any) -> None:
        """Replace the item at an index: ``deque[index] = value``."""
        await self._run(SyncDeque.__setitem__, (index, value), {}, True)

    async def delete(self, index: SupportsIndex) -> None:
        """Remove the item at an index: ``del deque[index]``."""
        await self._run(SyncDeque.__delitem__, (index,), {}, True)

    async def length(self) -> int:
        """How many items there are (int)."""
        length: int = await self._run(SyncDeque.__len__, (), {}, False)
        return length

    async def contains(self, value: Any) -> bool:
        """Whether an item is equal to a value (bool)."""
        contains: bool = await self._run(SyncDeque.__contains__, (value,), {}, False)
        return contains

    async def copy(self) -> Deque:
        """A deque with the same items and ``maxlen``, in a private temporary directory."""
        return type(self).of(await self._run(SyncDeque.copy, (), {}, False))

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._walk(iter)

    def __reversed__(self) -> AsyncIterator[Any]:
        return self._walk(reversed)

    def transact(self) -> Transaction:
        """An asynchronous context manager: what is done inside is committed together, or not at all; see
        aio.Cache.transact."""
        return self._transact(lambda: self._open().transact())

    async def set_maxlen(self, maxlen: int | None) -> None:
        """Change how many items there may be (int), or None; what is too much is dropped on the left."""
        await self._run(setattr, ("maxlen", maxlen), {}, True)

    @property
    def maxlen(self) -> int | None:
        """How many items there may be (int), or None for any number. Like ``directory``, this opens it."""
        maxlen: int | None = self._open().maxlen
        return maxlen

    @property
    def directory(self) -> str:
        """The deque's directory (str), an absolute path."""
        directory: str = self._open().directory
        return directory
