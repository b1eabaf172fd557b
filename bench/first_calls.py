"""A new process: opens a cache of 10,000 entries, sets one, gets another one, and says what each of these took."""

from __future__ import annotations

import itertools
import json
import sys
from importlib import import_module
from time import perf_counter

from contenders import BY_NAME
from entries import NAMES, fresh_value


def main() -> None:
    name, directory = sys.argv[1:]
    contender = BY_NAME[name]
    # The row "import" has this.
    import_module(contender.module)
    value = fresh_value(256)
    times = [perf_counter()]
    loops = contender.open(directory)
    times.append(perf_counter())
    for call, keys in (lambda keys: loops.set(keys, value), loops.keys(NAMES[:1])), (loops.get, loops.keys(NAMES[1:2])):
        begun = perf_counter()
        call(keys)
        times.append(times[-1] + perf_counter() - begun)
    loops.close()
    print(json.dumps([after - before for before, after in itertools.pairwise(times)]))


if __name__ == "__main__":
    main()
