"""Is a cache that many threads and processes share coherent? Let them use it as hard as they can, and prove it.

    python tests/soak_coherence.py --operations 1000000 --mode off whole log overrun --seed 1

Processes of several threads each do random operations on a dozen keys of one cache, and record them (histories.py).
Some are killed and started anew, and a program that knows nothing of fastcache writes, checkpoints and vacuums
meanwhile. Then each pair of keys must have a history that is linearizable (linearizability.py): nothing acknowledged
is lost, nothing stale is returned, no transaction is seen in halves, nothing outlives its expiry.

The modes are those of the memory tier: ``off``; ``whole``, which drops everything when another process commits;
``log``, which drops what the change log names; and ``overrun``, whose change log is too small for what happens.

In the mode ``bounded`` the cache has a limit, which other keys fill all the time, so that any entry may be evicted at
any time; whatever else is wrong in the other modes is wrong there, too. What the directory occupies is looked at again
and again while all processes are stopped, so that it is exact. The policy depends on the seed.

What the random choices are depends on the seed; how the operations meet does not.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

if __package__:
    from . import histories, linearizability
else:
    import histories
    import linearizability

MODES = ("off", "whole", "log", "overrun", "bounded")
WORKERS = pathlib.Path(__file__).with_name("coherence_workers.py")
PATIENCE_SECONDS = 120
MS = 1_000_000
# The processes that use the cache: how many threads each has, and how many objects for the one directory.
THREADS = 3
OBJECTS = (1, 2, 1)
# How long one thread may keep the GIL from the others, in seconds: the shorter, the more they meet.
INTERVALS = (0.005, 0.0001, 0.00001)
# Bytes of the memory tier: more than enough, and less.
MEMORY = (32 << 20, 32 << 20, 100_000)
# Of the mode bounded: the limit in bytes (of which what one transaction writes to files is little, since what it evicts
# for that is unlinked only after it), the policies, how far it may be exceeded, and how often that is looked at.
LIMIT = 6 << 20
POLICIES = ("lru", "ttl", "lfu", "sieve", "fifo")
MOST_OCCUPIED = 1.05
BETWEEN_SAMPLES = 0.03
# What is not counted: the write-ahead log and its index, and the change log.
NOT_OCCUPIED = ("-wal", "-shm", "cache.changes")
# After so many kills, the cache is inspected while it is used.
KILLS_BETWEEN_INSPECTIONS = 3
# A process ends when its logs are full, and another one takes its place.
LONGEST_LOG = 30_000
# However busy the machine is, and however few operations there are to be.
FEWEST_KILLS = 3
FEWEST_FOREIGN = 40
# Of an account: the lines of a list, and for how many nanoseconds before what is wrong.
SHOWN = 60
AROUND = 2 * MS


class Process:
    """One process of a run, and what became of it."""

    def __init__(self, folder, number, role, **arguments):
        self.folder = folder
        self.number = number
        self.role = role
        self.died = None
        self.complaints = os.path.join(folder, f"{number}.stderr")
        with open(self.complaints, "wb") as complaints:
            self.popen = subprocess.Popen(
                [sys.executable, str(WORKERS), role, json.dumps({"folder": folder, "number": number, **arguments})],
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )

    def logs(self):
        return pathlib.Path(self.folder).glob(f"{self.number}-*.log")

    def is_ready(self):
        """Whether all its threads have begun."""
        if self.popen.poll() is not None:
            self.finish()
        return len(list(self.logs())) == (THREADS if self.role == "use" else 1)

    def counters(self):
        """How much is recorded, and its caches' statistics."""
        nothing = (0,) * (1 + len(histories.STATS))
        return [sum(column) for column in zip(nothing, *map(histories.read_header, self.logs()), strict=True)]

    def kill(self):
        """Kill it, unless it has come to its end meanwhile; returns whether that was so."""
        self.popen.send_signal(signal.SIGKILL)
        if self.popen.wait() == -signal.SIGKILL:
            self.died = time.monotonic_ns()
        return self.died is not None

    def stop(self):
        """Stop it for a while, unless it has come to its end."""
        self.popen.send_signal(signal.SIGSTOP)
        if self.popen.returncode is None:
            os.waitid(os.P_PID, self.popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def go_on(self):
        self.popen.send_signal(signal.SIGCONT)

    def finish(self):
        """Wait for its end, which must come without a complaint; return what it has said."""
        said, _ = self.popen.communicate(timeout=PATIENCE_SECONDS)
        complaint = pathlib.Path(self.complaints).read_text()
        expected = 0 if self.died is None else -signal.SIGKILL
        if self.popen.returncode != expected or complaint:
            raise AssertionError(f"{self.role} {self.number} exited with {self.popen.returncode}: {complaint}")
        return said

    def end(self):
        if self.popen.returncode is None:
            self.popen.kill()
            self.popen.wait()
        self.popen.stdout.close()


@dataclasses.dataclass
class Outcome:
    """What a run has come to."""

    mode: str
    operations: int
    counts: dict
    committed: int
    rolled_back: int
    kills: int
    pending: int
    hits: int
    misses: int
    memory_hits: int
    evictions: int
    evicted_pairs: int
    samples: int
    occupied: float
    recording_seconds: float
    checking_seconds: float
    violations: list

    def __str__(self):
        counts = ", ".join(f"{action.name.lower()} {count}" for action, count in self.counts.items() if count)
        reads = self.hits + self.misses
        return (
            f"mode {self.mode}: {self.operations} operations in {self.recording_seconds:.1f} s, checked in "
            f"{self.checking_seconds:.1f} s\n"
            f"  {counts}\n"
            f"  {self.committed} transactions committed, {self.rolled_back} rolled back; {self.kills} kills, "
            f"{self.pending} operations with unknown outcome\n"
            f"  {self.memory_hits} hits in memory, {self.memory_hits / max(reads, 1):.1%} of {reads} reads, "
            f"{self.hits / max(reads, 1):.1%} of which were hits\n{self.bounds()}"
            + "\n".join(self.violations or ["  no violation"])
        )

    def bounds(self):
        if not self.samples:
            return ""
        return (
            f"  {self.evictions} evictions, seen in {self.evicted_pairs} pairs of keys; at most {self.occupied:.4f} "
            f"of the limit in {self.samples} samples\n"
        )


class Run:
    """One run in one mode: the processes, from the first to the last."""

    def __init__(self, folder, mode, operations, seed):
        self.folder = folder
        self.mode = mode
        self.operations = operations
        self.seed = seed
        self.chance = random.Random(f"{seed} {mode}")
        self.kills = 0
        self.processes = []
        self.numbers = iter(range(1 << 16))
        self.orders = open(os.path.join(folder, "orders"), "x+b", buffering=0)  # noqa: SIM115
        self.turn = 0
        self.bounded = mode == "bounded"
        self.settings = {"max_size": LIMIT, "eviction": POLICIES[seed % len(POLICIES)]} if self.bounded else {}
        self.samples = 0
        self.occupied = 0
        self.excesses = []

    def start(self, role, **arguments):
        process = Process(self.folder, next(self.numbers), role, **arguments)
        self.processes.append(process)
        return process

    def start_user(self, which):
        return self.start(
            "use",
            mode=self.mode,
            seed=self.seed,
            threads=THREADS,
            objects=OBJECTS[which],
            memory=self.chance.choice(MEMORY),
            capacity=self.chance.randrange(LONGEST_LOG // 3, LONGEST_LOG),
            interval=self.chance.choice(INTERVALS),
        )

    def start_foreigner(self):
        return self.start(
            "interfere",
            mode=self.mode,
            seed=self.seed,
            stored_keys=self.stored_keys,
            capacity=LONGEST_LOG,
            pace=self.chance.choice((0.002, 0.01, 0.03)),
        )

    def tell(self, order):
        self.orders.seek(0)
        self.orders.write(histories.ORDERS.pack(order, self.turn))

    def next_phase(self):
        self.turn += 1
        self.tell(histories.WAIT + 1 + self.turn % (histories.STOP - histories.WAIT - 1))

    def record(self):
        """Let the processes operate until enough is done; some are killed meanwhile."""
        offset = clock_offset()
        self.tell(histories.WAIT)
        self.stored_keys = json.loads(self.start("prepare", mode=self.mode, settings=self.settings).finish())
        running = [self.start_user(which) for which in range(len(OBJECTS))] + [self.start_foreigner()]
        while not all(process.is_ready() for process in running):
            time.sleep(0.001)
        self.next_phase()
        kill_every = min(25_000, self.operations // 6)
        next_kill = kill_every
        longest_phase = min(6_000, self.operations // 20)
        next_phase = longest_phase
        finished = 0
        progressed = time.monotonic()
        seen = 0
        next_sample = progressed
        inspector = None
        next_inspection = KILLS_BETWEEN_INSPECTIONS
        while True:
            time.sleep(0.005)
            if self.bounded and time.monotonic() >= next_sample:
                self.sample([*running, *([inspector] if inspector else [])])
                next_sample = time.monotonic() + BETWEEN_SAMPLES
            if inspector is not None and inspector.popen.poll() is not None:
                inspector.finish()
                inspector = None
            elif self.bounded and inspector is None and self.kills >= next_inspection:
                next_inspection = self.kills + KILLS_BETWEEN_INSPECTIONS
                inspector = self.start("inspect", mode=self.mode)
            live = [process.counters()[0] for process in running]
            done = finished + sum(live)
            if done != seen:
                seen, progressed = done, time.monotonic()
            assert time.monotonic() - progressed < PATIENCE_SECONDS, "the processes are stuck"
            foreign = sum(process.counters()[0] for process in self.processes if process.role == "interfere")
            if done >= self.operations and self.kills >= FEWEST_KILLS and foreign >= FEWEST_FOREIGN:
                break
            if done >= next_phase:
                next_phase = done + self.chance.randrange(longest_phase // 8, longest_phase)
                self.next_phase()
            victim = None
            if done >= next_kill:
                # Mostly one that caches.
                victim = self.chance.choices(range(len(running)), (4,) * len(OBJECTS) + (1,))[0]
                # It must have come to operate.
                if live[victim]:
                    next_kill += self.chance.randrange(kill_every // 2, kill_every)
                else:
                    victim = None
            for which, process in enumerate(running):
                if which == victim:
                    self.kills += process.kill()
                elif process.popen.poll() is None:
                    continue
                process.finish()
                finished += process.counters()[0]
                running[which] = self.start_user(which) if which < len(OBJECTS) else self.start_foreigner()
        self.tell(histories.STOP)
        for process in (*running, *([inspector] if inspector else [])):
            process.finish()
        self.start("look", mode=self.mode).finish()
        assert abs(clock_offset() - offset) < MS, (
            "the system's clock was set meanwhile, which expiry notices: run again"
        )

    def sample(self, running):
        """See how much the directory occupies at one instant."""
        for process in running:
            process.stop()
        try:
            files = occupied(os.path.join(self.folder, "cache"))
        finally:
            for process in running:
                process.go_on()
        total = sum(files.values())
        self.samples += 1
        if total > MOST_OCCUPIED * LIMIT and total > self.occupied:
            self.excesses = [
                f"  VIOLATION: {total} bytes are occupied, {total / LIMIT:.4f} of the limit, "
                f"in sample {self.samples} after {self.kills} kills: {files}"
            ]
        self.occupied = max(self.occupied, total)

    def end(self):
        for process in self.processes:
            process.end()
        self.orders.close()

    def check(self):
        """The histories, and an account of each violation in them."""
        recorded = histories.Histories(evicts=self.bounded)
        for process in self.processes:
            for path in process.logs():
                recorded.read(path, process.died)
        recorded.finish()
        accounts = list(self.excesses)
        for pair in range(histories.PAIRS):
            if linearizability.find_violation(recorded.of(pair), [histories.NOTHING]) is not None:
                accounts.append(account(recorded, pair))
        return recorded, accounts


def occupied(directory):
    """The bytes of a cache directory that a limit is about, by what they are for."""
    files = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            if not name.endswith(NOT_OCCUPIED):
                kind = os.path.relpath(folder, directory) if folder != directory else name
                files[kind] = files.get(kind, 0) + os.lstat(os.path.join(folder, name)).st_size
    return files


def count_evicted(recorded):
    """How many pairs have a history that only eviction explains."""
    return sum(
        linearizability.find_violation(operations, [histories.NOTHING]) is not None for operations in recorded.of_pair
    )


def clock_offset():
    """Between the clock that expiry is counted by and the one of the records, in nanoseconds."""
    tries = [(time.monotonic_ns(), time.time_ns(), time.monotonic_ns()) for _ in range(20)]
    before, now, after = min(tries, key=lambda times: times[2] - times[0])
    return now - (before + after) // 2


def soak(mode, folder, *, operations, seed):
    """Run and check; return the outcome."""
    run = Run(folder, mode, operations, seed)
    began = time.monotonic()
    try:
        run.record()
    finally:
        run.end()
    ended = time.monotonic()
    recorded, violations = run.check()
    _, hits, misses, memory_hits, evictions = map(
        sum, zip(*(process.counters() for process in run.processes), strict=True)
    )
    return Outcome(
        mode=mode,
        operations=sum(recorded.counts.values()),
        counts=recorded.counts,
        committed=recorded.committed,
        rolled_back=recorded.rolled_back,
        kills=run.kills,
        pending=recorded.pending,
        hits=hits,
        misses=misses,
        memory_hits=memory_hits,
        evictions=evictions,
        evicted_pairs=count_evicted(recorded) if run.bounded else 0,
        samples=run.samples,
        occupied=run.occupied / LIMIT,
        recording_seconds=ended - began,
        checking_seconds=time.monotonic() - ended,
        violations=violations,
    )


def account(recorded, pair):
    """A violation, told for people: what cannot have been, what was possible, and what happened around it."""
    operations, violation = linearizability.shrink(recorded.of(pair), [histories.NOTHING])
    culprit = violation.operation
    origin = culprit.called
    told_apart = [culprit, *(operation for operation in operations if operation.observes)]
    since = min(operation.called for operation in told_apart) - AROUND
    around = [
        operation for operation in operations if since <= operation.returned and operation.called <= culprit.returned
    ]

    def line(source, called, returned, mark=""):
        name, first, end = source
        records = recorded.records(name)[first:end]
        until = "?" if returned == math.inf else f"{(returned - origin) / 1000:+.1f}"
        return (
            f"  {mark:2} {(called - origin) / 1000:+12.1f} to {until:>10} us  process {name}: "
            f"{'; '.join(map(histories.describe, records))}"
        )

    seen = {histories.family(token) for operation in around for token in tokens_seen(operation)} - {0}
    origins = [
        line((name, index, index + 1), record.called, record.returned or math.inf)
        for name in recorded.logs
        for index, record in enumerate(recorded.records(name))
        if record.token and histories.family(record.token) in seen and pair in histories.pairs_of(record)
    ]
    lines = [
        line(operation.source, operation.called, operation.returned, ">>" if operation is culprit else "")
        for operation in around
        if operation.source is not None
    ]
    states = [f"    {' and '.join(told(entry, origin) for entry in state)}" for state in violation.states]
    keys = " and ".join(map(repr, histories.KEYS[2 * pair : 2 * pair + 2]))
    return "\n".join(
        [
            f"  VIOLATION of {keys}: no order explains what these operations "
            "have returned, by the time of the call (reads that do not matter, and what was rolled back, left out):",
            *cut(lines),
            "  When the one marked >> returned, all others that had returned would have left:",
            *cut(states),
            "  Where the values come from that were seen (maybe in a transaction that was rolled back):",
            *cut(origins),
        ]
    )


def cut(lines):
    return lines if len(lines) <= SHOWN else [f"     {len(lines) - SHOWN} more, and", *lines[-SHOWN:]]


def tokens_seen(operation):
    return [step.token for step in getattr(operation, "steps", (operation,)) if getattr(step, "token", None)]


def told(entry, origin):
    if entry is None:
        return "nothing"
    token, earliest, latest = entry
    if latest == math.inf:
        return histories.name_of(token)
    times = f"{(earliest - origin) / 1000:+.1f} and {(latest - origin) / 1000:+.1f} us"
    return f"{histories.name_of(token)}, which expires between {times}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=1_000_000, help="in each mode")
    parser.add_argument("--mode", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    options = parser.parse_args()
    seed = options.seed or int(time.time())
    print(f"seed {seed}", flush=True)
    failed = False
    for mode in options.mode:
        with tempfile.TemporaryDirectory() as folder:
            outcome = soak(mode, folder, operations=options.operations, seed=seed)
        print(outcome, flush=True)
        failed = failed or bool(outcome.violations)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
