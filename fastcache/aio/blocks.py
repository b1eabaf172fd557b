"""What is used by ``async with``: transactions and batches."""

from __future__ import annotations

from collections import deque
from contextvars import copy_context

from fastcache.aio.worker import Call, transactions
from fastcache.errors import TransactionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from fastcache.aio.worker import Worker
    from fastcache.engine.batch import Batch as SyncBatch
    from fastcache.engine.database.transaction import Transaction as SyncTransaction

    _Seconds = float | timedelta | None

__all__ = ["Batch", "Transaction"]

# What cannot change while it waits.
_UNCHANGEABLE = frozenset({str, bytes, int, float, bool, type(None)})
# So many operations of a batch may wait for the thread before the next one waits with them.
_MOST_WAITING = 1000
# So many are handed over before the thread looks whether others want the GIL.
_PORTION = 200


class Transaction:
    """One block of ``async with cache.transact():``. Used once, by one task and those that it starts inside.

    Args:
        worker: the thread of the cache.
        make: what makes the transaction of the synchronous cache; called in the thread.
    """

    def __init__(self, worker: Worker, make: Callable[[], SyncTransaction]) -> None:
        self._worker = worker
        self._make = make
        self._made: SyncTransaction | None = None
        self._used = False
        # The outermost one around it, if it is not that itself.
        self._around: Any = None
        # That in which all runs that belongs to it.
        self.context = copy_context()

    @property
    def is_open(self) -> bool:
        """Whether it has begun, and not ended."""
        return self._made is not None

    async def __aenter__(self) -> Self:
        if self._used:
            raise TransactionError("a transaction is used once: call transact() for each block")
        self._used = True
        worker = self._worker
        self._around = worker.block()
        block = self._around or self
        try:
            await Call(self._enter, block=block).over(worker)
        except BaseException:
            # It may be entered all the same.
            worker.post(Call(self.undo, keep=True, block=block))
            raise
        if self._around is None:
            transactions.set((*[other for other in transactions.get() if other.is_open], self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        call = Call(self._leave, (kind, error, traceback), keep=True, block=self._around or self)
        if self._around is None:
            transactions.set(tuple(other for other in transactions.get() if other is not self))
        if kind is not None and issubclass(kind, GeneratorExit):
            # The task is being collected, and must not wait.
            self._worker.post(call)
            return False
        await call.over(self._worker)
        return False

    # -- in the thread --------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        made = self._make()
        made.__enter__()
        self._made = made
        if self._around is None:
            self._worker.holder = self

    def _leave(self, *failure: Any) -> None:
        made, self._made = self._made, None
        if made is None:
            raise TransactionError("this transaction has not begun, or has ended already")
        try:
            made.__exit__(*failure)
        finally:
            if self._around is None:
                self._worker.holder = None

    def undo(self) -> None:
        """Roll it back, if it is open."""
        if self._made is not None:
            self._leave(KeyboardInterrupt, None, None)


class Batch:
    """The context manager of ``batch()``; see fastcache.Cache.batch.

    ``set`` and ``delete`` return at once while less than a thousand operations wait for the thread, unless what they
    are given may be changed by others meanwhile: a list, say, is waited for until it is encoded. What goes wrong then
    is raised by a later call, or by the end of the block.

    Attributes:
        committed: how many operations are committed (int).
    """

    def __init__(self, worker: Worker, make: Callable[[], SyncBatch]) -> None:
        self._worker = worker
        self._make = make
        self._made: SyncBatch | None = None
        # What the thread has not taken yet: the name of a method, and its arguments.
        self._waiting: deque[tuple[str, tuple[Any, ...], dict[str, Any]]] = deque()
        # Whether the thread was called for it.
        self._called = False
        self._used = False
        self._is_inside = False
        self._failure: BaseException | None = None

    @property
    def committed(self) -> int:
        """How many operations are committed (int)."""
        return 0 if self._made is None else self._made.committed

    async def __aenter__(self) -> Self:
        if self._used:
            raise TransactionError("a batch is used once: call batch() for each block")
        self._used = True
        block = self._worker.block()
        try:
            await Call(self._enter, block=block).over(self._worker)
        except BaseException:
            # It may be entered all the same.
            self._worker.post(Call(self._leave, (None,), keep=True, block=block))
            raise
        self._is_inside = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._is_inside = False
        call = Call(self._leave, (error,), keep=True, block=self._worker.block())
        if kind is not None and issubclass(kind, GeneratorExit):
            # The task is being collected, and must not wait.
            self._worker.post(call)
        else:
            await call.over(self._worker)
        return False

    async def set(self, key: Any, value: Any, *, expire: _Seconds = None, tag: Any = None) -> None:
        """Store a value; ``expire`` and ``tag`` as in ``Cache.set``."""
        await self._add("set", (key, value), {"expire": expire, "tag": tag})

    async def delete(self, key: Any) -> None:
        """Remove an entry, if there is one."""
        await self._add("delete", (key,), {})

    async def flush(self) -> None:
        """Commit what waits, and wait for it."""
        self._refuse_outside()
        self._raise_failure()
        self._waiting.append(("flush", (), {}))
        await self._taken()

    async def _add(self, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        self._refuse_outside()
        if self._failure is not None:
            self._raise_failure()
        self._waiting.append((name, arguments, options))
        if len(self._waiting) >= _MOST_WAITING or not all(map(_stands, arguments)):
            await self._taken()
        elif not self._called:
            self._called = True
            self._call(self._worker.block())

    def _refuse_outside(self) -> None:
        if not self._is_inside:
            raise TransactionError("a batch is used inside its block")

    def _call(self, block: Any) -> None:
        """Have the thread take what waits."""
        self._worker.post(Call(self._take, (block,), keep=True, block=block))

    async def _taken(self) -> None:
        """Wait until the thread has taken what waits."""
        await Call(self._take_all, keep=True, block=self._worker.block()).over(self._worker)
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # -- in the thread --------------------------------------------------------------------------------------------

    def _enter(self) -> None:
        made = self._make()
        made.__enter__()
        self._made = made

    def _take(self, block: Any) -> None:
        """Hand over a portion of what waits."""
        # Before it is looked at: what comes later calls again.
        self._called = False
        for _ in range(_PORTION):
            if not self._hand_over():
                return
        if not self._called:
            self._called = True
            self._call(block)

    def _take_all(self) -> None:
        while self._hand_over():
            pass

    def _hand_over(self) -> bool:
        """Hand over the first operation that waits; False if there is none."""
        if not self._waiting:
            return False
        name, arguments, options = self._waiting.popleft()
        try:
            getattr(self._made, name)(*arguments, **options)
        except BaseException as failure:
            self._failure = self._failure or failure
        return True

    def _leave(self, error: BaseException | None) -> None:
        made = self._made
        if made is None:
            raise TransactionError("a batch is used inside its block")
        self._take_all()
        failure, self._failure = self._failure, None
        if error is None and failure is not None:
            made.__exit__(type(failure), failure, None)
            raise failure
        made.__exit__(None if error is None else type(error), error, None)


def _stands(value: Any) -> bool:
    """Whether nobody can change a key or a value."""
    kind = type(value)
    return kind in _UNCHANGEABLE or (kind is tuple and all(type(part) in _UNCHANGEABLE for part in value))
