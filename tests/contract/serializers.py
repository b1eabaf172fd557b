"""What is not stored natively goes through the serializer; its name is stored with it."""

import json

import msgspec
import pytest

import fastcache

from .store import StoreContract, in_order, value_files


class JSONSerializer:
    """A serializer of the user's own, which notes what it was asked for."""

    name = "json of the tests"

    def __init__(self):
        self.dumped = []
        self.loaded = 0

    def dumps(self, obj):
        self.dumped.append(obj)
        return json.dumps(obj).encode()

    def loads(self, data):
        self.loaded += 1
        assert type(data) is bytes or bytes(data)
        return json.loads(bytes(data))


class Raising:
    """A serializer that fails when it is told to."""

    name = "raising"
    fails = ""

    def dumps(self, obj):
        if self.fails == "dumps":
            raise ZeroDivisionError("dumps")
        return repr(obj).encode()

    def loads(self, data):
        if self.fails == "loads":
            raise ZeroDivisionError("loads")
        return eval(data)  # what a careless user would write


class Track(msgspec.Struct):
    title: str
    seconds: float


class SerializerContract(StoreContract):
    def test_pickle_is_what_serializes_if_nothing_is_said(self, store):
        assert isinstance(store.serializer, fastcache.PickleSerializer)
        assert isinstance(store.serializer, fastcache.Serializer)
        assert store.serializer.loads(store.serializer.dumps([1, (2,)])) == [1, (2,)]

    def test_a_serializer_of_ones_own(self, open_store):
        serializer = JSONSerializer()
        store = open_store(serializer=serializer)
        assert store.serializer is serializer
        store["a"] = {"b": [1, 2.5, None]}
        assert serializer.dumped == [{"b": [1, 2.5, None]}]
        assert store["a"] == {"b": [1, 2.5, None]}
        assert serializer.loaded >= 1
        store["large"] = list(range(1_000_000))
        assert store["large"] == list(range(1_000_000))

    def test_native_values_need_no_serializer(self, open_store):
        serializer = JSONSerializer()
        store = open_store(serializer=serializer)
        natives = ["text", b"bytes", 7, 7.5, None, True, b"x" * 3_000_000, "x" * 3_000_000]
        for number, value in enumerate(natives):
            store[number] = value
        assert list(store.values()) == natives
        assert [type(value) for value in store.values()] == [type(value) for value in natives]
        assert serializer.dumped == []
        assert serializer.loaded == 0

    def test_a_serializer_that_cannot_dump_leaves_the_old_value(self, open_store, directory):
        serializer = Raising()
        store = open_store(serializer=serializer)
        store["a"] = [1]
        serializer.fails = "dumps"
        for attempt in (
            lambda: store.set("a", [2]),
            lambda: store.add("b", [2]),
            lambda: store.update(a=[2]),
        ):
            with pytest.raises(fastcache.EncodeError, match="raising") as error:
                attempt()
            assert isinstance(error.value, TypeError)
            assert isinstance(error.value.__cause__, ZeroDivisionError)
        assert in_order(store) == [("a", [1])]
        assert value_files(directory) == set()

    def test_a_serializer_that_cannot_load_says_so_and_the_store_stays_usable(self, open_store):
        serializer = Raising()
        store = open_store(serializer=serializer)
        store["a"] = [1]
        store["b"] = 2
        serializer.fails = "loads"
        reopened = open_store(serializer=serializer)
        for attempt in (lambda: reopened["a"], lambda: reopened.get("a"), lambda: list(reopened.items())):
            with pytest.raises(fastcache.DecodeError, match="raising") as error:
                attempt()
            assert isinstance(error.value, ValueError)
            assert isinstance(error.value.__cause__, ZeroDivisionError)
        assert reopened["b"] == 2
        assert list(reopened) == ["a", "b"]
        reopened["a"] = 3
        assert reopened["a"] == 3
        serializer.fails = ""
        reopened["a"] = [4]
        assert reopened["a"] == [4]

    def test_a_pop_that_cannot_load_does_not_lose_the_value(self, open_store):
        serializer = Raising()
        store = open_store(serializer=serializer)
        store["a"] = [1]
        serializer.fails = "loads"
        reopened = open_store(serializer=serializer)
        for attempt in (lambda: reopened.pop("a", None), reopened.popitem):
            with pytest.raises(fastcache.DecodeError):
                attempt()
        serializer.fails = ""
        assert in_order(reopened) == [("a", [1])]

    def test_another_serializer_is_refused(self, open_store, directory):
        with open_store(serializer=JSONSerializer()) as store:
            store["a"] = [1]
        for other in (None, fastcache.PickleSerializer(), Raising()):
            with pytest.raises(fastcache.FormatError) as error:
                open_store(serializer=other)
            assert "json of the tests" in str(error.value)
            assert getattr(other, "name", "pickle") in str(error.value)
            assert str(directory) in str(error.value)
            assert isinstance(error.value, fastcache.OpenError)
        assert open_store(serializer=JSONSerializer())["a"] == [1]

    def test_what_is_no_serializer_is_refused(self, open_store, directory):
        for wrong in ("pickle", 7, object(), json):
            with pytest.raises(TypeError):
                open_store(directory, serializer=wrong)

    def test_msgspec_round_trips_plain_data(self, open_store):
        store = open_store(serializer=fastcache.MsgspecSerializer())
        for value in ([1, "a", None, 2.5], {"a": {"b": [True]}}, list(range(1_000_000))):
            store["a"] = value
            assert store["a"] == value
        store["native"] = b"bytes"
        assert store["native"] == b"bytes"
        with pytest.raises(fastcache.FormatError):
            open_store()

    def test_msgspec_checks_values_against_their_type(self, open_store):
        store = open_store(serializer=fastcache.MsgspecSerializer(type=Track))
        store["a"] = Track("song", 181.5)
        assert store["a"] == Track("song", 181.5)
        assert type(store["a"]) is Track
        assert open_store(serializer=fastcache.MsgspecSerializer(type=Track))["a"] == Track("song", 181.5)

    def test_tuples_keep_their_type_under_every_serializer(self, open_store):
        store = open_store(serializer=fastcache.MsgspecSerializer())
        store[(1, "a")] = 2
        assert store[(1, "a")] == 2
        assert list(store) == [(1, "a")]
