"""What the processes of a coherence run do to a cache, how each of them records it, and what the records mean.

**Values.** Each is made from a *token* that nobody else uses: the number of its writer, a counter, and what kind of
value and which tag it gets. So whoever reads a value knows which write it saw, and whether it is intact.

**Records.** Each thread writes into a file of its own, mapped into memory, which survives its process. What may write
to the cache is in the file before it begins, and its result once it has returned. So of a process that was killed the
call whose result is missing is known: it has taken place, or not, or does so when somebody else recovers what it
has left. That may be later than its death, but no later than the return of a write that was called after it:
SQLite's writers agree about what is there before they add to it.

**Meaning.** The keys form pairs, and the history of a pair is checked as a whole: what holds for the whole cache holds
for any two of its entries, and two show whether a transaction was seen in halves. An entry is None, or (token,
earliest, latest), the times between which it expires. Which instant it is cannot be seen from outside, since every
operation looks at the clock at some moment between its call and its return. So an operation *may* find the entry gone
if it returned after ``earliest``, and *may* find it there if it was called before ``latest``. Each act below is a
function from an entry to the entries that may be there afterwards: none if it cannot have returned what it did.

A transaction that commits is one operation, and takes place while its block is being left, because it holds the write
lock from its beginning. One that is rolled back takes place at any time within its block: it saw one state, and
changed none.

**Eviction.** In a cache with a limit any entry may go at any moment: a deletion that nobody asked for. That is all such
a cache may do beyond what others may (``with_evictions``).
"""

import bisect
import datetime
import enum
import itertools
import math
import mmap
import pathlib
import struct
import time
import typing

if __package__:
    from .linearizability import Operation
else:
    from linearizability import Operation

clock = time.monotonic_ns

# fmt: off
KEYS = (
    "a", ("t", 4), 7, "c", "", -1 << 40, b"b", None, 1.5, frozenset({2}), (5, b"x"), b"\xff\x02",
    "é" * 40, ("nested", ("u", None)), datetime.date(2021, 1, 1), b"c", 0.5, b"\xff\x00",
)
# fmt: on
"""Two neighbours each are a pair."""
PAIRS = len(KEYS) // 2
SHARDS = 3
SHARD_OF = (0, 2, 1, 0, 1, 2, 0, 1, 0)
"""Of each pair, where there are so many: both its keys are in it, so that what is atomic there is so for the pair."""
TAGS = (None, "red", b"blue", 7)

# Tokens and the values they stand for.

KINDS = INT, TEXT, BYTES, LIST, TUPLE, LARGE_BYTES, FILE_TEXT, FILE_LIST = range(8)
LARGE_FILLING = b"\x00\xff" * 10_000
FILE_FILLING = "fill" * 17_500
DIGITS = 19
COUNTS = 0xFFFF


def make_token(kind, tag, writer, number):
    """The lowest bits are for what is added to an int."""
    return kind << 58 | tag << 56 | writer << 36 | number << 16


MOST_NUMBERS = 1 << 20
"""Of the tokens of one writer, and of the writers."""


def kind_of(token):
    return token >> 58


def tag_of(token):
    return token >> 56 & 3


def family(token):
    """What a token shares with those that were made from it by adding."""
    return token >> 16


def name_of(token):
    """A token, for people."""
    kind = ("int", "str", "bytes", "list", "tuple", "large bytes", "str in a file", "list in a file")[kind_of(token)]
    tag = TAGS[tag_of(token)]
    added = f"+{token & COUNTS}" if token & COUNTS else ""
    return f"{kind} {token >> 36 & 0xFFFFF}.{token >> 16 & 0xFFFFF}{added}" + (f" tag {tag}" if tag else "")


def value_of(token):
    kind = token >> 58
    if kind == INT:
        return token
    if kind == TEXT:
        return f"{token:019d}"
    if kind == BYTES:
        return b"%019d" % token
    if kind == LIST:
        return [token, str(token)]
    if kind == TUPLE:
        return (token, None)
    if kind == LARGE_BYTES:
        return b"%019d" % token + LARGE_FILLING
    if kind == FILE_TEXT:
        return f"{token:019d}{FILE_FILLING}"
    return [token, FILE_FILLING]


class MangledError(Exception):
    """A value that nobody has written."""


