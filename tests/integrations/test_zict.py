"""zict's own test of a mapping, on which dask's worker memory and zarr's stores are built: a Cache is one by itself."""

import pytest

pytest.importorskip("zict", reason="zict is not installed")

from zict.tests.utils_test import check_mapping

import fastcache


@pytest.mark.parametrize("kind", [fastcache.Cache, fastcache.Index, fastcache.FanoutCache, fastcache.FanoutIndex])
def test_it_is_a_mapping_as_zict_wants_one(kind, tmp_path):
    with kind(tmp_path / "cache") as mapping:
        check_mapping(mapping)


def test_it_is_what_a_buffer_spills_into(tmp_path):
    import zict

    with fastcache.Index(tmp_path / "cache") as slow:
        buffer = zict.Buffer({}, slow, n=2)
        buffer.update({number: {"value": number} for number in range(5)})
        assert set(slow) == {0, 1, 2}
        assert buffer[0] == {"value": 0}
        assert dict(buffer) == {number: {"value": number} for number in range(5)}
