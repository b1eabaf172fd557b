"""Metrics of caches for Prometheus and OpenTelemetry: hits, misses, evictions, sizes, how long writes take.

What is counted is what this process does. Nothing is measured, and neither library is loaded, before somebody asks.
What goes wrong in the background is logged under the name "fastcache".

>>> from fastcache import Cache, metrics
>>> with Cache() as cache:
...     metrics.watch(cache)
...     cache["k"] = 1
...     found = metrics.read(cache)
...     found.entries, found.writes.count >= 1, found.hits
(1, True, 0)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from fastcache.errors import ClosedError
from fastcache.runtime.imports import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric
    from prometheus_client.registry import CollectorRegistry

    from fastcache.engine.database.timings import Timings
    from fastcache.engine.mapping import StoreMapping

__all__ = ["Durations", "Metrics", "PrometheusCollector", "instrument", "read", "watch"]

_COUNTERS = {
    "hits": "Reads that found an entry.",
    "misses": "Reads that found none.",
    "memory_hits": "Hits for which SQLite was not asked.",
    "evictions": "Entries removed to make room.",
    "expirations": "Entries removed because they had expired.",
}
_GAUGES = {
    "entries": ("Live entries.", "1"),
    "volume_bytes": ("Bytes on disk, the write-ahead log aside.", "By"),
    "max_size_bytes": ("The limit; 0 for none.", "By"),
    "memory_bytes": ("Bytes that the memory tier takes in this process.", "By"),
}
_DURATIONS = {
    "write_seconds": ("writes", "How long the write lock was held for each write or transaction."),
    "lock_wait_seconds": ("waits", "How long threads have waited for the write lock, where they had to."),
}
_NAME = "fastcache"
_OTHERS = "Time spent waiting for other processes that write."


@dataclass(frozen=True)
class Durations:
    """A histogram.

    Attributes:
        buckets: pairs of a bound in seconds (float, the last one infinite) and how many were not longer (int).
        seconds: all of them together (float).
    """

    buckets: tuple[tuple[float, int], ...]
    seconds: float

    @property
    def count(self) -> int:
        """How many there were."""
        return self.buckets[-1][1] if self.buckets else 0


@dataclass(frozen=True)
class Metrics:
    """What ``read`` has found.

    Attributes:
        hits, misses, memory_hits, evictions, expirations: as of ``Cache.stats`` (int).
        entries: how many there are (int).
        volume_bytes, max_size_bytes, memory_bytes: bytes on disk, the limit, and bytes in the memory tier (int).
        writes, waits: how long the write lock was held, and waited for, since ``watch`` (Durations). What is set in the
            journal takes no such lock, but is written to the database many at a time.
        process_wait_seconds: how long other processes were waited for since ``watch`` (float).
    """

    hits: int
    misses: int
    memory_hits: int
    evictions: int
    expirations: int
    entries: int
    volume_bytes: int
    max_size_bytes: int
    memory_bytes: int
    writes: Durations
    waits: Durations
    process_wait_seconds: float


def watch(cache: StoreMapping) -> None:
    """Have the durations of writes measured from now on, which costs each write some 50 ns.

    Args:
        cache: any cache or index of this package.
    Raises:
        TypeError: it is none.
    """
    _timings(cache)


def _stores(cache: Any) -> Any:
    stores = getattr(cache, "stores", None)
    if stores is None:
        raise TypeError(f"metrics are of a cache or an index of fastcache, not of a {type(cache).__name__}")
    return stores


def _timings(cache: Any) -> list[Timings]:
    return [store.time_writes() for store in _stores(cache).all()]


def read(cache: StoreMapping) -> Metrics:
    """What there is to tell of a cache.

    Raises:
        ClosedError: it is closed.
    """
    stores = _stores(cache).all()
    timings = _timings(cache)
    return Metrics(
        hits=sum(store.hits for store in stores),
        misses=sum(store.misses for store in stores),
        memory_hits=sum(store.memory_hits for store in stores),
        evictions=sum(store.evictions for store in stores),
        expirations=sum(store.expirations for store in stores),
        entries=len(cache),
        volume_bytes=cache.volume(),
        max_size_bytes=stores[0].total_size,
        memory_bytes=max(store.memory_used for store in stores),
        writes=_together([each.held for each in timings]),
        waits=_together([each.waited for each in timings]),
        process_wait_seconds=sum(each.others for each in timings),
    )


def _together(histograms: list[Any]) -> Durations:
    parts = [each.buckets for each in histograms]
    return Durations(
        tuple((bucket[0][0], sum(count for _, count in bucket)) for bucket in zip(*parts, strict=True)),
        sum(each.seconds for each in histograms),
    )


class _Watched:
    """Caches by name, those that are closed left out."""

    def __init__(self, caches: Mapping[str, StoreMapping]) -> None:
        self._caches = dict(caches)
        for cache in self._caches.values():
            watch(cache)

    def __iter__(self) -> Iterator[tuple[str, Metrics]]:
        for name, cache in self._caches.items():
            try:
                yield name, read(cache)
            except ClosedError:
                continue


class PrometheusCollector:
    """A collector for prometheus_client (``pip install fastcache[prometheus]``), which registers itself.

    Its metrics are ``fastcache_hits_total`` and so on, with the label ``cache``.

    Args:
        caches: any caches and indexes of this package, by the names that their labels shall have.
        registry: where to register it; None for prometheus_client's own.

    >>> from fastcache.metrics import PrometheusCollector
    >>> from prometheus_client import CollectorRegistry
    >>> registry = CollectorRegistry()
    >>> with Cache() as cache:
    ...     collector = PrometheusCollector({"sessions": cache}, registry=registry)
    ...     cache.get("absent", "a miss")
    ...     registry.get_sample_value("fastcache_misses_total", {"cache": "sessions"})
    'a miss'
    1
    """

    def __init__(self, caches: Mapping[str, StoreMapping], *, registry: CollectorRegistry | None = None) -> None:
        self._watched = _Watched(caches)
        self._registry = load("prometheus_client").REGISTRY if registry is None else registry
        self._registry.register(self)

    def close(self) -> None:
        """Take it out of the registry."""
        self._registry.unregister(self)

    def describe(self) -> list[Metric]:
        """Nothing: the names of metrics are checked when they are collected."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics, as they are now."""
        core = load("prometheus_client.core")
        found = list(self._watched)
        for name, text in _COUNTERS.items():
            family = core.CounterMetricFamily(f"fastcache_{name}", text, labels=["cache"])
            for cache, values in found:
                family.add_metric([cache], getattr(values, name))
            yield family
        for name, (text, _) in _GAUGES.items():
            family = core.GaugeMetricFamily(f"fastcache_{name}", text, labels=["cache"])
            for cache, values in found:
                family.add_metric([cache], getattr(values, name))
            yield family
        for name, (attribute, text) in _DURATIONS.items():
            family = core.HistogramMetricFamily(f"fastcache_{name}", text, labels=["cache"])
            for cache, values in found:
                durations = getattr(values, attribute)
                buckets = [("+Inf" if bound == math.inf else repr(bound), count) for bound, count in durations.buckets]
                family.add_metric([cache], buckets, durations.seconds)
            yield family
        family = core.CounterMetricFamily("fastcache_process_wait_seconds", _OTHERS, labels=["cache"])
        for cache, values in found:
            family.add_metric([cache], values.process_wait_seconds)
        yield family


