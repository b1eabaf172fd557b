"""zict, on which the memory of dask's workers is built, spills into any mapping, which a Cache and an Index are."""

import pytest

zict = pytest.importorskip("zict", reason="zict is not installed")

import fastcache  # noqa: E402


@pytest.mark.parametrize("kind", [fastcache.Cache, fastcache.Index, fastcache.FanoutCache, fastcache.FanoutIndex])
def test_it_is_what_a_buffer_spills_into(kind, tmp_path):
    with kind(tmp_path / "cache") as slow:
        buffer = zict.Buffer({}, slow, n=2)
        buffer.update({number: {"value": number} for number in range(5)})
        assert set(slow) == {0, 1, 2}
        assert buffer[0] == {"value": 0}
        assert dict(buffer) == {number: {"value": number} for number in range(5)}


def test_it_is_what_a_function_stores_into(tmp_path):
    with fastcache.Index(tmp_path / "cache") as index:
        mapping = zict.Func(str.encode, bytes.decode, index)
        mapping["k"] = "grüße"
        assert index["k"] == "grüße".encode()
        assert dict(mapping) == {"k": "grüße"}


@pytest.mark.parametrize("kind", [fastcache.Cache, fastcache.Index, fastcache.FanoutCache, fastcache.FanoutIndex])
def test_it_is_the_mapping_that_zict_s_own_check_wants(kind, tmp_path):
    from zict.tests.utils_test import check_mapping

    with kind(tmp_path / "cache") as mapping:
        check_mapping(mapping)
