"""Whatever is done to a store in whatever order, it stays equal to a dict under whose keys the clock runs."""

import dataclasses
import shutil
import tempfile

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import fastcache
from tests import samples
from tests.clock import Clock
from tests.samples import same

LARGE = (b"large" * 10_000, "large" * 8_000, ["large" * 20_000])

some_keys = st.one_of(
    st.sampled_from(
        ["a", "b", "c", 1, 1.0, True, 0, 2, b"a", (1, "a"), (1.0, "a"), None, 2**70, "\ud800", frozenset([1])]
    ),
    samples.keys,
)
some_values = st.one_of(
    samples.immutable_values,
    # By its number, since hypothesis writes out what the rules draw from, in each step.
    *(st.just(number).map(LARGE.__getitem__) for number in range(len(LARGE))),
    st.lists(st.integers(), max_size=3),
    st.integers(-5, 5),
)
some_pairs = st.lists(st.tuples(some_keys, some_values), max_size=5)
which = st.integers(0, 1)


class Undo(Exception):
    pass


@dataclasses.dataclass
class Entry:
    value: object
    expire: float | None = None
    tag: object = None


class Machine(RuleBasedStateMachine):
    """Store objects on one directory, two unless a machine says otherwise, and the model they have to agree with.

    ``entries`` is what the store holds; what has expired is still in it, and invisible. ``outer`` holds a copy
    for each open transaction block: what a rollback goes back to. Everybody else sees the first of them.
    """

    store_type = None
    objects = 2

    def open(self):
        return self.store_type(self.directory)

    def open_all(self):
        return [self.open() for _ in range(self.objects)]

    def __init__(self):
        super().__init__()
        self.directory = tempfile.mkdtemp()
        self.clock = Clock()
        self.stores = self.open_all()
        self.entries = {}
        self.outer = []
        self.blocks = []
        self.writer = None

    def teardown(self):
        while self.blocks:
            self.blocks.pop().__exit__(None, None, None)
        for store in self.stores:
            store.close()
        shutil.rmtree(self.directory)

    # the model

    def live(self, entries=None):
        entries = self.entries if entries is None else entries
        return {key: entry for key, entry in entries.items() if entry.expire is None or entry.expire > self.clock.now}

    def visible(self, entries=None):
        return [(key, entry.value) for key, entry in self.live(entries).items()]

    def put(self, key, value, expire=None, tag=None):
        if key not in self.live():
            self.entries.pop(key, None)
        self.entries[key] = Entry(value, expire, tag)

    def store(self, number):
        """A store to act through: inside a transaction the one that is in it."""
        return self.stores[number % self.objects if self.writer is None else self.writer]

    def absent(self, key):
        return key not in self.live()

    # one entry

    @rule(number=which, key=some_keys, value=some_values)
    def set_item(self, number, key, value):
        self.store(number)[key] = value
        self.put(key, value)

    @rule(number=which, key=some_keys, value=some_values)
    def set(self, number, key, value):
        assert self.store(number).set(key, value) is True
        self.put(key, value)

    @rule(number=which, key=some_keys, value=some_values)
    def add(self, number, key, value):
        assert self.store(number).add(key, value) is self.absent(key)
        if self.absent(key):
            self.put(key, value)

    @rule(number=which, key=some_keys)
    def get(self, number, key):
        store = self.store(number)
        assert (key in store) is store.exists(key) is not self.absent(key)
        if self.absent(key):
            assert store.get(key, "absent") == "absent"
            with pytest.raises(KeyError):
                store[key]
        else:
            assert same(store.get(key), self.entries[key].value)
            assert same(store[key], self.entries[key].value)

    @rule(number=which, key=some_keys)
    def delete(self, number, key):
        assert self.store(number).delete(key) is not self.absent(key)
        if not self.absent(key):
            del self.entries[key]

    @rule(number=which, key=some_keys)
    def del_item(self, number, key):
        if self.absent(key):
            with pytest.raises(KeyError):
                del self.store(number)[key]
        else:
            del self.store(number)[key]
            del self.entries[key]

    @rule(number=which, key=some_keys)
    def pop(self, number, key):
        value = self.store(number).pop(key, "absent")
        if self.absent(key):
            assert value == "absent"
        else:
            assert same(value, self.entries.pop(key).value)

    @rule(number=which, last=st.booleans())
    def popitem(self, number, last):
        if not self.live():
            with pytest.raises(KeyError):
                self.store(number).popitem(last=last)
        else:
            expected = self.visible()[-1 if last else 0]
            key, value = self.store(number).popitem(last=last)
            assert key == expected[0]
            assert same(value, expected[1])
            del self.entries[key]

    @rule(number=which, key=some_keys, value=some_values)
    def setdefault(self, number, key, value):
        found = self.store(number).setdefault(key, value)
        if self.absent(key):
            self.put(key, value)
        assert same(found, self.entries[key].value)

    @rule(number=which, key=some_keys, value=some_values)
    def get_or_set(self, number, key, value):
        found = self.store(number).get_or_set(key, lambda: value)
        if self.absent(key):
            self.put(key, value)
        assert same(found, self.entries[key].value)

    @rule(
        number=which,
        key=some_keys,
        delta=st.integers(-(2**40), 2**40),
        default=st.integers(-5, 5),
        up=st.booleans(),
    )
    def count(self, number, key, delta, default, up):
        count = self.store(number).incr if up else self.store(number).decr
        change = delta if up else -delta
        if self.absent(key):
            assert count(key, delta, default) == default + change
            self.put(key, default + change)
            return
        entry = self.entries[key]
        if type(entry.value) is int and abs(entry.value + change) < 2**63:
            assert count(key, delta, default) == entry.value + change
            self.entries[key] = dataclasses.replace(entry, value=entry.value + change)
        elif type(entry.value) is int:
            try:
                assert count(key, delta, default) == entry.value + change
                self.entries[key] = dataclasses.replace(entry, value=entry.value + change)
            except OverflowError:
                pass
        elif type(entry.value) is not bool:
            with pytest.raises(TypeError):
                count(key, delta, default)

    # many

    @rule(number=which, pairs=some_pairs)
    def update(self, number, pairs):
        self.store(number).update(pairs)
        for key, value in pairs:
            self.put(key, value)

    @rule(number=which, pairs=some_pairs)
    def set_many(self, number, pairs):
        assert self.store(number).set_many(iter(pairs)) == len(pairs)
        for key, value in pairs:
            self.put(key, value)

    @rule(number=which, pairs=some_pairs)
    def add_many(self, number, pairs):
        absent = {key: value for key, value in dict(pairs).items() if self.absent(key)}
        assert self.store(number).add_many(dict(pairs)) == len(absent)
        for key, value in absent.items():
            self.put(key, value)

    @rule(number=which, keys=st.lists(some_keys, max_size=5))
    def delete_many(self, number, keys):
        present = {key for key in keys if not self.absent(key)}
        assert self.store(number).delete_many(iter(keys)) == len(present)
        for key in present:
            del self.entries[key]

    @rule(number=which, keys=st.lists(some_keys, max_size=5))
    def get_many(self, number, keys):
        found = self.store(number).get_many(iter(keys))
        expected = {key: self.entries[key].value for key in keys if not self.absent(key)}
        assert list(found) == list(expected)
        assert all(map(same, found.values(), expected.values()))

    @rule(number=which, pairs=some_pairs, position=st.integers(0, 5))
    def set_many_in_vain(self, number, pairs, position):
        pairs = [*pairs[:position], ([], 1), *pairs[position:]]
        with pytest.raises(TypeError, match=r"^item \d: "):
            self.store(number).set_many(pairs)

    @rule(number=which)
    def clear(self, number):
        assert self.store(number).clear() == len(self.live())
        self.entries.clear()

    @rule(number=which, keys=st.lists(some_keys, max_size=3))
    def delete_during_iteration(self, number, keys):
        store = self.store(number)
        gone = {key for key in keys if key in self.live()}
        seen = []
        for position, key in enumerate(store):
            if position == 0:
                for doomed in gone:
                    del store[doomed]
            seen.append(key)
        assert [key for key in seen if key not in gone] == [key for key in self.live() if key not in gone]
        if seen:
            for doomed in gone:
                del self.entries[doomed]

    # transactions

    @rule(number=which)
    def begin(self, number):
        if len(self.blocks) < 3:
            self.writer = number % self.objects if self.writer is None else self.writer
            block = self.stores[self.writer].transact()
            block.__enter__()
            self.blocks.append(block)
            self.outer.append(dict(self.entries))

    @precondition(lambda self: self.blocks)
    @rule()
    def commit(self):
        self.blocks.pop().__exit__(None, None, None)
        self.outer.pop()
        if not self.blocks:
            self.writer = None

    @precondition(lambda self: self.blocks)
    @rule()
    def roll_back(self):
        failure = Undo()
        assert not self.blocks.pop().__exit__(Undo, failure, None)
        self.entries = self.outer.pop()
        if not self.blocks:
            self.writer = None

    # the store as a whole

    @precondition(lambda self: not self.blocks)
    @rule(number=which)
    def reopen(self, number):
        self.stores[number % self.objects].close()
        self.stores[number % self.objects] = self.open()

    @precondition(lambda self: not self.blocks)
    @rule()
    def reopen_both(self):
        for store in self.stores:
            store.close()
        self.stores = self.open_all()

    @precondition(lambda self: not self.blocks)
    @rule(number=which, fix=st.booleans())
    def check(self, number, fix):
        assert self.stores[number % self.objects].check(fix=fix)

    @invariant()
    def both_agree_with_the_model(self):
        for number, store in enumerate(self.stores):
            outside = self.outer and number != self.writer
            expected = self.visible(self.outer[0] if outside else None)
            items = list(store.items())
            assert [key for key, _ in items] == [key for key, _ in expected]
            assert all(map(same, [value for _, value in items], [value for _, value in expected]))
            assert len(store) == store.count() == len(expected)
            assert [key for key, _ in expected][::-1] == list(reversed(store))

    @invariant()
    def it_equals_what_it_holds(self):
        store = self.store(0)
        expected = dict(self.visible())
        if all(same(value, value) and value == value for value in expected.values()):  # noqa: PLR0124 - NaN
            assert (store == expected) is (dict(store.items()) == expected)


