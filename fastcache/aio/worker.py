"""The thread of one cache: its calls run there, in order, while the tasks that wait for them let the loop go on.

What is always true, and who keeps it so:

- **Calls run in the order in which they were made, one at a time**, whichever loop they come from: the thread takes
  them from one end of a deque, whose ends the GIL makes atomic.
- **A call happens as a whole or not at all.** One that its task has given up before it began is left out; one that has
  begun goes on to its end, and what it returns is dropped. What has to follow it (a transaction is undone, a token of a
  lock given back) is put behind it, in the same order, and never left out (``keep``).
- **A transaction is a context's**, as it is of the engine (writer_lock.pyx): that of the task that has begun it, and of
  those that it starts inside. Its calls run in a context of its own, by which the engine knows them from others of this
  same thread. Meanwhile the others read what is committed; and what they write is put aside, in order, until the
  transaction ends. Nothing waits for the writer lock in this thread, which the transaction needs to go on.
- **What waits for nothing passes the thread** (entries/at_once.pyx): hits; and other reads, and sets, while nothing
  that writes is in the thread. Of what takes longer than a hit, the loop does a third of a millisecond in one go; then
  its other tasks go on.
- **The loop gets the GIL.** A thread that works on and on gives it up every five milliseconds, which would be for how
  long the loop stands still. This one sleeps for a moment after each third of a millisecond.

A fork leaves the thread to the parent; the exit lets it finish what has come in.
"""

from __future__ import annotations

import _thread
import asyncio
import sys
from collections import deque
from contextvars import ContextVar
from time import monotonic
from weakref import WeakSet

from fastcache.errors import Timeout
from fastcache.runtime import fork
from fastcache.runtime.greenlets import unpatched
from fastcache.runtime.imports import new_lock
from fastcache.runtime.loops import trio_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextvars import Context
    from typing import Any, Protocol

    class _Block(Protocol):
        """A transaction, as its calls know it."""

        context: Context

        @property
        def is_open(self) -> bool:
            """Whether it has begun, and not ended."""

        def undo(self) -> None:
            """Roll it back, if it is open."""


__all__ = ["Call", "Worker", "breathing", "transactions"]

# After so many seconds of work without a pause, and for how long, the thread lets others have the GIL: long enough that
# one which sleeps has woken up. The loop does as much of it in one go.
_WORK, _PAUSE = 0.0003, 0.0001
# If so many seconds lie between two things that are done in the loop, it has done something else.
_GAP = 0.0001
# How long the exit waits for what has begun, in seconds.
_PATIENCE = 5.0

transactions: ContextVar[tuple[_Block, ...]] = ContextVar("fastcache_aio_transactions", default=())
"""The outermost transactions that this code is inside of."""

_workers: WeakSet[Worker] = WeakSet()


