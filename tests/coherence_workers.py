"""The processes of a coherence run: ``python coherence_workers.py ROLE ARGUMENTS``; see soak_coherence.py.

Whatever goes wrong in one of them that is no result ends it with a traceback.
"""

import contextlib
import itertools
import json
import mmap
import os
import random
import sqlite3
import sys
import threading
import time

from histories import (
    ABSENT,
    BYTES,
    FILE_LIST,
    FILE_TEXT,
    INT,
    KEYS,
    KINDS,
    LARGE_BYTES,
    NEVER,
    NO,
    NO_INT,
    ORDERS,
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
READING = {"get": 70, "get_item": 10, "get_extras": 3, "contains": 5, "exists": 2}
WRITING = {
    "set": 30,
    "set_item": 15,
    "incr": 15,
    "add": 6,
    "delete": 5,
    "delete_item": 2,
    "pop": 6,
    "touch": 6,
    "get_or_set": 6,
    "setdefault": 2,
    "update": 4,
    "transact": 10,
    "evict_tag": 0.6,
    "clear": 0.3,
    "expire": 0.6,
}
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
NO_STATS = (0,) * len(STATS)


def acts_of(mode):
    """What reads and what writes in a mode, each with its weight."""
    return (READING | PEEKING, WRITING | FILLING) if mode == "bounded" else (READING, WRITING)


def phase(seed, turn, mode):
    """What all threads do for a while: the acts with their weights, and the keys."""
    reading, writing = acts_of(mode)
    chance = random.Random(f"{seed} phase {turn}")
    reads = chance.choices(READS_OF_100, FILLING_PHASE_WEIGHTS if mode == "bounded" else PHASE_WEIGHTS)[0]
    weights = {}
    for acts, share in ((reading, reads), (writing, 100 - reads)):
        for act, weight in acts.items():
            weights[act] = weight * share / sum(acts.values())
    return weights, chance.sample(range(len(KEYS)), chance.choice((2, 4, len(KEYS))))


class Undo(Exception):
    pass


class Actor:
    """Does one act at a time, at random, and records it."""

    def __init__(self, log, writer, seed):
        self.log = log
        self.writer = writer
        self.chance = random.Random(f"{seed} writer {writer}")
        self.written = 0
        self.tags = itertools.cycle(self.chance.choices(range(len(TAGS)), (6, 1, 1, 1), k=DRAWN))
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

    def __init__(self, log, writer, seed, mode):
        super().__init__(log, writer, seed)
        self.inside = 0
        self.reading, self.writing = acts_of(mode)
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
        value = self.cache.pop(KEYS[key])
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
        self.block(lambda: body(pair), self.chance.random() < 0.2)

    def block(self, body, undo):
        log = self.log
        at = log.call(Action.BEGIN)
        with contextlib.suppress(Undo), self.cache.transact():
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
        acts = [*self.reading, *self.writing]
        weights = [*([1] * len(self.reading)), *self.writing.values()]
        for act in self.chance.choices(acts, weights, k=self.chance.randrange(1, 5)):
            # Mostly on the pair, so that what happens to one of it depends on the other.
            key = pair + self.chance.randrange(2) if self.chance.random() < 0.8 else self.chance.randrange(len(KEYS))
            if act == "transact":
                self.block(lambda: self.do_several(pair), self.chance.random() < 0.5)
            else:
                getattr(self, act)(key)


def spoil(value):
    """Change a value after it was stored, as its owner may."""
    if type(value) is list:
        value[:] = ["changed by its writer"]


class Foreigner(Actor):
    """A program that knows the schema, and SQLite alone."""

    PUT = "UPDATE entry SET codec = 0, size = ?, expire = NULL, tag = ?, value = ? WHERE key = ? AND file IS NULL"
    INSERT = "INSERT INTO entry (codec, size, tag, value, key) VALUES (0, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
    DELETE = "DELETE FROM entry WHERE key = ? AND file IS NULL"

    def __init__(self, log, writer, seed, database, stored_keys):
        super().__init__(log, writer, seed)
        self.kinds = self.cycle((INT, TEXT, BYTES, LARGE_BYTES))
        self.database = database
        self.stored_keys = stored_keys

    def put(self, action, key, statement):
        token = self.fresh()
        value = value_of(token)
        at = self.log.call(action, key, token)
        parameters = (8 if type(value) is int else len(value), TAGS[tag_of(token)], value, self.stored_keys[key])
        changed = self.database.execute(statement, parameters).rowcount
        self.log.result(at, clock(), changed)

    def update(self, key):
        self.put(Action.SQL_UPDATE, key, self.PUT)

    def insert(self, key):
        self.put(Action.SQL_INSERT, key, self.INSERT)

    def delete(self, key):
        at = self.log.call(Action.SQL_DELETE, key)
        changed = self.database.execute(self.DELETE, (self.stored_keys[key],)).rowcount
        self.log.result(at, clock(), changed)

    def transact(self, key):
        pair = key - key % 2
        undo = self.chance.random() < 0.3
        at = self.log.call(Action.BEGIN)
        self.database.execute("BEGIN IMMEDIATE")
        self.log.result(at, clock(), YES)
        for one in (pair, pair + 1):
            getattr(self, self.chance.choice(("update", "insert", "delete")))(one)
        at = self.log.call(Action.ROLLBACK if undo else Action.COMMIT)
        self.database.execute("ROLLBACK" if undo else "COMMIT")
        self.log.result(at, clock(), YES)

    def checkpoint(self, _):
        self.maintain(
            Action.CHECKPOINT, f"PRAGMA wal_checkpoint({self.chance.choice(('TRUNCATE', 'RESTART', 'PASSIVE'))})"
        )

    def vacuum(self, _):
        self.maintain(Action.VACUUM, "VACUUM")

    def maintain(self, action, statement):
        at = self.log.call(action)
        try:
            self.database.execute(statement).fetchall()
            done = YES
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            done = NO
        self.log.result(at, clock(), done)


FOREIGN = {"update": 40, "insert": 20, "delete": 20, "transact": 10, "checkpoint": 8, "vacuum": 1}


class Stage:
    """What all processes of a run share, and the orders of who runs them."""

    def __init__(self, folder):
        self.folder = folder
        self.directory = os.path.join(folder, "cache")
        with open(os.path.join(folder, "orders"), "r+b") as file:
            self.orders = mmap.mmap(file.fileno(), 0)

    def log(self, name, capacity):
        return Log(os.path.join(self.folder, f"{name}.log"), capacity)

    def turns(self):
        """The numbers of the phases, each once it begins, until it is time to stop; and the order that is its own."""
        while True:
            order = self.orders[0]
            if order == STOP:
                return
            if order != WAIT:
                yield ORDERS.unpack(self.orders)[1], order
            while self.orders[0] == order:
                time.sleep(0.0005)


def open_cache(directory, mode, memory=32 << 20, **settings):
    """Open the cache as a mode of the run wants it. A limit is stored with it."""
    import fastcache
    from fastcache.engine import changes

    if mode == "off":
        memory = 0
    elif mode == "whole":
        changes.capacity = 0
    elif mode == "overrun":
        changes.capacity = 64
    return fastcache.Cache(directory, memory=memory, **settings)


def use(*, folder, mode, seed, number, threads, objects, memory, capacity, interval):
    """Use the cache in so many threads, which share so many objects of it, until told to stop or the logs are full."""
    sys.setswitchinterval(interval)
    stage = Stage(folder)
    caches = [open_cache(stage.directory, mode, memory) for _ in range(objects)]
    failures = []

    def stats():
        counters = [cache.stats() for cache in caches]
        return [sum(counter[name] for counter in counters) for name in STATS]

    def run(thread):
        log = stage.log(f"{number}-{thread}", capacity)
        client = Client(log, 4 * number + thread, seed, mode)
        orders = stage.orders
        try:
            for turn, order in stage.turns():
                weights, keys = phase(seed, turn, mode)
                chance = client.chance = random.Random(f"{seed} turn {turn} of {client.writer}")
                log.object = chance.randrange(objects)
                client.cache = caches[log.object]
                if not weights["set"] and chance.random() < 0.3:
                    # What expires while nobody writes.
                    client.set(chance.choice(keys))
                while orders[0] == order:
                    acts = chance.choices([*weights], weights.values(), k=REPORT_EVERY)
                    for act, key in zip(acts, chance.choices(keys, k=REPORT_EVERY), strict=True):
                        if orders[0] != order:
                            break
                        getattr(client, act)(key)
                    if log.at >= log.full_at:
                        return
                    log.report(stats() if thread == 0 else NO_STATS)
        except BaseException as failure:
            failures.append(failure)
            raise
        finally:
            log.report(stats() if thread == 0 else NO_STATS)

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failures:
        sys.exit(1)
    for cache in caches:
        cache.close()


def interfere(*, folder, mode, seed, number, stored_keys, capacity, pace):
    """Write, checkpoint and vacuum now and then, as a foreign program."""
    stage = Stage(folder)
    log = stage.log(f"{number}-foreign", capacity)
    path = os.path.join(stage.directory, "cache.db")
    stored_keys = [bytes.fromhex(key["bytes"]) if isinstance(key, dict) else key for key in stored_keys]
    with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as database:
        foreigner = Foreigner(log, 4 * number, seed, database, stored_keys)
        for turn, order in stage.turns():
            weights, keys = phase(seed, turn, mode)
            chance = foreigner.chance = random.Random(f"{seed} turn {turn} of {foreigner.writer}")
            # In a phase of reading alone, nobody writes.
            while weights["set"] and stage.orders[0] == order:
                act = chance.choices([*FOREIGN], FOREIGN.values())[0]
                getattr(foreigner, act)(chance.choice(keys))
                log.report(NO_STATS)
                if log.at >= log.full_at:
                    return
                time.sleep(chance.random() * pace)


def look(folder, mode, number):
    """When all is over, see what is left, and that it is whole."""
    stage = Stage(folder)
    log = stage.log(f"{number}-last", 1000)
    with open_cache(stage.directory, mode) as cache:
        client = Client(log, 4 * number, 0, mode)
        client.cache = cache
        for key in range(len(KEYS)):
            client.get(key)
        # Whatever a killed process has left is decided by a write.
        client.set_item(0)
        for key in range(len(KEYS)):
            client.get(key)
        assert_whole(cache)
        cache.check(fix=True)
        assert cache.check(), cache.check()
    log.report(NO_STATS)


def inspect(folder, mode, number):
    """See that it is whole, while others use it."""
    with open_cache(Stage(folder).directory, mode) as cache:
        assert_whole(cache)


def assert_whole(cache):
    """Check the cache; only files without a row may be left, by those who were killed."""
    result = cache.check()
    assert not result.dangling_rows, result
    assert not result.size_mismatches, result
    assert not result.undecodable_entries, result
    assert result.counters_consistent, result
    assert result.sqlite_integrity_ok, result


def prepare(folder, mode, number, settings):
    """Make the cache; say how it stores the keys."""
    directory = os.path.join(folder, "cache")
    with open_cache(directory, mode, **settings) as cache:
        for key in KEYS:
            cache[key] = 0
        with cache.transact():
            stored = [row[0] for row in cache.store.query("SELECT key FROM entry ORDER BY id")]
        cache.clear()
    print(json.dumps([{"bytes": key.hex()} if isinstance(key, bytes) else key for key in stored]))


ROLES = {"use": use, "interfere": interfere, "inspect": inspect, "look": look, "prepare": prepare}

if __name__ == "__main__":
    ROLES[sys.argv[1]](**json.loads(sys.argv[2]))
