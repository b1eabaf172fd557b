"""One of several processes on one directory: opens it, says so, and on "go" runs for a while and says how fast."""

import gc
import itertools
import random
import sys
from time import perf_counter

from contenders import BY_NAME
from entries import NAMES, fresh_value

SECONDS = 0.5
# Operations between two looks at the clock, and how often other keys come before the first ones again.
CHUNK, CHUNKS = 500, 40


def main(name: str, directory: str, period: str, seed: str) -> None:
    keys = random.Random(int(seed))
    loops = BY_NAME[name].open(directory)
    loops.get(loops.keys(NAMES))
    chunks = [loops.keys(keys.choices(NAMES, k=CHUNK)) for _ in range(CHUNKS)]
    gc.disable()
    print("ready", flush=True)
    if sys.stdin.readline().strip() == "go":
        operations = 0
        start = perf_counter()
        for chunk in itertools.cycle(chunks):
            loops.mixed(chunk, fresh_value(256), int(period))
            operations += CHUNK
            passed = perf_counter() - start
            if passed >= SECONDS:
                break
        print(operations / passed, flush=True)
    loops.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
