"""What is timed: for each operation the same loop, over one method looked up before it starts.

A contender that needs another form of an operation overrides that one method. `floor.Floor` has the same
methods, as loops in C.
"""

from collections.abc import MutableSequence, Sequence
from itertools import repeat
from time import perf_counter_ns
from typing import Any


class WrongAnswerError(AssertionError):
    """A contender did not do what was timed."""


class Loops:
    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def close(self) -> None:
        self.cache.close()

    def keys(self, names: Sequence[str]) -> Any:
        """The names in the form that the loops take; never timed."""
        return names

    def fill(self, names: Sequence[str], value: object) -> None:
        """Store all entries by the quickest way there is; never timed."""
        with self.cache.transact():
            for name in names:
                self.cache.set(name, value)

    def recycle(self) -> None:
        """Before each round of writes; never timed. Caches are left alone: what they put off, a later call pays."""

    def holds(self, name: str, value: object) -> bool:
        """Whether the entry has this value; never timed. None stands for an absent entry."""
        return self.cache.get(name) == value

    def get(self, keys: Sequence[str]) -> None:
        get = self.cache.get
        for key in keys:
            get(key)

    def replay(self, keys: Sequence[str], value: object) -> int:
        """Get each, and set it if it is not there: how many were not."""
        get, set_ = self.cache.get, self.cache.set
        misses = 0
        for key in keys:
            if get(key) is None:
                set_(key, value)
                misses += 1
        return misses

    def getitem(self, keys: Sequence[str]) -> None:
        cache = self.cache
        for key in keys:
            cache[key]

    def get_in_transact(self, keys: Sequence[str]) -> None:
        with self.cache.transact():
            self.get(keys)

    def get_many(self, keys: Sequence[str]) -> int:
        """How many of the keys there are; a cache without such a method is asked for one after the other."""
        get = self.cache.get
        return len({key: get(key) for key in keys})

    def contains(self, keys: Sequence[str]) -> None:
        cache = self.cache
        found = 0
        for key in keys:
            found += key in cache
        if found != len(keys):
            raise WrongAnswerError(f"{found} of {len(keys)} keys found")

    def set(self, keys: Sequence[str], value: object) -> None:
        set_ = self.cache.set
        for key in keys:
            set_(key, value)

    def set_in_transact(self, keys: Sequence[str], value: object) -> None:
        with self.cache.transact():
            self.set(keys, value)

    def set_many(self, keys: Sequence[str], value: object) -> None:
        """In one call, or in one transaction where there is no such call."""
        self.set_in_transact(keys, value)

    def set_in_batch(self, keys: Sequence[str], value: object) -> None:
        """As they come in, committed now and then, or in one transaction where there is nothing like it."""
        self.set_in_transact(keys, value)

    def flush(self) -> None:
        """Wait until all is in the database; only a cache with a journal has something elsewhere."""

    def add(self, keys: Sequence[str], value: object) -> None:
        add = self.cache.add
        for key in keys:
            add(key, value)

    def delete(self, keys: Sequence[str]) -> None:
        delete = self.cache.delete
        for key in keys:
            delete(key)

    def incr(self, keys: Sequence[str]) -> None:
        incr = self.cache.incr
        for key in keys:
            incr(key)

    def iterate(self) -> int:
        found = 0
        for _ in self.cache:
            found += 1
        return found

    def count(self, times: int) -> int:
        cache = self.cache
        found = 0
        for _ in repeat(None, times):
            found = len(cache)
        return found

    def memoized(self) -> Any:
        """A function of one number whose results are kept in the cache."""
        return self.cache.memoize()(double)

    def memoize(self, function: Any) -> Any:
        """A function whose results are kept in the cache, as the contender's documentation does it."""
        return self.cache.memoize()(function)

    def mixed(self, keys: Sequence[str], value: object, period: int) -> None:
        """Reads, with every ``period``-th operation a set of the same key; none if ``period`` is 0."""
        if period == 0:
            self.get(keys)
            return
        get, set_ = self.cache.get, self.cache.set
        for start in range(0, len(keys), period):
            set_(keys[start], value)
            for key in keys[start + 1 : start + period]:
                get(key)

    def mixed_timed(self, keys: Sequence[str], value: object, period: int, latencies: MutableSequence[int]) -> None:
        """The same with at least one write, appending what each took in nanoseconds."""
        get, set_ = self.cache.get, self.cache.set
        for start in range(0, len(keys), period):
            begun = perf_counter_ns()
            set_(keys[start], value)
            latencies.append(perf_counter_ns() - begun)
            for key in keys[start + 1 : start + period]:
                get(key)


def double(number: int) -> int:
    return 2 * number
