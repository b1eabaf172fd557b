"""What every released version has written is read, changed and checked by this one.

The directories lie beside this file, in a folder for each format; write.py has written them. Nothing here writes to
them: each test has a copy.
"""

import contextlib
import hashlib
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import msgspec
import pytest

import fastcache
from fastcache.engine.codecs.keys import hash_of, shard_of_stored, stored_form
from fastcache.engine.sqlite import sql
from fastcache.memoize.content_hash import digest
from fastcache.migrate import reshard
from fastcache.sync.single_flight import number_of

from ..samples import same
from . import calls, entries, write
from .directories import KINDS, SETTINGS, open_store

HERE = pathlib.Path(__file__).parent
GENERATIONS = sorted(int(path.name) for path in HERE.iterdir() if path.name.isdigit())
LIBRARIES = {"zstd": "zstandard", "lz4": "lz4.frame", "blosc2": "blosc2"}


def stored(name):
    """Have a test run with a copy of each directory of this name, of whatever format."""
    found = [HERE / str(generation) / name for generation in GENERATIONS if (HERE / str(generation) / name).is_dir()]
    return pytest.mark.parametrize("directory", found, indirect=True, ids=lambda path: f"{path.parent.name}, {name}")


@pytest.fixture
def directory(request, tmp_path):
    copy = tmp_path / request.param.name
    shutil.copytree(request.param, copy)
    for path in (copy, *copy.rglob("*")):
        # Git keeps no modes.
        path.chmod(0o700 if path.is_dir() else 0o600)
    return copy


def written_by(directory, request):
    """The versions of what has written this copy's original."""
    return writers(request.node.callspec.params["directory"].parent)[directory.name]


def writers(generation):
    return json.loads((generation / write.WRITTEN_BY).read_text("utf-8"))


def differing(found, expected):
    """What of this is not as expected, by name."""
    return {name: found.get(name) for name in expected if name not in found or not same(found[name], expected[name])}


def rows(directory):
    """Everything that the rows of a database say, but where a file lies, in their order."""
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database:
        select = "SELECT key, codec, size, expire, tag, file IS NULL, value FROM entry ORDER BY id"
        return database.execute(select).fetchall()


def names_of_files(directory):
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database:
        return {name for (name,) in database.execute("SELECT file FROM entry WHERE file IS NOT NULL")}


def look_up_and_change(name, directory, keys, **options):
    """Whatever the directory holds: change some of it, open it again, and look for the changes and for damage."""
    gone, replaced, popped, *kept = keys
    with open_store(name, directory, **options) as store:
        assert store.check().ok, store.check()
        left = {key: store[key] for key in kept}
        count = len(store)
        value = store[popped]
        assert same(store.pop(popped), value)
        del store[gone]
        store[replaced] = "replaced"
        store["added"] = value
        store["added in a file"] = "a" * 70_000
        assert store.check().ok, store.check()
    with open_store(name, directory, **options) as store:
        assert gone not in store
        assert popped not in store
        assert store[replaced] == "replaced"
        assert same(store["added"], value)
        assert store["added in a file"] == "a" * 70_000
        assert len(store) == count
        assert not differing({key: store[key] for key in kept}, left)
        assert store.check().ok, store.check()


@pytest.mark.parametrize("generation", GENERATIONS)
def test_all_that_was_written_is_there(generation):
    folder = HERE / str(generation)
    listed = set(writers(folder))
    assert {path.name for path in folder.iterdir() if path.is_dir()} == listed
    assert generation != sql.FORMAT or listed == set(KINDS) == set(write.WRITERS)


def test_every_format_is_there():
    assert list(range(3, sql.FORMAT + 1)) == GENERATIONS


# -- keys and values --------------------------------------------------------------------------------------------------


