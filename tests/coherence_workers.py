"""The processes of a coherence run: ``python coherence_workers.py ROLE ARGUMENTS``; see soak_coherence.py.

Whatever goes wrong in one of them that is no result ends it with a traceback.
"""

import contextlib
import itertools
import json
import mmap
import os
import random
import signal
import sqlite3
import sys
import threading
import time

from histories import (
    ABSENT,
    ALL_STAY,
    BYTES,
    FILE_LIST,
    FILE_TEXT,
    INT,
    KEYS,
    KINDS,
    LARGE_BYTES,
    MOST_NUMBERS,
    NEVER,
    NO,
    NO_INT,
    NOBODY_STAYS,
    ONE_STAYS,
    ORDERS,
    SHARD_OF,
    SHARDS,
    SOME_STAY,
    STATS,
    STOP,
    TAGS,
    TEXT,
    WAIT,
    YES,
    Action,
    Log,
    MangledError,
    clock,
    family,
    make_token,
    tag_of,
    token_of,
    value_of,
)

REPORT_EVERY = 16

# What a thread does in a phase: how often each of these.
READING = {"get": 70, "get_item": 10, "get_extras": 3, "get_many": 3, "contains": 5, "exists": 2}
WRITING = {
    "set": 30,
    "set_item": 15,
    "incr": 15,
    "add": 6,
    "delete": 5,
    "delete_item": 2,
    "delete_many": 2,
    "pop": 6,
    "touch": 6,
    "get_or_set": 6,
    "setdefault": 2,
    "update": 4,
    "set_many": 4,
    "batch": 2,
    "transact": 10,
    "evict_tag": 0.6,
    "clear": 0.3,
    "expire": 0.6,
}
# What only what expires, or carries tags, knows; what cannot be done in a transaction; and what cannot if that is about
# one shard alone.
OF_CACHES = frozenset({"get_extras", "touch", "evict_tag", "expire"})
NOT_INSIDE = frozenset({"batch"})
NOT_INSIDE_A_SHARD = frozenset(
    {"update", "set_many", "get_many", "delete_many", "clear", "evict_tag", "expire", "fill", "peek"}
)
# Beside these, where there is a limit, on other keys: what makes and keeps it full.
PEEKING = {"peek": 10}
FILLING = {"fill": 40}
FILLERS = 1000
FILLER_KINDS = (TEXT, LARGE_BYTES, FILE_TEXT, FILE_LIST)
FILLER_WEIGHTS = (3, 4, 2, 1)
# So many in one transaction: even several of these are less than a limit, since nothing else has room for them.
FILLED_TOGETHER = 3
# How many values at once, most of which are more than all the keys of the pairs together.
FILLED_AT_ONCE = (1, FILLED_TOGETHER, 24)
FILLED_WEIGHTS = (6, 3, 1)
READS_OF_100 = (100, 99.5, 98, 95, 90, 80, 60, 20)
PHASE_WEIGHTS = (3, 3, 3, 3, 3, 2, 1, 1)
FILLING_PHASE_WEIGHTS = (1, 1, 1, 2, 3, 4, 4, 4)
KIND_WEIGHTS = (30, 15, 10, 15, 8, 3, 2, 1)
EXPIRIES = (NEVER,) * 12 + (0, 1, 2, 5, 10, 20, 50, 3_600_000)
# Drawn once, and used over and over: choosing must not cost more than what is chosen.
DRAWN = 499
# Processes that use the cache in threads; how many each has; and the numbers of the others, one that sends visitors and
# the foreign program.
PROCESSES = THREADS = 3
OTHERS = SENDER, FOREIGNER = PROCESSES, PROCESSES + 1
NO_STATS = (0,) * len(STATS)


# How a thread has the cache open in a phase: all the time; for a while, again and again; for a few operations, again
# and again; or not.
STAYS, LODGES, VISITS, AWAY = "stays", "lodges", "visits", "away"
# How many there are of these where not all stay. The fewer, the shorter is a life, and the longer nothing but what is
# seen is between two of its commits.
STAYING = {SOME_STAY: (2, 4), ONE_STAYS: (1,), NOBODY_STAYS: (0,)}
LODGING = {SOME_STAY: (0, 2), ONE_STAYS: (0, 1), NOBODY_STAYS: (1, 1, 2, 3)}
VISITING = (1, 1, 1, 2, 5)
# How many operations a visit has at most, and the longest pause between two, in seconds.
VISIT_LENGTHS = (1, 1, 1, 2, 5)
PAUSES = (0.0, 0.0003, 0.001, 0.004)
# How long a lodger is there at most; and how long those who do not just visit rest at most between a few operations:
# the processors are for those who come and go.
LONGEST_LODGING = 0.006
LONGEST_REST = 0.0004
# How much is read by those who visit, and those who are there for longer, in percent.
READS_OF_VISITORS = (60, 20, 0, 0)
READS_OF_OTHERS = (100, 100, 98, 90)


