"""What Prometheus and OpenTelemetry are told of caches is what has happened."""

import subprocess
import sys
import threading
import time

import pytest

import fastcache
from fastcache import metrics

prometheus = pytest.importorskip("prometheus_client")
telemetry = pytest.importorskip("opentelemetry.sdk.metrics")
export = pytest.importorskip("opentelemetry.sdk.metrics.export")


@pytest.fixture(params=["Cache", "Index", "FanoutCache", "FanoutIndex"])
def cache(request, tmp_path):
    with getattr(fastcache, request.param)(tmp_path / "c") as cache:
        yield cache


@pytest.fixture(params=["Cache", "Index", "FanoutCache", "FanoutIndex"])
def direct(request, tmp_path):
    """One in which each write is a transaction of its own."""
    with getattr(fastcache, request.param)(tmp_path / "c", journal=False) as cache:
        yield cache


def test_it_tells_what_stats_tells_and_how_much_there_is(cache):
    cache["k"] = b"x" * 1000
    assert cache["k"]
    assert cache.get("absent") is None
    found = metrics.read(cache)
    assert (found.hits, found.misses, found.evictions, found.expirations) == (1, 1, 0, 0)
    assert found.entries == 1
    assert found.volume_bytes == cache.volume()
    assert 0 <= found.memory_bytes <= cache.memory


def test_writes_are_measured_from_watch_on(direct):
    direct["before"] = 1
    metrics.watch(direct)
    before = metrics.read(direct).writes.count
    for number in range(10):
        direct[number] = number
    writes = metrics.read(direct).writes
    assert writes.count - before >= 10
    assert writes.seconds > 0
    bounds, counts = zip(*writes.buckets, strict=True)
    assert list(bounds) == sorted(bounds)
    assert bounds[-1] == float("inf")
    assert list(counts) == sorted(counts)
    # Watching again begins nothing anew.
    metrics.watch(direct)
    assert metrics.read(direct).writes.count >= 10


def test_what_is_drained_from_the_journal_is_one_write(tmp_path):
    with fastcache.Cache(tmp_path / "c", journal=True) as cache:
        cache["before"] = 1
        metrics.watch(cache)
        before = metrics.read(cache).writes.count
        for number in range(1000):
            cache[number] = number
        cache.flush()
        assert 1 <= metrics.read(cache).writes.count - before < 500


def test_a_transaction_is_one_write(tmp_path):
    with fastcache.Cache(tmp_path / "c") as cache:
        metrics.watch(cache)
        before = metrics.read(cache).writes.count
        with cache.transact():
            for number in range(100):
                cache[number] = number
        # Maintenance may have come between.
        assert 1 <= metrics.read(cache).writes.count - before < 50


def test_a_thread_that_waits_for_another_one_is_told(tmp_path):
    with fastcache.Cache(tmp_path / "c") as cache:
        metrics.watch(cache)
        # Until it came while the lock was held.
        while metrics.read(cache).waits.count == 0:
            waits = threading.Thread(target=cache.set, args=("k", 1))
            with cache.transact():
                cache["other"] = 1
                waits.start()
                time.sleep(0.01)
            waits.join()
        assert metrics.read(cache).waits.seconds > 0


def test_another_process_that_is_waited_for_is_told(tmp_path, start):
    with fastcache.Cache(tmp_path / "c") as cache:
        metrics.watch(cache)
        other = start("hold", "Cache", str(tmp_path / "c"))
        other.hear()
        waits = threading.Thread(target=cache.set, args=("k", 1))
        waits.start()
        while metrics.read(cache).process_wait_seconds == 0:
            time.sleep(0.001)
        other.tell()
        waits.join()
        other.finish()


def test_prometheus_is_told_by_the_name_of_the_cache(cache):
    registry = prometheus.CollectorRegistry()
    collector = metrics.PrometheusCollector({"mine": cache}, registry=registry)
    cache["k"] = 1
    assert cache["k"] == 1
    labels = {"cache": "mine"}
    assert registry.get_sample_value("fastcache_hits_total", labels) == 1
    assert registry.get_sample_value("fastcache_entries", labels) == 1
    assert registry.get_sample_value("fastcache_write_seconds_count", labels) >= 1
    assert registry.get_sample_value("fastcache_write_seconds_bucket", {**labels, "le": "+Inf"}) >= 1
    assert b"fastcache_lock_wait_seconds" in prometheus.generate_latest(registry)
    collector.close()
    assert prometheus.generate_latest(registry) == b""


def test_of_a_cache_that_is_closed_nothing_is_told(tmp_path):
    registry = prometheus.CollectorRegistry()
    with fastcache.Cache(tmp_path / "c") as cache, fastcache.Cache(tmp_path / "d") as other:
        metrics.PrometheusCollector({"one": cache, "two": other}, registry=registry)
        cache.close()
        assert registry.get_sample_value("fastcache_entries", {"cache": "one"}) is None
        assert registry.get_sample_value("fastcache_entries", {"cache": "two"}) == 0


def test_opentelemetry_is_told(cache):
    reader = export.InMemoryMetricReader()
    provider = telemetry.MeterProvider([reader])
    metrics.instrument({"mine": cache}, meter_provider=provider)
    cache["k"] = 1
    assert cache["k"] == 1
    found = {
        metric.name: [(dict(point.attributes), point.value) for point in metric.data.data_points]
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert found["fastcache.hits"] == [({"cache": "mine"}, 1)]
    assert found["fastcache.entries"] == [({"cache": "mine"}, 1)]
    assert found["fastcache.write.count"][0][1] >= 1
    assert found["fastcache.write.time"][0][1] > 0
    provider.shutdown()


def test_what_is_no_cache_is_refused():
    with pytest.raises(TypeError, match="not of a dict"):
        metrics.watch({})
    with pytest.raises(TypeError, match="not of a dict"):
        metrics.PrometheusCollector({"mine": {}}, registry=prometheus.CollectorRegistry())


def test_neither_library_is_loaded_before_somebody_asks():
    program = "import sys, fastcache.metrics; print('prometheus_client' in sys.modules, 'opentelemetry' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["False", "False"]