def token_of(value):
    """The token of a value, which must be whole. A list is changed then, which must not reach anybody else."""
    if type(value) is int:
        return value
    try:
        token = int(value[:DIGITS]) if type(value) in (str, bytes) else value[0]
        if value == value_of(token):
            if type(value) is list:
                value[:] = ["changed by a reader"]
            return token
    except (TypeError, ValueError, IndexError, KeyError):
        pass
    raise MangledError(f"nobody has written the value {value!r:.200}")


# What a run tells its processes: an order, who is to have the cache open, and the number of the phase if the order is
# neither of these.

WAIT = 0
STOP = 255
ORDERS = struct.Struct("<BB2xI")

ALL_STAY, SOME_STAY, ONE_STAYS, NOBODY_STAYS, COMPANIES = range(5)
"""Who has the cache open in a phase. Who does not stay opens it for a handful of operations, again and again: whenever
the last one leaves, SQLite removes the WAL, and a new life of the commit clock begins."""

# Actions and their records.

Action = enum.IntEnum(
    "Action",
    "NOTHING GET GET_ITEM GET_EXTRAS IN EXISTS SET SET_ITEM ADD DELETE DELETE_ITEM POP INCR TOUCH GET_OR_SET "
    "SETDEFAULT UPDATE CLEAR EVICT_TAG EXPIRE BEGIN COMMIT ROLLBACK SQL_UPDATE SQL_INSERT SQL_DELETE CHECKPOINT VACUUM "
    "FILL PEEK SET_MANY GET_MANY DELETE_MANY BATCH_SET BATCH_DELETE RESTORE OPEN DIED JOURNAL",
    start=0,
)
READS = frozenset({Action.GET, Action.GET_ITEM, Action.GET_EXTRAS, Action.GET_MANY, Action.IN, Action.EXISTS})
BLOCKS = frozenset({Action.BEGIN, Action.COMMIT, Action.ROLLBACK})
# What does nothing to the keys that are watched.
ELSEWHERE = frozenset(
    {Action.CHECKPOINT, Action.VACUUM, Action.JOURNAL, Action.FILL, Action.PEEK, Action.OPEN, Action.DIED}
)
WITHOUT_KEY = BLOCKS | ELSEWHERE | {Action.CLEAR, Action.EXPIRE}
TELLS_VALUE = (READS - {Action.IN, Action.EXISTS}) | {
    Action.POP,
    Action.INCR,
    Action.GET_OR_SET,
    Action.SETDEFAULT,
    Action.RESTORE,
}
# What is about both keys of a pair, the first of which is named.
OF_BOTH = frozenset({Action.UPDATE, Action.SET_MANY, Action.DELETE_MANY})
# What commits for certain once it has returned.
SURE_WRITES = frozenset({Action.SET, Action.SET_ITEM, Action.UPDATE, Action.SET_MANY, Action.BATCH_SET, Action.RESTORE})

# Results that are no tokens.
NO = 0
YES = 1
ABSENT = -1
NO_INT = -2
NEVER = -1

# Key, cache object, expiry in ms, token, when called, action; when returned, result, 1. What says that the others are
# there comes last, because they are written one after the other, and the process may be killed in between.
CALL = struct.Struct("<BBxxiqqB7x")
RESULT = struct.Struct("<qqB7x")
RECORD = struct.Struct("<BBxxiqqB7xqqB7x")
SIZE = RECORD.size
ACTION_AT = CALL.size - 8
# Records, and of the caches:
STATS = ("hits", "misses", "memory_hits", "evictions")
HEADER = struct.Struct("<qqqqq")


class Record(typing.NamedTuple):
    key: int
    object: int
    expire: int
    token: int
    called: int
    action: int
    returned: int
    result: int
    done: int


