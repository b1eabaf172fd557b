"""numpy's arrays: exactly as they were, the reader's own, and valid for as long as anybody has them."""

import asyncio
import contextlib
import datetime
import gc
import os
import sqlite3
import time

import numpy as np
import pandas as pd
import pytest

import fastcache

from .concurrency import together
from .store import StoreContract, value_files

STRUCTURED = np.dtype([("a", "i4"), ("b", ">f8", (2, 3)), ("c", "S3"), ("d", [("e", "M8[ms]"), ("f", "U2")])])
ALIGNED = np.dtype([("a", "i1"), ("b", "f8")], align=True)
SPREAD = np.dtype({"names": ["x", "y"], "formats": ["u2", "f4"], "offsets": [4, 16], "itemsize": 32})


def filled(dtype, *shape):
    """Some array of a type, no two items of which are alike if that can be helped."""
    count = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    return np.resize(np.arange(count, dtype=np.uint8) % 127, count).view(dtype).reshape(shape)


def arrays(length):
    """Of every type and layout, with so many items."""
    yield from (np.arange(length).astype(kind) for kind in "?bBhHiIlLqQefdgFDG")
    yield from (
        np.arange(length).astype(kind) for kind in (">i4", ">f8", "M8[ns]", "m8[25s]", ">M8[D]", "S5", "<U4", ">U3")
    )
    yield from (filled(kind, length) for kind in (STRUCTURED.fields["b"][0].base, ALIGNED, SPREAD, "V7"))
    yield np.zeros(length, STRUCTURED)
    square = np.arange(length * 4.0).reshape(length, 4)
    yield from (
        square,
        np.asfortranarray(square),
        square.T,
        square[::2],
        square[:, 1],
        square[::-1, ::-1],
        square[:, None],
    )
    yield np.broadcast_to(np.arange(4.0), (length, 4))
    yield np.arange(float(length)).reshape(1, length, 1, 1)


SMALL = list(arrays(8))
LARGE = list(arrays(60_000))
EMPTY = [np.zeros(0), np.zeros((3, 0, 2)), np.zeros((0, 5), STRUCTURED), np.array([], "U5"), np.zeros(3, "S0")]
NOTHING = [np.zeros(3, []), np.zeros(2, "V0"), np.zeros(3, {"names": ["a"], "formats": ["V0"], "itemsize": 4})]
ZERO_DIMENSIONAL = [np.array(5), np.array(2.5, ">f8"), np.array("2026-11-22", "M8[D]"), np.zeros((), STRUCTURED)]
SCALARS = [
    *(np.float64(1.5), np.float32("nan"), np.int8(-1), np.bool_(True), np.complex64(1 + 2j), np.datetime64("NaT", "s")),
    *(np.timedelta64(3, "h"), np.str_("a\0"), np.bytes_(b"\0"), np.zeros(1, STRUCTURED)[0], np.longdouble(1) / 3),
]
DTYPES = [
    np.dtype(kind) for kind in ("f8", ">i2", "M8[7m]", "S0", "V3", [], STRUCTURED, ALIGNED, SPREAD, ("i4", (2, 2)))
]
OBJECTS = [
    np.array([1, "a", None, [2]], dtype=object),
    np.array([(1, [2])], dtype=[("a", "i4"), ("b", object)]),
    np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    np.dtype("f8", metadata={"unit": "m"}),
]


