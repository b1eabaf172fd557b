"""Entries may live for a while, and are gone everywhere once that is over."""

import datetime
import math

import pytest

from .store import StoreContract, as_promised, in_order, keys_in_order, value_files, values_in_order

BIG = b"big!" * 1_000_000

NOBODY_SEES = {
    "get": lambda store: store.get("gone") is None,
    "get with a default": lambda store: store.get("gone", 1) == 1,
    "get with extras": lambda store: store.get("gone", 1, expire_time=True, tag=True) == (1, None, None),
    "in": lambda store: "gone" not in store,
    "exists": lambda store: store.exists("gone") is False,
    "len": lambda store: len(store) == 2,
    "count": lambda store: store.count() == 2,
    "iter": lambda store: keys_in_order(store) == ["first", "last"],
    "reversed": lambda store: as_promised(store, reversed(store)) == ["last", "first"],
    "keys": lambda store: as_promised(store, store.keys()) == ["first", "last"],
    "values": lambda store: values_in_order(store) == [1, 3],
    "items": lambda store: in_order(store) == [("first", 1), ("last", 3)],
    "reversed items": lambda store: as_promised(store, reversed(store.items())) == [("last", 3), ("first", 1)],
    "len of a view": lambda store: len(store.keys()) == len(store.values()) == len(store.items()) == 2,
    "==": lambda store: store == {"first": 1, "last": 3},
    "!=": lambda store: store != {"first": 1, "gone": 2, "last": 3},
    "pop": lambda store: store.pop("gone") is None,
    "pop with a default": lambda store: store.pop("gone", 1) == 1,
    "pop with extras": lambda store: store.pop("gone", 1, expire_time=True, tag=True) == (1, None, None),
    "delete": lambda store: store.delete("gone") is False,
    "touch": lambda store: store.touch("gone", 100) is False and "gone" not in store,
    "incr": lambda store: store.incr("gone", 5, 100) == 105,
    "decr": lambda store: store.decr("gone", 5, 100) == 95,
    "add": lambda store: store.add("gone", 4) is True and store["gone"] == 4,
    "setdefault": lambda store: store.setdefault("gone", 4) == 4,
    "get_or_set": lambda store: store.get_or_set("gone", lambda: 4) == 4,
    "clear": lambda store: store.clear() == 2,
    "popitem": lambda store: (
        as_promised(store, [store.popitem(), store.popitem()]) == [("last", 3), ("first", 1)] and store == {}
    ),
    "popitem from the front": lambda store: (
        as_promised(store, [store.popitem(last=False), store.popitem(last=False)]) == [("first", 1), ("last", 3)]
        and store == {}
    ),
    "dict": lambda store: dict(store) == {"first": 1, "last": 3},
}

SETS_AGAIN = {
    "set": lambda store: store.set("gone", 4),
    "[]=": lambda store: store.__setitem__("gone", 4),
    "add": lambda store: store.add("gone", 4),
    "setdefault": lambda store: store.setdefault("gone", 4),
    "update": lambda store: store.update(gone=4),
    "incr": lambda store: store.incr("gone", 3, 1),
    "decr": lambda store: store.decr("gone", 1, 5),
    "get_or_set": lambda store: store.get_or_set("gone", lambda: 4),
}

WRITES = ("set", "add", "get_or_set", "touch")


def write(store, method, key, expire):
    """Write with an expiry by any of the methods that take one."""
    if method == "touch":
        return store.touch(key, expire)
    value = (lambda: 1) if method == "get_or_set" else 1
    return getattr(store, method)(key, value, expire=expire)


