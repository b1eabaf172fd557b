"""A record is an entry as bytes: it comes back as it was, or not at all."""

import math
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fastcache
from fastcache.engine.codecs.record import VERSION, Record, pack, unpack
from fastcache.engine.sqlite import sql

from .samples import INT64_MAX, INT64_MIN

integers = st.integers(INT64_MIN, INT64_MAX)
# With lone surrogates.
texts = st.text(st.characters(exclude_categories=()))
present = integers | st.floats() | texts | st.binary()
cells = st.none() | present
records = st.builds(
    Record,
    key=present,
    codec=integers,
    size=integers,
    expire=st.none() | integers,
    tag=cells,
    file=st.none() | texts,
    stored=cells,
)

PLAIN = Record("k", 0, 1, None, None, None, "v")

# One of each kind in each column that may hold it, and what stands for them: it must never become something else.
GOLDEN = {
    "text": (
        Record("kéy", 0, 5, None, None, None, "\ud800v"),
        "01 03010105050503 0400000000000000 6bc3a979 0000000000000000 0500000000000000 0400000000000000 eda08076",
    ),
    "blob": (
        Record(b"\x00\xff", 1, 0, None, b"tag", None, b""),
        "01 04010105040504 0200000000000000 00ff 0100000000000000 0000000000000000 0300000000000000 746167"
        " 0000000000000000",
    ),
    "integer": (
        Record(INT64_MIN, 15, 8, 1_800_000_000_000, -1, None, INT64_MAX),
        "01 01010101010501 0000000000000080 0f00000000000000 0800000000000000 00505c18a3010000 ffffffffffffffff"
        " ffffffffffffff7f",
    ),
    "float": (
        Record(0.5, 0, 8, None, math.inf, None, -0.0),
        "01 02010105020502 000000000000e03f 0000000000000000 0800000000000000 000000000000f07f 0000000000000080",
    ),
    "null": (
        Record("", 0, 0, None, None, None, None),
        "01 03010105050505 0000000000000000 0000000000000000 0000000000000000",
    ),
    "file": (
        Record("k", 2, 100_000, -1, "t", "0a/1b.val", None),
        "01 03010101030305 0100000000000000 6b 0200000000000000 a086010000000000 ffffffffffffffff 0100000000000000 74"
        " 0900000000000000 30612f31622e76616c",
    ),
}
SAMPLES = [record for record, _ in GOLDEN.values()]


def with_checksum(body):
    return body + zlib.crc32(body).to_bytes(4, "little")


def comparable(record):
    """What tells all values apart: also those that are equal, and NaN."""
    return [(type(value), struct.pack("<d", value) if isinstance(value, float) else value) for value in record]


@given(records)
@example(Record(-0.0, 0, 0, None, math.nan, None, -math.inf))
@example(Record("\ud83d\ude00", 0, 0, None, "\U0001f600", "\x00", "\udcff"))
def test_any_record_comes_back_as_it_was(record):
    again = unpack(pack(record))
    assert type(again) is Record
    assert comparable(again) == comparable(record)


@pytest.mark.parametrize("size", [255, 256, 65_536, 20_000_000])
def test_bytes_and_text_may_have_any_size(size):
    for stored in (b"\xff" * size, "é" * size):
        assert unpack(pack(PLAIN._replace(stored=stored))).stored == stored


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_are_those_of_this_version(name):
    record, body = GOLDEN[name]
    assert VERSION == 1
    assert pack(record) == with_checksum(bytes.fromhex(body))
    assert unpack(with_checksum(bytes.fromhex(body))) == record


def test_the_checksum_is_the_one_of_this_version():
    assert pack(PLAIN).hex() == (
        "010301010505050301000000000000006b00000000000000000100000000000000010000000000000076a23cf2b8"
    )


@pytest.mark.parametrize("record", SAMPLES)
def test_no_part_of_a_record_is_one(record):
    data = pack(record)
    for size in range(len(data)):
        with pytest.raises(fastcache.DecodeError):
            unpack(data[:size])
        # Nor with the checksum of the part.
        with pytest.raises(fastcache.DecodeError):
            unpack(with_checksum(data[: min(size, len(data) - 5)]))


@pytest.mark.parametrize("record", SAMPLES)
def test_one_bit_makes_it_none(record):
    data = pack(record)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(fastcache.DecodeError):
            unpack(bytes(changed))


@given(records, st.binary(min_size=1))
def test_nothing_may_come_after_it(record, more):
    data = pack(record)
    with pytest.raises(fastcache.DecodeError):
        unpack(data + more)
    with pytest.raises(fastcache.DecodeError, match="longer than it states"):
        unpack(with_checksum(data[:-4] + more))


def test_another_version_is_named():
    body = bytearray(pack(PLAIN)[:-4])
    body[0] = 2
    with pytest.raises(fastcache.DecodeError, match="version 2, and this program reads 1"):
        unpack(with_checksum(bytes(body)))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("key", 5), ("codec", 5), ("codec", 2), ("size", 3), ("expire", 2), ("file", 4), ("tag", 0), ("stored", 6)],
)
def test_a_column_of_another_kind_is_refused(name, kind):
    body = bytearray(pack(PLAIN)[:-4])
    body[1 + Record._fields.index(name)] = kind
    with pytest.raises(fastcache.DecodeError, match=rf"the {name} of a record .* \({kind}\)"):
        unpack(with_checksum(bytes(body)))


def test_text_that_is_none_is_refused():
    secret = pack(PLAIN._replace(stored="secret"))[:-4]
    with pytest.raises(fastcache.DecodeError, match="not UTF-8") as caught:
        unpack(with_checksum(secret[:-1] + b"\xff"))
    assert "secret" not in str(caught.value)


def test_no_memory_is_taken_for_a_length_that_is_a_lie():
    body = bytearray(pack(PLAIN)[:-4])
    body[-9:-1] = (1 << 40).to_bytes(8, "little")
    tracemalloc.start()
    try:
        with pytest.raises(fastcache.DecodeError, match="shorter than it states"):
            unpack(with_checksum(bytes(body)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200))
def test_what_is_made_up_is_a_record_or_refused(rest):
    for data in (rest, with_checksum(rest), with_checksum(bytes([VERSION]) + rest)):
        try:
            record = unpack(data)
        except fastcache.DecodeError:
            continue
        assert pack(record) == data


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", None),
        ("codec", None),
        ("codec", "0"),
        ("size", 0.5),
        ("expire", 0.5),
        ("file", b"name"),
        ("tag", bytearray()),
        ("stored", ["secret"]),
        ("stored", 1 << 63),
    ],
)
def test_what_no_row_holds_is_not_packed(name, value):
    with pytest.raises(fastcache.EncodeError, match=f"the {name} of a record") as caught:
        pack(PLAIN._replace(**{name: value}))
    assert "secret" not in str(caught.value)


def test_its_columns_are_those_of_a_row(tmp_path):
    with fastcache.Cache(tmp_path / "cache") as cache:
        cache.set(("k", 1), [1, 2], expire=1000, tag="t")
        cache["file"] = b"x" * 100_000
        (store,) = cache.stores.all()
        connection = store.connect()
        rows = connection.query(sql.ROWS_TO_MOVE, (0, 10))
        columns = [name for _, name, *_ in connection.query("PRAGMA table_info(entry)")]
    # The table calls value what is stored in a row.
    assert columns == ["id", *(name.replace("stored", "value") for name in Record._fields)]
    assert len(rows) == 2
    for _, *row in rows:
        assert unpack(pack(Record(*row))) == tuple(row)