def acts_of(mode, store):
    """What reads and what writes in a mode and a kind of store, each with its weight."""
    reading, writing = (READING | PEEKING, WRITING | FILLING) if mode == "bounded" else (READING, WRITING)
    if store.endswith("Index"):
        reading, writing = ({act: acts[act] for act in acts if act not in OF_CACHES} for acts in (reading, writing))
    return reading, writing


def weighted(reading, writing, reads):
    """The acts with their weights, so many percent of which read."""
    weights = {}
    for acts, share in ((reading, reads), (writing, 100 - reads)):
        for act, weight in acts.items():
            weights[act] = weight * share / sum(acts.values())
    return weights


class Phase:
    """What all do for a while, which depends on the seed, the number of the phase and who is to stay."""

    def __init__(self, seed, turn, company, mode, store):
        self.company = company
        self.acts = acts_of(mode, store)
        chance = random.Random(f"{seed} phase {turn}")
        weights = FILLING_PHASE_WEIGHTS if mode == "bounded" else PHASE_WEIGHTS
        self.reads = chance.choices(READS_OF_100, weights)[0]
        self.keys = chance.sample(range(len(KEYS)), chance.choice((2, 4, len(KEYS))))
        self.reads_of_visitors = chance.choice(READS_OF_VISITORS)
        self.reads_of_others = chance.choice(READS_OF_OTHERS)
        self.visit_length = chance.choice(VISIT_LENGTHS)
        self.pause = chance.choice(PAUSES)
        self.habits = {}
        if company != ALL_STAY:
            users = [(process, thread) for process in range(PROCESSES) for thread in range(THREADS)]
            chance.shuffle(users)
            for habit, count in ((STAYS, chance.choice(STAYING[company])), (LODGES, chance.choice(LODGING[company]))):
                for _ in range(count):
                    self.habits[users.pop()] = habit
            visitors = [*users, *[(process, 0) for process in OTHERS] * 2]
            chance.shuffle(visitors)
            self.habits |= dict.fromkeys(visitors[: chance.choice(VISITING)], VISITS)

    def habit(self, process, thread=0):
        """How this thread has the cache open."""
        return STAYS if self.company == ALL_STAY else self.habits.get((process, thread), AWAY)

    def weights(self, habit):
        reads = self.reads
        if self.company != ALL_STAY:
            reads = self.reads_of_visitors if habit == VISITS else self.reads_of_others
        return weighted(*self.acts, reads)


class Undo(Exception):
    pass


class Actor:
    """Does one act at a time, at random, and records it."""

    def __init__(self, log, writer, seed, knows_tags=True):
        self.log = log
        self.writer = writer
        self.chance = random.Random(f"{seed} writer {writer}")
        self.written = 0
        self.tags = self.cycle(range(len(TAGS)), (6, 1, 1, 1) if knows_tags else (1, 0, 0, 0))
        self.kinds = self.cycle(KINDS, KIND_WEIGHTS)
        self.expiries = self.cycle(EXPIRIES)

    def cycle(self, choices, weights=None):
        return itertools.cycle(self.chance.choices(choices, weights, k=DRAWN))

    def fresh(self, kind=None, tag=None):
        """A token that nobody has used."""
        self.written += 1
        kind = next(self.kinds) if kind is None else kind
        return make_token(kind, next(self.tags) if tag is None else tag, self.writer, self.written)


def filler_of(token):
    """The key that this token's value alone is stored at."""
    return f"filler {family(token) % FILLERS}"