@stored("cache")
class TestCache:
    def test_every_key_is_found(self, directory):
        with open_store("cache", directory) as cache:
            assert (
                differing(
                    {name: cache.get(key) for name, key in entries.KEYS.items()},
                    dict(zip(entries.KEYS, entries.KEYS, strict=True)),
                )
                == {}
            )
            assert all(key in cache for key in entries.KEYS.values())

    def test_keys_come_back_as_what_they_were(self, directory):
        with open_store("cache", directory) as cache:
            for (name, expected), found in zip(entries.KEYS.items(), cache, strict=False):
                # What is one key in a dict is one key here, and comes back as either.
                assert found == expected, name
                assert type(found) is type(expected) or isinstance(found, (int, float)), name

    def test_every_value_comes_back(self, directory):
        with open_store("cache", directory) as cache:
            assert differing({name: cache["value", name] for name in entries.VALUES}, entries.VALUES) == {}
            assert (
                differing(
                    dict(cache.get_many(("value", name) for name in entries.VALUES)),
                    {("value", name): value for name, value in entries.VALUES.items()},
                )
                == {}
            )

    def test_every_value_in_a_file_comes_back(self, directory):
        assert len(names_of_files(directory)) == len(entries.FILES)
        with open_store("cache", directory) as cache:
            assert bytes(cache.get(("file", "bytes"), buffer=True)) == entries.FILES["bytes"]
            assert differing({name: cache["file", name] for name in entries.FILES}, entries.FILES) == {}

    def test_tags_come_back_and_are_evicted(self, directory):
        with open_store("cache", directory) as cache:
            for name, (tag, value) in entries.TAGGED.items():
                assert same(cache.get(("tagged", name), tag=True), (value, tag)), name
            assert cache.evict_tag("tag") == 3
            assert cache.evict_tag(7) == 1
            assert ("tagged", "a") not in cache
            assert ("tagged", "int") not in cache
            assert ("tagged", "bytes") in cache
            assert cache.check().ok

    def test_entries_expire_when_they_were_to(self, directory):
        now = entries.WRITTEN_AT
        with open_store("cache", directory, timer=lambda: now) as cache:
            assert cache.get("expires", expire_time=True) == ("late", entries.WRITTEN_AT + entries.FAR)
            assert cache.get("expired", expire_time=True) == ("early", entries.WRITTEN_AT + entries.SOON)
            assert cache.get("both", expire_time=True, tag=True) == (
                "late and tagged",
                entries.WRITTEN_AT + entries.FAR,
                "both",
            )
            now = entries.WRITTEN_AT + entries.SOON
            assert "expired" not in cache
            assert cache.expire() == 1
            now = entries.WRITTEN_AT + entries.FAR
            assert "expires" not in cache
            assert cache.expire() == 2
            assert cache.check().ok

    def test_averages_and_counts_go_on(self, directory):
        with open_store("cache", directory) as cache:
            average = fastcache.Averager(cache, "average")
            average.add(4)
            assert average.get() == 2.5
            assert cache.incr("count") == 4

    def test_what_is_signed_needs_the_secret_and_nothing_else_does(self, directory):
        other = {"secret": "another secret altogether"}
        with open_store("cache", directory, **other) as cache:
            for name in entries.VALUES:
                if name in entries.SIGNED:
                    with pytest.raises(fastcache.UntrustedValueError):
                        cache["value", name]
                else:
                    assert same(cache["value", name], entries.VALUES[name]), name

    def test_it_can_be_changed(self, directory):
        look_up_and_change(
            "cache",
            directory,
            [entries.KEYS["date"], ("file", "list"), ("file", "signed"), *(("value", name) for name in entries.VALUES)],
        )

    def test_it_can_be_repaired(self, directory):
        (directory / "values" / min(names_of_files(directory))).unlink()
        with open_store("cache", directory) as cache:
            assert cache.check(fix=True).dangling_rows == 1
            assert cache.check().ok
            assert same(cache["value", "of all"], entries.VALUES["of all"])

    def test_it_can_be_sharded(self, directory):
        reshard(directory, 3)
        with open_store("fanout-cache", directory, shards=3) as cache:
            assert all(cache[key] == name for name, key in entries.KEYS.items())
            assert differing({name: cache["value", name] for name in entries.VALUES}, entries.VALUES) == {}
            assert differing({name: cache["file", name] for name in entries.FILES}, entries.FILES) == {}
            assert cache.evict_tag("tag") == 3
            assert cache.check().ok


