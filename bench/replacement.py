"""Which requests hit a cache of so many entries, all of one size, that stores every miss: exact models in memory.

They are what a cache on disk is held against. It counts bytes where they count entries, it may approximate an order
that they keep to the letter, and none can do better than `belady`, which knows what will be asked. Each model takes
the keys as they are requested and a capacity of at least one entry, and says for each request whether it hits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from heapq import heappop, heappush

# Before the oldest entry and behind the newest one; no key is equal to it.
END = object()


def fifo(requests: Iterable[Hashable], capacity: int) -> Iterator[bool]:
    """What was stored first leaves first."""
    held: OrderedDict[Hashable, None] = OrderedDict()
    for key in requests:
        hit = key in held
        if not hit:
            if len(held) == capacity:
                held.popitem(last=False)
            held[key] = None
        yield hit


def lru(requests: Iterable[Hashable], capacity: int) -> Iterator[bool]:
    """What was not asked for the longest leaves first."""
    held: OrderedDict[Hashable, None] = OrderedDict()
    for key in requests:
        hit = key in held
        if hit:
            held.move_to_end(key)
        else:
            if len(held) == capacity:
                held.popitem(last=False)
            held[key] = None
        yield hit


def sieve(requests: Iterable[Hashable], capacity: int) -> Iterator[bool]:
    """A hand moves from old entries to new ones, spares those asked since it was there last, and takes the first other.

    As in "SIEVE is Simpler than LRU" (Zhang and others, NSDI 2024): entries stay in the order in which they came, and
    the hand stays where it was.
    """
    asked: dict[Hashable, bool] = {}
    newer: dict[Hashable, Hashable] = {END: END}
    older: dict[Hashable, Hashable] = {END: END}
    hand: Hashable = END
    for key in requests:
        hit = key in asked
        if not hit and len(asked) == capacity:
            while hand is END or asked[hand]:
                if hand is not END:
                    asked[hand] = False
                hand = newer[hand]
            del asked[hand]
            before, hand = older.pop(hand), newer.pop(hand)
            newer[before], older[hand] = hand, before
        if not hit:
            newest = older[END]
            newer[newest], older[key] = key, newest
            newer[key], older[END] = END, key
        asked[key] = hit
        yield hit


def belady(requests: Sequence[Hashable], capacity: int) -> Iterator[bool]:
    """What will not be asked for the longest leaves first: no other choice has more hits (Belady's MIN)."""
    count = len(requests)
    # Of a key that is not asked again: where it was asked, and the length of the trace more. So no two are alike, and
    # modulo the length each leads to its key.
    next_requests = [0] * count
    following: dict[Hashable, int] = {}
    for at in range(count - 1, -1, -1):
        key = requests[at]
        next_requests[at] = following.get(key, at + count)
        following[key] = at
    held: set[Hashable] = set()
    # Negated, so that the latest is on top. What is out of date stays in it and does no harm: it lies in the past, and
    # what is held is asked in the future, so the top is always held.
    latest: list[int] = []
    for at, key in enumerate(requests):
        hit = key in held
        if not hit:
            if len(held) == capacity:
                held.remove(requests[-heappop(latest) % count])
            held.add(key)
        heappush(latest, -next_requests[at])
        yield hit


MODELS: dict[str, Callable[[Sequence[Hashable], int], Iterator[bool]]] = {
    "exact LRU": lru,
    "exact SIEVE": sieve,
    "exact FIFO": fifo,
    "Belady's optimum": belady,
}
