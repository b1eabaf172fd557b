"""Is a cache that many threads and processes share coherent? Let them use it as hard as they can, and prove it.

    python tests/soak_coherence.py --operations 1000000 --mode off whole log overrun bounded \\
        --store Cache Index FanoutCache FanoutIndex --seed 1

Processes do random operations on a few keys of one store, and record them (histories.py). Then each pair of keys must
have a history that is linearizable (linearizability.py): nothing acknowledged is lost, nothing stale is returned, no
transaction is seen in halves, nothing outlives its expiry.

Who is there (coherence_workers.py): three processes of three threads each, which share one or two objects; one that
forks short-lived ones, each of which opens the store, does a handful of operations and ends, some without closing, some
killed; and a program that knows nothing of fastcache, which writes, checkpoints and vacuums.

**Lives.** When the last one leaves, SQLite removes the WAL, and a new life of the commit clock begins. In some phases
of a run all keep the store open; in others some do, or one, or nobody, and the others open it for a few operations,
again and again. Processes are killed, one at a time or all at once. Between the *acts* of a run nobody is there, and
something may be done to the directory: its change log is removed, or a copy of an earlier state is put back. The
foreign program leaves WAL mode and comes back where it can.

The journal (shm/journal.pyx) is ``on`` or ``off`` for all, or ``mixed``: each object has or has not its sets go there.
With it, the foreign program changes no entry, since it would not see what is pending.

The modes are those of the memory tier: ``off``; ``whole``, which drops everything when another process commits;
``log``, which drops what the change log names; and ``overrun``, whose change log is too small for what happens.

In the mode ``bounded`` the cache has a limit, which other keys fill all the time, so that any entry may be evicted at
any time; whatever else is wrong in the other modes is wrong there, too. What the directory occupies is looked at again
and again while all processes are stopped, so that it is exact. The policy depends on the seed. (An Index has no limit,
and is left out there.)

What the random choices are depends on the seed; how the operations meet does not.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import os
import pathlib
import random
import shutil
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
STORES = ("Cache", "Index", "FanoutCache", "FanoutIndex")
JOURNALS = ("on", "mixed", "off")
WORKERS = pathlib.Path(__file__).with_name("coherence_workers.py")
PATIENCE_SECONDS = 120
MS = 1_000_000
# The processes that use the cache: how many threads each has, and how many objects for the one directory.
THREADS = 3
OBJECTS = (1, 2, 1)
# The number of the one after these, which sends visitors; the foreigner is the last.
SENDER = len(OBJECTS)
# How long one thread may keep the GIL from the others, in seconds: the shorter, the more they meet.
INTERVALS = (0.005, 0.0001, 0.00001)
# Bytes of the memory tier: more than enough, and less.
MEMORY = (32 << 20, 32 << 20, 100_000)
# Of the mode bounded: the limit in bytes of each shard (of which what one transaction writes to files is little, since
# what it evicts for that is unlinked only after it), the policies, how far it may be exceeded, and how often that is
# looked at.
LIMIT = 6 << 20
POLICIES = ("lru", "ttl", "lfu", "sieve", "fifo")
MOST_OCCUPIED = 1.05
BETWEEN_SAMPLES = 0.03
# What is not counted: the write-ahead log and its index, the change log, and the journal.
NOT_OCCUPIED = ("-wal", "-shm", "cache.changes", "cache.journal")
# After so many kills, the cache is inspected while it is used.
KILLS_BETWEEN_INSPECTIONS = 3
# Who has the store open, how often; and for how long, in seconds, where not all stay: then it is not the operations
# that count, but how often it is opened.
COMPANIES = (histories.ALL_STAY, histories.SOME_STAY, histories.ONE_STAYS, histories.NOBODY_STAYS)
COMPANY_WEIGHTS = (3, 1, 2, 6)
SHORTEST_PHASE, LONGEST_PHASE = 0.02, 0.2
# How many acts a run has at most, and operations each of them at least; how often one ends by killing all; and what is
# done before the next, how often.
ACTS, SHORTEST_ACT = 8, 40_000
CRASHES = 0.4
INTERLUDES = {"nothing": 3, "lose_the_log": 2, "copy": 3, "put_back": 4}
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

    def __init__(self, number, role, *, folder, **arguments):
        self.folder = folder
        self.number = number
        self.role = role
        self.died = None
        self.last_counters = None
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
        if self.last_counters is not None:
            return self.last_counters
        nothing = (0,) * (1 + len(histories.STATS))
        ended = self.popen.returncode is not None
        counters = [sum(column) for column in zip(nothing, *map(histories.read_header, self.logs()), strict=True)]
        if ended:
            self.last_counters = counters
        return counters

    def kill(self):
        """Kill it, and what it has forked, unless it has come to its end meanwhile; returns whether that was so."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        if self.popen.wait() == -signal.SIGKILL:
            # Its children have the pipe, too: it ends when all are dead.
            self.popen.stdout.read()
            self.died = time.monotonic_ns()
        return self.died is not None

    def stop(self):
        """Stop it for a while, unless it has come to its end."""
        self.popen.send_signal(signal.SIGSTOP)
        if self.popen.returncode is None:
            os.waitid(os.P_PID, self.popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        for child in children_of(self.popen.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
            while state_of(child) not in ("T", "Z", ""):
                time.sleep(0.0002)

    def go_on(self):
        if self.popen.returncode is None:
            os.killpg(self.popen.pid, signal.SIGCONT)

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
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
        self.popen.stdout.close()


def children_of(process):
    try:
        return [int(child) for child in pathlib.Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def state_of(process):
    """R, S, D, T (stopped), Z (dead), or nothing if it is gone."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


@dataclasses.dataclass
class Outcome:
    """What a run has come to."""

    mode: str
    store: str
    journal: str
    operations: int
    counts: dict
    committed: int
    rolled_back: int
    opened: int
    lives: int
    crashes: int
    interludes: dict
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
            f"mode {self.mode}, {self.store}, journal {self.journal}: {self.operations} operations in "
            f"{self.recording_seconds:.1f} s, checked in {self.checking_seconds:.1f} s\n"
            f"  {counts}\n"
            f"  opened {self.opened} times, {self.lives} lives; all killed {self.crashes} times; while nobody was "
            "there: " + ", ".join(f"{name} {count}" for name, count in self.interludes.items()) + "\n"
            f"  {self.committed} transactions committed, {self.rolled_back} rolled back; {self.kills} kills, "
            f"{self.pending} operations with unknown outcome\n"
            f"  {self.memory_hits} hits in memory, {self.memory_hits / max(reads, 1):.1%} of {reads} reads, "
            f"{self.hits / max(reads, 1):.1%} of which were hits\n{self.bounds()}"
            + "\n".join([*self.violations, f"  {len(self.violations)} violations"])
        )

    def bounds(self):
        if not self.samples:
            return ""
        return (
            f"  {self.evictions} evictions, seen in {self.evicted_pairs} pairs of keys; at most {self.occupied:.4f} "
            f"of the limit in {self.samples} samples\n"
        )


class Run:
    """One run in one mode with one kind of store: the processes, from the first to the last."""

    def __init__(self, folder, mode, store, operations, seed, *, journal):
        self.journal = journal
        self.folder = folder
        self.directory = os.path.join(folder, "cache")
        self.mode = mode
        self.store = store
        self.operations = operations
        self.seed = seed
        self.chance = random.Random(f"{seed} {mode} {store}")
        self.kills = self.crashes = 0
        self.interludes = dict.fromkeys(INTERLUDES, 0)
        self.processes = []
        self.numbers = iter(range(1, histories.MOST_NUMBERS // 4))
        self.orders = open(os.path.join(folder, "orders"), "x+b", buffering=0)  # noqa: SIM115
        self.log = histories.Log(os.path.join(folder, "0-between-acts.log"), 10_000)
        self.turn = 0
        self.company = 0
        self.sharded = store.startswith("Fanout")
        self.bounded = mode == "bounded"
        self.limit = LIMIT * (histories.SHARDS if self.sharded else 1)
        self.settings = {"max_size": self.limit, "eviction": POLICIES[seed % len(POLICIES)]} if self.bounded else {}
        self.samples = 0
        self.occupied = 0
        self.excesses = []
        # A copy of the directory, and which tokens it has.
        self.copied = None

    def start(self, role, **arguments):
        shared = {"folder": self.folder, "mode": self.mode, "store": self.store, "seed": self.seed}
        shared["journal"] = self.journal
        process = Process(next(self.numbers), role, **shared, **arguments)
        self.processes.append(process)
        return process

    def start_one(self, which):
        """Start one of those who are there: users, who sends visitors, and the foreigner."""
        capacity = self.chance.randrange(LONGEST_LOG // 3, LONGEST_LOG)
        if which < len(OBJECTS):
            return self.start(
                "use",
                process=which,
                capacity=capacity,
                threads=THREADS,
                objects=OBJECTS[which],
                memory=self.chance.choice(MEMORY),
                interval=self.chance.choice(INTERVALS),
            )
        if which == SENDER:
            return self.start("send", memory=self.chance.choice(MEMORY), capacity=capacity)
        return self.start("interfere", capacity=capacity, pace=self.chance.choice((0.002, 0.01, 0.03)), **self.prepared)

    def tell(self, order):
        self.orders.seek(0)
        self.orders.write(histories.ORDERS.pack(order, self.company, self.turn))

    def next_phase(self):
        self.turn += 1
        self.company = self.chance.choices(COMPANIES, COMPANY_WEIGHTS)[0]
        self.tell(histories.WAIT + 1 + self.turn % (histories.STOP - histories.WAIT - 1))

    def record(self):
        """Let the processes operate until enough is done, in several acts."""
        offset = clock_offset()
        self.tell(histories.WAIT)
        self.prepared = json.loads(self.start("prepare", settings=self.settings).finish())
        self.next_kill = self.kill_every = min(25_000, self.operations // 6)
        self.finished = 0
        acts = min(ACTS, max(2, self.operations // SHORTEST_ACT))
        act = 0
        while not self.is_enough():
            act += 1
            self.play(self.operations * act // acts)
            self.interlude(self.chance.choices(list(INTERLUDES), INTERLUDES.values())[0])
        self.start("look").finish()
        assert abs(clock_offset() - offset) < MS, (
            "the system's clock was set meanwhile, which expiry notices: run again"
        )

    def done(self):
        return sum(process.counters()[0] for process in self.processes)

    def is_enough(self):
        foreign = sum(process.counters()[0] for process in self.processes if process.role == "interfere")
        return self.done() >= self.operations and self.kills >= FEWEST_KILLS and foreign >= FEWEST_FOREIGN

    def play(self, until):
        """One act: all come, operate until so much is done, and end; some are killed meanwhile, or all at the end."""
        self.tell(histories.WAIT)
        running = [self.start_one(which) for which in range(len(OBJECTS) + 2)]
        while not all(process.is_ready() for process in running):
            time.sleep(0.001)
        longest_phase = min(6_000, self.operations // 20)
        next_phase = 0
        phase_ends = 0
        progressed = next_sample = time.monotonic()
        seen = 0
        inspector = None
        while True:
            now = time.monotonic()
            done = self.done()
            if done >= until:
                break
            if done != seen:
                seen, progressed = done, now
            assert now - progressed < PATIENCE_SECONDS, "the processes are stuck"
            if done >= next_phase and now >= phase_ends:
                self.next_phase()
                next_phase, phase_ends = done, now
                if self.company == histories.ALL_STAY:
                    next_phase += self.chance.randrange(longest_phase // 8, longest_phase)
                else:
                    phase_ends += self.chance.uniform(SHORTEST_PHASE, LONGEST_PHASE)
            if self.bounded and now >= next_sample:
                self.sample([*running, *([inspector] if inspector else [])])
                next_sample = time.monotonic() + BETWEEN_SAMPLES
            if inspector is not None and inspector.popen.poll() is not None:
                inspector.finish()
                inspector = None
            elif self.bounded and inspector is None and self.kills // KILLS_BETWEEN_INSPECTIONS > self.inspections:
                self.inspections += 1
                inspector = self.start("inspect")
            victim = self.choose_victim(running, done)
            for which, process in enumerate(running):
                if which == victim:
                    self.kills += process.kill()
                elif process.popen.poll() is None:
                    continue
                process.finish()
                running[which] = self.start_one(which)
            time.sleep(0.005)
        if self.chance.random() < CRASHES:
            self.crashes += 1
            for process in running:
                self.kills += process.kill()
        self.tell(histories.STOP)
        for process in (*running, *([inspector] if inspector else [])):
            process.finish()

    inspections = 0

    def choose_victim(self, running, done):
        """Whom to kill now: mostly one that caches. It must have come to operate."""
        if done < self.next_kill:
            return None
        victim = self.chance.choices(range(len(running)), (4,) * len(OBJECTS) + (1, 1))[0]
        if not running[victim].counters()[0]:
            return None
        self.next_kill += self.chance.randrange(self.kill_every // 2, self.kill_every)
        return victim

    # While nobody is there.

    def interlude(self, name):
        if name == "put_back" and self.copied is None:
            name = "copy"
        self.interludes[name] += 1
        getattr(self, name)()

    def nothing(self):
        pass

    def lose_the_log(self):
        for path in pathlib.Path(self.directory).rglob("cache.changes"):
            path.unlink()

    def copy(self):
        """Keep a copy of what is there now, after giving each key a value that does not expire, or none."""
        tokens = json.loads(self.start("settle").finish())
        copy = os.path.join(self.folder, "copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.directory, copy)
        self.copied = tokens

    def put_back(self):
        """Put the copy in the place of the directory; the change log is the copy's, or of now, or none."""
        copy = os.path.join(self.folder, "copy")
        which_log = self.chance.choice(("the copy's", "that of now", "none"))
        called = [self.log.call(histories.Action.RESTORE, key) for key in range(len(histories.KEYS))]
        old = os.path.join(self.folder, "old")
        os.rename(self.directory, old)
        shutil.copytree(copy, self.directory)
        if which_log != "the copy's":
            self.lose_the_log()
        if which_log == "that of now":
            for path in pathlib.Path(old).rglob("cache.changes"):
                shutil.copy(path, os.path.join(self.directory, os.path.relpath(path, old)))
        shutil.rmtree(old)
        for at, token in zip(called, self.copied, strict=True):
            self.log.result(at, histories.clock(), histories.ABSENT if token is None else token)

    def sample(self, running):
        """See how much the directory occupies at one instant."""
        for process in running:
            process.stop()
        try:
            files = occupied(self.directory)
        finally:
            for process in running:
                process.go_on()
        total = sum(files.values())
        self.samples += 1
        if total > MOST_OCCUPIED * self.limit and total > self.occupied:
            self.excesses = [
                f"  VIOLATION: {total} bytes are occupied, {total / self.limit:.4f} of the limit, "
                f"in sample {self.samples} after {self.kills} kills: {files}"
            ]
        self.occupied = max(self.occupied, total)

    def end(self):
        for process in self.processes:
            process.end()
        self.orders.close()

    def check(self):
        """The histories, and an account of each violation in them."""
        recorded = histories.Histories(evicts=self.bounded, sharded=self.sharded)
        recorded.read(os.path.join(self.folder, "0-between-acts.log"))
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


def soak(mode, folder, *, operations, seed, store="Cache", journal="off"):
    """Run and check; return the outcome."""
    run = Run(folder, mode, store, operations, seed, journal=journal)
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
        store=store,
        journal=journal,
        operations=sum(recorded.counts.values()),
        counts=recorded.counts,
        committed=recorded.committed,
        rolled_back=recorded.rolled_back,
        opened=recorded.opened,
        lives=recorded.lives,
        crashes=run.crashes,
        interludes=run.interludes,
        kills=run.kills + recorded.deaths,
        pending=recorded.pending,
        hits=hits,
        misses=misses,
        memory_hits=memory_hits,
        evictions=evictions,
        evicted_pairs=count_evicted(recorded) if run.bounded else 0,
        samples=run.samples,
        occupied=run.occupied / run.limit,
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
    parser.add_argument("--operations", type=int, default=1_000_000, help="in each mode, with each kind of store")
    parser.add_argument("--mode", nargs="*", choices=MODES, default=MODES)
    parser.add_argument("--store", nargs="*", choices=STORES, default=STORES)
    parser.add_argument("--journal", nargs="*", choices=JOURNALS, default=JOURNALS)
    parser.add_argument("--seed", type=int, default=0, help="default: from the clock")
    options = parser.parse_args()
    seed = options.seed or int(time.time())
    print(f"seed {seed}", flush=True)
    failed = False
    for mode in options.mode:
        for store, journal in itertools.product(options.store, options.journal):
            if mode == "bounded" and store.endswith("Index"):
                continue
            with tempfile.TemporaryDirectory() as folder:
                outcome = soak(mode, folder, operations=options.operations, seed=seed, store=store, journal=journal)
            print(outcome, flush=True)
            failed = failed or bool(outcome.violations)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