@stored("index")
class TestIndex:
    def test_items_come_back_in_order(self, directory):
        with open_store("index", directory) as index:
            assert same(list(index.items())[: len(entries.ITEMS)], list(entries.ITEMS.items()))
            assert same(dict(index.get_many(entries.ITEMS)), entries.ITEMS)
            assert index.popitem()[1] == [1, 2]
            assert same(index.popitem(), ("large", entries.ITEMS["large"]))
            assert index.popitem(last=False) == ("first", 1)

    def test_it_can_be_changed(self, directory):
        look_up_and_change("index", directory, reversed(entries.ITEMS))


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        pytest.param(name, path, id=f"{path.parent.name}, {name}")
        for name in ("fanout-cache", "fanout-index")
        for path in HERE.glob(f"*/{name}")
    ],
    indirect=["directory"],
)
class TestFanout:
    def test_items_come_back_from_their_shards(self, name, directory):
        assert all(rows(directory / shard) for shard in (".", "shard-001"))
        with open_store(name, directory) as store:
            assert same(dict(store.get_many(entries.SPREAD)), entries.SPREAD)
            assert differing(dict(store.items()), entries.SPREAD) == {}
            assert len(store) == len(entries.SPREAD) + 1
            if name == "fanout-cache":
                assert store.get(2, tag=True, expire_time=True) == ("second", entries.WRITTEN_AT + entries.FAR, 1)
                assert store.evict_tag(1) == len(entries.SPREAD) // 2

    def test_it_can_be_changed(self, name, directory):
        look_up_and_change(name, directory, reversed(entries.SPREAD))

    def test_it_is_refused_with_another_number_of_shards(self, name, directory):
        with pytest.raises(fastcache.FormatError):
            open_store(name, directory, shards=3)


@stored("arrays")
class TestArrays:
    @pytest.fixture(autouse=True)
    def _numpy(self):
        pytest.importorskip("numpy")

    def test_arrays_come_back(self, directory):
        assert len(names_of_files(directory)) == len(entries.array_files())
        with open_store("arrays", directory) as cache:
            values = entries.arrays()
            assert differing({name: cache[name] for name in values}, values) == {}
            files = entries.array_files()
            assert differing({name: cache["file", name] for name in files}, files) == {}
            assert cache.get(("file", "beside its pickle"), copy=True).flags.writeable

    def test_they_can_be_changed(self, directory):
        look_up_and_change(
            "arrays",
            directory,
            ["small", ("file", "beside its pickle"), "structured", *entries.arrays().keys() - {"small", "structured"}],
        )


@stored("frames")
def test_frames_come_back(directory, request):
    pandas = pytest.importorskip("pandas")
    writer = written_by(directory, request)["pandas"]
    if int(pandas.__version__.partition(".")[0]) < int(writer.partition(".")[0]):
        pytest.skip(f"pandas {pandas.__version__} need not read what pandas {writer} has pickled")
    with open_store("frames", directory) as cache:
        assert differing({name: cache[name] for name in entries.frames()}, entries.frames()) == {}
        cache["frame"] = cache.pop("series")
        assert cache.check().ok
    with open_store("frames", directory) as cache:
        assert differing(dict(cache), {"frame": entries.frames()["series"]}) == {}
        assert cache.check().ok


