"""What shrinks is stored so, and read whatever the settings are by then."""

import json
import os
import sys

import numpy as np
import pytest

import fastcache

from .store import StoreContract, value_files

LIBRARIES = {"zstd": "zstandard", "lz4": "lz4.block", "blosc2": "blosc2"}
TEXT = json.dumps([{"id": number, "name": f"name {number}"} for number in range(3000)])
SHRINKS = {
    "text": TEXT,
    "text beyond ASCII": TEXT.replace("name", "nämé"),
    "lone surrogates": "\ud800" * 50_000,
    "bytes": TEXT.encode(),
    "a large int": 1 << 400_000,
    "a list": json.loads(TEXT),
    "an array": np.arange(50_000),
    "arrays": {"a": [np.arange(50_000.0), np.zeros(9000, "M8[s]")]},
    "signed": [json.JSONDecodeError("x", "y", 0), TEXT],
}
STAYS = {
    "small": "abc",
    "short": b"x" * 100,
    "random": os.urandom(100_000),
    "an int": 7,
    "a real": 1.5,
    "nothing": None,
}


def same(one, other):
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def stored(store, key):
    """The codec and size of an entry."""
    ((codec, size),) = store.store.connect().query("SELECT codec, size FROM entry WHERE key = ?1", (key,))
    return codec, size


class CompressionContract(StoreContract):
    # What memory does with a value has nothing to do with the library.
    @pytest.mark.parametrize(("library", "memory"), [*((library, 0) for library in LIBRARIES), ("zstd", 1 << 25)])
    def test_what_shrinks_is_compressed_and_comes_back(self, open_store, library, memory):
        plain = open_store(memory=0)
        for name, value in (SHRINKS | STAYS).items():
            plain[name] = value
        sizes = {name: stored(plain, name) for name in SHRINKS | STAYS}
        plain.close()
        with open_store(compression=library, memory=memory) as store:
            assert store.compression == library
            assert all(same(store[name], value) for name, value in (SHRINKS | STAYS).items())
            for name, value in (SHRINKS | STAYS).items():
                store[name] = value
                for _ in range(3):
                    assert same(store[name], value)
                assert same(store.get(name, copy=False), value)
            for name in SHRINKS:
                codec, size = stored(store, name)
                assert codec >> 12
                assert size < 0.75 * sizes[name][1]
            for name in STAYS:
                assert stored(store, name) == sizes[name]
            assert same(store.get_many(SHRINKS), SHRINKS)
            assert same(dict(store), SHRINKS | STAYS)
            assert bytes(store.get("bytes", buffer=True)) == SHRINKS["bytes"]
            assert store.check()
        for other in (None, *LIBRARIES):
            with open_store(compression=other) as store:
                assert same(dict(store), SHRINKS | STAYS)
                assert same(store.pop("text"), TEXT)
                store["text"] = TEXT
            with open_store(compression=library) as store:
                store.update(SHRINKS | STAYS)

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_values_in_files_shrink_there(self, open_store, directory, library):
        store = open_store(compression=library)
        store["a"] = np.arange(1_000_000) % 1000
        assert sum(file.stat().st_size for file in value_files(directory)) < 4_000_000
        assert (store["a"] == np.arange(1_000_000) % 1000).all()
        assert store["a"].flags.writeable
        assert not store.get("a", copy=False).flags.writeable

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_a_library_that_is_missing_is_named_with_its_extra(self, open_store, directory, monkeypatch, library):
        with open_store(compression=library) as store:
            store["a"], store["b"] = TEXT, "small"
        from fastcache.engine.codecs import compression
        from fastcache.runtime import imports

        monkeypatch.setattr(compression, "_loaded", {})
        monkeypatch.setattr(imports, "_loaded", {})
        monkeypatch.setitem(sys.modules, LIBRARIES[library], None)
        with pytest.raises(ImportError, match=rf"fastcache\[{library}\]"):
            open_store(compression=library)
        with open_store() as store:
            assert store["b"] == "small"
            with pytest.raises(fastcache.DecodeError, match=rf"fastcache\[{library}\]"):
                store["a"]
            assert store.check().undecodable_entries == 1

    def test_what_is_no_library_is_refused(self, open_store, directory):
        for wrong in ("gzip", "", 3, True):
            with pytest.raises(ValueError, match="zstd"):
                open_store(compression=wrong)
        assert not directory.exists()

    @pytest.mark.parametrize("library", LIBRARIES)
    def test_what_was_damaged_is_an_error_of_ours(self, open_store, library):
        with open_store(compression=library, memory=0) as store:
            store["a"] = TEXT[:3000]
            ((original,),) = store.store.connect().query("SELECT value FROM entry")
            for end in range(0, len(original), 7):
                store.store.connect().query("UPDATE entry SET value = ?1", (original[:end],))
                with pytest.raises(fastcache.DecodeError):
                    store["a"]

    def test_a_serializer_of_ones_own_is_compressed_too(self, open_store):
        with open_store(serializer=fastcache.MsgspecSerializer(), compression="zstd") as store:
            store["a"] = SHRINKS["a list"]
            assert stored(store, "a")[0] >> 12
            assert store["a"] == SHRINKS["a list"]
