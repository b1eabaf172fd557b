"""What the FastCache for cachelib promises, alone and under Flask-Caching."""

import datetime

import pytest

pytest.importorskip("cachelib", reason="cachelib is not installed")

from fastcache.integrations.cachelib import FastCache
from tests.together import together


@pytest.fixture(params=[{}, {"shards": 2}], ids=str)
def cache(request, tmp_path, clock):
    made = FastCache(tmp_path / "cache", default_timeout=8, timer=clock, **request.param)
    yield made
    made.cache.close()


def test_values_are_set_got_and_deleted(cache):
    assert cache.set("k", {"v": [1]}) is True
    assert cache.get("k") == {"v": [1]}
    assert cache.add("k", 2) is False
    assert cache.add("l", None) is True
    assert cache.get("absent") is None
    assert (cache.has("l"), cache.has("absent")) == (True, False)
    assert cache.set_many({"m": 1, "n": 2}) == ["m", "n"]
    assert cache.get_many("m", "absent", "n") == [1, None, 2]
    assert cache.get_dict("m", "absent") == {"m": 1, "absent": None}
    assert cache.delete("k") is True
    assert cache.delete("k") is False
    assert cache.delete_many("m", "absent") == ["m", "absent"]
    assert cache.clear() is True
    assert not cache.has("n")


def test_a_timeout_of_zero_is_for_ever(cache, clock):
    cache.set("default", 1)
    cache.set("longer", 1, timeout=16)
    cache.set("delta", 1, timeout=datetime.timedelta(seconds=16))
    cache.set("ever", 1, timeout=0)
    clock.advance(8)
    assert cache.get_many("default", "longer", "delta", "ever") == [None, 1, 1, 1]
    clock.advance(8)
    assert cache.get_many("longer", "delta", "ever") == [None, None, 1]


def test_numbers_are_counted_together(cache):
    together(*[lambda: [cache.inc("n") for _ in range(25)] for _ in range(4)])
    assert cache.get("n") == 100
    assert cache.dec("n", 58) == 42
    assert cache.dec("new") == -1


def test_what_cannot_be_decoded_is_missing(tmp_path):
    one, other = (FastCache(tmp_path / "cache", secret=each * 16) for each in "ab")
    one.set("k", ValueError("x"))
    assert other.get("k") is None
    assert other.get_many("k") == [None]
    one.cache.close()
    other.cache.close()


def test_views_are_cached_by_flask_caching(tmp_path):
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    flask_caching = pytest.importorskip("flask_caching", reason="Flask-Caching is not installed")
    app = flask.Flask("site")
    app.config.from_mapping(
        CACHE_TYPE="fastcache.integrations.cachelib.FastCache",
        CACHE_ARGS=[str(tmp_path / "cache")],
        CACHE_OPTIONS={"max_size": 10_000_000, "shards": 2},
    )
    cache = flask_caching.Cache(app)
    calls = []

    @app.route("/")
    @cache.cached(timeout=60)
    def view():
        calls.append("view")
        return "seen"

    @cache.memoize(60)
    def double(number):
        calls.append(number)
        return 2 * number

    client = app.test_client()
    with app.app_context():
        assert [client.get("/").text for _ in range(2)] == ["seen", "seen"]
        assert [double(4), double(4), double(5)] == [8, 8, 10]
        cache.delete_memoized(double)
        assert double(4) == 8
        cache.clear()
        assert client.get("/").text == "seen"
        cache.cache.cache.close()
    assert calls == ["view", 4, 5, 4, "view"]