@stored("compressed")
class TestCompressed:
    @pytest.mark.parametrize("library", LIBRARIES)
    def test_values_come_back(self, directory, library):
        pytest.importorskip(LIBRARIES[library])
        with open_store("compressed", directory) as cache:
            assert differing({name: cache[library, name] for name in entries.COMPRESSED}, entries.COMPRESSED) == {}

    def test_they_are_compressed(self, directory):
        plain = {name: len(entries.COMPRESSED["in a file"]) for name in names_of_files(directory)}
        assert len(plain) == len(LIBRARIES)
        assert all((directory / "values" / name).stat().st_size < size for name, size in plain.items())

    def test_they_can_be_changed(self, directory):
        for library in LIBRARIES.values():
            pytest.importorskip(library)
        keys = [(library, name) for name in entries.COMPRESSED for library in LIBRARIES]
        look_up_and_change("compressed", directory, keys, compression="lz4")


@stored("msgspec")
class TestMsgspec:
    def test_values_come_back_as_their_type(self, directory):
        assert len(names_of_files(directory)) == 1
        with open_store("msgspec", directory, type=entries.User) as cache:
            assert differing(dict(cache), entries.USERS) == {}

    def test_without_a_type_they_are_what_messagepack_has(self, directory):
        with open_store("msgspec", directory) as cache:
            assert cache["large"]["friends"][0]["balance"] == "0"
            assert cache["large"]["picture"] == b"\x00\xff"
            assert cache.check().ok

    def test_they_can_be_changed(self, directory):
        with open_store("msgspec", directory, type=entries.User) as cache:
            cache["new"] = cache.pop("large")
            assert cache.check().ok
        with open_store("msgspec", directory, type=entries.User) as cache:
            assert cache["new"] == entries.USERS["large"]
            assert list(cache) == ["small", "in a file", "new"]

    def test_another_serializer_is_refused(self, directory):
        with pytest.raises(fastcache.FormatError):
            fastcache.Cache(directory)


@stored("msgspec-arrays")
def test_arrays_come_back_from_messagepack(directory):
    pytest.importorskip("numpy")
    with open_store("msgspec-arrays", directory) as cache:
        assert differing(dict(cache), {name: entries.arrays()[name] for name in entries.IN_MESSAGEPACK}) == {}
        assert cache.check().ok


# -- memoized calls ---------------------------------------------------------------------------------------------------


def skip_what_is_missing(call, writer):
    """Skip the test of a call that this Python, or what is installed, makes another call of."""
    if call.by_code and sys.version_info[:2] != tuple(map(int, writer["python"].split(".")[:2])):
        pytest.skip(f"Python {writer['python']} compiles the code to other instructions")
    if call.needs:
        library = pytest.importorskip(call.needs)
        if call.needs == "pandas" and library.__version__.partition(".")[0] != writer["pandas"].partition(".")[0]:
            pytest.skip(f"pandas {writer['pandas']} names its classes otherwise")


@stored("memoized")
class TestMemoized:
    @pytest.mark.parametrize("name", calls.CALLS)
    def test_a_call_is_found(self, directory, request, name):
        call = calls.CALLS[name]
        skip_what_is_missing(call, written_by(directory, request))
        calls.RAN.clear()
        with open_store("memoized", directory) as cache:
            memoized = call.memoized(cache)
            assert same(call.perform(memoized), call.result)
            for other in call.same:
                assert same(call.perform(memoized, other), call.result)
            assert calls.RAN == []
            assert memoized.cache_info() == (1 + len(call.same), 0)
            # And it is this function that it would be found again by.
            assert memoized.cache_clear() >= 1
            call.perform(memoized)
            assert len(calls.RAN) == 1

    def test_a_bound_method_is_found(self, directory):
        calls.RAN.clear()
        with open_store("memoized", directory) as cache:
            memoized = calls.CALLS["method"].memoized(cache)
            instance = calls.Multiplier(3)
            assert memoized.__get__(instance)(5) == 15
            assert calls.RAN == []
            assert memoized.__get__(instance).invalidate(number=5)
            assert memoized.__get__(instance)(5) == 15
            assert calls.RAN == [(3, 5)]

    def test_the_tag_of_a_result_is_there(self, directory):
        with open_store("memoized", directory) as cache:
            assert cache.evict_tag("memoized") == 1
            assert cache.evict_tag("t") == 1
            assert cache.check().ok


