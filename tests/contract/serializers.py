"""What is not stored natively goes through the serializer; its name is stored with it."""

import contextlib
import json
import sqlite3
import sys

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


class Inheriting(fastcache.MsgspecSerializer):
    """One of ours, but for its loads."""

    loaded = 0

    def loads(self, data):
        self.loaded += 1
        return super().loads(data)


class Delegating:
    """One that has everything from one of ours, but for its loads."""

    loaded = 0

    def __init__(self):
        self.inner = fastcache.MsgspecSerializer()

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def loads(self, data):
        self.loaded += 1
        return self.inner.loads(data)


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


def extension(code, *content):
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(list(content))))


# Damaged, or of other programs: no value of MsgspecSerializer.
NO_MESSAGES = {
    "nothing": b"",
    "cut off": msgspec.msgpack.encode(["text"])[:-1],
    "more than one": b"\1\2",
    "no type of MessagePack": b"\xc1",
    "no UTF-8": b"\x91\xa1\xff",
    "huge length": b"\xdd\xff\xff\xff\xff",
    "huge lengths in one another": b"\xdd\x0f\xff\xff\xff" * 30,
    "nested too deep": b"\x91" * 100_000 + b"\1",
    "key that is none": b"\x81\x80\1",
    "key of lists": b"\x81\x91\x81\1\1\1",
    "time that is none": b"\xd7\xff" + b"\xff" * 8,
    "unknown extension": extension(9, 1),
    "extension that is no pair": extension(1, 1, 2, 3),
    "extension of a number": b"\xd4\1\1",
    "extension that is cut off": b"\xc7\2\1\x92\1",
    "array without content": extension(1, ["<i4", [2], "C"], b""),
    "array of negative length": extension(1, ["<i4", [-2], "C"], b"12345678"),
    "array of huge length": extension(1, ["<i4", [1 << 62], "C"], b"12345678"),
    "array of objects": extension(1, ["|O", [1], "C"], b"12345678"),
    "array of no known type": extension(1, ["<q9", [1], "C"], b"12345678"),
    "array of a nested type": extension(1, [[["<i4", [2]], [-1]], [1], "C"], b"12345678"),
    "array of no bytes": extension(1, ["<i4", [2], "C"], [1]),
    "array of no shape": extension(1, ["<i4", 2, "C"], b"12345678"),
    "scalar of no bytes": extension(2, "<i4", 7),
    "scalar of a map": extension(2, {"names": 1}, b"1"),
    "extension in an extension": extension(1, msgspec.msgpack.Ext(1, b"\1"), b"1"),
}


def plant(directory, key, codec, value):
    """Replace a value, wherever its row lies, as who can write into the directory can."""
    changed = 0
    for folder in (directory, *directory.glob("shard-*")):
        with contextlib.closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as database:
            statement = "UPDATE entry SET value = ?, codec = ?, size = ?, file = NULL WHERE key = ?"
            changed += database.execute(statement, (value, codec, len(value), key)).rowcount
    assert changed == 1


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
        for attempt in (
            lambda: reopened["a"],
            lambda: reopened.get("a"),
            lambda: list(reopened.items(on_error="raise")),
        ):
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

    @pytest.mark.parametrize("kind", [None, Track])
    @pytest.mark.leaves_damage
    def test_what_msgspec_cannot_decode_is_an_error_of_ours(self, open_store, directory, kind):
        serializer = fastcache.MsgspecSerializer(type=kind)
        for data in NO_MESSAGES.values():
            with pytest.raises(fastcache.DecodeError) as error:
                serializer.loads(data)
            assert error.value.__cause__ is not None or "unknown type 9" in str(error.value)
        with open_store(serializer=serializer) as store:
            for name in NO_MESSAGES:
                store[name] = Track("song", 181.5)
        for name, data in NO_MESSAGES.items():
            plant(directory, name, 16, data)
        store = open_store(serializer=serializer, memory=0)
        for name in NO_MESSAGES:
            with pytest.raises(fastcache.DecodeError):
                store[name]
        assert store.check().undecodable_entries == len(NO_MESSAGES)

    def test_check_names_the_row_that_does_not_fit_the_type(self, open_store, directory):
        with open_store(serializer=fastcache.MsgspecSerializer()) as store:
            store["a"], store["b"], store["c"] = [1], {"title": "song", "seconds": 1.5}, "native"
            assert store.check()
        found = open_store(serializer=fastcache.MsgspecSerializer(type=Track)).check(fix=True)
        assert not found
        assert found.undecodable_entries == 1
        (line,) = found.details
        assert "undecodable entry: row 1: " in line
        assert "MsgspecSerializer" in line
        # It stays, since another type may fit.
        assert open_store(serializer=fastcache.MsgspecSerializer())["a"] == [1]

    @pytest.mark.leaves_damage
    def test_check_leaves_what_a_serializer_of_ones_own_made_and_looks_at_the_rest(self, open_store, directory):
        serializer = JSONSerializer()
        with open_store(serializer=serializer) as store:
            store["own"], store["surrogate"], store["huge"], store["nan"] = [1], "\ud800", 1 << 70, float("nan")
            store[frozenset([("a", 1)])] = "t" * 200_000
            assert store.check()
        plant(directory, "own", 16, b"no JSON")
        store = open_store(serializer=serializer)
        assert store.check()
        assert serializer.loaded == 0
        for name, codec, data in (("surrogate", 2, b"\xff"), ("huge", 7, b"\1"), ("nan", 4, b"123")):
            plant(directory, name, codec, data)
        assert store.check().undecodable_entries == 3
        assert serializer.loaded == 0
        with pytest.raises(fastcache.DecodeError):
            store["own"]

    @pytest.mark.parametrize("kind", [Inheriting, Delegating])
    def test_check_leaves_what_was_made_with_one_of_ours_but_has_loads_of_its_own(self, open_store, kind):
        serializer = kind()
        store = open_store(serializer=serializer, memory=0)
        store["own"] = [1]
        assert store.check()
        assert serializer.loaded == 0
        assert store["own"] == [1]
        assert serializer.loaded == 1

    def test_what_is_no_bytes_is_a_mistake_of_the_caller(self):
        for serializer in (fastcache.PickleSerializer(), fastcache.MsgspecSerializer()):
            for wrong in (7, "text", None):
                with pytest.raises((TypeError, fastcache.DecodeError)):
                    serializer.loads(wrong)

    def test_an_array_without_numpy_is_an_error_that_names_it(self, open_store, directory, monkeypatch):
        numpy = pytest.importorskip("numpy")
        from fastcache.runtime import imports

        for serializer in (fastcache.PickleSerializer(), fastcache.MsgspecSerializer()):
            data = serializer.dumps([numpy.arange(5)])
            with monkeypatch.context() as patched:
                patched.setattr(imports, "_loaded", {"fastcache.plain": imports.load("fastcache.plain")})
                patched.setitem(sys.modules, "numpy", None)
                with pytest.raises(fastcache.DecodeError, match="numpy") as error:
                    serializer.loads(data)
            assert isinstance(error.value.__cause__, ImportError)

    def test_tuples_keep_their_type_under_every_serializer(self, open_store):
        store = open_store(serializer=fastcache.MsgspecSerializer())
        store[(1, "a")] = 2
        assert store[(1, "a")] == 2
        assert list(store) == [(1, "a")]
