"""How well a cache under a limit chooses what to keep, and how fast it is meanwhile: `python bench/traces.py`.

Each trace, from a file or made up (see synthetic.py), is played to a fresh cache of each kind: get a key, and set it if
it was not there. The table holds fastcache with each of its policies and its peers against models in memory (see
replacement.py) that hold as many entries as fastcache does with "lru", on average from when it first evicts.

The clock runs only while the cache works. Between two chunks of requests it stands still, while the cache is asked how
many entries there are and its files are looked at. An operation is a get or a set.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter

from contenders import DISKCACHE, DISKCACHE_RS, FASTCACHE, SCIQLOP_CACHE, Contender
from entries import KIB, fresh_value
from loops import Loops
from replacement import MODELS
from synthetic import LOOPS, SEEDED, loop
from trace_files import FORMATS, TraceError, read

MIB = KIB * KIB
POLICIES = ("lru", "lfu", "sieve", "fifo")
PEERS = {peer.name: peer for peer in (DISKCACHE, SCIQLOP_CACHE, DISKCACHE_RS)}
SYNTHETIC = (*SEEDED, *LOOPS)
# Requests between two looks at the clock, and misses between two looks at the entries and the files.
CHUNK, LOOK = 500, 500
# How often what the limit has room for is set, to see how many entries the cache then holds.
FILLINGS = 4


@dataclass(frozen=True)
class Played:
    """What became of a trace.

    Args:
        seconds: what the gets and sets took; None for a model.
        entries: how many there were at the end.
        held: how many there were on average, from when there first were fewer than had been set; None if never.
        volume: what the cache said that it takes up at the end, in bytes.
        on_disk: what its files took up at the end, in bytes, without the write-ahead log.
        most_on_disk: the most of that whenever it was looked at.
    """

    name: str
    requests: int
    hits: int
    seconds: float | None = None
    entries: int | None = None
    held: float | None = None
    volume: int | None = None
    on_disk: int | None = None
    most_on_disk: int | None = None

    @property
    def percent(self) -> float:
        return 100 * self.hits / self.requests

    @property
    def rate(self) -> float | None:
        return (2 * self.requests - self.hits) / self.seconds if self.seconds else None


def occupied(directory: str, *, with_wal: bool = False) -> int:
    """The bytes of all files of a cache but its write-ahead log, which is not what the cache keeps; or with that."""
    total = 0
    for file in Path(directory).rglob("*"):
        # It may be removed at any time.
        with contextlib.suppress(FileNotFoundError):
            if file.is_file() and (with_wal or not file.name.endswith("-wal")):
                total += file.stat().st_size
    return total


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Keep the garbage collector out of what is timed."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def play(name: str, loops: Loops, directory: str, requests: Sequence[str], value_size: int) -> Played:
    """Get every key, and set it if it is not there. The cache begins empty."""
    misses = looked = most_on_disk = 0
    seconds = 0.0
    held: list[int] = []
    for start in range(0, len(requests), CHUNK):
        keys = loops.keys(requests[start : start + CHUNK])
        value = fresh_value(value_size)
        with no_collection():
            begun = perf_counter()
            misses += loops.replay(keys, value)
            seconds += perf_counter() - begun
        if misses - looked >= LOOK:
            looked = misses
            most_on_disk = max(most_on_disk, occupied(directory))
            entries = loops.count(1)
            # Nothing is set twice before it was evicted.
            if entries < misses:
                held.append(entries)
    on_disk = occupied(directory)
    return Played(
        name,
        len(requests),
        len(requests) - misses,
        seconds,
        entries=loops.count(1),
        held=fmean(held) if held else None,
        volume=loops.cache.volume(),
        on_disk=on_disk,
        most_on_disk=max(most_on_disk, on_disk),
    )


@dataclass(frozen=True)
class Player:
    """Plays traces to caches under a limit in bytes, each in a fresh directory."""

    max_size: int
    value_size: int
    parent: str | None = None

    def play(self, name: str, contender: Contender, requests: Sequence[str], **settings: object) -> Played:
        with tempfile.TemporaryDirectory(prefix="fastcache-traces-", dir=self.parent) as folder:
            directory = str(Path(folder, "cache"))
            loops = contender.open_bounded(directory, self.max_size, **settings)
            try:
                return play(name, loops, directory, requests, self.value_size)
            finally:
                loops.close()

    def fastcache(self, policy: str, requests: Sequence[str]) -> Played:
        return self.play(f"fastcache {policy}", FASTCACHE, requests, eviction=policy)

    def capacity(self) -> int:
        """How many entries fastcache holds while it evicts steadily."""
        keys = [f"fill-{number:06d}" for number in range(FILLINGS * (self.max_size // self.value_size + CHUNK))]
        held = self.fastcache("lru", keys).held
        if held is None:
            raise RuntimeError(f"fastcache evicted nothing of {len(keys):,} entries; give --capacity")
        return round(held)


@dataclass(frozen=True)
class Plan:
    """Who plays: the policies of fastcache, and the peers. If nobody does, the models are alone."""

    policies: Sequence[str]
    peers: Sequence[Contender]


@dataclass(frozen=True)
class Comparison:
    """One trace, played by all."""

    trace: str
    requests: int
    keys: int
    player: Player
    capacity: int
    played: Sequence[Played]

    def difference(self, played: Played) -> float:
        """Of its hits to those of the exact LRU, in percent of all requests."""
        return played.percent - next(each.percent for each in self.played if each.name == "exact LRU")

    def cells(self, played: Played) -> list[str]:
        def per_limit(size: int | None) -> str:
            return "" if size is None else f"{size / self.player.max_size:.2f}"

        return [
            f"{played.percent:.2f}",
            f"{self.difference(played):+.2f}",
            "" if played.rate is None else f"{played.rate:,.0f}",
            f"{self.capacity if played.entries is None else played.entries:,}",
            *map(per_limit, (played.volume, played.on_disk, played.most_on_disk)),
        ]

    def as_markdown(self) -> str:
        columns = [
            "hits, %",
            "to exact LRU",
            "ops/s",
            "entries",
            "volume / limit",
            "on disk / limit",
            "most on disk / limit",
        ]
        size, limit = self.player.value_size, self.player.max_size / MIB
        return "\n".join(
            [
                f"{self.trace}: {self.requests:,} requests of {self.keys:,} keys; values of {size:,} bytes, "
                f"a limit of {limit:g} MiB, and one of {self.capacity:,} entries for the models\n",
                f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}",
                *(f"| {played.name} | {' | '.join(self.cells(played))} |" for played in self.played),
                "",
            ]
        )

    def as_json(self) -> dict[str, object]:
        rows = [
            asdict(played)
            | {"percent": played.percent, "to_exact_lru": self.difference(played), "ops_per_second": played.rate}
            for played in self.played
        ]
        return {
            "trace": self.trace,
            "requests": self.requests,
            "keys": self.keys,
            "value_size": self.player.value_size,
            "max_size": self.player.max_size,
            "capacity": self.capacity,
            "rows": rows,
        }


def compare(trace: str, requests: Sequence[str], player: Player, plan: Plan, capacity: int | None) -> Comparison:
    """Play one trace to everyone. Without a capacity the models have that of fastcache's lru, as it turns out."""
    played = [player.fastcache(policy, requests) for policy in plan.policies]
    played += [player.play(peer.name, peer, requests) for peer in plan.peers]
    if capacity is None:
        held = next((each.held for each in played if each.name == "fastcache lru"), None)
        capacity = player.capacity() if held is None else round(held)
    for name, model in MODELS.items():
        played.append(Played(name, len(requests), sum(model(requests, capacity))))
    return Comparison(trace, len(requests), len(set(requests)), player, capacity, played)