@stored("index")
def test_a_call_memoized_in_an_index_is_found(directory):
    calls.RAN.clear()
    with open_store("index", directory) as index:
        assert index.memoize(calls.add)(1) == [1, 2]
    assert calls.RAN == []


@pytest.mark.parametrize("kind", ["Cache", "Index", "FanoutCache", "FanoutIndex"])
def test_a_cache_as_an_argument_counts_by_its_class_and_directory(tmp_path, kind):
    """By names that no move of its class may change; computed here by another way."""

    def hashed(*parts):
        return hashlib.blake2b(b"".join(parts), digest_size=20).digest()

    def text(tag, content):
        return tag + len(content.encode()).to_bytes(8, "little") + content.encode()

    module = {"Cache": "cache", "Index": "index", "FanoutCache": "fanout", "FanoutIndex": "fanout"}[kind]
    parts = [text(b"&", f"fastcache.{module}:{kind}"), text(b"s", str(tmp_path))]
    content = b"N" + hashed(text(b"", "cache"), hashed((2).to_bytes(8, "little"), *parts))
    with getattr(fastcache, kind)(tmp_path) as store:
        assert digest(store) == hashed(content)


def test_a_memoized_function_as_an_argument_counts_by_its_name(monkeypatch):
    with fastcache.Cache() as cache:
        monkeypatch.setattr(calls, "add", cache.memoize(calls.add))
        name = b"tests.format.calls:add"
        content = b"&" + len(name).to_bytes(8, "little") + name
        assert digest(calls.add) == hashlib.blake2b(content, digest_size=20).digest()


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "directory"),
    [
        pytest.param(name, path, id=f"{path.parent.name}, {name}")
        for name in SETTINGS
        for path in HERE.glob(f"*/{name}")
    ],
    indirect=["directory"],
)
class TestLimited:
    def test_the_limit_and_the_policy_are_found(self, name, directory):
        with open_store(name, directory) as cache:
            assert (cache.max_size, cache.eviction) == (entries.LIMIT, name)
            assert cache.volume() <= entries.LIMIT
            assert list(cache) == [*entries.USED, *entries.UNUSED]

    def test_what_was_used_goes_last(self, name, directory, request):
        if written_by(directory, request)["byteorder"] != sys.byteorder:
            pytest.skip("the table of what was used is a machine's own")
        before = (directory / "cache.recency").stat().st_ino
        with open_store(name, directory) as cache:
            number = 100
            # Not by looking for a key, which is a use. Large, since the table holds 128 uses.
            while set(entries.UNUSED) <= set(cache):
                cache[number] = 6 * entries.PIECE
                assert cache.volume() <= entries.LIMIT
                number += 1
                assert number < 200
            assert set(entries.USED) <= set(cache)
            assert cache.check().ok
        assert (directory / "cache.recency").stat().st_ino == before


# -- what a killed process has left -----------------------------------------------------------------------------------