class IndexMachine(Machine):
    store_type = fastcache.Index


class CacheMachine(Machine):
    store_type = fastcache.Cache

    expiries = st.one_of(st.none(), st.sampled_from([-1, 0, 0.5, 1, 2.25, 4, 10, 1000]))
    tags = st.sampled_from([None, "red", "green", b"red", 1, 1.5])

    def open(self):
        return self.store_type(self.directory, timer=self.clock)

    def time(self, expire):
        return None if expire is None else self.clock.now + expire

    @rule(seconds=st.sampled_from([0.125, 0.5, 1, 2, 5]))
    def let_time_pass(self, seconds):
        self.clock.advance(seconds)

    @rule(number=which, key=some_keys, value=some_values, expire=expiries, tag=tags)
    def set_with_expiry(self, number, key, value, expire, tag):
        assert self.store(number).set(key, value, expire=expire, tag=tag) is True
        self.put(key, value, self.time(expire), tag)

    @rule(number=which, key=some_keys, value=some_values, expire=expiries, tag=tags)
    def add_with_expiry(self, number, key, value, expire, tag):
        assert self.store(number).add(key, value, expire=expire, tag=tag) is self.absent(key)
        if self.absent(key):
            self.put(key, value, self.time(expire), tag)

    @rule(number=which, pairs=some_pairs, expire=expiries, tag=tags)
    def set_many_with_expiry(self, number, pairs, expire, tag):
        assert self.store(number).set_many(pairs, expire=expire, tag=tag) == len(pairs)
        for key, value in pairs:
            self.put(key, value, self.time(expire), tag)

    @rule(number=which, pairs=some_pairs, expire=expiries, tag=tags)
    def add_many_with_expiry(self, number, pairs, expire, tag):
        absent = {key: value for key, value in dict(pairs).items() if self.absent(key)}
        assert self.store(number).add_many(dict(pairs), expire=expire, tag=tag) == len(absent)
        for key, value in absent.items():
            self.put(key, value, self.time(expire), tag)

    @rule(number=which, key=some_keys, expire=expiries)
    def touch(self, number, key, expire):
        assert self.store(number).touch(key, expire) is not self.absent(key)
        if not self.absent(key):
            self.entries[key] = dataclasses.replace(self.entries[key], expire=self.time(expire))

    @rule(number=which, key=some_keys, take=st.booleans())
    def extras(self, number, key, take):
        store = self.store(number)
        found = (store.pop if take else store.get)(key, "absent", expire_time=True, tag=True)
        if self.absent(key):
            assert found == ("absent", None, None)
        else:
            entry = self.entries.pop(key) if take else self.entries[key]
            assert same(found, (entry.value, entry.expire, entry.tag))

    @rule(number=which)
    def expire(self, number):
        expired = len(self.entries) - len(self.live())
        assert 0 <= self.store(number).expire() <= expired
        self.entries = self.live()
        assert self.store(number).expire() == 0

    @rule(number=which, tag=tags.filter(lambda tag: tag is not None))
    def evict_tag(self, number, tag):
        tagged = [key for key, entry in self.live().items() if entry.tag == tag and type(entry.tag) is type(tag)]
        assert self.store(number).evict_tag(tag) == len(tagged)
        for key in tagged:
            del self.entries[key]


STEPS = settings(max_examples=35, stateful_step_count=40)

TestCacheModel = CacheMachine.TestCase
TestCacheModel.settings = STEPS
TestIndexModel = IndexMachine.TestCase
# The store under it is the same.
TestIndexModel.settings = settings(STEPS, max_examples=20)