class ExpiryContract(StoreContract):
    @pytest.fixture
    def store(self, open_store, clock):
        return open_store(timer=clock)

    @pytest.fixture
    def worn(self, store, clock):
        """Three entries, the middle one of which has expired."""
        store["first"] = 1
        store.set("gone", 2, expire=10, tag="tag")
        store["last"] = 3
        assert keys_in_order(store) == ["first", "gone", "last"]
        clock.advance(10)
        return store

    @pytest.mark.parametrize("way", NOBODY_SEES)
    def test_what_has_expired_is_invisible(self, worn, way):
        assert NOBODY_SEES[way](worn)

    def test_what_has_expired_raises_key_error(self, worn):
        for access in (worn.__getitem__, worn.__delitem__):
            with pytest.raises(KeyError) as error:
                access("gone")
            assert error.value.args == ("gone",)

    @pytest.mark.parametrize("way", NOBODY_SEES)
    def test_a_large_value_that_has_expired_is_invisible(self, store, clock, way):
        store["first"] = 1
        store.set("gone", BIG, expire=10)
        store["last"] = 3
        clock.advance(11)
        assert NOBODY_SEES[way](store)

    @pytest.mark.parametrize("way", SETS_AGAIN)
    def test_set_again_after_expiry_it_is_a_new_insertion(self, worn, clock, way):
        SETS_AGAIN[way](worn)
        assert in_order(worn) == [("first", 1), ("last", 3), ("gone", 4)]
        assert worn.get("gone", expire_time=True, tag=True) == (4, None, None)
        clock.advance(1e6)
        assert worn["gone"] == 4

    def test_it_lives_until_its_time(self, store, clock):
        store.set("a", 1, expire=10)
        clock.advance(9.75)
        assert store["a"] == 1
        clock.advance(0.25)
        assert "a" not in store

    def test_it_expires_to_the_millisecond(self, store, clock):
        store.set("int", 1, expire=1)
        store.set("ms", 1, expire=0.005)
        clock.advance(1 / 512)
        assert "ms" in store
        clock.advance(3 / 512)
        assert "ms" not in store
        assert "int" in store

    @pytest.mark.parametrize("method", WRITES)
    def test_a_timedelta_is_as_good_as_seconds(self, store, clock, method):
        if method == "touch":
            store["a"] = 1
        write(store, method, "a", datetime.timedelta(minutes=1, milliseconds=500))
        assert store.get("a", expire_time=True) == (1, clock.now + 60.5)
        clock.advance(60.25)
        assert "a" in store
        clock.advance(0.25)
        assert "a" not in store

    @pytest.mark.parametrize(
        "expire",
        [0, -1, 0.0, -0.5, datetime.timedelta(0), datetime.timedelta(seconds=-1), -math.inf, -(10**30)],
    )
    def test_zero_and_negative_mean_already_expired(self, store, expire):
        assert store.set("a", 1, expire=expire) is True
        assert "a" not in store
        store["b"] = 1
        assert store.set("b", 2, expire=expire) is True
        assert "b" not in store
        assert store.add("c", 1, expire=expire) is True
        assert store.add("c", 1, expire=expire) is True
        store["d"] = 1
        assert store.touch("d", expire) is True
        assert len(store) == 0
        assert store == {}

    @pytest.mark.parametrize("expire", [math.inf, 1e300, 10**30, 10**400, datetime.timedelta.max])
    def test_what_lasts_for_ever_never_expires(self, store, clock, expire):
        store.set("a", 1, expire=expire)
        store["b"] = 2
        assert store.touch("b", expire) is True
        clock.advance(1e9)
        assert store == {"a": 1, "b": 2}
        assert store.expire() == 0
        assert store.get("a", expire_time=True)[1] in (None, math.inf) or expire is datetime.timedelta.max

    @pytest.mark.parametrize("expire", [math.nan, True, False, "10", b"1", [1], 1j])
    @pytest.mark.parametrize("method", WRITES)
    def test_what_is_no_time_is_refused(self, store, clock, method, expire):
        if method != "add":
            store.set("a", "old", expire=50)
        if method == "get_or_set":
            store.clear()
        expected = dict(store)
        with pytest.raises((TypeError, ValueError)):
            write(store, method, "a", expire)
        assert store == expected
        if expected:
            assert store.get("a", expire_time=True) == ("old", clock.now + 50)

    def test_it_may_be_given_by_position(self, store, clock):
        store.set("set", 1, 10)
        store.add("add", 1, 10)
        store.setdefault("setdefault", 1, 10)
        store.set_many({"set_many": 1}, 10)
        store.add_many({"add_many": 1}, datetime.timedelta(seconds=10))
        store.touch("set", 20)
        for key in ("add", "setdefault", "set_many", "add_many"):
            assert store.get(key, expire_time=True) == (1, clock.now + 10)
        assert store.get("set", expire_time=True) == (1, clock.now + 20)

    def test_counting_by_a_float_keeps_it(self, store, clock):
        store.set("a", 1, expire=10)
        assert store.incr("a", 0.5) == 1.5
        assert store.get("a", expire_time=True) == (1.5, clock.now + 10)
        clock.advance(10)
        assert store.incr("a", 0.5) == 0.5
        assert store.get("a", expire_time=True) == (0.5, None)

    def test_the_time_of_expiry_can_be_read(self, store, clock):
        store.set("a", 1, expire=12.5)
        store.set("b", 2)
        assert store.get("a", expire_time=True) == (1, clock.now + 12.5)
        assert store.get("b", expire_time=True) == (2, None)
        assert store.get("c", expire_time=True) == (None, None)
        assert isinstance(store.get("a", expire_time=True)[1], float)
        clock.advance(10)
        assert store.get("a", expire_time=True) == (1, clock.now + 2.5)
        assert store.pop("a", expire_time=True) == (1, clock.now + 2.5)
        assert store.pop("a", expire_time=True) == (None, None)

    @pytest.mark.parametrize("now", [-0.001, -1.0, -0.0, 0.0, 0.0005, -1e9, -1, 0])
    def test_a_clock_may_stand_before_or_at_its_epoch(self, store, clock, now):
        clock.now = now
        assert store.set("a", 1, expire=10) is True
        assert store.set("b", 2) is True
        assert store.get("a", expire_time=True) == (1, pytest.approx(now + 10, abs=0.002))
        assert store == {"a": 1, "b": 2}
        assert len(store) == 2
        assert store.add("a", 3, expire=10) is False
        assert store.touch("a", 5) is True
        clock.advance(6)
        assert store == {"b": 2}
        assert store.pop("a") is None
        assert store.expire() == 1

    @pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e300, None, "abc"], ids=str)
    def test_a_timer_that_tells_no_time_is_refused_and_changes_nothing(self, store, clock, now):
        store.set("a", 1, expire=10)
        store["b"] = 2
        time, clock.now = clock.now, now
        for use in (
            lambda: store.get("a"),
            lambda: store.set("a", 3, expire=5),
            lambda: store.set("a", 3),
            lambda: store.add("c", 3, expire=5),
            lambda: store.touch("a", 5),
            lambda: store.incr("b"),
            lambda: store.pop("b"),
            lambda: store.delete("b"),
            lambda: "a" in store,
            lambda: len(store),
            lambda: list(store),
            store.popitem,
            store.expire,
            store.clear,
        ):
            with pytest.raises((TypeError, ValueError)):
                use()
        clock.now = time
        assert in_order(store) == [("a", 1), ("b", 2)]
        assert store.get("a", expire_time=True) == (1, time + 10)
        assert store.check()

    def test_the_time_of_expiry_can_be_handed_on(self, store, clock):
        store.set("a", 1, expire=0.375)
        time = store.get("a", expire_time=True)[1]
        store.set("b", 2, expire=time - clock.now)
        assert store.get("b", expire_time=True) == (2, time)

    def test_an_update_forgets_the_old_expiry_and_keeps_the_place(self, store, clock):
        store.set("a", 1, expire=10)
        store["b"] = 2
        store["a"] = 3
        assert store.get("a", expire_time=True) == (3, None)
        clock.advance(20)
        assert in_order(store) == [("a", 3), ("b", 2)]
        store.set("a", 4, expire=5)
        store.set("a", 5, expire=50)
        clock.advance(10)
        assert store["a"] == 5

    def test_touch_changes_the_expiry_alone(self, store, clock):
        store.set("a", [1], expire=10, tag="tag")
        store["b"] = 2
        assert store.touch("a", 100) is True
        clock.advance(50)
        assert store.get("a", expire_time=True, tag=True) == ([1], clock.now + 50, "tag")
        assert keys_in_order(store) == ["a", "b"]
        assert store.touch("a") is True
        assert store.get("a", expire_time=True) == ([1], None)
        assert store.touch("absent", 10) is False
        assert "absent" not in store

    def test_counting_keeps_expiry_and_tag(self, store, clock):
        store.set("n", 1, expire=10, tag="tag")
        assert store.incr("n") == 2
        assert store.get("n", expire_time=True, tag=True) == (2, clock.now + 10, "tag")
        clock.advance(10)
        assert store.incr("n") == 1
        assert store.get("n", expire_time=True, tag=True) == (1, None, None)

    def test_expire_removes_what_has_expired_and_says_how_many(self, store, clock):
        for number in range(10):
            store.set(number, number, expire=number + 1)
        store["forever"] = None
        assert store.expire() == 0
        clock.advance(3)
        assert store.expire() == 3
        assert store.expire() == 0
        assert keys_in_order(store) == [3, 4, 5, 6, 7, 8, 9, "forever"]
        clock.advance(100)
        assert store.expire() == 7
        assert keys_in_order(store) == ["forever"]

    def test_expire_takes_files_with_it(self, store, clock, directory):
        store.set("a", BIG, expire=1)
        store["b"] = BIG
        assert len(value_files(directory)) == 2
        clock.advance(1)
        assert store.expire() == 1
        assert store.size() == len(BIG)
        assert store.check(fix=True)
        assert len(value_files(directory)) == 1
        assert store["b"] == BIG

    def test_many_expire_in_the_middle_of_a_scan(self, store, clock):
        with store.transact("a"):
            for number in range(3000):
                store.set(number, number, expire=10 if number % 3 else None)
        iterator = iter(store)
        assert next(iterator) == 0
        clock.advance(10)
        rest = list(iterator)
        assert [number for number in rest if number % 3 == 0] == list(range(3, 3000, 3))
        assert keys_in_order(store) == list(range(0, 3000, 3))
        assert len(store) == 1000

    def test_expiry_outlives_the_process_that_set_it(self, open_store, clock):
        with open_store(timer=clock) as store:
            store.set("a", 1, expire=10)
            store.set("b", 2, expire=20)
        clock.advance(15)
        store = open_store(timer=clock)
        assert in_order(store) == [("b", 2)]
        assert store.get("b", expire_time=True) == (2, clock.now + 5)

    def test_without_a_timer_the_clock_on_the_wall_counts(self, open_store):
        store = open_store()
        store.set("long", 1, expire=3600)
        store.set("over", 1, expire=-0.001)
        assert keys_in_order(store) == ["long"]


