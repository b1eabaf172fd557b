"""Event loops: which one runs in this thread, asyncio's (uvloop's, too) or trio's, and how one of its tasks sleeps.

trio is not imported here: where a program has not done so, none of its loops runs.
"""

from __future__ import annotations

import asyncio
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["current_task", "running_loop", "sleep", "trio_token"]


def trio_token() -> Any:
    """What stands for the loop of trio that runs in this thread; None if there is none."""
    trio = sys.modules.get("trio")
    if trio is None:
        return None
    try:
        return trio.lowlevel.current_trio_token()
    except (AttributeError, RuntimeError):
        # It is just being imported, or does not run here.
        return None


def running_loop() -> Any:
    """The loop of asyncio that runs in this thread, or what stands for trio's.

    Raises:
        RuntimeError: there is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        token = trio_token()
        if token is None:
            raise
        return token


def current_task() -> Any:
    """The task that runs in this thread's loop; None if there is no loop, or what it runs is no task."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None if trio_token() is None else sys.modules["trio"].lowlevel.current_task()


async def sleep(seconds: float) -> None:
    """Let the other tasks go on for so many seconds (float)."""
    await (asyncio.sleep if trio_token() is None else sys.modules["trio"].sleep)(seconds)
