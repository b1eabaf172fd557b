"""Who can write into the directory cannot run code: what is plain is decoded, what is signed is loaded, and no more."""

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import os
import pathlib
import pickle
import sqlite3
import stat
import uuid
import zlib

import pytest

import fastcache
from tests import samples

from .concurrency import all_at_once
from .store import StoreContract, in_order, keys_in_order, value_files

SECRET = b"a secret of one of the tests"
OTHER_SECRET = b"another one, which signs nothing"
SIGNED = 0x100
TIMEZONE = datetime.timezone(datetime.timedelta(hours=-3, minutes=-30), "somewhere")

PLAIN = [
    *([1, [2, (3,)], {"a": None}], {1: {2.5, "x"}}, {1, 2}, frozenset({b"a"}), bytearray(b"abc"), (), 1j, ...),
    *(range(1, 10, 3), slice(None, 3, -1), [NotImplemented], True, [True, float("inf"), -(1 << 100)]),
    *(datetime.date(2026, 11, 22), datetime.time(1, 2, 3, 4), datetime.time(5, tzinfo=TIMEZONE)),
    *(datetime.datetime(2026, 11, 22, 1, 2, 3, 4), datetime.datetime(2026, 1, 1, fold=1, tzinfo=TIMEZONE)),
    *(datetime.timedelta(-1, 2, 3), datetime.timezone.utc, TIMEZONE),
    *(decimal.Decimal("-1.500"), decimal.Decimal("Infinity"), fractions.Fraction(-7, 3)),
    *(
        uuid.UUID(int=7),
        uuid.uuid1(),
        pathlib.PurePosixPath("a/../b"),
        pathlib.PureWindowsPath("c:\\x"),
        pathlib.Path(),
    ),
    *(collections.OrderedDict(b=1, a=[2]), collections.deque([1, [2]], 5), collections.deque("ab")),
    *(collections.defaultdict(list, {1: [2]}), collections.defaultdict(None, {1: 2}), collections.defaultdict(str)),
    {
        "when": [datetime.datetime.max] * 3,
        "what": (decimal.Decimal(1), {"deep": collections.deque([uuid.UUID(int=1)])}),
    },
]


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int
    y: tuple = ()


class Rich(enum.Enum):
    """With more than members."""

    ONE = 1

    def act(self):
        raise AssertionError("a pickle has called a method")

    @property
    def told(self):
        raise AssertionError("a pickle has read a property")

    def extend(self, items):
        raise AssertionError("a pickle has changed a member")

    __setitem__ = __setstate__ = extend


Pair = collections.namedtuple("Pair", "left right")


class Slotted:
    __slots__ = ("a", "b")

    def __eq__(self, other):
        return type(other) is Slotted and self.a == other.a

    __hash__ = None


class Text(str):
    pass


def slotted(a):
    made = Slotted()
    made.a = a
    return made


# Not all of them come back if pickle has its way.
MEMBERS = [value for value in samples.REDUCED.values() if isinstance(value, enum.Enum)]
LISTED = [Color, Number, Point, Frozen, Pair, Slotted, Text, *{type(member) for member in MEMBERS}]
OF_LISTED = [
    Color.RED,
    Number.ONE,
    Point(1, Point(2)),
    Frozen(1, (2,)),
    Pair(1, [2]),
    slotted([1]),
    Text("a"),
    [Point(1)] * 2,
]
NOT_PLAIN = [
    *OF_LISTED,
    *(int, len, functools.partial(int, base=2), collections.Counter("aab"), ValueError("x"), samples.Place("a", 1)),
    *(collections.defaultdict(functools.partial(int, 5)), [object], collections.ChainMap({1: 2})),
]


class Trap:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path, how=os.mkdir):
        self.path = path
        self.how = how

    def __reduce__(self):
        return self.how, (str(self.path),)