class TagContract(StoreContract):
    @pytest.mark.parametrize("tag", ["tag", b"tag", 7, 7.5, None, "", b"", 0, -(2**63), 2**63 - 1, "naïve ☃"])
    def test_a_tag_comes_back_as_it_was(self, store, tag):
        store.set("a", 1, tag=tag)
        assert store.get("a", tag=True) == (1, tag)
        assert type(store.get("a", tag=True)[1]) is type(tag)
        assert store.get("a", expire_time=True, tag=True) == (1, None, tag)
        assert store.pop("a", tag=True) == (1, tag)
        assert store.pop("a", tag=True) == (None, None)
        assert store.add("b", 2, tag=tag) is True
        assert store.get_or_set("c", lambda: 3, tag=tag) == 3
        assert store.get("b", tag=True) == (2, tag)
        assert store.get("c", tag=True) == (3, tag)

    @pytest.mark.parametrize("tag", [[1], {}, (1,), object(), {1}])
    def test_what_cannot_be_a_tag_is_refused(self, store, tag):
        store["a"] = 1
        with pytest.raises(TypeError):
            store.set("a", 2, tag=tag)
        with pytest.raises(TypeError):
            store.add("b", 2, tag=tag)
        assert store == {"a": 1}

    @pytest.mark.parametrize("tag", ["\ud800", "a\0b", "\0", b"a\0b", 2**63, 2**70, math.inf])
    def test_an_unusual_tag_survives_or_is_refused_but_is_never_mangled(self, store, tag):
        try:
            store.set("a", 1, tag=tag)
        except (TypeError, ValueError, OverflowError):
            assert "a" not in store
            return
        assert store.get("a", tag=True) == (1, tag)
        assert store.evict_tag(tag) == 1
        assert "a" not in store

    def test_evict_tag_removes_its_entries_alone_and_says_how_many(self, store):
        for number in range(100):
            store.set(number, number, tag=("red", "green", None)[number % 3])
        assert store.evict_tag("green") == 33
        assert store.evict_tag("green") == 0
        assert store.evict_tag("blue") == 0
        assert keys_in_order(store) == [number for number in range(100) if number % 3 != 1]

    def test_tags_of_different_types_are_different_tags(self, store):
        store.set("text", 1, tag="7")
        store.set("bytes", 1, tag=b"7")
        store.set("number", 1, tag=7)
        assert store.evict_tag("7") == 1
        assert keys_in_order(store) == ["bytes", "number"]
        assert store.evict_tag(b"7") == 1
        assert store.evict_tag(7) == 1
        assert len(store) == 0

    def test_an_update_forgets_the_old_tag(self, store):
        store.set("a", 1, tag="red")
        store["a"] = 2
        assert store.get("a", tag=True) == (2, None)
        store.set("a", 3, tag="green")
        assert store.evict_tag("red") == 0
        assert store.evict_tag("green") == 1

    def test_evicted_values_take_their_files_with_them(self, store, directory):
        store.set("a", BIG, tag="red")
        store.set("b", BIG, tag="green")
        assert store.evict_tag("red") == 1
        assert store.size() == len(BIG)
        assert store.check(fix=True)
        assert len(value_files(directory)) == 1
        assert store["b"] == BIG

    def test_what_has_expired_does_not_count_as_evicted(self, open_store, clock):
        store = open_store(timer=clock)
        store.set("a", 1, expire=1, tag="red")
        store.set("b", 1, tag="red")
        clock.advance(1)
        assert store.evict_tag("red") == 1
        assert len(store) == 0


def counted(store):
    return store.stats().hits, store.stats().misses


class StatisticsContract(StoreContract):
    def test_hits_and_misses_are_counted(self, store):
        assert counted(store) == (0, 0)
        store["a"] = 1
        store.get("a")
        store.get("a", expire_time=True, tag=True)
        assert store["a"] == 1
        store.get("b")
        with pytest.raises(KeyError):
            store["b"]
        statistics = store.stats()
        assert (statistics["hits"], statistics["misses"]) == (3, 2)
        assert (statistics.hits, statistics.misses) == (3, 2)
        assert isinstance(statistics, dict)

    def test_they_can_be_reset(self, store):
        store.get("b")
        store.reset_stats()
        assert counted(store) == (0, 0)
        store.get("b")
        assert counted(store) == (0, 1)

    def test_an_expired_entry_is_a_miss(self, open_store, clock):
        store = open_store(timer=clock)
        store.set("a", 1, expire=1)
        store.get("a")
        clock.advance(1)
        store.get("a")
        assert counted(store) == (1, 1)

    def test_what_was_read_is_kept_until_it_was_asked_for(self, store):
        store.stats()["hits"] = 100
        assert counted(store) == (0, 0)
