"""One of several processes on one directory: opens it, says so, and on "go" runs its operations."""

import gc
import random
import sys

from contenders import BY_NAME
from entries import NAMES, fresh_value


def main(name: str, directory: str, operations: str, period: str, seed: str) -> None:
    keys = random.Random(int(seed)).choices(NAMES, k=int(operations))
    value = fresh_value(256)
    loops = BY_NAME[name].open(directory)
    prepared = loops.keys(keys)
    loops.get(loops.keys(keys[:100]))
    gc.disable()
    print("ready", flush=True)
    if sys.stdin.readline().strip() == "go":
        loops.mixed(prepared, value, int(period))
        print("done", flush=True)
    loops.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
