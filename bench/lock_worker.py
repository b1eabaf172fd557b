"""One of two processes that share a lock: opens the cache, says so, and on "go" takes turns for a while."""

from __future__ import annotations

import json
import sys
from time import perf_counter, process_time, sleep
from typing import Any

from contenders import BY_NAME, Contender

HOLD_SECONDS = 0.0005


def lock_of(contender: Contender, cache: Any) -> Any:
    """The contender's lock, as its documentation makes one."""
    if contender.name == "diskcache":
        import diskcache

        return diskcache.Lock(cache, "lock")
    return cache.lock("lock")


def hold(seconds: float) -> None:
    """Compute: a sleep of half a millisecond takes longer than that."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def take_turns(lock: Any, seconds: float) -> dict[str, Any]:
    """What each ``acquire`` took, and from when to when it was held; the clock is one for all processes."""
    waits, holds = [], []
    end = perf_counter() + seconds
    while (asked := perf_counter()) < end:
        lock.acquire()
        acquired = perf_counter()
        waits.append(acquired - asked)
        hold(HOLD_SECONDS)
        holds.append((acquired, perf_counter()))
        lock.release()
    return {"waits": waits, "holds": holds}


def main() -> None:
    name, directory, mode, seconds = sys.argv[1:]
    loops = BY_NAME[name].open(directory)
    lock = lock_of(BY_NAME[name], loops.cache)
    if mode == "hold":
        lock.acquire()
    print("ready", flush=True)
    sys.stdin.readline()
    if mode == "turns":
        said = take_turns(lock, float(seconds))
    elif mode == "hold":
        sleep(float(seconds))
        lock.release()
        said = {}
    else:
        before, began = process_time(), perf_counter()
        lock.acquire()
        said = {"cpu": (process_time() - before) / (perf_counter() - began)}
        lock.release()
    loops.close()
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