class Log:
    """The records of one thread."""

    def __init__(self, path, capacity):
        with open(path, "x+b") as file:
            file.truncate((capacity + 1) * SIZE)
            self.map = mmap.mmap(file.fileno(), 0)
        self.at = SIZE
        # No transaction is longer than what is left.
        self.full_at = (capacity - 200) * SIZE
        self.object = 0

    def call(self, action, key=0, token=0, expire=NEVER):
        """Record that something is about to be done; returns where to put the result."""
        at = self.at
        self.at = at + SIZE
        CALL.pack_into(self.map, at, key, self.object, expire, token, clock(), action)
        return at

    def result(self, at, returned, result):
        RESULT.pack_into(self.map, at + CALL.size, returned, result, 1)

    def read(self, action, key, called, returned, result):
        """Record what changes nothing, after it has returned."""
        RECORD.pack_into(self.map, self.at, key, self.object, NEVER, 0, called, action, returned, result, 1)
        self.at += SIZE

    def report(self, stats):
        """Keep the header up to date."""
        HEADER.pack_into(self.map, 0, self.at // SIZE - 1, *stats)

    def stats(self):
        """What was reported last."""
        return HEADER.unpack_from(self.map, 0)[1:]

    def report_count(self):
        HEADER.pack_into(self.map, 0, self.at // SIZE - 1, *self.stats())

    def find_end(self):
        """Go behind what another process has recorded here meanwhile."""
        while self.map[self.at + ACTION_AT]:
            self.at += SIZE


def read_header(path):
    try:
        with open(path, "rb") as file:
            return HEADER.unpack(file.read(HEADER.size))
    except (FileNotFoundError, struct.error):
        return (0,) * (1 + len(STATS))


def read_records(path):
    """All records of a log."""
    content = pathlib.Path(path).read_bytes()
    records = map(Record._make, RECORD.iter_unpack(memoryview(content)[SIZE:]))
    return list(itertools.takewhile(lambda record: record.action != Action.NOTHING, records))


NOTHING = (None, None)
"""The state of a pair whose entries are both absent."""


# What an act does to an entry.


def found(entry, step):
    """It has seen this value."""
    if entry is not None and entry[0] == step.token and step.called < entry[2]:
        return (entry,)
    return ()


def found_none(entry, step):
    """It has seen that there is no entry, or none any more."""
    return (entry,) if entry is None or step.returned >= entry[1] else ()


def found_some(entry, step):
    """It has seen that there is an entry."""
    return (entry,) if entry is not None and step.called < entry[2] else ()


def found_no_int(entry, step):
    """It has seen that there is an entry to which nothing can be added."""
    return found_some(entry, step) if entry is not None and kind_of(entry[0]) != INT else ()


def put(entry, step):
    return (step.entry,)


def put_if_absent(entry, step):
    return (step.entry,) if entry is None or step.returned >= entry[1] else ()


def take(entry, step):
    """It has removed the entry and seen its value."""
    return (None,) if found(entry, step) else ()


def remove(entry, step):
    """It has removed the entry, which was there."""
    return (None,) if found_some(entry, step) else ()


def remove_any(entry, step):
    return (None,)


def remove_expired(entry, step):
    if entry is None:
        return (None,)
    there = (entry,) if step.called < entry[2] else ()
    return (*there, None) if step.returned >= entry[1] else there


def remove_living(entry, step):
    """It has removed the entry if there was one. What has expired may stay, out of sight."""
    return (None, entry) if entry is not None and step.returned >= entry[1] else (None,)


def remove_tagged(entry, step):
    """It has removed the entry if it carries the tag. What has expired may stay, out of sight."""
    if entry is None or tag_of(entry[0]) != step.token:
        return (entry,)
    gone = (None,) if step.called < entry[2] else ()
    return (*gone, entry) if step.returned >= entry[1] else gone


def touch(entry, step):
    """It has given the entry, which was there, another expiry."""
    return ((entry[0], *step.entry[1:]),) if found_some(entry, step) else ()


def add_one(entry, step):
    """It has counted: the token is the sum, or None if nobody knows, and the entry what an absent one becomes."""
    outcomes = ()
    if found_some(entry, step) and kind_of(entry[0]) == INT and step.token in (entry[0] + 1, None):
        outcomes += ((entry[0] + 1, *entry[1:]),)
    if found_none(entry, step) and step.token in (step.entry[0], None):
        outcomes += (step.entry,)
    return outcomes


def vanish(entry, step):
    """It may have been evicted."""
    return (entry, None) if entry is not None else (None,)


# A foreign program looks at rows: at what has expired, too, unless somebody has removed it, and never at value files.


def may_have_file(entry):
    """What is large has a file, or stays in its row where a transaction has no room for one."""
    return kind_of(entry[0]) in (FILE_TEXT, FILE_LIST)


def put_over_row(entry, step):
    return () if entry is None else (step.entry,)


def remove_row(entry, step):
    return () if entry is None else (None,)


def found_no_row(entry, step):
    return (entry,) if entry is None or may_have_file(entry) or step.returned >= entry[1] else ()


def found_row(entry, step):
    return () if entry is None else (entry,)


OBSERVATIONS = frozenset({found, found_none, found_some, found_no_int, found_no_row, found_row})
OVERWRITES = frozenset({put, remove_any})
TOTAL = frozenset({put, remove_any, remove_living, remove_expired, remove_tagged})


class Act(Operation):
    """One act on one of a pair's two entries; by itself, or as a step of a transaction."""

    __slots__ = ("act", "entry", "place", "source", "token")

    def __init__(self, act, place, called, returned, *, token=0, entry=None, source=None, optional=False):
        self.act = act
        self.place = place
        self.called = called
        self.returned = returned
        self.token = token
        self.entry = entry
        self.source = source
        self.optional = optional
        self.observes = act in OBSERVATIONS
        self.total = act in TOTAL
        self.touches = 1 << place
        self.overwrites = 1 << place if act in OVERWRITES else 0

    def outcomes(self, state):
        place = self.place
        entry = state[place]
        entries = self.act(entry, self)
        if self.observes:
            return (state,) if entries else ()
        if place == 0:
            return [(after, state[1]) for after in entries]
        return [(state[0], after) for after in entries]

    def after_eviction(self, eviction, **options):
        """The act, after an eviction if it can take place where nothing is, and that would show."""
        if self.total or not self.act(None, self):
            return (self,)
        return (Act(eviction, self.place, self.called, self.returned, **options), self)


class Mark(Operation):
    """Where a transaction's block begins or ends."""

    def __init__(self, kind):
        self.kind = kind

    def after_eviction(self, eviction):
        return (self,)


OPEN, KEEP, UNDO = Mark("open"), Mark("keep"), Mark("undo")


class Transaction(Operation):
    """Several acts in one."""

    __slots__ = ("source", "steps")

    def __init__(self, steps, called, returned, source=None, optional=False):
        self.steps = steps
        self.called = called
        self.returned = returned
        self.source = source
        self.optional = optional
        acts = [step for step in steps if type(step) is Act]
        flat = len(acts) == len(steps)
        self.observes = all(act.observes for act in acts) or steps[-1] is UNDO
        self.total = flat and all(act.total for act in acts)
        self.touches = self.overwrites = 0
        for act in acts:
            if flat and act.overwrites and not self.touches & act.touches:
                self.overwrites |= act.overwrites
            self.touches |= act.touches

    def outcomes(self, state):
        ways = [(state, ())]
        for step in self.steps:
            if step is OPEN:
                ways = [(now, (*saved, now)) for now, saved in ways]
            elif step is KEEP:
                ways = [(now, saved[:-1]) for now, saved in ways]
            elif step is UNDO:
                ways = [(saved[-1], saved[:-1]) for _, saved in ways]
            else:
                ways = [(after, saved) for now, saved in ways for after in step.outcomes(now)]
                if not ways:
                    return ()
        return {now for now, _ in ways}

    def with_evictions(self):
        steps = [one for step in self.steps for one in step.after_eviction(vanish)]
        return Transaction(steps, self.called, self.returned, self.source, self.optional)


# Eviction.


def with_evictions(operations):
    """The same history of a cache in which any entry may be evicted at any time.

    An eviction shows in nothing but the absence that somebody sees, or builds on. So it is enough to allow for one just
    before each such act: what was evicted earlier, and not looked at until then, may as well go then. A transaction may
    evict, too, what it has written itself included; if it is rolled back, that is."""
    allowed = []
    for operation in operations:
        if type(operation) is Transaction:
            allowed.append(operation.with_evictions())
        else:
            allowed += operation.after_eviction(remove_any, optional=True)
    return allowed


# From records to operations.

MS = 1_000_000
# Expiry is counted in whole milliseconds, and by another clock than the one of the records.
TOLERANCE = 2 * MS


def entry_of(token, expire, called, returned):
    """What is there once it was stored between the two times."""
    if expire == NEVER:
        return (token, math.inf, math.inf)
    return (token, called + (expire - 1) * MS - TOLERANCE, returned + expire * MS + TOLERANCE)


def acts_of(record, returned, pending=False, source=None):
    """What a record says about its key, or about each pair: acts in order. A pending one has not told its result."""
    key, _, expire, token, called, action, _, result, _ = record

    def at(place, act, token=0, entry=None):
        return Act(act, place, called, returned, token=token, entry=entry, source=source, optional=pending)

    def one(act, token=0, entry=None):
        return [at(key % 2, act, token, entry)]

    def both(act, token=0, entry=None):
        return [at(0, act, token, entry), at(1, act, token, entry)]

    if action in (Action.GET, Action.GET_ITEM, Action.GET_EXTRAS, Action.GET_MANY):
        return one(found_none) if result == ABSENT else one(found, result)
    if action in (Action.IN, Action.EXISTS):
        return one(found_some if result else found_none)
    if action in (Action.SET, Action.SET_ITEM, Action.BATCH_SET):
        return one(put, entry=entry_of(token, expire, called, returned))
    if action in (Action.UPDATE, Action.SET_MANY):
        return both(put, entry=entry_of(token, expire, called, returned))
    if action == Action.BATCH_DELETE:
        return one(remove_living)
    if action == Action.DELETE_MANY:
        # How many of the two there were; of one, nobody is told which.
        return both({0: found_none, 2: remove}.get(result, remove_living) if not pending else remove_living)
    if action == Action.RESTORE:
        return one(remove_any) if result == ABSENT else one(put, entry=entry_of(result, NEVER, called, returned))
    if action == Action.ADD:
        if result == NO and not pending:
            return one(found_some)
        return one(put_if_absent, entry=entry_of(token, expire, called, returned))
    if action in (Action.GET_OR_SET, Action.SETDEFAULT):
        if pending or result == token:
            return one(put_if_absent, entry=entry_of(token, expire, called, returned))
        return one(found, result)
    if action in (Action.DELETE, Action.DELETE_ITEM):
        return one(remove if pending or result == YES else found_none)
    if action == Action.POP:
        if pending:
            return one(remove)
        return one(found_none) if result == ABSENT else one(take, result)
    if action == Action.INCR:
        if result == NO_INT and not pending:
            return one(found_no_int)
        return one(add_one, None if pending else result, entry_of(token + 1, NEVER, called, returned))
    if action == Action.TOUCH:
        if pending or result == YES:
            return one(touch, entry=entry_of(0, expire, called, returned))
        return one(found_none)
    if action == Action.CLEAR:
        return both(remove_any)
    if action == Action.EVICT_TAG:
        return both(remove_tagged, token)
    if action == Action.EXPIRE:
        return both(remove_expired)
    if action == Action.SQL_UPDATE:
        if pending or result == YES:
            return one(put_over_row, entry=entry_of(token, NEVER, called, returned))
        return one(found_no_row)
    if action == Action.SQL_INSERT:
        if pending or result == YES:
            return one(put_if_absent, entry=entry_of(token, NEVER, called, returned))
        return one(found_row)
    assert action == Action.SQL_DELETE, action
    return one(remove_row if pending or result == YES else found_no_row)


def pairs_of(record):
    if record.action in BLOCKS | ELSEWHERE:
        return ()
    if record.action in (Action.CLEAR, Action.EVICT_TAG, Action.EXPIRE):
        return range(PAIRS)
    return (record.key // 2,)


class Histories:
    """The histories of all pairs, from the logs of a run.

    Args:
        evicts: whether the cache has a limit.
        sharded: whether it has shards, each of which recovers and agrees about its writes for itself.
    """

    def __init__(self, evicts=False, sharded=False):
        self.evicts = evicts
        self.shard_of = SHARD_OF if sharded else (0,) * PAIRS
        self.of_pair = [[] for _ in range(PAIRS)]
        self.counts = dict.fromkeys(Action, 0)
        self.committed = self.rolled_back = self.pending = self.opened = self.lives = self.deaths = 0
        self.logs = {}
        self._sure_writes = [[] for _ in range(SHARDS)]
        self._pending = []

    def read(self, path, died=None):
        """Take in a log. What its process left undone when it was killed can be told only by ``finish``.

        Several processes may have written into it, one after the other; whoever was killed of these is followed by a
        record that says when."""
        name = pathlib.Path(path).stem
        self.logs[name] = path
        records = read_records(path)
        first = 0
        for index, record in enumerate(records):
            if record.action == Action.DIED:
                self.deaths += 1
                self._read_one(name, records, first, index, record.called)
                first = index + 1
        self._read_one(name, records, first, len(records), died)

    def _read_one(self, name, records, first, end, died):
        """Take in what one process has recorded."""
        depth = 0
        begun = 0
        for index in range(first, end):
            record = records[index]
            action = record.action
            self.counts[action] += 1
            if action == Action.OPEN:
                self.opened += 1
                self.lives += record.result == YES
            if action == Action.BEGIN:
                if depth == 0:
                    begun = index
                depth += 1
            elif action in (Action.COMMIT, Action.ROLLBACK):
                depth -= 1
                if depth == 0:
                    self._transaction(records[begun : index + 1], (name, begun, index + 1), died)
            elif depth or action in ELSEWHERE or (action in READS and not record.done):
                # A step, or nothing that changes an entry, or a read that was cut off while it was recorded.
                pass
            elif record.done:
                self._single(record, lambda _, record=record: record.returned, False, (name, index, index + 1))
                if action in SURE_WRITES:
                    self._sure_writes[self.shard_of[record.key // 2]].append((record.called, record.returned))
            else:
                assert died is not None, f"{name} did not finish {describe(record)}, but was not killed"
                self._pending.append((self._single, record, (name, index, index + 1), died))

    def finish(self):
        """Add what was pending, each with the time until which it can have taken place."""
        deadlines = [Deadlines(writes) for writes in self._sure_writes]
        for add, record, source, died in self._pending:
            self.pending += 1
            add(record, lambda pair, died=died: deadlines[self.shard_of[pair]].after(died), True, source)
        return self

    def of(self, pair):
        """The operations on a pair, and the evictions that may have come between."""
        return with_evictions(self.of_pair[pair]) if self.evicts else self.of_pair[pair]

    def records(self, name):
        """All records of a log by its name."""
        return read_records(self.logs[name])

    def _single(self, record, returned, pending, source):
        for pair in pairs_of(record):
            until = returned(pair)
            acts = acts_of(record, until, pending, source)
            if len(acts) > 1:
                acts = [Transaction(acts, record.called, until, source, pending)]
            self.of_pair[pair] += acts

    def _transaction(self, records, source, died):
        if records[-1].done:
            self._steps(records, lambda _: records[-1].returned, False, source)
        elif records[-1].action == Action.COMMIT:
            self._pending.append((self._steps, records, source, died))

    def _steps(self, records, returned, pending, source):
        begin, end = records[0], records[-1]
        commits = end.action == Action.COMMIT
        self.committed += commits
        self.rolled_back += not commits
        pairs = {pair for record in records for pair in pairs_of(record)}
        for pair in pairs:
            steps = [OPEN]
            nested = not commits
            for record in records[1:-1]:
                if record.action == Action.BEGIN:
                    steps.append(OPEN)
                    nested = True
                elif record.action in BLOCKS:
                    steps.append(KEEP if record.action == Action.COMMIT else UNDO)
                elif pair in pairs_of(record):
                    steps += acts_of(record, record.returned, source=source)
            if nested:
                steps.append(KEEP if commits else UNDO)
            else:
                del steps[0]
            called, until = (end.called, returned(pair)) if commits else (begin.returned, end.called)
            self.of_pair[pair].append(Transaction(steps, called, until, source, pending))


class Deadlines:
    """Until when what a killed process has left undone in a database can take place: the first return of a write that
    was called after its death."""

    def __init__(self, writes):
        writes = sorted(writes)
        self.called = [called for called, _ in writes]
        earliest = math.inf
        self.returned = [math.inf]
        for _, returned in reversed(writes):
            earliest = min(earliest, returned)
            self.returned.append(earliest)
        self.returned.reverse()

    def after(self, died):
        return self.returned[bisect.bisect_right(self.called, died)]


def describe(record):
    """A record, for people."""
    key, _, expire, token, _, action, _, result, done = record
    name = Action(action).name.lower()
    arguments = []
    if action == Action.EVICT_TAG:
        arguments.append(repr(TAGS[token]))
    elif action not in WITHOUT_KEY:
        keys = KEYS[key : key + 2] if action in OF_BOTH else (KEYS[key],)
        arguments.append(" and ".join(f"{key!r:.20}" for key in keys))
        if token:
            arguments.append(name_of(token))
    if expire != NEVER:
        arguments.append(f"expire={expire} ms")
    told = ""
    if not done:
        told = " -> killed"
    elif result == ABSENT:
        told = " -> absent"
    elif result == NO_INT:
        told = " -> TypeError"
    elif action in TELLS_VALUE:
        told = f" -> {name_of(result)}"
    elif action not in SURE_WRITES | BLOCKS:
        told = f" -> {result}"
    return f"{name}({', '.join(arguments)}){told}"