def same(one, other):
    if isinstance(one, (functools.partial, collections.defaultdict)) and one != other:
        return repr(one) == repr(other)
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def edit(directory, statement, *parameters):
    """Run SQL on the database of a closed store, as who can write into the directory can."""
    with contextlib.closing(sqlite3.connect(directory / "cache.db", isolation_level=None)) as database:
        return database.execute(statement, parameters).fetchall()


def text(of):
    """The opcode that leaves a text on the unpickler's stack."""
    encoded = of.encode()
    return b"\x8c" + bytes([len(encoded)]) + encoded


def codecs(directory):
    return dict(edit(directory, "SELECT key, codec FROM entry"))


class TrustContract(StoreContract):
    @pytest.fixture(autouse=True)
    def home(self, tmp_path, monkeypatch):
        """Nobody has a secret yet."""
        monkeypatch.delenv("FASTCACHE_SECRET")
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        return tmp_path / "config" / "fastcache"

    @pytest.fixture
    def marker(self, tmp_path):
        """A folder that would be there, if something had run."""
        path = tmp_path / "was here"
        yield path
        assert not path.exists()

    def read_in_every_way(self, store, key, error):
        """Each of them must raise the error, and leave the entry where it is."""
        for read in (
            lambda: store[key],
            lambda: store.get(key),
            lambda: store.get(key, copy=False),
            lambda: store.get_many([key], on_error="raise"),
            lambda: store.pop(key),
            lambda: list(store.values(on_error="raise")),
            lambda: store.setdefault(key, 1),
        ):
            with pytest.raises(error):
                read()
        told = []
        assert key not in dict(store.items(on_error=lambda *found: told.append(found)))
        assert key not in store.get_many([key], on_error="skip")
        assert (key, error) in [(name, type(found)) for name, found in told]
        assert key in store

    # what is plain, and what is signed

    @pytest.mark.parametrize("memory", [0, 1 << 20])
    def test_plain_data_comes_back_exactly_and_needs_no_secret(self, open_store, directory, home, memory):
        with open_store(memory=memory) as store:
            for number, value in enumerate(PLAIN):
                store[number] = value
            for number, value in enumerate(PLAIN):
                for _ in range(3):
                    assert same(store[number], value)
            assert all(same(one, other) for one, other in zip(store.values(), PLAIN, strict=True))
        assert not any(codec & SIGNED for codec in codecs(directory).values())
        assert not home.exists()

    def test_containers_that_hold_themselves_come_back(self, store, open_store, directory):
        items, counted = [1], collections.defaultdict(list)
        items.append(items)
        counted[1] = collections.deque([counted])
        store["a"], store["b"] = items, counted
        found = store["a"]
        assert found[1] is found
        found = store["b"]
        assert found[1][0] is found
        ordered = collections.OrderedDict(a=[])
        ordered["a"].append(ordered)
        store["c"] = [ordered, ordered]
        found = store["c"]
        assert found[0] is found[1] is found[0]["a"][0]
        shared = collections.deque([1])
        store["d"] = [shared, (shared, {"x": shared})]
        found = store["d"]
        assert found[0] is found[1][0] is found[1][1]["x"]
        loop = Point(1)
        loop.y = [loop, samples.Access.READ | samples.Access.RUN]
        with open_store(directory.with_name("listed"), safe_types=[Point]) as listing:
            listing["loop"] = loop
            found = listing["loop"]
            assert found.y == [found, samples.Access.READ | samples.Access.RUN]
            assert found.x == 1
            with pytest.raises(TypeError):
                listing[slotted([1])] = 1
            listing[Frozen(1, (2,))] = 2
            assert list(listing) == ["loop", Frozen(1, (2,))]

    def test_everything_else_comes_back_too_and_is_signed(self, open_store, directory, home):
        with open_store() as store:
            for number, value in enumerate(NOT_PLAIN):
                store[number] = value
                assert same(store[number], value)
            store["in a file"] = [samples.Place("a", 1), "x" * 200_000]
        assert all(codec & SIGNED for codec in codecs(directory).values())
        assert stat.S_IMODE((home / "secret").stat().st_mode) == 0o600
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert os.listdir(home) == ["secret"]
        store = open_store(memory=0)
        for number, value in enumerate(NOT_PLAIN):
            assert same(store[number], value)
        assert store["in a file"][0] == samples.Place("a", 1)
        assert store.check()

    @pytest.mark.leaves_damage
    def test_what_is_in_safe_types_is_plain(self, open_store, directory, home):
        with open_store(safe_types=LISTED) as store:
            for number, value in enumerate([*OF_LISTED, *MEMBERS]):
                store[number] = value
                assert same(store[number], value)
            for member in MEMBERS:
                store[member, "in a key"] = member
        assert not any(codec & SIGNED for codec in codecs(directory).values())
        assert not home.exists()
        with open_store(safe_types=LISTED, memory=0) as store:
            assert all(same(store[number], value) for number, value in enumerate([*OF_LISTED, *MEMBERS]))
            # Members that equal the same int are one key.
            assert all(store[member, "in a key"] == member for member in MEMBERS)
            assert store.check()
            store["mixed"] = [Point(1), samples.Place("a", 1)]
            assert store["mixed"] == [Point(1), samples.Place("a", 1)]
        store = open_store(safe_types=[Point])
        assert same(store[2], OF_LISTED[2])
        assert store["mixed"] == [Point(1), samples.Place("a", 1)]
        self.read_in_every_way(open_store(), 0, fastcache.UntrustedValueError)

    def test_keys_follow_the_same_rules(self, open_store, directory):
        keys = [decimal.Decimal("1.25"), uuid.UUID(int=3), (datetime.date.max,), pathlib.PurePosixPath("x")]
        signed = [samples.Place("a", 1), (Color.RED, 1), Frozen(1)]
        with open_store() as store:
            for key in (*keys, *signed):
                store[key] = repr(key)
        with open_store() as store:
            assert keys_in_order(store) == [*keys, *signed]
            assert [store[key] for key in keys] == [repr(key) for key in keys]
            assert [store[key] for key in signed] == [repr(key) for key in signed]
        with open_store(secret=OTHER_SECRET) as store:
            assert store[keys[0]] == repr(keys[0])
            assert samples.Place("a", 1) not in store
            assert keys_in_order(store) == keys
            assert store.check().untrusted_entries == len(signed)

    def test_what_was_verified_is_kept_in_memory(self, open_store, monkeypatch):
        with open_store() as store:
            store["a"] = Color.RED
        store = open_store()
        verify = store.serializer.trust.verify
        calls = []
        monkeypatch.setattr(store.serializer.trust, "verify", lambda *given: calls.append(verify(*given)))
        assert [store["a"] for _ in range(5)] == [Color.RED] * 5
        assert len(calls) == 1
        assert store.get_many(["a"]) == {"a": Color.RED}
        assert len(calls) == 1

    # the secret

    @pytest.mark.leaves_damage
    def test_the_secret_is_that_of_the_argument_or_the_environment_or_the_user(self, open_store, home, monkeypatch):
        with open_store(secret=SECRET) as store:
            store["argument"] = Color.RED
        with open_store() as store:
            store["user"] = Color.RED
        monkeypatch.setenv("FASTCACHE_SECRET", "of the environment")
        with open_store() as store:
            store["environment"] = Color.RED
            assert store["environment"] is Color.RED
            for key in ("argument", "user"):
                with pytest.raises(fastcache.UntrustedValueError, match="secret"):
                    store[key]
            assert store.check().untrusted_entries == 2
            assert not store.check(fix=True)
            assert len(store) == 3
        with open_store(secret=SECRET.decode()) as store:
            assert store["argument"] is Color.RED
        monkeypatch.delenv("FASTCACHE_SECRET")
        with open_store() as store:
            assert store["user"] is Color.RED
        (home / "secret").unlink()
        self.read_in_every_way(open_store(memory=0), "user", fastcache.UntrustedValueError)
        assert not (home / "secret").exists()

    def test_what_is_no_secret_is_refused_at_once(self, open_store, directory):
        for wrong, error in ((b"short", ValueError), ("short", ValueError), (7, TypeError), (b"", ValueError)):
            with pytest.raises(error, match="secret"):
                open_store(secret=wrong)
        for options in ({"secret": SECRET}, {"safe_types": [Point]}):
            with pytest.raises(TypeError, match="PickleSerializer"):
                open_store(serializer=fastcache.PickleSerializer(), **options)
        with pytest.raises(TypeError, match="safe_types"):
            open_store(safe_types=[Point(1)])
        assert not directory.exists()

    @pytest.mark.parametrize("how", ["short", "everybody's", "a folder", "no folder can be made", "in the environment"])
    def test_a_secret_that_cannot_be_used_is_named_and_nothing_is_stored(self, store, home, monkeypatch, how):
        store["a"] = 1
        if how == "no folder can be made":
            home.parent.write_text("a file")
        elif how == "in the environment":
            monkeypatch.setenv("FASTCACHE_SECRET", "short")
        else:
            home.mkdir(parents=True)
            path = home / "secret"
            if how == "a folder":
                path.mkdir()
            else:
                path.write_bytes(b"short" if how == "short" else SECRET)
                path.chmod(0o600 if how == "short" else 0o644)
        for attempt in (
            lambda: store.set("a", Color.RED),
            lambda: store.set_many({"b": 1, "a": Color.RED}),
            lambda: store.set(Frozen(1), 1),
        ):
            with pytest.raises(fastcache.UntrustedValueError, match=r"secret|SECRET") as error:
                attempt()
            assert SECRET.decode() not in str(error.value)
        assert in_order(store) == [("a", 1)]

    def test_processes_that_need_the_first_secret_at_once_get_the_same(self, directory, start, open_store, home):
        workers = [start("store_signed", self.kind, str(directory), number) for number in range(6)]
        all_at_once(workers)
        for worker in workers:
            worker.finish()
        assert os.listdir(home) == ["secret"]
        store = open_store()
        assert dict(store) == {number: collections.Counter(a=number) for number in range(6)}

    def test_a_pickled_store_signs_with_the_same_secret_and_shows_it_nowhere(self, open_store):
        store = open_store(secret=SECRET, safe_types=[Point])
        store["a"] = Color.RED
        for shown in (repr(store), repr(store.serializer), str(vars(store.serializer))):
            assert SECRET.decode() not in shown
        data = pickle.dumps(store)
        assert SECRET not in data
        with pickle.loads(data) as again:
            assert again["a"] is Color.RED
            again["b"] = Point(1)
            assert again["b"] == Point(1)

    def test_the_serializer_stands_alone_too(self):
        for options in ({"secret": SECRET}, {"secret": SECRET, "safe_types": LISTED}, {"unsafe": True}):
            serializer = fastcache.PickleSerializer(**options)
            for value in (*PLAIN, *NOT_PLAIN):
                assert same(serializer.loads(serializer.dumps(value)), value)
        signed = fastcache.PickleSerializer(secret=OTHER_SECRET).dumps(Color.RED)
        for damaged in (signed, signed[:-1], b"", b"x", pickle.dumps(Color.RED)):
            with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                fastcache.PickleSerializer(secret=SECRET).loads(damaged)

    def test_a_subclass_may_have_ways_of_its_own(self, open_store, directory):
        class Zipped(fastcache.PickleSerializer):
            name = "zipped"

            def dumps(self, value, /):
                return zlib.compress(super().dumps(value))

            def loads(self, data, /):
                return super().loads(zlib.decompress(data))

        store = open_store(serializer=Zipped(secret=SECRET), memory=0)
        for number, value in enumerate((*PLAIN, *NOT_PLAIN)):
            store[number] = value
            assert same(store[number], value)
        assert zlib.decompress(store.get(0, buffer=True)) == pickle.dumps(PLAIN[0], 5)

    # what an attacker may do

    def test_a_signed_value_is_of_use_under_its_own_key_alone(self, open_store, directory):
        with open_store() as store:
            store["mine"], store["other"], store[1] = Color.RED, Number.ONE, Color.RED
            store["file"] = [Color.RED, "x" * 200_000]
        for moved in (
            "UPDATE entry SET key = 'renamed' WHERE key = 'mine'",
            "UPDATE entry SET value = (SELECT value FROM entry WHERE key = 'other') WHERE key = 1",
            "UPDATE entry SET key = '1' WHERE key = 1",
            "UPDATE entry SET key = x'66696c65' WHERE key = 'file'",
        ):
            edit(directory, moved)
        with open_store() as store:
            for key in ("renamed", "1", b"file"):
                self.read_in_every_way(store, key, fastcache.UntrustedValueError)
            assert store["other"] is Number.ONE
            assert store.check().untrusted_entries == 3

    def test_no_byte_of_a_signed_value_can_be_changed(self, open_store, directory):
        with open_store() as store:
            store["a"] = samples.Place("a", 1)
        ((original, codec),) = edit(directory, "SELECT value, codec FROM entry")
        changed = [original[:end] for end in range(len(original))]
        changed += [original[:at] + bytes([original[at] ^ 1]) + original[at + 1 :] for at in range(len(original))]
        changed += [original + b"\0", original[32:], b"", None, 7, "text"]
        with open_store(memory=0) as store:
            for value in changed:
                store.store.connect().query("UPDATE entry SET value = ?1, size = ?2", (value, 1))
                with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                    store["a"]
            store.store.connect().query("UPDATE entry SET value = ?1", (original,))
            for bit in (*range(1, 32), 40):
                store.store.connect().query("UPDATE entry SET codec = ?1", (codec ^ 1 << bit,))
                with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                    store["a"]

    @pytest.mark.parametrize("how", [os.mkdir, os.system, eval, exec])
    @pytest.mark.leaves_damage
    def test_a_planted_pickle_runs_nothing(self, open_store, directory, marker, how):
        with open_store() as store:
            store["row"], store["signed"], store["file"] = [1], Color.RED, b"x" * 200_000
        text = {os.mkdir: marker, os.system: f"mkdir '{marker}'"}.get(how, f"__import__('os').mkdir({str(marker)!r})")
        trap = pickle.dumps(Trap(text, how), 5)
        padded = pickle.dumps([Trap(text, how), "x" * 200_000], 5)
        for protocol in range(5):
            old = pickle.dumps(Trap(text, how), protocol)
            edit(directory, "INSERT INTO entry (key, codec, size, value) VALUES (?, 16, 1, ?)", f"old {protocol}", old)
        edit(directory, "UPDATE entry SET value = ?, codec = 16 WHERE key = 'row'", trap)
        edit(directory, "UPDATE entry SET value = ? WHERE key = 'signed'", bytes(32) + trap)
        (file,) = value_files(directory)
        file.chmod(0o600)
        file.write_bytes(padded)
        edit(directory, "UPDATE entry SET codec = 16, size = ? WHERE key = 'file'", len(padded))
        key = b"\xfcfc\x01P" + len(trap).to_bytes(4, "big") + trap
        edit(directory, "INSERT INTO entry (key, codec, size, value) VALUES (?, 0, 1, 1)", key)
        for serializer in ("pickle", trap, trap.hex()):
            edit(directory, "UPDATE meta SET value = ? WHERE name = 'max_size'", serializer)
        store = open_store()
        for key in ("row", "signed", "file", *(f"old {protocol}" for protocol in range(5))):
            for read in (lambda key=key: store[key], lambda key=key: store.get_many([key], on_error="raise")):
                with pytest.raises(fastcache.UntrustedValueError):
                    read()
        assert len(list(store)) == len(store) - 1
        assert list(store.items()) == []
        for use in (lambda: list(store.items(on_error="raise")), lambda: dict(store), store.popitem):
            with pytest.raises(fastcache.CacheError):
                use()
        assert store.check().untrusted_entries == 9
        store.check(fix=True)

    def test_what_is_plain_is_not_enough_to_change_what_exists(self, open_store, directory, marker):
        """Opcodes in an order that no pickler writes."""
        with open_store() as store:
            store["a"] = [datetime.date.max]
        module = b"\x8c\x0ffastcache.plain"
        builder = module + b"\x8c\nbuild_date\x93"
        mkdir = b"\x8c\x02os\x8c\x05mkdir\x93"
        where = b"\x8c" + bytes([len(str(marker))]) + str(marker).encode()
        for body in (
            mkdir + where + b"\x85R",
            builder + b"}\x8c\x05__doc__N" + b"sb",
            builder + b"N}\x8c\t_function" + mkdir + b"s\x86b",
            b"\x8c\x08builtins\x8c\x04eval\x93\x8c\x03abc\x85R",
            module + b"\x8c\x16build_date.__globals__\x93",
            module + b"\x8c\x06pickle\x93",
            module + b"\x8c\x08PlainPickler\x93)\x81",
            b"\x8c\x0ccopyreg\x8c\x0c__newobj__\x93",
            builder + b")\x81",
            builder + b"(" + mkdir + b"e",
            builder + b"K\x01K\x02s",
            b"cos\nmkdir\n" + where + b"\x85R",
            b"(i os\nmkdir\n",
            b"\x82\x01",
            b"Pid\n",
            b"\x97",
            b"N\x98",
            b"h\x05",
        ):
            edit(directory, "UPDATE entry SET value = ?", b"\x80\x05" + body + b".")
            with open_store() as store:
                for _ in range(2):
                    with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                        store["a"]
        from fastcache import plain

        assert plain.build_date.__doc__

    def test_a_member_of_an_enum_is_all_that_its_name_leads_to(self, open_store, directory, marker):
        with open_store() as store:
            store["a"] = [1]
        plain = text("fastcache.plain")
        member, listed = plain + text("build_member") + b"\x93", plain + text("build_listed") + b"\x93"
        rich, point, color = (text(f"{kind.__module__}:{kind.__qualname__}") for kind in (Rich, Point, Color))
        style = text("tests.samples:Style")
        of_color = text(Color.__module__) + text("Color") + b"\x93"
        getattr_ = text("builtins") + text("getattr") + b"\x93"
        or_ = text("_operator") + text("or_") + b"\x93"
        names = [
            "__reduce__",
            "__class__",
            "__members__",
            "_member_map_",
            "mro",
            "name",
            "value",
            "_value_",
            "act",
            "told",
        ]
        names += ["ONE.act", "one", "", "_missing_", "__init__", "__getattribute__", "__subclasses__", "\u00aa"]
        bodies = [member + rich + text(name) + b"\x86R" for name in names]
        bodies += [member + kind + text("__init__") + b"\x86R" for kind in (point, color)]
        bodies += [
            # What is no name, or too much, or too little.
            *(
                member + rich + wrong + b"\x86R"
                for wrong in (b"K\1", b"N", b"]", b")", b"C\3ONE", text("ONE") + b"\x85")
            ),
            *(
                member + wrong + text("ONE") + b"\x86R"
                for wrong in (b"N", b"]", text("builtins:int"), text("enum:Enum"))
            ),
            member + rich + b"\x85R",
            member + rich + text("ONE") + text("act") + b"\x87R",
            member + member + rich + text("ONE") + b"\x86R" + text("act") + b"\x86R",
            # A member, and then more of it.
            member + rich + text("ONE") + b"\x86R" + b"}" + text("_value_") + b"K\2sb",
            member + rich + text("ONE") + b"\x86R" + b"K\1K\2s",
            member + rich + text("ONE") + b"\x86R" + b"K\1a",
            member + rich + text("ONE") + b"\x86R" + b")R",
            *(listed + b"(" + rich + b"\x88K\1\x85" + rest + b"tR" for rest in (b"}NN", b"N]N", b"NN}", b"NN}K\1K\2s")),
            listed + b"(" + rich + b"\x89K\1\x85NNNtR",
            # Flags without number.
            listed + b"(" + style + b"\x88\x8b" + (1 << 16).to_bytes(4, "little") + b"\x7f" * (1 << 16) + b"\x85NNNtR",
            listed + b"(" + rich + b"\x88" + text("New") + text("A B") + b"\x86NNNtR",
            # As other Pythons would, but not signed.
            getattr_ + of_color + text("RED") + b"\x86R",
            getattr_ + of_color + text("__subclasses__") + b"\x86R)R",
            getattr_ + member + text("_function") + b"\x86R",
            or_ + b"K\1K\2\x86R",
            or_ + member + color + text("RED") + b"\x86R" + b"K\1\x86R",
            of_color + text("red") + b"\x85R",
            text(Color.__module__) + text("Color.RED") + b"\x93",
            plain + text("build_member._function") + b"\x93",
            plain + text("Listed") + b"\x93" + b"]\x85R",
            plain + text("_reduce_member") + b"\x93" + b"K\1K\2\x86R",
        ]
        with open_store(safe_types=[Rich, Point, Color, samples.Style], memory=0) as store:
            for body in bodies:
                store.store.connect().query("UPDATE entry SET value = ?1, codec = 16", (b"\x80\x05" + body + b".",))
                with pytest.raises((fastcache.UntrustedValueError, fastcache.DecodeError)):
                    store["a"]
                assert not store.check()
            good = member + rich + text("ONE") + b"\x86R"
            store.store.connect().query("UPDATE entry SET value = ?1, codec = 16", (b"\x80\x05" + good + b".",))
            assert store["a"] is Rich.ONE
        assert Rich.ONE._value_ == 1
        with open_store(memory=0) as store:
            self.read_in_every_way(store, "a", fastcache.UntrustedValueError)

    def test_nesting_overflows_no_stack(self, open_store, directory, start):
        with open_store() as store:
            store["a"] = [1]
        shapes = {
            "tuples as a key": b"})" + b"\x85" * 500_000 + b"Ns",
            "tuples in a set": b"\x8f()" + b"\x85" * 500_000 + b"\x90",
            "tuples by the memo": b")\x94" + b"\x85\x94" * 300_000,
            "lists": b"]" * 300_000 + b"a" * 299_999,
        }
        for shape in shapes.values():
            edit(directory, "UPDATE entry SET value = ?", b"\x80\x05" + shape + b".")
            assert start("read_at_all", self.kind, str(directory), "a").finish() in ("UntrustedValueError", "a value")

    def test_a_size_that_is_not_there_takes_no_memory(self, open_store, directory):
        with open_store() as store:
            store["a"] = [1]
        huge = (1 << 40).to_bytes(8, "little")
        for value, codec in (
            (b"\x80\x05\x8e" + huge + b".", 16),
            (b"\x80\x05\x96" + huge + b".", 16),
            (b"\x80\x05\x8b\xff\xff\xff\x7f.", 16),
            (huge + b"x", 16 | 1 << 12),
            (huge + b"x", 16 | 2 << 12),
            (huge + b"x", 1 | 3 << 12),
            (huge + huge + b"x", 16 | 0x200),
            ((1).to_bytes(8, "little") + huge + b"x", 16 | 0x200),
        ):
            edit(directory, "UPDATE entry SET value = ?, codec = ?", value, codec)
            with open_store() as store, pytest.raises((fastcache.DecodeError, fastcache.UntrustedValueError)):
                store["a"]

    def test_what_is_not_trusted_is_computed_anew(self, open_store, directory):
        with open_store(secret=OTHER_SECRET) as store:
            store["a"] = Color.RED
            store["b"] = 1
        store = open_store(secret=SECRET)
        assert store.get_or_set("a", lambda: Number.ONE) is Number.ONE
        assert store.get_or_set("a", lambda: 1 // 0) is Number.ONE
        assert store["a"] is Number.ONE
        assert store.check()
        assert keys_in_order(store) == ["a", "b"]

    # on purpose

    def test_who_wants_to_can_load_everything(self, open_store, directory, home, tmp_path):
        unsafe = fastcache.PickleSerializer(unsafe=True)
        with open_store(serializer=unsafe) as store:
            for number, value in enumerate(NOT_PLAIN):
                store[number] = value
                assert same(store[number], value)
            store["trap"] = Trap(tmp_path / "wanted")
        assert not home.exists()
        assert not any(codec & SIGNED for codec in codecs(directory).values())
        with open_store() as store, pytest.raises(fastcache.UntrustedValueError):
            store[0]
        with open_store(serializer=unsafe) as store:
            assert store["trap"] is None
            assert (tmp_path / "wanted").is_dir()
        with open_store(secret=SECRET) as store:
            store["signed"] = Color.RED
        with open_store(serializer=unsafe) as store:
            assert store["signed"] is Color.RED

    def test_what_was_unsigned_can_be_signed_once(self, open_store, directory):
        with open_store(serializer=fastcache.PickleSerializer(unsafe=True)) as store:
            store["before"] = 1
            for number, value in enumerate(NOT_PLAIN):
                store[number] = value
            store["plain"] = [datetime.date.max]
            store[Frozen(1)] = Frozen(2)
            store["large"] = [Color.RED, "x" * 200_000]
        from fastcache.migrate import sign

        assert sign(directory) == len(NOT_PLAIN) + 2
        assert sign(directory) == 0
        store = open_store()
        assert store.check()
        expected = ["before", *range(len(NOT_PLAIN)), "plain", "large", Frozen(1)]
        assert keys_in_order(store) == expected
        assert all(same(store[number], value) for number, value in enumerate(NOT_PLAIN))
        assert store[Frozen(1)] == Frozen(2)
        assert store["large"][0] is Color.RED


class CacheTrustContract(StoreContract):
    def test_signing_keeps_expiry_and_tags(self, open_store, directory):
        from fastcache.migrate import sign

        with open_store(serializer=fastcache.PickleSerializer(unsafe=True)) as store:
            store.set("a", Color.RED, expire=1000, tag="red")
            store.set("b", Color.RED, expire=-1)
            _, before, _ = store.get("a", expire_time=True, tag=True)
        assert sign(directory) == 1
        store = open_store()
        value, after, tag = store.get("a", expire_time=True, tag=True)
        assert value is Color.RED
        assert tag == "red"
        assert abs(after - before) < 1
        assert "b" not in store
        # What has expired is not signed, and a check would say so.
        store.expire()

    def test_it_is_signed_whichever_way_it_is_set(self, open_store, directory):
        with open_store() as store:
            store["a"] = Color.RED
            assert store["a"] is Color.RED
            with store.transact("a"):
                store["b"] = Color.RED
                assert store["b"] is Color.RED
            with store.batch() as batch:
                batch["c"] = Color.RED
            store.add_many({"d": Color.RED})
        assert all(codec & SIGNED for codec in codecs(directory).values())
        assert dict(open_store()) == dict.fromkeys("abcd", Color.RED)