def several_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """For argparse: some of the choices, separated by commas; an empty text for none of them."""

    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(choices)}")
        return names

    return parse


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well a cache under a limit chooses what to keep.")
    parser.add_argument(
        "traces",
        nargs="*",
        default=SYNTHETIC,
        metavar="TRACE",
        help=f"a file (.gz, or - for the standard input) or one of {', '.join(SYNTHETIC)} (default: all of these)",
    )
    parser.add_argument("--format", choices=FORMATS, help="of the files (default: guessed from their first lines)")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N requests of a file")
    parser.add_argument("--requests", type=positive, default=150_000, help="of a made-up trace (default: 150,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up traces (default: 1)")
    parser.add_argument("--value-size", type=positive, default=KIB, metavar="BYTES", help="(default: 1024)")
    parser.add_argument("--max-size", type=positive, default=16 * MIB, metavar="BYTES", help="(default: 16 MiB)")
    parser.add_argument(
        "--policies", type=several_of(POLICIES), default=POLICIES, help=f"of fastcache (default: {','.join(POLICIES)})"
    )
    parser.add_argument("--peers", type=several_of([*PEERS]), default=[*PEERS], help=f"(default: {','.join(PEERS)})")
    parser.add_argument("--capacity", type=positive, metavar="N", help="entries that the models hold")
    parser.add_argument("--models-only", action="store_true", help="play to no cache; needs --capacity")
    parser.add_argument("--json", metavar="FILE", help="write what was measured there, too")
    parser.add_argument("--bench-dir", metavar="DIR", help="make the caches here (default: with temporary files)")
    asked = parser.parse_args(arguments)
    if asked.models_only and asked.capacity is None:
        parser.error("--models-only needs --capacity")
    return asked


def traces(asked: argparse.Namespace, player: Player) -> Iterator[tuple[str, list[str], int | None]]:
    """Each with its name, its requests, and the capacity that is known before it is played."""
    looped_capacity = asked.capacity
    for name in asked.traces:
        if name in SEEDED:
            yield name, list(SEEDED[name](asked.requests, asked.seed)), asked.capacity
        elif name in LOOPS:
            # Asked for once: every loop is made for the same capacity, and held against it.
            looped_capacity = looped_capacity or player.capacity()
            keys = max(1, round(LOOPS[name] * looped_capacity))
            yield f"{name} ({LOOPS[name]:g} times the capacity)", list(loop(asked.requests, keys)), looped_capacity
        else:
            yield Path(name).name, read(name, asked.format, asked.limit), asked.capacity


def main(arguments: Sequence[str] | None = None) -> None:
    asked = parse(arguments)
    player = Player(asked.max_size, asked.value_size, asked.bench_dir)
    able = []
    for name in [] if asked.models_only else asked.peers:
        obstacle = PEERS[name].obstacle()
        if obstacle is None:
            able.append(PEERS[name])
        else:
            print(f"{obstacle}\n")
    plan = Plan([] if asked.models_only else asked.policies, able)
    compared = []
    for trace, requests, capacity in traces(asked, player):
        if not requests:
            raise TraceError(f"{trace}: no requests")
        comparison = compare(trace, requests, player, plan, capacity)
        compared.append(comparison.as_json())
        print(comparison.as_markdown(), flush=True)
    if asked.json:
        Path(asked.json).write_text(json.dumps(compared, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
