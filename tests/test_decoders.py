"""Nothing that lies in a cache's directory can end a program that reads it, or have it run anything."""

import contextlib
import pathlib
import sqlite3
import struct

import pytest

import fastcache
from fastcache.engine.codecs.compression import compressor

from . import soak_decoders
from .soak_decoders import call, laid_out, text

numpy = pytest.importorskip("numpy")


@pytest.mark.parametrize("name", soak_decoders.available())
def test_a_mutated_payload_raises_or_is_data(name):
    seen = soak_decoders.soak(name, payloads=600, seed=1)
    assert not seen.findings, "\n".join(seen.findings)


def test_the_search_finds_what_lets_a_foreign_exception_through(monkeypatch):
    class Careless(soak_decoders.Decoder):
        whole_path = True

        def decode(self, data):
            raise IndexError

    outcome, wrong = soak_decoders.outcome_of(Careless(), (b"",))
    assert outcome == "IndexError"
    assert "IndexError" in wrong


def test_a_payload_is_the_same_whenever_it_is_made():
    samples = [(b"abc", 1), (b"\x80\x05N.", 2)]
    first, again = (
        [soak_decoders.payload("loads", samples, 1, number) for number in range(50)] for _ in range(2)
    )  # fmt: skip
    assert first == again
    assert len(set(first)) > 30


def test_an_array_does_not_look_at_memory_that_was_given_back():
    content = b"\x96" + struct.pack("<Q", 64) + b"a" * 64 + b"\x94"
    array = call("build_array", content, text("|u1"), b"K\x40\x85", text("C"))
    with contextlib.suppress(ValueError, TypeError):
        found, owner = fastcache.PickleSerializer().loads(b"\x80\x05" + array + b"h\0\x86.")
        with contextlib.suppress(BufferError):
            owner.extend(bytes(1 << 20))
            others = [bytearray(64) for _ in range(1000)]
            assert found.tolist() == [97] * 64
            del others


@pytest.fixture
def file_in(tmp_path):
    """A cache with an array in a file: the directory, and the file."""
    with fastcache.Cache(tmp_path) as cache:
        cache["k"] = numpy.arange(100_000)
    (file,) = (path for path in pathlib.Path(tmp_path, "values").iterdir() if path.is_file())
    return tmp_path, file


def test_a_file_that_changes_after_it_was_examined_runs_nothing(file_in, monkeypatch):
    directory, file = file_in
    told = directory / "told"
    harmless = b"\x80\x05" + text("posix") + text("system") + b"\x86" + text(f"touch {told}") + b"\x85R."
    harmful = harmless.replace(text("system") + b"\x86", text("system") + b"\x93")
    whole = laid_out(harmless, [bytes(64)])
    file.write_bytes(whole)
    with contextlib.closing(sqlite3.connect(directory / "cache.db")) as database, database:
        database.execute("UPDATE entry SET size = ?", (len(whole),))
    monkeypatch.setattr("fastcache.serializers.trust.examine", changes_then(file, laid_out(harmful, [bytes(64)])))
    with fastcache.Cache(directory) as cache, pytest.raises(fastcache.CacheError):
        cache["k"]
    assert not told.exists()


def changes_then(file, content):
    """What examines a pickle just before somebody writes to its file."""
    from fastcache.engine.codecs.pickle_scan import examine

    def examine_then_change(payload):
        found = examine(payload)
        with open(file, "r+b") as opened:
            opened.write(content)
        return found

    return examine_then_change


def test_what_is_planted_changes_no_member_of_an_enum():
    state = b"}" + text("_value_") + b"K\2s"
    payload = b"\x80\x05" + call("build_listed", text("soak_decoders:Level"), b"\x88K\1\x85", state, b"NN") + b"."
    with contextlib.suppress(ValueError, TypeError):
        soak_decoders.serializer().loads(payload)
    found, soak_decoders.Level.LOW._value_ = soak_decoders.Level.LOW._value_, 1
    assert found == 1


def test_a_small_compressed_value_makes_no_large_one():
    pytest.importorskip("blosc2")
    *_, (chunk, size) = soak_decoders.compressed("blosc2")
    assert len(chunk) < 100 < size
    with pytest.raises(fastcache.CacheError):
        compressor("blosc2").decompress(chunk, size)