class Call:
    """A call for the thread.

    Args:
        function, arguments: what is called there.
        writes: whether it waits for the end of another task's transaction.
        keep: whether it is carried out even if nobody waits for it any more.
        block: the transaction that it is a part of, or ends.
    """

    __slots__ = ("arguments", "block", "dropped", "error", "function", "keep", "result", "until", "wake", "writes")

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        writes: bool = True,
        keep: bool = False,
        block: _Block | None = None,
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.writes = writes
        self.keep = keep
        self.block = block
        self.dropped = False
        self.result: Any = None
        self.error: BaseException | None = None
        # Until when to wait for somebody's transaction.
        self.until = 0.0
        # Called when it is over, in the thread.
        self.wake: Callable[[], object] | None = None

    def carry_out(self) -> None:
        """In the thread: call it, unless nobody waits for it."""
        if self.dropped and not self.keep:
            return
        try:
            if self.block is None:
                self.result = self.function(*self.arguments)
            else:
                self.result = self.block.context.run(self.function, *self.arguments)
        except BaseException as error:
            self.error = error
        # What they refer to may take long to be freed: a large value, say. Who waits has it yet.
        self.arguments = ()

    def end(self) -> None:
        """In the thread: it is over, and who waits is told."""
        if self.wake is not None and not self.dropped:
            try:
                self.wake()
            except RuntimeError:
                # Its loop is closed.
                return

    def outcome(self) -> Any:
        """In the task: what was returned, or raised."""
        error = self.error
        self.wake = None
        if error is None:
            # So that it is not freed in the thread, which would have the GIL meanwhile.
            result, self.result = self.result, None
            return result
        self.error = None
        try:
            raise error
        finally:
            # The traceback refers to this frame.
            del error

    async def over(self, worker: Worker) -> Any:
        """Have it carried out, and wait for that; returns what it returns."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            token = trio_token()
            if token is None:
                raise
            return await self._over_in_trio(worker, token)
        future = loop.create_future()
        answers = worker.answers_to(loop)
        self.wake = lambda: answers.add(future)
        worker.post(self)
        try:
            await future
        except BaseException:
            self.dropped = True
            raise
        return self.outcome()

    async def _over_in_trio(self, worker: Worker, token: Any) -> Any:
        lowlevel = sys.modules["trio"].lowlevel
        task = lowlevel.current_task()

        def resume() -> None:
            if not self.dropped:
                lowlevel.reschedule(task)

        def abort(_: object) -> Any:
            self.dropped = True
            return lowlevel.Abort.SUCCEEDED

        self.wake = lambda: token.run_sync_soon(resume)
        await lowlevel.checkpoint_if_cancelled()
        worker.post(self)
        await lowlevel.wait_task_rescheduled(abort)
        return self.outcome()


class Answers:
    """The calls that are over, on their way from the thread to a loop: it is woken once for many."""

    __slots__ = ("loop", "over", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.over: deque[asyncio.Future[None]] = deque()
        # Whether the loop is about to look.
        self.told = False

    def add(self, future: asyncio.Future[None]) -> None:
        """In the thread: what this stands for is over."""
        self.over.append(future)
        if not self.told:
            self.told = True
            self.loop.call_soon_threadsafe(self.give)

    def give(self) -> None:
        """In the loop: wake who waits."""
        # Before it is looked at: what comes later tells again.
        self.told = False
        over = self.over
        while over:
            future = over.popleft()
            if not future.done():
                future.set_result(None)


class Worker:
    """The thread, and what it has to do. It begins with the first call.

    Attributes:
        timeout: for how many seconds (float) a call waits for another task's transaction.
        holder: the outermost transaction that is open; None if none is.
        writing: the calls that write and are not over yet (set).
        looped: when the loop last did what could be the thread's, by ``monotonic`` (float).
    """

    def __init__(self) -> None:
        self.timeout = 60.0
        self.ending = False
        self.begin_anew()
        _workers.add(self)

    def begin_anew(self) -> None:
        """Begin without a thread, as a forked child does."""
        self.holder: _Block | None = None
        self.writing: set[Call] = set()
        self._calls: deque[Call] = deque()
        # What waits for the end of the transaction.
        self._aside: deque[Call] = deque()
        # Guards the beginning and the end of the thread.
        self._guard = new_lock()
        self._running = False
        # Whether the thread is asleep, or about to be; and what wakes it by being released.
        self._asleep = False
        self._news = new_lock()
        self._news.acquire()
        # Held by the thread while it runs.
        self._alive = new_lock()
        self._worked_since = 0.0
        # To the loop that was last answered.
        self._answers: Answers | None = None
        # Since when the loop does what could be the thread's, and when it did last.
        self._looped_since = self.looped = 0.0

    # -- in any thread --------------------------------------------------------------------------------------------

    def block(self) -> _Block | None:
        """The open transaction that this code is a part of; None if it is of none."""
        if self.holder is not None:
            for block in transactions.get():
                if block is self.holder:
                    return block
        return None

    def is_passed(self) -> bool:
        """Whether something that writes may be done past the thread: none is there that came before, and this code is
        inside of no transaction."""
        return not self.writing and (self.holder is None or self.block() is None)

    def may_go_on(self, now: float) -> bool:
        """Whether the loop may do something more itself that takes longer than a hit: not when such things, one after
        the other, have kept it from its other tasks for long enough. Whoever does it sets ``looped``."""
        if now - self.looped > _GAP:
            self._looped_since = now
        return now - self._looped_since < _WORK

    async def pause(self) -> None:
        """Let the other tasks of the loop go on."""
        if asyncio._get_running_loop() is not None:
            await asyncio.sleep(0)
        elif trio_token() is not None:
            await sys.modules["trio"].lowlevel.checkpoint()
        self._looped_since = monotonic()

    def answers_to(self, loop: asyncio.AbstractEventLoop) -> Answers:
        """The way back to a loop."""
        answers = self._answers
        if answers is None or answers.loop is not loop:
            answers = self._answers = Answers(loop)
        return answers

    def post(self, call: Call) -> None:
        """Have a call carried out, in its turn."""
        if call.writes:
            call.until = monotonic() + self.timeout
            self.writing.add(call)
        self._calls.append(call)
        if not self._running:
            self._start()
        elif self._asleep:
            self._wake()

    def end(self) -> None:
        """Let the thread end when all is done. A later call begins another one, which does the same."""
        self.ending = True
        self._answers = None
        self._wake()

    def finish(self, patience: float) -> None:
        """The same, and wait for that for so many seconds."""
        self.end()
        if self._running and self._alive.acquire(True, patience):
            self._alive.release()

    def _wake(self) -> None:
        self._asleep = False
        try:  # noqa: SIM105 - this is quicker
            self._news.release()
        except RuntimeError:
            # Somebody else has just done so.
            pass

    def _start(self) -> None:
        with self._guard:
            if self._running or not self._calls:
                return
            try:
                unpatched("_thread", "start_new_thread")(self._run, ())
                self._running = True
                return
            except RuntimeError:
                # There is no thread to be had: the interpreter exits, say.
                self._running = True
        try:
            self._work(False)
        finally:
            self._running = False

    # -- in the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # The one before may be about to end.
        with self._alive:
            while True:
                self._work(True)
                with self._guard:
                    # In this order: who has put something there meanwhile looks at it in the other one.
                    self._running = False
                    if not self._calls:
                        return
                    self._running = True

    def _work(self, waits: bool) -> None:
        """Carry out what comes in, until there is nothing left and none is expected."""
        while True:
            call = self._next()
            if call is not None:
                call.carry_out()
                self._end(call)
                continue
            del call
            if not waits or (self.ending and self.holder is None):
                return
            self._sleep()

    def _next(self) -> Call | None:
        """What is to be done now; None for nothing."""
        aside = self._aside
        while aside:
            if self.holder is None:
                return aside.popleft()
            call = aside[0]
            if not call.dropped and monotonic() < call.until:
                break
            self._refuse(aside.popleft())
        while self._calls:
            call = self._calls.popleft()
            if self.holder is None or not call.writes or call.block is self.holder:
                if self._calls and monotonic() - self._worked_since > _WORK:
                    unpatched("time", "sleep")(_PAUSE)
                    self._worked_since = monotonic()
                return call
            aside.append(call)
        return None

    def _refuse(self, call: Call) -> None:
        """A call has waited for long enough."""
        call.error = Timeout(
            f"another task kept the cache locked by a transaction for the whole timeout of {self.timeout:g} s"
        )
        self._end(call)

    def _end(self, call: Call) -> None:
        """A call is over. Who waits for it finds it gone."""
        self.writing.discard(call)
        call.end()

    def _sleep(self) -> None:
        self._asleep = True
        if not self._calls and not (self.ending and self.holder is None):
            left = max(0.0, self._aside[0].until - monotonic()) if self._aside else -1.0
            self._news.acquire(True, min(left, _thread.TIMEOUT_MAX))
        self._asleep = False
        self._worked_since = monotonic()


def breathing(items: Iterable[Any]) -> Iterator[Any]:
    """The same items; whoever takes them in the thread lets others have the GIL now and then."""
    until = monotonic() + _WORK
    for each in items:
        yield each
        if monotonic() >= until:
            unpatched("time", "sleep")(_PAUSE)
            until = monotonic() + _WORK


def _begin_anew_in_child() -> None:
    for worker in list(_workers):
        worker.begin_anew()


def _finish() -> None:
    until = monotonic() + _PATIENCE
    for worker in list(_workers):
        if worker.holder is not None:
            # Its task is gone.
            worker.post(Call(worker.holder.undo, keep=True, block=worker.holder))
    for worker in list(_workers):
        worker.finish(max(0.0, until - monotonic()))


fork.WORKERS.in_child = _begin_anew_in_child
fork.WORKERS.at_exit = _finish