def exactly(one, other):
    """Whether two are the same: type, dtype, shape and every bit of the content (but of padding)."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.dtype):
        return one == other and one.isalignedstruct == other.isalignedstruct and one.metadata == other.metadata
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.hasobject:
        return one.tolist() == other.tolist()
    if one.dtype.names:
        return all(exactly(np.asarray(one[name]), np.asarray(other[name])) for name in one.dtype.names)
    if isinstance(one, np.ma.MaskedArray):
        return repr(one) == repr(other)
    return one.tobytes() == other.tobytes()


def is_writable(array):
    return array.flags.writeable


def anonymous_memory():
    """Bytes of this process's memory that are no file's."""
    with open("/proc/self/smaps_rollup", encoding="ascii") as lines:
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Anonymous:"))


READS_OF_ONE = {
    "[]": lambda store: store["a"],
    "get": lambda store: store.get("a"),
    "get_many": lambda store: store.get_many(["a"])["a"],
    "values": lambda store: next(iter(store.values())),
    "items": lambda store: next(iter(store.items()))[1],
    "get_or_set": lambda store: store.get_or_set("a", None),
    "setdefault": lambda store: store.setdefault("a"),
}


class ArrayContract(StoreContract):
    @pytest.mark.parametrize("memory", [0, 1 << 20])
    @pytest.mark.parametrize(
        "kind", ["SMALL", "LARGE", "EMPTY", "NOTHING", "ZERO_DIMENSIONAL", "SCALARS", "DTYPES", "OBJECTS"]
    )
    def test_it_comes_back_exactly(self, open_store, kind, memory):
        values = globals()[kind]
        with open_store(memory=memory) as store:
            for number, value in enumerate(values):
                store[number] = value
                for _ in range(3):
                    assert exactly(store[number], value), value.dtype
            for read in (dict, lambda store: store.get_many(range(len(values)))):
                assert all(exactly(one, other) for one, other in zip(read(store).values(), values, strict=True))
            for number, value in enumerate(values):
                assert exactly(store.get(number, copy=False), value)
                assert exactly(store.pop(number), value)

    @pytest.mark.parametrize("kind", ["SMALL", "LARGE", "EMPTY", "ZERO_DIMENSIONAL"])
    def test_it_can_be_written_to_unless_that_was_declined_and_nothing_that_is_stored_changes(self, store, kind):
        for stored in globals()[kind]:
            read_only = stored.view()
            read_only.flags.writeable = False
            for value in (stored, read_only):
                store["a"] = value
                for _ in range(2):
                    for read in READS_OF_ONE.values():
                        found = read(store)
                        assert is_writable(found)
                        found[...] = np.zeros((), found.dtype)
                        assert exactly(store["a"], value)
                    assert not is_writable(store.get("a", copy=False))
                    assert exactly(store.get("a", copy=False), value)

    def test_a_hit_is_like_a_miss(self, store):
        @store.memoize
        def ramp(length):
            return np.arange(float(length))

        for length in (5, 200_000):
            for _ in range(3):
                for use in (ramp, lambda length: store.get_or_set(length, lambda: np.arange(float(length)))):
                    array = use(length)
                    assert exactly(array, np.arange(float(length)))
                    array -= array.mean()

    def test_a_hit_is_like_a_miss_also_without_a_copy(self, store):
        def ramp(length):
            return {"ramp": np.arange(float(length))}

        async def later(length):
            return ramp(length)

        memoized, coroutine = store.memoize(copy=False)(ramp), store.memoize(copy=False)(later)
        for length in (5, 200_000):
            for _ in range(3):
                for use in (
                    memoized,
                    lambda length: asyncio.run(coroutine(length)),
                    lambda length: store.get_or_set(length, lambda: ramp(length), copy=False),
                ):
                    found = use(length)["ramp"]
                    assert exactly(found, np.arange(float(length)))
                    assert not is_writable(found)

    def test_whoever_waits_for_an_array_gets_one_of_the_same_kind(self, store):
        for copy in (True, False):

            @store.memoize(name=f"{copy}", copy=copy)
            def ramp(length):
                time.sleep(0.05)
                return np.arange(float(length))

            found = together(*[lambda ramp=ramp: ramp(100_000)] * 4)
            assert [is_writable(array) for array in found] == [copy] * 4

    def test_a_frame_that_was_read_can_be_changed(self, store):
        frame = pd.DataFrame({"a": np.arange(100_000.0), "b": range(100_000)})
        for value in (frame, frame.head(10)):
            store["a"] = value
            for _ in range(2):
                found = store["a"]
                found["a"] -= found["a"].mean()
                found.iloc[3, 1] = 7
                found["b"].to_numpy(copy=False)
                assert store["a"].equals(value)

    @pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="tells memory by /proc")
    def test_a_large_one_takes_memory_where_it_is_written_to(self, store):
        store["a"] = np.ones(8_000_000)
        before = anonymous_memory()
        array = store["a"]
        assert array.sum() == 8_000_000
        assert anonymous_memory() - before < 16 << 20
        array += 1
        assert anonymous_memory() - before > 48 << 20
        assert store["a"].sum() == 8_000_000

    def test_in_containers_of_every_kind(self, store, start, directory):
        large, small = np.arange(100_000.0), np.arange(3)
        value = {
            "list": [large, small, (large, "x")],
            "same": large,
            "when": datetime.date.max,
            1: {"deep": np.float32(1)},
        }
        store["a"] = value
        for found in (store["a"], store.get("a", copy=False), next(iter(store.values()))):
            assert found["list"][0] is found["same"]
            assert exactly(found["same"], large)
            assert exactly(found["list"][2][0], large)
            assert exactly(found["list"][1], small)
            assert found["when"] == datetime.date.max
            assert exactly(found[1]["deep"], np.float32(1))
        assert len(value_files(directory)) == 1

    def test_frames_come_back_exactly(self, store):
        length = 30_000
        frame = pd.DataFrame(
            {
                "numbers": np.arange(float(length)),
                "ints": range(length),
                "when": pd.date_range("2026-01-01", periods=length, freq="s", tz="UTC"),
                "text": ["abc", "ä"] * (length // 2),
                "kind": pd.Categorical(["x", "y"] * (length // 2)),
                "mixed": [1, "a"] * (length // 2),
            },
            index=pd.Index(range(7, length + 7), name="row"),
        )
        for value in (frame, frame["when"], frame.set_index(["ints", "text"]), frame.head(0), frame.index):
            store["a"] = value
            for found in (store["a"], store.get("a", copy=False)):
                assert type(found) is type(value)
                assert value.equals(found)
                assert getattr(found, "dtypes", 0) is not None
        store["a"] = [frame, {"again": frame}]
        assert store["a"][1]["again"].equals(frame)
        found = store["a"][0]
        found.loc[7, "numbers"] = 99.0
        assert store["a"][0].equals(frame)

    def test_what_was_read_stays_whatever_becomes_of_the_entry(self, open_store, directory):
        values = [np.full(50_000, float(number)) for number in range(6)]
        with open_store() as store:
            store.update(enumerate(values))
            found = [store[number] for number in range(6)]
            store[0] = values[1]
            del store[1]
            store.set(2, "small")
            assert store.pop(3) is not None
            store.clear()
            store.check(fix=True)
            assert value_files(directory) == set()
        gc.collect()
        assert all(exactly(one, other) for one, other in zip(found, values, strict=True))

    def test_changing_what_was_stored_changes_nothing_that_is_stored(self, store):
        for length in (10, 100_000):
            array = np.zeros(length)
            store["set"] = array
            with store.transact():
                store["in a transaction"] = array
                array += 1
                assert not store["set"].any()
            with store.batch() as batch:
                batch["in a batch"] = array
                array += 1
            store.set_many((name, array) for name in ("many", "more"))
            array += 1
            assert not store["in a transaction"].any()
            assert (store["in a batch"] == 1).all()
            assert (store["more"] == 2).all()

    @pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="tells open files by /proc")
    def test_arrays_that_are_alive_hold_no_files_open(self, store):
        for number in range(50):
            store[number] = np.full(10_000, number)
        before = len(os.listdir("/proc/self/fd"))
        found = [store[number] for number in range(50)]
        assert len(os.listdir("/proc/self/fd")) <= before
        assert all((array == number).all() for number, array in enumerate(found))

    def test_threads_load_them_at_once(self, store):
        values = [np.arange(200_000.0) + number for number in range(4)]
        store.update(enumerate(values))

        def load():
            for number in (*range(4), *range(4)):
                assert store[number].sum() == values[number].sum()
                assert exactly(store.get(number, copy=False), values[number])

        together(*[load] * 8)

    @pytest.mark.parametrize("change", [-1, 1, -400_000])
    def test_a_file_of_another_size_reads_as_missing(self, open_store, directory, change):
        with open_store() as store:
            store["a"] = np.arange(100_000.0)
        (file,) = value_files(directory)
        os.truncate(file, file.stat().st_size + change)
        with open_store() as store:
            assert store.get("a") is None

    def test_buffers_that_do_not_fit_are_an_error_of_ours(self, open_store, directory):
        with open_store() as store:
            store["a"] = [np.arange(2100.0), "text"]
        database = directory / "cache.db"
        connection = sqlite3.connect(database, isolation_level=None)
        ((original,),) = connection.execute("SELECT value FROM entry").fetchall()
        connection.close()
        assert len(original) < 1 << 16
        with open_store(memory=0) as store:
            for at in range(0, 150):
                for byte in (0, 1, 0x7F, 0xFF):
                    if original[at] == byte:
                        continue
                    changed = original[:at] + bytes([byte]) + original[at + 1 :]
                    store.store.connect().query("UPDATE entry SET value = ?1", (changed,))
                    with contextlib.suppress(fastcache.DecodeError, fastcache.UntrustedValueError):
                        store["a"]

    # the bytes themselves

    @pytest.mark.parametrize("memory", [0, 1 << 20])
    @pytest.mark.parametrize("length", [0, 10, 200_000])
    def test_the_stored_bytes_can_be_had_as_they_are(self, open_store, memory, length):
        store = open_store(memory=memory)
        store["bytes"], store["text"], store["list"] = b"x" * length, "ä" * length, ["y" * length]
        for _ in range(3):
            assert store["bytes"] == b"x" * length
            found = store.get("bytes", buffer=True)
            assert isinstance(found, memoryview)
            assert found.readonly
            assert found == b"x" * length
            assert bytes(store.get("text", buffer=True)).decode() == "ä" * length
            assert b"y" * length in bytes(store.get("list", buffer=True))
        kept = store.get("bytes", buffer=True)
        store.clear()
        assert kept == b"x" * length
        assert store.get("absent", buffer=True) is None
        assert store.get("absent", 7, buffer=True) == 7
        for value in (1, 1.5, None, True):
            store["a"] = value
            with pytest.raises(TypeError, match="buffer"):
                store.get("a", buffer=True)
