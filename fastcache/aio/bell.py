"""The thread that waits for locks, for all tasks of a process that wait in one directory.

It sleeps on the event count of the records, as a thread that waits for a lock does (sync/locks.py), and looks at the
records of all names that are waited for whenever there was a notification, and now and then. A task for which there may
be something to do is woken, and looks for itself, in the thread of its cache. It begins with the first task that waits,
and ends soon after the last.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import cast

from fastcache.runtime.greenlets import unpatched
from fastcache.runtime.imports import new_lock
from fastcache.runtime.loops import trio_token
from fastcache.sync.records import bit_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from fastcache.engine.shm.eventcount import EventCount
    from fastcache.sync.holds import Holds
    from fastcache.sync.records import Records

__all__ = ["Bell", "bell_of"]

# How often it looks who lives, in seconds.
_PERIOD = 0.025


class _Sleeper:
    """A task that waits for a lock."""

    def __init__(self, holds: Holds, key: tuple[str, Any], token: int, until: float) -> None:
        self.holds = holds
        self.key = key
        self.token = token
        self.until = until
        # Wakes it, from any thread.
        self.wake: Callable[[], object] = bool


class Bell:
    """The thread of one directory's records."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.event_count = cast("EventCount", records.event_count)
        # By their tokens.
        self.sleepers: dict[int, _Sleeper] = {}
        # Guards the beginning and the end of the thread.
        self.guard = new_lock()
        self.running = False

    async def wait(self, holds: Holds, key: tuple[str, Any], token: int, until: float) -> None:
        """Sleep until there may be something to do for who waits with a token, at the latest at ``until``."""
        sleeper = _Sleeper(holds, key, token, until)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            await self._wait_in_trio(sleeper)
            return
        woken = loop.create_future()
        sleeper.wake = lambda: loop.call_soon_threadsafe(_wake, woken)
        self.add(sleeper)
        try:
            await woken
        finally:
            self.sleepers.pop(token, None)

    async def _wait_in_trio(self, sleeper: _Sleeper) -> None:
        token, trio = trio_token(), sys.modules["trio"]
        woken = trio.Event()
        sleeper.wake = lambda: token.run_sync_soon(woken.set)
        self.add(sleeper)
        try:
            await woken.wait()
        finally:
            self.sleepers.pop(sleeper.token, None)

    def add(self, sleeper: _Sleeper) -> None:
        """One more waits."""
        self.sleepers[sleeper.token] = sleeper
        with self.guard:
            if not self.running:
                unpatched("_thread", "start_new_thread")(self.run, ())
                self.running = True
                return
        # The thread is to look at this one, too.
        self.event_count.notify(bit_of(sleeper.token))

    def run(self) -> None:
        """Look, and sleep, for as long as there is somebody to wake."""
        lingers = True
        while True:
            seen = self.event_count.read()
            if self.sleepers:
                lingers = True
                self.look()
            elif lingers:
                # Another one often comes at once.
                lingers = False
            else:
                with self.guard:
                    self.running = bool(self.sleepers)
                    if not self.running:
                        return
            self.event_count.wait(seen, _PERIOD)

    def look(self) -> None:
        """Wake those for whom there may be something to do."""
        by_key: dict[tuple[str, Any], list[_Sleeper]] = {}
        for sleeper in list(self.sleepers.values()):
            by_key.setdefault(sleeper.key, []).append(sleeper)
        for key, sleepers in by_key.items():
            try:
                woken = self.of_interest(key, sleepers)
            except Exception:
                # They find out by themselves what is wrong.
                woken = sleepers
            for sleeper in woken:
                self.sleepers.pop(sleeper.token, None)
                try:
                    sleeper.wake()
                except RuntimeError:
                    # Its loop is closed.
                    continue

    def of_interest(self, key: tuple[str, Any], sleepers: list[_Sleeper]) -> list[_Sleeper]:
        """Those of one name for whom there may be something to do."""
        record = self.records.read(key)
        now = monotonic()
        positions = {waiter.token: position for position, waiter in enumerate(record.queue)}
        # Who is before the first that lives, or this one itself, may take over.
        first = next((at for at, waiter in enumerate(record.queue) if not self.records.is_dead(waiter.token)), -1)
        is_free = self.records.has_room(record, now)
        return [
            sleeper
            for sleeper in sleepers
            if now >= sleeper.until
            or sleeper.holds.closed
            or sleeper.token not in positions
            or (is_free and positions[sleeper.token] <= first)
        ]


def bell_of(records: Records) -> Bell:
    """The thread that waits for what these records are about."""
    bell = records.bell
    if bell is None:
        bell = vars(records).setdefault("bell", Bell(records))
        if bell is None:
            # A child has forgotten its parent's.
            bell = records.bell = Bell(records)
    found: Bell = bell
    return found


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