@pytest.fixture
def held(directory):
    """A process that has claimed what is claimed in these records, as the one did that was killed."""
    pytest.importorskip("fcntl")
    processes = []

    def hold(*tokens):
        path = directory / "locks" / "alive"
        program = (
            "import fcntl, sys\n"
            "file = open(sys.argv[1], 'r+b')\n"
            "for token in sys.argv[2:]: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(token))\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n"
        )
        command = [sys.executable, "-c", program, str(path), *map(str, tokens)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.communicate()


@stored("killed")
class TestKilled:
    def records(self, directory):
        with contextlib.closing(sqlite3.connect(directory / "locks" / "cache.db")) as database:
            return {
                (kind, name): msgspec.msgpack.decode(value)
                for key, value in database.execute("SELECT key, value FROM entry")
                for kind, name in [self.key(key)]
            }

    def key(self, encoded):
        # Of two texts, as most of them are; the one that is not has a name of two parts.
        with fastcache.Index() as index:
            for name in [
                ("lock", "held"),
                ("lock", ("expires", 1)),
                ("lock", "barrier"),
                ("rlock", "again"),
                ("semaphore", "slots"),
                ("throttle", "requests"),
            ]:
                if stored_form(name, index.serializer) == encoded:
                    return name
        raise AssertionError(encoded)

    def test_nothing_is_lost_and_nothing_left_over(self, directory):
        with open_store("killed", directory) as cache:
            assert cache["kept"] == "kept " * 100
            assert cache["replaced"] == "after " * 100
            assert list(cache) == ["kept", "replaced"]
            cache.check(fix=True)
            assert cache.check().ok, cache.check()
        left = {path.name for path in (directory / "values").rglob("*") if path.is_file()}
        assert left == names_of_files(directory)
        assert len(left) == 2

    def test_the_records_say_who_holds_and_who_waits(self, directory):
        records = self.records(directory)
        capacity, ((token, expire, deadline),), ((waiting, waits_with),) = records["lock", "held"]
        assert (capacity, expire, deadline, waits_with) == (1, None, None, None)
        assert token != waiting
        capacity, ((_, expire, deadline),), queue = records["lock", ("expires", 1)]
        assert (capacity, expire, queue) == (1, 1000, [])
        assert type(deadline) is float
        assert len(records["rlock", "again"][1]) == 1
        capacity, holders, queue = records["semaphore", "slots"]
        assert (capacity, len(holders), queue) == (3, 2, [])
        assert len(records["lock", "barrier"][1]) == 1
        written, full = records["throttle", "requests"]
        assert full - written == 100

    def test_what_the_dead_held_is_free(self, directory):
        with open_store("killed", directory) as cache:
            for lock in (cache.lock("held"), cache.lock(("expires", 1)), cache.rlock("again"), cache.lock("barrier")):
                assert not lock.locked()
                assert lock.acquire(blocking=False)
            slots = [cache.bounded_semaphore("slots", 2) for _ in range(3)]
            assert [each.acquire(blocking=False) for each in slots] == [True, True, False]

    def test_what_the_living_hold_is_held(self, directory, held):
        records = self.records(directory)
        tokens = [holder[0] for key, record in records.items() if key[0] != "throttle" for holder in record[1]]
        process = held(*tokens, records["lock", "held"][2][0][0])
        with open_store("killed", directory) as cache:
            for lock in (cache.lock("held"), cache.rlock("again"), cache.lock("barrier")):
                assert lock.locked()
                assert not lock.acquire(blocking=False)
            with pytest.raises(ValueError, match="value=3"):
                cache.bounded_semaphore("slots", 2).acquire(blocking=False)
            slots = [cache.bounded_semaphore("slots", 3) for _ in range(2)]
            assert [each.acquire(blocking=False) for each in slots] == [True, False]
            process.communicate()
            assert not cache.lock("held").locked()
            assert slots[1].acquire(blocking=False)

    def test_who_waits_comes_first(self, directory, held):
        """The holder is dead, and who waits is not: the lock is handed to that one by whoever asks for it."""
        waiting = self.records(directory)["lock", "held"][2][0][0]
        held(waiting)
        with open_store("killed", directory) as cache:
            assert not cache.lock("held").acquire(blocking=False)
        assert self.records(directory)["lock", "held"][1] == [[waiting, None, None]]

    def test_a_throttle_goes_on_where_it_was(self, directory):
        with open_store("killed", directory) as cache, open_store("index", directory / "locks") as records:

            def bucket():
                return msgspec.msgpack.decode(records["throttle", "requests"])

            throttled = cache.throttle(10, 1000, name="requests")(calls.nothing)
            throttled()
            written, full = bucket()
            # As an earlier version would have it after two more calls.
            records["throttle", "requests"] = msgspec.msgpack.encode([written, full + 200])
            throttled()
            assert bucket()[1] == full + 300


# -- bytes ------------------------------------------------------------------------------------------------------------

HASHES = {
    "text": 0x88ECB25AEB720D8F,
    "empty text": 0x6DD91846275CD6FD,
    "text of one byte a character": 0x6666FE687D7FC8E7,
    "text of two": 0x46A4A3BF0D9EE831,
    "text of four": 0x96E3A2F5E98992C1,
    "text with a NUL": 0x3DC7762C80382842,
    "text with a lone surrogate": 0xBEC98CC5697F6147,
    "bytes": 0xD0E10CA3EC364FD0,
    "empty bytes": 0x5029F479D7FE1155,
    "bytes that begin like an encoding": 0x214B57ACD28F1C68,
    "zero": 0xB456BCFC34C2CB2C,
    "one": 0xE5FDC025E13EEED5,
    "minus one": 0x7FFC05F3583E062A,
    "largest of 64 bits": 0x033348EE2BD84E7A,
    "smallest of 64 bits": 0x6DD39475FBD3DC62,
    "beyond 64 bits": 0xB09C76B6B8626C53,
    "below 64 bits": 0x6AE74775EC982609,
    "forty digits": 0x0249332635915BAA,
    "half": 0x2238FEEC557E4516,
    "tiny": 0xFF8EF5D2A62C75C5,
    "infinity": 0x13198A2E03707346,
    "minus infinity": 0x13198A2E03707345,
    "float beyond 64 bits": 0x04C1A730D071406A,
    "None": 0x452821E638D01377,
    "empty tuple": 0xF42FA5C234C7F3A1,
    "flat tuple": 0x921AE3FB09DA97BE,
    "tuple of True": 0xDA4BE3AB5B5091B0,
    "tuple of large numbers": 0x2AE34CEA485E42D0,
    "nested tuple": 0x898CC392C00E6412,
    "empty frozenset": 0x893F88F3EB9BC414,
    "frozenset": 0x8C70F19317FBEB84,
    "date": 0x103248E8C0D5A3F7,
    "time": 0x3B2083CB111C7D14,
    "datetime": 0xA5C84A77BF9E1161,
    "datetime of UTC": 0x5805EF8A59CE644B,
    "datetime in a zone": 0x0EF321F657A17570,
    "timedelta": 0xEAC59F855BB1C40D,
    "timezone": 0xD314512CEE1560E6,
    "Decimal": 0x060821F8BAD3A783,
    "Fraction": 0x45592E3A180E931C,
    "UUID": 0x9417A7BCC4CF3755,
    "path": 0x3A1521E62586A1BA,
    "path of Windows": 0x6805F736837C4453,
    "complex": 0xB6F2C23C7E63FDC6,
    "range": 0x0D18FDC9D2FCBF1D,
    "Ellipsis": 0xFC5E1D98B2B36CE0,
    "enum": 0xDB0E95924F9CC929,
    "flag": 0x5D4612A23F59C59D,
    "flags": 0x35846D0509EFF33E,
    "dataclass": 0xBE7BA376959F8BFF,
    "tuple of a date": 0x73C86A94DE916243,
    "frozenset of one enum": 0xCDCDD54EC644B1D1,
    "signed": 0x2FA824F72F614114,
    "tuple of what is signed": 0x09F259506F84E5FB,
}


MAPPED = {"cache.changes": 0x3230676F6C636166, "cache.recency": 0x31636E6372636166}


class TestBytes:
    @pytest.fixture
    def serializer(self):
        return fastcache.PickleSerializer(safe_types=entries.SAFE_TYPES, secret=entries.SECRET)

    @pytest.mark.parametrize("name", entries.KEYS)
    def test_a_key_has_the_hash_that_it_had(self, serializer, name):
        assert hash_of(entries.KEYS[name], serializer) == HASHES[name]

    @pytest.mark.parametrize("name", entries.KEYS)
    def test_a_key_is_in_the_shard_that_it_was_in(self, serializer, name):
        """As README and layout say: the high half of the hash, by multiplication."""
        form = stored_form(entries.KEYS[name], serializer)
        for count in (1, 2, 7, 8, 1000):
            assert shard_of_stored(form, serializer, count) == (HASHES[name] >> 32) * count >> 32

    def test_a_call_is_claimed_by_the_number_that_it_was_claimed_by(self):
        with fastcache.Cache() as cache:
            assert number_of("text", cache.serializer) == HASHES["text"] >> 3

    @stored("cache")
    def test_a_new_database_is_made_as_it_was(self, directory, tmp_path):
        with open_store("cache", tmp_path / "new") as cache:
            cache["k"] = 1
        assert self.made(tmp_path / "new") == self.made(directory)

    def made(self, directory):
        """What a database is before anything is in it."""
        with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database:
            schema = database.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
            # A journal has a number of its own each time, and an earlier version without one leaves it alone.
            chosen = "SELECT name, value FROM meta WHERE name NOT IN ('file_bytes', 'journal', 'applied')"
            settings = dict(database.execute(chosen))
            asked = ("application_id", "user_version", "auto_vacuum", "page_size", "encoding", "journal_mode")
            return schema, settings, [database.execute(f"PRAGMA {each}").fetchone() for each in asked]

    @pytest.mark.parametrize("name", ["cache", "index", "fanout-cache", "fanout-index", "msgspec"])
    def test_what_is_written_now_is_what_was_written(self, name, tmp_path, request):
        """An earlier version of this format reads it. (Which bytes a pickle has may depend on Python's version.)"""
        generation = HERE / str(sql.FORMAT)
        write.WRITERS[name](name, tmp_path / name)
        is_same_python = writers(generation)[name]["python"].split(".")[:2] == list(map(str, sys.version_info[:2]))
        for shard in (".", "shard-001") if "fanout" in name else (".",):
            now, then = rows(tmp_path / name / shard), rows(generation / name / shard)
            assert len(now) == len(then)
            for one, other in zip(now, then, strict=True):
                assert one[:2] == other[:2]
                assert is_same_python is False or one == other

    @pytest.mark.parametrize("of", ["stored", "new"])
    @stored("lru")
    def test_mapped_files_begin_with_their_numbers(self, directory, tmp_path, of):
        if of == "new":
            directory = tmp_path / "new"
            with open_store("lru", directory, **SETTINGS["lru"]) as cache:
                cache["k"] = 1
        for name, number in MAPPED.items():
            assert int.from_bytes((directory / name).read_bytes()[:8], sys.byteorder) == number, name

    @pytest.mark.parametrize("of", ["stored", "new"])
    @stored("killed")
    def test_event_counts_begin_with_their_number(self, directory, tmp_path, of):
        if of == "new":
            directory = tmp_path / "new"
            with open_store("killed", directory) as cache:
                cache.lock("l").acquire()
        assert (directory / "locks" / "bell").read_bytes()[:8] == b"facBELL1"
        assert (directory / "locks" / "bell").stat().st_size == 128

    @stored("killed")
    def test_mapped_files_are_taken_over(self, directory, request):
        if written_by(directory, request)["byteorder"] != sys.byteorder:
            pytest.skip("they are a machine's own")
        paths = [directory / "cache.changes", directory / "locks" / "cache.changes", directory / "locks" / "bell"]
        before = [path.stat().st_ino for path in paths]
        with open_store("killed", directory) as cache, open_store("killed", directory) as other, cache.lock("free"):
            assert other["kept"] == "kept " * 100
            cache["kept"] = "new"
            assert other["kept"] == "new"
        assert [path.stat().st_ino for path in paths] == before
