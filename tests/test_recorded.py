"""What one version of Python wrote into a cache, every other one reads: samples of all, recorded as bytes."""

import contextlib
import json
import pathlib
import sqlite3

import pytest

import fastcache
from tests import samples
from tests.record_pickles import RECORD, is_key

# Of numpy, to whoever loads what numpy 1 has written.
pytestmark = pytest.mark.filterwarnings("ignore:numpy.core:DeprecationWarning")

RECORDED = json.loads(pathlib.Path(RECORD).read_text(encoding="utf-8"))
SECRET = "the secret of the tests of what was recorded"


def recorded(kind):
    """Name, bytes and writers of each form of each sample."""
    return [
        pytest.param(name, bytes.fromhex(form), id=f"{name}, {writers[0]}")
        for name, forms in RECORDED[kind].items()
        for form, writers in forms.items()
    ]


@pytest.fixture(scope="module")
def serializer():
    return fastcache.PickleSerializer(safe_types=samples.REDUCED_TYPES, secret=SECRET)


def test_all_that_reduces_in_more_than_one_way_is_recorded():
    pytest.importorskip("numpy")
    # A machine may have no time zones.
    assert set(RECORDED["plain"]) == set(RECORDED["pickle"]) >= set(samples.REDUCED)
    assert set(RECORDED["key"]) >= {name for name, value in samples.REDUCED.items() if is_key(value)}


@pytest.mark.parametrize("name", samples.REDUCED)
def test_it_is_plain_here_too(serializer, name):
    data = serializer.dumps(samples.REDUCED[name])
    assert not data.startswith(b"\0signed")
    assert samples.same_reduced(serializer.loads(data), samples.REDUCED[name])


@pytest.mark.parametrize(("name", "data"), recorded("plain"))
def test_what_any_version_wrote_is_read(serializer, name, data):
    if name not in samples.REDUCED:
        pytest.skip("needs numpy, or time zones")
    assert samples.same_reduced(serializer.loads(data), samples.REDUCED[name])


@pytest.mark.parametrize(("name", "data"), recorded("key"))
def test_a_key_is_the_same_bytes_in_every_version(serializer, name, data):
    if name not in samples.REDUCED:
        pytest.skip("needs numpy, or time zones")
    assert serializer.dumps_key(samples.REDUCED[name]) == data
    assert samples.same_reduced(serializer.loads(data), samples.REDUCED[name])


@pytest.mark.parametrize(("name", "data"), recorded("pickle"))
def test_what_pickle_itself_wrote_is_loaded_where_everything_is(serializer, name, data):
    """That is how versions of ours that knew less have stored it, signed."""
    if name not in samples.REDUCED:
        pytest.skip("needs numpy, or time zones")
    if name == "enum with a NaN" and b"NAN" not in data:
        pytest.skip("by its value, which no version finds again")
    for safe_types in ((), samples.REDUCED_TYPES):
        unsafe = fastcache.PickleSerializer(safe_types=safe_types, unsafe=True)
        assert samples.same_reduced(unsafe.loads(data), samples.REDUCED[name])
    if name != "ellipsis":
        # And nowhere else: it names what is no builder of ours.
        with pytest.raises(fastcache.UntrustedValueError):
            serializer.loads(data)


def test_a_class_is_found_where_this_version_keeps_it(serializer):
    pytest.importorskip("numpy")
    for name, expected in {
        b"\x8c\x0epathlib._local\x8c\rPurePosixPath\x93": pathlib.PurePosixPath,
        b"\x8c\x16numpy._core.multiarray\x8c\x06scalar\x93": None,
        b"\x8c\x15numpy.core.multiarray\x8c\x06scalar\x93": None,
    }.items():
        for safe_types in ((), samples.REDUCED_TYPES):
            found = fastcache.PickleSerializer(safe_types=safe_types, unsafe=True).loads(b"\x80\x05" + name + b".")
            assert found is expected or expected is None
    with pytest.raises(fastcache.DecodeError) as error:
        fastcache.PickleSerializer(unsafe=True).loads(b"\x80\x05\x8c\x07nowhere\x8c\x06nobody\x93.")
    assert isinstance(error.value.__cause__, ModuleNotFoundError)


def test_a_cache_that_others_have_filled_has_their_values(tmp_path):
    options = {"safe_types": samples.REDUCED_TYPES, "secret": SECRET, "memory": 0}
    with fastcache.Cache(tmp_path, **options) as cache:
        cache["a"] = 1
    planted = [(name, bytes.fromhex(form)) for name, forms in RECORDED["plain"].items() for form in forms]
    planted = [(name, data) for name, data in planted if name in samples.REDUCED]
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db")) as database, database:
        insert = "INSERT INTO entry (key, codec, size, value) VALUES (?, ?, ?, ?)"
        database.executemany(insert, [(f"value {name}", 16, len(data), data) for name, data in planted])
    with fastcache.Cache(tmp_path, **options) as cache:
        assert cache.check()
        for name, _ in planted:
            assert samples.same_reduced(cache[f"value {name}"], samples.REDUCED[name])