class Client(Actor):
    """A thread that uses a cache."""

    cache = None

    def __init__(self, log, writer, seed, mode, store):
        self.expires = not store.endswith("Index")
        super().__init__(log, writer, seed, self.expires)
        self.inside = 0
        self.sharded = store.startswith("Fanout")
        acts = acts_of(mode, store)
        excluded = NOT_INSIDE | (NOT_INSIDE_A_SHARD if self.sharded else frozenset())
        self.inner = {act: 1 for act in acts[0] if act not in excluded}
        self.inner |= {act: weight for act, weight in acts[1].items() if act not in excluded}
        if not self.expires:
            self.expiries = itertools.repeat(NEVER)
        self.filler_kinds = self.cycle(FILLER_KINDS, FILLER_WEIGHTS)

    def get(self, key):
        called = clock()
        value = self.cache.get(KEYS[key])
        returned = clock()
        self.log.read(Action.GET, key, called, returned, ABSENT if value is None else token_of(value))

    def get_item(self, key):
        called = clock()
        try:
            value = self.cache[KEYS[key]]
        except KeyError:
            value = None
        returned = clock()
        self.log.read(Action.GET_ITEM, key, called, returned, ABSENT if value is None else token_of(value))

    def get_extras(self, key):
        called = clock()
        value, _, tag = self.cache.get(KEYS[key], expire_time=True, tag=True)
        returned = clock()
        token = ABSENT if value is None else token_of(value)
        if tag != (None if value is None else TAGS[tag_of(token)]):
            raise MangledError(f"the value {value!r:.200} has come with the tag {tag!r}")
        self.log.read(Action.GET_EXTRAS, key, called, returned, token)

    def get_many(self, key):
        key -= key % 2
        called = clock()
        found = self.cache.get_many([KEYS[key], KEYS[key + 1]])
        returned = clock()
        for one in (key, key + 1):
            value = found.get(KEYS[one])
            self.log.read(Action.GET_MANY, one, called, returned, ABSENT if value is None else token_of(value))

    def contains(self, key):
        called = clock()
        there = KEYS[key] in self.cache
        self.log.read(Action.IN, key, called, clock(), there)

    def exists(self, key):
        called = clock()
        there = self.cache.exists(KEYS[key])
        self.log.read(Action.EXISTS, key, called, clock(), there)

    def options(self, expire, tag):
        """The keyword arguments of what stores a value."""
        options = {}
        if expire != NEVER:
            options["expire"] = expire / 1000
        if tag:
            options["tag"] = TAGS[tag]
        return options

    def store(self, action, key, method):
        """Store a value by one of the methods that take an expiry and a tag."""
        token = self.fresh()
        expire = next(self.expiries)
        value = value_of(token)
        options = self.options(expire, tag_of(token))
        at = self.log.call(action, key, token, expire)
        stored = method(KEYS[key], value, **options)
        self.log.result(at, clock(), stored)
        spoil(value)

    def set(self, key):
        self.store(Action.SET, key, self.cache.set)

    def add(self, key):
        self.store(Action.ADD, key, self.cache.add)

    def set_item(self, key):
        token = self.fresh(tag=0)
        value = value_of(token)
        at = self.log.call(Action.SET_ITEM, key, token)
        self.cache[KEYS[key]] = value
        self.log.result(at, clock(), YES)
        spoil(value)

    def set_many(self, key):
        key -= key % 2
        token = self.fresh()
        expire = next(self.expiries)
        value = value_of(token)
        pairs = {KEYS[key]: value, KEYS[key + 1]: value}
        at = self.log.call(Action.SET_MANY, key, token, expire)
        self.cache.set_many(
            pairs if self.chance.random() < 0.5 else iter(pairs.items()), **self.options(expire, tag_of(token))
        )
        self.log.result(at, clock(), YES)
        spoil(value)

    def delete_many(self, key):
        key -= key % 2
        at = self.log.call(Action.DELETE_MANY, key)
        deleted = self.cache.delete_many([KEYS[key], KEYS[key + 1]])
        self.log.result(at, clock(), deleted)

    def batch(self, _):
        """A stream of a few, each of which takes place some time before the end."""
        log = self.log
        begun = []
        with self.cache.batch(max_items=self.chance.choice((1, 3, 1000))) as batch:
            for key in self.chance.sample(range(len(KEYS)), self.chance.randrange(1, 6)):
                if self.chance.random() < 0.2:
                    begun.append(log.call(Action.BATCH_DELETE, key))
                    batch.delete(KEYS[key])
                else:
                    token = self.fresh()
                    expire = next(self.expiries)
                    begun.append(log.call(Action.BATCH_SET, key, token, expire))
                    batch.set(KEYS[key], value_of(token), **self.options(expire, tag_of(token)))
        returned = clock()
        for at in begun:
            log.result(at, returned, YES)

    def update(self, key):
        key -= key % 2
        token = self.fresh(tag=0)
        value = value_of(token)
        at = self.log.call(Action.UPDATE, key, token)
        self.cache.update({KEYS[key]: value, KEYS[key + 1]: value})
        self.log.result(at, clock(), YES)

    def get_or_set(self, key):
        token = self.fresh()
        expire = next(self.expiries)
        at = self.log.call(Action.GET_OR_SET, key, token, expire)
        value = self.cache.get_or_set(KEYS[key], lambda: value_of(token), **self.options(expire, tag_of(token)))
        self.log.result(at, clock(), token_of(value))

    def setdefault(self, key):
        token = self.fresh()
        expire = next(self.expiries)
        at = self.log.call(Action.SETDEFAULT, key, token, expire)
        value = self.cache.setdefault(KEYS[key], value_of(token), **self.options(expire, tag_of(token)))
        self.log.result(at, clock(), token_of(value))

    def delete(self, key):
        at = self.log.call(Action.DELETE, key)
        deleted = self.cache.delete(KEYS[key])
        self.log.result(at, clock(), deleted)

    def delete_item(self, key):
        at = self.log.call(Action.DELETE_ITEM, key)
        try:
            del self.cache[KEYS[key]]
            deleted = YES
        except KeyError:
            deleted = NO
        self.log.result(at, clock(), deleted)

    def pop(self, key):
        at = self.log.call(Action.POP, key)
        value = self.cache.pop(KEYS[key], None)
        returned = clock()
        self.log.result(at, returned, ABSENT if value is None else token_of(value))

    def incr(self, key):
        token = self.fresh(INT, 0)
        at = self.log.call(Action.INCR, key, token)
        try:
            total = self.cache.incr(KEYS[key], 1, token)
        except TypeError:
            total = NO_INT
        self.log.result(at, clock(), total)

    def touch(self, key):
        expire = next(self.expiries)
        at = self.log.call(Action.TOUCH, key, 0, expire)
        touched = self.cache.touch(KEYS[key], None if expire == NEVER else expire / 1000)
        self.log.result(at, clock(), touched)

    def clear(self, _):
        at = self.log.call(Action.CLEAR)
        cleared = self.cache.clear()
        self.log.result(at, clock(), cleared)

    def evict_tag(self, _):
        tag = 1 + self.chance.randrange(len(TAGS) - 1)
        at = self.log.call(Action.EVICT_TAG, 0, tag)
        evicted = self.cache.evict_tag(TAGS[tag])
        self.log.result(at, clock(), evicted)

    def expire(self, _):
        at = self.log.call(Action.EXPIRE)
        expired = self.cache.expire()
        self.log.result(at, clock(), expired)

    # On other keys.

    def fill(self, _):
        count = FILLED_TOGETHER if self.inside else self.chance.choices(FILLED_AT_ONCE, FILLED_WEIGHTS)[0]
        tokens = [self.fresh(next(self.filler_kinds), 0) for _ in range(count)]
        at = self.log.call(Action.FILL)
        if count == FILLED_TOGETHER:
            self.cache.update({filler_of(token): value_of(token) for token in tokens})
        else:
            for token in tokens:
                self.cache[filler_of(token)] = value_of(token)
        self.log.result(at, clock(), YES)

    def peek(self, _):
        key = f"filler {self.chance.randrange(FILLERS)}"
        called = clock()
        value = self.cache.get(key)
        returned = clock()
        if value is not None and filler_of(token_of(value)) != key:
            raise MangledError(f"the value {value!r:.200} was not stored at {key!r}")
        self.log.read(Action.PEEK, 0, called, returned, YES)

    # What a transaction is made of.

    def transact(self, key):
        pair = key - key % 2
        body = self.chance.choices((self.read_both, self.write_both, self.do_several), (4, 3, 3))[0]
        self.block(pair, lambda: body(pair), self.chance.random() < 0.2)

    def block(self, pair, body, undo):
        log = self.log
        at = log.call(Action.BEGIN)
        with contextlib.suppress(Undo), self.cache.transact(KEYS[pair]) if self.sharded else self.cache.transact():
            log.result(at, clock(), YES)
            self.inside += 1
            body()
            self.inside -= 1
            at = log.call(Action.ROLLBACK if undo else Action.COMMIT)
            if undo:
                raise Undo
        log.result(at, clock(), YES)

    def read_both(self, pair):
        self.get(pair)
        self.get(pair + 1)

    def write_both(self, pair):
        token = self.fresh(tag=0)
        for key in self.chance.sample((pair, pair + 1), 2):
            value = value_of(token)
            at = self.log.call(Action.SET, key, token)
            self.cache.set(KEYS[key], value)
            self.log.result(at, clock(), YES)
            spoil(value)

    def do_several(self, pair):
        for act in self.chance.choices([*self.inner], self.inner.values(), k=self.chance.randrange(1, 5)):
            # Mostly on the pair, so that what happens to one of it depends on the other.
            other = pair
            if self.chance.random() < 0.2:
                shard = SHARD_OF[pair // 2]
                others = [one for one in range(len(KEYS) // 2) if not self.sharded or SHARD_OF[one] == shard]
                other = 2 * self.chance.choice(others)
            if act == "transact":
                self.block(pair, lambda: self.do_several(pair), self.chance.random() < 0.5)
            else:
                getattr(self, act)(other + self.chance.randrange(2))


def spoil(value):
    """Change a value after it was stored, as its owner may."""
    if type(value) is list:
        value[:] = ["changed by its writer"]


class Foreigner(Actor):
    """A program that knows the schema, and SQLite alone."""

    PUT = "UPDATE entry SET codec = 0, size = ?, expire = NULL, tag = ?, value = ? WHERE key = ? AND file IS NULL"
    INSERT = "INSERT INTO entry (codec, size, tag, value, key) VALUES (0, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
    DELETE = "DELETE FROM entry WHERE key = ? AND file IS NULL"

    def __init__(self, log, writer, seed, *, databases, stored_keys, knows_tags, changes=True):
        super().__init__(log, writer, seed, knows_tags)
        # Whether it changes entries.
        self.changes = changes
        self.kinds = self.cycle((INT, TEXT, BYTES, LARGE_BYTES))
        self.paths = databases
        self.stored_keys = stored_keys
        self.shard_of = SHARD_OF if len(databases) > 1 else (0,) * len(SHARD_OF)
        self.connections = {}

    def connection(self, shard):
        if shard not in self.connections:
            self.connections[shard] = sqlite3.connect(self.paths[shard], timeout=60, isolation_level=None)
        return self.connections[shard]

    def of(self, key):
        """The connection to the database that has this key."""
        return self.connection(self.shard_of[key // 2])

    def leave(self):
        """Close what is open."""
        while self.connections:
            self.connections.popitem()[1].close()

    def put(self, action, key, statement):
        token = self.fresh()
        value = value_of(token)
        at = self.log.call(action, key, token)
        parameters = (8 if type(value) is int else len(value), TAGS[tag_of(token)], value, self.stored_keys[key])
        changed = self.of(key).execute(statement, parameters).rowcount
        self.log.result(at, clock(), changed)

    def update(self, key):
        self.put(Action.SQL_UPDATE, key, self.PUT)

    def insert(self, key):
        self.put(Action.SQL_INSERT, key, self.INSERT)

    def delete(self, key):
        at = self.log.call(Action.SQL_DELETE, key)
        changed = self.of(key).execute(self.DELETE, (self.stored_keys[key],)).rowcount
        self.log.result(at, clock(), changed)

    def transact(self, key):
        pair = key - key % 2
        undo = self.chance.random() < 0.3
        at = self.log.call(Action.BEGIN)
        self.of(key).execute("BEGIN IMMEDIATE")
        self.log.result(at, clock(), YES)
        for one in (pair, pair + 1):
            getattr(self, self.chance.choice(("update", "insert", "delete")))(one)
        at = self.log.call(Action.ROLLBACK if undo else Action.COMMIT)
        self.of(key).execute("ROLLBACK" if undo else "COMMIT")
        self.log.result(at, clock(), YES)

    def rest(self, key):
        """Do nothing."""

    def checkpoint(self, key):
        # One that restarts the log keeps all from writing while it waits for readers, a minute if need be.
        kind = self.chance.choice(("TRUNCATE", "RESTART", "PASSIVE") if self.changes else ("PASSIVE",))
        self.maintain(Action.CHECKPOINT, self.of(key), f"PRAGMA wal_checkpoint({kind})")

    def vacuum(self, key):
        self.maintain(Action.VACUUM, self.of(key), "VACUUM")

    def leave_wal(self, key):
        """Use a rollback journal for a while, and come back; who is not alone cannot."""
        database = self.of(key)
        database.execute("PRAGMA busy_timeout = 0")
        left = self.maintain(Action.JOURNAL, database, "PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA busy_timeout = 60000")
        if left:
            for one in range(self.chance.randrange(3) if self.changes else 0):
                self.update(key - key % 2 + one % 2)
            database.execute("PRAGMA busy_timeout = 1000")
            self.maintain(Action.JOURNAL, database, "PRAGMA journal_mode = WAL")
            database.execute("PRAGMA busy_timeout = 60000")

    def maintain(self, action, database, statement):
        at = self.log.call(action)
        try:
            database.execute(statement).fetchall()
            done = YES
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            done = NO
        self.log.result(at, clock(), done)
        return done


FOREIGN = {"update": 40, "insert": 20, "delete": 20, "transact": 10, "checkpoint": 8, "vacuum": 1}
# Where nobody stays.
LEAVING = {"leave_wal": 10}
# What it does instead of changing entries.
RESTING = {"rest": 60}
# What changes entries.
CHANGING = ("update", "insert", "delete", "transact")


class Stage:
    """What all processes of a run share, and the orders of who runs them."""

    def __init__(self, folder, mode, store, seed=0, journal="off"):
        self.journal = journal
        self.folder = folder
        self.directory = os.path.join(folder, "cache")
        self.mode = mode
        self.store = store
        self.seed = seed
        with open(os.path.join(folder, "orders"), "r+b") as file:
            self.orders = mmap.mmap(file.fileno(), 0)

    def log(self, name, capacity):
        return Log(os.path.join(self.folder, f"{name}.log"), capacity)

    def phases(self):
        """The phases, each once it begins, until it is time to stop; with its number, and the order that is its own."""
        while True:
            order = self.orders[0]
            if order == STOP:
                return
            if order != WAIT:
                _, company, turn = ORDERS.unpack(self.orders)
                yield Phase(self.seed, turn, company, self.mode, self.store), turn, order
            while self.orders[0] == order:
                time.sleep(0.0005)

    def open(self, memory=32 << 20, **settings):
        """Open the cache as a mode of the run wants it. A limit is stored with it."""
        import fastcache
        from fastcache.engine.shm import change_log

        if self.mode == "off":
            memory = 0
        elif self.mode == "whole":
            change_log.capacity = 0
        elif self.mode == "overrun":
            change_log.capacity = 64
        if self.store.startswith("Fanout"):
            settings["shards"] = SHARDS
        settings["journal"] = self.journal == "on" or (self.journal == "mixed" and random.random() < 0.6)
        return getattr(fastcache, self.store)(self.directory, memory=memory, **settings)

    def recorded_open(self, log, memory):
        """The same, and record it; with whether the WAL had to be begun anew."""
        at = log.call(Action.OPEN)
        begins = not os.path.exists(os.path.join(self.directory, "cache.db-wal"))
        cache = self.open(memory)
        log.result(at, clock(), YES if begins else NO)
        return cache


def stats_of(cache):
    """Its statistics, also of one that has no method for them."""
    stores = cache.stores.all()
    return [sum(getattr(store, name) for store in stores) for name in STATS]


def plus(one, other):
    return [sum(both) for both in zip(one, other, strict=True)]


class Household:
    """The objects of one process for the directory: each is open while any of its threads uses it."""

    def __init__(self, stage, count, memory):
        self.stage = stage
        self.memory = memory
        self.caches = [None] * count
        self.users = [0] * count
        self.guard = threading.Lock()
        self.before = list(NO_STATS)

    def enter(self, which, log):
        with self.guard:
            if not self.users[which]:
                self.caches[which] = self.stage.recorded_open(log, self.memory)
            self.users[which] += 1
            return self.caches[which]

    def leave(self, which):
        with self.guard:
            self.users[which] -= 1
            if not self.users[which]:
                cache, self.caches[which] = self.caches[which], None
                self.before = plus(self.before, stats_of(cache))
                cache.close()

    def stats(self):
        with self.guard:
            total = self.before
            for cache in self.caches:
                if cache is not None:
                    total = plus(total, stats_of(cache))
            return total


class User:
    """One thread that uses the cache."""

    def __init__(self, stage, household, *, process, number, thread, capacity):
        self.stage = stage
        self.household = household
        self.place = (process, thread)
        self.log = stage.log(f"{number}-{thread}", capacity)
        self.client = Client(self.log, 4 * number + thread, stage.seed, stage.mode, stage.store)
        # Which object it has entered.
        self.held = None

    def run(self):
        """Do as the phases want it, until told to stop or the log is full."""
        try:
            for phase, turn, order in self.stage.phases():
                client = self.client
                client.chance = random.Random(f"{self.stage.seed} turn {turn} of {client.writer}")
                habit = phase.habit(*self.place)
                if habit != STAYS:
                    self.leave()
                if habit == STAYS:
                    self.stay(phase, order)
                elif habit == LODGES:
                    self.lodge(phase, order)
                elif habit == VISITS:
                    self.visit(phase, order)
                if self.log.at >= self.log.full_at:
                    return
        finally:
            self.leave()
            self.report()

    def report(self):
        self.log.report(self.household.stats() if self.place[1] == 0 else NO_STATS)

    def enter(self):
        client = self.client
        which = client.chance.randrange(len(self.household.caches))
        if self.held != which:
            self.leave()
            client.cache = self.household.enter(which, self.log)
            self.held = self.log.object = which

    def leave(self):
        if self.held is not None:
            held, self.held = self.held, None
            self.client.cache = None
            self.household.leave(held)

    def goes_on(self, order):
        return self.stage.orders[0] == order and self.log.at < self.log.full_at

    def stay(self, phase, order):
        chance = self.client.chance
        weights = phase.weights(STAYS)
        self.enter()
        if not weights["set"] and chance.random() < 0.3 and phase.company == ALL_STAY:
            # What expires while nobody writes.
            self.client.set(chance.choice(phase.keys))
        while self.goes_on(order):
            self.act(phase, weights, REPORT_EVERY, order)
            self.report()
            if phase.company != ALL_STAY:
                time.sleep(chance.random() * LONGEST_REST)

    def lodge(self, phase, order):
        chance = self.client.chance
        weights = phase.weights(LODGES)
        while self.goes_on(order):
            self.enter()
            until = time.monotonic() + chance.random() * LONGEST_LODGING
            while time.monotonic() < until and self.goes_on(order):
                self.act(phase, weights, REPORT_EVERY, order)
                time.sleep(chance.random() * LONGEST_REST)
            self.leave()
            self.report()
            time.sleep(chance.random() * phase.pause)

    def visit(self, phase, order):
        chance = self.client.chance
        weights = phase.weights(VISITS)
        while self.goes_on(order):
            self.enter()
            self.act(phase, weights, chance.randint(1, phase.visit_length), order)
            self.leave()
            self.report()
            time.sleep(chance.random() * phase.pause)

    def act(self, phase, weights, count, order):
        client, chance, orders = self.client, self.client.chance, self.stage.orders
        acts = chance.choices([*weights], weights.values(), k=count)
        for act, key in zip(acts, chance.choices(phase.keys, k=count), strict=True):
            if orders[0] != order:
                break
            getattr(client, act)(key)


def use(stage, *, process, number, threads, objects, memory, capacity, interval):
    """Use the cache in so many threads, which share so many objects of it, until told to stop or a log is full."""
    sys.setswitchinterval(interval)
    household = Household(stage, objects, memory)
    users = [
        User(stage, household, process=process, number=number, thread=thread, capacity=capacity)
        for thread in range(threads)
    ]
    failures = []

    def run(user):
        try:
            user.run()
        except BaseException as failure:
            failures.append(failure)
            raise

    running = [threading.Thread(target=run, args=(user,)) for user in users]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        sys.exit(1)


# How a visitor ends, and the longest that one lives who is killed, in seconds.
CLOSES, DROPS, EXITS, IS_KILLED = range(4)
ENDS = (5, 2, 2, 3)
LONGEST_LIFE = 0.004
MOST_TOKENS = 256


def send(stage, *, number, memory, capacity):
    """Send one short-lived process after the other: each opens the cache, does a handful of operations, and ends.

    They are forked from this one, which never opens it itself, and record into one log."""
    import fastcache
    import fastcache.fanout
    import fastcache.index
    import fastcache.runtime.background

    fastcache.PickleSerializer().dumps([1])
    log = stage.log(f"{number}-visits", capacity)
    client = Client(log, 4 * number, stage.seed, stage.mode, stage.store)
    for phase, turn, order in stage.phases():
        chance = client.chance = random.Random(f"{stage.seed} turn {turn} of {client.writer}")
        if phase.habit(SENDER) != VISITS:
            continue
        while stage.orders[0] == order:
            if log.at >= log.full_at or client.written + 2 * MOST_TOKENS > MOST_NUMBERS:
                return
            end = chance.choices((CLOSES, DROPS, EXITS, IS_KILLED), ENDS)[0]
            seed = chance.random()
            child = os.fork()
            if child == 0:
                be_a_visitor(stage, client, phase, order=order, memory=memory, end=end, seed=seed)
            _, status = os.waitpid(child, 0)
            if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                sys.exit(1)
            client.written += MOST_TOKENS
            log.find_end()
            if os.WIFSIGNALED(status):
                log.read(Action.DIED, 0, clock(), clock(), os.WTERMSIG(status))
            log.report_count()
            time.sleep(chance.random() * phase.pause)


def be_a_visitor(stage, client, phase, *, order, memory, end, seed):
    """A process that lives for a moment; it does not return."""
    code = 1
    try:
        chance = client.chance = random.Random(seed)
        log = client.log
        before = log.stats()
        if end == IS_KILLED:
            # Whose default action ends the process, as a kill does.
            signal.setitimer(signal.ITIMER_REAL, max(1e-6, chance.random() * LONGEST_LIFE))
        client.cache = cache = stage.recorded_open(log, memory)
        weights = phase.weights(VISITS)
        count = chance.randint(1, phase.visit_length)
        for act, key in zip(
            chance.choices([*weights], weights.values(), k=count), chance.choices(phase.keys, k=count), strict=True
        ):
            if stage.orders[0] != order:
                break
            getattr(client, act)(key)
        log.report(plus(before, stats_of(cache)))
        if end == CLOSES:
            cache.close()
        elif end == DROPS:
            client.cache = cache = None
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def interfere(stage, *, number, databases, stored_keys, capacity, pace):
    """Write, checkpoint and vacuum now and then, as a foreign program."""
    log = stage.log(f"{number}-foreign", capacity)
    stored_keys = [bytes.fromhex(key["bytes"]) if isinstance(key, dict) else key for key in stored_keys]
    foreigner = Foreigner(
        log,
        4 * number,
        stage.seed,
        databases=databases,
        stored_keys=stored_keys,
        knows_tags=not stage.store.endswith("Index"),
        changes=stage.journal == "off",
    )
    with contextlib.ExitStack() as stack:
        stack.callback(foreigner.leave)
        for phase, turn, order in stage.phases():
            chance = foreigner.chance = random.Random(f"{stage.seed} turn {turn} of {foreigner.writer}")
            stays = phase.company == ALL_STAY
            acts = FOREIGN | LEAVING if phase.company == NOBODY_STAYS else FOREIGN
            if not foreigner.changes:
                # It sees a state of a moment ago, and what is pending may come over what it writes.
                acts = {act: weight for act, weight in acts.items() if act not in CHANGING} | RESTING
            if not stays:
                foreigner.leave()
            # In a phase of reading alone, nobody writes.
            if (stays and phase.reads == 100) or phase.habit(FOREIGNER) == AWAY:
                continue
            while stage.orders[0] == order:
                for _ in range(1 if stays else chance.randint(1, phase.visit_length)):
                    getattr(foreigner, chance.choices([*acts], acts.values())[0])(chance.choice(phase.keys))
                    log.report(NO_STATS)
                if not stays:
                    foreigner.leave()
                if log.at >= log.full_at:
                    return
                time.sleep(chance.random() * pace)


def look(stage, *, number):
    """When all is over, see what is left, and that it is whole."""
    log = stage.log(f"{number}-last", 1000)
    with stage.open() as cache:
        client = Client(log, 4 * number, 0, stage.mode, stage.store)
        client.cache = cache
        for key in range(len(KEYS)):
            client.get(key)
        # Whatever a killed process has left is decided by a write.
        for key in range(0, len(KEYS), 2):
            client.set_item(key)
        for key in range(len(KEYS)):
            client.get(key)
        assert_whole(cache)
        cache.check(fix=True)
        assert cache.check(), cache.check()
    log.report(NO_STATS)


def settle(stage, *, number):
    """Give each key a value that does not expire, or none; say which."""
    log = stage.log(f"{number}-settles", 1000)
    with stage.open() as cache:
        client = Client(log, 4 * number, stage.seed, stage.mode, stage.store)
        client.cache = cache
        for key in range(len(KEYS)):
            client.set_item(key)
            if client.chance.random() < 0.3:
                # No row is left then, not even one that has expired.
                client.delete(key)
        print(json.dumps([None if (value := cache.get(key)) is None else token_of(value) for key in KEYS]))
    log.report(NO_STATS)


def inspect(stage, *, number):
    """See that it is whole, while others use it."""
    with stage.open() as cache:
        assert_whole(cache)


def assert_whole(cache):
    """Check the cache; only files without a row may be left, by those who were killed."""
    result = cache.check()
    assert not result.dangling_rows, result
    assert not result.size_mismatches, result
    assert not result.undecodable_entries, result
    assert result.counters_consistent, result
    assert result.sqlite_integrity_ok, result


def prepare(stage, *, number, settings):
    """Make the cache; say how it stores the keys, and where."""
    from fastcache.engine.codecs.keys import shard_of_stored, stored_form

    with stage.open(**settings) as cache:
        # Shards are made when they are first needed.
        cache.update(dict.fromkeys(KEYS, 0))
        cache.clear()
        stored = [stored_form(key, cache.serializer) for key in KEYS]
        stores = cache.stores.all()
        databases = [store.path for store in stores]
        if len(stores) > 1:
            shards = [shard_of_stored(one, cache.serializer, SHARDS) for one in stored]
            assert shards == [shard for shard in SHARD_OF for _ in range(2)], shards
    keys = [{"bytes": key.hex()} if isinstance(key, bytes) else key for key in stored]
    print(json.dumps({"stored_keys": keys, "databases": databases}))


ROLES = {
    "use": use,
    "send": send,
    "interfere": interfere,
    "inspect": inspect,
    "look": look,
    "settle": settle,
    "prepare": prepare,
}

if __name__ == "__main__":
    arguments = json.loads(sys.argv[2])
    stage = Stage(*(arguments.pop(name) for name in ("folder", "mode", "store", "seed", "journal")))
    ROLES[sys.argv[1]](stage, **arguments)
