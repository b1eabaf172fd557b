"""Kill writers at random instants, again and again, and look at what they leave behind.

    python tests/soak_crash.py --kills 2000

A writer does one operation after the other, as a seeded random number generator says, and reports each one
through a pipe after it has returned. Who kills it therefore knows what must be there afterwards: everything
that was reported, and of the one operation that was under way all or nothing.
"""

import argparse
import contextlib
import dataclasses
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import fastcache

KEYS = 25
SMALL = (0, 1, 40, 3000)
LARGE = (140_000, 150_000, 1_100_000)


class Undo(Exception):
    pass


class Model(dict):
    """What a store would hold: a dict with the methods that operations use beyond a dict's."""

    def incr(self, key):
        if not isinstance(self.get(key, 0), int):
            raise TypeError
        self[key] = self.get(key, 0) + 1

    def add(self, key, value):
        self.setdefault(key, value)

    def popitem(self, last=True):
        if not self:
            raise KeyError
        self.pop(next(reversed(self) if last else iter(self)))

    @contextlib.contextmanager
    def transact(self):
        before = dict(self)
        try:
            yield
        except BaseException:
            self.clear()
            self.update(before)
            raise


def value(chance, number):
    size = chance.choice(SMALL if chance.random() < 0.7 else LARGE)
    kind = chance.randrange(4)
    if kind == 0:
        return number
    if kind == 1:
        return [number, "x" * size]
    if kind == 2:
        return f"{number} " + "é" * (size // 2)
    return f"{number} ".encode() + b"\xff" * size


def operate(store, name, number, seed, alone):
    """Do operation ``number`` of the writer ``name``; what it is depends on these alone."""
    chance = random.Random(f"{seed} {name} {number}")
    key = f"{name} {chance.randrange(KEYS)}"
    act = chance.random()
    if act < 0.40:
        store[key] = value(chance, number)
    elif act < 0.50:
        store.pop(key, None)
    elif act < 0.58:
        with contextlib.suppress(TypeError):
            store.incr(f"{name} counter" if act < 0.56 else key)
    elif act < 0.64:
        store.add(key, value(chance, number))
    elif act < 0.72:
        store.update((f"{name} {chance.randrange(KEYS)}", value(chance, number)) for _ in range(chance.randrange(8)))
    elif act < 0.94:
        with contextlib.suppress(Undo), store.transact():
            for _ in range(chance.randrange(1, 8)):
                store[f"{name} {chance.randrange(KEYS)}"] = value(chance, number)
                store.pop(f"{name} {chance.randrange(KEYS)}", None)
            with contextlib.suppress(Undo), store.transact():
                store[key] = value(chance, number)
                if chance.random() < 0.5:
                    raise Undo
            if chance.random() < 0.3:
                raise Undo
    elif alone and act < 0.97:
        with contextlib.suppress(KeyError):
            store.popitem(last=chance.random() < 0.5)
    elif alone and act < 0.98:
        store.clear()
    elif act < 0.99 and not isinstance(store, Model):
        assert not store.check(fix=True).dangling_rows


def write(kind, directory, name, seed, alone):
    """What a writer does until it is killed: operate and report."""
    number = 0
    while True:
        with getattr(fastcache, kind)(directory) as store:
            for _ in range(60):
                operate(store, name, number, seed, alone)
                os.write(1, b"%d\n" % number)
                number += 1


class Writer:
    """A process that writes and is going to be killed."""

    def __init__(self, kind, directory, name, seed, alone):
        self.name, self.seed, self.alone = name, seed, alone
        self.acknowledged = 0
        arguments = [kind, directory, name, seed, int(alone)]
        self.popen = subprocess.Popen(
            [sys.executable, __file__, "--writer", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=os.path.dirname(directory),
        )

    def hear(self, times):
        for _ in range(times):
            line = self.popen.stdout.readline()
            if not line:
                raise AssertionError(f"the writer failed: {self.complaint()}")
            self.acknowledged += 1

    def kill(self):
        self.popen.send_signal(signal.SIGKILL)
        # Not communicate(), which does not know what hear() has left in the buffer.
        self.acknowledged += self.popen.stdout.read().count(b"\n")
        complaint = self.complaint()
        assert self.popen.wait() == -signal.SIGKILL, f"the writer failed: {complaint}"
        assert not complaint, complaint

    def complaint(self):
        with self.popen.stdout, self.popen.stderr:
            return self.popen.stderr.read().decode()

    def possible(self, before):
        """What may be there of this writer's, in order: with and without the operation that was under way."""
        model = Model(before)
        for number in range(self.acknowledged):
            operate(model, self.name, number, self.seed, self.alone)
        without = list(model.items())
        operate(model, self.name, self.acknowledged, self.seed, self.alone)
        return [without, list(model.items())]


@dataclasses.dataclass
class Kills:
    kills: int = 0
    acknowledged: int = 0
    orphaned_files: int = 0
    under_way: int = 0


def owner(key):
    return key.split()[0]


def soak(kind, directory, *, kills, writers, seed, report=None):
    """Kill ``writers`` processes at a time until so many were killed; return what was seen."""
    chance = random.Random(seed)
    seen = Kills()
    names = [f"writer{number}" for number in range(writers)]
    before, survivor = [], None
    while seen.kills < kills:
        # In every other round somebody else has the store open, so that nobody recovers it by opening.
        if seen.kills // writers % 2 and survivor is None:
            survivor = getattr(fastcache, kind)(directory)
        elif survivor is not None and not seen.kills // writers % 2:
            survivor.close()
            survivor = None
        started = [Writer(kind, directory, name, seed * 1_000_003 + seen.kills, writers == 1) for name in names]
        if chance.random() < 0.15:
            time.sleep(chance.random() * 0.15)
        else:
            for writer in started:
                writer.hear(chance.randrange(1, 60))
            time.sleep(chance.random() ** 2 * 0.005)
        for writer in started:
            writer.kill()
        seen.kills += writers
        store = survivor or getattr(fastcache, kind)(directory)
        left = list(store.items())
        for writer in started:
            mine = [(key, value) for key, value in left if owner(key) == writer.name]
            without, with_it = writer.possible([(key, value) for key, value in before if owner(key) == writer.name])
            assert mine in (without, with_it), difference(mine, without, with_it)
            seen.acknowledged += writer.acknowledged
            seen.under_way += mine != without
        assert len(left) == len(store)
        result = store.check()
        assert not result.dangling_rows, result
        assert not result.size_mismatches, result
        assert result.counters_consistent, result
        assert result.sqlite_integrity_ok, result
        # Whoever opens gives back at once what the killed have left; whoever lives on, soon.
        assert survivor is not None or not result.orphaned_files, result
        seen.orphaned_files += result.orphaned_files
        store.check(fix=True)
        assert store.check(), store.check()
        assert list(store.items()) == left
        if survivor is None:
            store.close()
            leftovers = list((pathlib.Path(directory) / "values" / "tmp").glob("*"))
            assert not leftovers, "temporary files outlive an opening"
        before = left
        if report and seen.kills // writers % 100 == 0:
            report(seen)
    if survivor is not None:
        survivor.close()
    return seen


def difference(mine, without, with_it):
    """What is wrong, in short."""

    def short(pairs):
        return {key: repr(value)[:20] + f" ({len(repr(value))})" for key, value in pairs}

    def against(expected):
        found, expected = short(mine), short(expected)
        return {
            key: (found.get(key), expected.get(key))
            for key in {**found, **expected}
            if found.get(key) != expected.get(key)
        }

    order = [key for key, _ in mine] == [key for key, _ in without]
    return (
        f"found/expected without the last operation: {against(without)}, with it: {against(with_it)}; "
        f"same order: {order}"
    )


def main():
    if sys.argv[1:2] == ["--writer"]:
        kind, directory, name, seed, alone = sys.argv[2:]
        write(kind, directory, name, int(seed), alone == "1")
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    parser.add_argument("--kind", nargs="*", default=["Cache", "Index"])
    options = parser.parse_args()
    seed = options.seed or int(time.time())
    print(f"seed {seed}", flush=True)
    for kind in options.kind:
        for writers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                seen = soak(
                    kind,
                    os.path.join(folder, "store"),
                    kills=options.kills // (2 * len(options.kind)),
                    writers=writers,
                    seed=seed,
                    report=lambda seen: print(seen, flush=True),
                )
                print(kind, f"{writers} at a time:", seen, flush=True)


if __name__ == "__main__":
    main()
