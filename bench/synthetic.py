"""Made-up traces, each of which asks something of a cache that must evict. The same seed gives the same requests.

Two more, `loop` and `loop2`, walk over so many keys again and again, a fifth more than the cache holds or twice as
many: least recently used is then the worst that there is, since what is asked next has always just left.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import accumulate, count, cycle, islice

KEYS = 200_000
# So many requests of the core, then a scan of so many keys.
BETWEEN_SCANS, SCAN = 20_000, 10_000
# So many keys are hot, for so many requests, which ask for others with this probability; then half of them are new.
HOT, STAY, ELSEWHERE = 10_000, 25_000, 0.1
# How many of the requests ask for what is never asked again, and how many keys the others share.
ONCE, CORE = 0.5, 50_000


def zipf(requests: int, seed: int, keys: int = KEYS, exponent: float = 1) -> Iterator[str]:
    """The n-th of the keys is asked for with a probability in proportion to 1/n, or to a power of that. Their names are
    in no order."""
    chosen = random.Random(seed)
    names = [f"zipf-{number:06d}" for number in chosen.sample(range(keys), k=keys)]
    weights = list(accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    return iter(chosen.choices(names, cum_weights=weights, k=requests))


def scans(requests: int, seed: int) -> Iterator[str]:
    """The same, and now and then a scan over keys that nobody has asked for or asks for again."""
    core, scan = zipf(requests, seed), (f"scan-{number:06d}" for number in count())
    for number in range(requests):
        yield next(core if number % (BETWEEN_SCANS + SCAN) < BETWEEN_SCANS else scan)


def shift(requests: int, seed: int) -> Iterator[str]:
    """A hot set, all of it alike, that moves from time to time and takes half of its keys along."""
    chosen = random.Random(seed)
    for number in range(requests):
        if chosen.random() < ELSEWHERE:
            key = chosen.randrange(KEYS)
        else:
            key = (number // STAY * (HOT // 2) + chosen.randrange(HOT)) % KEYS
        yield f"shift-{key:06d}"


def onehit(requests: int, seed: int) -> Iterator[str]:
    """A small Zipf core among keys that are asked for once."""
    chosen = random.Random(seed)
    core, once = zipf(requests, seed, CORE), (f"once-{number:06d}" for number in count())
    for _ in range(requests):
        yield next(once if chosen.random() < ONCE else core)


def loop(requests: int, keys: int) -> Iterator[str]:
    """All keys in the same order, again and again."""
    return islice(cycle([f"loop-{number:06d}" for number in range(keys)]), requests)


# By name: from the number of requests and a seed.
SEEDED: dict[str, Callable[[int, int], Iterator[str]]] = {
    "zipf": zipf,
    "scans": scans,
    "shift": shift,
    "onehit": onehit,
}
# By name: the number of keys, in entries that the cache holds.
LOOPS = {"loop": 1.2, "loop2": 2.0}