def instrument(caches: Mapping[str, StoreMapping], *, meter_provider: Any = None) -> None:
    """Have OpenTelemetry (``pip install fastcache[opentelemetry]``) observe caches.

    Its instruments are ``fastcache.hits`` and so on, with the attribute ``cache``. Of durations they are the number and
    the sum in seconds, ``fastcache.write.count`` and ``fastcache.write.time``, and the same of ``lock_wait``, since
    histograms cannot be observed.

    Args:
        caches: any caches and indexes of this package, by the names that the attribute shall have.
        meter_provider: whose meter to use; None for the global one.
    """
    api = load("opentelemetry.metrics")
    meter = api.get_meter("fastcache", meter_provider=meter_provider)
    watched = _Watched(caches)

    def callback(number_of: Callable[[Metrics], float]) -> Callable[[Any], Iterator[Any]]:
        def observe(_: Any) -> Iterator[Any]:
            for cache, values in watched:
                yield api.Observation(number_of(values), {"cache": cache})

        return observe

    for name, text in _COUNTERS.items():
        meter.create_observable_counter(f"fastcache.{name}", [callback(attrgetter(name))], "1", text)
    for name, (text, unit) in _GAUGES.items():
        meter.create_observable_gauge(
            f"fastcache.{name.removesuffix('_bytes')}", [callback(attrgetter(name))], unit, text
        )
    for name, (attribute, text) in _DURATIONS.items():
        kind = name.removesuffix("_seconds")
        for what, unit, part in (("count", "1", "count"), ("time", "s", "seconds")):
            path = f"{attribute}.{part}"
            meter.create_observable_counter(f"fastcache.{kind}.{what}", [callback(attrgetter(path))], unit, text)
    meter.create_observable_counter(
        f"{_NAME}.process_wait.time", [callback(attrgetter("process_wait_seconds"))], "s", _OTHERS
    )
